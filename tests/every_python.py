"""
Run the tests on each Python from 3.10 to 3.13 that this machine has; fail if one fails.

Looks for `python3.N` on the path, and asks pyenv where there is one. Each gets an environment of its own below
`.venv-all`. `--ends` takes the lowest and the highest of those that are here only, for CI.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

VERSIONS = ("3.10", "3.11", "3.12", "3.13")
ENVIRONMENTS = Path(".venv-all")


def candidates(version: str) -> list[str]:
    """
    Give the interpreters that may be of a version, best first.
    """
    found = [shutil.which(f"python{version}")]
    pyenv = shutil.which("pyenv")
    if pyenv:
        prefix = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False).stdout.strip()
        found += [str(path) for path in sorted(Path(prefix, "versions").glob(f"{version}.*/bin/python"), reverse=True)]
    return [path for path in found if path]


def interpreter(version: str) -> str | None:
    """
    Give an interpreter that runs and is of the version; pyenv's shims may be there and not run.
    """
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    for path in candidates(version):
        done = subprocess.run([path, "-c", ask], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return path
    return None


def prepared(version: str) -> tuple[bool, str]:
    """
    Make a version's environment: whether that went well, and what was said.
    """
    python = interpreter(version)
    if python is None:
        return False, "not on this machine"
    environment = ENVIRONMENTS / version
    install = [environment / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "-e"]
    said = ""
    for command in ([python, "-m", "venv", "--clear", environment], [*install, ".[test]"]):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        said += done.stdout
        if done.returncode:
            raise SystemExit(f"== Python {version}: {said}")
    return True, said


def tested(version: str) -> tuple[bool, str]:
    """
    Run the tests on a version: whether they pass, and what was said.
    """
    args = [arg for arg in sys.argv[1:] if arg != "--ends"]
    command = [ENVIRONMENTS / version / "bin" / "python", "-m", "pytest", "-p", "no:cacheprovider", *args]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return not done.returncode, done.stdout if done.returncode else done.stdout.splitlines()[-1]


def main() -> int:
    """
    Run them all, two at once, as much of a run is waiting; the number of versions that failed.
    """
    here = [version for version in VERSIONS if interpreter(version)]
    versions, failed = [], []
    for version in [*here[:1], *here[1:][-1:]] if "--ends" in sys.argv else VERSIONS:
        is_ready, said = prepared(version)
        print(f"== Python {version}: {'ready' if is_ready else said}", flush=True)
        versions += [version] if is_ready else []
    with ThreadPoolExecutor(2) as pool:
        for version, (passed, said) in zip(versions, pool.map(tested, versions), strict=True):
            print(f"== Python {version}: {said}", flush=True)
            failed += [] if passed else [version]
    print(f"== tested on {', '.join(versions) or 'none'}; failed on {', '.join(failed) or 'none'}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
