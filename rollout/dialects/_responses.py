"""
OpenAI's Responses API, whose items are the items of a rollout: they stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from attrs import frozen

from rollout.dialects._items import OTHER_PART, READ_PARTS, make_message, text_kind
from rollout.dialects._model import Fold, Item, Reply, Request
from rollout.dialects._responses_stream import ResponsesFold
from rollout.dialects._usage import usage_of
from rollout.dialects._values import dict_of, error_text, list_of, other_keys, string_of, string_or_none

__all__ = ["ResponsesDialect"]

_UNKNOWN = "responses_unknown"
# Keys and types of items from other dialects, which this API refuses.
_FOREIGN = ("chat_", "anthropic_", "gemini_", "langchain_")
_FOREIGN_KEYS = frozenset(
    {
        *("anthropic", "anthropic_message", "audio", "cache_control", "caller", "chat", "chat_key", "chat_message"),
        *("choice", "citations", "extra_content", "function", "gemini", "is_error", "langchain"),
        *("reasoning", "reasoning_content"),
        *("reasoning_details", "refusal", "response_key", "signature", "thinking", "thoughtSignature", "toolset_name"),
    }
)


@frozen
class ResponsesDialect:
    """
    The dialect of ``/v1/responses``.
    """

    name: ClassVar[str] = "responses"

    def read_request(self, body: Mapping[str, Any]) -> Request:
        """
        Read the body of a request.
        """
        body = dict_of(body)
        conversation = body.get("conversation")
        found = {
            "model": string_or_none(body.get("model")),
            "instructions": string_or_none(body.get("instructions")),
            "previous_response_id": string_or_none(body.get("previous_response_id")),
            "conversation": string_or_none(conversation) or string_or_none(dict_of(conversation).get("id")),
        }
        understood = {"input", "tools", "stream", *(key for key, value in found.items() if value is not None)}
        return Request(
            items=_read_input(body.get("input")),
            model=found["model"],
            effort=string_or_none(dict_of(body.get("reasoning")).get("effort")),
            instructions=found["instructions"],
            tools=body.get("tools"),
            settings=other_keys(body, understood),
            previous_id=found["previous_response_id"],
            conversation=found["conversation"],
        )

    def read_reply(self, body: Mapping[str, Any]) -> Reply:
        """
        Read the body of a response.
        """
        body = dict_of(body)
        reason = string_or_none(dict_of(body.get("incomplete_details")).get("reason"))
        return Reply(
            items=[_read_item(value) for value in list_of(body.get("output"))],
            usage=usage_of(body.get("usage")),
            id=string_or_none(body.get("id")),
            model=string_or_none(body.get("model")),
            error=error_text(body.get("error")),
            stop=reason or string_or_none(body.get("status")),
        )

    def folder(self) -> Fold:
        """
        Return a new fold for the events of one stream.
        """
        return ResponsesFold()

    def write_items(self, items: Sequence[Item]) -> list[Any]:
        """
        Return items as the ``input`` of a request.
        """
        return [
            _write_item(item)
            for item in items
            if not string_of(item.get("type")).startswith(_FOREIGN) and not item.get("choice")
        ]


def _read_input(value: Any) -> list[Item]:
    if isinstance(value, str):
        return [make_message("user", value)]
    if value is None:
        return []
    return [_read_item(held) for held in value] if isinstance(value, (list, tuple)) else [_read_item(value)]


def _read_item(value: Any) -> Item:
    if not isinstance(value, dict):
        return {"type": _UNKNOWN, "value": value}
    kind, role = value.get("type"), value.get("role")
    if kind in (None, "message") and isinstance(role, str):
        content = value.get("content")
        if isinstance(content, str):
            return {**value, "type": "message", "content": [{"type": text_kind(role), "text": content}]}
        message = value if kind else {**value, "type": "message"}
        return _with_read_parts(message, "content", text_kind(role))
    if isinstance(kind, str) and kind.endswith("_output"):
        return _with_read_parts(value, "output", "input_text")
    if kind is None and isinstance(value.get("id"), str):
        return {**value, "type": "item_reference"}
    return value if isinstance(kind, str) else {"type": _UNKNOWN, "value": value}


def _with_read_parts(item: Item, key: str, text_kind: str) -> Item:
    """
    Return an item whose parts Codex reads: it skips a whole line with a part of another type, also the texts in it.
    """
    parts = item.get(key)
    if not isinstance(parts, list) or all(string_of(dict_of(part).get("type")) in READ_PARTS for part in parts):
        return item
    return {**item, key: [_read_part(part, text_kind) for part in parts]}


def _read_part(part: Any, text_kind: str) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or kind in READ_PARTS:
        return part
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return {**other_keys(part, ("type", "refusal")), "type": text_kind, "text": part["refusal"], "refusal": True}
    name = string_of(part.get("filename")) or string_of(part.get("file_id")) or string_of(part.get("file_url"))
    return {"type": text_kind, "text": f"[{' '.join(filter(None, (kind, name)))}]", OTHER_PART: part}


def _write_item(item: Item) -> Any:
    if item.get("type") == _UNKNOWN:
        return item.get("value")
    written = {key: value for key, value in item.items() if key not in _FOREIGN_KEYS}
    for key in ("content", "output"):
        if isinstance(written.get(key), list):
            written[key] = [_write_part(part) for part in written[key]]
    return written


def _write_part(part: Any) -> Any:
    if not isinstance(part, dict) or part.get("type") == "refusal":
        return part
    if OTHER_PART in part:
        return part[OTHER_PART]
    if part.get("refusal") is True:
        return {"type": "refusal", "refusal": part.get("text")}
    return part if part.keys().isdisjoint(_FOREIGN_KEYS) else other_keys(part, _FOREIGN_KEYS)
