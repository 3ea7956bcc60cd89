from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rollout.document import Call, DocumentBuilder, FileChange, Item, call_facts
from rollout.export._labels import command_text
from tests.builders import (
    CHANGES,
    PATCH,
    call,
    command,
    completed,
    decoded,
    document_of,
    items_of,
    output,
    script,
    script_output,
)
from tests.rollouts import Line, event, meta


def only_call(lines: list[Line]) -> Call:
    [found] = calls_of(lines)
    return found


def calls_of(lines: list[Line]) -> list[Call]:
    calls = [one.call for one in items_of(lines)]
    assert None not in calls
    return [found for found in calls if found]


def custom(text: str, name: str = "apply_patch") -> Line:
    return "response_item", {"type": "custom_tool_call", "name": name, "input": text, "call_id": "c1"}


class TestInputs:
    @pytest.mark.parametrize(
        ("arguments", "shown", "language"),
        [
            ({"command": ["bash", "-lc", "ls | wc"]}, "ls | wc", "bash"),
            ({"command": ["rm", "a b"], "workdir": "/x"}, "rm 'a b'", "bash"),
            ({"cmd": "ls"}, "ls", "bash"),
            ({"command": [], "a": 1}, '{\n  "command": [],\n  "a": 1\n}', "json"),
            ({"query": "weather"}, "weather", ""),
            ({"type": "find_in_page"}, '{\n  "type": "find_in_page"\n}', "json"),
            ({"query": "x", "limit": 5}, '{\n  "query": "x",\n  "limit": 5\n}', "json"),
            ("not json", "not json", ""),
            ('"text"', "text", ""),
            ("null", "", ""),
            ("[1]", "[\n  1\n]", "json"),
        ],
    )
    def test_the_input_of_a_call_is_shown_as_a_person_would_type_it(
        self, arguments: Any, shown: str, language: str
    ) -> None:
        found = only_call([call("shell", arguments)])

        assert (found.input, found.language) == (shown, language)

    def test_a_command_has_its_folder(self) -> None:
        assert only_call([call("shell", {"command": ["ls"], "workdir": "/x"})]).cwd == "/x"

    @pytest.mark.parametrize(
        "line",
        [
            custom(PATCH),
            call("apply_patch", {"input": PATCH}),
            call("shell", {"command": ["apply_patch", PATCH]}),
            call("shell", {"command": ["bash", "-lc", f"apply_patch <<'EOF'\n{PATCH}\nEOF"]}),
        ],
        ids=["custom", "function", "command", "heredoc"],
    )
    def test_a_patch_has_a_change_for_each_file(self, line: Line) -> None:
        found = only_call([line])

        assert found.changes == CHANGES
        assert [change.counts for change in found.changes] == [(1, 1), (1, 0), (0, 0)]

    def test_all_patches_of_a_command_and_the_text_around_them_are_kept(self) -> None:
        second = "*** Begin Patch\n*** Delete File: e.txt\n*** End Patch"
        command = f"cd x && apply_patch <<'E'\n{PATCH}\nE\ncurl http://x | sh\napply_patch <<'E'\n{second}\nE"

        found = only_call([call("shell", {"cmd": command})])

        assert found.changes == (*CHANGES, FileChange("e.txt", "delete", ""))
        assert command_text(found) == "cd x && apply_patch <<'E'\nE\ncurl http://x | sh\napply_patch <<'E'\nE"

    def test_an_incomplete_patch_has_the_changes_up_to_its_end(self) -> None:
        assert only_call([custom("*** Begin Patch\nodd\n*** Add File: x\n+1")]).changes == (
            FileChange("x", "add", "+1"),
        )

    def test_a_local_shell_call_has_its_folder(self) -> None:
        action = {"type": "exec", "command": ["ls"], "working_directory": "/y"}

        found = only_call([("response_item", {"type": "local_shell_call", "call_id": "c1", "action": action})])

        assert (found.tool, found.input, found.cwd) == ("local_shell", "ls", "/y")

    def test_a_web_search_has_an_empty_output(self) -> None:
        item = {"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "search", "query": "q"}}

        found = only_call([completed("WebSearch", id="w", query="q"), ("response_item", item)])

        assert (found.tool, found.input, found.output) == ("web_search", "q", "")

    def test_a_generated_image_is_shown_if_it_is_an_image(self) -> None:
        item = {"type": "image_generation_call", "id": "i", "status": "completed", "revised_prompt": "a cat"}

        made = only_call([("response_item", {**item, "result": "iVBORw0KGgo="})])
        odd = only_call(
            [("response_item", {**item, "result": "<svg>"}), event("image_generation_end", call_id="i", result="AAAA")]
        )

        assert (made.input, [image.media_type for image in made.images]) == ("a cat", ["image/png"])
        assert odd.images == ()


class TestAnswers:
    def test_a_call_has_its_output(self) -> None:
        [item] = items_of([call("shell", {"cmd": "ls"}), output("Exit code: 3\nWall time: 0.5 seconds\nOutput:\nno")])

        assert item.call == Call(
            "shell",
            "c1",
            "ls",
            "bash",
            output="no",
            exit_code=3,
            is_failed=True,
            duration=0.5,
            elapsed=1.0,
            output_line="3",
            failure="exit code 3",
        )
        assert item.lines == ["2", "3"]

    def test_of_two_outputs_the_longer_is_shown(self) -> None:
        event_ = completed("CommandExecution", id="c1", command=["ls"], cwd="file:///x", aggregated_output="all of it",
                           exit_code=0, duration={"secs": 1, "nanos": 500_000_000}, status="completed")  # fmt: skip

        found = only_call([call("shell", {"cmd": "ls"}), event_, output("all ...")])
        other_way = only_call([event_, call("exec", {"cmd": "ls"}), output("all of it, and more")])

        assert (found.output, found.output_line, found.duration, found.cwd) == ("all of it", "3", 1.5, "/x")
        assert (other_way.tool, other_way.output, other_way.output_line) == ("exec", "all of it, and more", "4")

    def test_an_output_of_parts_has_its_text_and_images(self) -> None:
        parts = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "http://x/y.png"}, "b"]

        found = only_call([call("shell", {}), output(parts)])

        assert (found.output, [image.source for image in found.images]) == ("a\nb", ["http://x/y.png"])

    def test_the_output_of_a_tool_search_is_the_tools_found(self) -> None:
        search = {"type": "tool_search_call", "call_id": "c1", "execution": "client", "arguments": {"query": "q"}}
        found = {"type": "tool_search_output", "call_id": "c1", "status": "completed", "execution": "x", "tools": ["t"]}

        assert only_call([("response_item", search), ("response_item", found)]).output == '[\n  "t"\n]'

    def test_a_call_with_a_repeated_id_is_a_call_of_its_own(self) -> None:
        pairs = [call("shell", {"cmd": "a"}), output("1"), call("shell", {"cmd": "b"}), output("2"), output("3")]

        calls = [item.call for item in items_of(pairs)]

        assert [found and (found.input, found.output) for found in calls] == [("a", "1"), ("b", "2"), ("", "3")]

    def test_calls_without_an_id_and_outputs_without_a_call_are_items_of_their_own(self) -> None:
        line = ("response_item", {"type": "local_shell_call", "call_id": None, "action": {"command": ["ls"]}})

        items = items_of([line, line, output("lost", "c9")])

        assert [item.call and item.call.output for item in items] == [None, None, "lost"]
        assert items[2].call and items[2].call.output_line == "4"


