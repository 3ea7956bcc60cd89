"""
The events of a stream of the Responses API, folded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory, define

from rollout.dialects._model import Item
from rollout.dialects._values import dict_of, index_of, list_of, string_of

__all__ = ["ResponsesFold"]

_BEGINNINGS = ("response.created", "response.queued", "response.in_progress")
_ENDS = ("response.completed", "response.incomplete", "response.failed")
# Events about a part of an item, without their last word: the list, the key of the index, the part's type and its key.
_PARTS = {
    "response.output_text": ("content", "content_index", "output_text", "text"),
    "response.refusal": ("content", "content_index", "refusal", "refusal"),
    "response.reasoning_text": ("content", "content_index", "reasoning_text", "text"),
    "response.reasoning_summary_text": ("summary", "summary_index", "summary_text", "text"),
    "response.content_part": ("content", "content_index", "", ""),
    "response.reasoning_summary_part": ("summary", "summary_index", "", ""),
    "response.output_text.annotation": ("content", "content_index", "output_text", ""),
}
# Events about a text of an item.
_TEXTS = {
    "response.function_call_arguments": "arguments",
    "response.mcp_call_arguments": "arguments",
    "response.custom_tool_call_input": "input",
    "response.code_interpreter_call_code": "code",
}
_NO_INDEX = 2**31


@define
class _Pieces:
    """
    A dict with texts and lists that grow.
    """

    fields: dict[str, Any] = Factory(dict)
    texts: dict[str, list[str]] = Factory(dict)
    lists: dict[str, list[Any]] = Factory(dict)

    def set(self, key: str, value: Any) -> None:
        self.texts.pop(key, None)
        self.fields = {**self.fields, key: value}

    def replace(self, fields: dict[str, Any]) -> None:
        self.texts.clear()
        self.lists.clear()
        self.fields = fields

    def build(self) -> dict[str, Any]:
        texts = {key: string_of(self.fields.get(key)) + "".join(pieces) for key, pieces in self.texts.items()}
        lists = {key: [*list_of(self.fields.get(key)), *added] for key, added in self.lists.items()}
        return {**self.fields, **texts, **lists}


@define
class _OpenItem:
    """
    An item that grows, with its parts by the name of their list and their index.
    """

    item: _Pieces = Factory(_Pieces)
    parts: dict[tuple[str, int], _Pieces] = Factory(dict)

    def replace(self, item: dict[str, Any]) -> None:
        self.item.replace(item)
        self.parts.clear()

    def part(self, key: str, index: int, kind: str) -> _Pieces:
        if (key, index) not in self.parts:
            known = list_of(self.item.fields.get(key))[index : index + 1]
            fields = dict_of(known[0]) if known else {}
            self.parts[key, index] = _Pieces(fields or ({"type": kind} if kind else {}))
        return self.parts[key, index]

    def build(self) -> Item:
        built = self.item.build()
        for key in dict.fromkeys(key for key, _ in self.parts):
            grown = {index: part.build() for (name, index), part in self.parts.items() if name == key}
            known = dict(enumerate(list_of(built.get(key))))
            built[key] = [part for _, part in sorted({**known, **grown}.items(), key=_index)]
        return built


def _index(entry: tuple[int, Any]) -> int:
    return entry[0]


@define
class ResponsesFold:
    """
    A stream of the Responses API on its way to a response.
    """

    _response: dict[str, Any] | None = None
    _items: dict[int | str, _OpenItem] = Factory(dict)
    _error: Any = None
    _is_complete: bool = False

    def add(self, event: Mapping[str, Any]) -> None:
        """
        Add the next event.
        """
        event = dict_of(event)
        kind = string_of(event.get("type"))
        if kind in _BEGINNINGS or kind in _ENDS:
            self._response = {**(self._response or {}), **dict_of(event.get("response"))}
            self._is_complete = self._is_complete or kind in _ENDS
        elif kind == "error":
            stated = event.get("error") or {key: event.get(key) for key in ("code", "message", "param")}
            self._error, self._is_complete = stated, True
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._item(event).replace(dict_of(event.get("item")))
        else:
            self._add_detail(event, *kind.rpartition(".")[::2])

    def _add_detail(self, event: dict[str, Any], subject: str, action: str) -> None:
        if subject in _TEXTS:
            self._set_or_add(self._item(event).item, _TEXTS[subject], event, action)
        elif subject in _PARTS:
            key, index_key, kind, text_key = _PARTS[subject]
            part = self._item(event).part(key, index_of(event.get(index_key)) or 0, kind)
            if text_key:
                self._set_or_add(part, text_key, event, action)
            elif subject == "response.output_text.annotation":
                part.lists.setdefault("annotations", []).append(event.get("annotation"))
            else:
                part.replace(dict_of(event.get("part")))

    def _set_or_add(self, owner: _Pieces, key: str, event: dict[str, Any], action: str) -> None:
        if action == "delta":
            owner.texts.setdefault(key, []).append(string_of(event.get("delta")))
        elif isinstance(event.get(key), str):
            owner.set(key, event[key])

    def _item(self, event: dict[str, Any]) -> _OpenItem:
        index = index_of(event.get("output_index"))
        return self._items.setdefault(string_of(event.get("item_id")) if index is None else index, _OpenItem())

    @property
    def body(self) -> Item | None:
        """
        The response so far.
        """
        if self._response is None and not self._items and self._error is None:
            return None
        body = dict(self._response or {"object": "response", "status": "in_progress"})
        # The backend of ChatGPT ends a stream with a response whose output is empty.
        if self._items and not (self._is_complete and body.get("output")):
            order = sorted(self._items, key=lambda place: place if isinstance(place, int) else _NO_INDEX)
            body["output"] = [self._items[place].build() for place in order]
        if self._error is not None:
            body.update(error=self._error, status="failed")
        return body

    @property
    def is_complete(self) -> bool:
        """
        Whether the response ended, also with an error.
        """
        return self._is_complete
