from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from rollout import (
    AmbiguousSessionError,
    Recorder,
    SessionBusyError,
    SessionNotFoundError,
    SessionStateError,
    find_session,
    list_sessions,
)
from rollout.store import archive, compress, delete, deleted_sessions, rename_session, restore, session_names, unarchive
from tests.rollouts import ID, put, seed_session
from tests.store.deaths import deaths

OWN_ID = "02b1fbb5-7abd-7c53-8766-f128212a613b"


@pytest.fixture
def path(home: Path) -> Path:
    return put(home, seed_session("one"))


def files(home: Path) -> list[str]:
    return sorted(str(p.relative_to(home)) for p in home.rglob("rollout-*"))


def test_an_archived_session_is_in_the_archive_folder_and_listed_only_there(home: Path, path: Path) -> None:
    content = path.read_bytes()

    archived = archive(ID)

    assert archived == home / "archived_sessions" / path.name
    assert archived.read_bytes() == content
    assert list_sessions().items == ()
    assert [item.path for item in list_sessions(archived=True).items] == [archived]
    assert archive(ID) == archived


def test_an_unarchived_session_is_in_the_folder_of_the_day_in_its_name(path: Path) -> None:
    archive(path)

    assert unarchive(ID[:8]) == path
    assert unarchive(path) == path


def test_all_files_of_a_session_are_moved(home: Path, path: Path) -> None:
    reverted = path.with_name(f"rollout-2026-11-21T03-00-00-{ID}_{OWN_ID}.jsonl")
    reverted.write_bytes(path.read_bytes())
    twin = path.with_name(path.name + ".zst")
    twin.write_bytes(b"left by a crash")

    assert archive(ID) == home / "archived_sessions" / reverted.name
    assert len(files(home / "archived_sessions")) == 3

    assert unarchive(ID) == reverted
    assert {p.name for p in delete(ID)} == {reverted.name, path.name, twin.name}
    assert restore(ID) == reverted


def test_a_file_of_another_session_with_this_rollout_id_is_not_moved(home: Path, path: Path) -> None:
    other = path.with_name(f"rollout-2026-11-21T03-00-00-{OWN_ID}_{ID}.jsonl")
    other.write_bytes(path.read_bytes())

    archive(ID)

    assert (path.exists(), other.exists()) == (False, True)


def test_a_deleted_session_is_in_the_trash_and_is_restored_with_its_name(home: Path, path: Path) -> None:
    rename_session(path, "kept")

    (deleted,) = delete(ID)

    assert deleted == home / "deleted_sessions" / path.name
    with pytest.raises(SessionNotFoundError):
        find_session(ID)
    assert restore(ID[:10]) == path
    assert session_names() == {ID: "kept"}


def test_an_archived_and_deleted_session_is_restored_as_a_live_one(path: Path) -> None:
    archive(ID)
    delete(ID)

    assert restore(ID) == path


def test_a_permanently_deleted_session_leaves_no_file_and_no_name(home: Path, path: Path) -> None:
    rename_session(path, "gone")
    delete(ID)
    assert delete(ID, permanently=True) == (home / "deleted_sessions" / path.name,)
    path.write_bytes(b"")

    assert delete(path, permanently=True) == (path,)

    assert files(home) == []
    assert session_names() == {}
    for again in (delete, restore):
        with pytest.raises(SessionNotFoundError):
            again(ID)


@pytest.mark.parametrize("change", [archive, unarchive, delete])
def test_a_session_with_an_open_recorder_is_not_moved(recorder: Recorder, change: Callable[[str], object]) -> None:
    recorder.user_message("one")
    recorder.flush()

    with pytest.raises(SessionBusyError):
        change(recorder.session_id)

    assert recorder.path.exists()


def test_archive_overwrites_no_file(home: Path, path: Path) -> None:
    (home / "archived_sessions").mkdir()
    (home / "archived_sessions" / path.name).write_bytes(b"another")

    with pytest.raises(FileExistsError, match="decide which one to keep"):
        archive(path)

    assert path.exists()
    assert (home / "archived_sessions" / path.name).read_bytes() == b"another"


def test_only_sessions_of_a_home_are_moved(home: Path, path: Path, tmp_path: Path) -> None:
    outside = put(home, seed_session("x"), folder=tmp_path / "elsewhere")
    renamed = path.with_name("notes.jsonl")
    path.rename(renamed)

    for place in (outside, renamed):
        for change in (archive, unarchive, delete):
            with pytest.raises(SessionStateError, match="is not in a home"):
                change(place)
        assert place.exists()
    with pytest.raises(SessionNotFoundError):
        archive(tmp_path / path.name)


