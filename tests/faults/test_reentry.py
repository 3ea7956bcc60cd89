"""
Re-entrant recording: a signal handler, `__del__`, a weakref callback or a logging handler records inside `record()`.

Most tests run a program in another process with a time limit, since a deadlock would hang it.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rollout import FlushTimeoutError, Recorder, load_history
from rollout.recording._commands import Add, Flush, Options, Shutdown
from rollout.recording._queue import Commands
from tests.faults.programs import Program, texts

PROLOGUE = """
import weakref
sys.setswitchinterval(1e-5)
rec = rollout.Recorder(queue_size=2)
said = {"loop": 0, "other": 0}
def say(who):
    rec.record(message(who))
    said[who] += 1
"""
EPILOGUE = """
signal.signal(signal.SIGALRM, signal.SIG_IGN)
rec.close()
print(rec.path, said["loop"], said["other"])
"""


def run(program: Program, script: str, figure: Callable[[str], None] = print) -> None:
    """
    Run a program that records as "loop", and re-entrantly as "other"; check that all its items are in the file.
    """
    path, loop, other = program.run(PROLOGUE + script + EPILOGUE).split()
    found = texts(path)
    assert found == Counter({"loop": int(loop), "other": int(other)})
    assert int(other) > 0
    figure(f"{int(other):,} records inside of {int(loop):,}, all in the file")


@pytest.mark.promise("re-entry", naive="fails")
def test_a_signal_handler_that_records_does_not_deadlock(program: Program, figure: Callable[[str], None]) -> None:
    run(
        program,
        """
signal.signal(signal.SIGALRM, lambda *args: say("other"))
for n in range(20_000):
    # One signal a turn, so that the loop gets on however slow the machine is.
    signal.setitimer(signal.ITIMER_REAL, 0.000_001 * (n % 50 + 1))
    say("loop")
""",
        figure,
    )


@pytest.mark.promise("re-entry")
def test_a_signal_handler_that_flushes_or_closes_does_not_deadlock(
    program: Program, figure: Callable[[str], None]
) -> None:
    run(
        program,
        """
def handle(*args):
    say("other")
    try:
        rec.flush()
    except rollout.FlushTimeoutError:
        pass
signal.signal(signal.SIGALRM, handle)
for n in range(5_000):
    signal.setitimer(signal.ITIMER_REAL, 0.000_001 * (n % 50 + 1))
    say("loop")
""",
        figure,
    )


@pytest.mark.promise("re-entry")
def test_recording_in_the_del_of_a_cycle_does_not_deadlock(program: Program, figure: Callable[[str], None]) -> None:
    run(
        program,
        """
class Cycle:
    def __init__(self):
        self.me = self
    def __del__(self):
        say("other")
gc.set_threshold(3)
for n in range(5_000):
    Cycle()
    say("loop")
gc.collect()
""",
        figure,
    )


@pytest.mark.promise("re-entry")
def test_a_weakref_callback_that_records_does_not_deadlock(program: Program, figure: Callable[[str], None]) -> None:
    run(
        program,
        """
class Cycle:
    def __init__(self):
        self.me = self
refs = []
gc.set_threshold(3)
for n in range(5_000):
    refs.append(weakref.ref(Cycle(), lambda ref: say("other")))
    say("loop")
gc.collect()
""",
        figure,
    )


@pytest.mark.promise("re-entry")
def test_a_logging_handler_that_records_may_run_on_the_writer_s_thread(
    program: Program, figure: Callable[[str], None]
) -> None:
    run(
        program,
        """
import rollout.recording._encoder as encoder
real = encoder.encode_item
def encode_item(kind, payload, *rest):
    if payload.get("content", [{}])[0].get("text") == "loop":
        logging.getLogger("agent").warning("encoding")
    return real(kind, payload, *rest)
encoder.encode_item = encode_item
class Handler(logging.Handler):
    def emit(self, record):
        for n in range(10):
            say("other")
logging.getLogger("agent").addHandler(Handler())
logging.getLogger("agent").propalock = False
for n in range(500):
    say("loop")
