"""
The distribution contains the files of git and nothing else; CI runs targets of the Makefile on the supported Pythons.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import rollout
from tests.every_python import VERSIONS

ROOT = Path(__file__).parent.parent
# The files that a build adds.
ADDED = ("PKG-INFO", "rollout_recorder.egg-info/")
# Files that git ignores.
JUNK = (
    ".venv/lib/x.py", ".screenshots/page.png", ".codex-versions/codex", ".axe-core/axe.js", ".coverage",
    "dist/old.tar.gz",
    "build/lib/rollout/x.py", "docs/_build/html/index.html", "tests/__pycache__/test_codec.pyc",
    "tests/web/__pycache__/x.cpython-311.pyc", "rollout/codec.pyc", "benchmarks/seed/target/release/seed",
    "benchmarks/__pycache__/run.pyc",
)  # fmt: skip


def files_of_git() -> list[str]:
    """
    Return the files that git has, relative to the root.
    """
    command = ["git", "-C", os.fspath(ROOT), "ls-files", "-z", "--cached", "--full-name"]
    done = subprocess.run(command, capture_output=True, check=False) if shutil.which("git") else None
    if done is None or done.returncode or not (ROOT / ".git").exists():
        pytest.skip("the tree is not a git repository; it may be an unpacked sdist")
    return [name for name in os.fsdecode(done.stdout).split("\0") if name]


def sdist_names(tree: Path, target: Path) -> set[str]:
    """
    Build the sdist of a tree and return the names of its files.
    """
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", os.fspath(target)]
    subprocess.run(command, cwd=tree, capture_output=True, check=True)
    (archive,) = target.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        return {member.name.partition("/")[2] for member in file if not member.isdir()}


def test_the_sdist_contains_the_files_of_git_and_nothing_else(tmp_path: Path) -> None:
    # Its main module: the folder build/ of the checkout can be imported, too.
    pytest.importorskip("build.__main__", reason="the package `build` is not installed")
    pytest.importorskip("setuptools", reason="setuptools is not installed, and without it a build needs the network")
    tree = tmp_path / "tree"
    # The index still has a file whose removal is not committed.
    names = [name for name in files_of_git() if (ROOT / name).exists()]
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    for name in JUNK:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("junk")

    found = sdist_names(tree, tmp_path / "dist")

    own = {name for name in found if not name.startswith(ADDED)}
    assert own == set(names)
    assert {"Makefile", "ruff.toml", "CHANGELOG.md", ".ci/run", "docs/conf.py", "benchmarks/run.py"} < own


def test_the_tests_import_the_package_of_the_same_tree() -> None:
    assert Path(rollout.__file__).parent == ROOT / "rollout"


def test_ci_runs_targets_of_the_makefile() -> None:
    files = [ROOT / ".ci" / "run", *(ROOT / ".github" / "workflows").glob("*.yml")]

    (targets,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    called = {
        name for file in files for name in re.findall(r"^[^#\n]*\bmake ([a-z-]+)", file.read_text(), re.MULTILINE)
    }
    assert len(files) == 3
    assert called > {"check", "test", "test-lowest", "test-codex", "test-browser", "build"}
    assert called <= set(targets.split())


def test_setup_ci_and_documentation_name_the_same_pythons() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    supported = re.findall(r"Python :: (3\.\d+)$", config["metadata"]["classifiers"], re.MULTILINE)

    (in_ci,) = re.findall(r"python: \[(.*)\]", (ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert tuple(in_ci.replace('"', "").split(", ")) == VERSIONS
    assert supported == list(VERSIONS[: len(supported)])
    assert config["options"]["python_requires"] == f">={VERSIONS[0]}"
    page = (ROOT / "docs" / "stability.md").read_text()
    assert f"| Python | {supported[0]} to {supported[-1]} (CPython) |" in page
