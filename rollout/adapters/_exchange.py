"""
Requests and answers, as a hook sees them, on their way to the sessions of their conversations.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from attrs import define, field

from rollout.adapters._marks import is_recorded, set_mark
from rollout.adapters._matching import Conversation, Match, Matcher
from rollout.adapters._session import Redact, SessionLog, calls_in
from rollout.adapters._work import Work
from rollout.dialects import Dialect, Reply, Request
from rollout.home import StrPath
from rollout.recording import Policy, Recorder, keep_all

__all__ = ["ORIGINATOR", "RECORDERS_MAX", "Agent", "Asked", "Exchange", "Log"]

RECORDERS_MAX = 32
"""Maximum number of sessions of one instrumentation that are open at once: each has a thread and an open file."""

ORIGINATOR = "rollout.instrument"
"""The program that is named in the meta of a session of a hook."""

Agent: TypeAlias = "tuple[Hashable | Recorder, str]"
"""What started a sub-agent, the run of a framework or the recorder of its session; and the name of the sub-agent."""

# Maximum number of calls whose session is remembered until their outputs.
_CALLS_MAX = 2000


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
    matcher: Matcher = field(factory=Matcher, init=False)
    # The sessions of calls that wait for their outputs, and of the runs of a framework.
    _calls: dict[str, SessionLog] = field(factory=dict, init=False)
    _runs: dict[Hashable, dict[SessionLog, None]] = field(factory=dict, init=False)
    # Open sessions, the one that was used last at the end.
    _open: dict[SessionLog, None] = field(factory=dict, init=False)
    _main: SessionLog | None = field(default=None, init=False)
    work: Work = field(factory=Work, init=False)
    # Records, for each stream that is open, what has come of it.
    open_streams: set[Callable[[], None]] = field(factory=set, init=False)
    _is_closed: bool = field(default=False, init=False)
    is_ended: bool = field(default=False, init=False)

    def sent(self, dialect: Dialect, body: Any) -> Exchange | None:
        """
        Record what is new in a request; None if that was not possible. The body must not be changed later.
        """
        with self.work.guard("a request"), self.work.owned():
            if isinstance(body, Mapping) and not self.is_ended:
                match = self.matcher.match(dialect, body, threading.get_ident())
                return Exchange(self, self._sent(match, threading.get_ident(), dialect, body), dialect)
        return None

    def asked(
        self,
        request: Request,
        run: Hashable = None,
        agent: Agent | None = None,
        *,
        is_turn: bool = False,
    ) -> Asked | None:
        """
        Record what is new in a request that a framework shows in its own form; None if that was not possible, or if an
        outer hook records it.

        Args:
            request: The request.
            run: The run of the framework to which it belongs, for `run_ended`.
            agent: For a run of a sub-agent: what started it, and its name.
            is_turn: Whether the run is one turn, whatever messages of the user it sends, and only `run_ended` ends it.
        """
        if is_recorded():
            return None
        with self.work.guard("a request"), self.work.owned():
            if not self.is_ended:
                owner = threading.get_ident() if run is None else hash(run)
                match = self.matcher.match_request(request, owner)
                conversation = self._sent(match, owner, agent=agent, turn=run if is_turn else None)
                if run is not None:
                    self._runs.setdefault(run, {})[conversation.session] = None
                return Asked(self, conversation)
        return None

    def _sent(
        self,
        match: Match,
        owner: int,
        dialect: Dialect | None = None,
        body: Any = None,
        agent: Agent | None = None,
        turn: Hashable = None,
    ) -> Conversation:
        conversation, replaced = match.conversation, match.replaced
        if conversation is not None:
            session = conversation.session
        elif agent is not None and (starter := self._starter(agent[0])) is not None:
            session = self._begin(starter.agent(agent[1]), is_agent=True)
        elif self._main is not None and self._main.is_idle:
            # The next task in the session that the caller chose: a context of its own.
            session, replaced = self._main, []
        else:
            session = self._new_session()
        self._use(session)
        conversation = self.matcher.keep(match, session, owner, dialect, body)
        try:
            session.sent(match.request, match.new, replaced, turn)
        except Exception as error:  # noqa: BLE001 -- the answer is recorded all the same
            self.work.report("a request", error)
        return conversation

    def tool_ended(self, call_id: str, output: Any, *, seconds: float | None = None, is_failed: bool = False) -> None:
        """
        Note the end of a call. Its output is recorded as the next request contains it, or at the end of the turn.

        Args:
            call_id: Id of the call in an answer that was recorded; others are ignored.
            output: Output: text, content parts or any value.
            seconds: Duration; by default the time since the answer.
            is_failed: Whether the tool raised an error.
        """
        with self.work.guard("an output"), self.work.owned():
            session = self._calls.get(call_id)
            if session is not None and not self._is_closed:
                session.tool_ended(call_id, output, seconds, is_failed=is_failed)

    def run_ended(self, run: Hashable, error: BaseException | None = None) -> None:
        """
        End the turns of a run of the framework, as failed if an error ended it.
        """
        with self.work.guard("the end of a run"), self.work.owned():
            for session in self._runs.pop(run, ()):
                if not self._is_closed:
                    self._use(session)
                    session.end_turn(error)
                    if session.is_agent:
                        # The session that started the agent notes its end now, and not when recording ends.
                        self._open.pop(session, None)
                        session.close()

    def _starter(self, run: Hashable | Recorder) -> Recorder | None:
        if isinstance(run, Recorder):
            return run
        session = next(reversed(self._runs.get(run, {})), None)
        if session is None:
            return None
        self._use(session)
        return session.recorder

    def _new_session(self) -> SessionLog:
        if self.recorder is None:
            return self._begin(Recorder(home=self.home, policy=self.policy, originator=ORIGINATOR, default=str))
        if self._main is None:
            self._main = SessionLog(self.recorder, self.redact)
            return self._main
        # A request within a turn of the main session: another agent.
        return self._begin(self.recorder.agent(f"agent {len(self.paths) + 1}"))

    def _begin(self, recorder: Recorder, *, is_agent: bool = False) -> SessionLog:
        session = SessionLog(recorder, self.redact, is_agent)
        self.paths[recorder.session_id] = recorder.path
        self._open[session] = None
        if self.on_session is not None:
            try:
                self.on_session(recorder)
            except Exception as error:  # noqa: BLE001 -- the session is recorded all the same
                self.work.report("the beginning of a session", error)
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
        self.work.soon(partial(self._received, conversation, reply, is_whole))

    def _received(self, conversation: Conversation, reply: Reply, is_whole: bool) -> None:
        if self._is_closed:
            return
        try:
            conversation.answer(reply.items, is_whole=is_whole)
            if reply.id:
                self.matcher.link(reply.id, conversation)
            self._use(conversation.session)
            self._calls.update(dict.fromkeys(calls_in(reply), conversation.session))
            while len(self._calls) > _CALLS_MAX:
                del self._calls[next(iter(self._calls))]
            conversation.session.received(reply, is_whole=is_whole)
        except Exception as error:  # noqa: BLE001 -- the agent goes on
            self.work.report("an answer", error)

    def failed(self, conversation: Conversation, error: BaseException) -> None:
        """
        Record that a request failed.
        """
        self.work.soon(partial(self._failed, conversation, error))

    def _failed(self, conversation: Conversation, error: BaseException) -> None:
        if self._is_closed:
            return
        try:
            conversation.answer((), is_whole=False)
            self._use(conversation.session)
            conversation.session.failed(error)
        except Exception as problem:  # noqa: BLE001 -- the agent goes on
            self.work.report("an error", problem)

    def flush(self) -> None:
        """
        Wait until everything recorded so far is in the files of the sessions; blocks.
        """
        with self.work.owned():
            sessions = [*self._open, *([self._main] if self._main else [])]
        for session in sessions:
            self._end(session.recorder.flush)

    def close(self) -> None:
        """
        End all turns and close all sessions, but not the recorder that the caller gave; blocks. Streams that are open
        are recorded as far as they came.
        """
        self.is_ended = True
        for finish in list(self.open_streams):
            finish()
        with self.work.owned():
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
            self.work.report("the end of a session", error)


@define(eq=False)
class Asked:
    """
    A request that waits for its answer. The first call of a method that records the answer counts, later ones do
    nothing.

    Attributes:
        is_over: Whether the answer was recorded.
    """

    _log: Log
    _conversation: Conversation
    is_over: bool = field(default=False, init=False)

    def mark(self) -> None:
        """
        Mark the requests in the current context as recorded, until the answer.
        """
        set_mark(self)

    def answered(self, reply: Reply, *, is_whole: bool = True) -> None:
        """
        Record the answer, or as much of a stream as came.
        """
        if self._end():
            self._log.received(self._conversation, reply, is_whole=is_whole)

    def failed(self, error: BaseException) -> None:
        """
        Record that there was no answer.
        """
        if self._end():
            self._log.failed(self._conversation, error)

    def _end(self) -> bool:
        is_first, self.is_over = not self.is_over, True
        return is_first


@define(eq=False)
class Exchange(Asked):
    """
    A request in one of the dialects.
    """

    dialect: Dialect

    def received(self, body: Any, *, is_whole: bool = True) -> None:
        """
        Record the body of an answer, or as much of a stream as came.
        """
        if not self.is_over:
            self.answered(self.dialect.read_reply(body if isinstance(body, Mapping) else {}), is_whole=is_whole)

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
        self._log.work.report("an answer", error)
