"""
The index of a home: creating, updating, rebuilding and deleting it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from rollout import repair
from rollout.search import (
    Filters,
    Index,
    Progress,
    delete_index,
    index_path,
    indexed_sessions,
    indexed_stats,
    search,
    update_index,
)
from rollout.search._postings import Place, add_lines, find_lines
from rollout.search._query import parse_query
from rollout.store import delete
from tests.rollouts import encode, message, prompt, seed_session
from tests.search.homes import (
    append,
    found,
    index_content,
    many,
    open_index,
    put_session,
    rebuilt_content,
    session_id,
    texts,
    timestamp,
)


def test_an_update_reads_only_new_lines(home: Path) -> None:
    one = put_session(home, 1, seed_session("first"))
    put_session(home, 2, seed_session("second"))

    first = update_index()
    append(one, prompt("third"))
    second = update_index()
    third = update_index()

    assert (first.sessions, second.sessions, third.sessions) == (2, 1, 0)
    assert second.size == len(encode(prompt("third")))
    assert third.size == 0
    assert search("third").is_indexed
    assert texts("first OR second OR third") == ["answer to first", "answer to second", "first", "second", "third"]
    assert index_content() == rebuilt_content()


def test_an_update_reports_its_progress(home: Path) -> None:
    many(home, 3)
    seen: list[Progress] = []

    update_index(progress=seen.append)

    assert [(part.sessions, part.all_sessions) for part in seen] == [(1, 3), (2, 3), (3, 3)]
    assert seen[-1].size == seen[-1].all_size


def test_the_index_of_an_empty_home_finds_nothing(home: Path) -> None:
    assert update_index().sessions == 0
    assert texts("anything") == []


def test_the_index_is_in_the_cache_and_only_its_owner_can_read_it(home: Path, cache: Path) -> None:
    before = os.umask(0)
    try:
        put_session(home, 1, seed_session("secret"))
        update_index()
        with open_index() as index:
            names = sorted(path.name for path in index.path.parent.iterdir())
            modes = {path.stat().st_mode & 0o777 for path in index.path.parent.iterdir()}
    finally:
        os.umask(before)

    assert index_path().parent == cache / "rollout"
    assert len(names) == 4
    assert modes == {0o600}
    assert index_path().parent.stat().st_mode & 0o777 == 0o700


def test_the_index_holds_no_text(home: Path) -> None:
    put_session(home, 1, [*seed_session("short"), message("user", "wordone wordtwo wordthree")])

    update_index()

    assert b"wordone wordtwo" not in index_path().read_bytes()
    assert texts('"wordone wordtwo"') == ["wordone wordtwo wordthree"]


def test_two_homes_have_two_indexes(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    put_session(home, 1, seed_session("here"))
    put_session(other, 1, seed_session("there"))

    update_index()

    assert index_path() != index_path(other)
    assert not search("there", home=other).is_indexed
    update_index(home=other)
    assert texts("there", home=other) == ["answer to there", "there"]
    assert texts("there") == []


def test_without_the_extra_an_update_raises_and_a_search_reads_the_files(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_session(home, 1, seed_session("one"))
    monkeypatch.setitem(sys.modules, "platformdirs", None)

    with pytest.raises(ModuleNotFoundError, match=r"rollout-recorder\[search\]"):
        update_index()
    assert not search("one").is_indexed
    assert len(texts("one")) == 2
    assert indexed_stats() == {}
    assert [session.turns for session in indexed_sessions()] == [None]


def test_a_trigram_index_finds_parts_of_words(home: Path) -> None:
    path = put_session(home, 1, [*seed_session("unbelievable"), message("user", "日本語 go")])

    update_index(trigram=True)

    assert texts("believ") == ["answer to unbelievable", "unbelievable"]
    assert texts("日本語") == ["日本語 go"]
    append(path, prompt("believing"))
    assert len(texts("believ")) == 3
    update_index()
    update_index(rebuild=True)
    assert len(texts("believ")) == 3
    results = search("go")
    assert [hit.text for hit in results] == ["日本語 go"]
    assert not results.is_indexed
    update_index(trigram=False)
    assert texts("believ") == []
    assert search("go").is_indexed


def test_a_rebuilt_index_contains_only_existing_sessions(home: Path) -> None:
    put_session(home, 1, seed_session("first"))
    update_index()
    delete(session_id(1))
    with open_index() as index:
        update_index(rebuild=True)
        # A process that has the old index open continues to use it.
        assert len(list(index.rows())) == 1

    with open_index() as index:
        assert list(index.rows()) == []
        assert list(index.database.execute("SELECT rowid FROM texts WHERE texts MATCH 'first'")) == []


def test_a_deleted_index_is_created_again(home: Path) -> None:
    put_session(home, 1, seed_session("first"))
    assert delete_index() is False
    update_index()

    assert delete_index() is True

    assert list(index_path().parent.iterdir()) == []
    assert not search("first").is_indexed
    update_index()
    assert search("first").is_indexed


def test_other_files_among_the_sessions_are_ignored(home: Path) -> None:
    folder = put_session(home, 1, seed_session("first")).parent
    (folder / "rollout-notes.txt").write_text("first")
    (folder / f"rollout-{timestamp(2)}-{session_id(2)}.jsonl").mkdir()

    assert update_index().sessions == 1
    assert update_index().sessions == 0


def test_lines_of_files_of_any_size_and_any_number_of_sessions_are_found(home: Path) -> None:
    with Index.create(home) as index:
        for number in (2**25 - 1, 1):
            name = f"rollout-{timestamp(number % 100)}-{session_id(number)}.jsonl"
            index.database.execute(
                "INSERT INTO sessions(id, name, folder, is_compressed, size, mtime_ns, inode, offset, turns, tokens)"
                " VALUES (?, ?, 'archived_sessions', 0, 0, 0, 0, 0, 0, 0)",
                (number, name),
            )
            index.sign(number)
        far = Place(2**38 - 1, number=3, has_failure=True)
        add_lines(index, 1, [(far, "far", "")])
        lines = [(Place(0), "far", ""), (Place(127), "near", ""), (Place(128, number=1), "far", ""), (far, "far", "")]
        add_lines(index, 2**25 - 1, lines)

        rows = [(row.id, place) for row, place in find_lines(index, parse_query("far"), Filters(), {})]

    assert rows == [(2**25 - 1, far), (2**25 - 1, Place(128, number=1)), (2**25 - 1, Place(0)), (1, far)]


def test_a_repaired_copy_is_not_indexed(home: Path) -> None:
    path = put_session(home, 1, encode(seed_session("first")) + b"torn")
    update_index()

    repair(path)

    assert len(texts("first")) == 2
    assert len(found("first", use_index=False)) == 2
