from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.codec import encode_json
from rollout.interpret import Image
from rollout.interpret._outcomes import Outcome, event_outcome, output_outcome

PNG = "iVBORw0KGgoAAAANSUhEUg=="
PICTURE = Image(f"data:image/png;base64,{PNG}", "image/png")


def json_output(output: Any, metadata: Any) -> str:
    return encode_json({"output": output, "metadata": metadata})


def failed(text: str | None, reason: str, code: int | None = None, **fields: Any) -> Outcome:
    return Outcome(text, code, is_failed=True, reason=reason, **fields)


def part(text: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "input_text", "text": text, **fields}


def script(text: str, duration: float | None, **fields: Any) -> Outcome:
    return Outcome(text, None, duration, **{"is_failed": False, "is_script": True, **fields})


class TestTextOutputs:
    @pytest.mark.parametrize(
        ("output", "outcome"),
        [
            (json_output("hi\n", {"exit_code": 0, "duration_seconds": 0.1}), Outcome("hi\n", 0, 0.1, False)),
            (json_output("", {"exit_code": -1, "duration_seconds": 2}), failed("", "exit code -1", -1, duration=2.0)),
            (
                "Exit code: 1\nWall time: 0.25 seconds\nTotal output lines: 9\nOutput:\nno\nOutput:\nx",
                failed("no\nOutput:\nx", "exit code 1", 1, duration=0.25),
            ),
            ("Exit code: 0\nWall time: 1 seconds\nOutput:\nerr: no", Outcome("err: no", 0, 1.0, False)),
            ("Exit code: 7\nOutput:\n", failed("", "exit code 7", 7)),
            ("Wall time: 2 seconds\nExit code: 0\nOutput:\nx", Outcome("x", 0, 2.0, False)),
            (
                "Chunk ID: 6eac69\nWall time: 3 seconds\nProcess exited with code 0\nOutput:\nhi",
                Outcome("hi", 0, 3.0, False),
            ),
            (
                "Chunk ID: 6eac69\nWall time: 3.0000 seconds\nProcess exited with code 127\n"
                "Original token count: 5\nTotal output lines: 2\nOutput:\nnot found",
                failed("not found", "exit code 127", 127, duration=3.0),
            ),
            (
                "Chunk ID: 6eac69\nWall time: 10.0 seconds\nProcess running with session ID 7\nOutput:\n",
                Outcome("", None, 10.0, is_running=True),
            ),
            ("Wall time: 0.5 seconds\nOutput:\nfrom a server", Outcome("from a server", None, 0.5)),
            ("Script completed\nWall time 0.5 seconds\nOutput:\nhi", script("hi", 0.5)),
            (
                "Script failed\nWall time 0.5 seconds\nOutput:\nthrown",
                script("thrown", 0.5, is_failed=True, reason="script failed"),
            ),
            (
                "Script terminated\nWall time 0.5 seconds\nOutput:\n",
                script("", 0.5, is_failed=True, reason="script terminated"),
            ),
            (
                "Script running with cell ID 3\nWall time 10.0 seconds\nOutput:\nso far",
                script("so far", None, is_running=True),
            ),
            ("Plan updated", Outcome("Plan updated")),
        ],
    )
    def test_are_read_in_the_form_of_each_version_of_codex(self, output: str, outcome: Outcome) -> None:
        assert output_outcome({"output": output}) == outcome

    @pytest.mark.parametrize(
        "output",
        [
            "Output:\nof a program that says so",
            "x\nExit code: one\nOutput:\n",
            "Wall time: soon seconds\nOutput:\n",
            "x" * 400 + "\nExit code: 1\nOutput:\n",
            "Script completed the migration",
            '{"output":"torn',
            '{"output":"no metadata"}',
            '{"output":"x","metadata":null}',
            '{"output":"x","metadata":[1]}',
        ],
    )
    def test_that_only_resemble_a_header_are_the_whole_text(self, output: str) -> None:
        assert output_outcome({"output": output}) == Outcome(output)

    @pytest.mark.parametrize("duration", ["NaN", "1e999", "-1", '"1"', "true", "null", "1" + "0" * 400])
    def test_have_no_impossible_duration(self, duration: str) -> None:
        output = f'{{"output":"x","metadata":{{"exit_code":0,"duration_seconds":{duration}}}}}'

        assert output_outcome({"output": output}) == Outcome("x", 0, is_failed=False)

    @pytest.mark.parametrize("code", ['"1"', "true", "1.0", "null", "[]"])
    def test_have_only_an_integer_as_exit_code(self, code: str) -> None:
        output = f'{{"output":"x","metadata":{{"exit_code":{code},"duration_seconds":1}}}}'

        assert output_outcome({"output": output}) == Outcome("x", None, 1.0)

    def test_in_json_without_a_text_are_the_whole_json(self) -> None:
        output = json_output([1], {"exit_code": 1})

        assert output_outcome({"output": output}) == failed(output, "exit code 1", 1)

    @pytest.mark.parametrize(
        ("output", "reason"),
        [
            ("aborted", "aborted"),
            (" aborted\n", "aborted"),
            ("aborted by user after 3.2s", "aborted"),
            ("unsupported call: fly", "unsupported"),
            ("unsupported custom tool call: fly", "unsupported"),
            ("command timed out after 1000 milliseconds\npartly done", "timeout"),
            ("tool call timed out after 60s", "timeout"),
            ("timed out after 5s", "timeout"),
            ("err: server gone", "error"),
            ("error: x", "error"),
            ("failed in sandbox: denied by seccomp", "error"),
            ("execution error: Io(NotFound)", "error"),
            ("tool call error: x", "error"),
            ("tool call failed for `mcp__s__t`", "error"),
            ("failed to parse function arguments: missing field `command`", "error"),
            ("Failed to find expected lines in /x:\na", "error"),
            ("unable to locate image at `/x.png`", "error"),
            ("unable to read image at `/x.png`", "error"),
            ("unable to process image at `/x.png`", "error"),
            ("unable to open image at `/x.png`", "error"),
            ("rejected by user", "denied"),
            ("exec command rejected by user", "denied"),
            ("patch rejected by user", "denied"),
            ("patch rejected: writing outside of the project", "denied"),
            ("request_user_input is unavailable in Default mode", "unsupported"),
            ("view_image is not supported in this session", "unsupported"),
            ("spawn_agent is not available in review mode", "unsupported"),
            ("write_stdin failed: Unknown process id 7", "error"),
            ("exec_command failed for `ls`: CreateProcess", "error"),
            ("apply_patch verification failed: no such line", "error"),
            ("unified exec failed: closed", "error"),
            ("collab spawn failed: too many agents", "error"),
            ("err: " + "x" * 300, "error"),
            ('{"content":[],"isError":true}', "error"),
            ('{"isError": true}', "error"),
        ],
    )
    def test_that_are_an_error_of_codex_have_the_reason_that_it_means(self, output: str, reason: str) -> None:
        assert output_outcome({"output": output}) == failed(output, reason)

    @pytest.mark.parametrize(
        "output",
        [
            "abortedly",
            "aborted the build, and began again",
            "unsupported calls: 3",
            "Timed out after lunch",
            "timed out afterwards",
            "errors: 3",
            "ERROR: x",
            "the error: x",
            "2 tests failed: a, b",
            "the test failed: x",
            "the patch was rejected by user input",
            "the tool is unavailable in Default mode",
            "it is not supported",
            "unable to locate the file",
            "failed to parse",
            "x" * 300 + "\nerr: x",
            '{"a":{"isError":true}}',
            '{"isError":false}',
            '{"isError":true',
            '{"isError":true} and more',
            '[{"isError":true}]',
            '{"isError":true,"x":"' + "x" * 2**20 + '"}',
        ],
    )
    def test_that_only_resemble_an_error_of_codex_did_not_fail(self, output: str) -> None:
        assert output_outcome({"output": output}) == Outcome(output)


