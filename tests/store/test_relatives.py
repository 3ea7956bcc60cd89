from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from rollout import Recorder, SessionBusyError, SessionNotFoundError, SessionStateError, find_session, load_history
from rollout.store import (
    agents_of,
    archive,
    check_deletable,
    compress,
    delete,
    deleted_sessions,
    find,
    rename_session,
    restore,
    unarchive,
)
from rollout.store._relatives import _write_whole
from tests.rollouts import ID, encode, event, message, meta, paginated_session, put, seed_session

FORK, FORK_OF_FORK = "02b1fbb5-7abd-7c53-8766-f128212a613b", "03b1fbb5-7abd-7c53-8766-f128212a613b"
END = 9


def family(home: Path) -> tuple[Recorder, list[str]]:
    """
    Record a session with two sub-agents, one of them with a sub-agent.
    """
    with Recorder(home=home, cwd="/work") as rec:
        rec.user_message("parent")
        with rec.agent("one") as one:
            one.user_message("task one")
            with one.agent("nested") as nested:
                nested.user_message("task nested")
        with rec.agent("two") as two:
            two.user_message("task two")
        rec.agent_message("done")
    return rec, [one.session_id, nested.session_id, two.session_id]


def folders_of(home: Path) -> dict[str, str]:
    return {path.name[28:64]: path.relative_to(home).parts[0] for path in home.rglob("rollout-*")}


def referring(home: Path, fork_id: str, base_id: str, end: int = END, *, prompt: str, **options: Any) -> Path:
    fields = {"thread_id": base_id, "end_ordinal_exclusive": end, "end_byte_offset": 1}
    lines = [
        meta(fork_id, history_mode="paginated", forked_from_id=base_id, history_base=fields, cli_version="0.169.0"),
        event("task_started", turn_id="t", started_at=1),
        message("user", prompt),
        message("assistant", f"answer to {prompt}"),
    ]
    data = options.pop("data", encode(lines, first_ordinal=end))
    return put(home, data, session_id=fork_id, timestamp="2026-11-22T01-25-37", **options)


def prompts(session: str | Path) -> list[str | None]:
    return [turn.prompt for turn in load_history(session).turns]


def test_archive_and_unarchive_take_all_sub_agents_along(home: Path) -> None:
    rec, agents = family(home)

    archive(rec.session_id)
    assert set(folders_of(home).values()) == {"archived_sessions"}
    assert {name.session_id for name in agents_of(find(rec.session_id))} == set(agents)

    assert unarchive(rec.session_id) == rec.path
    assert folders_of(home) == dict.fromkeys([rec.session_id, *agents], "sessions")


def test_delete_and_restore_take_all_sub_agents_along(home: Path) -> None:
    rec, agents = family(home)

    assert len(delete(rec.session_id)) == 4
    assert len(deleted_sessions()) == 4
    assert restore(rec.session_id) == rec.path
    assert folders_of(home) == dict.fromkeys([rec.session_id, *agents], "sessions")

    delete(agents[0])
    assert [folders_of(home)[one] for one in agents] == ["deleted_sessions", "deleted_sessions", "sessions"]
    delete(rec.session_id, permanently=True)
    assert folders_of(home) == {}


def test_a_session_in_the_trash_is_deleted_permanently_with_its_sub_agents(home: Path) -> None:
    rec, _ = family(home)
    delete(rec.session_id)

    assert len(delete(rec.session_id, permanently=True)) == 4


def test_nothing_is_moved_while_a_sub_agent_is_recorded(home: Path) -> None:
    with Recorder(home=home, cwd="/work") as rec:
        rec.user_message("parent")
        agent = rec.agent("one")
        agent.user_message("task")
        agent.flush()
    with agent:
        for change in (archive, delete):
            with pytest.raises(SessionBusyError):
                change(rec.session_id)
    assert set(folders_of(home).values()) == {"sessions"}


def test_a_session_outside_of_a_home_has_no_sub_agents(tmp_path: Path) -> None:
    assert agents_of(tmp_path / "notes.jsonl") == []


def test_sub_agents_of_a_file_that_was_just_removed_are_found(home: Path) -> None:
    rec, agents = family(home)
    rec.path.unlink()

    assert len(agents_of(rec.path)) == len(agents)


def test_a_sub_agent_that_cannot_be_read_stays(home: Path) -> None:
    rec, agents = family(home)
    find_session(agents[2]).write_bytes(b"no line\n")

    assert len(delete(rec.session_id)) == 3


