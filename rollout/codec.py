"""
One line <-> bytes. The only room that knows ujson. Knows no files.

What is written equals, byte for byte, what Codex's serde_json writes for the same values: compact separators,
nothing escaped that need not be, UTC milliseconds with three digits.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import ujson
from attrs import field, frozen

from rollout._plain import snapshot
from rollout._structure import to_item
from rollout.errors import InvalidLineError
from rollout.schema import LINE_TYPES, RolloutItem

__all__ = ["MAX_LINE_SIZE", "RolloutLine", "decode_json", "decode_line", "encode_item", "encode_json"]
__all__ += ["encode_line", "format_timestamp", "json_for_reading"]

MAX_LINE_SIZE = 512 * 2**20
"""Bytes; a longer line is not recorded, and skipped by the reader without being held in memory."""

# After the value: ensure_ascii, encode_html_chars, escape_forward_slashes, sort_keys, indent, allow_nan; by position,
# as by name takes 0.3 us longer. ensure_ascii takes half the time, and gives an equal text where all is ASCII.
_dumps = ujson.dumps
_loads = ujson.loads

_BOM = b"\xef\xbb\xbf"
_ENVELOPE = frozenset({"timestamp", "ordinal", "type", "payload", "metadata"})
# The envelope's keys that are always there.
_LEAST = 3


@frozen(kw_only=True, slots=False)
class RolloutLine:
    """
    One line of a rollout: when, and what.

    Attributes:
        timestamp: When it was written, as it stands in the file; Codex writes UTC with milliseconds
            (``2025-09-16T19:49:09.591Z``). None in files before 0.32.
        type: ``session_meta``, ``response_item``, ``event_msg``, ``turn_context``, ``compacted`` or a later one.
        payload: The plain JSON object. Treat it as read-only.
        ordinal: Number of the line in a paginated session, from 0; None elsewhere.
        metadata: What Codex notes beside the payload of a response item today.
        extra: Further keys of the envelope.
        is_bare: Read from a file before 0.32, where lines are payloads without an envelope.
        raw: The bytes it was decoded from, without the newline; empty for a line made by hand.
            To write back what was not touched, write these.
    """

    timestamp: str | None
    type: str
    payload: Any
    ordinal: int | None = None
    metadata: Any = None
    extra: Mapping[str, Any] = field(factory=dict)
    is_bare: bool = False
    # The envelope's keys as read; see Wire._keys.
    _keys: tuple[str, ...] | None = field(default=None, eq=False, repr=False)
    raw: bytes = field(default=b"", init=False, eq=False, repr=False)

    @property
    def item(self) -> RolloutItem:
        """
        The payload as an object of `rollout.schema`, made anew at every access.

        What fits no class is an `Unknown...` object that says why; this never raises.
        """
        payload = self.payload
        return payload if isinstance(payload, RolloutItem) else to_item(self.type, payload)


class _KeysAsRead:
    # Of a line that was not read there is one in its __dict__, which goes before this.
    def __get__(self, line: RolloutLine | None, _: type) -> tuple[str, ...] | None:
        return None if line is None else tuple(key for key in line.__dict__ if key in _ENVELOPE)


# What a line that was read need not have of its own; see decode_line.
for _name, _default in (
    ("ordinal", None),
    ("metadata", None),
    ("extra", MappingProxyType({})),
    ("is_bare", False),
    ("_keys", _KeysAsRead()),
):
    setattr(RolloutLine, _name, _default)
_new, _set = object.__new__, object.__setattr__


def decode_line(raw: bytes) -> RolloutLine:
    """
    Decode one line, with or without its newline.

    Bytes that are not UTF-8 are read as U+FFFD; `RolloutLine.raw` keeps them.

    Raises:
        InvalidLineError: It is not a JSON object, or not one that any Codex wrote.
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
            and (len(value) == _LEAST or (value.keys() <= _ENVELOPE and type(value.get("ordinal", 0)) is int))
        )
    except (KeyError, TypeError):
        is_usual = False
    if is_usual:
        # The envelope's keys are the names of the fields: 1 us less than an __init__.
        line = _new(RolloutLine)
        _set(line, "__dict__", value)
        value["raw"] = raw.rstrip(b"\r\n")
        return line
    if type(value) is not dict:
        raise InvalidLineError(None, 0, f"not an object but {type(value).__name__}")
    line = _enveloped(value) if "payload" in value else _bare(value)
    _set(line, "raw", raw.rstrip(b"\r\n"))
    return line


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
    Tell a line of a file before 0.32 by its keys.
    """
    if "record_type" in value:
        kind = "state"
    elif type(value.get("type")) is str and value["type"] not in LINE_TYPES and "timestamp" not in value:
        kind = "response_item"
    elif "type" not in value and type(value.get("id")) is str and "timestamp" in value:
        kind = "session_meta"
    else:
        raise InvalidLineError(None, 0, "neither an envelope with a payload nor a bare item")
    return RolloutLine(timestamp=value.get("timestamp"), type=kind, payload=value, is_bare=True)


def encode_line(line: RolloutLine) -> bytes:
    """
    Encode one line, with its newline: an equal JSON value with the same key order as was decoded.

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
    Encode plain values that `snapshot` made into a line with its newline.

    Args:
        kind: The line's type.
        payload: The plain payload.
        time_ms: Unix milliseconds.
        ordinal: Only for a paginated session.
        metadata: The payload's sibling, if there is one.
        is_ascii: Nothing in the payload and the metadata is not ASCII; such a line takes half the time.

    Raises:
        MemoryError: There is not enough memory for the line.
    """
    head = _head(kind, time_ms) if ordinal is None else _make_head(kind, time_ms, f'"ordinal":{ordinal},')
    beside = "" if metadata is None else f',"metadata":{encode_json(metadata)}'
    try:
        text = f"{head}{_dumps(payload, is_ascii, False, False, False, 0, False)}{beside}}}\n"
    except OverflowError as error:
        # ujson raises this when it gets no memory; the snapshot has no value that is too large for it.
        raise MemoryError(str(error)) from error
    # Most are ASCII, and a call is 0.05 us.
    return text.encode() if text.isascii() else _to_bytes(text)


def _make_head(kind: str, time_ms: int, number: str = "") -> str:
    return f'{{"timestamp":"{format_timestamp(time_ms)}",{number}"type":{encode_json(kind)},"payload":'


# Many lines have the time and the type of the one before: 0.06 us, against 0.8.
_head = lru_cache(maxsize=16)(_make_head)


def decode_json(text: str | bytes) -> Any:
    """
    Decode JSON text.

    Raises:
        ValueError: It is none.
    """
    return _loads(text)


def encode_json(value: Any) -> str:
    """
    Encode plain values as compact JSON text.
    """
    return _dumps(value, False, False, False, False, 0, False)


def json_for_reading(value: Any) -> str:
    """
    Encode what `decode_json` or `decode_line` gave as JSON text in lines, NaN and infinity as such.
    """
    return _dumps(value, False, False, False, False, 2, True)


def _to_bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8 form; Codex writes U+FFFD for what it cannot decode.
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
