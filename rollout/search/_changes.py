"""
Compare an index with the files: sessions that are new, longer, replaced, moved or deleted.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import attrs
from attrs import define, field

from rollout.errors import AmbiguousSessionError, SessionNotFoundError
from rollout.home import LOCKS_FOLDER, RolloutName, find_session, folders, lock_files
from rollout.search._index import Index, rollback
from rollout.search._ingest import Change, has_only_grown
from rollout.search._rows import Row

__all__ = ["IndexDiff", "compare_home", "find_changes", "note_folders", "take_snapshot"]

# Nanoseconds. A folder that has just changed may change again within one tick of the file system's clock.
_TICK = 10**9


@define
class IndexDiff:
    """
    Differences between an index and the files.

    Attributes:
        changes: Sessions to read, the newest first.
        moved: Current rows of sessions of which only the path has changed.
        gone: Numbers of the sessions that were deleted or replaced.
        folders: Modification time of each folder, if all folders were compared.
        began_ns: Time at which the comparison began.
    """

    changes: list[Change] = field(factory=list)
    moved: list[Row] = field(factory=list)
    gone: list[int] = field(factory=list)
    folders: dict[str, int] = field(factory=dict)
    began_ns: int = field(factory=time.time_ns)

    @property
    def known(self) -> dict[int, Row | None]:
        """Current rows of the indexed sessions that differ, by number; None for deleted ones."""
        rows: dict[int, Row | None] = dict.fromkeys(self.gone)
        rows.update((row.id, row) for row in self.moved)
        rows.update((change.row.id, change.row) for change in self.changes if change.row is not None)
        return rows


def find_changes(index: Index) -> list[Change]:
    """
    Return the sessions that are new or have changed since they were indexed, the newest first.

    If no folder has changed, only sessions that a writer has open are compared: 1 ms for a home of 100,000. A current
    writer creates and removes a lock, which changes the folder of locks. Changes by a writer without locks (Codex
    before 0.147) are found at the next update, unless it began a new session.
    """
    try:
        return take_snapshot(index).changes
    finally:
        rollback(index.database)


def take_snapshot(index: Index) -> IndexDiff:
    """
    Return the differences between the index and the files. Begins a transaction and leaves it open, so that later reads
    see the same state of the index.
    """
    index.database.execute("BEGIN")
    if _is_unchanged(index):
        return _compare_live_sessions(index)
    diff = compare_home(index)
    if not (diff.changes or diff.moved or diff.gone):
        index.database.execute("ROLLBACK")
        # Do not wait for a lock: the note only saves time.
        with suppress(sqlite3.OperationalError):
            note_folders(index, diff, timeout=0.0)
        index.database.execute("BEGIN")
    return diff


def note_folders(index: Index, diff: IndexDiff, *, timeout: float | None = None) -> None:
    """
    Store the times of the folders: the index is current for all files in them.
    """
    rows = [(path, mtime_ns if mtime_ns < diff.began_ns - _TICK else -1) for path, mtime_ns in diff.folders.items()]
    if sorted(rows) != index.folders():
        with index.transaction(timeout):
            index.note_folders(rows)


def _is_unchanged(index: Index) -> bool:
    known = index.folders()
    return bool(known) and all(_mtime_ns(index.home, path) == mtime_ns for path, mtime_ns in known)


def _mtime_ns(home: Path, path: str) -> int:
    try:
        return os.stat(f"{home}/{path}").st_mtime_ns  # noqa: PTH116 -- up to 700 calls, without 700 Path objects
    except OSError:
        return 0


def _compare_live_sessions(index: Index) -> IndexDiff:
    diff = IndexDiff()
    # Sessions that an update could not read to the end are compared, too.
    paths = {*_live_paths(index.home), *(index.home / row.path for row in index.rows("size < 0"))}
    for path in paths:
        row = next(index.rows("name = ?", path.name.removesuffix(".zst")), None)
        _compare_file(diff, row, path.parent, str(path.parent.relative_to(index.home)), path.name)
    return _sort_changes(diff)


def _live_paths(home: Path) -> Iterator[Path]:
    for session_id in lock_files(home):
        # Other programs may create locks with other names.
        with suppress(SessionNotFoundError, AmbiguousSessionError):
            yield find_session(session_id, home=home)


def compare_home(index: Index) -> IndexDiff:
    """
    Compare all sessions of the home with the index.
    """
    diff = IndexDiff()
    known = {row.name: row for row in index.rows()}
    parents = {row.parent.partition(" ")[0]: 0 for row in known.values() if row.parent}
    seen: set[str] = set()
    diff.folders = {LOCKS_FOLDER: _mtime_ns(index.home, LOCKS_FOLDER)}
    for folder, mtime_ns, names in folders(index.home):
        below = str(folder.relative_to(index.home))
        diff.folders[below] = mtime_ns
        for name in names:
            stem = name.removesuffix(".zst")
            if stem not in seen and _compare_file(diff, known.get(stem), folder, below, name):
                seen.add(stem)
                if parents:
                    _note_parent(parents, folder, name)
    if parents:
        _compare_parents(index.home, diff, known, parents)
    diff.gone += [row.id for name, row in known.items() if name not in seen]
    return _sort_changes(diff)


def _note_parent(parents: dict[str, int], folder: Path, name: str) -> None:
    parsed = RolloutName.parse(folder / name)
    # Of several files, the first one in this order is that of the session.
    if parsed is not None and parents.get(parsed.session_id) == 0:
        with suppress(OSError):
            parents[parsed.session_id] = parsed.path.stat().st_ino


def _compare_parents(home: Path, diff: IndexDiff, known: Mapping[str, Row], parents: Mapping[str, int]) -> None:
    """
    Add the forks for which another file, or none, now has the lines that they copied: they are read again.
    """
    gone = {*diff.gone}
    for row in known.values():
        if not row.parent or row.id in gone:
            continue
        session_id, _, inode = row.parent.partition(" ")
        name = RolloutName.parse(home / row.path)
        if str(parents.get(session_id, 0)) != inode and name is not None:
            with suppress(OSError):
                status = name.path.stat()
                diff.gone.append(row.id)
                diff.changes = [change for change in diff.changes if change.row is None or change.row.id != row.id]
                diff.changes.append(Change(name, status.st_size, status.st_mtime_ns, status.st_ino, None))


def _sort_changes(diff: IndexDiff) -> IndexDiff:
    diff.changes.sort(key=lambda change: change.name.key, reverse=True)
    return diff


def _compare_file(diff: IndexDiff, row: Row | None, folder: Path, below: str, name: str) -> bool:
    """
    Compare a file with its row, and add the difference. Return False if the file is not a rollout, or was deleted
    in the meantime.
    """
    try:
        status = os.lstat(f"{folder}/{name}")
    except OSError:
        return False
    parsed = RolloutName.parse(folder / name)
    if parsed is None or not stat.S_ISREG(status.st_mode):
        return False
    if row is not None:
        here = row
        if (row.folder, row.is_compressed) != (below, parsed.is_compressed):
            here = attrs.evolve(row, folder=below, is_compressed=parsed.is_compressed)
        if row.mtime_ns == status.st_mtime_ns and (
            row.size == status.st_size or here.is_compressed != row.is_compressed
        ):
            # Archiving and compressing keep the modification time.
            if (row.size, row.inode) != (status.st_size, status.st_ino):
                here = attrs.evolve(here, size=status.st_size, inode=status.st_ino)
            diff.moved += [here] if here is not row else []
            return True
        if not row.offset or _has_only_grown(parsed.path, row):
            row = attrs.evolve(here, mtime_ns=status.st_mtime_ns)
        else:
            diff.gone.append(row.id)
            row = None
    diff.changes.append(Change(parsed, status.st_size, status.st_mtime_ns, status.st_ino, row))
    return True


def _has_only_grown(path: Path, row: Row) -> bool:
    if path.name.endswith(".zst"):
        return False
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        # The file cannot be read now; the error is reported when it is read later.
        return True
    try:
        return has_only_grown(fd, row)
    finally:
        os.close(fd)
