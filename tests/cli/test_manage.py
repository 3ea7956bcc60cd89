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


def test_a_named_session_is_found_by_its_name(path: Path, run: Run) -> None:
    assert run("name", "@last").status == 1
    assert run("name", "@last", " parser bug ", "--json").json["sessions"][0]["name"] == "parser bug"

    assert run("name", ID).out == "parser bug\n"
    assert run("name", ID, "--json").json["sessions"] == [{"id": ID, "name": "parser bug"}]
    assert run("path", "parser bug").out == f"{path}\n"
    assert run("name", "parser bug", "--clear").status == 0
    assert session_names() == {}


def test_an_invalid_name_is_refused(path: Path, run: Run) -> None:
    assert "is not a valid name" in run("name", ID, "two\nlines").err
    assert "NAME and --clear cannot be combined" in run("name", ID, "x", "--clear").err
    assert run("name", path.with_name("notes.jsonl"), "x").status == 2


@pytest.mark.parametrize(
    "args", [["name", ID, "x"], ["archive", ID], ["delete", ID], ["compress", ID], ["compress", "--all"], ["fork", ID]]
)
def test_a_dry_run_changes_nothing(home: Path, path: Path, run: Run, args: list[str]) -> None:
    before = {file: file.stat().st_mtime_ns for file in home.rglob("*")}

    assert run(*args, "--dry-run").status == 0
    assert run(*args, "--dry-run", "--json").json["sessions"][0]["dry_run"] is True

    assert {file: file.stat().st_mtime_ns for file in home.rglob("*")} == before


def test_archived_sessions_can_be_unarchived(home: Path, path: Path, other: Path, run: Run) -> None:
    done = run("archive", "@1", "@2", "@last")

    assert done.out.splitlines() == [str(home / "archived_sessions" / p.name) for p in (other, path)]
    assert run("list").status == 1
    assert run("unarchive", OTHER, ID, "--json").json["sessions"][0] == {
        "id": OTHER, "path": str(other), "error": None, "dry_run": False,
    }  # fmt: skip
    assert files(home) == [str(path.relative_to(home)), str(other.relative_to(home))]


def test_no_session_is_changed_if_one_is_not_found(home: Path, path: Path, run: Run) -> None:
    done = run("archive", ID, NONE)

    assert done.status == 2
    assert f"no session '{NONE}'" in done.err
    assert path.exists()


def test_a_busy_session_does_not_stop_the_change_of_others(
    home: Path, path: Path, recorder: Recorder, run: Run
) -> None:
    recorder.user_message("live")
    recorder.flush()

    both = run("archive", recorder.session_id, ID)
    again = run("archive", recorder.session_id, "--json")

    assert both.status == 4
    assert "is locked by another writer" in both.err
    assert both.out == f"{home / 'archived_sessions' / path.name}\n"
    assert (again.status, again.err) == (3, "")
    assert "is locked by another writer" in again.json["sessions"][0]["error"]


def test_archiving_a_file_outside_a_home_is_an_error(tmp_path: Path, run: Run) -> None:
    outside = put(tmp_path, b"", folder=tmp_path / "elsewhere")

    assert run("archive", outside).status == 2
    assert outside.exists()


def test_delete_lists_the_sessions_and_asks_for_confirmation(home: Path, path: Path, terminal: Run) -> None:
    rename_session(ID, "parser bug")

    kept = terminal("delete", "@last", keys="n\n")
    deleted = terminal("delete", "@last", keys="y\n")

    assert (kept.status, deleted.status) == (1, 0)
    assert f"{ID}  parser bug" in kept.out
    assert "Move this session to the trash? [y/N]" in kept.out
    assert files(home) == [f"deleted_sessions/{path.name}"]


def test_delete_without_confirmation_keeps_the_session(path: Path, run: Run) -> None:
    assert run("delete", ID, screen=True, stdin="n\n").status == 1
    assert path.exists()


def test_delete_without_a_terminal_requires_yes(path: Path, run: Run) -> None:
    done = run("delete", ID, stdin="y\n")

    assert done.status == 2
    assert "cannot ask for confirmation without a terminal; use --yes" in done.err
    assert path.exists()


