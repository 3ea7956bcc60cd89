"""
The log of a hook: requests and answers on their way to the sessions of their conversations.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any

from attrs import define, field

from rollout.adapters._exchange import Asked, Exchange
from rollout.adapters._marks import is_recorded
from rollout.adapters._matching import Conversation, Match, Matcher
from rollout.adapters._process import logs
from rollout.adapters._session import Redact, SessionLog, calls_in
from rollout.adapters._sessions import Agent, Sessions
from rollout.adapters._work import Work
from rollout.dialects import Dialect, Reply, Request
from rollout.home import StrPath
from rollout.recording import Policy, Recorder, keep_all

__all__ = ["Log"]

# Seconds for which the end of the program waits for a thread that records.
_END_TIMEOUT = 1.0
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
    matcher: Matcher = field(factory=Matcher, init=False)
    work: Work = field(factory=Work, init=False)
    sessions: Sessions = field(init=False)
    # The sessions of calls that wait for their outputs, and of the runs of a framework.
    _calls: dict[str, SessionLog] = field(factory=dict, init=False)
    _runs: dict[Hashable, dict[SessionLog, None]] = field(factory=dict, init=False)
    # Records, for each stream that is open, what has come of it.
    open_streams: set[Callable[[], None]] = field(factory=set, init=False)
    is_ended: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        own = self.home, self.policy, self.redact, self.on_session, self.recorder
        self.sessions = Sessions(self.work, *own)
        logs.add(self)

    def sent(self, dialect: Dialect, body: Any) -> Exchange | None:
        """
        Record what is new in a request; None if that was not possible. The body must not be changed later.
        """
        with self.work.guard("a request"), self.work.owned():
            if isinstance(body, Mapping) and not self.is_ended:
                match = self._find(partial(self.matcher.match, dialect, body, threading.get_ident()))
                return Exchange(self, self._sent(match, threading.get_ident(), dialect, body), dialect)
        return None

    def asked(
        self, request: Request, run: Hashable = None, agent: Agent | None = None, *, is_turn: bool = False
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
                match = self._find(partial(self.matcher.match_request, request, owner))
                conversation = self._sent(match, owner, agent=agent, turn=run if is_turn else None)
                if run is not None:
                    self._runs.setdefault(run, {})[conversation.session] = None
                return Asked(self, conversation)
        return None

    def _find(self, match: Callable[[], Match]) -> Match:
        """
        Return a match whose session is open. A conversation whose session cannot be opened goes on in a new one.
        """
        found = match()
        while found.conversation is not None:
            try:
                self.sessions.use(found.conversation.session)
                break
            except Exception as error:  # noqa: BLE001 -- the new session begins with the whole context
                self.work.report("the rest of a session", error)
                self.matcher.forget(found.conversation)
                found = match()
        return found

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
            session = self.sessions.begin_agent(starter, agent[1])
        elif (main := self.sessions.idle_main) is not None:
            # The next task in the session that the caller chose: a context of its own.
            session, replaced = main, []
        else:
            session = self.sessions.begin()
        self.sessions.use(session)
        conversation = self.matcher.keep(match, session, owner, dialect, body)
        try:
            session.sent(match.request, match.new, replaced, turn)
        except Exception as error:  # noqa: BLE001 -- the answer is recorded all the same
            self.work.report("a request", error)
        return conversation

    def tool_ended(
        self,
        call_id: str,
        output: Any,
        *,
        seconds: float | None = None,
        is_failed: bool = False,
        session: SessionLog | None = None,
    ) -> None:
        """
        Note the end of a call. Its output is recorded as the next request contains it, or at the end of the turn.

        Args:
            call_id: Id of the call in an answer that was recorded; others are ignored.
            output: Output: text, content parts or any value.
            seconds: Duration; by default the time since the answer.
            is_failed: Whether the tool raised an error.
            session: Session of the call; by default that of the last answer with the id.
        """
        with self.work.guard("an output"), self.work.owned():
            session = session or self._calls.get(call_id)
            if session is not None and not self.sessions.is_closed:
                session.tool_ended(call_id, output, seconds, is_failed=is_failed)

    def run_ended(self, run: Hashable, error: BaseException | None = None, *, is_waiting: bool = False) -> None:
        """
        End the turns of a run of the framework, as failed if an error ended it.

        Args:
            run: The run.
            error: The error that ended it.
            is_waiting: Whether another run will go on, as calls wait for their outputs: then the turns do not end.
        """
        with self.work.guard("the end of a run"), self.work.owned():
            for session in self._runs.pop(run, ()):
                if not self.sessions.is_closed and not is_waiting:
                    self.sessions.end(session, error)

    def _starter(self, run: Hashable | Recorder) -> Recorder | None:
        if isinstance(run, Recorder):
            return run
        session = next(reversed(self._runs.get(run, {})), None)
        if session is None:
            return None
        self.sessions.use(session)
        return session.recorder

    def received(
        self, conversation: Conversation, reply: Reply, *, is_whole: bool, error: BaseException | None = None
    ) -> None:
        """
        Record an answer, as far as it came, and what ended it.
        """
        self.work.soon(partial(self._received, conversation, reply, is_whole, error))

    def _received(
        self, conversation: Conversation, reply: Reply, is_whole: bool, problem: BaseException | None
    ) -> None:
        if self.sessions.is_closed or not conversation.session.is_own:
            return
        try:
            conversation.answer(reply.items, is_whole=is_whole)
            if reply.id:
                self.matcher.link(reply.id, conversation)
            self.sessions.use(conversation.session)
            self._calls.update(dict.fromkeys(calls_in(reply), conversation.session))
            while len(self._calls) > _CALLS_MAX:
                del self._calls[next(iter(self._calls))]
            conversation.session.received(reply, is_whole=is_whole)
            if problem is not None:
                conversation.session.failed(problem)
        except Exception as error:  # noqa: BLE001 -- the agent goes on
            self.work.report("an answer", error)

    def failed(self, conversation: Conversation, error: BaseException) -> None:
        """
        Record that a request failed.
        """
        self.work.soon(partial(self._failed, conversation, error))

    def _failed(self, conversation: Conversation, error: BaseException) -> None:
        if self.sessions.is_closed or not conversation.session.is_own:
            return
        try:
            conversation.answer((), is_whole=False)
            self.sessions.use(conversation.session)
            conversation.session.failed(error)
        except Exception as problem:  # noqa: BLE001 -- the agent goes on
            self.work.report("an error", problem)

    def flush(self) -> None:
        """
        Wait until everything recorded so far is in the files of the sessions; blocks.
        """
        with self.work.owned():
            flushes = self.sessions.to_flush()
        for flush in flushes:
            self._end(flush)

    def close(self) -> None:
        """
        End all turns and close all sessions, but not the recorder that the caller gave; blocks. Streams that are open
        are recorded as far as they came.
        """
        self.is_ended = True
        for finish in list(self.open_streams):
            finish()
        with self.work.owned():
            ends = self.sessions.close()
        for end in ends:
            self._end(end)

    def settle(self, error: BaseException | None) -> None:
        """
        Record the end of the program: end all turns, and record open streams as far as they came. Blocks for a short
        time. What the exit handlers after this one ask a model is recorded, too.

        Args:
            error: The exception that ended the program.
        """
        if self.is_ended:
            return
        for finish in list(self.open_streams):
            finish()
        with self.work.guard("the end of the program"), self.work.owned(_END_TIMEOUT):
            for session in self.sessions.all_open:
                self._end(partial(self.sessions.settle, session, error))

    def reset_after_fork(self) -> None:
        """
        Begin anew, in the child after a fork: the parent goes on with its sessions, turns and streams.
        """
        self.sessions.reset_after_fork()
        self.work.reset_after_fork()
        self.matcher, self._calls, self._runs, self.open_streams = Matcher(), {}, {}, set()

    def _end(self, end: Callable[[], None]) -> None:
        try:
            end()
        except Exception as error:  # noqa: BLE001 -- the other sessions are closed, too
            self.work.report("the end of a session", error)
