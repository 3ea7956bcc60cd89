"""
Run the tests of the frameworks, each in its environment, and print one line for each environment.

    python tests/frameworks/run.py [ENVIRONMENT ...] [-- ARGUMENTS OF PYTEST]

An environment is installed first, unless it is there. One that cannot be installed is skipped, and a test may skip
itself; both are failures with `ROLLOUT_REQUIRE_FRAMEWORKS=1`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from install import ENVIRONMENTS, FOLDER, ROOT, install, python_of, versions

TIMEOUT = 600  # seconds for the tests of one environment
# Frameworks warn about their own dependencies; a warning in this package is a failure as in its other tests.
WARNINGS = "default\nerror:::rollout\nerror::pytest.PytestUnhandledThreadExceptionWarning"

# Frameworks read these when they are imported: no telemetry, and no list of prices from the network.
SWITCHES = {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OTEL_SDK_DISABLED": "true",
}


def test(name: str, args: list[str]) -> tuple[str, str]:
    """
    Install an environment and run its tests; return "passed", "failed" or "skipped", and the text to print.
    """
    is_strict = os.environ.get("ROLLOUT_REQUIRE_FRAMEWORKS") == "1"
    begun = time.monotonic()
    reason = install(name)
    if reason:
        return "failed" if is_strict else "skipped", f"not installed: {reason}"
    installed = time.monotonic()
    files = [f"tests/frameworks/{file}" for file in ENVIRONMENTS[name].files]
    command = [python_of(name), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", f"filterwarnings={WARNINGS}"]
    module = ENVIRONMENTS[name].module
    if module and not args:
        command += [
            f"--cov=rollout.adapters.{module}",
            "--cov-config=tests/frameworks/coverage.cfg",
            "--cov-report=term",
        ]
    # Caches and settings of a framework stay in its environment.
    env = {**os.environ, **SWITCHES, "HOME": str(FOLDER / name), "DSPY_CACHEDIR": str(FOLDER / name / "dspy")}
    # Two environments are tested at once.
    env["COVERAGE_FILE"] = str(FOLDER / name / "coverage")
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        done = subprocess.run(
            [*command, *files, *args],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired as error:
        output = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else error.stdout or ""
        return "failed", f"{versions(name)}\n{output}\nno end after {TIMEOUT} s"
    summaries = re.findall(r"^\d+ \w+.* in [\d.]+s.*$", done.stdout, re.MULTILINE)
    summary = summaries[-1] if summaries else "no test ran"
    is_failed = done.returncode != 0 or (is_strict and " skipped" in summary)
    line = f"{versions(name)}: {summary}, after {installed - begun:.0f} s of installation"
    return "failed" if is_failed else "passed", f"{line}\n{done.stdout}" if is_failed else line


def main() -> int:
    """
    Run all environments or those named, two at once; return whether one of them failed.
    """
    args = sys.argv[1:]
    end = args.index("--") if "--" in args else len(args)
    names = args[:end] or list(ENVIRONMENTS)
    unknown = set(names) - set(ENVIRONMENTS)
    if unknown:
        raise SystemExit(f"no environment {', '.join(sorted(unknown))}; there are {', '.join(ENVIRONMENTS)}")
    counts = dict.fromkeys(("passed", "failed", "skipped"), 0)

    def test_and_print(name: str) -> str:
        outcome, text = test(name, args[end + 1 :])
        print(f"== {name} {outcome}: {text}", flush=True)
        return outcome

    with ThreadPoolExecutor(2) as pool:
        for outcome in pool.map(test_and_print, names):
            counts[outcome] += 1
    print(f"environments: {', '.join(f'{count} {outcome}' for outcome, count in counts.items())}")
    return int(counts["failed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
