from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from rollout import Recorder
from tests.recording.helpers import events_of, kinds_of, payloads_of

_PATCH = """*** Begin Patch
*** Add File: new.txt
+one
+two
*** Update File: old.py
*** Move to: moved.py
@@ def f():
 a
-b
+c
@@
-d
*** Delete File: gone.txt
*** End Patch
"""


@pytest.fixture
def rec(home: Path) -> Iterator[Recorder]:
    with Recorder(home=home, cwd="/work dir", originator="agent") as rec:
        yield rec


def outputs(rec: Recorder) -> list[str]:
    rec.close()
    return [payload["output"] for payload in events_of(rec.path, "function_call_output")]


def arguments(rec: Recorder) -> list[Any]:
    rec.close()
    return [json.loads(payload["arguments"]) for payload in events_of(rec.path, "function_call")]


def test_a_decorated_function_records_name_arguments_output_and_duration(rec: Recorder) -> None:
    @rec.tool
    def add(a: int, b: int = 2, *rest: int, scale: int = 1, **more: str) -> int:
        """Add."""
        return (a + b + sum(rest)) * scale

    assert add(1, 5, 6, scale=2, unit="m") == 24
    assert (add.__name__, add.__doc__) == ("add", "Add.")
    assert add(1) == 3
    assert arguments(rec) == [
        {"a": 1, "b": 5, "rest": [6], "scale": 2, "unit": "m"},
        {"a": 1, "b": 2, "rest": [], "scale": 1},
    ]
    assert outputs(rec) == ["24", "3"]
    assert [payload["name"] for payload in events_of(rec.path, "function_call")] == ["add", "add"]
    end = events_of(rec.path, "mcp_tool_call_end")[0]
    assert end["invocation"] == {"server": "agent", "tool": "add", "arguments": arguments(rec)[0]}
    assert end["duration"]["secs"] == 0 < end["duration"]["nanos"]


def test_an_exception_is_recorded_as_a_failed_call_and_raised(rec: Recorder) -> None:
    @rec.tool(name="reader")
    def read(path: str) -> str:
        raise FileNotFoundError(path)

    with pytest.raises(FileNotFoundError):
        read("x")
    with pytest.raises(TypeError, match="argument"):
        read()  # type: ignore[call-arg]

    assert outputs(rec)[0] == "FileNotFoundError: x"
    assert [end["result"]["Ok"]["isError"] for end in events_of(rec.path, "mcp_tool_call_end")] == [True, True]
    assert {payload["name"] for payload in events_of(rec.path, "function_call")} == {"reader"}
    assert arguments(rec)[1] == {"args": []}


def test_a_coroutine_function_stays_one(rec: Recorder) -> None:
    @rec.tool
    async def fetch(url: str) -> str:
        await asyncio.sleep(0)
        return f"page of {url}"

    assert asyncio.iscoroutinefunction(fetch)
    assert asyncio.run(fetch("u")) == "page of u"
    assert outputs(rec) == ["page of u"]


def test_methods_are_recorded_without_self(rec: Recorder) -> None:
    class Shop:
        @rec.tool
        def price(self, item: str) -> int:
            return len(item)

    assert Shop().price("pen") == 3
    assert arguments(rec) == [{"item": "pen"}]


def test_values_without_a_json_form_are_recorded_as_their_repr(rec: Recorder) -> None:
    @rec.tool
    def collect(values: set[int]) -> Path:
        return Path("/x")

    assert collect({1}) == Path("/x")
    assert arguments(rec) == [{"values": "{1}"}]
    assert outputs(rec) == [repr(Path("/x"))]


def test_a_run_records_the_output_that_it_was_given(rec: Recorder) -> None:
    with rec.tool_run("shell", {"command": ["ls"]}) as run:
        run.output = "a\nb\n"
    with rec.tool_run("shell", {"command": ["true"]}):
        pass
    with rec.tool_run("look", "{}") as run:
        run.output = [{"type": "input_image", "image_url": "data:x"}, {"type": "input_text", "text": "a cat"}]

    assert outputs(rec) == ["a\nb\n", "", [{"type": "input_image", "image_url": "data:x"},
                                           {"type": "input_text", "text": "a cat"}]]  # fmt: skip


