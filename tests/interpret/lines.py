"""
Lines that hypothesis draws: sessions as Codex writes them in any order, and lines with any value in any field.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from rollout.codec import RolloutLine, format_timestamp
from tests.builders import call, command_output, completed, output, script, script_output
from tests.rollouts import ID, TIME_MS, Line, answer, event, item, message, meta, prompt, surroundings

__all__ = ["ANY_LINES", "OWN_TURN_ID", "PARENT", "sessions", "stamp", "usage"]

PARENT = "00b1fbb5-7abd-7c53-8766-f128212a613b"
OWN_TURN_ID = "01a1fbc6-7ad4-76d0-a532-df9d735e9862"
_OLD_TURN_ID = "01a1fb00-7ad4-76d0-a532-df9d735e9862"
# One answer of a model.
_USAGE = {
    "input_tokens": 100,
    "cached_input_tokens": 10,
    "output_tokens": 20,
    "reasoning_output_tokens": 5,
    "total_tokens": 120,
}


def usage(count: float) -> dict[str, int]:
    """
    Return the usage object of several answers.
    """
    return {name: int(value * count) for name, value in _USAGE.items()}


def stamp(at_ms: int) -> str:
    """
    Return the timestamp of a line, given the milliseconds since the beginning of the session.
    """
    return format_timestamp(TIME_MS + at_ms)


def _count(total: float, last: float = 1, **fields: Any) -> Line:
    return event("token_count", info={"total_token_usage": usage(total), "last_token_usage": usage(last)}, **fields)


_METAS = [
    meta(),
    meta(forked_from_id=PARENT),
    meta(parent_thread_id=PARENT),
    meta(subagent_history_start_ordinal=4, source={"subagent": "review"}),
    meta(history_base={"thread_id": PARENT}),
    meta(PARENT, instructions="be good"),
]
_TEXTS = ("one", "two", "<skill>one</skill>")
_SESSION: list[Line] = [
    *_METAS,
    surroundings(),
    message("developer", "orders"),
    *(line for text in _TEXTS for line in (*prompt(text), *answer(text))),
    *(completed("UserMessage", content=[{"type": "text", "text": text}]) for text in _TEXTS),
    completed("AgentMessage", content=[{"type": "Text", "text": "one"}]),
    item("reasoning", summary=[{"text": "one"}, {"text": "two"}]),
    event("agent_reasoning", text="one"),
    event("agent_reasoning", text="one\n\ntwo"),
    *(event("task_started", turn_id=turn_id, started_at=TIME_MS // 1000) for turn_id in (OWN_TURN_ID, _OLD_TURN_ID)),
    event("task_complete", last_agent_message="one", completed_at=TIME_MS // 1000 + 5),
    event("task_complete", error={"message": "no"}),
    event("turn_aborted", reason="interrupted", duration_ms=1500),
    event("error", message="no"),
    event("thread_rolled_back", num_turns=1),
    ("turn_context", {"model": "m", "cwd": "/x", "turn_id": OWN_TURN_ID}),
    ("turn_context", {"model": "n"}),
    event("thread_settings_applied", thread_settings={"model": "o"}),
    *(call(tool, {"command": ["ls"]}, call_id) for tool in ("shell", "f") for call_id in ("c1", "c2")),
    script("await f()"),
    script_output("completed"),
    script_output("running"),
    output(script_output("completed")[1]["output"], "c2"),
    item("tool_search_call", arguments={"query": "q"}),
    item("tool_search_output", tools=[]),
    item("web_search_call", status="completed", action={"query": "q"}),
    item("function_call_output", name="goal_set", output="be done"),
    command_output("done", "c1"),
    command_output("no", "c2", code=1),
    output("err: x", "c1"),
    output("Wall time: 9.0 seconds\nProcess running with session ID 7\nOutput:\n", "c2"),
    event("exec_command_begin", call_id="c1", command=["ls"]),
    event("exec_command_end", call_id="c1", command=["ls"], exit_code=2, duration={"secs": 1, "nanos": 1}),
    event("patch_apply_end", call_id="c2", success=True),
    completed("CommandExecution", id="c3", command=["ls"], status="completed", aggregated_output="done", exit_code=0),
    completed("CommandExecution", id="c2", command=["ls"], status="in_progress"),
    completed("McpToolCall", id="c4", server="s", tool="t", status="failed", error={"message": "no"}),
    completed("FunctionCallOutput", id="c1", output="done"),
    _count(1),
    _count(1, rate_limits={}),
    _count(3, 2),
    event("token_count", info={"last_token_usage": usage(1)}, rate_limits={}),
    event("token_count", info=None),
    *(("token_usage_record", {"response_id": name, "usage": usage(1), "thread_id": ID}) for name in ("r1", "r2")),
    ("token_usage_record", {"response_id": "r3", "usage": usage(1), "thread_id": PARENT}),
    ("compacted", {"message": "what was", "replacement_history": [message("user", "one")[1]]}),
    event("context_compacted"),
    completed("ContextCompaction"),
    event("thread_goal_updated", goal={"objective": "be done"}),
    event("warning", message="hot"),
    event("plan_update", plan=[{"step": "a", "status": "pending"}]),
    ("world_state", {}),
    ("novel", {"type": ["odd"]}),
]


@st.composite
def sessions(draw: st.DrawFn) -> list[RolloutLine]:
    """
    Draw the lines of a session, with a meta first in most cases.
    """
    first = draw(st.lists(st.sampled_from(_METAS), max_size=2))
    others = draw(st.lists(st.sampled_from(_SESSION), min_size=8, max_size=40))
    at_ms, lines = draw(st.sampled_from([-60_000, 0, 5000])), []
    step = draw(st.sampled_from([0, 100, 700, 20_000]))
    is_timed, is_numbered = draw(st.booleans()), draw(st.booleans())
    for number, (kind, payload) in enumerate([*first, *others]):
        timestamp = stamp(at_ms + number * step) if is_timed else None
        ordinal = number if is_numbered else None
        lines.append(RolloutLine(timestamp=timestamp, type=kind, payload=payload, ordinal=ordinal))
    return lines


_ODD_TEXT = st.text(max_size=5) | st.sampled_from(
    [
        ID,
        stamp(0),
        stamp(9000),
        OWN_TURN_ID,
        '{"output":1}',
        "\ud800",
        "1e9",
        "c1",
        "exec",
        "completed",
        "Script failed",
    ]
)
_KEYS = [*_USAGE, "total_token_usage", "type", "text", "Ok", "Err", "isError", "content", "output", "subagent", "model"]
_ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _ODD_TEXT | st.sampled_from([2**63, 2**70, 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4),
    max_leaves=6,
)
_LINE_TYPES = [
    "session_meta", "response_item", "event_msg", "token_usage_record", "turn_context", "compacted", "realtime_item",
    "inter_agent_communication", "novel",
]  # fmt: skip
_EVENTS = [
    "token_count", "user_message", "task_started", "task_complete", "turn_aborted", "agent_message", "agent_reasoning",
    "exec_command_begin", "exec_command_end", "patch_apply_end", "mcp_tool_call_end", "item_completed", "error",
    "stream_error", "thread_rolled_back", "thread_settings_applied", "thread_name_updated", "thread_goal_updated",
    "context_compacted", "plan_update", "exited_review_mode", "sub_agent_activity",
]  # fmt: skip
_ITEMS = [
    "message", "reasoning", "function_call", "function_call_output", "local_shell_call", "custom_tool_call",
    "custom_tool_call_output", "tool_search_call", "tool_search_output", "web_search_call", "image_generation_call",
]  # fmt: skip
_COMPLETED = [
    "UserMessage", "AgentMessage", "Reasoning", "Plan", "ContextCompaction", "CommandExecution", "FileChange",
    "McpToolCall", "DynamicToolCall", "FunctionCallOutput", "SubAgentActivity", "EnteredReviewMode",
    "CollabAgentToolCall", "HookPrompt",
]  # fmt: skip
_FIELDS = [
    "id", "timestamp", "forked_from_id", "parent_thread_id", "history_base", "subagent_history_start_ordinal",
    "turn_id", "started_at", "completed_at", "role", "content", "summary", "name", "namespace", "call_id", "output",
    "arguments", "input", "action", "command", "changes", "result", "error", "status", "success", "exit_code",
    "duration", "duration_ms", "usage", "response_id", "thread_id", "message", "last_agent_message", "model", "cwd",
    "source", "git", "goal", "plan", "num_turns", "replacement_history", "thread_settings", "rate_limits", "kind",
    "images", "internal_chat_message_metadata_passthrough",
]  # fmt: skip
_INFO = st.fixed_dictionaries({}, optional={"total_token_usage": _ODD, "last_token_usage": _ODD})


@st.composite
def _payloads(draw: st.DrawFn, kinds: list[str]) -> dict[str, Any]:
    # A dictionary of all fields takes five times as long to draw.
    names = draw(st.lists(st.sampled_from(_FIELDS), max_size=6, unique=True))
    payload: dict[str, Any] = {name: draw(_ODD) for name in names}
    return {"type": draw(st.sampled_from(kinds) | _ODD), **payload}


ANY_LINES = st.builds(
    RolloutLine,
    type=st.sampled_from(_LINE_TYPES),
    timestamp=st.none() | _ODD_TEXT,
    payload=st.builds(
        lambda payload, info, completed_item: {**payload, "info": info, "item": completed_item},
        _payloads([*_EVENTS, *_ITEMS]),
        _INFO | _ODD,
        _payloads(_COMPLETED) | _ODD,
    ),
    ordinal=st.none() | st.integers(),
)
"""Lines with any value in any field."""
