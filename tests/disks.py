"""
Disks for recorders: the module `os`, with functions that fail, hang or write only a part when a test wants it.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path
from typing import Any

from rollout import Recorder

__all__ = ["Disk", "WatchedDisk"]


class Disk:
    """
    The module `os`, some of whose functions a test replaces: ``disk.write = full``, and later ``del disk.write``.

    Args:
        recorder: Class of the recorders.
        functions: Functions in place of those of `os`, by name.

    Attributes:
        Recorder: Class of the recorders whose files are on this disk.
    """

    def __init__(self, recorder: Any = Recorder, **functions: Callable[..., Any]) -> None:
        begin = partialmethod(recorder._begin, system=self)
        self.Recorder: Any = type("Recorder", (recorder,), {"_begin": begin})
        vars(self).update(functions)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


class WatchedDisk(Disk):
    """
    Disk that stores its calls, and that a test fills, holds up or recovers.

    Attributes:
        calls: Name and arguments of each call that writes or syncs and did not fail: the number of bytes for a write,
            the path for a sync.
        on_write: Called with the bytes of each write; returns how many of them to write, None for all.
    """

    on_write: Callable[[bytes], int | None]

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []
        self._may_go_on = threading.Event()
        self.recover()

    def write(self, fd: int, data: memoryview) -> int:
        size = self.on_write(bytes(data))
        self.calls.append(("write", len(data)))
        return os.write(fd, data if size is None else data[:size])

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        self.calls.append(("pwrite", offset, len(data)))
        return os.pwrite(fd, data, offset)

    def fsync(self, fd: int) -> None:
        self.calls.append(("fsync", Path(f"/proc/self/fd/{fd}").readlink()))
        os.fsync(fd)

    def calls_of(self, name: str) -> list[tuple[Any, ...]]:
        """
        Return the calls of one function.
        """
        return [call for call in self.calls if call[0] == name]

    def fill(self, times: int, *, after: int = 0) -> None:
        """
        Refuse the next *times* writes for lack of space, each time after a write of *after* bytes.
        """
        sizes = ([after, 0] if after else [0]) * times

        def on_write(data: bytes) -> int | None:
            size = sizes.pop(0) if sizes else None
            if size == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return size

        self.on_write = on_write

    def hold(self) -> threading.Event:
        """
        Block writes until a call of `release`; return an event that the next write sets.
        """
        reached = threading.Event()

        def on_write(data: bytes) -> None:
            reached.set()
            assert self._may_go_on.wait(30)

        self.on_write = on_write
        return reached

    def release(self) -> None:
        """
        Continue all writes that `hold` blocks.
        """
        self._may_go_on.set()

    def recover(self) -> None:
        """
        Write all bytes of all writes from now on.
        """
        self.on_write = lambda data: None

    def fail_next_sync(self) -> None:
        """
        Raise an error at the next sync, which writes nothing to the disk.
        """

        def fail(fd: int) -> None:
            del self.fsync
            raise OSError(errno.EIO, "I/O error")

        self.fsync = fail  # type: ignore[method-assign]
