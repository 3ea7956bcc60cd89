from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import pytest

from rollout import find_session, list_sessions
from rollout.home import _reverted, forget_reverted, newest_reverted, walk_sessions
from rollout.interpret import Filters
from rollout.overview import matching_sessions
from rollout.search import update_index
from rollout.store import archive, delete, restore, unarchive
from tests.rollouts import ID, put, seed_session

ROLLOUT, SECOND = "02b1fbb5-7abd-7c53-8766-f128212a613b", "03b1fbb5-7abd-7c53-8766-f128212a613b"
OTHER = "01a1fbb5-7abe-7c53-8766-f128212a613b"


def put_reverted(home: Path) -> list[Path]:
    """
    Write the three files of a session that was reverted twice, and a session between them.
    """
    lines = seed_session("one")
    first = put(home, lines)
    second = put(home, lines, session_id=f"{ID}_{ROLLOUT}", timestamp="2026-11-22T03-00-00")
    put(home, seed_session("other", session_id=OTHER), session_id=OTHER, timestamp="2026-11-23T03-00-00")
    third = put(home, lines, session_id=f"{ID}_{SECOND}", timestamp="2026-11-24T03-00-00")
    return [first, second, third]


@pytest.mark.parametrize("page_size", [1, 2, 5])
def test_a_reverted_session_is_listed_once_on_pages_of_every_size(home: Path, page_size: int) -> None:
    third = put_reverted(home)[-1]

    page = list_sessions(page_size=page_size)
    found = [item.path for item in page.items]
    while page.next_cursor is not None:
        page = list_sessions(page_size=page_size, cursor=page.next_cursor)
        found += [item.path for item in page.items]

    assert [path.name[28:64] for path in found] == [ID, OTHER]
    assert found[0] == third


def test_an_id_means_the_newest_file(home: Path) -> None:
    third = put_reverted(home)[-1]

    assert find_session(ID) == third


def test_a_file_that_is_created_today_is_found_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = put(home, seed_session("one"))
    monkeypatch.setattr(_reverted.time, "localtime", lambda: (2026, 11, 24, 0, 0, 0, 0, 0, 0))
    assert find_session(ID) == first

    third = put_reverted(home)[-1]

    assert find_session(ID) == third


def test_names_are_read_again_after_two_seconds(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(home, seed_session("one"))
    assert newest_reverted(home, ("", "")) == {}
    third = put_reverted(home)[-1]
    assert newest_reverted(home, ("", "")) == {}

    now = _reverted.time.monotonic()
    monkeypatch.setattr(_reverted.time, "monotonic", lambda: now + 3)

    assert [name.path for name in newest_reverted(home, ("", "")).values()] == [third]
    assert newest_reverted(home, ("2026-11-25", "")) == {}


def test_archive_and_delete_take_all_files_and_the_newest_is_found_afterwards(home: Path) -> None:
    paths = put_reverted(home)

    assert archive(ID).name == paths[-1].name
    assert [name.session_id for name in walk_sessions(home, archived=True)] == [ID]
    assert newest_reverted(home, ("", ""), archived=True)[ID].path.parent.name == "archived_sessions"
    assert unarchive(ID) == find_session(ID) == paths[-1]
    assert len(delete(ID)) == 3
    assert restore(ID) == find_session(ID) == paths[-1]


def test_a_name_with_an_underscore_of_another_program_is_ignored(home: Path) -> None:
    path = put(home, seed_session("one"))
    path.with_name("rollout-2026-11-21T01-25-37-my_notes.jsonl").write_bytes(b"")
    forget_reverted()

    assert newest_reverted(home, ("", "")) == {}
    assert os.fspath(find_session(ID)) == os.fspath(path)


@pytest.mark.parametrize("order", ["created", "updated"])
@pytest.mark.parametrize("is_indexed", [False, True])
def test_a_filtered_list_has_only_the_newest_file(
    home: Path, order: Literal["created", "updated"], is_indexed: bool
) -> None:
    third = put_reverted(home)[-1]
    if is_indexed:
        update_index()

    found = [item.path for item in matching_sessions(home, Filters(cwd="/home/dev/demo"), order)]

    assert [path.name[28:64] for path in found if path.name[28:64] == ID] == [ID]
    assert third in found
