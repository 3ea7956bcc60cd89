"""
The lines of a live file, as a writer completes them.

Polls: a rollout grows by a line now and then, and the standard library can watch no file. A line is complete with its
newline; a half-written one is waited for.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from rollout._blocks import end_of_lines
from rollout.codec import MAX_LINE_SIZE, RolloutLine, decode_line
from rollout.errors import InvalidLineError
from rollout.finding import locate, use_found
from rollout.layout import StrPath
from rollout.reader import SkippedLine, open_rollout

__all__ = ["Follower", "follow"]

# Seconds between looks: the first is the least lag, the second what an idle follower costs.
_POLL_BUSY = 0.01
_POLL_IDLE = 0.1
_BLOCK_SIZE = 2**20


def follow(
    path_or_id: StrPath, *, home: StrPath | None = None, from_start: bool = False, timeout: float | None = None
) -> Follower:
    """
    Follow a session: give each line once, as soon as it is complete, also when its writer ends and another goes on.

    Args:
        path_or_id: The file (plain), or the session's id or the beginning of it.
        home: Where to look for an id; by default ``CODEX_HOME``, else ``~/.codex``.
        from_start: Begin with the lines that are there already.
        timeout: End when no line came for so many seconds. None waits for ever.

    Returns:
        An iterator that blocks for the next line; `Follower.close`, from any thread, ends it.

    Raises:
        SessionNotFoundError: No session has this id.
        AmbiguousSessionError: Several ids begin so.
        OSError: The file cannot be opened.
        ValueError: It is compressed, so nobody writes to it.
    """
    return use_found(lambda: locate(path_or_id, home), lambda path: _opened(path, from_start, timeout))


def _opened(path: Path, from_start: bool, timeout: float | None) -> Follower:
    if path.suffix == ".zst":
        raise ValueError(f"{path} is compressed, so nobody writes to it; use read_lines")
    return Follower(path, from_start=from_start, timeout=timeout)


class Follower(Iterator[RolloutLine]):
    """
    The lines of one live file; made by `follow`.

    Attributes:
        path: The file.
        skipped: The lines that could not be read so far.
        lineno: The number of the line given last; it and those of `skipped` count from where the following began.
    """

    def __init__(self, path: Path, *, from_start: bool, timeout: float | None) -> None:
        self.path = path
        self.skipped: list[SkippedLine] = []
        self.lineno = 0
        self._timeout = timeout
        self._closed = threading.Event()
        self._file, _ = open_rollout(path)
        self._offset = 0 if from_start else end_of_lines(self._file)
        self._lines = self._read()

    def __next__(self) -> RolloutLine:
        return next(self._lines)

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def close(self) -> None:
        """
        End the iteration, also one that waits in another thread; lines complete by now are still given.
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
            # Asked before reading: what is complete when `close` is called is still given.
            is_closed = self._closed.is_set()
            block, too_long = self._read_block()
            # A block of only blank lines may have a million of them, so they are not processed one by one.
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
        Read whole lines from the offset; nothing where the next line is not complete, its size where it is too long.

        Each time from the file itself: a writer out of space may take back half a line and write another.
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
        Say whether the path still leads to the file; a copy that took its place is followed from the same offset.
        """
        try:
            if os.path.samestat(self.path.stat(), os.fstat(self._file.fileno())):
                return True
            file, _ = open_rollout(self.path)
        except FileNotFoundError:
            return False
        self._file.close()
        self._file = file
        return True
