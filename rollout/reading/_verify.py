"""
Find the faults of a rollout, each with its line and byte, and the lines that can still be read from a bad line.

Changes nothing. `FAULT_KINDS` lists the kinds of damage by crashes, full disks, joined lines and other programs.
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
from rollout.home import StrPath
from rollout.reading._lines import RawLine, raw_lines
from rollout.reading._opening import EncodingError, format_of, open_rollout

__all__ = ["FAULT_KINDS", "Fault", "Piece", "Verification", "examine", "verify"]

FAULT_KINDS = {
    "torn-tail": "the file ends inside a line",
    "glued-lines": "lines without a newline between them, complete or truncated",
    "bad-json": "a line that cannot be read, and contains no complete line",
    "bad-line": "JSON, but not a rollout line",
    "nul-block": "NUL bytes, which a crash of the machine leaves in place of bytes that were not synced",
    "bad-utf8": "bytes that are not UTF-8, for which Codex of 2025 refuses the file",
    "bom": "a byte order mark",
    "oversize-line": "a line longer than this package reads",
    "missing-meta": "no session_meta: the session is unknown",
    "missing-ordinal": "a line of a paginated session has no number, or numbers before it are missing",
    "duplicate-ordinal": "a line of a paginated session has a number that is not greater than the last number",
    "call-without-output": "a call of a tool has no output",
    "unread-by-codex": "an item in a form that Codex does not read, and so does not send to the model",
    "utf-16": "the file is in UTF-16, not UTF-8: no line can be read",
    "bad-compression": "the compressed file cannot be read from here on",
}
"""The kinds of faults and their meanings."""

_BOM = b"\xef\xbb\xbf"
_BLANK = b"\0 \t\r"
# The beginning of a line that was joined to another line. In a JSON string, its quotes would be escaped.
_BEGINNING = rb'(?=\{"timestamp"\s*:)'
# A nested object may have the same beginning. Up to this number of parts are joined to find a complete line.
_PARTS_MAX = 8


@frozen
class Fault:
    """
    One fault of a rollout.

    Attributes:
        kind: One of `FAULT_KINDS`.
        lineno: Number of the line, from 1.
        offset: Position of the first bad byte in the (uncompressed) file.
        size: Number of bad bytes.
        message: Description of the fault.
    """

    kind: str
    lineno: int
    offset: int
    size: int
    message: str


@frozen
class Verification:
    """
    The result of `verify`.

    Attributes:
        path: The file.
        size: Uncompressed size of the file in bytes.
        line_count: Number of lines that can be read, including lines that were found in bad lines.
        faults: The faults, in the order of the file.
        format: rollout; exec-json for the output of ``codex exec --json``, old-json for the document of the TypeScript
            CLI. These two are read as rollouts: sizes, lines and offsets are those of the rollout.
    """

    path: Path
    size: int
    line_count: int
    faults: tuple[Fault, ...]
    format: str = "rollout"

    @property
    def is_whole(self) -> bool:
        """Whether the file has no fault."""
        return not self.faults


@frozen
class Piece:
    """
    A part of a line of the file: a complete line that can be read, or bytes that cannot be read.

    Attributes:
        offset: Position of the first byte in the file.
        raw: The bytes; empty if they are too long to be held in memory.
        size: Length in bytes.
        line: The decoded line; None if the bytes cannot be read.
    """

    offset: int
    raw: bytes
    size: int
    line: RolloutLine | None = None


def verify(path: StrPath) -> Verification:
    """
    Find the faults of a rollout. Blocks; reads the file once, in constant memory; changes nothing.

    A session that is being written may end with an incomplete line or a call without output: both are faults, too.

    Args:
        path: The file, plain or ``.jsonl.zst``.

    Raises:
        OSError: The file cannot be opened, or is not a regular file.
        ModuleNotFoundError: The file is compressed and the extra ``zstd`` is not installed.
    """
    path = Path(path)
    try:
        form = format_of(path)
    except EncodingError as error:
        size = path.stat().st_size
        return Verification(path, size, 0, (Fault("utf-16", 1, 0, size, str(error.strerror)),))
    check = _Check()
    faults: list[Fault] = []
    count = size = 0
    for line, pieces, byte_faults in examine(path):
        faults += byte_faults
        size = line.end
        for piece in pieces:
            if piece.line is not None:
                count += 1
                faults += check.faults_of_line(line, piece, piece.line)
    faults += check.faults_at_end()
    faults.sort(key=lambda fault: (fault.lineno, fault.offset))
    return Verification(path, size, count, tuple(faults), form)


def examine(path: Path) -> Iterator[tuple[RawLine, list[Piece], list[Fault]]]:
    """
    Yield each line of a file with its pieces and the faults of its bytes. Blank lines have neither.
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
        decoded = decode_line(raw)
    except InvalidLineError as error:
        pieces = _pieces(raw, offset)
        return pieces, faults + _faults_of_bytes(line, raw, offset, pieces, error.reason)
    return [Piece(offset, raw, len(raw), decoded)], faults + _faults_of_text(line, raw)


