"""
A process that is stopped for a while, as by Ctrl-Z, a debugger or a paused container, and continues.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rollout import Recorder
from rollout.recording._commands import Flush
from rollout.recording._waiting import Deadline, InterruptibleEvent
from tests.faults.programs import Program, in_order

ROUNDS = 6


def go_on(pid: int, seconds: float) -> None:
    """
    Wait until a child process is stopped, and some seconds more; then continue it.
    """
    os.waitid(os.P_PID, pid, os.WSTOPPED)
    # What is tested is that time goes by.
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


@pytest.mark.promise("record")
def test_a_process_that_is_stopped_repeatedly_loses_no_line(
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
def test_flush_and_close_in_a_process_stopped_beyond_their_timeout_wait_for_a_write_that_is_almost_done(
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
rec = disk.Recorder()
for n in range(int(sys.argv[1])):
    rec.flush()
    asked = threading.Event()
    disk.write = write
    rec.record(message(str(n)))
    asked.set()
    try:
        rec.close(timeout=0.5) if n % 2 else rec.flush(timeout=0.5)
    except rollout.FlushTimeoutError:
        late += 1
    del disk.write
    rec.close()
    rec = disk.Recorder.resume(rec.path)
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


class SetTooLate(InterruptibleEvent):
    """
    Is set between the end of the first wait for it and the look at the clock.
    """

    def wait(self, timeout: float | None = None) -> bool:
        was_set = super().wait(0)
        self.set()
        return was_set


@pytest.mark.promise("hang")
def test_an_answer_that_comes_at_the_end_of_the_timeout_counts(recorder: Recorder) -> None:
    command = Flush(done=SetTooLate())

    recorder._writer._wait_for_answer(command, True, "flush", 0.5, Deadline(0))

    assert command.done.is_set()
