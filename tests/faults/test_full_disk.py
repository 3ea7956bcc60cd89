"""
A disk that is full, over quota or failing, and that works again later.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from rollout import load_history
from tests.faults.programs import Program, in_order, mounted, texts

LINES = 12

# For every error and every n: the n-th call to the disk and the next two fail, or write a part.
EVERY_CALL = """
paths = []
for code in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EINTR, None):
    for part in (0, 1, 57)[code is None:]:
        for n in range(1, 23):
            calls = 0
            def failing():
                global calls
                calls += 1
                return n <= calls < n + 3
            def write(fd, data):
                if not failing():
                    return os.write(fd, data)
                # What a disk does that fills up: first it takes a part, then nothing.
                if part and (code is None or calls == n):
                    return os.write(fd, data[:part])
                raise OSError(code, os.strerror(code))
            def fsync(fd):
                if failing() and code is not None:
                    raise OSError(code, os.strerror(code))
                os.fsync(fd)
            rec = disk.Recorder()
            paths.append(rec.path)
            disk.write, disk.fsync = write, fsync
            for number in range({lines}):
                rec.record(message(str(number)))
                try:
                    rec.flush(fsync=number % 4 == 3)
                except rollout.WriteError:
                    pass
            del disk.write, disk.fsync
            rec.close()
print(*paths, sep="\\n")
"""


@pytest.mark.promise("full", naive="fails")
def test_after_failed_calls_to_the_disk_every_line_is_in_the_file_once_and_in_order(
    program: Program, figure: Callable[[str], None]
) -> None:
    paths = program.run(EVERY_CALL.replace("{lines}", str(LINES))).splitlines()

    torn = 0
    for path in paths:
        assert in_order(path) == [str(n) for n in range(LINES)], path
        torn += len(load_history(path).skipped)
    figure(
        f"{len(paths)} sessions, each with another call failing: every line once and in order, {torn} half lines left"
    )


@pytest.mark.promise("full", naive="fails")
def test_lines_waiting_at_a_file_size_limit_are_written_without_a_call_when_it_is_lifted(program: Program) -> None:
    path = program.run("""
rec = rollout.Recorder()
rec.flush()
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
for n in range(40):
    rec.record(message(str(n)))
try:
    rec.flush()
except rollout.WriteError as error:
    assert 0 < error.pending < 40 and error.__cause__.errno == errno.EFBIG
