"""
What a caller records -> plain JSON values of its own, at the moment of recording.

Containers are copied, strings shared; what has no JSON form is refused here, in the caller's frame.
Does not know lines, bytes or files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from reprlib import repr as short_repr
from typing import Any, NamedTuple

import attrs

from rollout._foreign import NoJsonFormError, dumped, has_kind, items_of, raised, step_to, values_of
from rollout.errors import EncodeError
from rollout.schema import LINE_TYPES, RolloutItem, Wire

__all__ = ["MAX_DEPTH", "Extent", "copy_to_show", "plain_item", "refusal_of", "snapshot", "wire_fields"]

# serde_json reads 127 levels, and a line's envelope is one of them: Codex loses what is deeper.
MAX_DEPTH = 126

_INT_MAX = 2**64
# CPython refuses to print an int of over 4,300 digits; 14,000 bits are 4,215.
_INT_BITS_MAX = 14_000
# A shorter string counts as an entry of its container, which is what this many characters of 4 bytes and the
# container's own share take.
_SHORT = 256
_ENTRY_SIZE = 4 * _SHORT + 128
_size_of = str.__sizeof__

# ASCII keys seen before: one look tells what asking for a key's type and its characters takes two for.
_known_keys: set[str] = set()
_KNOWN_KEYS_MAX = 4096


def plain_item(item: Any) -> tuple[str, Any, Any]:
    """
    Take what `Recorder.record` accepts, as a line's type, payload and metadata; copies nothing yet of a dict.

    Raises:
        EncodeError: It is not an item.
        Exception: The item's own code raised it; see `refusal_of`.
    """
    if type(item) is dict:
        # The usual case; asking an abstract class costs 0.3 us.
        pass
    elif isinstance(item, RolloutItem):
        return item.line_type, item, None
    elif not isinstance(item, Mapping):
        item = _dumped_item(item)
    kind = item.get("type")
    if type(kind) is not str:
        if not has_kind(kind, str):
            is_now = short_repr(kind)
            raise EncodeError("type", f"an item needs a type, such as 'message' or 'event_msg'; this is {is_now}")
        kind = str.__str__(kind)
    if "payload" in item:
        return _wrapped_item(kind, item)
    if kind in LINE_TYPES:
        raise EncodeError("payload", f"an item of type {kind!r} needs a payload")
    return "response_item", item, None


def _dumped_item(item: Any) -> Mapping[str, Any]:
    if item is None or type(item) in (str, bool, int, float, list, tuple):
        raise EncodeError("", f"an item is a dict or an object of rollout.schema, not {type(item).__name__}")
    try:
        return dumped(item)
    except NoJsonFormError as found:
        raise EncodeError("", found.reason) from found.__cause__


def _wrapped_item(kind: str, item: Mapping[str, Any]) -> tuple[str, Any, Any]:
    payload = item["payload"]
    if not isinstance(payload, (Mapping, Wire)):
        raise EncodeError("payload", f"an object is needed, not {type(payload).__name__}")
    return kind, payload, item.get("metadata")


class Extent:
    """
    What copies are.

    Attributes:
        size: Bytes of memory that they keep alive; an upper bound, unless keys are long.
        is_ascii: Nothing in them is not ASCII.
    """

    # Defaults of the class: most are asked once, and making one with an __init__ takes 0.1 us longer.
    size = 0
    is_ascii = True


def snapshot(value: Any, extent: Extent | None = None) -> Any:
    """
    Copy *value* into dicts, lists, strings, numbers, booleans and None.

    Args:
        value: Anything.
        extent: What the copy is, with the strings that it shares, is added here.

    Raises:
        EncodeError: Something in it has no JSON form; `path` says where.
    """
    extent = extent or Extent()
    try:
        return _copy_dict(value, MAX_DEPTH, extent) if type(value) is dict else _copy(value, MAX_DEPTH, extent)
    except Exception as error:  # noqa: BLE001 -- code of others
        refused = refusal_of(error, value)
        raise refused from refused.__cause__


def refusal_of(error: Exception, value: Any) -> EncodeError:
    """
    Return the error for a value that is refused, or whose own code raised *error*. The result has its cause set.
    """
    if isinstance(error, EncodeError):
        return error
    found = raised(error, value)
    # The levels added their steps from the inside out.
    path = "".join(reversed(found.path)).removeprefix(".")
    refused = EncodeError(path, found.reason)
    refused.__cause__ = found.__cause__
    return refused


def _copy(value: Any, depth: int, extent: Extent) -> Any:
    kind = type(value)
    if kind is str:
        extent.size += _size_of(value)
        if not value.isascii():
            extent.is_ascii = False
        return value
    if value is None or kind is bool:
        return value
    if kind is dict:
        return _copy_dict(value, depth, extent)
    if kind is list or kind is tuple:
        return _copy_list(value, depth, extent)
    if kind is int:
        return value if -_INT_MAX < value < _INT_MAX else _big_int(value, extent)
    if kind is float:
        return _number(value)
    return _copy_other(value, depth, extent)


def _copy_dict(value: dict[str, Any], depth: int, extent: Extent) -> dict[str, Any]:
    if not depth:
        raise _too_deep()
    # Copied at once, then what is not plain replaced: half the time of a loop that fills an empty one.
    copied = value.copy()
    size = _ENTRY_SIZE * len(copied)
    try:
        for key, inner in copied.items():
            if key not in _known_keys:
                _check_key(key, extent)
            kind = type(inner)
            if kind is str:
                if not inner.isascii():
                    extent.is_ascii = False
                if len(inner) >= _SHORT:
                    size += _size_of(inner)
            elif kind is list:
                copied[key] = _copy_list(inner, depth - 1, extent)
            elif kind is dict:
                copied[key] = _copy_dict(inner, depth - 1, extent)
            elif inner is not None and kind is not bool:
                copied[key] = _copy(inner, depth - 1, extent)
    except Exception as error:  # noqa: BLE001 -- code of others
        found = raised(error, inner if type(key) is str else key)
        found.path.append(step_to(key))
        raise found from found.__cause__
    extent.size += size
    return copied


def _copy_list(value: Sequence[Any], depth: int, extent: Extent) -> list[Any]:
    if not depth:
        raise _too_deep()
    copied = list(value)
    extent.size += _ENTRY_SIZE * len(copied)
    try:
        for index, inner in enumerate(copied):
            if type(inner) is dict:
                copied[index] = _copy_dict(inner, depth - 1, extent)
            else:
                copied[index] = _copy(inner, depth - 1, extent)
    except Exception as error:  # noqa: BLE001 -- code of others
        found = raised(error, inner)
        found.path.append(f"[{index}]")
        raise found from found.__cause__
    return copied


def _copy_other(value: Any, depth: int, extent: Extent) -> Any:
    """
    Take subclasses of the JSON types, items of the schema, and objects that dump themselves.
    """
    if isinstance(value, Wire):
        plain = value.payload if value.is_unknown else _fields_of_item(value)  # type: ignore[attr-defined]
        return _copy(plain, depth, extent)
    # The methods of the base classes are called: a subclass may override them and return another value.
    if has_kind(value, str):
        return _copy(str.__str__(value), depth, extent)
    if has_kind(value, int):
        return _copy(int.__int__(value), depth, extent)
    if has_kind(value, float):
        return _number(float.__float__(value))
    if isinstance(value, Mapping):
        return _copy_dict(items_of(value), depth, extent)
    if isinstance(value, (list, tuple)):
        return _copy_list(values_of(value), depth, extent)
    return _copy(dumped(value), depth, extent)


def _check_key(key: Any, extent: Extent) -> None:
    if not has_kind(key, str):
        raise NoJsonFormError(f"a key must be a string, not {type(key).__name__}")
    if not str.isascii(key):
        extent.is_ascii = False
    elif type(key) is str and len(key) < _SHORT and len(_known_keys) < _KNOWN_KEYS_MAX:
        _known_keys.add(key)


def _number(value: float) -> float | _RustFloat:
    if 1e-4 <= abs(value) < 1e16 or value == 0:
        return value
    if math.isfinite(value):
        return _RustFloat(value)
    raise NoJsonFormError(f"{value} has no JSON form")


class _RustFloat:
    """
    A float that ujson would spell otherwise than serde_json: 1e+16 for 1e16, 1e-5 for 0.00001.
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


