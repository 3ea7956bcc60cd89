"""
The process is stopped for a while, as by Ctrl-Z, a debugger or a paused container, and goes on.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rollout import Recorder
from rollout._commands import Answered, Deadline, Flush
from tests.faults.programs import Program, in_order

ROUNDS = 6


def go_on(pid: int, seconds: float) -> None:
    """
    Wait until a child of ours is stopped and for some seconds more, and let it go on.
    """
    os.waitid(os.P_PID, pid, os.WSTOPPED)
    # What is tested is that time goes by.
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


@pytest.mark.promise("record")
def test_a_process_that_is_stopped_again_and_again_loses_nothing(
    program: Program, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    over = tmp_path / "over"
    running = program.start(
        """
rec = rollout.Recorder(queue_size=4)
print(rec.path, flush=True)
n = 0
while not os.path.exists(sys.argv[1]):
    rec.record(message(str(n)))
    n += 1
    if n % 50 == 0:
        rec.flush()
rec.close()
print(n, flush=True)
""",
        over,
    )
    assert running.stdout is not None
    path = running.stdout.readline().strip()
    for number in range(50):
        os.kill(running.pid, signal.SIGSTOP)
        go_on(running.pid, number % 5 / 1000)
    over.touch()
    said, complaint = running.communicate(timeout=60)

    assert (running.returncode, complaint) == (0, "")
    assert in_order(path) == [str(n) for n in range(int(said))]
    figure(f"stopped 50 times while it recorded {int(said):,} lines: all there, once, in order")


@pytest.mark.promise("hang")
def test_a_flush_or_close_whose_process_was_stopped_for_longer_than_its_limit_still_waits_for_what_is_all_but_done(
    program: Program, figure: Callable[[str], None]
) -> None:
    running = program.start(
        """
def write(fd, data):
    # In the middle of it, while another thread waits for it with a limit.
    asked.wait()
    time.sleep(0.05)
    # Not os.kill, which would leave this thread the interpreter.
    os.system(f"kill -STOP {os.getpid()}")
    return os.write(fd, data)
late = 0
rec = rollout.Recorder()
for n in range(int(sys.argv[1])):
    rec.flush()
    asked = threading.Event()
    disk_room.os = Disk(write=write)
    rec.record(message(str(n)))
    asked.set()
    try:
        rec.close(timeout=0.5) if n % 2 else rec.flush(timeout=0.5)
    except rollout.FlushTimeoutError:
        late += 1
    disk_room.os = os
    rec.close()
    rec = rollout.Recorder.resume(rec.path)
rec.close()
print(rec.path, late)
""",
        ROUNDS,
    )
    for _ in range(ROUNDS):
        go_on(running.pid, 0.6)
    said, complaint = running.communicate(timeout=60)

    assert (running.returncode, complaint) == (0, "")
    path, late = said.split()
    assert in_order(path) == [str(n) for n in range(ROUNDS)]
    # A busy machine may give the writer no time even then; the test below leaves nothing to it.
    assert int(late) < ROUNDS
    figure(
        f"of {ROUNDS} calls with a limit of 0.5 s whose process was stopped for 0.6 s, {ROUNDS - int(late)} returned"
    )


class AnsweredTooLate(Answered):
    """
    Is set between the end of the first wait for it and the look at the clock.
    """

    def wait(self, timeout: float | None = None) -> bool:
        was_set = super().wait(0)
        self.set()
        return was_set


@pytest.mark.promise("hang")
def test_an_answer_that_comes_when_the_limit_is_over_counts(recorder: Recorder) -> None:
    command = Flush(done=AnsweredTooLate())

    recorder._writer._await(command, True, "flush", 0.5, Deadline(0))

    assert command.done.is_set()