class TestOtherOutputs:
    def test_in_parts_are_their_texts(self) -> None:
        parts = [part("a"), {"type": "input_audio"}, {"type": "input_text", "text": 1}, "b", None, part("c")]

        assert output_outcome({"output": parts}) == Outcome("a\nb\nc\n[input_audio]\n[input_text]")

    def test_in_parts_have_their_images(self) -> None:
        parts = [part("<image>"), {"type": "input_image", "image_url": PICTURE.source}, part("</image>")]

        assert output_outcome({"output": parts}) == Outcome("", images=(PICTURE,))

    @pytest.mark.parametrize("header", ["Wall time: 0.5 seconds\nOutput:", "Wall time: 0.5 seconds\nOutput:\n"])
    def test_of_a_server_have_the_time_in_their_first_part(self, header: str) -> None:
        parts = [part(header), part("a"), {"type": "audio"}, {"type": "image", "data": PNG}, part("b")]

        assert output_outcome({"output": parts}) == Outcome("a\nb\n[audio]", None, 0.5, images=(PICTURE,))

    @pytest.mark.parametrize(
        ("parts", "outcome"),
        [
            ([part("Wall time: 0.5 seconds\nOutput:"), part("err: x")], failed("err: x", "error", duration=0.5)),
            ([part("Wall time: 0.5 seconds\nOutput:"), part('{"isError":true}')],
             failed('{"isError":true}', "error", duration=0.5)),
            ([part("Wall time: 0.5 seconds\nOutput:")], Outcome("", None, 0.5)),
            ([part("aborted by user")], failed("aborted by user", "aborted")),
            ([part("no"), {"isError": True}], failed("no\n[None]", "error")),
            ([{"type": "text", "text": "no", "isError": True}], failed("no", "error")),
            ([{"type": "text", "text": "yes", "isError": "true"}], Outcome("yes")),
            ([part("Wall time: 0.5 seconds are not many")], Outcome("Wall time: 0.5 seconds are not many")),
            ([part(""), {"type": "image", "data": "odd"}], Outcome("[image]")),
            ([], Outcome("")),
        ],
    )  # fmt: skip
    def test_in_parts_have_failed_if_a_part_says_so(self, parts: list[Any], outcome: Outcome) -> None:
        assert output_outcome({"output": parts}) == outcome

    @pytest.mark.parametrize(
        ("parts", "outcome"),
        [
            ([part("Script completed\nWall time 0.5 seconds\nOutput:\n"), part("a"), part("b")], script("a\nb", 0.5)),
            ([part("Script completed\nWall time 0.5 seconds\nOutput:\na\n"), {"type": "audio"}],
             script("a\n[audio]", 0.5)),
            ([part("Script completed\nWall time 0.5 seconds"), part("a")], script("a", 0.5)),
            ([part("Script completed\nWall time 0.5 seconds\nOutput:\n"), {"type": "input_image", "image_url": "u"}],
             script("", 0.5, images=(Image("u"),))),
            ([part("Script failed\nWall time 0.5 seconds\nOutput:\n"), part("Script error:\nx")],
             script("Script error:\nx", 0.5, is_failed=True, reason="script failed")),
            ([part("Script running with cell ID 1\nWall time 9.0 seconds\nOutput:\n")],
             script("", None, is_running=True)),
        ],
    )  # fmt: skip
    def test_of_a_script_have_its_state(self, parts: list[Any], outcome: Outcome) -> None:
        assert output_outcome({"output": parts}) == outcome

    def test_of_a_script_contain_nothing_that_is_not_in_the_line(self) -> None:
        assert output_outcome({"output": [part("Script failed: no cell"), part("a")]}).text == (
            "Script failed: no cell\na"
        )

    @pytest.mark.parametrize(
        ("flags", "is_failed"),
        [
            ({}, None),
            ({"success": True}, False),
            ({"success": False}, True),
            ({"success": None}, False),
            ({"isError": True}, True),
            ({"isError": False}, False),
        ],
    )
    def test_in_an_object_are_its_content(self, flags: dict[str, Any], is_failed: bool | None) -> None:
        outcome = output_outcome({"output": {"content": [{"text": "a"}, {"text": "b"}], **flags}})

        assert outcome == Outcome("a\nb", is_failed=is_failed, reason="error" if is_failed else "")

    @pytest.mark.parametrize(
        ("content", "text"), [("a", "a"), ({"a": ["b", "c"]}, "b c"), ([{"x": 1}], "[None]"), (None, ""), (1, "")]
    )
    def test_in_an_object_of_any_content_are_its_texts(self, content: Any, text: str) -> None:
        assert output_outcome({"output": {"content": content}}) == Outcome(text)

    def test_of_a_search_for_tools_are_the_tools(self) -> None:
        assert output_outcome({"type": "tool_search_output", "tools": [{"name": "f"}]}) == Outcome(
            '[\n  {\n    "name": "f"\n  }\n]'
        )

    @pytest.mark.parametrize("payload", [{}, {"output": None}, {"output": 1}])
    def test_that_are_missing_are_empty(self, payload: dict[str, Any]) -> None:
        assert output_outcome(payload) == Outcome("")


