"""
Runs the tests of what is promised, against this package and against a plain port, and writes docs/guarantees.md.

With ``--naive`` only the second: that each test which is said to fail for the plain port does.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "guarantees.md"

# After what, and what then holds; a test names its row with @pytest.mark.promise.
ROWS = {
    "record": (
        "`record()` returned",
        "the item is queued as it was at that moment; what has no JSON form was refused by its path, and nothing else "
        "with it",
    ),
    "kill": (
        "`flush()` returned",
        "every line recorded before, from any thread, is in the file; it survives SIGKILL, and the session goes on",
    ),
    "power": ("`flush(fsync=True)` returned", "they survive a power cut, with the names of file and folders"),
    "close": (
        "`close()`, or leaving the `with` body by any road",
        "as `flush()`; the thread is gone, and others may have the session",
    ),
    "exit": (
        "the program ends without `close()`",
        "as `close()`, within 10 seconds; after `os._exit`, SIGTERM and the like, what was flushed is there and the "
        "session goes on",
    ),
    "full": (
        "a full disk, a quota, an I/O error, a file-size limit",
        "lines wait in memory, `flush` and `close` say how many and why; when the disk takes them again they are all "
        "written by themselves, once, in order, and no half line is left",
    ),
    "bound": (
        "more waits than `max_waiting_size` (64 MiB) allows",
        'with `on_full="block"` `record()` waits, with `"raise"` it raises `RecorderFullError`; nothing is dropped',
    ),
    "hang": (
        "a disk that answers no more",
        "`flush(timeout)`, `close(timeout)` and the end of the program end in time, and say what waits",
    ),
    "death": (
        "the writer's thread dies of a bug",
        "no call waits for ever; calls that wait and later calls raise an error that says what is lost",
    ),
    "fork": (
        "`os.fork()`, `multiprocessing`",
        "parent and children go on in the same file, every line whole and once; a pickled recorder says why not, as "
        "does one in a process that was forked by other means than `os.fork`",
    ),
    "children": (
        "a recorder is made in a child process (multiprocessing, pools, gunicorn), or while the program ends",
        "as at the end of a program, everything is in the file; where that cannot be, the recorder is refused before a "
        "file is made. `os._exit`, SIGTERM and `Pool.terminate` run no exit handler: what was flushed is there",
    ),
    "re-entry": (
        "a signal handler, `__del__`, weakref callback or logging handler records during `record()`",
        "it is recorded; no deadlock",
    ),
    "two writers": (
        "a second writer, ours or Codex; a home on any path, or read-only",
        "`SessionBusyError` names the lock, the first goes on; a lock file that a dead process left does not block a "
        "new writer; an `OSError` names the path",
    ),
    "resume": (
        "resuming a file that ends in half a line",
        "the half line is closed off, kept and counted; every whole line before and after is read",
    ),
    "descriptors": (
        "the program closes all descriptors, changes its folder, or its rollout is deleted",
        "no line goes into another file: the rollout is opened again, or flush raises `WriteError`",
    ),
    "moved": (
        "another program renames, archives, replaces, links, cuts or appends to the rollout, or removes the lock",
        "after `flush` the lines are in the file that `path` names, or the error says where they went; no line glues "
        "to another; a file that was cut begins with its session_meta again; the lock is taken again",
    ),
    "schedules": (
        "any order in which callers, the writer, signals and forks take turns",
        "no line is lost, twice or out of order, no call waits for ever; shown for every schedule with up to two "
        "preemptions of small programs, and for many random ones",
    ),
    "strangers": ("gevent, eventlet, a subinterpreter", "it records, or says why not; it never hangs"),
    "clocks": (
        "summer time, a clock set back, midnight, two sessions in a second",
        "sessions stay apart and are found; lines stay in the order of recording",
    ),
    "read": (
        "reading anything",
        "a clear error or a counted skip, in bounded memory; what is not known is kept byte for byte",
    ),
    "listing": (
        "listing files of any content",
        "of each file at most 8 MiB and 2,000 lines from either end are read, and at most 64 MiB decompressed; blank "
        "lines cost what their bytes cost",
    ),
    "growth": (
        "a session grows: lines, turns, compactions, rollbacks, calls, text of any form",
        "every operation takes linear time",
    ),
    "index": (
        "the search index is damaged, or another program holds it",
        "the answers are those of the files, where a check can know; the index is made again; after 2 seconds of a "
        "foreign lock the files are read instead",
    ),
    "repair": (
        "`verify(path)`, `repair(path)`",
        "each fault is named by line and byte; a copy is written, with every line that can be read; the original stays",
    ),
    "shown": (
        "showing recorded text: `rollout show`, exports, the viewer, a notebook",
        "no escape sequence reaches the terminal; in a page nothing that was recorded runs, is loaded, or leaves it",
    ),
    "viewer": (
        "clients of the viewer go away, send nothing, take nothing, or are too many",
        "their requests are cancelled, others are answered, and what is too much is told with 503; Ctrl-C ends the "
        "viewer at once",
    ),
    "security": (
        "hostile names, links, ids, repositories",
        "nothing outside of the home is made, opened or followed; files are 0600, folders 0700; git runs nothing that "
        "a repository names",
    ),
}

HEAD = """# What is promised, and its proof

