"""
Yield the lines of a live file as a writer completes them.

The file is polled: a rollout grows slowly, and the standard library cannot watch a file. A line is complete with its
newline; a line without a newline is not yielded yet.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from rollout.codec import MAX_LINE_SIZE, RolloutLine, decode_line
from rollout.errors import InvalidLineError
from rollout.home import StrPath, find_and_use, locate
from rollout.reading._blocks import end_of_lines
from rollout.reading._lines import LineIterator, SkippedLine
from rollout.reading._opening import ROLLOUT, format_of, open_bytes

__all__ = ["Follower", "follow"]

# Seconds between two reads. The first limits the delay of a line, the second the cost of an idle follower.
_POLL_BUSY = 0.01
_POLL_IDLE = 0.1
_BLOCK_SIZE = 2**20


def follow(
    path_or_id: StrPath, *, home: StrPath | None = None, from_start: bool = False, timeout: float | None = None
) -> Follower:
    """
    Follow a session: yield each line once, as soon as it is complete, even if one writer ends and another continues.

    Args:
        path_or_id: The file (not compressed), or the session's id or the beginning of the id.
        home: The home in which to find an id; by default ``CODEX_HOME``, else ``~/.codex``.
        from_start: Whether to begin with the lines that exist already.
        timeout: Seconds without a line after which the iteration ends. None waits without limit.

    Returns:
        An iterator that blocks until the next line; `Follower.close`, from any thread, ends it.

    Raises:
        SessionNotFoundError: No session has this id.
        AmbiguousSessionError: Several ids have this beginning.
        OSError: The file cannot be opened.
        ValueError: The file is compressed, so no program writes to it; or it is in another format.
    """
    return find_and_use(lambda: locate(path_or_id, home), lambda path: _open_follower(path, from_start, timeout))


def _open_follower(path: Path, from_start: bool, timeout: float | None) -> Follower:
    if path.suffix == ".zst":
        raise ValueError(f"{path} is compressed, so no program writes to it; use read_lines or `rollout show`")
    if format_of(path) != ROLLOUT:
        raise ValueError(f"{path} is not a rollout, so it cannot be followed; use read_lines or `rollout show`")
    return Follower(path, from_start=from_start, timeout=timeout)


class Follower(LineIterator):
    """
    Iterator over the lines of one live file; made by `follow`.

    Attributes:
        path: The file.
        skipped: Lines that could not be read so far.
        lineno: The number of the line yielded last. It and the numbers in `skipped` are counted from the first followed
            line.
    """

    def __init__(self, path: Path, *, from_start: bool, timeout: float | None) -> None:
        self.path = path
        self.skipped: list[SkippedLine] = []
        self.lineno = 0
        self._timeout = timeout
        self._closed = threading.Event()
        self._file, _ = open_bytes(path)
        self._offset = 0 if from_start else end_of_lines(self._file)
        self._lines = self._read()

    def close(self) -> None:
        """
        End the iteration, even while another thread waits in it. Lines that are already complete are still yielded.
        """
        self._closed.set()

    def _read(self) -> Iterator[RolloutLine]:
        for raw, size in self._complete_lines():
            if raw is None:
                reason = f"longer than {MAX_LINE_SIZE} bytes"
            else:
                try:
                    line = decode_line(raw)
                except InvalidLineError as error:
                    reason = error.reason
                else:
                    yield line
                    continue
            self.skipped.append(SkippedLine(self.lineno, self._offset - size - 1, size, reason))

    def _complete_lines(self) -> Iterator[tuple[bytes | None, int]]:
        """
        Yield the lines that are not blank, None for a line that is too long to be held in memory, and their sizes.
        `lineno` is the number of the line yielded last, `_offset` the byte after it.
        """
        last_line_at = time.monotonic()
        pause = _POLL_BUSY
        while True:
            # Checked before reading, so that lines that are complete when `close` is called are still yielded.
            is_closed = self._closed.is_set()
            block, too_long = self._read_block()
            # A block of only blank lines may have a million lines, so they are not processed one by one.
            is_blank = block.isspace()
            for raw in () if is_blank else block.split(b"\n")[:-1]:
                self.lineno += 1
                self._offset += len(raw) + 1
                if raw and not raw.isspace():
                    yield raw, len(raw)
            if is_blank:
                self.lineno += block.count(b"\n")
                self._offset += len(block)
            if too_long:
                self.lineno += 1
                self._offset += too_long
                yield None, too_long - 1
            if block or too_long:
                last_line_at, pause = time.monotonic(), _POLL_BUSY
                continue
            if is_closed or self._is_late(last_line_at) or not self._is_current():
                self._file.close()
                return
            self._closed.wait(pause)
            pause = min(pause * 2, _POLL_IDLE)

    def _read_block(self) -> tuple[bytes, int]:
        """
        Return complete lines from the offset on (none if the next line is incomplete), and the size of the next line if
        it is too long.

        Reads without a buffer: a writer without disk space may remove its incomplete line and write another one.
        """
        fd, size = self._file.fileno(), 0
        while block := os.pread(fd, _BLOCK_SIZE, self._offset + size):
            if b"\n" not in block:
                size += len(block)
            elif not size:
                return block[: block.rindex(b"\n") + 1], 0
            else:
                size += block.index(b"\n") + 1
                return (b"", size) if size > MAX_LINE_SIZE else (os.pread(fd, size, self._offset), 0)
        return b"", 0

    def _is_late(self, last_line_at: float) -> bool:
        return self._timeout is not None and time.monotonic() - last_line_at >= self._timeout

    def _is_current(self) -> bool:
        """
        Return whether the path names a file. A copy that has replaced the file is followed from the same offset.
        """
        try:
            if os.path.samestat(self.path.stat(), os.fstat(self._file.fileno())):
                return True
            file, _ = open_bytes(self.path)
        except FileNotFoundError:
            return False
        self._file.close()
        self._file = file
        return True
