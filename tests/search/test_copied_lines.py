"""
Forks of 2025, of whose lines only the file of the other session tells which ones were copied.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rollout.search import search, update_index
from rollout.search._rows import Row
from rollout.store import archive
from tests.rollouts import Line, encode, event, message, meta, seed_session
from tests.search.homes import append, index_content, open_index, put_session, rebuilt_content, session_id

PARENT, CHILD = session_id(1), session_id(2)


def tokens(total: int, last: int) -> Line:
    counts = [{"input_tokens": count, "output_tokens": 0, "total_tokens": count} for count in (total, last)]
    return event("token_count", info={"total_token_usage": counts[0], "last_token_usage": counts[1]})


COPIED = [meta(PARENT), message("user", "copied"), tokens(100, 100), message("assistant", "answer")]
OWN = [message("user", "own"), tokens(107, 7)]


def put_parent(home: Path) -> Path:
    return put_session(home, 1, COPIED)


@pytest.fixture
def child(home: Path) -> Path:
    """
    A fork without marks of turns, whose own lines follow the copied ones at once.
    """
    return put_session(home, 2, [meta(CHILD, forked_from_id=PARENT), *COPIED, *OWN])


def row_of_child() -> Row:
    with open_index() as index:
        (row,) = [row for row in index.rows() if CHILD in row.name]
    return row


def updated() -> tuple[Row, int]:
    """
    Update the index, and return the row of the fork and the number of sessions that were read.
    """
    count = update_index().sessions
    assert update_index().sessions == 0
    assert search("own").scanned == 0
    row = row_of_child()
    content = index_content()
    assert content == rebuilt_content()
    return row, count


def test_the_index_notes_the_file_of_the_other_session_and_that_it_is_missing(home: Path, child: Path) -> None:
    alone, _ = updated()
    parent = put_parent(home)
    both, _ = updated()

    assert (alone.parent, alone.turns, alone.tokens) == (f"{PARENT} 0", 0, 0)
    assert (both.parent, both.turns, both.tokens) == (f"{PARENT} {parent.stat().st_ino}", 1, 7)


def test_a_session_that_needs_no_other_session_has_no_note(home: Path) -> None:
    put_session(home, 2, seed_session("one", session_id=CHILD))

    row, _ = updated()

    assert row.parent is None


@pytest.mark.parametrize("way", ["appears", "is replaced", "is deleted"])
def test_a_fork_is_read_again_when_the_file_of_the_other_session(home: Path, child: Path, way: str) -> None:
    parent = put_parent(home)
    if way == "appears":
        parent.unlink()
    updated()
    other = parent.with_name("other")
    other.write_bytes(encode([*COPIED[:2], message("user", "another")]))

    if way == "is deleted":
        parent.unlink()
    else:
        other.replace(parent)
    row, count = updated()

    assert count == (1 if way == "is deleted" else 2)
    assert (row.turns, row.tokens) == ((0, 0) if way == "is deleted" else (1, 107))


def test_a_fork_is_not_read_again_when_the_other_session_is_moved_or_grows(home: Path, child: Path) -> None:
    put_parent(home)
    updated()

    parent = archive(PARENT)
    assert updated()[1] == 0
    append(parent, [message("user", "later")])
    _, count = updated()

    assert count == 1


def test_a_fork_that_grows_while_the_other_session_appears_is_read_again(home: Path, child: Path) -> None:
    updated()

    put_parent(home)
    append(child, [message("user", "more")])
    row, _ = updated()

    assert (row.turns, row.tokens) == (2, 7)


def test_a_fork_of_a_session_with_several_files_is_read_once(home: Path, child: Path) -> None:
    parent = put_parent(home)
    reverted = parent.with_name(parent.name.replace(".jsonl", f"_{session_id(9)}.jsonl"))
    reverted.write_bytes(parent.read_bytes())
    os.utime(reverted, (parent.stat().st_mtime, parent.stat().st_mtime))

    row, _ = updated()

    assert row.parent == f"{PARENT} {reverted.stat().st_ino}"
