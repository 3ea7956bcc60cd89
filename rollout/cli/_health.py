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
from rollout._text import escape_control_chars, one_line, pluralize, size_text
from rollout._version import SCHEMA_VERSION, __version__
from rollout.cli._exit_status import DONE, ERROR, NOT_FOUND, PARTIAL
from rollout.cli._options import SESSION, find_all, home_option, json_option
from rollout.cli._output import encode, info, path_text, print_out, style_text, warn
from rollout.cli._progress import progress
from rollout.home import RolloutName, find_unplaced, home_folder, locked_sessions, walk
from rollout.reading import base_of, repair, verify
from rollout.search import Index, IndexBusyError, find_changes, index_path
from rollout.sessions import list_sessions
from rollout.store import deleted_sessions, find

__all__ = ["doctor_command", "repair_command", "verify_command"]

_FORMATS = {
    "exec-json": " (output of codex exec --json, read as a rollout)",
    "old-json": " (document of the TypeScript CLI, read as a rollout)",
}
# Damaged sessions and lost parents that `doctor` names.
_NAMED_MAX = 5


@click.command("verify")
@json_option
@click.option("--secrets", "with_secrets", is_flag=True, help="Also look for recorded keys and passwords.")
@click.option("--all", "everything", is_flag=True, help="All sessions, including archived ones.")
@home_option
@click.argument("sessions", nargs=-1, type=SESSION)
def verify_command(
    sessions: tuple[str, ...], home: str | None, everything: bool, with_secrets: bool, json: bool
) -> int:
    """
    Check SESSIONS for faults: incomplete lines, joined lines, garbage, missing ordinals.

    The exit status is 1 if there is a fault or a key. Changes nothing. Prints the line and the byte of each fault. With
    --secrets, it also prints the positions of keys in well-known formats, but not the keys.

    \b
    Examples:
      rollout verify @last
      rollout verify --all --json
    """
    if bool(sessions) == everything:
        raise click.UsageError("use either SESSIONS or --all.")
    paths = _all_paths(home) if everything else find_all(sessions, home)
    rows = []
    with progress("reading sessions") as show:
        for number, path in enumerate(paths):
            show(number, len(paths))
            row = _verify_one(path, with_secrets=with_secrets)
            rows.append(row)
            if not json:
                _print_verified(row, is_single=len(paths) == 1)
    if json:
        print_out(encode({"schema_version": SCHEMA_VERSION, "sessions": rows}))
    elif len(rows) != 1:
        bad_count = sum(bool(row["faults"] or row["secrets"] or row["error"]) for row in rows)
        info(f"{len(rows):,} sessions, {bad_count:,} with problems")
    return _status_of(rows)


def _status_of(rows: list[dict[str, Any]]) -> int:
    unreadable = sum(row["error"] is not None for row in rows)
    if unreadable:
        return PARTIAL if unreadable < len(rows) else ERROR
    return NOT_FOUND if not rows or any(row["faults"] or row["secrets"] for row in rows) else DONE


def _all_paths(home: str | None) -> list[Path]:
    folder = home_folder(home).absolute()
    return [name.path for name in walk(folder, archived=None)]


def _verify_one(path: Path, *, with_secrets: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"path": os.fspath(path), "lines": 0, "faults": [], "secrets": [], "error": None}
    try:
        report = verify(path)
        row |= {"lines": report.line_count, "faults": [attrs.asdict(fault) for fault in report.faults]}
        row |= {"format": report.format} if report.format in _FORMATS else {}
        if with_secrets:
            row["secrets"] = [attrs.asdict(secret) for secret in secrets.scan(path)]
    except (OSError, ImportError) as error:
        row["error"] = str(error)
    return row


