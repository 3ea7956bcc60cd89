"""
Explorer of the schedules of a program: all with few preemptions, or many at random. It can also replay one.

As in CHESS (Musuvathi and Qadeer, 2007) a schedule is a run with the default choices except for some deviations, each
a step and a choice. A preemption, or a wait whose time passes while other threads could run, counts towards the bound.
If a thread cannot continue, the choice of the next one does not count, and all choices are tried.
"""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.races.protocol import Protocol
from tests.races.scheduler import INTERRUPT, SIGNAL, Scheduler, Worker
from tests.races.tracing import Tracer

Schedule = tuple[tuple[int, int], ...]
"""The deviations: a step, and the number of the task that runs next or of an injection."""


class ScheduleError(AssertionError):
    """
    A schedule breaks a promise; `schedule` is the argument for `Explorer.replay`.
    """

    def __init__(self, program: str, schedule: Schedule, seed: int | None, found_after: int, story: list[str]) -> None:
        self.schedule = schedule
        self.found_after = found_after
        origin = "" if seed is None else f", seed {seed}"
        lines = "\n  ".join(story)
        again = f'python -m tests.races.replay {program} "{schedule}"'
        super().__init__(f"{program}, after {found_after} schedules{origin}; run it again with: {again}\n  {lines}")


class Plan:
    """
    Chooser that follows a schedule, and stores the other possible choices after its last deviation.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._choices = dict(schedule)
        self._last = schedule[-1][0] if schedule else -1
        self.choices: list[tuple[int, int, int, bool, int]] = []

    def __call__(self, step: int, options: int, default: int, ready: int, is_forced: bool) -> int:
        if step > self._last:
            self.choices.append((step, options, default, is_forced, ready))
            return default
        return self._choices.get(step, default)


class Chance:
    """
    Chooser that chooses at random; its choices form a schedule.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._rate = self._random.choice((0.01, 0.03, 0.1))
        self._chosen: list[tuple[int, int]] = []

    @property
    def schedule(self) -> Schedule:
        return tuple(self._chosen)

    def __call__(self, step: int, options: int, default: int, ready: int, is_forced: bool) -> int:
        if not is_forced and self._random.random() > self._rate:
            return default
        choices = [n for n in range(32) if options >> n & 1]
        choice = self._random.choice(choices)
        if choice != default:
            self._chosen.append((step, choice))
        return choice


class Teller(Plan):
    """
    Chooser that follows a schedule, and describes each switch.
    """

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule)
        self.story: list[str] = []
        self.scheduler: Scheduler | None = None

    def __call__(self, step: int, options: int, default: int, ready: int, is_forced: bool) -> int:
        choice = super().__call__(step, options, default, ready, is_forced)
        assert self.scheduler is not None
        task = self.scheduler.current
        if task is not None and choice != task.number:
            does = {INTERRUPT: "KeyboardInterrupt", SIGNAL: "the signal handler"}
            what = does.get(choice) or f"-> {self.scheduler.tasks[choice].name}"
            mark = "*" if choice != default else " "
            self.story.append(f"{mark} step {step}: {task.name} at {_place()} {what}")
        return choice


def _place() -> str:
    frame = sys._getframe(2)
    while frame.f_back is not None and "/rollout/recording/" not in frame.f_code.co_filename:
        frame = frame.f_back
    if frame.f_back is None:
        return "its end"
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def _others(plan: Plan) -> Iterator[tuple[int, int, int, int]]:
    """
    Yield each choice that a run did not make: step, choice, number of preemptions, number of injections.
    """
    for step, options, default, is_forced, ready in plan.choices:
        for choice in range(32):
            bit = 1 << choice
            if bit & options and choice != default:
                injected = choice in (INTERRUPT, SIGNAL)
                is_free = injected or (is_forced and bit & ready)
                yield step, choice, 0 if is_free else 1, 1 if injected else 0


class Explorer:
    """
    Runner of one program under many schedules.

    Args:
        protocol: Modules that the program uses.
        make: Makes a new program for each schedule; if it `is_fine`, there are also points inside lines.
    """

    def __init__(self, protocol: Protocol, make: Callable[..., Any]) -> None:
        self.protocol = protocol
        self.name = make.__name__
        self.count = 0
        self.is_complete = False
        self._make = make
        self._tracer = Tracer(protocol.codes, fine=getattr(make, "is_fine", False))
        self._workers: list[Worker] = []

    def __enter__(self) -> Explorer:
        self._tracer.start()
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            worker.end()
        self._tracer.stop()
        self.protocol.restore()

    def run(self, choose: Any) -> None:
        self.count += 1
        scheduler = Scheduler(self._workers, choose, self._tracer.prepare, self._tracer.resume)
        if isinstance(choose, Teller):
            choose.scheduler = scheduler
        self._tracer.point = scheduler.point
        self.protocol.stand_in(scheduler)
        program = self._make(self.protocol, scheduler)
        try:
            scheduler.run()
            program.check()
        finally:
            program.end()

    def explore(self, preemptions: int, limit: int | None = None, injections: int = 1) -> int:
        """
        Run every schedule with up to *preemptions*, those with fewer first; return their number.

        With a *limit* at most so many run, and those with most preemptions are chosen at random. `is_complete` tells
        whether these were all.

        Raises:
            ScheduleError: A schedule breaks a promise.
        """
        levels: list[deque[tuple[Schedule, int]]] = [deque() for _ in range(preemptions + 1)]
        levels[0].append(((), injections))
        for level in range(preemptions + 1):
            if limit is not None:
                # Where not all are run, some of everywhere. Not shuffle(): of a deque of a million it takes an hour.
                levels[level] = deque(random.Random(level).sample(levels[level], len(levels[level])))
            schedules = levels[level]
            while schedules and (limit is None or self.count < limit):
                schedule, left = schedules.popleft()
                plan = Plan(schedule)
                self._try(schedule, plan)
                for step, choice, cost, injected in _others(plan):
                    if level + cost <= preemptions and injected <= left:
                        levels[level + cost].append(((*schedule, (step, choice)), left - injected))
        self.is_complete = not any(levels)
        return self.count

    def wander(self, seeds: range) -> int:
        """
        Run one random schedule for each seed; return the number of all runs.

        Raises:
            ScheduleError: A schedule breaks a promise.
        """
        for seed in seeds:
            chance = Chance(seed)
            try:
                self.run(chance)
            except Exception as error:
                raise self._failure(chance.schedule, seed) from error
        return self.count

    def replay(self, schedule: Schedule) -> list[str]:
        """
        Run one schedule; return a description of its switches and of its end.
        """
        teller = Teller(schedule)
        try:
            self.run(teller)
        except Exception as error:  # noqa: BLE001 -- told
            return [*teller.story, f"{type(error).__name__}: {error}"]
        return teller.story

    def _try(self, schedule: Schedule, plan: Plan) -> None:
        try:
            self.run(plan)
        except Exception as error:
            raise self._failure(schedule, None) from error

    def _failure(self, schedule: Schedule, seed: int | None) -> ScheduleError:
        count = self.count
        return ScheduleError(self.name, schedule, seed, count, self.replay(schedule))
