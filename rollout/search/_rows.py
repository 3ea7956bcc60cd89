"""
The rows of an index, each read with its checksum: what is not as it was written decides no answer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from attrs import frozen

from rollout._facts import Facts
from rollout.layout import is_place
from rollout.search._damage import DamagedIndexError, checksum, session_checksum

__all__ = ["COLUMNS", "Row", "Rows"]

_FACTS = ("cwd", "branch", "repository", "model", "originator", "source", "preview")
COLUMNS = (
    *("id", "name", "folder", "is_compressed", "size", "mtime_ns", "inode", "offset", "checksum"),
    *("turns", "tokens", "problem"),
    *_FACTS,
)


@frozen
class Row:
    """
    A session as the index has it.

    Attributes:
        id: Its number; higher where a session is newer, or was found later.
        name: Its file's name, without ``.zst``.
        folder: The file's folder, below the home.
        is_compressed: The file's name has ``.zst`` behind.
        size: Bytes of the file when it was read; -1 if it is not read to its end.
        mtime_ns: When it had changed last; -1 as above.
        inode: The file's number.
        offset: Up to where it was read, in the (uncompressed) file.
        checksum: Of the bytes before that.
        turns: How often the user asked.
        tokens: Used by it.
        problem: What could not be read.
        facts: What it is filtered by.
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
    tokens: int
    problem: str | None
    facts: Facts

    @property
    def path(self) -> Path:
        """The file, below the home."""
        return Path(self.folder, f"{self.name}.zst" if self.is_compressed else self.name)


class Rows:
    """
    What stands in the tables of an index, but for the words.

    Args:
        database: The open index.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database

    def note(self, key: str, value: Any = None) -> Any:
        """
        Give a note; with a value, keep it.

        Raises:
            DamagedIndexError: There is none of this key, or it is not as it was written.
        """
        if value is not None:
            self.database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?, ?)", (key, value, checksum(key, value)))
            return value
        found = self.database.execute("SELECT value, sum FROM notes WHERE key = ?", (key,)).fetchone()
        if found is None or found[1] != checksum(key, found[0]):
            raise DamagedIndexError(f"the note of its {key} is damaged")
        return found[0]

    def folders(self) -> list[tuple[str, int]]:
        """
        Return the folders of the home of which the index has all sessions: where, and when each had changed.

        Raises:
            DamagedIndexError: One of them is missing, or not as it was written.
        """
        found = self.database.execute("SELECT path, mtime_ns FROM folders ORDER BY path").fetchall()
        if self.note("folders") != checksum(*chain.from_iterable(found)):
            raise DamagedIndexError("its folders are damaged")
        return found

    def note_folders(self, rows: Iterable[tuple[str, int]]) -> None:
        """
        Keep what `folders` returns. Within a transaction.
        """
        rows = sorted(rows)
        self.database.execute("DELETE FROM folders")
        self.database.executemany("INSERT INTO folders VALUES (?, ?)", rows)
        self.note("folders", checksum(*chain.from_iterable(rows)))

    def row(self, number: int) -> Row | None:
        """
        Give a session by its number; None if it is gone.

        Raises:
            DamagedIndexError: It is neither there nor gone.
        """
        row = next(self.rows("id = ?", number), None)
        if row is None:
            gone = self.database.execute("SELECT sum FROM gone WHERE id = ?", (number,)).fetchone()
            if gone != (checksum(number),):
                raise DamagedIndexError(f"session {number} is missing")
        return row

    def rows(self, condition: str = "1 = 1", *values: Any) -> Iterator[Row]:
        """
        Give the sessions that fit a condition of SQL.

        Raises:
            DamagedIndexError: One of them is not as it was written, or leads out of the home.
        """
        query = f"SELECT {', '.join(COLUMNS)}, sum FROM sessions WHERE {condition}"  # noqa: S608
        count = len(COLUMNS) - len(_FACTS)
        for *columns, sum_ in self.database.execute(query, values):
            if sum_ != session_checksum(columns):
                raise DamagedIndexError(f"session {columns[0]} is damaged")
            name, folder = columns[1], columns[2]
            if not is_place(folder) or not name.startswith("rollout-") or "/" in name:
                raise DamagedIndexError(f"session {columns[0]} is no rollout of a home")
            yield Row(*columns[:count], Facts(*columns[count:]))  # type: ignore[call-arg]

    def sign(self, number: int) -> None:
        """
        Keep the checksum of a session's row, which was written. Within a transaction.
        """
        (columns,) = self.database.execute(f"SELECT {', '.join(COLUMNS)} FROM sessions WHERE id = ?", (number,))  # noqa: S608
        self.database.execute("UPDATE sessions SET sum = ? WHERE id = ?", (session_checksum(columns), number))

    def forget(self, numbers: Iterable[int]) -> None:
        """
        Note that sessions are gone: their lines stay, and lead nowhere. Within a transaction.
        """
        for number in numbers:
            self.database.execute("DELETE FROM sessions WHERE id = ?", (number,))
            self.database.execute("INSERT INTO gone VALUES (?, ?)", (number, checksum(number)))

    def count(self) -> int:
        """
        Return how many sessions there are.

        Raises:
            DamagedIndexError: One that was numbered is neither there nor gone.
        """
        count, gone, last = self.database.execute(
            "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM gone),"
            " (SELECT seq FROM sqlite_sequence WHERE name = 'sessions')"
        ).fetchone()
        if count + gone != (last or 0):
            raise DamagedIndexError(f"of {last} sessions {count} are there and {gone} gone")
        return int(count)

    def state(self, number: int) -> bytes | None:
        """
        Give what is needed to go on reading a session; None if nothing of it is read.
        """
        found = self.database.execute("SELECT state FROM sessions WHERE id = ?", (number,))
        return next((state for (state,) in found), None)
