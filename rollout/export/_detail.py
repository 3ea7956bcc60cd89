"""
How much of a session is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rollout.document import Item, Turn

__all__ = ["DETAILS", "has_outputs", "shown"]

DETAILS = ("full", "no-outputs", "conversation")
"""Everything; calls without what they answered; what the user and the agent said, and what went wrong."""

# What a conversation consists of. Errors and interruptions are why one ended as it did; a line that could not be
# read may have been part of it.
_CONVERSATION = frozenset({"user", "agent", "plan", "compaction", "interruption", "error", "unreadable"})


def has_outputs(detail: str) -> bool:
    """
    Say whether what calls answered is shown at this level.

    Raises:
        ValueError: There is no such level.
    """
    return _known(detail) == "full"


def shown(turn: Turn, detail: str) -> tuple[list[Item], int]:
    """
    Give the items of a turn that are shown at this level, and how many are not.

    At ``no-outputs`` these are all, but the outputs of their calls are to be left out: see `has_outputs`.

    Raises:
        ValueError: There is no such level.
    """
    if _known(detail) != "conversation":
        return turn.items, 0
    kept = [item for item in turn.items if item.kind in _CONVERSATION]
    return kept, len(turn.items) - len(kept)


def _known(detail: str) -> str:
    if detail not in DETAILS:
        raise ValueError(f"no detail {detail!r}; there are {', '.join(DETAILS)}")
    return detail
