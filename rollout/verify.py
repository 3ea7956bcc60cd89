"""
What is wrong with a rollout: each fault with its line and byte, and what can still be read out of a bad line.

Reads only. What crashes, full disks, glued appends and other programs leave is listed in `KINDS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from rollout import schema
from rollout.codec import MAX_LINE_SIZE, RolloutLine, decode_line
from rollout.errors import InvalidLineError
from rollout.layout import StrPath
from rollout.reader import RawLine, open_rollout, raw_lines

__all__ = ["KINDS", "Fault", "Piece", "Verification", "examine", "verify"]

KINDS = {
    "torn-tail": "the file ends inside a line",
    "glued-lines": "lines without a newline between them, whole or cut short",
    "bad-json": "a line that cannot be read, and holds no whole one",
    "bad-line": "JSON, but no rollout line",
    "nul-block": "NUL bytes, which a crashed machine leaves in place of what it had not synced",
    "bad-utf8": "bytes that are not UTF-8, for which Codex of 2025 refuses the file",
    "bom": "a byte order mark",
    "oversize-line": "longer than this package reads",
    "missing-meta": "no session_meta: nobody knows whose session it is",
    "missing-ordinal": "a line of a paginated session has no number, or numbers are left out before it",
    "duplicate-ordinal": "a line of a paginated session has a number that is not above the last",
    "call-without-output": "a tool was called and never answered",
    "bad-compression": "the compressed file cannot be read from here on",
}
"""The kinds of faults, and what they mean."""

_BOM = b"\xef\xbb\xbf"
_BLANK = b"\0 \t\r"
# Where a line begins that was glued to another: inside of a JSON string its quotes would have backslashes.
_BEGINNING = rb'(?=\{"timestamp"\s*:)'
# A nested object may begin like a line; so many such parts are put together to make one.
_PARTS_MAX = 8


@frozen
class Fault:
    """
    One fault.

    Attributes:
        kind: One of `KINDS`.
        lineno: The line, from 1.
        offset: The first byte concerned, in the (uncompressed) file.
        size: How many bytes.
        message: What is wrong there.
    """

    kind: str
    lineno: int
    offset: int
    size: int
    message: str


@frozen
class Verification:
    """
    What `verify` found.

    Attributes:
        path: The file.
        size: Its bytes, uncompressed.
        line_count: Lines that can be read, with those inside bad ones.
        faults: In the order of the file.
    """

    path: Path
    size: int
    line_count: int
    faults: tuple[Fault, ...]

    @property
    def is_whole(self) -> bool:
        """There is no fault."""
        return not self.faults


@frozen
class Piece:
    """
    Bytes of a line of a file: one that can be read, or what cannot.

    Attributes:
        offset: Its first byte in the file.
        raw: It; empty where it is too long to be held in memory.
        size: Its length.
        line: It, decoded; None if it cannot be read.
    """

    offset: int
    raw: bytes
    size: int
    line: RolloutLine | None = None


def verify(path: StrPath) -> Verification:
    """
    Look for faults in a rollout. Blocks; reads the file once, in constant memory; changes nothing.

    A session that is being written may end in a line or a call that is not finished: those are named as faults, too.

    Args:
        path: The file, plain or ``.jsonl.zst``.

    Raises:
        OSError: The file cannot be opened, or is no regular file.
        ModuleNotFoundError: It is compressed and the extra ``zstd`` is not installed.
    """
    path = Path(path)
    check = _Check()
    faults: list[Fault] = []
    count = size = 0
    for line, pieces, own in examine(path):
        faults += own
        size = line.end
        for piece in pieces:
            if piece.line is not None:
                count += 1
                faults += check.line(line, piece, piece.line)
    faults += check.end()
    faults.sort(key=lambda fault: (fault.lineno, fault.offset))
    return Verification(path, size, count, tuple(faults))


def examine(path: Path) -> Iterator[tuple[RawLine, list[Piece], list[Fault]]]:
    """
    Give each line of a file with the pieces it consists of and the faults of its bytes; blank ones have neither.
    """
    file, damage = open_rollout(path)
    line = RawLine(0, 0, 0, b"", is_ended=True)
    with file:
        try:
            for line in raw_lines(file):
                yield line, *_examine(line)
        except damage as error:
            fault = Fault("bad-compression", line.lineno + 1, line.end, 0, f"cannot be decompressed: {error}")
            yield RawLine(line.lineno + 1, line.end, 0, b"", is_ended=False), [], [fault]


def _examine(line: RawLine) -> tuple[list[Piece], list[Fault]]:
    if line.raw is None:
        message = f"longer than {MAX_LINE_SIZE} bytes; not read"
        return [Piece(line.offset, b"", line.size)], [_fault("oversize-line", line, message)]
    faults = []
    raw, offset = line.raw, line.offset
    if raw.startswith(_BOM):
        raw, offset = raw[len(_BOM) :], offset + len(_BOM)
        faults.append(_fault("bom", line, "begins with a byte order mark", size=len(_BOM)))
    if not raw or raw.isspace():
        return [], faults
    try:
        whole = decode_line(raw)
    except InvalidLineError as error:
        pieces = _pieces(raw, offset)
        return pieces, faults + _faults_of_bytes(line, raw, offset, pieces, error.reason)
    return [Piece(offset, raw, len(raw), whole)], faults + _faults_of_text(line, raw)


def _pieces(raw: bytes, offset: int) -> list[Piece]:
    """
    Cut a bad line where lines begin and where NUL bytes are, and see what can be read.
    """
    starts = sorted({0, *(found.start() for found in re.finditer(_BEGINNING, raw)), *_ends_of_nuls(raw), len(raw)})
    pieces = []
    first = 0
    while first < len(starts) - 1:
        for last in range(first + 1, min(first + 1 + _PARTS_MAX, len(starts))):
            found = _whole_in(raw[starts[first] : starts[last]])
            if found is not None:
                begin = starts[first] + found[0]
                end = begin + len(found[1].raw)
                pieces += _gap(raw, starts[first], begin, offset)
                pieces.append(Piece(offset + begin, raw[begin:end], end - begin, found[1]))
                pieces += _gap(raw, end, starts[last], offset)
                break
        else:
            last = first + 1
            pieces += _gap(raw, starts[first], starts[last], offset)
        first = last
    return pieces


def _whole_in(part: bytes) -> tuple[int, RolloutLine] | None:
    """
    Give the line in *part* and where it begins, if there is one but for NULs around it or a bit of another behind it.
    """
    for end in (len(part), part.rfind(b"}") + 1):
        stripped = part[:end].strip(_BLANK)
        with suppress(InvalidLineError):
            return part.index(stripped), decode_line(stripped)
    return None


def _ends_of_nuls(raw: bytes) -> Iterator[int]:
    return (found.end() for found in re.finditer(rb"\0+", raw))


def _gap(raw: bytes, start: int, end: int, offset: int) -> list[Piece]:
    return [Piece(offset + start, raw[start:end], end - start)] if start < end else []


def _faults_of_bytes(line: RawLine, raw: bytes, offset: int, pieces: list[Piece], reason: str) -> list[Fault]:
    faults = []
    for found in re.finditer(rb"\0+", raw):
        size = found.end() - found.start()
        faults.append(Fault("nul-block", line.lineno, offset + found.start(), size, f"{size} NUL bytes"))
    unread = [piece for piece in pieces if piece.line is None and piece.raw.strip(_BLANK)]
    read_count = sum(piece.line is not None for piece in pieces)
    if read_count and (unread or read_count > 1):
        bad_size = sum(piece.size for piece in unread)
        faults.append(_fault("glued-lines", line, f"{read_count} whole lines and {bad_size} bytes that are none"))
    elif unread:
        faults.append(_unreadable(line, reason))
    return faults


def _unreadable(line: RawLine, reason: str) -> Fault:
    if not line.is_ended:
        return _fault("torn-tail", line, f"the file ends inside this line: {reason}")
    return _fault("bad-json" if reason.startswith("not JSON") else "bad-line", line, reason)


def _faults_of_text(line: RawLine, raw: bytes) -> list[Fault]:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        message = f"{error.reason}: {raw[error.start : error.end]!r}"
        start = line.offset + line.size - len(raw) + error.start
        return [Fault("bad-utf8", line.lineno, start, error.end - error.start, message)]
    return []


def _fault(kind: str, line: RawLine, message: str, *, size: int | None = None) -> Fault:
    return Fault(kind, line.lineno, line.offset, line.size if size is None else size, message)


@define
class _Check:
    """
    What one line cannot tell: whose session it is, the numbering, and which calls were answered.
    """

    has_meta: bool = False
    is_paginated: bool = False
    last_ordinal: int | None = None
    unanswered: dict[str, Fault] = field(factory=dict)

    def line(self, at: RawLine, piece: Piece, line: RolloutLine) -> Iterator[Fault]:
        payload: dict[str, Any] = line.payload
        if line.type == "session_meta" and not self.has_meta:
            self.has_meta = True
            self.is_paginated = payload.get("history_mode") == "paginated"
        if line.type == "response_item":
            self._pair(at, piece, payload)
        if not (self.is_paginated or line.ordinal is not None):
            return
        ordinal, last = line.ordinal, self.last_ordinal
        if ordinal is None:
            yield Fault("missing-ordinal", at.lineno, piece.offset, piece.size, "no ordinal in a paginated session")
            return
        if last is not None and ordinal <= last:
            message = f"ordinal {ordinal} after {last}"
            yield Fault("duplicate-ordinal", at.lineno, piece.offset, piece.size, message)
        elif last is not None and ordinal > last + 1:
            message = f"ordinal {ordinal} after {last}: lines between them are lost"
            yield Fault("missing-ordinal", at.lineno, piece.offset, piece.size, message)
        self.last_ordinal = max(ordinal, -1 if last is None else last)

    def _pair(self, at: RawLine, piece: Piece, payload: dict[str, Any]) -> None:
        # As text, since a damaged file may hold anything in its place.
        kind, call_id = str(payload.get("type")), str(payload.get("call_id"))
        if kind in schema.CALL_OUTPUTS:
            message = f"call {call_id} of {payload.get('name') or kind} has no output"
            self.unanswered[call_id] = Fault("call-without-output", at.lineno, piece.offset, piece.size, message)
        elif kind in schema.CALL_OUTPUTS.values():
            self.unanswered.pop(call_id, None)

    def end(self) -> Iterator[Fault]:
        if not self.has_meta:
            yield Fault("missing-meta", 1, 0, 0, "no session_meta")
        yield from self.unanswered.values()
