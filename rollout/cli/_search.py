"""
``search`` and ``index``.
"""

from __future__ import annotations

import os
import sqlite3
import time
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import click

from rollout._text import escape_control_chars, one_line, pluralize, size_text
from rollout._version import SCHEMA_VERSION
from rollout.cli._exit_status import DONE, NOT_FOUND
from rollout.cli._options import filter_options, format_options, home_option, json_option, pop_filters, pop_format
from rollout.cli._output import encode, info, is_terminal, print_out, print_rows, print_table, style_text, warn
from rollout.cli._progress import progress
from rollout.home import RolloutName, home_folder
from rollout.interpret import TEXT_KINDS
from rollout.search import (
    Hit,
    Index,
    IndexBusyError,
    SearchResults,
    delete_index,
    find_changes,
    index_path,
    search,
    update_index,
)
from rollout.store import SessionNames, read_names

__all__ = ["index_command", "search_command"]

# Maximum number of bytes of new lines that a search indexes first; more would take over half a minute.
_UPDATE_MAX = 256 * 2**20


@click.command("search")
@format_options
@click.option("--no-index", is_flag=True, help="Read the files, even if there is an index.")
@click.option(
    "-l", "--sessions", "only_sessions", is_flag=True, help="Print the sessions instead of the hits, each once."
)
@click.option("--archived/--live", default=None, help="Only archived sessions, or only sessions that are not archived.")
@click.option("--failed", is_flag=True, help="Only outputs of failed commands.")
@click.option("--tool", help="Only calls and outputs of this tool.")
@click.option("--kind", type=click.Choice(TEXT_KINDS), help="Only text of this kind.")
@click.option("-n", "count", type=click.IntRange(1), default=50, show_default=True, help="Maximum number of hits.")
@click.option("--all", "everything", is_flag=True, help="All hits.")
@filter_options
@home_option
@click.argument("words", nargs=-1)
def search_command(
    words: tuple[str, ...], home: str | None, count: int, everything: bool, only_sessions: bool, no_index: bool,
    **options: Any,
) -> int:  # fmt: skip
    """
    Search messages, commands and outputs for WORDS, newest sessions first.

    All words must occur in the same message, command or output. Also possible: '"a phrase"', prefix*, a OR b. After
    --, -word excludes a word. Case and accents are ignored.

    With an index (see `rollout index`) a search takes milliseconds, and new lines are indexed first. Without an
    index, or with --no-index, the files are read.

    Fields: id, path, offset, timestamp, kind, tool, snippet, matches; with --sessions id, name, path.

    \b
    Examples:
      rollout search parser error
      rollout search '"index out of range"' --since 1w --cwd .
      rollout search --failed --tool exec_command -l
      rollout search --kind user -- parser -test
    """
    form = pop_format(options)
    texts = {name: options.pop(name) for name in ("archived", "failed", "tool", "kind")}
    filters = pop_filters(options, **texts)
    folder = home_folder(home).absolute()
    if not no_index:
        _update_index(folder)
    with progress("reading sessions") as show:
        results = search(
            " ".join(words), home=folder, filters=filters, use_index=not no_index, progress=lambda done: show(done, 0)
        )
        limit = None if everything else count
        paths = list(islice(results.sessions(), limit)) if only_sessions else []
        hits = list(islice(results, limit)) if not only_sessions else []
        results.close()
    names = read_names(folder)
    if only_sessions:
        is_found = print_rows((_session_row(path, names) for path in paths), "sessions", form, _print_sessions)
    else:
        is_found = print_rows(map(_row, hits), "hits", form, lambda _: _print_hits(hits, names))
    _print_notes(results, len(hits or paths) == limit, count)
    return DONE if is_found else NOT_FOUND


def _update_index(home: Any) -> None:
    try:
        index = Index.open(home)
    except ModuleNotFoundError:
        return
    if index is None:
        return
    try:
        with index:
            size = sum(change.unread_size for change in find_changes(index))
        if 0 < size <= _UPDATE_MAX:
            with progress("indexing new lines") as show:
                update_index(home=home, progress=lambda done: show(done.size, done.all_size))
    except (IndexBusyError, OSError, sqlite3.Error) as error:
        info(f"{error}; new lines are read from the files")


def _session_row(path: Path, names: SessionNames) -> dict[str, Any]:
    name = RolloutName.parse(path)
    session_id = name.session_id if name else ""
    return {"id": session_id, "name": names.of_file(path), "path": os.fspath(path)}


def _print_sessions(rows: list[dict[str, Any]]) -> None:
    cells = ([row["id"], one_line(row["name"] or ""), one_line(row["path"])] for row in rows)
    print_table((("session", "left"), ("name", "left"), ("path", "wide")), cells)


def _row(hit: Hit) -> dict[str, Any]:
    return {
        "id": hit.session_id,
        "path": os.fspath(hit.path),
        "offset": hit.offset,
        "timestamp": hit.timestamp,
        "kind": hit.kind,
        "tool": hit.tool,
        "snippet": hit.snippet,
        "matches": [list(match) for match in hit.matches],
    }


