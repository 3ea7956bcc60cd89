"""
May this file be appended to, and how: the checks, the lock and the numbering behind `Recorder.resume`.

Reads the file and opens it; writes nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

from rollout import layout, schema
from rollout._lock import SessionLock
from rollout.errors import MissingSessionMetaError, UnsupportedSessionError
from rollout.reader import decode_backwards, read_lines

__all__ = ["open_for_append"]

_ORDINAL_MAX = 2**64 - 1


def open_for_append(path: Path, home: Path) -> tuple[int, SessionLock, int | None]:
    """
    Lock a session and open its file.

    Args:
        path: The file.
        home: Where the lock is, if the file lies in no home.

    Returns:
        A file descriptor open for reading and appending, the lock, and the number of the next line in a paginated
        session.

    Raises:
        As `Recorder.resume`.
    """
    if path.suffix == ".zst":
        raise UnsupportedSessionError(path, "it is compressed; decompress it first")
    if layout.is_archived(path):
        raise UnsupportedSessionError(path, "it is archived; unarchive it first")
    lock = _lock_session(path, layout.home_of(path) or home)
    try:
        ordinal = _next_ordinal(path)
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC), lock, ordinal
    except BaseException:
        lock.release()
        raise


def _lock_session(path: Path, home: Path) -> SessionLock:
    """
    Lock the session whose id the file's meta says.

    Before that the one whose id its name says: while a session is being created, its meta is not there yet.
    """
    name = layout.RolloutName.parse(path)
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
    Give the id in the file's meta, after making sure that appending does no harm.
    """
    with read_lines(path) as lines:
        line = next((line for line in lines if isinstance(line.item, schema.SessionMeta)), None)
    if line is None:
        raise MissingSessionMetaError(path, "no session_meta" if path.stat().st_size else "empty session file")
    if line.is_bare:
        raise UnsupportedSessionError(path, "it was written before Codex 0.32, in a form that nothing appends to")
    mode = line.payload.get("history_mode")
    if mode not in (None, "legacy", "paginated"):
        raise UnsupportedSessionError(path, f"its history_mode is {mode!r}, which is not known")
    try:
        return str(UUID(line.payload["id"]))
    except ValueError:
        raise UnsupportedSessionError(path, f"its id {line.payload['id']!r} is not a UUID") from None


def _next_ordinal(path: Path) -> int | None:
    """
    Give the number that a paginated session's next line has; None for a session without numbers.

    It follows the last readable line, from its raw JSON: a line that Codex calls corrupt (one without a
    number, or with one used before) makes the whole session unreadable to it.
    """
    with read_lines(path) as lines:
        meta = next(line.payload for line in lines if line.type == "session_meta")
    if meta.get("history_mode") != "paginated":
        return None
    last = next(decode_backwards(path)).ordinal
    if last is None or not 0 <= last < _ORDINAL_MAX:
        raise UnsupportedSessionError(path, f"it is paginated, but its last line has the ordinal {last}")
    if last + 1 < (meta.get("subagent_history_start_ordinal") or 0):
        raise UnsupportedSessionError(path, "the history it starts from is incomplete")
    return last + 1
