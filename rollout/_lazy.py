"""
Imports of what may not be loaded: modules of a package when one of their names is first used, and missing extras.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

__all__ = ["extra_error", "lazy_getattr"]


def lazy_getattr(namespace: dict[str, Any], modules: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """
    Return the ``__getattr__`` of a package.

    Args:
        namespace: The package's ``globals()``.
        modules: Names that the package exports, by the module of the package that defines them.
    """
    module_of = {name: module for module, names in modules.items() for name in names}
    package = namespace["__name__"]

    def getattr_of_package(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        # Stored in the namespace: the next lookup does not call this function.
        namespace[name] = value = getattr(import_module(f"{package}.{module_of[name]}"), name)
        return value

    return getattr_of_package


def extra_error(need: str, extra: str, cause: ModuleNotFoundError) -> ModuleNotFoundError:
    """
    Return the error for an extra that is not installed.

    Args:
        need: Subject and verb of its text, such as "tables need".
        extra: Name of the extra.
        cause: The error of the import.
    """
    return ModuleNotFoundError(f"{need} the extra: pip install 'rollout-recorder[{extra}]'", name=cause.name)
