"""
Writes that fail or write only a part: which lines wait, and what the file contains meanwhile and afterwards.
"""

from __future__ import annotations

import errno
import fcntl
import time
from pathlib import Path

import pytest

from rollout import Recorder, WriteError, load_history
from rollout.recording import _writer as writer_module
from tests.disks import WatchedDisk
from tests.rollouts import prompts_of


@pytest.mark.parametrize("after", [0, 1, 150])
def test_the_lines_of_failed_writes_are_written_by_the_next_write_once_and_in_order(
    recorder: Recorder, disk: WatchedDisk, after: int
) -> None:
    recorder.flush()
    disk.fill(2, after=after)

    recorder.user_message("one")
    with pytest.raises(WriteError) as first:
        recorder.flush()
    recorder.user_message("two")
    with pytest.raises(WriteError) as second:
        recorder.flush()
    recorder.user_message("three")
    recorder.flush()

    assert (first.value.pending, second.value.pending) == (2, 4)
    assert isinstance(first.value.__cause__, OSError)
    assert "No space left on device" in str(first.value)
    assert prompts_of(recorder.path) == ["one", "two", "three"]
    assert load_history(recorder.path).skipped == ()
    assert recorder.stats.last_error is None


def test_a_short_write_is_completed(recorder: Recorder, disk: WatchedDisk) -> None:
    disk.on_write = lambda data: max(1, len(data) // 2)

    recorder.user_message("x" * 1000)
    recorder.flush()

    assert prompts_of(recorder.path) == ["x" * 1000]


def test_an_incomplete_line_is_removed_from_the_file_when_the_disk_is_full(
    recorder: Recorder, disk: WatchedDisk
) -> None:
    recorder.flush()
    before = recorder.path.read_bytes()
    disk.fill(1, after=20)

    recorder.user_message("one")
    with pytest.raises(WriteError):
        recorder.flush()

    assert recorder.path.read_bytes() == before


def test_an_incomplete_line_that_cannot_be_removed_is_completed_by_the_next_write(
    recorder: Recorder, disk: WatchedDisk
) -> None:
    def refuse(fd: int, size: int) -> None:
        raise OSError(errno.EPERM, "append only")

    recorder.flush()
    disk.fill(1, after=20)
    disk.ftruncate = refuse

    recorder.user_message("one")
    with pytest.raises(WriteError):
        recorder.flush()
    half = recorder.path.read_bytes()
    recorder.flush()

    assert not half.endswith(b"\n")
    assert prompts_of(recorder.path) == ["one"]
    assert recorder.stats.written_lines == 3


def test_an_incomplete_line_stays_if_another_program_has_appended_to_it(recorder: Recorder, disk: WatchedDisk) -> None:
    def write_a_part(data: bytes) -> int:
        disk.on_write = fail_after_another_program
        return 20

    def fail_after_another_program(data: bytes) -> None:
        with recorder.path.open("ab") as file:
            file.write(b"\nforeign\n")
        disk.recover()
        raise OSError(errno.EIO, "I/O error")

    recorder.flush()
    disk.on_write = write_a_part

    recorder.user_message("one")
    with pytest.raises(WriteError):
        recorder.flush()

    assert b"\nforeign\n" in recorder.path.read_bytes()


def test_an_incomplete_line_stays_and_is_written_again_while_another_process_may_append(
    recorder: Recorder, disk: WatchedDisk
) -> None:
    recorder.flush()
    disk.fill(1, after=20)

    with recorder.path.open("rb") as other:
        # The lock of a forked child that may write.
        fcntl.flock(other, fcntl.LOCK_SH)
        recorder.user_message("one")
        with pytest.raises(WriteError, match="another process may append after it"):
            recorder.flush()
        with pytest.raises(WriteError, match="No space left"):
            recorder.flush()
    recorder.flush()

    assert prompts_of(recorder.path) == ["one"]
    assert [skipped.size for skipped in load_history(recorder.path).skipped] == [20]


def test_lines_that_a_disk_refused_are_tried_again_without_a_call_but_not_at_every_record(
    home: Path, disk: WatchedDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "RETRY_INTERVAL", 0.2)
    recorder = disk.Recorder(home=home)
    recorder.flush()
    tries = []

    def refuse(data: bytes) -> None:
        tries.append(data)
        raise OSError(errno.ENOSPC, "full")

    disk.on_write = refuse
    for n in range(50):
        recorder.user_message(str(n))
        time.sleep(0.001)
    assert len(tries) < 10

    disk.recover()
    deadline = time.monotonic() + 10
    while recorder.stats.pending or recorder.stats.queued:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert prompts_of(recorder.path) == [str(n) for n in range(50)]
    recorder.close()
