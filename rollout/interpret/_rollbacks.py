"""
The turns of a session that a rollback removed, and those that it left.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from attrs import define, field

__all__ = ["ActiveTurns"]


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

    def roll_back(self, count: int) -> list[_TurnT]:
        """
        Mark the last *count* turns as rolled back and return them; none if *count* is less than 1.
        """
        if count < 1:
            return []
        removed = self._turns[-count:]
        del self._turns[-count:]
        for turn in removed:
            turn.is_rolled_back = True
        return removed
