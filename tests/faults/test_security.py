"""
Hostile surroundings: names, links, permissions, a repository. Tests of git are in test_git.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rollout import (
    Recorder,
    RolloutError,
    SessionNotFoundError,
    find_session,
    follow,
    list_sessions,
    load_history,
    repair,
)
from tests import rollouts
from tests.faults.programs import Program, in_order

pytestmark = pytest.mark.promise("security")

HOSTILE_IDS = [
    "../../../../tmp/x",
    "/etc/passwd",
    "",
    ".",
    "x\0y",
    "01a1fbb5-7abd-7c53-8766-f128212a613b/../x",
    "01a1fbb5-7abd-7c53-8766-f128212a613b\n",
    "$(id)",
]


@pytest.mark.promise("security", naive="fails")
@pytest.mark.parametrize("umask", [0o000, 0o022, pytest.param(0o077, marks=pytest.mark.promise("security"))])
def test_new_files_are_only_for_their_owner_with_any_umask(program: Program, home: Path, umask: int) -> None:
    path = program.run(f"os.umask({umask})\nrec = rollout.Recorder()\nrec.flush()\nrec.close()\nprint(rec.path)")

    below = [home, *home.rglob("*")]
    assert {stat.S_IMODE(place.stat().st_mode) for place in below if place.is_dir()} == {0o700}
    assert {stat.S_IMODE(place.stat().st_mode) for place in below if place.is_file()} == {0o600}
    assert Path(path) in below


def test_existing_files_keep_their_modes(home: Path) -> None:
    path = rollouts.put(home, rollouts.seed_session("one"))
    path.chmod(0o640)
    path.parent.chmod(0o750)

    with Recorder.resume(path) as recorder:
        recorder.user_message("two")

    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750


@pytest.mark.parametrize("session_id", HOSTILE_IDS)
def test_an_id_that_is_no_uuid_creates_and_opens_no_file(home: Path, session_id: str) -> None:
    with pytest.raises(ValueError, match=r"badly formed|null"):
        Recorder(home=home, session_id=session_id)
    with pytest.raises((SessionNotFoundError, OSError, ValueError)):
        find_session(session_id, home=home)

    assert not home.exists()


@pytest.mark.parametrize("session_id", HOSTILE_IDS)
def test_a_hostile_id_in_a_file_creates_no_lock_outside_the_home(home: Path, session_id: str) -> None:
    path = rollouts.put(home, rollouts.seed_session("one", session_id=session_id))
    before = path.read_bytes()

    with pytest.raises(RolloutError):
        Recorder.resume(path)

    assert path.read_bytes() == before
    locks = {entry.name for entry in (home / "thread-writer-locks").iterdir()}
    assert locks <= {".coordination.lock", f"{rollouts.ID}.lock"}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    return folder


def test_a_linked_rollout_is_neither_listed_nor_found_nor_resumed(home: Path, outside: Path) -> None:
    target = outside / f"rollout-2026-11-21T01-25-37-{rollouts.ID}.jsonl"
    target.write_bytes(rollouts.encode(rollouts.seed_session("secret")))
    before = target.read_bytes()
    link = home / "sessions/2026/11/21" / target.name
    link.parent.mkdir(parents=True)
    link.symlink_to(target)

    assert list_sessions(home=home).items == ()
    with pytest.raises(SessionNotFoundError):
        find_session(rollouts.ID, home=home)
    with pytest.raises(OSError, match="symbolic links"):
        Recorder.resume(link)
    assert target.read_bytes() == before


@pytest.mark.parametrize("place", ["2026", "2026/11", "2026/11/21"])
def test_a_linked_year_month_or_day_folder_is_not_followed(home: Path, outside: Path, place: str) -> None:
    real = rollouts.put(outside, rollouts.seed_session("secret"))
    link = home / "sessions" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(real.parents[3 - place.count("/") - 1] if place != "2026/11/21" else real.parent)

    assert list_sessions(home=home).items == ()
    with pytest.raises(SessionNotFoundError):
        find_session(rollouts.ID, home=home)


def test_no_session_is_created_in_a_linked_folder_but_the_sessions_folder_may_be_a_link(
    home: Path, outside: Path
) -> None:
    home.mkdir()
    (home / "sessions").symlink_to(outside)
    with Recorder(home=home) as recorder:
        recorder.user_message("on a larger disk")
    assert [item.preview for item in list_sessions(home=home).items] == ["on a larger disk"]
    year = recorder.path.parents[2]
    year.rename(outside / "elsewhere")
    year.symlink_to(outside / "elsewhere")

    with pytest.raises(OSError, match="a symbolic link is in the place of a session folder"):
        Recorder(home=home)

    assert len(list((outside / "elsewhere").rglob("*.jsonl"))) == 1


def test_a_link_instead_of_a_lock_file_is_not_followed(home: Path, outside: Path) -> None:
    victim = outside / "victim"
    victim.write_text("precious")
    locks = home / "thread-writer-locks"
    locks.mkdir(parents=True)
    (locks / f"{rollouts.ID}.lock").symlink_to(victim)

    with pytest.raises(OSError, match="symbolic links"):
        Recorder(home=home, session_id=rollouts.ID)

    assert victim.read_text() == "precious"


def test_repair_follows_no_link_and_copies_no_permissions(home: Path, outside: Path) -> None:
    path = rollouts.put(home, rollouts.seed_session("one"))
    path.chmod(0o666)
    victim = outside / "victim"
    victim.write_text("precious")
    (home / "repaired").mkdir()
    unfinished = home / "repaired" / (path.name + ".tmp")
    unfinished.symlink_to(victim)

    with pytest.raises(OSError, match="symbolic links"):
        repair(path)
    unfinished.unlink()
    done = repair(path)

    assert victim.read_text() == "precious"
    assert stat.S_IMODE(done.copy.stat().st_mode) == 0o600


def test_a_pipe_a_device_and_a_folder_are_errors_without_a_wait(tmp_path: Path) -> None:
    pipe = tmp_path / "rollout-2026-11-21T01-25-37-01a1fbb5-7abd-7c53-8766-f128212a613b.jsonl"
    os.mkfifo(pipe)

    for path in (pipe, Path("/dev/zero"), tmp_path):
        for read in (load_history, follow, repair):
            with pytest.raises(OSError):
                read(path)


def test_a_recorded_cwd_is_never_executed_or_opened(home: Path, outside: Path) -> None:
    meta = rollouts.meta(cwd=f"{outside}/$(touch pwned)", git={"commit_hash": "`touch pwned`"})
    path = rollouts.put(home, [meta, *rollouts.prompt("one")])

    with Recorder.resume(path) as recorder:
        recorder.user_message("two")

    assert load_history(path).meta.cwd == f"{outside}/$(touch pwned)"
    assert list(outside.iterdir()) == []
    assert in_order(path)[-1] == "two"
