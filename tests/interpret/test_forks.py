from __future__ import annotations

from typing import Any

import pytest

from rollout.codec import RolloutLine, format_timestamp
from rollout.interpret._forks import ForkDetector
from tests.rollouts import Line, event, message, meta, seed_session

PARENT = "00b1fbb5-7abd-7c53-8766-f128212a613b"
FORKED_MS = 1_795_224_337_094
TURN_AFTER = "01a1fbb5-7ad4-76d0-a532-df9d735e9862"
TURN_BEFORE = "01a1fb00-7ad4-76d0-a532-df9d735e9862"


def line(line: Line, at_ms: int | None = None, ordinal: int | None = None) -> RolloutLine:
    timestamp = None if at_ms is None else format_timestamp(FORKED_MS + at_ms)
    return RolloutLine(timestamp=timestamp, type=line[0], payload=line[1], ordinal=ordinal)


def copied(*lines: RolloutLine) -> list[bool]:
    """
    Return for each line whether it was copied from another session.
    """
    detector = ForkDetector()
    return [detector.is_copied(each) for each in lines]


def copied_at(fork_ms: int, *times_ms: int) -> list[bool]:
    """
    Return for each message of a fork whether it was copied. The times are those of the fork's meta and the messages.
    """
    fork = line(meta(forked_from_id=PARENT), fork_ms)
    is_copied = copied(fork, *(line(message("user", "a"), time_ms) for time_ms in times_ms))
    return is_copied[1:]


def test_a_session_that_is_no_fork_has_no_copies() -> None:
    assert copied(*(line(one) for one in seed_session("a"))) == [False] * 6
    assert copied(line(meta()), line(message("user", "a")), line(meta(PARENT))) == [False, False, False]


def test_copies_that_keep_their_time_end_before_the_first_younger_line() -> None:
    assert copied_at(0, -9000, -1, 0, 1, 2) == [True, True, True, False, False]


def test_copies_written_without_a_pause_end_at_the_first_pause() -> None:
    assert copied_at(9000, 9001, 9400, 9800, 10400, 10401) == [True, True, True, False, False]


def test_copies_written_without_a_pause_end_before_a_turn_that_began_after_the_fork() -> None:
    fork = line(meta(forked_from_id=PARENT), 9)
    old, own = (line(event("task_started", turn_id=turn_id), 10) for turn_id in (TURN_BEFORE, TURN_AFTER))

    assert copied(fork, old, own, old) == [False, True, False, False]


@pytest.mark.parametrize("turn_id", [None, 7, [], "x", "4f0be0a1-50f5-480d-a99d-c68eada68a51"])
def test_a_turn_id_without_a_time_ends_no_copies(turn_id: Any) -> None:
    fork = line(meta(forked_from_id=PARENT), 9)

    assert copied(fork, line(event("task_started", turn_id=turn_id), 10)) == [False, True]


def test_copies_of_a_subagent_end_at_the_ordinal_in_its_meta() -> None:
    subagent = line(meta(subagent_history_start_ordinal=3), 0, 0)
    lines = [line(message("user", "a"), 9000 * n, n) for n in range(1, 5)]

    assert copied(subagent, *lines) == [False, True, True, False, False]


def test_a_fork_by_reference_has_no_copies() -> None:
    fork = line(meta(forked_from_id=PARENT, history_base={"thread_id": PARENT}), 0)

    assert copied(fork, line(message("user", "a"), -9000)) == [False, False]


def test_the_meta_of_the_other_session_marks_a_fork_of_2025() -> None:
    lines = [line(meta(), 0), line(meta(PARENT), 1), line(message("user", "a"), 2), line(message("user", "b"), 2000)]

    assert copied(*lines) == [False, True, True, False]


@pytest.mark.parametrize("timestamp", [None, 1, "", "yesterday", "2026-13-01T00:00:00.000Z", "\ud800" * 30])
def test_a_line_without_a_time_after_a_copy_is_a_copy(timestamp: Any) -> None:
    fork = line(meta(forked_from_id=PARENT, timestamp=timestamp), 0)
    odd = RolloutLine(timestamp=timestamp, type="response_item", payload={})

    assert copied(fork, odd, line(message("user", "a"), 1), line(message("user", "b"), 900)) == [
        False,
        True,
        True,
        False,
    ]


def test_a_fork_without_a_time_was_made_when_its_meta_was_written() -> None:
    fork = line(meta(forked_from_id=PARENT, timestamp=None), 0)

    assert copied(fork, line(message("user", "a"), -1), line(message("user", "b"), 1)) == [False, True, False]


def test_a_turn_ends_no_copies_if_the_time_of_the_fork_is_unknown() -> None:
    fork = line(meta(forked_from_id=PARENT, timestamp=None))

    assert copied(fork, line(event("task_started", turn_id=TURN_AFTER))) == [False, True]
