"""
The full-text index of one home: a SQLite file in the user's cache folder, built from the rollouts. It can be deleted at
any time.

It contains no text (contentless FTS5), only the words of each line; see `_postings`. Lines of a replaced or deleted
session stay until the index is rebuilt, and are ignored.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from rollout._lazy import extra_error
from rollout._text import plain_text
from rollout.home import StrPath, home_folder, make_folder
from rollout.search._checking import check
from rollout.search._damage import OTHER_PROGRAM, DamagedIndexError, IndexBusyError, checksum, is_damage, is_lock
from rollout.search._query import TOKENIZER, TRIGRAM
from rollout.search._rows import COLUMNS, Rows
from rollout.search._seal import DAMAGED, WHOLE, Seal

__all__ = ["Index", "index_path", "remove", "rollback", "tokenizer_of"]

_VERSION = 9
# Seconds to wait for a lock: this package holds its locks for milliseconds, and readers need none.
_TIMEOUT = 2.0
# Seconds for which this process does not wait again for an index that stayed locked: a command opens it several times.
_LOCKED_INTERVAL = 10.0
_locked_until: dict[Path, float] = {}
"""Indexes that stayed locked, each with the time (`time.monotonic`) until which this process does not wait for it."""

_TABLES = f"""
CREATE TABLE notes (key TEXT PRIMARY KEY, value, sum INTEGER) WITHOUT ROWID;
CREATE TABLE folders (path TEXT PRIMARY KEY, mtime_ns INTEGER) WITHOUT ROWID;
CREATE TABLE sessions (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, {", ".join(COLUMNS[2:])}, sum INTEGER,
 state BLOB);
