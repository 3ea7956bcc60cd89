"""
What the app server says about the sessions of a scenario, compared with what this package says, and what Codex sends to
a model when it goes on with each, compared with `History.to_input`.
"""

from __future__ import annotations

import difflib
import json
import queue
import time
from collections.abc import Iterator
from typing import Any

from driver import Codex
from reading import Finding
from scripts import ScriptedModel
from server import LiveServer

from rollout import History, load_history
from rollout.stats import session_stats

_LAST = "the last words"
# Keys of an item that Codex adds, changes or leaves out on the way to a model of another provider.
_UNCOMPARED = frozenset({
    "id", "status", "detail", "internal_chat_message_metadata_passthrough", "encrypted_function_args",
})  # fmt: skip
_CALLS = {"commandExecution", "fileChange", "mcpToolCall", "dynamicToolCall"}


def differences(codex: Codex, model: ScriptedModel) -> Iterator[Finding]:
    """
    Yield the differences for all sessions of a home that a client may open: no sub-agents, and no archived sessions.
    """
    with LiveServer(codex) as server:
        listed = server.call("thread/list", {"limit": 100, "sourceKinds": ["exec", "cli", "vscode", "appServer"]})
        for thread in listed["data"]:
            history = load_history(thread["id"], home=codex.home)
            try:
                yield from _of_session(server, model, history)
            except (AssertionError, queue.Empty) as error:
                yield Finding("misread", f"the app server does not open it: {str(error)[:300]}", history.path.name)


def _of_session(server: LiveServer, model: ScriptedModel, history: History) -> Iterator[Finding]:
    since, before = len(server.notes), len(model.received)
    opened = server.call("thread/resume", {"threadId": history.session_id})["thread"]
    server.settle(0.2)
    turns = _turns(server, history.session_id) if opened.get("historyMode") == "paginated" else opened["turns"]
    ours = _facts(history)
    theirs = _facts_of_server(turns, ours)
    theirs["tokens"] = _tokens(server.notes[since:], history.session_id)
    for name, number in ours.items():
        if None not in (number, theirs[name]) and number != theirs[name]:
            yield Finding("misread", f"{name}: {number}, by the app server {theirs[name]}", history.path.name)
    yield from _input_differences(server, model, history, before)


def _turns(server: LiveServer, session_id: str) -> list[dict[str, Any]]:
    options = {"threadId": session_id, "limit": 100, "itemsView": "full", "sortDirection": "asc"}
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = server.call("thread/turns/list", {**options, "cursor": cursor})
        found += page["data"]
        cursor = page.get("nextCursor")
        if cursor is None:
            return found


def _facts(history: History) -> dict[str, Any]:
    tokens = session_stats(history.path).tokens
    # By the app server, a fork and a reverted session have also used the tokens of the lines that they share.
    is_fork = history.meta.forked_from_id is not None or bool(history.inherited)
    return {
        "prompts": [turn.prompt for turn in history.turns if not turn.is_rolled_back and turn.prompt is not None],
        "failed calls": _failed_calls(history),
        "tokens": None if tokens is None or is_fork else tokens.total_tokens,
    }


def _failed_calls(history: History) -> set[str]:
    turns = (turn for turn in history.document().turns if not turn.is_rolled_back)
    calls = (item.call for turn in turns for item in turn.items if item.call is not None)
    return {str(call.call_id) for call in calls if call.is_failed}


def _facts_of_server(turns: list[dict[str, Any]], ours: dict[str, Any]) -> dict[str, Any]:
    items = [item for turn in turns for item in turn["items"]]
    prompts = (next((item for item in turn["items"] if item["type"] == "userMessage"), None) for turn in turns)
    calls = {item["id"]: item.get("status") in ("failed", "declined") for item in items if item["type"] in _CALLS}
    # The server shows no calls whose tool was missing or refused its arguments.
    unshown = ours["failed calls"] - calls.keys()
    return {
        "prompts": [_text(prompt) for prompt in prompts if prompt is not None],
        "failed calls": {key for key, is_failed in calls.items() if is_failed} | unshown,
    }


def _text(message: dict[str, Any]) -> str:
    return "\n".join(part["text"] for part in message["content"] if part["type"] == "text")


def _tokens(notes: list[dict[str, Any]], session_id: str) -> int | None:
    found = None
    for note in notes:
        params = note.get("params") or {}
        if note["method"] == "thread/tokenUsage/updated" and params.get("threadId") == session_id:
            found = params["tokenUsage"]["total"]["totalTokens"]
    return found


def _input_differences(server: LiveServer, model: ScriptedModel, history: History, before: int) -> Iterator[Finding]:
    ours = [_key(item) for item in history.to_input()]
    server.begin(history.session_id, _LAST)
    request = _request(model, history.session_id, before)
    if request is None:
        yield Finding("misread", "Codex sent nothing to the model", history.path.name)
        return
    server.settle()
    theirs = [_key(item) for item in request["input"]]
    codes = difflib.SequenceMatcher(None, theirs, ours, autojunk=False).get_opcodes()
    for code, start, end, own_start, own_end in codes:
        # What Codex adds to a request of its own: its instructions before the history, and the new turn after it.
        is_frame = code == "delete" and (start == 0 or end == len(theirs))
        if code != "equal" and not is_frame:
            sent, own = " ".join(theirs[start:end])[:70], " ".join(ours[own_start:own_end])[:70]
            yield Finding(
                "misread", f"to_input: Codex sends {sent or 'nothing'}; ours {own or 'nothing'}", history.path.name
            )


def _request(model: ScriptedModel, session_id: str, before: int) -> dict[str, Any] | None:
    end = time.monotonic() + 15
    while time.monotonic() < end:
        for request in model.received[before:]:
            if request.get("prompt_cache_key") == session_id and _LAST in json.dumps(request["input"]):
                return request
        time.sleep(0.05)
    return None


def _key(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _plain(inner) for key, inner in value.items() if key not in _UNCOMPARED and inner is not None}
        if kept.get("type") in ("message", "function_call"):
            # Sent to OpenAI only.
            kept.pop("encrypted_content", None)
        return kept
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
