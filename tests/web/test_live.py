from __future__ import annotations

import http.client
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
from rollout.web import Viewer, _live, make_viewer
from tests.rollouts import ID, encode, message, meta, prompt, put, seed_session
from tests.search.homes import OLD, call, output, put_session, session_id
from tests.web.conftest import LIMIT, Asker


class Stream:
    """
    An event source, read as a browser reads it.
    """

    def __init__(self, ask: Asker, path: str, **headers: str) -> None:
        self._connection = http.client.HTTPConnection(ask.host, ask.port, timeout=LIMIT)
        self._connection.request("GET", f"/{ask.token}{path}", headers={"Host": ask.authority, **headers})
        self.response = self._connection.getresponse()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.response.close()
        self._connection.close()

    def events(self) -> Iterator[dict[str, Any]]:
        """
        Give events, comments too: event, id, data.
        """
        event: dict[str, Any] = {}
        while line := self.response.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if not line.strip():
                yield event
                event = {}
            else:
                event[name or "comment"] = json.loads(value) if name == "data" else value

    def news(self) -> Iterator[dict[str, Any]]:
        """
        Give the events that change the page's turns.
        """
        return (event for event in self.events() if "items" in event.get("data", {}))

    def until(self, text: str) -> list[dict[str, Any]]:
        """
        Give the news down to those that hold a text.
        """
        found = []
        for event in self.news():
            found.append(event)
            if text in json.dumps(event):
                return found
        raise AssertionError(found)


@pytest.fixture
def recorder(home: Path) -> Iterator[Recorder]:
    with Recorder(home=home, cwd=home) as recorder:
        recorder.user_message("Why does it fail?")
        recorder.agent_message("Let me see.")
        recorder.flush()
        yield recorder


def events_address(ask: Asker, session: str, page: str = "") -> str:
    shown = ask(f"/s/{session}{page}").text
    address = shown.split('data-events="')[1].partition('"')[0].replace("&amp;", "&")
    return address.removeprefix(f"/{ask.token}")


def threads() -> list[str]:
    return [
        thread.name for thread in threading.enumerate() if "lines" in thread.name or "viewer-request" in thread.name
    ]


def wait_until_no_thread_is_left() -> None:
    end = time.monotonic() + 5
    while threads() and time.monotonic() < end:
        time.sleep(0.01)
    assert threads() == []


def test_a_live_session_says_so_and_has_an_address_for_its_events(ask: Asker, recorder: Recorder) -> None:
    page = ask(f"/s/{recorder.session_id}").text

    assert '<span class="state live" id="live" role="status">live</span>' in page
    assert f"/s/{recorder.session_id}/events?after=5&amp;line=2&amp;turn=0" in page


def test_what_is_recorded_comes_as_events_and_nothing_else(ask: Asker, recorder: Recorder) -> None:
    with Stream(ask, events_address(ask, recorder.session_id)) as stream:
        assert stream.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert stream.response.headers["Cache-Control"] == "no-store"
        call_id = recorder.tool_call("shell", {"command": ["ls"]})
        first = stream.until("ls")
        recorder.tool_output(call_id, "a.txt")
        second = stream.until("a.txt")

    assert "Let me see" not in json.dumps(first)
    assert first[-1]["data"]["turn"] == second[-1]["data"]["turn"] == "t1"
    item = first[-1]["data"]["items"][0]
    assert 'id="L6"' in item
    assert "a.txt" not in item
    assert 'id="L6"' in second[-1]["data"]["items"][0]
    assert first[-1]["id"] == "6"
    assert 'class="turn-head"' in first[-1]["data"]["head"]
    assert 'class="others"' in first[-1]["data"]["others"]


def test_a_new_turn_comes_with_its_head(ask: Asker, recorder: Recorder) -> None:
    with Stream(ask, events_address(ask, recorder.session_id)) as stream:
        recorder.user_message("And <now>?")
        news = stream.until("And")

    assert news[-1]["data"]["turn"] == "t2"
    assert "And &lt;now&gt;?" in news[-1]["data"]["head"]


