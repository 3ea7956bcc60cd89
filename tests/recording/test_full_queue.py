"""
Limits on the waiting items, and calls that wait for space.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rollout import FlushTimeoutError, Recorder, RecorderFullError
from rollout.recording import _queue as queue_module
from tests.disks import WatchedDisk
from tests.rollouts import prompts_of


def recorder_with_full_queue(disk: WatchedDisk, home: Path, *, queue_size: int = 1) -> Any:
    """
    Return a recorder whose disk is held up: the message "0" is being written, those after it fill the queue.
    """
    recorder = disk.Recorder(home=home, queue_size=queue_size)
    recorder.flush()
    reached = disk.hold()
    recorder.user_message("0")
    assert reached.wait(10)
    for number in range(queue_size):
        recorder.user_message(str(number + 1))
    return recorder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queue_size": 0}, "queue_size is at least 1, not 0"),
        ({"max_waiting_size": -1}, "max_waiting_size is at least 1, not -1"),
        ({"on_full": "drop"}, "on_full is 'block' or 'raise', not 'drop'"),
    ],
)
def test_an_invalid_limit_is_refused_before_a_file_is_created(
    home: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Recorder(home=home, **options)  # type: ignore[arg-type]

    assert not home.exists()


def test_record_waits_while_the_queue_is_full_and_continues_when_there_is_space(home: Path, disk: WatchedDisk) -> None:
    recorder = recorder_with_full_queue(disk, home)

    blocked = threading.Thread(target=recorder.user_message, args=("2",))
    blocked.start()
    blocked.join(0.05)
    was_waiting = blocked.is_alive()
    disk.release()
    blocked.join(10)

    assert was_waiting
    recorder.close()
    assert prompts_of(recorder.path) == ["0", "1", "2"]


def test_a_record_that_waits_for_space_checks_repeatedly_that_the_wait_can_end(
    home: Path, disk: WatchedDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "_CHECK_INTERVAL", 0.001)
    recorder = recorder_with_full_queue(disk, home)
    checks: list[int] = []
    recorder._writer._commands._check = lambda _: checks.append(1)

    blocked = threading.Thread(target=recorder.user_message, args=("2",))
    blocked.start()
    while len(checks) < 3:
        assert blocked.is_alive()
        time.sleep(0.001)
    disk.release()
    blocked.join(10)

    recorder.close()
    assert prompts_of(recorder.path) == ["0", "1", "2"]


def test_flush_with_a_limit_ends_in_time_while_the_queue_is_full(home: Path, disk: WatchedDisk) -> None:
    recorder = recorder_with_full_queue(disk, home, queue_size=2)

    with pytest.raises(FlushTimeoutError):
        recorder.flush(timeout=0.05)

    disk.release()
    recorder.close()
    assert prompts_of(recorder.path) == ["0", "1", "2"]


def test_a_full_recorder_whose_on_full_is_raise_raises_recorder_full(home: Path, disk: WatchedDisk) -> None:
    recorder = disk.Recorder(home=home, queue_size=1, on_full="raise")
    recorder.flush()
    reached = disk.hold()
    recorder.user_message("being written")
    assert reached.wait(10)
    recorder.user_message("queued")

    with pytest.raises(RecorderFullError) as caught:
        recorder.user_message("refused")

    assert caught.value.queued == 1
    disk.release()
    recorder.close()
    assert prompts_of(recorder.path) == ["being written", "queued"]


def test_the_error_of_a_full_recorder_reports_how_much_waits_and_why(home: Path) -> None:
    error = RecorderFullError(home / "rollout-x.jsonl", 3, 4096)

    assert str(error) == (
        "rollout-x.jsonl: 3 calls and 4096 bytes already wait to be written; nothing of this call was recorded. "
        "Wait for flush() and record it again."
    )
    error.__cause__ = OSError(28, "No space left on device")
    assert "No space left on device; 3 calls" in str(error)


def test_the_queue_is_that_of_the_standard_library_even_if_gevent_has_replaced_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Green:
        __module__ = "gevent.queue"

    monkeypatch.setattr(queue_module.queue, "Queue", Green)

    assert queue_module._standard_queue()().mutex
