"""
The writers that are alive, and what becomes of them when they are forgotten, and when the process ends or forks.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
import warnings
import weakref
from pathlib import Path
from typing import Protocol

from rollout.errors import RolloutError

__all__ = ["EXIT_TIMEOUT", "abandon", "close_all", "live"]

EXIT_TIMEOUT = 10.0
"""Seconds that the end of the program waits for recorders nobody closed, all together."""

_log = logging.getLogger("rollout")


class _Writer(Protocol):
    path: Path

    @property
    def is_closed(self) -> bool: ...

    def abandon(self) -> None: ...

    def close(self, timeout: float | None) -> None: ...

    def share(self) -> None: ...

    def begin_again(self) -> None: ...


live: weakref.WeakSet[_Writer] = weakref.WeakSet()
"""Every writer whose thread runs, or that a child has from its parent."""


def abandon(writer: _Writer) -> None:
    """
    End the writer of a recorder that nobody holds any more and nobody closed.
    """
    if not writer.is_closed:
        writer.abandon()
        warnings.warn(f"recorder of {writer.path} was not closed", ResourceWarning, stacklevel=2)


@atexit.register
def close_all() -> None:
    """
    Write what waits and close; what cannot be written within the time is told to the log.
    """
    # Daemon threads still run here; threads that are none have ended, with all they recorded.
    deadline = time.monotonic() + EXIT_TIMEOUT
    for writer in list(live):
        try:
            writer.close(max(deadline - time.monotonic(), 0))
        except RolloutError as error:
            _log.error("at exit: %s", error)


def _after_fork_in_parent() -> None:
    for writer in list(live):
        writer.share()


def _after_fork_in_child() -> None:
    for writer in list(live):
        writer.begin_again()
    # A child of multiprocessing ends with os._exit, and runs its own finalizers but not atexit.
    util = sys.modules.get("multiprocessing.util")
    if util is not None and live:
        util.register_after_fork(live, lambda _: util.Finalize(None, close_all, exitpriority=0))


os.register_at_fork(after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
