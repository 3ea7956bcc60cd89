"""
Cancellation of requests when the client has disconnected or the viewer is closing.

`check` and `CheckedReader` raise `RequestCancelledError` in the thread that answers such a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flask import has_request_context, request

from rollout.codec import RolloutLine
from rollout.reading import LineReader

__all__ = ["BEGIN_STREAM", "IS_CANCELLED", "CheckedReader", "RequestCancelledError", "cancellation", "check"]

IS_CANCELLED = "rollout.is_cancelled"
"""Key in a WSGI environment of a function that returns whether the request was cancelled."""
BEGIN_STREAM = "rollout.begin_stream"
"""Key in a WSGI environment of a function that an event stream calls. Event streams have a separate limit."""


class RequestCancelledError(BaseException):
    """
    The client of a request has disconnected. Not a subclass of Exception: a page that catches errors must not continue.
    """


def cancellation() -> Callable[[], bool]:
    """
    Return a function that returns whether the current request was cancelled. It may be called after the request context
    has ended. Outside a request, and with a server other than the one of this package, it always returns False.
    """
    return request.environ.get(IS_CANCELLED, _never) if has_request_context() else _never


def _never() -> bool:
    return False


def check() -> None:
    """
    Raise RequestCancelledError if the current request was cancelled.
    """
    if cancellation()():
        raise RequestCancelledError


class CheckedReader(LineReader):
    """
    Reader of the lines of a file that raises RequestCancelledError once the current request is cancelled.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._is_cancelled = cancellation()

    def __iter__(self) -> Iterator[RolloutLine]:
        for line in self._lines:
            if self._is_cancelled():
                raise RequestCancelledError
            yield line
