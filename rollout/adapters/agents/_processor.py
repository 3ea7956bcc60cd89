"""
A tracing processor that records the runs of agents.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from agents import FunctionToolResult
from agents.tracing import TracingProcessor
from attrs import define, field, frozen

from rollout.adapters._exchange import Asked
from rollout.adapters._hook import FrameworkHook
from rollout.adapters._marks import is_recorded, set_mark
from rollout.adapters.agents._items import dumped, error_text, is_call_of, reply_in, request_in
from rollout.adapters.agents._session import Session, saving_session
from rollout.dialects import Item, Reply, Request
from rollout.recording import Recorder
from rollout.schema import snapshot

__all__ = ["Processor"]

# Spans with a run of their own: that of a runner, and that of a tool, which may call an agent.
_RUNS = ("task", "function")


@frozen
class _Span:
    """
    A span that is open.

    Attributes:
        kind: Type of its data.
        parent: Id of the span around it.
        outer: Run to which it belongs.
        run: Run of what happens in it.
        starter: Run that started that run; None if it is no sub-agent.
        agent: Name of the agent.
        begun: Time of its beginning in seconds.
        handled: Error that the caller handled then.
    """

    kind: str
    parent: str | None
    outer: str
    run: str
    starter: str | None
    agent: str
    begun: float = field(factory=time.monotonic)
    handled: BaseException | None = field(factory=lambda: sys.exc_info()[1])


@define(eq=False)
class _Run:
    """
    A run of an agent: its session if it has one, the calls that have not ended, the error that ended it, and whether a
    call waits for an approval.
    """

    session: Session | None = None
    calls: list[Item] = field(factory=list)
    error: BaseException | None = None
    is_waiting: bool = False

    def note_end(self, span: _Span, error: Mapping[str, Any] | None) -> None:
        """
        Note the error with which a span ends, or that of the program, as the cancellation of a task: it passes through
        the spans without being theirs.
        """
        passing = sys.exc_info()[1]
        if error is not None:
            self.error = RuntimeError(error_text(error))
        elif passing is not span.handled and not isinstance(passing, Exception) and self.error is None:
            self.error = passing


@define(eq=False)
class _Saved:
    """
    A request of a run whose items are recorded by its session. It marks requests as recorded until its answer.
    """

    session: Session
    is_over: bool = False

    def answered(self, reply: Reply, *, is_whole: bool = True) -> None:  # noqa: ARG002 -- the same for the session
        self.is_over = True
        self.session.answered(reply)

    def failed(self, error: BaseException) -> None:
        self.is_over = True
        self.session.failed(error)


class Processor(FrameworkHook, TracingProcessor):
    """
    Tracing processor that records all runs of the process: ``agents.add_trace_processor(Processor())``.

    Each conversation gets a session, also over several runs and hand-offs; an agent that is used as a tool gets one of
    its own, which knows the one that called it. The items of a run with a `Session` are recorded by that.

    The methods of the SDK's interface may be called from any thread, and only the beginning of a session waits for the
    disk. After `close` they do nothing. The arguments are those of all hooks; no error of recording reaches the
    agent, see `problems`.

    Args:
        recorder: Recorder of all requests, which the caller closes after this hook; sub-agents get sessions of their
            own. By default each conversation gets a session.
        options: The other arguments of all hooks: home, policy, redact, on_session.
    """

    def __init__(self, recorder: Recorder | None = None, **options: Any) -> None:
        super().__init__(recorder, **options)
        self._spans: dict[str, _Span] = {}
        self._runs: dict[str, _Run] = {}
        self._requests: dict[str, Asked | _Saved] = {}

    def on_trace_start(self, trace: Any) -> None:
        """
        Ignore the trace: a session begins with its first request.
        """

    def on_trace_end(self, trace: Any) -> None:
        """
        End the turns of a trace.
        """
        with self._guard("the end of a run"):
            self._run_ended(trace.trace_id)

    def on_span_start(self, span: Any) -> None:
        """
        Record a request, if the span is one.
        """
        if self._log.is_ended:
            return
        with self._guard("a request"):
            own = self._spans[span.span_id] = self._place(span)
            request = request_in(span.span_data)
            if request is not None and not is_recorded():
                self._ask(span, own, request)

    def on_span_end(self, span: Any) -> None:
        """
        Record an answer, the end of a tool or the end of a run.
        """
        own = self._spans.pop(span.span_id, None)
        if own is None:
            return
        with self._guard("the end of a span"):
            if own.kind == "function":
                self._tool_ended(span, own)
            elif span.span_id in self._requests:
                self._answer(span, own)
            elif own.run in self._runs:
                self._runs[own.run].note_end(own, span.error)
            if own.run == span.span_id:
                self._run_ended(own.run)

    def force_flush(self) -> None:
        """
        Wait until everything recorded so far is in the files; blocks.
        """
        self._log.flush()

    def shutdown(self) -> None:
        """
        Stop to record, as `close` does: the SDK calls it when the program ends.
        """
        self.close()

    def _place(self, span: Any) -> _Span:
        kind, parent = span.span_data.type, self._spans.get(span.parent_id)
        if parent is None:
            outer, starter, agent = span.trace_id, None, ""
        else:
            outer, agent = parent.run, parent.agent
            starter = parent.run if kind in _RUNS and parent.kind != "function" else parent.starter
        if kind == "agent":
            agent = span.span_data.name
        return _Span(kind, span.parent_id, outer, span.span_id if kind in _RUNS else outer, starter, agent)

    def _ask(self, span: Any, own: _Span, request: Request) -> None:
        run = self._runs.setdefault(own.run, _Run())
        run.session = run.session or self._session_of(span)
        if run.session is not None:
            run.session.asked(request)
            saved = self._requests[span.span_id] = _Saved(run.session)
            set_mark(saved)
            return
        agent = None
        if own.starter is not None:
            starter = self._runs.get(own.starter, _Run()).session
            name = own.agent if any(letter.isalnum() for letter in own.agent) else "agent"
            agent = own.starter if starter is None else starter.recorder, name
        asked = self._log.asked(request, own.run, agent, is_turn=True)
        if asked is not None:
            self._requests[span.span_id] = asked
            asked.mark()

    def _session_of(self, span: Any) -> Session | None:
        """
        Return the session to which the SDK adds the items of the run of a span.
        """
        place: str | None = span.span_id
        while place is not None and (own := self._spans.get(place)) is not None:
            session = saving_session(place)
            if session is not None or own.kind in _RUNS:
                return session if own.kind != "function" else None
            place = own.parent
        return saving_session(span.trace_id)

    def _answer(self, span: Any, own: _Span) -> None:
        asked, run = self._requests.pop(span.span_id), self._runs.setdefault(own.run, _Run())
        reply = reply_in(span.span_data)
        if reply is not None:
            run.calls += [item for item in reply.items if "call_id" in item]
            run.error, run.is_waiting = None, False
            asked.answered(reply)
            return
        run.note_end(own, span.error)
        if span.error is not None:
            asked.failed(RuntimeError(error_text(span.error)))
        else:
            asked.answered(Reply(items=[]), is_whole=False)

    def _tool_ended(self, span: Any, own: _Span) -> None:
        run, tool, seconds = self._runs.get(own.outer, _Run()), span.span_data, time.monotonic() - own.begun
        # A span has no id of its call (0.24). Calls with the same name and arguments end in the order of the answer.
        call = next((call for call in run.calls if is_call_of(call, tool)), None)
        is_failed = span.error is not None
        # Of a call that waits for an approval, 0.20 has its own object as the output.
        output = tool.output.output if isinstance(tool.output, FunctionToolResult) else tool.output
        if call is None:
            return
        run.calls.remove(call)
        if run.session is not None:
            run.session.tool_ended(call["call_id"], seconds, is_failed=is_failed)
        elif output is None and not is_failed:
            run.is_waiting = True
        else:
            output = error_text(span.error) if output is None else snapshot(output, default=dumped)
            self._log.tool_ended(call["call_id"], output, seconds=seconds, is_failed=is_failed)

    def _run_ended(self, run: str) -> None:
        ended = self._runs.pop(run, _Run())
        if ended.session is not None:
            ended.session.run_ended(ended.error)
        self._log.run_ended(run, ended.error, is_waiting=ended.is_waiting and ended.error is None)
