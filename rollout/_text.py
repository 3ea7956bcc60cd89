"""
Text for people: escaped control characters; counts, sizes, times and durations as people write and type them.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

__all__ = [
    "plain_text",
    "UNSAFE",
    "age_text",
    "clock_text",
    "count_text",
    "duration_text",
    "escape_control_chars",
    "moment_text",
    "one_line",
    "pluralize",
    "read_moment",
    "read_span",
    "short_age_text",
    "short_duration_text",
    "size_text",
    "time_unit",
    "to_local",
    "utc_text",
    "utc_timestamp",
    "zone_text",
]

_COLOR = re.compile(r"\x1b\[[0-9;:?]*[@-~]")

_KILO = 1000
_COUNT_UNITS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
_UNITS = (("d", 86_400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))
# Minimum age, seconds of the unit, its long and its short form. Hours up to two days and days up to two weeks: a larger
# unit would not distinguish sessions.
_AGES = (
    (14 * 86_400, 7 * 86_400, " weeks", "w"),
    (2 * 86_400, 86_400, " days", "d"),
    (3600, 3600, " h", "h"),
    (60, 60, " min", "m"),
)
_YEAR = 365 * 86_400
_SPAN = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d)([:-])(\d\d)[:-](\d\d)(?:[.,]\d*)?([+-]\d\d:?\d\d)?", re.ASCII)

# Characters that a terminal may act on, or that change the order of other characters: controls except newline and tab,
# marks of direction, line and paragraph separators, invisible characters, tags, surrogates. Not the joiners: without
# them Persian text and emoji of people would change.
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
"""A character that is shown as an escape."""


def escape_control_chars(text: str) -> str:
    """
    Return a text with escapes in place of the characters that affect a terminal.
    """
    return UNSAFE.sub(_escape, text.replace("\r\n", "\n"))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def one_line(text: str) -> str:
    """
    Return a text as one line, with control characters escaped.
    """
    return escape_control_chars(" ".join(text.split()))


def size_text(size: float) -> str:
    """
    Return a number of bytes with a unit: 950 B, 1.2 kB, 34 MB.
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < _KILO:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= _KILO
    return f"{size:,.1f} TB"


def duration_text(seconds: float) -> str:
    """
    Return a duration in its two largest units: 12 ms, 1.5 s, 1 min 20 s, 2 h 5 min.
    """
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    unit, size, below, below_size = next(unit for unit in _UNITS if seconds >= unit[1])
    whole, rest = int(seconds) // size, int(seconds) % size // below_size
    return f"{whole:,} {unit} {rest} {below}" if rest else f"{whole:,} {unit}"


def short_duration_text(seconds: float) -> str:
    """
    Return a duration in one unit: 0.4 s, 12 s, 3 min, 2.5 h, 3 d.
    """
    size, unit = time_unit(seconds)
    return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:,.0f} {unit}"


def time_unit(seconds: float) -> tuple[int, str]:
    """
    Return the largest unit that is not longer than a duration, at least a second: its seconds and its symbol.
    """
    return next(((size, unit) for unit, size, _, _ in _UNITS if seconds >= size), (1, "s"))


