"""
What keeps an index up to date: sessions are read from where it has them.

Each batch is one transaction, with how far each session is: a process that is killed loses one batch. A lock lets one
process at a time update.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import frozen

from rollout._lock import take_flock
from rollout.errors import RolloutError
from rollout.layout import StrPath, make_folder
from rollout.search._index import Index, index_path, is_damage, remove
from rollout.search._news import News, changes, note_folders, plan
from rollout.search._query import TRIGRAM
from rollout.search._reading import BATCH_SIZE, Change, Reading, Updated, place_session

__all__ = ["IndexBusyError", "Progress", "changes", "delete_index", "update_index"]


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


def update_index(
    *,
    home: StrPath | None = None,
    rebuild: bool = False,
    trigram: bool | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Updated:
    """
    Bring a home's index up to date, or make it. Blocks, for some 30 s a GB that is new; searches go on meanwhile.

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
    show = progress or (lambda _: None)
    with _locked(path):
        index = Index.open(home)
        is_trigram = index is not None and index.tokenizer == TRIGRAM
        wants_trigram = is_trigram if trigram is None else trigram
        if index is not None and not rebuild and wants_trigram == is_trigram:
            try:
                with index:
                    return _updated(index, show)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
        elif index is not None:
            index.close()
        with Index.create(home, trigram=wants_trigram) as index:
            return _updated(index, show)


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
    news = plan(index)
    updated = Updated(gone=len(news.gone))
    numbers = _prepare(index, news)
    all_size = sum(change.unread_size for change in news.changes)
    # The newest last: what was added last is found first.
    for batch in _batches(news.changes[::-1]):
        with index.transaction():
            for change in batch:
                Reading(index, change, numbers[change.own_name], updated).run()
                updated.sessions += 1
                progress(Progress(updated.sessions, len(news.changes), updated.size, all_size))
    note_folders(index, news)
    return updated


def _prepare(index: Index, news: News) -> dict[str, int]:
    """
    Forget what is gone, note what moved, and number what is new: the newest last, so that it is found first.
    """
    with index.transaction():
        index.database.executemany("DELETE FROM sessions WHERE id = ?", [(number,) for number in news.gone])
        index.database.executemany(
            "UPDATE sessions SET folder = ?, is_compressed = ?, size = ?, inode = ? WHERE id = ?",
            [(row.folder, row.is_compressed, row.size, row.inode, row.id) for row in news.moved],
        )
        for change in reversed(news.changes):
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


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    fd = _take(path.with_name(path.name + ".lock"))
    try:
        yield
    finally:
        os.close(fd)


def _take(lock: Path) -> int:
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    is_taken = is_there = False
    try:
        is_taken = take_flock(fd, lock)
        with suppress(FileNotFoundError):
            is_there = os.path.samestat(os.fstat(fd), lock.stat())
    finally:
        if not (is_taken and is_there):
            os.close(fd)
    if not is_taken:
        raise IndexBusyError(lock)
    # Where it is not there, whoever deleted the index has removed it since it was opened.
    return fd if is_there else _take(lock)
