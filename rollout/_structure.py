"""
A plain payload -> an object of the schema. The only room that knows cattrs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any, get_args, get_origin

import attrs

from rollout import schema
from rollout._plain import wire_fields
from rollout.schema import RolloutItem, Wire

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ["to_item"]

_Hook = Callable[[Any, Any], Any]

_new, _set = object.__new__, object.__setattr__


def to_item(kind: str, payload: Any) -> RolloutItem:
    """
    Structure a plain payload; what fits no class becomes an `Unknown...` object that says why.

    Args:
        kind: The line's type.
        payload: The plain payload.
    """
    hook, family = _hook(kind)
    if hook is None:
        return schema.UnknownItem(line_type=kind, payload=payload, reason=f"unknown line type {kind!r}")
    try:
        structured: RolloutItem = hook(payload, family)
    except _MISFITS as error:
        return schema.UnknownItem(line_type=kind, payload=payload, reason=_misfit(error))
    return structured


@lru_cache(maxsize=64)
def _hook(kind: str) -> tuple[_Hook | None, Any]:
    family = schema.LINE_ITEMS.get(kind)
    return (None, None) if family is None else (_converter().get_structure_hook(family), family)


_LEAVES = (str, int, bool)
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
    for kind in _LEAVES:
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
        raise _misfit_of(value, kind)
    return value


def _misfit_of(value: Any, kind: type) -> TypeError:
    return TypeError(f"{value!r:.60} is not {kind.__name__}")


def _float(value: Any, _: type) -> Any:
    if type(value) is not float and type(value) is not int:
        raise TypeError(f"{value!r:.60} is not a number")
    return value


def _tuple_hook(converter: Converter, kind: Any) -> _Hook:
    of = get_args(kind)[0]
    hook = converter.get_structure_hook(of)

    def structure(value: Any, _: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise _misfit_of(value, list)
        return tuple([hook(inner, of) for inner in value])

    return structure


def _wire_hook(converter: Converter, kind: Any) -> _Hook:
    """
    Fill the fields; keep what the class does not name, and the order of keys.

    What cattrs generates, with an __init__ that sets one field after the other, takes 3 times as long.
    """
    attrs.resolve_types(kind)
    annotations = {a.name: a.type for a in attrs.fields(kind)}
    fields = {f.key: (f.name, *_leaf_and_hook(converter, annotations[f.name])) for f in wire_fields(kind)}
    required = [a.name for a in attrs.fields(kind) if a.default is attrs.NOTHING]
    blank = {name: None for name in annotations if name not in required and name != "extra"}
    least = len(blank) + len(required)
    tag = kind.tag

    def structure(payload: Any, _: Any) -> Wire:
        if type(payload) is not dict:
            raise _misfit_of(payload, dict)
        extra: dict[str, Any] | None = None
        values: dict[str, Any] = blank.copy()
        for key, value in payload.items():
            if key in fields:
                name, leaf, annotation, hook = fields[key]
                values[name] = value if type(value) is leaf else hook(value, annotation)
            elif key != "type" or value != tag:
                extra = extra or {}
                extra[key] = value
        values["_keys"] = tuple(payload)
        if len(values) < least:
            raise KeyError(next(key for key, field in fields.items() if field[0] not in values))
        if extra is not None:
            values["extra"] = extra
        item: Wire = _new(kind)
        _set(item, "__dict__", values)
        return item

    return structure


def _leaf_and_hook(converter: Converter, annotation: Any) -> tuple[Any, Any, _Hook]:
    """
    Give the type of which a value fits as it is, and what structures all others.
    """
    leaf = next((of for of in get_args(annotation) if of is not type(None)), annotation)
    return leaf if leaf in _LEAVES else None, annotation, converter.get_structure_hook(annotation)


def _family_hook(converter: Converter, family: type[Wire]) -> _Hook:
    """
    Tell the members of a family apart by their tag.
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
        except _MISFITS as error:
            return unknown(payload=payload, reason=_misfit(error))  # type: ignore[call-arg]

    return structure
