"""
The hook into the SDKs of OpenAI and Anthropic, and others that the same generator wrote: `client.request`.

All methods of these SDKs, also those that stream, call this one method of their client.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from rollout.adapters._exchange import Exchange, Log
from rollout.adapters._marks import is_recorded, recorded_here
from rollout.adapters._responses import watch_result
from rollout.dialects import dialect_for

__all__ = ["hooked"]


def hooked(request: Callable[..., Any], log: Log) -> Callable[..., Any]:
    """
    Return a function that calls *request*, a client's method, and records what it sends and receives.

    Args:
        request: The method, bound or not.
        log: Where requests are recorded; after its end the function only calls *request*.
    """
    if inspect.iscoroutinefunction(request):

        @functools.wraps(request)
        async def request_async(*args: Any, **kwargs: Any) -> Any:
            exchange = _begin(log, args, kwargs)
            if exchange is None:
                return await request(*args, **kwargs)
            try:
                with recorded_here():
                    result = await request(*args, **kwargs)
            except BaseException as error:
                exchange.failed(error)
                raise
            return _end(log, exchange, result)

        return request_async

    @functools.wraps(request)
    def request_once(*args: Any, **kwargs: Any) -> Any:
        exchange = _begin(log, args, kwargs)
        if exchange is None:
            return request(*args, **kwargs)
        try:
            with recorded_here():
                result = request(*args, **kwargs)
        except BaseException as error:
            exchange.failed(error)
            raise
        return _end(log, exchange, result)

    return request_once


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


def _end(log: Log, exchange: Exchange, result: Any) -> Any:
    try:
        watch_result(exchange, result)
    except Exception as error:  # noqa: BLE001 -- the agent goes on
        log.work.report("an answer", error)
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
    return {**given, **extra} if isinstance(extra, Mapping) else given
