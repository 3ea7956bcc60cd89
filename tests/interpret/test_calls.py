from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.codec import encode_json
from rollout.interpret._calls import Outcome, call_text, outcome_of, strings_in, tool_of


def json_output(output: Any, metadata: Any) -> str:
    return encode_json({"output": output, "metadata": metadata})


class TestTool:
    @pytest.mark.parametrize(
        ("payload", "tool"),
        [
            ({"type": "function_call", "name": "shell"}, "shell"),
            ({"type": "custom_tool_call", "name": "apply_patch"}, "apply_patch"),
            ({"type": "local_shell_call"}, "local_shell"),
            ({"type": "web_search_call", "name": ""}, "web_search"),
            ({"type": "function_call", "name": ["odd"]}, "function"),
            ({}, "None"),
        ],
    )
    def test_is_the_name_or_else_the_type(self, payload: dict[str, Any], tool: str) -> None:
        assert tool_of(payload) == tool


class TestCallText:
    @pytest.mark.parametrize(
        ("payload", "text"),
        [
            ({"arguments": '{"command":["git","log"],"workdir":"/x"}'}, "git log\n/x"),
            ({"arguments": '{"cmd":"ls","n":1,"deep":[{"a":"b"},"c"]}'}, "ls\nb\nc"),
            ({"arguments": "no json"}, "no json"),
            ({"arguments": {"query": "as an object"}}, "as an object"),
            ({"arguments": None}, ""),
            ({"input": "*** Begin Patch"}, "*** Begin Patch"),
            ({"action": {"type": "exec", "command": ["ls", "-l"]}}, "ls -l"),
            ({"action": {"type": "search", "query": "rust"}}, "search\nrust"),
            ({"action": "odd"}, ""),
            ({}, ""),
        ],
    )
    def test_is_the_input_of_the_tool(self, payload: dict[str, Any], text: str) -> None:
        assert call_text(payload) == text

    def test_of_arguments_nested_deeper_than_the_stack_is_found(self) -> None:
        arguments = '{"a":' * 1000 + '"deep"' + "}" * 1000

        assert call_text({"arguments": arguments}) == "deep"

    def test_keeps_the_order_of_the_strings(self) -> None:
        value = {"a": "1", "b": [{"c": "2"}, 0, ["3", "4"], None], "d": {"e": "5", "f": []}}

        assert list(strings_in(value)) == ["1", "2", "3 4", "5"]


class TestOutcome:
    @pytest.mark.parametrize(
        ("output", "outcome"),
        [
            (json_output("hi\n", {"exit_code": 0, "duration_seconds": 0.1}), Outcome("hi\n", 0, 0.1)),
            (json_output("", {"exit_code": -1, "duration_seconds": 2}), Outcome("", -1, 2.0, True)),
            (
                "Exit code: 1\nWall time: 0.25 seconds\nTotal output lines: 9\nOutput:\nno\nOutput:\nx",
                Outcome("no\nOutput:\nx", 1, 0.25, True),
            ),
            (
                "Chunk ID: 6eac69\nWall time: 3 seconds\nProcess exited with code 0\nOutput:\nhi",
                Outcome("hi", 0, 3.0),
            ),
            (
                "Chunk ID: 6eac69\nWall time: 10.0 seconds\nProcess running with session ID 7\nOutput:\n",
                Outcome("", None, 10.0),
            ),
            ("Plan updated", Outcome("Plan updated")),
            ("err: server gone", Outcome("err: server gone", is_failed=True)),
        ],
    )
    def test_is_read_from_the_header_of_each_version_of_codex(self, output: str, outcome: Outcome) -> None:
        assert outcome_of({"output": output}) == outcome

    @pytest.mark.parametrize(
        "output",
        [
            "Output:\nof a program that says so",
            "x\nExit code: one\nOutput:\n",
            "Wall time: soon seconds\nOutput:\n",
            "x" * 400 + "\nExit code: 1\nOutput:\n",
            '{"output":"torn',
            '{"output":"no metadata"}',
            '{"output":"x","metadata":null}',
            '{"output":"x","metadata":[1]}',
        ],
    )
    def test_of_a_text_that_only_resembles_a_header_is_the_whole_text(self, output: str) -> None:
        assert outcome_of({"output": output}) == Outcome(output)

    @pytest.mark.parametrize("duration", ["NaN", "1e999", "-1", '"1"', "true", "null", "1" + "0" * 400])
    def test_has_no_impossible_duration(self, duration: str) -> None:
        output = f'{{"output":"x","metadata":{{"exit_code":0,"duration_seconds":{duration}}}}}'

        assert outcome_of({"output": output}) == Outcome("x", 0)

    @pytest.mark.parametrize("code", ['"1"', "true", "1.0", "null", "[]"])
    def test_has_only_an_integer_as_exit_code(self, code: str) -> None:
        output = f'{{"output":"x","metadata":{{"exit_code":{code},"duration_seconds":1}}}}'

        assert outcome_of({"output": output}) == Outcome("x", None, 1.0)

    def test_of_an_output_in_parts_is_their_text(self) -> None:
        parts = [{"type": "input_text", "text": "a"}, {"type": "input_image"}, {"text": 1}, "odd", {"text": "b"}]

        assert outcome_of({"output": parts}) == Outcome("a\nb")

    @pytest.mark.parametrize(("success", "is_failed"), [(True, False), (False, True), (None, False)])
    def test_of_an_output_that_is_an_object_is_its_content(self, success: bool | None, is_failed: bool) -> None:
        output = {"content": [{"text": "a"}, {"text": "b"}], "success": success}

        assert outcome_of({"output": output}) == Outcome("a\nb", is_failed=is_failed)

    def test_of_a_json_output_without_a_text_is_the_whole_output(self) -> None:
        output = json_output([1], {"exit_code": 1})

        assert outcome_of({"output": output}) == Outcome(output, 1, None, True)

    @pytest.mark.parametrize("payload", [{}, {"output": None}, {"output": 1}])
    def test_of_no_output_is_empty(self, payload: dict[str, Any]) -> None:
        assert outcome_of(payload) == Outcome("")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["type", "name", "input", "arguments", "action", "output"]), JSON))
def test_a_call_of_any_shape_is_read_without_an_error(payload: dict[str, Any]) -> None:
    assert isinstance(tool_of(payload), str)
    assert isinstance(call_text(payload), str)
    assert isinstance(outcome_of(payload), Outcome)
