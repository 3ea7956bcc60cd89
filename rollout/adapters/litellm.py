"""
Recording of what LiteLLM is asked and answers, whatever provider it asks: by its public functions.

A logger of LiteLLM (``litellm.callbacks``) is told of answers in other threads: later than the next request, and of the
last ones perhaps never, if the program ends. These functions return the answer itself.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import weakref
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from attrs import define, field

from rollout.adapters._exchange import Exchange
from rollout.adapters._funnel import recorded_calls
from rollout.adapters._hook import FrameworkHook
from rollout.adapters._marks import is_recorded
from rollout.dialects import dialect_for

__all__ = ["LiteLLMHook"]

# The API in whose form the arguments of a function are.
_PATHS = {"completion": "/chat/completions", "responses": "/responses"}
# The public functions call those of the same name in other modules, as some modules of LiteLLM do.
_FUNCTIONS = (
    ("litellm", "completion"),
    ("litellm", "responses"),
    ("litellm.main", "completion"),
    ("litellm.responses.main", "responses"),
)
# The arguments that belong to the body of a request. All others are LiteLLM's own, and may contain keys.
_COMMON = "model tools tool_choice parallel_tool_calls temperature top_p top_logprobs stream user service_tier store "
_COMMON += "safety_identifier prompt_cache_key prompt_cache_retention"
_CHAT = "messages functions function_call reasoning_effort thinking top_k n stop max_tokens max_completion_tokens seed "
_CHAT += "presence_penalty frequency_penalty logit_bias logprobs response_format modalities audio prediction verbosity "
_CHAT += "web_search_options stream_options"
_RESPONSES = "input instructions reasoning previous_response_id conversation include text truncation max_output_tokens "
_RESPONSES += "max_tool_calls prompt background"
_BODIES = {
    "completion": frozenset(_COMMON.split() + _CHAT.split()),
    "responses": frozenset(_COMMON.split() + _RESPONSES.split()),
}
_WATCH = "_rollout_watch"


class LiteLLMHook(FrameworkHook):
    """
    The recording of all calls of ``litellm.completion``, ``acompletion``, ``responses`` and ``aresponses``.

    It begins at once and lasts until `close`. It replaces these functions, also where a module has imported them by
    name. Each call is one request, however often LiteLLM tries it again. An answer is recorded before the program gets
    it, a stream when it ends, is closed or is dropped. Requests to `rollout.instrument()` further inside are not
    recorded again. Works in any thread and event loop; waits for the disk only at the beginning of a session. The
    arguments are those of all hooks; no error of recording reaches the program, see `problems`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Each function of LiteLLM, and the one that replaces it.
        self._replaced: list[tuple[Any, Any]] = []
        for module, name in _FUNCTIONS:
            for public in (name, f"a{name}"):
                self._replace(getattr(importlib.import_module(module), public), name)

    def close(self) -> None:
        """
        Put back the functions of LiteLLM, end all turns, and close the sessions, but not a recorder that the caller
        gave; blocks until they are written. A second call does nothing. A stream that is open is recorded as far as it
        came.
        """
        self._log.is_ended = True
        replaced, self._replaced = self._replaced, []
        for function, ours in reversed(replaced):
            _swap(ours, function)
        super().close()

    def _replace(self, function: Any, name: str) -> None:
        ours = recorded_calls(function, functools.partial(self._begin, inspect.signature(function), name), _watch)
        self._replaced.append((function, ours))
        _swap(function, ours)

    def _begin(
        self, signature: inspect.Signature, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Exchange | None:
        # The asynchronous functions call the others with this argument, which then return a coroutine.
        if self._log.is_ended or is_recorded() or kwargs.get(f"a{name}"):
            return None
        dialect = dialect_for(_PATHS[name])
        with self._guard("a request"):
            body = _body_of(signature.bind(*args, **kwargs), _BODIES[name])
            return None if dialect is None else self._log.sent(dialect, body)
        return None


def _swap(before: Any, after: Any) -> None:
    """
    Replace a value in all modules that have it by a name.
    """
    for module in list(sys.modules.values()):
        # Not isinstance: the libraries of cffi only claim to be modules.
        if issubclass(type(module), ModuleType):
            # Any other access loads a module that waits to be loaded.
            names = object.__getattribute__(module, "__dict__")
            for name in [name for name, value in list(names.items()) if value is before]:
                names[name] = after


def _body_of(bound: inspect.BoundArguments, known: frozenset[str]) -> dict[str, Any]:
    """
    Return what a call asks, as the body of a request.
    """
    given = {**bound.arguments, **bound.kwargs}
    extra = given.get("extra_body")
    stated = {key: value for key, value in given.items() if key in known and value is not None}
    return {**_plain(stated), **(_plain(extra) if isinstance(extra, Mapping) else {})}


def _plain(value: Any) -> Any:
    """
    Return a value with the objects of LiteLLM in it as plain values: an agent puts answers into its next request.
    """
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, Mapping):
        plain = {key: _plain(part) for key, part in value.items()}
        # LiteLLM repeats here what it has read from an answer.
        own = plain.pop("provider_specific_fields", None) or {}
        own = {key: part for key, part in own.items() if part is not None and part != plain.get(key)}
        return {**plain, "provider_specific_fields": own} if own else plain
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return _plain(value.model_dump(mode="json", exclude_none=True, warnings=False))
    return value


