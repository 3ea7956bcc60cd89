from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollout import SessionBusyError, _lock
from rollout._lock import SessionLock, sessions_held
from tests.rollouts import ID

HOLD = """
import sys, pathlib
from rollout._lock import SessionLock, _coordinated
if sys.argv[2] == "session":
    lock = SessionLock(pathlib.Path(sys.argv[1]), sys.argv[3])
    print("held", flush=True)
    sys.stdin.read()
    lock.release()
else:
    with _coordinated(pathlib.Path(sys.argv[1]) / "thread-writer-locks"):
        print("held", flush=True)
        sys.stdin.read()
"""


class Holder:
    """
    Another process that holds a lock until it is told to let go.
    """

    def __init__(self, home: Path, what: str) -> None:
        command = [sys.executable, "-c", HOLD, str(home), what, ID]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def let_go(self) -> None:
        self.process.communicate(timeout=30)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=30)


@pytest.fixture
def holder(home: Path) -> Iterator[Holder]:
    holder = Holder(home, "session")
    yield holder
    holder.kill()


def lock_file(home: Path) -> Path:
    return home / "thread-writer-locks" / f"{ID}.lock"


def test_excludes_a_second_in_the_same_process_until_it_is_released(home: Path) -> None:
    lock = SessionLock(home, ID)

    with pytest.raises(SessionBusyError) as busy:
        SessionLock(home, ID)

    assert busy.value.path == lock_file(home)
    lock.release()
    SessionLock(home, ID).release()


def test_excludes_other_processes(home: Path, holder: Holder) -> None:
    with pytest.raises(SessionBusyError):
        SessionLock(home, ID)

    holder.let_go()
    SessionLock(home, ID).release()


def test_of_a_killed_process_is_free_though_its_file_is_there(home: Path, holder: Holder) -> None:
    holder.kill()

    assert lock_file(home).exists()
    SessionLock(home, ID).release()


def test_does_not_exclude_other_sessions(home: Path) -> None:
    first, second = SessionLock(home, ID), SessionLock(home, ID[:-1] + "0")

    first.release()
    second.release()


def test_leaves_nothing_but_the_file_codex_leaves(home: Path) -> None:
    lock = SessionLock(home, ID)
    assert lock_file(home).stat().st_size == 0

    lock.release()
    lock.release()

    assert [path.name for path in lock_file(home).parent.iterdir()] == [".coordination.lock"]
    assert lock_file(home).parent.stat().st_mode & 0o777 == 0o700


def test_waits_for_who_is_making_or_removing_a_lock_file(home: Path) -> None:
    (home / "thread-writer-locks").mkdir(parents=True)
    other = Holder(home, "coordination")
    locks: list[SessionLock] = []
    waiting = threading.Thread(target=lambda: locks.append(SessionLock(home, ID)))
    waiting.start()

    waiting.join(0.05)
    was_waiting = waiting.is_alive()
    other.let_go()
    waiting.join(30)

    assert was_waiting
    locks[0].release()


def test_waits_no_longer_than_its_limit(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "thread-writer-locks").mkdir(parents=True)
    other = Holder(home, "coordination")
    monkeypatch.setattr(_lock, "_COORDINATION_TIMEOUT", 0.02)

    with pytest.raises(SessionBusyError, match="coordination"):
        SessionLock(home, ID)

    other.let_go()


def test_is_freed_also_when_its_file_cannot_be_removed(home: Path) -> None:
    lock = SessionLock(home, ID)
    lock.path.unlink()

    lock.release()

    SessionLock(home, ID).release()


def test_of_a_home_that_cannot_be_written_is_an_os_error(home: Path) -> None:
    home.mkdir()
    (home / "thread-writer-locks").write_text("in the way")

    with pytest.raises(FileExistsError):
        SessionLock(home, ID)


def test_follows_no_link(home: Path, tmp_path: Path) -> None:
    lock_file(home).parent.mkdir(parents=True)
    lock_file(home).symlink_to(tmp_path / "target")

    with pytest.raises(OSError, match="symbolic"):
        SessionLock(home, ID)

    assert not (tmp_path / "target").exists()
    assert len(list(lock_file(home).parent.iterdir())) == 2


def test_who_holds_a_session_is_seen_without_taking_its_lock(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home / "thread-writer-locks"
    assert sessions_held(home) == set()

    with SessionLock(home, ID):
        (folder / "left.lock").touch()
        (folder / "gone.lock").symlink_to(home / "nowhere")
        assert sessions_held(home) == {ID}
        # Where the system does not say who holds what.
        monkeypatch.setattr(_lock, "_LOCKS_HELD", home / "nowhere")
        assert sessions_held(home) == {ID, "left", "gone"}

    monkeypatch.undo()
    assert sessions_held(home) == set()
