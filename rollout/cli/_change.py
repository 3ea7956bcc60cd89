"""
What changes sessions: ``name``, ``archive``, ``unarchive``, ``delete``, ``restore``, ``fork``, ``compress``.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from rollout import store
from rollout._units import size_text
from rollout._visible import one_line
from rollout._walk import walk
from rollout.cli._live import progress
from rollout.cli._options import ARCHIVED_SESSION, DELETED_SESSION, SESSION, SPAN, each, home_option, json_option
from rollout.cli._output import encode, hint, note, path_text, say, table
from rollout.errors import (
    AmbiguousSessionError,
    RolloutError,
    SessionBusyError,
    SessionNotFoundError,
)
from rollout.history import load_history
from rollout.layout import RolloutName, home_folder, trash_folder
from rollout.store._moves import identified

__all__ = [
    "archive_command",
    "compress_command",
    "delete_command",
    "fork_command",
    "name_command",
    "restore_command",
    "unarchive_command",
]

_ERROR, _BUSY, _IN_PART = 2, 3, 4

# Of a session that is shown to be chosen: characters of its first words.
_WORDS = 60

_dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be done.")
_sessions_argument = click.argument("sessions", nargs=-1, required=True, type=SESSION)


@click.command("name")
@json_option
@_dry_run_option
@click.option("--clear", is_flag=True, help="Take its name away.")
@home_option
@click.argument("session", type=SESSION)
@click.argument("name", required=False)
def name_command(session: str, name: str | None, home: str | None, clear: bool, dry_run: bool, json: bool) -> int:
    """
    Give a SESSION a NAME, by which it can be called and which Codex shows; without one, print the one it has.

    \b
    Examples:
      rollout name @last "parser bug"
      rollout show "parser bug"
    """
    if name is not None and clear:
        raise click.UsageError("give a name, or --clear.")
    path = store.find(session, home=home)
    session_id = _id_of(path)
    if name is None and not clear:
        own = store.session_names(home=home).get(session_id)
        if json:
            _say_rows([{"id": session_id, "name": own}])
        elif own:
            say(one_line(own))
        return 0 if own else 1
    if not dry_run:
        store.rename_session(path, name, home=home)
    if json:
        _say_rows([{"id": session_id, "name": name and name.strip(), "dry_run": dry_run}])
    return 0


def _id_of(path: Path) -> str:
    name = RolloutName.parse(path)
    return name.session_id if name else ""


def _say_rows(rows: list[dict[str, Any]]) -> None:
    say(encode({"schema_version": 1, "sessions": rows}))


@click.command("archive")
@json_option
@_dry_run_option
@home_option
@_sessions_argument
def archive_command(sessions: tuple[str, ...], home: str | None, dry_run: bool, json: bool) -> int:
    """
    Archive SESSIONS: they are not listed any more, neither here nor by Codex, until `rollout unarchive`.

    \b
    Example:
      rollout archive @2 01a1fbb5
    """
    return _change_each(sessions, home, lambda path: store.archive(path, home=home), dry_run=dry_run, json=json)


@click.command("unarchive")
@json_option
@_dry_run_option
@home_option
@click.argument("sessions", nargs=-1, required=True, type=ARCHIVED_SESSION)
def unarchive_command(sessions: tuple[str, ...], home: str | None, dry_run: bool, json: bool) -> int:
    """
    Take SESSIONS out of the archive.

    \b
    Example:
      rollout unarchive 01a1fbb5
    """
    return _change_each(sessions, home, lambda path: store.unarchive(path, home=home), dry_run=dry_run, json=json)


def _change_each(
    references: tuple[str, ...], home: str | None, change: Callable[[Path], Path], *, dry_run: bool, json: bool
) -> int:
    return _run_each(each(references, home), change, dry_run=dry_run, json=json)


def _run_each(paths: Iterable[Path], change: Callable[[Path], Path], *, dry_run: bool, json: bool) -> int:
    """
    Change each, going on behind one that fails; the exit status.
    """
    rows: list[dict[str, Any]] = []
    failures: list[Exception] = []
    for path in paths:
        try:
            now = _unchanged(path) if dry_run else change(path)
        except (RolloutError, OSError, ImportError) as error:
            failures.append(error)
            rows.append({"id": _id_of(path), "path": os.fspath(path), "error": str(error), "dry_run": dry_run})
            if not json:
                note(str(error))
        else:
            rows.append({"id": _id_of(now), "path": os.fspath(now), "error": None, "dry_run": dry_run})
            if not json:
                say(path_text(now))
    if json:
        _say_rows(rows)
    if len(failures) < len(rows):
        return _IN_PART if failures else 0
    return _BUSY if all(isinstance(error, SessionBusyError) for error in failures) else _ERROR


def _unchanged(path: Path) -> Path:
    """
    Refuse what a change would refuse.
    """
    identified(path, None, in_trash=True)
    return path


@click.command("delete")
@json_option
@_dry_run_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--permanently", is_flag=True, help="Remove the files, instead of moving them into the trash.")
@home_option
@_sessions_argument
def delete_command(
    sessions: tuple[str, ...], home: str | None, permanently: bool, yes: bool, dry_run: bool, json: bool
) -> int:
    """
    Delete SESSIONS: into the folder deleted_sessions of the home, from where `rollout restore` brings them back.

    Asks before; without a terminal --yes is needed.

    \b
    Examples:
      rollout delete @3
      rollout delete --permanently --yes 01a1fbb5
    """
    found = _in_home_or_trash(sessions, home) if permanently else each(sessions, home)
    if not (yes or dry_run or _is_confirmed(found, home, permanently=permanently)):
        return 1
    return _run_each(
        found, lambda path: store.delete(path, home=home, permanently=permanently)[0], dry_run=dry_run, json=json
    )


def _in_home_or_trash(references: tuple[str, ...], home: str | None) -> list[Path]:
    found = []
    for reference in references:
        try:
            found += each((reference,), home)
        except SessionNotFoundError:
            found.append(_in_trash(reference, home))
    return list(dict.fromkeys(found))


def _in_trash(reference: str, home: str | None) -> Path:
    beginning = _id_of(Path(reference)) or reference.lower()
    found = {_id_of(path): path for path in store.deleted_sessions(home=home) if _id_of(path).startswith(beginning)}
    if not found or not beginning:
        raise SessionNotFoundError(reference, trash_folder(home_folder(home)))
    if len(found) > 1:
        raise AmbiguousSessionError(reference, tuple(sorted(found)))
    return found.popitem()[1]


def _is_confirmed(paths: list[Path], home: str | None, *, permanently: bool) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask at; --yes deletes without.")
    names = store.session_names(home=home)
    for path in paths:
        words = names.get(_id_of(path)) or _first_words(path)
        click.echo(f"  {_id_of(path)}  {one_line(words)[:_WORDS]}".rstrip(), err=True)
    what = "this session" if len(paths) == 1 else f"these {len(paths)} sessions"
    return click.confirm(f"Delete {what} for ever?" if permanently else f"Move {what} into the trash?", err=True)


def _first_words(path: Path) -> str:
    from rollout.search._scanning import facts_of  # noqa: PLC0415 -- 15 ms, for who is asked, or looks into the trash

    with suppress(OSError, ImportError):
        return facts_of(path).preview or ""
    return ""


@click.command("restore")
@json_option
@_dry_run_option
@click.option("--list", "only_list", is_flag=True, help="Only list what is in the trash.")
@home_option
@click.argument("sessions", nargs=-1, type=DELETED_SESSION)
def restore_command(sessions: tuple[str, ...], home: str | None, only_list: bool, dry_run: bool, json: bool) -> int:
    """
    Bring SESSIONS back from the trash; each an id or the beginning of it.

    \b
    Examples:
      rollout restore --list
      rollout restore 01a1fbb5
    """
    if only_list:
        paths = store.deleted_sessions(home=home)
        rows = [{"id": _id_of(path), "path": os.fspath(path)} for path in paths]
        if json:
            _say_rows(rows)
        else:
            table((("id", "left"), ("about", "wide")), ([_id_of(path), one_line(_first_words(path))] for path in paths))
        return 0 if paths else 1
    if not sessions:
        raise click.UsageError("say which; --list shows them.")
    found = list(dict.fromkeys(_in_trash(reference, home) for reference in sessions))
    return _run_each(found, lambda path: store.restore(path, home=home), dry_run=dry_run, json=json)


@click.command("fork")
@json_option
@_dry_run_option
@click.option("--at", type=int, metavar="TURNS", help="How many turns the fork has; -1 leaves out the last.")
@home_option
@click.argument("session", type=SESSION)
def fork_command(session: str, home: str | None, at: int | None, dry_run: bool, json: bool) -> int:
    """
    Make a new session with the beginning of a SESSION, to go on with from there; print its file.

    \b
    Example:
      codex resume "$(rollout fork @last --at -1 --json | jq -r .sessions[0].id)"
    """
    path = store.find(session, home=home)
    row = {"id": None, "path": None, "forked_from": _id_of(path), "dry_run": dry_run}
    if dry_run:
        count = len(load_history(path).turns)
        if at is not None and not -count <= at <= count:
            raise click.UsageError(f"it has {count} turns; a fork at {at} is not possible.")
        hint(f"it has {count} turns; nothing was made")
    else:
        forked = store.fork(path, at=at, home=home)
        row |= {"id": _id_of(forked), "path": os.fspath(forked)}
        if not json:
            say(path_text(forked))
    if json:
        _say_rows([row])
    return 0


@click.command("compress")
@json_option
@_dry_run_option
@click.option("--undo", is_flag=True, help="Make them plain again.")
@click.option("--older-than", type=SPAN, default="7d", show_default=True, help="Only what has not changed for so long.")
@click.option("--all", "everything", is_flag=True, help="All sessions, archived ones too.")
@home_option
@click.argument("sessions", nargs=-1, type=SESSION)
def compress_command(
    sessions: tuple[str, ...], home: str | None, everything: bool, older_than: float, undo: bool, dry_run: bool,
    json: bool,
) -> int:  # fmt: skip
    """
    Compress SESSIONS with zstd, as Codex does: to about a fifth. Reading them takes longer, and nothing else changes.

    Codex decompresses a session that it resumes; for Recorder.resume, --undo it.

    \b
    Examples:
      rollout compress --all --older-than 4w
      rollout compress --undo 01a1fbb5
    """
    if bool(sessions) == everything:
        raise click.UsageError("say which sessions, or --all.")
    paths = _of_age(home, older_than, undo=undo) if everything else each(sessions, home)
    size = sum(path.stat().st_size for path in paths)
    done = left = 0
    with progress("decompressing" if undo else "compressing") as show:

        def change(path: Path) -> Path:
            nonlocal done, left
            show(done, size)
            done += path.stat().st_size
            now = store.decompress(path, home=home) if undo else store.compress(path, home=home, min_age=older_than)
            left += now.stat().st_size
            return now

        status = _run_each(paths, change, dry_run=dry_run, json=json)
    what = "would be changed" if dry_run else f"are {size_text(left)} now"
    hint(f"{size_text(size if dry_run else done)} in {len(paths)} files {what}")
    return status if paths else 1


def _of_age(home: str | None, older_than: float, *, undo: bool) -> list[Path]:
    folder = home_folder(home).absolute()
    names = [name for place in (False, True) for name in walk(folder, is_archived=place)]
    paths = [name.path for name in names if name.is_compressed == undo]
    latest = math.inf if undo else time.time() - older_than
    # An empty file has no compressed form.
    return [path for path in paths if (status := path.stat()).st_size and status.st_mtime <= latest]
