"""
A document in parts small enough for a browser, split between turns if possible, otherwise between items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
from attrs import frozen

from rollout.document import Document, Item, Turn
from rollout.web._forms import read_number

__all__ = ["ITEMS_MAX", "PagePosition", "Part", "first_line_of", "part_of_line", "part_of_turn", "split_document"]

ITEMS_MAX = 2000
"""Maximum number of items of a part. A browser takes about a second to show them."""


@frozen
class Part:
    """
    The part of a document on one page.

    Attributes:
        turns: Turns of the part. The first and the last may contain only some of their items.
    """

    turns: tuple[Turn, ...] = ()

    @property
    def numbers(self) -> tuple[int, int]:
        """The numbers of the first and the last turn."""
        return (self.turns[0].number, self.turns[-1].number) if self.turns else (0, 0)

    @property
    def first_line(self) -> int:
        """The line number of the first item."""
        return next((first_line_of(item) for turn in self.turns for item in turn.items), 0)


@frozen
class PagePosition:
    """
    The lines and turns that a live page already shows.

    Attributes:
        after: Number of the last line on the page.
        line: Line number of the first item.
        turn: Number of the first turn.
    """

    after: int = 0
    line: int = 0
    turn: int = 0

    @classmethod
    def read(cls, query: Mapping[str, str]) -> PagePosition:
        """Read the position from the query of a URL."""
        return cls(*(read_number(query.get(name), 0) for name in ("after", "line", "turn")))


def first_line_of(item: Item) -> int:
    """
    Return the number of the first line of an item; 0 if the item is inherited.
    """
    return read_number(item.key.partition("-")[0], 0)


def split_document(document: Document) -> list[Part]:
    """
    Return the parts of a document, at least one.
    """
    parts, turns, size = [], list[Turn](), 0
    for turn in document.turns:
        for piece in _split_turn(turn):
            if turns and size + len(piece.items) > ITEMS_MAX:
                parts.append(Part(tuple(turns)))
                turns, size = [], 0
            turns.append(piece)
            size += len(piece.items)
    return [*parts, Part(tuple(turns))]


def _split_turn(turn: Turn) -> list[Turn]:
    if len(turn.items) <= ITEMS_MAX:
        return [turn]
    starts = range(0, len(turn.items), ITEMS_MAX)
    pieces = [attrs.evolve(turn, items=turn.items[start : start + ITEMS_MAX], others={}) for start in starts]
    # A page shows the lines that are not items at the end of the turn.
    pieces[-1].others = turn.others
    return pieces


def part_of_turn(parts: Sequence[Part], number: int) -> int | None:
    """
    Return the index of the part in which a turn begins; None if there is no such turn.
    """
    return next((index for index, part in enumerate(parts) if any(turn.number == number for turn in part.turns)), None)


def part_of_line(parts: Sequence[Part], key: str) -> int | None:
    """
    Return the index of the part that contains a line, given its key; None if there is no such line.
    """
    for index, part in enumerate(parts):
        for turn in part.turns:
            if any(key in item.lines for item in turn.items) or any(key in keys for keys in turn.others.values()):
                return index
    return None
