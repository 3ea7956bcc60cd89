"""
Runs of a tool: the call, its output, its duration, and whether it failed.
"""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from rollout.errors import EncodeError, RolloutError
from rollout.recording._turn import error_text

if TYPE_CHECKING:
    from rollout.recording._agent_methods import AgentMethods

__all__ = ["ToolRun", "recorded_tool"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_log = logging.getLogger("rollout")


class ToolRun:
    """
    One run of a tool, which `Recorder.tool_run` returns. Use it in a with statement.

    Attributes:
        call_id: Id of the call.
        output: Output of the tool, to be set in the with statement: text, a list of content parts, or any other value,
            which is recorded as JSON text. None is recorded as an empty text.
        is_failed: Whether the call failed; set when the with statement ends by an exception.
    """

    def __init__(self, recorder: AgentMethods, name: str, arguments: Any, call_id: str | None) -> None:
        self.output: Any = None
        self.is_failed = False
        self._recorder, self._started_at = recorder, time.monotonic()
        is_known = call_id is not None and recorder._companions.is_called(call_id)
        self.call_id = call_id if is_known and call_id else recorder.tool_call(name, arguments, call_id)

    def __enter__(self) -> ToolRun:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        seconds = time.monotonic() - self._started_at
        output = "" if self.output is None else self.output
        if error is not None:
            self.is_failed = True
            output = error_text(error) if self.output is None else output
        try:
            self._recorder.tool_output(self.call_id, output, is_failed=self.is_failed, seconds=seconds)
        except RolloutError as failure:
            if error is None:
                raise
            # The exception of the tool is more important, and must not be replaced by this one.
            _log.error("while a tool ends: %s", failure)


def recorded_tool(recorder: AgentMethods, function: _Function, name: str | None) -> _Function:
    """
    Return a function that calls *function*, or a coroutine function that awaits it, and records each call.
    """
    own_name = name or function.__name__
    signature = inspect.signature(function)

    def begin(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> ToolRun:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            # The call will fail, with this error.
            return _run(recorder, own_name, {"args": list(args), **kwargs})
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        for parameter in signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                arguments |= arguments.pop(parameter.name)
        return _run(recorder, own_name, {key: value for key, value in arguments.items() if key not in ("self", "cls")})

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            with begin(args, kwargs) as run:
                result = await function(*args, **kwargs)
                run.output = _output_of(recorder, result)
                return result

        return run_async  # type: ignore[return-value]

    @functools.wraps(function)
    def run_once(*args: Any, **kwargs: Any) -> Any:
        with begin(args, kwargs) as run:
            result = function(*args, **kwargs)
            run.output = _output_of(recorder, result)
            return result

    return run_once  # type: ignore[return-value]


def _run(recorder: AgentMethods, name: str, arguments: Mapping[str, Any]) -> ToolRun:
    return ToolRun(recorder, name, {key: _plain_or_repr(recorder, value) for key, value in arguments.items()}, None)


def _output_of(recorder: AgentMethods, result: Any) -> Any:
    return result if isinstance(result, str) else _plain_or_repr(recorder, result)


def _plain_or_repr(recorder: AgentMethods, value: Any) -> Any:
    """
    Return plain JSON values; the `repr` of a value that has no JSON form, which must not make the tool fail.
    """
    try:
        return recorder._plain(value)
    except EncodeError:
        return repr(value)
