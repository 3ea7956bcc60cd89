"""
Recording of agents of LangChain and LangGraph: a handler of their callbacks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler

from rollout.adapters._hook import FrameworkHook
from rollout.adapters._marks import set_mark
from rollout.adapters._session import calls_in
from rollout.adapters.langchain._calls import Call, Run, Tool, awaiting_task, current
from rollout.adapters.langchain._items import read_request, read_result, read_tool_output
from rollout.dialects import Reply, Request
from rollout.recording import Recorder

__all__ = ["Handler"]


class Handler(FrameworkHook, BaseCallbackHandler):
    """
    Handler that records what models and tools do: ``agent.invoke(messages, config={"callbacks": [Handler()]})``.

    One handler may be used by several runs and threads at once. No method raises an error of recording: see `problems`.
    Only the beginning of a session waits for the disk. Close the handler, or use it in a with statement.

    Args:
        recorder: Recorder of all requests, which the caller closes after this handler; sub-agents get sessions of their
            own. By default each conversation gets a session.
        settings: ``home``, ``policy``, ``redact`` and ``on_session``, as of `rollout.instrument`.
    """

    # Else an agent of asyncio calls the handler in another thread, where the mark does not reach the SDK's request.
    run_inline = True
    raise_error = False

    def __init__(self, recorder: Recorder | None = None, **settings: Any) -> None:
        super().__init__(recorder, **settings)
        # By the ids of LangChain: chains, tools and requests that have not ended.
        self._chains: dict[Hashable, Run] = {}
        self._tools: dict[Hashable, Tool] = {}
        self._calls: dict[Hashable, Call] = {}

    def close(self) -> None:
        """
        Stop to record, as `Hook.close` does. Requests that were cancelled are recorded as interrupted.
        """
        self._drop_left()
        super().close()

    def on_chain_start(
        self, *_: Any, run_id: Hashable, parent_run_id: Hashable = None, name: str | None = None, **__: Any
    ) -> None:
        """
        Note the beginning of a chain. One in no other chain, or in a tool, is a run of its own.
        """
        self._drop_left()
        run, tool = self._chains.get(parent_run_id), self._tools.get(parent_run_id)
        agent = None if tool is None or tool.run is None else (tool.run.id, name or "agent")
        self._chains[run_id] = run or Run(run_id, agent)

    def on_chain_end(self, *_: Any, run_id: Hashable, **__: Any) -> None:
        """
        Record the end of a run. Its turn goes on if a call waits for its output, as for an answer of a person.
        """
        self._end_chain(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: Hashable, **_: Any) -> None:
        """
        Record the error of a run.
        """
        self._end_chain(run_id, None if _is_control(error) else error, is_waiting=_is_control(error))

    def on_chat_model_start(self, _: Any, messages: list[list[Any]], *, run_id: Hashable, **about: Any) -> None:
        """
        Record a request to a chat model.
        """
        self._start(run_id, messages[0], about, awaiting_task())

    def on_llm_start(self, _: Any, prompts: list[str], *, run_id: Hashable, **about: Any) -> None:
        """
        Record a request to a model that is no chat model.
        """
        self._start(run_id, prompts[0], about, None)

    def on_llm_new_token(self, *_: Any, run_id: Hashable, **__: Any) -> None:
        """
        Note that a stream has begun: its reader may send other requests in the same context.
        """
        self._note_stream(run_id)

    def on_stream_event(self, *_: Any, run_id: Hashable, **__: Any) -> None:
        """
        Note that a stream has begun, as `on_llm_new_token` does.
        """
        self._note_stream(run_id)

    def on_llm_end(self, response: Any, *, run_id: Hashable, **_: Any) -> None:
        """
        Record an answer.
        """
        self._finish(run_id, response)

    def on_llm_error(self, error: BaseException, *, run_id: Hashable, response: Any = None, **_: Any) -> None:
        """
        Record that a request failed, with what came of a stream.
        """
        call = self._calls.get(run_id)
        if _has_part(response):
            self._finish(run_id, response, error)
        else:
            self._fail(run_id, error)
        if call is not None and call.task is None:
            # The rest of a batch is given up without a further event.
            for request_id in [key for key, other in list(self._calls.items()) if other is call]:
                self._fail(request_id, error)

    def on_tool_start(
        self,
        *_: Any,
        run_id: Hashable,
        parent_run_id: Hashable = None,
        tool_call_id: str | None = None,
        **__: Any,
    ) -> None:
        """
        Note the beginning of a tool.
        """
        self._drop_left()
        self._tools[run_id] = Tool(tool_call_id, self._chains.get(parent_run_id))

    def on_tool_end(self, output: Any, *, run_id: Hashable, **_: Any) -> None:
        """
        Record the output of a tool.
        """
        tool = self._tools.pop(run_id, None)
        with self._guard("an output"):
            if tool is not None:
                item = read_tool_output(output, tool.call_id)
                self._end_tool(tool, item["output"], is_failed="is_error" in item)

    def on_tool_error(self, error: BaseException, *, run_id: Hashable, **_: Any) -> None:
        """
        Record the error of a tool. An interrupt of LangGraph is none: the call waits.
        """
        tool = self._tools.pop(run_id, None)
        if tool is not None and not _is_control(error):
            self._end_tool(tool, f"{type(error).__name__}: {error}", is_failed=True)

    def _start(self, run_id: Hashable, messages: Any, about: dict[str, Any], task: asyncio.Task[Any] | None) -> None:
        self._drop_left()
        size = about.get("batch_size") or 1
        call = current.get()
        if call is None or call.owner is not self or not call.coming:
            call = Call(self, about.get("parent_run_id"), task, size, coming=size)
        run = self._chains.get(call.parent_id)
        with self._guard("a request"):
            request = read_request(messages, about.get("invocation_params") or {})
            self._note_outputs(run, request)
            self._asked(run_id, request, None if run is None else run.id, None if run is None else run.agent)
        call.coming -= 1
        if run_id in self._exchanges:
            self._calls[run_id] = call
            current.set(call)
            set_mark(call)

    def _finish(self, run_id: Hashable, response: Any, error: BaseException | None = None) -> None:
        call = self._calls.pop(run_id, None)
        if call is None:
            return
        call.is_closed = True
        reply = Reply(items=[], error="the answer could not be read")
        with self._guard("an answer"):
            reply = read_result(response)
        run = self._chains.get(call.parent_id)
        if run is not None:
            run.calls.update(calls_in(reply))
        if error is not None:
            items = [item for item in reply.items if item.get("content") != []]
            text = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else None
            reply = Reply(items=items, usage=reply.usage, error=text)
        self._answered(run_id, reply, is_whole=error is None)

    def _fail(self, run_id: Hashable, error: BaseException) -> None:
        call = self._calls.pop(run_id, None)
        if call is not None:
            call.is_closed = True
            self._failed(run_id, error)

    def _note_stream(self, run_id: Hashable) -> None:
        call = self._calls.get(run_id)
        if call is not None and call.size == 1:
            call.is_closed = True

    def _drop_left(self) -> None:
        """
        Record that requests were cancelled whose tasks no longer wait for the answer.
        """
        for run_id in [key for key, call in list(self._calls.items()) if call.is_left]:
            self._fail(run_id, asyncio.CancelledError())

    def _note_outputs(self, run: Run | None, request: Request) -> None:
        """
        Note outputs that come without an event: of a tool that is missing, or that a person has refused.
        """
        if run is None:
            return
        for item in request.items if run.calls else ():
            call_id = str(item.get("call_id"))
            if item["type"].endswith("_output") and call_id in run.calls:
                run.calls.discard(call_id)
                if "is_error" in item:
                    self._log.tool_ended(call_id, item["output"], is_failed=True)

    def _end_tool(self, tool: Tool, output: Any, *, is_failed: bool) -> None:
        if tool.call_id:
            if tool.run is not None:
                tool.run.calls.discard(tool.call_id)
            self._log.tool_ended(tool.call_id, output, seconds=time.monotonic() - tool.began, is_failed=is_failed)

    def _end_chain(self, run_id: Hashable, error: BaseException | None = None, *, is_waiting: bool = False) -> None:
        self._drop_left()
        run = self._chains.pop(run_id, None)
        if run is None or run.id != run_id:
            return
        # Chains in it may end later, or without an event.
        for chain_id in [key for key, own in list(self._chains.items()) if own is run]:
            self._chains.pop(chain_id, None)
        self._log.run_ended(run_id, error, is_waiting=is_waiting or (error is None and bool(run.calls)))


def _has_part(response: Any) -> bool:
    """
    Return whether an answer that ended with an error has what came of a stream.
    """
    choices = response.generations[:1] if response is not None else ()
    return any(type(choice).__name__.endswith("Chunk") for choice in (choices[0] if choices else ()))


def _is_control(error: BaseException) -> bool:
    """
    Return whether an exception steers a graph of LangGraph: an interrupt, or a command to the outer graph.
    """
    return any(kind.__name__ == "GraphBubbleUp" for kind in type(error).__mro__)
