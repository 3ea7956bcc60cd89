"""
Updates that are killed, interrupted, or run out of space.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rollout.search import Filters, Index, Progress, indexed_sessions, search, update_index
from rollout.search import _index as index_module
from rollout.search import _ingest as ingest_module
from tests.rollouts import message, meta, prompt, seed_session
from tests.search.homes import (
    ROOT,
    UPDATE_PROGRAM,
    append,
    found,
    index_content,
    many,
    open_index,
    put_session,
    rebuilt_content,
    run_in_small_batches,
    session_id,
    settle,
    texts,
)


def test_an_update_on_a_full_disk_changes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put_session(home, 1, seed_session("first"))
    update_index()
    before = index_content()
    append(path, [message("user", " ".join(f"w{number}x{part}" for part in range(300))) for number in range(200)])
    connect = index_module._connect

    def small(*args: Any) -> sqlite3.Connection:
        database = connect(*args)
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")
        return database

    with monkeypatch.context() as patched, pytest.raises(sqlite3.OperationalError, match="full"):
        patched.setattr(index_module, "_connect", small)
        update_index()

    assert index_content() == before


def test_an_index_that_cannot_be_created_leaves_no_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_session(home, 1, seed_session("first"))
    monkeypatch.setattr(index_module, "_TABLES", "no SQL")

    with pytest.raises(sqlite3.OperationalError):
        update_index()

    assert Index.open() is None
    assert len(texts("first")) == 2


def test_an_interrupted_update_rolls_back_its_batch(home: Path) -> None:
    put_session(home, 1, seed_session("first"))
    update_index()
    put_session(home, 2, seed_session("second"))

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        update_index(progress=interrupt)

    assert len(texts("first OR second")) == 4
    assert [session.turns for session in indexed_sessions()] == [None, 1]
    assert update_index().sessions == 1
    assert search("second").scanned == 0
    assert len(texts("first OR second")) == 4


def test_an_update_interrupted_within_a_file_continues_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [meta(session_id(1)), *(line for number in range(300) for line in prompt(f"text {number}"))]
    path = put_session(home, 1, lines)
    take = ingest_module.SessionIngest._add_line

    def taken(self: Any, at: int, raw: Any) -> bool:
        if raw.offset > 60_000:
            raise KeyboardInterrupt
        return take(self, at, raw)

    with run_in_small_batches(monkeypatch, 10_000):
        monkeypatch.setattr(ingest_module.SessionIngest, "_add_line", taken)
        with pytest.raises(KeyboardInterrupt):
            update_index()
        monkeypatch.setattr(ingest_module.SessionIngest, "_add_line", take)
        with open_index() as index:
            (row,) = index.rows()
        assert (row.size, row.mtime_ns) == (-1, -1)
        assert 50_000 < row.offset <= 60_500
        settle(home)
        assert len(texts("text")) == 300
        assert len(texts("text", filters=Filters(cwd="/home/dev", branch=None))) == 300
        done = update_index()

    assert done.size == path.stat().st_size - row.offset
    assert len(texts("text")) == 300
    assert search("text").scanned == 0
    assert index_content() == rebuilt_content()


def test_a_kill_at_any_moment_loses_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(home, 200)
    big = [meta(session_id(900)), *(line for number in range(800) for line in prompt(f"text {number}"))]
    put_session(home, 900, big)
    expected = found("common OR text", use_index=False)
    kills = 0

    for number in range(7):
        program = subprocess.Popen([sys.executable, "-c", UPDATE_PROGRAM], stdout=subprocess.PIPE, cwd=ROOT)
        assert program.stdout is not None
        program.stdout.readline()
        time.sleep(0.01 + number * 0.02)
        program.send_signal(signal.SIGKILL)
        kills += program.wait() == -signal.SIGKILL
        program.stdout.close()
        if number % 4 == 0:
            assert found("common OR text") == expected

    assert kills > 2
    with run_in_small_batches(monkeypatch, 20_000):
        update_index()
    assert found("common OR text") == expected
    assert search("text").scanned == 0
    assert index_content() == rebuilt_content()