def test_it_is_on_its_way_to_the_screen_at_once(ask: Asker, recorder: Recorder) -> None:
    taken = []
    with Stream(ask, events_address(ask, recorder.session_id)) as stream:
        for number in range(10):
            start = time.monotonic()
            recorder.agent_message(f"message {number}")
            stream.until(f"message {number}")
            taken.append(time.monotonic() - start)

    # The follower looks every 10 to 100 ms.
    assert sorted(taken)[5] < 0.5


def test_a_browser_that_comes_again_goes_on_where_it_was(ask: Asker, recorder: Recorder) -> None:
    address = events_address(ask, recorder.session_id)
    with Stream(ask, address) as stream:
        recorder.agent_message("first")
        number = stream.until("first")[-1]["id"]
    recorder.agent_message("missed")
    recorder.flush()

    with Stream(ask, address, **{"Last-Event-ID": number}) as stream:
        news = stream.until("missed")

    assert "first" not in json.dumps(news)


def test_what_stands_above_and_below_comes_after(
    ask: Asker, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_live, "_STATE", 0.0)
    with Stream(ask, events_address(ask, recorder.session_id)) as stream:
        recorder.user_message("one more turn")
        around = next(event["data"] for event in stream.events() if "heading" in event.get("data", {}))

    assert "2 turns" in around["heading"]
    assert 'id="end"' in around["closing"]
    assert around["turn"] == "t2"


def test_it_says_when_the_writer_ends_and_when_another_goes_on(
    ask: Asker, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_live, "_STATE", 0.0)
    with Stream(ask, events_address(ask, recorder.session_id)) as stream:
        states = (event["data"] for event in stream.events() if event.get("event") == "state")
        first = next(states)
        recorder.close()
        second = next(states)
        with Recorder.resume(recorder.path) as other:
            other.agent_message("goes on")
            third = next(states)

    assert [first, second, third] == [{"isHeld": True}, {"isHeld": False}, {"isHeld": True}]


def test_who_goes_away_leaves_no_thread(ask: Asker, recorder: Recorder) -> None:
    address = events_address(ask, recorder.session_id)
    streams = [Stream(ask, address) for _ in range(8)]
    for stream in streams:
        recorder.agent_message("for all")
        stream.until("for all")
    assert len([name for name in threads() if "lines" in name]) == 8

    for stream in streams:
        stream.close()

    wait_until_no_thread_is_left()


def test_who_goes_away_while_a_long_session_is_read_leaves_no_thread(ask: Asker, home: Path) -> None:
    path = put(home, [*seed_session("q"), *(message("assistant", "x" * 2000 + str(n)) for n in range(3000))])

    Stream(ask, f"/s/{ID}/events?after=9999").close()

    wait_until_no_thread_is_left()
    assert path.exists()


def test_a_viewer_that_closes_ends_its_streams(home: Path, recorder: Recorder) -> None:
    viewer = make_viewer(home)
    viewer.start()
    stream = Stream(Asker(viewer), f"/s/{recorder.session_id}/events")
    stream.until("Let me see")

    start = time.monotonic()
    viewer.close()

    assert time.monotonic() - start < 3
    assert threads() == []
    stream.close()


def test_a_stream_of_a_file_that_goes_ends(ask: Asker, home: Path) -> None:
    path = put(home, seed_session("q"))

    with Stream(ask, f"/s/{ID}/events") as stream:
        stream.until("answer to q")
        path.unlink()

        assert list(stream.news()) == []
    wait_until_no_thread_is_left()


def test_a_quiet_stream_is_kept_from_being_taken_for_dead(
    ask: Asker, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_live, "_HEARTBEAT", 0.0)
    with Stream(ask, events_address(ask, recorder.session_id)) as stream:
        assert "nothing new" in next(event["comment"] for event in stream.events() if "comment" in event)


def test_an_application_without_a_socket_streams_too(client: FlaskClient, home: Path, site: Any) -> None:
    put(home, [*seed_session("q"), message("assistant", "half \ud800")])

    answer = client.get(f"/s/{ID}/events")
    pieces = iter(answer.response)
    first = next(pieces)
    second = next(pieces)
    answer.close()

    assert first == b"retry: 1000\n\n"
    assert b"answer to q" in second
    assert "half" in second.decode()
    assert threads() == []


