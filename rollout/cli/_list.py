"""
``list`` and ``path``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import define

from rollout._facts import Facts
from rollout._lock import sessions_held
from rollout.cli._options import SESSION, SHORT_ID, as_form, filter_options, filters_from, format_options, home_option
from rollout.cli._output import (
    age,
    cell,
    count_text,
    emit,
    hint,
    is_terminal,
    one_line,
    path_text,
    say,
    size_text,
    table,
)
from rollout.layout import home_folder
from rollout.listing import Cursor, SessionSummary, list_sessions
from rollout.store import find, session_names

if TYPE_CHECKING:
    from rollout.search import IndexedSession

__all__ = ["list_command", "path_command"]

_COLUMNS = (
    *(("session", "left"), ("age", "right"), ("about", "wide"), ("folder", "left"), ("branch", "left")),
    *(("turns", "right"), ("tokens", "right"), ("size", "right"), ("state", "left")),
)
_SPARE = ("size", "branch", "tokens", "turns", "folder")
# Bytes of a file whose turns are counted without an index; 25 of them take 20 ms.
_COUNTED_SIZE = 256 * 2**10
_WORDS, _SHORT = 200, 24


@define
class _Listed:
    """
    A session on the list, wherever what is known of it comes from.
    """

    path: Path
    session_id: str
    timestamp: str
    updated_at: datetime | None
    size: int
    facts: Facts
    turns: int | None
    tokens: int | None
    problem: str | None
    is_archived: bool


@click.command("list")
@format_options
@click.option("--all", "everything", is_flag=True, help="All sessions, not only the first.")
@click.option("--archived", is_flag=True, help="Archived sessions instead.")
@click.option("--sort", type=click.Choice(["created", "updated"]), default="created", help="By what, newest first.")
@click.option("--cursor", help="Go on behind this one: what the last page gave as next_cursor.")
@click.option("-n", "count", type=click.IntRange(1), default=25, show_default=True, help="How many.")
@filter_options
@home_option
def list_command(
    home: str | None, count: int, cursor: str | None, sort: str, archived: bool, everything: bool, **options: Any
) -> int:
    """
    List sessions, newest first: those of @1, @2 and so on, by which other commands can be told which is meant.

    Without options only the files on the list are opened. Filters and --sort updated use the index, if there is one
    (see rollout index), and else read the beginning of every file.

    Fields: id, name, preview, path, started, updated, cwd, branch, repository, model, originator, source, turns,
    tokens, size, state (live, archived, damaged, ok), problem.

    \b
    Examples:
      rollout list
      rollout list --since 2d --cwd .
      rollout list --all --jsonl --fields id,tokens
    """
    form = as_form(options)
    folder = home_folder(home).absolute()
    filters = filters_from(options, archived=archived)
    is_filtered = filters.is_of_facts or filters.since is not None or filters.until is not None
    next_cursor: Cursor | None = None
    sessions: Iterator[_Listed]
    # What is numbered is what @2 means.
    is_numbered = not (is_filtered or archived or cursor or sort == "updated")
    if sort == "updated" or is_filtered:
        if cursor:
            raise click.UsageError("--cursor goes with none of the filters, nor with --sort updated.")
        from rollout.search import indexed_sessions  # noqa: PLC0415 -- 15 ms, which a plain list does not need

        sessions = map(_of_index, indexed_sessions(home=folder, filters=filters, order=sort))  # type: ignore[arg-type]
    elif everything:
        sessions = _all_pages(folder, cursor, archived)
    else:
        page = list_sessions(home=folder, page_size=count, cursor=cursor, archived=archived)
        next_cursor = page.next_cursor
        sessions = _counted(folder, page.items)
    names, live = session_names(home=folder), sessions_held(folder)
    rows = (_row(session, names, live) for session in islice(sessions, None if everything else count))
    page_end = None if next_cursor is None else str(next_cursor)
    is_found = emit(rows, "sessions", form, lambda found: _show(found, is_numbered=is_numbered), next_cursor=page_end)
    if not is_found:
        hint(f"no session of {folder} fits" if is_filtered else f"no sessions in {folder}")
    elif next_cursor is not None:
        hint(f"there are more: --cursor '{next_cursor}', -n or --all")
    elif next(sessions, None) is not None:
        hint("there are more: -n or --all")
    return 0 if is_found else 1


def _all_pages(home: Path, cursor: str | None, archived: bool) -> Iterator[_Listed]:
    after: Cursor | str | None = cursor
    while True:
        page = list_sessions(home=home, page_size=200, cursor=after, archived=archived)
        yield from _counted(home, page.items)
        if page.next_cursor is None:
            return
        after = page.next_cursor


def _counted(home: Path, summaries: Iterable[SessionSummary]) -> Iterator[_Listed]:
    """
    Add what only reading them wholly can say: of small files at once, of large ones by the index.
    """
    summaries = list(summaries)
    rows = _rows_of([item for item in summaries if item.size > _COUNTED_SIZE], home)
    for item in summaries:
        turns, tokens, problem = rows.get(item.path) or (None, None, None)
        if item.size <= _COUNTED_SIZE and item.problem is None:
            turns, tokens = _count(item.path)
        yield _Listed(
            item.path, item.session_id, item.timestamp, item.updated_at, item.size, item.facts, turns, tokens,
            item.problem or problem, item.is_archived,
        )  # fmt: skip


def _rows_of(summaries: list[SessionSummary], home: Path) -> dict[Path, tuple[int, int, str | None]]:
    if not summaries:
        return {}
    from rollout.search import Index  # noqa: PLC0415 -- as above

    index = None
    with suppress(ModuleNotFoundError):
        index = Index.open(home)
    if index is None:
        return {}
    named = {item.path.name.removesuffix(".zst"): item for item in summaries}
    with index:
        rows = list(index.rows(f"name IN ({', '.join('?' * len(named))})", *named))
    return {
        named[row.name].path: (row.turns, row.tokens, row.problem) for row in rows if row.size == named[row.name].size
    }


def _count(path: Path) -> tuple[int | None, int | None]:
    from rollout.stats import session_stats  # noqa: PLC0415 -- as above

    try:
        stats = session_stats(path)
    except (OSError, ImportError):
        return None, None
    return stats.turns, stats.tokens.total_tokens


def _of_index(session: IndexedSession) -> _Listed:
    return _Listed(
        session.path, session.session_id, session.timestamp, session.updated_at, session.size, session.facts,
        session.turns, session.tokens, session.problem, session.is_archived,
    )  # fmt: skip


def _row(session: _Listed, names: dict[str, str], live: set[str]) -> dict[str, Any]:
    facts = session.facts
    is_live = session.session_id in live
    # What a writer is about to complete is not damaged.
    state = "live" if is_live else "damaged" if session.problem else "archived" if session.is_archived else "ok"
    return {
        "id": session.session_id,
        "name": names.get(session.session_id),
        "preview": facts.preview,
        "path": os.fspath(session.path),
        "started": session.timestamp,
        "updated": session.updated_at and session.updated_at.isoformat(timespec="seconds"),
        "cwd": facts.cwd,
        "branch": facts.branch,
        "repository": facts.repository,
        "model": facts.model,
        "originator": facts.originator,
        "source": facts.source,
        "turns": session.turns,
        "tokens": session.tokens,
        "size": session.size,
        "state": state,
        "problem": session.problem,
    }


def _show(rows: list[dict[str, Any]], *, is_numbered: bool) -> None:
    if not is_terminal():
        # For a program: nothing cut, nothing relative.
        names = ("id", "updated", "name", "preview", "cwd", "branch", "turns", "tokens", "size", "state")
        table([(name, "left") for name in names], ([cell(row[name]) for name in names] for row in rows))
        return
    cells = (_cells(f"@{number}" if is_numbered else row["id"][:SHORT_ID], row) for number, row in enumerate(rows, 1))
    table(_COLUMNS, cells, spare=_SPARE)


def _cells(session: str, row: dict[str, Any]) -> list[str]:
    updated = row["updated"] and datetime.fromisoformat(row["updated"])
    words = row["name"] or row["preview"] or row["problem"] or ""
    return [
        session,
        age(updated),
        one_line(words)[:_WORDS],
        one_line((row["cwd"] or "").rstrip("/").rpartition("/")[2])[:_SHORT],
        one_line(row["branch"] or "")[:_SHORT],
        "" if row["turns"] is None else f"{row['turns']:,}",
        "" if row["tokens"] is None else count_text(row["tokens"]),
        size_text(row["size"]),
        "" if row["state"] == "ok" else row["state"],
    ]


@click.command("path")
@click.argument("session", type=SESSION)
@home_option
def path_command(session: str, home: str | None) -> int:
    """
    Print the file of a SESSION.

    \b
    Example:
      less "$(rollout path @last)"
    """
    path = find(session, home=home)
    path.stat()
    say(path_text(path))
    return 0
