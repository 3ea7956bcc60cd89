"""
The mark of requests that a hook records, so that hooks further inside do not record them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

__all__ = ["Mark", "is_recorded", "recorded_here", "set_mark"]


class Mark(Protocol):
    """
    An object that marks the requests of a context as recorded, until it is over.
    """

    @property
    def is_over(self) -> bool:
        """Whether the mark does not count any more."""


_mark: ContextVar[Mark | None] = ContextVar("rollout_recorded", default=None)


class _Mark:
    """
    Mark of a with statement, whose requests are recorded elsewhere.
    """

    is_over = False


def is_recorded() -> bool:
    """
    Return whether an outer hook records the current request: then an inner one must not.
    """
    mark = _mark.get()
    return mark is not None and not mark.is_over


@contextmanager
def recorded_here() -> Iterator[None]:
    """
    Mark requests in the with statement as recorded.
    """
    token = _mark.set(_Mark())
    try:
        yield
    finally:
        _mark.reset(token)


def set_mark(mark: Mark) -> None:
    """
    Mark the requests in the current context as recorded, until *mark* is over.
    """
    _mark.set(mark)
