"""
The counts of sessions: turns, tools, failures, time and tokens; as a whole, by time and model, and in groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any, Literal, TypeAlias, TypeVar

import attrs
from attrs import field, frozen

from rollout.home import folder_key, folder_text
from rollout.interpret import SessionFacts, seconds_of

__all__ = ["GROUPS", "Group", "SessionStats", "StatsPart", "Tokens", "ToolStats", "combine", "group_stats"]
__all__ += ["plain_stats", "sum_known", "sum_of_parts"]

_QUARTER_FORMAT = "%Y-%m-%dT%H:%M"

Group: TypeAlias = Literal["day", "model", "tool", "folder", "repository"]
GROUPS: tuple[Group, ...] = ("day", "model", "tool", "folder", "repository")
"""What statistics can be grouped by."""


@frozen
class Tokens:
    """
    Tokens sent to and received from models. Input includes cached tokens, output includes reasoning tokens.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0
    total_tokens: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(*(a + b for a, b in zip(attrs.astuple(self), attrs.astuple(other), strict=True)))


_KnownT = TypeVar("_KnownT", float, Tokens)


@frozen
class ToolStats:
    """
    Statistics of the calls of one tool.

    Attributes:
        calls: The number of calls.
        failures: The number of calls that failed.
        duration: Seconds, the sum of all known durations; None if none is known.
    """

    calls: int = 0
    failures: int = 0
    duration: float | None = None

    def __add__(self, other: ToolStats) -> ToolStats:
        return ToolStats(
            self.calls + other.calls, self.failures + other.failures, sum_known(self.duration, other.duration)
        )


def sum_known(one: _KnownT | None, other: _KnownT | None) -> _KnownT | None:
    """
    Return the sum of two values, of which None is unknown; None if both are unknown.
    """
    return other if one is None else one if other is None else one + other


@frozen
class StatsPart:
    """
    Statistics of a quarter of an hour with one model.

    Attributes:
        at: Beginning of the quarter, in UTC: ``2026-06-08T11:15``; None if the lines have no time.
        model: The model; None if unknown.
        turns: The number of turns that began.
        tools: The statistics of the tools by name; a failure and a duration count when the call ended. A number is
            negative if a line of this quarter corrects one of an earlier quarter.
        tokens: The tokens used; None if no line states them.
        active_duration: Seconds of the turns that ended; None if unknown.
    """

    at: str | None
    model: str | None
    turns: int = 0
    tools: Mapping[str, ToolStats] = field(factory=dict)
    tokens: Tokens | None = None
    active_duration: float | None = None


@frozen
class SessionStats:
    """
    Statistics of one session, or the sum for several sessions. Lines copied from another session are not counted.

    Attributes:
        sessions: The number of sessions, without *agents*.
        turns: The number of turns.
        lines: The numbers of lines by type, of response items and events by their own type; empty for a period.
        tools: The statistics of tools by name.
        tokens: The tokens used; None if no line states them.
        first_at: The timestamp of the first line, as in the file.
        last_at: The timestamp of the last line, as in the file.
        duration: Seconds from the first line to the last; for several sessions, the sum; None if unknown.
        active_duration: Seconds during which the agent worked; None if no line states it.
        parts: The statistics by quarter of an hour and model, in order of time.
        agents: The number of sub-agents that are counted with the sessions that have started them.
    """

    sessions: int = 1
    turns: int = 0
    lines: Mapping[str, int] = field(factory=dict)
    tools: Mapping[str, ToolStats] = field(factory=dict)
    tokens: Tokens | None = None
    first_at: str | None = None
    last_at: str | None = None
    duration: float | None = None
    active_duration: float | None = None
    parts: tuple[StatsPart, ...] = field(default=(), repr=lambda parts: f"<{len(parts)} parts>")
    agents: int = 0

    @property
    def calls(self) -> int:
        """The number of calls of all tools."""
        return sum(tool.calls for tool in self.tools.values())

    @property
    def failures(self) -> int:
        """The number of failed calls of all tools."""
        return sum(tool.failures for tool in self.tools.values())

    @property
    def tool_duration(self) -> float | None:
        """Seconds of all tools; None if no duration is known."""
        known = [tool.duration for tool in self.tools.values() if tool.duration is not None]
        return sum(known) if known else None

    def between(self, since: datetime | None, until: datetime | None) -> SessionStats:
        """
        Return the statistics of a period, by quarters of an hour: each quarter that has begun before *until* and ends
        after *since*. What has no time belongs to the period of the whole session.

        Args:
            since: Beginning of the period, with a time zone; None for the first line.
            until: End of the period, with a time zone; None for the last line.
        """
        if since is None and until is None:
            return self
        first = "" if since is None else _quarter_of(since)
        last = "~" if until is None else f"{until.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}"
        parts = tuple(part for part in self.parts if part.at and first <= part.at and f"{part.at}:00.000000" < last)
        times = seconds_of(self.first_at), seconds_of(self.last_at)
        begin = max(times[0], since.timestamp() if since else 0.0)
        end = min(times[1], until.timestamp() if until else times[1])
        duration = None if self.duration is None else max(end - begin, 0.0)
        return attrs.evolve(
            sum_of_parts(parts),
            sessions=self.sessions,
            agents=self.agents,
            first_at=self.first_at,
            last_at=self.last_at,
            duration=duration,
        )


