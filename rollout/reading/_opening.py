"""
Open a file for reading as a rollout: decompressed, and translated if it is in another format.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from io import BufferedReader, FileIO
from pathlib import Path

from rollout.reading._blocks import UNBOUNDED, Bounds, OutOfBoundsError
from rollout.reading._zstd import BoundedFrames, zstd_module

__all__ = ["ROLLOUT", "EncodingError", "format_of", "is_plain", "open_bytes", "open_rollout"]

ROLLOUT = "rollout"
"""The format of a rollout; those of other files are in `rollout.reading._other_formats`."""

# The beginning of nearly all rollouts, and the number of first bytes by which it is recognized, and other formats.
_ENVELOPE = b'{"timestamp"'
_START_SIZE = 16
_HEAD_SIZE = 4096


class EncodingError(OSError):
    """The file is not UTF-8."""


def open_rollout(path: Path, bounds: Bounds = UNBOUNDED) -> tuple[BufferedReader, tuple[type[Exception], ...]]:
    """
    Open a file for reading as a rollout: a compressed file is decompressed, one in another format is translated. With
    *bounds*, a compressed file is not seekable.

    Returns:
        The file, and the classes of errors that mean that its compression is damaged.

    Raises:
        OSError: The file cannot be opened, is not a regular file, or is in UTF-16.
        ModuleNotFoundError: The file is compressed and the extra ``zstd`` is not installed.
    """
    file, damage = open_bytes(path, bounds)
    try:
        form = _recognize(path, _head_of(file, damage))
    except EncodingError:
        file.close()
        raise
    if form == ROLLOUT:
        return file, damage
    from rollout.reading._other_formats import OtherFormat  # noqa: PLC0415 -- as below

    return BufferedReader(OtherFormat(path, file, form)), damage


def format_of(path: Path) -> str:
    """
    Return the format of a file: rollout, exec-json or old-json; see `rollout.reading._other_formats`.

    Raises:
        OSError, ModuleNotFoundError: As `open_rollout`.
    """
    file, damage = open_bytes(path)
    with file:
        return _recognize(path, _head_of(file, damage))


def _recognize(path: Path, head: bytes) -> str:
    if head.startswith(_ENVELOPE):
        return ROLLOUT
    from rollout.reading._other_formats import recognize  # noqa: PLC0415 -- nearly all files are rollouts

    return recognize(path, head)


def is_plain(file: BufferedReader) -> bool:
    """
    Return whether the bytes of an open rollout are those of its file: it is neither decompressed nor translated.
    """
    return isinstance(getattr(file, "raw", None), FileIO)


def _head_of(file: BufferedReader, damage: tuple[type[Exception], ...]) -> bytes:
    if is_plain(file):
        # Not `peek`: the first read would return only the bytes that are held.
        head = os.pread(file.fileno(), _START_SIZE, 0)
        return head if head.startswith(_ENVELOPE) else os.pread(file.fileno(), _HEAD_SIZE, 0)
    with suppress(OutOfBoundsError, *damage):
        return file.peek(_HEAD_SIZE)[:_HEAD_SIZE]
    return b""


def open_bytes(path: Path, bounds: Bounds = UNBOUNDED) -> tuple[BufferedReader, tuple[type[Exception], ...]]:
    """
    Open a file for reading, in any format; a compressed file is decompressed. Otherwise as `open_rollout`.
    """
    # O_NONBLOCK: otherwise opening a FIFO waits for a writer without a limit.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if not path.name.endswith(".zst"):
        return os.fdopen(fd, "rb"), ()
    os.close(fd)
    zstd = zstd_module(path)
    damage = (EOFError, zstd.ZstdError)
    if bounds == UNBOUNDED:
        return zstd.ZstdFile(path), damage
    return BufferedReader(BoundedFrames(path.open("rb"), zstd, bounds.unpacked_size)), damage
