"""
The protocol between callers and the writer, in many orders of its threads: see `exploring`.

In `make test` each program runs under some hundred schedules. In `make stress` a small program runs under all with two
preemptions, where an interrupt or a signal counts as one, and a larger program under some of them; each runs under
thousands at random. The message of a failure has the command that runs its schedule again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.programs import Program as Script
from tests.races import programs
from tests.races.exploring import Explorer, ScheduleError
from tests.races.programs import Program
from tests.races.protocol import Protocol
from tests.races.scheduler import DeadlockError, Lock, Scheduler

pytestmark = [pytest.mark.promise("schedules"), pytest.mark.usefixtures("quiet_ground")]

PROGRAMS = [
    programs.TwoProducersAndAFullQueue,
    programs.FullQueueAgainstClose,
    programs.TwoProducersAgainstClose,
    programs.ManyBytes,
    programs.TwoProducersOfManyBytes,
    programs.FullAndRaises,
    programs.RecordAgainstClose,
    programs.FlushAgainstClose,
    programs.CloseAgainstClose,
    programs.AbandonedWhileOthersRecord,
    programs.FullDisk,
    programs.DeathWhileOthersWait,
    programs.ForkedChild,
    programs.InterruptedStart,
    programs.InterruptedCaller,
    programs.InterruptedRecord,
    programs.InterruptedFlush,
    programs.InterruptedClose,
    programs.InterruptedChild,
    programs.SignalHandler,
    programs.SignalHandlerAndAnotherProducer,
    programs.SignalHandlerAndAFullQueue,
    programs.SignalHandlerAgainstClose,
    programs.SignalHandlerAgainstAnothersClose,
    programs.SignalHandlerThatCloses,
]
# What `make test` tries of each, and how many more at random; those with points inside of lines take four times as
# long.
SOME = 120
SEEDS = range(24)
SHARE_OF_FINE = 4
MANY_SEEDS = range(2_000)
# Schedules of a program that is not small. Before Python 3.12 only `settrace` can follow the code, at a third of the
# speed: there it limits every program.
PART = 20_000

every_program = pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)
Figure = Callable[[str], None]


@every_program
def test_the_protocol_holds_in_some_schedules_of_each_program(make: type[Program], figure: Figure) -> None:
    share = SHARE_OF_FINE if make.is_fine else 1
    with Explorer(Protocol(), make) as explorer:
        explorer.explore(2, limit=SOME // share)
        explorer.wander(SEEDS[::share])

    figure(f"{make.__name__}: {explorer.count:,} schedules")


@pytest.mark.slow
@every_program
def test_the_protocol_holds_in_every_schedule_with_few_preemptions(make: type[Program], figure: Figure) -> None:
    limit = None if make.is_small and sys.version_info >= (3, 12) else PART
    with Explorer(Protocol(), make) as explorer:
        explorer.explore(1 if make.is_fine else 2, limit=limit)

    which = "all" if explorer.is_complete else "of many more"
    figure(f"{make.__name__}: {which} {explorer.count:,} schedules with two preemptions")


@pytest.mark.slow
@every_program
def test_the_protocol_holds_in_random_schedules(make: type[Program], figure: Figure) -> None:
    with Explorer(Protocol(), make) as explorer:
        explorer.wander(MANY_SEEDS)

    figure(f"{make.__name__}: {explorer.count:,} schedules at random")


FORK = """
from tests.races import programs
from tests.races.exploring import Explorer
from tests.races.protocol import Protocol
limit = int(sys.argv[1])
with programs.ground(), Explorer(Protocol(), programs.Fork) as explorer:
    explorer.explore(1, limit=limit or None)
    print(explorer.count)
"""


@pytest.mark.parametrize("limit", [100, pytest.param(0, marks=pytest.mark.slow)], ids=["some", "all"])
def test_a_child_forked_at_any_point_of_other_threads_records_and_its_parent_continues(
    program: Script, limit: int, figure: Figure
) -> None:
    count = int(program.run(FORK, limit))

    figure(f"Fork: {count:,} schedules")


class LostUpdate:
    """
    The oldest race: two threads read a number, then write it.
    """

    def __init__(self, protocol: Protocol, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.total = 0
        for name in "ab":
            scheduler.add(name, self.count)

    def count(self) -> None:
        before = self.total
        self.scheduler.point()
        self.total = before + 1

    def check(self) -> None:
        assert self.total == 2, "an update is lost"

    def end(self) -> None:
        pass


class TwoLocks(LostUpdate):
    """
    Two threads take two locks, in different order.
    """

    def __init__(self, protocol: Protocol, scheduler: Scheduler) -> None:
        self.locks = [Lock(scheduler), Lock(scheduler)]
        super().__init__(protocol, scheduler)
        self.total = 2

    def count(self) -> None:
        first, second = self.locks if self.scheduler.ident == 1 else self.locks[::-1]
        with first:
            self.scheduler.point()
            with second:
                pass


@pytest.mark.parametrize(("make", "what"), [(LostUpdate, "an update is lost"), (TwoLocks, "no thread can go on")])
def test_a_lost_update_and_a_deadlock_are_found_by_one_preemption(make: Any, what: str) -> None:
    with Explorer(Protocol(), make) as explorer:
        assert explorer.explore(0) == 2
        with pytest.raises(ScheduleError, match=what):
            explorer.explore(1)


def test_a_failure_has_the_schedule_that_reproduces_it(figure: Figure) -> None:
    with Explorer(Protocol(), TwoLocks) as explorer:
        with pytest.raises(ScheduleError) as caught:
            explorer.wander(range(100))
        stories = [explorer.replay(caught.value.schedule) for _ in range(3)]

    assert isinstance(caught.value.__cause__, DeadlockError)
    assert stories[0] == stories[1] == stories[2]
    assert stories[0][-1].startswith("DeadlockError: no thread can go on")
    assert "\n  ".join(stories[0]) in str(caught.value)
    assert ", seed " in str(caught.value)


def test_a_failure_has_the_position_of_each_switch() -> None:
    broken = Protocol("rollout.recording._writer", [("            self._encode()\n", "            pass\n")])

    with Explorer(broken, programs.FlushAgainstClose) as explorer, pytest.raises(ScheduleError) as caught:
        explorer.explore(2)

    assert "a at _waiting.py:" in str(caught.value)
    assert "-> writer" in str(caught.value)


def test_a_close_in_a_signal_handler_does_not_wait_for_a_command_of_its_own_thread() -> None:
    # Another thread takes the mutex between the check and the put. Found by `make stress`, in one of 150 schedules.
    broken = Protocol("rollout.recording._writer", [("if not is_put or threading", "if threading")])

    with (
        Explorer(broken, programs.SignalHandlerThatCloses) as explorer,
        pytest.raises(ScheduleError, match="never comes"),
    ):
        explorer.wander(range(400))
    with Explorer(Protocol(), programs.SignalHandlerThatCloses) as explorer:
        explorer.wander(range(400))


def test_the_modules_that_other_tests_use_are_not_changed() -> None:
    import queue
    import threading

    from rollout.recording import _queue, _writer

    with Explorer(Protocol(), programs.RecordAgainstClose) as explorer:
        explorer.explore(0)

        assert sys.modules["rollout.recording._queue"] is _queue
        assert sys.modules["queue"] is queue
        assert _queue.threading is _writer.threading is threading
