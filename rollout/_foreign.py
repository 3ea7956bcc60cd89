"""
Values that are not of the plain JSON types: what they give of themselves, and why one is refused.

They run code of others, which may raise, lie or never end. What it raises becomes a `NoJsonFormError`.
"""

from __future__ import annotations

import builtins
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from functools import partial
from itertools import islice
from typing import Any

__all__ = ["NoJsonFormError", "dumped", "has_kind", "items_of", "raised", "refusal", "said", "step_to", "values_of"]

# An iteration that gives more than twice the length and so many is taken to be endless; another thread may add some.
_LENGTH_SLACK = 1000
_BUILTIN_ITEMS: tuple[type, ...] = (type({}.items()), type(OrderedDict[str, Any]().items()))
_TEXT_MAX = 200

# How to convert a value, by the root of the module and the name of its class or a class above it.
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
# The same, by what decorators and metaclasses leave in a class.
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
    Found on the way down into a value; each level adds its step on the way up.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []


def raised(error: Exception, value: Any, *, what: str = "") -> NoJsonFormError:
    """
    Return the refusal of a value whose own code raised; one that is a refusal already as it is.

    Args:
        error: What was raised; the refusal's cause.
        value: What was asked.
        what: The method that raised, with a dot before it, if it is known.
    """
    if type(error) is NoJsonFormError:
        return error
    refused = NoJsonFormError(f"{_name_of(value)}{what} raised {said(error)}")
    refused.__cause__ = error
    return refused


def refusal(value: Any) -> NoJsonFormError:
    """
    Return the refusal of a value of a type that has no JSON form; it says how to convert one.
    """
    conversion = _conversion_of(type(value))
    return NoJsonFormError(f"{_name_of(value)} has no JSON form; convert it first, {conversion}")


def _conversion_of(kind: type) -> str:
    for base in kind.__mro__:
        name = f"{base.__module__.partition('.')[0]}.{base.__name__}"
        if name in _CONVERSIONS:
            return f"for example with {_CONVERSIONS[name]}"
    for mark, conversion in _CONVERSIONS_BY_MARK.items():
        if hasattr(kind, mark):
            return f"for example with {conversion}"
    return _OTHERWISE


def step_to(key: Any) -> str:
    """
    Return the step of a path that leads to the value of a key; the key may be of any type.
    """
    try:
        return f".{str.__str__(key) if has_kind(key, str) else key}"
    except Exception:  # noqa: BLE001 -- code of others
        return f".<{_name_of(key)}>"


def has_kind(value: Any, kind: type) -> bool:
    """
    Whether a value is of a class or one below it, itself: a proxy only says so of what it stands for.
    """
    return issubclass(type(value), kind)


def values_of(value: Collection[Any]) -> list[Any]:
    """
    Return the values of a list or tuple of some class, which may iterate in its own way.
    """
    limit = 2 * len(value) + _LENGTH_SLACK
    return _ended(value, list(islice(value, limit + 1)), limit)


def items_of(value: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the items of a mapping.
    """
    items = value.items()
    if type(items) in _BUILTIN_ITEMS:
        # They end, and no other thread changes the dict within this one call.
        return dict(items)
    limit = 2 * len(value) + _LENGTH_SLACK
    return dict(_ended(value, list(islice(items, limit + 1)), limit))


def _ended(value: Collection[Any], given: list[Any], limit: int) -> list[Any]:
    if len(given) > limit:
        raise NoJsonFormError(f"{_name_of(value)} of length {len(value)} gives over {limit} values; an endless one?")
    return given


def dumped(value: Any) -> Mapping[str, Any]:
    """
    Return what a pydantic object dumps of itself, as the SDKs of the model services do it: JSON values, unset fields
    left out.
    """
    name, dump = _dump_of(value)
    try:
        plain = dump()
    except Exception as error:
        raise raised(error, value, what=f".{name}") from error
    if not isinstance(plain, Mapping):
        raise NoJsonFormError(f"{_name_of(value)}.{name} gave {_name_of(plain)}, not a dict")
    return plain


def _dump_of(value: Any) -> tuple[str, Callable[[], Any]]:
    kind = type(value)
    if not issubclass(kind, type):
        dump = getattr(value, "model_dump", None)
        if dump is not None:
            return "model_dump", partial(dump, mode="json", exclude_unset=True)
        # Pydantic 1: only its text has JSON values, and a model's configuration says how that text is read.
        loads = getattr(getattr(kind, "__config__", None), "json_loads", None)
        if loads is not None:
            return "json", lambda: loads(value.json(exclude_unset=True))
    raise refusal(value)


def _name_of(value: Any) -> str:
    kind = type(value)
    name: str = _name_of_class(kind)
    # What hides a builtin name says so: "bool" has a JSON form, "numpy.bool" has none.
    is_builtin = getattr(builtins, name, kind) is kind
    return name if is_builtin else f"{_module_of_class(kind)}.{name}"


def said(error: Exception) -> str:
    """
    Return the class of an error and the beginning of its text, for the text of another.
    """
    try:
        text = str.__str__(str(error))[:_TEXT_MAX]
    except Exception:  # noqa: BLE001 -- code of others
        text = ""
    return f"{_name_of(error)}: {text}" if text else _name_of(error)
