"""
Extract the texts of a session's lines: messages of the user and the agent, reasoning, calls and their outputs.

Developer messages, instructions and contexts are left out, because they are the same in every session. Echoes are also
left out: Codex writes most messages twice, as an item and as an event.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

from attrs import frozen

from rollout.codec import RolloutLine
from rollout.interpret._calls import OUTPUTS, call_text, has_text, outcome_of, strings_in, tool_of
from rollout.interpret._prompts import is_context, message_text
from rollout.schema import CALL_OUTPUTS

__all__ = ["TEXT_KINDS", "Text", "TextExtractor"]

TEXT_KINDS = ("user", "agent", "reasoning", "call", "output", "summary")
"""The kinds of texts. `summary` is the text with which a compaction replaced the history."""

# Maximum distance between a message and its echo, in lines that are not blank.
_ECHO_LINES = 32
# Bytes; an index keeps checksums for each session. One text in 10^8 is mistaken for an echo.
_CHECKSUM_SIZE = 4
# Maximum number of open calls; an output usually follows its call soon.
_CALLS_MAX = 1000
_MESSAGE_EVENTS = {
    "user_message": ("user", "message"),
    "agent_message": ("agent", "message"),
    "agent_reasoning": ("reasoning", "text"),
    "agent_reasoning_raw_content": ("reasoning", "text"),
    "error": ("agent", "message"),
}
_COMPLETED_ITEMS = {"UserMessage": "user", "AgentMessage": "agent", "Plan": "agent"}


@frozen
class Text:
    """
    One text of a line.

    Attributes:
        kind: One of `TEXT_KINDS`.
        text: The text; not empty.
        tool: The tool of a call or output; None for other kinds, or if unknown.
        is_failed: Whether the text is the output of a command that failed.
    """

    kind: str
    text: str
    tool: str | None = None
    is_failed: bool = False


class TextExtractor:
    """
    State that extracts the texts of one session. The lines that are not blank are passed in order.

    The search index stores the arguments under their names.

    Args:
        tools: Ids and tools of the calls that are open before the first line.
        said: Checksums of the texts in earlier lines, each with the number of its line.
        count: Number of earlier lines.
    """

    def __init__(
        self, tools: Mapping[str, str] | None = None, said: Mapping[str, int] | None = None, count: int = 0
    ) -> None:
        self._tools: OrderedDict[str, str] = OrderedDict(tools or {})
        self._said = dict(said or {})
        self._count = count

    def to_plain(self) -> dict[str, Any]:
        """
        Return the state as arguments for a new object that continues.
        """
        self._forget()
        return {"tools": dict(self._tools), "said": self._said, "count": self._count}

    def skip(self) -> None:
        """
        Count a line whose texts are not needed.
        """
        self._count += 1

    def extract(self, line: RolloutLine) -> list[Text]:
        """
        Return the texts of the next line, without echoes.
        """
        self._count += 1
        if line.type == "response_item":
            texts = self._item_texts(line.payload)
        elif line.type == "event_msg":
            texts = _event_texts(line.payload)
        elif line.type == "compacted":
            texts = _text_if_string("summary", line.payload.get("message"))
        else:
            return []
        return [text for text in texts if text.text and not self._is_echo(text)]

    def _is_echo(self, text: Text) -> bool:
        if text.kind in ("call", "output"):
            return False
        checksum = blake2b(text.text.encode("utf-8", "surrogatepass"), digest_size=_CHECKSUM_SIZE).hexdigest()
        last_count = self._said.get(checksum)
        if last_count is not None and self._count - last_count <= _ECHO_LINES:
            return True
        self._said[checksum] = self._count
        if len(self._said) > 2 * _ECHO_LINES:
            self._forget()
        return False

    def _forget(self) -> None:
        self._said = {key: count for key, count in self._said.items() if self._count - count < _ECHO_LINES}

    def _item_texts(self, payload: Mapping[str, Any]) -> Iterator[Text]:
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
            texts = [part.get("text") for value in parts if isinstance(value, list) for part in value if has_text(part)]
            yield Text("reasoning", "\n".join(texts))
        elif kind == "agent_message":
            yield Text("agent", message_text(payload))


def _event_texts(payload: Mapping[str, Any]) -> Iterator[Text]:
    kind = str(payload.get("type"))
    if kind in _MESSAGE_EVENTS:
        text_kind, key = _MESSAGE_EVENTS[kind]
        yield from _text_if_string(text_kind, payload.get(key))
    elif kind == "item_completed":
        item: Any = payload.get("item")
        text_kind = _COMPLETED_ITEMS.get(str(item.get("type")), "") if isinstance(item, dict) else ""
        if text_kind:
            yield from _text_if_string(text_kind, message_text(item) or item.get("text"))
    elif kind == "thread_goal_updated":
        goal = payload.get("goal")
        yield from _text_if_string("user", goal.get("objective") if isinstance(goal, dict) else None)
    elif kind == "exited_review_mode":
        yield from _text_if_string("agent", "\n".join(strings_in(payload.get("review_output"))))


def _text_if_string(kind: str, text: Any) -> Iterator[Text]:
    if isinstance(text, str):
        yield Text(kind, text)
