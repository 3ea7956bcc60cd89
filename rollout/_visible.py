"""
Recorded text made harmless for a screen: what a terminal or a page acts on stands there as an escape.
"""

from __future__ import annotations

import re

__all__ = ["UNSAFE", "one_line", "visible"]

# What a terminal may act on, or what turns the order of characters around: controls but newline and tab, the marks
# of direction, line and paragraph separators, what is not seen, tags, halves of characters. Not the joiners, without
# which Persian and the pictures of people are not what was written.
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
"""A character that is not shown as it is."""


def visible(text: str) -> str:
    """
    Give a text in which nothing acts on a terminal: such characters stand there as escapes.
    """
    return UNSAFE.sub(_escape, text.replace("\r\n", "\n"))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def one_line(text: str) -> str:
    """
    Give a text for a line or a cell of a table.
    """
    return visible(" ".join(text.split()))
