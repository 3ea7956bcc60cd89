from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rollout.codec import RolloutLine, decode_json, encode_json
from rollout.document import ITEM_KINDS, DocumentBuilder
from rollout.interpret import _call_lines, _interpreter
from rollout.interpret._text_lines import TEXT_COMPLETED
from tests.builders import completed, document_of, items_of, keys_of, texts_of
from tests.rollouts import Line, event, item, message, meta, surroundings


@pytest.mark.parametrize(
    ("line", "kind", "title", "text"),
    [
        (message("user", "hi"), "user", "", "hi"),
        (message("developer", "orders"), "context", "developer", "orders"),
        (surroundings("/x"), "context", "environment context",
         "<environment_context>\n  <cwd>/x</cwd>\n</environment_context>"),
        (message("user", "# AGENTS.md instructions for /x\n\n<INSTRUCTIONS>\ny</INSTRUCTIONS>"),
         "context", "AGENTS.md instructions", "# AGENTS.md instructions for /x\n\n<INSTRUCTIONS>\ny</INSTRUCTIONS>"),
        (item("message", role="user", content=[{"type": "input_audio", "audio_url": 1}, 7]),
         "user", "", "[input_audio]"),
        (item("message", role="user", content=[{"type": "input_text", "text": "<image name=[a]>"},
                                               {"type": "input_image", "image_url": "x"}]), "user", "", ""),
        (item("agent_message", author="/a", recipient="/b", content=[{"type": "text", "text": "go"}]),
         "agent", "/a to /b", "go"),
        (("inter_agent_communication", {"author": "/a", "recipient": 3, "content": "go"}), "agent", "/a", "go"),
        (("compacted", {"message": "short"}), "compaction", "", "short"),
        (("session_meta", {"id": "x", "instructions": "be kind"}), "context", "instructions", "be kind"),
        (("session_meta", {"id": "x", "base_instructions": {"text": "be brief"}}),
         "context", "instructions", "be brief"),
        (("realtime_item", {"role": "user", "text": "hello"}), "user", "spoken", "hello"),
        (("realtime_item", {"role": "x", "text": "hello"}), "agent", "spoken", "hello"),
        (("from_the_future", {"a": 1}), "other", "from_the_future", '{\n  "a": 1\n}'),
        (item("from_the_future"), "other", "from_the_future", '{\n  "type": "from_the_future"\n}'),
        (event("from_the_future"), "other", "from_the_future", '{\n  "type": "from_the_future"\n}'),
        (completed("FromTheFuture"), "other", "FromTheFuture", '{\n  "type": "FromTheFuture"\n}'),
        (event("item_completed", item=1), "other", "item_completed", '{\n  "type": "item_completed",\n  "item": 1\n}'),
        (event("user_message", message="cfg", kind="user_instructions"), "context", "user instructions", "cfg"),
        (event("error", message="broken"), "error", "", "broken"),
        (event("stream_error", message="again"), "error", "connection", "again"),
        (event("warning", message="mind"), "notice", "warning", "mind"),
        (event("turn_aborted", reason="interrupted"), "interruption", "interrupted", ""),
        (event("turn_diff", unified_diff="@@"), "notice", "changes of the turn", "@@"),
        (event("thread_goal_updated", goal={"objective": "fly"}), "notice", "goal", "fly"),
        (event("entered_review_mode", prompt="look", user_facing_hint="h"), "notice", "review started", "look"),
        (event("exited_review_mode", review_output={"overall_explanation": "fine"}), "notice", "review ended", "fine"),
        (completed("ExitedReviewMode"), "notice", "review ended", ""),
        (completed("Plan", text="# Plan"), "plan", "", "# Plan"),
        (completed("UserMessage", content=[{"type": "text", "text": "hi"}]), "user", "", "hi"),
        (completed("AgentMessage", text="hi"), "agent", "", "hi"),
        (completed("Reasoning", summary_text=["a", 1], raw_content=None), "reasoning", "", "a"),
    ],
)  # fmt: skip
def test_each_kind_of_line_becomes_its_kind_of_item(line: Line, kind: str, title: str, text: str) -> None:
    found = items_of([line])

    assert [(one.kind, one.title, one.text) for one in found] == [(kind, title, text)]
    assert kind in ITEM_KINDS


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (("turn_context", {}), "turn_context"),
        (("world_state", {"full": True, "state": {}}), "world_state"),
        (("session_meta", {"id": "x", "base_instructions": None}), "session_meta"),
        (("realtime_item", {}), "realtime_item"),
        (item("ghost_snapshot"), "ghost_snapshot"),
        (item("message", role="user", content=None), "message without content"),
        (item("agent_message", content=[]), "message without content"),
        (item("reasoning", summary=[], content=None, encrypted_content="x"), "reasoning without text"),
        (event("token_count"), "token_count"),
        (event("user_message", message=""), "user_message"),
        (event("agent_message", message=None), "agent_message"),
        (event("task_complete"), "task_complete"),
        (event("thread_goal_updated", goal=None), "thread_goal_updated"),
        (completed("UserMessage"), "item_completed"),
        (completed("AgentMessage"), "item_completed"),
        (completed("Reasoning"), "item_completed"),
        (completed("Plan"), "item_completed"),
    ],
)
def test_lines_with_nothing_to_show_are_counted_by_kind(line: Line, kind: str) -> None:
    assert kind in document_of([line]).others


