"""
Jumps of the system clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from rollout import Recorder, find_session, list_sessions, load_history, verify

pytestmark = pytest.mark.promise("clocks")


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # As a rule, so that no time zone data is needed.
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def set_to(utc: str) -> None:
        moment = datetime.fromisoformat(utc).replace(tzinfo=timezone.utc).timestamp()
        monkeypatch.setattr(time, "time_ns", lambda: int(moment * 1e9))

    return set_to


def record(home: Path, text: str) -> Recorder:
    with Recorder(home=home) as recorder:
        recorder.user_message(text)
    return recorder


def test_two_sessions_in_one_second_are_two_files_and_both_listed(home: Path, set_clock: Callable[[str], None]) -> None:
    set_clock("2026-06-01T10:00:00")

    first, second = record(home, "first"), record(home, "second")

    assert first.path != second.path
    assert first.path.name[:27] == second.path.name[:27]
    listed = [
        list_sessions(home=home, page_size=1),
        list_sessions(home=home, page_size=1, cursor=list_sessions(home=home, page_size=1).next_cursor),
    ]
    assert {page.items[0].preview for page in listed} == {"first", "second"}


def test_sessions_in_the_repeated_hour_in_autumn_stay_separate(home: Path, set_clock: Callable[[str], None]) -> None:
    set_clock("2026-10-25T00:30:00")
    summer = record(home, "02:30 in summer time")
    set_clock("2026-10-25T01:30:00")
    winter = record(home, "02:30 in winter time")

    assert summer.path.name[:27] == winter.path.name[:27] == "rollout-2026-10-25T02-30-00"
    assert {item.preview for item in list_sessions(home=home).items} == {"02:30 in summer time", "02:30 in winter time"}
    assert load_history(summer.path).lines[0].timestamp == "2026-10-25T00:30:00.000Z"
    assert load_history(winter.path).lines[0].timestamp == "2026-10-25T01:30:00.000Z"
    assert find_session(summer.session_id, home=home) == summer.path


def test_names_skip_the_missing_hour_in_spring(home: Path, set_clock: Callable[[str], None]) -> None:
    set_clock("2026-03-29T00:59:59")
    before = record(home, "before")
    set_clock("2026-03-29T01:00:00")
    after = record(home, "after")

    assert before.path.name[:27] == "rollout-2026-03-29T01-59-59"
    assert after.path.name[:27] == "rollout-2026-03-29T03-00-00"
    assert [item.preview for item in list_sessions(home=home).items] == ["after", "before"]


def test_a_clock_that_is_set_back_does_not_change_the_order_of_lines(
    home: Path, set_clock: Callable[[str], None]
) -> None:
    set_clock("2026-06-01T10:00:00")
    with Recorder(home=home) as recorder:
        recorder.user_message("one")
        set_clock("2026-05-31T23:00:00")
        recorder.user_message("two")
        set_clock("1970-01-01T00:00:00")
        recorder.user_message("three")

    assert [turn.prompt for turn in load_history(recorder.path).turns] == ["one", "two", "three"]
    assert verify(recorder.path).is_whole
    assert load_history(recorder.path).lines[-1].timestamp == "1970-01-01T00:00:00.000Z"
    with Recorder.resume(recorder.session_id, home=home) as resumed:
        assert resumed.path == recorder.path


def test_a_session_stays_under_the_day_of_its_creation_if_midnight_passes_before_the_first_line(
    home: Path, set_clock: Callable[[str], None]
) -> None:
    set_clock("2026-06-01T21:59:59.999")
    with Recorder(home=home) as recorder:
        set_clock("2026-06-01T22:00:00")
        recorder.user_message("the next day here")

    assert recorder.path.parent == home / "sessions" / "2026" / "06" / "01"
    assert load_history(recorder.path).lines[0].timestamp == "2026-06-01T21:59:59.999Z"
    assert find_session(recorder.session_id, home=home) == recorder.path
    set_clock("2026-06-01T22:00:01")
    assert record(home, "x").path.parent == home / "sessions" / "2026" / "06" / "02"
