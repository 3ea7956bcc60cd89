"""
What the lines of a session say: the words of the user and the agent, what it thought, what it ran and what came back.

Left out are the standing orders (developer messages, instructions, contexts), which are the same in every session, and
what is said a second time: Codex writes most messages as an item and as an event.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

from attrs import frozen

from rollout._calls import OUTPUTS, call_text, outcome_of, strings_in, tool_of
from rollout._prompts import is_context, message_text
from rollout.codec import RolloutLine
from rollout.schema import CALL_OUTPUTS

__all__ = ["KINDS", "Text", "Texts"]

KINDS = ("user", "agent", "reasoning", "call", "output", "summary")
"""Who says a text: `summary` is what a compaction left of what was before."""

# The echo of a message follows within so many lines that are not blank.
_ECHO_LINES = 32
# Bytes; an index keeps them for each session. One in 10^8 of what is said in those lines is taken for an echo.
_CHECKSUM_SIZE = 4
# Calls that are open at once; an answer comes soon after.
_CALLS_MAX = 1000
_SAID_BY = {
    "user_message": ("user", "message"),
    "agent_message": ("agent", "message"),
    "agent_reasoning": ("reasoning", "text"),
    "agent_reasoning_raw_content": ("reasoning", "text"),
    "error": ("agent", "message"),
}
_ITEMS = {"UserMessage": "user", "AgentMessage": "agent", "Plan": "agent"}


@frozen
class Text:
    """
    One text of a line.

    Attributes:
        kind: One of `KINDS`.
        text: It; not empty.
        tool: Which tool is called, or answers; None elsewhere, or if it is not known.
        is_failed: It is the output of a command that failed.
    """

    kind: str
    text: str
    tool: str | None = None
    is_failed: bool = False


class Texts:
    """
    The texts of one session's lines: give it each line that is not blank, in order.

    Args:
        tools: Calls that are open where the lines begin: their ids and tools.
        said: Checksums of what was said in the last lines before, and in which.
        count: How many lines there were before.
    """

    def __init__(
        self, tools: Mapping[str, str] | None = None, said: Mapping[str, int] | None = None, count: int = 0
    ) -> None:
        self._tools: OrderedDict[str, str] = OrderedDict(tools or {})
        self._said = dict(said or {})
        self._count = count

    def to_plain(self) -> dict[str, Any]:
        """
        Give its state as arguments to go on with.
        """
        self._forget()
        return {"tools": dict(self._tools), "said": self._said, "count": self._count}

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
        if line.type == "response_item":
            found = self._of_item(line.payload)
        elif line.type == "event_msg":
            found = _of_event(line.payload)
        elif line.type == "compacted":
            found = _said("summary", line.payload.get("message"))
        else:
            return []
        return [text for text in found if text.text and not self._is_echo(text)]

    def _is_echo(self, text: Text) -> bool:
        if text.kind in ("call", "output"):
            return False
        checksum = blake2b(text.text.encode("utf-8", "surrogatepass"), digest_size=_CHECKSUM_SIZE).hexdigest()
        said_at = self._said.get(checksum)
        if said_at is not None and self._count - said_at <= _ECHO_LINES:
            return True
        self._said[checksum] = self._count
        if len(self._said) > 2 * _ECHO_LINES:
            self._forget()
        return False

    def _forget(self) -> None:
        self._said = {key: at for key, at in self._said.items() if self._count - at < _ECHO_LINES}

    def _of_item(self, payload: Mapping[str, Any]) -> Iterator[Text]:
        kind = str(payload.get("type"))
        if kind == "message":
            role = payload.get("role")
            if role == "assistant" or (role == "user" and not is_context(payload)):
                yield Text("agent" if role == "assistant" else "user", message_text(payload))
        elif kind in OUTPUTS:
            outcome = outcome_of(payload)
            yield Text("output", outcome.text, self._tools.pop(str(payload.get("call_id")), None), outcome.is_failed)
        elif kind in CALL_OUTPUTS or kind in ("web_search_call", "image_generation_call"):
            tool = tool_of(payload)
            self._tools[str(payload.get("call_id"))] = tool
            if len(self._tools) > _CALLS_MAX:
                self._tools.popitem(last=False)
            yield Text("call", call_text(payload) or str(payload.get("revised_prompt") or ""), tool)
        elif kind == "reasoning":
            parts = [payload.get("summary"), payload.get("content")]
            texts = [part.get("text") for given in parts if isinstance(given, list) for part in given if _is_part(part)]
            yield Text("reasoning", "\n".join(texts))
        elif kind == "agent_message":
            yield Text("agent", message_text(payload))


def _is_part(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)


def _of_event(payload: Mapping[str, Any]) -> Iterator[Text]:
    kind = str(payload.get("type"))
    if kind in _SAID_BY:
        by, key = _SAID_BY[kind]
        yield from _said(by, payload.get(key))
    elif kind == "item_completed":
        item: Any = payload.get("item")
        by = _ITEMS.get(str(item.get("type")), "") if isinstance(item, dict) else ""
        if by:
            yield from _said(by, message_text(item) or item.get("text"))
    elif kind == "thread_goal_updated":
        goal = payload.get("goal")
        yield from _said("user", goal.get("objective") if isinstance(goal, dict) else None)
    elif kind == "exited_review_mode":
        yield from _said("agent", "\n".join(strings_in(payload.get("review_output"))))


def _said(by: str, text: Any) -> Iterator[Text]:
    if isinstance(text, str):
        yield Text(by, text)
