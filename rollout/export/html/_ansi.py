"""
The output of a command -> markup: colors become classes, all other terminal sequences are removed.

Reasons for a separate parser: rich takes 8 s for 120 kB of unterminated links, raises an error for a color of 5,000
digits, and drops text overwritten after a carriage return; ansi2html creates links, and keeps NUL. 1 MB with two colors
per line takes 0.17 s here, 0.25 s with rich and 0.21 s with ansi2html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from rollout.export.html._markup import plain

__all__ = ["terminal_markup", "without_colors"]

_SGR = re.compile(r"\x1b\[([0-9;:]{0,64})m")
# Other sequences have no meaning on a page: they move the cursor, set titles, begin links or ring the bell.
_OTHER = re.compile(
    r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)|[ -/][0-~]|[0-?@-OQ-WYZ\\^_])"
)
_MARKS = {1: "b", 2: "d", 3: "i", 4: "u", 7: "r", 9: "x"}
_ENDS = {22: "bd", 23: "i", 24: "u", 27: "r", 29: "x"}
# The nearest of the eight colors for each sixth of the hue circle.
_HUES = "132645"
_GRAY_MAX = 48


def terminal_markup(text: str) -> Markup:
    """
    Return the output of a command as markup, with classes for its colors and without other terminal sequences.

    Colors are reduced to the eight that both themes of the page can show: ``f1`` is red text, ``g1`` red background.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\x1b" not in text:
        return plain(text)
    return Markup("".join(_spans(_SGR.split(_OTHER.sub(_keep_color, text)))))  # noqa: S704 -- each part is escaped


def without_colors(text: str) -> str:
    """
    Return the output of a command without colors and other terminal sequences.
    """
    return _OTHER.sub("", text) if "\x1b" in text else text


def _keep_color(found: re.Match[str]) -> str:
    return found[0] if _SGR.fullmatch(found[0]) else ""


def _spans(parts: Sequence[str]) -> Iterator[str]:
    style: dict[str, str] = {}
    for index, part in enumerate(parts):
        if index % 2:
            _apply(style, [int(number or 0) % 1000 for number in part.replace(":", ";").split(";")])
        elif part and style:
            yield f'<i class="{" ".join(sorted(style.values()))}">{plain(part)}</i>'
        elif part:
            yield plain(part)


def _apply(style: dict[str, str], numbers: list[int]) -> None:
    """
    Apply the numbers of a color sequence to the current classes.
    """
    rest = iter(numbers)
    for number in rest:
        layer = "g" if number // 10 in (4, 10) else "f"
        if number == 0:
            style.clear()
        elif number in _MARKS:
            style[_MARKS[number]] = f"t{_MARKS[number]}"
        elif number in _ENDS:
            for mark in _ENDS[number]:
                style.pop(mark, None)
        elif number in (38, 48):
            style[layer] = f"{layer}{_reduce_color(rest)}"
        elif number in (39, 49):
            style.pop(layer, None)
        elif number // 10 in (3, 4, 9, 10) and number % 10 < 8:
            style[layer] = f"{layer}{'8' if number in (90, 100) else number % 10}"


def _reduce_color(rest: Iterator[int]) -> str:
    """
    Read a color, by its number (of 256) or by its red, green and blue values, and return the nearest of the eight.
    """
    mode = next(rest, 0)
    if mode == 2:
        return _nearest(*(min(next(rest, 0), 255) for _ in range(3)))
    number = min(next(rest, 0), 255)
    if number < 16:
        return "8" if number == 8 else str(number % 8)
    if number >= 232:
        return _nearest(*([8 + 10 * (number - 232)] * 3))
    red, green, blue = ((number - 16) // step % 6 * 51 for step in (36, 6, 1))
    return _nearest(red, green, blue)


def _nearest(red: int, green: int, blue: int) -> str:
    high, low = max(red, green, blue), min(red, green, blue)
    if high - low < _GRAY_MAX:
        return "0" if high < 64 else "8" if high < 160 else "7"
    span = high - low
    if high == red:
        hue = (green - blue) / span
    elif high == green:
        hue = 2 + (blue - red) / span
    else:
        hue = 4 + (red - green) / span
    return _HUES[round(hue) % 6]
