"""
Something records while this thread is in the middle of recording: a signal handler, `__del__`, a weakref callback,
a logging handler. Each test is a program of its own with a time limit, since what it must not do is hang.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rollout import FlushTimeoutError, Recorder, load_history
from rollout._commands import Add, Flush, Options, Shutdown
from rollout._queue import Commands
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
    Run a program that records as "loop" and, from where it interrupts that, as "other"; see that all is in the file.
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
def test_a_cycle_whose_del_records_does_not_deadlock(program: Program, figure: Callable[[str], None]) -> None:
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
def test_a_logging_handler_that_records_may_run_on_the_writers_thread(
    program: Program, figure: Callable[[str], None]
) -> None:
    run(
        program,
        """
import rollout._encoder as room
real = room.encode_item
def encode_item(kind, payload, *rest):
    if payload.get("content", [{}])[0].get("text") == "loop":
        logging.getLogger("agent").warning("encoding")
    return real(kind, payload, *rest)
room.encode_item = encode_item
class Handler(logging.Handler):
    def emit(self, record):
        for n in range(10):
            say("other")
logging.getLogger("agent").addHandler(Handler())
logging.getLogger("agent").propagate = False
for n in range(500):
    say("loop")
rec.flush()
""",
        figure,
    )


def test_a_logging_handler_on_the_writers_thread_is_told_that_it_cannot_wait_for_that_thread(home: Path) -> None:
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
    Let *call* come while the next command is put, or taken.
    """
    for name in ("_put", "_open_space"):

        def interrupt(*args: Any, name: str = name) -> Any:
            for patched in ("_put", "_open_space"):
                vars(commands).pop(patched, None)
            call()
            return getattr(commands, name)(*args)

        setattr(commands, name, interrupt)


def add(size: int = 0) -> Add:
    return Add("x", {}, size=size)


class TestCommands:
    """
    The queue itself, interrupted at a known place.
    """

    def test_what_interrupts_a_put_is_put_after_it(self) -> None:
        commands = Commands(Options(), RuntimeError)
        outer, inner = Flush(), Flush()
        is_put = []

        interrupted_by(commands, lambda: is_put.append(commands.hand_over(inner)))
        is_put.append(commands.hand_over(outer))

        assert commands.take_all() == [outer, inner]
        assert is_put == [False, True]

    def test_what_interrupts_a_put_is_put_before_another_thread_can_close(self) -> None:
        commands = Commands(Options(), RuntimeError)
        outer, inner, last = add(), add(), Shutdown()
        interrupted_by(commands, lambda: commands.hand_over(inner))
        gate = commands._try_to_put(outer)
        commands.end(last)

        assert gate is None
        assert commands.take_all() == [outer, inner, last]

    def test_what_follows_something_late_in_an_interruption_is_put_behind_it(self) -> None:
        commands = Commands(Options(), RuntimeError)
        first, second, outer = Flush(), Flush(), Flush()
        is_put = []

        def interrupt() -> None:
            commands.hand_over(first)
            # Another thread held the mutex, and has let it go.
            commands.mutex.release()
            is_put.append(commands.hand_over(second))
            commands.mutex.acquire()

        interrupted_by(commands, interrupt)
        commands.hand_over(outer)

        assert is_put == [False]
        assert commands.take_all() == [outer, first, second]

    def test_the_writer_is_woken_even_where_an_interrupt_follows_the_put(self) -> None:
        class Interrupted(deque[Any]):
            def append(self, item: Any) -> None:
                super().append(item)
                raise KeyboardInterrupt

        commands = Commands(Options(queue_size=1), RuntimeError)
        gate = commands._close_gate(0, is_lingering=False)
        commands.queue = Interrupted()

        with pytest.raises(KeyboardInterrupt):
            commands.hand_over(add())

        assert gate is not None
        assert gate.acquire(blocking=False)

    def test_what_interrupts_a_put_that_is_refused_is_put_all_the_same(self) -> None:
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

    def test_the_consumer_never_waits_for_a_place(self) -> None:
        commands = Commands(Options(queue_size=1), RuntimeError)
        commands.consumer = threading.get_ident()

        for _ in range(5):
            commands.hand_over(add())

        assert len(commands.take_all()) == 5

    def test_what_interrupts_the_taking_is_taken_with_it_and_has_a_time(self) -> None:
        commands = Commands(Options(), RuntimeError)
        commands.hand_over(Flush())
        interrupted_by(commands, lambda: commands.hand_over(add()))

        _, late = commands.take_all()

        assert isinstance(late, Add)
        assert late.time_ms > 0

    def test_what_interrupts_while_there_is_no_space_is_refused_for_it_cannot_wait(self) -> None:
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

    def test_what_interrupts_a_close_is_refused(self) -> None:
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

    def test_a_close_by_another_thread_refuses_what_was_taken_in_an_interruption(self) -> None:
        commands = Commands(Options(), RuntimeError)

        def interrupt() -> None:
            commands.hand_over(add())
            # As if the other thread came between this put and the late one.
            commands._is_ended = True

        interrupted_by(commands, interrupt)
        with pytest.raises(RuntimeError):
            commands.hand_over(add())

        assert len(commands.take_all()) == 1

    def test_a_close_inside_of_a_record_is_put_behind_it(self) -> None:
        commands = Commands(Options(), RuntimeError)

        interrupted_by(commands, lambda: commands.end(Shutdown()))
        commands.hand_over(add())

        assert [type(command) for command in commands.take_all()] == [Add, Shutdown]

    def test_what_an_exception_left_behind_in_an_interruption_is_put_by_the_next_call(self) -> None:
        commands = Commands(Options(), RuntimeError)
        left, following = Flush(), Flush()
        commands._late[threading.get_ident()] = [left]

        assert commands.hand_over(following)

        assert commands.take_all() == [following, left]

    def test_a_full_queue_is_waited_for_no_longer_than_asked(self) -> None:
        commands = Commands(Options(queue_size=1), RuntimeError)
        commands.hand_over(add())

        for timeout in (0, 0.01):
            with pytest.raises(queue.Full):
                commands.hand_over(Flush(), timeout=timeout)

    def test_a_flush_or_close_inside_of_record_does_not_wait(self, home: Path) -> None:
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

    def test_an_answer_given_twice_is_given(self) -> None:
        command = Flush()

        command.answer(None)
        command.answer(None)

        assert command.done.wait(0)
        assert command.done.wait(0)
