"""
The work of recording, done by one thread at a time; its errors are counted and do not reach the program.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field

from rollout.adapters._marks import recorded_here

__all__ = ["Work"]

_log = logging.getLogger("rollout")


@define(eq=False)
class Work:
    """
    A lock, the steps that wait for it, and the errors of the steps.

    Attributes:
        problems: Texts of the errors, and how often each came.
    """

    problems: Counter[str] = field(factory=Counter, init=False)
    _lock: Any = field(factory=threading.RLock, init=False)
    # Whether the owner of the lock is at work, and what others want to record meanwhile.
    _is_busy: bool = field(default=False, init=False)
    _waiting: deque[Callable[[], None]] = field(factory=deque, init=False)
    _problems_lock: Any = field(factory=threading.RLock, init=False)

    def soon(self, act: Callable[[], None]) -> None:
        """
        Record something now, or let the thread do it that is at work.

        The garbage collector ends a dropped stream, in any thread. It must not wait for the lock: the owner may wait
        for this thread, if it writes a session, and may be this thread itself.
        """
        self._waiting.append(act)
        self._record_waiting()

    def _record_waiting(self) -> None:
        # The thread at work comes here after it, and so finds what was appended until then.
        while self._waiting and not self._is_busy and self._lock.acquire(blocking=False):
            try:
                with self._busy():
                    self._empty()
            finally:
                self._lock.release()

    @contextmanager
    def owned(self) -> Iterator[None]:
        """
        Record everything that waits, and own the lock in the with statement.
        """
        try:
            with self._lock, self._busy():
                self._empty()
                yield
        finally:
            self._record_waiting()

    @contextmanager
    def _busy(self) -> Iterator[None]:
        before, self._is_busy = self._is_busy, True
        try:
            # What the functions of the caller ask a model is not recorded: it would call them again.
            with recorded_here():
                yield
        finally:
            self._is_busy = before

    def _empty(self) -> None:
        while self._waiting:
            self._waiting.popleft()()

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """
        Report an error of recording in the with statement, and go on after it.
        """
        try:
            yield
        except Exception as error:  # noqa: BLE001 -- the agent goes on
            self.report(what, error)

    def report(self, what: str, error: Exception) -> None:
        """
        Count something that could not be recorded, and log it once.
        """
        text = f"{what} could not be recorded: {type(error).__name__}: {error}"
        with self._problems_lock:
            self.problems[text] += 1
            is_new = self.problems[text] == 1
        if is_new:
            _log.error("%s", text, exc_info=error)
