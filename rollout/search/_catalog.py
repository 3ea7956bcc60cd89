"""
Lists of sessions, filtered and sorted. The facts of a session come from the index if it is current for this session,
otherwise from the session's file.
"""

from __future__ import annotations

import heapq
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

from attrs import evolve, frozen

from rollout._text import plain_text
from rollout.home import Key, RolloutName, StrPath, home_folder, is_archived, is_shortage, walk
from rollout.interpret import Filters, SessionFacts, may_state_name
from rollout.search._changes import take_snapshot
from rollout.search._damage import DamagedIndexError
from rollout.search._file_scan import read_facts
from rollout.search._index import Index
from rollout.search._ingest import Change, decode_state
from rollout.search._rows import Row
from rollout.search._sql_filters import CLOCK_STEP_NS, is_since, rows_query
from rollout.sessions import SessionInfo, has_started, read_last_use, read_stated_start, summarize
from rollout.stats import SessionStats, stats_of_plain

__all__ = ["CatalogEntry", "Order", "indexed_sessions", "indexed_stats", "read_catalog", "sessions_given_name"]
__all__ += ["stats_in_state"]

Order: TypeAlias = Literal["created", "updated"]
"""Sort order: by start time or by last change, newest first."""

# Number of rows of the index that are read at once: reading all 100,000 takes 2.5 s, and a page needs 50.
_CHUNK = 200
# Size in bytes of either end of a file in which a name is looked for.
_ENDS_SIZE = 128 * 2**10


