"""
Filters for an index: as words that are stored with the texts, and as SQL.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from rollout._text import plain_text
from rollout.interpret import Filters

__all__ = ["CLOCK_STEP_NS", "is_since", "rows_query", "tags_of"]

# Nanoseconds. The kernel's clock for the times of files goes on in steps: the time of a file was up to 4 ms before that
# in its last line.
CLOCK_STEP_NS = 20 * 10**6

# First of the private characters: they have no meaning, and FTS5 treats them as letters.
_PRIVATE = 0xE000


def tags_of(kind: str | None, tool: str | None, is_failed: bool) -> list[str]:
    """
    Return the words for the kind, tool and outcome of a text. No text contains these words, for any name of a tool.
    """
    tags = [_word(f"kind {kind}")] if kind is not None else []
    if tool is not None:
        tags.append(_word(f"tool {tool}"))
    return [*tags, _word("failed")] if is_failed else tags


@lru_cache(maxsize=1000)
def _word(text: str) -> str:
    checksum = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return "".join(chr(_PRIVATE + byte) for byte in checksum)


def is_since(filters: Filters, mtime_ns: int) -> bool:
    """
    Return whether a session with this modification time may contain lines from the wanted time.
    """
    return filters.since is None or mtime_ns >= _earliest(filters.since)


def _earliest(since: datetime) -> int:
    return int(since.timestamp() * 10**9) - CLOCK_STEP_NS


def rows_query(filters: Filters) -> tuple[str, list[Any]] | None:
    """
    Return an SQL query, with its values, that excludes most sessions by their fast columns; None if all are wanted.
    """
    conditions: list[str] = []
    values: list[Any] = []
    if filters.since is not None:
        # A file that has not changed since then has no line from then.
        conditions.append("mtime_ns >= ?")
        values.append(_earliest(filters.since))
    for name in ("branch", "model", "originator", "source"):
        wanted = getattr(filters, name)
        if wanted is not None:
            conditions.append(f"{name} = ?")
            values.append(plain_text(wanted))
    return (f"SELECT id FROM sessions WHERE {' AND '.join(conditions)}", values) if conditions else None  # noqa: S608
