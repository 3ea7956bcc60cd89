"""
Cancelled requests: a request whose client has gone, or whose viewer closes, is not worked off.

`check` and `CheckedReader` raise `RequestCancelledError` in the thread that answers such a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flask import has_request_context, request

from rollout.codec import RolloutLine
from rollout.reader import LineReader

__all__ = ["BEGIN_STREAM", "IS_CANCELLED", "CheckedReader", "RequestCancelledError", "cancellation", "check"]

IS_CANCELLED = "rollout.is_cancelled"
"""Key of a WSGI environment: a function that returns whether the request was cancelled."""
BEGIN_STREAM = "rollout.begin_stream"
"""Key of a WSGI environment: a function for event streams to call, which have a bound of their own."""


class RequestCancelledError(BaseException):
    """
    The client of a request has gone. Not an Exception: a page that catches errors must not go on.
    """


def cancellation() -> Callable[[], bool]:
    """
    Return a function that tells whether the current request was cancelled; it may be called after the request context
    has ended. Outside of a request, and under another server than ours, nothing is ever cancelled.
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
    The lines of a file, read for the current request: reading ends with RequestCancelledError once it is cancelled.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._is_cancelled = cancellation()

    def __iter__(self) -> Iterator[RolloutLine]:
        for line in self._lines:
            if self._is_cancelled():
                raise RequestCancelledError
            yield line