@frozen
class CatalogEntry:
    """
    A session of a home, and its row in the index.

    Attributes:
        name: Name of the file.
        size: Size of the file in bytes.
        mtime_ns: Modification time of the file.
        used_ms: Time of the last use, in Unix milliseconds; None if it was not needed.
        row: Row of the session, if it is current; None if the session is new or has changed.
        stale: Row of the session before lines were added to it; None if the session is new or has not changed.
    """

    name: RolloutName
    size: int
    mtime_ns: int
    used_ms: int | None = None
    row: Row | None = None
    stale: Row | None = None

    def rank(self, order: Order) -> tuple[Any, Key]:
        """
        Return the sort key: the newest session has the highest.
        """
        return (self.used_ms if order == "updated" else self.name.timestamp, self.name.key)

    def with_use(self) -> CatalogEntry:
        """
        Return the entry with the time of the last use, which is read from the file.
        """
        try:
            used_at = read_last_use(self.name.path)
        except (OSError, ImportError) as error:
            if is_shortage(error):
                raise
            used_at = 0.0
        return evolve(self, used_ms=round(used_at * 1000) or self.mtime_ns // 10**6)

    def session(self, filters: Filters) -> SessionInfo | None:
        """
        Return the session for a list; None if it does not match the conditions on its facts.

        Without a current row, reads the first and last lines of the file, as `rollout.list_sessions` does; turns and
        tokens are then None.

        Raises:
            OSError, ModuleNotFoundError: The file was removed, or cannot be read.
        """
        row, is_old = self.row, is_archived(self.name.path)
        if row is None:
            return self._read(filters, is_old)
        if not filters.matches(row.facts):
            return None
        return SessionInfo(
            path=self.name.path,
            session_id=self.name.session_id,
            timestamp=self.name.timestamp,
            stated_start=read_stated_start(self.name),
            updated_at=datetime.fromtimestamp(row.used_ms / 1000, timezone.utc),
            is_updated_by_file=row.updated_ms is None,
            size=self.size,
            facts=row.facts,
            preview=row.facts.preview,
            turns=row.turns,
            tokens=row.tokens,
            problem=row.problem,
            is_archived=is_old,
        )

    def _read(self, filters: Filters, is_old: bool) -> SessionInfo | None:
        found = summarize(self.name, is_archived=is_old)
        if self.stale is not None and found.facts.given_name is None:
            # The line with the name is neither one of the first nor of the last.
            found.facts.given_name, found.facts.named_at = self.stale.facts.given_name, self.stale.facts.named_at
        if filters.model is not None and found.facts.model is None:
            found.facts.model = read_facts(self.name.path, to_end=True).model
        return evolve(found, problem=None, head=(), tail=()) if filters.matches(found.facts) else None


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
        filters: Conditions on sessions. A session matches a period in which it was used: its last line is not before
            *since*, and it started not after *until*.
        order: Sort order: by start time or by last use.
    """
    for entry in _entries(home_folder(home).absolute(), filters, order):
        try:
            session = entry.session(filters)
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
                states = [(path, stats_in_state(index.state(row.id))) for path, row in rows if row is not None]
            return {path: stats for path, stats in states if stats is not None}
    return {}


def sessions_given_name(home: Path, name: str) -> list[tuple[RolloutName, SessionFacts]]:
    """
    Return the sessions whose own files state a name, with their facts. Blocks; without an index, reads the first and
    last lines of all sessions.
    """
    changed: Iterable[RolloutName] = walk(home, archived=None)
    found: list[tuple[RolloutName, SessionFacts]] = []
    with suppress(ModuleNotFoundError, sqlite3.DatabaseError):
        index = Index.open(home.absolute())
        if index is not None:
            with index:
                diff = take_snapshot(index)
                known = {**diff.known, **{change.row.id: None for change in diff.changes if change.row is not None}}
                rows = (known.get(row.id, row) for row in index.rows("given_name = ?", plain_text(name)))
                current = ((RolloutName.parse(home / row.path), row.facts) for row in rows if row is not None)
                found = [(parsed, facts) for parsed, facts in current if parsed is not None]
                changed = [change.name for change in diff.changes]
    for rollout in changed:
        with suppress(OSError, ImportError):
            if not _may_have_name(rollout.path):
                continue
            facts = summarize(rollout, is_archived=is_archived(rollout.path)).facts
            if facts.given_name == name:
                found.append((rollout, facts))
    return found


def _may_have_name(path: Path) -> bool:
    """
    Return whether a file may state a name, without decoding it: in a tenth of the time.
    """
    if path.suffix == ".zst":
        return True
    with path.open("rb", buffering=0) as file:
        head = file.read(_ENDS_SIZE)
        is_named = may_state_name(head)
        if is_named or len(head) < _ENDS_SIZE:
            return is_named
        file.seek(max(file.seek(0, os.SEEK_END) - _ENDS_SIZE, 0))
        return may_state_name(file.read(_ENDS_SIZE))


def stats_in_state(state: bytes | None) -> SessionStats | None:
    """
    Return the statistics in the state of a session in the index; None if the state is missing or unusable.
    """
    try:
        plain = decode_state(state or b"")
        return stats_of_plain(plain["counter"], plain["interpreter"])
    except (ValueError, KeyError, TypeError, zlib.error):
        # Another version of this package wrote the state.
        return None


def read_catalog(index: Index, filters: Filters, order: Order) -> Iterator[CatalogEntry]:
    """
    Yield the sessions of a home, newest first, without sessions that do not match by time, archive or row.

    The index is read during the iteration, so it must stay open. Only new and changed sessions are opened, so one of
    them may not match after all.
    """
    diff = take_snapshot(index)
    # Check that no row is missing: a missing session would not be listed.
    index.count()
    known = diff.known
    # Sessions with added lines are listed from their changes.
    known.update((change.row.id, None) for change in diff.changes if change.row is not None)
    changes = _with_use(map(_of_change, diff.changes), filters, order)
    found = heapq.merge(
        _of_rows(index, filters, order, known),
        sorted(changes, key=lambda entry: entry.rank(order), reverse=True),
        key=lambda entry: entry.rank(order),
        reverse=True,
    )
    return (entry for entry in found if _matches(entry, filters))


def _with_use(entries: Iterable[CatalogEntry], filters: Filters, order: Order) -> Iterator[CatalogEntry]:
    """
    Yield entries with the time of the last use, if the order or a filter needs it.
    """
    for entry in entries:
        # A file that has not changed since then has no line from then.
        if is_since(filters, entry.mtime_ns):
            yield entry.with_use() if order == "updated" or filters.since is not None else entry


def _of_rows(index: Index, filters: Filters, order: Order, known: dict[int, Row | None]) -> Iterator[CatalogEntry]:
    rows = (known.get(row.id, row) for row in _rows_in_order(index, filters, order))
    names = ((row, RolloutName.parse(index.home / row.path)) for row in rows if row is not None)
    found = (CatalogEntry(name, row.size, row.mtime_ns, row.used_ms, row) for row, name in names if name is not None)
    # The index sorts by file name, which is a different order for sessions that started in the same second.
    for _, group in groupby(found, key=lambda entry: entry.rank(order)[0]):
        yield from sorted(group, key=lambda entry: entry.rank(order), reverse=True)


def _rows_in_order(index: Index, filters: Filters, order: Order) -> Iterator[Row]:
    wanted, values = rows_query(filters) or ("SELECT id FROM sessions", [])
    column = "COALESCE(updated_ms, mtime_ns / 1000000)" if order == "updated" else "name"
    ids = (number for (number,) in index.database.execute(f"{wanted} ORDER BY {column} DESC", values))
    while chunk := list(islice(ids, _CHUNK)):
        rows = {row.id: row for row in index.rows(f"id IN ({', '.join(map(str, chunk))})")}
        if len(rows) != len(chunk):
            raise DamagedIndexError("rows of sessions are missing")
        yield from (rows[number] for number in chunk)


def _of_change(change: Change) -> CatalogEntry:
    return CatalogEntry(change.name, change.size, change.mtime_ns, stale=change.row)


def _matches(entry: CatalogEntry, filters: Filters) -> bool:
    if filters.archived not in (None, is_archived(entry.name.path)):
        return False
    if filters.until is not None and not has_started(entry.name.started_at, filters.until):
        return False
    return filters.since is None or (entry.used_ms or 0) >= filters.since.timestamp() * 1000


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


def _of_files(home: Path, filters: Filters, order: Order) -> Iterator[CatalogEntry]:
    names = walk(home, archived=filters.archived)
    if order == "created":
        return _with_use(_stat_files(sorted(names, key=lambda name: name.key, reverse=True)), filters, order)
    return _by_use(entry for entry in _stat_files(names) if is_since(filters, entry.mtime_ns))


def _by_use(entries: Iterable[CatalogEntry]) -> Iterator[CatalogEntry]:
    """
    Yield entries by the time of their last use, the last one first.

    The time in the last line is not after the last change of the file, except for the steps of the clock of the file
    system, so not every file has to be read to find the first entries.
    """
    read: list[tuple[int, tuple[int, ...], CatalogEntry]] = []
    for entry in sorted(entries, key=lambda entry: entry.mtime_ns, reverse=True):
        while read and -read[0][0] > (entry.mtime_ns + CLOCK_STEP_NS) // 10**6:
            yield heapq.heappop(read)[2]
        used = entry.with_use()
        heapq.heappush(read, (-(used.used_ms or 0), _reversed_key(used.name.key), used))
    while read:
        yield heapq.heappop(read)[2]


def _reversed_key(key: Key) -> tuple[int, ...]:
    return tuple(-ord(character) for part in key for character in part)


def _stat_files(names: Iterable[RolloutName]) -> Iterator[CatalogEntry]:
    for name in names:
        with suppress(OSError):
            status = name.path.stat()
            yield CatalogEntry(name, status.st_size, status.st_mtime_ns)
