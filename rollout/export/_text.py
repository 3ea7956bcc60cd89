"""
A session as plain text: a transcript with unwrapped lines, in which no character affects a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rollout._text import escape_control_chars, moment_text, one_line, pluralize
from rollout.document import call_facts, turn_facts, usage_facts
from rollout.export._detail import has_outputs, visible_items
from rollout.export._labels import (
    change_text,
    command_text,
    image_text,
    item_label,
    line_notes,
    session_lines,
    truncate_line,
)

if TYPE_CHECKING:
    from rollout.document import Document, Image, Item, Turn
    from rollout.sessions import History

__all__ = ["TextRenderer", "export_text", "first_lines"]

# Maximum average number of characters per line: a single line may be as long as a file.
_LINE_MAX = 500
_TITLE_MAX = 200
# Kinds of items that are truncated, as outputs are.
_TRUNCATED_KINDS = ("context", "other")
_BOXES = {"completed": "[x]", "in_progress": "[>]"}


def export_text(history: History, *, detail: str = "full") -> Iterator[str]:
    """
    Return a session as plain text, in pieces.

    Args:
        history: The session.
        detail: One of `rollout.export.DETAILS`.

    Raises:
        ValueError: The level of detail is unknown.
    """
    has_outputs(detail)
    return _pieces(history.document(), detail)


def _pieces(document: Document, detail: str) -> Iterator[str]:
    renderer = TextRenderer()
    yield renderer.heading(document)
    for turn in document.turns:
        yield renderer.turn(turn)
        for item in visible_items(turn, detail)[0]:
            yield renderer.item(item)
            if has_outputs(detail):
                yield renderer.output(item)
    yield renderer.ending(document, detail)


def first_lines(text: str, count: int | None) -> tuple[str, str]:
    """
    Return the first lines of a text and a note about the rest. If *count* is None, return all lines; the note is empty
    if nothing is left out.
    """
    text = text.rstrip("\n")
    if count is None:
        return text, ""
    lines = text.split("\n")
    shown = "\n".join(lines[:count])
    if len(shown) > count * _LINE_MAX:
        return shown[: count * _LINE_MAX], f"... {len(text) - count * _LINE_MAX:,} more characters (--full)"
    more = len(lines) - count
    return shown, f"... {pluralize(more, 'more line')} (--full)" if more > 0 else ""


class TextRenderer:
    """
    Renderer of the parts of a session as plain text. Each part ends with an empty line, or is empty.

    Args:
        output_lines: The number of lines of an output to show; None for all.
    """

    def __init__(self, output_lines: int | None = None) -> None:
        self._output_lines = output_lines

    def heading(self, document: Document) -> str:
        """
        Return the title of a session and the facts about it.
        """
        facts = [*session_lines(document)]
        width = max(len(name) for name, _ in facts) + 2
        title = [truncate_line(document.title, _TITLE_MAX), ""] if document.title != document.session_id else []
        return _block(*title, *(f"{name:{width}}{text}" for name, text in facts))

    def turn(self, turn: Turn, *, is_over: bool = True) -> str:
        """
        Return the rule above a turn; empty for turn 0.
        """
        texts = filter(None, [moment_text(turn.started_at), *turn_facts(turn, is_over=is_over)])
        return _block(f"== turn {turn.number}  {'  '.join(texts)}") if turn.number else ""

    def turn_end(self, turn: Turn) -> str:
        """
        Return the rule below a turn whose outcome was unknown when its first rule was shown.
        """
        return _block(f"== turn {turn.number} ended  {'  '.join(turn_facts(turn))}") if turn.number else ""

    def item(self, item: Item) -> str:
        """
        Return an item; for a call, its input without its output.
        """
        title = "  ".join(filter(None, [item_label(item), moment_text(item.timestamp)]))
        if item.kind == "unreadable":
            title = f"{title}  line {item.key}"
        if item.plan:
            note = [item.text] if item.text else []
            steps = [f"{_BOXES.get(step.status, '[ ]')} {one_line(step.text)}" for step in item.plan]
            return _block(title, *map(escape_control_chars, note), *steps)
        if item.call is None:
            text, more = first_lines(item.text, self._output_lines if item.kind in _TRUNCATED_KINDS else None)
            return _block(title, *_texts(text), *([more] if more else []), *_images(item.images))
        lines = [title, *_texts(command_text(item.call))]
        for change in item.call.changes:
            lines += [change_text(change), *_texts(change.diff)]
        return _block(*lines)

    def output(self, item: Item) -> str:
        """
        Return the output of a call; empty for other items, and while there is no output.
        """
        call = item.call
        if call is None or call.output is None:
            return ""
        failed = " failed" if call.is_failed else ""
        title = "  ".join([f"output {one_line(call.tool)}{failed}", *call_facts(call)])
        text, more = first_lines(escape_control_chars(call.output), self._output_lines)
        lines = [text] if text else []
        lines += [more] if more else []
        return _block(title, *lines, *_images(call.images))

    def ending(self, document: Document, detail: str = "full") -> str:
        """
        Return the resources that a session used, and the notes about its lines.
        """
        return "".join(f"{note}\n" for note in (", ".join(usage_facts(document.stats)), *line_notes(document, detail)))


def _block(*lines: str) -> str:
    return "".join(f"{line}\n" for line in (*lines, ""))


def _texts(text: str) -> list[str]:
    return [escape_control_chars(text).rstrip("\n")] if text.strip() else []


def _images(images: tuple[Image, ...]) -> list[str]:
    return [f"[image: {image_text(image)}]" for image in images]
