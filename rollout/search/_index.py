"""
The full-text index of one home: a SQLite file in the user's cache, made from the rollouts and disposable at any time.

It holds no text (contentless FTS5), only which words stand where: a row is a line, and its number says session and
byte. Rows of a session that was written anew or is gone stay until the index is made anew, and lead nowhere.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from attrs import frozen

from rollout._facts import Facts, Filters
from rollout.layout import StrPath, home_folder, make_folder
from rollout.search._query import TOKENIZER, TRIGRAM, Query

__all__ = ["COLUMNS", "Index", "Row", "index_path", "remove", "tags_of"]

_VERSION = 1
# 256 GB a file, 32 million files.
_OFFSET_BITS = 38
# Seconds to wait for another process that writes a batch.
_TIMEOUT = 60.0
_FACTS = ("cwd", "branch", "repository", "model", "originator", "source", "preview")
COLUMNS = (
    *("id", "name", "folder", "is_compressed", "size", "mtime_ns", "offset", "checksum", "turns", "tokens", "problem"),
    *_FACTS,
)
_TABLES = f"""
CREATE TABLE notes (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE folders (path TEXT PRIMARY KEY, mtime_ns INTEGER) WITHOUT ROWID;
CREATE TABLE sessions (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, {", ".join(COLUMNS[2:])}, state BLOB);
CREATE VIRTUAL TABLE texts USING fts5(text, tags, content = '', columnsize = 0, tokenize = '%s');
"""


@frozen
class Row:
    """
    A session as the index has it.

    Attributes:
        id: Its number; higher where a session is newer, or was found later.
        name: Its file's name, without ``.zst``.
        folder: The file's folder, below the home.
        is_compressed: The file's name has ``.zst`` behind.
        size: Bytes of the file when it was read.
        mtime_ns: When it had changed last.
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


def index_path(home: StrPath | None = None) -> Path:
    """
    Give the place of a home's index, which need not be there: in the user's cache folder.

    Raises:
        ModuleNotFoundError: The extra ``search`` is not installed.
    """
    try:
        from platformdirs import user_cache_path  # noqa: PLC0415 -- an extra
    except ModuleNotFoundError as error:
        message = "the index needs pip install 'rollout-recorder[search]'"
        raise ModuleNotFoundError(message, name=error.name) from error
    digest = blake2b(str(home_folder(home).absolute()).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    return Path(user_cache_path("rollout"), f"{digest}.sqlite")


class Index:
    """
    An open index; `Index.open` gives one that is there, `Index.create` one to fill.

    Several processes may have it open. Rows that it gives may be behind the files; see `rollout.search.update_index`.
    """

    def __init__(self, home: Path, database: sqlite3.Connection, path: Path) -> None:
        self.home = home
        self.path = path
        self.database = database
        self.tokenizer = TRIGRAM if self.note("tokenizer") == TRIGRAM else TOKENIZER

    @classmethod
    def open(cls, home: StrPath | None = None) -> Index | None:
        """
        Open a home's index; None if there is none, or one that this version cannot use.
        """
        folder, path = home_folder(home).absolute(), index_path(home)
        if not path.is_file():
            return None
        with suppress(sqlite3.DatabaseError):
            database = _connect(path)
            index = cls(folder, database, path)
            if index.note("version") == _VERSION:
                return index
            database.close()
        return None

    @classmethod
    def create(cls, home: StrPath | None = None, *, trigram: bool = False) -> Index:
        """
        Make an empty index in the place of what is there.

        Args:
            home: The home.
            trigram: For parts of words, too; 80 times larger.

        Raises:
            OSError, sqlite3.Error: It could not be made.
        """
        folder, path = home_folder(home).absolute(), index_path(home)
        make_folder(path.parent)
        remove(path)
        database = _connect(path)
        # Readers go on while it is written; what is lost in a power cut is made again.
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(_TABLES % (TRIGRAM if trigram else TOKENIZER))
        path.chmod(0o600)
        index = cls(folder, database, path)
        index.note("tokenizer", TRIGRAM if trigram else TOKENIZER)
        index.note("home", str(folder))
        index.note("version", _VERSION)
        index.tokenizer = TRIGRAM if trigram else TOKENIZER
        return index

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """
        Close it.
        """
        self.database.close()

    def note(self, key: str, value: Any = None) -> Any:
        """
        Give a note; with a value, keep it.
        """
        if value is not None:
            self.database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, value))
            return value
        found = self.database.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
        return found and found[0]

    def row(self, number: int) -> Row | None:
        """
        Give a session by its number; None if it is gone.
        """
        return next(self.rows("id = ?", number), None)

    def rows(self, condition: str = "1 = 1", *values: Any) -> Iterator[Row]:
        """
        Give the sessions that fit a condition of SQL.
        """
        found = self.database.execute(f"SELECT {', '.join(COLUMNS)} FROM sessions WHERE {condition}", values)  # noqa: S608
        count = len(COLUMNS) - len(_FACTS)
        for values_of_row in found:
            yield Row(*(*values_of_row[:count], Facts(*values_of_row[count:])))

    def find(self, query: Query, filters: Filters) -> Iterator[tuple[Row, int]]:
        """
        Give the lines that match, by session and byte; the newest sessions first, and of each its last lines.
        """
        parts = [f"text : ({query.expression})"] if query.expression else []
        parts += [f'tags : "{tag}"' for tag in _wanted_tags(filters)]
        wanted = _wanted_rows(filters)
        sessions = {number for (number,) in self.database.execute(*wanted)} if wanted else None
        expression = " AND ".join(f"({part})" for part in parts)
        found = self.database.execute("SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rowid DESC", [expression])
        last, row = -1, None
        for (number,) in found:
            session = number >> _OFFSET_BITS
            if sessions is not None and session not in sessions:
                continue
            if session != last:
                last, row = session, self.row(session)
                row = row if row is None or filters.fit(row.facts) else None
            if row is not None:
                yield row, number & ((1 << _OFFSET_BITS) - 1)

    def add(self, session: int, texts: list[tuple[int, str, str]]) -> None:
        """
        Add lines of a session: byte, text, tags.
        """
        base = session << _OFFSET_BITS
        self.database.executemany(
            "INSERT INTO texts(rowid, text, tags) VALUES (?, ?, ?)",
            [(base | offset, text, tags) for offset, text, tags in texts],
        )


