"""
Statistics of a session: turns, tools, failures, time, tokens.

Tokens are counted by the growth of Codex's cumulative totals. Codex repeats its totals, restarts them when it
resumes a session, and copies them with the history into forks; the sum of all totals would be up to 91 times too high.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

import attrs
from attrs import define, field, frozen

from rollout.codec import RolloutLine
from rollout.home import StrPath, find_and_use, locate
from rollout.interpret import OUTPUTS, ForkDetector, TurnDetector, outcome_of, seconds_of, tool_of
from rollout.reading import read_lines
from rollout.schema import CALL_OUTPUTS

__all__ = ["SessionStats", "StatsCounter", "Tokens", "ToolStats", "combine", "session_stats"]

_CALLS = frozenset({*CALL_OUTPUTS, "web_search_call", "image_generation_call"})
_CALLS_MAX = 1000
# Larger numbers are damage: the limit is more than all tokens, or milliseconds, of a year.
_NUMBER_MAX = 2**40


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

    def __sub__(self, other: Tokens) -> Tokens:
        return Tokens(*(max(a - b, 0) for a, b in zip(attrs.astuple(self), attrs.astuple(other), strict=True)))

    @classmethod
    def read(cls, usage: Any) -> Tokens | None:
        """
        Return the tokens of a usage object; None for other values. Missing or invalid numbers count as 0.
        """
        if not isinstance(usage, dict):
            return None
        return cls(*(int(_number(usage.get(name))) for name in _TOKEN_NAMES))


_TOKEN_NAMES = tuple(attribute.name for attribute in attrs.fields(Tokens))


@frozen
class ToolStats:
    """
    Statistics of the calls of one tool.

    Attributes:
        calls: The number of calls.
        failures: The number of calls with an exit code other than 0, or with an output that reports a failure.
        duration: Seconds, the sum of all known durations.
    """

    calls: int = 0
    failures: int = 0
    duration: float = 0.0

    def __add__(self, other: ToolStats) -> ToolStats:
        return ToolStats(self.calls + other.calls, self.failures + other.failures, self.duration + other.duration)


@frozen
class SessionStats:
    """
    Statistics of one session, or the sum for several sessions. Lines copied from another session are not counted.

    Attributes:
        sessions: The number of sessions.
        turns: The number of the user's prompts.
        lines: The numbers of lines by type, of response items and events by their own type.
        tools: The statistics of tools by name.
        tokens: The tokens used.
        first_at: The timestamp of the first line, as in the file.
        last_at: The timestamp of the last line, as in the file.
        duration: Seconds from the first line to the last; for several sessions, the sum.
        active_duration: Seconds during which a turn was running, for turns that record it.
    """

    sessions: int = 1
    turns: int = 0
    lines: Mapping[str, int] = field(factory=dict)
    tools: Mapping[str, ToolStats] = field(factory=dict)
    tokens: Tokens = Tokens()
    first_at: str | None = None
    last_at: str | None = None
    duration: float = 0.0
    active_duration: float = 0.0

    @property
    def calls(self) -> int:
        """The number of calls of all tools."""
        return sum(tool.calls for tool in self.tools.values())

    @property
    def failures(self) -> int:
        """The number of failed calls of all tools."""
        return sum(tool.failures for tool in self.tools.values())


def session_stats(session: StrPath, *, home: StrPath | None = None) -> SessionStats:
    """
    Return the statistics of a session. Unreadable lines are not counted.

    Blocks. Reads the file once, in constant memory.

    Args:
        session: The session's file, its id or the beginning of the id.
        home: The home in which to find an id; by default ``CODEX_HOME``, else ``~/.codex``.

    Raises:
        SessionNotFoundError, AmbiguousSessionError: As `find_session`.
        OSError, ModuleNotFoundError: As `read_lines`.
    """
    counter = StatsCounter()
    with find_and_use(lambda: locate(session, home), read_lines) as lines:
        for line in lines:
            counter.add(line)
    return counter.stats


def combine(stats: Iterable[SessionStats]) -> SessionStats:
    """
    Return the sum of the statistics of several sessions.
    """
    lines: Counter[str] = Counter()
    tools: dict[str, ToolStats] = {}
    total = SessionStats(sessions=0)
    for each in stats:
        lines.update(each.lines)
        for name, tool in each.tools.items():
            tools[name] = tools.get(name, ToolStats()) + tool
        total = SessionStats(
            sessions=total.sessions + each.sessions,
            turns=total.turns + each.turns,
            tokens=total.tokens + each.tokens,
            first_at=min(filter(None, (total.first_at, each.first_at)), default=None),
            last_at=max(filter(None, (total.last_at, each.last_at)), default=None),
            duration=total.duration + each.duration,
            active_duration=total.active_duration + each.active_duration,
        )
    return attrs.evolve(total, lines=dict(lines.most_common()), tools=tools)


@define
class StatsCounter:
    """
    Counter of the lines of one session, in order. All fields have plain forms, so an index can store and restore it.
    """

    turns: TurnDetector = field(factory=TurnDetector)
    copies: ForkDetector = field(factory=ForkDetector)
    lines: dict[str, int] = field(factory=dict)
    tools: dict[str, ToolStats] = field(factory=dict)
    open_calls: dict[str, str] = field(factory=dict)
    used: Tokens = Tokens()
    by_records: Tokens = Tokens()
    last_record: str = ""
    # The last cumulative total, and whether a message of the user, and after it one of the agent, followed.
    last_total: Tokens | None = None
    is_asked: bool = False
    is_answered: bool = False
    first_at: str | None = None
    last_at: str | None = None
    active_ms: float = 0.0

    @classmethod
    def from_plain(cls, value: Any) -> StatsCounter:
        """
        Return a counter that continues from the state that `to_plain` returned.

        Raises:
            ValueError: The value is not such a state.
        """
        counter: StatsCounter = _from_plain(value, cls)
        return counter

    def to_plain(self) -> dict[str, Any]:
        """
        Return the whole state as plain values.
        """
        return attrs.asdict(self)

    @property
    def tokens(self) -> Tokens:
        """The tokens used so far."""
        return self.by_records if self.used == Tokens() else self.used

    @property
    def stats(self) -> SessionStats:
        """The statistics of the lines so far."""
        first, last = seconds_of(self.first_at), seconds_of(self.last_at)
        return SessionStats(
            turns=self.turns.count,
            lines=dict(self.lines),
            tools=dict(self.tools),
            tokens=self.tokens,
            first_at=self.first_at,
            last_at=self.last_at,
            duration=max(last - first, 0.0) if first and last else 0.0,
            active_duration=self.active_ms / 1000,
        )

    def add(self, line: RolloutLine) -> None:
        """
        Count the next line.
        """
        payload = line.payload
        kind = payload.get("type") if line.type in ("response_item", "event_msg") else None
        kind = kind if isinstance(kind, str) else None
        if self.copies.is_copied(line):
            if kind == "token_count":
                self._count_tokens(payload)
            return
        name = f"{line.type}/{kind}" if kind else line.type
        self.lines[name] = self.lines.get(name, 0) + 1
        if self.turns.is_start(line):
            self.is_asked, self.is_answered = True, False
        if line.timestamp:
            self.first_at = self.first_at or line.timestamp
            self.last_at = line.timestamp
        if line.type == "response_item":
            self._count_item(payload, kind)
        elif line.type == "event_msg":
            self._count_event(payload, kind)
        elif line.type == "token_usage_record":
            self._count_record(payload)

    def _count_item(self, payload: Mapping[str, Any], kind: str | None) -> None:
        call_id = str(payload.get("call_id"))
        if kind in _CALLS:
            name = tool_of(payload)
            self._count_tool(name, ToolStats(calls=1))
            self.open_calls[call_id] = name
            if len(self.open_calls) > _CALLS_MAX:
                del self.open_calls[next(iter(self.open_calls))]
        elif kind in OUTPUTS and call_id in self.open_calls:
            outcome = outcome_of(payload)
            ended = ToolStats(failures=int(outcome.is_failed), duration=outcome.duration or 0.0)
            self._count_tool(self.open_calls.pop(call_id), ended)

    def _count_tool(self, name: str, more: ToolStats) -> None:
        self.tools[name] = self.tools.get(name, ToolStats()) + more

    def _count_event(self, payload: Mapping[str, Any], kind: str | None) -> None:
        if kind == "token_count":
            self._count_tokens(payload)
        elif kind in ("agent_message", "agent_reasoning"):
            self.is_answered = True
        elif kind in ("task_complete", "turn_complete", "turn_aborted"):
            self.active_ms += _number(payload.get("duration_ms"))

    def _count_tokens(self, payload: Mapping[str, Any]) -> None:
        info: Any = payload.get("info")
        total = Tokens.read(info.get("total_token_usage")) if isinstance(info, dict) else None
        if total is None:
            # Codex has counted nothing yet: it has just begun, or resumed.
            self.is_answered = True
            return
        before, self.last_total = self.last_total, total
        last = Tokens.read(info.get("last_token_usage"))
        is_new = total != before or (total == last and self._is_counted_anew(payload))
        # A total without input and output was set, not counted: to the size of the context window when it is full.
        if self.copies.is_copying or not is_new or not (total.input_tokens or total.output_tokens):
            return
        self.is_asked = False
        if before is None:
            # The first total of a fork continues that of the other session.
            growth = last if last and self.copies.is_fork else total
        elif total == last:
            # Codex resumed the session and restarted the totals.
            growth = total
        elif total.total_tokens < before.total_tokens:
            growth = last or total
        else:
            growth = total - before
        self.used += growth

    def _is_counted_anew(self, payload: Mapping[str, Any]) -> bool:
        """
        Return whether a total that equals the last total is new: Codex resumed the session, and its first answer used
        as many tokens as the answer before.
        """
        # Codex repeats a total with new rate limits before the agent answers. If Codex marks tasks, totals continue.
        is_repeated = "rate_limits" in payload and not self.is_answered
        return self.is_asked and not is_repeated and not self.turns.is_running

    def _count_record(self, payload: Mapping[str, Any]) -> None:
        usage, response_id = Tokens.read(payload.get("usage")), str(payload.get("response_id") or "")
        if usage and (not response_id or response_id != self.last_record):
            self.last_record = response_id
            self.by_records += usage


def _number(value: Any) -> float:
    # NaN, negative numbers and other values of a damaged file count as 0.
    return value if type(value) in (int, float) and 0 < value < _NUMBER_MAX else 0


# Cached for each class: saves 0.3 ms a session.
_hints = cache(get_type_hints)


def _from_plain(value: Any, kind: Any) -> Any:
    """
    Return the object from which `attrs.asdict` created a plain value.

    Raises:
        ValueError: The value is not of type *kind*.
    """
    origin, args = get_origin(kind), get_args(kind)
    if attrs.has(kind):
        kinds = _hints(kind)
        if isinstance(value, dict) and value.keys() == kinds.keys():
            return kind(**{name: _from_plain(value[name], kinds[name]) for name in kinds})
    elif origin is dict and isinstance(value, dict):
        return {name: _from_plain(part, args[1]) for name, part in value.items()}
    elif origin is list and isinstance(value, list):
        return [_from_plain(part, args[0]) for part in value]
    elif type(None) in args:
        return None if value is None else _from_plain(value, args[0])
    elif origin is None and isinstance(value, (int, float) if kind is float else kind):
        return value
    raise ValueError(f"not the state of a counter: {kind} is {str(value)[:80]}")
