"""
The state of the reader of a session as plain values, which an index stores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import attrs
from attrs import field

__all__ = ["from_plain", "is_number_list", "rows_of", "stored", "to_plain"]

_StateT = TypeVar("_StateT")
_CHECK = "check"
_Check: TypeAlias = "Callable[[Any], bool]"
# By class: reading them takes 20 us.
_CHECKS: dict[Any, Mapping[str, _Check]] = {}


def stored(default: Any, *kinds: type, check: _Check | None = None) -> Any:
    """
    Return an attrs field whose value is stored as it is.

    Args:
        default: The default; a class to call for a new value.
        kinds: Types of a valid value, exactly; by default that of the default.
        check: Function that returns whether a value is valid, instead of *kinds*.
    """
    if isinstance(default, type):
        return field(factory=default, metadata={_CHECK: check or _type_check(kinds or (default,))})
    return field(default=default, metadata={_CHECK: check or _type_check(kinds or (type(default),))})


def _type_check(kinds: tuple[type, ...]) -> _Check:
    return lambda value: type(value) in kinds


def is_number_list(value: Any) -> bool:
    """
    Return whether a value is a list of integers.
    """
    return type(value) in (list, tuple) and all(type(number) is int for number in value)


def rows_of(*kinds: type) -> _Check:
    """
    Return a check whether a value is a list of lists with elements of these types.
    """
    return lambda value: (
        type(value) is list and all(type(row) is list and tuple(map(type, row)) == kinds for row in value)
    )


def _checks(kind: Any) -> Mapping[str, _Check]:
    found = _CHECKS.get(kind)
    if found is None:
        found = _CHECKS[kind] = _read_checks(kind)
    return found


def _read_checks(kind: Any) -> Mapping[str, _Check]:
    return {
        attribute.name: attribute.metadata[_CHECK] for attribute in attrs.fields(kind) if _CHECK in attribute.metadata
    }


def to_plain(value: Any) -> dict[str, Any]:
    """
    Return the stored fields of an object by name; the values are not copied.
    """
    return {name: getattr(value, name) for name in _checks(type(value))}


def from_plain(kind: type[_StateT], plain: Any) -> _StateT:
    """
    Return an object of a class from what `to_plain` returned.

    Raises:
        ValueError: The values are not those of such an object.
    """
    checks = _checks(kind)
    if not isinstance(plain, dict) or plain.keys() != checks.keys():
        raise ValueError(f"not the state of a session: {kind.__name__} is {str(plain)[:80]}")
    value = kind()
    for name, is_valid in checks.items():
        if not is_valid(plain[name]):
            raise ValueError(f"not the state of a session: {kind.__name__}.{name} is {str(plain[name])[:80]}")
        setattr(value, name, plain[name])
    return value
