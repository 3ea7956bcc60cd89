"""
Read the lines of a file, with tolerance for damage by crashes. Independent of the meaning of a line.

A bad line is skipped and counted; it is an error only with *strict*. The last line is complete if it is complete JSON,
with or without its newline.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from io import BufferedReader, BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from attrs import frozen

from rollout.codec import MAX_LINE_SIZE, RolloutLine, decode_block, decode_line
from rollout.errors import InvalidLineError
from rollout.home import StrPath
from rollout.reading._blocks import UNBOUNDED, Bounds, OutOfBoundsError, blocks, line_chunks, lines_backwards
from rollout.reading._opening import is_plain, open_rollout

__all__ = [
    "LineIterator",
    "LineReader",
    "RawLine",
    "SkippedLine",
    "decode_backwards",
    "raw_backwards",
    "raw_lines",
    "read_envelopes",
    "read_lines",
]

_READ_SIZE = 64 * 2**10

_Self = TypeVar("_Self", bound="LineIterator")


@frozen
class SkippedLine:
    """
    A line that could not be read.

    Attributes:
        lineno: Number of the line, from 1.
        offset: Position of its first byte in the (uncompressed) file.
        size: Length in bytes, without the newline.
        reason: Reason why the line could not be read.
    """

    lineno: int
    offset: int
    size: int
    reason: str


def read_lines(path: StrPath, *, strict: bool = False) -> LineReader:
    """
    Read the lines of a rollout one by one, in constant memory; plain or ``.jsonl.zst``.

    Blank lines are skipped. The file is opened during this call and closed after the last line.

    Args:
        path: The file.
        strict: Whether to raise an error at the first bad line, instead of skipping and counting it.

    Returns:
        An iterator with the lines skipped so far in `skipped`.

    Raises:
        OSError: The file cannot be opened, or is not a regular file.
        ModuleNotFoundError: The file is compressed and the extra ``zstd`` is not installed.
        InvalidLineError: While iterating, if *strict*.
    """
    return LineReader(path if isinstance(path, Path) else Path(path), strict=strict)


class LineIterator(Iterator[RolloutLine]):
    """
    Iterator over the lines of an open file, which a ``with`` block closes.
    """

    _file: BufferedReader
    _lines: Iterator[RolloutLine]

    def __next__(self) -> RolloutLine:
        return next(self._lines)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        # An iterator that is deleted before its end needs no warning.
        if hasattr(self, "_file"):
            self._file.close()

    @abstractmethod
    def close(self) -> None:
        """
        End the iteration.
        """


class LineReader(LineIterator):
    """
    Iterator over the lines of one file; made by `read_lines`.

    Attributes:
        path: The file.
        skipped: Lines that could not be read so far.
        lineno: The number of the line yielded last, from 1; blank lines count.
        is_cut: Whether reading ended before the end of the file, at *bounds*.
    """

    def __init__(self, path: Path, *, strict: bool = False, bounds: Bounds = UNBOUNDED) -> None:
        self.path = path
        self.skipped: list[SkippedLine] = []
        self.lineno = 0
        self.is_cut = False
        self._strict = strict
        self._bounds = bounds
        self._file, self._damage = open_rollout(path, bounds)
        self._lines: Generator[RolloutLine] = self._read()

    def __iter__(self) -> Iterator[RolloutLine]:
        # The generator itself: a call of __next__ here takes 0.1 us a line.
        return self._lines

    def close(self) -> None:
        """
        Close the file. This ends the iteration before the end of the file.
        """
        self._lines.close()
        self._file.close()

    def _read(self) -> Generator[RolloutLine]:
        lineno = offset = 0
        with closing(self._file):
            try:
                for block in blocks(self._file, self._bounds):
                    # Index and offset of the last bad line: summing the sizes from the start of the block for each bad
                    # line would take quadratic time.
                    index, offset = 0, block.offset
                    for number, raw in enumerate(block.lines, lineno + 1):
                        # Decoding a blank line raises two exceptions, which takes 3 to 6 us; this check takes 0.02 us.
                        if not raw or raw.isspace():
                            continue
                        self.lineno = number
                        try:
                            yield decode_line(raw)
                        except InvalidLineError as error:
                            offset += _size(block.lines[index : number - lineno - 1])
                            index = number - lineno - 1
                            torn = "" if block.is_ended else "torn: the file ends inside this line: "
                            self._skip(SkippedLine(number, offset, len(raw), torn + error.reason))
                    lineno += block.line_count
                    offset = block.end
                    if block.too_long:
                        reason = f"longer than {MAX_LINE_SIZE} bytes"
                        self._skip(SkippedLine(lineno, block.offset, block.too_long, reason))
            except OutOfBoundsError:
                self.is_cut = True
            except self._damage as error:
                reason = f"the compressed file is damaged from here on: {error}"
                self._skip(SkippedLine(lineno + 1, offset, 0, reason))

    def _skip(self, line: SkippedLine) -> None:
        if self._strict:
            raise InvalidLineError(self.path, line.lineno, line.reason)
        self.skipped.append(line)


def read_envelopes(path: Path) -> Iterator[Sequence[Mapping[str, Any]]]:
    """
    Yield the valid lines of a rollout as the keys and values of their envelopes, many at a time: for a reader that
    needs neither the bytes nor the numbers of the lines. Each has *timestamp*, *type* and *payload*.

    Raises:
        OSError, ModuleNotFoundError: As `read_lines`.
    """
    file, damage = open_rollout(path)
    with file, suppress(*damage):
        for block in line_chunks(file):
            found = decode_block(block)
            yield [*_envelopes_in(block.split(b"\n"))] if found is None else found


def _envelopes_in(lines: Sequence[bytes]) -> Iterator[Mapping[str, Any]]:
    for raw in lines:
        if raw and not raw.isspace():
            with suppress(InvalidLineError):
                yield vars(decode_line(raw))


@frozen
class RawLine:
    """
    The bytes of a line in the file, or of consecutive blank lines.

    Attributes:
        lineno: Number of the line, from 1; for blank lines, the number of the last line.
        offset: Position of its first byte in the (uncompressed) file.
        size: Length in bytes, without the (last) newline.
        raw: The bytes, without the (last) newline; None if the line is too long to be held in memory.
        is_ended: Whether a newline ends the line.
    """

    lineno: int
    offset: int
    size: int
    raw: bytes | None
    is_ended: bool

    @property
    def end(self) -> int:
        """Position after the line and its newline."""
        return self.offset + self.size + self.is_ended


def raw_lines(file: BufferedReader) -> Iterator[RawLine]:
    """
    Yield the lines of a file, consecutive blank lines together. Holds one line of at most `MAX_LINE_SIZE` bytes.
    """
    lineno = 0
    for block in blocks(file):
        offset = block.offset
        blanks: list[bytes] = []
        for raw in block.lines:
            lineno += 1
            if not raw or raw.isspace():
                blanks.append(raw)
                continue
            if blanks:
                yield _blank(lineno - 1, offset, blanks, is_ended=True)
                offset += _size(blanks)
                blanks = []
            yield RawLine(lineno, offset, len(raw), raw, block.is_ended)
            offset += len(raw) + 1
        if blanks:
            yield _blank(lineno, offset, blanks, is_ended=block.is_ended)
        if block.blanks:
            lineno += block.line_count
            yield RawLine(lineno, offset, len(block.blanks) - 1, block.blanks[:-1], is_ended=True)
        if block.too_long:
            lineno += 1
            yield RawLine(lineno, offset, block.too_long, None, block.is_ended)


def _size(lines: Sequence[bytes]) -> int:
    return sum(map(len, lines)) + len(lines)


def _blank(lineno: int, offset: int, lines: Sequence[bytes], *, is_ended: bool) -> RawLine:
    return RawLine(lineno, offset, _size(lines) - 1, b"\n".join(lines), is_ended)


def decode_backwards(path: Path, bounds: Bounds = UNBOUNDED) -> Iterator[RolloutLine]:
    """
    Yield the valid lines of a file from the last to the first, as far as *bounds* allow; see `raw_backwards`.
    """
    for raw in raw_backwards(path, bounds):
        with suppress(InvalidLineError):
            yield decode_line(raw)


def raw_backwards(path: Path, bounds: Bounds = UNBOUNDED) -> Iterator[bytes]:
    """
    Yield the lines of a file that are not blank from the last to the first, as far as *bounds* allow.

    A compressed file is read from its beginning, and its last *bounds.size* bytes are held in memory. Yields nothing if
    its contents are larger than *bounds.unpacked_size*.
    """
    file, damage = open_rollout(path, bounds)
    with file:
        yield from lines_backwards(file if is_plain(file) else BytesIO(_last_bytes(file, bounds, damage)), bounds)


def _last_bytes(file: BufferedReader, bounds: Bounds, damage: tuple[type[Exception], ...]) -> bytes:
    held: deque[bytes] = deque()
    size = unpacked_size = 0
    try:
        while block := file.read1(_READ_SIZE):
            unpacked_size += len(block)
            if unpacked_size > bounds.unpacked_size:
                return b""
            held.append(block)
            size += len(block)
            while size - len(held[0]) >= bounds.size:
                size -= len(held.popleft())
    except OutOfBoundsError:
        return b""
    except damage:
        pass  # the bytes before the damage are used
    return b"".join(held)