def _print_verified(row: dict[str, Any], *, is_single: bool) -> None:
    path = path_text(Path(row["path"]))
    if row["error"]:
        warn(f"{row['path']}: {row['error']}")
    for fault in row["faults"]:
        where = f"{path}:{fault['lineno']}: byte {fault['offset']}"
        print_out(f"{where}: {fault['kind']}: {one_line(fault['message'])}")
    for secret in row["secrets"]:
        print_out(f"{path}:{secret['lineno']}: {one_line(secret['where'])}: {secret['placeholder']}")
    if is_single and not (row["faults"] or row["error"] or row["secrets"]):
        form = _FORMATS.get(row.get("format", ""), "")
        print_out(f"{path}: {row['lines']} lines, no faults{form}")


@click.command("repair")
@json_option
@click.option("--dry-run", is_flag=True, help="Only print the faults.")
@click.option(
    "--to", type=click.Path(), help="File to write the copy to; by default in the folder 'repaired' of the home."
)
@home_option
@click.argument("session", type=SESSION)
def repair_command(session: str, home: str | None, to: str | None, dry_run: bool, json: bool) -> int:
    """
    Write a repaired copy of a SESSION, and a report. The original file is not changed.

    To use the copy, move it over the original file.

    \b
    Example:
      mv "$(rollout repair 01a1fbb5 --json | jq -r .repair.copy)" "$(rollout path 01a1fbb5)"
    """
    path = find(session, home=home)
    if dry_run:
        row = _verify_one(path, with_secrets=False)
        if json:
            print_out(encode({"schema_version": SCHEMA_VERSION, "sessions": [row]}))
        else:
            _print_verified(row, is_single=True)
        return _status_of([row])
    result = repair(path, to=to)
    actions = [
        {**attrs.asdict(fault), "action": action}
        for fault, action in zip(result.before.faults, result.actions, strict=True)
    ]
    if json:
        row = {"copy": os.fspath(result.copy), "report": os.fspath(result.report), "actions": actions}
        print_out(encode({"schema_version": SCHEMA_VERSION, "repair": row}))
    else:
        for action in actions:
            warn(f"line {action['lineno']}: {action['kind']}: {action['action']}")
        print_out(path_text(result.copy))
    return DONE


@click.command("doctor")
@json_option
@home_option
def doctor_command(home: str | None, json: bool) -> int:
    """
    Check the home for problems: permissions, disk space, damaged sessions, locks, index, extras.

    The exit status is 1 if there is a problem. Reads only the beginning and the end of each session;
    `rollout verify --all` reads each session completely.

    \b
    Example:
      rollout doctor
    """
    folder = home_folder(home).absolute()
    with progress("checking sessions") as show:
        findings = list(_check_home(folder, lambda done: show(done, 0)))
    if json:
        rows = [{"check": check, "ok": is_ok, "message": message} for check, is_ok, message in findings]
        print_out(encode({"schema_version": SCHEMA_VERSION, "home": os.fspath(folder), "findings": rows}))
    else:
        for check, is_ok, message in findings:
            mark = style_text("ok  ", fg="green") if is_ok else style_text("warn", fg="red")
            print_out(f"{mark}  {check}: {escape_control_chars(message)}")
    return DONE if all(is_ok for _, is_ok, _ in findings) else NOT_FOUND


def _check_home(home: Path, show: Any) -> Iterator[tuple[str, bool, str]]:
    yield "version", True, f"rollout {__version__}, Python {sys.version.split()[0]}"
    missing = [name for name in ("backports.zstd", "platformdirs") if not _is_installed(name)]
    is_ok = not missing or (sys.version_info >= (3, 14) and missing == ["backports.zstd"])
    yield (
        "extras",
        is_ok,
        "all installed" if is_ok else f"missing: {', '.join(missing)}; pip install 'rollout-recorder[cli]'",
    )
    if not home.is_dir():
        yield "home", False, f"{home} does not exist; Codex or a Recorder creates it"
        return
    is_ok = os.access(home, os.W_OK | os.X_OK) and not home.stat().st_mode & 0o022
    yield "home", is_ok, f"{home}, {_permissions_text(home)}"
    free = shutil.disk_usage(home).free
    yield "space", free > 2**30, f"{size_text(free)} free"
    yield from _check_sessions(home, show)
    held = locked_sessions(home)
    yield (
        "writers",
        True,
        f"{pluralize(len(held), 'session')} open: {', '.join(sorted(held))}" if held else "no session is open",
    )
    deleted = deleted_sessions(home=home)
    yield "trash", True, f"{pluralize(len(deleted), 'file')}, {size_text(sum(path.stat().st_size for path in deleted))}"
    yield _check_index(home)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _permissions_text(home: Path) -> str:
    status = home.stat()
    others = "; other users can see file names and times, but not the contents" if status.st_mode & 0o055 else ""
    others = "; other users can change it; use chmod 700" if status.st_mode & 0o022 else others
    owner = "" if status.st_uid == os.getuid() else f"; owned by user {status.st_uid}"
    return f"mode {stat.S_IMODE(status.st_mode):o}{others}{owner}"


