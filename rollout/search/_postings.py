"""
The words of each text: rows of FTS5, numbered consecutively, and the place of each text in its file.

FTS5 stores the rows of a word as differences of their numbers. Consecutive numbers take one or two bytes each, a third
of the size of numbers that combine session and offset. The positions of words within a row are not stored, which halves
the rest. So a phrase is looked up by its words, and every line that is found is read and matched again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import define, evolve

from rollout._text import plain_text
from rollout.codec import RolloutLine
from rollout.home import is_archived
from rollout.interpret import Filters, Text, line_texts
from rollout.search._damage import DamagedIndexError, span_checksum
from rollout.search._index import Index
from rollout.search._query import TRIGRAM, Matcher, Query
from rollout.search._rows import Row
from rollout.search._scripts import indexed_text
from rollout.search._sql_filters import is_since, rows_query, tags_of

__all__ = ["Place", "add_lines", "find_lines", "is_exact"]

_NEXT = "next_row"
_MORE, _BITS = 0x80, 7
# Flags of a place, and the bits of the number of the text among those of its line.
_FLAG_BITS, _FLAGS = 5, 0x1F
_FAILURE, _EVENTS, _NESTED, _NUMBER_BIT = 1, 2, 4, 3


@define
class Place:
    """
    A text of a session: its line, and which text of the line.

    Attributes:
        offset: Offset of the line in bytes of the uncompressed file.
        number: Number of the text in its line, from 0 to 3; no line has more texts.
        has_failure: Whether the text is the output that first states that a call failed.
        has_events: Whether a line before was an event with a message of a person; known only for texts of a person.
        is_nested: Whether a script was running, and the line belongs to a call by the script.
    """

    offset: int
    number: int = 0
    has_failure: bool = False
    has_events: bool = False
    is_nested: bool = False

    def texts_in(self, line: RolloutLine) -> list[Text]:
        """
        Return the texts at this place, given its line.
        """
        texts = line_texts(line, has_events=self.has_events, is_nested=self.is_nested)
        return [evolve(text, is_failed=self.has_failure) for text in texts[self.number : self.number + 1]]

    @property
    def flags(self) -> int:
        """All but the offset, as bits."""
        flags = self.has_failure * _FAILURE | self.has_events * _EVENTS | self.is_nested * _NESTED
        return flags | self.number << _NUMBER_BIT

    @classmethod
    def of_flags(cls, offset: int, flags: int) -> Place:
        """
        Return the place with an offset and *flags*.
        """
        marks = (bool(flags & mark) for mark in (_FAILURE, _EVENTS, _NESTED))
        return cls(offset, flags >> _NUMBER_BIT, *marks)


def add_lines(index: Index, session: int, lines: Sequence[tuple[Place, str, str]]) -> None:
    """
    Add texts of a session, in the order of the file: place, text, tags. To be called within a transaction.
    """
    if not lines:
        return
    first = index.note(_NEXT)
    spelled = str if index.tokenizer == TRIGRAM else indexed_text
    index.database.executemany(
        "INSERT INTO texts(rowid, text) VALUES (?, ?)",
        [(number, f"{spelled(plain_text(text))} {tags}") for number, (_, text, tags) in enumerate(lines, first)],
    )
    places = _pack(place for place, _, _ in lines)
    sum_ = span_checksum(first, session, places)
    index.database.execute("INSERT INTO spans VALUES (?, ?, ?, ?)", (first, session, places, sum_))
    index.note(_NEXT, first + len(lines))


def find_lines(
    index: Index, query: Query, filters: Filters, known: Mapping[int, Row | None]
) -> Iterator[tuple[Row, Place]]:
    """
    Yield the lines that may match, as row of the session and place; lines that were added last come first.

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
    for session, place in _places(index, expression) if expression else ():
        if sessions is not None and session not in sessions and session not in known:
            continue
        if session not in rows:
            row = known[session] if session in known else index.row(session)
            rows[session] = row if row is not None and _matches(row, filters) else None
        found = rows[session]
        if found is not None:
            yield found, place