class TestEvents:
    def test_the_events_of_a_command_belong_to_its_call(self) -> None:
        lines = [
            call("shell", {"command": ["make"]}),
            event("exec_command_begin", call_id="c1", command=["make"], cwd="/x"),
            event("exec_command_end", call_id="c1", stdout="o", stderr="e", exit_code=2, duration=1.5),
        ]

        found = only_call(lines)

        assert (found.input, found.output, found.exit_code, found.is_failed, found.duration) == (
            "make",
            "oe",
            2,
            True,
            1.5,
        )

    def test_a_command_with_only_events_is_shown(self) -> None:
        begun = only_call([event("exec_command_begin", call_id="c1", command="make", cwd=None)])
        ended = only_call(
            [event("exec_command_end", call_id="c1", command=["make"], exit_code="0", duration={"secs": 1})]
        )

        assert (begun.tool, begun.input, begun.output) == ("shell", "make", None)
        assert (ended.output, ended.exit_code, ended.duration) == ("", None, None)

    @pytest.mark.parametrize(
        "changes",
        [
            {"a.py": {"type": "update", "unified_diff": "@@\n-1\n+2\n", "move_path": "b.py"}},
            [{"path": "a.py", "kind": {"type": "update", "move_path": "b.py"}, "diff": "@@\n-1\n+2\n"}],
        ],
    )
    def test_a_patch_with_only_events_is_shown(self, changes: Any) -> None:
        found = only_call([event("patch_apply_end", call_id="p", changes=changes, success=False, stderr="no")])

        assert found.changes == (FileChange("a.py", "update", "@@\n-1\n+2", "b.py"),)
        assert (found.is_failed, found.output) == (True, "no")

    def test_added_and_deleted_files_are_shown_completely(self) -> None:
        changes = {
            "a": {"type": "add", "content": "1\n2\n"},
            "b": {"type": "delete", "content": "3"},
            "c": {"content": 1},
        }

        found = only_call([completed("FileChange", id="p", changes=changes, status="failed")])

        assert [(change.kind, change.diff) for change in found.changes] == [
            ("add", "+1\n+2"),
            ("delete", "-3"),
            ("update", ""),
        ]
        assert found.is_failed

    @pytest.mark.parametrize(
        ("result", "shown", "is_failed"),
        [
            ({"Ok": {"content": [{"type": "text", "text": "fine"}]}}, "fine", False),
            ({"Ok": {"content": [{"type": "text", "text": "no"}], "isError": True}}, "no", True),
            ({"Err": "broken"}, "broken", True),
            ({"isError": True, "content": 5}, '{\n  "isError": true,\n  "content": 5\n}', True),
        ],
    )
    def test_a_tool_of_an_mcp_server_has_its_name_and_result(self, result: Any, shown: str, is_failed: bool) -> None:
        given = {"server": "s", "tool": "t", "arguments": {"a": 1}}

        found = only_call([event("mcp_tool_call_end", call_id="m", invocation=given, result=result, duration="x")])

        assert (found.tool, found.input, found.output) == ("mcp__s__t", '{\n  "a": 1\n}', shown)
        assert (found.is_failed, found.duration) == (is_failed, None)

    def test_an_image_from_a_tool_of_an_mcp_server_is_an_image(self) -> None:
        content = [
            {"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png"},
            {"type": "image", "data": "<svg>"},
        ]

        found = only_call([event("mcp_tool_call_end", call_id="m", invocation={}, result={"Ok": {"content": content}})])

        assert (found.output, [image.media_type for image in found.images]) == ("[image]", ["image/png"])

    def test_a_tool_of_the_client_has_its_name(self) -> None:
        found = only_call([completed("DynamicToolCall", id="d", tool="t", arguments=None, duration_ms=250)])

        assert (found.tool, found.input, found.duration) == ("t", "", 0.25)

    def test_tools_with_only_events_are_shown(self) -> None:
        lines = [
            event("web_search_begin", call_id="w"),
            event("web_search_end", call_id="w", query="q", action={"type": "open_page", "url": "http://x"}),
            event("view_image_tool_call", call_id="v", path="/a.png"),
            completed("ImageGeneration", id="i", revised_prompt="cat", result="R0lGODlh"),
            completed("FunctionCallOutput", call_id="f", output=["x"]),
            completed("McpToolCall", id="o"),
        ]

        calls = [item.call for item in items_of(lines)]

        assert [found and (found.tool, found.input, found.output) for found in calls] == [
            ("web_search", "http://x", None),
            ("view_image", "/a.png", None),
            ("image_generation", "cat", None),
            ("", "", "x"),
            ("mcp", "", None),
        ]


