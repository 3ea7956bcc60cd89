from __future__ import annotations

from typing import Any

import pytest

from rollout._turns import Copies, Turns, prompt_of, seconds_of
from rollout.codec import RolloutLine, format_timestamp
from tests.rollouts import Line, event, message, meta, paginated_session, prompt, seed_session

PARENT = "00b1fbb5-7abd-7c53-8766-f128212a613b"
FORKED_MS = 1_795_224_337_094
TURN_AFTER = "01a1fbb5-7ad4-76d0-a532-df9d735e9862"
TURN_BEFORE = "01a1fb00-7ad4-76d0-a532-df9d735e9862"


def line(line: Line, at_ms: int | None = None, ordinal: int | None = None) -> RolloutLine:
    timestamp = None if at_ms is None else format_timestamp(FORKED_MS + at_ms)
    return RolloutLine(timestamp=timestamp, type=line[0], payload=line[1], ordinal=ordinal)


def begins(*lines: Line) -> list[bool]:
    turns = Turns()
    return [turns.begins(line(one)) for one in lines]


def copied(*lines: RolloutLine) -> list[bool]:
    copies = Copies()
    return [copies.holds(one) for one in lines]


@pytest.mark.parametrize("session", [seed_session("a", "b", "c"), paginated_session("a", "b", "c")])
def test_a_prompt_begins_one_turn_in_whichever_form_it_was_written(session: list[Line]) -> None:
    assert sum(begins(*session)) == 3


def test_the_same_prompt_twice_is_two_turns() -> None:
    assert begins(*prompt("go"), *prompt("go")) == [True, False, True, False]


def test_what_is_said_while_a_task_runs_begins_no_turn() -> None:
    lines = [event("turn_started"), *prompt("go"), *prompt("faster"), event("turn_aborted"), *prompt("next")]

    assert begins(*lines) == [True, False, False, False, False, False, True, False]


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (message("user", "hi"), "hi"),
        (event("user_message", message="hi"), "hi"),
        (event("user_message"), ""),
        (message("assistant", "hi"), None),
        (event("agent_message", message="hi"), None),
        (meta(), None),
    ],
)
def test_a_prompt_is_told_in_either_form(said: Line, text: str | None) -> None:
    assert prompt_of(line(said)) == text


def test_a_session_that_is_no_fork_has_no_copies() -> None:
    assert copied(*(line(one) for one in seed_session("a"))) == [False] * 6
    assert copied(line(meta()), line(message("user", "a")), line(meta(PARENT))) == [False, False, False]


def test_copies_that_keep_their_time_end_with_the_first_younger_line() -> None:
    fork = line(meta(forked_from_id=PARENT), 0)
    times = (-9000, -1, 0, 1, 2)

    assert copied(fork, *(line(message("user", "a"), at_ms) for at_ms in times)) == [
        False,
        True,
        True,
        True,
        False,
        False,
    ]


def test_copies_written_in_one_go_end_where_nothing_was_written_for_a_while() -> None:
    fork = line(meta(forked_from_id=PARENT), 9000)
    times = (9001, 9400, 9800, 10400, 10401)

    assert copied(fork, *(line(message("user", "a"), at_ms) for at_ms in times)) == [
        False,
        True,
        True,
        True,
        False,
        False,
    ]


def test_copies_written_in_one_go_end_with_a_turn_that_began_after_the_fork() -> None:
    fork = line(meta(forked_from_id=PARENT), 9)
    old, own = (line(event("task_started", turn_id=turn_id), 10) for turn_id in (TURN_BEFORE, TURN_AFTER))

    assert copied(fork, old, own, old) == [False, True, False, False]


@pytest.mark.parametrize("turn_id", [None, 7, [], "x", "4f0be0a1-50f5-480d-a99d-c68eada68a51"])
def test_a_turn_id_that_says_no_time_ends_no_copies(turn_id: Any) -> None:
    fork = line(meta(forked_from_id=PARENT), 9)

    assert copied(fork, line(event("task_started", turn_id=turn_id), 10)) == [False, True]


def test_the_prefix_of_a_subagent_ends_at_the_number_its_meta_says() -> None:
    subagent = line(meta(subagent_history_start_ordinal=3), 0, 0)
    lines = [line(message("user", "a"), 9000 * n, n) for n in range(1, 5)]

    assert copied(subagent, *lines) == [False, True, True, False, False]


def test_a_fork_by_reference_has_no_copies() -> None:
    fork = line(meta(forked_from_id=PARENT, history_base={"thread_id": PARENT}), 0)

    assert copied(fork, line(message("user", "a"), -9000)) == [False, False]


def test_the_other_sessions_meta_alone_tells_a_fork_of_2025() -> None:
    lines = [line(meta(), 0), line(meta(PARENT), 1), line(message("user", "a"), 2), line(message("user", "b"), 2000)]

    assert copied(*lines) == [False, True, True, False]


@pytest.mark.parametrize("timestamp", [None, 1, "", "yesterday", "2026-13-01T00:00:00.000Z", "\ud800" * 30])
def test_copies_without_a_time_are_copies_as_those_before(timestamp: Any) -> None:
    fork = line(meta(forked_from_id=PARENT, timestamp=timestamp), 0)
    odd = RolloutLine(timestamp=timestamp, type="response_item", payload={})

    assert copied(fork, odd, line(message("user", "a"), 1), line(message("user", "b"), 900)) == [
        False,
        True,
        True,
        False,
    ]


def test_a_fork_that_does_not_say_when_it_was_made_was_made_when_it_was_written() -> None:
    fork = line(meta(forked_from_id=PARENT, timestamp=None), 0)

    assert copied(fork, line(message("user", "a"), -1), line(message("user", "b"), 1)) == [False, True, False]


def test_a_turn_ends_no_copies_where_nobody_knows_when_the_fork_was_made() -> None:
    fork = line(meta(forked_from_id=PARENT, timestamp=None))

    assert copied(fork, line(event("task_started", turn_id=TURN_AFTER))) == [False, True]


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
def test_a_timestamp_is_read_as_seconds_and_what_is_none_as_zero(timestamp: Any, seconds: float) -> None:
    assert seconds_of(timestamp) == seconds
