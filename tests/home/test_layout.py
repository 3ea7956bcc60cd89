from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from rollout import AmbiguousSessionError, SessionNotFoundError, find_session
from rollout.home import _find, _layout
from rollout.home._file_names import UNKNOWN_TIME, RolloutName, key_in
from rollout.home._find import locate
from rollout.home._layout import create_session_file
from rollout.home._walk import folders, walk
from tests.rollouts import ID, put

V4 = "4f0be0a1-50f5-480d-a99d-c68eada68a51"


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield
    monkeypatch.undo()
    time.tzset()


def set_zone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("TZ", name)
    time.tzset()


class TestName:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            (f"rollout-2026-11-21T01-25-37-{ID}.jsonl", RolloutName("2026-11-21T01-25-37", ID)),
            (f"rollout-2026-11-21T01-25-37-{V4.upper()}.jsonl", RolloutName("2026-11-21T01-25-37", V4)),
            (f"rollout-2026-11-21T01-25-37-{ID}_{V4}.jsonl", RolloutName("2026-11-21T01-25-37", ID, V4)),
            (f"rollout-2026-11-21T01-25-37-{ID}.jsonl.zst", RolloutName("2026-11-21T01-25-37", ID, None, True)),
            (f"rollout-2026-11-21T01-25-37-{ID}.json", RolloutName("2026-11-21T01-25-37", ID, suffix=".json")),
            (f"rollout-2025-07-01-{V4}.jsonl", RolloutName("2025-07-01T00-00-00", V4, stamp="2025-07-01")),
            (
                "rollout-2025-05-20-8d6f.json",
                RolloutName("2025-05-20T00-00-00", "8d6f", stamp="2025-05-20", suffix=".json"),
            ),
            (f"rollout-{V4}.jsonl", RolloutName(UNKNOWN_TIME, V4, stamp="")),
            (f"rollout-{ID}.jsonl.zst", RolloutName("2026-11-21T01-25-37", ID, None, True, stamp="")),
        ],
    )
    def test_has_the_time_and_the_ids(self, name: str, expected: RolloutName) -> None:
        assert RolloutName.parse(name) == expected
        assert str(expected) == name.lower().replace("t01", "T01")
        assert key_in(name) == expected.key

    @pytest.mark.parametrize(
        "name",
        [
            "", "x.jsonl", f"{ID}.jsonl", f"rollout-2026-11-21T01-25-37-{ID}", f"rollout-2026-11-21T01-25-37-{ID}.jso",
            "rollout-2026-11-21.jsonl", "rollout-.jsonl", "rollout-8d6f.jsonl", "rollout-8d6.json",
            f"rollout-2026-13-21T01-25-37-{ID}.jsonl", f"rollout-2026-11-21T25-25-37-{ID}.jsonl",
            f"rollout-2026-11-21T01-25-37-{ID[:-1]}.jsonl", f"rollout-2026-11-21T01-25-37-{ID}.jsonl\n",
            f"rollout-२०२६-11-21T01-25-37-{ID}.jsonl", f"rollout-2026-11-21T01-25-37-{ID}_x.jsonl",
        ],
    )  # fmt: skip
    def test_of_another_file_is_none(self, name: str) -> None:
        assert RolloutName.parse(name) is None

    def test_of_a_reverted_thread_is_sorted_by_the_id_of_the_file(self) -> None:
        assert RolloutName("t", ID, V4).key == ("t", V4)


