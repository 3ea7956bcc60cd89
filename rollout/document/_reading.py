"""
One line -> what a reader sees of it. Knows no other line: pairing and echoes are the builder's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from rollout._calls import OUTPUTS, outcome_of, tool_of
from rollout._prompts import is_context
from rollout.codec import RolloutLine, decode_json, json_for_reading
from rollout.document._events import read_event
from rollout.document._inputs import plan_of, set_input
from rollout.document._model import Call, Item
from rollout.document._parts import list_of, other, parts_of, picture, text_of
from rollout.schema import CALL_OUTPUTS

__all__ = ["read"]

# Calls that no other item answers.
_ALONE = ("web_search_call", "image_generation_call")
_CALLS = frozenset({*CALL_OUTPUTS, *_ALONE, "tool_search_call"})
_ANSWERS = frozenset({*OUTPUTS, "tool_search_output"})
_TAG = re.compile(r"\s*(?:<(\w+)>|# (AGENTS\.md instructions))")
# What adds nothing for a reader; scores of risk nobody is to be shown.
_SILENT = frozenset({
    "turn_context", "world_state", "token_usage_record", "security_risk_score", "inter_agent_communication_metadata",
    "retained_context", "rollout_reference", "fork_reference", "state",
})  # fmt: skip
_SILENT_ITEMS = frozenset({
    "ghost_snapshot", "compaction", "compaction_summary", "context_compaction", "compaction_trigger",
    "additional_tools",
})  # fmt: skip


def read(line: RolloutLine) -> list[Item] | str:
    """
    Give what a line says, as items whose keys are empty yet; if it says nothing to a reader, what kind of line it is.

    A call and its answer are items of kind call with one id.
    """
    payload: Any = line.payload
    if line.type == "response_item":
        return _read_item(payload)
    if line.type == "event_msg":
        return read_event(payload)
    if line.type in _SILENT:
        return line.type
    reader = _LINES.get(line.type)
    return reader(payload) if reader else [other(line.type, payload)]


def _read_item(payload: Mapping[str, Any]) -> list[Item] | str:
    kind = str(payload.get("type"))
    if kind in _CALLS:
        return [_called(payload, kind)]
    if kind in _ANSWERS:
        return [_answered(payload)]
    if kind in _SILENT_ITEMS:
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
    return [Item("", "reasoning", text=text) for text in texts if text] or "reasoning without words"


def _between_agents(payload: Mapping[str, Any]) -> list[Item] | str:
    text, images = parts_of(payload.get("content"))
    if not text and not images:
        return "message without content"
    names = filter(None, (text_of(payload.get(key)) for key in ("author", "recipient")))
    return [Item("", "agent", title=" to ".join(names), text=text, images=images)]


def _called(payload: Mapping[str, Any], kind: str) -> Item:
    call = Call(tool_of(payload), str(payload.get("call_id") or payload.get("id") or "") or None)
    item = Item("", "call", call=call)
    if kind in _ALONE and payload.get("status") == "completed":
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


def _answered(payload: Mapping[str, Any]) -> Item:
    outcome = outcome_of(payload)
    call = Call("", str(payload.get("call_id") or "") or None, output=outcome.text)
    call.exit_code, call.duration, call.is_failed = outcome.exit_code, outcome.duration, outcome.is_failed
    if isinstance(payload.get("output"), list):
        call.output, call.images = parts_of(payload["output"])
    elif "tools" in payload:
        call.output = json_for_reading(payload["tools"])
    return Item("", "call", call=call)


def _compacted(payload: Mapping[str, Any]) -> list[Item]:
    replaced = list_of(payload.get("replacement_history"))
    title = f"{len(replaced)} items kept" if replaced else ""
    return [Item("", "compaction", title=title, text=text_of(payload.get("message")))]


def _session_meta(payload: Mapping[str, Any]) -> list[Item] | str:
    base: Any = payload.get("base_instructions")
    text = text_of(payload.get("instructions")) or text_of(base.get("text") if isinstance(base, dict) else None)
    return [Item("", "context", title="instructions", text=text)] if text else "session_meta"


def _spoken(payload: Mapping[str, Any]) -> list[Item] | str:
    text = text_of(payload.get("text"))
    return (
        [Item("", "user" if payload.get("role") == "user" else "agent", title="spoken", text=text)]
        if text
        else "realtime_item"
    )


_Reader = Callable[[Mapping[str, Any]], "list[Item] | str"]
_ITEMS: dict[str, _Reader] = {"message": _message, "reasoning": _reasoning, "agent_message": _between_agents}
_LINES: dict[str, _Reader] = {
    "session_meta": _session_meta,
    "compacted": _compacted,
    "inter_agent_communication": _between_agents,
    "realtime_item": _spoken,
}
