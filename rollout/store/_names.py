"""
The names of sessions, in Codex's ``session_index.jsonl``, and the search for sessions by name.

A line is ``{"id", "thread_name", "updated_at"}``; the last line for an id is valid. Codex 0.169.0 holds a lock on
``session_index.jsonl.lock`` while it writes, as observed when it named sessions.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from rollout.codec import decode_json, encode_json, format_timestamp
from rollout.errors import AmbiguousSessionError, SessionNotFoundError
from rollout.home import (
    RolloutName,
    StrPath,
    find_session,
    home_folder,
    is_path,
    locate,
    locked_file,
    make_folder,
    replacement_file,
    walk,
)
from rollout.reading import open_rollout, raw_lines
from rollout.store._codex_database import update_codex

__all__ = ["find", "forget_name", "rename_session", "session_names"]

_INDEX = "session_index.jsonl"
_NUMBERED = re.compile(r"@(last|[1-9]\d{0,8})", re.ASCII)


def session_names(*, home: StrPath | None = None) -> dict[str, str]:
    """
    Return the names of sessions by their ids, the last named session at the end. Unreadable lines are skipped.

    Raises:
        OSError: The file with the names exists, but cannot be read.
    """
    names: dict[str, str] = {}
    for row in _rows(home_folder(home)):
        names.pop(row["id"], None)
        if row["thread_name"].strip():
            names[row["id"]] = row["thread_name"].strip()
    return names


def rename_session(session: StrPath, name: str | None, *, home: StrPath | None = None) -> str:
    """
    Set the name of a session, which Codex also shows. Blocks until the name is on disk. A writer may have the session
    open.

    Args:
        session: The session's id, the beginning of the id, or its file.
        name: The new name; None removes the name.
        home: By default ``CODEX_HOME``, else ``~/.codex``.

    Returns:
        The session's id.

    Raises:
        SessionNotFoundError, AmbiguousSessionError: As `find_session`.
        ValueError: The name is blank, or contains a line break or another control character.
        OSError: The name could not be written; the old name is unchanged.
    """
    if name is not None and (not name.strip() or not name.strip().isprintable()):
        raise ValueError(f"{name!r} is not a valid name: it is blank, or contains a control character")
    folder = home_folder(home)
    session_id = _id_of(session, folder)
    # Codex's database is updated before the lock is released, so that both have the same name.
    with _locked(folder):
        if name is None:
            _forget(folder, session_id)
        else:
            now = format_timestamp(time.time_ns() // 10**6)
            row = {"id": session_id, "thread_name": name.strip(), "updated_at": now}
            _append(folder, encode_json(row).encode("utf-8", "replace") + b"\n")
        update_codex(folder, session_id, name=name and name.strip())
    return session_id


def _id_of(session: StrPath, home: Path) -> str:
    path = locate(session, home)
    name = RolloutName.parse(path)
    # A session that was found by its id may have been moved in the meantime; this does not affect its name.
    if name is None or (is_path(session) and not path.is_file()):
        raise SessionNotFoundError(str(path), path.parent)
    return name.session_id


def forget_name(home: Path, session_id: str) -> None:
    """
    Remove a session's name: all its lines, as Codex does.
    """
    if _is_named(home, session_id):
        with _locked(home):
            _forget(home, session_id)


def _is_named(home: Path, session_id: str) -> bool:
    return any(row["id"] == session_id for row in _rows(home))


def _forget(home: Path, session_id: str) -> None:
    if not _is_named(home, session_id):
        return
    with replacement_file(home / _INDEX) as file:
        for raw in _raw_rows(home):
            row = _row(raw)
            if row is None or row["id"] != session_id:
                file.write(raw + b"\n")


def find(reference: StrPath, *, home: StrPath | None = None) -> Path:
    """
    Return a session's file by any kind of reference. Reads only names, no session.

    Args:
        reference: The session's file, its id or the beginning of the id, its full name, ``@last`` for the newest
            session, or ``@2`` for the second newest. Ids take precedence over names.
        home: By default ``CODEX_HOME``, else ``~/.codex``.

    Raises:
        SessionNotFoundError: No session matches.
        AmbiguousSessionError: Several sessions match.
    """
    folder = home_folder(home)
    numbered = _NUMBERED.fullmatch(reference) if isinstance(reference, str) else None
    if numbered is not None:
        number = 1 if numbered[1] == "last" else int(numbered[1])
        found = next(islice(walk(folder), number - 1, None), None)
        if found is None:
            raise SessionNotFoundError(str(reference), folder)
        return found.path
    try:
        return locate(reference, folder)
    except SessionNotFoundError:
        named = _found_by_name(str(reference), folder)
        if len(named) > 1:
            raise AmbiguousSessionError(str(reference), tuple(named)) from None
        if not named:
            raise
        return next(iter(named.values()))


def _found_by_name(name: str, home: Path) -> dict[str, Path]:
    found = {}
    for session_id, own in session_names(home=home).items():
        if own == name.strip():
            # A name may outlive its session.
            with suppress(SessionNotFoundError):
                found[session_id] = find_session(session_id, home=home)
    return found


def _rows(home: Path) -> Iterator[dict[str, Any]]:
    return (row for row in map(_row, _raw_rows(home)) if row is not None)


def _raw_rows(home: Path) -> Iterator[bytes]:
    try:
        file, _ = open_rollout(home / _INDEX)
    except FileNotFoundError:
        return
    with file:
        yield from (line.raw for line in raw_lines(file) if line.raw and not line.raw.isspace())


def _row(raw: bytes) -> dict[str, Any] | None:
    try:
        row = decode_json(raw)
    except ValueError:
        return None
    if type(row) is dict and isinstance(row.get("id"), str) and isinstance(row.get("thread_name"), str):
        return {**row, "id": row["id"].lower()}
    return None


def _append(home: Path, line: bytes) -> None:
    fd = os.open(home / _INDEX, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(fd).st_size
        # Without a newline after an incomplete last line, both lines would be lost.
        torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        os.write(fd, b"\n" + line if torn else line)
        os.fsync(fd)
    finally:
        os.close(fd)


def _locked(home: Path) -> AbstractContextManager[None]:
    make_folder(home)
    return locked_file(home / f"{_INDEX}.lock", timeout=None)
