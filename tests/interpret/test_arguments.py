from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.interpret import CallInput, FileChange
from rollout.interpret._arguments import read_input, search_words

PATCH = "*** Begin Patch\n*** Add File: a\n+x\n*** End Patch"
ADDED = (FileChange("a", "add", "+x"),)


class TestSearchWords:
    @pytest.mark.parametrize(
        ("payload", "text"),
        [
            ({"arguments": '{"command":["git","log"],"workdir":"/x"}'}, "git log\n/x"),
            ({"arguments": '{"cmd":"ls","n":1,"deep":[{"a":"b"},"c"]}'}, "ls\nb\nc"),
            ({"arguments": "no json"}, "no json"),
            ({"arguments": {"query": "as an object"}}, "as an object"),
            ({"arguments": None}, ""),
            ({"input": "*** Begin Patch"}, "*** Begin Patch"),
            ({"action": {"type": "exec", "command": ["ls", "-l"]}}, "exec\nls -l"),
            ({"type": "local_shell_call", "action": {"type": "exec", "command": ["ls", "-l"]}}, "ls -l"),
            ({"type": "local_shell_call", "action": {"type": "exec"}}, "exec"),
            ({"type": "exec_command_end", "command": ["ls"], "cwd": "/x"}, "ls"),
            ({"type": "CommandExecution", "command": "ls", "cwd": "/x"}, "ls"),
            ({"type": "mcp_tool_call_end", "invocation": {"server": "s", "arguments": {"q": "a"}}}, "a"),
            ({"action": {"type": "search", "query": "rust"}}, "search\nrust"),
            ({"type": "web_search_end", "query": "rust"}, "rust"),
            ({"type": "WebSearch", "query": "rust", "action": {"type": "open_page", "url": "u"}}, "open_page\nu"),
            ({"type": "image_generation_call", "revised_prompt": "a cat"}, "a cat"),
            ({"type": "view_image_tool_call", "path": "file:///a.png"}, "/a.png"),
            ({"type": "ImageView", "path": 1}, ""),
            ({"type": "FileChange", "changes": {"/a": {"type": "add", "content": "x"}}}, "/a\nadd\nx"),
            ({"type": "FileChange", "changes": [{"path": "/a"}]}, "/a"),
            ({"action": "odd"}, "odd"),
            ({}, ""),
        ],
    )
    def test_are_all_strings_in_the_input_of_the_tool(self, payload: dict[str, Any], text: str) -> None:
        assert search_words(payload) == text

    def test_in_arguments_nested_deeper_than_the_stack_are_found(self) -> None:
        arguments = '{"a":' * 1000 + '"deep"' + "}" * 1000

        assert search_words({"arguments": arguments}) == "deep"


class TestInput:
    @pytest.mark.parametrize(
        ("payload", "given"),
        [
            ({"arguments": '{"command":["bash","-lc","ls | wc"],"workdir":"/x"}'},
             CallInput("ls | wc", "bash", "/x")),
            ({"arguments": '{"command":["rm","a b"]}'}, CallInput("rm 'a b'", "bash")),
            ({"arguments": '{"cmd":"ls","cwd":"file:///x"}'}, CallInput("ls", "bash", "/x")),
            ({"arguments": '{"command":[1]}'}, CallInput('{\n  "command": [\n    1\n  ]\n}', "json")),
            ({"arguments": '["ls","-l"]'}, CallInput("ls -l", "bash")),
            ({"arguments": "not json"}, CallInput("not json")),
            ({"arguments": '"text"'}, CallInput("text")),
            ({"arguments": "null"}, CallInput()),
            ({"arguments": "7"}, CallInput("7", "json")),
            ({"arguments": '{"query":"a"}'}, CallInput("a")),
            ({"arguments": '{"type":"open_page","url":"u"}'}, CallInput("u")),
            ({"arguments": '{"type":"find"}'}, CallInput('{\n  "type": "find"\n}', "json")),
            ({"type": "CommandExecution", "command": "ls", "cwd": "/x"}, CallInput("ls", "bash", "/x")),
            ({"type": "WebSearch", "query": "a"}, CallInput("a")),
            ({"type": "ImageView", "path": "file:///a.png"}, CallInput("/a.png")),
            ({"type": "image_generation_end", "revised_prompt": "a cat"}, CallInput("a cat")),
            ({"type": "custom_tool_call", "name": "apply_patch", "input": PATCH}, CallInput(PATCH, changes=ADDED)),
            ({"arguments": {"input": PATCH, "dry": True}}, CallInput(PATCH, changes=ADDED)),
            ({"arguments": {"patch": PATCH}}, CallInput(PATCH, changes=ADDED)),
            ({"type": "FileChange", "changes": {"a": {"type": "add", "content": "x"}}}, CallInput(changes=ADDED)),
            ({"type": "custom_tool_call", "name": "exec", "input": "await f()"}, CallInput("await f()", "javascript")),
        ],
    )  # fmt: skip
    def test_is_shown_as_a_person_would_type_it(self, payload: dict[str, Any], given: CallInput) -> None:
        assert read_input(payload) == given

    def test_of_a_plan_has_its_steps_and_the_reason(self) -> None:
        arguments = {"explanation": "why", "plan": [{"step": "a", "status": "pending"}, {"step": 1}, "odd"]}

        given = read_input({"name": "update_plan", "arguments": arguments})

        assert (given.plan, given.explanation) == ((("a", "pending"), ("", "")), "why")

    @pytest.mark.parametrize("arguments", ["odd", [], {}, {"plan": None}, {"explanation": "why", "plan": []}])
    def test_of_a_plan_of_another_form_has_no_steps(self, arguments: Any) -> None:
        given = read_input({"name": "update_plan", "arguments": arguments})

        assert (given.plan, given.explanation) == ((), "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["command", "query", "plan", "input", "type", "kind"]), inner, max_size=4)
    ),
    max_leaves=8,
)
KEYS = ["name", "input", "arguments", "action", "command", "cwd", "changes", "invocation", "path", "query"]
TYPES = st.sampled_from(["function_call", "custom_tool_call", "CommandExecution", "WebSearch", "ImageView"])


@settings(max_examples=40)
@given(st.fixed_dictionaries({"type": TYPES}, optional=dict.fromkeys(KEYS, JSON)))
def test_an_input_of_any_shape_is_read_without_an_error(payload: dict[str, Any]) -> None:
    assert isinstance(search_words(payload), str)
    assert isinstance(read_input(payload), CallInput)
