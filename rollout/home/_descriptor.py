"""
A file descriptor that detects when the program has closed it and another file has its number, as happens in daemons.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import ClassVar
from weakref import WeakValueDictionary

__all__ = ["Descriptor", "is_shortage"]


class Descriptor:
    """
    An open file descriptor, to be closed with `close`. The program may close it without this object.

    Attributes:
        fd: The number; only valid while `is_ours`.
        identity: Device and inode of the file.
    """

    # Two objects may have had the same file and the same number, one after the other; the last one owns it.
    _owners: ClassVar[WeakValueDictionary[int, Descriptor]] = WeakValueDictionary()

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.identity = _identity(os.fstat(fd))
        self._owners[fd] = self

    def status(self) -> os.stat_result | None:
        """
        Return the status of the open file; None if the program has closed the descriptor.
        """
        try:
            status = os.fstat(self.fd)
        except OSError:
            return None
        is_ours = self._owners.get(self.fd) is self and _identity(status) == self.identity
        return status if is_ours else None

    def is_at(self, path: Path, *, unknown: bool = False) -> bool:
        """
        Return whether a path names this file; *unknown* if this process has no permission to access the path.
        """
        try:
            return _identity(path.stat()) == self.identity
        except PermissionError:
            return unknown
        except OSError:
            return False

    @property
    def is_ours(self) -> bool:
        """Whether the descriptor is still open and still belongs to this object."""
        return self.status() is not None

    def close(self) -> None:
        """
        Close the descriptor, unless the program has closed it, so that the number may belong to another file.
        """
        if self.is_ours:
            del self._owners[self.fd]
            os.close(self.fd)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def is_shortage(error: BaseException) -> bool:
    """
    Return whether an error means that this process, or the system, has no more descriptors or memory.

    After such an error, it is unknown whether the file or folder exists, so a caller must not treat it as missing.
    """
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
