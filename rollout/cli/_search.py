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

from rollout._texts import KINDS
from rollout._units import size_text
from rollout._visible import one_line, visible
from rollout.cli._live import progress
from rollout.cli._options import as_form, filter_options, filters_from, format_options, home_option, json_option
from rollout.cli._output import emit, encode, hint, is_terminal, note, say, styled, table
from rollout.layout import RolloutName, home_folder
from rollout.search import Hit, Index, IndexBusyError, SearchResults, delete_index, index_path, search, update_index
from rollout.search._update import changes
from rollout.store import session_names

__all__ = ["index_command", "search_command"]

# What is new in the index's eyes is read into it before a search, up to so many bytes: half a minute.
_UPDATED_SIZE = 256 * 2**20


@click.command("search")
@format_options
@click.option("--no-index", is_flag=True, help="Read the files, even where there is an index.")
@click.option("-l", "--sessions", "only_sessions", is_flag=True, help="Only which sessions, each once.")
@click.option("--archived/--live", default=None, help="Only archived sessions, or none of them.")
@click.option("--failed", is_flag=True, help="Only outputs of commands that failed.")
@click.option("--tool", help="Only calls and outputs of this tool.")
@click.option("--kind", type=click.Choice(KINDS), help="Only what these say.")
@click.option("-n", "count", type=click.IntRange(1), default=50, show_default=True, help="How many hits at most.")
@click.option("--all", "everything", is_flag=True, help="All hits.")
@filter_options
@home_option
@click.argument("words", nargs=-1)
def search_command(
    words: tuple[str, ...], home: str | None, count: int, everything: bool, only_sessions: bool, no_index: bool,
    **options: Any,
) -> int:  # fmt: skip
    """
    Search what was said, run and answered for WORDS, the newest sessions first.

    All words must occur in one message, command or output. "a phrase" in quotation marks (and those in quotes for
    the shell), begin* for a beginning, a OR b, and behind -- also -word for what must not occur. Case and accents
    are no difference.

    With an index (rollout index) that takes milliseconds, and what is new is indexed first; without one, or with
    --no-index, the files are read.

    Fields: id, path, offset, timestamp, kind, tool, snippet, matches; with --sessions id, name, path.

    \b
    Examples:
      rollout search parser error
      rollout search '"index out of range"' --since 1w --cwd .
      rollout search --failed --tool exec_command -l
      rollout search --kind user -- parser -test
    """
    form = as_form(options)
    texts = {name: options.pop(name) for name in ("archived", "failed", "tool", "kind")}
    filters = filters_from(options, **texts)
    folder = home_folder(home).absolute()
    if not no_index:
        _catch_up(folder)
    with progress("reading sessions") as show:
        results = search(
            " ".join(words), home=folder, filters=filters, use_index=not no_index, progress=lambda done: show(done, 0)
        )
        limit = None if everything else count
        paths = list(islice(results.sessions(), limit)) if only_sessions else []
        hits = list(islice(results, limit)) if not only_sessions else []
        results.close()
    names = session_names(home=folder)
    if only_sessions:
        is_found = emit((_session_row(path, names) for path in paths), "sessions", form, _show_sessions)
    else:
        is_found = emit(map(_row, hits), "hits", form, lambda _: _show(hits, names))
    _say_how(results, len(hits or paths) == limit, count)
    return 0 if is_found else 1


def _catch_up(home: Any) -> None:
    try:
        index = Index.open(home)
    except ModuleNotFoundError:
        return
    if index is None:
        return
    try:
        with index:
            size = sum(change.unread_size for change in changes(index))
        if 0 < size <= _UPDATED_SIZE:
            with progress("indexing what is new") as show:
                update_index(home=home, progress=lambda done: show(done.size, done.all_size))
    except (IndexBusyError, OSError, sqlite3.Error) as error:
        hint(f"{error}; what is new is read instead")


def _session_row(path: Path, names: dict[str, str]) -> dict[str, Any]:
    name = RolloutName.parse(path)
    session_id = name.session_id if name else ""
    return {"id": session_id, "name": names.get(session_id), "path": os.fspath(path)}


def _show_sessions(rows: list[dict[str, Any]]) -> None:
    cells = ([row["id"], one_line(row["name"] or ""), one_line(row["path"])] for row in rows)
    table((("session", "left"), ("name", "left"), ("path", "wide")), cells)


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


