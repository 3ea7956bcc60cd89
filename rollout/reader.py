"""
A file -> lines, tolerant of what crashes leave behind. Knows no meaning of a line.

A bad line is skipped and counted, never an error unless asked for. The last line counts as whole if it is whole
JSON, with or without its newline.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from attrs import frozen

from rollout.codec import MAX_LINE_SIZE, RolloutLine, decode_line
from rollout.errors import InvalidLineError
from rollout.layout import StrPath

__all__ = [
    "LineReader",
    "RawLine",
    "SkippedLine",
    "decode_backwards",
    "lines_backwards",
    "open_rollout",
    "raw_lines",
    "read_lines",
    "zstd_module",
]

_BLOCK_SIZE = 64 * 2**10


@frozen
class SkippedLine:
    """
    A line that could not be read.

    Attributes:
        lineno: Its number, from 1.
        offset: Its first byte in the (uncompressed) file.
        size: Its length in bytes, without the newline.
        reason: Why.
    """

    lineno: int
    offset: int
    size: int
    reason: str


def read_lines(path: StrPath, *, strict: bool = False) -> LineReader:
    """
    Read the lines of a rollout one by one, in constant memory; plain or ``.jsonl.zst``.

    Blank lines are passed over. The file is opened at once and closed after the last line.

    Args:
        path: The file.
        strict: Raise at the first bad line, instead of skipping and counting it.

    Returns:
        An iterator with the lines skipped so far in `skipped`.

    Raises:
        OSError: The file cannot be opened, or is no regular file.
        ModuleNotFoundError: It is compressed and the extra ``zstd`` is not installed.
        InvalidLineError: While iterating, if *strict*.
    """
    return LineReader(path if isinstance(path, Path) else Path(path), strict=strict)


class LineReader(Iterator[RolloutLine]):
    """
    The lines of one file; made by `read_lines`.

    Attributes:
        path: The file.
        skipped: The lines that could not be read so far.
        lineno: The number of the line given last, from 1; blank lines count.
    """

    def __init__(self, path: Path, *, strict: bool = False) -> None:
        self.path = path
        self.skipped: list[SkippedLine] = []
        self.lineno = 0
        self._strict = strict
        self._file, self._damage = open_rollout(path)
        self._lines = self._read()

    def __iter__(self) -> Iterator[RolloutLine]:
        # Not this one: a call of __next__ is 0.1 us a line.
        return self._lines

    def __next__(self) -> RolloutLine:
        return next(self._lines)

    def __enter__(self) -> LineReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        # A reader dropped half-way owes nothing to anybody.
        if hasattr(self, "_file"):
            self._file.close()

    def close(self) -> None:
        """
        Close the file before its end; iteration is over.
        """
        self._lines.close()
        self._file.close()

    def _read(self) -> Generator[RolloutLine]:
        lineno = offset = 0
        with closing(self._file):
            try:
                for block in _blocks(self._file):
                    for number, raw in enumerate(block.lines, lineno + 1):
                        self.lineno = number
                        try:
                            yield decode_line(raw)
                        except InvalidLineError as error:
                            if raw.strip():
                                at = block.offset + _size(block.lines[: number - lineno - 1])
                                torn = "" if block.is_ended else "torn: the file ends inside this line: "
                                self._skip(SkippedLine(number, at, len(raw), torn + error.reason))
                    lineno += len(block.lines)
                    offset = block.end
                    if block.too_long:
                        lineno += 1
                        reason = f"longer than {MAX_LINE_SIZE} bytes"
                        self._skip(SkippedLine(lineno, block.offset, block.too_long, reason))
            except self._damage as error:
                reason = f"the compressed file is damaged from here on: {error}"
                self._skip(SkippedLine(lineno + 1, offset, 0, reason))

    def _skip(self, line: SkippedLine) -> None:
        if self._strict:
            raise InvalidLineError(self.path, line.lineno, line.reason)
        self.skipped.append(line)


@frozen
class RawLine:
    """
    A line as it stands in the file.

    Attributes:
        lineno: Its number, from 1.
        offset: Its first byte in the (uncompressed) file.
        size: Its length in bytes, without the newline.
        raw: It, without the newline; None if it is too long to be held in memory.
        is_ended: A newline ends it.
    """

    lineno: int
    offset: int
    size: int
    raw: bytes | None
    is_ended: bool

    @property
    def end(self) -> int:
        """The byte after it and its newline."""
        return self.offset + self.size + self.is_ended


def raw_lines(file: BufferedReader) -> Iterator[RawLine]:
    """
    Give the lines of a file, blank ones too, holding one of at most `MAX_LINE_SIZE` bytes at a time.
    """
    lineno = 0
    for block in _blocks(file):
        offset = block.offset
        for raw in block.lines:
            lineno += 1
            yield RawLine(lineno, offset, len(raw), raw, block.is_ended)
            offset += len(raw) + 1
        if block.too_long:
            lineno += 1
            yield RawLine(lineno, offset, block.too_long, None, block.is_ended)


@frozen
class _Block:
    """
    Lines that follow each other, or one that is too long to be held in memory.

    Attributes:
        offset: The first byte.
        lines: Without newlines.
        is_ended: A newline ends the last one.
        too_long: The size of the one that is.
    """

    offset: int
    lines: Sequence[bytes]
    is_ended: bool = True
    too_long: int = 0

    @property
    def end(self) -> int:
        """The byte after it."""
        return self.offset + _size(self.lines) + (self.too_long + 1 if self.too_long else 0)


def _size(lines: Sequence[bytes]) -> int:
    return sum(map(len, lines)) + len(lines)


def _blocks(file: BufferedReader) -> Iterator[_Block]:
    """
    Give the lines of a file, many at a time: reading them one by one takes a third of the time of decoding them.
    """
    offset = size = 0
    parts: list[bytes] = []
    # No line inside of a block is too long. Not read: where a compressed file is damaged, it keeps what came before.
    while block := file.read1(min(_BLOCK_SIZE, MAX_LINE_SIZE)):
        lines = block.split(b"\n")
        parts.append(lines[0])
        size += len(lines[0])
        if size >= MAX_LINE_SIZE:
            parts.clear()
        if len(lines) == 1:
            continue
        if size >= MAX_LINE_SIZE:
            yield _Block(offset, (), too_long=size)
            del lines[0]
            offset += size + 1
        else:
            lines[0] = b"".join(parts)
        parts = [lines.pop()]
        if lines:
            yield _Block(offset, lines)
            offset += _size(lines)
        size = len(parts[0])
    if size >= MAX_LINE_SIZE:
        yield _Block(offset, (), is_ended=False, too_long=size)
    elif size:
        yield _Block(offset, (b"".join(parts),), is_ended=False)


def open_rollout(path: Path) -> tuple[BufferedReader, tuple[type[Exception], ...]]:
    """
    Open a rollout for reading, uncompressed.

    Returns:
        The file, and the errors that say its compression is damaged.

    Raises:
        OSError: It cannot be opened, or is no regular file.
        ModuleNotFoundError: It is compressed and the extra ``zstd`` is not installed.
    """
    # O_NONBLOCK: opening a FIFO would wait for a writer for ever.
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
    return zstd.ZstdFile(path), (EOFError, zstd.ZstdError)


def zstd_module(path: Path) -> Any:
    """
    Import what reads and writes zstd; *path* is for the error.

    Raises:
        ModuleNotFoundError: The extra ``zstd`` is not installed.
    """
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd  # noqa: PLC0415 -- below 3.14 an extra
        else:
            from backports import zstd  # noqa: PLC0415
    except ModuleNotFoundError as error:
        message = f"{path}: a compressed rollout needs pip install 'rollout-recorder[zstd]'"
        raise ModuleNotFoundError(message, name=error.name) from error
    return zstd


def decode_backwards(path: Path) -> Iterator[RolloutLine]:
    """
    Read the lines of a plain file from the last to the first, passing over those that cannot be read.
    """
    file, _ = open_rollout(path)
    with file:
        for raw in lines_backwards(file):
            with suppress(InvalidLineError):
                yield decode_line(raw)


def lines_backwards(file: BinaryIO) -> Iterator[bytes]:
    """
    Give the lines of a plain file from the last to the first, without newlines; the torn one first, if there is one.
    """
    end = file.seek(0, os.SEEK_END)
    parts: list[bytes] = []
    while end > 0:
        start = max(end - _BLOCK_SIZE, 0)
        file.seek(start)
        first, *rest = file.read(end - start).split(b"\n")
        end = start
        if rest:
            parts.append(rest.pop())
            yield b"".join(reversed(parts))
            yield from reversed(rest)
            parts.clear()
        parts.append(first)
    yield b"".join(reversed(parts))