class TestHome:
    def test_is_the_argument_or_codex_home_or_in_the_user_s_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CODEX_HOME", "/from/env")
        monkeypatch.setenv("HOME", "/home/dev")

        assert _layout.home_folder("/given") == Path("/given")
        assert _layout.home_folder() == Path("/from/env")
        monkeypatch.setenv("CODEX_HOME", "")
        assert _layout.home_folder() == Path("/home/dev/.codex")
        assert _layout.home_folder("~/other") == Path("/home/dev/other")

    @pytest.mark.parametrize(
        ("path", "home"),
        [
            ("/h/sessions/2026/11/21/r.jsonl", "/h"),
            ("/h/archived_sessions/r.jsonl", "/h"),
            ("/h/sessions/r.jsonl", "/h"),
            ("/elsewhere/r.jsonl", None),
            ("/r.jsonl", None),
        ],
    )
    def test_of_a_rollout_is_in_its_path(self, path: str, home: str | None) -> None:
        assert _layout.home_of(Path(path)) == (home and Path(home))

    def test_folders_of_a_rollout_end_at_its_home(self) -> None:
        inside = _layout.folders_up_to_home(Path("/a/h/sessions/2026/11/21/r.jsonl"))

        assert [str(folder) for folder in inside] == [
            "/a/h/sessions/2026/11/21", "/a/h/sessions/2026/11", "/a/h/sessions/2026", "/a/h/sessions", "/a/h",
        ]  # fmt: skip
        assert _layout.folders_up_to_home(Path("/a/b/r.jsonl")) == [Path("/a/b")]


class TestCreation:
    def test_makes_a_file_for_its_owner_only_with_any_umask(self, home: Path) -> None:
        before = os.umask(0)
        try:
            path, fd = create_session_file(home, ID, time.time())
        finally:
            os.umask(before)
        os.close(fd)

        assert path.stat().st_mode & 0o777 == 0o600
        for folder in _layout.folders_up_to_home(path):
            assert folder.stat().st_mode & 0o777 == 0o700

    def test_of_an_existing_session_is_refused(self, home: Path) -> None:
        now = time.time()
        os.close(create_session_file(home, ID, now)[1])

        with pytest.raises(FileExistsError):
            create_session_file(home, ID, now)

    @pytest.mark.parametrize(
        ("zone_name", "day", "stamp"),
        [
            ("UTC", "2025/10/26", "2025-10-26T00-30-00"),
            ("Asia/Shanghai", "2025/10/26", "2025-10-26T08-30-00"),
            ("America/New_York", "2025/10/25", "2025-10-25T20-30-00"),
            ("Europe/Berlin", "2025/10/26", "2025-10-26T02-30-00"),
        ],
    )
    def test_is_in_the_folder_of_the_local_day(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, zone: None, zone_name: str, day: str, stamp: str
    ) -> None:
        set_zone(monkeypatch, zone_name)

        path, fd = create_session_file(home, ID, 1_761_438_600)
        os.close(fd)

        assert path == home / "sessions" / day / f"rollout-{stamp}-{ID}.jsonl"

    def test_follows_no_link_at_the_path_of_the_file(self, home: Path, tmp_path: Path) -> None:
        path, fd = create_session_file(home, ID, 0)
        os.close(fd)
        path.unlink()
        path.symlink_to(tmp_path / "target")

        with pytest.raises(FileExistsError):
            create_session_file(home, ID, 0)

        assert not (tmp_path / "target").exists()

    def test_ids_are_of_version_7_with_the_current_time_and_differ(self) -> None:
        ids = {_layout.new_session_id() for _ in range(1000)}

        assert len(ids) == 1000
        for session_id in ids:
            assert UUID(session_id).version == 7
            assert UUID(session_id).variant == "specified in RFC 4122"
            assert abs((UUID(session_id).int >> 80) / 1000 - time.time()) < 60


