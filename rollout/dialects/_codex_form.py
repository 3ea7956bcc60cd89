"""
Items in the forms of SDKs, put into the form that Codex reads.

Codex 0.36 to 0.169 skips a line with a message whose content is a text, or with a call whose arguments are an object,
and sends neither to the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rollout.codec import encode_json
from rollout.dialects._items import READ_PARTS
from rollout.dialects._paths import dialect_for
from rollout.errors import EncodeError
from rollout.schema import CALL_OUTPUTS, RolloutItem, snapshot

__all__ = ["codex_items", "is_foreign", "unread_reason"]

Item = Mapping[str, Any]

# Parts of messages of Anthropic's Messages and of OpenAI's Chat Completions; a part of both is read in the same way.
_MESSAGES_PARTS = frozenset({
    "document", "image", "redacted_thinking", "server_tool_use", "thinking", "tool_result", "tool_use",
    "web_search_tool_result",
})  # fmt: skip
_CHAT_PARTS = frozenset({"file", "image_url", "text"})
_CHAT_KEYS = ("tool_calls", "function_call", "tool_call_id")
_RESPONSES_PARTS = frozenset({"input_file", "refusal"})
_PARTS = _MESSAGES_PARTS | _CHAT_PARTS | _RESPONSES_PARTS
_CALL_TEXTS = {"function_call": "arguments", "custom_tool_call": "input"}
_OUTPUTS = frozenset(CALL_OUTPUTS.values())


def _is_foreign_message(item: Item) -> bool:
    content = item.get("content")
    if type(content) is str:
        return True
    return _has_unread_part(content)


def _has_unread_part(content: Any) -> bool:
    kinds = map(_kind_of, content) if isinstance(content, (list, tuple)) else ()
    return any(kind is not None and kind not in READ_PARTS for kind in kinds)


def _is_foreign_output(item: Item) -> bool:
    output = item.get("output")
    return not isinstance(output, str) and (not isinstance(output, (list, tuple)) or _has_unread_part(output))


_CHECKS: dict[Any, Callable[[Item], bool]] = {
    "message": _is_foreign_message,
    "custom_tool_call": lambda item: not isinstance(item.get("input"), str),
    **dict.fromkeys(_OUTPUTS, _is_foreign_output),
    **dict.fromkeys(_PARTS, lambda _: True),
}


def is_foreign(item: Item) -> bool:
    """
    Return whether an item with a type has a form that Codex does not read.
    """
    kind = item.get("type")
    # A subclass of str may have methods that raise.
    if type(kind) is not str:
        return False
    if kind == "message":
        # Nearly every message has one part with a text: 0.2 us less.
        content = item.get("content")
        if type(content) is list and len(content) == 1 and type(content[0]) is dict:
            part = content[0].get("type")
            if type(part) is str and (part == "input_text" or part == "output_text"):
                return False
    elif kind == "function_call":
        return not isinstance(item.get("arguments"), str)
    check = _CHECKS.get(kind)
    return check is not None and check(item)


def unread_reason(item: Item) -> str:
    """
    Return why Codex does not read a response item, which it then does not send to the model; empty if it does.

    Of types of items that are not known here, nothing is said: a later Codex may have them.
    """
    kind = item.get("type")
    if kind == "message":
        content = item.get("content")
        if not isinstance(content, list):
            return f"the content of a message is {'a text' if isinstance(content, str) else 'no list'}, not parts"
        unread = [part for part in content if _kind_of(part) not in READ_PARTS]
        return f"a message has a part of type {_kind_of(unread[0])!r}" if unread else ""
    if not isinstance(kind, str) or not is_foreign(item):
        return ""
    if kind in _PARTS:
        return f"{kind!r} is a part of a message, not an item"
    key = _CALL_TEXTS.get(kind, "output")
    if key == "output" and isinstance(item.get(key), list):
        return f"{key} of {kind} has a part that Codex does not know"
    return f"{key} of {kind} is {type(item.get(key)).__name__}, not a text"


def codex_items(item: Any, default: Callable[[Any], Any] | None = None) -> list[Any]:
    """
    Return the items in Codex's form that an item is; the item itself if it has this form, or no form that is known.

    Args:
        item: Item of the Responses API, message of Chat Completions or Messages, or any other item of a recorder.
        default: Converts values without a JSON form.

    Raises:
        EncodeError: The item is a part of a message, or a call without arguments.
    """
    if isinstance(item, RolloutItem):
        return [item]
    plain = item
    if not isinstance(item, Mapping):
        try:
            plain = snapshot(item, default=default)
        except EncodeError:
            return [item]
    if not isinstance(plain, Mapping) or "payload" in plain:
        return [item]
    kind = plain.get("type")
    if kind is None and isinstance(plain.get("role"), str):
        return _read_message(plain)
    if not isinstance(kind, str) or not is_foreign(plain):
        return [item]
    if kind in _PARTS:
        raise EncodeError(
            "type", f"{kind!r} is a part of a message; record the message, as {{'role': ..., 'content': [...]}}"
        )
    if kind == "message":
        return _read_message(plain)
    if isinstance(plain.get("output"), (list, tuple)):
        return _read("/responses", "input", {**plain, "output": [*plain["output"]]})
    return [_with_text(plain, kind, default)]


def _read_message(message: Item) -> list[Any]:
    content = message.get("content")
    kinds = {_kind_of(part) for part in content} if isinstance(content, (list, tuple)) else set()
    path, key = "/responses", "input"
    if kinds & _MESSAGES_PARTS:
        path, key = "/messages", "messages"
    elif kinds & _CHAT_PARTS or any(name in message for name in _CHAT_KEYS):
        path, key = "/chat/completions", "messages"
    # Only the Responses API has a type of messages.
    return _read(path, key, {name: value for name, value in message.items() if name != "type"})


def _read(path: str, key: str, item: dict[str, Any]) -> list[Any]:
    dialect = dialect_for(path)
    assert dialect is not None  # noqa: S101 -- these are the paths of the APIs
    return list(dialect.read_request({key: [item]}).items)


def _with_text(item: Item, kind: str, default: Callable[[Any], Any] | None) -> Item:
    key = _CALL_TEXTS.get(kind, "output")
    if item.get(key) is None:
        raise EncodeError(key, f"an item of type {kind!r} needs {key}, a text")
    return {**item, key: encode_json(snapshot(item[key], default=default))}


def _kind_of(part: Any) -> Any:
    kind = part.get("type") if isinstance(part, Mapping) else None
    return kind if isinstance(kind, str) else None
