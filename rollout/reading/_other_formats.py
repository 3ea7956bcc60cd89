"""
Files that are no rollouts, but contain a session: recognized by their first bytes, and read as a rollout.

They are what ``codex exec --json`` printed, in its form of 2025 (events in ``msg``) and in that since Codex 0.44
(``thread.started``, ``item.completed``), and the one JSON document in which the TypeScript CLI saved a session. Their
objects become lines of a rollout, in bytes, so that all that reads a rollout reads them. Nothing is left out: an object
is the payload of its line, or it is in the line beside the payload, as *original*; what is no JSON stays as it is.

A file in UTF-16 is refused by name: it has no line that could be read.
"""

from __future__ import annotations

import errno
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from rollout.codec import MAX_LINE_SIZE, RolloutLine, decode_json, encode_line
from rollout.errors import EncodeError
from rollout.reading._blocks import blocks, is_blank
from rollout.reading._opening import ROLLOUT, EncodingError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["EXEC_JSON", "OLD_JSON", "OtherFormat", "recognize"]

EXEC_JSON, OLD_JSON = "exec-json", "old-json"
"""The formats of other files: what `codex exec --json` prints, and the document of the TypeScript CLI."""

_BOM = b"\xef\xbb\xbf"
_UTF_16 = re.compile(rb"\xff\xfe|\xfe\xff|[\s{]\0[^\0]\0|\0[\s{]\0[^\0]")
_DOCUMENT = re.compile(rb'\s*\{\s*"(?:session|items)"\s*:')
# Warnings of Codex may stand before the first event, if both were saved in one file.
_EXEC = re.compile(
    rb'^\{\s*(?:"type"\s*:\s*"(?:thread|turn|item|session)\.[a-z]+"|"type"\s*:\s*"error"\s*,\s*"message"'
    rb'|"id"\s*:\s*"[^"]*"\s*,\s*"msg"\s*:\s*\{|"prompt"\s*:\s*"[^\n]*\}\s*$'
    rb'|(?=[^\n]*"workdir"\s*:)(?=[^\n]*"provider"\s*:)(?![^\n]*"type"\s*:))',
    re.MULTILINE,
)
# Number of bytes that are skipped at once to reach a position.
_SKIP_SIZE = 4096
# How many ends of items are tried in a document that is cut off.
_CUTS_MAX = 200

_Translate: TypeAlias = "Callable[[Path, io.BufferedIOBase], Iterator[bytes]]"


def recognize(path: Path, head: bytes) -> str:
    """
    Return the format of a file, given its first bytes, which are not those of nearly all rollouts.

    Raises:
        EncodingError: The file is UTF-16.
    """
    if _UTF_16.match(head):
        raise EncodingError(
            errno.EILSEQ, "the file is in UTF-16, not UTF-8; convert it with iconv -f UTF-16 -t UTF-8", str(path)
        )
    head = head.removeprefix(_BOM)
    if _DOCUMENT.match(head):
        return OLD_JSON
    first = next((line for line in head.split(b"\n") if line.startswith(b"{")), b"")
    return EXEC_JSON if _EXEC.match(first) else ROLLOUT


