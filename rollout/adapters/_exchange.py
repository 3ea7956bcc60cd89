"""
Requests and answers, as a hook sees them, on their way to the sessions of their conversations.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from attrs import define, field

from rollout.adapters._marks import is_recorded, set_mark
from rollout.adapters._matching import Conversation, Match, Matcher
from rollout.adapters._opening import Opening
from rollout.adapters._process import logs
from rollout.adapters._session import Redact, SessionLog, calls_in
from rollout.adapters._work import Work
from rollout.dialects import Dialect, Item, Reply, Request
from rollout.errors import RolloutError
from rollout.home import StrPath
from rollout.recording import Policy, Recorder, keep_all

__all__ = ["ORIGINATOR", "RECORDERS_MAX", "Agent", "Asked", "Exchange", "Log"]

RECORDERS_MAX = 32
"""Maximum number of sessions of one instrumentation that are open at once: each has a thread and an open file."""

ORIGINATOR = "rollout.instrument"
"""The program that is named in the meta of a session of a hook."""

Agent: TypeAlias = "tuple[Hashable | Recorder, str]"
"""What started a sub-agent, the run of a framework or the recorder of its session; and the name of the sub-agent."""

# Calls of record() that may wait for the disk; their bytes have a limit of their own. The writer of a new session may
# wait for git for 5 seconds before it takes the first call.
_QUEUE_SIZE = 10_000
# Seconds for which the end of the program waits for a thread that records, or for a recorder of the caller.
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
    paths: dict[str, Path] = field(factory=dict, init=False)
    matcher: Matcher = field(factory=Matcher, init=False)
    # The sessions of calls that wait for their outputs, and of the runs of a framework.
    _calls: dict[str, SessionLog] = field(factory=dict, init=False)
    _runs: dict[Hashable, dict[SessionLog, None]] = field(factory=dict, init=False)
    # Open sessions, the one that was used last at the end.
    _open: dict[SessionLog, None] = field(factory=dict, init=False)
    # Sessions that were closed to open others, and of which lines may wait for the disk.
    _closing: dict[SessionLog, None] = field(factory=dict, init=False)
    _main: SessionLog | None = field(default=None, init=False)
    _opening: Opening = field(factory=Opening, init=False)
    # In the child after a fork: the parent's agents. Recorders that are dropped warn that they were not closed.
    _inherited: list[SessionLog] = field(factory=list, init=False)
    _is_child: bool = field(default=False, init=False)
    work: Work = field(factory=Work, init=False)
    # Records, for each stream that is open, what has come of it.
    open_streams: set[Callable[[], None]] = field(factory=set, init=False)
    _is_closed: bool = field(default=False, init=False)
    is_ended: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        logs.add(self)

    @property
    def _settings(self) -> dict[str, Any]:
        """
        Arguments of a recorder. A full disk must not stop the agent: what has no space is refused, and counted.
        """
        own = {"originator": ORIGINATOR, "default": str, "queue_size": _QUEUE_SIZE, "on_full": "raise"}
        return {"policy": self.policy, **own}

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
                self._use(found.conversation.session)
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
            session = self._begin(self._opening.open(partial(starter.agent, agent[1])), is_agent=True)
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
                if not self._is_closed and not is_waiting:
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
        if len(self._closing) > RECORDERS_MAX:
            self._closing = {own: None for own in self._closing if _is_waiting(own.recorder)}
            if len(self._closing) > RECORDERS_MAX:
                raise RuntimeError(f"{len(self._closing)} sessions already wait for the disk")
        if self.recorder is None:
            return self._begin(self._opening.open(partial(Recorder, home=self.home, **self._settings)))
        if self._main is None and not self._is_child:
            self._main = SessionLog(self.recorder, self.redact)
            return self._main
        # A request within a turn of the main session, or of a child process: another agent.
        return self._begin(self._opening.open(partial(self.recorder.agent, f"agent {len(self.paths) + 1}")))

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
        if not session.is_own:
            raise RuntimeError("a function of the caller has forked this process while it recorded")
        if session is self._main or self._is_closed:
            return
        if session.recorder.closed:
            session.recorder = self._opening.open(partial(self._resume, session.recorder))
            self._closing.pop(session, None)
        self._open.pop(session, None)
        self._open[session] = None
        if len(self._open) > RECORDERS_MAX:
            self._release(next((own for own in self._open if own.is_idle), next(iter(self._open))))

    def _release(self, session: SessionLog) -> None:
        """
        Close a session that may be used again; its writer ends when everything is in the file.
        """
        del self._open[session]
        self._closing[session] = None
        # What waits for the disk is not lost: `close` counts what still waits then.
        with suppress(RolloutError):
            session.close(timeout=0)

    def _resume(self, recorder: Recorder) -> Recorder:
        recorder.close()
        return Recorder.resume(recorder.path, **self._settings)

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
        if self._is_closed or not conversation.session.is_own:
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
        if self._is_closed or not conversation.session.is_own:
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
            sessions, closing = [*self._open, *([self._main] if self._main else [])], [*self._closing]
        for session in sessions:
            self._end(session.recorder.flush)
        for session in closing:
            self._end(session.recorder.close)

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
            sessions, self._open = [*self._closing, *self._open], {}
            if self._main is not None:
                self._end(self._main.end_turn)
        for session in sessions:
            self._end(session.close)

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
            for session in [*self._open, *([self._main] if self._main else [])]:
                if not session.recorder.closed:
                    self._end(partial(self._settle, session, error))

    def _settle(self, session: SessionLog, error: BaseException | None) -> None:
        if self.recorder is not None and not session.is_idle:
            # The caller's recorder may wait for a full disk without a limit.
            session.recorder.flush(_END_TIMEOUT)
        session.end_turn(error)

    def reset_after_fork(self) -> None:
        """
        Begin anew, in the child after a fork: the parent goes on with its sessions, turns and streams.
        """
        for session in self._open:
            if self.recorder is None and not session.is_agent:
                # Releases only the child's copy of the lock. The end of an agent would be recorded for its parent.
                session.recorder.close()
            else:
                self._inherited.append(session)
        self._closing = {}
        self.work.reset_after_fork()
        self.matcher, self.paths, self._calls, self._runs, self._open = Matcher(), {}, {}, {}, {}
        self.open_streams, self._main, self._is_child = set(), None, True

    def _end(self, end: Callable[[], None]) -> None:
        try:
            end()
        except Exception as error:  # noqa: BLE001 -- the other sessions are closed, too
            self.work.report("the end of a session", error)


def _is_waiting(recorder: Recorder) -> bool:
    stats = recorder.stats
    return bool(stats.queued or stats.pending)


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

    def answered(self, reply: Reply, *, is_whole: bool = True, error: BaseException | None = None) -> None:
        """
        Record the answer, or as much of a stream as came, and the exception that ended it.
        """
        if self._end():
            self._log.received(self._conversation, reply, is_whole=is_whole, error=error)

    def failed(self, error: BaseException) -> None:
        """
        Record that there was no answer.
        """
        if self._end():
            self._log.failed(self._conversation, error)

    def added(self, item: Item) -> None:
        """
        Record an item that no request and no answer contains: a call that a framework finds in a text, or its output.
        """
        self._log.received(self._conversation, Reply(items=[item]), is_whole=False)

    def _end(self) -> bool:
        is_first, self.is_over = not self.is_over, True
        return is_first


@define(eq=False)
class Exchange(Asked):
    """
    A request in one of the dialects.
    """

    dialect: Dialect

    def received(self, body: Any, *, is_whole: bool = True, error: BaseException | None = None) -> None:
        """
        Record the body of an answer, or as much of a stream as came, and the exception that ended it.
        """
        if not self.is_over:
            reply = self.dialect.read_reply(body if isinstance(body, Mapping) else {})
            self.answered(reply, is_whole=is_whole, error=error)

    def catch_up(self) -> None:
        """
        Wait until the answer is recorded, if another thread records it; not for a finalizer, which must not wait.
        """
        self._log.work.catch_up()

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