def _pieces(raw: bytes, offset: int) -> list[Piece]:
    """
    Return the pieces of a bad line, which is split at beginnings of lines and at NUL bytes.
    """
    starts = sorted({0, *(found.start() for found in re.finditer(_BEGINNING, raw)), *_ends_of_nuls(raw), len(raw)})
    pieces = []
    first = 0
    while first < len(starts) - 1:
        for last in range(first + 1, min(first + 1 + _PARTS_MAX, len(starts))):
            found = _complete_line_in(raw[starts[first] : starts[last]])
            if found is not None:
                begin = starts[first] + found[0]
                end = begin + len(found[1].raw)
                pieces += _unread_piece(raw, starts[first], begin, offset)
                pieces.append(Piece(offset + begin, raw[begin:end], end - begin, found[1]))
                pieces += _unread_piece(raw, end, starts[last], offset)
                break
        else:
            last = first + 1
            pieces += _unread_piece(raw, starts[first], starts[last], offset)
        first = last
    return pieces


def _complete_line_in(part: bytes) -> tuple[int, RolloutLine] | None:
    """
    Return the complete line in *part* and its position; None if *part* contains no complete line. NUL bytes may be
    around the line, and an incomplete line may be after it.
    """
    for end in (len(part), part.rfind(b"}") + 1):
        stripped = part[:end].strip(_BLANK)
        with suppress(InvalidLineError):
            return part.index(stripped), decode_line(stripped)
    return None


def _ends_of_nuls(raw: bytes) -> Iterator[int]:
    return (found.end() for found in re.finditer(rb"\0+", raw))


def _unread_piece(raw: bytes, start: int, end: int, offset: int) -> list[Piece]:
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
        faults.append(_fault("glued-lines", line, f"{read_count} complete lines and {bad_size} other bytes"))
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
    State that finds faults across lines: a missing meta, wrong ordinals, and calls without output.
    """

    has_meta: bool = False
    is_paginated: bool = False
    last_ordinal: int | None = None
    unanswered: dict[str, Fault] = field(factory=dict)

    def faults_of_line(self, raw_line: RawLine, piece: Piece, line: RolloutLine) -> Iterator[Fault]:
        payload: dict[str, Any] = line.payload
        if line.type == "session_meta" and not self.has_meta:
            self.has_meta = True
            self.is_paginated = payload.get("history_mode") == "paginated"
        if line.type == "response_item":
            self._pair(raw_line, piece, payload)
            from rollout.dialects import unread_reason  # noqa: PLC0415 -- every program imports this module

            if reason := unread_reason(payload):
                yield Fault("unread-by-codex", raw_line.lineno, piece.offset, piece.size, reason)
        if not (self.is_paginated or line.ordinal is not None):
            return
        ordinal, last = line.ordinal, self.last_ordinal
        if ordinal is None:
            yield Fault(
                "missing-ordinal", raw_line.lineno, piece.offset, piece.size, "no ordinal in a paginated session"
            )
            return
        if last is not None and ordinal <= last:
            message = f"ordinal {ordinal} after {last}"
            yield Fault("duplicate-ordinal", raw_line.lineno, piece.offset, piece.size, message)
        elif last is not None and ordinal > last + 1:
            message = f"ordinal {ordinal} after {last}: lines between them are lost"
            yield Fault("missing-ordinal", raw_line.lineno, piece.offset, piece.size, message)
        self.last_ordinal = max(ordinal, -1 if last is None else last)

    def _pair(self, raw_line: RawLine, piece: Piece, payload: dict[str, Any]) -> None:
        # As text, since a damaged file may have any value in this place.
        kind, call_id = str(payload.get("type")), str(payload.get("call_id"))
        if kind in schema.CALL_OUTPUTS:
            message = f"call {call_id} of {payload.get('name') or kind} has no output"
            self.unanswered[call_id] = Fault("call-without-output", raw_line.lineno, piece.offset, piece.size, message)
        elif kind in schema.CALL_OUTPUTS.values():
            self.unanswered.pop(call_id, None)

    def faults_at_end(self) -> Iterator[Fault]:
        if not self.has_meta:
            yield Fault("missing-meta", 1, 0, 0, "no session_meta")
        yield from self.unanswered.values()
