"""
What is wrong with an index: one error for each kind of damage, and for a lock of another program.

SQLite keeps no checksums of what it stores: a flipped bit is read as another value. So each row has a checksum of ours.
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

OTHER_PROGRAM = "another program, which is none of ours"
# What SQLite says where the disk, the rights or a lock are the reason, by the beginnings of its messages: Python 3.10
# gives no error code, and "Could not decode to UTF-8" has none.
_LOCKS = ("database is locked", "database table is locked", "database schema is locked", "locking protocol")
_SURROUNDINGS = (
    *_LOCKS,
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
    "attempt to write a readonly database",
    "access permission denied",
    "interrupted",
)
_NUMBERS, _SPAN = struct.Struct("<8q"), struct.Struct("<2q")
# What no checksum is.
_NO_SUM = -1


class IndexBusyError(RolloutError):
    """
    Another process updates the index, or another program has locked it; searches go on, without it if it is locked.

    Attributes:
        path: What is locked: the lock of updates, or the index itself.
        holder: Which kind of process holds it.
    """

    def __init__(self, path: Path, holder: str = "another process that updates the index") -> None:
        super().__init__(path, holder)
        self.path = path
        self.holder = holder

    def __str__(self) -> str:
        return f"{self.path} is held by {self.holder}; wait for it, or search without"


class DamagedIndexError(sqlite3.DatabaseError):
    """
    A row of the index is missing, or is not what was written. A `sqlite3.DatabaseError`, as damage is that SQLite sees.
    """


def is_damage(error: BaseException | None) -> bool:
    """
    Whether an error means that an index is damaged; False if its disk is full or it is locked, say.
    """
    if not isinstance(error, sqlite3.DatabaseError) or isinstance(error, sqlite3.ProgrammingError):
        return False
    return not (isinstance(error, sqlite3.OperationalError) and str(error).startswith(_SURROUNDINGS))


def is_lock(error: BaseException) -> bool:
    """
    Whether an error means that an index is locked.
    """
    return isinstance(error, sqlite3.OperationalError) and str(error).startswith(_LOCKS)


def checksum(*values: Any) -> int:
    """
    Return a checksum of values as SQLite stores them; the same in each version of Python.
    """
    return crc32("\0".join(map(str, values)).encode("utf-8", "surrogatepass"))


def session_checksum(columns: Sequence[Any]) -> int:
    """
    Return a checksum of a session's columns, in the order of `COLUMNS` of `_rows`; -1 if their types are wrong.

    As `checksum`, but 2 us instead of 5: an update takes it of each session of the home.
    """
    number, name, folder, is_compressed, size, mtime_ns, inode, offset, check, turns, tokens, *texts = columns
    problem, cwd, branch, repository, model, originator, source, preview = texts
    try:
        numbers = _NUMBERS.pack(number, is_compressed, size, mtime_ns, inode, offset, turns, tokens)
        text = f"{name}\0{folder}\0{problem}\0{cwd}\0{branch}\0{repository}\0{model}\0{originator}\0{source}\0{preview}"
        return crc32(text.encode(), crc32(check or b"", crc32(numbers)))
    except (struct.error, TypeError):
        return _NO_SUM


def span_checksum(first: Any, session: Any, offsets: Any) -> int:
    """
    Return a checksum of where lines of a session lie; -1 if their types are wrong.
    """
    try:
        return crc32(offsets, crc32(_SPAN.pack(first, session)))
    except (struct.error, TypeError):
        return _NO_SUM
