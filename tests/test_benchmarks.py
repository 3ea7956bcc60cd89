from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_the_page_of_results_agrees_with_the_results() -> None:
    script = "import json, report; print(report.write_report(json.load(open('results/results.json')), None), end='')"

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=BENCHMARKS, capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == (BENCHMARKS / "results" / "README.md").read_text()


def test_every_picture_of_the_page_exists() -> None:
    page = (BENCHMARKS / "results" / "README.md").read_text()

    pictures = {line.partition("](")[2].removesuffix(")") for line in page.splitlines() if line.startswith("![")}

    assert pictures == {path.name for path in (BENCHMARKS / "results").glob("*.svg")}


def test_one_measurement_of_each_kind_runs_without_the_peers(tmp_path: Path) -> None:
    for script, arguments in (
        ("bench_record.py", {"measure": "throughput", "writer": "rollout", "workload": "mix"}),
        ("bench_record.py", {"measure": "growth", "count": 1_000}),
        ("bench_read.py", {"reader": "rollout, items", "path": str(make_session(tmp_path))}),
        ("bench_list.py", {"measure": "page", "lister": "rollout", "home": str(tmp_path / "home")}),
    ):
        done = subprocess.run(
            [sys.executable, BENCHMARKS / script, json.dumps(arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

        assert done.returncode == 0, done.stderr
        assert "error" not in json.loads(done.stdout)


def make_session(tmp_path: Path) -> Path:
    script = "import data, pathlib, sys; data.make_home(pathlib.Path(sys.argv[1]), 30)"
    subprocess.run([sys.executable, "-c", script, tmp_path / "home"], cwd=BENCHMARKS, timeout=60, check=True)
    return next((tmp_path / "home").glob("sessions/*/*/*/*.jsonl"))
