"""
The opening of recorders, which waits for the disk: for a limited time, so that a disk that hangs stops no agent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import cast

from attrs import define, field

from rollout.recording import Recorder

__all__ = ["OPEN_TIMEOUT", "Opening"]

OPEN_TIMEOUT = 6.0
"""
Seconds that a request waits until its session is open: more than the 5 seconds for the lock of the home. While the disk
hangs, only one request waits.
"""


@define(eq=False)
class Opening:
    """
    Opens recorders, one at a time.
    """

    # The thread that still waits for the disk after the time limit.
    _late: threading.Thread | None = field(default=None, init=False)

    def open(self, make: Callable[[], Recorder]) -> Recorder:
        """
        Return the recorder that *make* returns; block for at most `OPEN_TIMEOUT` seconds. A recorder that comes later
        is closed.

        Raises:
            TimeoutError: The disk did not respond in time, or has not yet responded to an earlier call.
            BaseException: The exception of *make*.
        """
        if self._late is not None and self._late.is_alive():
            raise TimeoutError("the disk still does not respond")
        attempt = _Attempt(make)
        # The context has the mark that the requests of the caller's functions are not recorded.
        thread = threading.Thread(target=copy_context().run, args=(attempt.run,), name="rollout-open", daemon=True)
        thread.start()
        try:
            attempt.done.wait(OPEN_TIMEOUT)
        finally:
            # Also after an interrupt. A thread that has its result may still be alive for a moment.
            self._late = thread if attempt.give_up() else None
        if self._late is not None:
            raise TimeoutError(f"the disk did not respond within {OPEN_TIMEOUT:g} s")
        return attempt.result()


@define(eq=False)
class _Attempt:
    make: Callable[[], Recorder]
    done: threading.Event = field(factory=threading.Event)
    _lock: threading.Lock = field(factory=threading.Lock)
    _is_given_up: bool = False
    _recorder: Recorder | None = None
    _error: BaseException | None = None

    def run(self) -> None:
        recorder = error = None
        try:
            recorder = self.make()
        except BaseException as failure:  # noqa: BLE001 -- raised in the thread that waits
            error = failure
        with self._lock:
            self._recorder, self._error = recorder, error
            is_given_up = self._is_given_up
            self.done.set()
        if is_given_up and recorder is not None:
            recorder.close()

    def give_up(self) -> bool:
        """
        Return whether there is no result yet; it will be closed when it comes.
        """
        with self._lock:
            self._is_given_up = not self.done.is_set()
        return self._is_given_up

    def result(self) -> Recorder:
        if self._error is not None:
            raise self._error
        return cast(Recorder, self._recorder)