HOSTILE = [None, True, -1, 1.5, float("inf"), "", "x\x00", [], [[]], {}, {"type": {}}, {"text": 3, "type": []}]


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
def test_values_of_any_type_in_any_field_are_read_without_an_error(value: Any) -> None:
    items, events, others = _interpreter._all_readers()
    keys = ("content", "message", "text", "item", "call_id", "output", "arguments", "action", "changes", "goal", "plan",
            "result", "duration", "duration_ms", "invocation", "images", "local_images", "num_turns", "error",
            "summary", "path", "status", "command", "cwd", "stdout", "input", "role", "tools", "info", "id", "name",
            "namespace", "source", "server", "tool", "turn_id", "started_at", "completed_at", "thread_settings",
            "thread_name", "thread_id", "response_id", "usage", "replacement_history", "content_items", "exit_code",
            "review_output", "summary_text", "raw_content", "kind", "author", "model", "effort", "explanation",
            "internal_chat_message_metadata_passthrough", "last_agent_message", "reason", "success")  # fmt: skip
    payload = dict.fromkeys(keys, value)
    lines: list[Line] = [("response_item", {**payload, "type": kind}) for kind in items]
    lines += [("event_msg", {**payload, "type": kind}) for kind in events]
    lines += [("response_item", {**payload, "type": "message", "role": role}) for role in ("user", "assistant")]
    lines += [completed(kind, **payload) for kind in (*TEXT_COMPLETED, *_call_lines._COMPLETED, "UserMessage")]
    lines += [completed(kind, **payload) for kind in ("EnteredReviewMode", "ContextCompaction")]
    lines += [(kind, payload) for kind in others]
    builder = DocumentBuilder(Path("x"))

    for number, (kind, fields) in enumerate([meta(), *lines], 1):
        builder.add(RolloutLine(timestamp="?", type=kind, payload=fields), number)

    assert builder.document is not None
    assert builder.document.line_count == len(lines) + 1
    assert set(keys_of(builder.document.turns)) == {str(number) for number in range(1, len(lines) + 2)}


def test_arguments_of_the_greatest_readable_depth_are_shown() -> None:
    deep = "[" * 1000 + "]" * 1000
    line = ("response_item", {"type": "function_call", "name": "t", "arguments": deep, "call_id": "c"})

    [found] = items_of([line])

    assert found.call is not None
    assert encode_json(decode_json(found.call.input)) == deep


def test_a_line_without_an_item_is_counted_by_its_type() -> None:
    document = document_of([("state", {}), message("assistant", "x")])

    assert document.others == {"session_meta": 1, "state": 1}
    assert texts_of([item for turn in document.turns for item in turn.items]) == [("agent", "x")]
