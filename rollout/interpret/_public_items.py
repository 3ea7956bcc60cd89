"""
Items in the form that the public Responses API accepts as the input of a request.

The fields are those of its types in openai-python 3.57, with which the tests compare them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rollout.dialects import dialect_for
from rollout.interpret._parts import dict_of, list_of, text_of

__all__ = ["public_items"]

# The fields of each type of item. An id is not needed, and those of another service are refused: it is kept only where
# the service finds by it what it has stored, if it is of the type's own kind, which its beginning shows.
_FIELDS = {
    "message": ("role", "content", "phase"),
    "reasoning": ("summary", "encrypted_content"),
    "function_call": ("name", "namespace", "arguments", "call_id"),
    "function_call_output": ("call_id", "name", "namespace", "output"),
    "custom_tool_call": ("name", "namespace", "input", "call_id"),
    "custom_tool_call_output": ("call_id", "output"),
    "local_shell_call": ("call_id", "action", "status"),
    "web_search_call": ("action", "status"),
    "image_generation_call": ("result", "revised_prompt", "status"),
    "tool_search_call": ("call_id", "arguments", "execution"),
    "tool_search_output": ("call_id", "execution", "tools"),
    "additional_tools": ("role", "tools"),
    "compaction": ("encrypted_content",),
}
_ID_STARTS = {
    "reasoning": "rs", "local_shell_call": "lsh", "web_search_call": "ws", "image_generation_call": "ig",
}  # fmt: skip
_PART_FIELDS = {
    "input_text": ("text", "prompt_cache_breakpoint"),
    "input_image": ("image_url", "file_id", "detail", "prompt_cache_breakpoint"),
    "input_file": ("file_id", "file_data", "file_url", "filename", "detail", "prompt_cache_breakpoint"),
    "output_text": ("text", "annotations", "logprobs"),
    "refusal": ("refusal",),
}
_ACTION_FIELDS = {
    "search": ("query", "queries", "sources"),
    "open_page": ("url",),
    "find_in_page": ("url", "pattern"),
    "exec": ("command", "env", "timeout_ms", "user", "working_directory"),
}
_ROLES = frozenset({"user", "assistant", "system", "developer"})
_PHASES = frozenset({"commentary", "final_answer"})
# How what OpenAI has encrypted begins: no other service can have written it, and OpenAI refuses that of others.
_ENCRYPTED = "gAAAA"


def public_items(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    Return items without those, and without their fields and parts, that the public API refuses.
    """
    dialect = dialect_for("/v1/responses")
    assert dialect is not None  # noqa: S101 -- the dialect of the items themselves
    return list(_public_items(dialect.write_items(list(items))))


def _public_items(items: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for item in items:
        kind = text_of(dict_of(item).get("type"))
        kind = "compaction" if kind == "compaction_summary" else kind
        if kind not in _FIELDS:
            continue
        found = {"type": kind, **_kept(item, _FIELDS[kind])}
        start = _ID_STARTS.get(kind)
        if start is not None and text_of(item.get("id")).startswith(f"{start}_"):
            found["id"] = item["id"]
        if _complete(found):
            yield found


def _kept(value: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    return {key: value[key] for key in fields if value.get(key) is not None}


def _complete(item: dict[str, Any]) -> bool:
    """
    Put the inner values of an item into the form of the API. Return whether the API can use the item then.
    """
    kind = item["type"]
    if kind == "message":
        if item.get("phase") not in _PHASES:
            item.pop("phase", None)
        if isinstance(item.get("content"), list):
            item["content"] = _parts(item["content"])
        return item.get("role") in _ROLES and bool(item.get("content"))
    if kind == "reasoning":
        texts = (text_of(dict_of(part).get("text")) for part in list_of(item.get("summary")))
        item["summary"] = [{"type": "summary_text", "text": text} for text in texts]
        if not text_of(item.get("encrypted_content")).startswith(_ENCRYPTED):
            item.pop("encrypted_content", None)
        return "encrypted_content" in item or "id" in item
    if kind == "compaction":
        return text_of(item.get("encrypted_content")).startswith(_ENCRYPTED)
    if isinstance(item.get("output"), list):
        item["output"] = _parts(item["output"]) or ""
    if "action" in item:
        action = dict_of(item["action"])
        name = text_of(action.get("type"))
        empty: dict[str, Any] = {"env": {}} if name == "exec" else {}
        item["action"] = {"type": name, **empty, **_kept(action, _ACTION_FIELDS.get(name, ()))}
        return name in _ACTION_FIELDS
    return True


def _parts(parts: Iterable[Any]) -> list[dict[str, Any]]:
    found = ((text_of(part.get("type")), part) for part in map(dict_of, parts))
    return [{"type": kind, **_kept(part, _PART_FIELDS[kind])} for kind, part in found if kind in _PART_FIELDS]
