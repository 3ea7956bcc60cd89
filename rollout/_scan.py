"""
The lines of a file that hold a text, without an index.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

from rollout.codec import MAX_LINE_SIZE, RolloutLine, decode_line, encode_json
from rollout.errors import InvalidLineError
from rollout.layout import StrPath
from rollout.reader import open_rollout

__all__ = ["lines_holding"]

_BLOCK_SIZE = 256 * 2**10


def lines_holding(path: StrPath, text: str) -> Iterator[RolloutLine]:
    """
    Give the lines in which *text* stands, anywhere and as it is written, passing over those that cannot be read.

    Only lines that hold it are decoded: the others cost 0.3 to 0.5 s a GB.

    Raises:
        ValueError: There is nothing to look for.
        OSError, ModuleNotFoundError: As `read_lines`.
    """
    needle = encode_json(text)[1:-1].encode("utf-8", "replace")
    if not needle:
        raise ValueError("a text to look for is needed")
    file, damage = open_rollout(Path(path))
    with file, suppress(*damage):
        for raw in _raw_holding(file, needle):
            with suppress(InvalidLineError):
                yield decode_line(raw)


def _raw_holding(file: BufferedReader, needle: bytes) -> Iterator[bytes]:
    parts: list[bytes] = []
    size = 0
    # Not read: see reader.
    while block := file.read1(_BLOCK_SIZE):
        first = block.find(b"\n")
        parts.append(block if first < 0 else block[:first])
        size += len(parts[-1])
        if size >= MAX_LINE_SIZE:
            parts.clear()
        if first < 0:
            continue
        # The line that began in the block before is put together; the others stay where they are.
        line = b"".join(parts)
        if needle in line:
            yield line
        last = block.rfind(b"\n")
        at = block.find(needle, first, last)
        while at >= 0:
            end = block.find(b"\n", at)
            yield block[block.rfind(b"\n", 0, at) + 1 : end]
            at = block.find(needle, end, last)
        parts = [block[last + 1 :]]
        size = len(parts[0])
    line = b"".join(parts)
    if needle in line:
        yield line
