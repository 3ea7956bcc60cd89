"""
Count the lines of a session by their types, without lines that were copied from another session.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field

from rollout.interpret._parts import dict_of
from rollout.interpret._state import is_number_list

__all__ = ["Tally"]

_WITH_KIND = ("response_item", "event_msg")
_FIELDS = {"lines", "first_at", "last_at"}


@define(eq=False, repr=False)
class Tally:
    """
    The numbers of lines, and their first and last time.

    Attributes:
        counts: Numbers of lines by their type and the type in their payload.
        first_at: Timestamp of the first line that has one.
        last_at: Timestamp of the last line that has one.
    """

    counts: Counter[tuple[str, Any]] = field(factory=Counter)
    first_at: str | None = None
    last_at: str | None = None

    def add(self, kind: str, own: str | None, timestamp: str | None) -> None:
        """
        Add a line, given its type, the type of its payload, and its timestamp.
        """
        self.counts[kind, own] += 1
        if timestamp:
            self.last_at = timestamp
            self.first_at = self.first_at or timestamp

    def add_all(self, counts: Sequence[Mapping[Any, int]], envelopes: Sequence[Mapping[str, Any]]) -> None:
        """
        Add lines.

        Args:
            counts: Numbers of response items and events by the type of the payload, and of other lines by their type.
            envelopes: Keys and values of the lines.
        """
        for kind, of_kind in zip(_WITH_KIND, counts, strict=False):
            for own, count in of_kind.items():
                self.counts[kind, own] += count
        for kind, count in counts[-1].items():
            self.counts[kind, None] += count
        last = next((e["timestamp"] for e in reversed(envelopes) if e["timestamp"]), None)
        self.last_at = last or self.last_at
        if self.first_at is None:
            self.first_at = next((e["timestamp"] for e in envelopes if e["timestamp"]), None)

    def to_plain(self) -> dict[str, Any]:
        """
        Return the state as plain values; the numbers of lines by name: ``turn_context``, ``response_item/message``.
        """
        lines: dict[str, int] = {}
        for (kind, own), count in self.counts.items():
            name = f"{kind}/{own}" if kind in _WITH_KIND and isinstance(own, str) else kind
            lines[name] = lines.get(name, 0) + count
        return {"lines": lines, "first_at": self.first_at, "last_at": self.last_at}

    @classmethod
    def from_plain(cls, plain: Any) -> Tally:
        """
        Return the tally of which `to_plain` returned the state.

        Raises:
            ValueError: The value is not such a state.
        """
        values = dict_of(plain)
        lines, times = values.get("lines"), (values.get("first_at"), values.get("last_at"))
        is_valid = type(lines) is dict and is_number_list([*lines.values()]) and values.keys() == _FIELDS
        if not (is_valid and all(time is None or type(time) is str for time in times)):
            raise ValueError(f"not the state of a session: the lines are {str(plain)[:80]}")
        counts: Counter[tuple[str, Any]] = Counter()
        for name, count in dict_of(lines).items():
            kind, _, own = name.partition("/")
            counts[kind, own or None] = count
        return cls(counts, *times)
