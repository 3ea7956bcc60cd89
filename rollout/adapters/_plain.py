"""
Copies of a caller's values as plain JSON values.
"""

from __future__ import annotations

from typing import Any

from rollout.schema import CopyStats, snapshot

__all__ = ["plain_copy"]


def plain_copy(value: Any) -> Any:
    """
    Return a copy of a value; what has no JSON form becomes its text.

    Raises:
        EncodeError: The value is nested too deep, or its own code raised an exception.
    """
    stats = CopyStats()
    stats.default = str
    return snapshot(value, stats)