Written by `make guarantees` from a run of the tests on {system}. *A plain port* is the original recorder as one
would port it in an afternoon (`tests/faults/naive.py`): the tests that say so were run against it, too, and fail.

Not promised: file systems without working locks, two machines on one home.

| after ... | ... this holds | figure reached | proved by |
|---|---|---|---|
"""


def run(*args: str, **env: str) -> dict[str, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "promises.json"
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--tb=short", "-n", "2", "--dist", "worksteal", *args],
            cwd=ROOT,
            env={**os.environ, "ROLLOUT_PROMISES": str(told), **env},
            check=False,
        )
        results: dict[str, dict[str, Any]] = json.loads(told.read_text())
    return results


def naive_failures() -> set[str]:
    """
    Run what is said to fail for the plain port, and make sure that it does; the tests.
    """
    results = run("-m", "promise and not slow", "tests/faults", ROLLOUT_SUBJECT="naive")
    said = {name_of(test) for test, result in results.items() if result["naive"] == "fails"}
    failed = {test for test, result in results.items() if result["outcome"] == "failed"}
    ran = {name_of(test) for test, result in results.items() if result["outcome"] != "skipped"}
    # On a fast machine the fifty kills of a run all miss a write in two runs of three.
    for _ in range(14):
        spared = (said & ran) - set(map(name_of, failed))
        if spared:
            names = " or ".join(spared)
            again = run("-m", "promise and not slow", "-k", names, "tests/faults", ROLLOUT_SUBJECT="naive")
            failed |= {test for test, result in again.items() if result["outcome"] == "failed"}
    wrong = (said & ran) ^ set(map(name_of, failed))
    if wrong or not said:
        raise SystemExit(f"a plain port was to fail these, and did not, or the other way round: {sorted(wrong)}")
    print(f"a plain port fails {len(failed)} times, in each of the {len(said)} tests that say so")
    return failed


def name_of(test: str) -> str:
    return test.partition("[")[0].rpartition("::")[2]


def figures_of(name: str, tests: dict[str, dict[str, Any]]) -> list[str]:
    """
    Give what the runs of a test have counted, those that take longest last.
    """
    told = (figure for test, result in tests.items() if name_of(test) == name for figure in result["figures"])
    return list(dict.fromkeys(told))


def passed(tests: dict[str, dict[str, Any]]) -> int:
    return sum(result["outcome"] == "passed" for result in tests.values())


def page(results: dict[str, dict[str, Any]], failures: set[str]) -> str:
    system = f"{platform.python_implementation()} {platform.python_version()}, {platform.system()}"
    text = HEAD.format(system=system)
    details = ""
    for row, (after, holds) in ROWS.items():
        tests = {test: result for test, result in results.items() if result["row"] == row}
        names = list(dict.fromkeys(map(name_of, tests)))
        told = [figures_of(name, tests)[-1:] for name in names]
        reached = "<br>".join(sum(told, [f"{passed(tests)} of {len(tests)} hold"]))
        # A name may be broken at its underscores, else the table is wider than a page.
        proofs = "<br>".join(name.replace("_", "<wbr>_") for name in names)
        text += f"| {after} | {holds} | {reached} | {proofs} |\n"
        details += f"\n## After {after}\n\n"
        for name in names:
            own = {test: result for test, result in tests.items() if name_of(test) == name}
            figures = figures_of(name, tests)
            skipped = [result for result in own.values() if result["outcome"] == "skipped"]
            times = f" ({len(own)} times)" if len(own) > 1 else ""
            details += f"- `{name}`{times}"
            details += "; skipped on this machine" if len(skipped) == len(own) else ""
            details += "; a plain port fails" if any(test in failures for test in own) else ""
            details += "".join(f"\n  - {figure}" for figure in figures) + "\n"
    return text + details


def main() -> None:
    failures = naive_failures()
    if "--naive" in sys.argv:
        return
    results = run("-m", "promise and not slow", "-o", "faulthandler_timeout=900")
    # The slow tests of growth and schedules take an hour; `make stress` runs them.
    results |= run("-m", "promise and slow", "-o", "faulthandler_timeout=900", "tests/faults", "tests/properties")
    bad = [test for test, result in results.items() if result["outcome"] == "failed"]
    unproved = ROWS.keys() - {result["row"] for result in results.values() if result["outcome"] == "passed"}
    unknown = {result["row"] for result in results.values()} - ROWS.keys()
    if bad or unproved or unknown:
        raise SystemExit(f"failed: {bad}; rows without a test: {unproved}; rows unknown: {unknown}")
    PAGE.write_text(page(results, failures))
    print(f"{len(results)} tests of {len(ROWS)} promises -> {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
