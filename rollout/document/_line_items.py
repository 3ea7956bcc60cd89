"""
Convert one line to the items that a reader sees. Uses no other line: the builder joins calls with outputs and merges
echoes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from rollout.codec import RolloutLine, decode_json, json_for_reading
from rollout.document._content import list_of, other, parts_of, picture, text_of
from rollout.document._events import read_event
from rollout.document._model import Call, Item
from rollout.document._tool_input import plan_of, set_input
from rollout.interpret import OUTPUTS, is_context, outcome_of, tool_of
from rollout.schema import CALL_OUTPUTS

__all__ = ["read_items"]

# Calls whose output is not in another item.
_CALLS_WITHOUT_OUTPUT = ("web_search_call", "image_generation_call")
_CALLS = frozenset({*CALL_OUTPUTS, *_CALLS_WITHOUT_OUTPUT, "tool_search_call"})
_OUTPUT_TYPES = frozenset({*OUTPUTS, "tool_search_output"})
_TAG = re.compile(r"\s*(?:<(\w+)>|# (AGENTS\.md instructions))")
# Lines without content for a reader, and risk scores, which must not be shown.
_WITHOUT_ITEMS = frozenset({
    "turn_context", "world_state", "token_usage_record", "security_risk_score", "inter_agent_communication_metadata",
    "retained_context", "rollout_reference", "fork_reference", "state",
})  # fmt: skip
_WITHOUT_CONTENT = frozenset({
    "ghost_snapshot", "compaction", "compaction_summary", "context_compaction", "compaction_trigger",
    "additional_tools",
})  # fmt: skip


def read_items(line: RolloutLine) -> list[Item] | str:
    """
    Return the items of a line, with empty keys; for a line without content for a reader, the kind of the line.

    A call and its output are two items of kind call with the same id.
    """
    payload: Any = line.payload
    if line.type == "response_item":
        return _read_item(payload)
    if line.type == "event_msg":
        return read_event(payload)
    if line.type in _WITHOUT_ITEMS:
        return line.type
    reader = _LINES.get(line.type)
    return reader(payload) if reader else [other(line.type, payload)]


def _read_item(payload: Mapping[str, Any]) -> list[Item] | str:
    kind = str(payload.get("type"))
    if kind in _CALLS:
        return [_call_item(payload, kind)]
    if kind in _OUTPUT_TYPES:
        return [_output_item(payload)]
    if kind in _WITHOUT_CONTENT:
        return kind
    reader = _ITEMS.get(kind)
    return reader(payload) if reader else [other(kind, payload)]


def _message(payload: Mapping[str, Any]) -> list[Item] | str:
    text, images = parts_of(payload.get("content"))
    role = payload.get("role")
    if not text and not images:
        return "message without content"
    if role == "assistant":
        return [Item("", "agent", text=text, images=images)]
    if role == "user" and not is_context(payload):
        return [Item("", "user", text=text, images=images)]
    tag = _TAG.match(text)
    title = (tag[1] or tag[2]) if tag else str(role)
    return [Item("", "context", title=title.replace("_", " "), text=text, images=images)]


def _reasoning(payload: Mapping[str, Any]) -> list[Item] | str:
    texts = [parts_of([part])[0] for key in ("summary", "content") for part in list_of(payload.get(key))]
    return [Item("", "reasoning", text=text) for text in texts if text] or "reasoning without text"


def _agent_to_agent(payload: Mapping[str, Any]) -> list[Item] | str:
    text, images = parts_of(payload.get("content"))
    if not text and not images:
        return "message without content"
    names = filter(None, (text_of(payload.get(key)) for key in ("author", "recipient")))
    return [Item("", "agent", title=" to ".join(names), text=text, images=images)]


def _call_item(payload: Mapping[str, Any], kind: str) -> Item:
    call = Call(tool_of(payload), str(payload.get("call_id") or payload.get("id") or "") or None)
    item = Item("", "call", call=call)
    if kind in _CALLS_WITHOUT_OUTPUT and payload.get("status") == "completed":
        call.output = ""
    given: Any = payload.get("input", payload.get("arguments", payload.get("action")))
    if kind == "image_generation_call":
        call.input, call.images = text_of(payload.get("revised_prompt")), picture(payload.get("result"))
        return item
    if kind == "function_call" and isinstance(given, str):
        try:
            given = decode_json(given)
        except ValueError:
            call.input = str(payload.get("arguments"))
            return item
    set_input(call, given)
    if call.tool == "update_plan":
        item.plan = plan_of(given)
        item.text = text_of(given.get("explanation")) if item.plan else ""
    return item


def _output_item(payload: Mapping[str, Any]) -> Item:
    outcome = outcome_of(payload)
    call = Call("", str(payload.get("call_id") or "") or None, output=outcome.text)
    call.exit_code, call.duration, call.is_failed = outcome.exit_code, outcome.duration, outcome.is_failed
    if isinstance(payload.get("output"), list):
        call.output, call.images = parts_of(payload["output"])
    elif "tools" in payload:
        call.output = json_for_reading(payload["tools"])
    return Item("", "call", call=call)


def _compaction(payload: Mapping[str, Any]) -> list[Item]:
    replaced = list_of(payload.get("replacement_history"))
    title = f"{len(replaced)} items kept" if replaced else ""
    return [Item("", "compaction", title=title, text=text_of(payload.get("message")))]


def _session_meta(payload: Mapping[str, Any]) -> list[Item] | str:
    base: Any = payload.get("base_instructions")
    text = text_of(payload.get("instructions")) or text_of(base.get("text") if isinstance(base, dict) else None)
    return [Item("", "context", title="instructions", text=text)] if text else "session_meta"


def _realtime(payload: Mapping[str, Any]) -> list[Item] | str:
    text = text_of(payload.get("text"))
    return (
        [Item("", "user" if payload.get("role") == "user" else "agent", title="spoken", text=text)]
        if text
        else "realtime_item"
    )


_Reader = Callable[[Mapping[str, Any]], "list[Item] | str"]
_ITEMS: dict[str, _Reader] = {"message": _message, "reasoning": _reasoning, "agent_message": _agent_to_agent}
_LINES: dict[str, _Reader] = {
    "session_meta": _session_meta,
    "compacted": _compaction,
    "inter_agent_communication": _agent_to_agent,
    "realtime_item": _realtime,
}
