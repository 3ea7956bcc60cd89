"""
Run the tests of the guarantees against this package and against a plain port, and write docs/guarantees.md.

With ``--naive`` only the second run: check that each test fails for the plain port that is marked so.
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

Results = dict[str, dict[str, Any]]

# The situation and the guarantee of each row; a test names its row with @pytest.mark.promise.
ROWS = {
    "record": (
        "`record()` has returned",
        "the item is queued with the values of that moment; an item with a value that has no JSON form was refused, "
        "the error names the path to the value, and all other items are recorded",
    ),
    "kill": (
        "`flush()` has returned",
        "every line recorded before, by any thread, is in the file; it survives SIGKILL, and the session can be "
        "resumed",
    ),
    "power": (
        "`flush(fsync=True)` has returned",
        "the same lines survive a power cut, and so do the names of the file and of its folders",
    ),
    "close": (
        "`close()` has returned, or the `with` body has ended in any way",
        "as after `flush()`; the thread has ended, and another writer can open the session",
    ),
    "exit": (
        "the program ends without `close()`",
        "as after `close()`, within 10 seconds; after `os._exit`, SIGTERM and similar ends, the flushed lines are in "
        "the file and the session can be resumed",
    ),
    "full": (
        "the disk is full, a quota or a file-size limit is reached, or the disk reports an I/O error",
        "lines wait in memory, and `flush` and `close` report how many and why; when the disk accepts writes again, "
        "all lines are written without a further call, once and in order, and no incomplete line remains",
    ),
    "bound": (
        "more bytes wait than `max_waiting_size` (64 MiB) allows",
        'with `on_full="block"` `record()` waits, with `on_full="raise"` it raises `RecorderFullError`; no item is '
        "dropped",
    ),
    "hang": (
        "the disk no longer responds",
        "`flush(timeout)`, `close(timeout)` and the end of the program return in time, and report what waits",
    ),
    "death": (
        "a bug ends the writer's thread",
        "no call waits forever; waiting and later calls raise an error that reports what is lost",
    ),
    "fork": (
        "the program calls `os.fork()` or uses `multiprocessing`",
        "parent and children continue in the same file, and every line is complete and written once; pickling a "
        "recorder raises an error with the reason, and so does a recorder in a process that was forked by other means "
        "than `os.fork`",
    ),
    "children": (
        "a recorder is created in a child process (multiprocessing, pools, gunicorn), or while the program ends",
        "as at the end of a program, everything is in the file; where this is impossible, the recorder is refused "
        "before a file is created. `os._exit`, SIGTERM and `Pool.terminate` run no exit handler: the flushed lines "
        "are in the file",
    ),
    "re-entry": (
        "a signal handler, `__del__`, weakref callback or logging handler records during `record()`",
        "the item is recorded; there is no deadlock",
    ),
    "two writers": (
        "a second writer (this library or Codex) opens the session; the home has any path, or is read-only",
        "`SessionBusyError` names the lock, and the first writer continues; a lock file that a dead process left does "
        "not block a new writer; an `OSError` names the path",
    ),
    "resume": (
        "a file that ends in an incomplete line is resumed",
        "the incomplete line is ended with a newline, kept and counted; every complete line before and after it is "
        "read",
    ),
    "descriptors": (
        "the program closes all descriptors or changes its working directory, or its rollout is deleted",
        "no line goes into another file: the rollout is opened again, or `flush` raises `WriteError`",
    ),
    "moved": (
        "another program renames, archives, replaces, links, truncates or appends to the rollout, or removes the lock",
        "after `flush` the lines are in the file that `path` names, or the error says where they are; no line is "
        "joined to another; a truncated file begins with its session_meta again; the lock is taken again",
    ),
    "instrumented": (
        "an agent runs whose SDK a hook records (`rollout.instrument()`): with threads, with forks, until it ends in "
        "any way or is killed",
        "each conversation is one session with every request and answer once and in order; a child process goes on in "
        "sessions of its own; when the program ends, open turns end and streams are recorded as far as they came; what "
        "was flushed survives SIGKILL",
    ),
    "hook and disk": (
        "the disk is full, hangs or is read-only, or the home is deleted, while a hook records an agent",
        "the agent gets the answers of its model without an error; only a request that begins or reopens a session "
        "waits for the disk, at most 6 seconds; waiting lines are written when the disk accepts them; `problems` "
        "counts what is not kept",
    ),
    "schedules": (
        "callers, the writer, signals and forks run in any order",
        "no line is lost, written twice or out of order, and no call waits forever; tested in every schedule of small "
        "programs with up to two preemptions, and in many random schedules",
    ),
    "strangers": (
        "the program uses gevent, eventlet or a subinterpreter",
        "the recorder records, or raises an error with the reason; it never hangs",
    ),
    "clocks": (
        "summer time begins or ends, the clock is set back, midnight passes, or two sessions begin in one second",
        "sessions stay separate and are found; lines stay in the order of recording",
    ),
    "read": (
        "a file of any content is read",
        "the reader raises a clear error, or skips a line and counts it, in bounded memory; unknown values are kept "
        "byte for byte",
    ),
    "listing": (
        "files of any content are listed",
        "at most 8 MiB and 2,000 lines from either end of each file are read, and at most 64 MiB decompressed; the "
        "cost of blank lines is the cost of their bytes",
    ),
    "growth": (
        "a session grows: lines, turns, compactions, rollbacks, calls, text of any form",
        "every operation takes linear time",
    ),
    "index": (
        "the search index is damaged, or another program has locked it",
        "the answers are those of the files, wherever a check can detect the damage; the index is rebuilt; after 2 "
        "seconds of a foreign lock the files are read instead",
    ),
    "repair": (
        "`verify(path)` or `repair(path)` has returned",
        "each fault is named by line and byte; the copy contains every readable line; the original is unchanged",
    ),
    "shown": (
        "recorded text is shown by `rollout show`, an export, the viewer or a notebook",
        "no escape sequence reaches the terminal; in a page no recorded content runs, is loaded, or leaves the page",
    ),
    "viewer": (
        "clients of the viewer disconnect, send nothing, read nothing, or are too many",
        "their requests are cancelled and others are answered; requests beyond the limit get a 503 with the reason; "
        "Ctrl-C ends the viewer at once",
    ),
    "security": (
        "names, links, ids or repositories are hostile",
        "nothing outside the home is created, opened or followed; files have mode 0600, folders 0700; git runs no "
        "program that a repository names",
    ),
}

HEAD = """# Guarantees