def test_a_session_that_forks_need_is_not_deleted_and_the_forks_are_named(home: Path) -> None:
    path = put(home, encode(paginated_session("a", "b"), first_ordinal=0))
    referring(home, FORK, ID, prompt="c")
    referring(home, FORK_OF_FORK, FORK, 13, prompt="d")
    rename_session(FORK, "my fork")

    for attempt in (delete, check_deletable):
        with pytest.raises(SessionStateError, match=rf"forks need this file: {FORK} \(my fork\)\. .*--force"):
            attempt(ID)

    assert path.exists()
    assert check_deletable(ID, force=True) == (path,)


@pytest.mark.parametrize("is_compressed", [False, True])
def test_with_force_the_forks_get_the_lines_that_they_need(home: Path, is_compressed: bool) -> None:
    put(home, encode(paginated_session("a", "b"), first_ordinal=0))
    fork = referring(home, FORK, ID, prompt="c")
    child = referring(home, FORK_OF_FORK, FORK, 13, prompt="d")
    before = [prompts(FORK), prompts(FORK_OF_FORK)]
    own = fork.read_bytes().split(b"\n", 1)[1]
    if is_compressed:
        compress(FORK, min_age=0)

    delete(ID, force=True, permanently=True)

    assert [prompts(FORK), prompts(FORK_OF_FORK)] == before == [["a", "c"], ["a", "c", "d"]]
    assert [*home.rglob("*.zst")] == []
    assert fork.read_bytes().endswith(own)
    history = load_history(child)
    assert history.inherited == ()
    assert "history_base" not in history.lines[0].payload
    ordinals = [line.ordinal or 0 for line in history.lines]
    assert ordinals == sorted(set(ordinals))


def test_a_fork_that_is_deleted_itself_needs_nothing(home: Path) -> None:
    put(home, encode(paginated_session("a"), first_ordinal=0))
    referring(home, FORK, ID, prompt="c")

    delete(FORK)
    delete(ID)

    assert len(deleted_sessions()) == 2


def test_a_reverted_session_does_not_need_itself(home: Path) -> None:
    put(home, encode(paginated_session("a"), first_ordinal=0))
    base = {"thread_id": ID, "end_ordinal_exclusive": 3, "end_byte_offset": 1}
    data = encode([meta(history_mode="paginated", history_base=base)], first_ordinal=3)
    put(home, data, session_id=f"{ID}_{FORK}", timestamp="2026-11-23T01-25-37")

    assert len(delete(ID)) == 2


def test_with_force_a_fork_that_a_writer_has_open_stays_and_so_does_the_session(home: Path) -> None:
    path = put(home, encode(paginated_session("a"), first_ordinal=0))
    fork = referring(home, FORK, ID, prompt="c")
    content = fork.read_bytes()

    with Recorder.resume(FORK), pytest.raises(SessionBusyError):
        delete(ID, force=True)

    assert path.exists()
    assert fork.read_bytes() == content


def test_lines_before_the_meta_of_a_fork_are_kept(home: Path) -> None:
    put(home, encode(paginated_session("a"), first_ordinal=0))
    fork = referring(home, FORK, ID, prompt="c")
    content = fork.read_bytes()
    fork.write_bytes(b"no line\n" + content)

    delete(ID, force=True)

    assert fork.read_bytes().startswith(b"no line\n")
    assert prompts(FORK) == ["a", "c"]


def test_codex_reads_the_turns_of_the_fork_again(home: Path) -> None:
    put(home, encode(paginated_session("a"), first_ordinal=0))
    referring(home, FORK, ID, prompt="c")
    tables = ("thread_items", "thread_turns", "thread_history_projection_state")
    with closing(sqlite3.connect(home / "thread_history_1.sqlite")) as database:
        for table in tables:
            database.execute(f"CREATE TABLE {table} (thread_id TEXT)")
            database.executemany(f"INSERT INTO {table} VALUES (?)", [(FORK,), (ID,)])  # noqa: S608
        database.commit()
        (home / "thread_history_2.sqlite").write_bytes(b"no database")

        delete(ID, force=True)

        for table in tables:
            rows = database.execute(f"SELECT thread_id FROM {table}").fetchall()  # noqa: S608
            assert rows == [(ID,)]


def test_a_session_of_an_impossible_day_is_deleted(home: Path) -> None:
    put(home, seed_session("one"), timestamp="2026-11-31T01-25-37")

    assert delete(ID) == (ANY,)


def test_a_missing_session_is_not_deletable(home: Path) -> None:
    with pytest.raises(SessionNotFoundError):
        check_deletable(ID)


def test_a_file_without_a_meta_is_copied_as_it_is(home: Path) -> None:
    target = io.BytesIO()

    _write_whole(io.BufferedReader(io.BytesIO(b"garbage\n{}\n")), target, home)

    assert target.getvalue() == b"garbage\n{}\n"