def remove(path: Path) -> None:
    """
    Remove an index, if it is there.
    """
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_TIMEOUT, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA synchronous = NORMAL")
    return database


def tags_of(kind: str, tool: str | None, is_failed: bool) -> str:
    """
    Give what a filter looks for; each as a phrase that ends, as a tool's name may be several words.
    """
    return " ".join(_tags(kind, tool, is_failed))


def _tags(kind: str | None, tool: str | None, is_failed: bool) -> list[str]:
    tags = [f"kind {kind} end"] if kind else []
    if tool:
        tags.append(f"tool {tool} end")
    return [*tags, "failed"] if is_failed else tags


def _wanted_tags(filters: Filters) -> list[str]:
    tool = filters.tool and filters.tool.replace('"', " ").replace("\0", " ")
    return _tags(filters.kind, tool, filters.failed)


def _wanted_rows(filters: Filters) -> tuple[str, list[Any]] | None:
    """
    Give the SQL that leaves out most sessions by what is quick to ask; None if all are wanted.
    """
    conditions, values = [], []
    if filters.since is not None:
        conditions.append("mtime_ns >= ?")
        values.append(int(filters.since.timestamp() * 10**9))
    if filters.archived is not None:
        conditions.append(f"folder {'=' if filters.archived else '!='} 'archived_sessions'")
    for name in ("branch", "model", "originator", "source"):
        wanted = getattr(filters, name)
        if wanted is not None:
            conditions.append(f"{name} = ?")
            values.append(wanted)
    if not conditions and not filters.is_of_facts:
        return None
    return f"SELECT id FROM sessions WHERE {' AND '.join(conditions) or '1 = 1'}", values  # noqa: S608
