"""
Sessions to which lines are added after they were indexed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout import Recorder
from rollout.search import Filters, indexed_sessions, search, update_index
from rollout.search import _changes as changes_module
from rollout.search import _ingest as ingest_module
from tests.builders import command as call
from tests.builders import command_output as output
from tests.rollouts import answer, encode, event, message, meta, prompt, seed_session
from tests.search.homes import (
    append,
    changed_ids,
    found,
    index_content,
    many,
    open_index,
    put_session,
    rebuilt_content,
    session_id,
    settle,
    texts,
)


def test_a_live_recorder_is_found_as_soon_as_it_has_flushed(home: Path) -> None:
    many(home, 5)
    with Recorder(home=home, cwd=home) as recorder:
        for number in range(6):
            recorder.user_message(f"message {number}")
            recorder.agent_message(f"answer {number}")
            recorder.flush()
            if number % 2:
                update_index()
            if number > 3:
                settle(home)
                update_index()
            expected = {f"message {each}" for each in range(number + 1)}
            assert set(texts("message")) == expected
            assert found("message") == found("message", use_index=False)
            assert search("message", use_index=True).is_indexed is (number > 0)
        recorder.user_message("message last")
        recorder.flush()
        with open_index() as index:
            # Only the live session was compared.
            assert changes_module._is_unchanged(index)
        assert changed_ids(home) == [recorder.session_id]
        assert "message last" in texts("message")
    assert found("message") == found("message", use_index=False)
    update_index()
    assert found("message") == found("message", use_index=False)
    assert changed_ids(home) == []
    assert index_content() == rebuilt_content()


def test_a_message_with_an_echo_is_found_once_with_an_update_at_any_point(home: Path) -> None:
    lines = [
        meta(session_id(1)),
        *prompt("one"),
        *answer("two"),
        call("shell", "three"),
        output("four"),
        *prompt("one"),
    ]
    cuts = [len(encode(lines[:number])) for number in range(len(lines) + 1)]
    data = encode(lines)
    expected = None

    for cut in (*cuts, cuts[2] + 20, cuts[4] + 20):
        path = put_session(home, 1, data[:cut])
        update_index(rebuild=True)
        with path.open("ab") as file:
            file.write(data[cut:])
        expected = expected or found("one OR two OR three OR four", use_index=False)
        assert sorted(text for _, _, text in expected) == ["four", "one", "one", "three", "two"]
        assert found("one OR two OR three OR four") == expected
        assert [hit.text for hit in search("four", filters=Filters(tool="shell"))] == ["four"]
        update_index()
        assert found("one OR two OR three OR four") == expected
        assert [hit.text for hit in search("four", filters=Filters(tool="shell"))] == ["four"]
        assert index_content() == rebuilt_content()


def test_a_repeated_message_is_found_twice_even_if_only_some_lines_are_read(home: Path) -> None:
    between = [event("token_count", number=number) for number in range(40)]
    put_session(home, 1, [meta(session_id(1)), *prompt("go"), *between, *prompt("go"), *answer("on")])

    assert len(texts("go")) == 2
    update_index()
    assert len(texts("go")) == 2


def test_the_state_of_a_session_contains_a_bounded_number_of_messages(home: Path) -> None:
    path = put_session(home, 1, [meta(session_id(1)), *(message("user", f"n{number}") for number in range(500))])

    update_index()

    with open_index() as index:
        state = index.state(1)
    assert state is not None
    assert str(ingest_module.decode_state(state)).count(": 4") < 80
    append(path, [event("user_message", message="n499")])
    assert texts("n499") == ["n499"]


def test_an_incomplete_line_is_read_when_it_is_complete(home: Path) -> None:
    whole = encode([message("user", "torn apart")])
    path = put_session(home, 1, encode(seed_session("first")) + whole[:-20])
    update_index()
    assert "not JSON" in str(next(indexed_sessions()).problem)
    assert texts("torn") == []

    append(path, whole[-20:-1])
    assert texts("torn") == ["torn apart"]
    update_index()
    assert next(indexed_sessions()).problem is None
    append(path, b"\n" + encode(prompt("second")))

    assert texts("torn OR second") == ["second", "torn apart"]
    update_index()
    assert texts("torn OR second") == ["second", "torn apart"]
    assert index_content() == rebuilt_content()


@pytest.mark.parametrize("more", [encode(prompt("glued")), b"x\n", b" \n", b"\r\n", b"  "])
def test_a_last_line_without_newline_may_become_longer(home: Path, more: bytes) -> None:
    path = put_session(home, 1, encode(seed_session("first"))[:-1])
    update_index()

    append(path, more)

    for _ in range(2):
        assert found("first OR glued") == found("first OR glued", use_index=False)
        append(path, b" \n" + encode(prompt("later")))
        assert found("first OR later") == found("first OR later", use_index=False)
        update_index()
        assert found("first OR later") == found("first OR later", use_index=False)
    assert index_content() == rebuilt_content()
