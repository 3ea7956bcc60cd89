"""
How many lines the writer writes with one call.
"""

from __future__ import annotations

import threading
import time

import pytest

from rollout import Recorder, WriteError, load_history
from rollout.recording import _queue as queue_module
from tests.disks import WatchedDisk
from tests.rollouts import prompts_of


def test_items_recorded_while_the_disk_is_busy_are_written_together(recorder: Recorder, disk: WatchedDisk) -> None:
    recorder.flush()
    reached = disk.hold()
    recorder.user_message("0")
    assert reached.wait(10)

    for n in range(1, 50):
        recorder.user_message(str(n))
    disk.release()
    recorder.flush()

    assert prompts_of(recorder.path) == [str(n) for n in range(50)]
    assert len(disk.calls_of("write")) <= 3


def test_items_in_quick_succession_are_written_together_and_flush_writes_them_at_once(
    recorder: Recorder, disk: WatchedDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "LINGER", 30)
    recorder.flush()
    before = len(disk.calls)

    for n in range(20):
        recorder.user_message(str(n))
    assert len(disk.calls) == before
    start = time.monotonic()
    recorder.flush()

    assert time.monotonic() - start < 10
    assert prompts_of(recorder.path) == [str(n) for n in range(20)]


def test_a_half_full_queue_is_written_without_a_wait_for_more_items(
    recorder: Recorder, disk: WatchedDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "LINGER", 30)
    recorder.flush()
    written = threading.Event()
    disk.on_write = lambda data: written.set()

    for n in range(128):
        recorder.user_message(str(n))

    assert written.wait(10)


def test_waiting_lines_of_several_megabytes_are_written_with_several_calls_and_in_order(
    recorder: Recorder, disk: WatchedDisk
) -> None:
    recorder.flush()
    disk.fill(1000)
    for n in range(30):
        recorder.agent_message(f"{n}:" + "x" * 100_000)
    with pytest.raises(WriteError):
        recorder.flush()
    disk.fill(0)
    disk.calls.clear()

    recorder.flush()

    assert len(disk.calls_of("write")) == 6
    said = [line.payload["message"] for line in load_history(recorder.path).lines if line.type == "event_msg"]
    assert [text.partition(":")[0] for text in said] == [str(n) for n in range(30)]
