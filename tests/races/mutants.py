"""
Faults of the protocol, each with the program whose schedules must find it.
"""

from __future__ import annotations

from attrs import frozen

from tests.races import programs
from tests.races.programs import Program

_QUEUE = "rollout.recording._queue"
_WRITER = "rollout.recording._writer"


@frozen
class Mutant:
    """
    A fault to put into the source of a module.

    Attributes:
        module: Name of the module.
        changes: Pairs of old text and new text.
        program: Program whose schedules find the fault.
    """

    module: str
    program: type[Program]
    changes: tuple[tuple[str, str], ...]


MUTANTS = {
    "the check whether the queue is closed comes before the lock": Mutant(
        _QUEUE,
        programs.RecordAgainstClose,
        (
            ("if self.is_closed or len(self.queue) >= self.maxsize", "if len(self.queue) >= self.maxsize"),
            (
                "        try:\n            lock = self._try_to_put(command, timeout)",
                "        if self.is_closed and type(command) is not Shutdown:\n            raise self.closed_error()\n"
                "        try:\n            lock = self._try_to_put(command, timeout)",
            ),
        ),
    ),
    "flushes are answered before the write": Mutant(
        _WRITER,
        programs.FlushAgainstClose,
        (
            (
                "        # While a disk refuses, an attempt costs",
                "        for command in flushes:\n            command.answer(self._outcome())\n        # While a disk",
            ),
        ),
    ),
    "the outcome is that of the previous write": Mutant(
        _WRITER,
        programs.FullDisk,
        (
            (
                "        # While a disk refuses, an attempt costs",
                "        outcome = self._outcome()\n        # While a disk",
            ),
            (
                "            outcome = self._outcome()\n            self._file.acknowledge()",
                "            self._file.acknowledge()",
            ),
        ),
    ),
    "a shutdown does not wake the threads that wait for space": Mutant(
        _QUEUE,
        programs.TwoProducersAgainstClose,
        (("            self._wake_callers()\n        # The writer", "            pass\n        # The writer"),),
    ),
    "deferred commands are not put": Mutant(
        _QUEUE,
        programs.SignalHandler,
        (("            self._put(self._deferred.pop(0))\n", "            self._deferred.pop(0)\n"),),
    ),
    "a close overtakes deferred commands": Mutant(
        _QUEUE,
        programs.SignalHandlerAgainstAnothersClose,
        (
            (
                "            if self._deferred:\n                with",
                "            if self._deferred and type(command) is Add:\n                with",
            ),
            (
                "            if self._deferred:\n                self._put_deferred()\n            lock",
                "            lock",
            ),
            (
                "            if self._deferred:\n                self._put_deferred()\n            commands",
                "            commands",
            ),
            (
                " and not self._deferred:\n            lock.acquire(timeout=Deadline",
                ":\n            lock.acquire(timeout=Deadline",
            ),
            (
                " and not self._deferred:\n            lock.acquire(timeout=LINGER",
                ":\n            lock.acquire(timeout=LINGER",
            ),
        ),
    ),
    "a re-entrant call waits for space while it owns the mutex": Mutant(
        _QUEUE, programs.SignalHandlerAndAFullQueue, (("if self.mutex._is_owned():", "if False:"),)
    ),
    "a death leaves the queue open": Mutant(
        _WRITER,
        programs.DeathWhileOthersWait,
        (("        self._commands.end(Shutdown())\n        waiting", "        waiting"),),
    ),
    "a death answers no call, and no call checks that the thread lives": Mutant(
        _WRITER,
        programs.DeathWhileOthersWait,
        (
            ("            if isinstance(command, Flush) and not command.done.is_set():", "            if False:"),
            ("            if not thread.is_alive() and", "            if False and"),
        ),
    ),
    "a call that waits for an answer does not check that the thread lives": Mutant(
        _WRITER,
        programs.CloseAgainstClose,
        (("            if not thread.is_alive() and", "            if False and"),),
    ),
    "space is not given back": Mutant(
        _QUEUE, programs.ManyBytes, (("self._space += self._consumer_size - unwritten_size", "pass"),)
    ),
    "a lock for space is registered after the mutex is released": Mutant(
        _QUEUE,
        programs.TwoProducersAndAFullQueue,
        (
            ("        self._space_locks.append(lock)\n        return lock", "        return lock"),
            (
                "            self._check(command.size > self._space)\n            if lock.acquire(",
                "            self._check(command.size > self._space)\n"
                "            self._space_locks.append(lock)\n            if lock.acquire(",
            ),
        ),
    ),
    "the writer makes its idle lock after the mutex is released": Mutant(
        _QUEUE,
        programs.RecordAgainstClose,
        (
            (
                "            self._idle_lock = closed_lock()\n            return self._idle_lock",
                "        self._idle_lock = closed_lock()\n        return self._idle_lock",
            ),
        ),
    ),
    "the time is read before the mutex is taken": Mutant(
        _QUEUE,
        programs.TwoProducersAndAFullQueue,
        (
            (
                "        try:\n            lock = self._try_to_put(command, timeout)",
                "        if type(command) is Add:\n            command.time_ms = time.time_ns() // 1_000_000\n"
                "        try:\n            lock = self._try_to_put(command, timeout)",
            ),
            (
                "            # Under the mutex, so that time does not run backwards in the file.\n"
                "            if item.time_ms:\n"
                "                item.time_ms = self._earliest_ms = max(item.time_ms, self._last_ms)\n"
                "            else:\n"
                "                item.time_ms = max(time.time_ns() // 1_000_000, self._earliest_ms)\n"
                "            self._last_ms = item.time_ms",
                "            pass",
            ),
        ),
    ),
    "two threads start a writer each": Mutant(_WRITER, programs.ForkedChild, (("with self._starting:", "if True:"),)),
    "a call waits for the thread that never started": Mutant(
        _WRITER,
        programs.InterruptedChild,
        (("                if may_run.acquire(blocking=False):\n                    self._thread = None\n", ""),),
    ),
    "the writer is woken after the append": Mutant(
        _QUEUE,
        programs.InterruptedCaller,
        (
            ("        self._space -= item.size\n        self.queue.append(item)\n", ""),
            (
                "        lock = self._idle_lock\n        if lock and (not",
                "        self._space -= item.size\n        self.queue.append(item)\n"
                "        lock = self._idle_lock\n        if lock and (not",
            ),
        ),
    ),
    "the queue is emptied after the mutex is released": Mutant(
        _QUEUE,
        programs.RecordAgainstClose,
        (
            ("            self.queue.clear()\n", ""),
            ("            return commands\n", "        self.queue.clear()\n        return commands\n"),
        ),
    ),
    "close does not wait for the thread": Mutant(
        _WRITER,
        programs.RecordAgainstClose,
        (
            (
                "            self._thread.join(max(deadline.left, _ALIVE_POLL))\n"
                "            if self._thread.is_alive():\n",
                "            if False:\n",
            ),
        ),
    ),
    "a shutdown ends the thread while lines wait": Mutant(
        _WRITER,
        programs.FullDisk,
        (("is_done = not self._pending and not self._file.is_unsynced", "is_done = True"),),
    ),
}
