"""
Times of folders: they show which sessions must be compared with the index.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from rollout import AmbiguousSessionError
from rollout.search import _changes as changes_module
from rollout.search import update_index
from tests.rollouts import seed_session
from tests.search.homes import changed_ids, many, open_index, put_session, session_id, settle, texts


def test_if_no_folder_has_changed_only_live_sessions_are_compared(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(home, 30)
    (home / "thread-writer-locks").mkdir()
    for name in (".coordination.lock", f"{session_id(7)}.lock", f"{session_id(999)}.lock"):
        (home / "thread-writer-locks" / name).touch()
    update_index()
    settle(home)
    assert changed_ids(home) == []
    looked_at = []
    lstat = os.lstat

    with monkeypatch.context() as patched:
        patched.setattr(os, "lstat", lambda path: looked_at.append(str(path)) or lstat(path))
        assert changed_ids(home) == []

    assert looked_at
    assert [path for path in looked_at if path.endswith(".jsonl") and session_id(7) not in path] == []


def test_a_lock_named_like_several_sessions_is_ignored(home: Path) -> None:
    many(home, 3)
    (home / "thread-writer-locks").mkdir()
    (home / "thread-writer-locks" / "0.lock").touch()
    with pytest.raises(AmbiguousSessionError):
        next(changes_module.find_session("0", home=home).glob(""))
    assert list(changes_module._live_paths(home)) == []


def test_a_folder_that_changed_within_the_last_second_is_compared_again(
    home: Path, tick: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_module, "_TICK", tick)
    assert tick == 10**9
    many(home, 3)
    for folder, _, _ in os.walk(home):
        os.utime(folder)
    update_index()

    with open_index() as index:
        assert not changes_module._is_unchanged(index)
        settle(home)
        update_index()
        assert changes_module._is_unchanged(index)
        put_session(home, 4, seed_session("new"))
        assert not changes_module._is_unchanged(index)


def test_the_first_session_of_an_empty_month_or_year_is_found(home: Path) -> None:
    put_session(home, 1, seed_session("first"))
    (home / "sessions" / "2027" / "01").mkdir(parents=True)
    (home / "sessions" / "2028").mkdir(parents=True)
    for day in ("2027-01-05", "2028-02-01"):
        settle(home)
        update_index()
        assert changed_ids(home) == []
        put_session(home, int(day[:4]), seed_session(f"in {day[:4]}"), day=day)
        assert len(texts(day[:4])) == 2


def test_storing_the_times_of_folders_does_not_wait_for_a_writer(home: Path) -> None:
    many(home, 2)
    update_index()
    settle(home)
    with open_index() as index:
        index.database.execute("BEGIN IMMEDIATE")
        began = time.monotonic()

        assert changed_ids(home) == []

        assert time.monotonic() - began < 5
        assert not changes_module._is_unchanged(index)
