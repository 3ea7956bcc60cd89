from __future__ import annotations

from typing import Any

import pytest

from rollout import codex_2025_policy, default_policy, keep_all
from tests.rollouts import answer, event, seed_session


def test_the_policy_of_codex_2025_keeps_a_whole_session_of_that_time() -> None:
    # That it keeps all lines of the real Codex of that time is tested in tests/codex.
    lines = seed_session("one", "two")

    assert [line for line in lines if not codex_2025_policy(*line)] == []


@pytest.mark.parametrize("tag", ["agent_message_delta", "exec_command_begin", "task_started", "novel"])
def test_the_policy_of_codex_2025_drops_events_of_progress_and_unknown_events(tag: str) -> None:
    assert not codex_2025_policy(*event(tag))


@pytest.mark.parametrize("line_type", ["world_state", "novel"])
def test_the_policy_of_codex_2025_drops_unknown_types_of_lines(line_type: str) -> None:
    assert not codex_2025_policy(line_type, {"type": "message"})


@pytest.mark.parametrize("payload", [{}, {"type": None}, {"type": ["message"]}, {"type": 7}])
@pytest.mark.parametrize("line_type", ["event_msg", "response_item"])
def test_the_policy_of_codex_2025_drops_items_without_a_valid_type(line_type: str, payload: dict[str, Any]) -> None:
    assert not codex_2025_policy(line_type, payload)


def test_the_policy_of_codex_2025_keeps_items_whose_type_is_a_subclass_of_str() -> None:
    class Tag(str):
        __slots__ = ()
        __hash__ = None  # type: ignore[assignment]

    assert codex_2025_policy("event_msg", {"type": Tag("user_message")})


def test_keep_all_keeps_what_the_policy_of_codex_2025_drops() -> None:
    lines = [event("task_started"), ("novel", {}), *answer("four")]

    assert all(keep_all(*line) for line in lines)


@pytest.mark.parametrize(
    "tag",
    [
        "task_started", "task_complete", "turn_aborted", "error", "exec_command_end", "mcp_tool_call_end",
        "patch_apply_end", "item_completed", "token_count", "novel",
    ],
)  # fmt: skip
def test_the_default_policy_keeps_what_is_worth_keeping(tag: str) -> None:
    assert default_policy(*event(tag))


@pytest.mark.parametrize(
    "tag", ["agent_message_delta", "exec_command_output_delta", "novel_delta", "turn_diff", "exec_approval_request"]
)
def test_the_default_policy_drops_events_of_a_running_user_interface(tag: str) -> None:
    assert not default_policy(*event(tag))


@pytest.mark.parametrize(
    ("line_type", "payload"), [("response_item", {"type": "novel"}), ("novel", {}), ("event_msg", {"type": 7})]
)
def test_the_default_policy_keeps_every_item_and_line_that_is_no_event(line_type: str, payload: dict[str, Any]) -> None:
    assert default_policy(line_type, payload)
