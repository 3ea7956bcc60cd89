"""
Something records while this thread is in the middle of recording: a signal handler, `__del__`, a weakref callback,
a logging handler. Each test is a program of its own with a time limit, since what it must not do is hang.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from rollout import FlushTimeoutError, Recorder
from rollout._commands import Add, Commands, Flush, Options, Shutdown
from rollout._plain import PlainItem
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
import rollout._writer as room
real = room.encode_item
def encode_item(kind, payload, **rest):
    if payload.get("content", [{}])[0].get("text") == "loop":
        logging.getLogger("agent").warning("encoding")
    return real(kind, payload, **rest)
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


class TestCommands:
    """
    The queue itself, interrupted at a known place.
    """

    @staticmethod
    def interrupted(commands: Commands) -> None:
        commands._interrupting[threading.get_ident()] = []

    def test_what_interrupts_a_put_is_put_after_it(self) -> None:
        commands = Commands(Options(queue_size=9), RuntimeError)
        outer, inner = Flush(), Flush()
        real = commands._put

        def put(command: Flush) -> None:
            if command is outer:
                commands.hand_over(inner)
                assert commands.is_interrupted
            real(command)

        commands._put = put  # type: ignore[method-assign, assignment]
        commands.hand_over(outer)

        assert commands.take_all() == [outer, inner]
        assert not commands.is_interrupted

    def test_the_consumer_never_waits_for_space(self) -> None:
        commands = Commands(Options(queue_size=1), RuntimeError)
        commands.consumer = threading.get_ident()

        for _ in range(5):
            commands.hand_over(Add([PlainItem("x", {})]))

        assert len(commands.take_all()) == 5

    def test_what_interrupts_the_taking_is_taken_with_it(self) -> None:
        commands = Commands(Options(queue_size=9), RuntimeError)
        commands.hand_over(Flush())
        real = commands._get

        def get() -> Flush:
            if len(commands.queue) == 1:
                commands.hand_over(Shutdown())
            return real()

        commands._get = get  # type: ignore[method-assign, assignment]

        assert [type(command) for command in commands.take_all()] == [Flush, Shutdown]

    def test_a_flush_or_close_inside_of_record_does_not_wait(self, home: Path) -> None:
        recorder = Recorder(home=home)
        recorder.flush()
        commands = recorder._writer._commands
        self.interrupted(commands)

        with pytest.raises(FlushTimeoutError, match="a flush inside of record"):
            recorder.flush()
        with pytest.raises(FlushTimeoutError, match="a close inside of record"):
            recorder.close()

        assert [type(late) for late in commands._interrupting.pop(threading.get_ident())] == [Shutdown]
        recorder.close()

    def test_what_interrupts_while_there_is_no_space_is_refused_for_it_cannot_wait(self) -> None:
        commands = Commands(Options(max_waiting_size=10), RuntimeError)
        self.interrupted(commands)

        commands.hand_over(Add([], size=6))
        with pytest.raises(queue.Full):
            commands.hand_over(Add([], size=6))

        commands._interrupting.clear()
        commands.consumer = threading.get_ident()
        commands.hand_over(Add([], size=6))
        with pytest.raises(queue.Full):
            commands.hand_over(Add([], size=6))

    def test_what_interrupts_a_close_is_refused(self) -> None:
        commands = Commands(Options(), RuntimeError)
        real = commands._put
        ends = []

        def put(command: Shutdown) -> None:
            with pytest.raises(RuntimeError):
                commands.hand_over(Add([]))
            ends.append("refused")
            real(command)

        commands._put = put  # type: ignore[method-assign, assignment]
        commands.hand_over(Shutdown())

        assert ends == ["refused"]
        assert [type(command) for command in commands.take_all()] == [Shutdown]

    def test_a_close_by_another_thread_refuses_what_was_taken_in_an_interruption(self) -> None:
        commands = Commands(Options(), RuntimeError)
        real = commands._put

        def put(command: Add) -> None:
            commands.hand_over(Add([PlainItem("late", {})]))
            commands._put = real  # type: ignore[method-assign]
            real(command)
            # As if the other thread came between this put and the late one.
            commands._is_ended = True

        commands._put = put  # type: ignore[method-assign, assignment]
        with pytest.raises(RuntimeError):
            commands.hand_over(Add([]))

        assert len(commands.take_all()) == 1

    def test_a_close_inside_of_a_record_is_put_behind_it(self) -> None:
        commands = Commands(Options(), RuntimeError)
        real = commands._put

        def put(command: Add) -> None:
            commands._put = real  # type: ignore[method-assign]
            commands.hand_over(Shutdown())
            real(command)

        commands._put = put  # type: ignore[method-assign, assignment]
        commands.hand_over(Add([]))

        assert [type(command) for command in commands.take_all()] == [Add, Shutdown]

    def test_an_interrupting_record_has_a_time_though_it_is_not_put(self) -> None:
        commands = Commands(Options(), RuntimeError)
        commands.hand_over(Flush())
        real = commands._get

        def get() -> Flush:
            commands.hand_over(Add([]))
            return real()

        commands._get = get  # type: ignore[method-assign, assignment]
        _, late = commands.take_all()

        assert isinstance(late, Add)
        assert late.time_ms > 0