def is_exact(index: Index, query: Query) -> bool:
    """
    Return whether every line that `find_lines` yields matches: the query contains no phrase.
    """
    if index.tokenizer == TRIGRAM or not query.wanted:
        return True
    matcher = Matcher(query, index.tokenizer)
    parts = (part for parts in (*query.wanted, query.unwanted) for part, _ in parts)
    try:
        return all(len(matcher.indexed_terms(part)) == 1 for part in parts)
    finally:
        matcher.close()


def _expression(index: Index, query: Query, filters: Filters) -> str:
    tags = [f'"{tag}"' for tag in tags_of(filters.kind, filters.tool, filters.failed)]
    matcher = Matcher(query, index.tokenizer)
    try:
        if index.tokenizer == TRIGRAM:
            return " AND ".join([matcher.expression, *tags] if query.wanted else tags)
        groups = [[_all_words(matcher, *part) for part in parts] for parts in query.wanted]
        # A line may contain the words of a phrase without the phrase.
        unwanted = [_all_words(matcher, *part) for part in query.unwanted if len(matcher.indexed_terms(part[0])) == 1]
    finally:
        matcher.close()
    wanted = [f"({' OR '.join(words)})" for words in groups if all(words)]
    expression = " AND ".join([*wanted, *tags])
    return f"({expression}) NOT ({' OR '.join(unwanted)})" if unwanted and expression else expression


def _all_words(matcher: Matcher, part: str, is_beginning: bool) -> str:
    words = " AND ".join(matcher.indexed_terms(part))
    return f"({words}{'*' if is_beginning and not words.endswith('*') else ''})" if words else ""


def _places(index: Index, expression: str) -> Iterator[tuple[int, Place]]:
    first, session, places = 0, 0, [Place(0)]
    found = index.database.execute("SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rowid DESC", [expression])
    for (number,) in found:
        if not first <= number < first + len(places):
            first, session, places = _span(index, number)
        yield session, places[number - first]


def _span(index: Index, number: int) -> tuple[int, int, list[Place]]:
    span = "SELECT first, session, offsets, sum FROM spans WHERE first <= ? ORDER BY first DESC LIMIT 1"
    found = index.database.execute(span, (number,)).fetchone()
    if found is not None and found[3] == span_checksum(*found[:3]):
        first, session, packed = found[:3]
        places = _unpack(packed)
        if number < first + len(places):
            return first, session, places
    raise DamagedIndexError(f"the position of line {number} is missing or damaged")


def _matches(row: Row, filters: Filters) -> bool:
    is_of_place = filters.archived in (None, is_archived(row.path))
    return is_of_place and is_since(filters, row.mtime_ns) and filters.matches(row.facts)


def _pack(places: Iterable[Place]) -> bytes:
    """
    Encode each place as a number, seven bits per byte: the distance from the previous place, then the flags, if there
    are any, then whether there are.
    """
    packed = bytearray()
    last = 0
    for place in places:
        distance, last = place.offset - last, place.offset
        flags = place.flags
        number = (distance << _FLAG_BITS | flags) << 1 | 1 if flags else distance << 1
        while number >= _MORE:
            packed.append(number & ~_MORE & 0xFF | _MORE)
            number >>= _BITS
        packed.append(number)
    return bytes(packed)


def _unpack(packed: bytes) -> list[Place]:
    places: list[Place] = []
    offset = number = shift = 0
    for byte in packed:
        number |= (byte & ~_MORE) << shift
        shift += _BITS
        if byte < _MORE:
            flags = number >> 1 & _FLAGS if number & 1 else 0
            offset += number >> (1 + _FLAG_BITS if number & 1 else 1)
            places.append(Place.of_flags(offset, flags) if flags else Place(offset))
            number = shift = 0
    return places
