"""
The lines of a forked session that are in the file of another session, or were copied from there.

Codex of 2026 forks a session by reference: the session_meta of the new file has a *history_base*, with the ordinal up
to which the lines of the other file belong to the new session. Checked with files of 0.169.0.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from rollout.codec import RolloutLine
from rollout.errors import AmbiguousSessionError, SessionNotFoundError
from rollout.home import StrPath, find_and_use, find_session, walk
from rollout.interpret import KnownParent, ParentSource, line_digest
from rollout.reading._lines import read_lines

__all__ = ["base_of", "inherited_lines", "parent_source"]

# Maximum number of forks of forks that are followed; a file may refer to itself.
_DEPTH_MAX = 64
# Number of sessions whose digests are kept: the forks of a session are often read one after the other.
_PARENTS_MAX = 8


def base_of(meta: Mapping[str, Any]) -> str | None:
    """
    Return the id of the rollout to which the payload of a session_meta refers; None if it refers to none.
    """
    base = meta.get("history_base")
    rollout_id = base.get("thread_id") if isinstance(base, dict) else None
    return rollout_id if isinstance(rollout_id, str) else None


def inherited_lines(meta: Mapping[str, Any], home: Path, *, depth: int = _DEPTH_MAX) -> Iterator[RolloutLine]:
    """
    Yield the lines of a session that are in files of other sessions, oldest first; none if its own file has all lines.

    Args:
        meta: Payload of the session_meta.
        home: Home in which to find the other sessions, live or archived.
        depth: Maximum number of forks to follow.

    Raises:
        SessionNotFoundError: The session to which it refers does not exist.
        OSError, ModuleNotFoundError: As `read_lines`.
    """
    rollout_id = base_of(meta)
    if rollout_id is None or not depth:
        return
    end = meta["history_base"].get("end_ordinal_exclusive")
    with find_and_use(lambda: _file_of(rollout_id.lower(), home), read_lines) as lines:
        for line in lines:
            if line.type == "session_meta":
                yield from inherited_lines(line.payload, home, depth=depth - 1)
            if line.ordinal is not None and type(end) is int and line.ordinal >= end:
                break
            yield line


def _file_of(rollout_id: str, home: Path) -> Path:
    for name in walk(home, name_contains=rollout_id, archived=None):
        if name.key[1] == rollout_id:
            return name.path
    raise SessionNotFoundError(rollout_id, home)


def parent_source(home: StrPath) -> ParentSource:
    """
    Return the function with which an interpreter asks for the lines of a session in a home. It reads a whole file.
    """

    def source(session_id: str) -> KnownParent | None:
        try:
            path = find_session(session_id, home=home)
            status = path.stat()
            return _read_parent(path, status.st_mtime_ns, status.st_size)
        except (SessionNotFoundError, AmbiguousSessionError, OSError, ImportError):
            return None

    return source


@lru_cache(maxsize=_PARENTS_MAX)
def _read_parent(path: Path, _mtime_ns: int, _size: int) -> KnownParent:
    digests: dict[bytes, array[int]] = {}
    with read_lines(path) as lines:
        for number, line in enumerate(lines):
            digests.setdefault(line_digest(line), array("Q")).append(number)
    return KnownParent(digests)
