from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from rollout import SessionInfo
from rollout.home import walk
from rollout.search import Filters, index_path, indexed_sessions, indexed_stats, update_index
from rollout.stats import session_stats
from rollout.store import archive, delete
from tests.rollouts import bare_session, encode, meta, prompt, seed_session
from tests.search.homes import OLD, many, put_session, session_id, settle, timestamp


def ids(**options: Any) -> list[int]:
    return [int(session.session_id[-12:], 16) for session in indexed_sessions(**options)]


@pytest.fixture(params=["files", "index"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(OLD + seconds, timezone.utc)


def test_sessions_are_sorted_by_last_change_or_by_beginning(home: Path, way: str) -> None:
    many(home, 4)
    os.utime(next(home.rglob(f"*{session_id(1)}*")), (OLD + 100, OLD + 100))
    if way == "index":
        update_index()

    assert ids() == [1, 3, 2, 0]
    assert ids(order="created") == [3, 2, 1, 0]


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
    path = put_session(home, 1, [meta(session_id(1), git={"branch": "main"}), *prompt("first"), *prompt("second")])
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
        tokens=0,
        problem=None,
        is_archived=False,
    )
    assert (session.facts.cwd, session.facts.branch, session.facts.preview) == ("/home/dev/demo", "main", "first")


def test_sessions_are_filtered(home: Path, way: str) -> None:
    many(home, 4)
    put_session(home, 9, [meta(session_id(9), cwd="/srv/app"), ("turn_context", {"model": "gpt-5"})])
    put_session(home, 8, bare_session("old"))
    archive(session_id(2))
    if way == "index":
        update_index()

    assert ids() == [9, 8, 3, 1, 0]
    assert ids(filters=Filters()) == [9, 8, 3, 2, 1, 0]
    assert ids(filters=Filters(archived=True)) == [2]
    assert ids(filters=Filters(cwd="/srv")) == [9]
    assert ids(filters=Filters(model="gpt-5")) == [9]
    assert ids(filters=Filters(branch="master", archived=False)) == [8, 3, 1, 0]
    assert ids(filters=Filters(since=at(3), until=at(8))) == [8, 3]
    assert ids(filters=Filters(since=at(3) + timedelta(microseconds=1))) == [9, 8]


def test_sessions_that_changed_after_the_update_are_current(home: Path) -> None:
    many(home, 3)
    update_index()
    grown = next(home.rglob(f"*{session_id(0)}*"))
    with grown.open("ab") as file:
        file.write(encode([*prompt("more"), ("turn_context", {"model": "gpt-6"})]))
    os.utime(grown, (OLD + 50, OLD + 50))
    delete(session_id(1))
    moved = archive(session_id(2))
    put_session(home, 7, seed_session("new", session_id=session_id(7)))

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
