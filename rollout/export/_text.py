"""
A session as plain text: a transcript, wrapped by nobody, in which nothing acts on a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rollout._units import counted
from rollout._visible import one_line, visible
from rollout.export._detail import has_outputs, shown
from rollout.export._words import (
    call_facts,
    change_text,
    command_text,
    facts,
    image_text,
    label,
    notes,
    shortened,
    taken,
    turn_facts,
)

if TYPE_CHECKING:
    from rollout.document import Document, Image, Item, Turn
    from rollout.history import History

__all__ = ["TextRenderer", "export_text", "first_lines"]

# Characters of a line, on average: one may be as long as a file.
_LINE_MAX = 500
_TITLE_MAX = 200
# What few read whole, beside outputs.
_CUT = ("context", "other")
_BOXES = {"completed": "[x]", "in_progress": "[>]"}


def export_text(history: History, *, detail: str = "full") -> Iterator[str]:
    """
    Give a session as plain text, in pieces.

    Args:
        history: The session.
        detail: One of `rollout.export.DETAILS`.

    Raises:
        ValueError: There is no such detail.
    """
    has_outputs(detail)
    return _pieces(history.document(), detail)


def _pieces(document: Document, detail: str) -> Iterator[str]:
    renderer = TextRenderer()
    yield renderer.heading(document)
    for turn in document.turns:
        yield renderer.turn(turn)
        for item in shown(turn, detail)[0]:
            yield renderer.item(item)
            if has_outputs(detail):
                yield renderer.output(item)
    yield renderer.ending(document, detail)


def first_lines(text: str, count: int | None) -> tuple[str, str]:
    """
    Give the first lines of a text, all if *count* is None, and a note of what is not shown, if anything is.
    """
    text = text.rstrip("\n")
    if count is None:
        return text, ""
    lines = text.split("\n")
    shown = "\n".join(lines[:count])
    if len(shown) > count * _LINE_MAX:
        return shown[: count * _LINE_MAX], f"... {len(text) - count * _LINE_MAX:,} more characters (--full)"
    more = len(lines) - count
    return shown, f"... {counted(more, 'more line')} (--full)" if more > 0 else ""


class TextRenderer:
    """
    The parts of a session as plain text. Each ends with an empty line, or is empty.

    Args:
        output_lines: How many lines of an output are shown; None for all.
    """

    def __init__(self, output_lines: int | None = None) -> None:
        self._output_lines = output_lines

    def heading(self, document: Document) -> str:
        """
        Give what is known of a session, and what it has taken so far.
        """
        known = [*facts(document)]
        width = max(len(name) for name, _ in known) + 2
        title = [shortened(document.title, _TITLE_MAX), ""] if document.title != document.session_id else []
        return _block(*title, *(f"{name:{width}}{text}" for name, text in known))

    def turn(self, turn: Turn, *, is_over: bool = True) -> str:
        """
        Give the rule above a turn; nothing above what stands before the first.
        """
        return _block(f"== turn {turn.number}  {'  '.join(turn_facts(turn, is_over=is_over))}") if turn.number else ""

    def turn_end(self, turn: Turn) -> str:
        """
        Give the rule below a turn whose end was not known when it began.
        """
        return _block(f"== turn {turn.number} ended  {'  '.join(turn_facts(turn)[1:])}") if turn.number else ""

    def item(self, item: Item) -> str:
        """
        Give an item; of a call what it was given, not its output.
        """
        title = "  ".join(filter(None, [label(item), one_line(item.timestamp or "")]))
        if item.kind == "unreadable":
            title = f"{title}  line {item.key}"
        if item.plan:
            note = [item.text] if item.text else []
            steps = [f"{_BOXES.get(step.status, '[ ]')} {one_line(step.text)}" for step in item.plan]
            return _block(title, *map(visible, note), *steps)
        if item.call is None:
            text, more = first_lines(item.text, self._output_lines if item.kind in _CUT else None)
            return _block(title, *_texts(text), *([more] if more else []), *_images(item.images))
        lines = [title, *_texts(command_text(item.call))]
        for change in item.call.changes:
            lines += [change_text(change), *_texts(change.diff)]
        return _block(*lines)

    def output(self, item: Item) -> str:
        """
        Give what a call answered; nothing of other items, and as long as it has not answered.
        """
        call = item.call
        if call is None or call.output is None:
            return ""
        failed = " failed" if call.is_failed else ""
        title = "  ".join([f"output {one_line(call.tool)}{failed}", *call_facts(call)])
        text, more = first_lines(visible(call.output), self._output_lines)
        lines = [text] if text else []
        lines += [more] if more else []
        return _block(title, *lines, *_images(call.images))

    def ending(self, document: Document, detail: str = "full") -> str:
        """
        Say what a session took, and what became of its lines.
        """
        return "".join(f"{note}\n" for note in (", ".join(taken(document.stats)), *notes(document, detail)))


def _block(*lines: str) -> str:
    return "".join(f"{line}\n" for line in (*lines, ""))


def _texts(text: str) -> list[str]:
    return [visible(text).rstrip("\n")] if text.strip() else []


def _images(images: tuple[Image, ...]) -> list[str]:
    return [f"[image: {image_text(image)}]" for image in images]
