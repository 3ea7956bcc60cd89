"""
The end of a process, simulated in this one. Real ends are in tests/faults.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rollout import Recorder, WriteError, WriterStartError
from rollout.recording import _lifecycle as lifecycle_module
from tests.disks import WatchedDisk
from tests.rollouts import prompts_of


@pytest.fixture(autouse=True)
def ending(monkeypatch: pytest.MonkeyPatch) -> None:
    # Restored after the test.
    monkeypatch.setattr(lifecycle_module._Ending, "has_begun", False)


def test_the_end_closes_all_recorders_and_logs_which_lines_could_not_be_written(
    home: Path, disk: WatchedDisk, caplog: pytest.LogCaptureFixture
) -> None:
    fine, full = Recorder(home=home), disk.Recorder(home=home)
    full.flush()
    fine.user_message("x")
    disk.fill(100)
    full.user_message("kept")

    lifecycle_module.close_all()

    assert fine.closed
    assert prompts_of(fine.path) == ["x"]
    assert "at exit: " in caplog.text
    assert "lines that wait in memory: 2" in caplog.text
    disk.recover()
    full.close()
    fine.close()


def test_the_end_tries_again_to_close_an_unreferenced_recorder_whose_close_failed(
    home: Path, disk: WatchedDisk
) -> None:
    recorder = disk.Recorder(home=home)
    path = recorder.path
    recorder.flush()
    disk.fill(1)
    recorder.user_message("kept")
    with pytest.raises(WriteError):
        recorder.close()

    del recorder
    gc.collect()
    lifecycle_module.close_all()

    assert prompts_of(path) == ["kept"]


def test_a_recorder_that_hangs_at_the_end_does_not_use_up_the_time_of_the_others(
    home: Path, disk: WatchedDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle_module, "EXIT_TIMEOUT", 0.3)
    hanging = disk.Recorder(home=home)
    others = [Recorder(home=home) for _ in range(5)]
    for recorder in (hanging, *others):
        recorder.flush()
    reached = disk.hold()
    hanging.user_message("hangs")
    assert reached.wait(10)
    for recorder in others:
        recorder.user_message("x")

    reported: list[str] = []

    class RecordingHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            reported.append(record.getMessage())
            others[0].user_message("from a logging handler")

    monkeypatch.setattr(lifecycle_module._log, "handlers", [RecordingHandler()])
    monkeypatch.setattr(lifecycle_module, "_snapshot", lambda: [hanging._writer, *(other._writer for other in others)])
    lifecycle_module.close_all()
    disk.release()

    assert "close took more than" in reported[0]
    assert [prompts_of(recorder.path) for recorder in others] == [["x"]] * 5
    assert all(recorder.closed for recorder in others)
    hanging.close()


def test_the_end_copies_the_list_of_writers_again_if_one_ends_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    class Changing:
        count = 0

        def __iter__(self) -> Iterator[Any]:
            self.count += 1
            if self.count == 1:
                raise RuntimeError("Set changed size during iteration")
            return iter([])

    changing = Changing()
    monkeypatch.setattr(lifecycle_module, "live", changing)

    assert lifecycle_module._snapshot() == []
    assert changing.count == 2


def test_the_end_waits_for_a_recorder_that_another_thread_is_creating(home: Path) -> None:
    is_begun, may_go_on = threading.Event(), threading.Event()
    made: list[Recorder] = []

    def make() -> None:
        with lifecycle_module.starting():
            is_begun.set()
            may_go_on.wait(10)
            lifecycle_module._Ending.has_begun = False
            made.append(Recorder(home=home))

    maker = threading.Thread(target=make)
    maker.start()
    is_begun.wait(10)
    end = threading.Thread(target=lifecycle_module._end)
    end.start()
    may_go_on.set()
    maker.join(10)
    end.join(10)

    assert made[0].closed


def test_the_end_waits_only_for_a_limited_time_for_a_recorder_that_is_being_created(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifecycle_module, "_STARTING_TIMEOUT", 0.02)

    with lifecycle_module.starting():
        lifecycle_module._end()

    assert lifecycle_module._Ending.has_begun


def test_a_child_of_multiprocessing_closes_its_recorders_after_its_last_thread_has_ended(home: Path) -> None:
    may_end = threading.Event()
    last = threading.Thread(target=may_end.wait)
    last.start()
    recorder = Recorder(home=home)

    lifecycle_module._end_after_threads()
    recorder.user_message("after the main thread")
    (waiting,) = (thread for thread in threading.enumerate() if thread.name == "rollout-exit")
    may_end.set()
    waiting.join(10)

    assert recorder.closed
    assert prompts_of(recorder.path) == ["after the main thread"]


@pytest.mark.parametrize("can_start", [True, False])
def test_after_the_main_thread_has_ended_a_recorder_is_created_only_if_a_thread_can_start(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_new_threads: Callable[[], AbstractContextManager[None]],
    can_start: bool,
) -> None:
    monkeypatch.setattr(threading, "main_thread", lambda: SimpleNamespace(is_alive=lambda: False))
    if can_start:
        Recorder(home=home).close()
    else:
        with no_new_threads(), pytest.raises(WriterStartError, match="the program is ending"):
            Recorder(home=home)

    assert home.exists() == can_start


def test_an_exit_handler_that_imports_the_package_finds_that_the_program_is_ending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    main = SimpleNamespace(is_alive=lambda: False)
    monkeypatch.setattr(threading, "main_thread", lambda: main)
    monkeypatch.setattr(threading, "current_thread", lambda: main)

    assert lifecycle_module._is_ending()


def test_a_program_without_multiprocessing_registers_no_finalizer_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle_module._Ending, "is_known_to_multiprocessing", False)
    monkeypatch.delitem(sys.modules, "multiprocessing.util", raising=False)

    lifecycle_module._register_with_multiprocessing()

    assert not lifecycle_module._Ending.is_known_to_multiprocessing
    assert not lifecycle_module._is_ending()
