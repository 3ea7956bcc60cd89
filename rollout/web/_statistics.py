"""
The pages that count: what was done in the home, and in one session; each plot beside a table that says the same.
"""

from __future__ import annotations

import heapq
import time
import zlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from datetime import date
from functools import partial
from pathlib import Path
from sqlite3 import DatabaseError
from statistics import quantiles
from typing import Any, TypeAlias

from attrs import define, field
from flask import render_template, request
from markupsafe import Markup
from matplotlib.figure import Figure

from rollout._facts import Filters
from rollout._listed import open_index
from rollout._turns import seconds_of
from rollout._walk import walk
from rollout.document import Turn
from rollout.layout import Key, RolloutName
from rollout.plots import activity_figure, durations_figure, figure_svg, session_figure, tools_figure
from rollout.search import Index
from rollout.search._reading import plain_state
from rollout.search._sessions import entries
from rollout.stats import SessionStats, StatsCounter, Tokens, ToolStats
from rollout.store import session_names
from rollout.web._cancel import CheckedReader, check
from rollout.web._forms import Form, read_form
from rollout.web._site import site

__all__ = ["session_stats_page", "stats_page"]

_Countable: TypeAlias = "tuple[RolloutName, Callable[[], SessionStats]]"

_SINCE = "30d"
# On a phone they are moved aside, also by keys.
_PLOT = Markup("""<div class="plot light" tabindex="0" role="group" aria-label="Plot">{}</div>
<div class="plot dark" tabindex="0" role="group" aria-label="Plot">{}</div>""")
# Seconds that counting may take: 60,000 sessions of an index, or 100 MB without one.
_TIMEOUT = 6.0


@define
class _Counted:
    """
    What sessions took together.

    Attributes:
        sessions: How many were counted.
        turns: How often the users asked.
        tokens: Used.
        days: Sessions and tokens by the day on which they began.
        tools: By name.
        durations: Seconds of each, from its first line to its last.
        is_indexed: The index was asked.
        counted_from: The beginning of the last one counted, where there was no time for those before; None else.
    """

    sessions: int = 0
    turns: int = 0
    tokens: Tokens = Tokens()
    days: dict[date, tuple[int, int]] = field(factory=dict)
    tools: dict[str, ToolStats] = field(factory=dict)
    durations: list[float] = field(factory=list)
    is_indexed: bool = False
    counted_from: str | None = None

    def add(self, name: RolloutName, stats: SessionStats) -> None:
        """
        Count one more.
        """
        self.sessions += 1
        self.turns += stats.turns
        self.tokens += stats.tokens
        day = date(*name.day)
        sessions, tokens = self.days.get(day, (0, 0))
        self.days[day] = (sessions + 1, tokens + stats.tokens.total_tokens)
        for tool, more in stats.tools.items():
            self.tools[tool] = self.tools.get(tool, ToolStats()) + more
        if stats.duration:
            self.durations.append(stats.duration)


def stats_page() -> Any:
    """
    Show what was done in the home: on which days, with which tools, for how long.
    """
    form = read_form(request.args, archived=None, since=_SINCE)
    counted = _Counted() if form.problems else _counted(site().home, form)
    stats = SessionStats(sessions=counted.sessions, tools=counted.tools, tokens=counted.tokens)
    return render_template(
        "stats.html",
        form=form,
        problems=form.problems,
        counted=counted,
        days=sorted(counted.days.items(), reverse=True),
        tools=_most_called(counted.tools),
        spread=_spread(counted.durations),
        activity=_plot(lambda dark: activity_figure(counted.days, dark=dark)),
        tools_plot=_plot(lambda dark: tools_figure(stats, dark=dark)),
        durations_plot=_plot(lambda dark: durations_figure(counted.durations, dark=dark)),
    )


def _counted(home: Path, form: Form) -> _Counted:
    """
    Count the sessions that began in a time, the newest first, for as long as there is time for.
    """
    counted = _Counted()
    deadline = time.monotonic() + _TIMEOUT
    moments = (form.filters.since, form.filters.until)
    first, last = (moment and f"{moment.astimezone():%Y-%m-%dT%H-%M-%S}" for moment in moments)
    index = open_index(home)
    counted.is_indexed = index is not None
    found = _of_files(home) if index is None else _of_index(index, home)
    for name, stats_of in found:
        check()
        if first and name.timestamp < first:
            break
        if last and name.timestamp > last:
            continue
        if time.monotonic() > deadline:
            counted.counted_from = name.timestamp
            break
        try:
            counted.add(name, stats_of())
        except (OSError, ImportError, ValueError):
            # Gone since, or of a day that is none.
            continue
    found.close()
    return counted


