"""
Encoding and decoding of one line. The only module that imports ujson. It opens no file.

The encoded bytes equal the bytes that Codex's serde_json writes for the same values: compact separators, no unnecessary
escapes, UTC milliseconds with three digits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import ujson
from attrs import field, frozen

from rollout.errors import InvalidLineError
from rollout.schema import LINE_TYPES, RolloutItem, snapshot, to_item

__all__ = ["MAX_LINE_SIZE", "RolloutLine", "decode_block", "decode_json", "decode_line", "encode_item", "encode_json"]
__all__ += ["encode_line", "encode_name", "format_timestamp", "json_for_reading"]

MAX_LINE_SIZE = 512 * 2**20
"""Maximum number of bytes of a line. A longer line is not recorded, and the reader skips it in constant memory."""

# Arguments after the value: ensure_ascii, encode_html_chars, escape_forward_slashes, sort_keys, indent, allow_nan. They
# are passed by position: by name takes 0.3 us longer. ensure_ascii takes half the time, with equal text for pure ASCII.
_dumps = ujson.dumps
_loads = ujson.loads

_BOM = b"\xef\xbb\xbf"
# A number that no file contains, to separate lines that are decoded together.
_SEPARATOR = int.from_bytes(os.urandom(7), "big")
_SEPARATED = b",%d," % _SEPARATOR
_ENVELOPE = frozenset({"timestamp", "ordinal", "type", "payload", "metadata"})
# Number of the keys that every envelope has: timestamp, type and payload.
_REQUIRED_COUNT = 3


class _EnvelopeKeys:
    # A line that was constructed has its own `_keys` in its __dict__, which takes precedence over this descriptor.
    def __get__(self, line: RolloutLine | None, _: type) -> tuple[str, ...] | None:
        return None if line is None else tuple(key for key in line.__dict__ if key in _ENVELOPE)


class _EnvelopeDefaults:
    # Values of the fields that `RolloutLine._from_envelope` does not set. They are in a base class since attrs removes
    # class attributes that have the name of a field.
    ordinal: int | None = None
    metadata: Any = None
    extra: Mapping[str, Any] = MappingProxyType({})
    is_bare: bool = False
    _keys: Any = _EnvelopeKeys()


_new, _set = object.__new__, object.__setattr__


@frozen(kw_only=True, slots=False)
class RolloutLine(_EnvelopeDefaults):
    """
    One line of a rollout: a time, a type and a payload.

    Attributes:
        timestamp: Time of the write, exactly as in the file; Codex writes UTC with milliseconds
            (``2025-09-16T19:49:09.591Z``). None in files before 0.32.
        type: ``session_meta``, ``response_item``, ``event_msg``, ``turn_context``, ``compacted`` or a later one.
        payload: Plain JSON object. Treat it as read-only.
        ordinal: Number of the line in a paginated session, from 0; None in other sessions.
        metadata: Metadata that newer versions of Codex write next to the payload of a response item.
        extra: Further keys of the envelope.
        is_bare: Whether the line is from a file before 0.32, in which lines are payloads without an envelope.
        raw: Bytes that the line was decoded from, without the newline; empty for a constructed line.
            To write an unchanged line back, write these bytes.
    """

    timestamp: str | None
    type: str
    payload: Any
    ordinal: int | None = None
    metadata: Any = None
    extra: Mapping[str, Any] = field(factory=dict)
    is_bare: bool = False
    # The keys of the decoded envelope, in their order; see Wire._keys.
    _keys: tuple[str, ...] | None = field(default=None, eq=False, repr=False)
    raw: bytes = field(default=b"", init=False, eq=False, repr=False)

    @staticmethod
    def _from_envelope(envelope: dict[str, Any], raw: bytes) -> RolloutLine:
        """
        Return a line with the keys of a decoded envelope as its fields, without a check. The line keeps the dict.

        The dict becomes the ``__dict__`` of the line: 1 us less than with an ``__init__`` (benchmarks/bench_read.py).
        """
        line = _new(RolloutLine)
        _set(line, "__dict__", envelope)
        envelope["raw"] = raw
        return line

    def _with_raw(self, raw: bytes) -> RolloutLine:
        """
        Return a copy with other raw bytes.
        """
        return self._from_envelope(self.__dict__.copy(), raw)

    @property
    def item(self) -> RolloutItem:
        """
        The payload as an object of `rollout.schema`, a new one at every access. Never raises.

        A payload that matches no class becomes an `Unknown...` object, with the reason.
        """
        payload = self.payload
        return payload if isinstance(payload, RolloutItem) else to_item(self.type, payload)


# A lookup in the class takes longer.
_from_envelope = RolloutLine._from_envelope


def decode_line(raw: bytes) -> RolloutLine:
    """
    Decode one line, with or without its newline.

    Bytes that are not UTF-8 are read as U+FFFD; `RolloutLine.raw` keeps them.

    Raises:
        InvalidLineError: The line is not a JSON object, or not an object that any version of Codex wrote.
    """
    try:
        value = _loads(raw)
    except ValueError as error:
        value = _decode_again(raw, str(error))
    try:
        is_usual = (
            type(value["payload"]) is dict
            and type(value["type"]) is str
            and type(value["timestamp"]) is str
            and (len(value) == _REQUIRED_COUNT or (value.keys() <= _ENVELOPE and type(value.get("ordinal", 0)) is int))
        )
    except (KeyError, TypeError):
        is_usual = False
    if is_usual:
        return _from_envelope(value, raw.rstrip(b"\r\n"))
    if type(value) is not dict:
        raise InvalidLineError(None, 0, f"not an object but {type(value).__name__}")
    line = _enveloped(value) if "payload" in value else _bare(value)
    return line._with_raw(raw.rstrip(b"\r\n"))


def decode_block(block: bytes) -> list[dict[str, Any]] | None:
    """
    Decode many lines at once, each into the keys and values of its envelope: for a reader that needs no `RolloutLine`,
    in half of the time.

    Args:
        block: Lines, with newlines between them.

    Returns:
        The envelopes; None if a line is not of the usual form. Then each line is to be decoded by `decode_line`.
    """
    try:
        # JSON text contains no newline, so each one separates two lines. The separator shows that each line is one
        # value: around a line with two values, or within one value on two lines, it is at another place.
        values = _loads(b"[%b]" % block.replace(b"\n", _SEPARATED))
        found: list[dict[str, Any]] = values[::2]
        if len(values) != 2 * values[1::2].count(_SEPARATOR) + 1:
            return None
        for value in found:
            if not (
                type(value["payload"]) is dict
                and type(value["type"]) is str
                and type(value["timestamp"]) is str
                and (
                    len(value) == _REQUIRED_COUNT
                    or (value.keys() <= _ENVELOPE and type(value.get("ordinal", 0)) is int)
                )
            ):
                return None
    except (ValueError, KeyError, TypeError):
        return None
    return found


def _decode_again(raw: bytes, reason: str) -> Any:
    try:
        return _loads(raw.removeprefix(_BOM).decode("utf-8", "replace"))
    except ValueError:
        raise InvalidLineError(None, 0, f"not JSON ({reason})") from None


def _enveloped(value: dict[str, Any]) -> RolloutLine:
    kind, payload, ordinal = value.get("type"), value["payload"], value.get("ordinal")
    if type(kind) is not str:
        raise InvalidLineError(None, 0, "no type")
    if type(payload) is not dict:
        raise InvalidLineError(None, 0, f"the payload is not an object but {type(payload).__name__}")
    timestamp = value.get("timestamp")
    if type(timestamp) is not str:
        raise InvalidLineError(None, 0, "no timestamp")
    if ordinal is not None and type(ordinal) is not int:
        raise InvalidLineError(None, 0, f"the ordinal is {ordinal!r}")
    return RolloutLine(
        timestamp=timestamp,
        type=kind,
        payload=payload,
        ordinal=ordinal,
        metadata=value.get("metadata"),
        extra={} if value.keys() <= _ENVELOPE else {k: v for k, v in value.items() if k not in _ENVELOPE},
        keys=tuple(value),
    )


def _bare(value: dict[str, Any]) -> RolloutLine:
    """
    Return a line of a file before 0.32, whose type is derived from its keys.
    """
    if "record_type" in value:
        kind = "state"
    elif type(value.get("type")) is str and value["type"] not in LINE_TYPES and "timestamp" not in value:
        kind = "response_item"
    elif "type" not in value and type(value.get("id")) is str and "timestamp" in value:
        kind = "session_meta"
    else:
        raise InvalidLineError(None, 0, "neither an envelope with a payload nor a bare item")
    timestamp = value.get("timestamp")
    return RolloutLine(timestamp=timestamp if type(timestamp) is str else None, type=kind, payload=value, is_bare=True)


def encode_line(line: RolloutLine) -> bytes:
    """
    Encode one line, with its newline. The result for a decoded line is an equal JSON value with the same order of keys.

    Raises:
        EncodeError: The payload has no JSON form.
    """
    if line.is_bare:
        return _to_bytes(encode_json(snapshot(line.payload)) + "\n")
    envelope: dict[str, Any] = {"timestamp": line.timestamp}
    if line.ordinal is not None:
        envelope["ordinal"] = line.ordinal
    envelope.update(type=line.type, payload=line.payload)
    if line.metadata is not None:
        envelope["metadata"] = line.metadata
    envelope.update(line.extra)
    if line._keys is not None:
        envelope = {key: envelope.get(key) for key in line._keys} | envelope
    return _to_bytes(encode_json(snapshot(envelope)) + "\n")


def encode_item(
    kind: str,
    payload: Any,
    time_ms: int,
    ordinal: int | None = None,
    metadata: Any = None,
    is_ascii: bool = False,
) -> bytes:
    """
    Encode plain values, as returned by `snapshot`, as a line with its newline.

    Args:
        kind: Type of the line.
        payload: Plain payload.
        time_ms: Unix milliseconds.
        ordinal: Number of the line, only for a paginated session.
        metadata: Metadata next to the payload; None if the line has no metadata.
        is_ascii: Whether the payload and the metadata are pure ASCII; such a line takes half the time.

    Raises:
        MemoryError: There is not enough memory for the line.
    """
    head = _head(kind, time_ms) if ordinal is None else _make_head(kind, time_ms, f'"ordinal":{ordinal},')
    sibling = "" if metadata is None else f',"metadata":{encode_json(metadata)}'
    try:
        text = f"{head}{_dumps(payload, is_ascii, False, False, False, 0, False)}{sibling}}}\n"
    except OverflowError as error:
        # ujson raises this error if there is no memory; no value of a snapshot is too large for ujson.
        raise MemoryError(str(error)) from error
    # Most lines are ASCII, and a call of `_to_bytes` takes 0.05 us.
    return text.encode() if text.isascii() else _to_bytes(text)


def _make_head(kind: str, time_ms: int, number: str = "") -> str:
    return f'{{"timestamp":"{format_timestamp(time_ms)}",{number}"type":{encode_json(kind)},"payload":'


# Many lines have the time and the type of the previous one: 0.06 us instead of 0.8.
_head = lru_cache(maxsize=16)(_make_head)


def encode_name(session_id: str, name: str) -> bytes:
    """
    Encode the line that names a session now, with its newline, for the file with the names of sessions.
    """
    now = format_timestamp(time.time_ns() // 1_000_000)
    return _to_bytes(encode_json({"id": session_id, "thread_name": name, "updated_at": now}) + "\n")


def decode_json(text: str | bytes) -> Any:
    """
    Decode JSON text.

    Raises:
        ValueError: The text is not JSON.
    """
    return _loads(text)


def encode_json(value: Any) -> str:
    """
    Encode plain values as compact JSON text.
    """
    return _dumps(value, False, False, False, False, 0, False)


def json_for_reading(value: Any) -> str:
    """
    Encode values from `decode_json` or `decode_line` as indented JSON text. NaN and infinity are kept.
    """
    return _dumps(value, False, False, False, False, 2, True)


def _to_bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8 encoding; Codex writes U+FFFD for bytes that it cannot decode.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def format_timestamp(time_ms: int) -> str:
    """
    Format Unix milliseconds as Codex does: ``2025-09-16T19:49:09.591Z``.
    """
    seconds, milliseconds = divmod(time_ms, 1000)
    return f"{_format_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=8)
def _format_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
