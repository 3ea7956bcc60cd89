"""
Recording of agents of Pydantic AI: a capability that sees each request of a run as the model gets it.
"""

from __future__ import annotations

import time
from asyncio import CancelledError
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, SkipToolExecution, ToolFailedError, ToolRetryError
from pydantic_ai.messages import ToolReturn, ToolReturnPart
from pydantic_ai.models.wrapper import WrapperModel

from rollout.adapters._exchange import Asked
from rollout.adapters._hook import FrameworkHook
from rollout.adapters._marks import recorded_here
from rollout.adapters.pydantic_ai._items import output_of, read_reply, read_request

__all__ = ["PydanticAIHook"]

_FAILED = frozenset({"failed", "retried"})
# They end a tool, but not its call.
_DEFERRED = (SkipToolExecution, CallDeferred, ApprovalRequired)


class PydanticAIHook(FrameworkHook, AbstractCapability[Any]):
    """
    Capability that records the runs of agents: ``Agent(..., capabilities=[hook])``, or ``capabilities`` of a run.

    One may belong to several agents, also to those that tools call: each of their runs has a session of its own. Works
    in any thread and event loop; waits for the disk only at the beginning of a session. After `close` it does nothing.
    Its arguments are those of all hooks; no error of recording reaches the agent, see `problems`.
    """

    def get_ordering(self) -> CapabilityOrdering:
        """
        Return the place among other capabilities: outside of them, to see what they make of a run.
        """
        return CapabilityOrdering(position="outermost")

    async def for_run(self, ctx: Any) -> AbstractCapability[Any]:
        """
        Return the capability for one run.
        """
        return _Run(self, ctx)


_current: ContextVar[_Run | None] = ContextVar("rollout_pydantic_ai_run", default=None)


