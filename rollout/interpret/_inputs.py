"""
The items that a line adds to the input of a model, and their removal by a rollback.

As Codex 0.169.0 decides it, which sent what it had read from sessions with each of these lines to a model for tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rollout.codec import RolloutLine
from rollout.interpret._facts import Context, Fact, Prompt
from rollout.interpret._parts import text_of
from rollout.interpret._prompts import is_turn_context
from rollout.schema import CALL_OUTPUTS

__all__ = ["SENT_OUTPUTS", "free_output", "is_sent", "missing_output", "rollback_mark", "sent_item"]

SENT_OUTPUTS = {**CALL_OUTPUTS, "tool_search_call": "tool_search_output"}
"""The types of calls that need an output in the input of a model, each with the type of its output."""

# Types of items that are sent to a model. Snapshots of the folder, requests of the client and unknown types are not.
_SENT_TYPES = frozenset({
    *SENT_OUTPUTS, *SENT_OUTPUTS.values(), "message", "reasoning", "web_search_call", "agent_message",
    "additional_tools", "image_generation_call", "compaction", "compaction_summary", "context_compaction",
})  # fmt: skip


def is_sent(item: Mapping[str, Any]) -> bool:
    """
    Return whether an item is of a type that is sent to a model.
    """
    kind = item.get("type")
    return isinstance(kind, str) and kind in _SENT_TYPES


def free_output(item: dict[str, Any]) -> dict[str, Any] | None:
    """
    Return what is sent of an output that has no call; None if it is left out. Codex writes such an output when a goal
    was set, and a service for the tools that it has found.
    """
    call_id = item.get("call_id")
    if item.get("type") == "function_call_output" and call_id is None:
        return {key: value for key, value in item.items() if key != "call_id"}
    is_search = item.get("type") == "tool_search_output"
    return item if is_search and (call_id is None or item.get("execution") == "server") else None


def missing_output(call: Mapping[str, Any]) -> list[dict[str, Any]]:
    """
    Return the output that is sent for a call without one, because services refuse such a call; none is needed for a
    search for tools without an id.
    """
    call_id = call.get("call_id")
    output = {"type": SENT_OUTPUTS[call["type"]], "call_id": call_id}
    if call["type"] != "tool_search_call":
        return [{**output, "output": "aborted"}]
    return [] if call_id is None else [{**output, "status": "completed", "execution": "client", "tools": []}]


def sent_item(line: RolloutLine) -> dict[str, Any] | None:
    """
    Return the item that a line adds to the input of a model; None if it adds none.
    """
    if line.type == "inter_agent_communication":
        return _agent_message(line.payload)
    return line.payload if line.type == "response_item" and is_sent(line.payload) else None


def _agent_message(payload: Mapping[str, Any]) -> dict[str, Any]:
    author, recipient = text_of(payload.get("author")), text_of(payload.get("recipient"))
    hidden = text_of(payload.get("encrypted_content"))
    text = text_of(payload.get("content"))
    if hidden:
        # The model reads the message itself, Codex does not.
        kind = "NEW_TASK" if payload.get("trigger_turn") else "MESSAGE"
        text = f"Message Type: {kind}\nTask name: {recipient}\nSender: {author}\nPayload:\n"
    parts = [{"type": "input_text", "text": text}]
    parts += [{"type": "encrypted_content", "encrypted_content": hidden}] if hidden else []
    known = {"type": "agent_message", "id": payload.get("id"), "author": author, "recipient": recipient}
    return {**{key: value for key, value in known.items() if value is not None}, "content": parts}


def rollback_mark(line: RolloutLine, facts: Sequence[Fact]) -> str:
    """
    Return what a rollback does at a line: ``start`` if a turn begins there that it counts, ``context`` if the line is
    removed together with the turn that follows it, otherwise an empty string.

    A turn begins at each prompt and at each message of another agent.

    Args:
        line: The line.
        facts: Its facts.
    """
    kind = line.payload.get("type")
    if line.type == "inter_agent_communication" or (line.type == "response_item" and kind == "agent_message"):
        return "start"
    if line.type != "response_item":
        return ""
    if any(isinstance(fact, Prompt) for fact in facts):
        return "start"
    is_context = any(isinstance(fact, Context) and fact.is_of_user for fact in facts)
    return "context" if kind == "message" and (is_context or is_turn_context(line.payload)) else ""