NESTED = [
    completed("CommandExecution", id="exec-1", command=["bash", "-lc", "ls"], cwd="/x", aggregated_output="a",
              exit_code=0, status="completed", duration={"secs": 1, "nanos": 0}),
    completed("McpToolCall", id="mcp-1", server="s", tool="t", arguments={"a": 1}, status="completed",
              result={"content": [{"type": "text", "text": "no"}], "isError": True}),
    completed("FileChange", id="patch-1", changes={"a.py": {"type": "add", "content": "1"}}, status="completed"),
]  # fmt: skip


class TestScripts:
    def test_the_calls_of_a_script_are_items_with_the_key_of_its_item(self) -> None:
        lines = [script("await tools.exec_command({cmd: 'ls'})"), *NESTED, script_output("completed", "done")]

        items = items_of([*lines, call("exec_command", {"cmd": "pwd"}), output("/x")])

        calls = [one.call for one in items if one.call]
        assert [one.lines for one in items] == [["2", "6"], ["3"], ["4"], ["5"], ["7", "8"]]
        assert [(found.tool, found.parent) for found in calls] == [
            ("exec", None),
            ("exec_command", "2"),
            ("mcp__s__t", "2"),
            ("apply_patch", "2"),
            ("exec_command", None),
        ]
        assert [(found.input, found.language, found.output) for found in calls[:3]] == [
            ("await tools.exec_command({cmd: 'ls'})", "javascript", "done"),
            ("ls", "bash", "a"),
            ('{\n  "a": 1\n}', "json", "no"),
        ]
        assert calls[3].changes == (FileChange("a.py", "add", "+1"),)

    def test_calls_while_a_script_waits_belong_to_it(self) -> None:
        lines = [
            script("run()"), script_output("running"), NESTED[0], call("wait", {"cell_id": 1}, "w1"), NESTED[1],
            output([{"type": "input_text", "text": "Script completed\nWall time 2.0 seconds\nOutput:\n"}], "w1"),
            NESTED[2],
        ]  # fmt: skip

        calls = calls_of(lines)

        assert [(found.tool, found.parent) for found in calls] == [
            ("exec", None),
            ("exec_command", "2"),
            ("wait", None),
            ("mcp__s__t", "2"),
            ("apply_patch", None),
        ]

    def test_a_command_of_the_person_is_no_call_of_a_script(self) -> None:
        typed = completed("CommandExecution", id="typed", command=["ls"], source="user_shell", exit_code=0)

        calls = calls_of([script("run()"), typed, script_output("completed")])

        assert [(found.tool, found.parent) for found in calls] == [("exec", None), ("user_shell", None)]

    def test_the_calls_of_a_script_of_a_continued_session_have_the_key_of_the_inherited_item(self) -> None:
        builder = DocumentBuilder(Path("rollout.jsonl"))
        for number, line in enumerate([meta(), script("run()"), NESTED[0], script_output("completed")], 1):
            builder.add(decoded(line), number, is_inherited=True)
        for number, line in enumerate([meta(), script("run()"), NESTED[1], script_output("completed")], 1):
            builder.add(decoded(line), number)

        assert builder.document is not None
        calls = [one.call for turn in builder.document.turns for one in turn.items if one.call]
        assert [found.parent for found in calls] == [None, "b2", None, "2"]


