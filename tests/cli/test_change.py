from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from rollout import Recorder, load_history
from rollout.store import archive, delete, rename_session, session_names
from tests.cli.conftest import Run
from tests.rollouts import ID, put, seed_session

OTHER = "01a1fbb5-7abd-7c53-8766-f128212a613c"
NONE = "01a1fbb5-7abd-7c53-8766-ffffffffffff"
OLD = time.time() - 8 * 86_400


@pytest.fixture
def path(home: Path) -> Path:
    path = put(home, seed_session("one", "two"))
    os.utime(path, (OLD, OLD))
    return path


@pytest.fixture
def other(home: Path) -> Path:
    return put(home, seed_session("other", session_id=OTHER), session_id=OTHER, timestamp="2026-11-21T02-00-00")


def files(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("rollout-*"))


def test_a_session_is_named_and_found_by_its_name(path: Path, run: Run) -> None:
    assert run("name", "@last").status == 1
    assert run("name", "@last", " parser bug ", "--json").json["sessions"][0]["name"] == "parser bug"

    assert run("name", ID).out == "parser bug\n"
    assert run("name", ID, "--json").json["sessions"] == [{"id": ID, "name": "parser bug"}]
    assert run("path", "parser bug").out == f"{path}\n"
    assert run("name", "parser bug", "--clear").status == 0
    assert session_names() == {}


def test_what_is_no_name_is_refused(path: Path, run: Run) -> None:
    assert "is no name" in run("name", ID, "two\nlines").err
    assert "give a name, or --clear" in run("name", ID, "x", "--clear").err
    assert run("name", path.with_name("notes.jsonl"), "x").status == 2


@pytest.mark.parametrize(
    "args", [["name", ID, "x"], ["archive", ID], ["delete", ID], ["compress", ID], ["compress", "--all"], ["fork", ID]]
)
def test_a_dry_run_changes_nothing(home: Path, path: Path, run: Run, args: list[str]) -> None:
    before = {file: file.stat().st_mtime_ns for file in home.rglob("*")}

    assert run(*args, "--dry-run").status == 0
    assert run(*args, "--dry-run", "--json").json["sessions"][0]["dry_run"] is True

    assert {file: file.stat().st_mtime_ns for file in home.rglob("*")} == before


def test_sessions_are_archived_and_taken_out_again(home: Path, path: Path, other: Path, run: Run) -> None:
    done = run("archive", "@1", "@2", "@last")

    assert done.out.splitlines() == [str(home / "archived_sessions" / p.name) for p in (other, path)]
    assert run("list").status == 1
    assert run("unarchive", OTHER, ID, "--json").json["sessions"][0] == {
        "id": OTHER, "path": str(other), "error": None, "dry_run": False,
    }  # fmt: skip
    assert files(home) == [str(path.relative_to(home)), str(other.relative_to(home))]


def test_nothing_is_done_where_one_is_not_found(home: Path, path: Path, run: Run) -> None:
    done = run("archive", ID, NONE)

    assert done.status == 2
    assert f"no session '{NONE}'" in done.err
    assert path.exists()


def test_some_may_be_done_where_others_are_not(home: Path, path: Path, recorder: Recorder, run: Run) -> None:
    recorder.user_message("live")
    recorder.flush()

    both = run("archive", recorder.session_id, ID)
    again = run("archive", recorder.session_id, "--json")

    assert both.status == 4
    assert "is held by another writer" in both.err
    assert both.out == f"{home / 'archived_sessions' / path.name}\n"
    assert (again.status, again.err) == (3, "")
    assert "is held by another writer" in again.json["sessions"][0]["error"]


def test_what_lies_in_no_home_is_an_error(tmp_path: Path, run: Run) -> None:
    outside = put(tmp_path, b"", folder=tmp_path / "elsewhere")

    assert run("archive", outside).status == 2
    assert outside.exists()


def test_deletion_asks_and_says_what_it_would_delete(home: Path, path: Path, terminal: Run) -> None:
    rename_session(ID, "parser bug")

    kept = terminal("delete", "@last", keys="n\n")
    deleted = terminal("delete", "@last", keys="y\n")

    assert (kept.status, deleted.status) == (1, 0)
    assert f"{ID}  parser bug" in kept.out
    assert "Move this session into the trash? [y/N]" in kept.out
    assert files(home) == [f"deleted_sessions/{path.name}"]


def test_who_says_no_keeps_it(path: Path, run: Run) -> None:
    assert run("delete", ID, screen=True, stdin="n\n").status == 1
    assert path.exists()