rec.flush()
""",
        figure,
    )


def test_flush_and_close_in_a_logging_handler_on_the_writer_s_thread_raise_instead_of_waiting(home: Path) -> None:
    told: list[str] = []
    is_told = threading.Event()

    class Waiting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not told:
                for call in (recorder.flush, recorder.close):
                    with pytest.raises(FlushTimeoutError) as caught:
                        call()
                    told.append(caught.value.waited_for)
                is_told.set()

    handler, log = Waiting(), logging.getLogger("rollout")
    recorder = Recorder(home=home)
    recorder.flush()
    log.addHandler(handler)
    try:
        os.truncate(recorder.path, 0)  # The writer's thread says so in the log.
        recorder.user_message("first")
        assert is_told.wait(10)
        recorder.close()
    finally:
        log.removeHandler(handler)

    assert told == ["a flush inside of record()", "a close inside of record()"]
    assert texts(recorder.path) == Counter(["first"])


def interrupted_by(commands: Commands, call: Callable[[], object]) -> None:
    """
    Make the next put or take of a command run *call* while it holds the mutex.
    """
    for name in ("_put", "_wake_callers"):

        def interrupt(*args: Any, name: str = name) -> Any:
            for patched in ("_put", "_wake_callers"):
                vars(commands).pop(patched, None)
            call()
            return getattr(commands, name)(*args)

        setattr(commands, name, interrupt)


def add(size: int = 0) -> Add:
    return Add("x", {}, size=size)


def test_every_test_named_in_the_rules_of_the_queue_exists() -> None:
    names = re.findall(r"\btest_\w+", re.sub(r"\S+\.py", "", Commands.__doc__ or ""))
    source = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))

    assert len(names) > 10
    assert [name for name in names if f"def {name}(" not in source] == []


class TestCommands:
    """
    Tests of the queue alone, interrupted at a known position.
    """

    def test_a_reentrant_command_is_put_after_the_interrupted_one(self) -> None:
        commands = Commands(Options(), RuntimeError)
        outer, inner = Flush(), Flush()
        is_put = []

        interrupted_by(commands, lambda: is_put.append(commands.hand_over(inner)))
        is_put.append(commands.hand_over(outer))

        assert commands.take_all() == [outer, inner]
        assert is_put == [False, True]

    def test_a_call_that_interrupts_a_wait_for_the_mutex_is_put(self) -> None:
        commands = Commands(Options(), RuntimeError)
        outer, inner = Flush(), Flush()
        is_held, may_release = threading.Event(), threading.Event()
        is_put = []

        def hold() -> None:
            with commands.mutex:
                is_held.set()
                may_release.wait(10)

        def interrupt(*args: object) -> None:
            may_release.set()
            is_put.append(commands.hand_over(inner))

        thread = threading.Thread(target=hold)
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            thread.start()
            assert is_held.wait(10)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            commands.hand_over(outer)
        finally:
            signal.signal(signal.SIGALRM, before)
        thread.join()

        assert is_put == [True]
        assert commands.take_all() == [inner, outer]

    def test_the_writer_is_woken_even_if_an_interrupt_follows_the_append(self) -> None:
        class Interrupted(deque[Any]):
            def append(self, item: Any) -> None:
                super().append(item)
                raise KeyboardInterrupt

        commands = Commands(Options(queue_size=1), RuntimeError)
        lock = commands._lock_for_commands(0, is_lingering=False)
        commands.queue = Interrupted()

        with pytest.raises(KeyboardInterrupt):
            commands.hand_over(add())

        assert lock is not None
        assert lock.acquire(blocking=False)

    def test_a_deferred_command_is_put_if_the_interrupted_one_is_refused(self) -> None:
        commands = Commands(Options(queue_size=1), RuntimeError)
        first, inner = add(), Flush()
        commands.hand_over(first)

        def fits(size: int) -> bool:
            vars(commands).pop("_fits")
            commands.hand_over(inner)
            return commands._fits(size)

        commands._fits = fits  # type: ignore[method-assign]
        with pytest.raises(queue.Full):
            commands.hand_over(Flush(), timeout=0)

        assert commands.take_all() == [first, inner]

    def test_the_consumer_never_waits_for_space(self) -> None:
        commands = Commands(Options(queue_size=1), RuntimeError)
        commands.consumer = threading.get_ident()

        for _ in range(5):
            commands.hand_over(add())

        assert len(commands.take_all()) == 5

    def test_a_command_that_interrupts_the_wait_for_commands_is_in_the_batch_and_has_a_time(self) -> None:
        commands = Commands(Options(), RuntimeError)
        interrupted_by(commands, lambda: commands.hand_over(add()))

        (deferred,) = commands.take_all()

        assert isinstance(deferred, Add)
        assert deferred.time_ms > 0

    def test_a_command_that_interrupts_taking_is_in_the_next_batch(self) -> None:
        class Interrupted(deque[Any]):
            def clear(self) -> None:
                commands.hand_over(inner)
                super().clear()

        commands = Commands(Options(), RuntimeError)
        outer, inner = Flush(), Flush()
        commands.queue = Interrupted([outer])

        assert commands.take_all() == [outer]
        commands.queue = deque()
        assert commands.take_all() == [inner]

    def test_a_reentrant_command_without_space_is_refused(self) -> None:
        commands = Commands(Options(max_waiting_size=10), RuntimeError)
        commands.hand_over(add(6))

        def interrupt() -> None:
            with pytest.raises(queue.Full):
                commands.hand_over(add(6))

        interrupted_by(commands, interrupt)
        commands.hand_over(Flush())
        commands.consumer = threading.get_ident()
        with pytest.raises(queue.Full):
            commands.hand_over(add(6))

        assert [type(command) for command in commands.take_all()] == [Add, Flush]

    def test_a_command_that_interrupts_close_is_refused(self) -> None:
        commands = Commands(Options(), RuntimeError)
        refused = []

        def interrupt() -> None:
            with pytest.raises(RuntimeError):
                commands.hand_over(add())
            refused.append(True)

        interrupted_by(commands, interrupt)
        commands.end(Shutdown())

        assert refused
        assert [type(command) for command in commands.take_all()] == [Shutdown]

    def test_a_deferred_command_is_put_before_the_close_of_another_thread(self) -> None:
        commands = Commands(Options(), RuntimeError)
        outer, deferred, last = add(), add(), Shutdown()
        interrupted_by(commands, lambda: commands.hand_over(deferred))

        # The other thread comes before the interrupted call has put what is deferred.
        commands._try_to_put(outer)
        commands.end(last)

        assert commands.take_all() == [outer, deferred, last]

    def test_a_reentrant_close_is_put_after_the_interrupted_command(self) -> None:
        commands = Commands(Options(), RuntimeError)

        interrupted_by(commands, lambda: commands.end(Shutdown()))
        commands.hand_over(add())

        assert [type(command) for command in commands.take_all()] == [Add, Shutdown]

    def test_a_deferred_command_left_by_an_exception_is_put_before_that_of_the_next_call(self) -> None:
        commands = Commands(Options(), RuntimeError)
        left, following = Flush(), Flush()
        commands._deferred.append(left)

        assert commands.hand_over(following)

        assert commands.take_all() == [left, following]

    def test_a_full_queue_raises_after_the_timeout(self) -> None:
        commands = Commands(Options(queue_size=1), RuntimeError)
        commands.hand_over(add())

        for timeout in (0, 0.01):
            with pytest.raises(queue.Full):
                commands.hand_over(Flush(), timeout=timeout)

    def test_a_reentrant_flush_or_close_does_not_wait(self, home: Path) -> None:
        recorder = Recorder(home=home)
        recorder.flush()
        said = []

        def interrupt() -> None:
            for call in (recorder.flush, recorder.close):
                with pytest.raises(FlushTimeoutError, match="inside of record"):
                    call()
                said.append(call)

        interrupted_by(recorder._writer._commands, interrupt)
        recorder.user_message("outer")
        recorder.close()

        assert len(said) == 2
        assert [turn.prompt for turn in load_history(recorder.path).turns] == ["outer"]

    def test_a_flush_can_be_answered_twice(self) -> None:
        command = Flush()

        command.answer(None)
        command.answer(None)

        assert command.done.wait(0)
        assert command.done.wait(0)
