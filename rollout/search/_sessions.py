"""
Sessions filtered and sorted by what they are: from the index what it has, from the files what it has not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from attrs import frozen

from rollout._facts import Facts, Filters
from rollout._walk import walk
from rollout.layout import RolloutName, StrPath, home_folder, is_archived
from rollout.search._index import Index, Row
from rollout.search._reading import counter_of
from rollout.search._scanning import facts_of
from rollout.search._update import changes
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
    row: Row | None

    @property
    def session(self) -> IndexedSession:
        # What has changed since is counted at the next update.
        row = self.row if self.row is not None and self.row.size == self.size else None
        return IndexedSession(
            path=self.name.path,
            session_id=self.name.session_id,
            timestamp=self.name.timestamp,
            updated_at=datetime.fromtimestamp(self.mtime_ns / 10**9, timezone.utc),
            size=self.size,
            facts=self.row.facts if self.row else facts_of(self.name.path),
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
    folder = home_folder(home).absolute()
    entries = [entry for entry in _entries(folder, filters.archived) if _is_of_time(entry, filters)]
    entries.sort(key=lambda entry: entry.mtime_ns if order == "updated" else entry.name.key, reverse=True)
    for entry in entries:
        # Gone, or not readable: a list of others is what was asked for.
        with suppress(OSError, ImportError):
            session = entry.session
            if filters.fit(session.facts):
                yield session


def indexed_stats(*, home: StrPath | None = None) -> dict[Path, SessionStats]:
    """
    Give the statistics that the index has, by file: of the sessions that have not changed since. Blocks.

    Args:
        home: By default ``CODEX_HOME``, else ``~/.codex``.
    """
    folder = home_folder(home).absolute()
    found = {}
    for entry in _entries(folder, None):
        if entry.row is not None and (entry.row.size, entry.row.mtime_ns) == (entry.size, entry.mtime_ns):
            found[entry.name.path] = entry.row.id
    index = Index.open(folder) if found else None
    if index is None:
        return {}
    with index:
        states = dict(index.database.execute("SELECT id, state FROM sessions"))
    return {path: counter_of(states[number]).stats for path, number in found.items() if states.get(number)}


def _is_of_time(entry: _Entry, filters: Filters) -> bool:
    if filters.since is not None and entry.mtime_ns < filters.since.timestamp() * 10**9:
        return False
    return filters.until is None or entry.mtime_ns <= filters.until.timestamp() * 10**9


def _entries(home: Path, archived: bool | None) -> Iterator[_Entry]:
    index = None
    with suppress(ModuleNotFoundError):
        index = Index.open(home)
    if index is None:
        for place in (False, True) if archived is None else (archived,):
            for name in walk(home, is_archived=place):
                with suppress(OSError):
                    status = name.path.stat()
                    yield _Entry(name, status.st_size, status.st_mtime_ns, None)
        return
    with index:
        changed = changes(index)
        seen = {change.name.path.name.removesuffix(".zst") for change in changed}
        found = [_Entry(change.name, change.size, change.mtime_ns, change.row) for change in changed]
        for row in index.rows():
            own_name = RolloutName.parse(home / row.path)
            if row.name not in seen and own_name is not None:
                found.append(_Entry(own_name, row.size, row.mtime_ns, row))
    yield from (entry for entry in found if archived in (None, is_archived(entry.name.path)))
