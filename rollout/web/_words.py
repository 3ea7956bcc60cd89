"""
What the pages say beside what was recorded: numbers, ages, places in lists, fields of forms.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import PurePath

from rollout._units import age_text, counted, duration_text, moment_text, size_text
from rollout._visible import UNSAFE, one_line, visible

__all__ = ["TESTS", "WORDS", "day_text"]

_ASKED_MAX = 300
_SIZES = ((10**9, "G"), (10**6, "M"), (10**3, "k"))


def day_text(day: date, today: date) -> str:
    """
    Give a day for a heading: Today, Yesterday, Friday 20 November 2026.
    """
    if day == today:
        return "Today"
    return "Yesterday" if day == today - timedelta(1) else f"{day:%A} {day.day} {day:%B %Y}"


def _amount(count: int) -> str:
    """
    Give a count in at most three digits: 950, 12.5k, 3.2M.
    """
    size, unit = next(((size, unit) for size, unit in _SIZES if count >= size * 0.9995), (1, ""))
    return f"{count / size:.3g}{unit}" if unit else str(count)


def _short(text: str | None, size: int) -> str:
    """
    Give recorded text in one line of at most so many characters.
    """
    line = one_line((text or "")[: 4 * size])
    return line if len(line) <= size else f"{line[: size - 1]}…"


def _is_askable(value: str | None) -> bool:
    """
    Say whether recorded text can be asked for in an address: it is neither empty, nor long, nor half a character.
    """
    return value is not None and 0 < len(value) <= _ASKED_MAX and not UNSAFE.search(value)


def _age(moment: datetime | None) -> str:
    return age_text(moment, datetime.now(timezone.utc))


def _folder(cwd: str | None) -> str:
    return PurePath(cwd or "").name or (cwd or "")


WORDS = {
    "age": _age,
    "amount": _amount,
    "counted": counted,
    "duration": duration_text,
    "folder": _folder,
    "moment": moment_text,
    "one_line": one_line,
    "short": _short,
    "size": size_text,
    "visible": visible,
}
"""The filters of the templates."""
TESTS = {"askable": _is_askable}
"""The tests of the templates."""
