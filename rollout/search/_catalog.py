"""
Lists of sessions, filtered and sorted. The facts of a session come from the index if it is current for this session,
otherwise from the session's file.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

from attrs import frozen

from rollout.home import Key, RolloutName, StrPath, home_folder, is_archived, is_shortage, walk
from rollout.interpret import Filters, SessionFacts
from rollout.search._changes import take_snapshot
from rollout.search._damage import DamagedIndexError
from rollout.search._file_scan import read_facts
from rollout.search._index import Index
from rollout.search._ingest import Change, restore_state
from rollout.search._rows import Row
from rollout.search._sql_filters import is_since, rows_query
from rollout.sessions import SessionInfo
from rollout.stats import SessionStats

__all__ = ["CatalogEntry", "Order", "indexed_sessions", "indexed_stats", "read_catalog"]

Order: TypeAlias = Literal["created", "updated"]
"""Sort order: by start time or by last change, newest first."""

# Number of rows of the index that are read at once: reading all 100,000 takes 2.5 s, and a page needs 50.
_CHUNK = 200


@frozen
class CatalogEntry:
    """
    A session of a home, and its row in the index.

    Attributes:
        name: Name of the file.
        size: Size of the file in bytes.
        mtime_ns: Modification time of the file.
        row: Row of the session, if it is current; None if the session is new or has changed.
        stale: Row of the session before lines were added to it; None if the session is new or has not changed.
    """

    name: RolloutName
    size: int
    mtime_ns: int
    row: Row | None = None
    stale: Row | None = None

    def rank(self, order: Order) -> tuple[Any, Key]:
        """
        Return the sort key: the newest session has the highest.
        """
        return (self.mtime_ns if order == "updated" else self.name.timestamp, self.name.key)

    def facts(self, *, to_end: bool) -> SessionFacts:
        """
        Return the facts for filters, from the row if it is current, otherwise from the file, as `read_facts` does.
        """
        if self.row is not None:
            return self.row.facts
        if self.stale is None or not self.stale.offset:
            return read_facts(self.name.path, to_end=to_end)
        return read_facts(self.name.path, known=self.stale.facts, start=self.stale.offset, to_end=to_end)

    def session(self, facts: SessionFacts) -> SessionInfo:
        """
        Return the session for a list. Turns and tokens are None unless the row is current.
        """
        row = self.row
        return SessionInfo(
            path=self.name.path,
            session_id=self.name.session_id,
            timestamp=self.name.timestamp,
            updated_at=datetime.fromtimestamp(self.mtime_ns / 10**9, timezone.utc),
            size=self.size,
            facts=facts,
            preview=facts.preview,
            turns=row.turns if row else None,
            tokens=row.tokens if row else None,
            problem=row.problem if row else None,
            is_archived=is_archived(self.name.path),
        )


def indexed_sessions(
    *,
    home: StrPath | None = None,
    filters: Filters = Filters(archived=False),  # noqa: B008 -- frozen
    order: Literal["created", "updated"] = "updated",
) -> Iterator[SessionInfo]:
    """
    Yield the sessions that match, newest first. Blocks; opens the files for which the index is not current.

    Turns, tokens and problem are None where the index does not know them; name and is_live are always None.

    Args:
        home: Home folder; by default ``CODEX_HOME``, else ``~/.codex``.
        filters: Conditions on sessions; *since* and *until* apply to the time of the last change.
        order: Sort order: by start time or by last change.
    """
    for entry in _entries(home_folder(home).absolute(), filters, order):
        try:
            facts = entry.facts(to_end=filters.model is not None)
            session = entry.session(facts) if filters.matches(facts) else None
        except (OSError, ImportError) as error:
            if is_shortage(error):
                raise
            # Skip a session that was removed or is unreadable, and list the other sessions.
            continue
        if session is not None:
            yield session


def indexed_stats(*, home: StrPath | None = None) -> dict[Path, SessionStats]:
    """
    Return the statistics in the index, by file, of all sessions that have not changed since they were indexed. Blocks.

    Args:
        home: Home folder; by default ``CODEX_HOME``, else ``~/.codex``.
    """
    with suppress(sqlite3.DatabaseError, ModuleNotFoundError):
        index = Index.open(home_folder(home).absolute())
        if index is not None:
            with index:
                rows = [(entry.name.path, entry.row) for entry in read_catalog(index, Filters(), "created")]
                states = [(path, restore_state(index.state(row.id))) for path, row in rows if row is not None]
            return {path: state[0].stats for path, state in states if state is not None}
    return {}


def read_catalog(index: Index, filters: Filters, order: Order) -> Iterator[CatalogEntry]:
    """
    Yield the sessions of a home, newest first, without sessions that do not match by time, archive or row.

    The index is read during the iteration, so it must stay open. No session is opened, so a new or changed session may
    not match after all.
    """
    diff = take_snapshot(index)
    # Check that no row is missing: a missing session would not be listed.
    index.count()
    known = diff.known
    # Sessions with added lines are listed from their changes.
    known.update((change.row.id, None) for change in diff.changes if change.row is not None)
    found = heapq.merge(
        _of_rows(index, filters, order, known),
        sorted(map(_of_change, diff.changes), key=lambda entry: entry.rank(order), reverse=True),
        key=lambda entry: entry.rank(order),
        reverse=True,
    )
    return (entry for entry in found if _matches(entry, filters))


def _of_rows(index: Index, filters: Filters, order: Order, known: dict[int, Row | None]) -> Iterator[CatalogEntry]:
    rows = (known.get(row.id, row) for row in _rows_in_order(index, filters, order))
    names = ((row, RolloutName.parse(index.home / row.path)) for row in rows if row is not None)
    found = (CatalogEntry(name, row.size, row.mtime_ns, row) for row, name in names if name is not None)
    # The index sorts by file name, which is a different order for sessions that started in the same second.
    for _, group in groupby(found, key=lambda entry: entry.rank(order)[0]):
        yield from sorted(group, key=lambda entry: entry.rank(order), reverse=True)


def _rows_in_order(index: Index, filters: Filters, order: Order) -> Iterator[Row]:
    wanted, values = rows_query(filters) or ("SELECT id FROM sessions", [])
    column = "mtime_ns" if order == "updated" else "name"
    ids = (number for (number,) in index.database.execute(f"{wanted} ORDER BY {column} DESC", values))
    while chunk := list(islice(ids, _CHUNK)):
        rows = {row.id: row for row in index.rows(f"id IN ({', '.join(map(str, chunk))})")}
        if len(rows) != len(chunk):
            raise DamagedIndexError("rows of sessions are missing")
        yield from (rows[number] for number in chunk)


def _of_change(change: Change) -> CatalogEntry:
    return CatalogEntry(change.name, change.size, change.mtime_ns, stale=change.row)


def _matches(entry: CatalogEntry, filters: Filters) -> bool:
    is_until = filters.until is None or entry.mtime_ns <= filters.until.timestamp() * 10**9
    is_of_place = filters.archived in (None, is_archived(entry.name.path))
    return is_of_place and is_until and is_since(filters, entry.mtime_ns)


def _entries(home: Path, filters: Filters, order: Order) -> Iterator[CatalogEntry]:
    listed: set[Key] = set()
    # Without the extra there is no index. If the index is damaged, the remaining sessions come from their files.
    with suppress(ModuleNotFoundError, sqlite3.DatabaseError):
        index = Index.open(home)
        if index is not None:
            with index:
                for entry in read_catalog(index, filters, order):
                    listed.add(entry.name.key)
                    yield entry
            return
    for entry in _of_files(home, filters, order):
        if entry.name.key not in listed and _matches(entry, filters):
            yield entry


def _of_files(home: Path, filters: Filters, order: Order) -> Iterable[CatalogEntry]:
    names = walk(home, archived=filters.archived)
    if order == "updated":
        return sorted(_stat_files(names), key=lambda entry: entry.rank(order), reverse=True)
    return _stat_files(sorted(names, key=lambda name: name.key, reverse=True))


def _stat_files(names: Iterable[RolloutName]) -> Iterator[CatalogEntry]:
    for name in names:
        with suppress(OSError):
            status = name.path.stat()
            yield CatalogEntry(name, status.st_size, status.st_mtime_ns)
