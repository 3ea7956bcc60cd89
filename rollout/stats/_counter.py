"""
Count the facts of a session's lines, in order. The whole state has a plain form, which an index stores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from attrs import define, field

from rollout.codec import RolloutLine
from rollout.home import StrPath, find_and_use, home_folder, home_of, locate
from rollout.interpret import (
    CallBegan,
    CallEnded,
    Counts,
    Fact,
    Interpreter,
    Settings,
    TurnBegan,
    TurnEnded,
    Usage,
    seconds_of,
)
from rollout.reading import parent_source, read_envelopes
from rollout.stats._model import SessionStats, StatsPart, Tokens, ToolStats, sum_of_parts

__all__ = ["StatsCounter", "session_stats"]

# Minutes as in a timestamp -> the beginning of their quarter of an hour.
_QUARTERS = {f"{minute:02}": f"{minute // 15 * 15:02}" for minute in range(60)}
# Larger numbers are damage: more than the tokens of a year.
_NUMBER_MAX = 2**60
# Types of the values in a state.
_NONE = type(None)
_TEXT, _COUNT, _SECONDS = (str, _NONE), (int,), (float, int, _NONE)


def session_stats(session: StrPath, *, home: StrPath | None = None) -> SessionStats:
    """
    Return the statistics of a session. Unreadable lines are not counted.

    Blocks. Reads the file once, in constant memory. For a fork of 2025, whose lines do not tell which of them were
    copied, the other session is read, too.

    Args:
        session: The session's file, its id or the beginning of the id.
        home: The home in which to find an id; by default ``CODEX_HOME``, else ``~/.codex``.

    Raises:
        SessionNotFoundError, AmbiguousSessionError: As `find_session`.
        OSError, ModuleNotFoundError: As `read_lines`.
    """
    return find_and_use(lambda: locate(session, home), lambda path: _read_stats(path, home))


def counter_for(path: Path, home: StrPath | None = None) -> StatsCounter:
    """
    Return a counter of the lines of a session's file; it finds the session from which lines were copied in its home.

    Args:
        path: The file.
        home: The home of the other sessions, if the file is in none; by default ``CODEX_HOME``, else ``~/.codex``.
    """
    source = parent_source(home_of(path) or home_folder(home))
    return StatsCounter(Interpreter(has_texts=False, parent_source=source))


def _read_stats(path: Path, home: StrPath | None) -> SessionStats:
    counter = counter_for(path, home)
    for envelopes in read_envelopes(path):
        counter.add_all(envelopes)
    return counter.stats


class _Part:
    """
    The counts of a quarter of an hour with one model. *tools*: for each tool calls, failures, and seconds or None.
    """

    __slots__ = ("active", "counts", "tools", "turns")

    def __init__(self) -> None:
        self.turns = 0
        self.counts: Counts | None = None
        self.active: float | None = None
        self.tools: dict[str, list[Any]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is counted in this part."""
        return not (self.turns or self.tools) and self.counts is None and self.active is None

    def tool(self, name: str) -> list[Any]:
        """
        Return the counts of a tool.
        """
        found = self.tools.get(name)
        if found is None:
            found = self.tools[name] = [0, 0, None]
        return found


