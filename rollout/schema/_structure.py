"""
Convert a plain payload to an object of the schema. The only module that imports cattrs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any, get_args, get_origin

import attrs

from rollout import schema
from rollout.schema import RolloutItem, Wire
from rollout.schema._plain import wire_fields

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ["to_item"]

_Hook = Callable[[Any, Any], Any]

_new, _set = object.__new__, object.__setattr__


def to_item(kind: str, payload: Any) -> RolloutItem:
    """
    Return the object for a plain payload; if it matches no class, an `Unknown...` object with the reason.

    Args:
        kind: Type of the line.
        payload: Plain payload.
    """
    hook, family = _hook(kind)
    if hook is None:
        return schema.UnknownItem(line_type=kind, payload=payload, reason=f"unknown line type {kind!r}")
    try:
        structured: RolloutItem = hook(payload, family)
    except _MISMATCHES as error:
        return schema.UnknownItem(line_type=kind, payload=payload, reason=_mismatch_reason(error))
    return structured


@lru_cache(maxsize=64)
def _hook(kind: str) -> tuple[_Hook | None, Any]:
    family = schema.LINE_ITEMS.get(kind)
    return (None, None) if family is None else (_converter().get_structure_hook(family), family)


_LEAVES = (str, int, bool)
# Errors that a structure hook raises if a value does not have the type of its field.
_MISMATCHES = (TypeError, KeyError, ValueError)


def _mismatch_reason(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error)


@cache
def _converter() -> Converter:
    """
    Return the converter. It is created for the first item; reading lines does not need it.
    """
    import cattrs  # noqa: PLC0415 -- 12 ms, not needed by `import rollout`

    converter = cattrs.Converter(detailed_validation=False)
    for kind in _LEAVES:
        converter.register_structure_hook(kind, _check_type)
    converter.register_structure_hook(float, _float)
    converter.register_structure_hook_factory(_is_tuple, partial(_tuple_hook, converter))
    converter.register_structure_hook_factory(_is_wire, partial(_wire_hook, converter))
    converter.register_structure_hook_factory(schema.UNKNOWN.__contains__, partial(_family_hook, converter))
    return converter


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _is_wire(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Wire) and kind not in schema.UNKNOWN


def _check_type(value: Any, kind: type) -> Any:
    # cattrs would convert the value: str(None) is "None".
    if type(value) is not kind:
        raise _type_error(value, kind)
    return value


def _type_error(value: Any, kind: type) -> TypeError:
    return TypeError(f"{value!r:.60} is not {kind.__name__}")


def _float(value: Any, _: type) -> Any:
    if type(value) is not float and type(value) is not int:
        raise TypeError(f"{value!r:.60} is not a number")
    return value


def _tuple_hook(converter: Converter, kind: Any) -> _Hook:
    inner_kind = get_args(kind)[0]
    hook = converter.get_structure_hook(inner_kind)

    def structure(value: Any, _: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise _type_error(value, list)
        return tuple([hook(inner, inner_kind) for inner in value])

    return structure


def _wire_hook(converter: Converter, kind: Any) -> _Hook:
    """
    Return the function that creates an object of a class. It keeps unknown fields and the order of the keys.

    The function that cattrs generates takes 3 times as long: its __init__ sets one field after the other.
    """
    attrs.resolve_types(kind)
    annotations = {a.name: a.type for a in attrs.fields(kind)}
    fields = {f.key: (f.name, *_leaf_and_hook(converter, annotations[f.name])) for f in wire_fields(kind)}
    required = [a.name for a in attrs.fields(kind) if a.default is attrs.NOTHING]
    defaults = {name: None for name in annotations if name not in required and name != "extra"}
    min_count = len(defaults) + len(required)
    tag = kind.tag

    def structure(payload: Any, _: Any) -> Wire:
        if type(payload) is not dict:
            raise _type_error(payload, dict)
        extra: dict[str, Any] | None = None
        values: dict[str, Any] = defaults.copy()
        for key, value in payload.items():
            if key in fields:
                name, leaf, annotation, hook = fields[key]
                values[name] = value if type(value) is leaf else hook(value, annotation)
            elif key != "type" or value != tag:
                extra = extra or {}
                extra[key] = value
        values["_keys"] = tuple(payload)
        if len(values) < min_count:
            raise KeyError(next(key for key, field in fields.items() if field[0] not in values))
        if extra is not None:
            values["extra"] = extra
        item: Wire = _new(kind)
        _set(item, "__dict__", values)
        return item

    return structure


def _leaf_and_hook(converter: Converter, annotation: Any) -> tuple[Any, Any, _Hook]:
    """
    Return the type whose values need no conversion, if there is one, the annotation, and the hook for other values.
    """
    leaf = next((kind for kind in get_args(annotation) if kind is not type(None)), annotation)
    return leaf if leaf in _LEAVES else None, annotation, converter.get_structure_hook(annotation)


def _family_hook(converter: Converter, family: type[Wire]) -> _Hook:
    """
    Return the function that creates an object of a family. The member is selected by its tag.
    """
    unknown = schema.UNKNOWN[family]
    members: dict[Any, tuple[_Hook, type[Wire]]] = {}
    for kind in (getattr(schema, name) for name in schema.__all__):
        if isinstance(kind, type) and issubclass(kind, family) and kind.tag is not None:
            hook = converter.get_structure_hook(kind)
            members.update(dict.fromkeys((kind.tag, *kind.aliases), (hook, kind)))

    def structure(payload: Any, _: Any) -> Wire:
        tag = payload.get("type") if type(payload) is dict else None
        if type(tag) is not str or tag not in members:
            return unknown(payload=payload, reason=f"unknown type {tag!r}")  # type: ignore[call-arg]
        hook, kind = members[tag]
        try:
            return hook(payload, kind)  # type: ignore[no-any-return]
        except _MISMATCHES as error:
            return unknown(payload=payload, reason=_mismatch_reason(error))  # type: ignore[call-arg]

    return structure
