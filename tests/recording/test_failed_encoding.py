"""
Items and lines for which there is no memory, or that a bug keeps from being encoded.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from rollout import Recorder, RecorderFullError, WriteError
from rollout.recording import _encoder as encoder_module
from rollout.recording._append_file import AppendFile
from tests.disks import WatchedDisk
from tests.rollouts import prompts_of


def test_an_item_that_cannot_be_encoded_is_reported_as_lost_and_the_others_are_written(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = encoder_module.encode_item

    def bug(kind: str, payload: Any, *rest: Any) -> bytes:
        if payload.get("message") == "big":
            raise AttributeError
        return real(kind, payload, *rest)

    recorder = Recorder(home=home)
    recorder.flush()
    monkeypatch.setattr(encoder_module, "encode_item", bug)
    recorder.record({"type": "event_msg", "payload": {"type": "user_message", "message": "big"}})
    recorder.user_message("small")

    with pytest.raises(WriteError, match="lines lost: 1"):
        recorder.flush()

    assert prompts_of(recorder.path) == ["small"]
    with pytest.raises(WriteError):
        recorder.close()


@pytest.mark.promise("full")
def test_items_for_which_there_is_no_memory_wait_and_are_written_in_order_when_there_is_memory(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = encoder_module.encode_item

    def short_of_memory(kind: str, payload: Any, *rest: Any) -> bytes:
        if payload.get("message") == "big":
            raise MemoryError
        return real(kind, payload, *rest)

    recorder = Recorder(home=home, queue_size=1, max_waiting_size=50_000)
    recorder.flush()
    monkeypatch.setattr(encoder_module, "encode_item", short_of_memory)
    recorder.user_message("before")
    recorder.record(
        *({"type": "event_msg", "payload": {"type": "user_message", "message": t}} for t in ("big", "after"))
    )

    with pytest.raises(WriteError, match="wait in memory: 2"):
        recorder.flush()
    assert prompts_of(recorder.path) == ["before"]
    recorder.agent_message("accepted, but not tried at once")
    while recorder.stats.queued:
        time.sleep(0.001)
    with pytest.raises(RecorderFullError, match="MemoryError"):
        while True:
            recorder.user_message("x" * 1000)
    monkeypatch.undo()
    recorder.flush()

    assert prompts_of(recorder.path)[:3] == ["before", "big", "after"]
    assert recorder.stats.last_error is None
    recorder.close()


def test_lines_that_cannot_be_joined_for_lack_of_memory_wait_and_a_line_over_a_megabyte_is_written_alone(
    recorder: Recorder, disk: WatchedDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: AppendFile, lines: list[bytes]) -> bytes:
        raise MemoryError

    recorder.flush()
    with monkeypatch.context() as patched:
        patched.setattr(AppendFile, "_joined", fail)
        recorder.agent_message("small")
        recorder.record({"type": "message", "role": "user", "content": [], "text": "x" * 2**21})
        with pytest.raises(WriteError, match="MemoryError; lines that wait in memory: 3"):
            recorder.flush()
    disk.calls.clear()
    recorder.flush()

    assert [call[0] for call in disk.calls] == ["write", "write"]
    assert disk.calls[1][1] > 2**21


def test_lines_that_cannot_be_written_for_lack_of_memory_wait_for_the_next_write(
    recorder: Recorder, disk: WatchedDisk
) -> None:
    def on_write(data: bytes) -> None:
        raise MemoryError

    recorder.flush()
    disk.on_write = on_write
    recorder.user_message("kept")
    with pytest.raises(WriteError, match="wait in memory: 2"):
        recorder.flush()
    disk.recover()
    recorder.flush()

    assert prompts_of(recorder.path) == ["kept"]