def test_no_link_out_of_the_home_is_followed(home: Path, path: Path, tmp_path: Path) -> None:
    archive(ID)
    path.parent.rmdir()
    path.parent.symlink_to(tmp_path, target_is_directory=True)
    linked = home / "archived_sessions" / f"rollout-2026-11-21T03-00-00-{OWN_ID}.jsonl"
    linked.symlink_to(tmp_path / "target")
    (tmp_path / "target").write_text("kept")

    with pytest.raises(OSError, match="a symbolic link is in the place"):
        unarchive(ID)
    with pytest.raises(SessionNotFoundError):
        delete(OWN_ID)

    assert (home / "archived_sessions" / path.name).exists()
    assert (tmp_path / "target").read_text() == "kept"


def test_the_trash_is_listed_newest_first(home: Path, path: Path) -> None:
    older = put(home, seed_session("two"), session_id=OWN_ID, timestamp="2026-11-20T00-00-00")
    assert deleted_sessions() == []

    delete(ID)
    delete(OWN_ID)

    assert deleted_sessions(home=home) == [home / "deleted_sessions" / name for name in (path.name, older.name)]


def test_sessions_in_a_linked_folder_or_in_the_trash_are_not_changed(home: Path, path: Path) -> None:
    linked = path.parent.with_name("22")
    linked.symlink_to(path.parent, target_is_directory=True)
    (deleted,) = delete(put(home, seed_session("x"), session_id=OWN_ID))

    for place in (linked / path.name, deleted):
        for change in (archive, unarchive, delete, compress):
            with pytest.raises(SessionStateError, match="in the trash, or its path contains a symbolic link"):
                change(place)

    assert path.exists()
    assert deleted.exists()


@pytest.mark.parametrize("reference", ["", "../x", "\0", "x" * 5000])
def test_restore_of_an_unknown_session_raises_session_not_found(home: Path, path: Path, reference: str) -> None:
    delete(ID)

    with pytest.raises(SessionNotFoundError):
        restore(reference)


def test_an_ambiguous_prefix_restores_no_session(home: Path, path: Path) -> None:
    put(home, seed_session("two"), session_id=ID[:-1] + "0")
    delete(ID)
    delete(ID[:-1] + "0")

    with pytest.raises(AmbiguousSessionError):
        restore(ID[:-1])

    assert len(files(home / "deleted_sessions")) == 2


@pytest.mark.parametrize("change", [archive, delete])
def test_a_kill_at_any_moment_loses_no_file(home: Path, path: Path, change: Callable[[str], object]) -> None:
    reverted = path.with_name(f"rollout-2026-11-21T03-00-00-{ID}_{OWN_ID}.jsonl")
    reverted.write_bytes(path.read_bytes())
    count = 0

    for _ in deaths(lambda: change(ID)):
        count += 1
        assert {Path(name).name for name in files(home)} == {path.name, reverted.name}
        assert len(files(home)) == 2
        for left in home.glob("*_sessions/rollout-*"):
            left.rename(path.parent / left.name)

    assert count >= 6
    assert {Path(name).parts[0] for name in files(home)} < {"archived_sessions", "deleted_sessions"}


def test_codex_s_database_is_updated_and_an_invalid_one_is_ignored(home: Path, path: Path) -> None:
    (home / "state_4.sqlite").write_bytes(b"no database" * 100)
    with closing(sqlite3.connect(home / "state_3.sqlite")) as other:
        other.execute("CREATE TABLE threads (id)")
    with closing(sqlite3.connect(home / "state_5.sqlite", isolation_level=None)) as database:
        columns = "rollout_path, archived, archived_at, name, title, first_user_message, preview, history_mode"
        database.execute(f"CREATE TABLE threads (id, {columns})")
        row = (ID, os.fspath(path), 0, None, "old", "old", "one", "one", "legacy")
        database.execute("INSERT INTO threads VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

        archived = archive(ID)
        rename_session(ID, "new")
        ((archived_path, is_archived, archived_at, *names),) = database.execute(
            "SELECT rollout_path, archived, archived_at, name, title FROM threads"
        )
        assert (archived_path, is_archived, names) == (str(archived), 1, ["new", "new"])
        assert archived_at > 1_700_000_000

        unarchive(ID)
        rename_session(ID, None)
        expected = (ID, str(path), 0, None, None, "one", "one", "one", "legacy")
        assert database.execute("SELECT * FROM threads").fetchall() == [expected]

        delete(ID)
        assert database.execute("SELECT * FROM threads").fetchall() == []
