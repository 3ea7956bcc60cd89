"""
Faults to be put into the protocol, one at a time, and the program whose schedules are to find each.
"""

from __future__ import annotations

from attrs import frozen

from tests.races import programs
from tests.races.programs import Program

_QUEUE = "rollout._queue"
_WRITER = "rollout._writer"
_LOOKS_FOR_LATE = """            if not self._late:
                return gate
            self._put_late_of(threading.get_ident())
"""


@frozen
class Mutant:
    """
    A fault.

    Attributes:
        module: Where it is.
        changes: Old text and new.
        program: Finds it.
    """

    module: str
    program: type[Program]
    changes: tuple[tuple[str, str], ...]


MUTANTS = {
    "whether it is closed is looked up before the lock, not under it": Mutant(
        _QUEUE,
        programs.RecordAgainstClose,
        (
            ("if self.is_closed or len(self.queue) >= self.maxsize", "if len(self.queue) >= self.maxsize"),
            (
                "        try:\n            gate = self._try_to_put(command, timeout)",
                "        if self.is_closed and type(command) is not Shutdown:\n            raise self.refusal()\n"
                "        try:\n            gate = self._try_to_put(command, timeout)",
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
    "the outcome is that of the write before": Mutant(
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
        (("is to learn that there will be none.\n            self._open_space()\n", "is left to it.\n"),),
    ),
    "what came late is not put": Mutant(
        _QUEUE,
        programs.SignalHandler,
        (
            ("            if self._late:\n                self._put_late()", "            pass"),
            (_LOOKS_FOR_LATE, ""),
        ),
    ),
    "what came late is put when the lock was free in between": Mutant(
        _QUEUE,
        programs.SignalHandlerAgainstAnothersClose,
        ((_LOOKS_FOR_LATE, ""),),
    ),
    "a call inside of one that holds the mutex takes it again": Mutant(
        _QUEUE, programs.SignalHandler, (("if frame.f_code in _INSIDE and", "if False and"),)
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
        _QUEUE, programs.ManyBytes, (("self._space += self._taken_size - unwritten_size", "pass"),)
    ),
    "a gate is registered behind the lock": Mutant(
        _QUEUE,
        programs.TwoProducersAndAFullQueue,
        (
            ("        self._without_space.append(gate)\n        return gate", "        return gate"),
            (
                "            self._check(command.size > self._space)\n            if gate.acquire(",
                "            self._check(command.size > self._space)\n"
                "            self._without_space.append(gate)\n            if gate.acquire(",
            ),
        ),
    ),
    "the writer makes its gate behind the lock": Mutant(
        _QUEUE,
        programs.RecordAgainstClose,
        (
            (
                "            self._idle = closed_gate()\n            return self._idle",
                "        self._idle = closed_gate()\n        return self._idle",
            ),
        ),
    ),
    "the time is taken before the lock": Mutant(
        _QUEUE,
        programs.TwoProducersAndAFullQueue,
        (
            (
                "        try:\n            gate = self._try_to_put(command, timeout)",
                "        if type(command) is Add:\n            command.time_ms = time.time_ns() // 1_000_000\n"
                "        try:\n            gate = self._try_to_put(command, timeout)",
            ),
            (
                "            # Under the mutex, so that time does not run backwards in the file.\n"
                "            item.time_ms = time.time_ns() // 1_000_000",
                "            pass",
            ),
        ),
    ),
    "two threads start a writer each": Mutant(_WRITER, programs.ForkedChild, (("with self._starting:", "if True:"),)),
    "the thread that never started is waited for": Mutant(
        _WRITER,
        programs.InterruptedChild,
        (("                if may_run.acquire(blocking=False):\n                    self._thread = None\n", ""),),
    ),
    "the writer is woken behind the append": Mutant(
        _QUEUE,
        programs.InterruptedCaller,
        (
            ("        self._space -= item.size\n        self.queue.append(item)\n", ""),
            (
                "        gate = self._idle\n        if gate is not None and (not",
                "        self._space -= item.size\n        self.queue.append(item)\n"
                "        gate = self._idle\n        if gate is not None and (not",
            ),
        ),
    ),
    "the queue is emptied behind the lock": Mutant(
        _QUEUE,
        programs.RecordAgainstClose,
        (
            ("            self.queue.clear()\n", ""),
            ("            return taken\n", "        self.queue.clear()\n        return taken\n"),
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
    "a shutdown ends the thread though lines wait": Mutant(
        _WRITER,
        programs.FullDisk,
        (("is_done = not self._pending and not self._file.is_unsynced", "is_done = True"),),
    ),
}
