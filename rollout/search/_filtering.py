"""
What filters ask of an index: words beside the texts, and SQL.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from rollout._facts import Filters
from rollout.search._query import plain_text

__all__ = ["is_since", "tags_of", "wanted_rows"]

# Characters that mean nothing, and are letters for FTS5.
_PRIVATE = 0xE000


def tags_of(kind: str | None, tool: str | None, is_failed: bool) -> list[str]:
    """
    Give what a filter looks for; each a word, whatever a tool is called, that no text has.
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
    Say whether a session that changed last at that time may hold lines that are wanted.
    """
    return filters.since is None or mtime_ns >= int(filters.since.timestamp() * 10**9)


def wanted_rows(filters: Filters) -> tuple[str, list[Any]] | None:
    """
    Give the SQL that leaves out most sessions by what is quick to ask; None if all are wanted.
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
