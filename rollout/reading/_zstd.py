"""
The module for zstd, which is an extra below Python 3.14, and a reader for zstd files with limits.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from rollout._lazy import extra_error
from rollout.reading._blocks import OutOfBoundsError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["BoundedFrames", "zstd_module"]

# A compressor writes one frame per file, or one per flush. An empty frame has 9 bytes and takes 6 us to read.
_FRAMES_MAX = 10_000
_INPUT_SIZE = 8 * 2**10


def zstd_module(path: Path) -> Any:
    """
    Import the module that reads and writes zstd; *path* is used in the error message.

    Raises:
        ModuleNotFoundError: The extra ``zstd`` is not installed.
    """
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd  # noqa: PLC0415 -- below 3.14 an extra
        else:
            from backports import zstd  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise extra_error(f"{path}: a compressed rollout needs", "zstd", error) from error
    return zstd


class BoundedFrames(io.RawIOBase):
    """
    Reader of a compressed file, like `ZstdFile`, but with limits on the number of input bytes and frames.

    One call of `ZstdFile.read` may read any number of empty frames before it returns, so a caller cannot limit it.
    """

    def __init__(self, file: BinaryIO, zstd: Any, size_max: float) -> None:
        self._file, self._make = file, zstd.ZstdDecompressor
        self._decompressor = self._make()
        self._left, self._frames_left = size_max, _FRAMES_MAX

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """
        Decompress some bytes into *buffer* and return their number, 0 at the end of the file.

        Raises:
            EOFError, ZstdError: The file is damaged.
            OutOfBoundsError: A limit is reached.
        """
        with memoryview(buffer).cast("B") as view:
            data = b""
            while not data and (compressed := self._input()) is not None:
                data = self._decompressor.decompress(compressed, len(view))
            view[: len(data)] = data
        return len(data)

    def _input(self) -> bytes | None:
        """
        Return the next input of the decompressor, which may be empty; None at the end of the file.
        """
        if not self._decompressor.eof:
            if not self._decompressor.needs_input:
                return b""
            if compressed := self._read():
                return compressed
            raise EOFError("the file ends inside a frame")
        compressed = self._decompressor.unused_data or self._read()
        if not compressed:
            return None
        self._frames_left -= 1
        if not self._frames_left:
            raise OutOfBoundsError
        self._decompressor = self._make()
        return compressed

    def _read(self) -> bytes:
        data = self._file.read(_INPUT_SIZE)
        self._left -= len(data)
        if self._left < 0:
            raise OutOfBoundsError
        return data

    def close(self) -> None:
        """Close the reader and the compressed file."""
        self._file.close()
        super().close()
