"""
What keeps an index up to date: sessions are read from where it has them.

Each batch is one transaction, with how far each session is: a process that is killed loses one batch. A lock lets one
process at a time update.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import frozen

from rollout._lock import take_flock
from rollout.layout import StrPath, make_folder
from rollout.search._damage import OTHER_PROGRAM, IndexBusyError, is_damage, is_lock
from rollout.search._index import Index, index_path, remove, tokenizer_of
from rollout.search._news import News, changes, note_folders, plan
from rollout.search._query import TRIGRAM
from rollout.search._reading import BATCH_SIZE, Change, Reading, Updated, place_session
from rollout.search._seal import lock_path

__all__ = ["IndexBusyError", "Progress", "changes", "delete_index", "update_index"]

# Seconds after which an update checks the whole index again: damage by a failing disk does not change the file's times.
_CHECKED_EVERY = 86_400


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
        IndexBusyError: Another process does so, or another program has locked the index for more than 2 s.
        ModuleNotFoundError: The extra ``search`` is not installed.
        sqlite3.Error, OSError: The disk is full, say; the next call goes on.
    """
    path = index_path(home)
    make_folder(path.parent)
    show = progress or (lambda _: None)
    with _locked(path), _reporting_locks(path):
        # An index that is rebuilt need not be usable.
        index = Index.open(home) if rebuild else Index.find(home)
        is_trigram = tokenizer_of(path) == TRIGRAM if index is None else index.tokenizer == TRIGRAM
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
        lock_path(path).unlink()
    return True


def _updated(index: Index, progress: Callable[[Progress], None]) -> Updated:
    is_checked = abs(time.time() - index.note("checked")) > _CHECKED_EVERY
    if is_checked:
        index.check()
    news = plan(index)
    updated = Updated(gone=len(news.gone))
    numbers: dict[str, int] = {}
    if is_checked or news.gone or news.moved or news.changes:
        with index.transaction():
            numbers = _prepare(index, news)
            index.note("checked", int(time.time()) if is_checked else index.note("checked"))
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
    Remove deleted sessions, store the places of moved sessions, and number new ones: the newest last, so that it is
    found first. Return the numbers of the sessions to read. To be called within a transaction.
    """
    index.forget(news.gone)
    for row in news.moved:
        place = (row.folder, row.is_compressed, row.size, row.inode, row.id)
        index.database.execute(
            "UPDATE sessions SET folder = ?, is_compressed = ?, size = ?, inode = ? WHERE id = ?", place
        )
        index.sign(row.id)
    return {change.own_name: place_session(index, change) for change in reversed(news.changes)}


def _batches(changes: list[Change]) -> Iterator[list[Change]]:
    batch: list[Change] = []
    size = 0
    for change in changes:
        batch.append(change)
        size += change.unread_size
        if size >= BATCH_SIZE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@contextmanager
def _reporting_locks(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if is_lock(error):
            raise IndexBusyError(path, OTHER_PROGRAM) from error
        raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    fd = _take(lock_path(path))
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
    # If the lock file is not there any more, another process has deleted the index after the file was opened here.
    return fd if is_there else _take(lock)
