"""
Requests and answers, as a hook sees them, on their way to the sessions of their conversations.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define, field

from rollout.adapters._matching import Conversation, Matcher
from rollout.adapters._session import Redact, SessionLog
from rollout.dialects import Dialect, Reply
from rollout.home import StrPath
from rollout.recording import Policy, Recorder, keep_all

__all__ = ["ORIGINATOR", "RECORDERS_MAX", "Exchange", "Log", "is_recorded", "recorded_here"]

RECORDERS_MAX = 32
"""Maximum number of sessions of one instrumentation that are open at once: each has a thread and an open file."""

ORIGINATOR = "rollout.instrument"
"""The program that is named in the meta of a session of a hook."""

_log = logging.getLogger("rollout")
_is_recorded: ContextVar[bool] = ContextVar("rollout_is_recorded", default=False)


def is_recorded() -> bool:
    """
    Return whether an outer hook records the current request: then an inner one must not.
    """
    return _is_recorded.get()


@contextmanager
def recorded_here() -> Iterator[None]:
    """
    Mark requests in the with statement as recorded.
    """
    token = _is_recorded.set(True)
    try:
        yield
    finally:
        _is_recorded.reset(token)


@define(eq=False)
class Log:
    """
    The sessions of one instrumentation. Safe for several threads; no method raises an error of recording.

    Args:
        home: Home of the sessions.
        policy: Decides which items are kept.
        redact: Called with everything before it is recorded.
        on_session: Called with the recorder of each new session.
        recorder: Recorder for all requests; by default each conversation gets its own.
    """

    home: StrPath | None = None
    policy: Policy = keep_all
    redact: Redact | None = None
    on_session: Callable[[Recorder], object] | None = None
    recorder: Recorder | None = None
    paths: dict[str, Path] = field(factory=dict, init=False)
    problems: Counter[str] = field(factory=Counter, init=False)
    matcher: Matcher = field(factory=Matcher, init=False)
    # Open sessions, the one that was used last at the end.
    _open: dict[SessionLog, None] = field(factory=dict, init=False)
    _main: SessionLog | None = field(default=None, init=False)
    _lock: Any = field(factory=threading.RLock, init=False)
    # Whether the owner of the lock is at work, and what others want to record meanwhile.
    _is_busy: bool = field(default=False, init=False)
    _waiting: deque[Callable[[], None]] = field(factory=deque, init=False)
    _problems_lock: Any = field(factory=threading.RLock, init=False)
    # Records, for each stream that is open, what has come of it.
    open_streams: set[Callable[[], None]] = field(factory=set, init=False)
    _is_closed: bool = field(default=False, init=False)
    is_ended: bool = field(default=False, init=False)

    def sent(self, dialect: Dialect, body: Any) -> Exchange | None:
        """
        Record what is new in a request; None if that was not possible.
        """
        try:
            with self._at_work():
                return self._sent(dialect, body)
        except Exception as error:  # noqa: BLE001 -- the agent goes on
            self.report("a request", error)
            return None

    def _sent(self, dialect: Dialect, body: Any) -> Exchange | None:
        if not isinstance(body, Mapping) or self.is_ended:
            return None
        thread = threading.get_ident()
        match = self.matcher.match(dialect, body, thread)
        conversation, replaced = match.conversation, match.replaced
        if conversation is not None:
            session = conversation.session
        elif self._main is not None and self._main.is_idle:
            # The next task in the session that the caller chose: a context of its own.
            session, replaced = self._main, []
        else:
            session = self._new_session()
        self._use(session)
        conversation = self.matcher.keep(match, dialect, body, session, thread)
        try:
            session.sent(match.request, match.new, replaced)
        except Exception as error:  # noqa: BLE001 -- the answer is recorded all the same
            self.report("a request", error)
        return Exchange(self, dialect, conversation)

    def _new_session(self) -> SessionLog:
        if self.recorder is None:
            recorder = Recorder(home=self.home, policy=self.policy, originator=ORIGINATOR, default=str)
            session = SessionLog(recorder, self.redact)
        elif self._main is None:
            session = self._main = SessionLog(self.recorder, self.redact)
            return session
        else:
            # A request within a turn of the main session: another agent.
            recorder = self.recorder.agent(f"agent {len(self.paths) + 1}")
            session = SessionLog(recorder, self.redact)
        self.paths[recorder.session_id] = recorder.path
        self._open[session] = None
        if self.on_session is not None:
            try:
                self.on_session(recorder)
            except Exception as error:  # noqa: BLE001 -- the session is recorded all the same
                self.report("the beginning of a session", error)
        return session

    def _use(self, session: SessionLog) -> None:
        """
        Make sure that a session is open, and close the one that was used least recently if too many are.
        """
        if session is self._main or self._is_closed:
            return
        if session.recorder.closed:
            old = session.recorder
            session.recorder = Recorder.resume(old.path, policy=self.policy, originator=ORIGINATOR, default=str)
        self._open.pop(session, None)
        self._open[session] = None
        if len(self._open) > RECORDERS_MAX:
            oldest = next((own for own in self._open if own.is_idle), next(iter(self._open)))
            del self._open[oldest]
            oldest.close()

    def received(self, conversation: Conversation, reply: Reply, *, is_whole: bool) -> None:
        """
        Record an answer, as far as it came.
        """
        self._soon(partial(self._received, conversation, reply, is_whole))

    def _received(self, conversation: Conversation, reply: Reply, is_whole: bool) -> None:
        if self._is_closed:
            return
        try:
            conversation.answer(reply.items, is_whole=is_whole)
            if reply.id:
                self.matcher.link(reply.id, conversation)
            self._use(conversation.session)
            conversation.session.received(reply, is_whole=is_whole)
        except Exception as error:  # noqa: BLE001 -- the agent goes on
            self.report("an answer", error)

    def failed(self, conversation: Conversation, error: BaseException) -> None:
        """
        Record that a request failed.
        """
        self._soon(partial(self._failed, conversation, error))

    def _failed(self, conversation: Conversation, error: BaseException) -> None:
        if self._is_closed:
            return
        try:
            conversation.answer((), is_whole=False)
            self._use(conversation.session)
            conversation.session.failed(error)
        except Exception as problem:  # noqa: BLE001 -- the agent goes on
            self.report("an error", problem)

    def _soon(self, act: Callable[[], None]) -> None:
        """
        Record something now, or let the thread do it that is at work.

        The garbage collector ends a dropped stream, in any thread. It must not wait for the lock: the owner may wait
        for this thread, if it writes a session, and may be this thread itself.
        """
        self._waiting.append(act)
        self._record_waiting()

    def _record_waiting(self) -> None:
        # The thread at work comes here after it, and so finds what was appended until then.
        while self._waiting and not self._is_busy and self._lock.acquire(blocking=False):
            try:
                with self._busy():
                    self._empty()
            finally:
                self._lock.release()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """
        Record everything that waits, and own the lock in the with statement.
        """
        try:
            with self._lock, self._busy():
                self._empty()
                yield
        finally:
            self._record_waiting()

    @contextmanager
    def _busy(self) -> Iterator[None]:
        before, self._is_busy = self._is_busy, True
        try:
            # What the functions of the caller ask a model is not recorded: it would call them again.
            with recorded_here():
                yield
        finally:
            self._is_busy = before

    def _empty(self) -> None:
        while self._waiting:
            self._waiting.popleft()()

    def report(self, what: str, error: Exception) -> None:
        """
        Count something that could not be recorded, and log it once.
        """
        text = f"{what} could not be recorded: {type(error).__name__}: {error}"
        with self._problems_lock:
            self.problems[text] += 1
            is_new = self.problems[text] == 1
        if is_new:
            _log.error("%s", text, exc_info=error)

    def close(self) -> None:
        """
        End all turns and close all sessions, but not the recorder that the caller gave; blocks. Streams that are open
        are recorded as far as they came.
        """
        self.is_ended = True
        for finish in list(self.open_streams):
            finish()
        with self._at_work():
            self._is_closed = True
            sessions, self._open = [*self._open], {}
            if self._main is not None:
                self._end(self._main.end_turn)
        for session in sessions:
            self._end(session.close)

    def _end(self, end: Callable[[], None]) -> None:
        try:
            end()
        except Exception as error:  # noqa: BLE001 -- the other sessions are closed, too
            self.report("the end of a session", error)


@define(eq=False)
class Exchange:
    """
    A request that waits for its answer. The first call of `received` or `failed` counts; later calls do nothing.
    """

    _log: Log
    dialect: Dialect
    _conversation: Conversation
    _is_over: bool = field(default=False, init=False)

    def received(self, body: Any, *, is_whole: bool = True) -> None:
        """
        Record the body of an answer, or as much of a stream as came.
        """
        if self._end():
            body = body if isinstance(body, Mapping) else {}
            self._log.received(self._conversation, self.dialect.read_reply(body), is_whole=is_whole)

    def opened(self, finish: Callable[[], None]) -> None:
        """
        Note a function that records the answer so far, which is called at the latest when recording ends.
        """
        self._log.open_streams.add(finish)

    def closed(self, finish: Callable[[], None]) -> None:
        """
        Forget a function that `opened` noted.
        """
        self._log.open_streams.discard(finish)

    def report(self, error: Exception) -> None:
        """
        Count an answer that could not be read.
        """
        self._log.report("an answer", error)

    def failed(self, error: BaseException) -> None:
        """
        Record that there was no answer.
        """
        if self._end():
            self._log.failed(self._conversation, error)

    def _end(self) -> bool:
        is_first, self._is_over = not self._is_over, True
        return is_first
