"""
Values of bodies whose types are not certain: each function returns a usable value for any input.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from rollout.codec import decode_json, encode_json

__all__ = [
    "choice_key",
    "dict_of",
    "error_text",
    "index_of",
    "json_text",
    "json_value",
    "list_of",
    "other_keys",
    "string_of",
]
__all__ += ["stable_json", "string_or_none"]


def dict_of(value: Any) -> dict[str, Any]:
    """
    Return a mapping as a dict; an empty dict for any other value.
    """
    if isinstance(value, dict):
        return value
    return dict(value) if isinstance(value, Mapping) else {}


def list_of(value: Any) -> list[Any]:
    """
    Return a list or tuple as a list; an empty list for any other value.
    """
    if isinstance(value, list):
        return value
    return list(value) if isinstance(value, tuple) else []


def string_of(value: Any) -> str:
    """
    Return a string; an empty one for any other value.
    """
    return value if isinstance(value, str) else ""


def string_or_none(value: Any) -> str | None:
    """
    Return a string that is not empty; None for any other value.
    """
    return value if isinstance(value, str) and value else None


def index_of(value: Any) -> int | None:
    """
    Return an index of a list; None for any other value.
    """
    return value if type(value) is int and value >= 0 else None


def other_keys(value: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """
    Return the keys of an object that are not known, without those whose value is None.
    """
    return {key: held for key, held in value.items() if key not in known and held is not None}


def choice_key(number: int) -> dict[str, int]:
    """
    Return the key that marks the items of a choice; none for the first one.
    """
    return {"choice": number} if number else {}


def json_text(value: Any) -> str:
    """
    Return a value as compact JSON text; text about a value that has no JSON form.
    """
    try:
        return encode_json(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return f"<{type(value).__name__} without a JSON form>"


def json_value(text: str) -> Any:
    """
    Return the value of a JSON text; None if it is no JSON.
    """
    try:
        return decode_json(text)
    except (ValueError, RecursionError):
        return None


def stable_json(value: Any, ignored: Collection[str] = ()) -> str:
    """
    Return the same JSON text for objects that differ only in the order of keys, in keys that are None, or in ignored
    keys.
    """
    try:
        return json_text(_sorted(value, ignored))
    except RecursionError:
        return "<too deep>"


def _sorted(value: Any, ignored: Collection[str]) -> Any:
    if isinstance(value, dict):
        # Python sorts no keys of several types, which bodies from a program may have.
        keys = sorted((key for key in value if isinstance(key, str) and key not in ignored), key=str)
        return {key: _sorted(value[key], ignored) for key in keys if value[key] is not None}
    if isinstance(value, (list, tuple)):
        return [_sorted(held, ignored) for held in value]
    return value


def error_text(error: Any) -> str | None:
    """
    Return the text of the ``error`` of a body; None if it is empty.
    """
    if isinstance(error, dict):
        return string_or_none(error.get("message")) or (json_text(error) if error else None)
    return string_or_none(error) or (json_text(error) if error else None)