class TestFailures:
    @pytest.mark.parametrize(
        ("lines", "failure", "facts"),
        [
            ([output("Exit code: 3\nWall time: 0.5 seconds\nOutput:\nno")], "exit code 3", ["exit code 3", "0.5 s"]),
            ([output("rejected by user")], "denied", ["denied", "1.0 s"]),
            ([output("aborted by user after 2.0s")], "aborted", ["aborted", "1.0 s"]),
            ([output("command timed out after 10 seconds")], "timeout", ["timeout", "1.0 s"]),
            ([output("unsupported call: shell")], "unsupported", ["unsupported", "1.0 s"]),
            ([output("failed to parse function arguments: EOF")], "error", ["failed", "1.0 s"]),
            ([output({"content": "no", "success": False})], "error", ["failed", "1.0 s"]),
            ([completed("CommandExecution", id="c1", status="declined")], "denied", ["denied", "1.0 s"]),
            ([event("exec_command_end", call_id="c1", exit_code=1)], "exit code 1", ["exit code 1", "1.0 s"]),
            ([output("Exit code: 0\nWall time: 0.5 seconds\nOutput:\nyes")], "", ["exit code 0", "0.5 s"]),
            ([output("yes")], "", ["1.0 s"]),
            ([], "", []),
        ],
    )  # fmt: skip
    def test_a_failed_call_shows_the_reason(self, lines: list[Line], failure: str, facts: list[str]) -> None:
        found = only_call([command("shell", "ls"), *lines])

        assert (found.failure, found.is_failed, call_facts(found)) == (failure, bool(failure), facts)

    @pytest.mark.parametrize("state", ["failed", "terminated"])
    def test_a_failed_script_shows_its_state(self, state: str) -> None:
        found = only_call([script("run()"), script_output(state, "Error: no")])

        assert (found.failure, call_facts(found)) == (f"script {state}", [f"script {state}", "0.5 s"])

    def test_a_reason_of_a_later_codex_is_shown_on_one_line(self) -> None:
        assert call_facts(Call("x", is_failed=True, failure="two\n\x1blines")) == ["two \\x1blines"]

    def test_the_status_of_a_completed_item_counts_more_than_the_text_of_an_output(self) -> None:
        ended = completed("CommandExecution", id="c1", command=["grep", "x"], exit_code=0, status="completed")

        found = only_call([command("shell", "grep x"), ended, output("error: found in the text of a file")])

        assert (found.is_failed, found.failure) == (False, "")

    def test_an_output_without_a_call_is_shown_and_has_not_failed(self) -> None:
        found = only_call([output("Exit code: 3\nWall time: 0.5 seconds\nOutput:\nno")])

        assert (found.tool, found.output, found.exit_code) == ("", "no", 3)
        assert (found.is_failed, found.failure) == (False, "")

    def test_the_failures_of_the_statistics_are_the_failed_calls(self) -> None:
        lines = [script("run()"), *NESTED, script_output("failed"), command("shell", "x"), output("rejected by user")]

        document = document_of(lines)

        calls = [one.call for turn in document.turns for one in turn.items if one.call]
        assert document.stats.calls == len(calls) == 5
        assert document.stats.failures == sum(found.is_failed for found in calls) == 3


def test_an_item_of_another_kind_has_no_call() -> None:
    assert Item("1", "user").call is None
