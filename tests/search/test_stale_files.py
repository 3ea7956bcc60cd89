"""
Sessions that are replaced, moved, compressed or deleted after they were indexed.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from rollout.search import Filters, indexed_sessions, indexed_stats, search, update_index
from rollout.store import archive, compress, decompress, delete, restore, unarchive
from tests.rollouts import encode, prompt, seed_session
from tests.search.homes import append, found, index_content, open_index, put_session, rebuilt_content, session_id, texts


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"first", b"fresh"),
        lambda data: data.replace(b"first", b"a longer one"),
        lambda data: data.replace(b"first", b"it"),
        lambda data: encode(seed_session("fresh")),
        lambda data: data[: data.index(b"first") + 3],
        lambda data: data[:0],
        lambda data: data.replace(b"first", b"fresh") + encode(prompt("then")),
    ],
)
@pytest.mark.parametrize("in_place", [True, False])
def test_a_replaced_file_is_read_from_its_beginning(
    home: Path, change: Callable[[bytes], bytes], in_place: bool
) -> None:
    # So long that the checksum does not cover the changed bytes.
    path = put_session(home, 1, seed_session("first", *["second"] * 5))
    update_index()
    data = change(path.read_bytes())
    if data.endswith(encode(prompt("then"))):
        # A change in the middle of a file together with added lines is not detected.
        in_place = False
    if in_place:
        path.write_bytes(data)
    else:
        other = path.with_name("other")
        other.write_bytes(data)
        other.replace(path)

    for _ in range(2):
        for word in ("first", "fresh", "longer", "it", "second", "then"):
            assert found(word) == found(word, use_index=False), word
        update_index()
    assert search("fresh").scanned == 0
    assert index_content() == rebuilt_content()


def test_a_session_with_a_state_of_another_version_is_read_from_its_beginning(home: Path) -> None:
    path = put_session(home, 1, seed_session("first"))
    update_index()
    with open_index() as index, index.transaction():
        index.database.execute("UPDATE sessions SET state = ?", [zlib.compress(b'{"counter":{}}')])
    append(path, prompt("second"))

    assert len(texts("first OR second")) == 3
    assert indexed_stats() == {}
    update_index()

    assert len(texts("first OR second")) == 3
    assert index_content() == rebuilt_content()


def test_a_moved_session_is_not_read_again(home: Path) -> None:
    put_session(home, 1, seed_session("first"))
    put_session(home, 2, seed_session("second"))
    update_index()
    one = session_id(1)

    for move in (
        archive,
        lambda one: compress(one, min_age=0),
        unarchive,
        decompress,
        lambda one: compress(one, min_age=0),
        decompress,
        archive,
    ):
        path = move(one)
        for _ in range(2):
            results = search("first")
            hits = list(results)
            assert ({hit.path for hit in hits}, len(hits)) == ({path}, 2)
            assert (results.is_indexed, results.scanned, results.problems) == (True, 0, [])
            assert [session.path for session in indexed_sessions(filters=Filters(archived=None))][1] == path
            assert len(indexed_stats()) == 2
            is_archived = path.parent.name == "archived_sessions"
            assert bool(texts("first", filters=Filters(archived=True))) is is_archived
            assert bool(texts("first", filters=Filters(archived=False))) is not is_archived
            done = update_index()
            assert (done.sessions, done.size, done.gone) == (0, 0, 0)
    assert index_content() == rebuilt_content()


def test_a_compressed_session_with_added_lines_is_read_from_its_beginning(home: Path) -> None:
    path = put_session(home, 1, seed_session("first"))
    compress(path, min_age=0)
    update_index()
    append(decompress(session_id(1)), prompt("second"))

    assert len(texts("first OR second")) == 3
    assert update_index().gone == 1

    assert len(texts("first OR second")) == 3
    assert index_content() == rebuilt_content()


def test_a_compressed_session_with_another_time_is_read_from_its_beginning(home: Path) -> None:
    path = compress(put_session(home, 1, seed_session("first")), min_age=0)
    update_index()
    os.utime(path, (1, 1))

    assert len(texts("first")) == 2
    assert update_index().gone == 1
    assert len(texts("first")) == 2


def test_a_deleted_session_is_not_found(home: Path) -> None:
    put_session(home, 1, seed_session("first"))
    put_session(home, 2, seed_session("second"))
    update_index()

    delete(session_id(1))

    results = search("first")
    assert (list(results), results.problems) == ([], [])
    assert [session.session_id for session in indexed_sessions()] == [session_id(2)]
    assert update_index().gone == 1
    assert texts("first") == []
    restore(session_id(1))
    assert len(texts("first")) == 2
    assert index_content()["rows"] != rebuilt_content()["rows"]


def test_a_rollout_that_is_replaced_by_a_link_is_not_found(home: Path, tmp_path: Path) -> None:
    path = put_session(home, 1, seed_session("first"))
    update_index()
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")

    assert texts("first") == []
    assert update_index().gone == 1
