from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rollout import Recorder, list_sessions
from tests.guarantees import ROWS

ROOT = Path(__file__).parent.parent


def test_the_ten_lines_of_the_readme_record_a_session(home: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert done.stderr == ""
    assert [session.preview for session in list_sessions().items] == ["What is in this folder?"]
    assert "A README and a setup file." in done.stdout


def test_the_demo_answers_and_shows_the_session_it_recorded(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "big.py").write_text("x = 1\n" * 3)
    (folder / "small.txt").write_text("y")
    demo = ROOT / "examples" / "folder_agent.py"

    done = subprocess.run(
        [sys.executable, demo, "--home", home, folder], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stderr == ""
    (session,) = list_sessions(home=home).items
    assert f"  {session.path}" in done.stdout.splitlines()
    assert session.preview is not None
    assert session.preview in done.stdout
    assert "The largest file is ./big.py with 18 bytes. There are 3 lines of Python." in done.stdout


def test_the_demo_answers_another_question(home: Path, tmp_path: Path) -> None:
    (tmp_path / "only.txt").write_text("y")
    demo = ROOT / "examples" / "folder_agent.py"

    done = subprocess.run(
        [sys.executable, demo, "--home", home, tmp_path, "What do you see?"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert "only.txt" in done.stdout


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_jq_shows_what_was_written(recorder: Recorder) -> None:
    recorder.user_message('"\\ \x00 \x1b[31m \u2028 é 🎉 / \ud800')
    recorder.tool_output("call_1", {"float": 1e-5, "big": 2**64})
    recorder.flush()

    done = subprocess.run(["jq", "-C", ".", recorder.path], capture_output=True, text=True, timeout=60, check=False)
    again = subprocess.run(["jq", "-c", ".", recorder.path], capture_output=True, text=True, timeout=60, check=True)

    assert (done.returncode, done.stderr) == (0, "")
    written = [json.loads(line) for line in recorder.path.read_text().split("\n")[:-1]]
    assert [json.loads(line) for line in again.stdout.split("\n")[:-1]] == written


def test_every_file_of_the_package_has_its_line_in_the_map() -> None:
    tree = (ROOT / "ARCHITECTURE.md").read_text().partition("```\n")[2].partition("```")[0]

    files = {path.name for path in (ROOT / "rollout").rglob("*.py")}

    assert files - set(re.findall(r"[\w]+\.py", tree)) == set()
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 150


def test_every_target_of_the_makefile_says_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text()

    # Not as a part of the make that may run this test.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["make", "help"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=True)

    (targets,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert [line.split()[0] for line in done.stdout.splitlines()] == targets.split()


def test_every_promise_of_the_guarantees_names_tests_that_there_are() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text()
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))

    assert [after for after, _ in ROWS.values() if f"\n| {after} | " not in page] == []
    names = set(re.findall(r"`(test_\w+)`", page))
    assert len(names) > 80
    assert {name for name in names if f"def {name}(" not in sources} == set()


def test_the_core_keeps_its_size() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / "rollout").glob("*.py")}

    assert {path.name: length for path, length in lengths.items() if length > 350} == {}
