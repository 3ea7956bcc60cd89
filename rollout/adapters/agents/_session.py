"""
The session of the OpenAI Agents SDK whose items are in a rollout.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from types import TracebackType
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import attrs
from agents import get_current_span, get_current_trace
from agents.memory import SessionSettings

from rollout.adapters._session import SessionLog
from rollout.adapters.agents._items import RESPONSES, dumped, request_of
from rollout.codec import RolloutLine
from rollout.dialects import Item, Reply, Request
from rollout.home import StrPath
from rollout.interpret import Interpreter, Prompt
from rollout.recording import Recorder, keep_all
from rollout.schema import ThreadRolledBack, snapshot
from rollout.sessions import load_history

__all__ = ["ORIGINATOR", "Session", "saving_session"]

ORIGINATOR = "rollout.agents"
"""The program that is named in the meta of a new session."""

_Result = TypeVar("_Result")

# The sessions by the span, or the trace, in which the SDK has added items last: the place of the run that has them.
_saving: WeakValueDictionary[str, Session] = WeakValueDictionary()


def saving_session(place: str) -> Session | None:
    """
    Return the session whose items were added last in a span or a trace of this id.
    """
    return _saving.get(place)


class Session:
    """
    Session of the OpenAI Agents SDK whose items are in a rollout: ``Runner.run(agent, "...", session=session)``.

    The SDK adds the input before the first request of a run, and the answers and outputs of a turn after it: then they
    are recorded, and the file is a rollout that Codex reads and continues. A `Processor` leaves the items of these runs
    to the session, and adds settings, tokens, durations and errors to its file.

    Its coroutines do their work in another thread, so that the event loop does not wait for the disk; opening it and
    `close` block. They raise the errors of `Recorder.record`: an agent whose conversation is not kept should know it.
    Close it at the end; one that is still open when the program ends is closed then. May be used from any thread.

    Args:
        source: Path of a rollout, or the id of its session, to continue it; a `Recorder` of the session, which the
            caller closes; by default a new session.
        home: Home of the session; by default ``CODEX_HOME``, else ``~/.codex``.
        session_settings: Settings of the SDK, as the maximum number of items that `get_items` returns.

    Attributes:
        session_id: Id of the session.
        recorder: Recorder of the session.

    Raises:
        OSError, SessionNotFoundError, SessionBusyError: As `Recorder` and `Recorder.resume`, at once.
    """

    def __init__(
        self,
        source: StrPath | Recorder | None = None,
        *,
        home: StrPath | None = None,
        session_settings: SessionSettings | None = None,
    ) -> None:
        self._is_own = not isinstance(source, Recorder)
        if isinstance(source, Recorder):
            self.recorder = source
        elif source is None:
            self.recorder = Recorder(home=home, policy=keep_all, originator=ORIGINATOR, default=dumped)
        else:
            self.recorder = Recorder.resume(source, home=home, policy=keep_all, originator=ORIGINATOR, default=dumped)
        self.session_id = self.recorder.session_id
        self.session_settings = session_settings
        self._log = SessionLog(self.recorder)
        self._lock = threading.RLock()
        # The conversation, once it was read, and the number of its items that have no line after the last compaction.
        self._items: list[Item] | None = None
        self._first_line = 0
        # What a processor tells: whether it watches a run, the settings of its last request, the durations of calls.
        self._is_watched = False
        self._request = Request(items=[], settings={})
        self._ends: dict[str, tuple[float, bool]] = {}
        self._place = ""

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """
        Return the conversation as input items: the last *limit* ones, in their order.

        What was rolled back or compacted is not part of it; see `rollout.History.to_input`.

        Args:
            limit: Maximum number of items; by default that of the session's settings, else all.
        """
        if limit is None and self.session_settings is not None:
            limit = self.session_settings.limit
        return await self._in_thread(lambda: self._last(limit))

    async def add_items(self, items: Sequence[Any]) -> None:
        """
        Record items, and add them to the conversation.
        """
        span, trace = get_current_span(), get_current_trace()
        place = span.span_id if span is not None else trace.trace_id if trace is not None else ""
        if place != self._place:
            _saving.pop(self._place, None)
            _saving[place], self._place = self, place
        await self._in_thread(lambda: self._add(snapshot(list(items), default=dumped)))

    async def pop_item(self) -> Any:
        """
        Remove the last item from the conversation and return it. Return None if the conversation is empty.

        The file keeps it: a prompt is recorded as rolled back; for any other item, a compaction states what is left.
        """
        return await self._in_thread(self._pop)

    async def clear_session(self) -> None:
        """
        Remove all items from the conversation. The file keeps them: a compaction states that nothing is left.
        """
        await self._in_thread(self._clear)

    def close(self) -> None:
        """
        End the turn, and close the recorder unless the caller gave it; blocks until everything is written. A second
        call does nothing.
        """
        with self._lock:
            if not self.recorder.closed:
                self._log.end_turn()
            if self._is_own:
                self.recorder.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def asked(self, request: Request) -> None:
        """
        Note the settings of a request of a run that has this session.
        """
        with self._lock:
            self._is_watched = True
            self._request = attrs.evolve(request, items=[])
            self._log.sent(self._request, [])

    def answered(self, reply: Reply) -> None:
        """
        Record the tokens of an answer. The SDK adds its items later.
        """
        with self._lock:
            self._log.received(attrs.evolve(reply, items=[]), is_whole=False)

    def failed(self, error: BaseException) -> None:
        """
        Record that a request had no answer.
        """
        with self._lock:
            self._log.failed(error)

    def tool_ended(self, call_id: str, seconds: float, *, is_failed: bool) -> None:
        """
        Note the end of a call, whose output the SDK adds later.
        """
        self._ends[call_id] = seconds, is_failed

    def run_ended(self, error: BaseException | None) -> None:
        """
        End the turn.
        """
        with self._lock:
            self._is_watched = False
            self._ends.clear()
            self._log.end_turn(error)

    async def _in_thread(self, act: Callable[[], _Result]) -> _Result:
        def locked() -> _Result:
            with self._lock:
                return act()

        return await asyncio.to_thread(locked)

    def _loaded(self) -> list[Item]:
        if self._items is None:
            self.recorder.flush()
            history = load_history(self.recorder.path)
            self._items = RESPONSES.write_items(history.to_input())
            self._first_line = len(self._items) if any(line.type == "compacted" for line in history.lines) else 0
        return self._items

    def _last(self, limit: int | None) -> list[Item]:
        items = self._loaded()
        first = 0 if limit is None or limit < 0 else max(len(items) - limit, 0)
        found: list[Item] = snapshot(items[first:])
        return found

    def _add(self, items: list[Item]) -> None:
        known = self._loaded()
        for group in _groups(request_of({"input": items}).items):
            call_id = str(group[0].get("call_id"))
            if str(group[0].get("type")).endswith("_output") and call_id in self._ends:
                seconds, is_failed = self._ends.pop(call_id)
                self.recorder.call_ended(call_id, seconds=seconds, is_failed=is_failed or None)
            self._log.sent(self._request, group)
        known += items
        if items and items[-1].get("role") == "assistant" and not self._is_watched:
            self._log.end_turn()

    def _pop(self) -> Item | None:
        items = self._loaded()
        if not items:
            return None
        item = items.pop()
        self._log.end_turn()
        if len(items) >= self._first_line and _is_prompt(item):
            self.recorder.record(ThreadRolledBack(num_turns=1))
        else:
            self._replace(items)
        return item

    def _clear(self) -> None:
        self._loaded().clear()
        self._log.end_turn()
        self._replace([])

    def _replace(self, items: list[Item]) -> None:
        self._first_line = len(items)
        self.recorder.compacted("", request_of({"input": items}).items)


def _groups(items: list[Item]) -> Iterator[list[Item]]:
    """
    Yield the items one by one, but prompts that follow each other together: they begin one turn.
    """
    for is_prompt, group in groupby(items, lambda item: item.get("role") == "user"):
        own = list(group)
        yield from [own] if is_prompt else ([item] for item in own)


def _is_prompt(item: Item) -> bool:
    line = RolloutLine(timestamp=None, type="response_item", payload=request_of({"input": [item]}).items[0])
    return any(isinstance(fact, Prompt) for fact in Interpreter(has_texts=False).feed(line))
