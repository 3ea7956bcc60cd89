"""
Detect where the turns of a session begin, and which turns a rollback removes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from attrs import define, field

from rollout.codec import RolloutLine
from rollout.interpret._prompts import is_prompt, message_text

__all__ = ["ActiveTurns", "TurnDetector", "prompt_of", "seconds_of"]

_STARTS = ("task_started", "turn_started")
_ENDS = ("task_complete", "turn_complete", "turn_aborted")


@define
class TurnDetector:
    """
    State that detects the first line of each turn of one session. The lines are passed in order.

    The search index stores the fields under their names.

    Attributes:
        count: Number of turns that have begun.
        is_running: Whether the last turn has a start event and no end event. Prompts then belong to this turn.
    """

    count: int = 0
    is_running: bool = False
    # Line types in which the prompt of this turn was found: Codex of 2025 writes it as a response item and as an event.
    said_by: list[str] = field(factory=list)

    def is_start(self, line: RolloutLine) -> bool:
        """
        Return whether a turn begins with the next line. To be called once for each line.
        """
        kind: Any = line.payload.get("type") if line.type == "event_msg" else None
        is_event = kind in _STARTS
        prompt = None if is_event else prompt_of(line)
        is_echo = bool(self.said_by) and line.type not in self.said_by
        is_start = is_event or (prompt is not None and not (self.count and (self.is_running or is_echo)))
        if is_start:
            self.count += 1
            self.said_by = []
            self.is_running = is_event
        if prompt is not None and line.type not in self.said_by:
            self.said_by.append(line.type)
        if kind in _ENDS:
            self.is_running = False
        return is_start


class _Turn(Protocol):
    prompt: str | None
    is_rolled_back: bool


_TurnT = TypeVar("_TurnT", bound=_Turn)


@define
class ActiveTurns(Generic[_TurnT]):
    """
    The turns with a prompt that are not rolled back. The cost of a rollback depends only on the turns that it removes.
    """

    _turns: list[_TurnT] = field(factory=list)

    def add(self, turn: _TurnT) -> None:
        """
        Add the last turn of the session if it has a prompt. May be called repeatedly with the same turn.
        """
        is_known = bool(self._turns) and self._turns[-1] is turn
        if turn.prompt is not None and not turn.is_rolled_back and not is_known:
            self._turns.append(turn)

    def roll_back(self, count: Any) -> list[_TurnT]:
        """
        Mark the last *count* turns as rolled back and return them; none if *count* is not a positive integer.
        """
        if type(count) is not int or count < 1:
            return []
        removed = self._turns[-count:]
        del self._turns[-count:]
        for turn in removed:
            turn.is_rolled_back = True
        return removed


def prompt_of(line: RolloutLine) -> str | None:
    """
    Return the user's prompt in a line, in either of the forms that Codex writes; None if the line has no prompt.
    """
    if line.type == "response_item" and is_prompt(line.payload):
        return message_text(line.payload)
    if line.type == "event_msg" and line.payload.get("type") == "user_message":
        return str(line.payload.get("message", ""))
    return None


def seconds_of(timestamp: Any) -> float:
    """
    Return a timestamp of the format as Unix seconds; 0 for any other value.
    """
    if not isinstance(timestamp, str):
        return 0.0
    try:
        # Before Python 3.11, `fromisoformat` accepts neither Z nor 9 digits.
        return datetime.fromisoformat(timestamp[:23].rstrip("Z") + "+00:00").timestamp()
    except ValueError:
        return 0.0
