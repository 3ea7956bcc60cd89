"""
Truncation of long texts: a page shows their beginning and end with a note, and the full text on demand.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from rollout._text import pluralize, size_text
from rollout.document import Item
from rollout.export._labels import command_text

__all__ = ["FOLD_LINES", "PROSE", "Truncation", "truncate", "truncated_texts"]

FOLD_LINES = 12
"""Lines; a longer output is folded."""

PROSE = frozenset(("user", "agent", "reasoning", "plan", "compaction"))
"""Kinds of items whose text is Markdown."""

# Maximum numbers of characters and lines of a shown text; of a truncated text, a third is its end.
_PROSE_MAX, _PROSE_LINES = 200_000, 20_000
_BLOCK_MAX, _BLOCK_LINES = 20_000, 200
_TAIL_PART = 3


@frozen
class Truncation:
    """
    A text as a page shows it.

    Attributes:
        head: The beginning of the text, or the full text.
        tail: The end of a truncated text.
        note: The size of the omitted part; empty for a full text.
    """

    head: str
    tail: str = ""
    note: str = ""


def truncate(text: str, *, is_prose: bool = False) -> Truncation:
    """
    Return a text, truncated if it is too long for a page. For 10 MB, this takes no longer than counting the lines.
    """
    size, lines = _limits(is_prose)
    if not _is_long(text, size, lines):
        return Truncation(text)
    tail_size, tail_lines = size // _TAIL_PART, lines // _TAIL_PART
    head = "\n".join(text[: size - tail_size].split("\n")[: lines - tail_lines])
    tail = "\n".join(text[-tail_size:].split("\n")[-tail_lines:])
    left = len(text) - len(head) - len(tail)
    line_count = text.count("\n", len(head), len(text) - len(tail))
    what = size_text(left) if left >= 1000 else pluralize(left, "character")
    return Truncation(head, tail, f"{pluralize(line_count, 'line')}, {what}" if line_count > 1 else what)


def truncated_texts(item: Item, has_output: bool = True) -> Iterator[tuple[str, str]]:
    """
    Yield the truncated texts of an item, with the key by which the page's script requests the full text.
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
