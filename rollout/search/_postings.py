"""
The words of each line: rows of FTS5, numbered consecutively, and the offset of each line in its file.

FTS5 stores the rows of a word as differences of their numbers. Consecutive numbers take one or two bytes each, a third
of the size of numbers that combine session and offset. The positions of words within a row are not stored, which halves
the rest. So a phrase is looked up by its words, and every line that is found is read and matched again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rollout.home import is_archived
from rollout.interpret import Filters
from rollout.search._damage import DamagedIndexError, span_checksum
from rollout.search._index import Index
from rollout.search._query import TRIGRAM, Matcher, Query, plain_text
from rollout.search._rows import Row
from rollout.search._sql_filters import is_since, rows_query, tags_of

__all__ = ["add_lines", "find_lines", "is_exact"]

_NEXT = "next_row"
_MORE, _BITS = 0x80, 7


def add_lines(index: Index, session: int, texts: Sequence[tuple[int, str, str]]) -> None:
    """
    Add lines of a session, in the order of the file: offset, text, tags. To be called within a transaction.
    """
    if not texts:
        return
    first = index.note(_NEXT)
    index.database.executemany(
        "INSERT INTO texts(rowid, text) VALUES (?, ?)",
        [(number, f"{plain_text(text)} {tags}") for number, (_, text, tags) in enumerate(texts, first)],
    )
    offsets = _pack(offset for offset, _, _ in texts)
    sum_ = span_checksum(first, session, offsets)
    index.database.execute("INSERT INTO spans VALUES (?, ?, ?, ?)", (first, session, offsets, sum_))
    index.note(_NEXT, first + len(texts))


def find_lines(
    index: Index, query: Query, filters: Filters, known: Mapping[int, Row | None]
) -> Iterator[tuple[Row, int]]:
    """
    Yield the lines that may match, as row of the session and offset; lines that were added last come first.

    Args:
        index: The index.
        query: The query.
        filters: Conditions on sessions and texts.
        known: Current rows of sessions that have changed since they were indexed, by number; None for deleted ones.
    """
    wanted = rows_query(filters)
    if wanted:
        # Check that no row is missing: a missing session would not be tested against the filters.
        index.count()
    sessions = {number for (number,) in index.database.execute(*wanted)} if wanted else None
    rows: dict[int, Row | None] = {}
    expression = _expression(index, query, filters)
    # Without an expression, the query has no words for SQLite, and matches nothing.
    for session, offset in _positions(index, expression) if expression else ():
        if sessions is not None and session not in sessions and session not in known:
            continue
        if session not in rows:
            row = known[session] if session in known else index.row(session)
            rows[session] = row if row is not None and _matches(row, filters) else None
        found = rows[session]
        if found is not None:
            yield found, offset


def is_exact(index: Index, query: Query) -> bool:
    """
    Return whether every line that `find_lines` yields matches: the query contains no phrase.
    """
    if index.tokenizer == TRIGRAM or not query.expression:
        return True
    matcher = Matcher(query, index.tokenizer)
    parts = (part for parts in (*query.wanted, query.unwanted) for part, _ in parts)
    try:
        return all(len(matcher.words_of(part)) == 1 for part in parts)
    finally:
        matcher.close()


def _expression(index: Index, query: Query, filters: Filters) -> str:
    tags = [f'"{tag}"' for tag in tags_of(filters.kind, filters.tool, filters.failed)]
    if index.tokenizer == TRIGRAM:
        return " AND ".join([query.expression, *tags] if query.expression else tags)
    matcher = Matcher(query, index.tokenizer)
    try:
        groups = [[_all_words(matcher, *part) for part in parts] for parts in query.wanted]
        # A line may contain the words of a phrase without the phrase.
        unwanted = [_all_words(matcher, *part) for part in query.unwanted if len(matcher.words_of(part[0])) == 1]
    finally:
        matcher.close()
    wanted = [f"({' OR '.join(words)})" for words in groups if all(words)]
    expression = " AND ".join([*wanted, *tags])
    return f"({expression}) NOT ({' OR '.join(unwanted)})" if unwanted and expression else expression


def _all_words(matcher: Matcher, part: str, is_beginning: bool) -> str:
    words = [f'"{word}"' for word in matcher.words_of(part)]
    return f"({' AND '.join(words)}{'*' if is_beginning else ''})" if words else ""


def _positions(index: Index, expression: str) -> Iterator[tuple[int, int]]:
    first, session, offsets = 0, 0, [0]
    found = index.database.execute("SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rowid DESC", [expression])
    for (number,) in found:
        if not first <= number < first + len(offsets):
            first, session, offsets = _span(index, number)
        yield session, offsets[number - first]


def _span(index: Index, number: int) -> tuple[int, int, list[int]]:
    span = "SELECT first, session, offsets, sum FROM spans WHERE first <= ? ORDER BY first DESC LIMIT 1"
    found = index.database.execute(span, (number,)).fetchone()
    if found is not None and found[3] == span_checksum(*found[:3]):
        first, session, packed = found[:3]
        offsets = _unpack(packed)
        if number < first + len(offsets):
            return first, session, offsets
    raise DamagedIndexError(f"the position of line {number} is missing or damaged")


def _matches(row: Row, filters: Filters) -> bool:
    is_of_place = filters.archived in (None, is_archived(row.path))
    return is_of_place and is_since(filters, row.mtime_ns) and filters.matches(row.facts)


def _pack(offsets: Iterable[int]) -> bytes:
    """
    Encode each offset as its distance from the previous one, seven bits per byte.
    """
    packed = bytearray()
    last = 0
    for offset in offsets:
        distance, last = offset - last, offset
        while distance >= _MORE:
            packed.append(distance & ~_MORE & 0xFF | _MORE)
            distance >>= _BITS
        packed.append(distance)
    return bytes(packed)


def _unpack(packed: bytes) -> list[int]:
    offsets = []
    offset = distance = shift = 0
    for byte in packed:
        distance |= (byte & ~_MORE) << shift
        shift += _BITS
        if byte < _MORE:
            offset += distance
            offsets.append(offset)
            distance = shift = 0
    return offsets
