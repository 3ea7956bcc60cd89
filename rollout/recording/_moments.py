"""
Times that a caller states, as Unix milliseconds.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TypeAlias

__all__ = ["Moment", "milliseconds"]

Moment: TypeAlias = "datetime | float | str"
"""A datetime (without a zone: local time), Unix seconds, or ISO 8601 text."""

_FRACTION = re.compile(r"\.(\d+)", re.ASCII)
# Years of four digits: others have no timestamp in the format.
_FIRST, _LAST = (
    int(datetime(year, month, day, tzinfo=timezone.utc).timestamp() * 1000)
    for year, month, day in ((1000, 1, 1), (9999, 12, 31))
)


def milliseconds(moment: Moment) -> int:
    """
    Return a moment in Unix milliseconds.

    Raises:
        ValueError: The text is no time, or the year has not four digits.
        TypeError: The value is of another type.
    """
    value = moment
    if isinstance(value, str):
        # Python 3.10 reads no "Z", and only 3 or 6 digits after the point.
        text = _FRACTION.sub(lambda found: f".{found[1]:0<6.6}", value.strip().replace("Z", "+00:00"), count=1)
        try:
            value = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{moment!r} is no time in the form 2025-09-16T19:49:09.591Z") from None
    if isinstance(value, datetime):
        value = value.timestamp()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"a time is a datetime, Unix seconds or ISO 8601 text, not {type(moment).__name__}")
    try:
        found = round(value * 1000)
    except (ValueError, OverflowError):
        found = 0
    if not _FIRST <= found <= _LAST or not found:
        raise ValueError(f"{moment!r} is not a time between the years 1000 and 9999")
    return found