def _show(hits: list[Hit], names: dict[str, str]) -> None:
    if not is_terminal():
        for hit in hits:
            say("\t".join([hit.session_id, str(hit.offset), hit.kind, one_line(hit.snippet)]))
        return
    for session_id, of_session in groupby(hits, key=lambda hit: hit.session_id):
        say(styled(one_line(f"{session_id} {names.get(session_id, '')}"), fg="magenta"))
        for hit in of_session:
            where = styled(f"{hit.offset}:{hit.kind}: ", fg="green")
            say(f"  {where}{_highlighted(hit)}")


def _highlighted(hit: Hit) -> str:
    parts, end = [], 0
    for begin, stop in hit.matches:
        parts += [visible(hit.snippet[end:begin]), styled(visible(hit.snippet[begin:stop]), fg="red", bold=True)]
        end = stop
    return "".join([*parts, visible(hit.snippet[end:])])


def _say_how(results: SearchResults, is_cut: bool, count: int) -> None:
    for problem in results.problems:
        note(f"{problem.path}: {problem.reason}")
    if not results.is_indexed:
        hint(f"no index: {results.scanned} sessions were read. `rollout index` makes the next search quick.")
    elif results.scanned:
        hint(
            f"{results.scanned} sessions are newer than the index, and were read. `rollout index` brings it up to date."
        )
    if is_cut:
        hint(f"the first {count} hits; -n or --all for more")


@click.command("index")
@json_option
@click.option("--status", is_flag=True, help="Only say what there is.")
@click.option("--delete", is_flag=True, help="Delete it; the sessions stay.")
@click.option("--trigram/--words", default=None, help="For parts of words: 80 times larger, 10 times slower to make.")
@click.option("--rebuild", is_flag=True, help="Make it anew.")
@home_option
def index_command(home: str | None, rebuild: bool, trigram: bool | None, delete: bool, status: bool, json: bool) -> int:
    """
    Make the full-text index of all sessions, or bring it up to date.

    It lies in the user's cache folder, takes about a twentieth of what it indexes, and may be deleted at any time. A
    run that is interrupted goes on where it was.

    \b
    Examples:
      rollout index
      rollout index --status
    """
    folder = home_folder(home).absolute()
    if delete:
        is_deleted = delete_index(home=folder)
        if json:
            say(encode({"schema_version": 1, "index": {"path": os.fspath(index_path(folder)), "exists": False}}))
        else:
            hint("the index is deleted" if is_deleted else "there is no index")
        return 0 if is_deleted else 1
    began = time.monotonic()
    done = None
    if not status:
        with progress("indexing") as show:
            done = update_index(
                home=folder, rebuild=rebuild, trigram=trigram, progress=lambda part: show(part.size, part.all_size)
            )
    return _say_status(folder, json=json, updated=done, took=time.monotonic() - began)


def _say_status(home: Any, *, json: bool, updated: Any, took: float) -> int:
    path = index_path(home)
    index = Index.find(home)
    if index is None and path.exists():
        raise sqlite3.DatabaseError(f"{path} is damaged, or of another version")
    if index is None:
        if json:
            say(encode({"schema_version": 1, "index": {"path": os.fspath(path), "exists": False}}))
        else:
            hint("there is no index; `rollout index` makes one")
        return 1
    with index:
        rows = list(index.rows())
        behind = len(changes(index))
    size = sum(part.stat().st_size for part in (path, path.with_name(f"{path.name}-wal")) if part.exists())
    files_size = sum(max(row.size, 0) for row in rows)
    row = {
        "path": os.fspath(path),
        "exists": True,
        "size": size,
        "sessions": len(rows),
        "files_size": files_size,
        "changed_since": behind,
        "read_sessions": updated.sessions if updated else 0,
        "read_size": updated.size if updated else 0,
        "seconds": round(took, 3),
    }
    if json:
        say(encode({"schema_version": 1, "index": row}))
    else:
        share = f" ({size / files_size:.1%})" if files_size else ""
        say(f"{visible(os.fspath(path))}: {size_text(size)}{share} for {len(rows)} sessions of {size_text(files_size)}")
        if updated:
            say(f"{updated.sessions} sessions and {size_text(updated.size)} read in {took:.1f} s")
            for problem in updated.problems:
                note(f"{problem.path}: {problem.reason}")
        if behind:
            say(f"{behind} sessions have changed since")
    return 0
