"""
Sessions searched without an index: their bytes looked at, and what may match decoded and asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import attrs

from rollout._facts import Facts, Filters
from rollout._texts import Text, Texts
from rollout.codec import RolloutLine, decode_line, format_timestamp
from rollout.errors import InvalidLineError
from rollout.reader import open_rollout, raw_lines
from rollout.search._query import Matcher, Query

__all__ = ["Found", "facts_of", "fits_line", "fits_text", "scan"]

Found = tuple[int, RolloutLine, Text]
"""Byte, line and text."""

# Lines of a session's head in which all that it is filtered by stands.
_HEAD_LINES = 200
# Of those behind, what says something: another model.
_MARKS = (b'"turn_context"', b'"session_meta"')
# Texts asked at once.
_BATCH_SIZE = 4 * 2**20


def facts_of(path: Path, *, known: Facts | None = None, start: int = 0, to_end: bool = False) -> Facts:
    """
    Read what a session is filtered by from its first lines.

    Args:
        path: Its file.
        known: What the lines before *start* say.
        start: A byte, of the (uncompressed) file.
        to_end: Look for another model in the lines behind, too.

    Raises:
        OSError, ModuleNotFoundError: As `read_lines`.
    """
    facts = Facts() if known is None else attrs.evolve(known)
    file, damage = open_rollout(path)
    with file, suppress(*damage):
        file.seek(start)
        for raw in raw_lines(file):
            is_head = raw.lineno <= _HEAD_LINES and not facts.is_complete
            if not (is_head or to_end):
                break
            if raw.raw and (is_head or any(mark in raw.raw for mark in _MARKS)):
                with suppress(InvalidLineError):
                    facts.add(decode_line(raw.raw))
    return facts


def scan(
    path: Path, query: Query, filters: Filters, matcher: Matcher, *, start: int = 0, texts: Texts | None = None
) -> Iterator[Found]:
    """
    Give the texts of a session that match, in the order of the file.

    Args:
        path: Its file.
        query: What to look for.
        filters: Which texts.
        matcher: Of the query.
        start: The first byte, of the (uncompressed) file.
        texts: Of the lines before.

    Raises:
        OSError, ModuleNotFoundError: As `read_lines`.
    """
    waiting: list[Found] = []
    size = 0
    for found in _texts(path, query, filters, start, texts or Texts()):
        waiting.append(found)
        size += len(found[2].text)
        if size > _BATCH_SIZE:
            yield from _matching(waiting, matcher)
            waiting, size = [], 0
    yield from _matching(waiting, matcher)


def _matching(waiting: list[Found], matcher: Matcher) -> Iterator[Found]:
    if waiting:
        yield from (waiting[number] for number in matcher.matching([text.text for _, _, text in waiting]))


def _texts(path: Path, query: Query, filters: Filters, start: int, texts: Texts) -> Iterator[Found]:
    file, damage = open_rollout(path)
    with file, suppress(*damage):
        file.seek(start)
        for raw in raw_lines(file):
            if raw.raw is not None and (not raw.raw or raw.raw.isspace()):
                continue
            # Which tool answers, only its call says: then no line is passed over.
            line = _decoded(raw.raw) if raw.raw and (filters.tool is not None or query.may_match(raw.raw)) else None
            if line is None:
                texts.pass_over()
                continue
            found = texts.of(line)
            if fits_line(filters, line):
                yield from ((start + raw.offset, line, text) for text in found if fits_text(filters, text))


def _decoded(raw: bytes) -> RolloutLine | None:
    try:
        return decode_line(raw)
    except InvalidLineError:
        return None


def fits_line(filters: Filters, line: RolloutLine) -> bool:
    """
    Say whether a line is of the time that is wanted; one without a time is.
    """
    if line.timestamp is None:
        return True
    if filters.since is not None and line.timestamp < _wire_time(filters.since):
        return False
    return filters.until is None or line.timestamp <= _wire_time(filters.until)


def _wire_time(moment: datetime) -> str:
    return format_timestamp(int(moment.timestamp() * 1000))


def fits_text(filters: Filters, text: Text) -> bool:
    """
    Say whether a text is of the kind, tool and outcome that is wanted.
    """
    if filters.failed and not text.is_failed:
        return False
    return filters.kind in (None, text.kind) and filters.tool in (None, text.tool)
