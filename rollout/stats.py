"""
What a session took: turns, tools, failures, time, tokens.

Token totals count growth. Codex repeats its cumulative totals, starts them anew when it resumes, and copies them with
the history into forks; adding up what it reports gives up to 91 times too much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

import attrs
from attrs import define, field, frozen

from rollout._calls import OUTPUTS, outcome_of, tool_of
from rollout._turns import Copies, Turns, seconds_of
from rollout.codec import RolloutLine
from rollout.finding import locate, use_found
from rollout.layout import StrPath
from rollout.reader import read_lines
from rollout.schema import CALL_OUTPUTS

__all__ = ["SessionStats", "StatsCounter", "Tokens", "ToolStats", "combine", "session_stats"]

_CALLS = frozenset({*CALL_OUTPUTS, "web_search_call", "image_generation_call"})
_CALLS_MAX = 1000
# More is damage: all tokens of a year, or its milliseconds.
_NUMBER_MAX = 2**40


@frozen
class Tokens:
    """
    Tokens sent to and received from models. Those cached are among the input, those of reasoning among the output.
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
        Read a usage object of the format; None if it is none. What is missing or no number counts as 0.
        """
        if not isinstance(usage, dict):
            return None
        return cls(*(int(_number(usage.get(name))) for name in _TOKEN_NAMES))


_TOKEN_NAMES = tuple(attribute.name for attribute in attrs.fields(Tokens))


@frozen
class ToolStats:
    """
    Calls of one tool.

    Attributes:
        calls: How many.
        failures: How many ended with an exit code that is not 0, or said that they failed.
        duration: Seconds, of those whose duration is known.
    """

    calls: int = 0
    failures: int = 0
    duration: float = 0.0

    def __add__(self, other: ToolStats) -> ToolStats:
        return ToolStats(self.calls + other.calls, self.failures + other.failures, self.duration + other.duration)


@frozen
class SessionStats:
    """
    What one session took, or several together. What was copied from another session is not counted.

    Attributes:
        sessions: How many.
        turns: How often the user asked.
        lines: Lines by type, those of response items and events by their own type.
        tools: By name.
        tokens: The tokens used.
        first_at: The first line's timestamp, as it stands in the file.
        last_at: The last line's.
        duration: Seconds from the first line to the last; of several sessions, the sum.
        active_duration: Seconds in which a turn was running, of those turns that say so.
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


def session_stats(session: StrPath, *, home: StrPath | None = None) -> SessionStats:
    """
    Count what a session took. Reads its file once, in constant memory; what cannot be read is not counted.

    Args:
        session: Its file, its id or the beginning of it.
        home: Where to look for an id; by default ``CODEX_HOME``, else ``~/.codex``.

    Raises:
        SessionNotFoundError, AmbiguousSessionError: As `find_session`.
        OSError, ModuleNotFoundError: As `read_lines`.
    """
    counter = StatsCounter()
    with use_found(lambda: locate(session, home), read_lines) as lines:
        for line in lines:
            counter.add(line)
    return counter.stats


def combine(stats: Iterable[SessionStats]) -> SessionStats:
    """
    Add up the statistics of several sessions.
    """
    lines: Counter[str] = Counter()
    tools: dict[str, ToolStats] = {}
    whole = SessionStats(sessions=0)
    for one in stats:
        lines.update(one.lines)
        for name, tool in one.tools.items():
            tools[name] = tools.get(name, ToolStats()) + tool
        whole = SessionStats(
            sessions=whole.sessions + one.sessions,
            turns=whole.turns + one.turns,
            tokens=whole.tokens + one.tokens,
            first_at=min(filter(None, (whole.first_at, one.first_at)), default=None),
            last_at=max(filter(None, (whole.last_at, one.last_at)), default=None),
            duration=whole.duration + one.duration,
            active_duration=whole.active_duration + one.active_duration,
        )
    return attrs.evolve(whole, lines=dict(lines.most_common()), tools=tools)


