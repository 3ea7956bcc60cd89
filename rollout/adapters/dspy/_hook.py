"""
Recording of DSPy's programs: a callback, which sees their requests whatever engine sends them.

DSPy writes a new prompt for each request, so no request continues the one before it. A program that is called is one
turn, and what its requests repeat of each other is recorded once.
"""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import dspy
from dspy.utils.callback import ACTIVE_CALL_ID, BaseCallback

from rollout.adapters._hook import FrameworkHook
from rollout.adapters.dspy._items import read_reply, read_request, text_of
from rollout.adapters.dspy._runs import Run, Tool, current_place
from rollout.dialects import Reply, make_call, make_output
from rollout.recording import Recorder

__all__ = ["DSPyHook"]


class DSPyHook(FrameworkHook, BaseCallback):
    """
    Callback that records programs: ``dspy.configure(callbacks=[hook])`` or ``with dspy.context(callbacks=[hook])``.

    A module that is called from no other one is a run, and its run is a turn. A module that a tool calls, or that runs
    in another thread or task than its caller, is a sub-agent, with a session of its own. May be used by several
    programs, threads and event loops at once; waits for the disk only at the beginning of a session.

    Args:
        recorder: Recorder of all runs, which the caller closes after this hook; sub-agents, and runs during another
            run, get sessions of their own. By default each run gets a session.
        settings: ``home``, ``policy``, ``redact`` and ``on_session``, as of `rollout.instrument`.
    """

    def __init__(self, recorder: Recorder | None = None, **settings: Any) -> None:
        super().__init__(recorder, **settings)
        # By the ids of DSPy: what has begun and not ended.
        self._runs: dict[str | None, Run | None] = {}
        self._tools: dict[str | None, Tool] = {}
        self._requests: dict[str, tuple[Run | None, bool]] = {}

    def __deepcopy__(self, memo: Any) -> DSPyHook:
        """
        Return this hook: a copy of a model or a program is recorded by the same one.
        """
        return self

    def on_module_start(self, call_id: str, instance: Any, inputs: Any) -> None:  # noqa: ARG002 -- DSPy's names
        """
        Note the beginning of a module: a run, a sub-agent, or a step of its caller.
        """
        caller = ACTIVE_CALL_ID.get()
        run = self._run_of(caller)
        if run is None or caller in self._tools or run.place != current_place():
            run = Run(call_id, None if run is None else (run.id, type(instance).__name__))
        self._runs[call_id] = run

    def on_module_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:  # noqa: ARG002
        """
        Record the end of a run.
        """
        run = self._runs.pop(call_id, None)
        if run is not None and run.id == call_id:
            self._log.run_ended(call_id, exception)

    def on_lm_start(self, call_id: str, instance: Any, inputs: Any) -> None:
        """
        Record a request. Models that answer no prompt, as TypeSafe, are not recorded.
        """
        with self._guard("a request"):
            if isinstance(instance, dspy.BaseLM):
                run = self._run_of(ACTIVE_CALL_ID.get())
                request = read_request(instance, inputs)
                if run is None:
                    exchange = self._log.asked(request)
                else:
                    exchange = self._log.asked(run.new_in(request), run.id, run.agent, is_turn=True)
                if exchange is not None:
                    exchange.mark()
                    self._exchanges[call_id] = exchange
                    self._requests[call_id] = run, dspy.settings.send_stream is not None
                    if run is not None:
                        run.exchange = exchange

    def on_lm_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """
        Record an answer or an error.
        """
        run, is_streamed = self._requests.pop(call_id, (None, False))
        if call_id not in self._exchanges:
            return
        if exception is not None:
            self._failed(call_id, exception)
            return
        reply = Reply(items=[], error="the answer could not be read")
        with self._guard("an answer"):
            reply = read_reply(outputs, is_streamed=is_streamed)
            if run is not None:
                run.note(reply)
        self._answered(call_id, reply)

    def on_tool_start(self, call_id: str, instance: Any, inputs: Any) -> None:
        """
        Record a call that the model wrote as a text, and note the beginning of the tool.
        """
        run = self._run_of(ACTIVE_CALL_ID.get())
        # One that is called before all requests, no model has called.
        if run is None or run.exchange is None or call_id in self._tools:
            return
        with self._guard("a call"):
            name, arguments = instance.name, inputs["kwargs"]
            native_id = run.called(name, arguments)
            tool = self._tools[call_id] = Tool(run, run.exchange, native_id or f"call_{uuid4().hex}", not native_id)
            if tool.is_text:
                tool.exchange.added(make_call(name, text_of(arguments), tool.call_id))

    def on_tool_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """
        Record the output of a tool, its duration, and its error.
        """
        tool = self._tools.pop(call_id, None)
        if tool is None:
            return
        with self._guard("an output"):
            output = text_of(outputs) if exception is None else f"{type(exception).__name__}: {exception}"
            seconds = time.monotonic() - tool.began
            tool.exchange.tool_ended(tool.call_id, output, seconds=seconds, is_failed=exception is not None)
            if tool.is_text:
                tool.exchange.added(make_output(tool.call_id, output))

    def _on_step_start(self, call_id: str, instance: Any, inputs: Any) -> None:  # noqa: ARG002
        """
        Note the beginning of something that may ask a model or call a tool: it belongs to its caller.
        """
        self._runs[call_id] = self._run_of(ACTIVE_CALL_ID.get())

    def _on_step_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:  # noqa: ARG002
        self._runs.pop(call_id, None)

    on_adapter_format_start = on_adapter_parse_start = on_evaluate_start = _on_step_start
    on_adapter_format_end = on_adapter_parse_end = on_evaluate_end = _on_step_end
    on_interpreter_execute_start = on_interpreter_tool_call_start = _on_step_start
    on_interpreter_execute_end = on_interpreter_tool_call_end = _on_step_end

    def _run_of(self, caller: str | None) -> Run | None:
        tool = self._tools.get(caller)
        return self._runs.get(caller) if tool is None else tool.run
