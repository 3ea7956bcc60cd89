"""
What every format says in the same words: facts of a session, of a turn and of a call, and what became of its lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from attrs import frozen

from rollout._units import counted, duration_text, size_text
from rollout._visible import one_line
from rollout.document._patches import text_around
from rollout.export._detail import shown

if TYPE_CHECKING:
    from rollout.document import Call, Document, FileChange, Image, Item, Turn
    from rollout.stats import SessionStats

__all__ = [
    "Account",
    "account",
    "call_facts",
    "change_text",
    "clock",
    "command_text",
    "facts",
    "image_text",
    "label",
    "moment",
    "notes",
    "shortened",
    "taken",
    "turn_facts",
]

# Characters of the source of an image that is not in the session; of a fact.
_SOURCE_MAX, _FACT_MAX = 200, 1000
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)")


def moment(timestamp: str | None) -> str:
    """
    Give a timestamp for a reader, in UTC as it stands there: 2025-11-19 16:20:11. What is none, as it is.
    """
    found = _MOMENT.match(timestamp or "")
    return f"{found[1]} {found[2]}" if found else one_line(timestamp or "")


def clock(timestamp: str | None) -> str:
    """
    Give the time of the day of a timestamp.
    """
    found = _MOMENT.match(timestamp or "")
    return found[2] if found else one_line(timestamp or "")


def shortened(text: str, size: int) -> str:
    """
    Give the beginning of a text, of so many characters at most, as one line.
    """
    return one_line(text if len(text) <= size else f"{text[:size]}…")


def facts(document: Document) -> Iterator[tuple[str, str]]:
    """
    Give what is known of a session before its first turn: names and texts of one line each.
    """
    meta, git = document.meta, document.meta.git
    models = dict.fromkeys(turn.model for turn in document.turns if turn.model)
    of_git = [git.branch, git.commit_hash and str(git.commit_hash)[:10], git.repository_url] if git else []
    known: dict[str, list[Any]] = {
        "id": [document.session_id],
        "began": [moment(meta.timestamp)],
        "folder": [meta.cwd],
        "git": of_git,
        "model": [*models],
        "recorded by": [meta.originator, meta.cli_version],
        "forked from": [meta.forked_from_id],
        "file": [str(document.path)],
    }
    for name, values in known.items():
        # A file that is damaged, or was written by a later Codex, may have anything there.
        text = "  ".join(shortened(value, _FACT_MAX) for value in values if isinstance(value, str) and value)
        if text:
            yield name, text


def taken(stats: SessionStats) -> list[str]:
    """
    Give what a session took: turns, time, calls, tokens.
    """
    calls = sum(tool.calls for tool in stats.tools.values())
    failures = sum(tool.failures for tool in stats.tools.values())
    found = [counted(stats.turns, "turn")]
    found += [duration_text(stats.duration)] if stats.duration else []
    found += [f"{counted(calls, 'call')}{f', {failures:,} failed' if failures else ''}"] if calls else []
    found += [f"{stats.tokens.total_tokens:,} tokens"] if stats.tokens.total_tokens else []
    return found


def turn_facts(turn: Turn, *, is_over: bool = True) -> list[str]:
    """
    Give what is known of a turn beside its number: when, how long, how much, by whom, how it ended.

    Of one that is not over yet, what will not change.
    """
    found = [clock(turn.started_at)]
    if is_over:
        found += [duration_text(turn.duration)] if turn.duration else []
        found += [f"{turn.tokens.total_tokens:,} tokens"] if turn.tokens.total_tokens else []
    found += [one_line(turn.model or "")]
    found += [turn.status] if is_over and turn.status not in (None, "completed") else []
    found += ["rolled back"] if turn.is_rolled_back else []
    found += ["inherited"] if turn.is_inherited else []
    return [text for text in found if text]


def call_facts(call: Call) -> list[str]:
    """
    Give how a call ended: its exit code, or that it failed, how long it took.
    """
    found = [f"exit code {call.exit_code}"] if call.exit_code is not None else []
    found += ["failed"] if call.is_failed and not call.exit_code else []
    taken = call.elapsed if call.duration is None else call.duration
    return [*found, duration_text(taken)] if taken else found


def change_text(change: FileChange) -> str:
    """
    Give what happens to a file: update parser.py (+3 -1).
    """
    added, removed = change.counts
    moved = f" -> {one_line(change.moved_to)}" if change.moved_to else ""
    return f"{one_line(change.kind)} {one_line(change.path)}{moved} (+{added} -{removed})"


def image_text(image: Image) -> str:
    """
    Give what is known of an image that is not shown: its type and size, or where it is.
    """
    if image.source.startswith("data:"):
        kind, _, content = image.source.partition(",")
        kind = image.media_type or shortened(kind.removeprefix("data:").partition(";")[0], _SOURCE_MAX)
        return f"{kind}, {size_text(len(content) * 3 // 4)}"
    return shortened(image.source, _SOURCE_MAX)


def label(item: Item) -> str:
    """
    Give what kind of item it is: user, call shell, notice: rolled back.
    """
    if item.call is not None:
        return one_line(f"{item.kind} {item.call.tool}")
    return one_line(f"{item.kind}: {item.title}" if item.title else item.kind)


@frozen
class Account:
    """
    What became of the lines of a session: each is shown, left out by the level of detail, or adds nothing.

    Attributes:
        lines: Of its file.
        inherited: Of the session that it goes on from.
        shown: Of both, those that say an item which is shown.
        unreadable: Of these, those that could not be read; they are shown by their place and size.
        others: Those that add nothing for a reader, by kind.
        left_out: Those whose items are not shown at this level.
        items_left_out: How many items these are.
    """

    lines: int
    inherited: int
    shown: int
    unreadable: int
    others: dict[str, int]
    left_out: int
    items_left_out: int


def account(document: Document, detail: str) -> Account:
    """
    Count what became of the lines of a session at a level of detail.
    """
    keys: set[str] = set()
    all_keys: set[str] = set()
    unreadable = items_left_out = 0
    for turn in document.turns:
        items, count = shown(turn, detail)
        items_left_out += count
        keys.update(key for item in items for key in item.lines)
        all_keys.update(key for item in turn.items for key in item.lines)
        unreadable += sum(item.kind == "unreadable" for item in turn.items)
    return Account(
        document.line_count,
        document.inherited_count,
        len(keys),
        unreadable,
        dict(document.others),
        len(all_keys) - len(keys),
        items_left_out,
    )


def notes(document: Document, detail: str) -> Iterator[str]:
    """
    Say what became of the lines of a session: one sentence each, for the end of an export.
    """
    found = account(document, detail)
    inherited = f", and {found.inherited:,} of the session that it goes on from" if found.inherited else ""
    yield f"Lines in the file: {found.lines:,}{inherited}; shown: {found.shown:,}."
    if found.left_out:
        items, lines = counted(found.items_left_out, "item"), counted(found.left_out, "line")
        yield f"Left out: {items} of {lines} (detail {detail})."
    elif detail == "no-outputs":
        yield "Left out: the outputs of calls (detail no-outputs)."
    if found.others:
        by_kind = ", ".join(f"{one_line(kind)} {count:,}" for kind, count in sorted(found.others.items()))
        yield f"With nothing for a reader: {counted(sum(found.others.values()), 'line')} ({by_kind})."
    if found.unreadable:
        yield f"Could not be read: {counted(found.unreadable, 'line')}, shown in place. See rollout verify."
    if document.missing_base:
        missing = one_line(document.missing_base)
        yield f"What it has from session {missing} is missing: its file is not there."


def command_text(call: Call) -> str:
    """
    Give what a call was given, without the patch in it, which is shown as the changes that it makes.
    """
    return text_around(call.input) if call.changes else call.input
