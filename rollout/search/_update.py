"""
Update an index: each session is read from the position that the index has reached.

Each batch is one transaction that includes the reached positions: a killed process loses at most one batch. A lock
allows one update at a time.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from rollout.home import StrPath, locked_file, make_folder
from rollout.search._changes import IndexDiff, compare_home, note_folders
from rollout.search._damage import OTHER_PROGRAM, IndexBusyError, is_damage, is_lock
from rollout.search._index import Index, index_path, remove, tokenizer_of
from rollout.search._ingest import BATCH_SIZE, Change, SessionIngest, UpdateResult, place_session
from rollout.search._query import TRIGRAM
from rollout.search._seal import lock_path

__all__ = ["IndexBusyError", "Progress", "delete_index", "update_index"]

# Seconds after which an update checks the whole index again: damage by a failing disk does not change the file's times.
_CHECKED_EVERY = 86_400


@frozen
class Progress:
    """
    Progress of an update: numbers of sessions and bytes, done so far and in total.
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
) -> UpdateResult:
    """
    Update a home's index, or create it. Blocks, for some 30 s per GB of new lines; searches work during the update.

    The update commits every 64 MB. After a kill, the next call continues from the last commit.

    Args:
        home: Home folder; by default ``CODEX_HOME``, else ``~/.codex``.
        rebuild: Whether to build the index from the beginning, which also removes the lines of deleted sessions.
        trigram: Whether the index also finds parts of words; it is then 80 times larger and takes 10 times as long to
            build. By default the same as the existing index; False if no index exists.
        progress: Function that is called after each session.

    Raises:
        IndexBusyError: Another process is updating the index, or another program has locked it for more than 2 s.
        ModuleNotFoundError: The extra ``search`` is not installed.
        sqlite3.Error, OSError: For example, the disk is full; the next call continues.
    """
    path = index_path(home)
    make_folder(path.parent)
    show = progress or (lambda _: None)
    with locked_file(lock_path(path), busy=IndexBusyError), _convert_lock_errors(path):
        # An index that will be rebuilt does not have to be usable.
        index = Index.open(home) if rebuild else Index.find(home)
        is_trigram = tokenizer_of(path) == TRIGRAM if index is None else index.tokenizer == TRIGRAM
        wants_trigram = is_trigram if trigram is None else trigram
        if index is not None and not rebuild and wants_trigram == is_trigram:
            try:
                with index:
                    return _update(index, show)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
        elif index is not None:
            index.close()
        with Index.create(home, trigram=wants_trigram) as index:
            return _update(index, show)


def delete_index(*, home: StrPath | None = None) -> bool:
    """
    Delete a home's index. Return whether there was an index.

    Raises:
        IndexBusyError: A process is updating the index.
        ModuleNotFoundError: The extra ``search`` is not installed.
    """
    path = index_path(home)
    if not path.exists():
        return False
    with locked_file(lock_path(path), busy=IndexBusyError):
        remove(path)
        lock_path(path).unlink()
    return True


def _update(index: Index, progress: Callable[[Progress], None]) -> UpdateResult:
    is_checked = abs(time.time() - index.note("checked")) > _CHECKED_EVERY
    if is_checked:
        index.check()
    diff = compare_home(index)
    result = UpdateResult(gone=len(diff.gone))
    numbers: dict[str, int] = {}
    if is_checked or diff.gone or diff.moved or diff.changes:
        with index.transaction():
            numbers = _prepare(index, diff)
            index.note("checked", int(time.time()) if is_checked else index.note("checked"))
    all_size = sum(change.unread_size for change in diff.changes)
    # The newest session last: lines that are added last are found first.
    for batch in _batches(diff.changes[::-1]):
        with index.transaction():
            for change in batch:
                SessionIngest(index, change, numbers[change.stem], result).run()
                result.sessions += 1
                progress(Progress(result.sessions, len(diff.changes), result.size, all_size))
    note_folders(index, diff)
    return result


def _prepare(index: Index, diff: IndexDiff) -> dict[str, int]:
    """
    Remove deleted sessions, store the places of moved sessions, and number new ones: the newest last, so that it is
    found first. Return the numbers of the sessions to read. To be called within a transaction.
    """
    index.forget(diff.gone)
    for row in diff.moved:
        place = (row.folder, row.is_compressed, row.size, row.inode, row.id)
        index.database.execute(
            "UPDATE sessions SET folder = ?, is_compressed = ?, size = ?, inode = ? WHERE id = ?", place
        )
        index.sign(row.id)
    return {change.stem: place_session(index, change) for change in reversed(diff.changes)}


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
def _convert_lock_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if is_lock(error):
            raise IndexBusyError(path, OTHER_PROGRAM) from error
        raise
