"""
Detect texts that several lines of a session contain: Codex writes most messages as an item and as an event.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

from attrs import define

from rollout.interpret._state import is_number_list, stored

__all__ = ["COMPLETED", "ECHO_LINES", "END", "EVENT", "ITEM", "EchoTracker", "checksum"]

ECHO_LINES = 32
"""Maximum number of lines between a text and its echo."""

# The families of lines: each contains a text once. As bits, of which a state keeps the sum.
ITEM, EVENT, COMPLETED, END = 1, 2, 4, 8


def checksum(kind: str, text: str) -> str:
    """
    Return a checksum of a text. One text in 10^8 is mistaken for an echo, as only a few texts are compared.
    """
    return f"{crc32(text.encode('utf-8', 'surrogatepass'), crc32(kind.encode())):x}"


def _is_seen(value: Any) -> bool:
    return type(value) is dict and all(is_number_list(known) and len(known) == 2 for known in value.values())


@define(eq=False, repr=False)
class EchoTracker:
    """
    The texts of the last lines: for each the number of the line that contained it first, and the families so far.
    """

    seen: dict[str, list[int]] = stored(dict, check=_is_seen)

    def find(self, kind: str, text: str, family: int, number: int) -> int | None:
        """
        Return the number of the earlier line with a text of which this line is an echo; None if the text is new.
        """
        key = checksum(kind, text)
        known = self.seen.get(key)
        if known is not None and not known[1] & family and number - known[0] <= ECHO_LINES:
            known[1] |= family
            return known[0]
        self._keep(key, family, number)
        return None

    def add(self, kind: str, text: str, family: int, number: int) -> None:
        """
        Keep a text, to recognize its repetition.
        """
        self._keep(checksum(kind, text), family, number)

    def _keep(self, key: str, family: int, number: int) -> None:
        self.seen[key] = [number, family]
        if len(self.seen) > 4 * ECHO_LINES:
            self.forget(number)

    def forget(self, number: int) -> None:
        """
        Forget the texts of which no later line can be an echo.
        """
        self.seen = {key: known for key, known in self.seen.items() if number - known[0] <= ECHO_LINES}
