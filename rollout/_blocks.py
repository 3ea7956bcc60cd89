"""
A file's bytes -> its lines, many at a time, forwards or from the end, within bounds.

Knows no format. Blank lines that follow each other are passed on together, and cost as little as reading their bytes.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from io import BufferedReader
from typing import BinaryIO

from attrs import frozen

from rollout.codec import MAX_LINE_SIZE

__all__ = ["UNBOUNDED", "Block", "Bounds", "OutOfBoundsError", "blocks", "end_of_lines", "is_blank", "lines_backwards"]

_BLOCK_SIZE = 64 * 2**10
# A chunk of other lines is cut where it has so many newlines in a row: looked for in 2 us, cut in 200.
_NEWLINES = b"\n" * 64
_RUN = re.compile(rb"\n{64,}")


class OutOfBoundsError(Exception):
    """The bounds of a reading are reached before the end of the file. Never leaves this package."""


@frozen
class Bounds:
    """
    How much of a file is read at most, from its beginning or from its end.

    Attributes:
        size: Bytes, uncompressed. Up to 64 KiB more may be read.
        line_count: Lines, whatever is in them; runs of blank lines that are not looked at one by one count as none.
        unpacked_size: Bytes to decompress at most on the way to the end of a compressed file.
    """

    size: float = math.inf
    line_count: float = math.inf
    unpacked_size: float = math.inf


UNBOUNDED = Bounds()


@frozen
class Block:
    """
    Lines that follow each other, or blank lines alone, or one line that is too long to be held in memory.

    Attributes:
        offset: The first byte.
        end: The byte after it, and after its last newline.
        lines: Without newlines.
        is_ended: A newline ends the last one.
        too_long: The size of the one that is.
        blanks: Blank lines, with their newlines.
    """

    offset: int
    end: int
    lines: Sequence[bytes] = ()
    is_ended: bool = True
    too_long: int = 0
    blanks: bytes = b""

    @property
    def line_count(self) -> int:
        """How many lines it has."""
        return len(self.lines) + bool(self.too_long) + self.blanks.count(b"\n")


def is_blank(raw: bytes) -> bool:
    """
    Return whether a line is empty or white space.
    """
    return not raw or raw.isspace()


def blocks(file: BufferedReader, bounds: Bounds = UNBOUNDED) -> Iterator[Block]:
    """
    Yield the lines of a file, many at a time: reading them one by one takes a third of the time of decoding them.

    Raises:
        OutOfBoundsError: The file is longer than *bounds* allow; a line in which they end is left out.
    """
    left = bounds.line_count
    for block in _blocks(file, bounds.size):
        count = len(block.lines) + bool(block.too_long)
        if count > left:
            yield Block(block.offset, block.end, block.lines[: int(left)])
            raise OutOfBoundsError
        left -= count
        yield block


def _blocks(file: BufferedReader, size_max: float) -> Iterator[Block]:
    offset = size = 0
    parts: list[bytes] = []
    for chunk in _chunks(file, size_max):
        lines, blanks = _split(chunk)
        parts.append(lines[0])
        size += len(lines[0])
        if size >= MAX_LINE_SIZE:
            parts.clear()
        if len(lines) == 1:
            continue
        if size >= MAX_LINE_SIZE:
            yield Block(offset, offset + size + 1, too_long=size)
            del lines[0]
            offset += size + 1
        else:
            lines[0] = b"".join(parts)
        parts = [lines.pop()]
        if lines:
            end = offset + sum(map(len, lines)) + len(lines)
            yield Block(offset, end, lines)
            offset = end
        if blanks:
            yield Block(offset, offset + len(blanks), blanks=blanks)
            offset += len(blanks)
        size = len(parts[0])
    if size >= MAX_LINE_SIZE:
        yield Block(offset, offset + size, is_ended=False, too_long=size)
    elif size:
        yield Block(offset, offset + size, (b"".join(parts),), is_ended=False)


def _chunks(file: BufferedReader, size_max: float) -> Iterator[bytes]:
    # No line inside of a chunk is too long. Not read: where a compressed file is damaged, it keeps what came before.
    while chunk := file.read1(min(_BLOCK_SIZE, MAX_LINE_SIZE)):
        size_max -= len(chunk)
        if size_max < 0:
            raise OutOfBoundsError
        if _NEWLINES in chunk and not chunk.isspace():
            yield from _cut_at_runs(chunk)
        else:
            yield chunk


def _cut_at_runs(chunk: bytes) -> Iterator[bytes]:
    start = 0
    for found in _RUN.finditer(chunk):
        if start < found.start():
            yield chunk[start : found.start()]
        yield found[0]
        start = found.end()
    if start < len(chunk):
        yield chunk[start:]


def _split(chunk: bytes) -> tuple[list[bytes], bytes]:
    """
    Return the lines of a chunk, of which the first and the last may be parts, and the blank lines between these two.

    Only a chunk that is all white space has the latter: 64 KiB of newlines take 30 us, and as lines 3 ms. `isspace`
    ends at the first byte that is not.
    """
    first, last = (chunk.find(b"\n"), chunk.rfind(b"\n")) if chunk.isspace() else (-1, -1)
    if first < 0:
        return chunk.split(b"\n"), b""
    return [chunk[:first], chunk[last + 1 :]], chunk[first + 1 : last + 1]


def lines_backwards(file: BinaryIO, bounds: Bounds = UNBOUNDED) -> Iterator[bytes]:
    """
    Yield the lines of a plain file that are not blank, from the last to the first, without newlines.

    The first may be torn. Ends without an error where *bounds* do; what is too long to be held in memory is left out.
    """
    end = file.seek(0, os.SEEK_END)
    stop, left = max(end - bounds.size, 0), bounds.line_count
    parts: list[bytes] = []
    size = 0
    while end > stop:
        start = max(end - _BLOCK_SIZE, 0)
        file.seek(start)
        (first, *lines), _ = _split(file.read(end - start))
        end = start
        if lines:
            size += len(lines[-1])
            lines[-1] = b"".join([lines[-1], *reversed(parts)]) if size < MAX_LINE_SIZE else b""
            parts, size = [], 0
        for raw in reversed(lines):
            if left <= 0:
                return
            left -= 1
            if raw and not raw.isspace():
                yield raw
        parts.append(first)
        size += len(first)
        if size >= MAX_LINE_SIZE:
            parts.clear()
    raw = b"".join(reversed(parts))
    if end <= 0 < left and size < MAX_LINE_SIZE and not is_blank(raw):
        yield raw


def end_of_lines(file: BinaryIO) -> int:
    """
    Return the offset behind the last newline of a plain file, 0 if it has none.
    """
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(end - _BLOCK_SIZE, 0)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