data = rec.path.read_bytes()
assert len(data) <= 2000 and data.endswith(b"\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
for _ in range(500):
    if not rec.stats.pending:
        break
    time.sleep(0.01)
print(rec.path, flush=True)
os._exit(0)
""")

    assert in_order(path) == [str(n) for n in range(40)]
    assert load_history(path).skipped == ()


@pytest.mark.promise("full", naive="fails")
def test_lines_waiting_for_a_full_file_system_are_written_when_there_is_space(program: Program, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with mounted(disk, "-t", "tmpfs", "-o", "size=1m", "none"):
        path = program.run(
            """
home = sys.argv[1]
rec = rollout.Recorder(home=home)
rec.flush()
with open(home + "/filler", "wb", buffering=0) as file:
    try:
        for _ in range(1000):
            file.write(b"x" * 4096)
    except OSError:
        pass
for n in range(300):
    rec.record(message(f"{n}:" + "x" * 1000))
try:
    rec.flush()
    raise SystemExit("the disk is not full")
except rollout.WriteError as error:
    assert error.__cause__.errno == errno.ENOSPC
assert rec.path.read_bytes().endswith(b"\\n")
os.unlink(home + "/filler")
rec.record(message("300:"))
rec.close()
print(rec.path)
""",
            disk / "home",
        )

        assert [text.partition(":")[0] for text in in_order(path)] == [str(n) for n in range(301)]
        assert load_history(path).skipped == ()


FILL = """
def full(fd, data):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
disk.write = full
LIMIT = 8 * 2**20
rec = disk.Recorder(max_waiting_size=LIMIT, on_full=sys.argv[1])
import tracemalloc
tracemalloc.start()
"""


@pytest.mark.promise("bound", naive="fails")
def test_record_raises_at_the_limit_of_waiting_bytes_and_memory_stays_near_it(
    program: Program, figure: Callable[[str], None]
) -> None:
    path, peak, accepted = program.run(
        FILL
        + """
accepted = 0
try:
    while accepted < 100_000:
        rec.record(message(f"{accepted}:" + "x" * 5000))
        accepted += 1
        # So that they wait as lines, not only in the queue.
        if accepted % 100 == 0:
            try:
                rec.flush()
            except rollout.WriteError:
                pass
        assert rec.stats.waiting_size <= LIMIT
    raise SystemExit("nothing stopped it")
except rollout.RecorderFullError as error:
    assert error.waiting_size <= LIMIT and "No space left" in str(error), error
peak = tracemalloc.get_traced_memory()[1]
del disk.write
rec.close()
print(rec.path, peak, accepted)
""",
        "raise",
    ).split()

    assert [text.partition(":")[0] for text in in_order(path)] == [str(n) for n in range(int(accepted))]
    assert int(accepted) * 5000 > 6 * 2**20
    # The bound; a batch is there twice while it is encoded, and what is being written while it is.
    assert int(peak) < 11 * 2**20
    figure(f"8 MiB allowed: {int(accepted)} lines of 5 kB waited, peak {int(peak) / 2**20:.1f} MiB, then it raised")


@pytest.mark.promise("bound", naive="fails")
def test_record_waiting_for_space_continues_when_the_disk_has_space(program: Program) -> None:
    path = program.run(
        FILL
        + """
accepted = []
def produce():
    for n in range(3000):
        rec.record(message(f"{n}:" + "x" * 5000))
        accepted.append(n)
thread = threading.Thread(target=produce)
thread.start()
before = -1
while len(accepted) != before:
    before = len(accepted)
    time.sleep(0.3)
assert 1000 < before < 3000, before
assert rec.stats.waiting_size <= LIMIT
del disk.write
thread.join()
rec.close()
print(rec.path)
""",
        "block",
    )

    assert [text.partition(":")[0] for text in in_order(path)] == [str(n) for n in range(3000)]


@pytest.mark.promise("bound")
def test_record_waiting_for_space_raises_when_the_recorder_is_closed(program: Program) -> None:
    program.run(
        FILL
        + """
ends = []
def produce():
    try:
        while True:
            rec.record(message("x" * 5000))
    except rollout.RecorderClosedError:
        ends.append("closed")
thread = threading.Thread(target=produce)
thread.start()
while rec.stats.waiting_size < LIMIT - 10_000:
    time.sleep(0.01)
try:
    rec.close(timeout=1)
except rollout.WriteError:
    pass
thread.join(10)
assert ends == ["closed"]
del disk.write
rec.close()
""",
        "block",
    )


@pytest.mark.promise("bound")
def test_one_item_larger_than_the_limit_is_accepted_if_no_other_waits(program: Program) -> None:
    path = program.run("""
rec = rollout.Recorder(max_waiting_size=1000, on_full="raise")
rec.flush()
rec.record(message("x" * 1_000_000))
rec.close()
print(rec.path)
""")

    assert texts(path) == Counter(["x" * 1_000_000])


@pytest.mark.promise("full", naive="fails")
def test_a_program_that_ends_with_a_full_disk_reports_the_lines_that_were_not_written(program: Program) -> None:
    done = program.end("""
rec = rollout.Recorder()
rec.flush()
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
for n in range(20):
    rec.user_message(str(n))
""")

    assert "at exit: " in done.stderr
    assert "lines that wait in memory: " in done.stderr
    assert os.strerror(27) in done.stderr
