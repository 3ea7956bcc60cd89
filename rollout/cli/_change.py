"""
What changes sessions: ``name``, ``archive``, ``unarchive``, ``delete``, ``restore``, ``fork``, ``compress``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from rollout import store
from rollout._walk import walk
from rollout.cli._options import SESSION, SPAN, each, home_option
from rollout.cli._output import encode, note, progress, size_text, visible
from rollout.errors import RolloutError, SessionBusyError
from rollout.layout import RolloutName, home_folder

__all__ = [
    "archive_command",
    "compress_command",
    "delete_command",
    "fork_command",
    "name_command",
    "restore_command",
    "unarchive_command",
]

_IN_PART, _BUSY = 4, 3

_json_option = click.option("--json", is_flag=True, help='One JSON document with "schema_version".')
_dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be done.")
_sessions_argument = click.argument("sessions", nargs=-1, required=True, type=SESSION)


@click.command("name")
@_json_option
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
        _say([{"id": session_id, "name": own}], json=json, text=own or "")
        return 0 if own else 1
    if not dry_run:
        store.rename_session(path, name, home=home)
    _say([{"id": session_id, "name": name, "dry_run": dry_run}], json=json, text="")
    return 0


def _id_of(path: Path) -> str:
    name = RolloutName.parse(path)
    return name.session_id if name else ""


def _say(rows: list[dict[str, Any]], *, json: bool, text: str) -> None:
    if json:
        click.echo(encode({"schema_version": 1, "sessions": rows}))
    elif text:
        click.echo(visible(text))


@click.command("archive")
@_json_option
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
@_json_option
@_dry_run_option
@home_option
@_sessions_argument
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
    return _run_each([path for _, path in each(references, home)], change, dry_run=dry_run, json=json)


def _run_each(paths: Iterable[Path], change: Callable[[Path], Path], *, dry_run: bool, json: bool) -> int:
    """
    Change each, going on behind one that fails; the exit status.
    """
    rows: list[dict[str, Any]] = []
    failures: list[Exception] = []
    for path in paths:
        try:
            now = path if dry_run else change(path)
        except (RolloutError, OSError, ImportError) as error:
            failures.append(error)
            note(str(error))
            rows.append({"id": _id_of(path), "path": os.fspath(path), "error": str(error)})
        else:
            rows.append({"id": _id_of(path), "path": os.fspath(now), "error": None, "dry_run": dry_run})
            if not json:
                click.echo(os.fspath(now))
    _say(rows, json=json, text="")
    if not failures:
        return 0
    if len(failures) < len(rows):
        return _IN_PART
    return _BUSY if isinstance(failures[0], SessionBusyError) else 2


@click.command("delete")
@_json_option
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
    found = _in_home_or_trash(sessions, home) if permanently else [path for _, path in each(sessions, home)]
    if not yes and not dry_run:
        what = "Delete for ever" if permanently else "Move into the trash"
        for path in found:
            click.echo(f"  {visible(os.fspath(path))}", err=True)
        if not click.confirm(f"{what}: {len(found)} of them?", err=True):
            return 1
    if dry_run:
        return _run_each(found, lambda path: path, dry_run=True, json=json)
    return _run_each(
        found, lambda path: store.delete(path, home=home, permanently=permanently)[0], dry_run=False, json=json
    )


def _in_home_or_trash(references: tuple[str, ...], home: str | None) -> list[Path]:
    found = []
    for reference in references:
        try:
            found.append(store.find(reference, home=home))
        except RolloutError:
            deleted = store.deleted_sessions(home=home)
            matching = [path for path in deleted if _id_of(path).startswith(reference.lower())]
            if not matching or not reference:
                raise
            found += matching[:1]
    return found


@click.command("restore")
@_json_option
@click.option("--list", "only_list", is_flag=True, help="Only list what is in the trash.")
@home_option
@click.argument("sessions", nargs=-1)
def restore_command(sessions: tuple[str, ...], home: str | None, only_list: bool, json: bool) -> int:
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
        _say(rows, json=json, text="\n".join(f"{row['id']}\t{row['path']}" for row in rows))
        return 0 if paths else 1
    if not sessions:
        raise click.UsageError("say which; --list shows them.")
    paths = [Path(reference) for reference in sessions]
    return _run_each(paths, lambda path: store.restore(str(path), home=home), dry_run=False, json=json)


@click.command("fork")
@_json_option
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
    forked = path if dry_run else store.fork(path, at=at, home=home)
    row = {"id": _id_of(forked), "path": os.fspath(forked), "forked_from": _id_of(path), "dry_run": dry_run}
    _say([row], json=json, text=os.fspath(forked))
    return 0


@click.command("compress")
@_json_option
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
    paths = _of_age(home, older_than, undo=undo) if everything else [path for _, path in each(sessions, home)]
    size = sum(path.stat().st_size for path in paths)
    done = 0

    with progress("compressing") as show:

        def change(path: Path) -> Path:
            nonlocal done
            before = path.stat().st_size
            now = store.decompress(path, home=home) if undo else store.compress(path, home=home, min_age=older_than)
            done += before
            show(done, size)
            return now

        status = _run_each(paths, change, dry_run=dry_run, json=json)
    note(f"{len(paths)} files, {size_text(size)}{' would be changed' if dry_run else ''}")
    return status if paths else 1


def _of_age(home: str | None, older_than: float, *, undo: bool) -> list[Path]:
    folder = home_folder(home).absolute()
    names = [name for place in (False, True) for name in walk(folder, is_archived=place)]
    paths = [name.path for name in names if name.is_compressed == undo]
    return [path for path in paths if undo or time.time() - path.stat().st_mtime >= older_than]
