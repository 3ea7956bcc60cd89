"""
Sessions filtered and sorted by what they are: from the index what it has, from the files what it has not.
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

from rollout._descriptor import is_shortage
from rollout._facts import Facts, Filters
from rollout._walk import walk
from rollout.layout import Key, RolloutName, StrPath, home_folder, is_archived
from rollout.search._damage import DamagedIndexError
from rollout.search._filtering import is_since, wanted_rows
from rollout.search._index import Index
from rollout.search._news import settled
from rollout.search._reading import Change, state_of
from rollout.search._rows import Row
from rollout.search._scanning import facts_of
from rollout.stats import SessionStats

__all__ = ["Entry", "IndexedSession", "Order", "entries", "indexed_sessions", "indexed_stats"]

Order: TypeAlias = Literal["created", "updated"]
"""Sorted by what, newest first."""

# Rows of the index read at once: 2.5 s for all of 100,000, and a page wants 50.
_CHUNK = 200


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
class Entry:
    """
    A session of a home, and what the index has of it.

    Attributes:
        name: Its file.
        size: Bytes of the file.
        mtime_ns: When it changed last.
        row: As the index has it; None if it has changed since, or is new.
        stale: As the index had it before it went on; None if it did not, or is new.
    """

    name: RolloutName
    size: int
    mtime_ns: int
    row: Row | None = None
    stale: Row | None = None

    def rank(self, order: Order) -> tuple[Any, Key]:
        """
        Give what it is sorted by: the newest has the highest.
        """
        return (self.mtime_ns if order == "updated" else self.name.timestamp, self.name.key)

    def facts(self, *, to_end: bool) -> Facts:
        """
        Give what it is filtered by; reads the file, as `facts_of`, unless the index has it.
        """
        if self.row is not None:
            return self.row.facts
        if self.stale is None or not self.stale.offset:
            return facts_of(self.name.path, to_end=to_end)
        return facts_of(self.name.path, known=self.stale.facts, start=self.stale.offset, to_end=to_end)

    def session(self, facts: Facts) -> IndexedSession:
        """
        Give it as a list shows it. What has changed since is counted at the next update.
        """
        row = self.row
        return IndexedSession(
            path=self.name.path,
            session_id=self.name.session_id,
            timestamp=self.name.timestamp,
            updated_at=datetime.fromtimestamp(self.mtime_ns / 10**9, timezone.utc),
            size=self.size,
            facts=facts,
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
) -> Iterator[IndexedSession]:
    """
    Give the sessions that fit, those last changed or begun first. Blocks; opens the files that the index has not.

    Args:
        home: By default ``CODEX_HOME``, else ``~/.codex``.
        filters: Those about sessions; *since* and *until* are asked of their last change.
        order: What to sort by.
    """
    for entry in _entries(home_folder(home).absolute(), filters, order):
        try:
            facts = entry.facts(to_end=filters.model is not None)
            session = entry.session(facts) if filters.fit(facts) else None
        except (OSError, ImportError) as error:
            if is_shortage(error):
                raise
            # Skip a session that is gone or not readable, and list the others.
            continue
        if session is not None:
            yield session


def indexed_stats(*, home: StrPath | None = None) -> dict[Path, SessionStats]:
    """
    Give the statistics that the index has, by file: of the sessions that have not changed since. Blocks.

    Args:
        home: By default ``CODEX_HOME``, else ``~/.codex``.
    """
    with suppress(sqlite3.DatabaseError, ModuleNotFoundError):
        index = Index.open(home_folder(home).absolute())
        if index is not None:
            with index:
                rows = [(entry.name.path, entry.row) for entry in entries(index, Filters(), "created")]
                states = [(path, state_of(index.state(row.id))) for path, row in rows if row is not None]
            return {path: state[0].stats for path, state in states if state is not None}
    return {}


def entries(index: Index, filters: Filters, order: Order) -> Iterator[Entry]:
    """
    Give the sessions of a home, newest first, without those that do not fit by time, place or what the index knows.

    Reads the index as it goes, so it must stay open, and opens no session: one that is news may not fit.
    """
    news = settled(index)
    # Check that no row is missing: a missing session would not be listed.
    index.count()
    known = news.known
    # Those that went on come as they are now.
    known.update((change.row.id, None) for change in news.changes if change.row is not None)
    found = heapq.merge(
        _of_rows(index, filters, order, known),
        sorted(map(_of_change, news.changes), key=lambda entry: entry.rank(order), reverse=True),
        key=lambda entry: entry.rank(order),
        reverse=True,
    )
    return (entry for entry in found if _fits(entry, filters))


def _of_rows(index: Index, filters: Filters, order: Order, known: dict[int, Row | None]) -> Iterator[Entry]:
    rows = (known.get(row.id, row) for row in _rows_in_order(index, filters, order))
    names = ((row, RolloutName.parse(index.home / row.path)) for row in rows if row is not None)
    found = (Entry(name, row.size, row.mtime_ns, row) for row, name in names if name is not None)
    # In the index they are sorted by their names, which is not the same where two began in one second.
    for _, group in groupby(found, key=lambda entry: entry.rank(order)[0]):
        yield from sorted(group, key=lambda entry: entry.rank(order), reverse=True)


def _rows_in_order(index: Index, filters: Filters, order: Order) -> Iterator[Row]:
    wanted, values = wanted_rows(filters) or ("SELECT id FROM sessions", [])
    column = "mtime_ns" if order == "updated" else "name"
    ids = (number for (number,) in index.database.execute(f"{wanted} ORDER BY {column} DESC", values))
    while chunk := list(islice(ids, _CHUNK)):
        rows = {row.id: row for row in index.rows(f"id IN ({', '.join(map(str, chunk))})")}
        if len(rows) != len(chunk):
            raise DamagedIndexError("rows of sessions are missing")
        yield from (rows[number] for number in chunk)


def _of_change(change: Change) -> Entry:
    return Entry(change.name, change.size, change.mtime_ns, stale=change.row)


def _fits(entry: Entry, filters: Filters) -> bool:
    is_until = filters.until is None or entry.mtime_ns <= filters.until.timestamp() * 10**9
    is_placed = filters.archived in (None, is_archived(entry.name.path))
    return is_placed and is_until and is_since(filters, entry.mtime_ns)


def _entries(home: Path, filters: Filters, order: Order) -> Iterator[Entry]:
    given: set[Key] = set()
    # Without the extra there is no index; what one that is damaged does not give, the files do.
    with suppress(ModuleNotFoundError, sqlite3.DatabaseError):
        index = Index.open(home)
        if index is not None:
            with index:
                for entry in entries(index, filters, order):
                    given.add(entry.name.key)
                    yield entry
            return
    for entry in _of_files(home, filters, order):
        if entry.name.key not in given and _fits(entry, filters):
            yield entry


def _of_files(home: Path, filters: Filters, order: Order) -> Iterable[Entry]:
    places = (False, True) if filters.archived is None else (filters.archived,)
    names = [name for place in places for name in walk(home, is_archived=place)]
    if order == "updated":
        return sorted(_looked_at(names), key=lambda entry: entry.rank(order), reverse=True)
    return _looked_at(sorted(names, key=lambda name: name.key, reverse=True))


def _looked_at(names: Iterable[RolloutName]) -> Iterator[Entry]:
    for name in names:
        with suppress(OSError):
            status = name.path.stat()
            yield Entry(name, status.st_size, status.st_mtime_ns)
