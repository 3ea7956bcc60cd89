"""
What an index does not have as it is: sessions that are new, went on, were written anew, moved, or are gone.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import attrs
from attrs import define, field

from rollout._lock import LOCKS_FOLDER, session_locks
from rollout._walk import folders
from rollout.errors import AmbiguousSessionError, SessionNotFoundError
from rollout.finding import find_session
from rollout.layout import RolloutName
from rollout.search._index import Index, rollback
from rollout.search._reading import Change, goes_on
from rollout.search._rows import Row

__all__ = ["News", "changes", "note_folders", "plan", "settled"]

# A folder that changed so lately may change again within the tick of its clock. Nanoseconds.
_TICK = 10**9


@define
class News:
    """
    What is otherwise than the index has it.

    Attributes:
        changes: Sessions to read, the newest first.
        moved: Those of which only the place is another: as the index should have them.
        gone: Numbers of those that are gone, or were written anew.
        folders: When each folder changed, if all were looked at.
        began_ns: When that began.
    """

    changes: list[Change] = field(factory=list)
    moved: list[Row] = field(factory=list)
    gone: list[int] = field(factory=list)
    folders: dict[str, int] = field(factory=dict)
    began_ns: int = field(factory=time.time_ns)

    @property
    def known(self) -> dict[int, Row | None]:
        """The index's sessions that are not as it has them, by number, as they are; None for those that are gone."""
        rows: dict[int, Row | None] = dict.fromkeys(self.gone)
        rows.update((row.id, row) for row in self.moved)
        rows.update((change.row.id, change.row) for change in self.changes if change.row is not None)
        return rows


def changes(index: Index) -> list[Change]:
    """
    Say which sessions changed since they were indexed, the newest first.

    Where no folder changed, only the sessions that a writer has open are looked at: 1 ms for a home of 100,000. A
    writer of today makes and removes a lock, which changes the folder of locks; one that takes none (Codex before
    0.147) is noticed at the next update, unless it began a new session.
    """
    try:
        return settled(index).changes
    finally:
        rollback(index.database)


def settled(index: Index) -> News:
    """
    Say what is news, and let the index say nothing else from here on: in a transaction, which it leaves open.
    """
    index.database.execute("BEGIN")
    if _is_unchanged(index):
        return _of_live_sessions(index)
    news = plan(index)
    if not (news.changes or news.moved or news.gone):
        index.database.execute("ROLLBACK")
        # Nobody waits for a note that saves time.
        with suppress(sqlite3.OperationalError):
            note_folders(index, news, timeout=0.0)
        index.database.execute("BEGIN")
    return news


def note_folders(index: Index, news: News, *, timeout: float | None = None) -> None:
    """
    Note that the index has all that was in the folders.
    """
    rows = [(path, mtime_ns if mtime_ns < news.began_ns - _TICK else -1) for path, mtime_ns in news.folders.items()]
    if sorted(rows) != index.folders():
        with index.transaction(timeout):
            index.note_folders(rows)


def _is_unchanged(index: Index) -> bool:
    known = index.folders()
    return bool(known) and all(_mtime_ns(index.home, path) == mtime_ns for path, mtime_ns in known)


def _mtime_ns(home: Path, path: str) -> int:
    try:
        return os.stat(f"{home}/{path}").st_mtime_ns  # noqa: PTH116 -- 700 of them, without 700 paths
    except OSError:
        return 0


def _of_live_sessions(index: Index) -> News:
    news = News()
    # What an update could not read, or had no time for, is news too.
    paths = {*_live_paths(index.home), *(index.home / row.path for row in index.rows("size < 0"))}
    for path in paths:
        row = next(index.rows("name = ?", path.name.removesuffix(".zst")), None)
        _compare(news, row, path.parent, str(path.parent.relative_to(index.home)), path.name)
    return _sorted(news)


def _live_paths(home: Path) -> Iterator[Path]:
    for session_id in session_locks(home):
        # Whoever makes locks of other names.
        with suppress(SessionNotFoundError, AmbiguousSessionError):
            yield find_session(session_id, home=home)


def plan(index: Index) -> News:
    """
    Look at all sessions of the home and of the index.
    """
    news = News()
    known = {row.name: row for row in index.rows()}
    seen: set[str] = set()
    news.folders = {LOCKS_FOLDER: _mtime_ns(index.home, LOCKS_FOLDER)}
    for folder, mtime_ns, names in folders(index.home):
        below = str(folder.relative_to(index.home))
        news.folders[below] = mtime_ns
        for name in names:
            own_name = name.removesuffix(".zst")
            if own_name not in seen and _compare(news, known.get(own_name), folder, below, name):
                seen.add(own_name)
    news.gone += [row.id for name, row in known.items() if name not in seen]
    return _sorted(news)


def _sorted(news: News) -> News:
    news.changes.sort(key=lambda change: change.name.key, reverse=True)
    return news


def _compare(news: News, row: Row | None, folder: Path, below: str, name: str) -> bool:
    """
    Add what is news of a file; False if it is no rollout, or gone since.
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
            # Archived or compressed, which keep its time, if it is not where it was.
            if (row.size, row.inode) != (status.st_size, status.st_ino):
                here = attrs.evolve(here, size=status.st_size, inode=status.st_ino)
            news.moved += [here] if here is not row else []
            return True
        if not row.offset or _goes_on(parsed.path, row):
            row = attrs.evolve(here, mtime_ns=status.st_mtime_ns)
        else:
            news.gone.append(row.id)
            row = None
    news.changes.append(Change(parsed, status.st_size, status.st_mtime_ns, status.st_ino, row))
    return True


def _goes_on(path: Path, row: Row) -> bool:
    if path.name.endswith(".zst"):
        return False
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        # Not readable now: whoever reads it says so.
        return True
    try:
        return goes_on(fd, row)
    finally:
        os.close(fd)
