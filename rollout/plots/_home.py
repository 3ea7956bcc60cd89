"""
A home: what was done on which day, and how long sessions take.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from math import ceil, floor, log10
from typing import Any

import matplotlib.dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rollout._facts import Filters
from rollout.layout import StrPath
from rollout.plots._style import (
    DAY,
    HOUR,
    MINUTE,
    Colours,
    amount,
    amounts,
    colours_of,
    duration_text,
    finished,
    new_figure,
    note,
    say_nothing,
)
from rollout.search import indexed_sessions
from rollout.stats import session_stats

__all__ = ["activity_figure", "activity_of", "durations_figure"]

# Bars up to which one is a day, and then a week; some 3 pixels wide.
_BARS_MAX = 190
_WEEK = 7
_TICKS = {
    0.1: "0.1 s", 1: "1 s", 10: "10 s", MINUTE: "1 min", 10 * MINUTE: "10 min", HOUR: "1 h", 10 * HOUR: "10 h",
    4 * DAY: "4 d", 40 * DAY: "40 d", 365 * DAY: "1 year",
}  # fmt: skip
# From years down to minutes, as `ConciseDateFormatter` has them: a day says its month.
_DATES = ("%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%S")


def activity_of(
    home: StrPath | None = None, *, since: date | None = None, until: date | None = None
) -> dict[date, tuple[int, int]]:
    """
    Count the sessions that began on each day, and the tokens that they used until now; live and archived ones.

    Blocks. The search index has both; a session that it has not as it is, or all where there is no index, are read.

    Args:
        home: By default ``CODEX_HOME``, else ``~/.codex``.
        since: The first day, of local time as file names have it.
        until: The last day.

    Returns:
        Sessions and tokens by day; the days without any are not in it.
    """
    sessions: Counter[date] = Counter()
    tokens: Counter[date] = Counter()
    for session in indexed_sessions(home=home, filters=Filters(), order="created"):
        try:
            day = date.fromisoformat(session.timestamp[:10])
            if (since is not None and day < since) or (until is not None and day > until):
                continue
            used = session_stats(session.path).tokens.total_tokens if session.tokens is None else session.tokens
        except (OSError, ImportError, ValueError):
            # Gone since, or the name of no day: nothing is known of it.
            continue
        sessions[day] += 1
        tokens[day] += used
    return {day: (sessions[day], tokens[day]) for day in sorted(sessions)}


def activity_figure(days: Mapping[date, tuple[int, int]], *, dark: bool = False) -> Figure:
    """
    Draw how many sessions began, and how many tokens they used, by day; over more than half a year by week, over more
    than three years by month.

    Args:
        days: Sessions and tokens by day, as `activity_of` gives them, in any order.
        dark: Colours for a dark background.
    """
    colours = colours_of(dark)
    unit, counts = _by_unit(days)
    figure, plots = new_figure(colours, 4.2, (f"Sessions by {unit}", f"Tokens by {unit}"))
    sums = [sum(parts) for parts in zip(*days.values(), strict=True)] or [0, 0]
    for number, (axes, colour) in enumerate(zip(plots, (colours.first, colours.second), strict=True)):
        if counts:
            _draw_days(axes, {day: count[number] for day, count in counts.items()}, unit, colour)
        else:
            say_nothing(axes, colours, "no sessions")
    return finished(figure, f"Activity by {unit}: {sums[0]:,} sessions, {amount(sums[1])} tokens")


def _by_unit(days: Mapping[date, tuple[int, int]]) -> tuple[str, dict[date, tuple[int, int]]]:
    """
    Add up days until there are few enough to be seen: the unit, and the counts by its first day.
    """
    if not days:
        return "day", {}
    span = (max(days) - min(days)).days + 1
    if span <= _BARS_MAX:
        return "day", dict(days)
    unit = "week" if span <= _BARS_MAX * _WEEK else "month"
    counts: dict[date, tuple[int, int]] = {}
    for day, (sessions, tokens) in days.items():
        first = day - timedelta(day.weekday()) if unit == "week" else day.replace(day=1)
        before = counts.get(first, (0, 0))
        counts[first] = (before[0] + sessions, before[1] + tokens)
    return unit, counts


def _draw_days(axes: Axes, counts: Mapping[date, int], unit: str, colour: str) -> None:
    width = {"day": 1, "week": _WEEK, "month": 30}[unit]
    # Its functions have no types.
    dates: Any = matplotlib.dates
    # A day's bar stands over its date; that of a week or a month begins there.
    shift = -0.5 if unit == "day" else 0
    starts = [dates.date2num(day) + shift for day in counts]
    axes.bar(starts, list(counts.values()), width=width * 0.82, align="edge", color=colour)
    # A few days alone are no field of beams.
    missing = max(10 * width - (max(starts) - min(starts)), 0) / 2
    axes.set_xlim(min(starts) - missing, max(starts) + width + missing)
    locator = dates.AutoDateLocator(minticks=3, maxticks=8)
    formatter = dates.ConciseDateFormatter(
        locator, formats=[*_DATES], zero_formats=["", "%Y", *_DATES[2:3], *_DATES[2:5]], show_offset=False
    )
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(formatter)
    amounts(axes)


def durations_figure(seconds: Iterable[float], *, dark: bool = False) -> Figure:
    """
    Draw how long sessions, turns or calls take: how many took a time, from a second to months, four bars for each
    tenfold; the median is marked.

    Args:
        seconds: Of each; those of 0 or less are not known, and are left out.
        dark: Colours for a dark background.
    """
    colours = colours_of(dark)
    known = sorted(value for value in seconds if value > 0)
    figure, (axes,) = new_figure(colours, 2.6, ("How many took how long",))
    if not known:
        say_nothing(axes, colours, "no durations are known")
        return finished(figure, "Durations: none is known")
    median = known[len(known) // 2]
    _draw_durations(axes, known, median, colours)
    return finished(figure, f"Durations: half of {len(known):,} took {duration_text(median)} or less")


def _draw_durations(axes: Axes, known: list[float], median: float, colours: Colours) -> None:
    # In quarters of a tenfold; damage may say anything, but 30 years are enough.
    places = Counter(floor(4 * log10(min(max(value, 0.1), 1e9))) for value in known)
    axes.bar(
        [place / 4 for place in places], list(places.values()), width=0.25 * 0.86, align="edge", color=colours.first
    )
    low, high = min(*places, 0) / 4, max(ceil((max(places) + 1) / 4), 2)
    axes.set_xlim(low, high)
    shown = [size for size in _TICKS if low <= log10(size) <= high]
    axes.set_xticks([log10(size) for size in shown], [_TICKS[size] for size in shown])
    axes.axvline(log10(max(median, 0.1)), color=colours.text, linewidth=1)
    note(axes, f"median {duration_text(median)}", (log10(max(median, 0.1)), 1), (5, -2),
         xycoords=axes.get_xaxis_transform(), va="top", color=colours.text)  # fmt: skip
    amounts(axes)
    axes.set_ylim(0, max(places.values()) * 1.15)
