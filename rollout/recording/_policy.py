"""
Policies, which decide whether an item is kept. A policy sees the plain values of one item, and knows no files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from rollout.schema import has_kind

__all__ = ["Policy", "codex_2025_policy", "default_policy", "keep_all"]

Policy: TypeAlias = Callable[[str, Mapping[str, Any]], bool]
"""
Called with a line's type and its payload, on the thread that records; any true result keeps the item.

The payload is a copy that consists of plain values (dicts, lists, strings, numbers, booleans, None). Changes to it
affect neither the caller's item nor the file. A payload without a JSON form is refused before the policy is called. If
the policy raises an exception, `record` raises an `EncodeError` for the item. A policy may call `record`, `flush` and
`close` itself.
"""

_RESPONSE_ITEMS = frozenset(
    {
        "message",
        "reasoning",
        "local_shell_call",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "web_search_call",
    }
)
_EVENTS = frozenset(
    {
        "user_message",
        "agent_message",
        "agent_reasoning",
        "agent_reasoning_raw_content",
        "token_count",
        "entered_review_mode",
        "exited_review_mode",
        "turn_aborted",
    }
)


# Besides those that end with "_delta", the events that only a user interface needs, and only while the agent runs. What
# they say is in other lines, or is a question or an answer of the interface.
_DISPLAY_EVENTS = frozenset(
    {
        "agent_reasoning_section_break",
        "apply_patch_approval_request",
        "background_event",
        "conversation_path",
        "elicitation_request",
        "exec_approval_request",
        "get_history_entry_response",
        "item_started",
        "list_custom_prompts_response",
        "list_skills_response",
        "mcp_list_tools_response",
        "mcp_startup_complete",
        "mcp_startup_update",
        "raw_response_item",
        "request_permissions",
        "request_user_input",
        "session_configured",
        "shutdown_complete",
        "skills_update_available",
        "turn_diff",
    }
)


def default_policy(line_type: str, payload: Mapping[str, Any]) -> bool:
    """
    Keep everything except the events that a user interface needs only while the agent runs: pieces of a text or an
    output (``..._delta``), requests for an approval, lists for menus, progress.

    Codex of 2025 reads the lines that it knows and skips the others.
    """
    if line_type != "event_msg":
        return True
    kind = payload.get("type")
    if not has_kind(kind, str):
        return True
    kind = str.__str__(kind)
    return not (kind in _DISPLAY_EVENTS or kind.endswith("_delta"))


def codex_2025_policy(line_type: str, payload: Mapping[str, Any]) -> bool:
    """
    Keep the items that Codex of September 2025 keeps: the conversation, and events that its list shows, but no begin,
    delta or approval events.
    """
    if line_type in ("response_item", "event_msg"):
        kind = payload.get("type")
        if type(kind) is not str:
            if not has_kind(kind, str):
                return False
            kind = str.__str__(kind)
        return kind in (_EVENTS if line_type == "event_msg" else _RESPONSE_ITEMS)
    return line_type in ("session_meta", "turn_context", "compacted")


def keep_all(line_type: str, payload: Mapping[str, Any]) -> bool:  # noqa: ARG001 -- a Policy
    """
    Keep every item.
    """
    return True
