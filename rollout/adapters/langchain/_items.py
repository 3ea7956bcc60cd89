"""
Messages of LangChain as items, and what it shows of a request, an answer and the output of a tool.

Contents are read in LangChain's own form for all providers, `content_blocks`, so that an answer and the same message in
a later request become the same items.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rollout.dialects import (
    Item,
    Reply,
    Request,
    dialect_for,
    make_call,
    make_message,
    make_output,
    make_reasoning,
    text_of,
    usage_of,
)
from rollout.schema import snapshot

__all__ = ["read_request", "read_result", "read_tool_output"]

_PARTS = ("input_text", "output_text", "input_image")
_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "system": "system"}
# What an item has already, and what must not be recorded.
_ARGUMENTS_KNOWN = frozenset({"tool_calls", "function_call", "refusal", "reasoning_content", "__openai_role__"})
_METADATA_KNOWN = frozenset({"headers", "token_usage", "usage"})
_PARAMETERS_KNOWN = ("model", "model_name", "tools", "functions", "stream", "previous_response_id", "conversation")
_SECRET = ("header", "api_key", "token_provider", "authorization")


def read_request(messages: Iterable[Any] | str, params: Mapping[str, Any]) -> Request:
    """
    Return a request.

    Args:
        messages: Messages, or the text for a model that is no chat model.
        params: The ``invocation_params``; of these, headers and keys are dropped.
    """
    if isinstance(messages, str):
        items = [make_message("user", messages)]
    else:
        items = [item for message in messages for item in _items_of(message)]
    params = _public(dict(params))
    conversation = params.get("conversation")
    return Request(
        items=items,
        model=params.get("model") or params.get("model_name"),
        effort=_effort(params),
        tools=params.get("tools") or params.get("functions"),
        settings=_without(params, _PARAMETERS_KNOWN),
        previous_id=params.get("previous_response_id"),
        conversation=conversation.get("id") if isinstance(conversation, dict) else conversation,
    )


def _public(value: Any, depth: int = 1) -> Any:
    """
    Return parameters without headers and keys; the schemas of tools are deeper and stay.
    """
    if isinstance(value, list):
        return [_public(own, depth) for own in value]
    if not isinstance(value, dict) or depth < 0:
        return value
    held = {key: own for key, own in value.items() if not any(word in str(key).lower() for word in _SECRET)}
    return {key: _public(own, depth - 1) for key, own in held.items()}


def _effort(params: Mapping[str, Any]) -> str | None:
    stated = [params.get("reasoning_effort"), params.get("effort")]
    stated += [(params.get(name) or {}).get("effort") for name in ("reasoning", "output_config")]
    return next(filter(None, stated), None)


def read_result(result: Any) -> Reply:
    """
    Return the answer in an LLMResult, with the items of all its choices.
    """
    choices = result.generations[0] if result.generations else []
    items = []
    for number, choice in enumerate(choices):
        message = getattr(choice, "message", None)
        read = [_plain_answer(choice)] if message is None else _items_of(message)
        items += [{**item, "choice": number} if number else item for item in read]
    first = getattr(choices[0], "message", None) if choices else None
    about = {**(result.llm_output or {}), **(getattr(first, "response_metadata", None) or {})}
    used = getattr(first, "usage_metadata", None) or {}
    usage = usage_of(used) or usage_of(about.get("token_usage") or about.get("usage"))
    return Reply(
        items=items,
        # An answer from a cache of LangChain costs nothing; it copies the usage of the first one.
        usage=None if used.get("total_cost") == 0 else usage,
        id=about.get("id"),
        model=about.get("model_name") or about.get("model"),
    )


def _plain_answer(choice: Any) -> Item:
    info = choice.generation_info
    return make_message("assistant", choice.text, **_kept({"generation_info": info} if info else {}))


def read_tool_output(output: Any, call_id: str | None) -> Item:
    """
    Return the output of a call in what a tool returned: a message, a command with messages, a list, or another value.
    """
    found = next((message for message in _tool_messages(output) if message.tool_call_id == call_id), None)
    return make_output(call_id or "", str(output)) if found is None else _output(found)


def _tool_messages(output: Any) -> Iterator[Any]:
    if hasattr(output, "tool_call_id"):
        yield output
    update = getattr(output, "update", None)
    held = update.get("messages") if isinstance(update, dict) else output
    for message in held if isinstance(held, (list, tuple)) else ():
        yield from _tool_messages(message)


def _output(message: Any) -> Item:
    content, lost = message.content, {}
    block = content[0] if isinstance(content, list) and len(content) == 1 else None
    if isinstance(block, dict) and str(block.get("type")).endswith("_output"):
        # The output of a tool of OpenAI that is no function.
        return {**block, "call_id": message.tool_call_id, **_kept(_about(message))}
    if not isinstance(content, str):
        parts = [_entry(block, "user", "")[0] for block in _blocks(message)]
        has_image = any(part["type"] == "input_image" for part in parts)
        lost = {} if all(part["type"] in _PARTS for part in parts) else {"content": content}
        parts = [part for part in parts if part["type"] in _PARTS]
        content = parts if has_image else text_of(parts)
    failed = {"is_error": True} if message.status == "error" else {}
    return make_output(message.tool_call_id, content, **failed, **_kept({**_about(message), **lost}))


def _items_of(message: Any) -> list[Item]:
    """
    Return the items of a message; the first one keeps what an item has no key for.
    """
    if message.type == "tool":
        return [_output(message)]
    role = message.role if message.type == "chat" else _ROLES.get(message.type)
    if role is None:
        return [{**snapshot(message.model_dump(), default=str), "type": f"langchain_{message.type}"}]
    role = message.additional_kwargs.get("__openai_role__") or role
    if isinstance(message.content, str) and role != "assistant":
        items = [make_message(role, message.content)]
    else:
        provider = message.response_metadata.get("model_provider") or ""
        entries = [_entry(block, role, provider) for block in _blocks(message)]
        items = _grouped(role, [*entries, *_other_entries(message, entries)]) or [make_message(role, [])]
    return [{**items[0], **_kept(_about(message))}, *items[1:]]


def _kept(about: Mapping[str, Any]) -> Item:
    return {"langchain": snapshot(dict(about), default=str)} if about else {}


def _about(message: Any) -> Item:
    """
    Return what an item has no key for.
    """
    found = {
        "id": message.id,
        "name": message.name,
        "artifact": getattr(message, "artifact", None),
        "additional_kwargs": _without(message.additional_kwargs, _ARGUMENTS_KNOWN),
        "response_metadata": _without(message.response_metadata, _METADATA_KNOWN),
    }
    return {key: value for key, value in found.items() if value is not None and value != {}}


def _without(values: Mapping[str, Any], known: Iterable[str]) -> Item:
    return {key: value for key, value in values.items() if key not in known and value is not None}


def _blocks(message: Any) -> list[Any]:
    content = _typed([message.content] if isinstance(message.content, str) else message.content)
    try:
        blocks = list(_with_tools_of_provider(_typed(message.content_blocks), content))
    except Exception:  # noqa: BLE001 -- a content that LangChain does not understand is kept as it is
        return content
    # For some providers, LangChain drops texts in a list.
    return blocks if _has_text(blocks) or not _has_text(content) else content


def _has_text(blocks: Iterable[Any]) -> bool:
    return any(block.get("type") == "text" and block.get("text") for block in blocks)


def _typed(blocks: Iterable[Any]) -> list[Any]:
    return [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks]


def _with_tools_of_provider(blocks: Iterable[Any], content: Any) -> Iterator[Any]:
    """
    Yield blocks; for calls and results of tools that the provider runs, its own blocks.
    """
    own = [block for block in content if block.get("type") not in ("server_tool_call", "server_tool_result")]
    calls, results = ({block[key]: block for block in own if key in block} for key in ("id", "tool_use_id"))
    for block in blocks:
        kind, call_id = block.get("type"), block.get("tool_call_id")
        if kind == "server_tool_call" and block.get("id") in calls:
            yield {"type": "non_standard", "value": calls[block["id"]]}
        elif kind == "server_tool_result" and call_id in results:
            yield {"type": "non_standard", "value": results[call_id]}
        elif kind != "server_tool_result" or call_id not in calls:
            # OpenAI's own block of a call contains the result.
            yield block


def _other_entries(message: Any, entries: list[tuple[Item, Any]]) -> Iterator[tuple[Item, Any]]:
    """
    Yield the refusal and the calls that are beside the content.
    """
    refusal = message.additional_kwargs.get("refusal")
    if refusal and not any(entry.get("refusal") for entry, _ in entries):
        yield {"type": "output_text", "text": refusal, "refusal": True}, None
    seen = {entry.get("call_id") for entry, _ in entries}
    for call in [*getattr(message, "tool_calls", ()), *getattr(message, "invalid_tool_calls", ())]:
        if (call["id"] or "") not in seen:
            yield _call(call), None


def _entry(block: Any, role: str, provider: str) -> tuple[Item, Any]:
    """
    Return a block as a part or as an item, and the id of the message that the part belongs to.
    """
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        part = {"type": "output_text" if role == "assistant" else "input_text", "text": block["text"]}
        return {**part, **_others(block, "text", "id")}, block.get("id")
    if kind == "image" and ("url" in block or "base64" in block):
        url = block.get("url") or f"data:{block.get('mime_type')};base64,{block['base64']}"
        return {"type": "input_image", "image_url": url, **_others(block, "url", "base64", "mime_type", "id")}, None
    if kind == "reasoning":
        extra = _others(block, "reasoning", "text", "summary")
        return make_reasoning(block.get("reasoning") or "", extra.pop("encrypted_content", None), **extra), None
    if kind in ("tool_call", "tool_call_chunk", "invalid_tool_call"):
        return _call(block), None
    value = block.get("value") if kind == "non_standard" else block
    if kind in ("non_standard", "refusal") and isinstance(value, dict):
        return _foreign(value, role, provider), None
    return {**snapshot(dict(block), default=str), "type": f"langchain_{kind or 'unknown'}", "role": role}, None


def _call(block: Mapping[str, Any]) -> Item:
    extra = _others(block, "name", "args", "id", "arguments", "call_id")
    if "item_id" in extra:
        extra["id"] = extra.pop("item_id")
    return make_call(block.get("name") or "", block.get("args"), block.get("id") or "", **extra)


def _foreign(value: Item, role: str, provider: str) -> Item:
    """
    Return a block of a provider for which LangChain has no form.
    """
    value = _without(value, ("index",))
    if provider == "anthropic":
        dialect = dialect_for("/messages")
        return dialect.read_reply({"content": [value]}).items[0] if dialect else value
    if value.get("type") == "refusal":
        return {"type": "output_text", "text": value.get("refusal") or "", "refusal": True}
    if provider == "openai" and isinstance(value.get("type"), str):
        return value
    return {**snapshot(value, default=str), "type": f"langchain_{value.get('type', 'unknown')}", "role": role}


def _others(block: Mapping[str, Any], *known: str) -> Item:
    """
    Return the other keys of a block, and its extras, without numbers of a stream and what is empty.
    """
    held = _without({**block, **(block.get("extras") or {})}, ("type", "index", "extras", *known))
    return {key: value for key, value in held.items() if value != []}


def _grouped(role: str, entries: Iterable[tuple[Item, Any]]) -> list[Item]:
    """
    Return the items of a message: parts with the same id are one message, parts of the same reasoning one item.
    """
    items: list[Item] = []
    group = None
    for entry, own_id in entries:
        is_part = entry["type"] in _PARTS
        if is_part and items and group == (own_id,):
            items[-1]["content"].append(entry)
        elif is_part:
            items.append(make_message(role, [entry], **({"id": own_id} if own_id else {})))
        elif entry["type"] == "reasoning" and items and entry.get("id") and entry["id"] == items[-1].get("id"):
            items[-1]["summary"] += entry["summary"]
        else:
            items.append(entry)
        group = (own_id,) if is_part else None
    return items
