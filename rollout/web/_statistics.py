"""
The pages with statistics of the home and of one session. Each plot has a table with the same numbers.
"""

from __future__ import annotations

import time
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

from rollout._text import to_local, utc_timestamp
from rollout.document import Turn
from rollout.home import Key, RolloutName, walk
from rollout.interpret import Filters, seconds_of
from rollout.overview import open_index
from rollout.plots import activity_figure, durations_figure, figure_svg, session_figure, tools_figure
from rollout.search import Index, is_since, read_catalog, stats_in_state
from rollout.sessions import has_started, read_origin
from rollout.stats import SessionStats, Tokens, ToolStats, counter_for, sum_known, tokens_by_day
from rollout.store import read_names
from rollout.web._cancel import CheckedReader, check
from rollout.web._context import current_site
from rollout.web._forms import Form, read_form

__all__ = ["session_stats_page", "stats_page"]

_Countable: TypeAlias = "tuple[RolloutName, Callable[[], tuple[SessionStats, bool]]]"

_SINCE = "30d"
# tabindex: on a phone a plot is wider than the screen, and the keyboard must be able to scroll it.
_PLOT = Markup("""<div class="plot light" tabindex="0" role="group" aria-label="Plot">{}</div>
<div class="plot dark" tabindex="0" role="group" aria-label="Plot">{}</div>""")
# Maximum seconds of counting: enough for 60,000 sessions of an index, or for 100 MB without one.
_TIMEOUT = 6.0


@define
class _Totals:
    """
    The statistics of several sessions together.

    Attributes:
        sessions: Number of counted sessions, without sub-agents.
        agents: Number of counted sub-agents.
        turns: Number of turns.
        tokens: Used tokens; None if no line states them.
        days: For each day the number of sessions that began on it, and of the tokens used on it.
        tools: Statistics by tool name.
        durations: Seconds of each session from its first to its last line.
        is_indexed: Whether the index was used.
        newest_uncounted: Start of the newest session that was not counted because the time limit was reached; None if
            all were counted.
    """

    sessions: int = 0
    agents: int = 0
    turns: int = 0
    tokens: Tokens | None = None
    days: dict[date, tuple[int, int]] = field(factory=dict)
    tools: dict[str, ToolStats] = field(factory=dict)
    durations: list[float] = field(factory=list)
    is_indexed: bool = False
    newest_uncounted: str | None = None

    def add(self, name: RolloutName, stats: SessionStats, is_agent: bool, filters: Filters) -> None:
        """
        Add what a session, or a sub-agent, used in the time of the filters.
        """
        started_at = to_local(name.started_at)
        day = started_at.date() if started_at else date(*name.day)
        if filters.since is not None and seconds_of(stats.last_at) < filters.since.timestamp():
            return
        stats = stats.between(filters.since, filters.until)
        self.sessions += not is_agent
        self.agents += is_agent
        self.turns += stats.turns
        self.tokens = sum_known(self.tokens, stats.tokens)
        if filters.since is None or day >= filters.since.astimezone().date():
            self._add_day(day, sessions=int(not is_agent))
        for used_on, tokens in tokens_by_day(stats, day).items():
            self._add_day(used_on, tokens=tokens)
        for tool, more in stats.tools.items():
            self.tools[tool] = self.tools.get(tool, ToolStats()) + more
        if stats.duration:
            self.durations.append(stats.duration)

    def _add_day(self, day: date, *, sessions: int = 0, tokens: int = 0) -> None:
        before = self.days.get(day, (0, 0))
        self.days[day] = (before[0] + sessions, before[1] + tokens)


def stats_page() -> Any:
    """
    Show the statistics of the home: activity by day, tools, and durations.
    """
    form = read_form(request.args, archived=None, since=_SINCE)
    totals = _Totals() if form.problems else _count_sessions(current_site().home, form)
    stats = SessionStats(sessions=totals.sessions, tools=totals.tools, tokens=totals.tokens)
    return render_template(
        "stats.html",
        form=form,
        problems=form.problems,
        totals=totals,
        days=sorted(totals.days.items(), reverse=True),
        tools=_sort_by_calls(totals.tools),
        distribution=_distribution(totals.durations),
        activity=_plot(lambda dark: activity_figure(totals.days, dark=dark)),
        tools_plot=_plot(lambda dark: tools_figure(stats, dark=dark)),
        durations_plot=_plot(lambda dark: durations_figure(totals.durations, dark=dark)),
    )


