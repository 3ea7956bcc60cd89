from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from rollout._units import age_text, counted, duration_text, moment_text, read_moment, read_span, size_text

NOW = datetime(2026, 11, 21, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.012, "12 ms"),
        (0.12, "0.1 s"),
        (1.5, "1.5 s"),
        (12, "12 s"),
        (80, "1 min 20 s"),
        (7200, "2 h"),
        (90061, "1 d 1 h"),
    ],
)
def test_a_span_of_time_has_the_two_units_that_matter(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_a_size_has_the_unit_that_fits() -> None:
    assert [size_text(size) for size in (950, 1200, 34e6, 5e13)] == ["950 B", "1.2 kB", "34 MB", "50.0 TB"]


def test_things_are_counted() -> None:
    assert [counted(count, "line") for count in (0, 1, 2000)] == ["0 lines", "1 line", "2,000 lines"]


def test_an_age_is_rough_and_a_day_after_a_year() -> None:
    ages = [timedelta(seconds=5), timedelta(minutes=5), timedelta(hours=30), timedelta(days=3), timedelta(days=50)]

    assert [age_text(NOW - age, NOW) for age in ages] == ["now", "5 min", "30 h", "3 days", "7 weeks"]
    assert (age_text(NOW - timedelta(days=400), NOW), age_text(None, NOW)) == ("2025-10-17", "")


def test_a_moment_is_read_from_a_line_and_from_a_file_name() -> None:
    assert moment_text("2026-11-21T01:25:37.122Z") == moment_text("2026-11-21T01-25-37") == "2026-11-21 01:25:37"
    assert (moment_text("yesterday"), moment_text(None)) == ("", "")


def test_what_people_type_is_read_as_a_time_or_is_none() -> None:
    ago = read_moment("2d")

    assert ago is not None
    assert abs((datetime.now(timezone.utc) - ago).total_seconds() - 2 * 86_400) < 60
    assert read_moment("2026-11-21T14:30Z") == datetime(2026, 11, 21, 14, 30, tzinfo=timezone.utc)
    assert [read_moment(text) for text in ("soon", "2026-99-99", "999999w")] == [None, None, None]
    assert [read_span(text) for text in ("30m", "1w", "0", "x")] == [1800.0, 604_800.0, None, None]
