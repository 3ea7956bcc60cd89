"""
Items: their builders, and the extra keys in which a dialect keeps what the Responses API has no key for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any

from attrs import Factory, define, frozen

from rollout.dialects._model import Item
from rollout.dialects._values import json_text, json_value, list_of, stable_json, string_of

__all__ = [
    "IMAGE",
    "OTHER_PART",
    "READ_PARTS",
    "CallIds",
    "call_name",
    "Extras",
    "own_block",
    "group_parts",
    "is_made",
    "make_call",
    "make_message",
    "make_output",
]
__all__ += ["make_reasoning", "own_item", "read_output", "text_kind", "text_of"]

IMAGE = "input_image"
OTHER_PART = "responses_part"
"""Key of a text part that stands for a part of another type; its value is that part."""

READ_PARTS = frozenset({"encrypted_content", "input_audio", IMAGE, "input_text", "output_text"})
"""The types of parts that Codex reads."""

_PARTS = frozenset({"input_text", "output_text", IMAGE})
_MADE = "made_"

# Keys that an item of the Responses API has itself, by the kind of item.
_COMMON = frozenset({"type", "id", "status", "choice"})
_NATIVE = {
    "message": _COMMON | {"role", "content", "phase"},
    "call": _COMMON | {"name", "namespace", "arguments", "input", "call_id"},
    "output": _COMMON | {"call_id", "output", "content"},
    "reasoning": _COMMON | {"summary", "content", "encrypted_content"},
    "part": _COMMON | {"text", "image_url", "detail", "annotations", "logprobs"},
}


@frozen
class Extras:
    """
    The extra keys of one dialect: known names directly on the item, all others together under the dialect's prefix.

    Thus the writer of another dialect meets no unknown key.
    """

    prefix: str
    names: frozenset[str]

    def keep(self, kind: str, extra: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return the keys of an item that keep these extra keys.
        """
        if not extra:
            return {}
        direct = self.names - _NATIVE[kind]
        kept = {key: value for key, value in extra.items() if key in direct}
        if len(kept) < len(extra):
            kept[self.prefix] = {key: value for key, value in extra.items() if key not in direct}
        return kept

    def restore(self, kind: str, item: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return the extra keys that an item keeps.
        """
        native = _NATIVE[kind]
        direct = {key: item[key] for key in self.names if key in item and key not in native}
        held = item.get(self.prefix)
        return {**direct, **held} if isinstance(held, dict) else direct


@define
class CallIds:
    """
    Ids of calls that came without one: derived from the call, so that the reply and a later request agree.
    """

    _counts: dict[str, int] = Factory(dict)
    _waiting: dict[str, deque[str]] = Factory(dict)

    def begin(self) -> None:
        """
        Begin the calls of the next message of the model.
        """
        self._counts, self._waiting = {}, {}

    def make(self, name: str, arguments: str) -> str:
        """
        Return the id of a call.

        Args:
            name: Name of the tool.
            arguments: Arguments as JSON text; the order of keys does not count.
        """
        value = json_value(arguments)
        text = f"{name}\0{arguments if value is None else stable_json(value)}"
        digest = _MADE + blake2b(text.encode("utf-8", "replace"), digest_size=9).hexdigest()
        count = self._counts[digest] = self._counts.get(digest, 0) + 1
        call_id = digest if count == 1 else f"{digest}_{count}"
        self._waiting.setdefault(name, deque()).append(call_id)
        return call_id

    def answer(self, name: str) -> str:
        """
        Return the id of the first call of a tool that has no output yet.
        """
        waiting = self._waiting.get(name)
        return waiting.popleft() if waiting else f"{_MADE}{name}"


def is_made(call_id: Any) -> bool:
    """
    Return whether an id is from `CallIds` and not from the provider.
    """
    return string_of(call_id).startswith(_MADE)


def text_kind(role: str) -> str:
    """
    Return the type of a part with text in a message of a role.
    """
    return "output_text" if role == "assistant" else "input_text"


def make_message(role: str, content: str | list[Any], **extra: Any) -> Item:
    """
    Return a message.

    Args:
        role: ``user``, ``assistant``, ``system`` or ``developer``.
        content: Text, or parts in the form of the Responses API.
        extra: Further keys.
    """
    if isinstance(content, str):
        content = [{"type": text_kind(role), "text": content}] if content else []
    return {"type": "message", "role": role, "content": content, **extra}


def make_call(name: str, arguments: Any, call_id: str, **extra: Any) -> Item:
    """
    Return a call of a function.

    Args:
        name: Name of the tool.
        arguments: JSON text, or a value that becomes JSON text.
        call_id: Id that the output refers to.
        extra: Further keys.
    """
    text = arguments if isinstance(arguments, str) else "" if arguments is None else json_text(arguments)
    return {"type": "function_call", "name": name, "arguments": text, "call_id": call_id, **extra}


def call_name(item: Mapping[str, Any]) -> str:
    """
    Return the name of a call's tool; for a call of a built-in tool the first part of its type.
    """
    name = item.get("name")
    return name if isinstance(name, str) else string_of(item.get("type")).removesuffix("_call")


def make_output(call_id: str, output: Any, **extra: Any) -> Item:
    """
    Return the output of a call.

    Args:
        call_id: Id of the call.
        output: Text, parts with text and images, or a value that becomes JSON text.
        extra: Further keys.
    """
    value = output if isinstance(output, (str, list)) else "" if output is None else json_text(output)
    return {"type": "function_call_output", "call_id": call_id, "output": value, **extra}


def make_reasoning(text: str, encrypted_content: str | None = None, **extra: Any) -> Item:
    """
    Return reasoning: its text as a summary, which is the part that Codex shows.
    """
    summary = [{"type": "summary_text", "text": text}] if text else []
    return {"type": "reasoning", "summary": summary, "encrypted_content": encrypted_content, **extra}


def text_of(content: Any) -> str:
    """
    Return the text of a content: a string, or the texts of its parts without a separator.
    """
    if isinstance(content, str):
        return content
    return "".join(_part_text(part) for part in list_of(content))


def _part_text(part: Any) -> str:
    if isinstance(part, dict):
        return string_of(part.get("text")) or string_of(part.get("refusal"))
    return string_of(part)


def own_item(prefix: str, block: Any, role: str) -> Item:
    """
    Return an item of its own for a block that the Responses API has no form for.

    Args:
        prefix: Prefix of the dialect, the first part of the item's type.
        block: Value of the body.
        role: Role of the message that contains it.
    """
    kind = block.get("type") if isinstance(block, dict) else None
    if isinstance(kind, str) and kind not in ("unknown", "message") and block.keys().isdisjoint(_own_keys(prefix)):
        return {**block, "type": f"{prefix}_{kind}", "role": role}
    return {"type": f"{prefix}_unknown", "role": role, "value": block}


def own_block(prefix: str, item: Item) -> Any:
    """
    Return the block of an item that `own_item` returned.
    """
    kind = item["type"].removeprefix(f"{prefix}_")
    if kind == "unknown":
        return item.get("value")
    return {**{key: value for key, value in item.items() if key not in _own_keys(prefix)}, "type": kind}


def _own_keys(prefix: str) -> tuple[str, ...]:
    return "role", "choice", f"{prefix}_message"


def group_parts(role: str, entries: Iterable[Item]) -> list[Item]:
    """
    Return the items of one message: each run of parts with text or images is one message, all else stays.
    """
    items: list[Item] = []
    parts: list[Any] | None = None
    for entry in entries:
        if entry["type"] not in _PARTS:
            parts = None
            items.append(entry)
        elif parts is None:
            parts = [entry]
            items.append(make_message(role, parts))
        else:
            parts.append(entry)
    return items


def read_output(content: Any, read_part: Callable[[Any], Item]) -> tuple[str | list[Any], dict[str, Any]]:
    """
    Return the content of a tool's result as an ``output``, with ``content`` as an extra key where that loses something.

    The output is text, or parts if it has an image: Codex before 0.50 reads no others.

    Args:
        content: Text or blocks.
        read_part: Function that returns a block as a part, or as an item of its own.
    """
    if isinstance(content, str) or content is None:
        return content or "", {}
    if not isinstance(content, list):
        return json_text(content), {"content": content}
    entries = [read_part(block) for block in content]
    parts = [entry for entry in entries if entry["type"] in _PARTS]
    has_image = any(part["type"] == IMAGE for part in parts)
    output = parts if has_image else text_of(parts)
    is_lossless = len(parts) == len(entries) and (
        has_image or (len(parts) == 1 and parts[0].keys() == {"type", "text"})
    )
    return output, {} if is_lossless else {"content": content}