def test_a_session_from_which_nothing_can_be_made_yet_is_waited_for(ask: Asker, home: Path) -> None:
    path = put(home, [message("assistant", "before its meta")])

    with Stream(ask, f"/s/{ID}/events") as stream:
        with path.open("ab") as file:
            file.write(encode([meta(), *prompt("at last")]))
        news = stream.until("at last")

    assert news[-1]["data"]["turn"] == "t1"


def test_a_line_that_cannot_be_read_is_shown_in_its_place(ask: Asker, home: Path) -> None:
    path = put(home, encode(seed_session("q")) + b"{broken\n")
    page = ask(f"/s/{ID}").text
    address = events_address(ask, ID)

    with Stream(ask, address) as stream:
        with path.open("ab") as file:
            file.write(b"{worse\n" + encode([message("assistant", "more")]))
        news = json.dumps(stream.until("more"))

    assert 'class="item unreadable" id="L7"' in page
    assert "after=7&" in address
    assert 'id=\\"L8\\"' in news
    assert 'id=\\"L9\\"' in news
    assert 'id=\\"L7\\"' not in news


def test_half_a_line_is_not_shown_before_it_is_whole(ask: Asker, home: Path) -> None:
    line = encode([message("assistant", "the whole of it")])
    path = put(home, encode(seed_session("q")) + line[:40])
    page = ask(f"/s/{ID}").text
    address = events_address(ask, ID)

    with Stream(ask, address) as stream:
        with path.open("ab") as file:
            file.write(line[40:])
        news = stream.until("the whole of it")

    assert "unreadable" not in page
    assert 'id="L7"' in news[-1]["data"]["items"][0]


def test_what_a_fork_inherits_is_before_its_own_lines(ask: Asker, home: Path) -> None:
    base = session_id(1)
    put_session(home, 1, encode(seed_session("inherited", session_id=base), first_ordinal=0))
    fork = meta(history_base={"thread_id": base, "end_ordinal_exclusive": 6}, history_mode="paginated")
    path = put(home, encode([fork, *prompt("own")], first_ordinal=6))

    page = ask(f"/s/{ID}").text
    with Stream(ask, events_address(ask, ID)) as stream:
        with path.open("ab") as file:
            file.write(encode([message("assistant", "more")], first_ordinal=9))
        news = stream.until("more")

    assert "inherited" in page
    assert news[-1]["data"]["turn"] == "t2"


def test_a_base_that_is_missing_is_said(ask: Asker, home: Path) -> None:
    fork = meta(history_base={"thread_id": session_id(5), "end_ordinal_exclusive": 6}, history_mode="paginated")
    put(home, [fork, *prompt("own")])

    assert f"goes on from {session_id(5)}" in ask(f"/s/{ID}").text


def test_only_the_last_page_of_a_long_session_grows(ask: Asker, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollout.web._parts.ITEMS_MAX", 3)
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
    address = events_address(ask, ID, "?page=last")
    with Stream(ask, address) as stream:
        with path.open("ab") as file:
            file.write(encode([output("answers late"), message("assistant", "more")]))
        news = stream.until("more")

    assert "data-events" not in first
    assert "to what is new" in first
    assert "to what is new" not in last
    assert "answers late" not in json.dumps(news)
    assert [event["data"]["turn"] for event in news] == ["t2"]


def test_a_session_that_nobody_writes_to_is_quiet(ask: Asker, home: Path) -> None:
    path = put(home, seed_session("q"))
    os.utime(path, (OLD, OLD))

    page = ask(f"/s/{ID}").text

    assert "data-events" not in page
    assert 'id="live"' not in page


def test_a_reader_that_does_not_read_is_given_up(
    home: Path, viewer: Viewer, ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollout.web._connections._SEND_TIMEOUT", 0.3)
    put(home, [*seed_session("q"), *(message("assistant", f"{n} " + "x" * 20_000) for n in range(3000))])

    stream = Stream(ask, f"/s/{ID}/events")
    end = time.monotonic() + LIMIT
    while threads() and time.monotonic() < end:
        time.sleep(0.05)

    assert threads() == []
    stream.close()
