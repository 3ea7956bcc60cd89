"""
The writers that are alive, and what happens to them when they are forgotten, and when the process ends or forks.

CPython ends a process in two ways: a main program runs `atexit`; a child of multiprocessing ends with `os._exit` and
runs `multiprocessing.util`'s finalizers before. Both are covered, whenever rollout is imported and a recorder is made.
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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rollout.errors import RolloutError, WriterStartError

__all__ = ["EXIT_TIMEOUT", "abandon", "close_all", "live", "starting"]

EXIT_TIMEOUT = 10.0
"""Seconds that the end of the program waits for all recorders that are still open, together."""

# The end of the program waits so long (seconds) for recorders that other threads are just making, and looks so often.
_STARTING_TIMEOUT = 1.0
_STARTING_POLL = 0.001
# Lower than any of multiprocessing's own finalizers (-100) and those of users: they may still record.
_PRIORITY = -1000

_log = logging.getLogger("rollout")


class _Writer(Protocol):
    @property
    def path(self) -> Path: ...

    @property
    def is_closed(self) -> bool: ...

    def abandon(self) -> None: ...

    def close(self, timeout: float | None) -> None: ...

    def begin_again(self) -> None: ...


live: weakref.WeakSet[_Writer] = weakref.WeakSet()
"""Every writer whose thread runs, or that a child has from its parent."""


class _Ending:
    """
    Whether this process has begun to close its recorders because it ends.

    `_end` first sets *has_begun* and then looks at *starting*; `starting` adds itself and then looks at
    *has_begun*. One of the two sees the other, without a lock that an interrupt or a fork could leave held.
    """

    has_begun = False
    is_known_to_multiprocessing = False
    starting: set[object]


_Ending.starting = set()


@contextmanager
def starting() -> Iterator[None]:
    """
    Hold back the end of the program while a recorder is made.

    Raises:
        WriterStartError: The program is ending; nothing may be made any more.
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
    # From Python 3.12 on there can be no new thread once the main thread has ended.
    try:
        threading.Thread(target=int, daemon=True).start()
    except RuntimeError:
        return False
    return True


def abandon(writer: _Writer) -> None:
    """
    End the writer of a recorder that was neither closed nor is referenced any more.
    """
    if not writer.is_closed:
        writer.abandon()
        warnings.warn(f"recorder of {writer.path} was not closed", ResourceWarning, stacklevel=2)


def close_all() -> None:
    """
    Write what waits and close every recorder; log what cannot be written within `EXIT_TIMEOUT`.
    """
    deadline = time.monotonic() + EXIT_TIMEOUT
    for writer in list(live):
        try:
            writer.close(max(deadline - time.monotonic(), 0))
        except RolloutError as error:
            _log.error("at exit: %s", error)


@atexit.register
def _end() -> None:
    """
    Close every recorder; from now on none can be made in this process.

    Daemon threads still run, and may just be making one. Other threads have ended.
    """
    _Ending.has_begun = True
    deadline = time.monotonic() + _STARTING_TIMEOUT
    while _Ending.starting and time.monotonic() < deadline:
        time.sleep(_STARTING_POLL)
    close_all()


def _end_behind_threads() -> None:
    """
    Close every recorder after the last thread that is not a daemon has ended.

    Up to Python 3.12 multiprocessing runs its finalizers before it waits for these threads, and nothing after. It
    waits for every thread that is not a daemon, so one more of these can be the last.
    """
    if threading.main_thread().is_alive() and _others():
        threading.Thread(target=_await_others_and_end, name="rollout-exit").start()
    else:
        _end()


def _await_others_and_end() -> None:
    while others := _others():
        for thread in others:
            thread.join()
    _end()


def _others() -> list[threading.Thread]:
    """
    Return the threads that the end of a process waits for, without this one and the main thread.
    """
    own = (threading.current_thread(), threading.main_thread())
    return [thread for thread in threading.enumerate() if not thread.daemon and thread not in own]


def _tell_multiprocessing() -> None:
    """
    Have the recorders closed at the end of a child of multiprocessing.

    A child throws away the finalizers it was forked with and then calls what `register_after_fork` knows. A process
    that is forked inside of a child by `os.fork` keeps the list, but none of it runs there, so it registers, too.
    """
    util = sys.modules.get("multiprocessing.util")
    if util is None:
        return
    util.Finalize(None, _end_behind_threads, exitpriority=_PRIORITY)
    if not _Ending.is_known_to_multiprocessing:
        _Ending.is_known_to_multiprocessing = True
        util.register_after_fork(live, _begin_child_of_multiprocessing)


def _is_ending() -> bool:
    """
    Return whether this is called by an exit handler of the program, or of a child of multiprocessing.

    Up to Python 3.11 that cannot be told in a program that has not imported threading before.
    """
    main = threading.main_thread()
    if not main.is_alive() and threading.current_thread() is main:
        return True
    return bool(getattr(sys.modules.get("multiprocessing.util"), "_exiting", False))


def _begin_child_of_multiprocessing(_: object) -> None:
    # Its life begins, even where its parent forks at its own end.
    _Ending.has_begun = False
    _tell_multiprocessing()


def _after_fork_in_child() -> None:
    _Ending.starting.clear()
    for writer in list(live):
        writer.begin_again()
    _tell_multiprocessing()


os.register_at_fork(after_in_child=_after_fork_in_child)
# Where a child of multiprocessing is the first to import this; and where it is too late for either hook to run.
_tell_multiprocessing()
_Ending.has_begun = _is_ending()
