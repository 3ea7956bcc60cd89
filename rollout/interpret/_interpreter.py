"""
The reader of a session's lines: states in facts what each line means.

All views of a session use these facts, so that they agree. Opens no file. The memory is constant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

from attrs import define, field

from rollout.codec import RolloutLine
from rollout.interpret._call_lines import CALL_EVENTS, CALL_ITEMS, read_completed_call
from rollout.interpret._calls import CallTracker
from rollout.interpret._copies import CopyDetector, ParentSource
from rollout.interpret._echoes import EchoTracker
from rollout.interpret._facts import Fact, Quiet, Unknown
from rollout.interpret._parts import dict_of
from rollout.interpret._session_lines import SESSION_EVENTS, SESSION_LINES, read_compaction_mark
from rollout.interpret._state import from_plain, is_number_list, stored, to_plain
from rollout.interpret._tally import Tally
from rollout.interpret._turn_lines import TURN_EVENTS, TurnState, read_completed_prompt, read_message, read_review
from rollout.interpret._usage import UsageCounter

__all__ = ["Interpreter"]

_Facts: TypeAlias = "Sequence[Fact]"
_Reader: TypeAlias = "Callable[[Interpreter, RolloutLine, Mapping[str, Any]], _Facts]"
_NOTHING: _Facts = ()


class _View:
    """
    The parts of a line that the readers need besides its payload.
    """

    __slots__ = ("ordinal", "payload", "timestamp", "type")

    ordinal: int | None
    payload: Any
    timestamp: str | None
    type: str


@define(eq=False, repr=False)
class Interpreter:
    """
    Reader of the lines of one session, in order.

    Args:
        has_texts: Whether to state also what agents say, notices, and lines without content. Without them, the other
            facts are the same, and reading takes half the time.
        parent_source: Function that returns the lines of the session of which this one is a fork; called only if other
            evidence does not tell which lines were copied.
    """

    has_texts: bool = True
    parent_source: ParentSource | None = field(default=None, eq=False, repr=False)
    # Number of lines so far that are not blank.
    count: int = stored(0)
    model: str | None = stored(None, str, type(None))
    agent_path: str = stored("")
    role: str = stored("")
    # Whether an event has repeated the message of a person: then each message of a person has one.
    has_events: bool = stored(False)
    # Number of the first line about the last compaction, and the families of lines about it.
    compaction: list[int] = stored(list, check=is_number_list)
    turn: TurnState = field(factory=TurnState)
    copies: CopyDetector = field(factory=CopyDetector)
    usage: UsageCounter = field(factory=UsageCounter)
    calls: CallTracker = field(factory=CallTracker)
    echoes: EchoTracker = field(factory=EchoTracker)
    tally: Tally = field(factory=Tally)
    # Of the last line: whether it was copied, and the type of its payload.
    is_copied: bool = field(default=False, init=False, eq=False, repr=False)
    kind: str | None = field(default=None, init=False, eq=False, repr=False)
    _items: Mapping[Any, _Reader] = field(init=False, eq=False, repr=False)
    _events: Mapping[Any, _Reader] = field(init=False, eq=False, repr=False)
    _lines: Mapping[str, _Reader] = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.copies.source = self.parent_source
        self._items, self._events, self._lines = _all_readers() if self.has_texts else _CORE

    def feed(self, line: RolloutLine) -> Sequence[Fact]:
        """
        Return the facts that the next line states.
        """
        return self._read(line, line.type, line.payload)

    def feed_all(self, envelopes: Sequence[Mapping[str, Any]]) -> list[Fact]:
        """
        Return the facts that the next lines state, given the keys and values of their envelopes.
        """
        if self.has_texts or self.copies.is_open:
            return [fact for envelope in envelopes for fact in self._read_envelope(envelope)]
        # Most lines state nothing here. Without a call for each line, reading takes half of the time.
        found: list[Fact] = []
        of_items, of_events, of_others = (defaultdict[Any, int](int) for _ in range(3))
        events, items, lines = self._events, self._items, self._lines
        line, number = _View(), self.count
        self.is_copied = False
        for number, envelope in enumerate(envelopes, self.count + 1):
            kind, payload = envelope["type"], envelope["payload"]
            own = payload.get("type")
            try:
                if kind == "response_item":
                    of_items[own] += 1
                    reader = items.get(own)
                    if reader is read_message and payload.get("role") == "assistant":
                        continue
                elif kind == "event_msg":
                    of_events[own] += 1
                    reader = events.get(own)
                else:
                    of_others[kind] += 1
                    reader = lines.get(kind)
            except TypeError:
                # Damage: a type that is a list or an object.
                of_others[kind] += 1
                continue
            if reader is not None:
                self.count, line.timestamp = number, envelope["timestamp"]
                found += reader(self, line, payload)  # type: ignore[arg-type]
        self.count = number
        self.tally.add_all((of_items, of_events, of_others), envelopes)
        return found

    def _read_envelope(self, envelope: Mapping[str, Any]) -> _Facts:
        line: Any = _View()
        line.type, line.payload, line.timestamp = envelope["type"], envelope["payload"], envelope["timestamp"]
        line.ordinal = envelope.get("ordinal")
        return self._read(line, line.type, line.payload)

    def _read(self, line: RolloutLine, family: str, payload: Any) -> _Facts:
        """
        Return the facts of one line.
        """
        self.count += 1
        self.is_copied = is_copied = self.copies.is_open and self.copies.is_copied(line)
        kind: str | None = None
        if family == "response_item" or family == "event_msg":
            kind = payload.get("type")
            kind = kind if isinstance(kind, str) else None
            reader = (self._items if family == "response_item" else self._events).get(kind)
        else:
            reader = self._lines.get(family)
        self.kind = kind
        if not is_copied:
            self.tally.add(family, kind, line.timestamp)
        return reader(self, line, payload) if reader else self.unknown(line, kind or family, payload)

    def skip(self) -> None:
        """
        Count a line that could not be read, or whose facts are not needed.
        """
        self.count += 1

    @property
    def started_at(self) -> float:
        """Start of the session in Unix seconds; 0 if it is unknown."""
        return self.copies.forked_at

    def head(self, line: RolloutLine) -> tuple[int, str | None, int, bool]:
        """
        Return the first fields of the facts of a line.
        """
        return self.count, line.timestamp, self.turn.index, self.is_copied

    def quiet(self, line: RolloutLine, kind: str) -> _Facts:
        """
        Return the fact of a line without content for a reader.
        """
        return (Quiet(*self.head(line), kind),) if self.has_texts else _NOTHING

    def unknown(self, line: RolloutLine, kind: Any, payload: Any) -> _Facts:
        """
        Return the fact of a line of an unknown kind.
        """
        return (Unknown(*self.head(line), str(kind), payload),) if self.has_texts else _NOTHING

    def to_plain(self) -> dict[str, Any]:
        """
        Return the state as plain values, from which `from_plain` continues.
        """
        self.echoes.forget(self.count)
        parts = {name: to_plain(getattr(self, name)) for name in _PARTS}
        own = {"calls": self.calls.to_plain(self.count), "tally": self.tally.to_plain()}
        return {**to_plain(self), **parts, **own}

    @classmethod
    def from_plain(
        cls, plain: Any, *, has_texts: bool = True, parent_source: ParentSource | None = None
    ) -> Interpreter:
        """
        Return a reader that continues from the state that `to_plain` returned.

        Raises:
            ValueError: The value is not such a state.
        """
        values = dict(dict_of(plain))
        parts: dict[str, Any] = {name: from_plain(kind, values.pop(name, None)) for name, kind in _PARTS.items()}
        parts["calls"] = CallTracker.from_plain(values.pop("calls", None))
        parts["tally"] = Tally.from_plain(values.pop("tally", None))
        own = from_plain(cls, values)
        for name, part in parts.items():
            setattr(own, name, part)
        own.has_texts, own.parent_source = has_texts, parent_source
        own.__attrs_post_init__()
        return own


_PARTS: dict[str, type[Any]] = {
    "turn": TurnState, "copies": CopyDetector, "usage": UsageCounter, "echoes": EchoTracker
}  # fmt: skip


def _read_completed(own: Interpreter, line: RolloutLine, payload: Mapping[str, Any]) -> _Facts:
    item = payload.get("item")
    if not isinstance(item, dict):
        return own.unknown(line, "item_completed", payload)
    kind = item.get("type")
    if kind == "UserMessage":
        return read_completed_prompt(own, line, item)
    if kind == "EnteredReviewMode":
        return read_review(own, line, item, payload.get("turn_id"))
    if kind == "ContextCompaction":
        return read_compaction_mark(own, line, item)
    found = read_completed_call(own, line, item)
    if found is not None:
        return found
    if not own.has_texts or not isinstance(kind, str):
        return own.unknown(line, kind, item)
    from rollout.interpret._text_lines import TEXT_COMPLETED  # noqa: PLC0415 -- as below

    reader = TEXT_COMPLETED.get(kind)
    return reader(own, line, item) if reader else own.unknown(line, kind, item)


def _quiet_reader(kind: str) -> _Reader:
    return lambda own, line, _: own.quiet(line, kind)


def _quiet(kinds: frozenset[str]) -> dict[Any, _Reader]:
    return {kind: _quiet_reader(kind) for kind in kinds}


_CORE_ITEMS: dict[Any, _Reader] = {**CALL_ITEMS, "message": read_message}
_CORE_EVENTS: dict[Any, _Reader] = {
    **SESSION_EVENTS, **TURN_EVENTS, **CALL_EVENTS, "item_completed": _read_completed
}  # fmt: skip
_CORE = _CORE_ITEMS, _CORE_EVENTS, SESSION_LINES


@cache
def _all_readers() -> tuple[dict[Any, _Reader], dict[Any, _Reader], dict[str, _Reader]]:
    # The lists of sessions need no texts, and save the import.
    from rollout.interpret import _text_lines as texts  # noqa: PLC0415

    return (
        {**_quiet(texts.QUIET_ITEMS), **_CORE_ITEMS, **texts.TEXT_ITEMS},
        {**_quiet(texts.QUIET_EVENTS), **_CORE_EVENTS, **texts.TEXT_EVENTS},
        {**_quiet(texts.QUIET_LINES), **SESSION_LINES, **texts.TEXT_LINES},
    )
