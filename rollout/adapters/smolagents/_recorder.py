"""
Recording agents of smolagents: `StepRecorder`.

A step callback is called after a step, when a killed program has lost it. So requests and answers come from the model's
methods as they are sent and received, calls of tools from the agent's methods, and only the observations of a step from
its callback. Models that no SDK serves are recorded in the same way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from inspect import isgenerator
from typing import Any, TypeVar

from attrs import evolve

from rollout.adapters._exchange import Asked
from rollout.adapters._hook import FrameworkHook, replace_method
from rollout.adapters._marks import is_recorded, recorded_here
from rollout.adapters.smolagents._agent import RecordedAgent
from rollout.adapters.smolagents._items import read_reply
from rollout.adapters.smolagents._stream import ModelStream, watched_retryer
from rollout.recording import Recorder

__all__ = ["StepRecorder"]

_Own = TypeVar("_Own", bound="StepRecorder")

# The agent whose run is in progress, for each recorder of steps.
_running: ContextVar[Mapping[Any, RecordedAgent]] = ContextVar("rollout_smolagents")


class StepRecorder(FrameworkHook):
    """
    Recorder of the steps of smolagents' agents, and of the agents that these manage.

        with StepRecorder().attach(agent) as steps:
            agent.run("What is the weather?")

    A run is a turn. Runs with ``reset=False`` go on in the agent's session; managed agents get sessions of their own.
    Until `detach` or `close`, methods of the agents and of their models are replaced, on these objects only. No error
    of recording reaches an agent: see `problems`. Agents may run in several threads. Arguments: see `FrameworkHook`.
    """

    def __init__(self, recorder: Recorder | None = None, **settings: Any) -> None:
        super().__init__(recorder, **settings)
        self._agents: dict[int, RecordedAgent] = {}
        self._models: dict[int, tuple[Any, list[Callable[[], None]]]] = {}

    def attach(self: _Own, agent: Any) -> _Own:
        """
        Record an agent and the agents that it manages, from its next run on; does not block. Again: nothing happens.

        Returns:
            This recorder.

        Raises:
            TypeError: *agent* is no agent of smolagents.
        """
        if not _is_agent(agent):
            raise TypeError(f"{agent!r} is no agent of smolagents")
        self._attach(agent, None)
        return self

    def detach(self, agent: Any) -> None:
        """
        Stop to record an agent and the agents that it manages. Their methods are as before; sessions stay open.
        """
        own = self._agents.pop(id(agent), None)
        if own is not None:
            for undo in reversed(own.undo):
                undo()
            for managed in [other.agent for other in self._agents.values() if other.manager is own]:
                self.detach(managed)
        if not self._agents:
            models, self._models = self._models, {}
            for _, steps in models.values():
                for undo in steps:
                    undo()

    def close(self) -> None:
        """
        Stop to record: detach all agents, end all turns, and close the sessions, but not a recorder that the caller
        gave; blocks until they are written. A second call does nothing.
        """
        for own in list(self._agents.values()):
            self.detach(own.agent)
            own.settle()
        super().close()

    def _attach(self, agent: Any, manager: RecordedAgent | None) -> None:
        known = self._agents.get(id(agent))
        if known is not None:
            known.manager = known.manager or manager
            return
        from smolagents.memory import ActionStep, PlanningStep  # noqa: PLC0415 -- only programs that have it come here

        own = self._agents[id(agent)] = RecordedAgent(agent, self._log, manager)
        own.undo.append(replace_method(agent, "run", self._run(own, agent.run)))
        wrappers = {"process_tool_calls": own.process_tool_calls, "execute_tool_call": own.execute_tool_call}
        for name, wrap in wrappers.items():
            # A CodeAgent has neither.
            if hasattr(agent, name):
                own.undo.append(replace_method(agent, name, wrap(getattr(agent, name))))
        callback = own.step_ended
        for kind in (ActionStep, PlanningStep):
            agent.step_callbacks.register(kind, callback)
        own.undo.append(partial(_unregister, agent.step_callbacks, callback))
        self._watch(agent.model)
        for managed in filter(_is_agent, agent.managed_agents.values()):
            self._attach(managed, own)

    def _watch(self, model: Any) -> None:
        """
        Record what an agent asks a model, which several agents may share.
        """
        if id(model) not in self._models:
            wrappers = {
                "generate": self._generate,
                "generate_stream": self._generate_stream,
                "retryer": watched_retryer,
            }
            self._models[id(model)] = (
                model,
                [
                    replace_method(model, name, wrap(getattr(model, name)))
                    for name, wrap in wrappers.items()
                    if hasattr(model, name)
                ],
            )

    @contextmanager
    def _entered(self, own: RecordedAgent) -> Iterator[None]:
        """
        Make an agent the one whose requests the current context sends.
        """
        token = _running.set({**_running.get({}), self: own})
        try:
            yield
        finally:
            _running.reset(token)

    def _run(self, own: RecordedAgent, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def run(*args: Any, **kwargs: Any) -> Any:
            is_reset = bool(kwargs.get("reset", args[2] if len(args) > 2 else True))
            run_id = own.begin(is_reset=is_reset)
            with self._guard("a model"):
                # The caller may have given the agent another model.
                self._watch(own.agent.model)
            try:
                with self._entered(own):
                    result = original(*args, **kwargs)
            except BaseException as error:
                self._ended(own, run_id, error)
                raise
            if isgenerator(result):
                return self._streamed_run(own, run_id, result)
            self._ended(own, run_id)
            return result

        return run

    def _streamed_run(self, own: RecordedAgent, run_id: str, steps: Any) -> Iterator[Any]:
        failure: BaseException | None = None
        try:
            while True:
                # Between the steps, the context belongs to the caller.
                with self._entered(own):
                    try:
                        step = next(steps)
                    except StopIteration:
                        return
                yield step
        except BaseException as error:
            failure = error
            raise
        finally:
            try:
                steps.close()
            finally:
                self._ended(own, run_id, failure)

    def _ended(self, own: RecordedAgent, run_id: str, error: BaseException | None = None) -> None:
        if getattr(own.agent, "interrupt_switch", False) and isinstance(error, Exception):
            error = KeyboardInterrupt(str(error))
        is_current = own.run == run_id
        with self._guard("the end of a run"):
            if is_current:
                own.run = None
                own.settle()
        # A run that was dropped ends in the garbage collector, which must not wait.
        self._log.work.soon(partial(self._log.run_ended, run_id, error))
        with self._guard("the end of a run"):
            if is_current:
                # The end of the turn has recorded the last outputs.
                own.show_steps()

    def _sent(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[RecordedAgent, Asked] | None:
        """
        Record a request, unless no agent that is recorded sends it, or an outer hook records it.
        """
        own = _running.get({}).get(self)
        if own is None or id(own.agent) not in self._agents or is_recorded():
            return None
        with self._guard("a request"):
            given = dict(kwargs)
            messages = args[0] if args else given.pop("messages")
            manager = own.manager.run if own.manager else None
            agent = (manager, own.agent.name) if manager else None
            exchange = self._log.asked(own.request(messages, given), own.run, agent, is_turn=True)
            return None if exchange is None else (own, exchange)
        return None

    def _generate(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def generate(*args: Any, **kwargs: Any) -> Any:
            sent = self._sent(args, kwargs)
            if sent is None:
                return original(*args, **kwargs)
            own, exchange = sent
            try:
                with recorded_here():
                    message = original(*args, **kwargs)
            except BaseException as error:
                exchange.failed(error)
                raise
            with self._guard("an answer"):
                own.answer(exchange, read_reply(message), kwargs)
            return message

        return generate

    def _generate_stream(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def generate_stream(*args: Any, **kwargs: Any) -> Iterator[Any]:
            sent = self._sent(args, kwargs)
            if sent is None:
                yield from original(*args, **kwargs)
                return
            own, exchange = sent
            stream = ModelStream(self._log.work)
            finish = partial(self._cut, exchange, stream)
            self._log.open_streams.add(finish)
            try:
                with stream.reading():
                    deltas = iter(original(*args, **kwargs))
                while True:
                    with stream.reading():
                        try:
                            delta = next(deltas)
                        except StopIteration:
                            break
                    stream.deltas.append(delta)
                    yield delta
                with self._guard("an answer"):
                    own.answer(exchange, stream.reply(), kwargs)
            except BaseException as error:
                finish(error)
                raise
            finally:
                self._log.open_streams.discard(finish)

        return generate_stream

    def _cut(self, exchange: Asked, stream: ModelStream, error: BaseException | None = None) -> None:
        """
        Record a stream that did not come to its end.
        """
        if not stream.deltas and error is not None:
            exchange.failed(error)
            return
        with self._guard("an answer"):
            text = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else None
            exchange.answered(evolve(stream.reply(), error=text), is_whole=False)


def _is_agent(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("step_callbacks", "model", "managed_agents", "run"))


def _unregister(registry: Any, callback: Any) -> None:
    """
    Remove a callback. Lists are replaced, as the agent may be about to call it.
    """
    for kind, callbacks in list(registry._callbacks.items()):
        others = [other for other in callbacks if other is not callback]
        if others:
            registry._callbacks[kind] = others
        else:
            del registry._callbacks[kind]