def pluralize(count: int, noun: str) -> str:
    """
    Return a count with its noun: 1 line, 2,000 lines.
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def count_text(count: float) -> str:
    """
    Return a count in at most three digits: 950, 12.5k, 3.2M.
    """
    size, unit = next(((size, unit) for size, unit in _COUNT_UNITS if count >= size * 0.9995), (1, ""))
    return f"{count / size:.3g}{unit}" if unit else f"{count:.0f}"


def moment_text(moment: datetime | str | None) -> str:
    """
    Return a moment for a reader, in local time with its offset: 2025-11-19 16:20:11 +08:00. Other text stays, as one
    line; empty for None.

    Args:
        moment: A time with a zone, or the timestamp of a line (UTC) or of a file name (local time).
    """
    local = to_local(moment)
    return _other_text(moment) if local is None else f"{local:%Y-%m-%d %H:%M:%S} {_offset_text(local)}"


def clock_text(timestamp: str | None) -> str:
    """
    Return the local time of day of a timestamp: 16:20:11. Other text stays, as one line.
    """
    local = to_local(timestamp)
    return _other_text(timestamp) if local is None else f"{local:%H:%M:%S}"


def utc_text(timestamp: str | None) -> str:
    """
    Return a timestamp in UTC, to be shown beside a local time: 2025-11-19 08:20:11 UTC. Other text stays, as one line.
    """
    local = to_local(timestamp)
    return _other_text(timestamp) if local is None else f"{local.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def utc_timestamp(moment: datetime | None) -> str | None:
    """
    Return a moment for a program, in UTC: 2025-11-19T08:20:11Z; None for None.
    """
    return None if moment is None else f"{moment.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def zone_text(timestamp: str | None = None) -> str:
    """
    Return the reader's time zone at a moment, by default now: its offset, and its name if it has one: +08:00 (CST).
    """
    local = to_local(timestamp) or datetime.now().astimezone()
    name = local.tzname() or ""
    return f"{_offset_text(local)} ({name})" if name.isalpha() else _offset_text(local)


def _offset_text(local: datetime) -> str:
    offset = f"{local:%z}"
    return f"{offset[:3]}:{offset[3:5]}"


def to_local(moment: datetime | str | None) -> datetime | None:
    """
    Return a moment in the reader's time zone; None for None, and for a text of another form. All times for people come
    from here.
    """
    try:
        if isinstance(moment, datetime):
            return moment.astimezone()
        found = _MOMENT.match(moment or "")
        if found is None:
            return None
        day, hour, separator, minute, second, offset = found.groups()
        zone = "" if separator == "-" else f"{offset[:3]}:{offset[-2:]}" if offset else "+00:00"
        return datetime.fromisoformat(f"{day}T{hour}:{minute}:{second}{zone}").astimezone()
    except (ValueError, OverflowError):
        # A day that does not exist, or one at the end of the calendar.
        return None


def _other_text(moment: datetime | str | None) -> str:
    return one_line(str(moment or ""))


def age_text(moment: datetime | None, now: datetime) -> str:
    """
    Return the time since a moment: 5 min, 3 h, 2 days, 7 weeks, and the local date after a year; empty for None.
    """
    return _age(moment, now, 2)


def short_age_text(moment: datetime | None, now: datetime) -> str:
    """
    Return the time since a moment for a narrow column: 5m, 3h, 2d, 7w; otherwise as `age_text`.
    """
    return _age(moment, now, 3)


def _age(moment: datetime | None, now: datetime, form: int) -> str:
    if moment is None:
        return ""
    seconds = (now - moment).total_seconds()
    if seconds >= _YEAR:
        return f"{moment.astimezone():%Y-%m-%d}"
    return next((f"{int(seconds // age[1])}{age[form]}" for age in _AGES if seconds >= age[0]), "now")


def read_span(text: str) -> float | None:
    """
    Return the seconds of a typed duration: 30m, 12h, 2d or 1w; None for other text.
    """
    found = _SPAN.fullmatch(text)
    return float(int(found[1]) * _SECONDS[found[2]]) if found else None


def read_moment(text: str) -> datetime | None:
    """
    Return the moment that a person typed: a duration before now (2d), a day or a time (2026-11-21T14:30), local time if
    it has no zone. None for other text.
    """
    span = read_span(text)
    try:
        if span is not None:
            return datetime.now(timezone.utc) - timedelta(seconds=span)
        # Python before 3.11 does not read "Z".
        return datetime.fromisoformat(re.sub(r"Z$", "+00:00", text)).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def plain_text(text: str) -> str:
    """
    Return a text of the same length that SQLite accepts: without NUL, at which SQLite sometimes ends a text, without
    lone surrogates of a damaged file, and without a terminal's colors, which would be a part of the next word.
    """
    text = text.replace("\0", " ")
    if "\x1b" in text:
        text = _COLOR.sub(lambda found: " " * len(found[0]), text)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
