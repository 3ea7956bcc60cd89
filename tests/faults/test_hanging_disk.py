"""
A disk that no longer answers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.programs import Program, file_system, frozen, in_order, mounted

HANG = """
never = threading.Event()
def took(call):
    start = time.monotonic()
    try:
        call()
    except Exception as error:
        return error, time.monotonic() - start
    raise SystemExit("it did not end with an error")
"""


@pytest.mark.promise("hang", naive="fails")
def test_flush_and_close_raise_after_their_timeout_and_report_what_they_waited_for(
    program: Program, figure: Callable[[str], None]
) -> None:
    flush, close = program.run(
        HANG
        + """
rec = disk.Recorder(session_id="01a1fbb5-7abd-7c53-8766-f128212a613b")
rec.flush()
disk.write = lambda fd, data: never.wait()
for n in range(10):
    rec.record(message(str(n)))
late, seconds = took(lambda: rec.flush(timeout=0.3))
assert type(late) is rollout.FlushTimeoutError and "flush took more than 0.3 s" in str(late), late
assert "01a1fbb5" in str(late) and late.pending > 0, late
late, more = took(lambda: rec.close(timeout=0.3))
assert type(late) is rollout.FlushTimeoutError and "close took more than 0.3 s" in str(late), late
print(seconds, more)
sys.stdout.flush()
os._exit(0)
"""
    ).split()

    assert 0.3 <= float(flush) < 2
    assert 0.3 <= float(close) < 2
    figure(f"flush(0.3) ended after {float(flush):.2f} s, close(0.3) after {float(close):.2f} s")


@pytest.mark.promise("hang")
def test_the_program_ends_within_its_time_limit_and_reports_what_it_waited_for(
    program: Program, figure: Callable[[str], None]
) -> None:
    done = program.end(
        HANG
        + """
import atexit, rollout.recording._lifecycle
rollout.recording._lifecycle.EXIT_TIMEOUT = 1.0
rec = disk.Recorder()
rec.flush()
start = time.monotonic()
disk.write = lambda fd, data: never.wait()
rec.record(message("x"))
# Registered last, run first; the rest is told by who waits for this program.
atexit.register(lambda: print(time.monotonic() - start))
"""
    )

    assert done.returncode == 0
    assert "at exit: rollout-" in done.stderr
    assert "close took more than 1 s" in done.stderr or "close took more than 0.9" in done.stderr
    figure("the program ended within its limit (1 s here, 10 s unless changed) and logged what waits")


@pytest.mark.promise("hang")
def test_on_a_frozen_file_system_calls_keep_their_timeouts_and_no_line_is_lost(
    program: Program, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    script = (
        HANG
        + """
rec = rollout.Recorder(home=sys.argv[1])
rec.flush()
print(rec.path, flush=True)
input()
for n in range(100):
    rec.record(message(str(n)))
print(took(lambda: rec.flush(timeout=0.3))[1], took(lambda: rec.flush(timeout=0.3))[1], flush=True)
input()
rec.close()
"""
    )
    with mounted(disk, "-o", "loop", str(file_system(tmp_path / "image"))):
        with program.start(script, disk / "home") as child:
            assert child.stdout is not None
            path = child.stdout.readline().strip()
            with frozen(disk, child):
                seconds = [float(text) for text in child.stdout.readline().split()]
            assert child.wait(30) == 0
        assert all(0.3 <= took < 2 for took in seconds)
        assert in_order(path) == [str(n) for n in range(100)]
