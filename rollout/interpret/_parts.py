"""
The parts of messages and outputs: texts and images. A damaged file may have any other value in their positions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

from rollout.interpret._record import Record

__all__ = [
    "Image",
    "Parts",
    "dict_of",
    "image",
    "list_of",
    "picture",
    "read_parts",
    "seconds_in",
    "strings_in",
    "text_of",
]

# Image types from which a browser runs no code; SVG is not one of them.
_DATA_URL = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,[A-Za-z0-9+/=\s]*\Z")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+\Z")
# Texts that Codex puts around an image.
_IMAGE_MARK = re.compile(r"\s*</?image\b[^>]{0,400}>\s*")
# Keys of an image part: of the Responses API, of a client's tool, of events, of events' local files, of uploaded files.
_IMAGE_KEYS = ("image_url", "imageUrl", "url", "path", "file_id")
_IMAGE_TYPES = frozenset({"input_image", "inputImage", "image", "local_image", "image_url"})
_NANO, _MEASURE_MAX = 1e-9, 1e9
_MEDIA_TYPES = {"iVBOR": "image/png", "/9j/": "image/jpeg", "R0lG": "image/gif", "UklG": "image/webp"}


@frozen
class Image:
    """
    An image of a message or an output.

    Attributes:
        source: A data URL, a web address, a path, or the id of an uploaded file. Must not be loaded unless a person
            requests it.
        media_type: The type of a data URL with an image without code (PNG, JPEG, GIF, WebP); otherwise None.
    """

    source: str = field(repr=False)
    media_type: str | None = None


class Parts(Record):
    """
    The parts of a message's or an output's content.

    Attributes:
        texts: The texts, without the marks that Codex puts around images.
        others: The types of parts that are neither text nor image, in brackets: ``[input_audio]``.
        images: The images.
    """

    texts: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    images: tuple[Image, ...] = ()

    @property
    def text(self) -> str:
        """All texts, then the types of other parts, one per line."""
        return "\n".join(filter(None, (*self.texts, *self.others)))

    @property
    def words(self) -> str:
        """All texts, one per line."""
        return "\n".join(filter(None, self.texts))


def read_parts(content: Any) -> Parts:
    """
    Return the parts of a content: a list of parts, or a text.
    """
    texts: list[str] = []
    others: list[str] = []
    images: list[Image] = []
    for part in [content] if isinstance(content, str) else list_of(content):
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            text = part.get("text")
            if isinstance(text, str):
                (others if "responses_part" in part else texts).append(text)
                continue
            found = _image_of(part)
            images += found
            others += [] if found else [f"[{part.get('type')}]"]
    if images:
        texts = [text for text in texts if not _IMAGE_MARK.fullmatch(text)]
    return Parts(tuple(texts), tuple(others), tuple(images))


def _image_of(part: Mapping[str, Any]) -> tuple[Image, ...]:
    if part.get("type") in _IMAGE_TYPES or "type" not in part:
        for key in _IMAGE_KEYS:
            value = part.get(key)
            value = value.get("url") if isinstance(value, dict) else value
            if isinstance(value, str):
                return (image(value),)
    return picture(part.get("data"))


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
    milliseconds = _measure(payload.get("duration_ms", payload.get("durationMs")))
    return _measure(value) if milliseconds is None else milliseconds / 1000


def _measure(value: Any) -> float | None:
    # Excludes NaN, and numbers that are too large to be valid: more than thirty years, in seconds.
    return float(value) if type(value) in (int, float) and 0 <= value <= _MEASURE_MAX else None


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


def dict_of(value: Any) -> dict[str, Any]:
    """
    Return a value if it is a dict, otherwise an empty dict.
    """
    return value if isinstance(value, dict) else {}


def strings_in(value: Any) -> Iterator[str]:
    """
    Yield the strings in a JSON value. A list of only strings is one string, joined with spaces.
    """
    # A loop, as arguments may be nested deeper than Python's stack allows.
    rest = [value]
    while rest:
        part = rest.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, list) and part and all(isinstance(word, str) for word in part):
            yield " ".join(part)
        elif isinstance(part, (list, dict)):
            rest += reversed(part if isinstance(part, list) else part.values())
