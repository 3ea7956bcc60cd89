"""
A session as Markdown that is readable as a page and in an editor. Recorded text adds no headings to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rollout._text import clock_text, moment_text, pluralize
from rollout.document import call_facts, turn_facts, usage_facts
from rollout.export._detail import has_outputs, visible_items
from rollout.export._labels import (
    change_text,
    command_text,
    image_text,
    line_notes,
    session_lines,
    truncate_line,
)
from rollout.export._markdown_safe import code_block, code_span, escape_markdown, quote, sanitize_markdown

if TYPE_CHECKING:
    from rollout.document import Call, Document, Image, Item, PlanStep, Turn
    from rollout.sessions import History

__all__ = ["export_markdown"]

# Maximum number of characters of a prompt in a heading, and of lines of code that a page does not fold.
_HEADING_MAX, _UNFOLDED_MAX = 80, 30
_AS_CODE = ("id", "folder", "file", "forked from")
_NAMES = {"user": "User", "agent": "Agent", "reasoning": "Reasoning", "plan": "Plan", "compaction": "Compaction"}
_LANGUAGES = ("bash", "javascript", "python", "json", "diff")


def export_markdown(history: History, *, detail: str = "full") -> Iterator[str]:
    """
    Return a session as Markdown, in pieces.

    A heading of level 2 for each turn, of level 3 for each item. Messages are Markdown as recorded, without HTML,
    headings, images and unsafe links; all other text is in code blocks.

    Args:
        history: The session.
        detail: One of `rollout.export.DETAILS`.

    Raises:
        ValueError: The level of detail is unknown.
    """
    has_outputs(detail)
    return _pieces(history.document(), detail)


def _pieces(document: Document, detail: str) -> Iterator[str]:
    yield f"# {escape_markdown(document.title)}\n\n"
    for name, text in session_lines(document):
        yield f"- {name}: {code_span(text) if name in _AS_CODE else escape_markdown(text)}\n"
    yield f"- totals: {', '.join(usage_facts(document.stats))}\n\n"
    for turn in document.turns:
        items, _ = visible_items(turn, detail)
        if items or turn.number:
            yield _turn_heading(turn)
        for item in items:
            for block in _item(item, has_output=has_outputs(detail)):
                yield f"{block}\n\n"
    yield "## About this file\n\n"
    for note in line_notes(document, detail):
        yield f"- {escape_markdown(note)}\n"


def _turn_heading(turn: Turn) -> str:
    if not turn.number:
        return "## Before the first prompt\n\n"
    first_line = (turn.prompt or "").strip().split("\n", 1)[0]
    title = f": {escape_markdown(truncate_line(first_line, _HEADING_MAX))}" if first_line else ""
    texts = filter(None, [moment_text(turn.started_at), *turn_facts(turn)])
    facts = " · ".join(map(escape_markdown, texts))
    return f"## Turn {turn.number}{title}\n\n" + (f"*{facts}*\n\n" if facts else "")


def _item(item: Item, *, has_output: bool) -> Iterator[str]:
    """
    Yield the blocks of an item, its heading first.
    """
    yield f"### {' · '.join(filter(None, [_title(item), escape_markdown(clock_text(item.timestamp))]))}"
    if item.plan:
        yield from _plan(item.text, item.plan)
    elif item.call is not None:
        yield from _call(item.call)
    elif item.kind == "user":
        yield quote(sanitize_markdown(item.text, keeps_breaks=True))
    elif item.kind in ("reasoning", "compaction"):
        yield from filter(str.strip, [item.text and quote(sanitize_markdown(item.text))])
    elif item.kind in ("agent", "plan"):
        yield sanitize_markdown(item.text)
    elif item.text:
        yield _foldable(item.text, "json" if item.kind == "other" else "text")
    yield from map(_image, item.images)
    if item.call is not None and has_output:
        yield from _output(item.call)


def _title(item: Item) -> str:
    if item.call is not None:
        failed = " failed" if item.call.is_failed else ""
        return " · ".join(
            [f"{code_span(item.call.tool) or 'Output'}{failed}", *map(escape_markdown, call_facts(item.call))]
        )
    if item.kind == "unreadable":
        return escape_markdown(f"Line {item.key} could not be read: {item.title}")
    name = _NAMES.get(item.kind, item.kind.capitalize())
    return escape_markdown(f"{name}: {item.title}" if item.title else name)


def _plan(note: str, steps: tuple[PlanStep, ...]) -> Iterator[str]:
    if note.strip():
        yield sanitize_markdown(note)
    lines = []
    for step in steps:
        state = (
            "" if step.status in ("completed", "pending") else f" *({escape_markdown(step.status.replace('_', ' '))})*"
        )
        lines.append(f"- [{'x' if step.status == 'completed' else ' '}] {escape_markdown(step.text)}{state}")
    yield "\n".join(lines)


def _call(call: Call) -> Iterator[str]:
    text = command_text(call)
    if text.strip():
        yield _foldable(text, call.language if call.language in _LANGUAGES else "text")
    for change in call.changes:
        yield f"**{escape_markdown(change_text(change))}**"
        if change.diff.strip():
            yield _foldable(change.diff, "diff")


def _output(call: Call) -> Iterator[str]:
    if call.output is None:
        yield "*no output recorded*"
    elif call.output.strip():
        yield _foldable(call.output, "text", "Output")
    yield from map(_image, call.images)


def _foldable(text: str, language: str, title: str = "") -> str:
    """
    Return a text as a code block, which a page folds if it is long.
    """
    count = text.rstrip("\n").count("\n") + 1
    block = code_block(text, language)
    if count <= _UNFOLDED_MAX:
        return f"{title}:\n\n{block}" if title else block
    return f"<details><summary>{title or 'Text'}, {pluralize(count, 'line')}</summary>\n\n{block}\n\n</details>"


def _image(image: Image) -> str:
    return f"*Image, not embedded:* {code_span(image_text(image))}"
