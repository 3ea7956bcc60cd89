"""
Where a turn begins, told line by line.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field

from rollout._prompts import is_prompt, message_text
from rollout.codec import RolloutLine

__all__ = ["Turns", "prompt_of"]

_STARTS = ("task_started", "turn_started")
_ENDS = ("task_complete", "turn_complete", "turn_aborted")


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


def prompt_of(line: RolloutLine) -> str | None:
    """
    Give what the user says in a line, in either of the forms that Codex writes; None if it is another line.
    """
    if line.type == "response_item" and is_prompt(line.payload):
        return message_text(line.payload)
    if line.type == "event_msg" and line.payload.get("type") == "user_message":
        return str(line.payload.get("message", ""))
    return None