@define
class StatsCounter:
    """
    Counter of the lines of one session, in order.

    Args:
        interpreter: Reader of the lines.
    """

    interpreter: Interpreter = field(factory=lambda: Interpreter(has_texts=False), eq=False, repr=False)
    _parts: dict[tuple[str | None, str | None], _Part] = field(factory=dict, init=False, eq=False)
    # The part in which the current turn is counted, until its model is known.
    _turn_at: tuple[str | None, str | None] | None = field(default=None, init=False)
    _model: str | None = field(default=None, init=False)
    _last: tuple[str | None, str | None, _Part] | None = field(default=None, init=False, eq=False)

    def add(self, line: RolloutLine) -> None:
        """
        Read and count the next line.
        """
        self.count(self.interpreter.feed(line))

    def add_all(self, envelopes: Sequence[Mapping[str, Any]]) -> None:
        """
        Read and count the next lines, given the keys and values of their envelopes.
        """
        self.count(self.interpreter.feed_all(envelopes))

    def count(self, facts: Iterable[Fact]) -> None:
        """
        Count facts of the interpreter.
        """
        readers = _READERS
        for fact in facts:
            reader = readers.get(type(fact))
            if reader is not None and not fact.is_copied:
                reader(self, fact)

    def _part(self, timestamp: str | None) -> _Part:
        """
        Return the part to which a fact with this timestamp belongs.
        """
        at = timestamp[:16] if timestamp else None
        last, model = self._last, self._model
        if last is not None and last[0] == at and last[1] == model:
            return last[2]
        key = _quarter(timestamp), model
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = _Part()
        self._last = at, model, part
        return part

    def _count_turn(self, fact: TurnBegan) -> None:
        self._part(fact.timestamp).turns += 1
        self._turn_at = _quarter(fact.timestamp), self._model

    def _count_settings(self, fact: Settings) -> None:
        if fact.model is None or fact.model == self._model:
            return
        self._model = fact.model
        if self._turn_at is not None:
            # The model of a turn is stated after its beginning.
            at, model = self._turn_at
            self._parts[at, model].turns -= 1
            self._parts.setdefault((at, self._model), _Part()).turns += 1
            self._turn_at = at, self._model

    def _count_usage(self, fact: Usage) -> None:
        self._turn_at = None
        part = self._part(fact.timestamp)
        if part.counts is None:
            part.counts = fact.counts
        else:
            a, b, c, d, e = part.counts
            f, g, h, i, j = fact.counts
            part.counts = (a + f, b + g, c + h, d + i, e + j)

    def _count_call(self, fact: CallBegan) -> None:
        if fact.is_new:
            at, last, tool = fact.timestamp, self._last, fact.tool
            # Most calls belong to the minute of the last fact.
            is_last = last is not None and at is not None and at[:16] == last[0] and last[1] == self._model
            tools = (last[2] if last is not None and is_last else self._part(at)).tools
            counts = tools.get(tool)
            if counts is None:
                counts = tools[tool] = [0, 0, None]
            counts[0] += 1
        elif fact.tool != fact.earlier_tool:
            part = self._part(fact.timestamp)
            part.tool(fact.earlier_tool)[0] -= 1
            part.tool(fact.tool)[0] += 1

    def _count_outcome(self, fact: CallEnded) -> None:
        if fact.call is None:
            return
        failures, more = fact.is_failed - fact.was_failed, fact.duration != fact.earlier_duration
        if failures or more:
            counts = self._part(fact.timestamp).tool(fact.tool)
            counts[1] += failures
            if more and fact.duration is not None:
                counts[2] = (counts[2] or 0.0) + fact.duration - (fact.earlier_duration or 0.0)

    def _count_end(self, fact: TurnEnded) -> None:
        if fact.duration is not None:
            part = self._part(fact.timestamp)
            part.active = (part.active or 0.0) + fact.duration

    @property
    def stats(self) -> SessionStats:
        """The statistics of the lines so far."""
        interpreter = self.interpreter
        return _stats(self._parts, interpreter.tally.to_plain(), is_told=interpreter.usage.is_told)

    def to_plain(self) -> dict[str, Any]:
        """
        Return the state as plain values, for an index; without that of the interpreter.
        """
        parts = [[*key, part.turns, part.counts, part.active, part.tools] for key, part in self._parts.items()]
        return {"parts": parts, "turn_at": self._turn_at and list(self._turn_at), "model": self._model}

    @classmethod
    def from_plain(cls, plain: Any, interpreter: Interpreter) -> StatsCounter:
        """
        Return a counter that continues from the state that `to_plain` returned.

        Raises:
            ValueError: The value is not such a state.
        """
        if not _is_state(plain):
            raise ValueError(f"not the state of a counter: {str(plain)[:80]}")
        counter = cls(interpreter)
        counter._model, turn_at = plain["model"], plain["turn_at"]
        counter._turn_at = turn_at and (turn_at[0], turn_at[1])
        counter._parts = _parts_in(plain)
        return counter