def _check_sessions(home: Path, show: Any) -> Iterator[tuple[str, bool, str]]:
    count = 0
    damaged: list[str] = []
    parents: list[str] = []
    ids: set[str] = set()
    folders: list[str] = []
    live = locked_sessions(home)
    for is_archived in (False, True):
        cursor = None
        while True:
            page = list_sessions(home=home, page_size=200, cursor=cursor, archived=is_archived, agents="all")
            folders += [f"{p.path}: {p.reason}" for p in page.problems if p.path.is_dir()]
            for item in page.items:
                count += 1
                ids.add(_rollout_id(item.path))
                if item.problem and item.session_id not in live:
                    damaged.append(f"{item.session_id} ({item.problem})")
                base = base_of(item.head[0]) if item.head else None
                if base:
                    parents.append(base.lower())
            show(count)
            cursor = page.next_cursor
            if cursor is None:
                break
    yield "sessions", not folders, "; ".join(folders) or pluralize(count, "session")
    yield from _check_places(home)
    yield "damage", not damaged, _first_few(damaged) or "none found at the beginning and end of each session"
    missing = [parent for parent in parents if parent not in ids]
    yield (
        "forks",
        not missing,
        f"sessions that forks refer to are missing: {_first_few(missing)}"
        if missing
        else "no parent session is missing",
    )


def _check_places(home: Path) -> Iterator[tuple[str, bool, str]]:
    found = find_unplaced(home)
    files, links = ([os.fspath(path.relative_to(home)) for path in paths] for paths in (found.files, found.links))
    is_ok = not any(name.endswith((".jsonl", ".json", ".zst")) for name in files)
    text = f"{pluralize(len(files), 'file')} in other places or with other names, so not listed: {_first_few(files)}"
    yield "places", is_ok, text if files else "every file is on a list"
    text = f"{pluralize(len(links), 'link')}, not followed, so not listed: {_first_few(links)}"
    yield "links", not links, text if links else "none"


def _rollout_id(path: Path) -> str:
    # Each file of a session that was reverted has its own id. Forks refer to that id.
    name = RolloutName.parse(path)
    return name.key[1] if name else ""


def _first_few(texts: list[str]) -> str:
    more = f" and {len(texts) - _NAMED_MAX} more" if len(texts) > _NAMED_MAX else ""
    return ", ".join(texts[:_NAMED_MAX]) + more


def _check_index(home: Path) -> tuple[str, bool, str]:
    try:
        index = Index.find(home)
    except (IndexBusyError, ModuleNotFoundError) as error:
        return "index", False, str(error)
    if index is None and index_path(home).exists():
        return (
            "index",
            False,
            f"{index_path(home)} is damaged or of another version; `rollout index` rebuilds it",
        )
    if index is None:
        return "index", True, "none; `rollout index` creates one and makes searches faster"
    try:
        with index:
            changed = len(find_changes(index))
    except sqlite3.Error as error:
        return "index", False, f"{index.path} is damaged: {error}; `rollout index --rebuild` rebuilds it"
    return "index", True, f"{index.path}, {pluralize(changed, 'session')} changed since the last update"
