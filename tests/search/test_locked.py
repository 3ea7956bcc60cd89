from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from rollout.cli._app import run
from rollout.search import Index, IndexBusyError, index_path, indexed_sessions, indexed_stats, search, update_index
from rollout.search import _index as index_module
from tests.search.homes import found, many


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    index_module._locked_until.clear()


@contextmanager
def held(path: Path) -> Iterator[None]:
    """
    Hold an index as another program does that lets no reader in.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("BEGIN EXCLUSIVE")
        yield
        database.execute("ROLLBACK")


@pytest.mark.promise("index")
def test_a_search_waits_two_seconds_for_an_index_locked_by_another_program_and_reads_the_files(home: Path) -> None:
    many(home, 10)
    update_index()
    expected = found("common")

    with held(index_path()):
        began = time.monotonic()
        results = search("common")
        hits = list(results)
        took = time.monotonic() - began
        # Asked again, it is not waited for again.
        assert len(list(indexed_sessions())) == 10
        assert indexed_stats() == {}
        assert Index.open() is None
        assert time.monotonic() - began < took + 1.9
        problems = [(problem.path, problem.reason) for problem in results.problems]

    assert took < 30
    assert {(hit.session_id, hit.offset, hit.text) for hit in hits} == expected
    assert not results.is_indexed
    reason = "locked by another program, which is not rollout; the session files are read instead"
    assert problems == [(index_path(), reason)]
    assert search("common").is_indexed


@pytest.mark.promise("index")
def test_an_update_of_an_index_locked_by_another_program_raises_and_keeps_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "_TIMEOUT", 0.1)
    many(home, 3)
    update_index()
    number = index_path().stat().st_ino

    with held(index_path()), pytest.raises(IndexBusyError, match="another program") as caught:
        update_index()

    assert caught.value.path == index_path()
    assert index_path().stat().st_ino == number
    assert update_index().sessions == 0


def test_an_update_raises_while_another_program_writes_to_the_index(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "_TIMEOUT", 0.1)
    many(home, 3)
    update_index()
    many(home, 4)

    with closing(sqlite3.connect(index_path(), isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        with pytest.raises(IndexBusyError, match="another program"):
            update_index()
        assert len(found("common")) == len(found("common", use_index=False))

    assert update_index().sessions == 1


def test_an_error_of_the_disk_during_an_update_is_raised_unchanged(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(home, 3)
    update_index()

    def failing(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("rollout.search._update.compare_home", failing)
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        update_index()


def test_the_commands_report_that_another_program_has_locked_the_index(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(index_module, "_TIMEOUT", 0.1)
    many(home, 3)
    update_index()
    said = {}

    with held(index_path()):
        for words in (
            ["index"],
            ["index", "--status"],
            ["search", "common"],
            ["list"],
            ["stats"],
            ["doctor", "--json"],
        ):
            status = run([*words, "--home", str(home)])
            out, err = capsys.readouterr()
            said[" ".join(words)] = (status, "another program" in err)
    (finding,) = [row for row in json.loads(out)["findings"] if row["check"] == "index"]

    assert said["index"] == said["index --status"] == (2, True)
    assert said["search common"] == (0, True)
    assert said["list"][0] == said["stats"][0] == 0
    assert (finding["ok"], "another program" in finding["message"]) == (False, True)
