"""
OpenAI's Chat Completions, also as DeepSeek, OpenRouter, vLLM, Mistral and others write it: bodies read as items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from attrs import frozen

from rollout.dialects._chat_stream import ChatFold
from rollout.dialects._chat_write import CHAT, REASONING_KEYS, write_messages
from rollout.dialects._items import (
    IMAGE,
    CallIds,
    group_parts,
    make_call,
    make_message,
    make_output,
    make_reasoning,
    own_item,
    read_output,
    text_kind,
    text_of,
)
from rollout.dialects._model import Fold, Item, Reply, Request
from rollout.dialects._usage import usage_of
from rollout.dialects._values import (
    choice_key,
    dict_of,
    error_text,
    index_of,
    list_of,
    other_keys,
    string_of,
    string_or_none,
)

__all__ = ["ChatDialect"]

_MESSAGE_KEYS = frozenset({"role", "content", "tool_calls", "function_call", *REASONING_KEYS, "reasoning_details"})
_OUTPUT_KEYS = frozenset({"role", "content", "tool_call_id"})


@frozen
class ChatDialect:
    """
    The dialect of ``/v1/chat/completions``.
    """

    name: ClassVar[str] = "chat"

    def read_request(self, body: Mapping[str, Any]) -> Request:
        """
        Read the body of a request.
        """
        body = dict_of(body)
        messages, tools, model = body.get("messages"), body.get("tools"), string_or_none(body.get("model"))
        effort = string_or_none(body.get("reasoning_effort"))
        understood = {"messages", "stream", *(("model",) if model else ()), *(("reasoning_effort",) if effort else ())}
        reader = _Reader()
        return Request(
            items=[item for message in _messages_of(messages) for item in reader.read(message)],
            model=model,
            effort=effort or string_or_none(dict_of(body.get("reasoning")).get("effort")),
            tools=body.get("functions") if tools is None else tools,
            settings=other_keys(body, {*understood, "functions" if tools is None else "tools", "tools"}),
        )

    def read_reply(self, body: Mapping[str, Any]) -> Reply:
        """
        Read the body of a response, with the items of all its choices.
        """
        body = dict_of(body)
        choices = [dict_of(choice) for choice in list_of(body.get("choices"))]
        items = []
        for place, choice in enumerate(choices):
            index, message = index_of(choice.get("index")), choice.get("message")
            number = place if index is None else index
            if message is not None:
                role = {"role": dict_of(message).get("role") or "assistant"}
                read = _Reader().read({**message, **role} if isinstance(message, dict) else message)
                items += [{**item, **choice_key(number)} for item in read]
        return Reply(
            items=items,
            usage=usage_of(body.get("usage")),
            id=string_or_none(body.get("id")),
            model=string_or_none(body.get("model")),
            error=error_text(body.get("error")),
            stop=string_or_none(choices[0].get("finish_reason")) if choices else None,
        )

    def folder(self) -> Fold:
        """
        Return a new fold for the chunks of one stream.
        """
        return ChatFold()

    def write_items(self, items: Sequence[Item]) -> list[Any]:
        """
        Return items as the ``messages`` of a request.
        """
        return write_messages(items)


def _messages_of(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return list(value)
    return [] if value is None else [value]


class _Reader:
    """
    Reader of the messages of one body, in their order.
    """

    def __init__(self) -> None:
        self._ids = CallIds()
        # Ids of calls of custom tools, whose outputs have a type of their own.
        self._custom_ids: set[str] = set()

    def read(self, message: Any) -> list[Item]:
        """
        Return the items of a message.
        """
        role = message.get("role") if isinstance(message, dict) else None
        if not isinstance(role, str):
            return [{"type": "chat_message", "value": message}]
        if role in ("tool", "function"):
            return [self._output(message, role)]
        self._ids.begin()
        items = [*_reasoning(message), *_content_items(role, message.get("content"))]
        refusal = string_or_none(message.get("refusal"))
        if refusal and not any(item["type"] == "message" for item in items):
            part = {"type": text_kind(role), "text": refusal, "refusal": True}
            items.append(make_message(role, [part]))
        calls = message.get("tool_calls")
        items += [self._call(call) for call in list_of(calls)]
        old = message.get("function_call")
        if isinstance(old, dict):
            items.append(self._function_call(old, {"chat_key": "function_call"}, None))
        items = items or [make_message(role, [])]
        extra = other_keys(message, _MESSAGE_KEYS)
        if not extra.get("annotations", True):
            del extra["annotations"]
        return _placed(items, extra) if extra else items

    def _output(self, message: dict[str, Any], role: str) -> Item:
        stated = string_or_none(message.get("tool_call_id"))
        call_id = stated or self._ids.answer(string_of(message.get("name")))
        output, content = read_output(message.get("content"), lambda part: _read_part(part, "user"))
        extra = CHAT.keep("output", {**other_keys(message, _OUTPUT_KEYS), **content})
        item = make_output(call_id, output, **extra)
        if call_id in self._custom_ids:
            item["type"] = "custom_tool_call_output"
        return {**item, "chat_key": role} if role == "function" else item

    def _call(self, call: Any) -> Item:
        if isinstance(call, dict) and call.get("type") in (None, "function") and isinstance(call.get("function"), dict):
            extra = other_keys(call, ("id", "type", "function"))
            return self._function_call(call["function"], CHAT.keep("call", extra), string_or_none(call.get("id")))
        custom = dict_of(call.get("custom")) if isinstance(call, dict) and call.get("type") == "custom" else {}
        if custom.keys() == {"name", "input"} and all(isinstance(held, str) for held in custom.values()):
            name, text = custom["name"], custom["input"]
            call_id = string_or_none(call.get("id")) or self._ids.make(name, text)
            self._custom_ids.add(call_id)
            extra = CHAT.keep("call", other_keys(call, ("id", "type", "custom")))
            return {"type": "custom_tool_call", "name": name, "input": text, "call_id": call_id, **extra}
        return {"type": "chat_tool_call", "value": call}

    def _function_call(self, function: dict[str, Any], extra: dict[str, Any], call_id: str | None) -> Item:
        others = other_keys(function, ("name", "arguments"))
        item = make_call(string_of(function.get("name")), function.get("arguments"), "", **extra)
        item["call_id"] = call_id or self._ids.make(item["name"], item["arguments"])
        return {**item, "function": others} if others else item


def _placed(items: list[Item], extra: dict[str, Any]) -> list[Item]:
    """
    Return the items of a message with its extra keys: on its message item, otherwise on its first item.
    """
    place = next((place for place, item in enumerate(items) if item["type"] == "message"), None)
    kept = {"chat_message": extra} if place is None else CHAT.keep("message", extra)
    return [{**item, **kept} if at == (place or 0) else item for at, item in enumerate(items)]


def _reasoning(message: dict[str, Any]) -> list[Item]:
    stated = {key: message[key] for key in (*REASONING_KEYS, "reasoning_details") if message.get(key)}
    if not stated:
        return []
    key = next((key for key in REASONING_KEYS if isinstance(stated.get(key), str)), None)
    text = stated.pop(key) if key else _details_text(stated.get("reasoning_details"))
    marker = {} if key == REASONING_KEYS[0] else {"chat_key": key or "reasoning_details"}
    return [make_reasoning(text, **marker, **stated)]


def _details_text(details: Any) -> str:
    known = [dict_of(detail) for detail in list_of(details)]
    return "".join(string_of(detail.get("text")) or string_of(detail.get("summary")) for detail in known)


def _content_items(role: str, content: Any) -> list[Item]:
    if isinstance(content, str):
        return [make_message(role, content)] if content else []
    if content is None:
        return []
    parts = content if isinstance(content, (list, tuple)) else [content]
    return group_parts(role, [_read_part(part, role) for part in parts])


def _read_part(part: Any, role: str) -> Item:
    """
    Return a part of a content as a part of the Responses API, or as an item of its own.
    """
    if isinstance(part, str):
        return {"type": text_kind(role), "text": part}
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        extra = CHAT.keep("part", other_keys(part, ("type", "text")))
        return {"type": text_kind(role), "text": part["text"], **extra}
    if kind == "refusal" and isinstance(part.get("refusal"), str) and len(part) == len(("type", "refusal")):
        return {"type": text_kind(role), "text": part["refusal"], "refusal": True}
    if kind == "image_url":
        image = part.get("image_url")
        image = {"url": image} if isinstance(image, str) else dict_of(image)
        if isinstance(image.get("url"), str) and image.keys() <= {"url", "detail"}:
            extra = CHAT.keep("part", other_keys(part, ("type", "image_url")))
            return {"type": IMAGE, "image_url": image["url"], **other_keys(image, ("url",)), **extra}
    if kind == "thinking" and isinstance(part.get("thinking"), (str, list)):
        text, held = text_of(part["thinking"]), other_keys(part, ("type",))
        item = make_reasoning(text, chat_key="thinking")
        return item if held == {"thinking": [{"type": "text", "text": text}]} else {**item, "thinking": held}
    return own_item("chat", part, role)
