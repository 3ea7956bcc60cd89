"""
What `to_input` gives for hand-made sessions, and what the current Codex sends to a model when it resumes them.
"""

from __future__ import annotations

from typing import Any

import pytest
from driver import Codex
from model import Model

from rollout import load_history
from rollout.interpret._prompts import _TURN_CONTEXT
from tests.rollouts import Line, answer, event, item, message, meta, prompt, put

_LAST = "and then?"
_MIDDLE: dict[str, list[Line]] = {
    "an unknown mark": [message("developer", "<unheard_of>x</unheard_of>")],
    "a mark in capitals after blanks": [message("developer", "\n <MULTI_AGENT_MODE>x")],
    "a mark in the second part": [
        item("message", role="developer", content=[{"type": "input_text", "text": text} for text in ("x", "<tools>y")]),
    ],
    "a mark with an attribute": [message("developer", "<tools a='1'>x")],
    "a message after the mark": [message("developer", "<tools>x"), message("developer", "orders")],
    "an answer after the mark": [message("developer", "<tools>x"), *answer("more")],
    "settings after the mark": [message("developer", "<tools>x"), item("configuration_update", reasoning={})],
    "an output without a call after the mark": [
        message("developer", "<tools>x"), item("function_call_output", name="n", namespace="ns", output="set"),
    ],
    "a message of another agent": [
        item("agent_message", author="/root/a", recipient="/root", content=[{"type": "input_text", "text": "m"}]),
    ],
    "a line of another agent": [
        ("inter_agent_communication",
         {"author": "/root/a", "recipient": "/root", "other_recipients": [], "content": "m", "trigger_turn": True}),
    ],
    "an encrypted line of another agent": [
        ("inter_agent_communication",
         {"author": "/root/a", "recipient": "/root", "other_recipients": [], "content": "", "trigger_turn": False,
          "encrypted_content": "gAAAA"}),
    ],
    "tools that were added": [item("additional_tools", role="developer", tools=[])],
    "an output of another type": [
        item("custom_tool_call", call_id="c1", name="n", input="x", status="completed"),
        item("function_call_output", call_id="c1", output="x"),
    ],
    "outputs without calls": [
        item("custom_tool_call_output", name="n", output="x"), item("function_call_output", output="y"),
        item("tool_search_output", call_id="c9", execution="client", status="completed", tools=[]),
    ],
    "searches for tools": [
        item("tool_search_call", call_id="c1", status="completed", execution="client", arguments={}),
        item("tool_search_call", call_id=None, status="completed", execution="server", arguments={}),
        item("tool_search_output", call_id=None, status="completed", execution="server", tools=[]),
    ],
}  # fmt: skip
_MIDDLE |= {f"the mark {mark}": [message("developer", f"{mark} x")] for mark in _TURN_CONTEXT}


def without_ids(items: list[Any]) -> list[Any]:
    return [{key: value for key, value in one.items() if key not in ("id", "status")} for one in items]


def sent_of(codex: Codex, model: Model, lines: list[Line]) -> tuple[list[Any], list[Any]]:
    """
    Return the input of a session, and what Codex sends of it.
    """
    known = {"cwd": str(codex.cwd), "source": "cli", "model_provider": "mock"}
    path = put(codex.home, [meta(**known), *prompt("first"), *answer("one"), *lines])
    history = load_history(path)
    ours = without_ids(history.to_input())

    codex.resume(history.session_id, _LAST)

    theirs = without_ids(model.received[0]["input"])
    start = next(place for place, one in enumerate(theirs) if one.get("content") == ours[0]["content"])
    return ours, theirs[start : start + len(ours)]


@pytest.mark.parametrize("name", _MIDDLE)
def test_the_input_is_that_of_codex(current: Codex, model: Model, name: str) -> None:
    ours, theirs = sent_of(current, model, [*_MIDDLE[name], *prompt("second")])

    assert ours == theirs


@pytest.mark.parametrize("name", _MIDDLE)
def test_the_input_after_a_rollback_is_that_of_codex(current: Codex, model: Model, name: str) -> None:
    lines = [*_MIDDLE[name], *prompt("second"), event("thread_rolled_back", num_turns=1), *prompt("third")]

    ours, theirs = sent_of(current, model, lines)

    assert ours == theirs


def test_a_rollback_counts_messages_of_other_agents(current: Codex, model: Model) -> None:
    lines = [*_MIDDLE["a message of another agent"], *answer("two"), *prompt("second")]

    ours, theirs = sent_of(current, model, [*lines, event("thread_rolled_back", num_turns=2), *prompt("third")])

    assert ours == theirs
    assert len(ours) == 3


def test_a_rollback_removes_a_mark_at_the_end_of_a_compaction(current: Codex, model: Model) -> None:
    history = [message("user", "kept")[1], message("developer", "<tools>x")[1]]
    between = [event("task_complete", turn_id="t1", last_agent_message=None)]
    between += [event("task_started", turn_id="t2", model_context_window=None)]
    turn = [*prompt("second"), event("task_complete", turn_id="t2", last_agent_message=None)]
    lines = [("compacted", {"message": "m", "replacement_history": history}), *between, *turn]

    ours, theirs = sent_of(current, model, [*lines, event("thread_rolled_back", num_turns=1), *prompt("third")])

    assert ours == theirs
    assert len(ours) == 2
