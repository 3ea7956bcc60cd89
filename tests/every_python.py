"""
Run the tests on each Python from 3.10 to 3.13 that this machine has; fail if there is none, or if one fails.

Looks for `python3.N` on the path, and asks pyenv where there is one. Each gets an environment of its own below
`.venv-all`. `--others` leaves out the version that this runs on, on which CI has tested already.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
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


def main() -> int:
    """
    Run them all; the number of versions that failed.
    """
    failed, tested = [], []
    own = "{}.{}".format(*sys.version_info)
    args = [arg for arg in sys.argv[1:] if arg != "--others"]
    for version in VERSIONS:
        if version == own and "--others" in sys.argv:
            continue
        python = interpreter(version)
        if python is None:
            print(f"== Python {version}: not on this machine", flush=True)
            continue
        print(f"== Python {version}: {python}", flush=True)
        environment = ENVIRONMENTS / version
        subprocess.run([python, "-m", "venv", "--clear", environment], check=True)
        run = [environment / "bin" / "python", "-m"]
        subprocess.run([*run, "pip", "install", "-q", "--disable-pip-version-check", "-e", ".[test]"], check=True)
        done = subprocess.run([*run, "pytest", *args], check=False)
        tested.append(version)
        if done.returncode:
            failed.append(version)
    print(f"== tested on {', '.join(tested) or 'none'}; failed on {', '.join(failed) or 'none'}")
    return len(failed) if tested else 1


if __name__ == "__main__":
    sys.exit(main())