def test_deletion_asks_nobody_where_nobody_is(path: Path, run: Run) -> None:
    done = run("delete", ID, stdin="y\n")

    assert done.status == 2
    assert "--yes deletes without" in done.err
    assert path.exists()


def test_an_answer_that_does_not_come_deletes_nothing(path: Path, other: Path, run: Run) -> None:
    done = run("delete", ID, OTHER, "--permanently", screen=True)

    assert done.status == 130
    assert "Delete these 2 sessions for ever?" in done.err
    assert f"{ID}  one" in done.err
    assert path.exists()


def test_what_is_deleted_comes_back(home: Path, path: Path, other: Path, run: Run) -> None:
    assert run("restore", "--list").status == 1
    assert run("delete", "--yes", ID, OTHER).status == 0

    assert run("restore", "--list").rows == [[OTHER, "other"], [ID, "one"]]
    assert [row["id"] for row in run("restore", "--list", "--json").json["sessions"]] == [OTHER, ID]
    assert run("restore", ID, "--dry-run").out == f"{home / 'deleted_sessions' / path.name}\n"
    assert "fits 2 sessions" in run("restore", ID[:20]).err
    assert run("restore", ID, "--json").json["sessions"][0]["id"] == ID
    assert run("restore", home / "deleted_sessions" / other.name).out == f"{other}\n"
    for args in ([], [NONE], ["x"]):
        assert run("restore", *args).status == 2
    assert len(files(home)) == 2


def test_for_ever_is_for_ever_also_from_the_trash(home: Path, path: Path, other: Path, run: Run) -> None:
    delete(ID)
    delete(OTHER)
    put(home, seed_session("three", session_id=NONE), session_id=NONE)

    ambiguous = run("delete", "--yes", "--permanently", ID[:-1])
    assert ambiguous.status == 2
    assert len(files(home)) == 3

    assert run("delete", "--yes", "--permanently", ID, NONE).status == 0
    assert files(home) == [f"deleted_sessions/{other.name}"]
    assert run("delete", "--yes", "--permanently", "").status == 2


def test_a_beginning_that_fits_two_sessions_deletes_none_from_the_trash(
    home: Path, path: Path, other: Path, run: Run
) -> None:
    put(home, seed_session("three", session_id=NONE), session_id=NONE)
    delete(OTHER)

    done = run("delete", "--yes", "--permanently", ID[:20])

    assert done.status == 2
    assert "fits 2 sessions" in done.err
    assert len(files(home)) == 3


def test_a_fork_has_the_beginning(home: Path, path: Path, run: Run) -> None:
    done = run("fork", ID, "--at", "1")
    row = run("fork", ID, "--json").json["sessions"][0]

    assert len(load_history(Path(done.out.rstrip())).turns) == 1
    assert (row["forked_from"], load_history(row["id"]).path) == (ID, Path(row["path"]))
    assert "it has 2 turns; nothing was made" in run("fork", ID, "--dry-run", screen=True).err
    for args in ([], ["--dry-run"]):
        assert "has 2 turns; a fork at 3 is not possible" in run("fork", ID, "--at", "3", *args).err


def test_sessions_are_compressed_and_made_plain_again(home: Path, path: Path, other: Path, run: Run) -> None:
    size = path.stat().st_size

    done = run("compress", "--all", screen=True)
    compressed = path.with_name(path.name + ".zst")

    assert done.out == f"{compressed}\n"
    assert f"{size / 1000:.1f} kB in 1 files are" in done.err
    assert other.exists()
    assert run("show", ID).status == 0
    assert run("compress", "--all").status == 1
    assert run("compress", "--all", "--undo").out == f"{path}\n"
    assert run("compress", OTHER, "--older-than", "0").status == 0


def test_what_changed_lately_is_not_compressed(path: Path, other: Path, run: Run) -> None:
    assert "changed less than" in run("compress", OTHER).err
    assert run("compress", ID, OTHER).status == 4
    for args in ([], ["--all", ID], ["--all", "--older-than", "x"]):
        assert run("compress", *args).status == 2


def test_a_session_that_cannot_be_read_is_shown_without_words(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(home, b"", suffix=".zst")
    for module in ("backports", "compression"):
        monkeypatch.setitem(sys.modules, module, None)

    assert run("delete", ID, screen=True, stdin="y\n").status == 0
    assert run("list", "--json").json["sessions"] == []


def test_archived_sessions_are_shown_in_the_archive(path: Path, run: Run) -> None:
    archive(ID)

    assert run("show", ID).status == 0
    assert "archived" in run("list", "--archived", screen=True).out
