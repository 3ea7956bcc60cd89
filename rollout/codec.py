"""
One line <-> bytes. The only room that knows ujson and cattrs. Knows no files.

What is written equals, byte for byte, what Codex's serde_json writes for the same values: compact separators,
nothing escaped that need not be, UTC milliseconds with three digits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any, get_args, get_origin

import ujson
from attrs import field, frozen

from rollout import schema
from rollout._plain import snapshot, wire_fields
from rollout.errors import InvalidLineError
from rollout.schema import LINE_TYPES, RolloutItem, Wire

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ["MAX_LINE_SIZE", "RolloutLine", "decode_line", "encode_item", "encode_json"]
__all__ += ["encode_line", "format_timestamp", "to_item"]

MAX_LINE_SIZE = 512 * 2**20
"""Bytes; a longer line is not recorded, and skipped by the reader without being held in memory."""

_Hook = Callable[[Any, Any], Any]

# After the value: ensure_ascii, encode_html_chars, escape_forward_slashes, sort_keys, indent, allow_nan; by position,
# as by name takes 0.3 us longer. ensure_ascii takes half the time, and gives an equal text where all is ASCII.
_dumps = ujson.dumps

_BOM = b"\xef\xbb\xbf"
_ENVELOPE = frozenset({"timestamp", "ordinal", "type", "payload", "metadata"})


@frozen(kw_only=True)
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
        if isinstance(self.payload, RolloutItem):
            return self.payload
        return to_item(self.type, self.payload)


def decode_line(raw: bytes) -> RolloutLine:
    """
    Decode one line, with or without its newline.

    Bytes that are not UTF-8 are read as U+FFFD; `RolloutLine.raw` keeps them.

    Raises:
        InvalidLineError: It is not a JSON object, or not one that any Codex wrote.
    """
    value = _decode_json(raw.removeprefix(_BOM))
    if not isinstance(value, dict):
        raise InvalidLineError(None, 0, f"not an object but {type(value).__name__}")
    line = _enveloped(value) if "payload" in value else _bare(value)
    object.__setattr__(line, "raw", raw.rstrip(b"\r\n"))
    return line


def _decode_json(raw: bytes) -> Any:
    try:
        return ujson.loads(raw)
    except ValueError as error:
        reason = str(error)
    try:
        return ujson.loads(raw.decode("utf-8", "replace"))
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
    """
    head = _head(kind, time_ms) if ordinal is None else _make_head(kind, time_ms, f'"ordinal":{ordinal},')
    beside = "" if metadata is None else f',"metadata":{encode_json(metadata)}'
    text = f"{head}{_dumps(payload, is_ascii, False, False, False, 0, False)}{beside}}}\n"
    # Most are ASCII, and a call is 0.05 us.
    return text.encode() if text.isascii() else _to_bytes(text)


def _make_head(kind: str, time_ms: int, number: str = "") -> str:
    return f'{{"timestamp":"{format_timestamp(time_ms)}",{number}"type":{encode_json(kind)},"payload":'


# Many lines have the time and the type of the one before: 0.06 us, against 0.8.
_head = lru_cache(maxsize=16)(_make_head)


def encode_json(value: Any) -> str:
    """
    Encode plain values as compact JSON text.
    """
    return _dumps(value, False, False, False, False, 0, False)


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


def to_item(kind: str, payload: Any) -> RolloutItem:
    """
    Structure a plain payload; what fits no class becomes an `Unknown...` object that says why.

    Args:
        kind: The line's type.
        payload: The plain payload.
    """
    family = schema.LINE_ITEMS.get(kind)
    if family is None:
        return schema.UnknownItem(line_type=kind, payload=payload, reason=f"unknown line type {kind!r}")
    try:
        structured: RolloutItem = _converter().structure(payload, family)
    except _MISFITS as error:
        return schema.UnknownItem(line_type=kind, payload=payload, reason=_misfit(error))
    return structured


# What a structure hook raises where a value does not fit.
_MISFITS = (TypeError, KeyError, ValueError)


def _misfit(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error)


@cache
def _converter() -> Converter:
    """
    Make the converter when the first item is asked for: reading lines needs none.
    """
    import cattrs  # noqa: PLC0415 -- 12 ms that `import rollout` need not take

    converter = cattrs.Converter(detailed_validation=False)
    for kind in (str, int, bool):
        converter.register_structure_hook(kind, _exactly)
    converter.register_structure_hook(float, _float)
    converter.register_structure_hook_factory(_is_tuple, partial(_tuple_hook, converter))
    converter.register_structure_hook_factory(_is_wire, partial(_wire_hook, converter))
    converter.register_structure_hook_factory(schema.UNKNOWN.__contains__, partial(_family_hook, converter))
    return converter


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _is_wire(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Wire) and kind not in schema.UNKNOWN


def _exactly(value: Any, kind: type) -> Any:
    # cattrs would coerce: str(None) is "None".
    if type(value) is not kind:
        raise TypeError(f"{value!r:.60} is not {kind.__name__}")
    return value


def _float(value: Any, _: type) -> Any:
    if type(value) is not float and type(value) is not int:
        raise TypeError(f"{value!r:.60} is not a number")
    return value


def _tuple_hook(converter: Converter, kind: Any) -> _Hook:
    of = get_args(kind)[0]

    def structure(value: Any, _: Any) -> tuple[Any, ...]:
        _exactly(value, list)
        return tuple(converter.structure(inner, of) for inner in value)

    return structure


def _wire_hook(converter: Converter, kind: Any) -> _Hook:
    """
    Let cattrs fill the fields; keep what the class does not name, and the order of keys.
    """
    from cattrs.gen import make_dict_structure_fn, override  # noqa: PLC0415

    renamed: dict[str, Any] = {f.name: override(rename=f.key) for f in wire_fields(kind) if f.name != f.key}
    hidden: dict[str, Any] = {"extra": override(omit=True), "_keys": override(omit=True)}
    fill = make_dict_structure_fn(kind, converter, _cattrs_detailed_validation=False, **hidden, **renamed)
    known = {f.key for f in wire_fields(kind)} | ({"type"} if kind.tag else set())

    def structure(payload: Any, _: Any) -> Wire:
        _exactly(payload, dict)
        item: Wire = fill(payload, kind)
        object.__setattr__(item, "_keys", tuple(payload))
        is_aliased = kind.tag is not None and payload.get("type") != kind.tag
        if is_aliased or not payload.keys() <= known:
            extra = {k: v for k, v in payload.items() if k not in known or (is_aliased and k == "type")}
            object.__setattr__(item, "extra", extra)
        return item

    return structure


def _family_hook(converter: Converter, family: type[Wire]) -> _Hook:
    """
    Tell the members of a family apart by their tag.
    """
    unknown = schema.UNKNOWN[family]
    members: dict[Any, type[Wire]] = {}
    for kind in (getattr(schema, name) for name in schema.__all__):
        if isinstance(kind, type) and issubclass(kind, family) and kind.tag is not None:
            members.update(dict.fromkeys((kind.tag, *kind.aliases), kind))

    def structure(payload: Any, _: Any) -> Wire:
        tag = payload.get("type") if type(payload) is dict else None
        if type(tag) is not str or tag not in members:
            return unknown(payload=payload, reason=f"unknown type {tag!r}")  # type: ignore[call-arg]
        try:
            return converter.structure(payload, members[tag])
        except _MISFITS as error:
            return unknown(payload=payload, reason=_misfit(error))  # type: ignore[call-arg]

    return structure
