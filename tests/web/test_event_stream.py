from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from rollout import Recorder
from rollout.web import Viewer, _event_stream, make_viewer
from tests.builders import command as call
from tests.builders import command_output as output
from tests.rollouts import ID, encode, message, meta, prompt, put, seed_session
from tests.search.homes import OLD, put_session, session_id
from tests.web.conftest import LIMIT, Client
from tests.web.streams import Stream


@pytest.fixture
def recorder(home: Path) -> Iterator[Recorder]:
    with Recorder(home=home, cwd=home) as recorder:
        recorder.user_message("Why does it fail?")
        recorder.agent_message("Let me see.")
        recorder.flush()
        yield recorder


def events_path(ask: Client, session: str, page: str = "") -> str:
    shown = ask(f"/s/{session}{page}").text
    path = shown.split('data-events="')[1].partition('"')[0].replace("&amp;", "&")
    return path.removeprefix(f"/{ask.token}")


def stream_threads() -> list[str]:
    return [
        thread.name for thread in threading.enumerate() if "lines" in thread.name or "viewer-request" in thread.name
    ]


def wait_until_no_thread_is_left() -> None:
    end = time.monotonic() + 5
    while stream_threads() and time.monotonic() < end:
        time.sleep(0.01)
    assert stream_threads() == []


def test_a_live_session_is_marked_and_has_a_url_for_its_events(ask: Client, recorder: Recorder) -> None:
    page = ask(f"/s/{recorder.session_id}").text

    assert '<span class="state live" id="live" role="status">live</span>' in page
    assert f"/s/{recorder.session_id}/events?after=5&amp;line=2&amp;turn=0" in page


def test_events_contain_new_lines_and_no_older_ones(ask: Client, recorder: Recorder) -> None:
    with Stream(ask, events_path(ask, recorder.session_id)) as stream:
        assert stream.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert stream.response.headers["Cache-Control"] == "no-store"
        call_id = recorder.tool_call("shell", {"command": ["ls"]})
        first = stream.read_until("ls")
        recorder.tool_output(call_id, "a.txt")
        second = stream.read_until("a.txt")

    assert "Let me see" not in json.dumps(first)
    assert first[-1]["data"]["turn"] == second[-1]["data"]["turn"] == "t1"
    item = first[-1]["data"]["items"][0]
    assert 'id="L6"' in item
    assert "a.txt" not in item
    assert 'id="L6"' in second[-1]["data"]["items"][0]
    assert first[-1]["id"] == "6"
    assert 'class="turn-head"' in first[-1]["data"]["head"]
    assert 'class="others"' in first[-1]["data"]["others"]


def test_the_event_of_a_new_turn_contains_its_head(ask: Client, recorder: Recorder) -> None:
    with Stream(ask, events_path(ask, recorder.session_id)) as stream:
        recorder.user_message("And <now>?")
        updates = stream.read_until("And")

    assert updates[-1]["data"]["turn"] == "t2"
    assert "And &lt;now&gt;?" in updates[-1]["data"]["head"]


def test_a_recorded_line_is_sent_at_once(ask: Client, recorder: Recorder) -> None:
    durations = []
    with Stream(ask, events_path(ask, recorder.session_id)) as stream:
        for number in range(10):
            start = time.monotonic()
            recorder.agent_message(f"message {number}")
            stream.read_until(f"message {number}")
            durations.append(time.monotonic() - start)

    # The follower checks the file every 10 to 100 ms.
    assert sorted(durations)[5] < 0.5


def test_a_browser_that_connects_again_gets_the_missed_lines(ask: Client, recorder: Recorder) -> None:
    url = events_path(ask, recorder.session_id)
    with Stream(ask, url) as stream:
        recorder.agent_message("first")
        number = stream.read_until("first")[-1]["id"]
    recorder.agent_message("missed")
    recorder.flush()

    with Stream(ask, url, **{"Last-Event-ID": number}) as stream:
        updates = stream.read_until("missed")

    assert "first" not in json.dumps(updates)


