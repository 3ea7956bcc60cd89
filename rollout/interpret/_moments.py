"""
Times in the values of a session: timestamps, and ids that contain their time of creation.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

__all__ = ["creation_time", "seconds_of"]


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


def creation_time(uuid: Any) -> float:
    """
    Return the time in a UUID of version 7 as Unix seconds; 0 for any other value.
    """
    try:
        value = UUID(uuid)
    except (ValueError, AttributeError, TypeError):
        return 0.0
    return (value.int >> 80) / 1000 if value.version == 7 else 0.0
