"""
The output of ``codex exec --json``, object by object, as lines of a rollout.

Recorded with 0.36.0, 0.42.0 (``--json`` and ``--experimental-json``), 0.50.0 and 0.169.0. The objects have no times, so
the timestamps of the lines are empty. The session_meta has the time that is in the id, if there is one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from rollout.codec import RolloutLine
from rollout.home import RolloutName, id_time

__all__ = ["ExecReader"]

# Items of the command's output -> completed items of a rollout, which have the same fields.
_ITEMS = {
    "command_execution": "CommandExecution", "file_change": "FileChange", "mcp_tool_call": "McpToolCall",
    "web_search": "WebSearch",
}  # fmt: skip
_MESSAGES = ("agent_message", "assistant_message")
# Codex prints an error for each attempt to connect again, and goes on.
_RECONNECTING = "Reconnecting"


class ExecReader:
    """
    Reader of the objects of one file, in order. The file may contain several runs, one after the other.

    Args:
        path: The file; its name may contain the id of the session.
    """

    def __init__(self, path: Path) -> None:
        self._name = RolloutName.parse(path)
        self._runs = 0
        self._has_meta = False
        self._plans: dict[str, Any] = {}
        # A prompt is printed before the event that begins its turn.
        self._prompts: list[RolloutLine] = []

    def lines_of(self, event: dict[str, Any], raw: bytes) -> list[RolloutLine]:
        """
        Return the lines for one object; *raw* are its bytes.
        """
        message, waiting = event.get("msg"), self.rest()
        if isinstance(message, dict) and message.get("type") == "task_started":
            return [*self._lines(event, raw), *waiting]
        return [*waiting, *self._lines(event, raw)]

    def rest(self) -> list[RolloutLine]:
        """
        Return the lines that wait for the next object.
        """
        waiting, self._prompts = self._prompts, []
        return waiting

    def _lines(self, event: dict[str, Any], raw: bytes) -> list[RolloutLine]:
        kind = event.get("type")
        if kind in ("thread.started", "session.created"):
            self._runs += 1
            given = event.get("thread_id", event.get("session_id"))
            meta = self._meta(given if isinstance(given, str) else "", event, raw)
            # 0.42.0 prints no beginning of a turn.
            return [meta, _event({"type": "task_started"})] if kind == "session.created" else [meta]
        if "workdir" in event:
            self._runs += 1
            return [self._meta("", event, raw), *_settings(event)]
        lines = [] if self._has_meta else [self._meta("", {}, raw)]
        if isinstance(kind, str):
            return lines + self._event(kind, event)
        message = event.get("msg")
        if isinstance(message, dict):
            others = {key: value for key, value in event.items() if key != "msg"}
            return [*lines, _line("event_msg", message, others)]
        if isinstance(event.get("prompt"), str):
            self._prompts = [_event({"type": "user_message", "message": event["prompt"]}, event)]
            return lines
        return [*lines, _event({"type": "item_completed", "item": {"type": "other", **event}})]

    def _meta(self, session_id: str, event: dict[str, Any], raw: bytes) -> RolloutLine:
        self._has_meta = True
        name = self._name
        # The events of 2025 have no id. One made from the first bytes is the same at every reading.
        session_id = session_id or (name.session_id if name else str(uuid5(NAMESPACE_OID, raw.hex())))
        is_of_name = name is not None and name.session_id == session_id
        started_at = (name.started_at if name and is_of_name else None) or id_time(session_id)
        timestamp = f"{started_at:%Y-%m-%dT%H:%M:%S}.000Z" if started_at else ""
        payload = {
            "id": session_id, "timestamp": timestamp, "cwd": event.get("workdir"), "source": "exec",
            "model_provider": event.get("provider"),
        }  # fmt: skip
        known = {key: value for key, value in payload.items() if value is not None}
        return _line("session_meta", known, {"original": event} if event else {})

    def _event(self, kind: str, event: dict[str, Any]) -> list[RolloutLine]:
        if kind == "turn.started":
            return [_event({"type": "task_started"}, event)]
        if kind == "turn.completed":
            info = {"total_token_usage": event.get("usage")}
            return [_event({"type": "token_count", "info": info}, event), _event({"type": "task_complete"})]
        if kind == "turn.failed":
            return [_event({"type": "task_complete", "error": event.get("error") or {}}, event)]
        if kind == "error":
            message = str(event.get("message"))
            own = "stream_error" if message.startswith(_RECONNECTING) else "error"
            return [_event({"type": own, "message": message}, event)]
        item = event.get("item")
        if isinstance(item, dict):
            return [self._item(kind, item, event)]
        return [_event({"type": "item_completed", "item": {**event, "type": kind}})]

    def _item(self, kind: str, item: dict[str, Any], event: dict[str, Any]) -> RolloutLine:
        own, text = item.get("type", item.get("item_type")), item.get("text")
        is_whole = kind == "item.completed"
        if own in _MESSAGES and is_whole:
            content = [{"type": "output_text", "text": text}]
            return _line("response_item", {"type": "message", "role": "assistant", "content": content}, _beside(event))
        if own == "reasoning" and is_whole:
            return _event({"type": "agent_reasoning", "text": text}, event)
        if own == "error" and is_whole:
            return _event({"type": "warning", "message": item.get("message")}, event)
        # The ids of the items begin again with each run.
        item_id = f"{item.get('id')}" if self._runs < 2 else f"{item.get('id')} of run {self._runs}"
        if own == "todo_list":
            steps = item.get("items")
            if self._plans.get(item_id) != steps:
                self._plans[item_id] = steps
                return _event({"type": "plan_update", "plan": _steps(steps)}, event)
        elif is_whole or own == "command_execution":
            name = _ITEMS.get(str(own)) or "".join(word.title() for word in str(own).split("_"))
            others = {key: value for key, value in item.items() if key not in ("id", "type", "item_type")}
            return _event({"type": "item_completed", "item": {"type": name, "id": item_id, **others}}, event)
        own_event = "item_started" if kind == "item.started" else "item_updated"
        return _event({"type": own_event, "item_id": item_id}, event)


def _steps(steps: Any) -> list[dict[str, Any]]:
    return [
        {"step": step.get("text"), "status": "completed" if step.get("completed") else "pending"}
        for step in (steps if isinstance(steps, list) else ())
        if isinstance(step, dict)
    ]


def _settings(event: dict[str, Any]) -> list[RolloutLine]:
    names = {
        "cwd": "workdir", "approval_policy": "approval", "model": "model", "effort": "reasoning effort",
        "summary": "reasoning summaries",
    }  # fmt: skip
    payload = {name: event[key] for name, key in names.items() if key in event}
    return [_line("turn_context", {**payload, "sandbox_policy": {"mode": event.get("sandbox")}})]


def _beside(event: dict[str, Any]) -> dict[str, Any]:
    return {"original": event}


def _event(payload: dict[str, Any], event: dict[str, Any] | None = None) -> RolloutLine:
    return _line("event_msg", payload, None if event is None else _beside(event))


def _line(kind: str, payload: dict[str, Any], extra: dict[str, Any] | None = None) -> RolloutLine:
    return RolloutLine(timestamp="", type=kind, payload=payload, extra=extra or {})
