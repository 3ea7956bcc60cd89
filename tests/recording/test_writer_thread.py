"""
The writer's thread: its start, and its death by a bug.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from rollout import Recorder, RolloutError, WriteError, WriterStartError
from rollout.home import SessionLock, create_session_file
from rollout.recording._append_file import AppendFile
from rollout.recording._commands import Flush
from rollout.recording._waiting import Deadline
from tests.disks import WatchedDisk
from tests.rollouts import ID


def fail_for_a_bug(data: bytes) -> None:
    raise RuntimeError("bug")


def test_a_recorder_whose_thread_cannot_start_leaves_no_file_and_no_lock(
    home: Path, no_new_threads: Callable[[], AbstractContextManager[None]]
) -> None:
    with no_new_threads(), pytest.raises(WriterStartError, match="cannot record: can't start new thread"):
        Recorder(home=home)

    assert list(home.glob("sessions/*/*/*/*")) == []
    assert [path.name for path in (home / "thread-writer-locks").iterdir()] == [".coordination.lock"]


def test_an_interrupt_while_the_thread_starts_leaves_no_thread_and_no_lock(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = threading.Thread.start

    def start(self: threading.Thread) -> None:
        real(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(KeyboardInterrupt):
        Recorder(home=home, session_id=ID)
    monkeypatch.undo()

    deadline = time.monotonic() + 10
    while list((home / "thread-writer-locks").glob("*-*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_discarded_file_stays_if_something_was_written_to_it(home: Path) -> None:
    path, fd = create_session_file(home, ID, time.time())
    os.write(fd, b"{}\n")
    file = AppendFile(path, fd, SessionLock(home, ID))

    file.discard()

    assert path.read_bytes() == b"{}\n"


def test_after_the_death_of_the_writer_every_waiting_and_every_later_call_raises_an_error(
    home: Path, disk: WatchedDisk, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = disk.Recorder(home=home)
    recorder.flush()
    disk.on_write = fail_for_a_bug

    recorder.user_message("lost")
    with pytest.raises(RolloutError):
        recorder.flush(timeout=10)
    recorder._writer._thread.join(10)
    with pytest.raises(WriteError, match="lines lost: 2"):
        recorder.flush(timeout=10)
    with pytest.raises(WriteError):
        recorder.user_message("x")
    with pytest.raises(WriteError) as closing:
        recorder.close(timeout=10)

    assert isinstance(closing.value.__cause__, RuntimeError)
    assert "the writer died" in caplog.text
    recorder._finalizer.detach()


def test_a_writer_that_dies_releases_the_lock_on_the_session(home: Path, disk: WatchedDisk) -> None:
    recorder = disk.Recorder(home=home)
    recorder.flush()
    disk.on_write = fail_for_a_bug
    recorder.user_message("lost")
    recorder._writer._thread.join(10)
    recorder._finalizer.detach()

    assert [path.name for path in (home / "thread-writer-locks").iterdir()] == [".coordination.lock"]


def test_a_command_that_is_queued_after_the_thread_has_ended_is_answered(home: Path) -> None:
    recorder = Recorder(home=home)
    recorder.close()
    command = Flush()

    recorder._writer._wait_for_answer(command, True, "flush", 5, Deadline(5))

    assert command.done.is_set()