def mcp(result: Any, **fields: Any) -> dict[str, Any]:
    invocation = {"server": "s", "tool": "t", "arguments": {}}
    return {"type": "mcp_tool_call_end", "call_id": "c", "invocation": invocation, "result": result, **fields}


SECONDS = {"secs": 1, "nanos": 500_000_000}


class TestEvents:
    @pytest.mark.parametrize(
        ("payload", "outcome"),
        [
            (
                {"type": "exec_command_end", "stdout": "a", "stderr": "b", "aggregated_output": "ab", "exit_code": 0,
                 "duration": SECONDS},
                Outcome("ab", 0, 1.5, False),
            ),
            ({"type": "exec_command_end", "stdout": "a", "stderr": "b", "exit_code": 2},
             failed("ab", "exit code 2", 2)),
            ({"type": "exec_command_end", "exit_code": 0}, Outcome("", 0, is_failed=False)),
            ({"type": "exec_command_end", "aggregated_output": "a", "exit_code": None, "status": "declined"},
             failed("a", "denied")),
            ({"type": "patch_apply_end", "stdout": "Success.", "stderr": "", "success": True},
             Outcome("Success.", is_failed=False)),
            ({"type": "patch_apply_end", "stdout": "", "stderr": "no", "success": False}, failed("no", "error")),
            ({"type": "patch_apply_end", "success": False, "status": "declined"}, failed("", "denied")),
            (mcp({"Ok": {"content": [{"type": "text", "text": "a"}]}}, duration=SECONDS),
             Outcome("a", None, 1.5, False)),
            (mcp({"Ok": {"content": [{"type": "text", "text": "no"}], "isError": True}}), failed("no", "error")),
            (mcp({"Ok": {"content": [], "isError": False}}), Outcome("", is_failed=False)),
            (mcp({"Ok": {"content": [{"type": "image", "data": PNG}]}}),
             Outcome(None, is_failed=False, images=(PICTURE,))),
            (mcp({"Ok": {"structuredContent": {"a": "b"}}}), Outcome("b", is_failed=False)),
            (mcp({"Ok": {"n": 1}}), Outcome('{\n  "n": 1\n}', is_failed=False)),
            (mcp({"Err": "server gone"}), failed("server gone", "error")),
            (mcp(None), Outcome("")),
        ],
    )  # fmt: skip
    def test_that_end_a_call_have_its_outcome(self, payload: dict[str, Any], outcome: Outcome) -> None:
        assert event_outcome(payload) == outcome

    @pytest.mark.parametrize(
        ("item", "outcome"),
        [
            ({"type": "CommandExecution", "status": "completed", "aggregated_output": "a", "exit_code": 0,
              "duration": SECONDS},
             Outcome("a", 0, 1.5, False)),
            ({"type": "CommandExecution", "status": "failed", "aggregated_output": "", "exit_code": 3,
              "durationMs": 20},
             failed("", "exit code 3", 3, duration=0.02)),
            ({"type": "CommandExecution", "status": "failed", "exit_code": None}, failed("", "error")),
            ({"type": "CommandExecution", "status": "declined", "exit_code": None}, failed("", "denied")),
            ({"type": "CommandExecution", "status": "denied"}, failed("", "denied")),
            ({"type": "CommandExecution", "status": "cancelled"}, failed("", "aborted")),
            ({"type": "FileChange", "status": "completed", "changes": {}}, Outcome("", is_failed=False)),
            ({"type": "McpToolCall", "status": "completed", "result": {"content": [{"text": "a"}]}},
             Outcome("a", is_failed=False)),
            ({"type": "McpToolCall", "status": "failed", "error": {"message": "gone"}}, failed("gone", "error")),
            ({"type": "McpToolCall", "status": "failed", "result": None, "error": {"message": "gone"}},
             failed("gone", "error")),
            ({"type": "DynamicToolCall", "status": "completed", "success": True,
              "content_items": [{"type": "inputText", "text": "a"}, {"type": "inputImage", "imageUrl": "u"}]},
             Outcome("a", is_failed=False, images=(Image("u"),))),
            ({"type": "DynamicToolCall", "success": False, "content_items": [{"type": "inputText", "text": "no"}]},
             failed("no", "error")),
            ({"type": "ImageGeneration", "status": "completed", "result": PNG},
             Outcome(None, is_failed=False, images=(PICTURE,))),
            ({"type": "FunctionCallOutput", "output": "x"}, Outcome("x")),
        ],
    )  # fmt: skip
    def test_of_completed_items_have_the_outcome_of_the_call(self, item: dict[str, Any], outcome: Outcome) -> None:
        assert event_outcome(item) == outcome

    @pytest.mark.parametrize("status", ["in_progress", "inProgress", "running", "pending"])
    def test_of_calls_that_go_on_have_no_outcome_yet(self, status: str) -> None:
        assert event_outcome({"type": "CommandExecution", "status": status}) == Outcome(None, is_running=True)
        assert event_outcome({"type": "CommandExecution", "status": status, "stdout": "so far"}) == Outcome(
            "so far", is_running=True
        )

    @pytest.mark.parametrize("kind", ["exec_command_begin", "web_search_end", "ImageView"])
    def test_without_an_end_have_neither_a_text_nor_a_failure(self, kind: str) -> None:
        assert event_outcome({"type": kind, "call_id": "c"}) == Outcome(None)

    @pytest.mark.parametrize("code", ["1", 1.0, True, [], None])
    def test_have_only_an_integer_as_exit_code(self, code: Any) -> None:
        assert event_outcome({"exit_code": code}) == Outcome("")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("isError"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "Ok", "Err", "content", "isError", "url"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
KEYS = ["type", "output", "tools", "result", "error", "status", "content_items", "exit_code", "duration", "stdout"]


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_a_payload_of_any_shape_is_read_without_an_error(payload: dict[str, Any]) -> None:
    assert isinstance(output_outcome(payload), Outcome)
    assert isinstance(event_outcome(payload), Outcome)