def test_the_output_of_a_failed_run_is_what_it_was_given_else_the_error(rec: Recorder) -> None:
    for given in (None, "half"):
        with pytest.raises(ValueError, match="bad"), rec.tool_run("t", {}) as run:
            run.output = given
            raise ValueError("bad")
    with rec.tool_run("t", {}) as run:
        run.output, run.is_failed = "no", True

    assert outputs(rec) == ["ValueError: bad", "half", "no"]
    assert [end["result"]["Ok"]["isError"] for end in events_of(rec.path, "mcp_tool_call_end")] == [True] * 3


def test_a_call_that_the_model_made_is_not_recorded_again(rec: Recorder) -> None:
    rec.record_items({"type": "function_call", "name": "t", "arguments": "{}", "call_id": "call_1"})
    with rec.tool_run("t", {}, call_id="call_1") as run:
        run.output = "done"
    with rec.tool_run("t", {}, call_id="call_2"):
        pass
    rec.close()

    assert [payload["call_id"] for payload in events_of(rec.path, "function_call")] == ["call_1", "call_2"]
    assert [payload["call_id"] for payload in events_of(rec.path, "function_call_output")] == ["call_1", "call_2"]


def test_a_recorder_that_was_closed_in_a_tool_does_not_hide_the_exception_of_the_tool(
    rec: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    run = rec.tool_run("t", {})
    other = rec.tool_run("t", {})
    rec.close()

    with caplog.at_level(logging.ERROR, "rollout"), pytest.raises(ValueError, match="bad"), run:
        raise ValueError("bad")

    assert "while a tool ends" in caplog.text
    with pytest.raises(Exception, match="closed"), other:
        pass


def test_a_patch_has_the_changes_that_codex_shows(rec: Recorder) -> None:
    rec.tool_output(rec.tool_call("apply_patch", _PATCH), "Success")
    call_id = rec.tool_call("apply_patch", {"input": _PATCH})
    with rec.turn() as turn:
        rec.tool_output(call_id, "no such file", is_failed=True)
    rec.close()

    first, second = events_of(rec.path, "patch_apply_end")
    assert first["changes"] == {
        "new.txt": {"type": "add", "content": "one\ntwo\n"},
        "old.py": {
            "type": "update",
            "unified_diff": "@@ -1,2 +1,2 @@\n a\n-b\n+c\n@@ -3,1 +3,0 @@\n-d\n",
            "move_path": "moved.py",
        },
        "gone.txt": {"type": "delete", "content": ""},
    }
    assert (first["success"], first["stdout"], "turn_id" in first) == (True, "Success", False)
    assert (second["success"], second["stderr"], second["turn_id"]) == (False, "no such file", turn.id)


@pytest.mark.parametrize("arguments", ["no patch", {"input": "no patch"}, {"other": 1}, [1]])
def test_a_patch_that_cannot_be_read_is_a_call_like_others(rec: Recorder, arguments: Any) -> None:
    rec.tool_output(rec.tool_call("apply_patch", arguments), "error")
    rec.close()

    assert kinds_of(rec.path) == ["function_call", "mcp_tool_call_end", "function_call_output"]


@pytest.mark.parametrize(
    ("name", "given", "shown"),
    [
        ("lookup", {"a": 1}, {"type": "DynamicToolCall", "tool": "lookup", "arguments": {"a": 1}}),
        ("lookup", "", {"type": "DynamicToolCall", "arguments": {}}),
        ("lookup", "free text", {"type": "DynamicToolCall", "arguments": {"input": "free text"}}),
        ("mcp__demo__echo", {"a": 1}, {"type": "McpToolCall", "server": "demo", "tool": "echo"}),
        ("mcp__odd", {}, {"type": "McpToolCall", "server": "agent", "tool": "mcp__odd"}),
        ("shell", {"command": ["ls", "-l"]}, {"type": "CommandExecution", "command": ["ls", "-l"]}),
        (
            "exec_command",
            {"cmd": "ls -l"},
            {"type": "CommandExecution", "command": ["sh", "-c", "ls -l"], "cwd": "file:///work%20dir"},
        ),
        ("shell", {"command": 7}, {"type": "DynamicToolCall", "tool": "shell"}),
        ("shell", {"command": []}, {"type": "DynamicToolCall"}),
        ("shell", "ls", {"type": "DynamicToolCall", "arguments": {"input": "ls"}}),
        ("apply_patch", _PATCH, {"type": "FileChange", "status": "failed"}),
    ],
)
def test_a_paginated_session_has_each_call_in_the_form_that_codex_shows(
    home: Path, name: str, given: Any, shown: dict[str, Any]
) -> None:
    with Recorder(home=home, cwd="/work dir", originator="agent", history_mode="paginated") as rec, rec.turn():
        rec.tool_output(rec.tool_call(name, given, call_id="c"), "out", is_failed=True, seconds=1.25)

    (item,) = [event["item"] for event in events_of(rec.path, "item_completed")]
    assert {key: item.get(key) for key in shown} == shown
    assert (item["id"], item["status"]) == ("c", "failed")
    if item["type"] != "FileChange":
        assert item["duration"] == {"secs": 1, "nanos": 250_000_000}


def test_a_paginated_session_shows_the_images_of_an_output(home: Path) -> None:
    with Recorder(home=home, history_mode="paginated") as rec, rec.turn():
        output = [{"type": "input_text", "text": "a cat"}, {"type": "input_image", "image_url": "data:x"}]
        rec.tool_output(rec.tool_call("look", {}), output)
        call = {"type": "custom_tool_call", "name": "look", "input": "x", "call_id": "c"}
        rec.record_items(
            call, {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "other"}, {"odd": 1}]}
        )

    first, second = [event["item"]["content_items"] for event in events_of(rec.path, "item_completed")]
    assert first == [{"type": "inputText", "text": "a cat"}, {"type": "inputImage", "imageUrl": "data:x"}]
    assert second == [{"type": "inputText", "text": "[other]"}]


