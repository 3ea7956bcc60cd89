"""
Deltas of Chat Completions, merged: texts grow, objects merge, entries of lists are found by index or id.
"""

from __future__ import annotations

from typing import Any

from attrs import Factory, define

from rollout.dialects._values import string_of

__all__ = ["MergedDict"]

# Texts that come in pieces. Others come whole, and some providers repeat them with every piece.
_GROWING = frozenset(
    {
        *("content", "refusal", "reasoning_content", "reasoning", "arguments", "input", "transcript", "data", "text"),
        *("summary", "thinking"),
    }
)


@define
class _Text:
    pieces: list[str]

    def build(self) -> str:
        return "".join(self.pieces)


@define
class MergedDict:
    """
    An object that grows by deltas.
    """

    _fields: dict[str, Any] = Factory(dict)

    def add(self, delta: dict[str, Any]) -> None:
        """
        Merge a delta.
        """
        for key, value in delta.items():
            known = self._fields.get(key)
            if value is None or (value == "" and known is not None):
                self._fields.setdefault(key, value)
            elif isinstance(known, _MergedList):
                known.add(value if isinstance(value, list) else [{"type": "text", "text": value}])
            elif isinstance(known, MergedDict) and isinstance(value, dict):
                known.add(value)
            elif isinstance(known, _Text) and isinstance(value, str):
                known.pieces.append(value)
            else:
                self._fields[key] = self._begin(key, known, value)

    def _begin(self, key: str, known: Any, value: Any) -> Any:
        if isinstance(value, str) and key in _GROWING:
            return _Text([value])
        if isinstance(value, str) and isinstance(known, str) and known:
            # An id comes once. A name comes whole from most providers, again and again from some, in pieces from few.
            return known if key == "id" else known + value if key == "name" and known != value else value
        if isinstance(value, (dict, list)):
            merged: MergedDict | _MergedList = MergedDict() if isinstance(value, dict) else _MergedList()
            if isinstance(merged, _MergedList) and isinstance(known, _Text):
                merged.add([{"type": "text", "text": known.build()}] if known.pieces != [""] else [])
            merged.add(value)  # type: ignore[arg-type]
            return merged
        return value

    def build(self) -> dict[str, Any]:
        """
        Return the object so far.
        """
        return {key: _built(value) for key, value in self._fields.items()}


@define
class _MergedList:
    _entries: list[Any] = Factory(list)
    _by_index: dict[int, MergedDict] = Factory(dict)
    _heads: dict[int, dict[str, Any]] = Factory(dict)

    def add(self, entries: list[Any]) -> None:
        for entry in entries:
            if not isinstance(entry, dict):
                self._entries.append(entry)
                continue
            known = self._find(entry)
            if known is None:
                known = MergedDict()
                self._entries.append(known)
                self._heads[id(known)] = {}
            head = self._heads[id(known)]
            head.update({key: entry[key] for key in ("id", "type") if entry.get(key)})
            if type(entry.get("index")) is int:
                self._by_index[entry["index"]] = known
            known.add(entry)

    def _find(self, entry: dict[str, Any]) -> MergedDict | None:
        """
        Return the entry that an entry of a delta continues.
        """
        index = entry.get("index")
        last = self._entries[-1] if self._entries else None
        known = self._by_index.get(index) if type(index) is int else last if _continues(entry) else None
        if not isinstance(known, MergedDict):
            return None
        head = self._heads[id(known)]
        # Some providers number all of several calls 0: another id is another call.
        is_other = any(entry.get(key) and head.get(key) and entry[key] != head[key] for key in ("id", "type"))
        return None if is_other else known

    def build(self) -> list[Any]:
        return [_built(entry) for entry in self._entries]


def _continues(entry: dict[str, Any]) -> bool:
    """
    Return whether an entry without an index is a piece: of a call, or of a part with text.
    """
    return "function" in entry or string_of(entry.get("type")) in ("text", "thinking")


def _built(value: Any) -> Any:
    return value.build() if isinstance(value, (_Text, MergedDict, _MergedList)) else value
