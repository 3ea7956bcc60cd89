"""
The events with the tokens used: of the last request, and of the session so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rollout.errors import RolloutError
from rollout.reading import decode_backwards
from rollout.recording._call_ends import Item, event

__all__ = ["TokenTotals"]

# In the order in which Codex writes them. Codex of 2025 needs each of them.
_FIELDS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens", "total_tokens")
_WRITE = "cache_write_input_tokens"


class TokenTotals:
    """
    The tokens of a session so far.

    Args:
        path: File of a session that is resumed, whose totals are read when they are needed; None for a new session.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._totals: dict[str, int] = {}

    def add(self, usage: Mapping[str, int], model_context_window: int | None = None) -> Item:
        """
        Add the tokens of a request, and return its ``token_count`` event.
        """
        if self._path is not None:
            self._totals, self._path = _last_totals(self._path), None
        last = _whole(usage)
        self._totals = _whole({key: self._totals.get(key, 0) + last.get(key, 0) for key in {*self._totals, *last}})
        info = {
            "total_token_usage": dict(self._totals),
            "last_token_usage": last,
            "model_context_window": model_context_window,
        }
        return event("token_count", info=info, rate_limits=None)


def _whole(usage: Mapping[str, int]) -> dict[str, int]:
    """
    Return a usage with all fields that Codex needs, in its order.
    """
    own = {key: usage.get(key) or 0 for key in _FIELDS}
    own["total_tokens"] = own["total_tokens"] or own["input_tokens"] + own["output_tokens"]
    if usage.get(_WRITE):
        before = {key: own.pop(key) for key in _FIELDS[:2]}
        own = {**before, _WRITE: usage[_WRITE], **own}
    return own


def _last_totals(path: Path) -> dict[str, int]:
    with suppress(OSError, RolloutError):
        for line in decode_backwards(path):
            totals = _totals_in(line.type, line.payload)
            if isinstance(totals, Mapping):
                return {key: value for key, value in totals.items() if type(value) is int}
    return {}


def _totals_in(kind: str, payload: Any) -> Any:
    if kind == "token_usage_record":
        return payload.get("thread_token_usage")
    if kind == "event_msg" and payload.get("type") == "token_count":
        info = payload.get("info")
        return info.get("total_token_usage") if isinstance(info, Mapping) else None
    return None
