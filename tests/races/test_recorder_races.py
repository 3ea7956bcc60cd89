"""
Races between threads, which events and barriers put into order; every wait has a limit.

The fixtures make the races visible: with a switch interval of a microsecond and a slow disk, a queue that checks
"closed?" and puts under two locks lost the last item in 7 of 60 runs, without both in 0 of 200.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rollout import RecorderClosedError, RolloutError, WriteError
from tests.disks import Disk
from tests.rollouts import prompts_of

RUNS = 20
RUNS_UNDER_STRESS = 300
runs = pytest.mark.parametrize(
    "run", [*range(RUNS), *(pytest.param(n, marks=pytest.mark.slow) for n in range(RUNS, RUNS_UNDER_STRESS))]
)
LIMIT = 30


def write_slowly(fd: int, data: memoryview) -> int:
    # Not to order threads: a disk takes its time, with the interpreter let go.
    time.sleep(0.0005)
    return os.write(fd, data)


@pytest.fixture
def disk() -> Disk:
    return Disk(write=write_slowly)


@pytest.fixture(autouse=True)
def fine_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(*jobs: Callable[[], Any]) -> list[BaseException | None]:
    """
    Run jobs at the same time, each on its own thread; return the outcome of each.
    """
    ends: list[BaseException | None] = [None] * len(jobs)
    barrier = threading.Barrier(len(jobs))

    def run(number: int) -> None:
        barrier.wait(LIMIT)
        try:
            jobs[number]()
        except BaseException as error:  # noqa: BLE001 -- told to the test
            ends[number] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert [thread for thread in threads if thread.is_alive()] == []
    return ends


@pytest.mark.promise("close")
@runs
def test_after_close_every_accepted_item_of_eight_producers_is_in_the_file(home: Path, disk: Disk, run: int) -> None:
    accepted: list[str] = []
    started = threading.Semaphore(0)

    def produce(name: str) -> None:
        for n in range(10_000):
            try:
                recorder.user_message(f"{name}:{n}")
            except RecorderClosedError:
                return
            accepted.append(f"{name}:{n}")
            started.release()

    def close() -> None:
        for _ in range(50):
            assert started.acquire(timeout=LIMIT)
        recorder.close()

    recorder = disk.Recorder(home=home, queue_size=4)
    ends = together(close, *(lambda n=n: produce(str(n)) for n in range(8)))

    assert ends == [None] * 9
    assert sorted(prompts_of(recorder.path)) == sorted(accepted)


@pytest.mark.promise("kill")
@runs
def test_after_each_flush_of_many_threads_the_thread_s_own_item_is_in_the_file(
    home: Path, disk: Disk, run: int
) -> None:
    def record_and_look(name: str) -> None:
        recorder.user_message(name)
        recorder.flush(LIMIT)
        assert f'"{name}"'.encode() in recorder.path.read_bytes()

    with disk.Recorder(home=home, queue_size=2) as recorder:
        ends = together(*(lambda n=n: record_and_look(f"item {n}") for n in range(8)))

    assert ends == [None] * 8


@runs
def test_concurrent_calls_of_close_all_succeed(home: Path, disk: Disk, run: int) -> None:
    recorder = disk.Recorder(home=home)
    recorder.user_message("x")

    ends = together(*[lambda: recorder.close(LIMIT)] * 6)

    assert ends == [None] * 6
    assert prompts_of(recorder.path) == ["x"]


@pytest.mark.promise("close")
@runs
def test_an_item_recorded_while_another_thread_leaves_the_with_body_is_written_or_refused(
    home: Path, disk: Disk, run: int
) -> None:
    recorder = disk.Recorder(home=home)

    def leave() -> None:
        with recorder:
            recorder.user_message("inside")

    ends = together(leave, lambda: recorder.user_message("outside"))

    was_refused = isinstance(ends[1], RecorderClosedError)
    assert sorted(map(str, prompts_of(recorder.path))) == (["inside"] if was_refused else ["inside", "outside"])


@runs
def test_items_waiting_for_a_full_queue_are_accepted_or_refused_when_it_closes(
    home: Path, disk: Disk, run: int
) -> None:
    accepted = []

    def produce(name: str) -> None:
        recorder.user_message(name)
        accepted.append(name)

    recorder = disk.Recorder(home=home, queue_size=1)
    jobs: list[Callable[[], Any]] = [lambda n=n: produce(str(n)) for n in range(6)]  # type: ignore[misc]
    # Who comes to the barrier last goes first.
    jobs.insert(run % 7, lambda: recorder.close(LIMIT))
    ends = together(*jobs)

    assert all(end is None or isinstance(end, RecorderClosedError) for end in ends)
    assert sorted(map(str, prompts_of(recorder.path))) == sorted(accepted)


@runs
def test_an_error_of_the_disk_is_raised_by_every_waiting_flush(home: Path, disk: Disk, run: int) -> None:
    def fail(fd: int, data: memoryview) -> int:
        raise OSError(28, "No space left on device")

    recorder = disk.Recorder(home=home)
    recorder.flush()
    disk.write = fail
    recorder.user_message("waits")

    ends = together(*[lambda: recorder.flush(LIMIT)] * 4)

    assert all(isinstance(end, WriteError) for end in ends)
    disk.write = write_slowly
    recorder.close()
    assert prompts_of(recorder.path) == ["waits"]


@pytest.mark.promise("death")
@runs
def test_the_death_of_the_writer_ends_every_wait(home: Path, disk: Disk, run: int) -> None:
    recorder = disk.Recorder(home=home, queue_size=2)
    recorder.flush()

    def die(fd: int, data: memoryview) -> int:
        raise RuntimeError("bug")

    disk.write = die
    ends = together(*[lambda: recorder.user_message("x")] * 6, *[lambda: recorder.flush(LIMIT)] * 2)

    assert all(end is None or isinstance(end, RolloutError) for end in ends)
    with pytest.raises(WriteError):
        recorder.close(LIMIT)
    recorder._finalizer.detach()
