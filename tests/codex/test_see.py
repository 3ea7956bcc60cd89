"""
What the real Codex records is shown with nothing dropped: each line is on the page, or counted where it can be seen.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from driver import Codex
from model import Model, called

from rollout import load_history
from rollout.document import Item
from rollout.export import export_html
from tests.test_nothing_dropped import assert_nothing_is_dropped

_PLAN = {"plan": [{"step": "Look", "status": "completed"}, {"step": "Mend", "status": "in_progress"}]}
_PATCH = "*** Begin Patch\n*** Update File: note.txt\n@@\n-a note\n+another note\n*** End Patch\n"


def call(codex: Codex, command: str, call_id: str = "call_1") -> dict[str, object]:
    """
    Give an answer of the model that runs a command, as this version calls it.
    """
    if codex.version == "0.169.0":
        return called("exec_command", {"cmd": command}, call_id)
    return called("shell", {"command": ["bash", "-lc", command]}, call_id)


def items_of(path: Path) -> list[Item]:
    return [item for turn in load_history(path).document().turns for item in turn.items]


def test_a_session_of_each_version_is_shown_with_nothing_dropped(codex: Codex, model: Model) -> None:
    model.answers = [[call(codex, "echo hi; exit 3")]]

    path = codex.record("run it")

    assert_nothing_is_dropped(load_history(path))
    (ran,) = [item.call for item in items_of(path) if item.kind == "call" and item.call]
    assert (ran.output or "").strip() == "hi"
    assert (ran.exit_code, ran.is_failed) == (3, True)
    assert [item.text for item in items_of(path) if item.kind == "user"] == ["run it"]


def test_a_session_with_a_plan_a_patch_and_much_output_is_shown_with_nothing_dropped(
    codex: Codex, model: Model
) -> None:
    patch = f"apply_patch <<'EOF'\n{_PATCH}EOF"
    model.answers = [
        [called("update_plan", _PLAN, "plan")],
        [call(codex, patch, "patch")],
        [call(codex, "seq 3000", "long")],
    ]

    path = codex.record("plan, patch, count")

    assert_nothing_is_dropped(load_history(path))
    assert [len(item.plan) for item in items_of(path) if item.plan] == [2]
    page = "".join(export_html(load_history(path)))
    assert "another note" in page


def test_a_session_that_is_gone_on_with_is_shown_with_nothing_dropped(codex: Codex, model: Model) -> None:
    path = codex.record("one")
    session_id = load_history(path).session_id
    for prompt in ("two", "three"):
        codex.go_on(session_id, prompt)

    assert_nothing_is_dropped(load_history(session_id))

    assert [item.text for item in items_of(path) if item.kind == "user"] == ["one", "two", "three"]


@pytest.mark.parametrize("count", [1, 2])
def test_forks_by_reference_are_shown_with_what_they_go_on_from(today: Codex, model: Model, count: int) -> None:
    session_id = load_history(today.record("one")).session_id
    with today.app_server() as server:
        for _ in range(count):
            session_id = str(server.call("thread/fork", {"threadId": session_id})["thread"]["id"])
    today.go_on(session_id, "two")
    history = load_history(session_id)

    assert_nothing_is_dropped(history)

    assert history.inherited
    assert [turn.is_inherited for turn in history.document().turns if turn.prompt] == [True, False]
