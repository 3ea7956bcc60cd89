"""
Where a session goes on from another one's file, what it has from there.

Codex of 2026 forks a session by reference: the new file's session_meta has a *history_base*, which says up to which
number the lines of the other file belong to it. Those of 0.169.0 were looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rollout._walk import walk
from rollout.codec import RolloutLine
from rollout.errors import SessionNotFoundError
from rollout.finding import use_found
from rollout.reader import read_lines

__all__ = ["base_of", "inherited_lines"]

# Forks of forks followed at most; one that refers to itself has no end.
_DEPTH_MAX = 64


def base_of(meta: Mapping[str, Any]) -> str | None:
    """
    Give the id of the rollout that a session_meta's payload refers to; None if it refers to none.
    """
    base = meta.get("history_base")
    own_id = base.get("thread_id") if isinstance(base, dict) else None
    return own_id if isinstance(own_id, str) else None


def inherited_lines(meta: Mapping[str, Any], home: Path, *, depth: int = _DEPTH_MAX) -> Iterator[RolloutLine]:
    """
    Give the lines that a session has from others, the oldest first; none where it has all its lines itself.

    Args:
        meta: The payload of its session_meta.
        home: Where the others are looked for, the archived ones too.
        depth: How many forks to follow.

    Raises:
        SessionNotFoundError: The session it refers to is not there.
        OSError, ModuleNotFoundError: As `read_lines`.
    """
    rollout_id = base_of(meta)
    if rollout_id is None or not depth:
        return
    end = meta["history_base"].get("end_ordinal_exclusive")
    own_id = rollout_id.lower()
    with use_found(lambda: _file_of(own_id, home), read_lines) as lines:
        for line in lines:
            if line.type == "session_meta":
                yield from inherited_lines(line.payload, home, depth=depth - 1)
            if line.ordinal is not None and type(end) is int and line.ordinal >= end:
                break
            yield line


def _file_of(rollout_id: str, home: Path) -> Path:
    for is_archived in (False, True):
        for name in walk(home, holding=rollout_id, is_archived=is_archived):
            if name.key[1] == rollout_id:
                return name.path
    raise SessionNotFoundError(rollout_id, home)
