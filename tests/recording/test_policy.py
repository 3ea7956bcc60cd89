from __future__ import annotations

from typing import Any

import pytest

from rollout import codex_2025_policy, keep_all
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
