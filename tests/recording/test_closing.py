"""
`close`, `flush` with a limit, and the end of a `with` block: what they report, and what a further call can do.
"""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from rollout import FlushTimeoutError, Recorder, RecorderClosedError, WriteError
from rollout.home._locks import _coordinated
from tests.disks import WatchedDisk
from tests.rollouts import prompts_of


def test_after_close_no_bytes_wait(home: Path) -> None:
    recorder = Recorder(home=home)
    recorder.user_message("x")

    recorder.close()

    assert recorder.stats.waiting_size == 0


def test_a_close_that_fails_accepts_no_more_items_and_keeps_the_waiting_lines_for_another_close(
    home: Path, disk: WatchedDisk
) -> None:
    recorder = disk.Recorder(home=home)
    recorder.flush()
    disk.fill(1)
    recorder.user_message("kept")

    with pytest.raises(WriteError, match="wait in memory: 2"):
        recorder.close()
    with pytest.raises(RecorderClosedError):
        recorder.user_message("too late")
    recorder.close()

    assert prompts_of(recorder.path) == ["kept"]


def test_the_end_of_a_with_block_raises_write_error_if_the_disk_is_full(home: Path, disk: WatchedDisk) -> None:
    recorder = disk.Recorder(home=home)
    recorder.flush()
    disk.fill(1)

    with pytest.raises(WriteError), recorder:
        recorder.user_message("x")

    recorder.close()


def test_a_close_that_fails_is_logged_and_does_not_replace_the_exception_of_a_with_block(
    home: Path, disk: WatchedDisk, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = disk.Recorder(home=home)
    recorder.flush()
    disk.fill(1)

    with pytest.raises(ZeroDivisionError), recorder:
        recorder.user_message("x")
        raise ZeroDivisionError

    assert "No space left on device" in caplog.text
    recorder.close()


def test_flush_and_close_on_a_disk_that_hangs_end_in_time_and_report_how_much_waits(
    home: Path, disk: WatchedDisk
) -> None:
    recorder = disk.Recorder(home=home)
    recorder.flush()
    reached = disk.hold()
    recorder.user_message("x")
    assert reached.wait(10)

    with pytest.raises(FlushTimeoutError, match="flush took more than") as flush:
        recorder.flush(timeout=0.15)
    with pytest.raises(FlushTimeoutError, match="close took more than"):
        recorder.close(timeout=0.05)

    assert flush.value.pending > 0
    disk.release()
    recorder.close()
    assert prompts_of(recorder.path) == ["x"]


def test_close_raises_if_the_session_cannot_be_unlocked_in_time(home: Path) -> None:
    recorder = Recorder(home=home)
    recorder.flush()

    with _coordinated(home / "thread-writer-locks"), pytest.raises(FlushTimeoutError, match="close took more than"):
        recorder.close(timeout=0.2)

    recorder.close()
    assert [path.name for path in (home / "thread-writer-locks").iterdir()] == [".coordination.lock"]


def test_the_writer_of_an_unreferenced_recorder_writes_its_lines_and_ends_when_the_disk_has_space_again(
    home: Path, disk: WatchedDisk
) -> None:
    recorder = disk.Recorder(home=home)
    recorder.flush()
    path, thread = recorder.path, recorder._writer._thread
    assert thread is not None
    disk.fill(1)
    recorder.user_message("kept")
    with pytest.raises(WriteError):
        recorder.close()

    del recorder
    gc.collect()
    thread.join(30)

    assert not thread.is_alive()
    assert prompts_of(path) == ["kept"]
    Recorder.resume(path).close()
