"""
The filters and tests of the templates: texts for numbers, ages and days, and checks of recorded text.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

from rollout._text import (
    UNSAFE,
    age_text,
    count_text,
    duration_text,
    escape_control_chars,
    moment_text,
    one_line,
    pluralize,
    size_text,
)
from rollout.home import folder_name

__all__ = ["FILTERS", "TESTS", "day_text"]

_URL_VALUE_MAX = 300


def day_text(day: date, today: date) -> str:
    """
    Return a day as a heading: Today, Yesterday, Friday 20 November 2026.
    """
    if day == today:
        return "Today"
    return "Yesterday" if day == today - timedelta(1) else f"{day:%A} {day.day} {day:%B %Y}"


def _short(text: str | None, size: int) -> str:
    """
    Return recorded text as one line, truncated to *size* characters.
    """
    line = one_line((text or "")[: 4 * size])
    return line if len(line) <= size else f"{line[: size - 1]}…"


def _is_url_value(value: str | None) -> bool:
    """
    Return whether recorded text can be a filter in a URL: it is not empty, not long, and contains neither control
    characters nor surrogates.
    """
    return value is not None and 0 < len(value) <= _URL_VALUE_MAX and not UNSAFE.search(value)


def _age(moment: datetime | None) -> str:
    return age_text(moment, datetime.now(timezone.utc))


def _folder(cwd: str | None) -> str:
    return folder_name(cwd or "")


FILTERS = {
    "age": _age,
    "amount": count_text,
    "pluralize": pluralize,
    "duration": duration_text,
    "folder": _folder,
    "moment": moment_text,
    "one_line": one_line,
    "short": _short,
    "size": size_text,
    "escape_control_chars": escape_control_chars,
}
"""The filters of the templates, by name."""
TESTS = {"url_value": _is_url_value}
"""The tests of the templates, by name."""
