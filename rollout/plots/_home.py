"""
Figures of a home: its activity by day, and the durations of its sessions.
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

from rollout._text import count_text, short_duration_text, to_local
from rollout.home import StrPath
from rollout.interpret import Filters
from rollout.plots._style import (
    DAY,
    HOUR,
    MINUTE,
    Colors,
    annotate,
    colors_of,
    fix_layout,
    new_figure,
    set_count_axis,
    show_empty,
)
from rollout.search import indexed_sessions, indexed_stats
from rollout.stats import session_stats, tokens_by_day

__all__ = ["activity_figure", "activity_of", "durations_figure"]

# Maximum number of bars, some 3 pixels wide: one per day, then one per week.
_BARS_MAX = 190
_WEEK = 7
_TICKS = {
    0.1: "0.1 s", 1: "1 s", 10: "10 s", MINUTE: "1 min", 10 * MINUTE: "10 min", HOUR: "1 h", 10 * HOUR: "10 h",
    4 * DAY: "4 d", 40 * DAY: "40 d", 365 * DAY: "1 year",
}  # fmt: skip
# From years to seconds, for `ConciseDateFormatter`: a day has its month.
_DATES = ("%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%S")


def activity_of(
    home: StrPath | None = None, *, since: date | None = None, until: date | None = None
) -> dict[date, tuple[int, int]]:
    """
    Return the numbers of sessions (archived ones included) that started on each day, and of the tokens used on it.

    Blocks. Takes both from the search index; reads sessions that are missing or outdated in the index, or all
    sessions if there is no index.

    Args:
        home: By default ``CODEX_HOME``, else ``~/.codex``.
        since: The first day, in local time.
        until: The last day.

    Returns:
        Sessions and tokens by day, without days that have neither.
    """
    sessions: Counter[date] = Counter()
    tokens: Counter[date] = Counter()
    known = indexed_stats(home=home)
    for session in indexed_sessions(home=home, filters=Filters(), order="created"):
        try:
            started_at = to_local(session.started_at)
            day = started_at.date() if started_at else date.fromisoformat(session.timestamp[:10])
            stats = known.get(session.path) or session_stats(session.path)
        except (OSError, ImportError, ValueError):
            # The session was removed in the meantime, or its name has no valid day.
            continue
        sessions[day] += 1
        for used_on, used in tokens_by_day(stats, day).items():
            tokens[used_on] += used
    days = [
        day
        for day in sorted({*sessions, *tokens})
        if (since is None or day >= since) and (until is None or day <= until)
    ]
    return {day: (sessions[day], tokens[day]) for day in days}


def activity_figure(days: Mapping[date, tuple[int, int]], *, dark: bool = False) -> Figure:
    """
    Return a figure of the numbers of sessions and tokens by day; by week if the days span more than half a year, by
    month if they span more than three years.

    Args:
        days: Sessions and tokens by day, a result of `activity_of`, in any order.
        dark: Whether the colors are for a dark background.
    """
    colors = colors_of(dark)
    unit, counts = _by_unit(days)
    figure, plots = new_figure(colors, 4.2, (f"Sessions by {unit}", f"Tokens by {unit}"))
    sums = [sum(parts) for parts in zip(*days.values(), strict=True)] or [0, 0]
    for number, (axes, color) in enumerate(zip(plots, (colors.first, colors.second), strict=True)):
        if counts:
            _draw_days(axes, {day: count[number] for day, count in counts.items()}, unit, color)
        else:
            show_empty(axes, colors, "no sessions")
    return fix_layout(figure, f"Activity by {unit}: {sums[0]:,} sessions, {count_text(sums[1])} tokens")


def _by_unit(days: Mapping[date, tuple[int, int]]) -> tuple[str, dict[date, tuple[int, int]]]:
    """
    Return the unit, day, week or month, that limits the number of bars, and the counts by its first day.
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


def _draw_days(axes: Axes, counts: Mapping[date, int], unit: str, color: str) -> None:
    width = {"day": 1, "week": _WEEK, "month": 30}[unit]
    # Its functions have no types.
    dates: Any = matplotlib.dates
    # The bar of a day is centered on its date; the bar of a week or a month begins at its first day.
    shift = -0.5 if unit == "day" else 0
    starts = [dates.date2num(day) + shift for day in counts]
    axes.bar(starts, list(counts.values()), width=width * 0.82, align="edge", color=color)
    # A minimum width of the axis, so that bars are not very wide if there are only a few days.
    missing = max(10 * width - (max(starts) - min(starts)), 0) / 2
    axes.set_xlim(min(starts) - missing, max(starts) + width + missing)
    locator = dates.AutoDateLocator(minticks=3, maxticks=8)
    formatter = dates.ConciseDateFormatter(
        locator, formats=[*_DATES], zero_formats=["", "%Y", *_DATES[2:3], *_DATES[2:5]], show_offset=False
    )
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(formatter)
    set_count_axis(axes)


def durations_figure(seconds: Iterable[float], *, dark: bool = False) -> Figure:
    """
    Return a figure of the durations of sessions, turns or calls: a histogram from seconds to months, with four bars per
    power of ten and a mark at the median.

    Args:
        seconds: The durations in seconds; values of 0 or less mean unknown, and are left out.
        dark: Whether the colors are for a dark background.
    """
    colors = colors_of(dark)
    known = sorted(value for value in seconds if value > 0)
    figure, (axes,) = new_figure(colors, 2.6, ("Distribution of durations",))
    if not known:
        show_empty(axes, colors, "no durations are known")
        return fix_layout(figure, "Durations: none known")
    median = known[len(known) // 2]
    _draw_durations(axes, known, median, colors)
    return fix_layout(figure, f"Durations: half of {len(known):,} took {short_duration_text(median)} or less")


def _draw_durations(axes: Axes, known: list[float], median: float, colors: Colors) -> None:
    # Quarters of a power of ten. Values of damaged files are limited to 30 years.
    places = Counter(floor(4 * log10(min(max(value, 0.1), 1e9))) for value in known)
    axes.bar(
        [place / 4 for place in places], list(places.values()), width=0.25 * 0.86, align="edge", color=colors.first
    )
    low, high = min(*places, 0) / 4, max(ceil((max(places) + 1) / 4), 2)
    axes.set_xlim(low, high)
    shown = [size for size in _TICKS if low <= log10(size) <= high]
    axes.set_xticks([log10(size) for size in shown], [_TICKS[size] for size in shown])
    axes.axvline(log10(max(median, 0.1)), color=colors.text, linewidth=1)
    annotate(axes, f"median {short_duration_text(median)}", (log10(max(median, 0.1)), 1), (5, -2),
         xycoords=axes.get_xaxis_transform(), va="top", color=colors.text)  # fmt: skip
    set_count_axis(axes)
    axes.set_ylim(0, max(places.values()) * 1.15)