def _big_int(value: int, extent: Extent) -> int:
    if value.bit_length() <= _INT_BITS_MAX:
        extent.size += value.bit_length()
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
    Give the fields of a class in the order they are written: what a family has in common comes last.
    """
    named = [a for a in attrs.fields(kind) if a.name not in ("extra", "_keys")]
    named.sort(key=lambda a: a.inherited)
    return tuple(
        _Field(a.metadata.get("key") or a.name, a.name, "null" in a.metadata or a.default is attrs.NOTHING)
        for a in named
    )


def _fields_of_item(item: Wire) -> dict[str, Any]:
    """
    Give the fields as they go on the wire, one level deep.
    """
    written: dict[str, Any] = {} if item.tag is None else {"type": item.tag}
    kind: Any = type(item)
    for key, name, is_nullable in wire_fields(kind):
        value = getattr(item, name)
        if value is not None or is_nullable:
            written[key] = value
    written.update(item.extra)
    return written if item._keys is None else _as_read(item._keys, written)


def _as_read(keys: tuple[str, ...], written: dict[str, Any]) -> dict[str, Any]:
    """
    Put fields back where they were read: nulls stay null, what was absent and is still None stays away.
    """
    ordered = {key: written.get(key) for key in keys}
    for key, value in written.items():
        if value is not None:
            ordered.setdefault(key, value)
    return ordered
