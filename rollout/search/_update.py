"""
What keeps an index up to date: which sessions have changed, and what they say since.

Each batch is one transaction, with how far each session is: a process that is killed loses one batch. A lock lets one
process at a time update.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from operator import itemgetter
from pathlib import Path

from attrs import define, field, frozen

from rollout._walk import folders
from rollout.errors import RolloutError, SessionNotFoundError
from rollout.finding import find_session
from rollout.layout import RolloutName, StrPath, make_folder
from rollout.search._index import Index, Row, index_path, remove
from rollout.search._query import TRIGRAM
from rollout.search._reading import BATCH_SIZE, Change, Reading, Updated, place_session

__all__ = ["IndexBusyError", "Progress", "changes", "delete_index", "update_index"]

# A folder that changed so lately may change again within the tick of its clock. Nanoseconds.
_TICK = 10**9
_LOCKS = "thread-writer-locks"


class IndexBusyError(RolloutError):
    """
    Another process updates the index; searches go on.

    Attributes:
        path: The lock that it holds.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path} is held by another process that updates the index; wait for it, or search without"


@frozen
class Progress:
    """
    How far an update is: sessions and bytes, done and in all.
    """

    sessions: int
    all_sessions: int
    size: int
    all_size: int


@define
class _Plan:
    changes: list[Change] = field(factory=list)
    moved: list[tuple[str, bool, int, int]] = field(factory=list)
    gone: list[int] = field(factory=list)
    folders: dict[str, int] = field(factory=dict)
    began_ns: int = field(factory=time.time_ns)


def changes(index: Index) -> list[Change]:
    """
    Say which sessions changed since they were indexed, the newest first.

    Where no folder changed, only the sessions that a writer has open are looked at: 1 ms for a home of 100,000. A
    writer of today makes and removes a lock, which changes the folder of locks; one that takes none (Codex before
    0.147) is noticed at the next update, unless it began a new session.
    """
    if _is_unchanged(index):
        return list(_live_changes(index))
    plan = _plan(index)
    if not (plan.changes or plan.gone or plan.moved):
        with suppress(sqlite3.OperationalError):
            _note_folders(index, plan)
    return plan.changes