def _count_sessions(home: Path, form: Form) -> _Totals:
    """
    Return the totals of the sessions that were used in the time of the form. Counts the newest first, for at most 6 s.
    """
    totals = _Totals()
    deadline = time.monotonic() + _TIMEOUT
    filters = Filters(since=form.filters.since, until=form.filters.until)
    index = open_index(home)
    totals.is_indexed = index is not None
    sessions = _sessions_of_files(home, filters) if index is None else _sessions_of_index(index, home, filters)
    for name, read in sessions:
        check()
        if time.monotonic() > deadline:
            totals.newest_uncounted = utc_timestamp(name.started_at) or name.timestamp
            break
        try:
            totals.add(name, *read(), filters)
        except (OSError, ImportError, ValueError):
            # The file was removed or cannot be read, or its name contains a day that does not exist.
            continue
    sessions.close()
    return totals


def _sessions_of_files(home: Path, filters: Filters) -> Generator[_Countable, None, None]:
    for name in walk(home, archived=None):
        # A file that has not changed since then has no line from then.
        with suppress(OSError):
            is_early = filters.until is None or has_started(name.started_at, filters.until)
            if is_early and is_since(filters, name.path.stat().st_mtime_ns):
                yield name, partial(_read_stats, name.path)


def _sessions_of_index(index: Index, home: Path, filters: Filters) -> Generator[_Countable, None, None]:
    yielded: set[Key] = set()
    # If the index is damaged or locked, the remaining sessions are read from their files.
    with suppress(DatabaseError), index:
        for entry in read_catalog(index, filters, "created"):
            yielded.add(entry.name.key)
            read = partial(_read_stats, entry.name.path)
            stats = stats_in_state(index.state(entry.row.id)) if entry.row else None
            if stats is not None and entry.row is not None:
                read = partial(_known, stats, entry.row.facts.role is not None)
            yield entry.name, read
        return
    yield from (session for session in _sessions_of_files(home, filters) if session[0].key not in yielded)


def _known(stats: SessionStats, is_agent: bool) -> tuple[SessionStats, bool]:
    return stats, is_agent


def _read_stats(path: Path) -> tuple[SessionStats, bool]:
    """
    Return the statistics of a file, and whether it is that of a sub-agent.
    """
    counter = counter_for(path, current_site().home)
    with CheckedReader(path) as lines:
        for line in lines:
            counter.add(line)
    try:
        is_agent = read_origin(path).is_agent
    except LookupError:
        is_agent = False
    return counter.stats, is_agent


def session_stats_page(key: str) -> Any:
    """
    Show the statistics of one session: its tokens over time, its tools, and each of its turns.
    """
    document = current_site().load_document(current_site().find_path(key)).document
    turns = [turn for turn in document.turns if not turn.is_inherited]
    durations = [turn.duration for turn in turns if turn.duration]
    return render_template(
        "session_stats.html",
        key=key,
        document=document,
        name=read_names(current_site().home).of_file(document.path),
        stats=document.stats,
        turns=[(turn, *_count_calls(turn)) for turn in turns],
        tools=_sort_by_calls(document.stats.tools),
        distribution=_distribution(durations),
        growth=_plot(lambda dark: session_figure(document, dark=dark)),
        tools_plot=_plot(lambda dark: tools_figure(document.stats, dark=dark)),
        durations_plot=_plot(lambda dark: durations_figure(durations, dark=dark)),
    )


def _count_calls(turn: Turn) -> tuple[int, int]:
    """
    Return the number of calls of a turn, and how many of them failed.
    """
    # An output without its call has no tool.
    calls = [item.call for item in turn.items if item.call is not None and item.call.tool]
    return len(calls), sum(call.is_failed for call in calls)


def _sort_by_calls(tools: Mapping[str, ToolStats]) -> list[tuple[str, ToolStats]]:
    return sorted(tools.items(), key=lambda tool: (-tool[1].calls, tool[0]))


def _distribution(seconds: Sequence[float]) -> list[tuple[str, float]]:
    """
    Return the minimum, three quantiles, the maximum and the sum of durations, with their labels.
    """
    if len(seconds) < 2:
        return [("only value", one) for one in seconds]
    parts = quantiles(seconds, n=10, method="inclusive")
    return [
        ("shortest", min(seconds)), ("10th percentile", parts[0]), ("median", parts[4]),
        ("90th percentile", parts[8]), ("longest", max(seconds)), ("total", sum(seconds)),
    ]  # fmt: skip


def _plot(draw: Callable[[bool], Figure]) -> Markup:
    """
    Return a plot for light and one for dark pages. The style sheet shows one of them.
    """
    plots = []
    for is_dark in (False, True):
        check()
        plots.append(Markup(figure_svg(draw(is_dark))))  # noqa: S704 -- `figure_svg` escapes text
    return _PLOT.format(*plots)
