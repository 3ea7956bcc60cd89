from __future__ import annotations

import json
from pathlib import Path

import pytest

from rollout import AmbiguousSessionError, Recorder, SessionNotFoundError
from rollout.store import delete, find, rename_session, session_names
from tests.rollouts import ID, put, seed_session
from tests.store.deaths import deaths

OTHER = "01a1fbb5-7abd-7c53-8766-f128212a613c"


@pytest.fixture
def path(home: Path) -> Path:
    return put(home, seed_session("one"))


@pytest.fixture
def other(home: Path) -> Path:
    return put(home, seed_session("two", session_id=OTHER), session_id=OTHER, timestamp="2026-11-21T02-00-00")


def rows(home: Path) -> list[str]:
    return (home / "session_index.jsonl").read_text().splitlines()


def test_a_name_is_stored_in_the_format_of_codex(home: Path, path: Path) -> None:
    assert rename_session(path, " Parser bug ") == ID

    (row,) = map(json.loads, rows(home))
    assert list(row) == ["id", "thread_name", "updated_at"]
    assert (row["id"], row["thread_name"]) == (ID, "Parser bug")
    assert (home / "session_index.jsonl").stat().st_mode & 0o777 == 0o600
    assert session_names() == {ID: "Parser bug"}


def test_the_last_name_of_a_session_is_its_name(home: Path, path: Path, other: Path) -> None:
    rename_session(path, "first")
    rename_session(other, "other")
    rename_session(path, "second")

    assert list(session_names(home=home).items()) == [(OTHER, "other"), (ID, "second")]
    assert find("second") == path
    with pytest.raises(SessionNotFoundError):
        find("first")


def test_a_session_is_named_while_a_recorder_has_it_open(recorder: Recorder) -> None:
    rename_session(recorder.session_id, "live")
    recorder.user_message("and on")

    assert find("live") == recorder.path


def test_unreadable_lines_are_ignored_and_kept(home: Path, path: Path) -> None:
    index = home / "session_index.jsonl"
    bad = b'garbage\n[1]\n{"id": 3, "thread_name": "x"}\n\n{"id": "x", "thread_name": " "}\n{"id":"torn'
    index.write_bytes(bad)

    rename_session(path, "named")

    assert index.read_bytes().startswith(bad + b"\n{")
    assert session_names() == {ID: "named"}


def test_removing_a_name_removes_all_lines_of_the_session_and_no_others(home: Path, path: Path, other: Path) -> None:
    for name in ("a", "b"):
        rename_session(path, name)
        rename_session(other, name)
    with (home / "session_index.jsonl").open("a") as file:
        file.write("garbage\n")

    rename_session(path, None)
    rename_session(path, None)

    assert session_names() == {OTHER: "b"}
    assert rows(home)[-1] == "garbage"
    assert len(rows(home)) == 3


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "a\x1b[31m", "nul\0"])
def test_an_empty_name_and_one_with_control_characters_are_refused(home: Path, path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is not a valid name"):
        rename_session(path, name)

    assert session_names() == {}


def test_sessions_are_found_by_id_prefix_name_path_and_number(path: Path, other: Path) -> None:
    rename_session(path, "Parser bug")

    assert find(ID) == path
    assert find(str(path)) == path
    assert find("Parser bug") == path
    assert (find("@last"), find("@1"), find("@2")) == (other, other, path)
    for missing in ("@3", "@999999999", "@0", "@x", "no such name", "parser bug"):
        with pytest.raises(SessionNotFoundError):
            find(missing)


def test_a_name_of_two_sessions_is_ambiguous(path: Path, other: Path) -> None:
    rename_session(path, "same")
    rename_session(other, "same")

    with pytest.raises(AmbiguousSessionError, match="matches 2 sessions"):
        find("same")

    delete(other)
    assert find("same") == path


def test_a_name_for_a_missing_session_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.jsonl").write_text("{}")

    for reference in (tmp_path / "notes.jsonl", tmp_path / f"rollout-2026-11-21T01-25-37-{ID}.jsonl", ID):
        with pytest.raises(SessionNotFoundError):
            rename_session(reference, "x")

    assert not home.exists()


def test_a_kill_while_names_are_rewritten_keeps_all_other_names(home: Path, path: Path, other: Path) -> None:
    rename_session(path, "mine")
    rename_session(other, "other")
    count = 0

    for _ in deaths(lambda: rename_session(path, None)):
        count += 1
        assert session_names()[OTHER] == "other"
        assert session_names().get(ID) in ("mine", None)
        if ID not in session_names():
            rename_session(path, "mine")

    assert count >= 4
    assert session_names() == {OTHER: "other"}


def test_a_kill_while_a_name_is_added_leaves_the_old_or_the_new_one(path: Path) -> None:
    rename_session(path, "old")

    for number in deaths(lambda: rename_session(path, "new")):
        assert session_names()[ID] in ("old", "new"), number

    assert session_names() == {ID: "new"}
