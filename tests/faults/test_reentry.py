"""
Something records while this thread is in the middle of recording: a signal handler, `__del__`, a weakref callback,
a logging handler. Each test is a program of its own with a time limit, since what it must not do is hang.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from rollout import FlushTimeoutError, Recorder, load_history
from rollout._commands import Add, Commands, Flush, Options, Shutdown
from rollout._plain import PlainItem

PROLOGUE = """
import gc, logging, signal, sys, weakref, rollout
sys.setswitchinterval(1e-5)
rec = rollout.Recorder(queue_size=2)
said = {"loop": 0, "other": 0}
def say(who):
    rec.record({"type": "message", "role": "user", "content": [{"type": "input_text", "text": who}]})
    said[who] += 1
"""
EPILOGUE = """
signal.signal(signal.SIGALRM, signal.SIG_IGN)
rec.close()
print(rec.path, said["loop"], said["other"])
"""


def run(script: str) -> None:
    """
    Run a program that records as "loop" and, from where it interrupts that, as "other"; see that all is in the file.
    """
    done = subprocess.run(
        [sys.executable, "-c", PROLOGUE + script + EPILOGUE], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    path, loop, other = done.stdout.split()
    history = load_history(path)
    found = Counter(line.payload["content"][0]["text"] for line in history.lines[1:])
    assert found == Counter({"loop": int(loop), "other": int(other)})
    assert int(other) > 0
    assert history.skipped == ()


def test_a_signal_handler_that_records_does_not_deadlock(home: Path) -> None:
    run("""
signal.signal(signal.SIGALRM, lambda *args: say("other"))
for n in range(20_000):
    # One signal a turn, so that the loop gets on however slow the machine is.
    signal.setitimer(signal.ITIMER_REAL, 0.000_001 * (n % 50 + 1))
    say("loop")
""")


def test_a_signal_handler_that_flushes_or_closes_does_not_deadlock(home: Path) -> None:
    run("""
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
""")


def test_a_cycle_whose_del_records_does_not_deadlock(home: Path) -> None:
    run("""
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
""")


def test_a_weakref_callback_that_records_does_not_deadlock(home: Path) -> None:
    run("""
class Cycle:
    def __init__(self):
        self.me = self
refs = []
gc.set_threshold(3)
for n in range(5_000):
    refs.append(weakref.ref(Cycle(), lambda ref: say("other")))
    say("loop")
gc.collect()
""")


def test_a_logging_handler_that_records_may_run_on_the_writers_thread(home: Path) -> None:
    run("""
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
""")


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
