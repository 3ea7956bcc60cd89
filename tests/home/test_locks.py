from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollout import SessionBusyError
from rollout.home import _locks
from rollout.home._locks import SessionLock, locked_sessions
from tests.rollouts import ID

HOLD = """
import sys, pathlib
from rollout.home._locks import SessionLock, _coordinated
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
    Another process that holds a lock until `release` or `kill`.
    """

    def __init__(self, home: Path, what: str) -> None:
        command = [sys.executable, "-c", HOLD, str(home), what, ID]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def release(self) -> None:
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


def test_a_lock_excludes_a_second_one_in_the_same_process_until_it_is_released(home: Path) -> None:
    lock = SessionLock(home, ID)

    with pytest.raises(SessionBusyError) as busy:
        SessionLock(home, ID)

    assert busy.value.path == lock_file(home)
    lock.release()
    SessionLock(home, ID).release()


def test_a_lock_excludes_other_processes(home: Path, holder: Holder) -> None:
    with pytest.raises(SessionBusyError):
        SessionLock(home, ID)

    holder.release()
    SessionLock(home, ID).release()


def test_the_lock_of_a_killed_process_is_free_although_its_file_exists(home: Path, holder: Holder) -> None:
    holder.kill()

    assert lock_file(home).exists()
    SessionLock(home, ID).release()


def test_a_lock_does_not_exclude_other_sessions(home: Path) -> None:
    first, second = SessionLock(home, ID), SessionLock(home, ID[:-1] + "0")

    first.release()
    second.release()


def test_a_released_lock_leaves_only_the_file_that_codex_leaves(home: Path) -> None:
    lock = SessionLock(home, ID)
    assert lock_file(home).stat().st_size == 0

    lock.release()
    lock.release()

    assert [path.name for path in lock_file(home).parent.iterdir()] == [".coordination.lock"]
    assert lock_file(home).parent.stat().st_mode & 0o777 == 0o700


def test_a_lock_waits_while_another_process_creates_or_removes_a_lock_file(home: Path) -> None:
    (home / "thread-writer-locks").mkdir(parents=True)
    other = Holder(home, "coordination")
    locks: list[SessionLock] = []
    waiting = threading.Thread(target=lambda: locks.append(SessionLock(home, ID)))
    waiting.start()

    waiting.join(0.05)
    was_waiting = waiting.is_alive()
    other.release()
    waiting.join(30)

    assert was_waiting
    locks[0].release()


def test_a_lock_waits_no_longer_than_its_timeout(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "thread-writer-locks").mkdir(parents=True)
    other = Holder(home, "coordination")
    monkeypatch.setattr(_locks, "_COORDINATION_TIMEOUT", 0.02)

    with pytest.raises(SessionBusyError, match="coordination"):
        SessionLock(home, ID)

    other.release()


def test_a_lock_can_be_released_after_its_file_was_removed(home: Path) -> None:
    lock = SessionLock(home, ID)
    lock.path.unlink()

    lock.release()

    SessionLock(home, ID).release()


def test_a_lock_in_an_unwritable_home_raises_os_error(home: Path) -> None:
    home.mkdir()
    (home / "thread-writer-locks").write_text("in the way")

    with pytest.raises(FileExistsError):
        SessionLock(home, ID)


def test_a_lock_follows_no_link(home: Path, tmp_path: Path) -> None:
    lock_file(home).parent.mkdir(parents=True)
    lock_file(home).symlink_to(tmp_path / "target")

    with pytest.raises(OSError, match="symbolic"):
        SessionLock(home, ID)

    assert not (tmp_path / "target").exists()
    assert len(list(lock_file(home).parent.iterdir())) == 2


def test_locked_sessions_are_found_without_taking_their_locks(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home / "thread-writer-locks"
    assert locked_sessions(home) == set()

    with SessionLock(home, ID):
        (folder / "left.lock").touch()
        (folder / "gone.lock").symlink_to(home / "nowhere")
        assert locked_sessions(home) == {ID}
        # On a system without a list of locks.
        monkeypatch.setattr(_locks, "_LOCKS_HELD", home / "nowhere")
        assert locked_sessions(home) == {ID, "left", "gone"}

    monkeypatch.undo()
    assert locked_sessions(home) == set()