`make guarantees` writes this page from a run of the tests. The table has each guarantee with the figures that its tests
measured on {system}. The sections below the table list the tests.

A *plain port* is the original recorder as a programmer would port it in an afternoon (`tests/faults/naive.py`). The
tests with the note "a plain port fails" were also run against it, and failed.

There is no guarantee for file systems without working locks, or for two machines that use one home.

| when ... | ... this holds | measured |
|---|---|---|
"""


def run_tests(*args: str, **env: str) -> Results:
    """
    Run pytest and return the result of each test of a guarantee.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "promises.json"
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--tb=short", "-n", "2", "--dist", "worksteal", *args],
            cwd=ROOT,
            env={**os.environ, "ROLLOUT_PROMISES": str(report), **env},
            check=False,
        )
        results: Results = json.loads(report.read_text())
    return results


def find_naive_failures() -> set[str]:
    """
    Run the tests that must fail for the plain port, check that they fail, and return them.
    """
    # A plain port has no hooks.
    faults = "tests/faults", "--ignore", "tests/faults/test_instrumented.py"
    results = run_tests("-m", "promise and not slow", *faults, ROLLOUT_SUBJECT="naive")
    expected = {name_of(test) for test, result in results.items() if result["naive"] == "fails"}
    failures = {test for test, result in results.items() if result["outcome"] == "failed"}
    ran = {name_of(test) for test, result in results.items() if result["outcome"] != "skipped"}
    # On a fast machine, the fifty kills of one run miss every write in two of three runs.
    for _ in range(14):
        passes = (expected & ran) - set(map(name_of, failures))
        if passes:
            names = " or ".join(passes)
            again = run_tests("-m", "promise and not slow", "-k", names, *faults, ROLLOUT_SUBJECT="naive")
            failures |= {test for test, result in again.items() if result["outcome"] == "failed"}
    wrong = (expected & ran) ^ set(map(name_of, failures))
    if wrong or not expected:
        raise SystemExit(f"the marks of these tests do not agree with the run against the plain port: {sorted(wrong)}")
    print(f"a plain port fails {len(failures)} times, in each of the {len(expected)} tests that are marked so")
    return failures


