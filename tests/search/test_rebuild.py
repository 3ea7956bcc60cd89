"""
Damaged indexes: they are not used, and the next update rebuilds them. Single flipped bits are in test_damage.py.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rollout.search import Index, index_path, indexed_sessions, indexed_stats, search, update_index
from rollout.search import _ingest as ingest_module
from tests.rollouts import seed_session
from tests.search.homes import (
    found,
    index_content,
    many,
    open_index,
    place_of,
    put_session,
    rebuilt_content,
    sql_damage,
    texts,
)


def damaged(home: Path, damage: Callable[[Path], object]) -> None:
    many(home, 30)
    update_index()
    with closing(sqlite3.connect(index_path())) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damage(index_path())


def noise(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def noise_within(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for at in range(4096, len(data)):
        data[at] = (at * 31) % 256
    path.write_bytes(data)


noise_in_words = sql_damage("UPDATE texts_data SET block = x'ffffffffffffffffff' || block WHERE id > 10")
DAMAGES = {
    "noise": noise,
    "noise within": noise_within,
    "noise in words": noise_in_words,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: os.truncate(path, 8192),
    "another version": sql_damage("UPDATE notes SET value = 1 WHERE key = 'version'"),
    "no version": sql_damage("DELETE FROM notes WHERE key = 'version'"),
    "no notes": sql_damage("DROP TABLE notes"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_index_is_not_used_and_is_rebuilt(home: Path, damage: str) -> None:
    damaged(home, DAMAGES[damage])
    expected = found("common OR word1", use_index=False)

    results = search("common OR word1")

    assert {place_of(hit) for hit in results} == expected
    assert not results.is_indexed
    assert sorted(set(search("word1").sessions())) == sorted({hit.path for hit in search("word1", use_index=False)})
    assert len(list(indexed_sessions())) == 30
    assert len(indexed_stats()) in (0, 30)
    if damage == "a folder":
        index_path().rmdir()
    update_index()
    assert search("common").is_indexed
    assert found("common OR word1") == expected


def test_an_update_rebuilds_a_damaged_index(home: Path) -> None:
    damaged(home, noise_in_words)
    assert len(texts("common")) == 60
    assert Index.open() is None

    update_index()

    assert index_content() == rebuilt_content()


@pytest.mark.parametrize("kind", [sqlite3.DatabaseError, sqlite3.IntegrityError])
def test_an_update_that_finds_damage_rebuilds_the_index(
    home: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    many(home, 3)
    update_index()
    put_session(home, 9, seed_session("common"))
    add, count = ingest_module.add_lines, 0

    def failing(*args: Any) -> None:
        nonlocal count
        count += 1
        if count == 1:
            raise kind("damaged")
        add(*args)

    monkeypatch.setattr(ingest_module, "add_lines", failing)
    assert update_index().sessions == 4

    assert index_content() == rebuilt_content()


def test_damage_between_two_hits_is_noticed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(home, 9)
    put_session(home, 10, seed_session("common"))
    update_index()
    expected = found("common", use_index=False)
    rows = Index.row
    count = 0

    def failing(self: Index, number: int) -> Any:
        nonlocal count
        count += 1
        if not count % 4:
            raise sqlite3.DatabaseError("database disk image is malformed")
        return rows(self, number)

    monkeypatch.setattr(Index, "row", failing)
    results = search("common")

    hits = [place_of(hit) for hit in results]

    assert (len(hits), set(hits)) == (len(expected), expected)
    assert not results.is_indexed
    assert [problem.path for problem in results.problems] == [index_path()]
    update_index()
    count = 0
    paths = list(search("common").sessions())
    assert (len(paths), set(paths)) == (10, {hit.path for hit in search("common", use_index=False)})


def test_statistics_of_a_damaged_state_are_left_out(home: Path) -> None:
    put_session(home, 1, seed_session("first"))
    update_index()
    with open_index() as index, index.transaction():
        index.database.execute("UPDATE sessions SET state = ?", [b"no state"])

    assert indexed_stats() == {}
