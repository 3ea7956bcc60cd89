"""
Sessions as a list shows them, wherever what is known of them comes from: their files, the index, their locks.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from rollout._blocks import Bounds
from rollout._facts import Facts, Filters
from rollout._lock import sessions_held
from rollout.layout import RolloutName
from rollout.listing import Cursor, SessionSummary, list_sessions
from rollout.reader import LineReader
from rollout.store import session_names

if TYPE_CHECKING:
    from rollout.search import Index
    from rollout.search._rows import Row
    from rollout.search._sessions import Order

__all__ = ["Listed", "Listing", "fitting", "is_filtered", "is_indexed", "listing", "open_index", "with_counts"]

# Bytes of a file whose turns are counted without an index; 25 of them take 20 ms.
_COUNTED_SIZE = 256 * 2**10
# Limits for reading such a file. A file of 256 KiB has at most 7000 valid lines; if it is compressed, its contents have
# 2 to 5 MB. 10,000 lines of garbage take 60 ms.
_COUNTED = Bounds(size=8 * 2**20, line_count=10_000, unpacked_size=8 * 2**20)
# Sessions that the index is asked about at once; files that are read before the next look at the clock.
_STEP = 200


@frozen
class Listed:
    """
    A session on a list.

    Attributes:
        path: Its file.
        session_id: The id in the file's name.
        timestamp: Local time of its beginning, as its name has it.
        updated_at: When it changed last, in UTC; None if that is not known.
        size: Bytes of the file.
        facts: Its folder, branch, model and so on.
        turns: Number of the user's prompts; None if not known, for example for a large file without an index.
        tokens: Number of tokens used; None if not known.
        problem: What could not be read; None if all could, or nobody looked.
        is_archived: It lies in the archive.
        name: What a person called it; None if nobody did.
        is_live: A writer has it open.
    """

    path: Path
    session_id: str
    timestamp: str
    updated_at: datetime | None
    size: int
    facts: Facts
    turns: int | None
    tokens: int | None
    problem: str | None
    is_archived: bool
    name: str | None
    is_live: bool

    @property
    def state(self) -> str:
        """live, damaged, archived or ok. What a writer is about to complete is not damaged."""
        return "live" if self.is_live else "damaged" if self.problem else "archived" if self.is_archived else "ok"


@frozen
class Listing:
    """
    A page of a list.

    Attributes:
        sessions: In order.
        cursor: What the next page begins behind; None on the last, or where *skipped* counts.
        skipped: How many sessions the next page passes over; None on the last, or where there is a cursor.
        read_until: Beginning of the last session looked at, where there was no time for more; None else.
    """

    sessions: list[Listed] = field(factory=list)
    cursor: Cursor | None = None
    skipped: int | None = None
    read_until: str | None = None


def listing(
    home: Path,
    filters: Filters,
    *,
    count: int,
    order: Order = "created",
    cursor: str | None = None,
    skip: int = 0,
    timeout: float = 3.0,
) -> Listing:
    """
    Give a page of the sessions that fit, newest first.

    Without filters, by beginning, only the files on the page are opened. Else the index says which fit; without one
    the files do, for as long as *timeout* allows.

    Args:
        home: The home.
        filters: Those about sessions; *archived* is not None.
        count: How many.
        order: By what; by change, without an index, takes 2 s for 100,000, whose times are all asked.
        cursor: What the page before gave.
        skip: Likewise.
        timeout: Seconds after which a page ends early, where files are asked.

    Raises:
        InvalidCursorError: *cursor* is none.
    """
    if order == "updated" or (is_filtered(filters) and is_indexed(home)):
        found = list(islice(fitting(home, filters, order), skip, skip + count + 1))
        return Listing(found[:count], skipped=skip + count if len(found) > count else None)
    if is_filtered(filters):
        return _read(home, filters, count, cursor, time.monotonic() + timeout)
    page = list_sessions(home=home, page_size=count, cursor=cursor, archived=bool(filters.archived))
    return Listing(list(with_counts(home, page.items)), cursor=page.next_cursor)


def is_filtered(filters: Filters) -> bool:
    """
    Say whether filters leave out sessions other than by their place.
    """
    return filters.is_of_facts or filters.since is not None or filters.until is not None


def open_index(home: Path) -> Index | None:
    """
    Open a home's index; None if there is none, or the extra for it is not installed.
    """
    from rollout.search import Index  # noqa: PLC0415 -- 15 ms, which a plain list does not need

    with suppress(ModuleNotFoundError):
        return Index.open(home)
    return None


def is_indexed(home: Path) -> bool:
    """
    Say whether a home has an index.
    """
    index = open_index(home)
    if index is not None:
        index.close()
    return index is not None


def fitting(home: Path, filters: Filters, order: Order) -> Iterator[Listed]:
    """
    Give the sessions that fit, as `indexed_sessions` does.
    """
    from rollout.search import indexed_sessions  # noqa: PLC0415 -- as above

    names, held = session_names(home=home), sessions_held(home)
    for item in indexed_sessions(home=home, filters=filters, order=order):
        yield Listed(
            item.path, item.session_id, item.timestamp, item.updated_at, item.size, item.facts, item.turns, item.tokens,
            item.problem, item.is_archived, names.get(item.session_id), item.session_id in held,
        )  # fmt: skip


def with_counts(home: Path, summaries: Iterable[SessionSummary]) -> Iterator[Listed]:
    """
    Add what only reading them wholly can say: of small files at once, of large ones by the index.
    """
    names, held = session_names(home=home), sessions_held(home)
    waiting = iter(summaries)
    while step := list(islice(waiting, _STEP)):
        rows = _rows_of(home, [item for item in step if item.size > _COUNTED_SIZE])
        for item in step:
            turns, tokens, problem = rows.get(item.path) or (None, None, None)
            if item.size <= _COUNTED_SIZE and item.problem is None:
                turns, tokens = _count(item.path)
            yield Listed(
                item.path, item.session_id, item.timestamp, item.updated_at, item.size, item.facts, turns, tokens,
                item.problem or problem, item.is_archived, names.get(item.session_id), item.session_id in held,
            )  # fmt: skip


def _rows_of(home: Path, summaries: Sequence[SessionSummary]) -> dict[Path, tuple[int, int, str | None]]:
    index = open_index(home) if summaries else None
    if index is None:
        return {}
    from sqlite3 import DatabaseError  # noqa: PLC0415 -- as above

    named = {item.path.name.removesuffix(".zst"): item for item in summaries}
    rows: list[Row] = []
    # A damaged or locked index is treated as empty.
    with suppress(DatabaseError), index:
        rows = list(index.rows(f"name IN ({', '.join('?' * len(named))})", *named))
    return {
        named[row.name].path: (row.turns, row.tokens, row.problem) for row in rows if row.size == named[row.name].size
    }


def _count(path: Path) -> tuple[int | None, int | None]:
    from rollout.stats import StatsCounter  # noqa: PLC0415 -- as above

    counter = StatsCounter()
    try:
        with LineReader(path, bounds=_COUNTED) as lines:
            for line in lines:
                counter.add(line)
    except (OSError, ImportError):
        return None, None
    return (None, None) if lines.is_cut else (counter.turns.count, counter.tokens.total_tokens)


def _read(home: Path, filters: Filters, count: int, cursor: str | None, deadline: float) -> Listing:
    """
    Give a page of those whose files fit, up to where there is time for.
    """
    found: list[SessionSummary] = []
    after: Cursor | str | None = cursor
    while True:
        page = list_sessions(home=home, page_size=_STEP, cursor=after, archived=bool(filters.archived))
        found += [item for item in page.items if _fits(item, filters)]
        after = page.next_cursor
        if len(found) > count or after is None or time.monotonic() > deadline:
            break
    read_until = None
    if len(found) > count:
        name = RolloutName.parse(found[count - 1].path)
        assert name is not None  # noqa: S101 -- it is on the list by its name
        after = Cursor(*name.key)
    elif after is not None:
        read_until = after.timestamp
    return Listing(list(with_counts(home, found[:count])), cursor=after, read_until=read_until)


def _fits(item: SessionSummary, filters: Filters) -> bool:
    if item.updated_at is None:
        return False
    is_since = filters.since is None or item.updated_at >= filters.since
    return is_since and (filters.until is None or item.updated_at <= filters.until) and filters.fit(item.facts)
