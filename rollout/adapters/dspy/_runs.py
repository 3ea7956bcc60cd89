"""
Runs of DSPy's modules and tools that have not ended.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Hashable
from typing import Any

from attrs import define, evolve, field

from rollout.adapters._exchange import Asked
from rollout.adapters._sessions import Agent
from rollout.adapters.dspy._items import arguments_in
from rollout.dialects import Reply, Request, item_key

__all__ = ["Run", "Tool", "current_place"]


def current_place() -> tuple[int, Any]:
    """
    Return the current thread and task.
    """
    try:
        return threading.get_ident(), asyncio.current_task()
    except RuntimeError:
        return threading.get_ident(), None


@define(eq=False)
class Run:
    """
    A run of a module.

    Attributes:
        id: Id of DSPy.
        agent: For a sub-agent: the run that started it, and its name.
        place: Thread and task.
        exchange: The last request.
        known: How often the session contains each item.
        calls: Names and arguments of the calls that no tool has begun, by their ids.
    """

    id: str
    agent: Agent | None
    place: tuple[int, Any] = field(factory=current_place)
    exchange: Asked | None = None
    known: Counter[Hashable] = field(factory=Counter)
    calls: dict[str, tuple[str, Any]] = field(factory=dict)

    def new_in(self, request: Request) -> Request:
        """
        Return a request with the items that the session does not contain, as a part of the run's conversation.
        """
        left, new = self.known.copy(), []
        for item in request.items:
            key = item_key(item)
            if left[key]:
                left[key] -= 1
            else:
                new.append(item)
                self.known[key] += 1
        return evolve(request, items=new, conversation=self.id)

    def note(self, reply: Reply) -> None:
        """
        Note an answer, which the next requests may repeat, and its calls.
        """
        self.known.update(map(item_key, reply.items))
        for item in reply.items:
            if item["type"] == "function_call":
                self.calls[item["call_id"]] = item["name"], arguments_in(item)

    def called(self, name: str, arguments: Any) -> str | None:
        """
        Return the id of the call that a tool begins to answer; None if the model has sent no such call.
        """
        found = next((key for key, call in self.calls.items() if call == (name, arguments)), None)
        if found is not None:
            del self.calls[found]
        return found


@define(eq=False)
class Tool:
    """
    A tool that runs. Its call is a text if the answer of the model has no such call.
    """

    run: Run
    exchange: Asked
    call_id: str
    is_text: bool
    began: float = field(factory=time.monotonic)
