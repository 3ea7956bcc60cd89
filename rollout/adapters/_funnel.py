"""
The hook into the SDKs of OpenAI and Anthropic, and others that the same generator wrote: `client.request`.

All methods of these SDKs, also those that stream, call this one method of their client.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from rollout.adapters._exchange import Exchange
from rollout.adapters._log import Log
from rollout.adapters._marks import is_recorded, recorded_here
from rollout.adapters._responses import watch_result
from rollout.dialects import dialect_for
from rollout.schema import snapshot

__all__ = ["hooked", "recorded_calls"]


def hooked(request: Callable[..., Any], log: Log) -> Callable[..., Any]:
    """
    Return a function that calls *request*, a client's method, and records what it sends and receives.

    Args:
        request: The method, bound or not.
        log: Where requests are recorded; after its end the function only calls *request*.
    """
    return recorded_calls(request, functools.partial(_begin, log), watch_result)


def recorded_calls(
    function: Callable[..., Any],
    begin: Callable[[tuple[Any, ...], dict[str, Any]], Exchange | None],
    watch: Callable[[Exchange, Any], None],
) -> Callable[..., Any]:
    """
    Return a function that calls *function*, which may be a coroutine function, and records its calls.

    Args:
        function: The function; the requests that its calls send further inside are not recorded.
        begin: Called with the arguments; records the request, or returns None if it is not to be recorded.
        watch: Called with the request and the result; records the answer, now or later.
    """
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            exchange = begin(args, kwargs)
            if exchange is None:
                return await function(*args, **kwargs)
            try:
                with recorded_here():
                    result = await function(*args, **kwargs)
            except BaseException as error:
                exchange.failed(error)
                exchange.catch_up()
                raise
            return _end(exchange, result, watch)

        return call_async

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        exchange = begin(args, kwargs)
        if exchange is None:
            return function(*args, **kwargs)
        try:
            with recorded_here():
                result = function(*args, **kwargs)
        except BaseException as error:
            exchange.failed(error)
            exchange.catch_up()
            raise
        return _end(exchange, result, watch)

    return call


def _begin(log: Log, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Exchange | None:
    if log.is_ended or is_recorded():
        return None
    try:
        options = kwargs.get("options") or args[-1]
        dialect = dialect_for(str(options.url)) if str(options.method).lower() == "post" else None
        if dialect is None:
            return None
        body = _body_of(options)
    except Exception as error:  # noqa: BLE001 -- the agent goes on
        log.work.report("a request", error)
        return None
    return log.sent(dialect, body)


def _end(exchange: Exchange, result: Any, watch: Callable[[Exchange, Any], None]) -> Any:
    try:
        watch(exchange, result)
        exchange.catch_up()
    except Exception as error:  # noqa: BLE001 -- the agent goes on
        exchange.report(error)
    return result


def _body_of(options: Any) -> Any:
    """
    Return the body of a request, with what the caller adds to it.
    """
    body, extra = options.json_data, getattr(options, "extra_json", None)
    if not isinstance(body, Mapping):
        return body
    # The SDKs have objects for arguments that are not given, and drop these when they send the body.
    given = {key: value for key, value in body.items() if type(value).__name__ not in ("Omit", "NotGiven")}
    # Programs send parts of an answer back as they came, as objects of the SDK.
    return snapshot({**given, **extra} if isinstance(extra, Mapping) else given, default=str)