class TestWalk:
    def paths(self, home: Path) -> list[Path]:
        return [name.path for name in walk(home)]

    def test_reads_years_months_and_days_as_numbers(self, home: Path) -> None:
        stamps = ["2026-11-21T00-00-00", "2026-02-01T00-00-00", "2025-12-31T00-00-00", "0999-01-01T00-00-00"]
        written = [put(home, b"", timestamp=stamp) for stamp in stamps[:3]]
        written.append(put(home, b"", timestamp=stamps[3], folder=home / "sessions" / "999" / "1" / "1"))

        assert self.paths(home) == written

    def test_skips_files_that_are_no_rollouts(self, home: Path) -> None:
        path = put(home, b"")
        for junk in ("sessions/x", "sessions/2026/xi", "sessions/2026/11/21/rollout-x.jsonl", "sessions/2026/11/21/a"):
            (home / junk).mkdir()
        (home / "sessions" / "2027").write_text("")
        (path.parent / f"rollout-2026-11-21T01-25-38-{ID}.jsonl").mkdir()

        assert self.paths(home) == [path]

    def test_skips_a_file_that_is_removed_during_the_walk(self, home: Path) -> None:
        newer = put(home, b"", timestamp="2026-11-21T00-00-01")
        older = put(home, b"", timestamp="2026-11-21T00-00-00", session_id=V4)

        walked = walk(home)
        assert next(walked).path == newer
        older.unlink()

        assert list(walked) == []

    def test_yields_only_rollouts_with_a_text_in_their_names(self, home: Path) -> None:
        put(home, b"", timestamp="2026-11-21T00-00-01")
        held = put(home, b"", timestamp="2026-11-21T00-00-00", session_id=V4)

        assert [name.path for name in walk(home, name_contains=V4[:8])] == [held]

    def test_of_live_and_archived_rollouts_merges_both_newest_first(self, home: Path) -> None:
        archive = home / "archived_sessions"
        newest = put(home, b"", timestamp="2026-11-21T00-00-03", folder=archive)
        live = put(home, b"", timestamp="2026-11-21T00-00-02")
        older = put(home, b"", timestamp="2026-11-20T00-00-00", folder=archive, session_id=V4)
        oldest = put(home, b"", timestamp="2026-11-19T00-00-00", session_id=V4)

        both = [name.path for name in walk(home, archived=None)]

        assert both == [newest, live, older, oldest]
        assert [name.path for name in walk(home, archived=True)] == [newest, older]
        assert [name.path for name in walk(home, archived=None, after=("2026-11-21T00-00-02", ID))] == [older, oldest]
        assert [name.path for name in walk(home, archived=None, name_contains=V4)] == [older, oldest]

    @pytest.mark.parametrize("day", ["2026-11-21", ""], ids=["its day", "no day"])
    @pytest.mark.parametrize("suffixes", [("", ""), ("", ".zst"), (".zst", "")])
    def test_of_a_rollout_that_is_live_and_archived_yields_only_the_live_one(
        self, home: Path, day: str, suffixes: tuple[str, str]
    ) -> None:
        live = put(home, b"", day=day, folder=None if day else home / "sessions", suffix=suffixes[0])
        put(home, b"", folder=home / "archived_sessions", suffix=suffixes[1])

        assert self.paths(home) == [live]
        assert [name.path for name in walk(home, archived=None)] == [live]
        assert list(walk(home, archived=True)) == []

    def test_follows_no_link(self, home: Path, tmp_path: Path) -> None:
        path = put(home, b"")
        outside = put(tmp_path / "outside", b"", session_id=V4)
        (path.parent / outside.name).symlink_to(outside)
        (home / "sessions" / "2026" / "11" / "22").symlink_to(outside.parent)
        (home / "sessions" / "2027").symlink_to(outside.parent.parent.parent)

        assert self.paths(home) == [path]

    def test_continues_after_a_file_that_is_in_the_wrong_folder(self, home: Path) -> None:
        newer = put(home, b"", timestamp="2026-11-21T00-00-00")
        moved = put(home, b"", timestamp="2026-12-24T00-00-00", day="2026-11-20")
        older = put(home, b"", timestamp="2026-11-19T00-00-00")

        after = [name.path for name in walk(home, after=("2026-12-24T00-00-00", ID))]

        assert self.paths(home) == [newer, moved, older]
        assert after == [older]

    def test_after_a_rollout_skips_later_years_months_and_days(self, home: Path) -> None:
        stamps = ["2027-01-01", "2026-12-01", "2026-11-22", "2026-11-21", "2026-11-20", "2026-10-31", "2025-12-31"]
        written = [put(home, b"", timestamp=f"{day}T00-00-00") for day in stamps]

        after = [name.path for name in walk(home, after=("2026-11-21T00-00-00", ID))]

        assert after == written[4:]

    def test_of_folders_yields_each_once_with_its_time_and_the_names_in_it(self, home: Path) -> None:
        first = put(home, b"", timestamp="2026-11-21T00-00-00")
        second = put(home, b"", timestamp="2026-11-21T00-00-01", session_id=V4)
        third = put(home, b"", timestamp="2026-10-01T00-00-00")
        archived = put(home, b"", folder=home / "archived_sessions")
        put(home, b"", timestamp="2026-11-21T00-00-00", suffix=".zst")
        (first.parent / "notes.txt").write_text("")

        given = list(folders(home))

        month, year = first.parents[1:3]
        names = {
            year.parent: [],
            home / "archived_sessions": [archived.name],
            first.parent: [second.name, first.name],
            month: [],
            year: [],
            third.parent: [third.name],
            third.parents[1]: [],
        }
        assert {folder: names for folder, _, names in given} == names
        assert len(given) == len(names)
        assert all(mtime_ns == folder.stat().st_mtime_ns for folder, mtime_ns, _ in given)

    def test_of_missing_folders_yields_them_without_a_time(self, home: Path) -> None:
        assert list(folders(home)) == [(home / "sessions", 0, []), (home / "archived_sessions", 0, [])]


