from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from rollout import Recorder
from tests.recording.helpers import lines_of
from tests.rollouts import user_item as message


def times_of(path: Path) -> list[str]:
    return [line["timestamp"] for line in lines_of(path)[1:]]


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("2025-09-16T19:49:09.591Z", "2025-09-16T19:49:09.591Z"),
        ("2025-09-16T19:49:09+02:00", "2025-09-16T17:49:09.000Z"),
        ("2025-09-16T19:49:09.5Z", "2025-09-16T19:49:09.500Z"),
        ("2025-09-16T19:49:09.123456789Z", "2025-09-16T19:49:09.123Z"),
        (1_700_000_000, "2023-11-14T22:13:20.000Z"),
        (1_700_000_000.25, "2023-11-14T22:13:20.250Z"),
        (datetime(2025, 1, 2, tzinfo=timezone.utc), "2025-01-02T00:00:00.000Z"),
        (datetime(2025, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2025-01-01T22:00:00.000Z"),
        (datetime.fromtimestamp(1_700_000_000), "2023-11-14T22:13:20.000Z"),  # noqa: DTZ006 -- local time
    ],
)
def test_an_item_has_the_time_that_the_caller_states(home: Path, moment: Any, text: str) -> None:
    with Recorder(home=home, started_at=moment) as rec:
        rec.record(message("x"), message("y"), timestamp=moment)

    assert times_of(rec.path) == [text, text]
    meta = lines_of(rec.path)[0]
    assert meta["timestamp"] == meta["payload"]["timestamp"] == text
    local = time.strftime("%Y-%m-%dT%H-%M-%S", time.localtime(datetime.fromisoformat(text[:-5] + "+00:00").timestamp()))
    assert rec.path.name == f"rollout-{local}-{rec.session_id}.jsonl"
    assert "/".join(rec.path.parts[-4:-1]) == local[:10].replace("-", "/")


def test_times_do_not_run_backwards(home: Path) -> None:
    with Recorder(home=home, started_at="2025-01-01T00:00:00Z") as rec:
        for moment in ("2024-01-01T00:00:00Z", "2025-01-01T00:00:02Z", "2025-01-01T00:00:01Z"):
            rec.record(message("x"), timestamp=moment)
        rec.record(message("now"))
        rec.record(message("x"), timestamp="2025-01-01T00:00:03Z")

    times = times_of(rec.path)
    assert times[:3] == ["2025-01-01T00:00:00.000Z", "2025-01-01T00:00:02.000Z", "2025-01-01T00:00:02.000Z"]
    assert times[3] == times[4] > "2026"


def test_an_item_without_a_time_is_not_before_one_whose_time_was_stated(home: Path) -> None:
    with Recorder(home=home) as rec:
        rec.record(message("x"), timestamp="3000-01-01T00:00:00Z")
        rec.record(message("now"))

    assert times_of(rec.path) == ["3000-01-01T00:00:00.000Z"] * 2


@pytest.mark.parametrize(
    ("moment", "error", "text"),
    [
        ("yesterday", ValueError, "'yesterday' is no time in the form 2025"),
        ("", ValueError, "'' is no time"),
        (float("nan"), ValueError, "not a time between the years 1000 and 9999"),
        (float("inf"), ValueError, "not a time between"),
        (1e18, ValueError, "not a time between"),
        (0, ValueError, "0 is not a time between"),
        (True, TypeError, "not bool"),
        (b"2025", TypeError, "not bytes"),
    ],
)
def test_what_is_no_time_is_refused_and_nothing_is_recorded(
    home: Path, moment: Any, error: type[Exception], text: str
) -> None:
    with Recorder(home=home) as rec, pytest.raises(error, match=text):
        rec.record(message("x"), timestamp=moment)
    with pytest.raises(error, match=text):
        Recorder(home=home, started_at=moment)

    assert times_of(rec.path) == []
    assert len(list(home.glob("sessions/**/*.jsonl"))) == 1
