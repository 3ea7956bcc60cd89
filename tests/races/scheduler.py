"""
Scheduler that runs the threads of a small program one at a time, in a given order.

The threads are real, but each waits for its own gate, a lock, and at any moment one gate is open. A thread returns
control at its *points*: each line of the modules under test (see `tracing`), and each wait. There the chooser decides
which thread continues. This module replaces the locks, the threads and the clock of the modules, so the scheduler
knows which threads can continue. If none can, that is a deadlock, which is found at once and in every run.

The clock is virtual. It jumps to the end of a timed wait if no thread can continue otherwise, or if the chooser
decides so, which simulates a machine on which all other threads are slow.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading as real_threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

# Choices other than numbers of tasks: raise KeyboardInterrupt in the running task, or call the signal handler in it.
INTERRUPT = 30
SIGNAL = 31
# Maximum number of points. No run of a small program has as many unless it is in an endless loop.
STEP_LIMIT = 20_000
# Virtual seconds without progress, after which a thread is assumed to poll for an event that never comes.
TIME_LIMIT = 30.0
# Real seconds after which a thread is assumed to wait for something that the scheduler does not know.
WATCHDOG = 60.0
FOREVER = 1e6

Chooser = Callable[[int, int, int, int, bool], int]
"""
Returns a choice. Arguments: the step, a bit for each possible choice, the default, a bit for each choice that need not
wait for its time to pass, and whether the running task cannot continue.
"""


class Aborted(BaseException):
    """
    The run is over; raised in the remaining threads to end them.
    """


class DeadlockError(AssertionError):
    """
    No thread can continue, or those that can make no progress.
    """


class Worker:
    """
    A real thread that runs one task after another: the start of a thread takes ten times as long as a switch.
    """

    def __init__(self, prepare: Callable[[], None]) -> None:
        self.gate = _thread.allocate_lock()
        self.gate.acquire()
        self.task: Task | None = None
        self._prepare = prepare
        self.ended = _thread.allocate_lock()
        self.ended.acquire()
        # Not a threading.Thread, which would be listed, and traced by coverage.
        _thread.start_new_thread(self._work, ())

    def _work(self) -> None:
        if hasattr(os, "sched_setaffinity"):
            # Only one thread runs at a time: a switch on one core takes 3 us, between two cores 12 us.
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, {cores[os.getpid() % len(cores)]})
        self._prepare()
        while True:
            self.gate.acquire()
            if self.task is None:
                break
            self.task.run()
        sys.settrace(None)
        self.ended.release()

    def end(self) -> None:
        self.task = None
        self.gate.release()
        self.ended.acquire()


class Task:
    """
    One thread of a program.
    """

    def __init__(self, scheduler: Scheduler, number: int, name: str, job: Callable[[], Any], worker: Worker) -> None:
        self.number = number
        self.bit = 1 << number
        self.name = name
        self.gate = worker.gate
        self.finished = Lock(scheduler)
        self.finished.is_held = True
        self.is_done = False
        self.deadline: float | None = None
        self.waits_for: Lock | None = None
        self.ident = 0
        self.injections = 0
        self.mutexes = 0
        self._scheduler = scheduler
        self._job = job
        worker.task = self

    def run(self) -> None:
        error: BaseException | None = None
        try:
            if not self._scheduler.is_over:
                self._scheduler.resume()
                self._job()
        except Aborted:
            pass
        except BaseException as caught:  # noqa: BLE001 -- told to the test
            error = caught
        self._scheduler.finish(self, error)


class Scheduler:
    """
    Scheduler of the tasks of one run.
    """

    def __init__(
        self,
        workers: list[Worker],
        choose: Chooser,
        prepare: Callable[[], None] = lambda: None,
        resume: Callable[[], None] = lambda: None,
    ) -> None:
        self.tasks: list[Task] = []
        self.current: Task | None = None
        self.step = 0
        self.ready = 0
        self.timed = 0
        self.now = 1000.0
        self._idle_time = 0.0
        self.wall_ms = 1_750_000_000_000
        self.is_over = False
        # Nothing is left to be chosen: what comes is the same in all schedules.
        self.is_calm = False
        self.failure: BaseException | None = None
        self.handler: Callable[[], Any] = lambda: None
        self._choose = choose
        self._workers = workers
        self._prepare = prepare
        self.resume = resume
        self._done = _thread.allocate_lock()
        self._done.acquire()

    # From here on: called by the test, while no task runs.

    def add(self, name: str, job: Callable[[], Any], injections: int = 0) -> Task:
        number = len(self.tasks)
        if number == len(self._workers):
            self._workers.append(Worker(self._prepare))
        task = Task(self, number, name, job, self._workers[number])
        task.injections = injections
        # The system gives the number of a thread that is gone to the next.
        used = {other.ident for other in self.tasks if not other.is_done}
        task.ident = next(n for n in range(1, 100) if n not in used)
        self.tasks.append(task)
        self.ready |= task.bit
        return task

    def forget(self) -> None:
        """
        Drop all tasks, which never ran, as a fork does in the child.
        """
        self.tasks.clear()
        self.ready = 0

    def run(self) -> None:
        """
        Run all tasks to their ends; raise the first error.
        """
        self._hand_to(self._next(self.tasks[-1]))
        if not self._done.acquire(timeout=WATCHDOG):
            os.write(2, f"{self.current and self.current.name} waits for what the scheduler does not know\n".encode())
            os._exit(70)
        if self.failure is not None:
            raise self.failure

    # From here on: called by the task that runs.

    def point(self, is_guarded: bool = False, allowed: int = -1) -> None:
        """
        Switch to another task if the chooser decides so; not while the mutex is held if it guards all that is touched.

        Args:
            is_guarded: Only what the mutex guards is touched here.
            allowed: A bit for each injection that can come here.
        """
        task = self.current
        if task is None or (is_guarded and task.mutexes) or self.is_calm:
            return
        if self.is_over:
            raise Aborted
        self.step = step = self.step + 1
        if step > STEP_LIMIT:
            self.fail(DeadlockError(f"{task.name} goes round in circles"))
        options = self.ready | self.timed
        options |= task.injections & allowed
        if options == task.bit:
            return
        choice = self._choose(step, options, task.number, self.ready, False)
        if choice != task.number:
            self._perform(task, choice)

    def _perform(self, task: Task, choice: int) -> None:
        if choice == INTERRUPT:
            task.injections = 0
            raise KeyboardInterrupt
        if choice == SIGNAL:
            task.injections = 0
            # So that the lines of what the handler calls are points, too.
            sys.call_tracing(self.handler, ())
        else:
            self._switch(task, self.tasks[choice])

    def _switch(self, task: Task, target: Task) -> None:
        self._hand_to(target)
        task.gate.acquire()
        if self.is_over:
            raise Aborted

    def _hand_to(self, target: Task) -> None:
        if target.bit & self.timed and not target.bit & self.ready:
            assert target.deadline is not None
            self._set_clock(target.deadline)
        self.current = target
        target.gate.release()

    def wait(self, lock: Lock, timeout: float | None) -> None:
        """
        Run other tasks until the lock is free, or the time has passed.
        """
        task = self.current
        if task is None:
            raise DeadlockError("the test itself would wait for ever")
        if self.is_over:
            raise Aborted
        if task.injections:
            self.point()
            if not lock.is_held:
                return
        self.ready &= ~task.bit
        lock.waiters |= task.bit
        task.waits_for = lock
        if timeout is not None and 0 <= timeout < FOREVER:
            task.deadline = self.now + timeout
            self.timed |= task.bit
        try:
            target = self._next(task)
            if target is not task:
                self._switch(task, target)
            elif task.bit & self.timed and not task.bit & self.ready:
                self._set_clock(task.deadline or 0)
        finally:
            lock.waiters &= ~task.bit
            self.timed &= ~task.bit
            self.ready |= task.bit
            task.waits_for = task.deadline = None

    def _next(self, task: Task) -> Task:
        """
        Choose the next task when *task* cannot continue.
        """
        if not self.ready:
            if not self.timed:
                waiting = ", ".join(other.name for other in self.tasks if not other.is_done)
                self.fail(DeadlockError(f"no thread can go on: {waiting}"))
            before = self.now
            self._set_clock(min(other.deadline for other in self.tasks if other.bit & self.timed))  # type: ignore[type-var, arg-type]
            self._idle_time += self.now - before
        self.step = step = self.step + 1
        if step > STEP_LIMIT or self._idle_time > TIME_LIMIT:
            self.fail(DeadlockError(f"{task.name} waits for what never comes"))
        # The next in turn.
        higher = self.ready >> (task.number + 1) << (task.number + 1)
        chosen = (higher or self.ready) & -(higher or self.ready)
        default = chosen.bit_length() - 1
        options = self.ready | self.timed
        if options == chosen or self.is_calm:
            return self.tasks[default]
        return self.tasks[self._choose(step, options, default, self.ready, True)]

    def _set_clock(self, now: float) -> None:
        self.now = max(now, self.now)
        for task in self.tasks:
            if task.bit & self.timed and task.deadline is not None and task.deadline <= self.now:
                self.timed &= ~task.bit
                self.ready |= task.bit

    def finish(self, task: Task, error: BaseException | None) -> None:
        """
        Run the other tasks, as this task has ended.
        """
        self.ready &= ~task.bit
        task.is_done = True
        try:
            task.finished.release()
            if error is not None:
                self.fail(error)
            left = [other for other in self.tasks if not other.is_done]
            target = left[0] if left and self.is_over else self._next(task) if left else None
        except Aborted:
            target = next((other for other in self.tasks if not other.is_done), None)
        if target is not None:
            self._hand_to(target)
        else:
            self.current = None
            self._done.release()

    def fail(self, error: BaseException) -> None:
        """
        End the run, with all its tasks.
        """
        self.failure = self.failure or error
        self.is_over = True
        raise Aborted

    def begin_injections(self) -> None:
        """
        Allow interrupts of the running task from now on.
        """
        assert self.current is not None
        self.current.injections = 1 << INTERRUPT

    def end_injections(self) -> None:
        """
        Forbid interrupts of the running task from now on.
        """
        assert self.current is not None
        self.current.injections = 0
        self.resume()

    @property
    def ident(self) -> int:
        return self.current.ident if self.current is not None else 999

    def threading(self) -> SimpleNamespace:
        """
        Return a replacement for the module `threading`.
        """
        return SimpleNamespace(
            Lock=lambda: Lock(self),
            RLock=lambda: RLock(self),
            Thread=lambda **options: Thread(self, **options),
            Event=real_threading.Event,
            Condition=real_threading.Condition,
            TIMEOUT_MAX=real_threading.TIMEOUT_MAX,
            get_ident=lambda: self.ident,
        )

    def time(self) -> SimpleNamespace:
        """
        Return a replacement for the module `time`.
        """
        return SimpleNamespace(monotonic=lambda: self.now, time_ns=self._tick, sleep=self._sleep)

    def _tick(self) -> int:
        # Each call a millisecond later, so that the order of calls can be seen.
        self.wall_ms += 1
        return self.wall_ms * 1_000_000

    def _sleep(self, seconds: float) -> None:
        never = Lock(self)
        never.is_held = True
        self.wait(never, seconds)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """
        Run the ``with`` block without any point.
        """
        task, self.current = self.current, None
        yield
        self.current = task


class Lock:
    """
    Replacement for `threading.Lock`; any waiting or new caller may acquire it next, as for the original.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.is_held = False
        self.waiters = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self.is_held:
            if not blocking or timeout == 0:
                return False
            self._scheduler.wait(self, None if timeout < 0 else timeout)
            if self.is_held:
                return False
        self.is_held = True
        self._scheduler.ready &= ~self.waiters
        return True

    def release(self) -> None:
        if not self.is_held:
            raise RuntimeError("release unlocked lock")
        self.is_held = False
        self._scheduler.ready |= self.waiters

    def locked(self) -> bool:
        return self.is_held

    def __enter__(self) -> bool:
        self.acquire()
        if self._scheduler.current is not None:
            self._scheduler.current.mutexes += 1
        return True

    def __exit__(self, *exception: object) -> None:
        self.release()
        if self._scheduler.current is not None:
            self._scheduler.current.mutexes -= 1


