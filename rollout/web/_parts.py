"""
A document in parts that a browser can bear, cut between turns where that is possible, and else between items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
from attrs import frozen

from rollout.document import Document, Item, Turn
from rollout.web._forms import number_of

__all__ = ["ITEMS_MAX", "Part", "Place", "line_of", "part_of_line", "part_of_turn", "parts_of"]

ITEMS_MAX = 2000
"""Items of a part; a page of so many takes a browser about a second."""


@frozen
class Part:
    """
    What one page shows of a session.

    Attributes:
        turns: Its turns; the first and the last may have only some of their items.
    """

    turns: tuple[Turn, ...] = ()

    @property
    def numbers(self) -> tuple[int, int]:
        """The numbers of its first and last turn."""
        return (self.turns[0].number, self.turns[-1].number) if self.turns else (0, 0)

    @property
    def first_line(self) -> int:
        """The line of its first item."""
        return next((line_of(item) for turn in self.turns for item in turn.items), 0)


@frozen
class Place:
    """
    What a page that grows has.

    Attributes:
        after: The number of the last line that it has.
        line: The line of its first item.
        turn: The number of its first turn.
    """

    after: int = 0
    line: int = 0
    turn: int = 0

    @classmethod
    def read(cls, sent: Mapping[str, str]) -> Place:
        """Read it from an address."""
        return cls(*(number_of(sent.get(name), 0) for name in ("after", "line", "turn")))


def line_of(item: Item) -> int:
    """
    Give the number of an item's first line; 0 for one that is inherited.
    """
    return number_of(item.key.partition("-")[0], 0)


def parts_of(document: Document) -> list[Part]:
    """
    Give the parts of a document, at least one.
    """
    parts, turns, size = [], list[Turn](), 0
    for turn in document.turns:
        for piece in _pieces(turn):
            if turns and size + len(piece.items) > ITEMS_MAX:
                parts.append(Part(tuple(turns)))
                turns, size = [], 0
            turns.append(piece)
            size += len(piece.items)
    return [*parts, Part(tuple(turns))]


def _pieces(turn: Turn) -> list[Turn]:
    if len(turn.items) <= ITEMS_MAX:
        return [turn]
    starts = range(0, len(turn.items), ITEMS_MAX)
    pieces = [attrs.evolve(turn, items=turn.items[start : start + ITEMS_MAX], others={}) for start in starts]
    # The lines that add nothing stand at the turn's end.
    pieces[-1].others = turn.others
    return pieces


def part_of_turn(parts: Sequence[Part], number: int) -> int | None:
    """
    Give the place of the part where a turn begins; None if there is no such turn.
    """
    return next((place for place, part in enumerate(parts) if any(turn.number == number for turn in part.turns)), None)


def part_of_line(parts: Sequence[Part], key: str) -> int | None:
    """
    Find the place of the part that has a line, by its key; None if there is no such line.
    """
    for place, part in enumerate(parts):
        for turn in part.turns:
            if any(key in item.lines for item in turn.items) or any(key in keys for keys in turn.others.values()):
                return place
    return None
