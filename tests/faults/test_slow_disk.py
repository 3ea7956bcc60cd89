"""
A slow disk: strace delays each real write or sync.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.programs import Program, in_order, run_under_strace

# Tells for the longest call of each kind how long it took, and how many lines were not in the file after the last.
SLOW = """
import json
def took(call):
    start = time.monotonic()
    call()
    return time.monotonic() - start
rec = rollout.Recorder(fsync=len(sys.argv) > 1)
rec.flush()
calls = sorted(took(lambda: rec.record(message(str(n)))) for n in range(200))
waiting = 201 - rec.stats.written_lines
flush = took(rec.flush)
rec.record(message("last"))
close = took(rec.close)
print(json.dumps({"path": str(rec.path), "median": calls[100], "most": calls[189], "max": calls[-1],
                  "waiting": waiting, "flush": flush, "close": close}))
"""
DELAY = 0.5


def check(told: Any, figure: Callable[[str], None], what: str) -> None:
    # 95 of 100 calls took less than a tenth of a delay, whatever else this machine does.
    assert told["most"] < DELAY / 10, told
    assert told["waiting"] > 0, told
    # It has one more line to write, or sync.
    assert told["close"] >= DELAY, told
    assert in_order(told["path"]) == [*map(str, range(200)), "last"]
    figure(
        f"with {DELAY} s for each {what}: record() took {told['median'] * 1e6:.0f} us (at most "
        f"{told['max'] * 1e3:.1f} ms), flush {told['flush']:.2f} s, close {told['close']:.2f} s"
    )


@pytest.mark.promise("bound")
def test_record_does_not_wait_for_a_slow_write_while_the_queue_has_space_and_close_does(
    program: Program, figure: Callable[[str], None]
) -> None:
    check(run_under_strace(program, f"write:delay_enter={DELAY * 1e6:.0f}", SLOW), figure, "write")


@pytest.mark.promise("bound")
def test_record_does_not_wait_for_a_slow_sync_while_the_queue_has_space_and_close_does(
    program: Program, figure: Callable[[str], None]
) -> None:
    check(run_under_strace(program, f"fsync:delay_enter={DELAY * 1e6:.0f}", SLOW, "fsync"), figure, "fsync")


@pytest.mark.promise("bound")
def test_record_waits_for_a_slow_disk_when_the_queue_is_full_and_loses_nothing(
    program: Program, figure: Callable[[str], None]
) -> None:
    told = run_under_strace(
        program,
        "write:delay_enter=200000",
        SLOW.replace("Recorder(", "Recorder(queue_size=20, "),
    )

    assert in_order(told["path"]) == [*map(str, range(200)), "last"]
    assert told["max"] >= 0.1, told
    figure(f"with 20 places and 0.2 s for each write: record() took {told['median'] * 1e6:.0f} us, at most "
           f"{told['max']:.2f} s")  # fmt: skip
