"""
All measurements: every case runs in its own process; the cases take turns, round after round.

    python benchmarks/run.py [--rounds 5] [--quick]

Writes `results/` (results.json, README.md, pictures) and prints for each target whether it holds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import data
from bench_list import LISTERS
from bench_record import quantiles
from readers import READERS, SEARCHERS
from report import write_report
from writers import WRITERS

HERE = Path(__file__).parent
Result = dict[str, Any]
Case = tuple[str, Callable[[], Result]]

_LIMIT = 600


def measured(script: str, **arguments: Any) -> Result:
    """
    Run one measurement in its own process, with bytecode like an installed program.
    """
    command = [sys.executable, HERE / script, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False, env=_environment())
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1]}
    result: Result = json.loads(done.stdout)
    return result


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class Seed:
    """
    Build the original's writer and loader in Rust, with the crates that Debian packages.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program = folder / "target" / "release" / "seed"
        self.missing = self._build()

    def _build(self) -> str:
        registry = Path("/usr/share/cargo/registry")
        if shutil.which("cargo") is None:
            return "cargo is not installed"
        if not list(registry.glob("tokio-1*")):
            return "librust-tokio-dev, librust-serde-json-dev and librust-time-dev are not installed"
        command = ["cargo", "build", "--quiet", "--release", "--offline", "--target-dir", self._folder / "target"]
        source = ["source.crates-io.replace-with='debian'", f"source.debian.directory='{registry}'"]
        options = [part for option in source for part in ("--config", option)]
        shutil.copytree(HERE / "seed", self._folder / "seed", ignore=shutil.ignore_patterns("Cargo.lock"))
        done = subprocess.run(
            [*command, *options], cwd=self._folder / "seed", capture_output=True, text=True, check=False
        )
        return f"cargo: {done.stderr.strip()[-300:]}" if done.returncode else ""

    def write(self, workload: str) -> Result:
        items = self._folder / f"items-{workload}.jsonl"
        if not items.exists():
            items.write_text(
                "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in data.WORKLOADS[workload]())
            )
        result = self._run("write", items, self._folder)
        return {"rate": result["rate"], **quantiles(result["calls"])} if "calls" in result else result

    def load(self, path: Path) -> Result:
        return self._run("load", path)

    def _run(self, *arguments: Any) -> Result:
        if self.missing:
            return {"error": self.missing}
        done = subprocess.run([self._program, *arguments], capture_output=True, text=True, check=True)
        result: Result = json.loads(done.stdout)
        return result


def writing(seed: Seed) -> Iterator[Case]:
    for workload in data.WORKLOADS:
        for writer in WRITERS:
            yield (
                f"write/{workload}/{writer}",
                partial(measured, "bench_record.py", measure="throughput", writer=writer, workload=workload),
            )
        yield f"write/{workload}/seed in Rust", partial(seed.write, workload)
    for threads in (1, 2, 4, 8):
        for writer in ("rollout", "seed in Python", "logging queue"):
            arguments = {"writer": writer, "workload": "uniform", "threads": threads}
            yield f"threads/{threads}/{writer}", partial(measured, "bench_record.py", measure="throughput", **arguments)
    for size in ("small", "large"):
        yield f"paced/{size}", partial(measured, "bench_record.py", measure="paced", writer="rollout", size=size)
    for writer in ("rollout", "logging queue", "seed in Python", "ujson + write"):
        yield f"beside work/{writer}", partial(measured, "bench_record.py", measure="beside_work", writer=writer)
    for writer in ("rollout", "queue + event"):
        yield f"flush/{writer}", partial(measured, "bench_record.py", measure="flush", writer=writer)


def growing(counts: tuple[int, ...]) -> Iterator[Case]:
    for count in counts:
        yield f"growth/{count}", partial(measured, "bench_record.py", measure="growth", count=count)


