"""
Run the tests on each Python from 3.10 to 3.14 that this machine has; fail if they fail on one of them.

The interpreters are `python3.N` on the path, and those of pyenv. Each has an environment of its own below `.venv-all`.
With `--ends`, for CI, only the lowest and the highest version of this machine are tested. Other arguments are passed to
pytest.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
ENVIRONMENTS = Path(".venv-all")


def list_candidates(version: str) -> list[str]:
    """
    Return the paths of interpreters that may have a version, best first.
    """
    paths = [shutil.which(f"python{version}")]
    pyenv = shutil.which("pyenv")
    if pyenv:
        prefix = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False).stdout.strip()
        paths += [str(path) for path in sorted(Path(prefix, "versions").glob(f"{version}.*/bin/python"), reverse=True)]
    return [path for path in paths if path]


def find_interpreter(version: str) -> str | None:
    """
    Return an interpreter that runs and has the version; a shim of pyenv may exist and not run.
    """
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    for path in list_candidates(version):
        done = subprocess.run([path, "-c", program], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return path
    return None


def prepare(version: str) -> tuple[bool, str]:
    """
    Make the environment of a version; return whether it is ready, and the output or the reason.
    """
    python = find_interpreter(version)
    if python is None:
        return False, "not on this machine"
    environment = ENVIRONMENTS / version
    install = [environment / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "-e"]
    output = ""
    for command in ([python, "-m", "venv", "--clear", environment], [*install, ".[test]"]):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        output += done.stdout
        if done.returncode:
            raise SystemExit(f"== Python {version}: {output}")
    return True, output


def run_tests(version: str) -> tuple[bool, str]:
    """
    Run the tests on a version; return whether they pass, and the output, of which one line if they pass.
    """
    args = [arg for arg in sys.argv[1:] if arg != "--ends"]
    command = [ENVIRONMENTS / version / "bin" / "python", "-m", "pytest", "-p", "no:cacheprovider", *args]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return not done.returncode, done.stdout if done.returncode else done.stdout.splitlines()[-1]


def main() -> int:
    """
    Run the tests on all versions, two at once because a run waits half of its time; return the number of failures.
    """
    available = [version for version in VERSIONS if find_interpreter(version)]
    versions, failures = [], []
    for version in [*available[:1], *available[1:][-1:]] if "--ends" in sys.argv else VERSIONS:
        is_ready, output = prepare(version)
        print(f"== Python {version}: {'ready' if is_ready else output}", flush=True)
        versions += [version] if is_ready else []
    with ThreadPoolExecutor(2) as pool:
        for version, (is_passed, output) in zip(versions, pool.map(run_tests, versions), strict=True):
            print(f"== Python {version}: {output}", flush=True)
            failures += [] if is_passed else [version]
    print(f"== tested on {', '.join(versions) or 'none'}; failed on {', '.join(failures) or 'none'}")
    return len(failures)


if __name__ == "__main__":
    sys.exit(main())
