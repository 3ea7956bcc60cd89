"""
``verify``, ``repair`` and ``doctor``.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import click

from rollout import secrets
from rollout._lineage import base_of
from rollout._lock import sessions_held
from rollout._units import size_text
from rollout._version import __version__
from rollout._visible import one_line, visible
from rollout._walk import walk
from rollout.cli._live import progress
from rollout.cli._options import SESSION, each, home_option, json_option
from rollout.cli._output import encode, hint, note, path_text, say, styled
from rollout.layout import RolloutName, home_folder
from rollout.listing import list_sessions
from rollout.repair import repair
from rollout.search import Index, IndexBusyError, index_path
from rollout.search._update import changes
from rollout.store import deleted_sessions, find
from rollout.verify import verify

__all__ = ["doctor_command", "repair_command", "verify_command"]

_ERROR, _IN_PART = 2, 4
_SHOWN_MAX = 5


@click.command("verify")
@json_option
@click.option("--secrets", "with_secrets", is_flag=True, help="Look for recorded keys and passwords, too.")
@click.option("--all", "everything", is_flag=True, help="All sessions, archived ones too.")
@home_option
@click.argument("sessions", nargs=-1, type=SESSION)
def verify_command(
    sessions: tuple[str, ...], home: str | None, everything: bool, with_secrets: bool, json: bool
) -> int:
    """
    Look for faults in SESSIONS: half lines, glued lines, garbage, missing numbers; exit status 1 if there are any.

    Changes nothing. Each fault is named by line and byte. With --secrets also where keys of well-known forms stand;
    the keys are not shown.

    \b
    Examples:
      rollout verify @last
      rollout verify --all --json
    """
    if bool(sessions) == everything:
        raise click.UsageError("say which sessions, or --all.")
    paths = _all_paths(home) if everything else each(sessions, home)
    rows = []
    with progress("reading sessions") as show:
        for number, path in enumerate(paths):
            show(number, len(paths))
            row = _verified(path, with_secrets=with_secrets)
            rows.append(row)
            if not json:
                _show_verified(row, is_single=len(paths) == 1)
    if json:
        say(encode({"schema_version": 1, "sessions": rows}))
    elif len(rows) != 1:
        bad = sum(bool(row["faults"] or row["secrets"] or row["error"]) for row in rows)
        hint(f"{len(rows):,} sessions, {bad:,} of them with something to look at")
    return _status_of(rows)


def _status_of(rows: list[dict[str, Any]]) -> int:
    unread = sum(row["error"] is not None for row in rows)
    if unread:
        return _IN_PART if unread < len(rows) else _ERROR
    return 1 if not rows or any(row["faults"] or row["secrets"] for row in rows) else 0


def _all_paths(home: str | None) -> list[Path]:
    folder = home_folder(home).absolute()
    return [name.path for place in (False, True) for name in walk(folder, is_archived=place)]


def _verified(path: Path, *, with_secrets: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"path": os.fspath(path), "lines": 0, "faults": [], "secrets": [], "error": None}
    try:
        done = verify(path)
        row |= {"lines": done.line_count, "faults": [attrs.asdict(fault) for fault in done.faults]}
        if with_secrets:
            row["secrets"] = [attrs.asdict(found) for found in secrets.scan(path)]
    except (OSError, ImportError) as error:
        row["error"] = str(error)
    return row


def _show_verified(row: dict[str, Any], *, is_single: bool) -> None:
    path = path_text(Path(row["path"]))
    if row["error"]:
        note(f"{row['path']}: {row['error']}")
    for fault in row["faults"]:
        where = f"{path}:{fault['lineno']}: byte {fault['offset']}"
        say(f"{where}: {fault['kind']}: {one_line(fault['message'])}")
    for found in row["secrets"]:
        say(f"{path}:{found['lineno']}: {one_line(found['where'])}: {found['placeholder']}")
    if is_single and not (row["faults"] or row["error"] or row["secrets"]):
        say(f"{path}: {row['lines']} lines, no fault")


@click.command("repair")
@json_option
@click.option("--dry-run", is_flag=True, help="Only name the faults.")
@click.option("--to", type=click.Path(), help="Where to write the copy; else into the folder repaired of the home.")
@home_option
@click.argument("session", type=SESSION)
def repair_command(session: str, home: str | None, to: str | None, dry_run: bool, json: bool) -> int:
    """
    Write a repaired copy of a SESSION, and a report. The file itself is never touched.

    To use the copy, move it over the file.

    \b
    Example:
      mv "$(rollout repair 01a1fbb5 --json | jq -r .repair.copy)" "$(rollout path 01a1fbb5)"
    """
    path = find(session, home=home)
    if dry_run:
        row = _verified(path, with_secrets=False)
        if json:
            say(encode({"schema_version": 1, "sessions": [row]}))
        else:
            _show_verified(row, is_single=True)
        return _status_of([row])
    done = repair(path, to=to)
    actions = [
        {**attrs.asdict(fault), "action": action}
        for fault, action in zip(done.before.faults, done.actions, strict=True)
    ]
    if json:
        row = {"copy": os.fspath(done.copy), "report": os.fspath(done.report), "actions": actions}
        say(encode({"schema_version": 1, "repair": row}))
    else:
        for action in actions:
            note(f"line {action['lineno']}: {action['kind']}: {action['action']}")
        say(path_text(done.copy))
    return 0


@click.command("doctor")
@json_option
@home_option
def doctor_command(home: str | None, json: bool) -> int:
    """
    Look whether all is well with the home: rights, space, damaged sessions, locks, index, extras.

    Reads the beginning and end of each session; rollout verify --all reads them whole. Exit status 1 if something
    needs attention.

    \b
    Example:
      rollout doctor
    """
    folder = home_folder(home).absolute()
    with progress("looking at sessions") as show:
        findings = list(_findings(folder, lambda done: show(done, 0)))
    if json:
        rows = [{"check": check, "ok": is_ok, "message": message} for check, is_ok, message in findings]
        say(encode({"schema_version": 1, "home": os.fspath(folder), "findings": rows}))
    else:
        for check, is_ok, message in findings:
            say(f"{styled('ok  ', fg='green') if is_ok else styled('look', fg='red')}  {check}: {visible(message)}")
    return 0 if all(is_ok for _, is_ok, _ in findings) else 1


def _findings(home: Path, show: Any) -> Iterator[tuple[str, bool, str]]:
    yield "version", True, f"rollout {__version__}, Python {sys.version.split()[0]}"
    missing = [name for name in ("backports.zstd", "platformdirs") if not _is_there(name)]
    is_ok = not missing or (sys.version_info >= (3, 14) and missing == ["backports.zstd"])
    yield (
        "extras",
        is_ok,
        "all there" if is_ok else f"missing: {', '.join(missing)}; pip install 'rollout-recorder[cli]'",
    )
    if not home.is_dir():
        yield "home", False, f"{home} is not there; Codex or a Recorder makes it"
        return
    is_ok = os.access(home, os.W_OK | os.X_OK) and not home.stat().st_mode & 0o022
    yield "home", is_ok, f"{home}, {_rights(home)}"
    free = shutil.disk_usage(home).free
    yield "space", free > 2**30, f"{size_text(free)} free"
    yield from _findings_of_sessions(home, show)
    held = sessions_held(home)
    yield "writers", True, f"{len(held)} sessions are open: {', '.join(sorted(held))}" if held else "no session is open"
    deleted = deleted_sessions(home=home)
    yield "trash", True, f"{len(deleted)} files, {size_text(sum(path.stat().st_size for path in deleted))}"
    yield _finding_of_index(home)


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _rights(home: Path) -> str:
    status = home.stat()
    others = "; other users see names and times, not what was said" if status.st_mode & 0o055 else ""
    others = "; other users may change it: chmod 700" if status.st_mode & 0o022 else others
    owner = "" if status.st_uid == os.getuid() else f"; it belongs to user {status.st_uid}"
    return f"mode {stat.S_IMODE(status.st_mode):o}{others}{owner}"


def _findings_of_sessions(home: Path, show: Any) -> Iterator[tuple[str, bool, str]]:
    count = 0
    damaged: list[str] = []
    orphans: list[str] = []
    ids: set[str] = set()
    folders: list[str] = []
    live = sessions_held(home)
    for archived in (False, True):
        cursor = None
        while True:
            page = list_sessions(home=home, page_size=200, cursor=cursor, archived=archived)
            folders += [f"{p.path}: {p.reason}" for p in page.problems if p.path.is_dir()]
            for item in page.items:
                count += 1
                ids.add(_rollout_id(item.path))
                if item.problem and item.session_id not in live:
                    damaged.append(f"{item.session_id} ({item.problem})")
                base = base_of(item.head[0]) if item.head else None
                if base:
                    orphans.append(base.lower())
            show(count)
            cursor = page.next_cursor
            if cursor is None:
                break
    yield "sessions", not folders, "; ".join(folders) or f"{count:,} sessions"
    yield "damage", not damaged, _some(damaged) or "none seen in beginnings and ends"
    gone = [base for base in orphans if base not in ids]
    yield (
        "forks",
        not gone,
        f"what they were forked from is gone: {_some(gone)}" if gone else "all have what they refer to",
    )


def _rollout_id(path: Path) -> str:
    # Of a session that was reverted, each file has one of its own, to which forks refer.
    name = RolloutName.parse(path)
    return name.key[1] if name else ""


def _some(texts: list[str]) -> str:
    more = f" and {len(texts) - _SHOWN_MAX} more" if len(texts) > _SHOWN_MAX else ""
    return ", ".join(texts[:_SHOWN_MAX]) + more


def _finding_of_index(home: Path) -> tuple[str, bool, str]:
    try:
        index = Index.find(home)
    except (IndexBusyError, ModuleNotFoundError) as error:
        return "index", False, str(error)
    if index is None and index_path(home).exists():
        return "index", False, f"{index_path(home)} is damaged, or of another version; `rollout index` rebuilds it"
    if index is None:
        return "index", True, "none; `rollout index` makes search quick"
    try:
        with index:
            behind = len(changes(index))
    except sqlite3.Error as error:
        return "index", False, f"{index.path} is damaged: {error}; `rollout index --rebuild` makes it anew"
    return "index", True, f"{index.path}, {behind} sessions behind"
