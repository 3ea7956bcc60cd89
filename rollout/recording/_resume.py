"""
Checks, lock and next ordinal of a session that is resumed, for `Recorder.resume`.

This module reads the file and opens it; it writes nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

from rollout import schema
from rollout.codec import RolloutLine
from rollout.errors import MissingSessionMetaError, UnsupportedSessionError
from rollout.home import RolloutName, SessionLock, home_of, is_archived
from rollout.interpret import is_own_meta
from rollout.reading import decode_backwards, format_of, read_lines

__all__ = ["open_for_append"]

_ORDINAL_MAX = 2**64 - 1


def open_for_append(path: Path, home: Path) -> tuple[int, SessionLock, int | None]:
    """
    Lock a session and open its file.

    Args:
        path: Path of the file.
        home: Folder for the lock of a file that is in no home.

    Returns:
        A file descriptor open for reading and appending, the lock, and the number of the next line in a paginated
        session.

    Raises:
        As `Recorder.resume`.
    """
    if path.suffix == ".zst":
        raise UnsupportedSessionError(path, "it is compressed; decompress it first")
    if is_archived(path):
        raise UnsupportedSessionError(path, "it is archived; unarchive it first")
    if format_of(path) != "rollout":
        reason = "it is no rollout, but another output of Codex; `rollout fork` makes a session of it"
        raise UnsupportedSessionError(path, reason)
    lock = _lock_session(path, home_of(path) or home)
    try:
        ordinal = _next_ordinal(path)
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC), lock, ordinal
    except BaseException:
        lock.release()
        raise


def _lock_session(path: Path, home: Path) -> SessionLock:
    """
    Lock the session whose id is in the file's meta.

    The id in the file's name is locked before that: while a session is being created, it has no meta yet.
    """
    name = RolloutName.parse(path)
    if name is None:
        return SessionLock(home, _resumable_id(path))
    lock = SessionLock(home, name.session_id)
    try:
        session_id = _resumable_id(path)
    except BaseException:
        lock.release()
        raise
    if session_id == name.session_id:
        return lock
    lock.release()
    return SessionLock(home, session_id)


def _resumable_id(path: Path) -> str:
    """
    Return the id of a session, after a check that appending does no harm.
    """
    session_id, first = _read_identity(path)
    if first.is_bare:
        raise UnsupportedSessionError(path, "it was written before Codex 0.32, in a format that cannot be appended to")
    mode = first.payload.get("history_mode") if first.type == "session_meta" else None
    if mode not in (None, "legacy", "paginated"):
        raise UnsupportedSessionError(path, f"its history_mode is {mode!r}, which is unknown")
    try:
        return str(UUID(session_id))
    except ValueError:
        raise UnsupportedSessionError(path, f"its id {session_id!r} is not a UUID") from None


def _read_identity(path: Path) -> tuple[str, RolloutLine]:
    """
    Return the id of a session and its meta. If the meta cannot be read, return the id in the file's name and the first
    readable line.
    """
    name, first = RolloutName.parse(path), None
    with read_lines(path) as lines:
        for line in lines:
            first = first or line
            if isinstance(line.item, schema.SessionMeta):
                if is_own_meta(line.item.id, path, is_first=line is first and not lines.skipped):
                    return line.item.id, line
                break
    if first is None or name is None:
        raise MissingSessionMetaError(path, "no session_meta" if path.stat().st_size else "empty session file")
    return name.session_id, first


def _next_ordinal(path: Path) -> int | None:
    """
    Return the ordinal of a paginated session's next line; None for a session without ordinals.

    It is one more than that of the last readable line, whatever the payload of this line is: a line without an ordinal,
    or with one used before, is corrupt for Codex, and makes it refuse the whole session.
    """
    _, first = _read_identity(path)
    last = next(decode_backwards(path)).ordinal
    is_paginated = (
        first.payload.get("history_mode") == "paginated" if first.type == "session_meta" else last is not None
    )
    if not is_paginated:
        return None
    if last is None or not 0 <= last < _ORDINAL_MAX:
        raise UnsupportedSessionError(path, f"it is paginated, but its last line has the ordinal {last}")
    if last + 1 < (first.payload.get("subagent_history_start_ordinal") or 0):
        raise UnsupportedSessionError(path, "the history that it starts from is incomplete")
    return last + 1
