"""
Rollouts where other versions and tools put them: listed, found and moved like the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout import find_session
from rollout.home import RolloutName, find_unplaced, home_of
from rollout.home._file_names import id_time
from rollout.home._walk import folders, walk
from rollout.search import indexed_sessions, update_index
from rollout.sessions import list_sessions
from rollout.store import archive, delete, restore, unarchive
from tests.rollouts import ID, encode, put, seed_session

V4 = "4f0be0a1-50f5-480d-a99d-c68eada68a51"
DAY = "2026-06-08T11-00-0"
PLACES = ("2026/06/08", "2026/6/8", "2026/06/8", "2026-06-08", "2026-6-8", "")


def ids(count: int) -> list[str]:
    return [f"{V4[:-2]}{number:02d}" for number in range(count)]


def write(home: Path, place: str, name: str) -> Path:
    folder = home / "sessions" / place
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(encode(seed_session("one")))
    return path


def names(home: Path) -> list[str]:
    return [str(name.path.relative_to(home / "sessions")) for name in walk(home)]


def test_the_files_of_a_day_are_listed_together_in_every_spelling_of_its_folder(home: Path) -> None:
    for number, (place, session_id) in enumerate(zip(PLACES, ids(6), strict=True)):
        write(home, place, f"rollout-{DAY}{number}-{session_id}.jsonl")
    write(home, "2026/06/09", f"rollout-2026-06-09T00-00-00-{V4}.jsonl")
    write(home, "2026/6/7", f"rollout-2026-06-07T00-00-00-{V4}.jsonl")

    found = [name.timestamp for name in walk(home)]

    assert found == sorted(found, reverse=True)
    assert len(found) == 8
    assert [find_session(session_id, home=home).parent for session_id in ids(6)] == [
        home / "sessions" / place for place in PLACES
    ]


def test_of_one_file_in_two_places_that_of_codex_is_listed(home: Path) -> None:
    name = f"rollout-{DAY}0-{V4}.jsonl"
    for place in ("", "2026-06-08", "2026/6/8", "2026/06/08"):
        write(home, place, name)

    assert names(home) == [f"2026/06/08/{name}"]
    assert next(str(path) for path, _, found in folders(home) if found) == str(home / "sessions/2026/06/08")


def test_names_without_a_time_are_sorted_by_their_date_or_id(home: Path) -> None:
    for name in (
        f"rollout-{V4}.jsonl",
        f"rollout-2025-07-01-{V4}.jsonl",
        f"rollout-{ID}.jsonl",
        "rollout-2025-05-20-8d6f.json",
    ):
        write(home, "", name)
    write(home, "2026/01/01", f"rollout-2026-01-01T00-00-00-{V4}.jsonl")

    assert names(home) == [
        f"rollout-{ID}.jsonl", f"2026/01/01/rollout-2026-01-01T00-00-00-{V4}.jsonl", f"rollout-2025-07-01-{V4}.jsonl",
        "rollout-2025-05-20-8d6f.json", f"rollout-{V4}.jsonl",
    ]  # fmt: skip


@given(
    st.lists(st.tuples(st.sampled_from(PLACES), st.integers(0, 9), st.integers(0, 30)), unique_by=lambda it: it[1:]),
    st.integers(1, 7),
)
def test_the_pages_together_are_the_whole_list(files: list[tuple[str, int, int]], size: int) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        home = Path(folder)
        for place, second, number in files:
            write(home, place, f"rollout-{DAY}{second}-{ids(31)[number]}.jsonl")
        write(home, "2026/06/07", f"rollout-2026-06-07T00-00-00-{V4}.jsonl")
        whole = list(walk(home))
        found: list[Path] = []
        cursor = None
        while True:
            page = list_sessions(home=home, page_size=size, cursor=cursor)
            found += [item.path for item in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break

    assert found == [name.path for name in whole]
    assert [name.key for name in whole] == sorted((name.key for name in whole), reverse=True)
    assert len(whole) == len(files) + 1


@pytest.mark.parametrize(
    ("place", "name", "back"),
    [
        ("", f"rollout-{DAY}0-{V4}.jsonl", "2026/06/08"),
        ("2026/6/8", f"rollout-{DAY}0-{V4}.jsonl", "2026/06/08"),
        ("2026-06-08", f"rollout-2026-06-08-{V4}.jsonl", "2026/06/08"),
        ("", f"rollout-{V4}.jsonl", ""),
        ("", f"rollout-2025-05-20-{V4}.json", "2025/05/20"),
    ],
)
def test_a_session_in_another_place_is_archived_and_deleted_and_comes_back(
    home: Path, place: str, name: str, back: str
) -> None:
    path = write(home, place, name)
    assert home_of(path) == home

    assert archive(V4, home=home) == home / "archived_sessions" / name
    assert unarchive(V4, home=home) == home / "sessions" / back / name
    assert delete(V4, home=home) == (home / "deleted_sessions" / name,)
    assert restore(V4, home=home) == home / "sessions" / back / name


def test_an_archived_file_that_is_also_live_in_another_place_is_not_listed_twice(home: Path) -> None:
    for number, (place, session_id) in enumerate(zip(PLACES, ids(6), strict=True)):
        name = f"rollout-{DAY}{number}-{session_id}.jsonl"
        write(home, place, name)
        write(home, "../archived_sessions", name)

    assert list(walk(home, archived=True)) == []


def test_files_that_are_on_no_list_and_links_are_found(home: Path, tmp_path: Path) -> None:
    good = put(home, seed_session("one"))
    write(home, "2026-06-08", f"rollout-{DAY}0-{V4}.jsonl")
    lost = [write(home, *place) for place in (("2026", good.name), ("project", good.name), ("", "notes.jsonl"))]
    lost.append(write(home, "../archived_sessions/2026/06/08", good.name))
    folder_link, file_link = home / "sessions" / "2025", good.with_name(f"rollout-{DAY}1-{V4}.jsonl")
    folder_link.symlink_to(tmp_path)
    file_link.symlink_to(good)

    found = find_unplaced(home)

    assert [*found.files] == sorted(path.resolve() for path in lost)
    assert [*found.links] == sorted([folder_link, file_link])
    assert len(list(walk(home))) == 2


def test_a_name_like_that_of_a_rollout_does_not_disturb(home: Path) -> None:
    write(home, "", f"rollout-{'x' * 10}T{'y' * 45}.jsonl")
    (home / "sessions" / "2026-06-08").write_text("not a folder")
    (home / "sessions" / "2026").write_text("not a folder")

    assert names(home) == []
    assert find_unplaced(home).files[-1].name.startswith("rollout-xxx")


class TestStart:
    """
    The moment of a name: its id tells in which zone the timestamp was written.
    """

    def name(self, timestamp: str, moment: datetime | None = None) -> RolloutName:
        if moment is None:
            return RolloutName(timestamp, V4)
        head = f"{int(moment.timestamp() * 1000):012x}"
        return RolloutName(timestamp, f"{head[:8]}-{head[8:]}-7123-8000-000000000051")

    @pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/New_York"])
    @pytest.mark.parametrize(
        ("timestamp", "moment"),
        [
            ("2026-06-09T04-00-00", datetime(2026, 6, 8, 20, 0, 0, 900_000, timezone.utc)),
            ("2026-06-09T01-45-00", datetime(2026, 6, 8, 20, tzinfo=timezone.utc)),
            ("2026-06-08T20-00-00", datetime(2026, 6, 8, 20, 0, 3, tzinfo=timezone.utc)),
            ("2026-06-08T08-00-00", datetime(2026, 6, 8, 20, tzinfo=timezone.utc)),
        ],
    )
    def test_is_the_same_in_every_zone(
        self, set_zone: Callable[[str], None], zone: str, timestamp: str, moment: datetime
    ) -> None:
        set_zone(zone)

        assert self.name(timestamp, moment).started_at == datetime(2026, 6, 8, 20, tzinfo=timezone.utc)

    def test_without_the_time_in_the_id_is_local(self, set_zone: Callable[[str], None]) -> None:
        set_zone("Asia/Shanghai")
        far = datetime(2025, 1, 1, tzinfo=timezone.utc)

        for name in (self.name("2026-06-09T04-00-00"), self.name("2026-06-09T04-00-00", far)):
            assert name.started_at == datetime(2026, 6, 8, 20, tzinfo=timezone.utc)
            assert not name.is_sure

    @pytest.mark.parametrize("name", [f"rollout-{V4}.jsonl", f"rollout-2026-02-30T10-00-00-{V4}.jsonl"])
    def test_that_the_name_does_not_state_is_unknown(self, name: str) -> None:
        parsed = RolloutName.parse(name)

        assert parsed is not None
        assert parsed.started_at is None

    def test_at_the_end_of_the_calendar_is_unknown(self, set_zone: Callable[[str], None]) -> None:
        set_zone("America/New_York")

        assert self.name("9999-12-31T23-59-59").started_at is None

    def test_is_in_no_other_id(self) -> None:
        assert [id_time("x"), id_time(V4), id_time("ffffffff-ffff-7fff-bfff-ffffffffffff")] == [None, None, None]


def test_a_folder_that_cannot_be_read_is_a_problem_of_the_list(home: Path) -> None:
    write(home, "2026/6/8", f"rollout-{DAY}0-{V4}.jsonl")
    folder = home / "sessions" / "2026" / "7"
    folder.write_text("")
    folder.unlink()
    folder.mkdir(mode=0)
    try:
        page = list_sessions(home=home)
    finally:
        folder.chmod(0o700)

    assert len(page.items) == 1
    assert [problem.path for problem in page.problems] == ([] if os.geteuid() == 0 else [folder])


def test_sessions_in_folders_of_each_spelling_are_indexed_and_found_again_after_a_change(home: Path) -> None:
    for number, (place, session_id) in enumerate(zip(PLACES, ids(6), strict=True)):
        write(home, place, f"rollout-{DAY}{number}-{session_id}.jsonl")
    assert update_index(home=home).sessions == 6

    write(home, PLACES[-1], f"rollout-{DAY}9-{V4}.jsonl")

    assert update_index(home=home).sessions == 1
    assert {item.session_id for item in indexed_sessions(home=home)} == {*ids(6), V4}
