from __future__ import annotations

import ast
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rollout
from rollout import Recorder, list_sessions, load_history
from tests.adapters.apis import Answer, ModelServer
from tests.guarantees import ROWS

ROOT = Path(__file__).parent.parent


README_EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def run_example(*command: object, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def test_the_agent_in_the_readme_is_recorded_with_one_line(home: Path) -> None:
    agent, _ = README_EXAMPLES
    answers = [Answer(calls=[("run", {"command": "echo big.py"})]), Answer("It is `big.py`.")]

    with ModelServer(answers) as server:
        output = run_example("-c", agent, OPENAI_BASE_URL=f"{server.url}/v1", OPENAI_API_KEY="none")

    (session,) = list_sessions().items
    assert output == "It is `big.py`.\n"
    assert session.preview == "Which is the largest file here?"
    items = load_history(session.path).to_input()
    assert [item["type"] for item in items] == ["message", "function_call", "function_call_output", "message"]
    assert items[2]["output"] == "big.py\n"


def test_the_guide_for_sdks_records_a_client(home: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "frameworks" / "sdks.md").read_text(), re.DOTALL)

    with ModelServer([Answer("Sunny.")]) as server:
        output = run_example("-c", code, OPENAI_BASE_URL=f"{server.url}/v1", OPENAI_API_KEY="none")

    (session,) = list_sessions().items
    assert output.splitlines() == ["Sunny.", str(session.path)]


def test_the_recorder_in_the_readme_records_a_session(home: Path) -> None:
    _, steps = README_EXAMPLES

    output = run_example("-c", steps)

    assert [session.preview for session in list_sessions().items] == ["What is in this folder?"]
    assert "A README and a setup file." in output
    assert "setup.py" in output


@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_the_example_of_an_sdk_runs_without_a_key_and_is_recorded(name: str, home: Path) -> None:
    output = run_example(ROOT / "examples" / f"{name}_agent.py", "--home", home)

    (session,) = list_sessions(home=home).items
    items = load_history(session.path).to_input()
    assert [item["type"] for item in items] == [
        *("message", "reasoning", "function_call", "function_call"),
        *("function_call_output", "function_call_output", "message"),
    ]
    answer = items[-1]["content"][0]["text"]
    assert output.splitlines()[0] == answer


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
def test_jq_reads_recorded_lines_unchanged(recorder: Recorder) -> None:
    recorder.user_message('"\\ \x00 \x1b[31m \u2028 é 🎉 / \ud800')
    recorder.tool_output("call_1", {"float": 1e-5, "big": 2**64})
    recorder.flush()

    done = subprocess.run(["jq", "-C", ".", recorder.path], capture_output=True, text=True, timeout=60, check=False)
    again = subprocess.run(["jq", "-c", ".", recorder.path], capture_output=True, text=True, timeout=60, check=True)

    assert (done.returncode, done.stderr) == (0, "")
    written = [json.loads(line) for line in recorder.path.read_text().split("\n")[:-1]]
    assert [json.loads(line) for line in again.stdout.split("\n")[:-1]] == written


def test_every_file_of_the_package_is_in_the_architecture() -> None:
    tree = (ROOT / "ARCHITECTURE.md").read_text().partition("rollout/\n")[2].partition("\ntests/")[0]

    named = set()
    for folder, files in re.findall(r"^  (the top|[\w/]+/) +((?:.+\n?)(?:^   .*\n?)*)", tree, re.MULTILINE):
        named |= {(folder if folder.endswith("/") else "") + name for name in re.findall(r"[\w/]+\.py", files)}
    there = {path.relative_to(ROOT / "rollout").as_posix() for path in (ROOT / "rollout").rglob("*.py")}
    # Each package has one.
    assert named == {name for name in there if not name.endswith("/__init__.py")}
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 120


def test_the_architecture_has_the_layers_that_are_checked() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")

    layers = config["importlinter:contract:layers"]["layers"].strip()
    assert f"```\n{layers}\n```\n" in page


def test_the_package_has_few_entries_with_clear_names() -> None:
    entries = {path.name for path in (ROOT / "rollout").iterdir()} - {"__pycache__"}

    assert len(entries) <= 28
    assert {name for name in entries if re.match("_[a-z]", name)} == {"_lazy.py", "_text.py", "_version.py"}
    public = set(rollout.__all__)
    assert {name for name in entries if name.partition(".")[0] in public} == set()


def test_every_target_of_the_makefile_has_help() -> None:
    makefile = (ROOT / "Makefile").read_text()

    # Not as a part of the make that may run this test.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["make", "help"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=True)

    (targets,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert [line.split()[0] for line in done.stdout.splitlines()] == targets.split()


def test_every_guarantee_has_its_figures_and_names_existing_tests() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text()
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    head, *sections = page.split("\n## ")

    lines = [line.split(" | ", 2) for line in head.splitlines() if line.startswith("| ")][1:]
    assert [(situation, guarantee) for situation, guarantee, _ in lines] == [(f"| {a}", b) for a, b in ROWS.values()]
    assert [cells for cells in lines if not re.match(r"[1-9]\d* of \d+ tests pass(<br>| \|$)", cells[2])] == []
    assert "test_" not in head
    situations = [situation for situation, _ in ROWS.values()]
    assert [section.partition("\n")[0] for section in sections] == [text[0].upper() + text[1:] for text in situations]
    assert [section for section in sections if "\n- `test_" not in section] == []
    names = set(re.findall(r"`(test_\w+)`", page))
    assert len(names) > 80
    assert {name for name in names if f"def {name}(" not in sources} == set()


def test_no_module_is_longer_than_its_limit() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / "rollout").rglob("*.py")}

    # The classes of the format are declarations, one below the other.
    assert {
        str(path): length for path, length in lengths.items() if length > (450 if path.parent.name == "schema" else 360)
    } == {}


def imported_names(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_module_imports_from_a_test_module() -> None:
    paths = sorted((ROOT / "tests").rglob("*.py"))

    imports = [(str(path), name) for path in paths for name in imported_names(path.read_text())]

    assert [(path, name) for path, name in imports if re.search(r"\btest_", name)] == []
