"""
Convert one event to the items that a reader sees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rollout.codec import json_for_reading
from rollout.document._content import image, list_of, other, parts_of, picture, seconds_in, text_of
from rollout.document._model import Call, Item
from rollout.document._patches import changes_of
from rollout.document._tool_input import plan_of, set_input
from rollout.interpret import strings_in

__all__ = ["read_event"]

_WITHOUT_ITEMS = frozenset({
    "token_count", "task_started", "turn_started", "thread_settings_applied", "session_configured",
    "shutdown_complete", "agent_message_delta", "agent_reasoning_delta", "agent_reasoning_raw_content_delta",
    "agent_reasoning_section_break", "exec_command_output_delta", "conversation_path", "get_history_entry_response",
    "list_custom_prompts_response", "mcp_list_tools_response",
})  # fmt: skip
# Keys that only end events contain.
_END_KEYS = frozenset({"exit_code", "success", "status", "duration", "result"})


def read_event(payload: Mapping[str, Any]) -> list[Item] | str:
    """
    Return the items of an event, as `rollout.document._line_items.read_items` does.
    """
    kind = str(payload.get("type"))
    if kind in _WITHOUT_ITEMS:
        return kind
    reader = _EVENTS.get(kind)
    return reader(payload) if reader else [other(kind, payload)]


def _user_message(payload: Mapping[str, Any]) -> list[Item] | str:
    sources = [*list_of(payload.get("images")), *list_of(payload.get("local_images"))]
    images = tuple(image(source) for source in sources if isinstance(source, str))
    text = text_of(payload.get("message"))
    if payload.get("kind") in ("user_instructions", "environment_context"):
        return [Item("", "context", title=str(payload["kind"]).replace("_", " "), text=text)]
    return [Item("", "user", text=text, images=images)] if text or images else "user_message"


def _text_reader(kind: str, key: str, title: str = "") -> Callable[[Mapping[str, Any]], list[Item] | str]:
    def reader(payload: Mapping[str, Any]) -> list[Item] | str:
        text = text_of(payload.get(key))
        return [Item("", kind, title=title, text=text)] if text else str(payload.get("type"))

    return reader


def _task_complete(payload: Mapping[str, Any]) -> list[Item] | str:
    items = [Item("", "agent", text=text_of(payload.get("last_agent_message")))]
    error = payload.get("error")
    if error:
        items.append(Item("", "error", text="\n".join(strings_in(error))))
    return [item for item in items if item.text] or str(payload.get("type"))


def _turn_aborted(payload: Mapping[str, Any]) -> list[Item]:
    return [Item("", "interruption", title=text_of(payload.get("reason")))]


def _rollback(payload: Mapping[str, Any]) -> list[Item]:
    count: Any = payload.get("num_turns")
    return [Item("", "notice", title="rolled back", text=f"{count} turn{'' if count == 1 else 's'}")]


def _review_start(payload: Mapping[str, Any]) -> list[Item]:
    texts = [text_of(payload.get("prompt")) or text_of(payload.get("user_facing_hint"))]
    return [Item("", "notice", title="review started", text="\n".join(filter(None, texts)))]


def _review_end(payload: Mapping[str, Any]) -> list[Item]:
    return [Item("", "notice", title="review ended", text="\n".join(strings_in(payload.get("review_output"))))]


def _goal_update(payload: Mapping[str, Any]) -> list[Item] | str:
    goal: Any = payload.get("goal")
    text = text_of(goal.get("objective")) if isinstance(goal, dict) else ""
    return [Item("", "notice", title="goal", text=text)] if text else "thread_goal_updated"


def _plan_update(payload: Mapping[str, Any]) -> list[Item]:
    return [Item("", "plan", text=text_of(payload.get("explanation")), plan=plan_of(payload))]


def _compaction(_: Mapping[str, Any]) -> list[Item]:
    return [Item("", "compaction")]


def _patch(payload: Mapping[str, Any]) -> list[Item]:
    call = _call("apply_patch", payload, changes=changes_of(payload.get("changes")))
    _set_outcome(call, payload)
    return [Item("", "call", call=call)]


def _command(payload: Mapping[str, Any]) -> list[Item]:
    call = _call("shell", payload)
    set_input(call, {key: payload.get(key) for key in ("command", "cwd")})
    call.cwd = call.cwd and call.cwd.removeprefix("file://")
    _set_outcome(call, payload)
    return [Item("", "call", call=call)]


def _mcp(payload: Mapping[str, Any]) -> list[Item]:
    given: Any = payload.get("invocation")
    given = given if isinstance(given, dict) else payload
    names = filter(None, (text_of(given.get(key)) for key in ("server", "tool")))
    call = _call(".".join(names) or str(payload.get("type")), payload)
    set_input(call, given.get("arguments"))
    _set_outcome(call, payload)
    return [Item("", "call", call=call)]


def _search(payload: Mapping[str, Any]) -> list[Item]:
    call = _call("web_search", payload)
    set_input(call, payload.get("action") or text_of(payload.get("query")))
    return [Item("", "call", call=call)]


def _view_image(payload: Mapping[str, Any]) -> list[Item]:
    path = text_of(payload.get("path"))
    return [Item("", "call", call=_call("view_image", payload, input=path))]


def _image_generation(payload: Mapping[str, Any]) -> list[Item]:
    call = _call("image_generation", payload, input=text_of(payload.get("revised_prompt")))
    call.images = picture(payload.get("result"))
    return [Item("", "call", call=call)]


def _call(tool: str, payload: Mapping[str, Any], **fields: Any) -> Call:
    return Call(tool, str(payload.get("call_id") or payload.get("id") or "") or None, **fields)


def _set_outcome(call: Call, payload: Mapping[str, Any]) -> None:
    """
    Set the output and the outcome of a call from its end event. A begin event sets neither.
    """
    output = text_of(payload.get("aggregated_output")) or "".join(
        text_of(payload.get(key)) for key in ("stdout", "stderr")
    )
    result = payload.get("result", payload.get("error"))
    is_error = isinstance(result, dict) and "Err" in result
    if isinstance(result, dict):
        result = result.get("Ok", result)
    is_error |= isinstance(result, dict) and result.get("isError") is True
    if isinstance(result, dict) and isinstance(result.get("content"), list):
        output, call.images = parts_of(result["content"])
    elif not output and result is not None:
        output = "\n".join(strings_in(result)) or json_for_reading(result)
    code = payload.get("exit_code")
    call.output = output if output or not payload.keys().isdisjoint(_END_KEYS) else None
    call.exit_code = code if type(code) is int else None
    call.duration = seconds_in(payload)
    call.is_failed = (
        bool(call.exit_code) or payload.get("success") is False or is_error or payload.get("status") == "failed"
    )


def _item_completed(payload: Mapping[str, Any]) -> list[Item] | str:
    item = payload.get("item")
    if not isinstance(item, dict):
        return [other("item_completed", payload)]
    kind = str(item.get("type"))
    reader = _COMPLETED.get(kind)
    return reader(item) if reader else [other(kind, item)]


def _completed_user(item: Mapping[str, Any]) -> list[Item] | str:
    text, images = parts_of(item.get("content"))
    return [Item("", "user", text=text, images=images)] if text or images else "item_completed"


def _completed_agent(item: Mapping[str, Any]) -> list[Item] | str:
    text, images = parts_of(item.get("content") or text_of(item.get("text")))
    return [Item("", "agent", text=text, images=images)] if text or images else "item_completed"


def _completed_reasoning(item: Mapping[str, Any]) -> list[Item] | str:
    texts = [*list_of(item.get("summary_text")), *list_of(item.get("raw_content"))]
    return [Item("", "reasoning", text=text) for text in texts if isinstance(text, str) and text] or "item_completed"


def _completed_plan(item: Mapping[str, Any]) -> list[Item] | str:
    text = text_of(item.get("text"))
    return [Item("", "plan", text=text)] if text else "item_completed"


def _completed_output(item: Mapping[str, Any]) -> list[Item]:
    text, images = parts_of(item.get("output"))
    return [Item("", "call", call=_call("", item, output=text, images=images))]


_EVENTS: dict[str, Callable[[Mapping[str, Any]], list[Item] | str]] = {
    "user_message": _user_message,
    "agent_message": _text_reader("agent", "message"),
    "agent_reasoning": _text_reader("reasoning", "text"),
    "agent_reasoning_raw_content": _text_reader("reasoning", "text"),
    "task_complete": _task_complete,
    "turn_complete": _task_complete,
    "turn_aborted": _turn_aborted,
    "error": _text_reader("error", "message"),
    "stream_error": _text_reader("error", "message", "connection"),
    "warning": _text_reader("notice", "message", "warning"),
    "background_event": _text_reader("notice", "message"),
    "undo_completed": _text_reader("notice", "message", "undone"),
    "turn_diff": _text_reader("notice", "unified_diff", "changes of the turn"),
    "thread_name_updated": _text_reader("notice", "thread_name", "named"),
    "thread_rolled_back": _rollback,
    "thread_goal_updated": _goal_update,
    "entered_review_mode": _review_start,
    "exited_review_mode": _review_end,
    "plan_update": _plan_update,
    "context_compacted": _compaction,
    "patch_apply_begin": _patch,
    "patch_apply_end": _patch,
    "exec_command_begin": _command,
    "exec_command_end": _command,
    "mcp_tool_call_begin": _mcp,
    "mcp_tool_call_end": _mcp,
    "web_search_begin": _search,
    "web_search_end": _search,
    "view_image_tool_call": _view_image,
    "image_generation_end": _image_generation,
    "item_completed": _item_completed,
}
_COMPLETED: dict[str, Callable[[Mapping[str, Any]], list[Item] | str]] = {
    "UserMessage": _completed_user,
    "AgentMessage": _completed_agent,
    "Reasoning": _completed_reasoning,
    "Plan": _completed_plan,
    "CommandExecution": _command,
    "FileChange": _patch,
    "FunctionCallOutput": _completed_output,
    "McpToolCall": _mcp,
    "DynamicToolCall": _mcp,
    "WebSearch": _search,
    "ImageView": _view_image,
    "ImageGeneration": _image_generation,
    "ContextCompaction": _compaction,
    "EnteredReviewMode": _review_start,
    "ExitedReviewMode": _review_end,
}