class _Run(AbstractCapability[Any]):
    """
    The recording of one run.
    """

    def __init__(self, hook: PydanticAIHook, ctx: Any) -> None:
        self._log, self._guard, self.id = hook._log, hook._guard, hook.id
        self._key = ctx.run_id
        # When each tool began that runs, and the calls that have ended.
        self._begun: dict[str, float] = {}
        self._ended: set[str] = set()
        name = getattr(ctx.agent, "name", None) or ""
        name = name if any(map(str.isalnum, name)) else "agent"
        parent = _current.get()
        self._is_over: bool = False
        self._agent = None if parent is None or parent._is_over else (parent._key, name)

    def get_ordering(self) -> CapabilityOrdering:
        return CapabilityOrdering(position="outermost")

    def get_wrapper_model(self, model: Any) -> WrapperModel | None:
        return None if self._log.is_ended else _Model(model, self)

    async def wrap_run(self, ctx: Any, *, handler: Any) -> Any:  # noqa: ARG002 -- as the framework calls it
        # It stays set in the context of the caller, hence `_is_over`.
        _current.set(self)
        try:
            result = await handler()
        except BaseException as error:
            with self._guard("an output"):
                # A run ends before the tools that it cancels.
                for call_id in [*self._begun]:
                    self._tool_ended(call_id, CancelledError())
            self._end(error)
            raise
        with self._guard("an output"):
            self._note_outputs(result.all_messages())
        self._end()
        return result

    def _end(self, error: BaseException | None = None) -> None:
        self._is_over = True
        self._log.run_ended(self._key, error)

    async def wrap_tool_execute(self, ctx: Any, *, call: Any, args: Any, handler: Any, **_: Any) -> Any:  # noqa: ARG002
        self._begun[call.tool_call_id] = time.monotonic()
        try:
            result = await handler(args)
        except BaseException as error:
            with self._guard("an output"):
                self._tool_ended(call.tool_call_id, error)
            raise
        with self._guard("an output"):
            content = result.return_value if isinstance(result, ToolReturn) else result
            self._tool_ended(call.tool_call_id, ToolReturnPart(call.tool_name, content, call.tool_call_id))
        return result

    def _tool_ended(self, call_id: str, outcome: Any) -> None:
        """
        Note the end of a tool: its return, or its error. A call that is deferred has not ended.
        """
        begun = self._begun.pop(call_id, None)
        if begun is None or isinstance(outcome, _DEFERRED):
            return
        is_failed = not isinstance(outcome, ToolReturnPart)
        if isinstance(outcome, (ToolRetryError, ToolFailedError)):
            outcome = getattr(outcome, "tool_retry", None) or outcome.tool_failed
        if isinstance(outcome, ToolReturnPart):
            output = output_of(outcome)
        else:
            # The text of a cancellation names tasks of the framework.
            text = f": {outcome}" if isinstance(outcome, Exception) else ""
            output = f"{type(outcome).__name__}{text}"
        self._ended.add(call_id)
        self._log.tool_ended(call_id, output, seconds=time.monotonic() - begun, is_failed=is_failed)

    def asked(self, model: Any, messages: Sequence[Any], settings: Any, parameters: Any) -> Asked | None:
        """
        Record a request; return what waits for its answer, or None.
        """
        with self._guard("a request"):
            self._note_outputs(messages, failed_only=True)
            return self._log.asked(
                read_request(model, messages, settings or {}, parameters), self._key, self._agent, is_turn=True
            )
        return None

    def answered(self, exchange: Asked, response: Any, *, is_whole: bool = True) -> None:
        """
        Record the answer, or what came of it.
        """
        with self._guard("an answer"):
            exchange.answered(read_reply(response), is_whole=is_whole)

    @contextmanager
    def watching(self, exchange: Asked, stream: Any) -> Iterator[None]:
        """
        Record what came of a stream, at the end of the with statement or of the recording.
        """
        finish = partial(self._finish, exchange, stream)
        self._log.open_streams.add(finish)
        try:
            yield
        finally:
            self._log.open_streams.discard(finish)
            finish()

    def _finish(self, exchange: Asked, stream: Any) -> None:
        with self._guard("an answer"):
            response = stream.get()
            self.answered(exchange, response, is_whole=response.state in ("complete", "suspended"))

    def _note_outputs(self, messages: Sequence[Any], *, failed_only: bool = False) -> None:
        """
        Note the outputs after the last answer: of calls that no tool answered, only they state the outcome.
        """
        for message in reversed(messages):
            if message.kind != "request":
                return
            for part in message.parts:
                if part.part_kind == "tool-return" and part.tool_call_id not in self._ended:
                    is_failed = part.outcome in _FAILED
                    if is_failed or not failed_only:
                        self._log.tool_ended(part.tool_call_id, output_of(part), is_failed=is_failed)


class _Model(WrapperModel):
    """
    The model of one request, which records what it gets and returns.
    """

    def __init__(self, wrapped: Any, run: _Run) -> None:
        super().__init__(wrapped)
        self._run = run

    async def request(self, messages: Any, model_settings: Any, model_request_parameters: Any) -> Any:
        exchange = self._run.asked(self.wrapped, messages, model_settings, model_request_parameters)
        if exchange is None:
            return await self.wrapped.request(messages, model_settings, model_request_parameters)
        with _sending(exchange):
            response = await self.wrapped.request(messages, model_settings, model_request_parameters)
        self._run.answered(exchange, response)
        return response

    @asynccontextmanager
    async def request_stream(
        self, messages: Any, model_settings: Any, model_request_parameters: Any, run_context: Any = None
    ) -> AsyncIterator[Any]:
        exchange = self._run.asked(self.wrapped, messages, model_settings, model_request_parameters)
        opening = self.wrapped.request_stream(messages, model_settings, model_request_parameters, run_context)
        async with AsyncExitStack() as stack:
            if exchange is None:
                yield await stack.enter_async_context(opening)
                return
            # Only here: the task that reads the stream may run other agents meanwhile.
            with _sending(exchange):
                stream = await stack.enter_async_context(opening)
            with self._run.watching(exchange, stream):
                yield stream


@contextmanager
def _sending(exchange: Asked) -> Iterator[None]:
    try:
        with recorded_here():
            yield
    except BaseException as error:
        exchange.failed(error)
        raise
