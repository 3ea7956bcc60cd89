"""
Read and write the rows of an index. Each row is verified by its checksum when it is read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from attrs import frozen

from rollout.home import is_session_folder
from rollout.interpret import SessionFacts
from rollout.search._damage import DamagedIndexError, checksum, session_checksum

__all__ = ["COLUMNS", "Row", "Rows"]

_FACTS = (
    *("cwd", "branch", "repository", "model", "originator", "source"),
    *("preview", "parent_id", "role", "nickname", "given_name", "named_at"),
)
COLUMNS = (
    *("id", "name", "folder", "is_compressed", "size", "mtime_ns", "inode", "offset", "checksum"),
    *("turns", "tokens", "updated_ms", "parent", "problem"),
    *_FACTS,
)


@frozen
class Row:
    """
    A session as stored in the index.

    Attributes:
        id: Number of the session; higher if the session is newer, or was found later.
        name: Name of the file, without ``.zst``.
        folder: Folder of the file, relative to the home.
        is_compressed: Whether the name of the file ends with ``.zst``.
        size: Size of the file in bytes when it was read; -1 if it was not read to its end.
        mtime_ns: Modification time of the file when it was read; -1 if it was not read to its end.
        inode: Inode number of the file.
        offset: Position in the (uncompressed) file up to which it was read.
        checksum: Checksum of the bytes before this position.
        turns: Number of turns.
        tokens: Number of tokens used; None if no line states them.
        updated_ms: Time of the last use, in Unix milliseconds; None if no line has a time.
        parent: Which file was read to find the lines that a fork copied: its session id and its inode number (0 if the
            file was missing); None if none was needed.
        problem: Description of the part that could not be read; None if everything was read.
        facts: Values to filter by.
    """

    id: int
    name: str
    folder: str
    is_compressed: bool
    size: int
    mtime_ns: int
    inode: int
    offset: int
    checksum: bytes | None
    turns: int
    tokens: int | None
    updated_ms: int | None
    parent: str | None
    problem: str | None
    facts: SessionFacts

    @property
    def used_ms(self) -> int:
        """Time of the last use, otherwise of the last change of the file, in Unix milliseconds."""
        return self.mtime_ns // 10**6 if self.updated_ms is None else self.updated_ms

    @property
    def path(self) -> Path:
        """Path of the file, relative to the home."""
        return Path(self.folder, f"{self.name}.zst" if self.is_compressed else self.name)


class Rows:
    """
    The tables of an index, except for the words.

    Args:
        database: The open index.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database

    def note(self, key: str, value: Any = None) -> Any:
        """
        Return the value of a note; if a value is given, store it first.

        Raises:
            DamagedIndexError: There is no note with this key, or it is damaged.
        """
        if value is not None:
            self.database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?, ?)", (key, value, checksum(key, value)))
            return value
        found = self.database.execute("SELECT value, sum FROM notes WHERE key = ?", (key,)).fetchone()
        if found is None or found[1] != checksum(key, found[0]):
            raise DamagedIndexError(f"the note {key!r} is missing or damaged")
        return found[0]

    def folders(self) -> list[tuple[str, int]]:
        """
        Return the indexed folders of the home: the path and modification time of each.

        Raises:
            DamagedIndexError: A row is missing or damaged.
        """
        found = self.database.execute("SELECT path, mtime_ns FROM folders ORDER BY path").fetchall()
        if self.note("folders") != checksum(*chain.from_iterable(found)):
            raise DamagedIndexError("the list of folders is damaged")
        return found

    def note_folders(self, rows: Iterable[tuple[str, int]]) -> None:
        """
        Store the result of `folders`. To be called within a transaction.
        """
        rows = sorted(rows)
        self.database.execute("DELETE FROM folders")
        self.database.executemany("INSERT INTO folders VALUES (?, ?)", rows)
        self.note("folders", checksum(*chain.from_iterable(rows)))

    def row(self, number: int) -> Row | None:
        """
        Return a session by its number; None if it was deleted.

        Raises:
            DamagedIndexError: There is no row of the session, and no note that it was deleted.
        """
        row = next(self.rows("id = ?", number), None)
        if row is None:
            gone = self.database.execute("SELECT sum FROM gone WHERE id = ?", (number,)).fetchone()
            if gone != (checksum(number),):
                raise DamagedIndexError(f"session {number} is missing")
        return row

    def rows(self, condition: str = "1 = 1", *values: Any) -> Iterator[Row]:
        """
        Yield the sessions that match an SQL condition.

        Raises:
            DamagedIndexError: A row is damaged, or its path is outside the home.
        """
        query = f"SELECT {', '.join(COLUMNS)}, sum FROM sessions WHERE {condition}"  # noqa: S608
        count = len(COLUMNS) - len(_FACTS)
        for *columns, sum_ in self.database.execute(query, values):
            if sum_ != session_checksum(columns):
                raise DamagedIndexError(f"session {columns[0]} is damaged")
            name, folder = columns[1], columns[2]
            if not is_session_folder(folder) or not name.startswith("rollout-") or "/" in name:
                raise DamagedIndexError(f"session {columns[0]} is not a rollout in the home")
            yield Row(*columns[:count], SessionFacts(*columns[count:]))  # type: ignore[call-arg]

    def sign(self, number: int) -> None:
        """
        Store the checksum of a session's row after a change. To be called within a transaction.
        """
        (columns,) = self.database.execute(f"SELECT {', '.join(COLUMNS)} FROM sessions WHERE id = ?", (number,))  # noqa: S608
        self.database.execute("UPDATE sessions SET sum = ? WHERE id = ?", (session_checksum(columns), number))

    def forget(self, numbers: Iterable[int]) -> None:
        """
        Delete sessions, and note that they were deleted. Their lines stay in the index, but are ignored. To be called
        within a transaction.
        """
        for number in numbers:
            self.database.execute("DELETE FROM sessions WHERE id = ?", (number,))
            self.database.execute("INSERT INTO gone VALUES (?, ?)", (number, checksum(number)))

    def count(self) -> int:
        """
        Return the number of sessions.

        Raises:
            DamagedIndexError: A session that got a number has no row, and no note that it was deleted.
        """
        count, gone, last = self.database.execute(
            "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM gone),"
            " (SELECT seq FROM sqlite_sequence WHERE name = 'sessions')"
        ).fetchone()
        if count + gone != (last or 0):
            raise DamagedIndexError(f"the index has {count} of {last} sessions, and {gone} were deleted")
        return int(count)

    def state(self, number: int) -> bytes | None:
        """
        Return the state from which reading a session can continue; None if nothing of the session was read.
        """
        found = self.database.execute("SELECT state FROM sessions WHERE id = ?", (number,))
        return next((state for (state,) in found), None)
