from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from rollout import SessionInfo
from rollout.home import walk
from rollout.search import Filters, index_path, indexed_sessions, indexed_stats, search, update_index
from rollout.stats import session_stats
from rollout.store import archive, delete
from tests.rollouts import Line, bare_session, encode, event, meta, prompt, seed_session
from tests.search.homes import (
    OLD,
    USED,
    append,
    lines_at,
    many,
    put_session,
    put_used,
    session_id,
    settle,
    timestamp,
)
from tests.zstd import compress


def ids(**options: Any) -> list[int]:
    return [int(session.session_id[-12:], 16) for session in indexed_sessions(**options)]


@pytest.fixture(params=["files", "index"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(USED + seconds, timezone.utc)


def start_of(number: int) -> datetime:
    """
    Return the time in the name of a session's file.
    """
    return datetime.strptime(timestamp(number), "%Y-%m-%dT%H-%M-%S").astimezone()


def one(number: int, *lines: Line) -> list[Line]:
    return [*seed_session("common start", session_id=session_id(number)), *lines]


def used(home: Path, count: int) -> None:
    """
    Write sessions, each with its last line one second after that of the one before.
    """
    for number in range(count):
        put_used(home, number, number, one(number))


def test_sessions_are_sorted_by_last_use_or_by_beginning(home: Path, way: str) -> None:
    used(home, 4)
    put_used(home, 1, 100, one(1))
    os.utime(next(home.rglob(f"*{session_id(0)}*")), (USED + 500, USED + 500))
    if way == "index":
        update_index()

    assert ids() == [1, 3, 2, 0]
    assert ids(order="created") == [3, 2, 1, 0]


def test_the_last_use_is_the_time_of_the_last_line_that_has_one(home: Path, way: str) -> None:
    path = put_used(home, 1, 5, one(1))
    untimed = encode([event("token_count")]).replace(b'"timestamp":"2', b'"timestamp":"x')
    path.write_bytes(path.read_bytes() + untimed + b'{"torn')
    os.utime(path, (USED + 500, USED + 500))
    if way == "index":
        update_index()

    (session,) = indexed_sessions()

    assert (session.updated_at, session.is_updated_by_file) == (at(5), False)


def test_a_session_was_not_used_before_its_start(home: Path, way: str) -> None:
    fork = meta(session_id(1), timestamp="2026-11-24T00:00:00.000Z", forked_from_id=session_id(2))
    path = put_session(home, 1, lines_at(0, [fork, *prompt("copied")]))
    os.utime(path, (USED + 10**6, USED + 10**6))
    if way == "index":
        update_index()

    (session,) = indexed_sessions()

    assert (session.updated_at, session.is_updated_by_file) == (datetime(2026, 11, 24, tzinfo=timezone.utc), False)


def test_a_session_without_a_time_was_used_when_its_file_was_changed(home: Path, way: str) -> None:
    lines = [meta(session_id(1), timestamp=None), *prompt("one")]
    path = put_session(home, 1, encode(lines).replace(b'"timestamp":"2', b'"timestamp":"x'))
    os.utime(path, (USED + 7, USED + 7))
    if way == "index":
        update_index()

    (session,) = indexed_sessions(filters=Filters(since=at(7)))

    assert (session.updated_at, session.is_updated_by_file) == (at(7), True)
    assert ids(filters=Filters(since=at(8))) == []


def test_sessions_with_the_same_time_are_sorted_by_descending_id(home: Path, way: str) -> None:
    # The last is a session that was reverted: its file's own id, behind the session's, is what counts.
    suffixes = [session_id(5), session_id(7), f"{session_id(9)}_{session_id(6)}"]
    folder = home / "sessions" / "2026" / "11" / "01"
    folder.mkdir(parents=True)
    for suffix in suffixes:
        path = folder / f"rollout-{timestamp(1)}-{suffix}.jsonl"
        path.write_bytes(encode(seed_session("one")))
        os.utime(path, (OLD, OLD))
    if way == "index":
        update_index()

    assert ids(order="created") == [7, 9, 5]
    assert ids() == [7, 9, 5]


def test_an_indexed_session_has_all_attributes(home: Path) -> None:
    lines = [meta(session_id(1), git={"branch": "main"}), *prompt("first"), *prompt("second")]
    path = put_used(home, 1, 1, lines)
    update_index()

    (session,) = indexed_sessions()

    assert session == SessionInfo(
        path=path,
        session_id=session_id(1),
        timestamp=timestamp(1),
        updated_at=at(1),
        size=path.stat().st_size,
        facts=session.facts,
        preview="first",
        turns=2,
        tokens=None,
        problem=None,
        is_archived=False,
    )
    assert (session.facts.cwd, session.facts.branch, session.facts.preview) == ("/home/dev/demo", "main", "first")


def test_sessions_are_filtered(home: Path, way: str) -> None:
    used(home, 4)
    put_used(home, 9, 9, [meta(session_id(9), cwd="/srv/app"), ("turn_context", {"model": "gpt-5"})])
    put_session(home, 8, bare_session("old"))
    archive(session_id(2))
    if way == "index":
        update_index()

    assert ids() == [9, 3, 1, 0, 8]
    assert ids(filters=Filters()) == [9, 3, 2, 1, 0, 8]
    assert ids(filters=Filters(archived=True)) == [2]
    assert ids(filters=Filters(cwd="/srv")) == [9]
    assert ids(filters=Filters(model="gpt-5")) == [9]
    assert ids(filters=Filters(branch="master", archived=False)) == [3, 1, 0, 8]
    assert ids(filters=Filters(since=at(3), until=start_of(8))) == [3]
    assert ids(filters=Filters(since=at(3))) == [9, 3]
    assert ids(filters=Filters(since=at(3) + timedelta(milliseconds=1))) == [9]
    assert ids(filters=Filters(until=start_of(3))) == [3, 2, 1, 0]
    assert ids(filters=Filters(until=start_of(3) - timedelta(seconds=1))) == [2, 1, 0]


def test_a_file_that_has_not_changed_since_a_time_is_not_listed(home: Path, way: str) -> None:
    path = put_used(home, 1, 10, one(1))
    os.utime(path, (USED + 5, USED + 5))
    if way == "index":
        update_index()

    assert ids(filters=Filters(since=at(6))) == []
    assert ids(filters=Filters(since=at(5))) == [1]


@pytest.mark.parametrize("suffix", ["", ".zst"])
def test_a_session_that_lies_live_and_archived_is_listed_once_with_the_live_path(
    home: Path, way: str, suffix: str
) -> None:
    live = put_used(home, 1, 1, one(1))
    data = live.read_bytes()
    put_session(home, 1, compress(data) if suffix else data, folder=home / "archived_sessions", suffix=suffix)
    if way == "index":
        update_index()

    for order in ("created", "updated"):
        sessions = list(indexed_sessions(filters=Filters(), order=order))
        assert [(session.path, session.is_archived) for session in sessions] == [(live, False)]
    assert ids(filters=Filters(archived=True)) == []
    assert {hit.path for hit in search("common")} == {live}


def test_a_title_is_one_line_with_and_without_an_index(home: Path, way: str) -> None:
    put_used(home, 1, 1, [meta(session_id(1)), *prompt("  fix\n\tthe " + "long " * 200)])
    if way == "index":
        update_index()

    (session,) = indexed_sessions()

    assert session.title == f"fix the {'long ' * 22}l…"
    assert session.preview == ("fix\n\tthe " + "long " * 200)[:500]


@pytest.mark.parametrize("text", ["a\0b", "an \x1b[31merror\x1b[0m"])
def test_a_preview_of_any_characters_is_the_same_with_and_without_an_index(home: Path, text: str) -> None:
    put_used(home, 1, 1, [meta(session_id(1)), *prompt(text)])
    (by_file,) = indexed_sessions()
    update_index()
    (by_index,) = indexed_sessions()

    assert (by_index.preview, by_index.title) == (by_file.preview, by_file.title)


def test_sessions_that_changed_after_the_update_are_current(home: Path) -> None:
    used(home, 3)
    update_index()
    grown = next(home.rglob(f"*{session_id(0)}*"))
    append(grown, lines_at(50, [*prompt("more"), ("turn_context", {"model": "gpt-6"})]))
    os.utime(grown, (USED + 50, USED + 50))
    delete(session_id(1))
    moved = archive(session_id(2))
    put_used(home, 7, 7, one(7))

    sessions = list(indexed_sessions(filters=Filters()))

    assert [int(session.session_id[-1]) for session in sessions] == [0, 7, 2]
    assert [session.turns is None for session in sessions] == [True, True, False]
    assert [session.path for session in sessions if session.is_archived] == [moved]
    assert sessions[0].size == grown.stat().st_size
    assert ids(filters=Filters(model="gpt-6")) == [0]
    assert set(indexed_stats()) == {moved}


def test_indexed_statistics_equal_counted_ones(home: Path) -> None:
    many(home, 5)
    assert indexed_stats() == {}
    update_index()

    stats = indexed_stats()

    assert len(stats) == 5
    assert all(stats[path] == session_stats(path) for path in stats)
    grown = next(iter(stats))
    with grown.open("ab") as file:
        file.write(encode(prompt("more")))
    update_index()
    assert indexed_stats()[grown] == session_stats(grown)


def test_a_session_that_is_deleted_while_sessions_are_listed_is_left_out(home: Path, way: str) -> None:
    many(home, 3)
    if way == "index":
        update_index()
        for path in home.rglob("rollout-*"):
            with path.open("ab") as file:
                file.write(encode(prompt("more")))
            os.utime(path, (OLD, OLD))

    sessions = indexed_sessions(order="created")
    first = next(sessions)
    for path in home.rglob("rollout-*"):
        path.unlink()

    assert first.session_id == session_id(2)
    assert list(sessions) == []


def test_a_session_that_is_deleted_while_folders_are_read_is_left_out(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(home, 2)

    def late(home: Path, *, archived: bool | None) -> Any:
        for name in walk(home, archived=archived):
            if name.session_id == session_id(0):
                name.path.unlink()
            yield name

    monkeypatch.setattr("rollout.search._catalog.walk", late)

    assert ids() == [1]


def test_sessions_missing_in_a_damaged_index_come_from_the_files(home: Path) -> None:
    many(home, 450)
    settle(home)
    update_index()

    sessions = indexed_sessions(order="created")
    first = [next(sessions).turns is None for _ in range(100)]
    data = bytearray(index_path().read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    index_path().write_bytes(bytes(data))
    rest = list(sessions)

    assert not any(first)
    assert rest[-1].turns is None
    assert [session.session_id for session in rest] == [session_id(number) for number in reversed(range(350))]
