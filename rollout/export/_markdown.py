"""
A session as Markdown that reads well as a page and in an editor. Its headings are this room's: recorded text has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rollout._units import counted
from rollout.export._detail import has_outputs, shown
from rollout.export._tamed import code_span, escaped, fenced, quoted, tamed
from rollout.export._words import (
    call_facts,
    change_text,
    clock,
    command_text,
    facts,
    image_text,
    notes,
    shortened,
    taken,
    turn_facts,
)

if TYPE_CHECKING:
    from rollout.document import Call, Document, Image, Item, PlanStep, Turn
    from rollout.history import History

__all__ = ["export_markdown"]

# Characters of a prompt in a heading; lines of code above which a page folds it.
_HEADING_MAX, _FOLDED = 80, 30
_AS_CODE = ("id", "folder", "file", "forked from")
_NAMES = {"user": "User", "agent": "Agent", "reasoning": "Reasoning", "plan": "Plan", "compaction": "Compaction"}
_LANGUAGES = ("bash", "python", "json", "diff")


def export_markdown(history: History, *, detail: str = "full") -> Iterator[str]:
    """
    Give a session as Markdown, in pieces.

    A heading of level 2 for each turn, of level 3 for each item. Messages are Markdown as recorded, without HTML,
    headings, images and dangerous links; everything else stands in blocks of code.

    Args:
        history: The session.
        detail: One of `rollout.export.DETAILS`.

    Raises:
        ValueError: There is no such detail.
    """
    has_outputs(detail)
    return _pieces(history.document(), detail)


def _pieces(document: Document, detail: str) -> Iterator[str]:
    yield f"# {escaped(shortened(document.title, _HEADING_MAX))}\n\n"
    for name, text in facts(document):
        yield f"- {name}: {code_span(text) if name in _AS_CODE else escaped(text)}\n"
    yield f"- in all: {', '.join(taken(document.stats))}\n\n"
    for turn in document.turns:
        items, _ = shown(turn, detail)
        if items or turn.number:
            yield _turn_heading(turn)
        for item in items:
            for block in _item(item, has_output=has_outputs(detail)):
                yield f"{block}\n\n"
    yield "## About this file\n\n"
    for note in notes(document, detail):
        yield f"- {escaped(note)}\n"


def _turn_heading(turn: Turn) -> str:
    if not turn.number:
        return "## Before the first turn\n\n"
    first_line = (turn.prompt or "").strip().split("\n", 1)[0]
    title = f": {escaped(shortened(first_line, _HEADING_MAX))}" if first_line else ""
    known = " · ".join(map(escaped, turn_facts(turn)))
    return f"## Turn {turn.number}{title}\n\n" + (f"*{known}*\n\n" if known else "")


def _item(item: Item, *, has_output: bool) -> Iterator[str]:
    """
    Give the blocks of an item, its heading first.
    """
    yield f"### {' · '.join(filter(None, [_title(item), escaped(clock(item.timestamp))]))}"
    if item.plan:
        yield from _plan(item.text, item.plan)
    elif item.call is not None:
        yield from _call(item.call)
    elif item.kind == "user":
        yield quoted(tamed(item.text, keeps_breaks=True))
    elif item.kind in ("reasoning", "compaction"):
        yield from filter(str.strip, [item.text and quoted(tamed(item.text))])
    elif item.kind in ("agent", "plan"):
        yield tamed(item.text)
    elif item.text:
        yield _folded(item.text, "json" if item.kind == "other" else "text")
    yield from map(_image, item.images)
    if item.call is not None and has_output:
        yield from _output(item.call)


def _title(item: Item) -> str:
    if item.call is not None:
        failed = " failed" if item.call.is_failed else ""
        return " · ".join([f"{code_span(item.call.tool) or 'Output'}{failed}", *map(escaped, call_facts(item.call))])
    if item.kind == "unreadable":
        return escaped(f"Line {item.key} could not be read: {item.title}")
    name = _NAMES.get(item.kind, item.kind.capitalize())
    return escaped(f"{name}: {item.title}" if item.title else name)


def _plan(note: str, steps: tuple[PlanStep, ...]) -> Iterator[str]:
    if note.strip():
        yield tamed(note)
    lines = []
    for step in steps:
        state = "" if step.status in ("completed", "pending") else f" *({escaped(step.status.replace('_', ' '))})*"
        lines.append(f"- [{'x' if step.status == 'completed' else ' '}] {escaped(step.text)}{state}")
    yield "\n".join(lines)


def _call(call: Call) -> Iterator[str]:
    text = command_text(call)
    if text.strip():
        yield _folded(text, call.language if call.language in _LANGUAGES else "text")
    for change in call.changes:
        yield f"**{escaped(change_text(change))}**"
        if change.diff.strip():
            yield _folded(change.diff, "diff")


def _output(call: Call) -> Iterator[str]:
    if call.output is None:
        yield "*no output recorded*"
    elif call.output.strip():
        yield _folded(call.output, "text", "Output")
    yield from map(_image, call.images)


def _folded(text: str, language: str, title: str = "") -> str:
    """
    Give a text as code, which a page folds if it is long.
    """
    count = text.rstrip("\n").count("\n") + 1
    block = fenced(text, language)
    if count <= _FOLDED:
        return f"{title}:\n\n{block}" if title else block
    return f"<details><summary>{title or 'Text'}, {counted(count, 'line')}</summary>\n\n{block}\n\n</details>"


def _image(image: Image) -> str:
    return f"*Image, not embedded:* {code_span(image_text(image))}"
