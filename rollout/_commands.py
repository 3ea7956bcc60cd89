"""
What the writer is told to do, and the bounded queue that hands it over.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from attrs import define, field

from rollout._plain import PlainItem

__all__ = ["Add", "Command", "Commands", "Flush", "Shutdown"]


@define
class Add:
    """
    Write these items.
    """

    items: Sequence[PlainItem]
    time_ms: int = 0


@define
class Flush:
    """
    Answer when everything before is in the file.
    """

    fsync: bool = False
    done: threading.Event = field(factory=threading.Event)
    error: Exception | None = None

    def answer(self, error: Exception | None) -> None:
        """
        Let who waits go on, with the outcome.
        """
        self.error = error
        self.done.set()


@define
class Shutdown(Flush):
    """
    Answer like a flush, and end.
    """


Command: TypeAlias = "Add | Flush"


class Commands(queue.Queue[Command]):
    """
    A bounded queue that can be closed: the check for it and the put happen under one lock, its mutex.

    Without that, 7 of 60 racing runs left an item behind the shutdown and hung.
    """

    def __init__(self, size: int, refusal: Callable[[], Exception]) -> None:
        super().__init__(size)
        self.is_closed = False
        self.refusal = refusal

    def _put(self, item: Command) -> None:
        # `put` calls this under the mutex, also after it waited for space.
        if self.is_closed:
            raise self.refusal()
        if type(item) is Add:
            item.time_ms = time.time_ns() // 1_000_000
        super()._put(item)

    def put_last(self, command: Shutdown) -> None:
        """
        Close the queue; never waits for space.
        """
        with self.mutex:
            self.is_closed = True
            super()._put(command)
            self.not_empty.notify()
            # Who waits for space is to learn that there will be none.
            self.not_full.notify_all()

    def take_all(self) -> list[Command]:
        """
        Wait for a command and take all there are: one lock a batch, not one a command.
        """
        with self.mutex:
            while not self._qsize():
                self.not_empty.wait()
            taken = [self._get() for _ in range(self._qsize())]
            self.not_full.notify_all()
            return taken