def test_the_parts_above_and_below_the_turns_are_updated(
    ask: Client, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_event_stream, "_STATE_INTERVAL", 0.0)
    with Stream(ask, events_path(ask, recorder.session_id)) as stream:
        recorder.user_message("one more turn")
        around = next(event["data"] for event in stream.events() if "heading" in event.get("data", {}))

    assert "2 turns" in around["heading"]
    assert 'id="end"' in around["closing"]
    assert around["turn"] == "t2"


def test_events_report_the_end_of_a_writer_and_the_resume_by_another(
    ask: Client, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_event_stream, "_STATE_INTERVAL", 0.0)
    with Stream(ask, events_path(ask, recorder.session_id)) as stream:
        states = (event["data"] for event in stream.events() if event.get("event") == "state")
        first = next(states)
        recorder.close()
        second = next(states)
        with Recorder.resume(recorder.path) as other:
            other.agent_message("goes on")
            third = next(states)

    assert [first, second, third] == [{"isHeld": True}, {"isHeld": False}, {"isHeld": True}]


def test_a_client_that_disconnects_leaves_no_thread(ask: Client, recorder: Recorder) -> None:
    url = events_path(ask, recorder.session_id)
    streams = [Stream(ask, url) for _ in range(8)]
    for stream in streams:
        recorder.agent_message("for all")
        stream.read_until("for all")
    assert len([name for name in stream_threads() if "lines" in name]) == 8

    for stream in streams:
        stream.close()

    wait_until_no_thread_is_left()


def test_a_client_that_disconnects_while_a_long_session_is_read_leaves_no_thread(ask: Client, home: Path) -> None:
    path = put(home, [*seed_session("q"), *(message("assistant", "x" * 2000 + str(n)) for n in range(3000))])

    Stream(ask, f"/s/{ID}/events?after=9999").close()

    wait_until_no_thread_is_left()
    assert path.exists()


def test_closing_a_viewer_ends_its_streams(home: Path, recorder: Recorder) -> None:
    viewer = make_viewer(home)
    viewer.start()
    stream = Stream(Client(viewer.url), f"/s/{recorder.session_id}/events")
    stream.read_until("Let me see")

    start = time.monotonic()
    viewer.close()

    assert time.monotonic() - start < 3
    assert stream_threads() == []
    stream.close()


def test_a_stream_ends_when_its_file_is_removed(ask: Client, home: Path) -> None:
    path = put(home, seed_session("q"))

    with Stream(ask, f"/s/{ID}/events") as stream:
        stream.read_until("answer to q")
        path.unlink()

        assert list(stream.updates()) == []
    wait_until_no_thread_is_left()


def test_a_quiet_stream_sends_heartbeats(ask: Client, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_event_stream, "_HEARTBEAT_INTERVAL", 0.0)
    with Stream(ask, events_path(ask, recorder.session_id)) as stream:
        assert "nothing new" in next(event["comment"] for event in stream.events() if "comment" in event)


def test_events_are_streamed_without_a_socket(client: FlaskClient, home: Path, site: Any) -> None:
    put(home, [*seed_session("q"), message("assistant", "half \ud800")])

    answer = client.get(f"/s/{ID}/events")
    pieces = iter(answer.response)
    first = next(pieces)
    second = next(pieces)
    answer.close()

    assert first == b"retry: 1000\n\n"
    assert b"answer to q" in second
    assert "half" in second.decode()
    assert stream_threads() == []


def test_a_stream_waits_for_the_first_session_meta(ask: Client, home: Path) -> None:
    path = put(home, [message("assistant", "before its meta")])

    with Stream(ask, f"/s/{ID}/events") as stream:
        with path.open("ab") as file:
            file.write(encode([meta(), *prompt("at last")]))
        updates = stream.read_until("at last")

    assert updates[-1]["data"]["turn"] == "t1"


