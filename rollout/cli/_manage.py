"""
Commands that change sessions: ``name``, ``archive``, ``unarchive``, ``delete``, ``restore``, ``fork``, ``compress``.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import click

from rollout import store
from rollout._text import one_line, pluralize, size_text
from rollout._version import SCHEMA_VERSION
from rollout.cli._exit_status import BUSY, DONE, ERROR, NOT_FOUND, PARTIAL
from rollout.cli._options import (
    ARCHIVED_SESSION,
    DELETED_SESSION,
    DURATION,
    SESSION,
    find_all,
    home_option,
    json_option,
)
from rollout.cli._output import encode, info, path_text, print_out, print_table, warn
from rollout.cli._progress import progress
from rollout.errors import AmbiguousSessionError, RolloutError, SessionBusyError, SessionNotFoundError
from rollout.home import RolloutName, home_folder, trash_folder, walk
from rollout.sessions import load_history
from rollout.store import identify

__all__ = [
    "archive_command",
    "compress_command",
    "delete_command",
    "fork_command",
    "name_command",
    "restore_command",
    "unarchive_command",
]

# Maximum number of characters of a session's first words in the confirmation of `delete`.
_WORDS_MAX = 60

_dry_run_option = click.option("--dry-run", is_flag=True, help="Print the planned changes without making them.")
_sessions_argument = click.argument("sessions", nargs=-1, required=True, type=SESSION)


@click.command("name")
@json_option
@_dry_run_option
@click.option("--clear", is_flag=True, help="Remove the name.")
@home_option
@click.argument("session", type=SESSION)
@click.argument("name", required=False)
def name_command(session: str, name: str | None, home: str | None, clear: bool, dry_run: bool, json: bool) -> int:
    """
    Set the NAME of a SESSION. Commands accept the name, and Codex shows it. Without NAME, print the current name.

    \b
    Examples:
      rollout name @last "parser bug"
      rollout show "parser bug"
    """
    if name is not None and clear:
        raise click.UsageError("NAME and --clear cannot be combined.")
    path = store.find(session, home=home)
    session_id = _id_of(path)
    if name is None and not clear:
        current_name = store.read_names(home_folder(home)).of_file(path)
        if json:
            _print_json([{"id": session_id, "name": current_name}])
        elif current_name:
            print_out(one_line(current_name))
        return DONE if current_name else NOT_FOUND
    if not dry_run:
        store.rename_session(path, name, home=home)
    if json:
        _print_json([{"id": session_id, "name": name and name.strip(), "dry_run": dry_run}])
    return DONE


def _id_of(path: Path) -> str:
    name = RolloutName.parse(path)
    return name.session_id if name else ""


def _print_json(rows: list[dict[str, Any]]) -> None:
    print_out(encode({"schema_version": SCHEMA_VERSION, "sessions": rows}))


@click.command("archive")
@json_option
@_dry_run_option
@home_option
@_sessions_argument
def archive_command(sessions: tuple[str, ...], home: str | None, dry_run: bool, json: bool) -> int:
    """
    Archive SESSIONS and their sub-agents. `rollout list` and Codex do not list them until `rollout unarchive`.

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
    Move SESSIONS and their sub-agents out of the archive.

    \b
    Example:
      rollout unarchive 01a1fbb5
    """
    return _change_each(sessions, home, lambda path: store.unarchive(path, home=home), dry_run=dry_run, json=json)


def _change_each(
    references: tuple[str, ...], home: str | None, change: Callable[[Path], Path], *, dry_run: bool, json: bool
) -> int:
    return _run_each(find_all(references, home), _check_changeable if dry_run else change, dry_run=dry_run, json=json)


def _run_each(paths: Iterable[Path], change: Callable[[Path], Path], *, dry_run: bool, json: bool) -> int:
    """
    Change each session and return the exit status. An error does not stop the changes of the other sessions.
    """
    rows: list[dict[str, Any]] = []
    failures: list[Exception] = []
    for path in paths:
        try:
            new_path = change(path)
        except (RolloutError, OSError, ImportError) as error:
            failures.append(error)
            rows.append({"id": _id_of(path), "path": os.fspath(path), "error": str(error), "dry_run": dry_run})
            if not json:
                warn(str(error))
        else:
            rows.append({"id": _id_of(new_path), "path": os.fspath(new_path), "error": None, "dry_run": dry_run})
            if not json:
                print_out(path_text(new_path))
    if json:
        _print_json(rows)
    if len(failures) < len(rows):
        return PARTIAL if failures else DONE
    return BUSY if all(isinstance(error, SessionBusyError) for error in failures) else ERROR


def _check_changeable(path: Path) -> Path:
    """
    Raise the errors that a change would raise; return the path.
    """
    identify(path, None, in_trash=True)
    return path


@click.command("delete")
@json_option
@_dry_run_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--force", is_flag=True, help="Also if forks need a session: copy the lines into the forks first.")
@click.option("--permanently", is_flag=True, help="Remove the files instead of moving them to the trash.")
@home_option
@_sessions_argument
def delete_command(
    sessions: tuple[str, ...], home: str | None, permanently: bool, force: bool, yes: bool, dry_run: bool, json: bool
) -> int:
    """
    Move SESSIONS to the trash, the folder deleted_sessions of the home. `rollout restore` moves them back.

    The sub-agents of a session move with it. A session to which forks refer is not deleted without --force, as in
    Codex. Asks for confirmation. Without a terminal, --yes is required.

    \b
    Examples:
      rollout delete @3
      rollout delete --permanently --yes 01a1fbb5
    """
    found = _find_in_home_or_trash(sessions, home) if permanently else find_all(sessions, home)
    if not (yes or dry_run or _is_confirmed(found, home, permanently=permanently)):
        return NOT_FOUND
    change = store.check_deletable if dry_run else store.delete
    delete = partial(change, home=home, permanently=permanently, force=force)
    return _run_each(found, lambda path: delete(path)[0], dry_run=dry_run, json=json)


def _find_in_home_or_trash(references: tuple[str, ...], home: str | None) -> list[Path]:
    found = []
    for reference in references:
        try:
            found += find_all((reference,), home)
        except SessionNotFoundError:
            found.append(_find_in_trash(reference, home))
    return list(dict.fromkeys(found))


def _find_in_trash(reference: str, home: str | None) -> Path:
    prefix = _id_of(Path(reference)) or reference.lower()
    found = {_id_of(path): path for path in store.deleted_sessions(home=home) if _id_of(path).startswith(prefix)}
    if not found or not prefix:
        raise SessionNotFoundError(reference, trash_folder(home_folder(home)))
    if len(found) > 1:
        raise AmbiguousSessionError(reference, tuple(sorted(found)))
    return found.popitem()[1]


def _is_confirmed(paths: list[Path], home: str | None, *, permanently: bool) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("cannot ask for confirmation without a terminal; use --yes.")
    names = store.read_names(home_folder(home))
    for path in paths:
        words = names.of_file(path) or _first_words(path)
        click.echo(f"  {_id_of(path)}  {one_line(words)[:_WORDS_MAX]}".rstrip(), err=True)
    sessions = "this session" if len(paths) == 1 else f"these {len(paths)} sessions"
    question = f"Delete {sessions} permanently?" if permanently else f"Move {sessions} to the trash?"
    return click.confirm(question, err=True)


def _first_words(path: Path) -> str:
    from rollout.search import read_facts  # noqa: PLC0415 -- 15 ms, for `delete` and `restore --list` only

    with suppress(OSError, ImportError):
        return read_facts(path).preview or ""
    return ""


@click.command("restore")
@json_option
@_dry_run_option
@click.option("--list", "only_list", is_flag=True, help="List the sessions in the trash; restore nothing.")
@home_option
@click.argument("sessions", nargs=-1, type=DELETED_SESSION)
def restore_command(sessions: tuple[str, ...], home: str | None, only_list: bool, dry_run: bool, json: bool) -> int:
    """
    Move SESSIONS and their sub-agents from the trash back to the home. A SESSION is an id or its first characters.

    \b
    Examples:
      rollout restore --list
      rollout restore 01a1fbb5
    """
    if only_list:
        paths = store.deleted_sessions(home=home)
        rows = [{"id": _id_of(path), "path": os.fspath(path)} for path in paths]
        if json:
            _print_json(rows)
        else:
            print_table(
                (("id", "left"), ("about", "wide")), ([_id_of(path), one_line(_first_words(path))] for path in paths)
            )
        return DONE if paths else NOT_FOUND
    if not sessions:
        raise click.UsageError("SESSIONS are required; --list shows the sessions in the trash.")
    found = list(dict.fromkeys(_find_in_trash(reference, home) for reference in sessions))
    restore = _check_changeable if dry_run else partial(store.restore, home=home)
    return _run_each(found, restore, dry_run=dry_run, json=json)


@click.command("fork")
@json_option
@_dry_run_option
@click.option("--at", type=int, metavar="TURNS", help="Number of turns to copy; -1 copies all but the last.")
@home_option
@click.argument("session", type=SESSION)
def fork_command(session: str, home: str | None, at: int | None, dry_run: bool, json: bool) -> int:
    """
    Create a new session with the first turns of a SESSION, to continue from there. Print the path of its file.

    \b
    Example:
      codex resume "$(rollout fork @last --at -1 --json | jq -r .sessions[0].id)"
    """
    path = store.find(session, home=home)
    row = {"id": None, "path": None, "forked_from": _id_of(path), "dry_run": dry_run}
    if dry_run:
        count = len(load_history(path).turns)
        if at is not None and not -count <= at <= count:
            raise click.UsageError(f"the session has {count} turns; {at} is out of range.")
        info(f"the session has {count} turns; no fork was created")
    else:
        forked = store.fork(path, at=at, home=home)
        row |= {"id": _id_of(forked), "path": os.fspath(forked)}
        if not json:
            print_out(path_text(forked))
    if json:
        _print_json([row])
    return DONE


@click.command("compress")
@json_option
@_dry_run_option
@click.option("--undo", is_flag=True, help="Decompress the files.")
@click.option(
    "--older-than", type=DURATION, default="7d", show_default=True, help="Only sessions unchanged for this long."
)
@click.option("--all", "everything", is_flag=True, help="All sessions, including archived ones.")
@home_option
@click.argument("sessions", nargs=-1, type=SESSION)
def compress_command(
    sessions: tuple[str, ...], home: str | None, everything: bool, older_than: float, undo: bool, dry_run: bool,
    json: bool,
) -> int:  # fmt: skip
    """
    Compress the files of SESSIONS with zstd, as Codex does, to about a fifth of their size.

    All commands can read compressed sessions, but more slowly. Codex decompresses a session when it resumes it. Before
    Recorder.resume, use --undo.

    \b
    Examples:
      rollout compress --all --older-than 4w
      rollout compress --undo 01a1fbb5
    """
    if bool(sessions) == everything:
        raise click.UsageError("use either SESSIONS or --all.")
    paths = _paths_to_compress(home, older_than, undo=undo) if everything else find_all(sessions, home)
    size = sum(path.stat().st_size for path in paths)
    old_size = new_size = 0
    with progress("decompressing" if undo else "compressing") as show:

        def change(path: Path) -> Path:
            nonlocal old_size, new_size
            show(old_size, size)
            old_size += path.stat().st_size
            new_path = (
                store.decompress(path, home=home) if undo else store.compress(path, home=home, min_age=older_than)
            )
            new_size += new_path.stat().st_size
            return new_path

        status = _run_each(paths, _check_changeable if dry_run else change, dry_run=dry_run, json=json)
    files = pluralize(len(paths), "file")
    if dry_run:
        info(f"would change {files} of {size_text(size)}")
    else:
        info(f"{files}: {size_text(old_size)} before, {size_text(new_size)} now")
    return status if paths else NOT_FOUND


def _paths_to_compress(home: str | None, older_than: float, *, undo: bool) -> list[Path]:
    folder = home_folder(home).absolute()
    paths = [name.path for name in walk(folder, archived=None) if name.is_compressed == undo]
    latest = math.inf if undo else time.time() - older_than
    # An empty file cannot be compressed.
    return [path for path in paths if (status := path.stat()).st_size and status.st_mtime <= latest]
