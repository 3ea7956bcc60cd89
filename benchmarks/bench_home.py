"""
The command on a home of 100,000 sessions: `list`, the index (made, killed, continued), search beside ripgrep.

    python benchmarks/bench_home.py [--home FOLDER] [--count 100000] [--rounds 7]

Makes the home with home.py unless it is there. Writes results/home.json and results/home.md. The index is made in a
cache folder of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from home import make_home

RESULTS = Path(__file__).parent / "results"
COMMAND = [sys.executable, "-m", "rollout.cli"]
# Python's start, the imports of what the command stands on, and the bare scan of performance: the newest day folders,
# 25 heads.
_SCAN = """
import {imports}
import os
def newest(folder):
    return sorted((entry.path for entry in os.scandir(folder) if entry.is_dir()), reverse=True)
found = []
for year in newest({sessions!r}):
    for month in newest(year):
        for day in newest(month):
            found += sorted((entry.path for entry in os.scandir(day)), reverse=True)
            if len(found) >= 25: break
        if len(found) >= 25: break
    if len(found) >= 25: break
for path in found[:25]:
    with open(path, "rb") as file:
        for line in islice_lines(file, 10):
            ujson.loads(line) if not path.endswith(".zst") else None
"""
_HELPER = "from itertools import islice as islice_lines\n"
_PIPED = "attrs, cattrs, ujson, click"
_TERMINAL = f"{_PIPED}, rich.console, rich.table, rich.text"


def seconds_of(run: Callable[[], Any]) -> float:
    """
    Print the seconds of a block.
    """
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def piped(command: list[str]) -> None:
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def in_terminal(command: list[str]) -> None:
    """
    Run a command whose stdout is a terminal.
    """
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)  # noqa: S606
    try:
        while os.read(fd, 65536):
            pass
    except OSError:
        # How the end of a terminal looks on Linux.
        pass
    os.waitpid(pid, 0)
    os.close(fd)


def in_turn(cases: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """
    Measure all cases, round after round; the first round is for warm-up.
    """
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, run in cases.items():
            seconds = seconds_of(run)
            if number:
                taken[name].append(seconds)
    return taken


def listing(home: Path, rounds: int) -> dict[str, list[float]]:
    sessions = str(home / "sessions")
    scan = {name: _HELPER + _SCAN.format(imports=imports, sessions=sessions)
            for name, imports in (("piped", _PIPED), ("terminal", _TERMINAL))}  # fmt: skip
    return in_turn(
        {
            "start + imports + scan, piped": lambda: piped([sys.executable, "-c", scan["piped"]]),
            "rollout list, piped": lambda: piped([*COMMAND, "list"]),
            "start + imports + scan, terminal": lambda: in_terminal([sys.executable, "-c", scan["terminal"]]),
            "rollout list, terminal": lambda: in_terminal([*COMMAND, "list"]),
        },
        rounds,
    )


def indexing(home: Path) -> dict[str, Any]:
    """
    Make the index, kill its process after a third of the bytes, and continue.
    """
    from rollout.search import Index, index_path

    process = subprocess.Popen([*COMMAND, "index"], stdout=subprocess.DEVNULL)
    began = time.perf_counter()
    before = 0
    while not before and process.poll() is None:
        time.sleep(0.5)
        # Once a third of what the index will have is there.
        if index_path(home).exists() and time.perf_counter() - began > 20:
            process.send_signal(signal.SIGKILL)
            before = 1
    process.wait()
    killed_after = time.perf_counter() - began
    index = Index.open(home)
    assert index is not None
    with index:
        kept = sum(1 for row in index.rows("offset > 0"))
    rest = seconds_of(lambda: subprocess.run([*COMMAND, "index"], stdout=subprocess.DEVNULL, check=True))
    again = seconds_of(lambda: subprocess.run([*COMMAND, "index"], stdout=subprocess.DEVNULL, check=True))
    size = sum(path.stat().st_size for path in index_path(home).parent.iterdir())
    files = sum(path.stat().st_size for path in home.rglob("rollout-*"))
    return {
        "killed_after": killed_after,
        "kept_sessions": kept,
        "rest": rest,
        "again": again,
        "size": size,
        "files": files,
    }


def searching(home: Path, words: dict[str, str], rounds: int) -> dict[str, list[float]]:
    from rollout.search import search

    def first_hits(word: str) -> None:
        results = search(word, home=home)
        assert list(islice(results, 50))
        results.close()

    def all_sessions(word: str) -> None:
        assert list(search(word, home=home).sessions())

    folders = [str(home / "sessions"), str(home / "archived_sessions")]
    cases: dict[str, Callable[[], Any]] = {}
    for kind, word in words.items():
        rg = ["rg", "--no-ignore", "--ignore-case", "--fixed-strings", "--word-regexp"]
        cases |= {
            f"rg, lines with a {kind} word": lambda rg=rg, word=word: piped([*rg, word, *folders]),
            f"rg -l, files with a {kind} word": lambda rg=rg, word=word: piped([*rg, "-l", word, *folders]),
            f"search(), 50 hits of a {kind} word": lambda word=word: first_hits(word),
            f"search().sessions(), all with a {kind} word": lambda word=word: all_sessions(word),
            f"rollout search, 50 hits of a {kind} word": lambda word=word: piped([*COMMAND, "search", word]),
            f"rollout search -l --all, a {kind} word": lambda word=word: piped(
                [*COMMAND, "search", "-l", "--all", word]
            ),
        }
    return in_turn(cases, rounds)


def page(run: dict[str, Any]) -> str:
    """
    Return the figures as a page.
    """

    def row(name: str, taken: list[float]) -> str:
        median = statistics.median(taken) * 1000
        return f"| {name} | {median:,.1f} | {min(taken) * 1000:,.1f} - {max(taken) * 1000:,.1f} |"

    median = {name: statistics.median(taken) for name, taken in (run["listing"] | run["searching"]).items()}
    ratios = [
        f"| `rollout list`, {where}: at most 1.5 x start + imports + scan | "
        f"{median[f'rollout list, {where}'] / median[f'start + imports + scan, {where}']:.2f} x |"
        for where in ("piped", "terminal")
    ]
    for kind in ("rare", "common"):
        ratio = median[f"rg, lines with a {kind} word"] / median[f"search(), 50 hits of a {kind} word"]
        ratios.append(f"| `search()` of a {kind} word, first 50 hits: at least 20 x faster than `rg` | {ratio:.0f} x |")
    made = run["indexing"]
    lines = [
        "# A home of 100,000 sessions",
        "",
        f"{run['sessions']:,} sessions, {made['files'] / 1e9:.2f} GB: 1 % damaged, 5 % compressed, "
        f"10 % archived, one of 1 GB. Medians of {run['rounds']} rounds in turn, after one to warm up; milliseconds, "
        "lowest - highest. Made by [bench_home.py](../bench_home.py).",
        "",
        "| what is aimed at | |", "|---|---|", *ratios,
        f"| the index takes at most 5 % of the files | {made['size'] / made['files']:.1%} |",
        "",
        f"The index was killed after {made['killed_after']:.0f} s with {made['kept_sessions']:,} sessions in it, "
        f"and went on for {made['rest']:.0f} s; brought up to date with nothing new it takes {made['again']:.2f} s.",
        "",
        "| | ms | |", "|---|---|---|",
        *(row(name, taken) for name, taken in (run["listing"] | run["searching"]).items()),
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "rollout-bench-home")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if not options.home.exists():
        make_home(options.home, options.count)
    with tempfile.TemporaryDirectory() as cache:
        os.environ |= {"XDG_CACHE_HOME": cache, "CODEX_HOME": str(options.home), "PAGER": "cat"}
        run = {"sessions": options.count, "rounds": options.rounds}
        # Into the page cache, for both.
        for path in options.home.rglob("rollout-*"):
            path.read_bytes()
        run["listing"] = listing(options.home, options.rounds)
        run["indexing"] = indexing(options.home)
        run["searching"] = searching(options.home, {"rare": "xylotomous", "common": "parser"}, options.rounds)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "home.json").write_text(json.dumps(run, indent=1) + "\n")
    (RESULTS / "home.md").write_text(page(run))
    print(page(run))


if __name__ == "__main__":
    if shutil.which("rg") is None:
        sys.exit("ripgrep is needed")
    main()
