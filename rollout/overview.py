"""
Lists of sessions with all known facts: from their files, the index, the names and the locks.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve

from rollout._text import utc_timestamp
from rollout.home import Problem, RolloutName, is_archived, locked_sessions, newest_reverted
from rollout.interpret import Filters
from rollout.reading import Bounds, LineReader, read_envelopes
from rollout.sessions import (
    AgentsShown,
    Cursor,
    Families,
    Page,
    SessionInfo,
    has_started,
    list_sessions,
    summarize,
)
from rollout.store import read_names

if TYPE_CHECKING:
    from rollout.search import Index, Order, Row

__all__ = ["COUNTED_SIZE", "add_counts", "is_filtered", "is_indexed", "matching_sessions", "open_index", "read_page"]

COUNTED_SIZE = 256 * 2**10
"""Maximum size in bytes of a file whose turns are counted without an index; 25 of them take 20 ms."""

# Limits for reading such a file. A file of 256 KiB has at most 7000 valid lines; if it is compressed, its contents have
# 2 to 5 MB. 10,000 lines of garbage take 60 ms.
_COUNTED = Bounds(size=8 * 2**20, line_count=10_000, unpacked_size=8 * 2**20)
# Number of sessions per query of the index, and of files that are read before the time is checked again.
_STEP = 200
# Number of sessions whose sub-agents are counted at once: a page.
_SHOWN_STEP = 50


def read_page(
    home: Path,
    filters: Filters,
    *,
    count: int,
    order: Order = "created",
    cursor: str | None = None,
    skip: int = 0,
    timeout: float = 3.0,
    agents: AgentsShown = "fold",
) -> Page:
    """
    Return a page of the sessions that match, newest first, with their counts, names and locks.

    Blocks. Without filters, in the order of creation, only the files on the page are opened. Otherwise the index finds
    the sessions; if there is no index, the files are read, for at most *timeout* seconds.

    Args:
        home: Home folder.
        filters: Conditions on sessions; *archived* is not None.
        count: Maximum number of sessions on the page.
        order: Sort order. Without an index, ``updated`` reads the end of every file.
        cursor: `Page.next_cursor` of the previous page, as text.
        skip: `Page.skipped` of the previous page.
        timeout: Seconds after which a page ends early while files are read.
        agents: The sub-agents that are listed, as `list_sessions`; with filters, ``fold`` lists those whose own session
            does not match.

    Raises:
        InvalidCursorError: *cursor* is not a cursor.
    """
    if order == "updated" or (is_filtered(filters) and is_indexed(home)):
        found = tuple(islice(matching_sessions(home, filters, order, agents), skip, skip + count + 1))
        return Page(found[:count], skipped=skip + count if len(found) > count else None)
    if is_filtered(filters):
        page = _read_matching(home, filters, count, cursor, time.monotonic() + timeout, agents)
    else:
        archived = bool(filters.archived)
        page = list_sessions(home=home, page_size=count, cursor=cursor, archived=archived, agents=agents)
    return evolve(page, items=tuple(add_counts(home, page.items)))


def is_filtered(filters: Filters) -> bool:
    """
    Return whether filters have conditions other than the archive.
    """
    return filters.needs_facts or filters.since is not None or filters.until is not None


def open_index(home: Path) -> Index | None:
    """
    Return the open index of a home; None if the home has no index, or if the extra ``search`` is not installed.
    """
    from rollout.search import Index  # noqa: PLC0415 -- 15 ms, which a plain list does not need

    with suppress(ModuleNotFoundError):
        return Index.open(home)
    return None


def is_indexed(home: Path) -> bool:
    """
    Return whether a home has an index.
    """
    index = open_index(home)
    if index is not None:
        index.close()
    return index is not None


def matching_sessions(
    home: Path, filters: Filters, order: Order, agents: AgentsShown = "fold"
) -> Iterator[SessionInfo]:
    """
    Yield the sessions that match, in the order of `indexed_sessions`, with their names, locks and numbers of
    sub-agents. Of a session that was reverted, only the newest file is yielded. *agents* as for `read_page`.
    """
    from rollout.search import indexed_sessions  # noqa: PLC0415 -- as above

    names, held = read_names(home), locked_sessions(home)
    families = _families(home, filters)
    sessions = indexed_sessions(home=home, filters=filters, order=order)
    newest = _newest_created(sessions) if order == "created" else _newest_of_reverted(home, sessions)
    found = (item for item in newest if _is_shown(item, families, agents))
    while step := list(islice(found, _SHOWN_STEP)):
        # All sub-agents count, also those that do not match.
        for item in Families(home, archived=filters.archived).with_counts(step):
            yield evolve(item, name=names.of(item.session_id, item.facts), is_live=item.session_id in held)


def _newest_created(sessions: Iterable[SessionInfo]) -> Iterator[SessionInfo]:
    """
    Yield sessions, the newest first, without older files of sessions that were reverted.
    """
    reverted: set[tuple[str, bool]] = set()
    for item in sessions:
        place = (item.session_id, item.is_archived)
        if place not in reverted:
            # Only the name of a file that a revert made has two ids.
            if "_" in item.path.name:
                reverted.add(place)
            yield item


def _newest_of_reverted(home: Path, sessions: Iterable[SessionInfo]) -> Iterator[SessionInfo]:
    """
    Yield sessions in any order without older files of sessions that were reverted; reads all names.
    """
    reverted = {place: newest_reverted(home, ("", ""), archived=place) for place in (False, True)}
    for item in sessions:
        newest = reverted[item.is_archived].get(item.session_id)
        if newest is None or newest.path == item.path:
            yield item


def _families(home: Path, filters: Filters) -> Families:
    """
    Return the families of a home in which only the sessions that match count.
    """

    def matches(path: Path) -> bool:
        name = RolloutName.parse(path)
        try:
            return name is not None and _matches(summarize(name, is_archived=is_archived(path)), filters)
        except (OSError, ImportError):
            return False

    return Families(home, archived=filters.archived, matches=matches if is_filtered(filters) else lambda _: True)


def _is_shown(item: SessionInfo, families: Families, agents: AgentsShown) -> bool:
    families.note(item.session_id, item.facts.parent_id)
    return families.shows(item.session_id, agents, is_agent=item.facts.role is not None)


def add_counts(home: Path, sessions: Iterable[SessionInfo]) -> Iterator[SessionInfo]:
    """
    Yield sessions with their turns, tokens, names and locks. Reads small files; uses the index for large files.
    """
    names, held = read_names(home), locked_sessions(home)
    remaining = iter(sessions)
    while step := list(islice(remaining, _STEP)):
        rows = _rows_of(home, [item for item in step if item.size > COUNTED_SIZE])
        for item in step:
            turns, tokens, problem = rows.get(item.path) or (None, None, None)
            if item.size <= COUNTED_SIZE and item.problem is None:
                turns, tokens = _count(item.path, home)
            yield evolve(
                item,
                turns=turns,
                tokens=tokens,
                problem=item.problem or problem,
                name=names.of(item.session_id, item.facts),
                is_live=item.session_id in held,
            )


def _rows_of(home: Path, sessions: Sequence[SessionInfo]) -> dict[Path, tuple[int | None, int | None, str | None]]:
    index = open_index(home) if sessions else None
    if index is None:
        return {}
    from sqlite3 import DatabaseError  # noqa: PLC0415 -- as above

    named = {item.path.name.removesuffix(".zst"): item for item in sessions}
    rows: list[Row] = []
    # A damaged or locked index is treated as empty.
    with suppress(DatabaseError), index:
        rows = list(index.rows(f"name IN ({', '.join('?' * len(named))})", *named))
    return {
        named[row.name].path: (row.turns, row.tokens, row.problem) for row in rows if row.size == named[row.name].size
    }


def _count(path: Path, home: Path) -> tuple[int | None, int | None]:
    from rollout.stats import counter_for  # noqa: PLC0415 -- as above

    counter = counter_for(path, home)
    try:
        if path.suffix != ".zst":
            for envelopes in read_envelopes(path):
                counter.add_all(envelopes)
        else:
            with LineReader(path, bounds=_COUNTED) as lines:
                for line in lines:
                    counter.add(line)
            if lines.is_cut:
                return None, None
    except (OSError, ImportError):
        return None, None
    stats = counter.stats
    return stats.turns, None if stats.tokens is None else stats.tokens.total_tokens


def _read_matching(
    home: Path, filters: Filters, count: int, cursor: str | None, deadline: float, agents: AgentsShown
) -> Page:
    """
    Return a page of the sessions that match according to their files, as many as are found before the deadline.
    """
    found: list[SessionInfo] = []
    problems: list[Problem] = []
    scanned = 0
    after: Cursor | str | None = cursor
    families = _families(home, filters)
    while True:
        page = list_sessions(home=home, page_size=_STEP, cursor=after, archived=bool(filters.archived), agents="all")
        matching = (item for item in page.items if _matches(item, filters))
        found += [item for item in matching if _is_shown(item, families, agents)]
        problems += page.problems
        scanned += page.scanned
        after = page.next_cursor
        if len(found) > count or after is None or time.monotonic() > deadline:
            break
    read_until = None
    if len(found) > count:
        name = RolloutName.parse(found[count - 1].path)
        assert name is not None  # noqa: S101 -- it is on the list by its name
        after = Cursor(*name.key)
    elif after is not None:
        read_until = utc_timestamp(RolloutName(after.timestamp, after.id).started_at)
    return Page(tuple(found[:count]), after, scanned, problems=tuple(problems), read_until=read_until)


def _matches(item: SessionInfo, filters: Filters) -> bool:
    if item.updated_at is None or (filters.since is not None and item.updated_at < filters.since):
        return False
    if filters.until is not None and not has_started(item.started_at, filters.until):
        return False
    facts = item.facts
    if filters.model is not None and facts.model is None:
        # The last lines do not state it.
        from rollout.search import read_facts  # noqa: PLC0415 -- as above

        try:
            facts = read_facts(item.path, to_end=True)
        except (OSError, ImportError):
            return False
    return filters.matches(facts)