def _of_files(home: Path) -> Generator[_Countable, None, None]:
    names = (walk(home, is_archived=place) for place in (False, True))
    for name in heapq.merge(*names, key=lambda name: name.key, reverse=True):
        yield name, partial(_read_stats, name.path)


def _of_index(index: Index, home: Path) -> Generator[_Countable, None, None]:
    given: set[Key] = set()
    # If the index is damaged or locked, the remaining sessions are read from their files.
    with suppress(DatabaseError), index:
        for entry in entries(index, Filters(), "created"):
            state = index.state(entry.row.id) if entry.row else None
            given.add(entry.name.key)
            yield entry.name, partial(_of_state, state, entry.name.path)
        return
    yield from ((name, stats_of) for name, stats_of in _of_files(home) if name.key not in given)


def _of_state(state: bytes | None, path: Path) -> SessionStats:
    """
    Give what the index has counted. As plain values: 20 us a session, not the 500 that `indexed_stats` takes.
    """
    try:
        counter = plain_state(state or b"")["counter"]
        tokens = Tokens(**counter["used"])
        first, last = (seconds_of(counter[name]) for name in ("first_at", "last_at"))
        return SessionStats(
            turns=counter["turns"]["count"],
            tools={name: ToolStats(**tool) for name, tool in counter["tools"].items()},
            tokens=Tokens(**counter["by_records"]) if tokens == Tokens() else tokens,
            duration=max(last - first, 0.0) if first and last else 0.0,
        )
    except (ValueError, KeyError, TypeError, zlib.error):
        # New, or of another version.
        return _read_stats(path)


def _read_stats(path: Path) -> SessionStats:
    counter = StatsCounter()
    with CheckedReader(path) as lines:
        for line in lines:
            counter.add(line)
    return counter.stats


def session_stats_page(key: str) -> Any:
    """
    Show what one session took: how its tokens grew, which tools took how long, each of its turns.
    """
    document = site().opened(site().path(key)).document
    turns = [turn for turn in document.turns if not turn.is_inherited]
    durations = [turn.duration for turn in turns if turn.duration]
    return render_template(
        "session_stats.html",
        key=key,
        document=document,
        name=session_names(home=site().home).get(document.session_id),
        stats=document.stats,
        turns=[(turn, *_calls(turn)) for turn in turns],
        tools=_most_called(document.stats.tools),
        spread=_spread(durations),
        growth=_plot(lambda dark: session_figure(document, dark=dark)),
        tools_plot=_plot(lambda dark: tools_figure(document.stats, dark=dark)),
        durations_plot=_plot(lambda dark: durations_figure(durations, dark=dark)),
    )


def _calls(turn: Turn) -> tuple[int, int]:
    calls = [item.call for item in turn.items if item.call is not None]
    return len(calls), sum(call.is_failed for call in calls)


def _most_called(tools: Mapping[str, ToolStats]) -> list[tuple[str, ToolStats]]:
    return sorted(tools.items(), key=lambda tool: (-tool[1].calls, tool[0]))


def _spread(seconds: Sequence[float]) -> list[tuple[str, float]]:
    """
    Give the shortest, the longest, and what is between.
    """
    if len(seconds) < 2:
        return [("the only one", one) for one in seconds]
    parts = quantiles(seconds, n=10, method="inclusive")
    return [
        ("shortest", min(seconds)), ("1 of 10 is shorter than", parts[0]), ("half are shorter than", parts[4]),
        ("9 of 10 are shorter than", parts[8]), ("longest", max(seconds)), ("together", sum(seconds)),
    ]  # fmt: skip


def _plot(draw: Callable[[bool], Figure]) -> Markup:
    """
    Give a plot for light and for dark pages; the style shows the one that fits.
    """
    plots = []
    for is_dark in (False, True):
        check()
        plots.append(Markup(figure_svg(draw(is_dark))))  # noqa: S704 -- text in it is escaped
    return _PLOT.format(*plots)
