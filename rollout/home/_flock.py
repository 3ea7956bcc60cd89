"""
Lock files: opened or created, locked with ``flock``, and checked that they still exist.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rollout.errors import SessionBusyError

__all__ = ["locked_file", "open_locked"]

# Seconds between two attempts to lock a file.
_POLL = 0.002


@contextmanager
def locked_file(
    path: Path, *, timeout: float | None = 0.0, busy: Callable[[Path], Exception] = SessionBusyError
) -> Iterator[None]:
    """
    Hold the lock of a lock file, which is created if it does not exist and is not removed at the end.

    Args:
        path: The lock file; its folder must exist.
        timeout: Seconds to wait for another holder of the lock. None waits without a limit, in ``flock``.
        busy: Function that returns the error for the path of a lock file that another holder has locked.

    Raises:
        Exception: The result of *busy*.
        OSError: The file cannot be opened; or it cannot be locked at all: ENOLCK, ENOSYS, EOPNOTSUPP or EIO of network
            file systems.
    """
    fd = open_locked(path, timeout=timeout, busy=busy)
    try:
        yield
    finally:
        # Not only closed: a child that another thread has forked meanwhile has the descriptor, too.
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


def open_locked(
    path: Path, *, timeout: float | None = 0.0, busy: Callable[[Path], Exception] = SessionBusyError
) -> int:
    """
    Return the descriptor of a lock file that is locked until the descriptor is closed. Arguments and errors as
    `locked_file`.
    """
    deadline = time.monotonic() + (timeout or 0.0)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        is_valid = False
        try:
            while not _lock(fd, path, waits=timeout is None):
                if time.monotonic() >= deadline:
                    raise busy(path)
                time.sleep(_POLL)
            # A file that was removed after it was opened here excludes no other process: try again with a new file.
            is_valid = _is_at(fd, path)
        finally:
            if not is_valid:
                os.close(fd)
        if is_valid:
            return fd


def _lock(fd: int, path: Path, *, waits: bool) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # The error of the system has no path.
        advice = "flock(2) does not work on this file system; use a home on another file system"
        raise OSError(error.errno, f"{error.strerror}; {advice}", str(path)) from error
    return True


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
