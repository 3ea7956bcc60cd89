"""
``list`` and ``path``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rollout._listed import Listed, fitting, is_filtered, with_counts
from rollout._units import size_text
from rollout._visible import one_line
from rollout.cli._options import SESSION, SHORT_ID, as_form, filter_options, filters_from, format_options, home_option
from rollout.cli._output import age, cell, count_text, emit, hint, is_terminal, path_text, say, table
from rollout.layout import home_folder
from rollout.listing import Cursor, SessionSummary, list_sessions
from rollout.store import find

if TYPE_CHECKING:
    from rollout.search._sessions import Order

__all__ = ["list_command", "path_command"]

_COLUMNS = (
    *(("session", "left"), ("age", "right"), ("about", "wide"), ("folder", "left"), ("branch", "left")),
    *(("turns", "right"), ("tokens", "right"), ("size", "right"), ("state", "left")),
)
_SPARE = ("size", "branch", "tokens", "turns", "folder")
_WORDS, _SHORT = 200, 24


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
    home: str | None, count: int, cursor: str | None, sort: Order, archived: bool, everything: bool, **options: Any
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
    is_chosen = is_filtered(filters)
    next_cursor: Cursor | None = None
    sessions: Iterator[Listed]
    # What is numbered is what @2 means.
    is_numbered = not (is_chosen or archived or cursor or sort == "updated")
    if sort == "updated" or is_chosen:
        if cursor:
            raise click.UsageError("--cursor goes with none of the filters, nor with --sort updated.")
        sessions = fitting(folder, filters, sort)
    elif everything:
        sessions = with_counts(folder, _all_summaries(folder, cursor, archived))
    else:
        page = list_sessions(home=folder, page_size=count, cursor=cursor, archived=archived)
        next_cursor = page.next_cursor
        sessions = with_counts(folder, page.items)
    rows = map(_row, islice(sessions, None if everything else count))
    page_end = None if next_cursor is None else str(next_cursor)
    is_found = emit(rows, "sessions", form, lambda found: _show(found, is_numbered=is_numbered), next_cursor=page_end)
    if not is_found:
        hint(f"no session of {folder} fits" if is_chosen else f"no sessions in {folder}")
    elif next_cursor is not None:
        hint(f"there are more: --cursor '{next_cursor}', -n or --all")
    elif next(sessions, None) is not None:
        hint("there are more: -n or --all")
    return 0 if is_found else 1


def _all_summaries(home: Path, cursor: str | None, archived: bool) -> Iterator[SessionSummary]:
    after: Cursor | str | None = cursor
    while True:
        page = list_sessions(home=home, page_size=200, cursor=after, archived=archived)
        yield from page.items
        if page.next_cursor is None:
            return
        after = page.next_cursor


def _row(session: Listed) -> dict[str, Any]:
    facts = session.facts
    return {
        "id": session.session_id,
        "name": session.name,
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
        "state": session.state,
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
