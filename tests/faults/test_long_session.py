"""
A session of a million lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.faults.programs import Program

COUNT = 1_000_000

RECORD = """
import json
count = int(sys.argv[1])
rec = rollout.Recorder()
rec.flush()
# Microseconds of CPU a line, caller's and writer's, of 1,000 lines at each of these; MiB of memory in use there.
costs, sizes = {}, {}
def memory():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
def measure(first):
    best = 1e9
    for part in range(5):
        start = time.process_time()
        for n in range(200):
            rec.record(message(str(first + 200 * part + n)))
        rec.flush()
        best = min(best, (time.process_time() - start) / 200 * 1e6)
    costs[first], sizes[first] = best, memory()
done = 0
for mark in (1_000, 10_000, 100_000, count - 1_000):
    for n in range(done, mark):
        rec.record(message(str(n)))
    measure(mark)
    done = mark + 1_000
rec.close()
print(json.dumps({"path": str(rec.path), "costs": costs, "sizes": sizes}))
"""

READ = """
path = sys.argv[1]
def took(call):
    start = time.process_time()
    return call(), time.process_time() - start
resumed, resume = took(lambda: rollout.Recorder.resume(path))
resumed.record(message("after"))
resumed.close()
page, listing = took(rollout.list_sessions)
(summary,) = page.items
assert summary.problem is None, summary
with rollout.read_lines(path) as lines:
    read = sum(1 for line in lines)
    assert lines.skipped == []
report, checking = took(lambda: rollout.verify(path))
assert report.is_whole, report
history, loading = took(lambda: rollout.load_history(path))
assert len(history.lines) == read
texts = (line.payload["content"][0]["text"] for line in history.lines[1:])
assert all(text == str(n) for n, text in zip(range(read - 2), texts))
print(read, resume, listing, checking, loading)
"""


@pytest.mark.slow
@pytest.mark.promise("record")
def test_a_million_lines_take_constant_time_each_and_constant_memory(
    program: Program, figure: Callable[[str], None]
) -> None:
    program.limit = 1800
    told = json.loads(program.run(RECORD, COUNT))
    read, resume, listing, checking, loading = program.run(READ, told["path"]).split()

    costs, sizes = list(told["costs"].values()), list(told["sizes"].values())
    assert max(costs) < 3 * min(costs), told
    # Of 10,000 lines to 1,000,000: less than a byte for ten of them.
    assert sizes[-1] - sizes[1] < 8, told
    assert int(read) == COUNT + 2
    figure(
        f"{costs[0]:.1f} us of CPU a line at 1,000 lines, {costs[-1]:.1f} at {COUNT:,}; memory {sizes[1]:.0f} MiB at "
        f"10,000 lines, {sizes[-1]:.0f} at {COUNT:,}; CPU of resume {float(resume):.2f} s, list {float(listing):.2f}, "
        f"verify {float(checking):.1f}, load {float(loading):.1f}"
    )