def _quarter_of(moment: datetime) -> str:
    moment = moment.astimezone(timezone.utc)
    return (moment - timedelta(minutes=moment.minute % 15)).strftime(_QUARTER_FORMAT)


def sum_of_parts(parts: Sequence[StatsPart]) -> SessionStats:
    """
    Return the statistics of parts of a session: turns, tools, tokens and active time.
    """
    tools: dict[str, ToolStats] = {}
    tokens: Tokens | None = None
    active: float | None = None
    for part in parts:
        for name, tool in part.tools.items():
            tools[name] = tools.get(name, ToolStats()) + tool
        tokens = sum_known(tokens, part.tokens)
        active = sum_known(active, part.active_duration)
    tools = {name: known for name, tool in tools.items() if (known := _without_less_than_none(tool)) != ToolStats()}
    return SessionStats(
        turns=sum(part.turns for part in parts), tools=tools, tokens=tokens, active_duration=active, parts=tuple(parts)
    )


def _without_less_than_none(tool: ToolStats) -> ToolStats:
    return attrs.evolve(tool, calls=max(tool.calls, 0), failures=max(tool.failures, 0))


def plain_stats(stats: SessionStats) -> dict[str, Any]:
    """
    Return statistics as plain values, without the parts.
    """
    return attrs.asdict(stats, filter=lambda attribute, _: attribute.name != "parts")


def combine(stats: Iterable[SessionStats]) -> SessionStats:
    """
    Return the sum of the statistics of several sessions. Its parts are those of all sessions.
    """
    lines: Counter[str] = Counter()
    tools: dict[str, ToolStats] = {}
    parts: list[StatsPart] = []
    total = SessionStats(sessions=0)
    for each in stats:
        lines.update(each.lines)
        parts += each.parts
        for name, tool in each.tools.items():
            tools[name] = tools.get(name, ToolStats()) + tool
        total = SessionStats(
            sessions=total.sessions + each.sessions,
            agents=total.agents + each.agents,
            turns=total.turns + each.turns,
            tokens=sum_known(total.tokens, each.tokens),
            first_at=min(filter(None, (total.first_at, each.first_at)), default=None),
            last_at=max(filter(None, (total.last_at, each.last_at)), default=None),
            duration=sum_known(total.duration, each.duration),
            active_duration=sum_known(total.active_duration, each.active_duration),
        )
    return attrs.evolve(total, lines=dict(lines.most_common()), tools=tools, parts=tuple(parts))


def group_stats(sessions: Iterable[tuple[SessionStats, SessionFacts]], by: Group) -> dict[str | None, SessionStats]:
    """
    Return the statistics of sessions in groups, sorted by the name of the group; None for the unknown.

    A turn, a call and its tokens belong to the day and the model with which they were made; a session counts in each of
    its groups. Groups of tools have no turns, tokens and active time.

    Args:
        sessions: The statistics and the facts of each session.
        by: day (in local time), model, tool, folder or repository.
    """
    parts: dict[str | None, list[StatsPart]] = {}
    counts: Counter[str | None] = Counter()
    spellings: dict[str, str] = {}
    for stats, facts in sessions:
        own = _groups_of(stats, facts, by, spellings)
        counts.update(dict.fromkeys(own, stats.sessions))
        for name, some in own.items():
            parts.setdefault(name, []).extend(some)
    names = sorted(parts, key=lambda name: (name is None, name or ""))
    return {name: attrs.evolve(sum_of_parts(parts[name]), sessions=counts[name]) for name in names}


def _groups_of(
    stats: SessionStats, facts: SessionFacts, by: Group, spellings: dict[str, str]
) -> dict[str | None, list[StatsPart]]:
    if by in ("folder", "repository"):
        place = facts.cwd if by == "folder" else facts.repository
        # A repository may be a folder, too. The first spelling of a folder names its group.
        name = None if place is None else spellings.setdefault(folder_key(place), folder_text(place))
        return {name: list(stats.parts)}
    if by == "tool":
        return {name: [StatsPart(None, None, tools={name: tool})] for name, tool in stats.tools.items()}
    groups: dict[str | None, list[StatsPart]] = {}
    for part in stats.parts:
        groups.setdefault(part.model if by == "model" else local_day(part.at), []).append(part)
    return groups


def local_day(at: str | None) -> str | None:
    """
    Return the local day of a quarter of an hour: ``2026-06-08``; None if the time is unknown.
    """
    seconds = seconds_of(at)
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d}" if seconds else None


def tokens_by_day(stats: SessionStats, started_on: date) -> dict[date, int]:
    """
    Return the number of tokens used on each local day; without a time, they count for the day of the start.
    """
    days: Counter[date] = Counter()
    for part in stats.parts:
        if part.tokens is not None and part.tokens.total_tokens:
            day = local_day(part.at)
            days[date.fromisoformat(day) if day else started_on] += part.tokens.total_tokens
    return dict(days)
