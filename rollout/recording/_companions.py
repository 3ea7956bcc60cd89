"""
The events that are recorded with an item of the Responses API, so that each version of Codex shows it.

In a legacy session, Codex shows messages and reasoning by ``user_message``, ``agent_message`` and ``agent_reasoning``;
Codex of 2026 also shows the end of a patch, of a search and of an MCP call, and no other call, so a call of a Python
function has the event of an MCP call, whose server is the originator. In a paginated session, Codex 0.169.0 shows what
``item_completed`` contains. As observed with its TUI and its app server.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

from attrs import define, evolve, field, frozen

from rollout.home import new_session_id
from rollout.interpret import output_outcome
from rollout.recording._call_ends import CallEnd, Item, event, joined_text
from rollout.schema import CALL_OUTPUTS

__all__ = ["Companions"]

# Maximum number of calls that wait for their output.
_CALLS_MAX = 2000
_CALLS = frozenset({"function_call", "custom_tool_call"})
_OUTPUTS = frozenset(CALL_OUTPUTS.values())


@frozen
class _Call:
    name: str
    arguments: Any
    started_at: float
    started_ms: int
    # What `end` has told.
    seconds: float | None = None
    is_failed: bool | None = None


@define
class Companions:
    """
    Maker of the events for the items of one session, in order.

    Args:
        session_id: Id of the session.
        originator: Name of the program that records.
        cwd: Working folder of commands.
        is_paginated: Whether the session is paginated.

    Attributes:
        turn_id: Id of the current turn; None outside of a turn.
        last_text: Text of the agent's last message in the current turn; None before the first one.
        last_error: Text of the last error in the current turn; None before the first one.
        model: Model of the last turn_context; None before the first one.
    """

    session_id: str
    originator: str
    cwd: str
    is_paginated: bool
    turn_id: str | None = field(default=None, init=False)
    last_text: str | None = field(default=None, init=False)
    last_error: str | None = field(default=None, init=False)
    model: str | None = field(default=None, init=False)
    _calls: dict[str, _Call] = field(factory=dict, init=False)

    def is_called(self, call_id: str) -> bool:
        """
        Return whether a call was recorded whose output was not.
        """
        return call_id in self._calls

    def end(self, call_id: str, seconds: float | None, is_failed: bool | None) -> None:
        """
        Note the end of a call whose output follows later; unknown calls are ignored.
        """
        call = self._calls.get(call_id)
        if call is not None:
            seconds = time.monotonic() - call.started_at if seconds is None else seconds
            self._calls[call_id] = evolve(call, seconds=seconds, is_failed=is_failed)

    def add(self, item: Item, *, is_failed: bool | None = None, seconds: float | None = None) -> list[Item]:
        """
        Return an item with its events, in the order in which Codex writes them.

        Args:
            item: Plain item of the Responses API.
            is_failed: Whether a call failed, for its output; None if the item itself tells.
            seconds: Duration of the call; by default the time since the call was added.
        """
        kind = item.get("type")
        if kind == "message":
            return self._add_message(item)
        if kind == "reasoning":
            return self._add_reasoning(item)
        call_id = item.get("call_id")
        if isinstance(call_id, str):
            if kind in _CALLS:
                self._keep(call_id, item)
            elif kind in _OUTPUTS and call_id in self._calls:
                return [*self._end_call(call_id, item, is_failed, seconds), item]
        elif kind == "web_search_call":
            return [item, *self._search(item)]
        return [item]

    def _add_message(self, item: Item) -> list[Item]:
        text, role = joined_text(item.get("content")), item.get("role")
        if role == "user":
            images = [part.get("image_url") for part in _parts(item, "input_image")]
            fields: dict[str, Any] = {"message": text, "kind": "plain"}
            # Codex writes the URLs of images here. An image that is in the item is not written a second time.
            urls = [url for url in images if isinstance(url, str) and not url.startswith("data:")]
            said = event("user_message", **fields, **({"images": urls} if urls else {}))
            content = [{"type": "text", "text": text, "text_elements": []}] if text else []
            content += [{"type": "image", "image_url": url} for url in urls]
            return [item, *self.completed({"type": "UserMessage", "id": new_session_id(), "content": content}), said]
        if role == "assistant":
            self.last_text = text
            done = {"type": "AgentMessage", "id": _id_of(item), "content": [{"type": "Text", "text": text}]}
            phase = item.get("phase")
            if isinstance(phase, str):
                done["phase"] = phase
            return [event("agent_message", message=text), item, *self.completed(done)]
        return [item]

    def _add_reasoning(self, item: Item) -> list[Item]:
        summary = [part["text"] for part in _parts(item, "summary_text", "summary")]
        raw = [part["text"] for part in _parts(item, "reasoning_text", "content")]
        events = [event("agent_reasoning", text=text) for text in summary]
        events += [event("agent_reasoning_raw_content", text=text) for text in raw]
        done = {"type": "Reasoning", "id": _id_of(item), "summary_text": summary, "raw_content": raw}
        return [*events, item, *(self.completed(done) if summary or raw else ())]

    def _keep(self, call_id: str, item: Item) -> None:
        arguments = item.get("arguments", item.get("input"))
        if len(self._calls) >= _CALLS_MAX:
            del self._calls[next(iter(self._calls))]
        now = time.time_ns() // 1_000_000
        self._calls[call_id] = _Call(str(item.get("name")), arguments, time.monotonic(), now)

    def _end_call(self, call_id: str, item: Item, is_failed: bool | None, seconds: float | None) -> list[Item]:
        call = self._calls.pop(call_id)
        outcome = output_outcome(item)
        is_failed = call.is_failed if is_failed is None else is_failed
        seconds = call.seconds if seconds is None else seconds
        if is_failed is None:
            is_failed = bool(outcome.is_failed or item.get("is_error") or item.get("success") is False)
        if seconds is None:
            seconds = time.monotonic() - call.started_at if outcome.duration is None else outcome.duration
        exit_code = int(is_failed) if outcome.exit_code is None else outcome.exit_code
        output = item.get("output")
        end = CallEnd(
            call_id, call.name, call.arguments, output, outcome.text or "", is_failed, exit_code, max(seconds, 0.0)
        )
        if self.is_paginated:
            return self.completed(end.to_completed_item(self.originator, self.cwd), call)
        return [end.to_event(self.originator, self.turn_id)]

    def _search(self, item: Item) -> list[Item]:
        action = item.get("action")
        query = action.get("query") if isinstance(action, Mapping) else None
        call_id, query = _id_of(item), query if isinstance(query, str) else ""
        if self.is_paginated:
            done = {"type": "WebSearch", "id": call_id, "query": query, "action": action}
            return self.completed(done)
        return [event("web_search_end", call_id=call_id, query=query, action=action)] if action else []

    def completed(self, done: Item, call: _Call | None = None) -> list[Item]:
        """
        Return the event of a completed item; nothing outside of a turn or in a legacy session.
        """
        if not self.is_paginated or self.turn_id is None:
            return []
        now = time.time_ns() // 1_000_000
        times = {"started_at_ms": call.started_ms if call else now, "completed_at_ms": now}
        return [event("item_completed", thread_id=self.session_id, turn_id=self.turn_id, item=done, **times)]


def _parts(item: Item, kind: str, key: str = "content") -> Iterable[Mapping[str, Any]]:
    content = item.get(key)
    for part in content if isinstance(content, list) else ():
        is_asked = isinstance(part, Mapping) and part.get("type") == kind
        if is_asked and (kind == "input_image" or isinstance(part.get("text"), str)):
            yield part


def _id_of(item: Item) -> str:
    own = item.get("id")
    return own if isinstance(own, str) and own else f"item_{uuid4().hex}"
