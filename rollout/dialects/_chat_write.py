"""
Items written as messages of Chat Completions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define

from rollout.dialects._items import IMAGE, Extras, call_name, is_made, own_block, text_of
from rollout.dialects._model import Item
from rollout.dialects._values import dict_of, json_text, list_of, string_of

__all__ = ["CHAT", "REASONING_KEYS", "write_messages"]

CHAT = Extras(
    "chat",
    frozenset({"name", "refusal", "audio", "annotations", "cache_control", "extra_content"}),
)
REASONING_KEYS = ("reasoning_content", "reasoning")


def write_messages(items: Sequence[Item]) -> list[Any]:
    """
    Return items as messages.
    """
    writer = _Writer([])
    for item in items:
        if not item.get("choice"):
            writer.write(item)
    return writer.messages


@define
class _Writer:
    """
    Messages so far, and what the last one may still take.
    """

    messages: list[Any]
    # Whether the last message may take content, a message item, a message item with extra keys, or calls.
    _takes_content: bool = False
    _takes_message: bool = False
    _takes_extra: bool = False
    _takes_calls: bool = False
    # Whether the extra keys of the last message are on an item that is no message.
    _is_sealed: bool = False

    def write(self, item: Item) -> None:
        """
        Add an item to the last message, or begin a message with it.
        """
        kind = string_of(item.get("type"))
        if kind == "message":
            self._write_message(item)
        elif kind == "reasoning":
            self._write_reasoning(item)
        elif kind == "chat_message":
            self._add(item.get("value"))
        elif kind == "chat_tool_call":
            self._assistant(item).setdefault("tool_calls", []).append(item.get("value"))
        elif kind.startswith("chat_"):
            self._write_block(string_of(item.get("role")), item, own_block("chat", item))
        elif item.get("call_id") and kind.endswith("_output"):
            self._write_output(item)
        elif item.get("call_id") and kind.endswith("_call"):
            self._write_call(item, kind)

    def _add(self, message: Any, *, takes_more: bool = False) -> None:
        self.messages.append(message)
        self._takes_content = self._takes_message = self._takes_extra = self._takes_calls = takes_more
        self._is_sealed = False

    def _add_for(self, item: Item, role: str = "assistant", **fields: Any) -> None:
        extra = dict_of(item.get("chat_message"))
        self._add({"role": role, "content": None, **fields, **extra}, takes_more=True)
        self._is_sealed = bool(extra)
        self._takes_message = not extra

    def _write_message(self, item: Item) -> None:
        role, extra = string_of(item.get("role")), CHAT.restore("message", item)
        is_refusal = isinstance(extra.get("refusal"), str)
        parts = [_write_part(part, is_refusal) for part in list_of(item.get("content"))]
        written = [part for part in parts if part is not None]
        if isinstance(item.get("content"), str) and item["content"]:
            written = [{"type": "text", "text": item["content"]}]
        is_empty = not written and not is_refusal
        has_room = self._takes_message and self._last_role() == role and not is_empty
        if not has_room or (extra and not self._takes_extra):
            self._add({"role": role, "content": None}, takes_more=not is_empty)
        message = self.messages[-1]
        message["content"] = "" if is_empty else _joined(message["content"], written)
        message.update(extra)
        self._takes_message = self._takes_extra = False
        # A refusal beside an empty content is read after every part of the content.
        self._takes_content = self._takes_content and bool(written)

    def _write_reasoning(self, item: Item) -> None:
        key = string_of(item.get("chat_key")) or REASONING_KEYS[0]
        text = text_of(item.get("summary")) or text_of(item.get("content"))
        if key == "thinking":
            thinking = {"thinking": [{"type": "text", "text": text}], **dict_of(item.get("thinking"))}
            self._write_block("assistant", item, {"type": "thinking", **thinking})
            return
        fields = {name: item[name] for name in (*REASONING_KEYS, "reasoning_details") if name in item}
        if key != "reasoning_details":
            fields[key] = text
        if any(fields.values()):
            self._add_for(item, **fields)

    def _write_block(self, role: str, item: Item, block: Any) -> None:
        if "chat_message" in item or not self._takes_content or self._last_role() != role:
            self._add_for(item, role)
        message = self.messages[-1]
        message["content"] = _joined(message["content"], [block], is_list=True)
        self._takes_message = not self._is_sealed

    def _assistant(self, item: Item) -> dict[str, Any]:
        """
        Return the message that a call belongs to.
        """
        if "chat_message" in item or not self._takes_calls or self._last_role() != "assistant":
            self._add_for(item)
        self._takes_content = self._takes_message = False
        message: dict[str, Any] = self.messages[-1]
        return message

    def _last_role(self) -> Any:
        return self.messages[-1]["role"] if self.messages else None

    def _write_call(self, item: Item, kind: str) -> None:
        message = self._assistant(item)
        if kind == "custom_tool_call":
            called: dict[str, Any] = {
                "type": "custom",
                "custom": {"name": item.get("name"), "input": item.get("input")},
            }
        else:
            arguments = item.get("arguments", item.get("action"))
            text = arguments if isinstance(arguments, str) else json_text(arguments or {})
            function = {"name": call_name(item), "arguments": text, **dict_of(item.get("function"))}
            if item.get("chat_key") == "function_call":
                message["function_call"] = function
                self._takes_calls = False
                return
            called = {"type": "function", "function": function}
        call_id = {} if is_made(item["call_id"]) else {"id": item["call_id"]}
        message.setdefault("tool_calls", []).append({**call_id, **called, **CHAT.restore("call", item)})

    def _write_output(self, item: Item) -> None:
        extra = CHAT.restore("output", item)
        output = item.get("output")
        content = output if isinstance(output, str) else json_text(output)
        if isinstance(output, list):
            content = _joined(
                None, [part for part in (_write_part(part, False) for part in output) if part is not None]
            )
        role = "function" if item.get("chat_key") == "function" else "tool"
        call_id = {} if role == "function" or is_made(item["call_id"]) else {"tool_call_id": item["call_id"]}
        self._add({"role": role, **call_id, "content": content, **extra})


def _joined(content: Any, parts: list[Any], *, is_list: bool = False) -> Any:
    """
    Return a content with parts after its own; one plain text is a string.
    """
    known = [{"type": "text", "text": content}] if isinstance(content, str) else list_of(content)
    joined = [*known, *parts]
    if not joined:
        return content
    if is_list or len(joined) > 1 or joined[0].keys() != {"type", "text"}:
        return joined
    return joined[0]["text"] or joined


def _write_part(part: Any, is_refusal: bool) -> Any:
    """
    Return a part of an item as a part of a content; None for one that the message has under another key.
    """
    part = dict_of(part)
    text, url = part.get("text"), part.get("image_url")
    if part.get("refusal") is True:
        return None if is_refusal else {"type": "refusal", "refusal": text}
    if isinstance(text, str):
        return {"type": "text", "text": text, **CHAT.restore("part", part)}
    if part.get("type") == IMAGE and isinstance(url, str):
        detail = {"detail": part["detail"]} if part.get("detail") is not None else {}
        return {"type": "image_url", "image_url": {"url": url, **detail}, **CHAT.restore("part", part)}
    return part if part.get("type") == "refusal" else None
