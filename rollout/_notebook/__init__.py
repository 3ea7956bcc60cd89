"""
What a notebook shows of sessions: HTML, and plain text where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rollout._facts import Facts
from rollout._notebook._html import (
    SIZE_MAX,
    cut_line,
    facts_list,
    note,
    page,
    table,
    turn_facts,
    turn_title,
    turns_list,
)
from rollout._units import age_text, counted, duration_text, moment_text, size_text
from rollout._walk import Problem

if TYPE_CHECKING:
    from rollout._commands import Stats
    from rollout.document import Document, Turn

__all__ = ["Listed", "history_bundle", "page_bundle", "recorder_bundle", "summary_bundle"]

# Of many turns, the first and the last.
_FIRST_TURNS, _LAST_TURNS = 20, 80
_ROWS_MAX = 200
# Bytes for style and facts.
_HEAD_SIZE = 40_000
_COLUMNS = ("first words", "folder", "branch", "changed", "size", "")
_AGE, _SIZE = 3, 4


class Listed(Protocol):
    """
    A session as a list has it: what is shown of a `rollout.SessionSummary`.
    """

    @property
    def path(self) -> Path: ...
    @property
    def session_id(self) -> str: ...
    @property
    def timestamp(self) -> str: ...
    @property
    def updated_at(self) -> datetime | None: ...
    @property
    def size(self) -> int: ...
    @property
    def facts(self) -> Facts: ...
    @property
    def preview(self) -> str | None: ...
    @property
    def is_archived(self) -> bool: ...
    @property
    def problem(self) -> str | None: ...


def history_bundle(document: Document) -> dict[str, str]:
    """
    Show a session: its facts, and its turns, which open at a click.
    """
    facts = list(_document_facts(document))
    turns = _shown_of([turn for turn in document.turns if turn.number or turn.items])
    head = facts_list(document.title, facts)
    html = page(head, *turns_list(turns, SIZE_MAX - _HEAD_SIZE))
    rows = [f"{t.number:>4}  {turn_title(t)}  ({turn_facts(t)})" if not isinstance(t, str) else t for t in turns]
    return {"text/plain": "\n".join([*_lines(document.title, facts), *rows]), "text/html": html}


def _shown_of(turns: Sequence[Turn]) -> list[Turn | str]:
    left_out = len(turns) - _FIRST_TURNS - _LAST_TURNS
    if left_out <= 0:
        return [*turns]
    return [*turns[:_FIRST_TURNS], f"{counted(left_out, 'turn')} not shown here", *turns[-_LAST_TURNS:]]


def _document_facts(document: Document) -> Iterator[tuple[str, str]]:
    meta, git, stats = document.meta, document.meta.git, document.stats
    models = dict.fromkeys(turn.model for turn in document.turns if turn.model)
    calls = sum(tool.calls for tool in stats.tools.values())
    failures = sum(tool.failures for tool in stats.tools.values())
    known: dict[str, list[str | None]] = {
        "session": [document.session_id],
        "began": [moment_text(meta.timestamp) and f"{moment_text(meta.timestamp)} UTC"],
        "folder": [meta.cwd],
        "git": [git.branch, git.repository_url] if git else [],
        "model": [*models],
        "took": [
            duration_text(stats.duration) if stats.duration else "",
            counted(stats.turns, "turn"),
            (counted(calls, "tool call") + (f" ({failures:,} failed)" if failures else "")) if calls else "",
            f"{stats.tokens.total_tokens:,} tokens" if stats.tokens.total_tokens else "",
        ],
        "file": [str(document.path), counted(document.line_count, "line")],
        "goes on from": [document.missing_base and f"{document.missing_base}, which is not there"],
    }
    for name, values in known.items():
        # A damaged file may have anything there.
        text = " · ".join(cut_line(value) for value in values if isinstance(value, str) and value)
        if text:
            yield name, text


def page_bundle(items: Sequence[Listed], more: str | None, problems: Sequence[Problem]) -> dict[str, str]:
    """
    Show sessions in a table; *more* is the cursor behind them.
    """
    now = datetime.now(timezone.utc)
    rows = [_row(item, now) for item in items[:_ROWS_MAX]]
    says = [counted(len(items), "session") + (", newest first" if len(items) > 1 else "")]
    says += [f"the first {_ROWS_MAX} are shown"] if len(items) > _ROWS_MAX else []
    says += [f"more behind the cursor {cut_line(more)}"] if more else []
    says += [f"{counted(len(problems), 'problem')}, in Page.problems"] if problems else []
    text = "; ".join(says)
    html = page(table(_COLUMNS, rows, numbers=(_AGE, _SIZE)) if rows else "", note(text))
    lines = [
        f"{age:>8}  {size:>7}  {' · '.join(filter(None, (words, folder, branch, state)))}"
        for words, folder, branch, age, size, state in rows
    ]
    return {"text/plain": "\n".join([*lines, text]), "text/html": html}


def _row(session: Listed, now: datetime) -> tuple[str, str, str, str, str, str]:
    state = ["archived"] if session.is_archived else []
    state += [f"problem: {session.problem}"] if session.problem else []
    return (
        cut_line(session.preview or session.session_id, 100),
        _end(session.facts.cwd or ""),
        cut_line(session.facts.branch or "", 40),
        age_text(session.updated_at, now),
        size_text(session.size),
        cut_line(", ".join(state), 100),
    )


def _end(path: str, size: int = 40) -> str:
    """
    Give the end of a path, which says more than its beginning.
    """
    return cut_line(path if len(path) <= size else f"…{path[1 - size :]}", size * 2)


def summary_bundle(session: Listed) -> dict[str, str]:
    """
    Show one session of a list.
    """
    title, facts = session.preview or session.session_id, list(_summary_facts(session))
    return {"text/plain": "\n".join(_lines(title, facts)), "text/html": page(facts_list(title, facts))}


def _summary_facts(session: Listed) -> Iterator[tuple[str, str]]:
    facts, now = session.facts, datetime.now(timezone.utc)
    changed = session.updated_at.strftime("%Y-%m-%d %H:%M:%S UTC") if session.updated_at else ""
    known: dict[str, list[str | None]] = {
        "session": [session.session_id],
        "began": [moment_text(session.timestamp)],
        "changed": [changed, age_text(session.updated_at, now)],
        "folder": [facts.cwd],
        "git": [facts.branch, facts.repository],
        "model": [facts.model],
        "recorded by": [facts.originator, facts.source],
        "file": [str(session.path), size_text(session.size)],
        "state": ["archived" if session.is_archived else "", session.problem],
    }
    for name, values in known.items():
        text = " · ".join(cut_line(value) for value in values if value)
        if text:
            yield name, text


def _lines(title: str, facts: Iterable[tuple[str, str]]) -> list[str]:
    return [cut_line(title), *(f"{name:<12}  {cut_line(text)}" for name, text in facts)]


def recorder_bundle(path: Path, session_id: str, *, closed: bool, stats: Stats) -> dict[str, str]:
    """
    Show how far a recorder is, at this moment.
    """
    facts = [
        ("session", session_id),
        ("file", str(path)),
        ("written", f"{counted(stats.written_lines, 'line')}, {size_text(stats.written_bytes)}"),
        ("waiting", _waiting(stats)),
        ("error", cut_line(f"{type(stats.last_error).__name__}: {stats.last_error}") if stats.last_error else "none"),
        ("as of", datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")),
    ]
    title = f"Recorder, {'closed' if closed else 'open'}"
    return {"text/plain": "\n".join(_lines(title, facts)), "text/html": page(facts_list(title, facts))}


def _waiting(stats: Stats) -> str:
    if not (stats.queued or stats.pending or stats.waiting_size):
        return "nothing"
    refused = f", {counted(stats.pending, 'line')} that the disk refused" if stats.pending else ""
    return f"{counted(stats.queued, 'call')}{refused}, {size_text(stats.waiting_size)} of memory"
