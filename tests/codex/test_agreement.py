"""
What is said about sessions of the real Codex equals what Codex itself says: previews, turns, items and failures.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from driver import Codex, Server
from model import Model, function_call

from rollout import list_sessions, load_history
from rollout.document import Call, Item

_PATCH = "*** Begin Patch\n*** Add File: note.txt\n+a note\n*** End Patch\n"
_ITEMS = {"user": "userMessage", "agent": "agentMessage", "reasoning": "reasoning", "compaction": "contextCompaction"}


def run(command: str, call_id: str) -> dict[str, object]:
    return function_call("exec_command", {"cmd": command}, call_id)


def turns_of(server: Server, session_id: str) -> list[dict[str, Any]]:
    """
    Return the turns of a session with all items, as Codex reads them from the file.
    """
    server.call("thread/resume", {"threadId": session_id})
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        options = {"threadId": session_id, "cursor": cursor, "itemsView": "full", "sortDirection": "asc"}
        page = server.call("thread/turns/list", options)
        found += page["data"]
        cursor = page.get("nextCursor")
        if cursor is None:
            return found


def prompt_of(turn: dict[str, Any]) -> str | None:
    texts = (item["content"][-1]["text"] for item in turn["items"] if item["type"] == "userMessage")
    return next(texts, None)


def kind_of(item: Item) -> str | None:
    if item.call is not None:
        return "fileChange" if item.call.changes else "commandExecution"
    return _ITEMS.get(item.kind)


def items_in(path: Path) -> list[Item]:
    return [item for turn in load_history(path).document().turns for item in turn.items]


def calls_in(path: Path) -> list[Call]:
    return [item.call for item in items_in(path) if item.call is not None]


@pytest.fixture
def session_path(current: Codex, model: Model) -> Path:
    """
    A session of three turns: commands, of which two fail, a patch, and plain answers.
    """
    model.answers = [[run("echo hi", "call_1")], [run("exit 3", "call_2")], [run("false", "call_3")]]
    path = current.record("look at\nthis folder")
    session_id = load_history(path).session_id
    model.answers = [[run(f"apply_patch <<'EOF'\n{_PATCH}EOF", "call_4")]]
    current.resume(session_id, "write a note")
    current.resume(session_id, "# Files mentioned by the user:\n\nnone\n\n## My request for Codex:\nthanks")
    return path


def test_the_preview_of_a_list_is_that_of_codex(current: Codex, session_path: Path) -> None:
    session_id = load_history(session_path).session_id
    with current.app_server() as server:
        (listed,) = server.call("thread/list", {"limit": 10, "sourceKinds": ["exec"]})["data"]

    (ours,) = list_sessions(home=current.home).items

    assert (listed["id"], listed["preview"].strip()) == (session_id, ours.preview)
    assert ours.title == "look at this folder"


def test_the_turns_and_their_prompts_are_those_of_codex(current: Codex, session_path: Path) -> None:
    history = load_history(session_path)
    with current.app_server() as server:
        theirs = [prompt_of(turn) for turn in turns_of(server, history.session_id)]

    ours = [turn.prompt for turn in history.turns]

    assert theirs[:2] == ours[:2] == ["look at\nthis folder", "write a note"]
    # Codex keeps what an editor puts before the request.
    assert len(theirs) == len(ours) == 3
    assert str(theirs[2]).endswith(str(ours[2]))
    assert ours[2] == "thanks"


def test_the_items_of_each_kind_and_the_failed_calls_are_those_of_codex(current: Codex, session_path: Path) -> None:
    with current.app_server() as server:
        turns = turns_of(server, load_history(session_path).session_id)
    theirs = [item for turn in turns for item in turn["items"]]

    ours = [kind for kind in map(kind_of, items_in(session_path)) if kind is not None]

    assert Counter(ours) == Counter(item["type"] for item in theirs)
    failed = sum(item.get("status") in ("failed", "declined") for item in theirs)
    assert (failed, sum(call.is_failed for call in calls_in(session_path))) == (2, 2)
