"""
All open writers, and what happens to them when they are no longer referenced, and when the process ends or forks.

CPython ends a process in two ways: a main program runs the functions of `atexit`; a child of multiprocessing runs the
finalizers of `multiprocessing.util` and then calls `os._exit`. This module handles both, independent of when rollout is
imported and when a recorder is created.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from rollout.errors import RolloutError, WriterStartError

__all__ = ["EXIT_TIMEOUT", "abandon", "call_before_end", "close_all", "live", "starting"]

EXIT_TIMEOUT = 10.0
"""Seconds that the end of the program waits for all recorders that are still open, together."""

# Seconds that the end of the program waits for other threads that are creating a recorder, and seconds between checks.
_STARTING_TIMEOUT = 1.0
_STARTING_POLL = 0.001
# Lower than the priorities of multiprocessing's own finalizers (-100) and of user finalizers, which may still record.
_PRIORITY = -1000

_log = logging.getLogger("rollout")


class _Writer(Protocol):
    @property
    def path(self) -> Path: ...

    @property
    def is_closed(self) -> bool: ...

    def abandon(self) -> None: ...

    def close(self, timeout: float | None) -> None: ...

    def reset_after_fork(self) -> None: ...


live: weakref.WeakSet[_Writer] = weakref.WeakSet()
"""Every writer whose thread runs, or that a child has inherited from its parent."""


class _Ending:
    """
    State of the end of this process: whether it has begun to close its recorders, and which are being created.

    `_end` first sets *has_begun* and then looks at *starting*; `starting` adds itself and then looks at
    *has_begun*. One of the two sees the other, without a lock that an interrupt or a fork could leave held.
    """

    has_begun = False
    is_known_to_multiprocessing = False
    starting: set[object]


_Ending.starting = set()

_before_end: list[Callable[[], None]] = []


def call_before_end(act: Callable[[], None]) -> None:
    """
    Call a function when the process ends, before its recorders are closed; it may still record and create recorders.
    """
    _before_end.append(act)


@contextmanager
def starting() -> Iterator[None]:
    """
    Delay the end of the program while a recorder is created.

    Raises:
        WriterStartError: The program is ending; no recorder can be created any more.
    """
    me = object()
    _Ending.starting.add(me)
    try:
        if _Ending.has_begun or not (threading.main_thread().is_alive() or _can_start_threads()):
            raise WriterStartError("the program is ending, and its recorders are closed; make the recorder earlier")
        yield
    finally:
        _Ending.starting.discard(me)


def _can_start_threads() -> bool:
    # From Python 3.12 on, no new thread can start once the main thread has ended.
    try:
        threading.Thread(target=int, daemon=True).start()
    except RuntimeError:
        return False
    return True


def abandon(writer: _Writer) -> None:
    """
    End the writer of a recorder that was not closed and is no longer referenced.
    """
    if not writer.is_closed:
        writer.abandon()
        warnings.warn(f"recorder of {writer.path} was not closed", ResourceWarning, stacklevel=2)


def close_all() -> None:
    """
    Write all waiting items and close every recorder; log an error for each that does not succeed within `EXIT_TIMEOUT`.
    """
    deadline = time.monotonic() + EXIT_TIMEOUT
    writers = _snapshot()
    # All are ended at once: one that hangs must not use up the time of the others.
    for writer in writers:
        writer.abandon()
    for writer in writers:
        try:
            writer.close(max(deadline - time.monotonic(), 0))
        except RolloutError as error:
            # A logging handler that records into one of them raises.
            with suppress(Exception):
                _log.error("at exit: %s", error)


def _snapshot() -> list[_Writer]:
    """
    Return the writers that are alive. A thread that ends removes its writer, and may do so while the set is copied.
    """
    while True:
        with suppress(RuntimeError):
            return list(live)


@atexit.register
def _end() -> None:
    """
    Close every recorder; from now on none can be created in this process.

    Daemon threads still run, and one of them may be creating a recorder at this moment. Other threads have ended.
    """
    for act in _before_end:
        with suppress(Exception):
            act()
    _Ending.has_begun = True
    deadline = time.monotonic() + _STARTING_TIMEOUT
    while _Ending.starting and time.monotonic() < deadline:
        time.sleep(_STARTING_POLL)
    close_all()


def _end_after_threads() -> None:
    """
    Close every recorder after the last non-daemon thread has ended.

    Up to Python 3.12 multiprocessing runs its finalizers before it waits for these threads, and runs nothing after
    that. It waits for every non-daemon thread, so this starts another one, which ends last.
    """
    if threading.main_thread().is_alive() and _other_threads():
        threading.Thread(target=_await_others_and_end, name="rollout-exit").start()
    else:
        _end()


def _await_others_and_end() -> None:
    while others := _other_threads():
        for thread in others:
            thread.join()
    _end()


def _other_threads() -> list[threading.Thread]:
    """
    Return the threads that a process waits for when it ends, without this thread and the main thread.
    """
    own = (threading.current_thread(), threading.main_thread())
    return [thread for thread in threading.enumerate() if not thread.daemon and thread not in own]


def _register_with_multiprocessing() -> None:
    """
    Register a finalizer that closes the recorders at the end of a child of multiprocessing.

    A child of multiprocessing discards the finalizers that it inherited by the fork, and then calls the functions that
    were registered with `register_after_fork`. A process that `os.fork` creates inside such a child keeps the
    inherited finalizers, but does not run them; so it registers again, too.
    """
    util = sys.modules.get("multiprocessing.util")
    if util is None:
        return
    util.Finalize(None, _end_after_threads, exitpriority=_PRIORITY)
    if not _Ending.is_known_to_multiprocessing:
        _Ending.is_known_to_multiprocessing = True
        util.register_after_fork(live, _begin_child_of_multiprocessing)


def _is_ending() -> bool:
    """
    Return whether an exit handler of the program, or of a child of multiprocessing, is running.

    Up to Python 3.11 this is not known in a program that has not imported threading before.
    """
    main = threading.main_thread()
    if not main.is_alive() and threading.current_thread() is main:
        return True
    return bool(getattr(sys.modules.get("multiprocessing.util"), "_exiting", False))


def _begin_child_of_multiprocessing(_: object) -> None:
    # The child is only starting, even if its parent forked it while the parent was ending.
    _Ending.has_begun = False
    _register_with_multiprocessing()


def _after_fork_in_child() -> None:
    _Ending.starting.clear()
    for writer in _snapshot():
        writer.reset_after_fork()
    _register_with_multiprocessing()


os.register_at_fork(after_in_child=_after_fork_in_child)
# The first import may be in a child of multiprocessing, or so late that neither hook runs any more.
_register_with_multiprocessing()
_Ending.has_begun = _is_ending()
