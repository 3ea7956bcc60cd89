"""
Copy the items of a caller to plain JSON values when they are recorded.

Containers are copied, and strings are shared. A value without a JSON form is refused here, in the caller's frame.
Independent of lines, bytes and files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from reprlib import repr as short_repr
from typing import Any, NamedTuple

import attrs

from rollout.errors import EncodeError
from rollout.schema import LINE_TYPES, RolloutItem, Wire
from rollout.schema._foreign import (
    NoJsonFormError,
    UnsupportedTypeError,
    dump_fields,
    has_kind,
    items_of,
    path_step,
    values_of,
    wrap_error,
)

__all__ = ["MAX_DEPTH", "CopyStats", "copy_to_show", "encode_error_for", "plain_item", "snapshot", "wire_fields"]

# serde_json reads 127 levels, and the envelope of a line is one level: Codex loses a line with more levels.
MAX_DEPTH = 126

_INT_MAX = 2**64
# CPython refuses to print an int of over 4,300 digits; 14,000 bits are 4,215 digits.
_INT_BITS_MAX = 14_000
# Characters. The size of a shorter string is not added: the size of an entry includes a string of this length, with 4
# bytes a character, and its part of the container.
_SHORT_LENGTH = 256
_ENTRY_SIZE = 4 * _SHORT_LENGTH + 128
_size_of = str.__sizeof__

# ASCII strings that were keys before. One lookup replaces two checks, of the key's type and of its characters.
_known_keys: set[str] = set()
_KNOWN_KEYS_MAX = 4096


def plain_item(item: Any, default: Callable[[Any], Any] | None = None) -> tuple[str, Any, Any]:
    """
    Return the type of the line, the payload and the metadata of an item. A dict is not copied.

    Args:
        item: Any value that `Recorder.record` accepts.
        default: Function that converts an item of another type.

    Raises:
        EncodeError: The value is not an item.
        Exception: Raised by the item's own code; see `encode_error_for`.
    """
    if type(item) is dict:
        # The usual case; a check with an abstract class takes 0.3 us.
        pass
    elif isinstance(item, RolloutItem):
        return item.line_type, item, None
    elif not isinstance(item, Mapping):
        item = _dump_item(item, default)
    kind = item.get("type")
    if type(kind) is not str:
        if not has_kind(kind, str):
            text = short_repr(kind)
            raise EncodeError("type", f"an item needs a type, such as 'message' or 'event_msg'; this is {text}")
        kind = str.__str__(kind)
    if "payload" in item:
        return _unwrap_item(kind, item)
    if kind in LINE_TYPES:
        raise EncodeError("payload", f"an item of type {kind!r} needs a payload")
    return "response_item", item, None


def _dump_item(item: Any, default: Callable[[Any], Any] | None) -> Mapping[str, Any]:
    if item is None or type(item) in (str, bool, int, float, list, tuple):
        raise EncodeError("", f"an item is a dict or an object of rollout.schema, not {type(item).__name__}")
    try:
        return dump_fields(item)
    except UnsupportedTypeError as found:
        converted = default(item) if default else None
        if isinstance(converted, Mapping):
            return converted
        raise EncodeError("", found.reason) from found.__cause__
    except NoJsonFormError as found:
        raise EncodeError("", found.reason) from found.__cause__


def _unwrap_item(kind: str, item: Mapping[str, Any]) -> tuple[str, Any, Any]:
    payload = item["payload"]
    if not isinstance(payload, (Mapping, Wire)):
        raise EncodeError("payload", f"an object is needed, not {type(payload).__name__}")
    return kind, payload, item.get("metadata")


class CopyStats:
    """
    Size and encoding of a copy.

    Attributes:
        size: Bytes of memory that the copy keeps alive; an upper bound, unless keys are long.
        is_ascii: Whether all characters of the copy are ASCII.
        default: Function that converts values whose type has no JSON form; None means that these are refused.
    """

    # Attributes of the class: an object with an __init__ takes 0.1 us longer to make.
    size = 0
    is_ascii = True
    default: Callable[[Any], Any] | None = None


def snapshot(value: Any, stats: CopyStats | None = None, default: Callable[[Any], Any] | None = None) -> Any:
    """
    Return a copy of *value* that consists of dicts, lists, strings, numbers, booleans and None.

    Args:
        value: Value of any type.
        stats: Object to which the size and the encoding of the copy are added; the size includes shared strings.
        default: Function that converts values whose type has no JSON form; by default these are refused.

    Raises:
        EncodeError: A part of the value has no JSON form; `path` is its position.
    """
    stats = stats or CopyStats()
    if default is not None:
        stats.default = default
    try:
        return _copy_dict(value, MAX_DEPTH, stats) if type(value) is dict else _copy(value, MAX_DEPTH, stats)
    except Exception as error:  # noqa: BLE001 -- code of others
        refused = encode_error_for(error, value)
        raise refused from refused.__cause__


def encode_error_for(error: Exception, value: Any) -> EncodeError:
    """
    Return the error for a value that is refused, or whose own code raised *error*. The result has its cause set.
    """
    if isinstance(error, EncodeError):
        return error
    found = wrap_error(error, value)
    # Each level of the recursion has added its step, the innermost first.
    path = "".join(reversed(found.path)).removeprefix(".")
    refused = EncodeError(path, found.reason)
    refused.__cause__ = found.__cause__
    return refused


def _copy(value: Any, depth: int, stats: CopyStats) -> Any:
    kind = type(value)
    if kind is str:
        stats.size += _size_of(value)
        if not value.isascii():
            stats.is_ascii = False
        return value
    if value is None or kind is bool:
        return value
    if kind is dict:
        return _copy_dict(value, depth, stats)
    if kind is list or kind is tuple:
        return _copy_list(value, depth, stats)
    if kind is int:
        return value if -_INT_MAX < value < _INT_MAX else _big_int(value, stats)
    if kind is float:
        return _number(value)
    return _copy_other(value, depth, stats)


def _copy_dict(value: dict[str, Any], depth: int, stats: CopyStats) -> dict[str, Any]:
    if not depth:
        raise _too_deep()
    # Copied with one call, then other values are replaced: half the time of a loop that fills an empty dict.
    copy = value.copy()
    size = _ENTRY_SIZE * len(copy)
    try:
        for key, inner in copy.items():
            if key not in _known_keys:
                _check_key(key, stats)
            kind = type(inner)
            if kind is str:
                if not inner.isascii():
                    stats.is_ascii = False
                if len(inner) >= _SHORT_LENGTH:
                    size += _size_of(inner)
            elif kind is list:
                copy[key] = _copy_list(inner, depth - 1, stats)
            elif kind is dict:
                copy[key] = _copy_dict(inner, depth - 1, stats)
            elif inner is not None and kind is not bool:
                copy[key] = _copy(inner, depth - 1, stats)
    except Exception as error:  # noqa: BLE001 -- code of others
        found = wrap_error(error, inner if type(key) is str else key)
        found.path.append(path_step(key))
        raise found from found.__cause__
    stats.size += size
    return copy


def _copy_list(value: Sequence[Any], depth: int, stats: CopyStats) -> list[Any]:
    if not depth:
        raise _too_deep()
    copy = list(value)
    stats.size += _ENTRY_SIZE * len(copy)
    try:
        for index, inner in enumerate(copy):
            if type(inner) is dict:
                copy[index] = _copy_dict(inner, depth - 1, stats)
            else:
                copy[index] = _copy(inner, depth - 1, stats)
    except Exception as error:  # noqa: BLE001 -- code of others
        found = wrap_error(error, inner)
        found.path.append(f"[{index}]")
        raise found from found.__cause__
    return copy


def _copy_other(value: Any, depth: int, stats: CopyStats) -> Any:
    """
    Copy an instance of a subclass of a JSON type, an object of the schema, or an object that can dump itself.
    """
    if isinstance(value, Wire):
        plain = value.payload if value.is_unknown else _fields_of_item(value)  # type: ignore[attr-defined]
        return _copy(plain, depth, stats)
    # The methods of the base classes are called: a subclass may override them and return another value.
    if has_kind(value, str):
        return _copy(str.__str__(value), depth, stats)
    if has_kind(value, int):
        return _copy(int.__int__(value), depth, stats)
    if has_kind(value, float):
        return _number(float.__float__(value))
    if isinstance(value, Mapping):
        return _copy_dict(items_of(value), depth, stats)
    if isinstance(value, (list, tuple)):
        return _copy_list(values_of(value), depth, stats)
    try:
        plain = dump_fields(value)
    except UnsupportedTypeError:
        if stats.default is None:
            raise
        if not depth:
            raise _too_deep() from None
        # One level less: a function that returns what it was given would be called without end.
        return _copy(stats.default(value), depth - 1, stats)
    return _copy(plain, depth, stats)


def _check_key(key: Any, stats: CopyStats) -> None:
    if not has_kind(key, str):
        raise NoJsonFormError(f"a key must be a string, not {type(key).__name__}")
    if not str.isascii(key):
        stats.is_ascii = False
    elif type(key) is str and len(key) < _SHORT_LENGTH and len(_known_keys) < _KNOWN_KEYS_MAX:
        _known_keys.add(key)


def _number(value: float) -> float | _RustFloat:
    if 1e-4 <= abs(value) < 1e16 or value == 0:
        return value
    if math.isfinite(value):
        return _RustFloat(value)
    raise NoJsonFormError(f"{value} has no JSON form")


class _RustFloat:
    """
    A float that ujson would write in another form than serde_json: 1e+16 for 1e16, 1e-5 for 0.00001.
    """

    __slots__ = ("value",)

    def __init__(self, value: float) -> None:
        self.value = value

    def __json__(self) -> str:
        digits, exponent = repr(self.value).split("e")
        if exponent != "-05":
            return f"{digits}e{int(exponent)}"
        sign = "-" if self.value < 0 else ""
        return f"{sign}0.0000{digits.lstrip('-').replace('.', '')}"


def copy_to_show(plain: Any) -> Any:
    """
    Return a copy of a result of `snapshot` for a caller that may change it; each `_RustFloat` becomes a float.
    """
    kind = type(plain)
    if kind is dict:
        return {key: inner if type(inner) is str else copy_to_show(inner) for key, inner in plain.items()}
    if kind is list:
        return [inner if type(inner) is str else copy_to_show(inner) for inner in plain]
    return plain.value if kind is _RustFloat else plain


def _big_int(value: int, stats: CopyStats) -> int:
    if value.bit_length() <= _INT_BITS_MAX:
        stats.size += value.bit_length()
        return value
    raise NoJsonFormError(f"an int of {value.bit_length()} bits is too long")


def _too_deep() -> NoJsonFormError:
    return NoJsonFormError(f"nested over {MAX_DEPTH} levels, which Codex cannot read; a cycle?")


class _Field(NamedTuple):
    key: str
    name: str
    is_nullable: bool


@cache
def wire_fields(kind: Any) -> tuple[_Field, ...]:
    """
    Return the fields of a class in the order in which they are written. Fields of the base class come last.
    """
    named = [a for a in attrs.fields(kind) if a.name not in ("extra", "_keys")]
    named.sort(key=lambda a: a.inherited)
    return tuple(
        _Field(a.metadata.get("key") or a.name, a.name, "null" in a.metadata or a.default is attrs.NOTHING)
        for a in named
    )


def _fields_of_item(item: Wire) -> dict[str, Any]:
    """
    Return the fields of an object as they are written to the file, one level deep.
    """
    fields: dict[str, Any] = {} if item.tag is None else {"type": item.tag}
    kind: Any = type(item)
    for key, name, is_nullable in wire_fields(kind):
        value = getattr(item, name)
        if value is not None or is_nullable:
            fields[key] = value
    fields.update(item.extra)
    return fields if item._keys is None else _in_order_read(item._keys, fields)


def _in_order_read(keys: tuple[str, ...], fields: dict[str, Any]) -> dict[str, Any]:
    """
    Return the fields in the order in which they were read. Nulls stay null; an absent field that is still None stays
    absent.
    """
    ordered = {key: fields.get(key) for key in keys}
    for key, value in fields.items():
        if value is not None:
            ordered.setdefault(key, value)
    return ordered
