"""
The full-text index of one home: a SQLite file in the user's cache, made from the rollouts and disposable at any time.

It holds no text (contentless FTS5), only which words stand in which lines; see `_postings`. Lines of a session that was
written anew or is gone stay until the index is made anew, and lead nowhere.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from attrs import frozen

from rollout._facts import Facts
from rollout.layout import StrPath, home_folder, make_folder
from rollout.search._query import TOKENIZER, TRIGRAM, plain_text

__all__ = ["COLUMNS", "Index", "Row", "index_path", "is_damage", "remove", "rollback"]

_VERSION = 4
# Seconds to wait for another process that writes a batch.
_TIMEOUT = 60.0
_FACTS = ("cwd", "branch", "repository", "model", "originator", "source", "preview")
COLUMNS = (
    *("id", "name", "folder", "is_compressed", "size", "mtime_ns", "inode", "offset", "checksum"),
    *("turns", "tokens", "problem"),
    *_FACTS,
)
_TABLES = f"""
CREATE TABLE notes (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE folders (path TEXT PRIMARY KEY, mtime_ns INTEGER) WITHOUT ROWID;
CREATE TABLE sessions (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, {", ".join(COLUMNS[2:])}, state BLOB);
CREATE INDEX unread ON sessions(id) WHERE size < 0;
CREATE TABLE spans (first INTEGER PRIMARY KEY, session INTEGER, offsets BLOB);
CREATE VIRTUAL TABLE texts
USING fts5(text, content = '', columnsize = 0, detail = {{detail}}, tokenize = '{{tokenizer}}');
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
        while (number := _inode(path)) is not None:
            index = cls._opened(folder, path)
            # Else another took its place meanwhile, and what was opened may have got that one's log.
            if _inode(path) == number:
                return index
            if index is not None:
                index.close()
        return None

    @classmethod
    def _opened(cls, folder: Path, path: Path) -> Index | None:
        with suppress(sqlite3.DatabaseError), ExitStack() as stack:
            database = _connect(path)
            stack.callback(database.close)
            index = cls(folder, database, path)
            if index.note("version") == _VERSION:
                stack.pop_all()
                return index
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
        # The log beside it gets its permissions.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with ExitStack() as stack:
            database = _connect(path)
            stack.callback(database.close)
            # Readers go on while it is written; what is lost in a power cut is made again.
            database.execute("PRAGMA journal_mode = WAL")
            # A trigram is found by where its parts stand.
            tables = _TABLES.format(detail="full" if trigram else "none", tokenizer=TRIGRAM if trigram else TOKENIZER)
            database.executescript(tables)
            index = cls(folder, database, path)
            index.note("tokenizer", TRIGRAM if trigram else TOKENIZER)
            index.note("home", plain_text(str(folder)))
            index.note("version", _VERSION)
            index.tokenizer = TRIGRAM if trigram else TOKENIZER
            stack.pop_all()
        return index

    def __enter__(self) -> Index:
        return self

    def __exit__(self, kind: object, error: BaseException | None, tb: object) -> None:
        if is_damage(error):
            # Whoever looks for it next finds none, and makes another.
            with suppress(sqlite3.DatabaseError):
                rollback(self.database)
                with self.transaction(timeout=0.0):
                    self.note("version", 0)
        self.close()

    def close(self) -> None:
        """Close it."""
        self.database.close()

    @contextmanager
    def transaction(self, timeout: float | None = None) -> Iterator[None]:
        """
        Write something as a whole; *timeout* is how many seconds another process that writes is waited for.
        """
        self._wait_at_most(_TIMEOUT if timeout is None else timeout)
        try:
            self.database.execute("BEGIN IMMEDIATE")
            yield
            self.database.execute("COMMIT")
        except BaseException:
            rollback(self.database)
            raise
        finally:
            self._wait_at_most(_TIMEOUT)

    def _wait_at_most(self, timeout: float) -> None:
        self.database.execute(f"PRAGMA busy_timeout = {timeout * 1000:.0f}")

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

    def state(self, number: int) -> bytes | None:
        """
        Give what is needed to go on reading a session; None if nothing of it is read.
        """
        found = self.database.execute("SELECT state FROM sessions WHERE id = ?", (number,))
        return next((state for (state,) in found), None)


def remove(path: Path) -> None:
    """
    Remove an index, if it is there.
    """
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def is_damage(error: BaseException | None) -> bool:
    """
    Say whether an error means that a database is damaged; one of another kind, that its disk is full, say.
    """
    return type(error) in (sqlite3.DatabaseError, sqlite3.IntegrityError)


def rollback(database: sqlite3.Connection) -> None:
    """
    Take back what a transaction wrote, unless SQLite has done so itself.
    """
    if database.in_transaction:
        database.execute("ROLLBACK")


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _connect(path: Path) -> sqlite3.Connection:
    # Makes no file: one that is gone since is gone.
    address = f"{path.absolute().as_uri()}?mode=rw"
    database = sqlite3.connect(address, timeout=_TIMEOUT, isolation_level=None, check_same_thread=False, uri=True)
    with ExitStack() as stack:
        stack.callback(database.close)
        database.execute("PRAGMA synchronous = NORMAL")
        stack.pop_all()
    return database
