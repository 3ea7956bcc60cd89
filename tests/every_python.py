"""
Run the tests on each Python from 3.10 to 3.14 that this machine has; fail if they fail on one of them.

The interpreters are `python3.N` on the path, and those of pyenv. Each has an environment of its own below `.venv-all`.
`--lowest` tests only the lowest version, with the lowest version of each dependency that setup.cfg allows; `--ends`,
for CI, the same and the highest version of this machine. Other arguments are passed to pytest.
"""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
ENVIRONMENTS = Path(".venv-all")
# The name of the environment with the lowest versions.
LOWEST = "lowest"
OPTIONS = ("--lowest", "--ends")
# The dependencies of these extras are those of users; the packages of `test` and `dev` are tools, and have their newest
# versions.
EXTRAS = ("cli", "search", "html", "plot", "pandas", "web", "zstd")


def lowest_versions() -> list[str]:
    """
    Return a constraint for pip, `name==version`, for each dependency of setup.cfg.
    """
    config = configparser.ConfigParser()
    config.read("setup.cfg")
    extras = [config["options.extras_require"][extra] for extra in EXTRAS]
    lines = "\n".join([config["options"]["install_requires"], *extras]).splitlines()
    bounds = [re.fullmatch(r"([\w.-]+)>=([\d.]+)(;.*)?", line) for line in lines if line]
    if None in bounds:
        raise SystemExit(f"a dependency without a lower bound: {lines}")
    return sorted({f"{bound[1]}=={bound[2]}{bound[3] or ''}" for bound in bounds if bound})


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


def prepare(name: str) -> tuple[bool, str]:
    """
    Make the environment of a version, or `LOWEST`; return whether it is ready, and the output or the reason.
    """
    python = find_interpreter(VERSIONS[0] if name == LOWEST else name)
    if python is None:
        return False, "not on this machine"
    environment = ENVIRONMENTS / name
    make = [python, "-m", "venv", "--clear", environment]
    install = [environment / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    output = run(make, name)
    if name == LOWEST:
        constraints = environment / "constraints.txt"
        constraints.write_text("\n".join(lowest_versions()) + "\n")
        install += ["-c", constraints]
        output += constraints.read_text()
    return True, output + run([*install, "-e", ".[test]"], name)


def run(command: list[str | Path], name: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"== Python {name}: {done.stdout}")
    return done.stdout


def run_tests(name: str) -> tuple[bool, str]:
    """
    Run the tests in an environment; return whether they pass, and the output, of which one line if they pass.
    """
    args = [arg for arg in sys.argv[1:] if arg not in OPTIONS]
    if name == LOWEST:
        # Old versions use names that the newest versions of their own dependencies deprecate.
        args += ["-W", "ignore::DeprecationWarning"]
    command = [ENVIRONMENTS / name / "bin" / "python", "-m", "pytest", "-p", "no:cacheprovider", *args]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return not done.returncode, done.stdout if done.returncode else done.stdout.splitlines()[-1]


def chosen_names() -> list[str]:
    """
    Return the names of the environments to test.
    """
    if "--lowest" in sys.argv:
        return [LOWEST]
    if "--ends" in sys.argv:
        available = [version for version in VERSIONS if find_interpreter(version)]
        return [LOWEST, *available[1:][-1:]]
    return list(VERSIONS)


def main() -> int:
    """
    Run the tests in all environments, two at once because a run waits half of its time; return the number of failures.
    """
    ready, failures = [], []
    for name in chosen_names():
        is_ready, output = prepare(name)
        print(f"== Python {name}: {'ready' if is_ready else output}", flush=True)
        ready += [name] if is_ready else []
    with ThreadPoolExecutor(2) as pool:
        for name, (is_passed, output) in zip(ready, pool.map(run_tests, ready), strict=True):
            print(f"== Python {name}: {output}", flush=True)
            failures += [] if is_passed else [name]
    print(f"== tested on {', '.join(ready) or 'none'}; failed on {', '.join(failures) or 'none'}")
    return len(failures)


if __name__ == "__main__":
    sys.exit(main())