def test_an_unreadable_line_is_shown_in_its_place(ask: Client, home: Path) -> None:
    path = put(home, encode(seed_session("q")) + b"{broken\n")
    page = ask(f"/s/{ID}").text
    url = events_path(ask, ID)

    with Stream(ask, url) as stream:
        with path.open("ab") as file:
            file.write(b"{worse\n" + encode([message("assistant", "more")]))
        updates = json.dumps(stream.read_until("more"))

    assert 'class="item unreadable" id="L7"' in page
    assert "after=7&" in url
    assert 'id=\\"L8\\"' in updates
    assert 'id=\\"L9\\"' in updates
    assert 'id=\\"L7\\"' not in updates


def test_an_incomplete_line_is_not_shown(ask: Client, home: Path) -> None:
    line = encode([message("assistant", "the whole of it")])
    path = put(home, encode(seed_session("q")) + line[:40])
    page = ask(f"/s/{ID}").text
    url = events_path(ask, ID)

    with Stream(ask, url) as stream:
        with path.open("ab") as file:
            file.write(line[40:])
        updates = stream.read_until("the whole of it")

    assert "unreadable" not in page
    assert 'id="L7"' in updates[-1]["data"]["items"][0]


def test_inherited_lines_of_a_fork_come_before_its_own_lines(ask: Client, home: Path) -> None:
    base = session_id(1)
    put_session(home, 1, encode(seed_session("inherited", session_id=base), first_ordinal=0))
    fork = meta(history_base={"thread_id": base, "end_ordinal_exclusive": 6}, history_mode="paginated")
    path = put(home, encode([fork, *prompt("own")], first_ordinal=6))

    page = ask(f"/s/{ID}").text
    with Stream(ask, events_path(ask, ID)) as stream:
        with path.open("ab") as file:
            file.write(encode([message("assistant", "more")], first_ordinal=9))
        updates = stream.read_until("more")

    assert "inherited" in page
    assert updates[-1]["data"]["turn"] == "t2"


def test_a_missing_base_is_named(ask: Client, home: Path) -> None:
    fork = meta(history_base={"thread_id": session_id(5), "end_ordinal_exclusive": 6}, history_mode="paginated")
    put(home, [fork, *prompt("own")])

    assert f"inherited from session {session_id(5)} are missing" in ask(f"/s/{ID}").text


def test_only_the_last_page_of_a_long_session_is_updated(
    ask: Client, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollout.web._document_parts.ITEMS_MAX", 3)
    lines = [
        meta(),
        *prompt("one"),
        call("shell", "ls"),
        *prompt("two"),
        message("assistant", "a"),
        message("assistant", "b"),
    ]
    path = put(home, lines)

    first, last = ask(f"/s/{ID}").text, ask(f"/s/{ID}?page=last").text
    url = events_path(ask, ID, "?page=last")
    with Stream(ask, url) as stream:
        with path.open("ab") as file:
            file.write(encode([output("answers late"), message("assistant", "more")]))
        updates = stream.read_until("more")

    assert "data-events" not in first
    assert "newest part" in first
    assert "newest part" not in last
    assert "answers late" not in json.dumps(updates)
    assert [event["data"]["turn"] for event in updates] == ["t2"]


def test_a_session_without_writer_or_recent_changes_is_not_live(ask: Client, home: Path) -> None:
    path = put(home, seed_session("q"))
    os.utime(path, (OLD, OLD))

    page = ask(f"/s/{ID}").text

    assert "data-events" not in page
    assert 'id="live"' not in page


def test_a_client_that_does_not_receive_is_disconnected(
    home: Path, viewer: Viewer, ask: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollout.web._connections._SEND_TIMEOUT", 0.3)
    put(home, [*seed_session("q"), *(message("assistant", f"{n} " + "x" * 20_000) for n in range(3000))])

    stream = Stream(ask, f"/s/{ID}/events")
    end = time.monotonic() + LIMIT
    while stream_threads() and time.monotonic() < end:
        time.sleep(0.05)

    assert stream_threads() == []
    stream.close()
