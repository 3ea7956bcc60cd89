"""
Convert values of other types to plain JSON types, or return the reason why a value is refused.

These functions call code of other libraries, which may raise exceptions, return wrong values or never end. An exception
from such code becomes a `NoJsonFormError`.
"""

from __future__ import annotations

import builtins
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from functools import partial
from itertools import islice
from typing import Any

__all__ = [
    "NoJsonFormError",
    "describe_error",
    "dump_fields",
    "has_kind",
    "items_of",
    "path_step",
    "values_of",
    "wrap_error",
]

# An iteration is considered endless if it yields more values than twice the length plus this. It may be longer than the
# length, because another thread may add values.
_LENGTH_SLACK = 1000
_BUILTIN_ITEMS: tuple[type, ...] = (type({}.items()), type(OrderedDict[str, Any]().items()))
_TEXT_MAX = 200

# How to convert a value, by the top-level package and the name of its class or of a base class.
_CONVERSIONS = {
    "array.array": "list()",
    "builtins.bytearray": ".decode()",
    "builtins.bytes": ".decode()",
    "builtins.frozenset": "sorted()",
    "builtins.generator": "list()",
    "builtins.range": "list()",
    "builtins.set": "sorted()",
    "collections.deque": "list()",
    "datetime.date": ".isoformat()",
    "datetime.time": ".isoformat()",
    "decimal.Decimal": "str()",
    "enum.Enum": ".value",
    "fractions.Fraction": "str()",
    "numpy.generic": ".item()",
    "numpy.ndarray": ".tolist()",
    "pandas.DataFrame": '.to_dict("records")',
    "pandas.Series": ".tolist()",
    "pathlib.PurePath": "str()",
    "torch.Tensor": ".tolist()",
    "uuid.UUID": "str()",
}
# The same, by an attribute that a decorator or metaclass adds to the class.
_CONVERSIONS_BY_MARK = {
    "__attrs_attrs__": "attrs.asdict()",
    "__dataclass_fields__": "dataclasses.asdict()",
    "__struct_fields__": "msgspec.to_builtins()",
}
_OTHERWISE = "to dicts, lists, strings and numbers"

# Not `kind.__name__`: a metaclass may have a property of that name, which may raise.
_name_of_class = type.__dict__["__name__"].__get__
_module_of_class = type.__dict__["__module__"].__get__


class NoJsonFormError(Exception):
    """
    A part of a value has no JSON form. Each level of the recursion adds its step to *path*, innermost first.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []


class UnsupportedTypeError(NoJsonFormError):
    """
    A value has a type without a JSON form.
    """


def wrap_error(error: Exception, value: Any, *, method: str = "") -> NoJsonFormError:
    """
    Return the error for a value whose own code raised *error*; *error* itself if it is a `NoJsonFormError`.

    Args:
        error: Exception that was raised; becomes the cause of the result.
        value: Value whose code raised the exception.
        method: Method that raised the exception, with a dot before the name; empty if unknown.
    """
    if isinstance(error, NoJsonFormError):
        return error
    wrapper = NoJsonFormError(f"{_name_of(value)}{method} raised {describe_error(error)}")
    wrapper.__cause__ = error
    return wrapper


def _unsupported_type_error(value: Any) -> UnsupportedTypeError:
    """
    Return the error for a value whose type has no JSON form. Its text describes how to convert the value.
    """
    conversion = _conversion_of(type(value))
    return UnsupportedTypeError(f"{_name_of(value)} has no JSON form; convert it first, {conversion}")


def _conversion_of(kind: type) -> str:
    for base in kind.__mro__:
        name = f"{base.__module__.partition('.')[0]}.{base.__name__}"
        if name in _CONVERSIONS:
            return f"for example with {_CONVERSIONS[name]}"
    for mark, conversion in _CONVERSIONS_BY_MARK.items():
        if hasattr(kind, mark):
            return f"for example with {conversion}"
    return _OTHERWISE


def path_step(key: Any) -> str:
    """
    Return the step of a path for a key of a dict; the key may be of any type.
    """
    try:
        return f".{str.__str__(key) if has_kind(key, str) else key}"
    except Exception:  # noqa: BLE001 -- code of others
        return f".<{_name_of(key)}>"


def has_kind(value: Any, kind: type) -> bool:
    """
    Return whether a value's real type is a class or a subclass of it. `isinstance` would also accept a proxy object.
    """
    return issubclass(type(value), kind)


def values_of(value: Collection[Any]) -> list[Any]:
    """
    Return the values of an instance of a list or tuple subclass, which may have its own iterator.
    """
    limit = 2 * len(value) + _LENGTH_SLACK
    return _check_length(value, list(islice(value, limit + 1)), limit)


def items_of(value: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the items of a mapping.
    """
    items = value.items()
    if type(items) in _BUILTIN_ITEMS:
        # Such an iteration ends, and no other thread can change the dict during this one call.
        return dict(items)
    limit = 2 * len(value) + _LENGTH_SLACK
    return dict(_check_length(value, list(islice(items, limit + 1)), limit))


def _check_length(value: Collection[Any], values: list[Any], limit: int) -> list[Any]:
    if len(values) > limit:
        raise NoJsonFormError(f"{_name_of(value)} of length {len(value)} yields over {limit} values; is it endless?")
    return values


def dump_fields(value: Any) -> Mapping[str, Any]:
    """
    Return the fields of a pydantic object as JSON values, without unset fields, as the SDKs of the model services do.
    """
    name, dump = _dump_of(value)
    try:
        plain = dump()
    except Exception as error:
        raise wrap_error(error, value, method=f".{name}") from error
    if not isinstance(plain, Mapping):
        raise NoJsonFormError(f"{_name_of(value)}.{name} returned {_name_of(plain)}, not a dict")
    return plain


def _dump_of(value: Any) -> tuple[str, Callable[[], Any]]:
    kind = type(value)
    if not issubclass(kind, type):
        dump = getattr(value, "model_dump", None)
        if dump is not None:
            return "model_dump", partial(dump, mode="json", exclude_unset=True)
        # Pydantic 1 has JSON values only in its JSON text; the model's configuration has the function that parses it.
        loads = getattr(getattr(kind, "__config__", None), "json_loads", None)
        if loads is not None:
            return "json", lambda: loads(value.json(exclude_unset=True))
    raise _unsupported_type_error(value)


def _name_of(value: Any) -> str:
    kind = type(value)
    name: str = _name_of_class(kind)
    # A class with the name of a builtin class gets its module: "bool" has a JSON form, "numpy.bool" has none.
    is_builtin = getattr(builtins, name, kind) is kind
    return name if is_builtin else f"{_module_of_class(kind)}.{name}"


def describe_error(error: Exception) -> str:
    """
    Return the class of an error and the beginning of its text, for the message of another error.
    """
    try:
        text = str.__str__(str(error))[:_TEXT_MAX]
    except Exception:  # noqa: BLE001 -- code of others
        text = ""
    return f"{_name_of(error)}: {text}" if text else _name_of(error)
