"""
Detect the lines of a session that a fork copied from another session.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from attrs import define

from rollout.codec import RolloutLine
from rollout.interpret._turns import seconds_of

__all__ = ["ForkDetector"]

# Seconds. Copied lines follow one another at once; a model needs more time for its first line.
_COPY_GAP = 0.5


@define
class ForkDetector:
    """
    State that separates the copied lines of a fork from its own lines. The lines are passed in order.

    The search index stores the fields under their names.

    Attributes:
        is_fork: Whether the session continues another session, by copied lines or by reference.
        is_copying: Whether the last line was a copy, or was the session's own meta and copies may follow.
    """

    is_fork: bool = False
    is_copying: bool = False
    session_id: str = ""
    # Whether all lines so far are metas.
    is_head: bool = True
    forked_at: float = 0.0
    copied_at: float = 0.0
    own_ordinal: int = 0

    def is_copied(self, line: RolloutLine) -> bool:
        """
        Return whether the next line was copied from another session. To be called once for each line.
        """
        if line.type != "session_meta":
            self.is_head = False
        elif not self.session_id:
            self._begin(line)
            return False
        elif self.is_head and str(line.payload.get("id")) != self.session_id:
            # The meta of the other session. In 2025 this was the only mark of a fork.
            self.is_fork = self.is_copying = True
            return True
        self.is_copying = self.is_copying and self._is_still_copy(line)
        return self.is_copying

    def _begin(self, line: RolloutLine) -> None:
        payload, written_at = line.payload, seconds_of(line.timestamp)
        start = payload.get("subagent_history_start_ordinal")
        self.session_id = str(payload.get("id"))
        self.forked_at = seconds_of(payload.get("timestamp")) or written_at
        self.copied_at = max(self.forked_at, written_at)
        self.own_ordinal = start if type(start) is int else 0
        is_by_reference = bool(payload.get("history_base"))
        self.is_fork = is_by_reference or bool(payload.get("forked_from_id") or self.own_ordinal)
        self.is_copying = self.is_fork and not is_by_reference

    def _is_still_copy(self, line: RolloutLine) -> bool:
        """
        Return whether the line after a copy is a copy, too: it is older than the fork, or was written without a pause.
        """
        if self.own_ordinal and line.ordinal is not None:
            return line.ordinal < self.own_ordinal
        if line.type == "event_msg" and 0 < self.forked_at <= _creation_time(line.payload.get("turn_id")):
            return False
        written_at, before = seconds_of(line.timestamp), self.copied_at
        if written_at <= self.forked_at:
            # Copies that keep their time, as copies of this package do: the first newer line is the fork's own, even
            # without a pause before it.
            self.copied_at = 0.0 if 0 < written_at < self.forked_at else before
            return True
        self.copied_at = max(written_at, before)
        return written_at - before <= _COPY_GAP


def _creation_time(uuid: Any) -> float:
    """
    Return the time in a UUID of version 7 as Unix seconds; 0 for any other value.
    """
    try:
        value = UUID(uuid)
    except (ValueError, AttributeError, TypeError):
        return 0.0
    return (value.int >> 80) / 1000 if value.version == 7 else 0.0
