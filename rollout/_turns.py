"""
Whose the lines of a session are, told one by one: where a turn begins, and which lines a fork has from another session.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from attrs import define, field

from rollout._prompts import is_prompt, message_text
from rollout.codec import RolloutLine

__all__ = ["Copies", "Standing", "Turns", "prompt_of", "seconds_of"]

_STARTS = ("task_started", "turn_started")
_ENDS = ("task_complete", "turn_complete", "turn_aborted")
# Of a fork's copied lines the next follows at once; a model takes longer. Seconds.
_COPY_GAP = 0.5


@define
class Turns:
    """
    The turns of one session, whose lines are given in order.

    Attributes:
        count: How many have begun.
        is_running: The last has a beginning and no end: whatever the user says belongs to it.
    """

    count: int = 0
    is_running: bool = False
    # Codex of 2025 writes a prompt twice, as a response item and as an event.
    said_by: list[str] = field(factory=list)

    def begins(self, line: RolloutLine) -> bool:
        """
        Take the next line; say whether a turn begins with it.
        """
        kind: Any = line.payload.get("type") if line.type == "event_msg" else None
        is_start = kind in _STARTS
        prompt = None if is_start else prompt_of(line)
        is_echo = bool(self.said_by) and line.type not in self.said_by
        begins = is_start or (prompt is not None and not (self.count and (self.is_running or is_echo)))
        if begins:
            self.count += 1
            self.said_by = []
            self.is_running = is_start
        if prompt is not None and line.type not in self.said_by:
            self.said_by.append(line.type)
        if kind in _ENDS:
            self.is_running = False
        return begins


class _Turn(Protocol):
    prompt: str | None
    is_rolled_back: bool


_TurnT = TypeVar("_TurnT", bound=_Turn)


@define
class Standing(Generic[_TurnT]):
    """
    The turns with a prompt that are not rolled back. The cost of a rollback depends only on the turns that it removes.
    """

    _turns: list[_TurnT] = field(factory=list)

    def note(self, turn: _TurnT) -> None:
        """
        Add the last turn of the session, once it has a prompt. May be called repeatedly with the same turn.
        """
        is_known = bool(self._turns) and self._turns[-1] is turn
        if turn.prompt is not None and not turn.is_rolled_back and not is_known:
            self._turns.append(turn)

    def take_back(self, count: Any) -> list[_TurnT]:
        """
        Mark the last *count* turns as rolled back and return them; none if *count* is not a positive integer.
        """
        if type(count) is not int or count < 1:
            return []
        taken = self._turns[-count:]
        del self._turns[-count:]
        for turn in taken:
            turn.is_rolled_back = True
        return taken


def prompt_of(line: RolloutLine) -> str | None:
    """
    Give what the user says in a line, in either of the forms that Codex writes; None if it is another line.
    """
    if line.type == "response_item" and is_prompt(line.payload):
        return message_text(line.payload)
    if line.type == "event_msg" and line.payload.get("type") == "user_message":
        return str(line.payload.get("message", ""))
    return None


@define
class Copies:
    """
    The lines that a fork has as copies, told from its own; they are given in order.

    Attributes:
        is_fork: It goes on from another session, in whichever form.
        is_copying: The last line was a copy, or the session's own meta before its first one.
    """

    is_fork: bool = False
    is_copying: bool = False
    session_id: str = ""
    # Nothing but metas so far.
    is_head: bool = True
    forked_at: float = 0.0
    copied_at: float = 0.0
    own_ordinal: int = 0

    def holds(self, line: RolloutLine) -> bool:
        """
        Take the next line; say whether it was copied from another session.
        """
        if line.type != "session_meta":
            self.is_head = False
        elif not self.session_id:
            self._begin(line)
            return False
        elif self.is_head and str(line.payload.get("id")) != self.session_id:
            # The other's: in 2025 a fork said it with this alone.
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
        Say whether the next line of a fork was copied, too: it is older than the fork, or was written in one go.
        """
        if self.own_ordinal and line.ordinal is not None:
            return line.ordinal < self.own_ordinal
        if line.type == "event_msg" and 0 < self.forked_at <= _made_at(line.payload.get("turn_id")):
            return False
        written_at, before = seconds_of(line.timestamp), self.copied_at
        if written_at <= self.forked_at:
            # Copies that keep their time, as ours do: the first that is younger is the fork's own, however soon.
            self.copied_at = 0.0 if 0 < written_at < self.forked_at else before
            return True
        self.copied_at = max(written_at, before)
        return written_at - before <= _COPY_GAP


def seconds_of(timestamp: Any) -> float:
    """
    Read a timestamp of the format as Unix seconds; 0 if it is none.
    """
    if not isinstance(timestamp, str):
        return 0.0
    try:
        # Before 3.11 no Z, and no 9 digits.
        return datetime.fromisoformat(timestamp[:23].rstrip("Z") + "+00:00").timestamp()
    except ValueError:
        return 0.0


def _made_at(uuid: Any) -> float:
    """
    Read the time in a UUID of version 7, as Unix seconds; 0 if it is none.
    """
    try:
        value = UUID(uuid)
    except (ValueError, AttributeError, TypeError):
        return 0.0
    return (value.int >> 80) / 1000 if value.version == 7 else 0.0
