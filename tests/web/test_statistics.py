from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from rollout.search import Index
from rollout.store import archive
from rollout.web import _statistics
from tests.rollouts import ID, event, meta, put, seed_session
from tests.search.homes import OLD, call, many, output, put_session, session_id

ALL = "/stats?since=3000w"
Indexed = Callable[[], None]


@pytest.fixture(params=[False, True], ids=["files", "index"])
def either(request: pytest.FixtureRequest, indexed: Indexed) -> Indexed:
    return indexed if request.param else lambda: None


def used(total: int) -> tuple[str, dict[str, object]]:
    usage = {"input_tokens": total, "cached_input_tokens": 0, "output_tokens": 0, "reasoning_output_tokens": 0}
    return event("token_count", info={"total_token_usage": {**usage, "total_tokens": total}, "last_token_usage": None})


def timed(path: Path, *seconds: int) -> None:
    """
    Give its lines times of their own, the first to the last.
    """
    lines = path.read_bytes().split(b"\n")
    moments = [f"2026-11-21T00:00:{second:02d}.000Z".encode() for second in seconds]
    told = [lines[0], *lines[-len(moments) : -1]]
    for line, moment in zip(told, moments, strict=True):
        lines[lines.index(line)] = re.sub(rb'(?<="timestamp":")[^"]+', moment, line, count=1)
    path.write_bytes(b"\n".join(lines))


def busy_session(number: int) -> list[tuple[str, dict[str, object]]]:
    return [
        *seed_session("q", session_id=session_id(number)),
        call("shell", "ls"),
        output("a"),
        call("<shell>", "rm", "2"),
        output("no", "2", code=1),
        used(1500),
    ]


def numbers(page: str) -> list[list[str]]:
    rows = [row.partition("</tr>")[0] for row in page.split("<tr>")[1:]]
    return [[cell.partition("</t")[0].rpartition(">")[2] for cell in row.split("<t")[1:]] for row in rows]


def test_an_empty_home_has_empty_statistics(client: FlaskClient) -> None:
    page = client.get("/stats").text

    assert "0 sessions begun in that time" in page
    assert "There is no index, so the files are read" in page
    assert "no sessions" in page


def test_what_was_done_is_counted_and_drawn(client: FlaskClient, home: Path, either: Indexed) -> None:
    for number in (1, 2, 30):
        put_session(home, number, busy_session(number))
    archive(session_id(2), home=home)
    either()

    page = client.get(ALL).text

    assert "3 sessions begun in that time, archived ones too." in page
    assert ["2026-11-02", "1", "1,500"] in numbers(page)
    assert ["2026-11-01", "2", "3,000"] in numbers(page)
    assert ["shell", "3", "", "0.3 s"] in numbers(page)
    assert ["&lt;shell&gt;", "3", "3", "0.3 s"] in numbers(page)
    assert page.count("<svg") == 6
    assert page.count('class="plot dark"') == 3
    assert "<shell>" not in page


def test_how_long_sessions_take_is_drawn(client: FlaskClient, home: Path, either: Indexed) -> None:
    for number in (1, 2, 3):
        timed(put_session(home, number, busy_session(number)), 0, 10 * number)
    either()

    page = client.get(ALL).text

    assert '<th scope="row">shortest</th><td>10 s</td>' in page
    assert '<th scope="row">longest</th><td>30 s</td>' in page


def test_only_sessions_begun_in_the_time_are_counted(client: FlaskClient, home: Path, either: Indexed) -> None:
    many(home, 60)
    either()

    page = client.get("/stats?since=2026-11-02T00:00:00&until=2026-11-02T12:00:00").text

    assert "13 sessions begun in that time" in page


def test_a_time_that_is_none_is_explained(client: FlaskClient) -> None:
    assert "“soon” is no time" in client.get("/stats?since=soon").text


def test_what_there_is_no_time_for_is_said(
    client: FlaskClient, home: Path, either: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(home, 3)
    either()
    monkeypatch.setattr(_statistics, "_TIMEOUT", -1.0)

    page = client.get(ALL).text

    assert "0 sessions begun" in page
    assert "There was no time for those before 2026-11-01 02:00:00: they are not counted." in page


def test_sessions_that_the_index_has_not_as_they_are_are_read(
    client: FlaskClient, home: Path, indexed: Indexed
) -> None:
    put_session(home, 1, busy_session(1))
    indexed()
    put_session(home, 2, busy_session(2))
    with Index.open(home) or pytest.fail() as index, index.transaction():
        index.database.execute("UPDATE sessions SET state = x'00'")

    assert "2 sessions begun" in client.get(ALL).text


def test_what_an_index_with_a_damaged_row_does_not_say_is_read(
    client: FlaskClient, home: Path, indexed: Indexed
) -> None:
    for number in range(3):
        put_session(home, number, busy_session(number))
    indexed()
    with Index.open(home) or pytest.fail() as index, index.transaction():
        index.database.execute("UPDATE sessions SET size = size + 1 WHERE id = 2")

    assert "3 sessions begun" in client.get(ALL).text


def test_a_file_that_cannot_be_read_is_not_counted(client: FlaskClient, home: Path) -> None:
    many(home, 1)
    put_session(home, 2, seed_session("q")).chmod(0)
    # A day that is none.
    put(home, seed_session("q"), timestamp="2026-02-31T00-00-00", day="2026-02-28")

    assert f"{2 if os.geteuid() == 0 else 1} session" in client.get(ALL).text


def test_one_session_is_counted_turn_by_turn(client: FlaskClient, home: Path) -> None:
    path = put(home, [*busy_session(1), event("task_complete", turn_id="x", duration_ms=1500), used(2000)])
    os.utime(path, (OLD, OLD))

    page = client.get(f"/s/{ID}/stats").text

    assert page.count("<svg") == 6
    assert f'href="/s/{ID}?turn=1"' in page
    row = next(row for row in numbers(page) if len(row) == 6 and row[4] == "2")
    assert row[2:] == ["1.5 s", "2,000", "2", "1"]
    assert '<th scope="row">the only one</th><td>1.5 s</td>' in page


def test_a_session_without_anything_has_empty_statistics(client: FlaskClient, home: Path) -> None:
    put(home, [meta()])

    page = client.get(f"/s/{ID}/stats").text

    assert "no tokens were counted" in page


def test_durations_of_several_turns_are_spread_out(client: FlaskClient, home: Path) -> None:
    lines = [meta()]
    for number in range(1, 12):
        lines += [*seed_session(f"q {number}")[2:], event("task_complete", duration_ms=number * 1000)]
    put(home, lines)

    page = client.get(f"/s/{ID}/stats").text

    assert '<th scope="row">half are shorter than</th><td>6.0 s</td>' in page
    assert '<th scope="row">together</th><td>1 min 6 s</td>' in page
