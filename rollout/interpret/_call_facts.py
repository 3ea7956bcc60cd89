"""
The facts about calls of tools.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollout.interpret._calls import call_kind
from rollout.interpret._facts import Fact
from rollout.interpret._parts import Image

if TYPE_CHECKING:
    from rollout.interpret._arguments import CallInput

__all__ = ["CallBegan", "CallEnded"]


class CallBegan(Fact):
    """
    A line with a call of a tool. Several lines may describe one call.

    Attributes:
        call: Number of the call in the session, from 0.
        call_id: Id of the call; None if the line has none.
        tool: Name of the tool.
        parent: Number of the call of the script that made this call; None for a call of the model.
        is_new: Whether this is the first line of the call.
        is_item: Whether the line is a response item.
        earlier_tool: Name of the tool in the earlier lines of the call.
    """

    call: int
    call_id: str | None
    tool: str
    parent: int | None
    is_new: bool
    is_item: bool
    earlier_tool: str
    _payload: Any

    @property
    def kind(self) -> str:
        """command, patch, mcp, dynamic, web, image, plan, agent, script or function."""
        return call_kind(self.tool, self._payload)

    @property
    def input(self) -> CallInput:
        """The input for a reader."""
        from rollout.interpret._arguments import read_input  # noqa: PLC0415 -- not needed for lists and statistics

        return read_input(self._payload)

    @property
    def words(self) -> str:
        """All text of the input."""
        from rollout.interpret._arguments import search_words  # noqa: PLC0415 -- as above

        return search_words(self._payload)


class CallEnded(Fact):
    """
    A line with the output or the outcome of a call. Several lines may state it: the most trusted one counts.

    Attributes:
        call: Number of the call; None if its beginning is not in the file.
        call_id: Id of the call; None if the line has none.
        tool: Name of the tool; empty if the beginning is not in the file.
        text: Output without the header that Codex adds; None if the line contains none.
        images: Images in the output.
        exit_code: Exit code of a command, so far.
        duration: Seconds that the call took, so far; None if unknown.
        is_failed: Whether the call failed, according to all lines so far.
        reason: Reason of the failure: ``exit code 1``, denied, aborted, timeout, unsupported, script failed, error.
        stated: Reason that this line states; empty if it states no failure.
        was_failed: Whether it had failed according to the lines before this one.
        earlier_duration: The duration before this line.
        is_item: Whether the line is a response item.
        is_repeated: Whether an earlier line contains the same output; known only to a reader of texts.
    """

    call: int | None
    call_id: str | None
    tool: str
    text: str | None
    images: tuple[Image, ...] = ()
    exit_code: int | None = None
    duration: float | None = None
    is_failed: bool = False
    reason: str = ""
    stated: str = ""
    was_failed: bool = False
    earlier_duration: float | None = None
    is_item: bool = True
    is_repeated: bool = False
