"""
Texts without markup that all formats share: facts about a session, a turn and a call, and notes about the lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import frozen

from rollout._text import one_line, pluralize, size_text
from rollout.document import session_facts, text_around
from rollout.export._detail import visible_items

if TYPE_CHECKING:
    from rollout.document import Call, Document, FileChange, Image, Item

__all__ = [
    "session_lines",
    "LineCounts",
    "count_lines",
    "change_text",
    "command_text",
    "image_text",
    "item_label",
    "line_notes",
    "truncate_line",
]

# Maximum number of characters: of the source of an image outside the session, and of a fact.
_SOURCE_MAX, _FACT_MAX = 200, 1000


def truncate_line(text: str, size: int) -> str:
    """
    Return the beginning of a text, of at most *size* characters, as one line.
    """
    return one_line(text if len(text) <= size else f"{text[:size]}…")


def session_lines(document: Document) -> Iterator[tuple[str, str]]:
    """
    Yield the facts about a session that are known before its first turn: names with texts of one line.
    """
    for name, values in session_facts(document):
        yield name, "  ".join(truncate_line(value, _FACT_MAX) for value in values)


def change_text(change: FileChange) -> str:
    """
    Return the change of a file as one line: update parser.py (+3 -1).
    """
    added, removed = change.counts
    moved = f" -> {one_line(change.moved_to)}" if change.moved_to else ""
    return f"{one_line(change.kind)} {one_line(change.path)}{moved} (+{added} -{removed})"


def image_text(image: Image) -> str:
    """
    Return a description of an image that is not shown: its type and size, or its address.
    """
    if image.source.startswith("data:"):
        kind, _, content = image.source.partition(",")
        kind = image.media_type or truncate_line(kind.removeprefix("data:").partition(";")[0], _SOURCE_MAX)
        return f"{kind}, {size_text(len(content) * 3 // 4)}"
    return truncate_line(image.source, _SOURCE_MAX)


def item_label(item: Item) -> str:
    """
    Return the kind of an item: user, call shell, notice: rolled back.
    """
    if item.call is not None:
        return one_line(f"{item.kind} {item.call.tool}")
    return one_line(f"{item.kind}: {item.title}" if item.title else item.kind)


@frozen
class LineCounts:
    """
    The numbers of lines of a session that are shown and not shown. Each line is shown, is left out because of the level
    of detail, or has no content for a reader.

    Attributes:
        lines: Lines of the file.
        inherited: Lines of the session that this session continues.
        shown: Of *lines* and *inherited*, those that belong to a shown item.
        unreadable: Of *shown*, those that could not be read; their position and size are shown.
        others: Lines without content for a reader, by kind.
        left_out: Lines whose items are not shown at this level of detail.
        items_left_out: The number of these items.
    """

    lines: int
    inherited: int
    shown: int
    unreadable: int
    others: dict[str, int]
    left_out: int
    items_left_out: int


def count_lines(document: Document, detail: str) -> LineCounts:
    """
    Return the numbers of lines of a session that are shown and not shown at a level of detail.
    """
    keys: set[str] = set()
    all_keys: set[str] = set()
    unreadable = items_left_out = 0
    for turn in document.turns:
        items, count = visible_items(turn, detail)
        items_left_out += count
        keys.update(key for item in items for key in item.lines)
        all_keys.update(key for item in turn.items for key in item.lines)
        unreadable += sum(item.kind == "unreadable" for item in turn.items)
    return LineCounts(
        document.line_count,
        document.inherited_count,
        len(keys),
        unreadable,
        dict(document.others),
        len(all_keys) - len(keys),
        items_left_out,
    )


def line_notes(document: Document, detail: str) -> Iterator[str]:
    """
    Yield sentences about the lines that are shown and not shown, for the end of an export.
    """
    found = count_lines(document, detail)
    inherited = f"; inherited lines: {found.inherited:,}" if found.inherited else ""
    yield f"Lines in the file: {found.lines:,}{inherited}; shown: {found.shown:,}."
    if found.left_out:
        items, lines = pluralize(found.items_left_out, "item"), pluralize(found.left_out, "line")
        yield f"Left out: {items} from {lines} (level of detail: {detail})."
    elif detail == "no-outputs":
        yield "Left out: the outputs of calls (level of detail: no-outputs)."
    if found.others:
        by_kind = ", ".join(f"{one_line(kind)} {count:,}" for kind, count in sorted(found.others.items()))
        yield f"Lines without content to show: {sum(found.others.values()):,} ({by_kind})."
    if found.unreadable:
        yield f"Unreadable lines: {found.unreadable:,}, each marked at its position; see rollout verify."
    if document.missing_base:
        missing = one_line(document.missing_base)
        yield f"The lines inherited from session {missing} are missing: its file was not found."


def command_text(call: Call) -> str:
    """
    Return the input of a call without the patches in it, which are shown as changes.
    """
    return text_around(call.input) if call.changes else call.input
