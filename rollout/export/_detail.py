"""
The levels of detail at which a session is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rollout.document import Item, Turn

__all__ = ["DETAILS", "has_outputs", "visible_items"]

DETAILS = ("full", "no-outputs", "conversation")
"""The levels of detail: everything; everything except outputs of calls; messages, plans, compactions and errors."""

# Items of a conversation. Errors and interruptions explain its end; an unreadable line may have been part of it.
_CONVERSATION = frozenset({"user", "agent", "plan", "compaction", "interruption", "error", "unreadable"})


def has_outputs(detail: str) -> bool:
    """
    Return whether outputs of calls are shown at a level of detail.

    Raises:
        ValueError: The level is unknown.
    """
    return _check_detail(detail) == "full"


def visible_items(turn: Turn, detail: str) -> tuple[list[Item], int]:
    """
    Return the items of a turn that are shown at a level of detail, and the number of the other items.

    At ``no-outputs``, all items are shown, but the caller must leave out the outputs of calls: see `has_outputs`.

    Raises:
        ValueError: The level is unknown.
    """
    if _check_detail(detail) != "conversation":
        return turn.items, 0
    items = [item for item in turn.items if item.kind in _CONVERSATION]
    return items, len(turn.items) - len(items)


def _check_detail(detail: str) -> str:
    if detail not in DETAILS:
        raise ValueError(f"unknown level of detail {detail!r}; the levels are {', '.join(DETAILS)}")
    return detail
