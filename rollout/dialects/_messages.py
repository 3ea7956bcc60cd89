"""
Anthropic's Messages API: bodies read as items, and items written as messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from attrs import frozen

from rollout.dialects._items import (
    IMAGE,
    Extras,
    call_name,
    group_parts,
    make_call,
    make_message,
    make_output,
    make_reasoning,
    own_block,
    own_item,
    read_output,
    text_kind,
    text_of,
)
from rollout.dialects._messages_stream import MessagesFold
from rollout.dialects._model import Fold, Item, Reply, Request
from rollout.dialects._turns import Turns
from rollout.dialects._usage import usage_of
from rollout.dialects._values import (
    dict_of,
    error_text,
    json_text,
    json_value,
    list_of,
    other_keys,
    string_of,
    string_or_none,
)

__all__ = ["MessagesDialect"]

_EXTRAS = Extras(
    "anthropic", frozenset({"cache_control", "citations", "signature", "is_error", "caller", "toolset_name"})
)
_SOURCE_KEYS = {"base64": {"type", "media_type", "data"}, "url": {"type", "url"}}


@frozen
class MessagesDialect:
    """
    The dialect of ``/v1/messages``.
    """

    name: ClassVar[str] = "messages"

    def read_request(self, body: Mapping[str, Any]) -> Request:
        """
        Read the body of a request. A system text in blocks also stays in the settings, with its keys.
        """
        body = dict_of(body)
        model, system = string_or_none(body.get("model")), body.get("system")
        understood = {"messages", "tools", "stream", *(("model",) if model else ())}
        messages = body.get("messages")
        if messages is not None and not isinstance(messages, (list, tuple)):
            messages = [messages]
        return Request(
            items=[item for message in list_of(messages) for item in _read_message(message)],
            model=model,
            effort=string_or_none(dict_of(body.get("output_config")).get("effort")),
            instructions=text_of(system) or None,
            tools=body.get("tools"),
            settings=other_keys(body, {*understood, "system"} if isinstance(system, str) else understood),
        )

    def read_reply(self, body: Mapping[str, Any]) -> Reply:
        """
        Read the body of a response.
        """
        body = dict_of(body)
        content = body.get("content")
        return Reply(
            items=_read_content("assistant", content) if content else [],
            usage=usage_of(body.get("usage")),
            id=string_or_none(body.get("id")),
            model=string_or_none(body.get("model")),
            error=error_text(body.get("error")),
            stop=string_or_none(body.get("stop_reason")),
        )

    def folder(self) -> Fold:
        """
        Return a new fold for the events of one stream.
        """
        return MessagesFold()

    def write_items(self, items: Sequence[Item]) -> list[Any]:
        """
        Return items as the ``messages`` of a request.
        """
        turns = Turns("content")
        for item in items:
            if not item.get("choice"):
                _write_item(turns, item)
        for message in turns.built:
            message["content"] = _plain_content(message["content"])
        return turns.messages


def _read_message(message: Any) -> list[Item]:
    role = message.get("role") if isinstance(message, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(role, str) or not isinstance(content, (str, list, tuple, type(None))):
        return [{"type": "anthropic_message", "value": message}]
    items = _read_content(role, content) or [make_message(role, [])]
    extra = other_keys(message, ("role", "content"))
    return [{**items[0], "anthropic_message": extra}, *items[1:]] if extra else items


def _read_content(role: str, content: Any) -> list[Item]:
    if isinstance(content, str):
        return [make_message(role, content)]
    return group_parts(role, [_read_block(block, role) for block in list_of(content)])


def _read_block(block: Any, role: str) -> Item:
    """
    Return a block as a part of a message, or as an item.
    """
    kind = block.get("type") if isinstance(block, dict) else None
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    return (reader(block, role) if reader else None) or own_item("anthropic", block, role)


def _read_text(block: dict[str, Any], role: str) -> Item | None:
    if not isinstance(block.get("text"), str):
        return None
    extra = _EXTRAS.keep("part", other_keys(block, ("type", "text")))
    return {"type": text_kind(role), "text": block["text"], **extra}


def _read_image(block: dict[str, Any], _: str) -> Item | None:
    source = dict_of(block.get("source"))
    kind = string_of(source.get("type"))
    if source.keys() != _SOURCE_KEYS.get(kind) or not all(isinstance(value, str) for value in source.values()):
        return None
    url = source["url"] if kind == "url" else f"data:{source['media_type']};base64,{source['data']}"
    if _source(url) != source:
        return None
    return {"type": IMAGE, "image_url": url, **_EXTRAS.keep("part", other_keys(block, ("type", "source")))}


def _read_thinking(block: dict[str, Any], role: str) -> Item | None:
    if not isinstance(block.get("thinking"), str) or role != "assistant":
        return None
    extra = other_keys(block, ("type", "thinking"))
    # The type marks reasoning of this API, since the API refuses that of others.
    marker = {} if "signature" in extra else {"type": "thinking"}
    return make_reasoning(block["thinking"], **_EXTRAS.keep("reasoning", {**extra, **marker}))


def _read_redacted(block: dict[str, Any], role: str) -> Item | None:
    if not string_or_none(block.get("data")) or role != "assistant":
        return None
    extra = _EXTRAS.keep("reasoning", other_keys(block, ("data",)))
    return make_reasoning("", block["data"], **extra)


def _read_call(block: dict[str, Any], role: str) -> Item | None:
    # The API demands an input.
    name, call_id, value = block.get("name"), string_or_none(block.get("id")), block.get("input", {})
    if not isinstance(name, str) or call_id is None or role != "assistant":
        return None
    if not isinstance(value, (dict, str, type(None))):
        return None
    return make_call(name, value, call_id, **_EXTRAS.keep("call", other_keys(block, ("type", "name", "id", "input"))))


def _read_result(block: dict[str, Any], role: str) -> Item | None:
    call_id = string_or_none(block.get("tool_use_id"))
    if call_id is None or role != "user":
        return None
    output, content = read_output(block.get("content"), lambda part: _read_block(part, "user"))
    extra = other_keys(block, ("type", "tool_use_id", "content"))
    return make_output(call_id, output, **_EXTRAS.keep("output", {**extra, **content}))


_READERS = {
    "text": _read_text,
    "image": _read_image,
    "thinking": _read_thinking,
    "redacted_thinking": _read_redacted,
    "tool_use": _read_call,
    "tool_result": _read_result,
}


def _source(url: str) -> dict[str, str]:
    if url.startswith("data:"):
        media_type, mark, content = url.removeprefix("data:").partition(";base64,")
        if mark:
            return {"type": "base64", "media_type": media_type, "data": content}
    return {"type": "url", "url": url}


def _write_item(turns: Turns, item: Item) -> None:
    kind = string_of(item.get("type"))
    extra = dict_of(item.get("anthropic_message"))
    if kind == "message":
        role = string_of(item.get("role"))
        role = "system" if role == "developer" else role
        content = item.get("content")
        parts = [{"text": content}] if isinstance(content, str) and content else list_of(content)
        turns.add_message(role, [block for part in parts for block in _write_part(part)], extra)
    elif kind == "anthropic_message":
        turns.add_whole(item.get("value"))
    elif kind.startswith("anthropic_"):
        turns.add_block(string_of(item.get("role")), own_block("anthropic", item), extra)
    elif kind == "reasoning":
        kept = _EXTRAS.restore("reasoning", item)
        if kept.get("type") == "redacted_thinking":
            turns.add_block("assistant", {**kept, "data": item.get("encrypted_content")}, extra)
        elif kept:
            turns.add_block("assistant", {"type": "thinking", "thinking": text_of(item.get("summary")), **kept}, extra)
    elif item.get("call_id") and kind.endswith("_output"):
        turns.add_block("user", _result_block(item), extra)
    elif item.get("call_id") and kind.endswith("_call"):
        turns.add_block("assistant", _call_block(item), extra)


def _write_part(part: Any) -> list[dict[str, Any]]:
    part = dict_of(part)
    text, url = part.get("text", part.get("refusal")), part.get("image_url")
    if isinstance(text, str):
        return [{"type": "text", "text": text, **_EXTRAS.restore("part", part)}]
    if part.get("type") == IMAGE and isinstance(url, str):
        return [{"type": "image", "source": _source(url), **_EXTRAS.restore("part", part)}]
    return []


def _call_block(item: Item) -> dict[str, Any]:
    stated = item.get("arguments", item.get("input", item.get("action")))
    value = json_value(stated) if isinstance(stated, str) else stated
    # The API accepts only objects; the input of a custom tool is text, and arguments may have been cut off.
    usable = value if isinstance(value, dict) else {"input": stated} if stated else {}
    return {
        "type": "tool_use",
        "id": item["call_id"],
        "name": call_name(item),
        "input": usable,
        **_EXTRAS.restore("call", item),
    }


def _result_block(item: Item) -> dict[str, Any]:
    output = item.get("output")
    content: Any = output if isinstance(output, str) else json_text(output)
    if isinstance(output, list):
        content = [block for part in output for block in _write_part(part)]
    extra = _EXTRAS.restore("output", item)
    return {"type": "tool_result", "tool_use_id": item["call_id"], "content": content, **extra}


def _plain_content(blocks: list[Any]) -> Any:
    """
    Return the text of a content that is one plain text, and other blocks as they are.
    """
    if not blocks:
        return ""
    block = blocks[0] if len(blocks) == 1 else None
    if isinstance(block, dict) and block.keys() == {"type", "text"} and block["type"] == "text":
        return block["text"] or blocks
    return blocks