class OtherFormat(io.RawIOBase):
    """
    Reader of a file in another format, as the bytes of a rollout. It seeks by reading from the beginning.
    """

    def __init__(self, path: Path, file: io.BufferedReader, form: str) -> None:
        self._path, self._file = path, file
        self._translate: _Translate = _lines_of_document if form == OLD_JSON else _lines_of_events
        self._restart()

    def _restart(self) -> None:
        self._lines = self._translate(self._path, self._file)
        self._held = memoryview(b"")
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of the file itself."""
        return self._file.fileno()

    def tell(self) -> int:
        """Return the position in the translation."""
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """
        Copy some bytes into *buffer* and return their number, 0 at the end.
        """
        with memoryview(buffer).cast("B") as view:
            while not self._held and (lines := next(self._lines, None)) is not None:
                # Empty for an object whose line comes later.
                self._held = memoryview(lines)
            size = min(len(view), len(self._held))
            view[:size] = self._held[:size]
        self._held = self._held[size:]
        self._at += size
        return size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """
        Set the position in the translation.
        """
        if whence == io.SEEK_CUR:
            offset += self._at
        elif whence == io.SEEK_END:
            raise io.UnsupportedOperation("the size of the translation is not known")
        if offset < self._at:
            self._file.seek(0)
            self._restart()
        while self._at < offset and self.readinto(bytearray(min(offset - self._at, _SKIP_SIZE))):
            pass
        return self._at

    def close(self) -> None:
        """Close this reader and the file."""
        self._file.close()
        super().close()


def _lines_of_events(path: Path, file: io.BufferedIOBase) -> Iterator[bytes]:
    from rollout.interpret import ExecReader  # noqa: PLC0415 -- few files are such

    reader = ExecReader(path)
    for block in blocks(file):  # type: ignore[arg-type]
        for raw in block.lines:
            if is_blank(raw):
                continue
            event = _object_in(raw)
            if event is None:
                yield _encode(reader.rest(), raw) + raw + b"\n" * block.is_ended
            else:
                yield _encode(reader.lines_of(event, raw), raw)
        if block.too_long:
            yield b"a line of %d bytes, which is longer than %d\n" % (block.too_long, MAX_LINE_SIZE)
    yield _encode(reader.rest(), b"")


def _object_in(raw: bytes) -> dict[str, Any] | None:
    try:
        value = decode_json(raw.removeprefix(_BOM).decode("utf-8", "replace"))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _encode(lines: list[RolloutLine], raw: bytes) -> bytes:
    """
    Return lines in bytes; in place of a line whose values have no JSON form, such as NaN, the bytes *raw*.
    """
    return b"".join(_encode_one(line, raw) for line in lines)


def _encode_one(line: RolloutLine, raw: bytes) -> bytes:
    try:
        return encode_line(line)
    except EncodeError:
        return raw + b"\n"


def _lines_of_document(_: Path, file: io.BufferedIOBase) -> Iterator[bytes]:
    text = file.read(MAX_LINE_SIZE + 1).removeprefix(_BOM)
    if len(text) > MAX_LINE_SIZE:
        yield b"a document longer than %d bytes\n" % MAX_LINE_SIZE
        return
    document, rest = _object_in(text), b""
    if document is None:
        document, rest = _beginning_of(text)
    session, items = document.pop("session", None), document.pop("items", None)
    extra = {"original": document} if document else {}
    if isinstance(session, dict):
        is_bare = not extra and type(session.get("id")) is type(session.get("timestamp")) is str
        timestamp = session.get("timestamp")
        line = RolloutLine(
            timestamp=timestamp if isinstance(timestamp, str) else "", type="session_meta",
            payload=session if is_bare else {**session, "id": str(session.get("id", ""))},
            extra=extra, is_bare=is_bare,
        )  # fmt: skip
        yield _encode_one(line, b"a session that cannot be read")
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict):
            # The type of a message may be left out, as in the API.
            payload = item if "type" in item else {"type": "message", **item}
            line = RolloutLine(timestamp=None, type="response_item", payload=payload, is_bare=True)
            yield _encode_one(line, b"an item that cannot be read")
        else:
            yield repr(item).encode("utf-8", "replace") + b"\n"
    if rest:
        yield rest


def _beginning_of(text: bytes) -> tuple[dict[str, Any], bytes]:
    """
    Return the part of a document that can be read, up to its last complete item, and the rest as one line.
    """
    end = len(text)
    for _ in range(_CUTS_MAX):
        end = text.rfind(b"}", 0, end)
        if end < 0:
            break
        document = _object_in(text[: end + 1] + b"]}")
        if document is not None:
            return document, b" ".join(text[end + 1 :].split())
    return {}, b" ".join(text.split())
