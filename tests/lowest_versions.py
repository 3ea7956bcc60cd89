"""
Run the tests with the lowest version of each dependency that setup.cfg allows, on the lowest Python.

The environment is `.venv-all/lowest`. The tools that run the tests have their newest versions.
"""

from __future__ import annotations

import configparser
import re
import subprocess
import sys

from every_python import ENVIRONMENTS, VERSIONS, find_interpreter

# The dependencies of these extras are those of users; the packages of `test` and `dev` are tools.
EXTRAS = ("cli", "search", "html", "plot", "pandas", "web", "zstd")
# The tests that use a dependency; properties, faults and races take most of a run and use no other ones.
TESTS = (
    "tests/test_public_api.py", "tests/test_codec.py", "tests/schema", "tests/home", "tests/interpret", "tests/reading",
    "tests/recording", "tests/document", "tests/sessions", "tests/notebook", "tests/search", "tests/store",
    "tests/export", "tests/web", "tests/cli",
)  # fmt: skip


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


def main() -> int:
    """
    Make the environment, install the lowest versions, and run the tests; return the exit code of the tests.
    """
    python = find_interpreter(VERSIONS[0])
    if python is None:
        print(f"Python {VERSIONS[0]} is not on this machine: the lowest versions are not tested")
        return 0
    environment = ENVIRONMENTS / "lowest"
    subprocess.run([python, "-m", "venv", "--clear", environment], check=True)
    constraints = environment / "constraints.txt"
    constraints.write_text("\n".join(lowest_versions()) + "\n")
    own_python = environment / "bin" / "python"
    install = [own_python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", constraints]
    subprocess.run([*install, "-e", ".[test]"], check=True)
    print(constraints.read_text())
    # Old versions use names that the newest versions of their own dependencies deprecate.
    run = [own_python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore::DeprecationWarning"]
    return subprocess.run([*run, *(sys.argv[1:] or TESTS)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
