"""
How much of a text a page holds: what is longer is cut, with a note, and there on demand.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from rollout._units import counted, size_text
from rollout.document import Item
from rollout.export._words import command_text

__all__ = ["FOLD_LINES", "PROSE", "Cut", "cut", "wholes"]

FOLD_LINES = 12
"""An output of more lines is folded."""

PROSE = frozenset(("user", "agent", "reasoning", "plan", "compaction"))
"""Kinds of items whose text is Markdown."""

# Characters and lines; of what is longer so much is shown of its beginning, and of its end.
_PROSE_MAX, _PROSE_LINES = 200_000, 20_000
_BLOCK_MAX, _BLOCK_LINES = 20_000, 200
_TAIL_PART = 3


@frozen
class Cut:
    """
    A text as a page shows it.

    Attributes:
        head: Its beginning, or all of it.
        tail: Its end, if something between is left out.
        note: What is left out; empty if nothing is.
    """

    head: str
    tail: str = ""
    note: str = ""


def cut(text: str, *, is_prose: bool = False) -> Cut:
    """
    Cut a text that is too long for a page. Takes no longer for 10 MB than counting its lines.
    """
    size, lines = _limits(is_prose)
    if not _is_long(text, size, lines):
        return Cut(text)
    tail_size, tail_lines = size // _TAIL_PART, lines // _TAIL_PART
    head = "\n".join(text[: size - tail_size].split("\n")[: lines - tail_lines])
    tail = "\n".join(text[-tail_size:].split("\n")[-tail_lines:])
    left = len(text) - len(head) - len(tail)
    line_count = text.count("\n", len(head), len(text) - len(tail))
    what = size_text(left) if left >= 1000 else counted(left, "character")
    return Cut(head, tail, f"{counted(line_count, 'line')}, {what}" if line_count > 1 else what)


def wholes(item: Item, has_output: bool = True) -> Iterator[tuple[str, str]]:
    """
    Give the texts of an item that a page has only in part, each with the key by which it asks for the whole.
    """
    call = item.call
    output = (call.output or "") if call and has_output else ""
    for key, text, is_prose in (
        (f"{item.key}.text", item.text, item.kind in PROSE),
        (f"{item.key}.input", command_text(call) if call else "", False),
        *((f"{item.key}.diff{n}", change.diff, False) for n, change in enumerate(call.changes if call else ())),
        ((call.output_line or item.key) if call else "", output, False),
    ):
        if _is_long(text, *_limits(is_prose)):
            yield key, text


def _limits(is_prose: bool) -> tuple[int, int]:
    return (_PROSE_MAX, _PROSE_LINES) if is_prose else (_BLOCK_MAX, _BLOCK_LINES)


def _is_long(text: str, size: int, lines: int) -> bool:
    return len(text) > size or text.count("\n") >= lines + 1
