"""
What a page has but does not show: lines as they stand in the file, and texts it shows in part, compressed.

A block of a page is gzip in base64 of lines ``key TAB text``, where the text is JSON: a line of the file; or a string,
or where in a line it stands.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Any

from markupsafe import Markup

from rollout.codec import RolloutLine, decode_json

__all__ = ["Places", "blocks"]

# Parts of a line that are looked through: a damaged one may have any number.
_PARTS_MAX = 1000

# Bytes before compression: what a click unpacks. 64 kB compress 4 % less, and 1 MB takes 30 ms to unpack on a phone.
_BLOCK_SIZE = 256 * 1024
# A level of 6 makes blocks 6 % smaller, and takes twice the time.
_LEVEL = 4
_GZIP = 31


def blocks(kind: str, entries: Iterable[tuple[str, bytes]]) -> Iterator[Markup]:
    """
    Give the blocks of a page that hold these entries.

    Args:
        kind: What is in them: ``raw`` or ``whole``.
        entries: Keys, and JSON without newlines.
    """
    keys: list[str] = []
    parts: list[bytes] = []
    size = 0
    for key, text in entries:
        keys.append(key)
        parts.append(key.encode() + b"\t" + text + b"\n")
        size += len(text)
        if size >= _BLOCK_SIZE:
            yield _block(kind, keys, parts)
            keys, parts, size = [], [], 0
    if parts:
        yield _block(kind, keys, parts)


def _block(kind: str, keys: list[str], parts: list[bytes]) -> Markup:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    packed = b"".join([*map(packer.compress, parts), packer.flush()])
    return Markup('<script type="application/octet-stream" data-store="{}" data-keys="{}">{}</script>\n').format(
        kind, _ranges(keys), b64encode(packed).decode()
    )


def _ranges(keys: list[str]) -> str:
    """
    Give keys as ranges: ``1..240 b7 12.text``.
    """
    runs: list[list[str]] = []
    for key in keys:
        if runs and runs[-1][-1].isdecimal() and key.isdecimal() and int(key) == int(runs[-1][-1]) + 1:
            runs[-1][1:] = [key]
        else:
            runs.append([key])
    return " ".join("..".join(run) for run in runs)


class Places:
    """
    Positions of texts in a line, so that a page need not contain them twice. The line is parsed only once.

    Args:
        line: Line in which texts are searched for.
    """

    def __init__(self, line: RolloutLine) -> None:
        self._strings = list(_strings_in(line))

    def of(self, text: str) -> tuple[list[str | int | None], int] | None:
        """
        Return the position of a text.

        Returns:
            The keys that lead to the string that ends with the text, with None where a string is itself parsed as JSON;
            and the offset of the text in this string, in units of UTF-16. None if the line does not contain the text.
        """
        for path, string in self._strings:
            if string.endswith(text):
                return path, len(string[: len(string) - len(text)].encode("utf-16-le", "surrogatepass")) // 2
        return None


def _strings_in(line: RolloutLine) -> Iterator[tuple[list[str | int | None], str]]:
    rest: list[tuple[list[str | int | None], Any]] = [([] if line.is_bare else ["payload"], line.payload)]
    for _ in range(_PARTS_MAX):
        if not rest:
            break
        path, part = rest.pop()
        if isinstance(part, str):
            yield path, part
            rest += _inside(part, path)
        elif isinstance(part, dict):
            rest += (([*path, key], value) for key, value in part.items())
        elif isinstance(part, list):
            rest += (([*path, index], value) for index, value in enumerate(part))


def _inside(text: str, path: list[str | int | None]) -> list[tuple[list[str | int | None], Any]]:
    if not text.startswith("{"):
        return []
    try:
        return [([*path, None], decode_json(text))]
    except ValueError:
        return []
