"""
An open file that knows whether its number is still its own: daemons close them all, and other files get them.
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
    An open descriptor; closed by `close` only.

    Attributes:
        fd: Its number; to be used only while `is_ours`.
        identity: Which file it is of: device and inode.
    """

    # Two of ours may be of the same file, one after the other, with the same number.
    _owners: ClassVar[WeakValueDictionary[int, Descriptor]] = WeakValueDictionary()

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.identity = _identity(os.fstat(fd))
        self._owners[fd] = self

    def status(self) -> os.stat_result | None:
        """
        Ask the system about it; None where it was closed behind our back.
        """
        try:
            status = os.fstat(self.fd)
        except OSError:
            return None
        is_ours = self._owners.get(self.fd) is self and _identity(status) == self.identity
        return status if is_ours else None

    def is_at(self, path: Path, *, unknown: bool = False) -> bool:
        """
        Return whether a path names this file, or *unknown* if this process has no permission to look at the path.
        """
        try:
            return _identity(path.stat()) == self.identity
        except PermissionError:
            return unknown
        except OSError:
            return False

    @property
    def is_ours(self) -> bool:
        """It was not closed behind our back."""
        return self.status() is not None

    def close(self) -> None:
        """
        Close it, unless the number is another's by now.
        """
        if self.is_ours:
            del self._owners[self.fd]
            os.close(self.fd)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def is_shortage(error: BaseException) -> bool:
    """
    Return whether an error means that this process, or the system, has no more descriptors or memory.

    Such an error does not tell whether the file or folder exists, so a caller must not treat it as missing.
    """
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
