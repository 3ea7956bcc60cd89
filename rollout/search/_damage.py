"""
Errors of an index (damage, and a lock of another program), and the checksums that detect damage.

SQLite stores no checksums: after a bit flip, it returns another value. So each row of the index has its own checksum.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from rollout.errors import RolloutError

__all__ = [
    "OTHER_PROGRAM",
    "DamagedIndexError",
    "IndexBusyError",
    "checksum",
    "is_damage",
    "is_lock",
    "session_checksum",
    "span_checksum",
]

OTHER_PROGRAM = "another program, which is not rollout"
# Beginnings of the messages of SQLite for errors that a lock, the disk or missing permissions cause. Python 3.10 has no
# error codes, and "Could not decode to UTF-8" has none in any version.
_LOCKS = ("database is locked", "database table is locked", "database schema is locked", "locking protocol")
_OTHER_CAUSES = (
    *_LOCKS,
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
    "attempt to write a readonly database",
    "access permission denied",
    "interrupted",
)
_NUMBERS, _SPAN = struct.Struct("<9q"), struct.Struct("<2q")
# A value that is never a checksum.
_NO_SUM = -1


class IndexBusyError(RolloutError):
    """
    Another process is updating the index, or another program has locked it. Searches still work: if the index is
    locked, they read the files.

    Attributes:
        path: Path of the locked file: the lock file of updates, or the index.
        holder: Description of the process that holds the lock.
    """

    def __init__(self, path: Path, holder: str = "another process that updates the index") -> None:
        super().__init__(path, holder)
        self.path = path
        self.holder = holder

    def __str__(self) -> str:
        return f"{self.path} is locked by {self.holder}; wait until the lock is released, or search without the index"


class DamagedIndexError(sqlite3.DatabaseError):
    """
    A row of the index is missing or damaged. A `sqlite3.DatabaseError`, like the errors for damage that SQLite detects.
    """


def is_damage(error: BaseException | None) -> bool:
    """
    Return whether an error means that an index is damaged. For a full disk or a lock, for example, return False.
    """
    if not isinstance(error, sqlite3.DatabaseError) or isinstance(error, sqlite3.ProgrammingError):
        return False
    return not (isinstance(error, sqlite3.OperationalError) and str(error).startswith(_OTHER_CAUSES))


def is_lock(error: BaseException) -> bool:
    """
    Return whether an error means that an index is locked.
    """
    return isinstance(error, sqlite3.OperationalError) and str(error).startswith(_LOCKS)


def checksum(*values: Any) -> int:
    """
    Return a checksum of values as SQLite stores them. It is the same in every version of Python.
    """
    return crc32("\0".join(map(str, values)).encode("utf-8", "surrogatepass"))


def session_checksum(columns: Sequence[Any]) -> int:
    """
    Return a checksum of a session's columns, in the order of `_rows.COLUMNS`; -1 if their types are wrong.

    Takes 2 us, while `checksum` takes 5 us: an update calls it for each session of the home.
    """
    number, name, folder, is_compressed, size, mtime_ns, inode, offset, check, turns, tokens, used, *texts = columns
    parent, problem, cwd, branch, repository, model, originator, source, preview, *origin = texts
    known_tokens, known_used = (0 if value is None else value for value in (tokens, used))
    try:
        numbers = _NUMBERS.pack(
            number,
            is_compressed,
            size,
            mtime_ns,
            inode,
            offset,
            turns,
            known_tokens,
            known_used,
        )
        text = f"{name}\0{folder}\0{tokens is None}\0{used is None}\0{parent}\0{problem}\0{cwd}\0{branch}"
        text = f"{text}\0{repository}\0{model}\0{originator}\0{source}\0{preview}\0{origin}"
        return crc32(text.encode(), crc32(check or b"", crc32(numbers)))
    except (struct.error, TypeError):
        return _NO_SUM


def span_checksum(first: Any, session: Any, offsets: Any) -> int:
    """
    Return a checksum of the positions of a session's lines; -1 if their types are wrong.
    """
    try:
        return crc32(offsets, crc32(_SPAN.pack(first, session)))
    except (struct.error, TypeError):
        return _NO_SUM
