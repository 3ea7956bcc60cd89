"""
The events of a stream of the Messages API, folded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory, define

from rollout.dialects._model import Item
from rollout.dialects._values import dict_of, index_of, json_value, list_of, other_keys, string_of

__all__ = ["MessagesFold"]

_BLOCK_OF_DELTA = {"thinking_delta": "thinking", "signature_delta": "thinking", "input_json_delta": "tool_use"}


@define
class _Block:
    """
    A content block with texts and lists that grow.
    """

    fields: dict[str, Any]
    texts: dict[str, list[str]] = Factory(dict)
    citations: list[Any] = Factory(list)

    def add(self, delta: dict[str, Any]) -> None:
        kind = string_of(delta.get("type"))
        if kind == "input_json_delta":
            self.texts.setdefault("input", []).append(string_of(delta.get("partial_json")))
        elif kind == "citations_delta":
            self.citations.append(delta.get("citation"))
        elif kind in ("text_delta", "thinking_delta"):
            key = kind.removesuffix("_delta")
            self.texts.setdefault(key, []).append(string_of(delta.get(key)))
        else:
            # A signature, or the content of a compaction: both come whole.
            self.fields = {**self.fields, **other_keys(delta, ("type",))}

    def build(self) -> Item:
        built = dict(self.fields)
        for key, pieces in self.texts.items():
            text = "".join(pieces)
            if key == "input":
                value = json_value(text)
                # Input that was cut off stays as text.
                built[key] = (text or built.get(key)) if value is None else value
            else:
                built[key] = string_of(built.get(key)) + text
        if self.citations:
            built["citations"] = [*list_of(built.get("citations")), *self.citations]
        return built


@define
class MessagesFold:
    """
    A stream of the Messages API on its way to a message.
    """

    _message: dict[str, Any] | None = None
    _blocks: dict[int, _Block] = Factory(dict)
    _last: int = 0
    _error: Any = None
    _is_complete: bool = False

    def add(self, event: Mapping[str, Any]) -> None:
        """
        Add the next event.
        """
        event = dict_of(event)
        kind = string_of(event.get("type"))
        if kind == "message_start":
            self._message = {**dict_of(event.get("message")), **(self._message or {})}
        elif kind == "content_block_start":
            self._last = self._index(event, len(self._blocks))
            self._blocks[self._last] = _Block(dict_of(event.get("content_block")))
        elif kind == "content_block_delta":
            self._last, delta = self._index(event, self._last), dict_of(event.get("delta"))
            if self._last not in self._blocks:
                self._blocks[self._last] = _Block({"type": _BLOCK_OF_DELTA.get(string_of(delta.get("type")), "text")})
            self._blocks[self._last].add(delta)
        elif kind == "message_delta":
            message = self._message or {}
            usage = {**dict_of(message.get("usage")), **other_keys(dict_of(event.get("usage")), ())}
            others = other_keys(event, ("type", "delta", "usage"))
            self._message = {**message, **others, **other_keys(dict_of(event.get("delta")), ()), "usage": usage}
        elif kind == "message_stop":
            self._is_complete = True
        elif kind == "error":
            self._error, self._is_complete = event.get("error") or event, True

    @staticmethod
    def _index(event: dict[str, Any], default: int) -> int:
        index = index_of(event.get("index"))
        return default if index is None else index

    @property
    def body(self) -> Item | None:
        """
        The message so far.
        """
        if self._message is None and not self._blocks and self._error is None and not self._is_complete:
            return None
        started = self._message or {}
        content = [self._blocks[index].build() for index in sorted(self._blocks)] or list_of(started.get("content"))
        body = {"type": "message", "role": "assistant", **started, "content": content}
        return body if self._error is None else {**body, "error": self._error}

    @property
    def is_complete(self) -> bool:
        """
        Whether the message ended, also with an error.
        """
        return self._is_complete