class RLock(Lock):
    """
    Replacement for `threading.RLock`.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(scheduler)
        self._owner = self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        me = self._scheduler.ident
        if self._owner != me or not self.is_held:
            if not super().acquire(blocking, timeout):
                return False
            self._owner = me
        self._count += 1
        return True

    def release(self) -> None:
        self._count -= 1
        if not self._count:
            super().release()

    def _is_owned(self) -> bool:
        return self.is_held and self._owner == self._scheduler.ident


class Thread:
    """
    Replacement for `threading.Thread`.
    """

    def __init__(self, scheduler: Scheduler, *, target: Callable[[], Any], name: str, daemon: bool) -> None:
        self._scheduler = scheduler
        self._target = target
        self.name = name
        self.daemon = daemon
        self.task: Task | None = None

    def start(self) -> None:
        if self.task is not None:
            raise RuntimeError("threads can only be started once")
        self._scheduler.point()
        self.task = self._scheduler.add("writer", self._target)
        self._scheduler.point()

    def is_alive(self) -> bool:
        return self.task is not None and not self.task.is_done

    def join(self, timeout: float | None = None) -> None:
        if self.task is None:
            raise RuntimeError("cannot join thread before it is started")
        if not self.task.is_done:
            self._scheduler.wait(self.task.finished, timeout)
