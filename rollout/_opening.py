"""
Front doors of packages whose rooms are opened when something in them is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

__all__ = ["opener"]


def opener(front: dict[str, Any], rooms: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """
    Give the ``__getattr__`` of a package.

    Args:
        front: The package's own names, its ``globals()``.
        rooms: Its modules that are opened so, each with the names in it.
    """
    room_of = {name: room for room, names in rooms.items() for name in names}
    package = front["__name__"]

    def opened(name: str) -> Any:
        if name in room_of:
            # From now on found without this function.
            front[name] = found = getattr(import_module(f"{package}.{room_of[name]}"), name)
            return found
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return opened