def _print_hits(hits: list[Hit], names: SessionNames) -> None:
    if not is_terminal():
        for hit in hits:
            print_out("\t".join([hit.session_id, str(hit.offset), hit.kind, one_line(hit.snippet)]))
        return
    for path, session_hits in groupby(hits, key=lambda hit: hit.path):
        name = RolloutName.parse(path)
        print_out(style_text(one_line(f"{name.session_id if name else ''} {names.of_file(path) or ''}"), fg="magenta"))
        for hit in session_hits:
            where = style_text(f"{hit.offset}:{hit.kind}: ", fg="green")
            print_out(f"  {where}{_highlight_matches(hit)}")


def _highlight_matches(hit: Hit) -> str:
    parts, end = [], 0
    for begin, stop in hit.matches:
        parts += [
            escape_control_chars(hit.snippet[end:begin]),
            style_text(escape_control_chars(hit.snippet[begin:stop]), fg="red", bold=True),
        ]
        end = stop
    return "".join([*parts, escape_control_chars(hit.snippet[end:])])


def _print_notes(results: SearchResults, is_truncated: bool, count: int) -> None:
    for problem in results.problems:
        warn(f"{problem.path}: {problem.reason}")
    if not results.is_indexed:
        info(f"no index; {pluralize(results.scanned, 'session')} read. `rollout index` makes the next search faster.")
    elif results.scanned:
        sessions = pluralize(results.scanned, "session")
        info(f"{sessions} not in the index yet, read from the files. `rollout index` updates the index.")
    if is_truncated:
        info(f"only the first {pluralize(count, 'hit')}; use -n or --all for more")


@click.command("index")
@json_option
@click.option("--status", is_flag=True, help="Print the state of the index; do not update it.")
@click.option("--delete", is_flag=True, help="Delete the index, not the sessions.")
@click.option(
    "--trigram/--words",
    default=None,
    help="Index parts of words, or whole words. An index of parts is 80 times larger and takes 10 times as long.",
)
@click.option("--rebuild", is_flag=True, help="Build the index again from the beginning.")
@home_option
def index_command(home: str | None, rebuild: bool, trigram: bool | None, delete: bool, status: bool, json: bool) -> int:
    """
    Create or update the full-text index of all sessions.

    The index is in the user's cache folder. Its size is about a twentieth of the sessions, and it can be deleted at
    any time. After an interruption, the next run continues.

    \b
    Examples:
      rollout index
      rollout index --status
    """
    folder = home_folder(home).absolute()
    if delete:
        is_deleted = delete_index(home=folder)
        if json:
            _print_missing(index_path(folder))
        else:
            info("the index was deleted" if is_deleted else "there is no index")
        return DONE if is_deleted else NOT_FOUND
    started = time.monotonic()
    update = None
    if not status:
        with progress("indexing") as show:
            update = update_index(
                home=folder, rebuild=rebuild, trigram=trigram, progress=lambda part: show(part.size, part.all_size)
            )
    return _print_status(folder, json=json, update=update, seconds=time.monotonic() - started)


def _print_status(home: Any, *, json: bool, update: Any, seconds: float) -> int:
    path = index_path(home)
    index = Index.find(home)
    if index is None and path.exists():
        raise sqlite3.DatabaseError(f"{path} is damaged or of another version")
    if index is None:
        if json:
            _print_missing(path)
        else:
            info("there is no index; `rollout index` creates one")
        return NOT_FOUND
    with index:
        rows = list(index.rows())
        changed = len(find_changes(index))
    size = sum(part.stat().st_size for part in (path, path.with_name(f"{path.name}-wal")) if part.exists())
    files_size = sum(max(row.size, 0) for row in rows)
    row = {
        "path": os.fspath(path),
        "exists": True,
        "size": size,
        "sessions": len(rows),
        "files_size": files_size,
        "changed_since": changed,
        "read_sessions": update.sessions if update else 0,
        "read_size": update.size if update else 0,
        "seconds": round(seconds, 3),
    }
    if json:
        print_out(encode({"schema_version": SCHEMA_VERSION, "index": row}))
    else:
        share = f" ({size / files_size:.1%})" if files_size else ""
        name = escape_control_chars(os.fspath(path))
        print_out(f"{name}: {size_text(size)}{share} for {pluralize(len(rows), 'session')} of {size_text(files_size)}")
        if update:
            print_out(f"{pluralize(update.sessions, 'session')} and {size_text(update.size)} read in {seconds:.1f} s")
            for problem in update.problems:
                warn(f"{problem.path}: {problem.reason}")
        if changed:
            print_out(f"{pluralize(changed, 'session')} changed since the last update")
    return DONE


def _print_missing(path: Path) -> None:
    row = {"path": os.fspath(path), "exists": False}
    print_out(encode({"schema_version": SCHEMA_VERSION, "index": row}))
