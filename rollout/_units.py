"""
Counts, bytes and times as people write them, and type them.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

__all__ = ["age_text", "counted", "duration_text", "moment_text", "read_moment", "read_span", "size_text"]

_KILO = 1000
_UNITS = (("d", 86_400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))
# Days up to two weeks: the first number that still tells sessions apart.
_AGES = ((14 * 86_400, 7 * 86_400, "weeks"), (2 * 86_400, 86_400, "days"), (3600, 3600, "h"), (60, 60, "min"))
_YEAR = 365 * 86_400
_SPAN = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d)[:-](\d\d)[:-](\d\d)", re.ASCII)


def size_text(size: float) -> str:
    """
    Give a number of bytes in the unit that fits: 950 B, 1.2 kB, 34 MB.
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < _KILO:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= _KILO
    return f"{size:,.1f} TB"


def duration_text(seconds: float) -> str:
    """
    Give a span of time in the two units that matter: 12 ms, 1.5 s, 1 min 20 s, 2 h 5 min.
    """
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    unit, size, below, below_size = next(unit for unit in _UNITS if seconds >= unit[1])
    whole, rest = int(seconds) // size, int(seconds) % size // below_size
    return f"{whole:,} {unit} {rest} {below}" if rest else f"{whole:,} {unit}"


def counted(count: int, noun: str) -> str:
    """
    Give a number of things: 1 line, 2,000 lines.
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def moment_text(timestamp: str | None) -> str:
    """
    Give a timestamp, of a line or of a file's name, for a reader: 2025-11-19 16:20:11; nothing if it is none.
    """
    found = _MOMENT.match(timestamp or "")
    return f"{found[1]} {found[2]}:{found[3]}:{found[4]}" if found else ""


def age_text(moment: datetime | None, now: datetime) -> str:
    """
    Say how long ago something was: 5 min, 3 h, 2 days, 7 weeks, and the day after a year; nothing if it is not known.
    """
    if moment is None:
        return ""
    seconds = (now - moment).total_seconds()
    if seconds >= _YEAR:
        return moment.strftime("%Y-%m-%d")
    return next((f"{int(seconds // unit)} {name}" for least, unit, name in _AGES if seconds >= least), "now")


def read_span(text: str) -> float | None:
    """
    Read a span of time as it is typed, 30m, 12h, 2d or 1w, in seconds; None if it is none.
    """
    found = _SPAN.fullmatch(text)
    return float(int(found[1]) * _SECONDS[found[2]]) if found else None


def read_moment(text: str) -> datetime | None:
    """
    Read a moment as it is typed: so long ago (2d), a day or a time (2026-11-21T14:30), local without a zone. None if
    it is none.
    """
    span = read_span(text)
    try:
        if span is not None:
            return datetime.now(timezone.utc) - timedelta(seconds=span)
        # Before 3.11 no Z.
        return datetime.fromisoformat(re.sub(r"Z$", "+00:00", text)).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None
