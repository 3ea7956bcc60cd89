from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from rollout.codec import encode_item
from rollout.search import Index
from rollout.store import archive
from rollout.web import _statistics
from tests.builders import command as call
from tests.builders import command_output as output
from tests.rollouts import ID, Line, event, meta, prompt, put, seed_session
from tests.search.homes import OLD, many, put_session, session_id, timestamp

ALL = "/stats?since=3000w"
BuildIndex = Callable[[], None]


@pytest.fixture(params=[False, True], ids=["files", "index"])
def optional_index(request: pytest.FixtureRequest, build_index: BuildIndex) -> BuildIndex:
    return build_index if request.param else lambda: None


def token_count(total: int) -> tuple[str, dict[str, object]]:
    usage = {"input_tokens": total, "cached_input_tokens": 0, "output_tokens": 0, "reasoning_output_tokens": 0}
    return event("token_count", info={"total_token_usage": {**usage, "total_tokens": total}, "last_token_usage": None})


def set_times(path: Path, *seconds: int) -> None:
    """
    Set the times of the first line and of the last lines of a session.
    """
    lines = path.read_bytes().split(b"\n")
    moments = [f"2026-11-21T00:00:{second:02d}.000Z".encode() for second in seconds]
    changed = [lines[0], *lines[-len(moments) : -1]]
    for line, moment in zip(changed, moments, strict=True):
        lines[lines.index(line)] = re.sub(rb'(?<="timestamp":")[^"]+', moment, line, count=1)
    path.write_bytes(b"\n".join(lines))


def busy_session(number: int, *more: Line) -> bytes:
    """
    Return the bytes of a session whose lines have the time in the name of its file.
    """
    started = datetime.strptime(f"{timestamp(number)}Z", "%Y-%m-%dT%H-%M-%S%z")
    lines: list[Line] = [
        *seed_session("q", session_id=session_id(number)),
        call("shell", "ls"),
        output("a"),
        call("<shell>", "rm", "2"),
        output("no", "2", code=1),
        token_count(1500),
        *more,
    ]
    lines[0][1]["timestamp"] = f"{started:%Y-%m-%dT%H:%M:%S.000Z}"
    return b"".join(encode_item(*line, time_ms=int(started.timestamp() * 1000)) for line in lines)


def table_rows(page: str) -> list[list[str]]:
    rows = [row.partition("</tr>")[0] for row in page.split("<tr>")[1:]]
    return [[cell.partition("</t")[0].rpartition(">")[2] for cell in row.split("<t")[1:]] for row in rows]


def test_an_empty_home_has_empty_statistics(client: FlaskClient) -> None:
    page = client.get("/stats").text

    assert "0 sessions used in this time" in page
    assert "There is no index, so the files were read" in page
    assert "no sessions" in page


def test_activity_and_tools_are_counted_and_drawn(client: FlaskClient, home: Path, optional_index: BuildIndex) -> None:
    for number in (1, 2, 30):
        put_session(home, number, busy_session(number))
    archive(session_id(2), home=home)
    optional_index()

    page = client.get(ALL).text

    assert "3 sessions used in this time, archived sessions included." in page
    assert ["2026-11-02", "1", "1,500"] in table_rows(page)
    assert ["2026-11-01", "2", "3,000"] in table_rows(page)
    assert ["shell", "3", "", "0.3 s"] in table_rows(page)
    assert ["&lt;shell&gt;", "3", "3", "0.3 s"] in table_rows(page)
    assert page.count("<svg") == 6
    assert page.count('class="plot dark"') == 3
    assert "<shell>" not in page


def test_durations_of_sessions_are_drawn(client: FlaskClient, home: Path, optional_index: BuildIndex) -> None:
    for number in (1, 2, 3):
        set_times(put_session(home, number, busy_session(number)), 0, 10 * number)
    optional_index()

    page = client.get(ALL).text

    assert '<th scope="row">shortest</th><td>10 s</td>' in page
    assert '<th scope="row">longest</th><td>30 s</td>' in page


def test_only_what_was_used_in_the_given_time_is_counted(
    client: FlaskClient, home: Path, optional_index: BuildIndex
) -> None:
    for number in range(60):
        put_session(home, number, busy_session(number))
    lasting = busy_session(0) + busy_session(30).replace(b"1500", b"1800")
    put(home, lasting, session_id=session_id(99), timestamp="2026-11-01T00-00-00")
    optional_index()

    page = client.get("/stats?since=2026-11-02T00:00:00&until=2026-11-02T12:00:00").text

    assert "14 sessions used in this time" in page
    assert [row for row in table_rows(page) if row[0].startswith("2026-")] == [["2026-11-02", "13", "18,300"]]


