"""
Policies, which decide whether an item is kept. A policy sees the plain values of one item, and knows no files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from rollout.schema import has_kind

__all__ = ["Policy", "keep_all", "codex_2025_policy"]

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
