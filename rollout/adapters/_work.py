"""
The work of recording, done by one thread at a time; its errors are counted and do not reach the program.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from attrs import define, field

from rollout.adapters._marks import recorded_here

__all__ = ["Work"]

# Seconds that a thread waits until another one has recorded its answer.
_CATCH_UP_TIMEOUT = 5.0

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
        while self._waiting and not self._is_busy and (lock := self._lock).acquire(blocking=False):
            try:
                with self._busy():
                    self._empty()
            finally:
                lock.release()

    @contextmanager
    def owned(self, timeout: float = -1) -> Iterator[None]:
        """
        Record everything that waits, and own the lock in the with statement.

        Args:
            timeout: Seconds to wait for the lock; by default without a limit.

        Raises:
            TimeoutError: Another thread was at work for longer.
        """
        lock = self._lock
        if not lock.acquire(timeout=timeout):
            raise TimeoutError(f"another thread has been recording for {timeout:g} s")
        try:
            with self._busy():
                self._empty()
                yield
        finally:
            lock.release()
            self._record_waiting()

    def catch_up(self) -> None:
        """
        Wait until everything that was handed over is recorded, unless this thread itself is at work.

        Without it, a flush right after an answer could come before the thread that records the answer. Blocks for a
        limited time, as that thread may wait for this one.
        """
        if (self._is_busy or self._waiting) and not self._lock._is_owned():
            with suppress(TimeoutError), self.owned(_CATCH_UP_TIMEOUT):
                pass

    def reset_after_fork(self) -> None:
        """
        Forget, in the child after a fork, what the parent records; another thread of the parent may own the lock.
        """
        self.problems, self._waiting = Counter(), deque()
        self._lock, self._problems_lock = threading.RLock(), threading.RLock()
        self._is_busy = False

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
            act = self._waiting.popleft()
            with self.guard("an answer"):
                act()

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """
        Report an error of recording in the with statement, and go on after it. An interrupt is reported and raised.
        """
        try:
            yield
        except Exception as error:  # noqa: BLE001 -- the agent goes on
            self.report(what, error)
        except BaseException as error:
            self.report(what, error)
            raise

    def report(self, what: str, error: BaseException) -> None:
        """
        Count something that could not be recorded, and log it once.
        """
        text = f"{what} could not be recorded: {type(error).__name__}: {error}"
        with self._problems_lock:
            self.problems[text] += 1
            is_new = self.problems[text] == 1
        if is_new:
            _log.error("%s", text, exc_info=error)