def test_delete_keeps_the_sessions_at_the_end_of_input(path: Path, other: Path, run: Run) -> None:
    done = run("delete", ID, OTHER, "--permanently", screen=True)

    assert done.status == 130
    assert "Delete these 2 sessions permanently?" in done.err
    assert f"{ID}  one" in done.err
    assert path.exists()


def test_deleted_sessions_can_be_restored(home: Path, path: Path, other: Path, run: Run) -> None:
    assert run("restore", "--list").status == 1
    assert run("delete", "--yes", ID, OTHER).status == 0

    assert run("restore", "--list").rows == [[OTHER, "other"], [ID, "one"]]
    assert [row["id"] for row in run("restore", "--list", "--json").json["sessions"]] == [OTHER, ID]
    assert run("restore", ID, "--dry-run").out == f"{home / 'deleted_sessions' / path.name}\n"
    assert "matches 2 sessions" in run("restore", ID[:20]).err
    assert run("restore", ID, "--json").json["sessions"][0]["id"] == ID
    assert run("restore", home / "deleted_sessions" / other.name).out == f"{other}\n"
    for args in ([], [NONE], ["x"]):
        assert run("restore", *args).status == 2
    assert len(files(home)) == 2


def test_delete_permanently_also_removes_from_the_trash(home: Path, path: Path, other: Path, run: Run) -> None:
    delete(ID)
    delete(OTHER)
    put(home, seed_session("three", session_id=NONE), session_id=NONE)

    ambiguous = run("delete", "--yes", "--permanently", ID[:-1])
    assert ambiguous.status == 2
    assert len(files(home)) == 3

    assert run("delete", "--yes", "--permanently", ID, NONE).status == 0
    assert files(home) == [f"deleted_sessions/{other.name}"]
    assert run("delete", "--yes", "--permanently", "").status == 2


def test_an_ambiguous_prefix_deletes_nothing_from_the_trash(home: Path, path: Path, other: Path, run: Run) -> None:
    put(home, seed_session("three", session_id=NONE), session_id=NONE)
    delete(OTHER)

    done = run("delete", "--yes", "--permanently", ID[:20])

    assert done.status == 2
    assert "matches 2 sessions" in done.err
    assert len(files(home)) == 3


def test_a_fork_has_the_first_turns(home: Path, path: Path, run: Run) -> None:
    done = run("fork", ID, "--at", "1")
    row = run("fork", ID, "--json").json["sessions"][0]

    assert len(load_history(Path(done.out.rstrip())).turns) == 1
    assert (row["forked_from"], load_history(row["id"]).path) == (ID, Path(row["path"]))
    assert "the session has 2 turns; no fork was created" in run("fork", ID, "--dry-run", screen=True).err
    for args in ([], ["--dry-run"]):
        assert "has 2 turns; 3 is out of range" in run("fork", ID, "--at", "3", *args).err


def test_sessions_are_compressed_and_decompressed(home: Path, path: Path, other: Path, run: Run) -> None:
    size = path.stat().st_size

    done = run("compress", "--all", screen=True)
    compressed = path.with_name(path.name + ".zst")

    assert done.out == f"{compressed}\n"
    assert f"1 file: {size / 1000:.1f} kB before, " in done.err
    assert other.exists()
    assert run("show", ID).status == 0
    assert run("compress", "--all").status == 1
    assert run("compress", "--all", "--undo").out == f"{path}\n"
    assert run("compress", OTHER, "--older-than", "0").status == 0


def test_recently_changed_sessions_are_not_compressed(path: Path, other: Path, run: Run) -> None:
    assert "changed less than" in run("compress", OTHER).err
    assert run("compress", ID, OTHER).status == 4
    for args in ([], ["--all", ID], ["--all", "--older-than", "x"]):
        assert run("compress", *args).status == 2


def test_delete_shows_an_unreadable_session_without_its_first_words(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(home, b"", suffix=".zst")
    for module in ("backports", "compression"):
        monkeypatch.setitem(sys.modules, module, None)

    assert run("delete", ID, screen=True, stdin="y\n").status == 0
    assert run("list", "--json").json["sessions"] == []


def test_archived_sessions_are_shown_and_listed(path: Path, run: Run) -> None:
    archive(ID)

    assert run("show", ID).status == 0
    assert "archived" in run("list", "--archived", screen=True).out
