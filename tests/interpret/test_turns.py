from __future__ import annotations

from typing import Any

import pytest

from rollout.interpret._turns import TurnDetector, prompt_of, seconds_of
from tests.builders import decoded
from tests.rollouts import Line, event, message, meta, paginated_session, prompt, seed_session


def starts(*lines: Line) -> list[bool]:
    """
    Return for each line whether a turn begins with it.
    """
    detector = TurnDetector()
    return [detector.is_start(decoded(line)) for line in lines]


@pytest.mark.parametrize("session", [seed_session("a", "b", "c"), paginated_session("a", "b", "c")])
def test_a_prompt_begins_one_turn_in_each_form_in_which_codex_writes_it(session: list[Line]) -> None:
    assert sum(starts(*session)) == 3


def test_the_same_prompt_twice_is_two_turns() -> None:
    assert starts(*prompt("go"), *prompt("go")) == [True, False, True, False]


def test_a_prompt_while_a_task_runs_begins_no_turn() -> None:
    lines = [event("turn_started"), *prompt("go"), *prompt("faster"), event("turn_aborted"), *prompt("next")]

    assert starts(*lines) == [True, False, False, False, False, False, True, False]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (message("user", "hi"), "hi"),
        (event("user_message", message="hi"), "hi"),
        (event("user_message"), ""),
        (message("assistant", "hi"), None),
        (event("agent_message", message="hi"), None),
        (meta(), None),
    ],
)
def test_a_prompt_is_found_in_either_form(line: Line, text: str | None) -> None:
    assert prompt_of(decoded(line)) == text


@pytest.mark.parametrize(
    ("timestamp", "seconds"),
    [
        ("1970-01-01T00:00:01.500Z", 1.5),
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T00:00:01.123456789Z", 1.123),
        ("2025-01-03T12-00-00", 0.0),
        (None, 0.0),
        (5, 0.0),
    ],
)
def test_a_timestamp_is_read_as_seconds_and_any_other_value_as_zero(timestamp: Any, seconds: float) -> None:
    assert seconds_of(timestamp) == seconds