class TestFinding:
    def test_by_id_starts_in_the_folder_of_the_day_in_the_id(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, zone: None
    ) -> None:
        set_zone(monkeypatch, "UTC")
        path = put(home, b"", timestamp="2026-11-21T01-25-37")
        monkeypatch.setattr(_find, "walk", None)

        assert find_session(ID, home=home) == path
        assert find_session(ID.upper()) == path

    def test_by_id_finds_a_session_in_any_folder(self, home: Path) -> None:
        elsewhere = put(home, b"", day="2020-01-01")
        v4 = put(home, b"", session_id=V4)

        assert find_session(ID) == elsewhere
        assert find_session(V4) == v4

    def test_by_the_beginning_of_an_id(self, home: Path) -> None:
        path = put(home, b"")
        put(home, b"", session_id=V4)

        assert find_session("01") == path

    def test_by_the_beginning_of_several_ids_is_ambiguous(self, home: Path) -> None:
        ids = (ID, ID[:-1] + "0")
        for session_id in ids:
            put(home, b"", session_id=session_id)

        with pytest.raises(AmbiguousSessionError, match="matches 2 sessions") as error:
            find_session("01a1")

        assert error.value.session_ids == tuple(sorted(ids))

    def test_of_several_files_returns_the_newest(self, home: Path) -> None:
        put(home, b"", timestamp="2026-11-21T01-25-37")
        newest = put(home, b"", timestamp="2026-11-21T02-00-00")

        assert find_session(ID) == newest
        assert find_session(ID[:8]) == newest

    def test_finds_an_archived_session_if_no_live_session_matches(self, home: Path) -> None:
        archived = put(home, b"", folder=home / "archived_sessions")

        assert find_session(ID) == archived
        live = put(home, b"")
        assert find_session(ID[:8]) == live

    @pytest.mark.parametrize(
        "name", [V4, "ffff", "", "*", "../x", "x\0y", "०", "01a1fbb5-7abd-7c53-8766-f128212a613bb"]
    )
    def test_of_no_session_raises_an_error_with_the_home(self, home: Path, name: str) -> None:
        put(home, b"")

        with pytest.raises(SessionNotFoundError) as error:
            find_session(name, home=home)

        assert (error.value.session_id, error.value.home) == (name, home)

    def test_locate_returns_paths_unchanged_and_finds_ids(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/home/dev")
        path = put(home, b"")

        assert locate(path) == path
        assert locate("some/where") == Path("some/where")
        assert locate("x.jsonl") == Path("x.jsonl")
        assert locate("~/x.jsonl.zst") == Path("/home/dev/x.jsonl.zst")
        assert locate(ID[:10], home) == path
