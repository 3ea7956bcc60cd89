"""
What ``codex exec --json`` of the real Codex prints is read as a session, with nothing left out.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from driver import Codex
from model import Model, assistant_message, function_call, reasoning

from rollout import load_history, read_lines, verify
from rollout.stats import session_stats


def run(codex: Codex, command: str, call_id: str) -> dict[str, object]:
    if codex.version in ("0.36.0", "0.42.0"):
        return function_call("shell", {"command": ["sh", "-c", command]}, call_id)
    return function_call("exec_command", {"cmd": command}, call_id)


@pytest.mark.parametrize("option", ["--json", "--experimental-json"])
def test_the_output_of_codex_exec_is_read_as_its_session(
    codex: Codex, model: Model, tmp_path: Path, option: str
) -> None:
    if option == "--experimental-json" and codex.version != "0.42.0":
        pytest.skip("an option of 0.42.0")
    model.answers = [
        [reasoning("**Thinking** hard"), run(codex, "echo hi; exit 3", "c1")],
        [run(codex, "printf out", "c2")],
        [assistant_message("Both commands ran.")],
    ]

    path = tmp_path / "saved.jsonl"
    path.write_text(codex.exec(option, "run them").stdout)

    history = load_history(path)
    stats = session_stats(path)
    items = [item for turn in history.document().turns for item in turn.items]
    assert (verify(path).format, verify(path).is_whole) == ("exec-json", True)
    assert [(item.call.output or "").strip() for item in items if item.call] == ["hi", "out"]
    assert [item.text for item in items if item.kind == "agent"] == ["Both commands ran."]
    assert (stats.turns, stats.calls, stats.failures) == (1, 2, 1)
    objects = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [*read_lines(path)]
    assert len([line for line in kept if "original" in line.extra or "id" in line.extra]) == len(objects)
