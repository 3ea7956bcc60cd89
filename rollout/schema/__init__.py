"""
The wire format as attrs classes: no I/O, no JSON.

There is one class for each object that Codex writes, with the name that Codex uses. `LINE_ITEMS` maps the type of a
line to a class; a class with a `tag` is distinguished from its siblings by the key ``type``. Sources: Codex's protocol
of September 2025 and files written by versions 0.20 to 0.169.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rollout._lazy import lazy_getattr
from rollout.schema._wire import CALL_OUTPUTS as CALL_OUTPUTS
from rollout.schema._wire import LINE_TYPES as LINE_TYPES
from rollout.schema._wire import RolloutItem as RolloutItem
from rollout.schema._wire import Wire as Wire

if TYPE_CHECKING:
    from rollout.schema._families import *  # noqa: F403
    from rollout.schema._foreign import describe_error as describe_error
    from rollout.schema._foreign import has_kind as has_kind
    from rollout.schema._plain import CopyStats as CopyStats
    from rollout.schema._plain import copy_to_show as copy_to_show
    from rollout.schema._plain import encode_error_for as encode_error_for
    from rollout.schema._plain import plain_item as plain_item
    from rollout.schema._plain import snapshot as snapshot
    from rollout.schema._structure import to_item as to_item
    from rollout.schema.events import *  # noqa: F403
    from rollout.schema.meta import *  # noqa: F403
    from rollout.schema.responses import *  # noqa: F403
    from rollout.schema.reviews import *  # noqa: F403
    from rollout.schema.tools import *  # noqa: F403
    from rollout.schema.usage import *  # noqa: F403

    __all__: list[str]

_MODULES = ("meta", "usage", "responses", "events", "reviews", "tools", "_families")
# Names for other packages. They are not part of the format, so `__all__` does not have them.
_FUNCTIONS = {
    "_foreign": ["describe_error", "has_kind"],
    "_plain": ["CopyStats", "copy_to_show", "encode_error_for", "plain_item", "snapshot"],
    "_structure": ["to_item"],
}
_function = lazy_getattr(globals(), _FUNCTIONS)


def __getattr__(name: str) -> Any:
    # Creating 110 attrs classes takes 40 ms; a program that records dicts, or reads plain payloads, does not need them.
    if name == "__all__":
        own = ["CALL_OUTPUTS", "LINE_TYPES", "RolloutItem", "Wire"]
        return own + [public for module in _MODULES for public in _module(module).__all__]
    if not name.startswith("__") and not any(name in names for names in _FUNCTIONS.values()):
        for module in _MODULES:
            if name in _module(module).__all__:
                # Stored: the next lookup does not call this function.
                globals()[name] = found = getattr(_module(module), name)
                return found
    return _function(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})


def _module(name: str) -> Any:
    return import_module(f"{__name__}.{name}")
