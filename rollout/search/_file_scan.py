"""
Search a session file without an index: filter lines by their bytes, decode the lines that may match, and match them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import attrs

from rollout.codec import RolloutLine, decode_line, format_timestamp
from rollout.errors import InvalidLineError
from rollout.interpret import Filters, Interpreter, SessionFacts, Text, changes_state, may_state_latest, texts_of
from rollout.reading import open_rollout, raw_lines
from rollout.search._query import Matcher, Query

__all__ = ["TextMatch", "read_facts", "matches_line", "matches_text", "scan"]

TextMatch = tuple[int, RolloutLine, Text]
"""Offset of the line in bytes, the line, and the text in it that matches."""

# Number of first lines of a session that contain its facts.
_HEAD_LINES = 200
# Number of characters of texts that are matched at once.
_BATCH_SIZE = 4 * 2**20


def read_facts(path: Path, *, known: SessionFacts | None = None, start: int = 0, to_end: bool = False) -> SessionFacts:
    """
    Read the facts of a session from its first lines; the model, which later lines may change, only from all lines.

    Args:
        path: The session's file.
        known: Facts from the lines before *start*.
        start: Offset of the first line to read, in bytes of the uncompressed file.
        to_end: Whether to look for another model in all later lines.

    Raises:
        OSError, ModuleNotFoundError: As `read_lines`.
    """
    facts = SessionFacts() if known is None else attrs.evolve(known)
    interpreter = Interpreter(has_texts=False)
    file, damage = open_rollout(path)
    with file, suppress(*damage):
        file.seek(start)
        for raw in raw_lines(file):
            is_head = raw.lineno <= _HEAD_LINES and not facts.is_complete
            if not (is_head or to_end):
                # A later line may state another one.
                facts.model = None
                break
            if raw.raw and (is_head or may_state_latest(raw.raw)):
                with suppress(InvalidLineError):
                    facts.add(interpreter.feed(decode_line(raw.raw)))
    return facts


def scan(
    path: Path, query: Query, filters: Filters, matcher: Matcher, *, start: int = 0,
    interpreter: Interpreter | None = None,
) -> Iterator[TextMatch]:  # fmt: skip
    """
    Yield the texts of a session that match, in the order of the file.

    Args:
        path: The session's file.
        query: The query.
        filters: Conditions on texts.
        matcher: Matcher of the query.
        start: Offset of the first line to read, in bytes of the uncompressed file.
        interpreter: Reader of the lines before *start*.

    Raises:
        OSError, ModuleNotFoundError: As `read_lines`.
    """
    batch: list[TextMatch] = []
    size = 0
    for found in _texts(path, query, filters, start, interpreter or Interpreter()):
        batch.append(found)
        size += len(found[2].text)
        if size > _BATCH_SIZE:
            yield from _matches_of(batch, matcher)
            batch, size = [], 0
    yield from _matches_of(batch, matcher)


def _matches_of(batch: list[TextMatch], matcher: Matcher) -> Iterator[TextMatch]:
    if batch:
        yield from (batch[number] for number in matcher.find_matches([text.text for _, _, text in batch]))


def _texts(path: Path, query: Query, filters: Filters, start: int, interpreter: Interpreter) -> Iterator[TextMatch]:
    file, damage = open_rollout(path)
    # The tool of an output, and whether a call has failed, may be known only from other lines.
    reads_all = filters.tool is not None or filters.failed
    with file, suppress(*damage):
        file.seek(start)
        for raw in raw_lines(file):
            if raw.raw is not None and (not raw.raw or raw.raw.isspace()):
                continue
            may_match = raw.raw is not None and (reads_all or query.may_match(raw.raw))
            line = _decode(raw.raw) if raw.raw and (may_match or changes_state(raw.raw)) else None
            if line is None:
                interpreter.skip()
                continue
            facts = interpreter.feed(line)
            if may_match and matches_line(filters, line):
                found = (text for text in texts_of(facts) if not text.is_echo and matches_text(filters, text))
                yield from ((start + raw.offset, line, text) for text in found)


def _decode(raw: bytes) -> RolloutLine | None:
    try:
        return decode_line(raw)
    except InvalidLineError:
        return None


def matches_line(filters: Filters, line: RolloutLine) -> bool:
    """
    Return whether a line was recorded within the wanted time; True if its time is unknown.
    """
    if not line.timestamp:
        return True
    if filters.since is not None and line.timestamp < _wire_time(filters.since):
        return False
    return filters.until is None or line.timestamp <= _wire_time(filters.until)


def _wire_time(moment: datetime) -> str:
    return format_timestamp(int(moment.timestamp() * 1000))


def matches_text(filters: Filters, text: Text) -> bool:
    """
    Return whether a text has the wanted kind, tool and outcome.
    """
    if filters.failed and not text.is_failed:
        return False
    return filters.kind in (None, text.kind) and filters.tool in (None, text.tool)