def reading(seed: Seed, files: dict[str, Path]) -> Iterator[Case]:
    for name, path in files.items():
        for reader in READERS:
            yield f"read/{name}/{reader}", partial(measured, "bench_read.py", reader=reader, path=str(path))
        yield f"read/{name}/seed in Rust", partial(seed.load, path)
    for searcher in SEARCHERS:
        yield f"search/{searcher}", partial(measured, "bench_read.py", searcher=searcher, path=str(files["mix"]))


def listing(homes: dict[int, Path]) -> Iterator[Case]:
    for count, home in homes.items():
        for lister in LISTERS:
            yield (
                f"list/{count}/{lister}",
                partial(measured, "bench_list.py", measure="page", lister=lister, home=str(home)),
            )
    largest, home = max(homes.items())
    number = largest // 25 // 10
    yield (
        f"list/{largest}/page {number}",
        partial(measured, "bench_list.py", measure="page", lister="rollout", home=str(home), number=number),
    )
    for what in ("id of version 7", "id of version 4", "id of none", "os.walk", "scandir walk"):
        yield f"find/{what}", partial(measured, "bench_list.py", measure="find", what=what, home=str(home))


def importing() -> Iterator[Case]:
    statements = {"nothing": "pass", "dependencies": "import attrs, cattrs, ujson", "rollout": "import rollout"}
    for name, statement in statements.items():
        yield f"import/{name}", partial(_import, statement)


def _import(statement: str) -> Result:
    times = []
    for _ in range(10):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True, env=_environment())
        times.append(time.perf_counter() - start)
    return {"ms": statistics.median(times) * 1e3}


def in_turn(cases: list[Case], rounds: int) -> dict[str, list[Result]]:
    results: dict[str, list[Result]] = {name: [] for name, _ in cases}
    for number in range(rounds):
        for name, run in cases:
            # What cannot be had once is not asked for again: some answers take a minute to fail.
            if not any("error" in result for result in results[name]):
                print(f"\r{number + 1}/{rounds} {name:60}", end="", file=sys.stderr, flush=True)
                results[name].append(run())
    print(f"\r{'':70}\r", end="", file=sys.stderr)
    return results


def summary(rounds: list[Result]) -> Result:
    """
    Return the median of each figure, and the lowest and highest of the rounds.
    """
    failed = next((result for result in rounds if "error" in result), None)
    if failed is not None:
        return failed
    summed: Result = {}
    for name, value in rounds[0].items():
        if isinstance(value, list):
            summed[name] = [
                round(statistics.median(column), 3) for column in zip(*(r[name] for r in rounds), strict=True)
            ]
        else:
            values = [result[name] for result in rounds]
            summed[name] = statistics.median(values)
            summed[f"{name}_spread"] = [min(values), max(values)]
    return summed


def machine() -> Result:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--quick", action="store_true", help="small files and homes, to try a change; no results written"
    )
    options = parser.parse_args()
    sizes = {"small": 2_000_000, "mix": 10_000_000} if options.quick else {"small": 60_000_000, "mix": 500_000_000}
    counts = (100, 1_000) if options.quick else (100, 1_000, 10_000, 100_000)
    growth = (1_000, 10_000) if options.quick else (1_000, 10_000, 100_000, 1_000_000)
    with tempfile.TemporaryDirectory(prefix="rollout-bench-") as name:
        folder = Path(name)
        seed = Seed(folder)
        files = {kind: folder / f"{kind}.jsonl" for kind in sizes}
        for kind, size in sizes.items():
            data.make_rollout(files[kind], size, {"small": data.uniform, "mix": data.mix}[kind](500))
        homes = {count: folder / f"home-{count}" for count in counts}
        for count, home in homes.items():
            data.make_home(home, count)
        groups = (writing(seed), growing(growth), reading(seed, files), listing(homes), importing())
        cases = [case for group in groups for case in group]
        results = {case: summary(rounds) for case, rounds in in_turn(cases, options.rounds).items()}
    text = write_report(
        {"machine": machine(), "rounds": options.rounds, "results": results},
        None if options.quick else HERE / "results",
    )
    print(text)


if __name__ == "__main__":
    main()