@pytest.mark.parametrize(("extra", "is_failed"), [({"is_error": True}, True), ({"success": False}, True), ({}, False)])
def test_an_output_itself_tells_that_the_call_failed(rec: Recorder, extra: dict[str, Any], is_failed: bool) -> None:
    rec.tool_call("t", {}, call_id="c")
    rec.record_items({"type": "function_call_output", "call_id": "c", "output": "x", **extra})
    rec.close()

    (end,) = events_of(rec.path, "mcp_tool_call_end")
    assert end["result"]["Ok"]["isError"] is is_failed


def test_arguments_that_are_no_text_are_shown_as_they_are(rec: Recorder) -> None:
    call = {"type": "function_call", "name": "t", "arguments": {"a": 1}, "call_id": "c"}
    rec.record_items({"type": "response_item", "payload": call})
    rec.tool_output("c", "x")
    rec.close()

    (end,) = events_of(rec.path, "mcp_tool_call_end")
    assert end["invocation"]["arguments"] == {"a": 1}


def test_calls_without_an_output_are_forgotten_after_a_while(rec: Recorder) -> None:
    for number in range(2001):
        rec.tool_call("t", {}, call_id=f"c{number}")
    rec.tool_output("c0", "late")
    rec.tool_output("c1", "late")
    rec.close()

    assert [end["call_id"] for end in events_of(rec.path, "mcp_tool_call_end")] == ["c1"]
    assert [payload["call_id"] for payload in payloads_of(rec.path)[-3:]] == ["c0", "c1", "c1"]


@pytest.mark.parametrize(
    ("output", "exit_code"),
    [
        (json.dumps({"output": "made\n", "metadata": {"exit_code": 3, "duration_seconds": 1.5}}), 3),
        ("Exit code: 3\nWall time: 1.5 seconds\nOutput:\nmade\n", 3),
        (json.dumps({"output": "made\n", "metadata": {"exit_code": 0, "duration_seconds": 1.5}}), 0),
    ],
)
@pytest.mark.parametrize("mode", ["legacy", "paginated"])
def test_the_end_of_a_command_has_its_own_output_exit_code_and_duration(
    home: Path, mode: Literal["legacy", "paginated"], output: str, exit_code: int
) -> None:
    with Recorder(home=home, cwd="/work dir", originator="agent", history_mode=mode) as rec, rec.turn("Make."):
        rec.tool_call("shell", json.dumps({"command": ["make"]}), call_id="call_1")
        rec.tool_output("call_1", output)

    if mode == "legacy":
        end = events_of(rec.path, "mcp_tool_call_end")[0]
        result = end["result"]["Ok"]
        assert (result["content"][0]["text"], result["isError"]) == ("made\n", exit_code != 0)
    else:
        end = events_of(rec.path, "item_completed")[-1]["item"]
        assert (end["aggregated_output"], end["exit_code"]) == ("made\n", exit_code)
    assert end["duration"] == {"secs": 1, "nanos": 500_000_000}
    assert outputs(rec) == [output]
