"""
Check an index: the checksum of each row, that no row is missing, and SQLite's own trees.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from rollout.search._damage import DamagedIndexError, checksum, span_checksum

if TYPE_CHECKING:
    from rollout.search._rows import Rows

__all__ = ["check"]

_NOTES = ("version", "home", "tokenizer", "next_row", "folders", "checked", "commits")
# Bytes that are not the last byte of a packed offset.
_MORE = bytes(range(0x80, 0x100))


def check(index: Rows) -> None:
    """
    Check a snapshot of the index, except for the words. Blocks, some 5 s for the index of 100,000 sessions.

    Needed after a process was killed while it wrote; in other cases the checksum in the seal covers every byte.

    Raises:
        DamagedIndexError: A row is missing or damaged.
        sqlite3.DatabaseError: SQLite cannot read the index.
    """
    index.database.execute("BEGIN")
    try:
        _check_trees(index.database)
        _check_sessions(index)
        _check_spans(index)
    finally:
        index.database.rollback()


def _check_trees(database: sqlite3.Connection) -> None:
    # Only the slower check detects whether the SQL indexes of a table contain all its rows.
    for pragma in ("quick_check(1)", "integrity_check(sessions)"):
        (result,) = database.execute(f"PRAGMA {pragma}").fetchone()
        if result != "ok":
            raise DamagedIndexError(result)


def _check_sessions(index: Rows) -> None:
    for key in _NOTES:
        index.note(key)
    index.folders()
    for _ in index.rows():
        pass
    for number, sum_ in index.database.execute("SELECT id, sum FROM gone"):
        if sum_ != checksum(number):
            raise DamagedIndexError(f"the row of the deleted session {number} is damaged")
    index.count()


def _check_spans(index: Rows) -> None:
    next_row = 1
    for first, session, offsets, sum_ in index.database.execute("SELECT * FROM spans ORDER BY first"):
        if first != next_row or sum_ != span_checksum(first, session, offsets):
            raise DamagedIndexError(f"the lines from {next_row} on are missing or damaged")
        next_row += len(offsets.translate(None, _MORE))
    if next_row != index.note("next_row"):
        raise DamagedIndexError(f"the lines from {next_row} on are missing")
