"""
Sessions filtered and sorted by what they are: from the index what it has, from the files what it has not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from attrs import frozen

from rollout._facts import Facts, Filters
from rollout._walk import walk
from rollout.layout import RolloutName, StrPath, home_folder, is_archived
from rollout.search._filtering import is_since
from rollout.search._index import Index, Row
from rollout.search._news import settled
from rollout.search._reading import state_of
from rollout.search._scanning import facts_of
from rollout.stats import SessionStats

__all__ = ["IndexedSession", "indexed_sessions", "indexed_stats"]


@frozen
class IndexedSession:
    """
    A session as it is found by what it is.

    Attributes:
        path: The file.
        session_id: The id in its name.
        timestamp: Local time of its beginning, as its name has it.
        updated_at: When it changed last, in UTC.
        size: Bytes of the file.
        facts: Its folder, branch, model and so on.
        turns: How often the user asked; None if the index does not know.
        tokens: Used by it; None if the index does not know.
        problem: What could not be read; None if all could, or the index does not know.
        is_archived: It lies in the archive.
    """

    path: Path
    session_id: str
    timestamp: str
    updated_at: datetime
    size: int
    facts: Facts
    turns: int | None = None
    tokens: int | None = None
    problem: str | None = None
    is_archived: bool = False


@frozen
class _Entry:
    name: RolloutName
    size: int
    mtime_ns: int
    row: Row | None = None
    is_current: bool = False

    def session(self, *, to_end: bool) -> IndexedSession:
        # What has changed since is counted at the next update.
        row = self.row if self.is_current else None
        return IndexedSession(
            path=self.name.path,
            session_id=self.name.session_id,
            timestamp=self.name.timestamp,
            updated_at=datetime.fromtimestamp(self.mtime_ns / 10**9, timezone.utc),
            size=self.size,
            facts=row.facts if row else self._facts_now(to_end=to_end),
            turns=row.turns if row else None,
            tokens=row.tokens if row else None,
            problem=row.problem if row else None,
            is_archived=is_archived(self.name.path),
        )

    def _facts_now(self, *, to_end: bool) -> Facts:
        if self.row is None or not self.row.offset:
            return facts_of(self.name.path, to_end=to_end)
        return facts_of(self.name.path, known=self.row.facts, start=self.row.offset, to_end=to_end)


def indexed_sessions(
    *,
    home: StrPath | None = None,
    filters: Filters = Filters(archived=False),  # noqa: B008 -- frozen
    order: Literal["created", "updated"] = "updated",
) -> Iterator[IndexedSession]:
    """
    Give the sessions that fit, those last changed or begun first. Blocks; opens the files that the index has not.

    Args:
        home: By default ``CODEX_HOME``, else ``~/.codex``.
        filters: Those about sessions; *since* and *until* are asked of their last change.
        order: What to sort by.
    """
    folder = home_folder(home).absolute()
    entries = [entry for entry in _entries(folder, filters.archived) if _is_of_time(entry, filters)]
    entries.sort(key=lambda entry: entry.mtime_ns if order == "updated" else entry.name.key, reverse=True)
    for entry in entries:
        # Gone, or not readable: a list of others is what was asked for.
        with suppress(OSError, ImportError):
            session = entry.session(to_end=filters.model is not None)
            if filters.fit(session.facts):
                yield session


def indexed_stats(*, home: StrPath | None = None) -> dict[Path, SessionStats]:
    """
    Give the statistics that the index has, by file: of the sessions that have not changed since. Blocks.

    Args:
        home: By default ``CODEX_HOME``, else ``~/.codex``.
    """
    folder = home_folder(home).absolute()
    with suppress(sqlite3.DatabaseError, ModuleNotFoundError):
        index = Index.open(folder)
        if index is not None:
            with index:
                current = [entry for entry in _indexed(index) if entry.is_current and entry.row is not None]
                states = [(entry.name.path, state_of(index.state(entry.row.id))) for entry in current if entry.row]
            return {path: state[0].stats for path, state in states if state is not None}
    return {}


def _is_of_time(entry: _Entry, filters: Filters) -> bool:
    is_until = filters.until is None or entry.mtime_ns <= filters.until.timestamp() * 10**9
    return is_until and is_since(filters, entry.mtime_ns)


def _entries(home: Path, archived: bool | None) -> Iterator[_Entry]:
    # Without the extra there is no index; one that is damaged is none either.
    with suppress(ModuleNotFoundError, sqlite3.DatabaseError):
        index = Index.open(home)
        if index is not None:
            with index:
                found = list(_indexed(index))
            yield from (entry for entry in found if archived in (None, is_archived(entry.name.path)))
            return
    for place in (False, True) if archived is None else (archived,):
        for name in walk(home, is_archived=place):
            with suppress(OSError):
                status = name.path.stat()
                yield _Entry(name, status.st_size, status.st_mtime_ns)


def _indexed(index: Index) -> Iterator[_Entry]:
    news = settled(index)
    known = news.known
    for change in news.changes:
        yield _Entry(change.name, change.size, change.mtime_ns, change.row)
    changed = {change.row.id for change in news.changes if change.row is not None}
    for row in index.rows():
        here = known.get(row.id, row)
        name = RolloutName.parse(index.home / here.path) if here is not None and row.id not in changed else None
        if here is not None and name is not None:
            yield _Entry(name, here.size, here.mtime_ns, here, is_current=True)
