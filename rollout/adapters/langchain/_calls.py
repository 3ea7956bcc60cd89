"""
Runs, tools and requests of LangChain that have not ended.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Hashable
from contextvars import ContextVar
from typing import Any

from attrs import define, field

__all__ = ["Call", "Run", "Tool", "awaiting_task", "current"]

# The method of a chat model that is left without an event when its task is cancelled.
_METHOD = "agenerate"


@define(eq=False)
class Run:
    """
    A run of an agent or of a chain.

    Attributes:
        id: Id of LangChain.
        agent: For a run in a tool: the run that called the tool, and the name of the agent.
        calls: Ids of its calls that have no output.
    """

    id: Hashable
    agent: tuple[Hashable, str] | None = None
    calls: set[str] = field(factory=set)


@define(eq=False)
class Tool:
    """
    A tool that runs.
    """

    call_id: str | None
    run: Run | None
    began: float = field(factory=time.monotonic)


@define(eq=False)
class Call:
    """
    Requests that one call of a model sends: the mark of their context.

    Attributes:
        parent_id: The chain or tool of the call.
        task: The task that waits for the answers, if it can leave the call without an event.
        size: Number of the requests.
        coming: Number of those that are not yet shown.
        is_closed: Whether one of them has ended, or a stream has begun. A batch shows the ends after all requests.
    """

    owner: Any
    parent_id: Hashable
    task: asyncio.Task[Any] | None
    size: int
    coming: int
    is_closed: bool = False

    @property
    def is_left(self) -> bool:
        """Whether the task has left the call, as it was cancelled."""
        return self.task is not None and not self.coming and _has_left(self.task)

    @property
    def is_over(self) -> bool:
        """Whether requests in the context of the call are not those of the call."""
        return self.is_closed or self.coming > 0 or self.is_left


current: ContextVar[Call | None] = ContextVar("rollout_langchain_call", default=None)
"""The last call of a model in the current context; it may have ended."""


def _current_task() -> asyncio.Task[Any] | None:
    """
    Return the current task; None in a thread without a loop.
    """
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def awaiting_task() -> asyncio.Task[Any] | None:
    """
    Return the current task if it waits for an answer in the method that can be left without an event.

    The method sends its requests from tasks of its own, `stream` and others from the current one.
    """
    task = _current_task()
    frame = None if task is None else inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == _METHOD:
            return task
        frame = frame.f_back
    return None


def _has_left(task: asyncio.Task[Any]) -> bool:
    """
    Return whether a task no longer waits for an answer. If that is not visible, it waits.
    """
    if task.done() or task is _current_task():
        return True
    awaited: Any = task.get_coro()
    while inspect.iscoroutine(awaited):
        if awaited.cr_code.co_name == _METHOD:
            return False
        awaited = awaited.cr_await
    return type(awaited).__name__ == "FutureIter"
