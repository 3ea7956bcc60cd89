"""
The places of the items of a document: of the line that is read, and of items that later lines repeat or complete.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from attrs import define

from rollout.codec import RolloutLine
from rollout.document._model import Item, Turn
from rollout.interpret import Fact, Interpreter, seconds_of
from rollout.stats import StatsCounter

__all__ = ["Placed", "Placement", "Source"]

# Number of lines whose items are remembered: a line repeats one of the last 32.
_REMEMBERED = 64


@define
class Placed:
    """
    An item in the document, and its turn.
    """

    item: Item
    turn: Turn
    began_at: float = 0.0


@define
class Source:
    """
    The reader of the lines of one file: the session's own, or that of the session that it continues.

    Attributes:
        interpreter: Reader of the lines.
        counter: Counter of the lines.
        said: Items by the number of their first line and what they are.
        calls: Items of calls, by the number of the call.
        line_count: Number of lines, with unreadable ones.
    """

    interpreter: Interpreter = attrs.field(factory=Interpreter)
    counter: StatsCounter = attrs.field(init=False)
    said: dict[tuple[int, str], Placed] = attrs.field(factory=dict)
    calls: dict[int, Placed] = attrs.field(factory=dict)
    line_count: int = 0

    def __attrs_post_init__(self) -> None:
        self.counter = StatsCounter(self.interpreter)

    def read(self, line: RolloutLine) -> Sequence[Fact]:
        """
        Read and count the next line, and return its facts.
        """
        self.line_count += 1
        facts = self.interpreter.feed(line)
        self.counter.count(facts)
        return facts

    def find(self, number: int | None, what: str) -> Placed | None:
        """
        Return the item of a kind that begins in a line; None without a number, or if no such item is remembered.
        """
        return None if number is None else self.said.get((number, what))

    def forget(self) -> None:
        """
        Forget the items that no later line can repeat.
        """
        if len(self.said) > 4 * _REMEMBERED:
            first = self.interpreter.count - _REMEMBERED
            self.said = {key: placed for key, placed in self.said.items() if key[0] >= first}


class Placement:
    """
    The place of the line that is read, at which its items are added.

    Attributes:
        key: Key of the line.
        turn: Turn of the line.
        source: Reader of the line.
        is_shown: Whether the line belongs to an item.
    """

    def __init__(self, source: Source) -> None:
        self.key = ""
        self.turn = Turn(0)
        self.source = source
        self.is_shown = False
        self._timestamp: str | None = None
        self._item_count = 0
        self._last_at = 0.0
        self._changed: dict[int, tuple[Turn, dict[str, Item]]] = {}

    def move(self, line: RolloutLine, key: str, turn: Turn, source: Source) -> None:
        """
        Advance to the next line.
        """
        self.key, self.turn, self.source, self._timestamp = key, turn, source, line.timestamp or None
        self.is_shown, self._item_count = False, 0

    def changes(self) -> list[tuple[Turn, list[Item]]]:
        """
        Return the turns that changed since the last call, in order, each with its new and changed items.
        """
        changed = [self._changed[number] for number in sorted(self._changed)]
        self._changed = {}
        return [(turn, list(items.values())) for turn, items in changed]

    def add(self, item: Item, what: str = "") -> Placed:
        """
        Add an item of the line to its turn.

        Args:
            item: The item, without a key.
            what: What a later line may repeat.
        """
        self._item_count += 1
        self.is_shown = True
        item.key = self.key if self._item_count == 1 else f"{self.key}-{self._item_count}"
        item.lines, item.timestamp = [self.key], self._timestamp
        self.append(item, self.turn)
        placed = Placed(item, self.turn, seconds_of(self._timestamp))
        if what:
            self.source.said[self.source.interpreter.count, what] = placed
        return placed

    def repeat(self, placed: Placed) -> None:
        """
        Note that the line contains an item of an earlier line, too.
        """
        self.is_shown = True
        # Lines are added in order, so a line that contains the item twice is the last noted line.
        if placed.item.lines[-1] != self.key:
            placed.item.lines.append(self.key)
        self.mark_changed(placed.turn, placed.item)

    def append(self, item: Item, turn: Turn) -> None:
        """
        Add an item with a key at the end of a turn.
        """
        at = seconds_of(item.timestamp)
        item.gap = round(max(at - self._last_at, 0.0), 3) if at and self._last_at else None
        self._last_at = at or self._last_at
        turn.items.append(item)
        self.mark_changed(turn, item)

    def pass_time(self) -> None:
        """
        Measure the gap before the next item from this line.
        """
        self._last_at = seconds_of(self._timestamp) or self._last_at

    def mark_changed(self, turn: Turn, item: Item | None = None) -> None:
        """
        Note that a turn, or an item in it, has changed.
        """
        _, items = self._changed.setdefault(turn.number, (turn, {}))
        if item is not None:
            items[item.key] = item
