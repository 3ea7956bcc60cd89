"""
The parts of messages and outputs: texts and images. A damaged file may have any other value in their positions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rollout.codec import json_for_reading
from rollout.document._model import Image, Item

__all__ = ["image", "list_of", "other", "parts_of", "picture", "seconds_in", "text_of"]

# Image types from which a browser runs no code; SVG is not one of them.
_DATA_URL = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,[A-Za-z0-9+/=\s]*\Z")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+\Z")
# Texts that Codex puts around an image.
_IMAGE_MARK = re.compile(r"\s*</?image\b[^>]{0,400}>\s*")
# Keys of an image part: of the Responses API, of events, and of events' local files.
_IMAGE_KEYS = ("image_url", "url", "path")
_NANO, _MEASURE_MAX = 1e-9, 1e9
_MEDIA_TYPES = {"iVBOR": "image/png", "/9j/": "image/jpeg", "R0lG": "image/gif", "UklG": "image/webp"}


def text_of(value: Any) -> str:
    """
    Return a value if it is a string, otherwise an empty string.
    """
    return value if isinstance(value, str) else ""


def list_of(value: Any) -> list[Any]:
    """
    Return a value if it is a list, otherwise an empty list.
    """
    return value if isinstance(value, list) else []


def parts_of(content: Any) -> tuple[str, tuple[Image, ...]]:
    """
    Return the text of a message's content, its parts joined with newlines, and its images.

    A part of another kind appears in the text as its type: ``[input_audio]``.
    """
    texts: list[str] = []
    images: list[Image] = []
    for part in [content] if isinstance(content, str) else list_of(content):
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, dict):
            source = next((part[key] for key in _IMAGE_KEYS if isinstance(part.get(key), str)), None)
            found = picture(part.get("data")) if source is None else (image(source),)
            texts += [] if found else [f"[{part.get('type')}]"]
            images += found
    if images:
        texts = [text for text in texts if not _IMAGE_MARK.fullmatch(text)]
    return "\n".join(text for text in texts if text), tuple(images)


def image(source: str) -> Image:
    """
    Return an image, with its media type if it may be shown.
    """
    found = _DATA_URL.match(source)
    return Image(source, found[1] if found else None)


def picture(base64: Any) -> tuple[Image, ...]:
    """
    Return the image that a tool made: base64 of a known kind. Empty for other values.
    """
    if not isinstance(base64, str) or not _BASE64.match(base64):
        return ()
    media_type = next((kind for mark, kind in _MEDIA_TYPES.items() if base64.startswith(mark)), None)
    return (Image(f"data:{media_type};base64,{base64}", media_type),) if media_type else ()


def seconds_in(payload: Mapping[str, Any]) -> float | None:
    """
    Return the duration that an event contains in one of three forms; None if it contains none.
    """
    value = payload.get("duration")
    if isinstance(value, dict):
        seconds, nanos = _measure(value.get("secs")), _measure(value.get("nanos"))
        return None if seconds is None or nanos is None else seconds + nanos * _NANO
    milliseconds = _measure(payload.get("duration_ms"))
    return _measure(value) if milliseconds is None else milliseconds / 1000


def _measure(value: Any) -> float | None:
    # Excludes NaN, and numbers that are too large to be valid: more than thirty years, in seconds.
    return float(value) if type(value) in (int, float) and 0 <= value <= _MEASURE_MAX else None


def other(kind: str, payload: Mapping[str, Any]) -> Item:
    """
    Return an item with the JSON of an unknown payload.
    """
    return Item("", "other", title=kind, text=json_for_reading(payload))
