"""
What a session took: turns, tools, failures, time, tokens.

Token totals count growth. Codex repeats its cumulative totals, starts them anew when it resumes, and copies them with
the history into forks; adding up what it reports gives up to 91 times too much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
from attrs import define, field, frozen

from rollout._calls import OUTPUTS, outcome_of, tool_of
from rollout._turns import Turns
from rollout.codec import RolloutLine
from rollout.finding import locate
from rollout.layout import StrPath
from rollout.reader import read_lines
from rollout.schema import CALL_OUTPUTS

__all__ = ["SessionStats", "StatsCounter", "Tokens", "ToolStats", "combine", "session_stats"]

_CALLS = frozenset({*CALL_OUTPUTS, "web_search_call", "image_generation_call"})
# Of a fork's copied lines the next follows at once; a model takes longer. Seconds.
_COPY_GAP = 0.5
_CALLS_MAX = 1000
_NUMBER_MAX = 2**63


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
    return _counted(locate(session, home))


def _counted(path: Path) -> SessionStats:
    counter = StatsCounter()
    with read_lines(path) as lines:
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
    lines: dict[str, int] = field(factory=dict)
    tools: dict[str, list[float]] = field(factory=dict)
    open_calls: dict[str, str] = field(factory=dict)
    used: list[int] = field(factory=lambda: [0] * len(_TOKEN_NAMES))
    last_total: list[int] | None = None
    by_records: list[int] = field(factory=lambda: [0] * len(_TOKEN_NAMES))
    last_record: str = ""
    first_at: str | None = None
    last_at: str | None = None
    active_ms: float = 0.0
    # Of a fork: when it was made, and whether the lines are copies still.
    session_id: str = ""
    forked_at: float = 0.0
    copied_at: float = 0.0
    is_fork: bool = False
    is_copying: bool = False
    own_ordinal: int = 0

    @property
    def stats(self) -> SessionStats:
        """What was counted so far."""
        first, last = _seconds(self.first_at), _seconds(self.last_at)
        return SessionStats(
            turns=self.turns.count,
            lines=dict(self.lines),
            tools={name: ToolStats(int(t[0]), int(t[1]), t[2]) for name, t in self.tools.items()},
            tokens=Tokens(*(self.used if any(self.used) else self.by_records)),
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
        if line.type == "session_meta":
            self._begin(line)
        elif self.is_copying and not self._is_copy(line):
            self.is_copying = False
        if self.is_copying:
            if line.type == "event_msg" and payload.get("type") == "token_count":
                self._count_tokens(payload)
            return
        kind = payload.get("type") if line.type in ("response_item", "event_msg") else None
        name = f"{line.type}/{kind}" if isinstance(kind, str) else line.type
        self.lines[name] = self.lines.get(name, 0) + 1
        self.turns.begins(line)
        if line.timestamp:
            self.first_at = self.first_at or line.timestamp
            self.last_at = line.timestamp
        if line.type == "response_item":
            self._count_item(payload, kind)
        elif line.type == "event_msg":
            self._count_event(payload, kind)
        elif line.type == "token_usage_record":
            self._count_record(payload)

    def _begin(self, line: RolloutLine) -> None:
        payload = line.payload
        own_id = str(payload.get("id"))
        if not self.session_id:
            self.session_id = own_id
            self.forked_at = self.copied_at = _seconds(payload.get("timestamp"))
            self.is_fork = any(payload.get(key) for key in ("forked_from_id", "history_base"))
            self.own_ordinal = int(_number(payload.get("subagent_history_start_ordinal")))
            self.is_copying = bool(payload.get("forked_from_id") or self.own_ordinal) and not payload.get(
                "history_base"
            )
        elif own_id != self.session_id and not self.turns.count:
            self.is_fork = self.is_copying = True

    def _is_copy(self, line: RolloutLine) -> bool:
        """
        Say whether a line of a fork was copied: it is older than the fork, or was written in one go with the others.
        """
        if self.own_ordinal and line.ordinal is not None:
            return line.ordinal < self.own_ordinal
        written_at, before = _seconds(line.timestamp), self.copied_at
        self.copied_at = max(written_at, before)
        if written_at < self.forked_at:
            return True
        is_own_turn = line.type == "event_msg" and _made_at(line.payload.get("turn_id")) >= self.forked_at
        return not is_own_turn and written_at - before <= _COPY_GAP

    def _count_item(self, payload: Mapping[str, Any], kind: Any) -> None:
        call_id = str(payload.get("call_id"))
        if kind in _CALLS:
            name = tool_of(payload)
            self._tool(name)[0] += 1
            self.open_calls[call_id] = name
            if len(self.open_calls) > _CALLS_MAX:
                del self.open_calls[next(iter(self.open_calls))]
        elif kind in OUTPUTS and call_id in self.open_calls:
            outcome = outcome_of(payload)
            tool = self._tool(self.open_calls.pop(call_id))
            tool[1] += outcome.is_failed
            tool[2] += outcome.duration or 0.0

    def _tool(self, name: str) -> list[float]:
        return self.tools.setdefault(name, [0, 0, 0.0])

    def _count_event(self, payload: Mapping[str, Any], kind: Any) -> None:
        if kind == "token_count":
            self._count_tokens(payload)
        elif kind in ("task_complete", "turn_complete", "turn_aborted"):
            self.active_ms += _number(payload.get("duration_ms"))

    def _count_tokens(self, payload: Mapping[str, Any]) -> None:
        info: Any = payload.get("info")
        total = Tokens.read(info.get("total_token_usage")) if isinstance(info, dict) else None
        if total is None:
            return
        before = None if self.last_total is None else Tokens(*self.last_total)
        self.last_total = list(attrs.astuple(total))
        if self.is_copying or total == before:
            return
        last = Tokens.read(info.get("last_token_usage"))
        if before is None:
            # The first of a fork goes on from the other session's total.
            grown = last if last and self.is_fork else total
        elif total == last:
            # Begun anew, by a Codex that has resumed the session.
            grown = total
        elif total.total_tokens < before.total_tokens:
            grown = last or total
        else:
            grown = total - before
        self.used = list(attrs.astuple(Tokens(*self.used) + grown))

    def _count_record(self, payload: Mapping[str, Any]) -> None:
        usage, response_id = Tokens.read(payload.get("usage")), str(payload.get("response_id"))
        if usage and response_id != self.last_record:
            self.last_record = response_id
            self.by_records = list(attrs.astuple(Tokens(*self.by_records) + usage))


def _number(value: Any) -> float:
    # From nan to minus one: what a damaged file may hold counts as nothing.
    return value if type(value) in (int, float) and 0 < value < _NUMBER_MAX else 0


def _seconds(timestamp: Any) -> float:
    """
    Read a timestamp of the format as Unix seconds; 0 if it is none.
    """
    if not isinstance(timestamp, str):
        return 0.0
    try:
        # Before 3.11 no Z, and no 9 digits.
        return datetime.fromisoformat(timestamp[:23].rstrip("Z") + "+00:00").timestamp()
    except ValueError:
        return 0.0


def _made_at(uuid: Any) -> float:
    """
    Read the time in a UUID of version 7, as Unix seconds; 0 if it is none.
    """
    try:
        value = UUID(uuid)
    except (ValueError, AttributeError, TypeError):
        return 0.0
    return (value.int >> 80) / 1000 if value.version == 7 else 0.0
