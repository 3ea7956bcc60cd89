"""
Small programs for the explorer: some threads that use one writer. Each ends with a check of the recorder's promises.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rollout.errors import FlushTimeoutError, RecorderClosedError, RecorderFullError, WriteError
from rollout.home._locks import SessionLock
from rollout.recording._append_file import AppendFile
from rollout.recording._lifecycle import live
from tests.races.protocol import Protocol
from tests.races.scheduler import INTERRUPT, SIGNAL, Scheduler

_SESSION = "01977d2c-6f4a-7000-8000-000000000000"


@contextmanager
def ground() -> Iterator[None]:
    """
    Create a folder for the files of the programs, in memory if possible, and disable the log meanwhile.
    """
    memory = Path("/dev/shm")  # noqa: S108 -- a folder of its own is made in it
    log = logging.getLogger("rollout")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        Program.folder = Path(folder)
        log.disabled = True
        try:
            yield
        finally:
            log.disabled = False


class File(AppendFile):
    """
    A real rollout; other threads may run before and after its writes, and a test may make a write fail.
    """

    def __init__(self, *args: Any) -> None:
        self.on_forget: Callable[[], None] = lambda: None
        super().__init__(*args)
        self.closed = 0
        self.point: Callable[[], None] = lambda: None
        self.on_write: Callable[[int], BaseException | None] = lambda n: None
        self._writes = 0

    def write(self, *, check_path: bool = False) -> None:
        self.point()
        if self.lines:
            self._writes += 1
            error = self.on_write(self._writes)
            if isinstance(error, OSError):
                self.error = error
                return
            if error is not None:
                raise error
        super().write(check_path=check_path)
        self.point()

    def forget(self) -> None:
        self.on_forget()
        super().forget()

    def close(self) -> None:
        self.closed += 1
        super().close()


class Program:
    """
    A writer, the outcomes of its callers' calls, and the promises to check at the end.

    Attributes:
        is_fine: It has points inside of lines, too.
        is_small: `make stress` can run all its schedules with few preemptions: at most half a million.
    """

    queue_size = 4
    on_full = "block"
    max_waiting_size = 1000
    is_fine = False
    is_small = True
    folder: Path

    def __init__(self, protocol: Protocol, scheduler: Scheduler) -> None:
        self.protocol = protocol
        self.scheduler = scheduler
        self.accepted: list[str] = []
        self.refused: list[str] = []
        self.unsure: list[str] = []
        self._left = 0
        self.file = self._open()
        self.file.point = scheduler.point
        self.begin()
        self.prepare()

    def begin(self) -> None:
        """
        Create the writer.
        """
        options = self.protocol.commands.Options(False, self.queue_size, self.max_waiting_size, self.on_full)
        self.writer = self.protocol.writer.Writer(self.file, options)

    def _open(self) -> File:
        self.path = self.folder / "rollout.jsonl"
        fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
        return File(self.path, fd, SessionLock(self.folder, _SESSION))

    def prepare(self) -> None:
        """
        Add the tasks.
        """

    def end(self) -> None:
        if self.writer is not None:
            live.discard(self.writer)
        if not self.file.closed:
            AppendFile.close(self.file)

    # Operations of tasks.

    def item(self, name: str) -> Any:
        return self.protocol.commands.Add("event_msg", {"name": name}, size=10)

    def record(self, *names: str) -> None:
        """
        Record items, and store for each whether it was accepted.
        """
        for name in names:
            try:
                self.writer.add(self.item(name))
            except RecorderClosedError:
                assert self.writer.is_closed
                self.refused.append(name)
            except BaseException:
                self.unsure.append(name)
                raise
            else:
                self.accepted.append(name)

    def flush(self) -> None:
        """
        Flush, and check that all items accepted before are in the file; only a closed writer may refuse.
        """
        before = list(self.accepted)
        try:
            self.writer.flush(None, fsync=False)
        except RecorderClosedError:
            assert self.writer.is_closed
        else:
            missing = set(before) - set(self.written())
            assert not missing, f"flush returned without {missing}"

    def close(self) -> None:
        """
        Close, and check that all items are in the file.
        """
        self.writer.close(None)
        missing = set(self.accepted) - set(self.written())
        assert not missing, f"close returned without {missing}"
        assert not self.writer._thread.is_alive(), "close returned before the thread was gone"
        assert self.file.closed, "close returned before the session was unlocked"

    # Promises.

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]

    def written(self) -> list[str]:
        return [line["payload"]["name"] for line in self.lines()]

    def check(self) -> None:
        self.writer.close(0)
        self.check_lines()
        assert self.file.closed == 1, f"closed {self.file.closed} times"
        commands = self.writer._commands
        assert not self.writer._thread.is_alive()
        assert commands.waiting_size == 0, f"{commands.waiting_size} bytes are not released"
        left = [command for command in commands.queue if isinstance(command, self.protocol.commands.Add)]
        assert not left, f"left in the queue: {left}"
        assert not commands._deferred, "a deferred command is left"
        assert not commands._space_locks, "a caller still waits for space"

    def check_lines(self) -> None:
        lines = self.lines()
        names = [line["payload"]["name"] for line in lines]
        count = Counter(names)
        assert not [name for name, n in count.items() if n > 1], f"twice: {names}"
        assert set(self.accepted) <= set(names), f"lost: {set(self.accepted) - set(names)}"
        strangers = set(names) - set(self.accepted) - set(self.unsure)
        assert not strangers, f"written though refused: {strangers}"
        for producer in {name[0] for name in names}:
            own = [name for name in names if name[0] == producer]
            assert own == sorted(own), f"out of order: {own}"
        times = [line["timestamp"] for line in lines]
        assert times == sorted(times), f"time runs backwards: {times}"

    def add(self, name: str, job: Callable[[], Any], injections: int = 0) -> None:
        """
        Add a task; the last one to end runs `at_last`, which has only one schedule.
        """
        self._left += 1

        def do() -> None:
            job()
            self._left -= 1
            if not self._left:
                self.scheduler.is_calm = True
                self.at_last()

        self.scheduler.add(name, do, injections)

    def at_last(self) -> None:
        self.close()


class TwoProducersAndAFullQueue(Program):
    queue_size = 1

    def prepare(self) -> None:
        self.record("0")
        self.add("a", lambda: self.record("a1"))
        self.add("b", lambda: self.record("b1"))


class FullQueueAgainstClose(Program):
    queue_size = 1

    def prepare(self) -> None:
        self.record("0")
        self.add("a", lambda: self.record("a1"))
        self.add("b", self.close)


class TwoProducersAgainstClose(Program):
    """
    Two producers and a close: three threads besides the writer.
    """

    is_small = False
    queue_size = 1

    def prepare(self) -> None:
        self.add("a", lambda: self.record("a1", "a2"))
        self.add("b", self.close)
        self.add("c", lambda: self.record("c1"))


class ManyBytes(Program):
    """
    A single item fills the limit.
    """

    max_waiting_size = 10

    def prepare(self) -> None:
        self.record("0")
        self.add("a", lambda: self.record("a1", "a2"))


class TwoProducersOfManyBytes(ManyBytes):
    is_small = False

    def prepare(self) -> None:
        super().prepare()
        self.add("b", lambda: self.record("b1"))


class FlushAgainstClose(Program):
    def prepare(self) -> None:
        self.record("0")
        self.add("a", self.flush)
        self.add("b", self.close)


class CloseAgainstClose(Program):
    def prepare(self) -> None:
        self.record("0")
        self.add("a", self.close)
        self.add("b", self.close)


class RecordAgainstClose(Program):
    def prepare(self) -> None:
        self.add("a", lambda: self.record("a1", "a2"))
        self.add("b", self.close)


class DeathWhileOthersWait(Program):
    """
    A write raises an error that no disk raises.
    """

    queue_size = 1

    def prepare(self) -> None:
        self.file.on_write = lambda n: RuntimeError("bug")
        self.record("0")
        self.add("a", lambda: self.meet_death(lambda: self.record("a1")))
        self.add("b", lambda: self.meet_death(lambda: self.writer.flush(None, fsync=False)))

    def at_last(self) -> None:
        for call in (self.writer.close, lambda timeout: self.writer.add(self.item("late"))):
            try:
                call(None)
            except WriteError as error:
                assert error.lost, error
            else:
                raise AssertionError("a call after the death raises no error")

    def meet_death(self, job: Callable[[], None]) -> None:
        with suppress(WriteError):
            job()

    def check(self) -> None:
        assert self.file.closed == 1
        assert not self.writer._thread.is_alive()
        assert self.written() == []


class InterruptedCaller(Program):
    """
    Ctrl-C comes in the middle of a call, and the program continues.
    """

    is_fine = True
    is_small = False
    queue_size = 1

    def prepare(self) -> None:
        self.add("main", self.main, 1 << INTERRUPT)
        self.add("a", lambda: self.record("a1"))

    def main(self) -> None:
        self.until_interrupted(lambda: (self.record("m1", "m2"), self.flush()))
        self.record("m3")
        self.flush()

    def until_interrupted(self, job: Callable[[], Any]) -> None:
        with suppress(KeyboardInterrupt):
            job()
        self.scheduler.end_injections()


class InterruptedRecord(InterruptedCaller):
    """
    Ctrl-C comes while the call waits for space.
    """

    is_small = True

    def prepare(self) -> None:
        self.record("0")
        self.add("main", self.main, 1 << INTERRUPT)

    def main(self) -> None:
        self.until_interrupted(lambda: self.record("m1"))
        self.record("m2")


class InterruptedFlush(InterruptedRecord):
    def main(self) -> None:
        self.until_interrupted(self.flush)
        self.flush()


class InterruptedClose(InterruptedRecord):
    """
    Ctrl-C comes in the middle of `close`, which is called again.
    """

    def main(self) -> None:
        self.until_interrupted(self.close)
        self.close()


class SignalHandler(Program):
    """
    A signal handler records at any point of its thread.
    """

    is_fine = True

    def prepare(self) -> None:
        self.scheduler.handler = self.handle
        self.add("main", self.main, 1 << SIGNAL)

    def main(self) -> None:
        self.record("m1")
        self.flush()

    def handle(self) -> None:
        self.record("h1", "h2")


class SignalHandlerAndAnotherProducer(SignalHandler):
    is_small = False

    def prepare(self) -> None:
        super().prepare()
        self.add("a", lambda: self.record("a1"))


class SignalHandlerAgainstClose(SignalHandler):
    def main(self) -> None:
        self.record("m1")
        self.close()


class SignalHandlerAgainstAnothersClose(SignalHandler):
    """
    Another thread closes after the interrupted call, in which the handler has recorded.
    """

    def prepare(self) -> None:
        self.scheduler.handler = lambda: self.record("h1")
        self.add("main", lambda: self.record("m1"), 1 << SIGNAL)
        self.add("b", self.close)


class SignalHandlerAndAFullQueue(SignalHandler):
    """
    The handler cannot wait for space inside a call that holds the mutex.
    """

    queue_size = 1

    def prepare(self) -> None:
        self.record("0")
        self.scheduler.handler = self.handle
        self.add("main", lambda: self.record("m1"), 1 << SIGNAL)

    def handle(self) -> None:
        with suppress(RecorderFullError):
            self.record("h1")


class SignalHandlerThatCloses(SignalHandlerAgainstClose):
    def handle(self) -> None:
        with suppress(FlushTimeoutError):
            self.close()

    def main(self) -> None:
        self.record("m1")
        with suppress(RecorderClosedError):
            self.writer.flush(None, fsync=False)


class FullDisk(Program):
    """
    The disk refuses the first write.
    """

    def prepare(self) -> None:
        self.file.on_write = lambda n: OSError(errno.ENOSPC, "no space") if n == 1 else None
        self.record("0")
        self.add("a", lambda: self.meet(lambda: self.writer.flush(None, fsync=False)))
        self.add("b", lambda: (self.record("b1"), self.meet(lambda: self.writer.close(None))))

    def meet(self, job: Callable[[], Any]) -> None:
        with suppress(WriteError, RecorderClosedError):
            job()


class AbandonedWhileOthersRecord(Program):
    """
    The garbage collector ends the writer.
    """

    def prepare(self) -> None:
        self.add("a", lambda: self.record("a1", "a2"))
        self.add("b", self.writer.abandon)


class FullAndRaises(Program):
    """
    A call without space raises, and uses none.
    """

    queue_size = 1
    on_full = "raise"

    def prepare(self) -> None:
        self.add("a", lambda: self.attempt("a1", "a2"))
        self.add("b", lambda: self.attempt("b1", "b2"))

    def attempt(self, *names: str) -> None:
        for name in names:
            try:
                self.record(name)
            except RecorderFullError:
                self.unsure.remove(name)


class ForkedChild(Program):
    """
    A child has the writer of its parent, without its thread; two threads of the child are the first to use it.
    """

    queue_size = 1

    def begin(self) -> None:
        super().begin()
        self.scheduler.forget()
        self.file.on_write = lambda n: None
        # The meta, by the parent.
        self.path.write_bytes(b'{"timestamp": "", "payload": {"name": "0"}}\n')
        self.accepted.append("0")
        self.writer.reset_after_fork()

    def prepare(self) -> None:
        self.add("a", lambda: self.record("a1"))
        self.add("b", self.flush)


class InterruptedChild(ForkedChild):
    """
    Ctrl-C comes in the first call of a child, which starts the thread.
    """

    is_fine = True

    def prepare(self) -> None:
        self.add("main", self.main, 1 << INTERRUPT)

    def main(self) -> None:
        with suppress(KeyboardInterrupt):
            self.record("m1")
        self.scheduler.end_injections()
        self.record("m2")
        self.flush()


class InterruptedStart(Program):
    """
    Ctrl-C comes while a recorder is created, from the moment on when the writer has to close the file.
    """

    is_fine = True
    writer = None

    def begin(self) -> None:
        self.options = self.protocol.commands.Options(False, self.queue_size, self.max_waiting_size, self.on_full)

    def prepare(self) -> None:
        self.add("main", self.main)

    def main(self) -> None:
        self.file.on_forget = self.scheduler.begin_injections
        with suppress(KeyboardInterrupt):
            self.writer = self.protocol.writer.Writer(self.file, self.options)
            self.record("m1")
        self.scheduler.end_injections()

    def at_last(self) -> None:
        if self.writer is not None:
            self.close()

    def check(self) -> None:
        assert self.file.closed, "the file stays open"
        assert all(task.is_done for task in self.scheduler.tasks)
        self.check_lines()


class Fork(Program):
    """
    The process forks while other threads are anywhere; the child records and closes, the parent goes on.
    """

    queue_size = 1

    def prepare(self) -> None:
        self.child = 0
        self.add("main", self.main)
        self.add("a", lambda: self.record("a1"))

    def main(self) -> None:
        self.record("m1")
        with self.scheduler.paused(), self.protocol.restored(self.scheduler):
            self.child = os.fork()
            if not self.child:
                os._exit(self.run_child())
        self.record("m2")

    def run_child(self) -> int:
        sys.settrace(None)
        try:
            self.writer.add(self.item("c1"))
            self.writer.close(20)
        except BaseException:  # noqa: BLE001 -- told to the parent
            traceback.print_exc()
            return 1
        return 0

    def at_last(self) -> None:
        super().at_last()
        assert os.waitpid(self.child, 0)[1] == 0, "the child lost its line"
        self.accepted.append("c1")

    def lines(self) -> list[dict[str, Any]]:
        # The child has the system's clock.
        lines = super().lines()
        return sorted(lines, key=lambda line: line["payload"]["name"] == "c1")
