"""
Updates and searches at the same time as other writers of the index and of the files.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rollout.home._layout import make_folder
from rollout.search import (
    Index,
    IndexBusyError,
    Progress,
    delete_index,
    index_path,
    indexed_sessions,
    search,
    update_index,
)
from rollout.search import _changes as changes_module
from rollout.search import _update as update_module
from tests.rollouts import encode, prompt, seed_session
from tests.search.homes import (
    ROOT,
    UPDATE_PROGRAM,
    append,
    found,
    index_content,
    many,
    open_index,
    place_of,
    put_session,
    rebuilt_content,
    run_in_small_batches,
    session_id,
    settle,
    texts,
)


def test_an_update_during_another_raises_index_busy_error(home: Path) -> None:
    many(home, 10)
    make_folder(index_path().parent)
    errors = []

    def update(_: Progress) -> None:
        for work in (update_index, delete_index):
            with pytest.raises(IndexBusyError, match="locked by another process") as caught:
                work()
            errors.append(caught.value.path)

    update_index(progress=update)

    assert set(errors) == {index_path().with_name(f"{index_path().name}.lock")}
    assert index_content() == rebuilt_content()


def test_a_search_while_another_process_updates_finds_each_hit_once(home: Path) -> None:
    many(home, 150)
    update_index()
    for number in range(0, 150, 2):
        append(next(home.rglob(f"*{session_id(number)}*")), prompt("common end"))
    put_session(home, 999, seed_session("common"))
    expected = found("common", use_index=False)
    busy = rounds = 0

    # It prints an error if this process holds the lock.
    quiet = subprocess.DEVNULL
    with subprocess.Popen([sys.executable, "-c", UPDATE_PROGRAM], stdout=quiet, stderr=quiet, cwd=ROOT) as program:
        while program.poll() is None or not rounds:
            rounds += 1
            assert found("common") == expected
            try:
                update_index(rebuild=rounds == 2)
            except IndexBusyError:
                busy += 1

    assert program.returncode in (0, 1)
    assert found("common") == expected
    update_index()
    assert found("common") == expected
    assert index_content() == rebuilt_content()


def test_a_lock_file_that_is_removed_while_it_is_opened_is_opened_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_session(home, 1, seed_session("first"))
    update_index()
    flock, count = fcntl.flock, 0
    lock = index_path().with_name(f"{index_path().name}.lock")

    def late(fd: int, how: int) -> None:
        nonlocal count
        count += how != fcntl.LOCK_UN
        if count < 3:
            lock.unlink()
            if count == 2:
                lock.touch()
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    update_index()

    assert count == 3
    assert lock.exists()


def test_a_search_during_an_update_finds_each_hit_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(home, 60)
    update_index()
    for number in range(0, 60, 3):
        path = next(home.rglob(f"*{session_id(number)}*"))
        if number % 2:
            append(path, prompt("common end"))
        else:
            path.write_bytes(path.read_bytes().replace(b"common", b"common newer"))
    expected = found("common", use_index=False)
    seen = 0

    def look(_: Progress) -> None:
        nonlocal seen
        seen += 1
        assert found("common") == expected
        assert len(list(indexed_sessions())) == 60

    with run_in_small_batches(monkeypatch, 1):
        # The index of each search differs from the files when they are read.
        results = [search("common") for _ in range(2)]
        early = next(results[0])
        update_index(progress=look)
        late = [{place_of(hit) for hit in each} for each in results]

    assert seen == 20
    assert late[0] | {place_of(early)} == expected
    assert late[1] == expected
    assert found("common") == expected


def test_an_index_that_is_replaced_while_it_is_opened_is_opened_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(home, 2)
    update_index()
    opened_at, times = Index._open_file.__func__, 0  # type: ignore[attr-defined]

    def late(cls: type[Index], folder: Path, path: Path) -> Index | None:
        nonlocal times
        times += 1
        index: Index | None = None if times == 2 else opened_at(cls, folder, path)
        if times < 3:
            # A second file, so that it has another inode number.
            copy = path.with_name(f"copy{times}")
            copy.write_bytes(path.read_bytes())
            copy.replace(path)
        return index

    monkeypatch.setattr(Index, "_open_file", classmethod(late))
    with open_index() as index:
        assert len(list(index.rows())) == 2
    assert times == 3


def test_a_search_continues_after_its_index_is_deleted(home: Path) -> None:
    many(home, 20)
    update_index()
    expected = found("common")
    results = search("common")
    hits = [next(results)]

    for path in index_path().parent.iterdir():
        path.unlink()

    hits += results
    assert {place_of(hit) for hit in hits} == expected


def test_a_file_that_is_replaced_between_comparison_and_reading_is_read_from_its_beginning(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_session(home, 1, seed_session("first"))
    update_index()
    append(path, prompt("second"))
    prepare = update_module._prepare

    def late(*args: Any) -> Any:
        numbers = prepare(*args)
        path.write_bytes(encode(seed_session("other", "another", "and others", "more")))
        return numbers

    monkeypatch.setattr(update_module, "_prepare", late)
    update_index()

    assert found("first OR other OR second") == found("first OR other OR second", use_index=False)
    update_index()
    assert found("first OR other OR second") == found("first OR other OR second", use_index=False)


def test_a_file_that_is_deleted_between_comparison_and_reading_is_a_problem(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_session(home, 1, seed_session("first"))
    lstat = os.lstat

    def gone(name: Any) -> os.stat_result:
        status = lstat(name)
        if str(name) == str(path):
            path.unlink(missing_ok=True)
        return status

    with monkeypatch.context() as patched:
        patched.setattr(changes_module.os, "lstat", gone)
        done = update_index()

    assert [problem.path for problem in done.problems] == [path]
    put_session(home, 1, seed_session("first"))
    assert len(texts("first")) == 2
    update_index()
    settle(home)
    update_index()
    with open_index() as index, index.transaction():
        index.database.execute("UPDATE sessions SET size = -1")
        for row in index.database.execute("SELECT id FROM sessions").fetchall():
            index.sign(*row)
    path.unlink()
    settle(home)
    assert texts("first") == []
    assert update_index().gone == 1
