from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest

from rollout._text import (
    age_text,
    clock_text,
    count_text,
    duration_text,
    moment_text,
    pluralize,
    read_moment,
    read_span,
    short_age_text,
    size_text,
    to_local,
    utc_text,
    utc_timestamp,
    zone_text,
)

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
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_a_size_has_a_suitable_unit() -> None:
    sizes = (0, 950, 999, 1000, 1200, 25_000, 10**7, 34e6, 10**13, 5e13)

    texts = ["0 B", "950 B", "999 B", "1.0 kB", "1.2 kB", "25 kB", "10 MB", "34 MB", "10.0 TB", "50.0 TB"]
    assert [size_text(size) for size in sizes] == texts


def test_a_noun_is_in_the_plural_after_any_number_but_one() -> None:
    assert [pluralize(count, "line") for count in (0, 1, 2000)] == ["0 lines", "1 line", "2,000 lines"]


def test_an_age_is_rounded_and_becomes_a_date_after_a_year() -> None:
    ages = [timedelta(seconds=5), timedelta(minutes=5), timedelta(hours=30), timedelta(days=3), timedelta(days=50)]
    # Midday in UTC: the same date in most time zones.
    old = NOW - timedelta(days=399, hours=12)

    assert [age_text(NOW - age, NOW) for age in ages] == ["now", "5 min", "30 h", "3 days", "7 weeks"]
    assert [short_age_text(NOW - age, NOW) for age in ages] == ["now", "5m", "30h", "3d", "7w"]
    assert (age_text(old, NOW), short_age_text(old, NOW)) == ("2025-10-17", "2025-10-17")
    assert (age_text(None, NOW), short_age_text(None, NOW)) == ("", "")


def test_an_age_changes_its_unit_at_these_limits() -> None:
    day = 86_400
    ages = [timedelta(seconds=seconds) for seconds in (-5, 59, 60, 3599, 3600, 2 * day - 1, 2 * day, 13 * day)]
    ages += [timedelta(days=14), timedelta(days=20), timedelta(days=365) - timedelta(seconds=1)]

    texts = ["now", "now", "1 min", "59 min", "1 h", "47 h", "2 days", "13 days", "2 weeks", "2 weeks", "52 weeks"]
    assert [age_text(NOW - age, NOW) for age in ages] == texts
    texts = ["now", "now", "1m", "59m", "1h", "47h", "2d", "13d", "2w", "2w", "52w"]
    assert [short_age_text(NOW - age, NOW) for age in ages] == texts
    dates = [text(NOW - timedelta(days=days), NOW) for text in (age_text, short_age_text) for days in (365, 400)]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for date in dates)


def test_a_count_has_at_most_three_digits() -> None:
    counts = (0, 950, 999, 999.6, 1500, 12_500, 25_000, 3.2e6, 10**7, 5e9, 10**13)

    texts = ["0", "950", "999", "1k", "1.5k", "12.5k", "25k", "3.2M", "10M", "5G", "10T"]
    assert [count_text(count) for count in counts] == texts


def test_times_of_lines_and_of_file_names_are_formatted() -> None:
    assert moment_text("2026-11-21T01:25:37.122Z") == moment_text("2026-11-21T01-25-37") == "2026-11-21 01:25:37 +00:00"
    assert clock_text("2026-11-21T01:25:37.122Z") == clock_text("2026-11-21T01-25-37") == "01:25:37"
    assert [moment_text("yester\nday"), moment_text(None)] == ["yester day", ""]
    assert [clock_text("yester\nday"), clock_text(None)] == ["yester day", ""]
    assert (moment_text("no\x1b time"), clock_text("no\x1b time")) == ("no\\x1b time", "no\\x1b time")
    assert clock_text("2026-11-21T01:25:37Z") == "01:25:37"


@pytest.mark.parametrize(
    ("zone", "moment", "text", "name"),
    [
        ("Asia/Shanghai", "2026-06-08T20:00:00.123Z", "2026-06-09 04:00:00 +08:00", "+08:00 (CST)"),
        ("Asia/Kolkata", "2026-06-08T20:00:00Z", "2026-06-09 01:30:00 +05:30", "+05:30 (IST)"),
        ("America/Sao_Paulo", "2026-06-08T20:00:00Z", "2026-06-08 17:00:00 -03:00", "-03:00"),
        ("Europe/Berlin", "2026-06-08T20:00:00Z", "2026-06-08 22:00:00 +02:00", "+02:00 (CEST)"),
        ("Europe/Berlin", "2026-12-08T20:00:00Z", "2026-12-08 21:00:00 +01:00", "+01:00 (CET)"),
        ("Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25 02:30:00 +02:00", "+02:00 (CEST)"),
        ("Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25 02:30:00 +01:00", "+01:00 (CET)"),
        ("Europe/Berlin", "2026-06-08T20:00:00+05:30", "2026-06-08 16:30:00 +02:00", "+02:00 (CEST)"),
        ("Europe/Berlin", "2026-06-08T20-00-00", "2026-06-08 20:00:00 +02:00", "+02:00 (CEST)"),
    ],
)
def test_times_for_people_are_in_the_zone_of_the_reader(
    set_zone: Callable[[str], None], zone: str, moment: str, text: str, name: str
) -> None:
    set_zone(zone)

    assert moment_text(moment) == text
    assert clock_text(moment) == text[11:19]
    assert zone_text(moment) == name


def test_a_moment_has_one_text_for_people_and_one_for_programs(set_zone: Callable[[str], None]) -> None:
    set_zone("Asia/Shanghai")
    moment = datetime(2026, 6, 8, 20, tzinfo=timezone.utc)

    assert moment_text(moment) == "2026-06-09 04:00:00 +08:00"
    assert utc_text("2026-06-08T20:00:00.123Z") == "2026-06-08 20:00:00 UTC"
    assert utc_timestamp(to_local(moment)) == utc_timestamp(moment) == "2026-06-08T20:00:00Z"
    assert (utc_text("soon"), utc_timestamp(None), to_local(None)) == ("soon", None, None)
    assert zone_text() == "+08:00 (CST)"


def test_a_time_that_does_not_exist_stays_as_it_is(set_zone: Callable[[str], None]) -> None:
    set_zone("America/New_York")

    assert moment_text("2026-02-30T10:00:00Z") == "2026-02-30T10:00:00Z"
    assert moment_text("0001-01-01T00:00:00Z") == "0001-01-01T00:00:00Z"


def test_a_typed_time_is_parsed_and_any_other_text_is_none() -> None:
    ago = read_moment("2d")

    assert ago is not None
    assert abs((datetime.now(timezone.utc) - ago).total_seconds() - 2 * 86_400) < 60
    assert read_moment("2026-11-21T14:30Z") == datetime(2026, 11, 21, 14, 30, tzinfo=timezone.utc)
    assert [read_moment(text) for text in ("soon", "2026-99-99", "999999w")] == [None, None, None]
    assert [read_span(text) for text in ("30m", "1w", "0", "x")] == [1800.0, 604_800.0, None, None]
