"""
Sessions of the real Codex are shown with nothing dropped: each line is on the page, or counted on it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from driver import Codex
from model import Model, function_call

from rollout import load_history
from rollout.document import Item
from rollout.export import export_html
from tests.completeness import assert_nothing_is_dropped

_PLAN = {"plan": [{"step": "Look", "status": "completed"}, {"step": "Mend", "status": "in_progress"}]}
_PATCH = "*** Begin Patch\n*** Update File: note.txt\n@@\n-a note\n+another note\n*** End Patch\n"


def call(codex: Codex, command: str, call_id: str = "call_1") -> dict[str, object]:
    """
    Return a model's answer that runs a command with the tool of this version.
    """
    if codex.version == "0.169.0":
        return function_call("exec_command", {"cmd": command}, call_id)
    return function_call("shell", {"command": ["bash", "-lc", command]}, call_id)


def items_of(path: Path) -> list[Item]:
    return [item for turn in load_history(path).document().turns for item in turn.items]


def test_a_session_of_each_version_is_shown_with_nothing_dropped(codex: Codex, model: Model) -> None:
    model.answers = [[call(codex, "echo hi; exit 3")]]

    path = codex.record("run it")

    assert_nothing_is_dropped(load_history(path))
    (shown,) = [item.call for item in items_of(path) if item.kind == "call" and item.call]
    assert (shown.output or "").strip() == "hi"
    assert (shown.exit_code, shown.is_failed) == (3, True)
    assert [item.text for item in items_of(path) if item.kind == "user"] == ["run it"]


def test_a_session_with_a_plan_a_patch_and_much_output_is_shown_with_nothing_dropped(
    codex: Codex, model: Model
) -> None:
    patch = f"apply_patch <<'EOF'\n{_PATCH}EOF"
    model.answers = [
        [function_call("update_plan", _PLAN, "plan")],
        [call(codex, patch, "patch")],
        [call(codex, "seq 3000", "long")],
    ]

    path = codex.record("plan, patch, count")

    assert_nothing_is_dropped(load_history(path))
    assert [len(item.plan) for item in items_of(path) if item.plan] == [2]
    page = "".join(export_html(load_history(path)))
    assert "another note" in page


def test_a_resumed_session_is_shown_with_nothing_dropped(codex: Codex, model: Model) -> None:
    path = codex.record("one")
    session_id = load_history(path).session_id
    for prompt in ("two", "three"):
        codex.resume(session_id, prompt)

    assert_nothing_is_dropped(load_history(session_id))

    assert [item.text for item in items_of(path) if item.kind == "user"] == ["one", "two", "three"]


@pytest.mark.parametrize("count", [1, 2])
def test_forks_by_reference_are_shown_with_their_inherited_lines(current: Codex, model: Model, count: int) -> None:
    session_id = load_history(current.record("one")).session_id
    with current.app_server() as server:
        for _ in range(count):
            session_id = str(server.call("thread/fork", {"threadId": session_id})["thread"]["id"])
    current.resume(session_id, "two")
    history = load_history(session_id)

    assert_nothing_is_dropped(history)

    assert history.inherited
    assert [turn.is_inherited for turn in history.document().turns if turn.prompt] == [True, False]