def update_index(
    *,
    home: StrPath | None = None,
    rebuild: bool = False,
    trigram: bool | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Updated:
    """
    Bring a home's index up to date, or make it. Blocks, for some 10 s a GB that is new; searches go on meanwhile.

    What is read is committed every 64 MB: after a kill the next call goes on from there.

    Args:
        home: By default ``CODEX_HOME``, else ``~/.codex``.
        rebuild: Make it anew, which also drops what is gone.
        trigram: Make it for parts of words, too: 80 times larger, 10 times slower to make. By default as it is.
        progress: Called now and then.

    Raises:
        IndexBusyError: Another process does so.
        ModuleNotFoundError: The extra ``search`` is not installed.
        sqlite3.Error, OSError: The disk is full, say; the next call goes on.
    """
    path = index_path(home)
    make_folder(path.parent)
    with _locked(path):
        index = None if rebuild else Index.open(home)
        if index is not None and trigram is not None and trigram != (index.tokenizer == TRIGRAM):
            index.close()
            index = None
        with index or Index.create(home, trigram=bool(trigram)) as index:
            return _updated(index, progress or (lambda _: None))


def delete_index(*, home: StrPath | None = None) -> bool:
    """
    Delete a home's index; say whether there was one.

    Raises:
        IndexBusyError: A process updates it.
        ModuleNotFoundError: The extra ``search`` is not installed.
    """
    path = index_path(home)
    if not path.exists():
        return False
    with _locked(path):
        remove(path)
        path.with_name(f"{path.name}.lock").unlink()
    return True


def _updated(index: Index, progress: Callable[[Progress], None]) -> Updated:
    plan = _plan(index)
    updated = Updated(gone=len(plan.gone))
    numbers = _prepare(index, plan)
    all_size = sum(change.unread_size for change in plan.changes)
    for batch in _batches(plan.changes):
        numbered = [(numbers[change.name.path.name.removesuffix(".zst")], change) for change in batch]
        with _transaction(index.database):
            # Rows are cheapest to add in the order of their numbers.
            for number, change in sorted(numbered, key=itemgetter(0)):
                Reading(index, change, number, updated).run()
                updated.sessions += 1
                progress(Progress(updated.sessions, len(plan.changes), updated.size, all_size))
    _note_folders(index, plan)
    return updated


def _is_unchanged(index: Index) -> bool:
    known = index.database.execute("SELECT path, mtime_ns FROM folders").fetchall()
    return bool(known) and all(_mtime_ns(index.home, path) == mtime_ns for path, mtime_ns in known)


def _mtime_ns(home: Path, path: str) -> int:
    try:
        return os.stat(f"{home}/{path}").st_mtime_ns  # noqa: PTH116 -- 700 of them, without 700 paths
    except OSError:
        return 0


def _live_changes(index: Index) -> Iterator[Change]:
    try:
        locks = os.listdir(index.home / _LOCKS)  # noqa: PTH208 -- names
    except OSError:
        return
    for lock in locks:
        with suppress(SessionNotFoundError, OSError):
            name = RolloutName.parse(find_session(lock.removesuffix(".lock"), home=index.home))
            if name is not None:
                status = name.path.stat()
                row = next(index.rows("name = ?", name.path.name.removesuffix(".zst")), None)
                if row is None or (row.size, row.mtime_ns) != (status.st_size, status.st_mtime_ns):
                    yield Change(name, status.st_size, status.st_mtime_ns, row)


def _plan(index: Index) -> _Plan:
    plan = _Plan()
    known = {row.name: row for row in index.rows()}
    seen: set[str] = set()
    plan.folders = {_LOCKS: _mtime_ns(index.home, _LOCKS)}
    for folder, mtime_ns, names in folders(index.home):
        below = str(folder.relative_to(index.home))
        plan.folders[below] = mtime_ns
        for name in names:
            own_name = name.removesuffix(".zst")
            if own_name not in seen:
                seen.add(own_name)
                _compare(plan, known.get(own_name), folder, below, name)
    plan.gone += [row.id for name, row in known.items() if name not in seen]
    plan.changes.sort(key=lambda change: change.name.key, reverse=True)
    return plan


def _compare(plan: _Plan, row: Row | None, folder: Path, below: str, name: str) -> None:
    try:
        status = os.lstat(f"{folder}/{name}")
    except OSError:
        # Gone since; the next plan says so.
        return
    is_compressed = name.endswith(".zst")
    place = (below, is_compressed, status.st_size)
    if row is not None and row.mtime_ns == status.st_mtime_ns:
        if (row.folder, row.is_compressed, row.size) == place:
            return
        if row.size == status.st_size or row.is_compressed != is_compressed:
            # Archived or compressed, which keep its time.
            plan.moved.append((*place, row.id))
            return
    parsed = RolloutName.parse(folder / name)
    if parsed is None or not stat.S_ISREG(status.st_mode):
        return
    if row is not None and (is_compressed or status.st_size < row.offset):
        plan.gone.append(row.id)
        row = None
    plan.changes.append(Change(parsed, status.st_size, status.st_mtime_ns, row))


def _prepare(index: Index, plan: _Plan) -> dict[str, int]:
    """
    Forget what is gone, note what moved, and number what is new: the newest last, so that it is found first.
    """
    with _transaction(index.database):
        index.database.executemany("DELETE FROM sessions WHERE id = ?", [(number,) for number in plan.gone])
        index.database.executemany(
            "UPDATE sessions SET folder = ?, is_compressed = ?, size = ? WHERE id = ?", plan.moved
        )
        for change in reversed(plan.changes):
            place_session(index, change)
        return dict(index.database.execute("SELECT name, id FROM sessions"))


def _batches(changes: list[Change]) -> Iterator[list[Change]]:
    batch: list[Change] = []
    size = 0
    for change in changes:
        batch.append(change)
        size += change.unread_size
        if size >= BATCH_SIZE:
            yield batch
            batch, size = [], 0
    yield batch


def _note_folders(index: Index, plan: _Plan) -> None:
    rows = [(path, mtime_ns if mtime_ns < plan.began_ns - _TICK else -1) for path, mtime_ns in plan.folders.items()]
    with _transaction(index.database):
        index.database.execute("DELETE FROM folders")
        index.database.executemany("INSERT INTO folders VALUES (?, ?)", rows)


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = path.with_name(path.name + ".lock")
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise IndexBusyError(lock) from None
    finally:
        os.close(fd)
