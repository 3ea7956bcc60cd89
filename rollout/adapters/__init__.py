"""
Recording agents of other programs: hooks into SDKs and frameworks, and the rules by which requests become sessions.

Each module of a framework imports it only when it is used. The forms of the model APIs are in `rollout.dialects`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout._lazy import lazy_getattr

if TYPE_CHECKING:
    from rollout.adapters._instrument import Instrumentation, instrument

__all__ = ["Instrumentation", "instrument"]

__getattr__ = lazy_getattr(globals(), {"_instrument": ["Instrumentation", "instrument"]})
