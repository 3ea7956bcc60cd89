"""
The state of an agent of smolagents that is recorded: what its session contains, its calls, its steps.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from attrs import Factory, define, evolve, field

from rollout.adapters._exchange import Asked
from rollout.adapters._log import Log
from rollout.adapters.smolagents._items import (
    Call,
    calls_of,
    code_call,
    message_key,
    outputs_of,
    read_request,
)
from rollout.dialects import Item, Reply, Request, make_call

__all__ = ["RecordedAgent"]


@define(eq=False)
class RecordedAgent:
    """
    An agent that is recorded, and its task in progress.

    Attributes:
        agent: The agent.
        log: Where it is recorded.
        manager: The agent that manages it.
        undo: Functions that undo what was done to the agent.
        run: Id of the run in progress.
        link: Id of the conversation, which is one until the agent's memory is reset.
        known: How often the session contains each message.
        ended: Steps that no request has shown yet, with their calls.
        calls: Calls of the last answer.
        held: The last answer, if the agent has still to find the calls in its text.
    """

    agent: Any
    log: Log
    manager: RecordedAgent | None = None
    undo: list[Callable[[], None]] = Factory(list)
    run: str | None = None
    link: str = field(factory=lambda: uuid4().hex)
    known: Counter[tuple[Any, ...]] = Factory(Counter)
    ended: list[tuple[Any, list[Call]]] = Factory(list)
    calls: list[Call] = Factory(list)
    held: tuple[Asked, Reply] | None = None
    lock: Any = Factory(threading.Lock)

    def begin(self, *, is_reset: bool) -> str:
        self.run = uuid4().hex
        if is_reset:
            self.link = uuid4().hex
            self.known.clear()
            self.ended.clear()
        return self.run

    def request(self, messages: Sequence[Any], kwargs: Mapping[str, Any]) -> Request:
        """
        Return what is new in a request: the outputs of the last steps, and messages that are not in the session.
        """
        outputs = self.show_steps()
        left, new = self.known.copy(), []
        for message in messages:
            key = message_key(message)
            if left[key]:
                left[key] -= 1
            else:
                new.append(message)
                self.known[key] += 1
        request = read_request(self.agent.model, new, kwargs)
        return evolve(request, items=[*outputs, *request.items], conversation=self.link)

    def show_steps(self) -> list[Item]:
        """
        Return the outputs of the steps that have ended. Their messages are known from now on.
        """
        items = []
        ended, self.ended = self.ended, []
        for step, calls in ended:
            outputs, shown = outputs_of(step, calls)
            items += outputs
            self.known.update(shown)
        return items

    def answer(self, exchange: Asked, reply: Reply, kwargs: Mapping[str, Any]) -> None:
        """
        Record an answer, with the call that the code in it is.
        """
        if kwargs.get("tools_to_call_from") and not calls_of(reply):
            self.held = exchange, reply
            return
        # Plans and last answers have other stop sequences.
        if hasattr(self.agent, "code_block_tags") and "Observation:" in (kwargs.get("stop_sequences") or ()):
            code = code_call(self.agent, reply)
            reply = evolve(reply, items=[*reply.items, code]) if code else reply
        self.calls = calls_of(reply)
        exchange.answered(reply)

    def found(self, calls: Sequence[Any]) -> None:
        """
        Note the calls that the agent has found in the last answer.
        """
        self.calls = [Call(call.id, call.function.name, call.function.arguments) for call in calls]
        self.settle(self.calls)

    def settle(self, calls: Sequence[Call] = ()) -> None:
        """
        Record the answer that is held, with the calls in its text.
        """
        held, self.held = self.held, None
        if held is not None:
            exchange, reply = held
            items = [make_call(call.name, call.arguments, call.call_id) for call in calls]
            exchange.answered(evolve(reply, items=[*reply.items, *items]))

    def begun(self, name: str, arguments: Any) -> Call | None:
        """
        Return the call that the agent begins to execute.
        """
        with self.lock:
            waiting = [call for call in self.calls if call.name == name and not call.is_begun]
            same = [call for call in waiting if call.arguments is arguments]
            call = next(iter(same or waiting), None)
            if call is not None:
                call.is_begun = True
            return call

    def process_tool_calls(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """
        Return the agent's method, with the calls that it gets and their outputs recorded.
        """

        @functools.wraps(original)
        def process_tool_calls(chat_message: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
            with self.log.work.guard("a call"):
                self.found(chat_message.tool_calls)
            for event in original(chat_message, *args, **kwargs):
                with self.log.work.guard("an output"):
                    self._observed(event)
                yield event

        return process_tool_calls

    def _observed(self, event: Any) -> None:
        """
        Note the output of a call in the form that the model will see.
        """
        output = getattr(event, "observation", None)
        for call in self.calls:
            if output is not None and call.call_id == event.id:
                call.output = output
                self.log.tool_ended(call.call_id, output, seconds=call.seconds)

    def execute_tool_call(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """
        Return the agent's method, with the duration of the tool and its error recorded.
        """

        @functools.wraps(original)
        def execute_tool_call(tool_name: str, arguments: Any) -> Any:
            call = self.begun(tool_name, arguments)
            begun = time.monotonic()
            try:
                result = original(tool_name, arguments)
            except Exception as error:
                if call is not None:
                    call.output, call.is_failed, seconds = str(error), True, time.monotonic() - begun
                    self.log.tool_ended(call.call_id, call.output, seconds=seconds, is_failed=True)
                raise
            if call is not None:
                call.seconds = time.monotonic() - begun
            return result

        return execute_tool_call

    def step_ended(self, step: Any) -> None:
        """
        Note a step, as its callback. The next request shows its outputs.
        """
        with self.log.work.guard("a step"):
            self.settle()
            calls, self.calls = self.calls, []
            self.ended.append((step, calls))
            if len(calls) == 1 and calls[0].output is None:
                # Code: only the step has its output, or the error. An interrupted step has none.
                outputs_of(step, calls)
                call, is_failed = calls[0], getattr(step, "error", None) is not None
                if call.output is not None:
                    self.log.tool_ended(call.call_id, call.output, is_failed=is_failed)
