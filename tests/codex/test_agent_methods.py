"""
What the real Codex lists, resumes and shows of a session that the methods for an agent's loop have recorded.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from agent_session import MODES, Mode, record
from driver import Codex, Server
from model import Model

from rollout import Recorder, load_history


def turns_of(server: Server, session_id: str) -> list[tuple[str, list[str]]]:
    server.call("thread/resume", {"threadId": session_id, "excludeTurns": True})
    page = server.call("thread/turns/list", {"threadId": session_id, "limit": 20, "itemsView": "full"})
    return [(turn["status"], [item["type"] for item in turn["items"]]) for turn in reversed(page["data"])]


@pytest.mark.parametrize("mode", MODES)
def test_every_version_lists_and_goes_on_with_a_session_of_the_agent_methods(
    start_codex: Callable[[str], Codex], model: Model, mode: Mode
) -> None:
    for version in ("0.36.0", "0.42.0", "0.169.0"):
        codex = start_codex(version)
        rec = record(codex, mode)
        before = len(model.received)
        if version != "0.169.0":
            with codex.mcp() as server:
                listed = server.call("listConversations", {"pageSize": 10})["items"]
                assert rec.session_id in json.dumps(listed)
        codex.resume(rec.session_id, "go on")
        sent = json.dumps(model.received[before:])
        for text in ("what is the weather in Paris?", "It is sunny in Paris.", "sunny", "another note", "no city"):
            assert text in sent, (version, text)


@pytest.mark.parametrize("mode", MODES)
def test_the_current_version_shows_the_calls_of_python_functions(current: Codex, mode: Mode) -> None:
    rec = record(current, mode)

    with current.app_server() as server:
        (listed,) = server.call("thread/list", {"limit": 5})["data"]
        shown = turns_of(server, rec.session_id)

    assert listed["preview"] == "what is the weather in Paris?"
    tool = "dynamicToolCall" if mode == "paginated" else "mcpToolCall"
    command = "commandExecution" if mode == "paginated" else "mcpToolCall"
    assert shown == [
        ("completed", ["userMessage", "reasoning", tool, tool, "agentMessage"]),
        ("completed", ["userMessage", command, "fileChange", "agentMessage"]),
        ("failed", ["userMessage"]),
    ]


def test_the_totals_of_tokens_continue_after_codex(current: Codex, model: Model) -> None:
    rec = record(current, "legacy")
    current.resume(rec.session_id, "go on")  # 120 tokens

    with Recorder.resume(rec.session_id, home=current.home) as resumed:
        resumed.usage(input_tokens=1, output_tokens=1)

    totals = [
        line.payload["info"] for line in load_history(rec.path).lines if line.payload.get("type") == "token_count"
    ]
    assert totals[-1]["total_token_usage"]["total_tokens"] == 350 + 120 + 2


def test_a_name_of_the_recorder_is_shown_by_codex(current: Codex) -> None:
    with Recorder(home=current.home, cwd=current.cwd, source="cli") as rec:
        rec.user_message("hello")
        rec.name("my agent")

    with current.app_server() as server:
        (listed,) = server.call("thread/list", {"limit": 5})["data"]
    assert (listed["id"], listed["name"]) == (rec.session_id, "my agent")


def test_a_sub_agent_belongs_to_its_parent_as_those_of_codex(current: Codex) -> None:
    with (
        Recorder(home=current.home, cwd=current.cwd, source="cli", model_provider="mock") as rec,
        rec.turn("review it"),
        rec.agent("reviewer", role="review") as agent,
    ):
        agent.user_message("review the change")
        agent.agent_message("it is fine")

    with current.app_server() as server:
        listed = server.call("thread/list", {"limit": 5})["data"]
        child = server.call("thread/read", {"threadId": agent.session_id})["thread"]
    assert [thread["id"] for thread in listed] == [rec.session_id]  # Codex does not list sub-agents
    assert (child["parentThreadId"], child["agentNickname"], child["agentRole"]) == (
        rec.session_id, "reviewer", "review"
    )  # fmt: skip
