"""
Images of a message: a file, bytes or a URL as a part of a message.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from pathlib import Path
from typing import Any, TypeAlias

__all__ = ["ImageSource", "image_part"]

ImageSource: TypeAlias = "str | os.PathLike[str] | bytes"
"""A path, the bytes of an image, or a URL (http, https, data)."""

_URL = re.compile(r"(?:https?|data):", re.IGNORECASE)
_MAGIC = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"BM"), "image/bmp"),
)


def image_part(source: ImageSource) -> dict[str, Any]:
    """
    Return the part of a message that contains an image. A file is read, and its bytes become part of the session.

    Raises:
        OSError: The file cannot be read.
        ValueError: The bytes are no PNG, JPEG, GIF, WebP or BMP image.
    """
    if isinstance(source, str) and _URL.match(source):
        return {"type": "input_image", "image_url": source}
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    kind = next((kind for magic, kind in _MAGIC if magic.match(content)), None)
    if kind is None:
        what = "the bytes are" if isinstance(source, bytes) else f"{source} is"
        raise ValueError(f"{what} no PNG, JPEG, GIF, WebP or BMP image; give its URL, for example data:image/...")
    return {"type": "input_image", "image_url": f"data:{kind};base64,{b64encode(content).decode()}"}
