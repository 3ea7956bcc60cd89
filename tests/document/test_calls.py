from __future__ import annotations

from typing import Any

import pytest

from rollout.document import Call, FileChange, Item
from rollout.export._labels import command_text
from tests.builders import call, completed, items_of, output
from tests.rollouts import Line, event

PATCH = """*** Begin Patch
*** Update File: a.py
*** Move to: b.py
@@ def f
-old
+new
 same
*** End of File
*** Add File: c.txt
+hi
*** Delete File: d.txt
*** End Patch"""
CHANGES = (
    FileChange("a.py", "update", "@@ def f\n-old\n+new\n same", "b.py"),
    FileChange("c.txt", "add", "+hi"),
    FileChange("d.txt", "delete", ""),
)


def only_call(lines: list[Line]) -> Call:
    [item] = items_of(lines)
    assert item.call is not None
    return item.call


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

        assert (found.tool, found.input, found.output) == ("s.t", '{\n  "a": 1\n}', shown)
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
            ("McpToolCall", "", None),
        ]


def test_an_item_of_another_kind_has_no_call() -> None:
    assert Item("1", "user").call is None