def _watch(exchange: Exchange, result: Any) -> None:
    """
    Record what a function returned: now, or when its stream ends, is closed or is dropped.
    """
    if not (hasattr(result, "__next__") or hasattr(result, "__anext__")):
        exchange.received(_plain(result))
        return
    chunks = getattr(result, "chunks", None)
    watch = _Watch(exchange, chunks)
    # Another object would not be of the class that programs look for.
    result.__class__ = _watched_class(result.__class__)
    setattr(result, _WATCH, watch)
    exchange.opened(watch.finish)
    weakref.finalize(result, watch.finish).atexit = False


@define(eq=False)
class _Watch:
    """
    The part of a stream that has come.

    Args:
        exchange: The request.
        chunks: List in which LiteLLM keeps the chunks, with the usage that it leaves out of what it returns; None if it
            keeps none.
    """

    exchange: Exchange
    chunks: list[Any] | None
    events: list[Any] = field(factory=list)
    is_reading: bool = False

    def add(self, event: Any) -> None:
        """
        Note an event of the stream.
        """
        if self.chunks is None:
            self.events.append(event)

    def finish(self, error: BaseException | None = None) -> None:
        """
        Record what came, and the error that ended it; the first call counts.
        """
        self.exchange.closed(self.finish)
        if self.exchange.is_over:
            return
        try:
            fold = self.exchange.dialect.folder()
            for event in self.events if self.chunks is None else list(self.chunks):
                fold.add(_plain(event))
            if error is None:
                self.exchange.received(fold.body, is_whole=fold.is_complete)
            elif fold.body is None:
                self.exchange.failed(error)
            else:
                text = f"{type(error).__name__}: {error}"
                self.exchange.received({**fold.body, "error": {"message": text}}, is_whole=False)
        except Exception as problem:  # noqa: BLE001 -- the agent goes on
            self.exchange.report(problem)


@functools.cache
def _watched_class(base: type) -> type:
    """
    Return a class of streams that is *base*, and notes what its objects return.
    """
    makers: Mapping[str, Callable[[Any], Any]] = {
        "__next__": _reader,
        "__anext__": _async_reader,
        "close": _closer,
        "aclose": _async_closer,
    }
    own = {name: make(getattr(base, name)) for name, make in makers.items() if hasattr(base, name)}
    return type(base.__name__, (base,), {"__module__": base.__module__, "__qualname__": base.__qualname__, **own})


def _reader(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(read)
    def read_one(self: Any) -> Any:
        with _Reading(getattr(self, _WATCH)) as watch:
            event = read(self)
        watch.add(event)
        return event

    return read_one


def _async_reader(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(read)
    async def read_one(self: Any) -> Any:
        with _Reading(getattr(self, _WATCH)) as watch:
            event = await read(self)
        watch.add(event)
        return event

    return read_one


def _closer(close: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(close)
    def close_and_finish(self: Any) -> Any:
        try:
            return close(self)
        finally:
            _closed(getattr(self, _WATCH))

    return close_and_finish


def _async_closer(close: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(close)
    async def close_and_finish(self: Any) -> Any:
        try:
            return await close(self)
        finally:
            _closed(getattr(self, _WATCH))

    return close_and_finish


def _closed(watch: _Watch) -> None:
    # LiteLLM closes a stream before it raises the error that ended it.
    if not watch.is_reading:
        watch.finish()


@define
class _Reading:
    """
    Context manager around the read of one event. If the read raises an error or the stream ends, it finishes the watch.
    """

    watch: _Watch

    def __enter__(self) -> _Watch:
        self.watch.is_reading = True
        return self.watch

    def __exit__(self, kind: Any, error: BaseException | None, tb: Any) -> None:
        self.watch.is_reading = False
        if error is not None:
            self.watch.finish(None if isinstance(error, (StopIteration, StopAsyncIteration)) else error)
