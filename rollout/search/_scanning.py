"""
Sessions searched without an index: their bytes looked at, and what may match decoded and asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path

from rollout._facts import Facts, Filters
from rollout._texts import Text, Texts
from rollout.codec import RolloutLine, decode_line, format_timestamp
from rollout.errors import InvalidLineError
from rollout.reader import open_rollout, raw_lines
from rollout.search._query import Matcher, Query

__all__ = ["Found", "facts_of", "fits_line", "scan"]

Found = tuple[int, RolloutLine, Text]
"""Byte, line and text."""

# Lines of a session's head in which all that it is filtered by stands.
_HEAD_LINES = 200
# Texts asked at once.
_BATCH_SIZE = 4 * 2**20


def facts_of(path: Path) -> Facts:
    """
    Read what a session is filtered by from its first lines.

    Raises:
        OSError, ModuleNotFoundError: As `read_lines`.
    """
    facts = Facts()
    file, damage = open_rollout(path)
    with file, suppress(*damage):
        for raw in islice(raw_lines(file), _HEAD_LINES):
            with suppress(InvalidLineError):
                if raw.raw:
                    facts.add(decode_line(raw.raw))
            if facts.is_complete:
                break
    return facts


def scan(path: Path, query: Query, filters: Filters, matcher: Matcher, start: int = 0) -> Iterator[Found]:
    """
    Give the texts of a session that match, from a byte on, in the order of the file.

    Raises:
        OSError, ModuleNotFoundError: As `read_lines`.
    """
    waiting: list[Found] = []
    size = 0
    for found in _texts(path, query, filters, start):
        waiting.append(found)
        size += len(found[2].text)
        if size > _BATCH_SIZE:
            yield from _matching(waiting, matcher)
            waiting, size = [], 0
    yield from _matching(waiting, matcher)


def _matching(waiting: list[Found], matcher: Matcher) -> Iterator[Found]:
    if waiting:
        yield from (waiting[number] for number in matcher.matching([text.text for _, _, text in waiting]))


def _texts(path: Path, query: Query, filters: Filters, start: int) -> Iterator[Found]:
    texts = Texts()
    file, damage = open_rollout(path)
    with file, suppress(*damage):
        if start:
            file.seek(start)
        for raw in raw_lines(file):
            # Which tool answers, only its call says: then no line is passed over.
            if raw.raw is None or not (filters.tool or query.may_match(raw.raw)):
                continue
            try:
                line = decode_line(raw.raw)
            except InvalidLineError:
                continue
            if fits_line(filters, line):
                for text in texts.of(line):
                    if fits_text(filters, text):
                        yield start + raw.offset, line, text


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