def test_tokens_count_for_the_day_on_which_they_were_used(
    client: FlaskClient, home: Path, optional_index: BuildIndex
) -> None:
    lasting = busy_session(0) + busy_session(30).replace(b"1500", b"1800")
    put(home, lasting, session_id=session_id(0), timestamp="2026-11-01T00-00-00")
    optional_index()

    rows = table_rows(client.get(ALL).text)

    assert ["2026-11-01", "1", "1,500"] in rows
    assert ["2026-11-02", "0", "300"] in rows


def test_what_no_line_states_is_a_dash(client: FlaskClient, home: Path, optional_index: BuildIndex) -> None:
    put(home, [meta(), *prompt("q")])
    optional_index()

    pages = [client.get(ALL).text, client.get(f"/s/{ID}/stats").text]

    assert ["<div><dt>Tokens</dt><dd>\N{EN DASH}</dd></div>" in page for page in pages] == [True, True]
    assert "<dt>Active time</dt><dd>\N{EN DASH}</dd>" in pages[1]


def test_an_invalid_time_is_explained(client: FlaskClient) -> None:
    assert "“soon” is not a valid time" in client.get("/stats?since=soon").text


def test_sessions_not_counted_within_the_time_limit_are_named(
    client: FlaskClient, home: Path, optional_index: BuildIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(home, 3)
    optional_index()
    monkeypatch.setattr(_statistics, "_TIMEOUT", -1.0)

    page = client.get(ALL).text

    assert "0 sessions used" in page
    assert (
        "The time limit was reached: sessions that started at or before 2026-11-01 02:00:00 +00:00 are not counted."
        in page
    )


def test_sessions_without_statistics_in_the_index_are_read(
    client: FlaskClient, home: Path, build_index: BuildIndex
) -> None:
    put_session(home, 1, busy_session(1))
    build_index()
    put_session(home, 2, busy_session(2))
    with Index.open(home) or pytest.fail() as index, index.transaction():
        index.database.execute("UPDATE sessions SET state = x'00'")

    assert "2 sessions used" in client.get(ALL).text


def test_sessions_are_read_if_a_row_of_the_index_is_damaged(
    client: FlaskClient, home: Path, build_index: BuildIndex
) -> None:
    for number in range(3):
        put_session(home, number, busy_session(number))
    build_index()
    with Index.open(home) or pytest.fail() as index, index.transaction():
        index.database.execute("UPDATE sessions SET size = size + 1 WHERE id = 2")

    assert "3 sessions used" in client.get(ALL).text


def test_a_file_that_cannot_be_read_is_not_counted(client: FlaskClient, home: Path) -> None:
    many(home, 1)
    put_session(home, 2, seed_session("q")).chmod(0)
    # A day that does not exist.
    put(home, seed_session("q"), timestamp="2026-02-31T00-00-00", day="2026-02-28")

    assert f"{2 if os.geteuid() == 0 else 1} session" in client.get(ALL).text


def test_one_session_is_counted_turn_by_turn(client: FlaskClient, home: Path) -> None:
    path = put(home, busy_session(1, event("task_complete", turn_id="x", duration_ms=1500), token_count(2000)))
    os.utime(path, (OLD, OLD))

    page = client.get(f"/s/{ID}/stats").text

    assert page.count("<svg") == 6
    assert f'href="/s/{ID}?turn=1"' in page
    row = next(row for row in table_rows(page) if len(row) == 6 and row[4] == "2")
    assert row[2:] == ["1.5 s", "2,000", "2", "1"]
    assert '<th scope="row">only value</th><td>1.5 s</td>' in page


def test_an_empty_session_has_empty_statistics(client: FlaskClient, home: Path) -> None:
    put(home, [meta()])

    page = client.get(f"/s/{ID}/stats").text

    assert "no tokens were counted" in page


def test_durations_of_several_turns_have_a_distribution(client: FlaskClient, home: Path) -> None:
    lines = [meta()]
    for number in range(1, 12):
        lines += [*seed_session(f"q {number}")[2:], event("task_complete", duration_ms=number * 1000)]
    put(home, lines)

    page = client.get(f"/s/{ID}/stats").text

    assert '<th scope="row">median</th><td>6.0 s</td>' in page
    assert '<th scope="row">total</th><td>1 min 6 s</td>' in page
