from __future__ import annotations

import os
import shutil
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollout import SessionInfo
from rollout._text import plain_text
from rollout.interpret import SessionFacts
from rollout.search import Filters, delete_index, indexed_sessions, search, update_index
from rollout.search._scripts import has_unspaced
from rollout.store import archive, compress
from tests.builders import command as call
from tests.builders import command_output as output
from tests.rollouts import Line, bare_session, encode, event, message, meta, prompt, surroundings
from tests.search.homes import USED, found, lines_at, put_session, session_id

WORDS = ["alpha", "beta", "Gamma", "delta-2", "naïve", "cafe\u0301", "日本語", "🙂", "foo_bar", "x", "\\n", "\t", "\0"]
WORDS += ["x日本", "語x", "ที่นี่", "서버를", "ｶﾞ。"]
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
            # A match covers whole words, in scripts that have words.
            around = hit.text[max(hit.start + begin - 1, 0) : hit.start + begin]
            assert has_unspaced(around + in_text[0]) or not (around.isalnum() and in_text[0].isalnum())


# More than is read of a file that is not read whole, from either end.
FILLING = [message("assistant", "y" * 200)] * 450


def _model(name: str) -> Line:
    return "turn_context", {"model": name}


@st.composite
def head(draw: Any) -> list[Line]:
    """
    The first lines of a session, which contain all of its facts except for the last model.
    """
    cwd = draw(st.sampled_from(["/a", "/a/b", "/c"]))
    fields: dict[str, Any] = {
        "cwd": draw(st.sampled_from([cwd, cwd, None])),
        "git": draw(st.sampled_from([None, {"branch": "main", "repository_url": "git@host:me/tool.git"}])),
        "source": draw(st.sampled_from(["cli", "exec", {"subagent": "review"}])),
        "timestamp": draw(st.sampled_from(["2026-11-21T01:25:37.094Z"] * 3 + [None])),
    }
    began = draw(st.sampled_from([[], [_model("one")], [event("task_started", turn_id="t")]]))
    asked = draw(st.sampled_from([[], prompt("ask for this\nand that"), [message("user", "z" * 600)]]))
    return [meta(**fields), surroundings(cwd), *began, *asked]


@st.composite
def timed_session(draw: Any) -> tuple[bytes, float]:
    """
    The bytes of a session, and the time of its last line, in seconds after `USED`.
    """
    if draw(st.integers(0, 5)) == 0:
        return bare_session(*draw(st.lists(text, max_size=3))), 0
    seconds = draw(st.integers(0, 9))
    rest: list[list[Line]] = draw(
        st.lists(line() | st.sampled_from([FILLING, [_model("one")], [_model("two")], prompt("ask again")]), max_size=4)
    )
    data = lines_at(seconds, draw(head()))
    for lines in rest:
        seconds += draw(st.sampled_from([0, 0.001, 1, 30]))
        data += lines_at(seconds, lines)
    # The first line cut, the last line torn, a last line without a time.
    data = data[draw(st.sampled_from([0, 0, 0, 0, 30])) :]
    data = data[: len(data) - draw(st.sampled_from([0, 0, 0, 1, 5]))]
    untimed = b'\n{"timestamp":"none","type":"event_msg","payload":{"type":"token_count"}}\n'
    return data + draw(st.sampled_from([b"", b"", b"", untimed, b"\n{}", b"\n\n"])), seconds


@st.composite
def timed_filters(draw: Any) -> Filters:
    """
    Conditions on sessions of any kind, and on the time.
    """
    wanted = draw(
        st.sampled_from(
            [
                *[
                    Filters(),
                    Filters(cwd="/a"),
                    Filters(branch="main"),
                    Filters(repository="me/tool"),
                    Filters(model="one"),
                ],
                *[Filters(model="two", cwd="/c"), Filters(source="subagent"), Filters(source="cli", branch="main")],
            ]
        )
    )
    since = draw(st.none() | st.integers(0, 60).map(lambda at: datetime.fromtimestamp(USED + at, timezone.utc)))
    until = draw(st.none() | st.integers(0, 3).map(lambda hour: datetime(2026, 11, 1, hour).astimezone()))
    return attrs.evolve(wanted, since=since, until=until, archived=draw(st.sampled_from([None, None, False, True])))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sessions=st.lists(
        st.tuples(
            timed_session(),
            st.sampled_from([1, 1, 0.5, 0]),
            st.sampled_from([0, 0, 0.5, 100]),
            st.sampled_from(["", "", "", "archive", "compress", "both"]),
        ),
        max_size=4,
    ),
    wanted=st.lists(timed_filters(), min_size=1, max_size=4),
)
def test_sessions_are_listed_equally_without_an_index_with_a_current_one_and_with_a_stale_one(
    sessions: list[tuple[tuple[bytes, float], float, float, str]], wanted: list[Filters], tmp_path: Path
) -> None:
    home = Path(tempfile.mkdtemp(dir=tmp_path))
    try:
        for number, ((data, _), share, _, _) in enumerate(sessions):
            if share:
                put_session(home, number, data[: int(len(data) * share)])
        update_index(home=home)
        for number, ((data, last), share, later, change) in enumerate(sessions):
            # The file was not changed before its last line.
            path = _complete(home, number, data, share, USED + last + later)
            if change == "both":
                put_session(home, number, path.read_bytes(), folder=home / "archived_sessions")
            else:
                _change(home, number, change)
        stale = _listed(home, wanted)
        update_index(home=home)
        current = _listed(home, wanted)
        delete_index(home=home)
        bare = _listed(home, wanted)
        for known in (stale, current):
            assert [[session.path for session in each] for each in known] == [
                [session.path for session in each] for each in bare
            ]
        for has_index, without in zip((*stale, *current), (*bare, *bare), strict=True):
            for one, other in zip(has_index, without, strict=True):
                _assert_same(one, other)
        assert all(session.turns is not None for each in current for session in each)
    finally:
        shutil.rmtree(home)


def _complete(home: Path, number: int, data: bytes, share: float, changed_at: float) -> Path:
    if not share:
        path = put_session(home, number, data)
    else:
        (path,) = home.rglob(f"rollout-*{session_id(number)}.jsonl")
        with path.open("ab") as file:
            file.write(data[path.stat().st_size :])
    os.utime(path, ns=(round(changed_at * 1000) * 10**6,) * 2)
    return path


def _listed(home: Path, wanted: list[Filters]) -> list[list[SessionInfo]]:
    return [
        list(indexed_sessions(home=home, filters=filters, order=order))
        for filters in wanted
        for order in ("updated", "created")
    ]


CERTAIN = ("path", "session_id", "timestamp", "updated_at", "is_updated_by_file", "size", "is_archived")


def _assert_same(has_index: SessionInfo, without: SessionInfo) -> None:
    for name in CERTAIN:
        assert getattr(has_index, name) == getattr(without, name), name
    assert has_index.facts.preview == has_index.preview
    assert without.facts.preview == without.preview
    for fact in attrs.fields(SessionFacts):
        known, other = (plain_text(getattr(each.facts, fact.name) or "") for each in (has_index, without))
        # What the lines that are read of a file do not tell is None.
        assert other in ("", known) or (not known and has_index.turns is None), fact.name
