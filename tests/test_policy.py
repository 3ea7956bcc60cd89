from __future__ import annotations

import pytest

from rollout import keep_all, seed_policy

KEPT = {
    "session_meta": [None],
    "turn_context": [None],
    "compacted": [None],
    "response_item": ["message", "reasoning", "local_shell_call", "function_call", "function_call_output",
                      "custom_tool_call", "custom_tool_call_output", "web_search_call"],
    "event_msg": ["user_message", "agent_message", "agent_reasoning", "agent_reasoning_raw_content", "token_count",
                  "entered_review_mode", "exited_review_mode", "turn_aborted"],
}  # fmt: skip
DROPPED = {
    "response_item": ["other", "ghost_snapshot", "compaction_trigger", None],
    "event_msg": ["error", "agent_message_delta", "exec_command_begin", "exec_command_end", "plan_update", "turn_diff",
                  "session_configured", "task_started", "shutdown_complete", None],
    "world_state": [None],
    "novel": [None],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "tag"), [(kind, tag) for kind, tags in KEPT.items() for tag in tags])
def test_the_default_keeps_what_the_original_keeps(kind: str, tag: str | None) -> None:
    assert seed_policy(kind, {"type": tag})


@pytest.mark.parametrize(("kind", "tag"), [(kind, tag) for kind, tags in DROPPED.items() for tag in tags])
def test_the_default_drops_what_the_original_drops(kind: str, tag: str | None) -> None:
    assert not seed_policy(kind, {"type": tag} if tag else {})


def test_the_default_drops_what_has_no_sensible_type() -> None:
    assert not seed_policy("event_msg", {"type": ["message"]})


@pytest.mark.parametrize(("kind", "tag"), [(kind, tag) for kind, tags in DROPPED.items() for tag in tags])
def test_keep_all_keeps_all(kind: str, tag: str | None) -> None:
    assert keep_all(kind, {"type": tag})