def name_of(test: str) -> str:
    """
    Return the name of the test function in a node id.
    """
    return test.partition("[")[0].rpartition("::")[2]


def figures_of(name: str, results: Results) -> list[str]:
    """
    Return the figures that the runs of a test have measured; the figures of the slow runs come last.
    """
    figures = (figure for test, result in results.items() if name_of(test) == name for figure in result["figures"])
    return list(dict.fromkeys(figures))


def count_passes(results: Results) -> int:
    """
    Return how many tests passed.
    """
    return sum(result["outcome"] == "passed" for result in results.values())


def table_line(row: str, figures: list[str]) -> str:
    """
    Return the line of the table for a guarantee.
    """
    situation, guarantee = ROWS[row]
    return f"| {situation} | {guarantee} | {'<br>'.join(figures)} |\n"


def section(row: str, entries: str) -> str:
    """
    Return the section of a guarantee: its situation as the title, and its tests as a list.
    """
    situation = ROWS[row][0]
    return f"\n## {situation[0].upper()}{situation[1:]}\n\n{entries}"


def list_entry(name: str, results: Results, failures: set[str]) -> str:
    """
    Return the entry of a test: how many times it ran, its notes, and its figures.
    """
    own = {test: result for test, result in results.items() if name_of(test) == name}
    entry = f"- `{name}`" + (f" ({len(own)} times)" if len(own) > 1 else "")
    if all(result["outcome"] == "skipped" for result in own.values()):
        entry += "; skipped on this machine"
    if any(test in failures for test in own):
        entry += "; a plain port fails"
    return entry + "".join(f"\n  - {figure}" for figure in figures_of(name, results)) + "\n"


def make_page(results: Results, failures: set[str]) -> str:
    """
    Return the page: the table of the guarantees, then a section with the tests of each.
    """
    system = f"{platform.python_implementation()} {platform.python_version()}, {platform.system()}"
    table = sections = ""
    for row in ROWS:
        own = {test: result for test, result in results.items() if result["row"] == row}
        names = list(dict.fromkeys(map(name_of, own)))
        last_figures = [figure for name in names for figure in figures_of(name, own)[-1:]]
        table += table_line(row, [f"{count_passes(own)} of {len(own)} tests pass", *last_figures])
        sections += section(row, "".join(list_entry(name, own, failures) for name in names))
    return HEAD.format(system=system) + table + sections


def main() -> None:
    """
    Run the tests, check that each row has a test that passes, and write the page.
    """
    failures = find_naive_failures()
    if "--naive" in sys.argv:
        return
    results = run_tests("-m", "promise and not slow", "-o", "faulthandler_timeout=900")
    # The slow tests of growth and schedules take an hour; `make stress` runs them.
    results |= run_tests("-m", "promise and slow", "-o", "faulthandler_timeout=900", "tests/faults", "tests/properties")
    bad = [test for test, result in results.items() if result["outcome"] == "failed"]
    unproved = ROWS.keys() - {result["row"] for result in results.values() if result["outcome"] == "passed"}
    unknown = {result["row"] for result in results.values()} - ROWS.keys()
    if bad or unproved or unknown:
        raise SystemExit(f"failed tests: {bad}; rows without a passing test: {unproved}; unknown rows: {unknown}")
    PAGE.write_text(make_page(results, failures))
    print(f"{len(results)} tests of {len(ROWS)} guarantees -> {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
