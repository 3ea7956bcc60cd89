"""
What the lines of a session say, where some of them are passed over or were read before.

An index that goes on, a search of what came since, and one that decodes only what may match say the same: an echo is
told by how many lines ago it was said, and what that needs is kept beside the index's offset.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from rollout._calls import OUTPUTS
from rollout._texts import Text, Texts
from rollout.codec import RolloutLine

__all__ = ["SessionTexts"]

# The echo of a message follows within so many lines that are not blank.
_ECHO_LINES = 32
# Bytes; kept for each session. One in 10^8 of what is said within those lines is taken for an echo that is none.
_CHECKSUM_SIZE = 4


class SessionTexts(Texts):
    """
    The texts of one session's lines: give each line that is not blank, in order.

    Args:
        count: Lines before the first that is given.
        said: Checksums of what was said in the last of those, and in which line.
        tools: Calls that are open there: their ids and tools.
    """

    def __init__(
        self, count: int = 0, said: Mapping[str, int] | None = None, tools: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(tools)
        self._count = count
        self._said_at = dict(said or {})

    def to_plain(self) -> dict[str, Any]:
        """
        Give its state as arguments to go on with.
        """
        self._forget()
        return {"count": self._count, "said": self._said_at, "tools": dict(self._tools)}

    def pass_over(self) -> None:
        """
        Count a line that says nothing, or nothing that is wanted.
        """
        self._count += 1

    def of(self, line: RolloutLine) -> list[Text]:
        """
        Give what the next line says.
        """
        self._count += 1
        found = super().of(line)
        if line.type == "response_item" and str(line.payload.get("type")) in OUTPUTS:
            # Answered: not among what is kept.
            self._tools.pop(str(line.payload.get("call_id")), None)
        return found

    def _is_echo(self, text: Text) -> bool:
        if text.kind in ("call", "output"):
            return False
        checksum = blake2b(text.text.encode("utf-8", "surrogatepass"), digest_size=_CHECKSUM_SIZE).hexdigest()
        said_at = self._said_at.get(checksum)
        if said_at is not None and self._count - said_at <= _ECHO_LINES:
            return True
        self._said_at[checksum] = self._count
        if len(self._said_at) > 2 * _ECHO_LINES:
            self._forget()
        return False

    def _forget(self) -> None:
        self._said_at = {key: at for key, at in self._said_at.items() if self._count - at < _ECHO_LINES}