@define
class StatsCounter:
    """
    Counts one session's lines, given in order. All its fields are plain, so that an index can keep it and go on later.
    """

    turns: Turns = field(factory=Turns)
    copies: Copies = field(factory=Copies)
    lines: dict[str, int] = field(factory=dict)
    tools: dict[str, ToolStats] = field(factory=dict)
    open_calls: dict[str, str] = field(factory=dict)
    used: Tokens = Tokens()
    by_records: Tokens = Tokens()
    last_record: str = ""
    # Of the cumulative totals: the last, and whether the user, and then the agent, said something since.
    last_total: Tokens | None = None
    is_asked: bool = False
    is_answered: bool = False
    first_at: str | None = None
    last_at: str | None = None
    active_ms: float = 0.0

    @classmethod
    def from_plain(cls, value: Any) -> StatsCounter:
        """
        Go on where `to_plain` was called.

        Raises:
            ValueError: It is not what that gave.
        """
        counter: StatsCounter = _rebuilt(value, cls)
        return counter

    def to_plain(self) -> dict[str, Any]:
        """
        Give all of its state as plain values.
        """
        return attrs.asdict(self)

    @property
    def tokens(self) -> Tokens:
        """The tokens used so far."""
        return self.by_records if self.used == Tokens() else self.used

    @property
    def stats(self) -> SessionStats:
        """What was counted so far."""
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
        if self.copies.holds(line):
            if kind == "token_count":
                self._count_tokens(payload)
            return
        name = f"{line.type}/{kind}" if kind else line.type
        self.lines[name] = self.lines.get(name, 0) + 1
        if self.turns.begins(line):
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
            # A Codex that has counted nothing: it has just begun, or resumed.
            self.is_answered = True
            return
        before, self.last_total = self.last_total, total
        last = Tokens.read(info.get("last_token_usage"))
        is_new = total != before or (total == last and self._is_counted_anew(payload))
        # A total without either is set, not counted: to the size of the window, once that is full.
        if self.copies.is_copying or not is_new or not (total.input_tokens or total.output_tokens):
            return
        self.is_asked = False
        if before is None:
            # The first of a fork goes on from the other session's total.
            grown = last if last and self.copies.is_fork else total
        elif total == last:
            # Begun anew, by a Codex that has resumed the session.
            grown = total
        elif total.total_tokens < before.total_tokens:
            grown = last or total
        else:
            grown = total - before
        self.used += grown

    def _is_counted_anew(self, payload: Mapping[str, Any]) -> bool:
        """
        Say whether a total that equals the last one is another one's: of a Codex that has resumed the session, and
        whose first answer took as much as the answer before.
        """
        # A total is repeated with new rate limits, before the agent answers; those that mark tasks go on counting.
        is_said_again = "rate_limits" in payload and not self.is_answered
        return self.is_asked and not is_said_again and not self.turns.is_running

    def _count_record(self, payload: Mapping[str, Any]) -> None:
        usage, response_id = Tokens.read(payload.get("usage")), str(payload.get("response_id") or "")
        if usage and (not response_id or response_id != self.last_record):
            self.last_record = response_id
            self.by_records += usage


def _number(value: Any) -> float:
    # From nan to minus one: what a damaged file may hold counts as nothing.
    return value if type(value) in (int, float) and 0 < value < _NUMBER_MAX else 0


# Of each class once: 0.3 ms a session.
_hints = cache(get_type_hints)


def _rebuilt(value: Any, kind: Any) -> Any:
    """
    Make of plain values what `attrs.asdict` made them from; refuses what is not of its kind.
    """
    origin, args = get_origin(kind), get_args(kind)
    if attrs.has(kind):
        kinds = _hints(kind)
        if isinstance(value, dict) and value.keys() == kinds.keys():
            return kind(**{name: _rebuilt(value[name], kinds[name]) for name in kinds})
    elif origin is dict and isinstance(value, dict):
        return {name: _rebuilt(part, args[1]) for name, part in value.items()}
    elif origin is list and isinstance(value, list):
        return [_rebuilt(part, args[0]) for part in value]
    elif type(None) in args:
        return None if value is None else _rebuilt(value, args[0])
    elif origin is None and isinstance(value, (int, float) if kind is float else kind):
        return value
    raise ValueError(f"not the state of a counter: {kind} is {str(value)[:80]}")
