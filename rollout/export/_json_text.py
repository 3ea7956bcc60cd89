"""
Values as JSON text that no terminal interprets.
"""

from __future__ import annotations

import math
import re
from typing import Any

from rollout._text import UNSAFE
from rollout.codec import encode_json

__all__ = ["json_escape", "json_text"]

# Levels of nesting; Codex reads 127. Applies only to values that the encoder refuses.
_DEPTH_MAX = 200


def json_text(value: Any) -> str:
    """
    Return a value as JSON in which all characters that affect a terminal are escaped.
    """
    try:
        text = encode_json(value)
    except OverflowError:
        text = encode_json(_replace_invalid(value, 0))
    return UNSAFE.sub(json_escape, text)


def _replace_invalid(value: Any, depth: int) -> Any:
    """
    Return a value with null in place of values without a JSON form: NaN, infinity, and values nested too deeply.
    """
    if depth > _DEPTH_MAX or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, dict):
        return {key: _replace_invalid(part, depth + 1) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replace_invalid(part, depth + 1) for part in value]
    return value


def json_escape(found: re.Match[str]) -> str:
    """
    Return the JSON escape of a character.
    """
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
