"""
The wire format as attrs classes: no I/O, no JSON.

One class per object that Codex writes, under the name Codex gives it. `LINE_ITEMS` says which class a line's
type stands for; a class with a `tag` is told from its siblings by the key ``type``. Sources: Codex's protocol of
September 2025 and files written by versions 0.20 to 0.169.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rollout.schema._wire import CALL_OUTPUTS as CALL_OUTPUTS
from rollout.schema._wire import LINE_TYPES as LINE_TYPES
from rollout.schema._wire import RolloutItem as RolloutItem
from rollout.schema._wire import Wire as Wire

if TYPE_CHECKING:
    from rollout.schema._families import *  # noqa: F403
    from rollout.schema.events import *  # noqa: F403
    from rollout.schema.meta import *  # noqa: F403
    from rollout.schema.responses import *  # noqa: F403
    from rollout.schema.tools import *  # noqa: F403
    from rollout.schema.usage import *  # noqa: F403

    __all__: list[str]

_MODULES = ("meta", "usage", "responses", "events", "tools", "_families")


def __getattr__(name: str) -> Any:
    # Making 110 attrs classes takes 40 ms; who records dicts, or reads plain payloads, needs none of them.
    if name == "__all__":
        own = ["CALL_OUTPUTS", "LINE_TYPES", "RolloutItem", "Wire"]
        return own + [public for module in _MODULES for public in _module(module).__all__]
    if not name.startswith("__"):
        for module in _MODULES:
            if name in _module(module).__all__:
                # From now on found without this function.
                globals()[name] = found = getattr(_module(module), name)
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})


def _module(name: str) -> Any:
    return import_module(f"{__name__}.{name}")