CREATE TABLE gone (id INTEGER PRIMARY KEY, sum INTEGER);
CREATE INDEX unread ON sessions(id) WHERE size < 0;
CREATE TABLE spans (first INTEGER PRIMARY KEY, session INTEGER, offsets BLOB, sum INTEGER);
CREATE VIRTUAL TABLE texts
USING fts5(text, content = '', columnsize = 0, detail = {{detail}}, tokenize = "{{tokenizer}}");
"""
# Size in bytes of the words that wait in memory. With 4 MB in place of 1, 2,000 sessions take 10 % less time and space:
# fewer parts are merged.
_WORDS_SIZE = 4 * 2**20


def index_path(home: StrPath | None = None) -> Path:
    """
    Return the path of a home's index in the user's cache folder. The index need not exist.

    Raises:
        ModuleNotFoundError: The extra ``search`` is not installed.
    """
    try:
        from platformdirs import user_cache_path  # noqa: PLC0415 -- an extra
    except ModuleNotFoundError as error:
        raise extra_error("the index needs", "search", error) from error
    digest = blake2b(str(home_folder(home).absolute()).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    return Path(user_cache_path("rollout"), f"{digest}.sqlite")


class Index(Rows):
    """
    An open index. `Index.open` opens an existing one, `Index.create` creates an empty one.

    Several processes may have it open. Its rows may be older than the files; see `rollout.search.update_index`.
    Every method that reads the index may raise `sqlite3.DatabaseError`: the index is damaged, or its disk fails. If
    such an error leaves the ``with`` block of the index and means damage, the next update rebuilds the index.
    """

    def __init__(self, home: Path, database: sqlite3.Connection, path: Path, tokenizer: str = TOKENIZER) -> None:
        super().__init__(database)
        self.home = home
        self.path = path
        self.tokenizer = tokenizer
        self._seal = Seal(path)

    @classmethod
    def open(cls, home: StrPath | None = None) -> Index | None:
        """
        Open a home's index. Return None if there is no index, or if it cannot be used: it belongs to another version or
        home, is damaged, or is locked by another program. Blocks for at most 2 s for a lock.

        If the times of its file differ from the noted times, the whole file is read first (up to 1 s per GB). If a
        process was killed while it wrote the index, all rows are checked (some 5 s for 100,000 sessions).
        """
        with suppress(IndexBusyError):
            return cls.find(home)
        return None

    @classmethod
    def find(cls, home: StrPath | None = None) -> Index | None:
        """
        Open the index as `open` does, but raise an error if it is locked.

        Raises:
            IndexBusyError: Another program has locked it for more than 2 s.
        """
        folder, path = home_folder(home).absolute(), index_path(home)
        while (number := _inode(path)) is not None:
            index = cls._open_file(folder, path)
            # Otherwise another index has replaced it, and the opened index may use the log of the new one.
            if _inode(path) == number:
                return index
            if index is not None:
                index.close()
        return None

    @classmethod
    def _open_file(cls, folder: Path, path: Path) -> Index | None:
        known, commits = Seal(path).judge()
        if known == DAMAGED:
            return None
        is_held = time.monotonic() < _locked_until.get(path, 0.0)
        try:
            with ExitStack() as stack:
                database = _connect(path, 0.0 if is_held else _TIMEOUT)
                stack.callback(database.close)
                index = cls(folder, database, path)
                index._verify(commits if known == WHOLE else None)
                stack.pop_all()
        except sqlite3.DatabaseError as error:
            if not is_lock(error):
                return None
            if not is_held:
                _locked_until[path] = time.monotonic() + _LOCKED_INTERVAL
            raise IndexBusyError(path, OTHER_PROGRAM) from error
        _locked_until.pop(path, None)
        index._wait_at_most(_TIMEOUT)
        return index

    def _verify(self, commits: int | None) -> None:
        """
        Read the notes of an existing index, and check the index unless its number of transactions is as expected.

        Args:
            commits: Expected number of transactions; None to check the index in any case.

        Raises:
            sqlite3.DatabaseError: The index cannot be used.
        """
        version, home, self.tokenizer = self.note("version"), self.note("home"), self.note("tokenizer")
        if (version, home) != (_VERSION, plain_text(str(self.home))):
            raise DamagedIndexError("the index belongs to another version or another home")
        if self.note("commits") != commits:
            try:
                check(self)
            except sqlite3.DatabaseError as error:
                self._invalidate_if_damaged(error)
                raise
            self._seal.open(self.note("commits"))

    def check(self) -> None:
        """
        Read the whole file and check that its bytes have not changed since they were written. Blocks, 1 s per GB.

        Raises:
            sqlite3.DatabaseError: The index is damaged.
        """
        is_intact = self._seal.is_intact()
        if is_intact is None:
            check(self)
        elif not is_intact:
            raise DamagedIndexError("the bytes of the index file have changed on the disk")

    @classmethod
    def create(cls, home: StrPath | None = None, *, trigram: bool = False) -> Index:
        """
        Create an empty index, and replace an existing one.

        Args:
            home: Home folder; by default ``CODEX_HOME``, else ``~/.codex``.
            trigram: Whether the index also finds parts of words; it is then 80 times larger.

        Raises:
            OSError, sqlite3.Error: The index could not be created.
        """
        folder, path = home_folder(home).absolute(), index_path(home)
        make_folder(path.parent)
        remove(path)
        # SQLite copies the permissions of this file to its log.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with ExitStack() as stack:
            database = _connect(path)
            stack.callback(database.close)
            # Readers are not blocked by a writer. Rows that a power cut destroys are written again.
            database.execute("PRAGMA journal_mode = WAL")
            # Trigrams need the positions within a row.
            tokenizer = TRIGRAM if trigram else TOKENIZER
            database.executescript(_TABLES.format(detail="full" if trigram else "none", tokenizer=tokenizer))
            # SQLite does not document this setting: a version without it may refuse it.
            with suppress(sqlite3.OperationalError):
                database.execute("INSERT INTO texts(texts, rank) VALUES ('hashsize', ?)", (_WORDS_SIZE,))
            index = cls(folder, database, path, tokenizer)
            index._make_notes()
            stack.pop_all()
        return index

    def _make_notes(self) -> None:
        self.note("tokenizer", self.tokenizer)
        self.note("home", plain_text(str(self.home)))
        self.note("next_row", 1)
        self.note("folders", checksum())
        self.note("checked", int(time.time()))
        self.note("commits", 0)
        self.note("version", _VERSION)
        self._seal.open(0)

    def __enter__(self) -> Index:
        return self

    def __exit__(self, kind: object, error: BaseException | None, tb: object) -> None:
        self._invalidate_if_damaged(error)
        self.close()

    def _invalidate_if_damaged(self, error: BaseException | None) -> None:
        """
        Mark the index as damaged if the error means damage: it is not used again, and the next update rebuilds it.
        """
        if is_damage(error):
            # Without a seal, or with version 0, the index is not used again. One of the two changes may fail.
            self._seal.remove()
            with suppress(sqlite3.DatabaseError):
                rollback(self.database)
                self._wait_at_most(0.0)
                self.note("version", 0)

    def close(self) -> None:
        """Close the index."""
        is_sealed = self._seal.holds()
        self.database.close()
        # If this was the last connection, SQLite has moved the log into the database.
        if is_sealed and not self._seal.holds(is_closed=True):
            self._seal.close()

    @contextmanager
    def transaction(self, timeout: float | None = None) -> Iterator[None]:
        """
        Run a block as one transaction.

        Args:
            timeout: Seconds to wait for another process that writes; by default 2.
        """
        self._wait_at_most(_TIMEOUT if timeout is None else timeout)
        try:
            self.database.execute("BEGIN IMMEDIATE")
            yield
            self.commit()
        except BaseException:
            rollback(self.database)
            raise
        finally:
            self._wait_at_most(_TIMEOUT)

    def commit(self) -> None:
        """
        Commit a transaction, and renew the seal unless another program has changed the files.
        """
        commits = self.note("commits", self.note("commits") + 1)
        is_sealed = self._seal.holds()
        if is_sealed:
            self._seal.open(commits - 1)
        self.database.execute("COMMIT")
        if is_sealed:
            self._seal.open(commits)

    def _wait_at_most(self, timeout: float) -> None:
        self.database.execute(f"PRAGMA busy_timeout = {timeout * 1000:.0f}")


def tokenizer_of(path: Path) -> str | None:
    """
    Return the tokenizer of an index that cannot be used, for rebuilding the index; None if it cannot be read.
    """
    with suppress(sqlite3.DatabaseError), closing(_connect(path, 0.0)) as database:
        found = database.execute("SELECT value FROM notes WHERE key = 'tokenizer'").fetchone()
        return str(found[0]) if found else None
    return None


def remove(path: Path) -> None:
    """
    Remove an index, or a file, link or empty folder at its path.

    Raises:
        OSError: The path cannot be removed: for example, it is a folder that is not empty.
    """
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.is_dir() and not part.is_symlink():
            part.rmdir()
        else:
            part.unlink(missing_ok=True)


def rollback(database: sqlite3.Connection) -> None:
    """
    Roll back a transaction, unless SQLite has already done so.
    """
    if database.in_transaction:
        database.execute("ROLLBACK")


def _inode(path: Path) -> int | None:
    """
    Return the inode number of a regular file; None for any other kind of file, or if there is no file.
    """
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_ino if stat.S_ISREG(status.st_mode) else None


def _connect(path: Path, timeout: float = _TIMEOUT) -> sqlite3.Connection:
    # Does not create the file if it was deleted in the meantime.
    address = f"{path.absolute().as_uri()}?mode=rw"
    database = sqlite3.connect(address, timeout=timeout, isolation_level=None, check_same_thread=False, uri=True)
    with ExitStack() as stack:
        stack.callback(database.close)
        database.execute("PRAGMA synchronous = NORMAL")
        stack.pop_all()
    return database
