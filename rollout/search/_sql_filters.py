"""
Filters for an index: as words that are stored with the texts, and as SQL.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from rollout.interpret import Filters
from rollout.search._query import plain_text

__all__ = ["is_since", "tags_of", "rows_query"]

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


def _word(text: str) -> str:
    checksum = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return "".join(chr(_PRIVATE + byte) for byte in checksum)


def is_since(filters: Filters, mtime_ns: int) -> bool:
    """
    Return whether a session with this modification time may contain lines from the wanted time.
    """
    return filters.since is None or mtime_ns >= int(filters.since.timestamp() * 10**9)


def rows_query(filters: Filters) -> tuple[str, list[Any]] | None:
    """
    Return an SQL query, with its values, that excludes most sessions by their fast columns; None if all are wanted.
    """
    conditions: list[str] = []
    values: list[Any] = []
    if filters.since is not None:
        conditions.append("mtime_ns >= ?")
        values.append(int(filters.since.timestamp() * 10**9))
    for name in ("branch", "model", "originator", "source"):
        wanted = getattr(filters, name)
        if wanted is not None:
            conditions.append(f"{name} = ?")
            values.append(plain_text(wanted))
    return (f"SELECT id FROM sessions WHERE {' AND '.join(conditions)}", values) if conditions else None  # noqa: S608