def stats_of_plain(counter: Any, interpreter: Any) -> SessionStats:
    """
    Return the statistics in the plain states of a counter and its interpreter.

    Raises:
        ValueError: The values are not such states.
    """
    try:
        return _stats(_parts_in(counter), interpreter["tally"], is_told=bool(interpreter["usage"]["is_told"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the state of a counter: {str(counter)[:80]}") from error


def _is_state(plain: Any) -> bool:
    if type(plain) is not dict or plain.keys() != {"parts", "turn_at", "model"}:
        return False
    turn_at, parts = plain["turn_at"], plain["parts"]
    is_place = turn_at is None or _is_row(turn_at, _TEXT, _TEXT)
    return is_place and type(plain["model"]) in _TEXT and type(parts) is list and all(map(_is_part, parts))


def _is_part(part: Any) -> bool:
    if not _is_row(part, _TEXT, _TEXT, _COUNT, (list, tuple, _NONE), _SECONDS, (dict,)):
        return False
    counts, tools = part[3], part[5]
    is_counted = counts is None or _is_row(counts, *[_COUNT] * len(attrs.fields(Tokens)))
    return is_counted and all(_is_row(tool, _COUNT, _COUNT, _SECONDS) for tool in tools.values())


def _is_row(row: Any, *kinds: tuple[type, ...]) -> bool:
    if type(row) not in (list, tuple) or len(row) != len(kinds):
        return False
    return all(type(value) in allowed for value, allowed in zip(row, kinds, strict=True))


def _parts_in(plain: Any) -> dict[tuple[str | None, str | None], _Part]:
    parts = {}
    for at, model, turns, counts, active, tools in plain["parts"]:
        part = parts[at, model] = _Part()
        part.turns, part.counts, part.active = turns + 0, _counts_of(counts), active
        part.tools = {name: [calls + 0, failures + 0, took] for name, (calls, failures, took) in tools.items()}
    return parts


def _stats(
    own: Mapping[tuple[str | None, str | None], _Part],
    tally: Mapping[str, Any],
    *,
    is_told: bool,
) -> SessionStats:
    first_at, last_at = tally["first_at"], tally["last_at"]
    first, last = seconds_of(first_at), seconds_of(last_at)
    parts = [_part_of(key, part) for key, part in own.items() if not part.is_empty]
    parts.sort(key=lambda part: (part.at or "", part.model or ""))
    total = sum_of_parts(parts)
    return attrs.evolve(
        total,
        lines=dict(tally["lines"]),
        tokens=total.tokens or (Tokens() if is_told else None),
        first_at=first_at,
        last_at=last_at,
        duration=max(last - first, 0.0) if first and last else None,
    )


def _counts_of(counts: Any) -> Counts | None:
    if counts is None:
        return None
    a, b, c, d, e = map(int, counts)
    return a, b, c, d, e


def _part_of(key: tuple[str | None, str | None], part: _Part) -> StatsPart:
    tools = {
        name: ToolStats(calls, failures, took)
        for name, (calls, failures, took) in part.tools.items()
        if calls or failures or took is not None
    }
    tokens = None if part.counts is None else Tokens(*(min(count, _NUMBER_MAX) for count in part.counts))
    return StatsPart(*key, part.turns, tools, tokens, part.active)


def _quarter(timestamp: str | None) -> str | None:
    """
    Return the quarter of an hour of a timestamp of the format; None for other text.
    """
    if not timestamp or timestamp[13:14] != ":" or timestamp[10:11] != "T":
        return None
    minute = _QUARTERS.get(timestamp[14:16])
    return None if minute is None else timestamp[:14] + minute


_READERS: dict[type[Fact], Callable[[StatsCounter, Any], None]] = {
    TurnBegan: StatsCounter._count_turn,
    Settings: StatsCounter._count_settings,
    Usage: StatsCounter._count_usage,
    CallBegan: StatsCounter._count_call,
    CallEnded: StatsCounter._count_outcome,
    TurnEnded: StatsCounter._count_end,
}
