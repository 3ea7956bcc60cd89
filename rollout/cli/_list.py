"""
``list`` and ``path``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rollout._text import count_text, one_line, pluralize, short_age_text, size_text, to_local, utc_timestamp
from rollout.cli._exit_status import DONE, NOT_FOUND
from rollout.cli._options import SESSION, SHORT_ID, filter_options, format_options, home_option, pop_filters, pop_format
from rollout.cli._output import cell_text, info, is_terminal, path_text, print_out, print_rows, print_table
from rollout.home import folder_name, home_folder
from rollout.overview import COUNTED_SIZE, add_counts, is_filtered, matching_sessions
from rollout.sessions import AGENTS, AgentsShown, Cursor, SessionInfo, list_sessions
from rollout.store import find

if TYPE_CHECKING:
    from rollout.search import Order

__all__ = ["list_command", "path_command"]

_COLUMNS = (
    *(("session", "left"), ("age", "right"), ("about", "wide"), ("folder", "left"), ("branch", "left")),
    *(("agents", "right"), ("turns", "right"), ("tokens", "right"), ("size", "right"), ("state", "left")),
)
# Columns that are left out on a narrow terminal, in this order.
_OPTIONAL = ("size", "branch", "tokens", "turns", "folder", "agents")
# Maximum number of characters of the text about a session, and of a folder or branch.
_WORDS_MAX, _NAME_MAX = 200, 24


@click.command("list")
@format_options
@click.option("--all", "everything", is_flag=True, help="All sessions, without a limit.")
@click.option("--archived", is_flag=True, help="Only archived sessions.")
@click.option(
    "--sort", type=click.Choice(["created", "updated"]), default="created", help="Sort by this time, newest first."
)
@click.option(
    "--agents",
    type=click.Choice(AGENTS),
    default="fold",
    show_default=True,
    help="Sub-agents: only those whose own session is not on the list, all, none, or only sub-agents.",
)
@click.option("--cursor", help="Continue after this cursor: next_cursor of the previous page.")
@click.option("-n", "count", type=click.IntRange(1), default=25, show_default=True, help="Maximum number of sessions.")
@filter_options
@home_option
def list_command(
    home: str | None, count: int, cursor: str | None, sort: Order, archived: bool, everything: bool,
    agents: AgentsShown, **options: Any,
) -> int:  # fmt: skip
    """
    List sessions, newest first. Other commands accept the numbers @1, @2 and so on of this list.

    Without options, only the files of the listed sessions are opened. Filters and --sort updated use the index (see
    `rollout index`); without an index, they read the beginning of every file.

    Sub-agents are counted at the session that has started them. They are only listed if this session is not.

    Fields: id, name, title, preview, path, started, updated, updated_by_file, cwd, branch, repository, model,
    originator, source, turns, tokens, size, state (live, archived, damaged, ok), problem, parent_id, role, nickname,
    agents.

    \b
    Examples:
      rollout list
      rollout list --since 2d --cwd .
      rollout list --all --jsonl --fields id,tokens
    """
    form = pop_format(options)
    folder = home_folder(home).absolute()
    filters = pop_filters(options, archived=archived)
    has_filters = is_filtered(filters)
    next_cursor: Cursor | None = None
    sessions: Iterator[SessionInfo]
    # Only this list is in the order to which numbers such as @2 refer.
    is_numbered = not (has_filters or archived or cursor or sort == "updated" or agents != "fold")
    if sort == "updated" or has_filters:
        if cursor:
            raise click.UsageError("--cursor cannot be combined with filters or --sort updated.")
        sessions = matching_sessions(folder, filters, sort, agents)
    elif everything:
        sessions = add_counts(folder, _all_sessions(folder, cursor, archived, agents))
    else:
        page = list_sessions(home=folder, page_size=count, cursor=cursor, archived=archived, agents=agents)
        next_cursor = page.next_cursor
        sessions = add_counts(folder, page.items)
    uncounted: list[str] = []

    def row_of(session: SessionInfo) -> dict[str, Any]:
        if session.turns is None and session.problem is None and session.size > COUNTED_SIZE:
            uncounted.append(session.session_id)
        return _row(session)

    rows = map(row_of, islice(sessions, None if everything else count))
    page_end = None if next_cursor is None else str(next_cursor)
    is_found = print_rows(
        rows, "sessions", form, lambda found: _print_list(found, is_numbered=is_numbered), next_cursor=page_end
    )
    if not is_found:
        info(f"no session in {folder} matches" if has_filters else f"no sessions in {folder}")
    elif next_cursor is not None:
        info(f"there are more sessions; use --cursor '{next_cursor}', -n or --all")
    elif next(sessions, None) is not None:
        info("there are more sessions; use -n or --all")
    if uncounted:
        large = f"{pluralize(len(uncounted), 'session')} above {size_text(COUNTED_SIZE)}"
        info(f"the turns and tokens of {large} are not counted; `rollout index` counts them")
    return DONE if is_found else NOT_FOUND


def _all_sessions(home: Path, cursor: str | None, archived: bool, agents: AgentsShown) -> Iterator[SessionInfo]:
    after: Cursor | str | None = cursor
    while True:
        page = list_sessions(home=home, page_size=200, cursor=after, archived=archived, agents=agents)
        yield from page.items
        if page.next_cursor is None:
            return
        after = page.next_cursor


def _row(session: SessionInfo) -> dict[str, Any]:
    facts = session.facts
    return {
        "id": session.session_id,
        "name": session.name,
        "title": facts.title,
        "preview": facts.preview,
        "path": os.fspath(session.path),
        "started": utc_timestamp(session.started_at),
        "updated": utc_timestamp(session.updated_at),
        "updated_by_file": session.is_updated_by_file,
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
        "parent_id": facts.parent_id,
        "role": facts.role,
        "nickname": facts.nickname,
        "agents": session.agents,
    }


def _print_list(rows: list[dict[str, Any]], *, is_numbered: bool) -> None:
    if not is_terminal():
        # For programs: times are absolute.
        names = ("id", "updated", "name", "title", "cwd", "branch", "turns", "tokens", "size", "state", "agents")
        local = ({**row, "updated": _local_timestamp(row["updated"])} for row in rows)
        print_table([(name, "left") for name in names], ([cell_text(row[name]) for name in names] for row in local))
        return
    cells = (_cells(f"@{number}" if is_numbered else row["id"][:SHORT_ID], row) for number, row in enumerate(rows, 1))
    print_table(_COLUMNS, cells, optional=_OPTIONAL)


def _local_timestamp(timestamp: str | None) -> str | None:
    local = to_local(timestamp)
    return None if local is None else local.isoformat()


def _cells(session: str, row: dict[str, Any]) -> list[str]:
    updated = to_local(row["updated"])
    words = row["name"] or row["title"] or row["problem"] or ""
    return [
        session,
        short_age_text(updated, datetime.now(timezone.utc)),
        one_line(words)[:_WORDS_MAX],
        one_line(folder_name(row["cwd"] or ""))[:_NAME_MAX],
        one_line(row["branch"] or "")[:_NAME_MAX],
        f"{row['agents']:,}" if row["agents"] else "",
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
    Print the path of a SESSION's file.

    \b
    Example:
      less "$(rollout path @last)"
    """
    path = find(session, home=home)
    path.stat()
    print_out(path_text(path))
    return DONE
