from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollout.search import Filters, search, update_index
from rollout.search._query import plain_text
from rollout.store import archive, compress
from tests.builders import command as call
from tests.builders import command_output as output
from tests.rollouts import Line, bare_session, encode, event, message, meta
from tests.search.homes import found, put_session, session_id

WORDS = ["alpha", "beta", "Gamma", "delta-2", "naïve", "cafe\u0301", "日本語", "🙂", "foo_bar", "x", "\\n", "\t", "\0"]
word = st.sampled_from(WORDS)
text = st.lists(word, min_size=1, max_size=6).map(" ".join)


@st.composite
def line(draw: Any) -> list[Line]:
    said = draw(text)
    kind = draw(st.sampled_from(["user", "agent", "both", "reasoning", "call", "output", "summary", "model", "novel"]))
    lines: dict[str, list[Line]] = {
        "user": [message("user", said)],
        "agent": [event("agent_message", message=said)],
        "both": [message("user", said), event("user_message", message=said)],
        "reasoning": [event("agent_reasoning", text=said)],
        "call": [("response_item", {**call("shell", "")[1], "arguments": said})],
        "output": [output(said, code=draw(st.integers(0, 1)))],
        "summary": [("compacted", {"message": said})],
        "model": [("turn_context", {"model": draw(st.sampled_from(["one", "two"]))})],
        "novel": [("novel", {"message": said})],
    }
    return lines[kind]


@st.composite
def session(draw: Any) -> bytes:
    if draw(st.integers(0, 5)) == 0:
        return bare_session(*draw(st.lists(text, max_size=3)))
    own = meta(cwd=draw(st.sampled_from(["/a", "/a/b", "/c"])), git={"branch": draw(st.sampled_from(["main", "dev"]))})
    data = encode([own, *(part for lines in draw(st.lists(line(), max_size=8)) for part in lines)])
    # Truncated, or with random bytes.
    data = data[: len(data) - draw(st.sampled_from([0, 0, 0, 1, 5, 40]))]
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(st.sampled_from([b""] * 6 + [b"\n", b"\n\n \n", b"\xff", b"{}"])) + data[at:]


@st.composite
def query(draw: Any) -> str:
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        part = draw(word | text.map(lambda value: f'"{value}"'))
        parts.append(draw(st.sampled_from(["", "", "", "-"])) + part + draw(st.sampled_from(["", "", "*"])))
        parts += draw(st.sampled_from([[], [], ["OR"]]))
    return " ".join([draw(st.sampled_from(["alpha", "beta", "x", "a*", "naive"])), *parts])


filters = st.sampled_from(
    [
        Filters(),
        Filters(),
        Filters(cwd="/a"),
        Filters(branch="main"),
        Filters(model="two"),
        Filters(kind="user"),
        Filters(tool="shell"),
        Filters(failed=True),
        Filters(archived=True),
        Filters(archived=False, kind="output"),
    ]
)


@settings(max_examples=settings.default.max_examples // 2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sessions=st.lists(
        st.tuples(session(), st.floats(0, 1), st.sampled_from(["", "", "archive", "compress"])), max_size=4
    ),
    queries=st.lists(st.tuples(query(), filters), min_size=1, max_size=5),
)
def test_a_search_finds_the_same_without_an_index_with_a_current_one_and_with_a_stale_one(
    sessions: list[tuple[bytes, float, str]], queries: list[tuple[str, Filters]], tmp_path: Path
) -> None:
    home = Path(tempfile.mkdtemp(dir=tmp_path))
    try:
        _grow(home, sessions)
        for text, wanted in queries:
            expected = found(text, home=home, filters=wanted, use_index=False)
            assert found(text, home=home, filters=wanted) == expected
            assert {path.name[28:64] for path in search(text, home=home, filters=wanted).sessions()} == {
                session for session, _, _ in expected
            }
            _look_at_snippets(home, text, wanted)
        update_index(home=home)
        for text, wanted in queries:
            assert found(text, home=home, filters=wanted) == found(text, home=home, filters=wanted, use_index=False)
            _look_at_snippets(home, text, wanted)
            assert search(text, home=home).scanned == 0
    finally:
        shutil.rmtree(home)


def _grow(home: Path, sessions: list[tuple[bytes, float, str]]) -> None:
    """
    Write a part of each session into the home, index it, and add the rest, or move the session.
    """
    paths = []
    for number, (data, share, _) in enumerate(sessions):
        paths.append(put_session(home, number, data[: int(len(data) * share)]))
        if share < 0.1:
            paths[-1].unlink()
    update_index(home=home)
    for number, (data, share, change) in enumerate(sessions):
        if share > 0.9:
            _change(home, number, change)
            continue
        size = paths[number].stat().st_size if paths[number].exists() else 0
        with paths[number].open("ab") as file:
            file.write(data[size:])
        os.utime(paths[number], (number + 10, number + 10))
        _change(home, number, change)


def _change(home: Path, number: int, change: str) -> None:
    if change == "archive":
        archive(session_id(number), home=home)
    elif change == "compress":
        compress(session_id(number), home=home, min_age=-(10**9))


def _look_at_snippets(home: Path, text: str, wanted: Filters) -> None:
    for hit in search(text, home=home, filters=wanted):
        assert hit.matches
        for begin, end in hit.matches:
            in_text = hit.text[hit.start + begin : hit.start + end]
            assert 0 <= begin < end <= len(hit.snippet)
            assert in_text.split() == hit.snippet[begin:end].split()
            assert any(character.isalnum() for character in plain_text(in_text))
            # A match covers whole words.
            around = hit.text[max(hit.start + begin - 1, 0) : hit.start + begin]
            assert not (around.isalnum() and in_text[0].isalnum())
