from __future__ import annotations

from typing import Any

import pytest

from rollout.codec import decode_json, encode_json
from rollout.interpret import CallBegan, CallEnded, Context, Image, Interpreter
from rollout.interpret._calls import CALLS_MAX, CallTracker, call_kind, key_of, tool_of
from tests.builders import call, completed, output, script, script_output
from tests.interpret.facts import facts_of, of_kind
from tests.rollouts import Line, event, item, message

PNG = "iVBORw0KGgoAAAANSUhEUg=="
RUNNING = "Chunk ID: 1\nWall time: 10.0 seconds\nProcess running with session ID 7\nOutput:\nso far"


def waited(state: str, call_id: str) -> Line:
    """
    Return the output of a call that waited for a script.
    """
    return output(script_output(state)[1]["output"], call_id)


def command_item(call_id: str = "c1", code: int | None = 0, **fields: Any) -> Line:
    own = {"id": call_id, "command": ["ls"], "status": "failed" if code else "completed", "exit_code": code}
    return completed("CommandExecution", **{**own, "aggregated_output": "", **fields})


def others(count: int) -> list[Line]:
    return [message("assistant", f"text {number}") for number in range(count)]


def stored_and_loaded(reader: Interpreter) -> Interpreter:
    return Interpreter.from_plain(decode_json(encode_json(reader.to_plain())))


def began(*lines: Line, reader: Interpreter | None = None) -> list[CallBegan]:
    return of_kind(CallBegan, *lines, reader=reader)


def ended(*lines: Line, reader: Interpreter | None = None) -> list[CallEnded]:
    return of_kind(CallEnded, *lines, reader=reader)


class TestTool:
    @pytest.mark.parametrize(
        ("payload", "tool"),
        [
            ({"type": "function_call", "name": "shell"}, "shell"),
            ({"type": "custom_tool_call", "name": "apply_patch"}, "apply_patch"),
            ({"type": "local_shell_call"}, "local_shell"),
            ({"type": "tool_search_call"}, "tool_search"),
            ({"type": "web_search_call", "name": ""}, "web_search"),
            ({"type": "function_call", "name": ["odd"]}, "function"),
            ({"type": "exec_command_end"}, "shell"),
            ({"type": "exec_command_begin", "source": "unified_exec_startup"}, "exec_command"),
            ({"type": "exec_command_end", "source": "user_shell"}, "user_shell"),
            ({"type": "CommandExecution", "source": "userShell"}, "user_shell"),
            ({"type": "CommandExecution", "source": "agent"}, "shell"),
            ({"type": "patch_apply_begin"}, "apply_patch"),
            ({"type": "patch_apply_end"}, "apply_patch"),
            ({"type": "FileChange"}, "apply_patch"),
            ({"type": "WebSearch"}, "web_search"),
            ({"type": "web_search_end"}, "web_search"),
            ({"type": "ImageView"}, "view_image"),
            ({"type": "view_image_tool_call"}, "view_image"),
            ({"type": "ImageGeneration"}, "image_generation"),
            ({"type": "DynamicToolCall", "tool": "look"}, "look"),
            ({"type": "DynamicToolCall"}, "dynamic"),
            ({"type": "Extension", "kind": "timer"}, "timer"),
            ({"type": "Extension"}, "extension"),
            ({}, "None"),
        ],
    )
    def test_is_the_name_or_else_the_type(self, payload: dict[str, Any], tool: str) -> None:
        assert tool_of(payload) == tool

    @pytest.mark.parametrize(
        "payload",
        [
            {"type": "function_call", "name": "mcp__server__tool"},
            {"type": "function_call", "name": "mcp__server__tool", "namespace": "mcp__server"},
            {"type": "function_call", "name": "tool", "namespace": "mcp__server"},
            {"type": "function_call", "name": "tool", "namespace": "mcp__server__"},
            {"type": "mcp_tool_call_begin", "invocation": {"server": "server", "tool": "tool"}},
            {"type": "mcp_tool_call_end", "invocation": {"server": "server", "tool": "tool"}},
            {"type": "McpToolCall", "server": "server", "tool": "tool"},
        ],
    )
    def test_of_a_server_has_the_same_name_in_each_form(self, payload: dict[str, Any]) -> None:
        assert tool_of(payload) == "mcp__server__tool"

    @pytest.mark.parametrize(
        ("payload", "tool"),
        [
            ({"name": "f", "namespace": "functions"}, "f"),
            ({"name": "f", "namespace": 1}, "f"),
            ({"type": "McpToolCall", "server": "server", "tool": 1}, "mcp__server"),
            ({"type": "McpToolCall"}, "mcp"),
        ],
    )
    def test_without_a_server_or_a_name_is_named_by_what_there_is(self, payload: dict[str, Any], tool: str) -> None:
        assert tool_of(payload) == tool

    @pytest.mark.parametrize(
        ("tool", "payload", "kind"),
        [
            ("exec", {"type": "custom_tool_call"}, "script"),
            ("exec", {"type": "function_call"}, "function"),
            ("mcp__s__t", {}, "mcp"),
            ("look", {"type": "DynamicToolCall"}, "dynamic"),
            ("shell", {}, "command"),
            ("user_shell", {}, "command"),
            ("apply_patch", {}, "patch"),
            ("web_search", {}, "web"),
            ("view_image", {}, "image"),
            ("update_plan", {}, "plan"),
            ("spawn_agent", {}, "agent"),
            ("f", {}, "function"),
        ],
    )
    def test_belongs_to_a_kind(self, tool: str, payload: dict[str, Any], kind: str) -> None:
        assert call_kind(tool, payload) == kind


class TestKey:
    @pytest.mark.parametrize(
        ("payload", "key"),
        [
            ({"call_id": "c", "id": "i"}, "c"),
            ({"id": "i"}, "i"),
            ({"call_id": "", "id": "i"}, "i"),
            ({"call_id": 7}, "7"),
            ({"call_id": ["odd"]}, "['odd']"),
            ({"type": "tool_search_call", "id": "i"}, "tool_search"),
            ({"type": "tool_search_output", "call_id": None, "id": "j"}, "tool_search"),
            ({"type": "tool_search_call", "call_id": "c"}, "c"),
            ({}, ""),
        ],
    )
    def test_is_the_id_of_the_call_or_else_of_the_item(self, payload: dict[str, Any], key: str) -> None:
        assert key_of(payload) == key


class TestCalls:
    def test_told_by_several_lines_are_one_call(self) -> None:
        lines = [
            call("exec_command", {"cmd": "ls"}),
            event("exec_command_begin", call_id="c1", command=["ls"]),
            event("exec_command_end", call_id="c1", command=["ls"], exit_code=0, aggregated_output="a\n"),
            command_item(aggregated_output="a\n", durationMs=250),
            output("Wall time: 0.5 seconds\nProcess exited with code 0\nOutput:\na"),
        ]

        facts = facts_of(*lines)

        assert {fact.call for fact in facts if isinstance(fact, (CallBegan, CallEnded))} == {0}
        assert [(fact.tool, fact.is_new) for fact in facts if isinstance(fact, CallBegan)] == [
            ("exec_command", True),
            ("exec_command", False),
            ("exec_command", False),
            ("exec_command", False),
        ]
        ends = [fact for fact in facts if isinstance(fact, CallEnded)]
        assert [(fact.text, fact.is_repeated) for fact in ends] == [("a\n", False), ("a\n", True), ("a", True)]
        assert (ends[-1].exit_code, ends[-1].duration, ends[-1].is_failed) == (0, 0.25, False)

    def test_have_the_name_that_the_model_used_even_if_an_event_came_first(self) -> None:
        first, second = began(
            event("exec_command_begin", call_id="c1", command=["ls"]), call("local_terminal", {"cmd": "ls"})
        )

        assert (first.tool, first.is_new, first.is_item) == ("shell", True, False)
        assert (second.tool, second.earlier_tool, second.is_new, second.is_item) == (
            "local_terminal",
            "shell",
            False,
            True,
        )
        assert first.call == second.call

    def test_have_their_input_and_its_words_and_their_kind(self) -> None:
        [fact] = began(call("shell", {"command": ["ls", "-l"], "workdir": "/x"}))

        assert (fact.kind, fact.input.text, fact.input.cwd, fact.words) == ("command", "ls -l", "/x", "ls -l\n/x")

    def test_that_use_an_id_a_second_time_are_other_calls(self) -> None:
        facts = facts_of(call("f", {}), output("Exit code: 1\nOutput:\n"), call("g", {}), output("fine"), output("odd"))

        calls = [fact.call for fact in facts if isinstance(fact, (CallBegan, CallEnded))]
        assert calls == [0, 0, 1, 1, None]
        assert [fact.is_failed for fact in facts if isinstance(fact, CallEnded)] == [True, False, False]

    def test_that_use_the_id_of_a_running_script_a_second_time_are_other_calls(self) -> None:
        assert [(fact.call, fact.is_new) for fact in began(script("f()"), script("f()"))] == [(0, True), (1, True)]

    def test_without_an_id_are_each_a_call_and_their_outputs_belong_to_none(self) -> None:
        lines = [
            item("function_call", name="f", arguments="{}"),
            item("function_call", name="f", arguments="{}"),
            item("local_shell_call", action={}),
            item("function_call_output", output="err: x"),
        ]

        facts = facts_of(*lines)

        assert [(fact.call, fact.call_id) for fact in facts if isinstance(fact, CallBegan)] == [
            (0, None),
            (1, None),
            (2, None),
        ]
        [end] = [fact for fact in facts if isinstance(fact, CallEnded)]
        assert (end.call, end.call_id, end.tool, end.is_failed, end.stated) == (None, None, "", False, "error")

    def test_that_are_not_in_the_file_never_failed(self) -> None:
        lines = [output("Exit code: 1\nOutput:\nno", "c9"), completed("FunctionCallOutput", id="c9", output="err: x")]

        assert [(fact.call, fact.call_id, fact.is_failed) for fact in ended(*lines)] == [
            (None, "c9", False),
            (None, "c9", False),
        ]
        assert began(*lines) == []

    @pytest.mark.parametrize("call_id", [7, ["odd"], {"a": 1}])
    def test_with_an_id_of_another_type_have_their_outputs(self, call_id: Any) -> None:
        [end] = ended(
            item("function_call", name="f", arguments="{}", call_id=call_id),
            item("function_call_output", call_id=call_id, output="x"),
        )

        assert (end.call, end.tool) == (0, "f")

    def test_of_a_search_for_tools_have_their_outputs(self) -> None:
        lines = [
            item("tool_search_call", id="a", call_id=None, execution="server", arguments={"query": "q"}),
            item("tool_search_output", id="b", call_id=None, tools=[{"name": "f"}]),
        ]

        [fact], [end] = began(*lines), ended(*lines)

        assert (fact.tool, fact.words, end.call, end.tool) == ("tool_search", "q", 0, "tool_search")
        assert "f" in str(end.text)

    def test_without_outputs_use_bounded_memory(self) -> None:
        reader = Interpreter(has_texts=False)

        facts = facts_of(*(call("f", {}, str(number)) for number in range(2 * CALLS_MAX)), reader=reader)

        assert len(facts) == 2 * CALLS_MAX
        assert len(reader.calls.calls) <= CALLS_MAX
        assert ended(output("x", str(2 * CALLS_MAX - 1)), reader=reader)[0].call == 2 * CALLS_MAX - 1

    def test_that_only_events_tell_use_bounded_memory(self) -> None:
        reader = Interpreter(has_texts=False)

        facts_of(*(event("exec_command_begin", call_id=str(n)) for n in range(CALLS_MAX + 2)), reader=reader)

        assert len(reader.calls.calls) <= CALLS_MAX

    def test_that_have_ended_are_forgotten_before_those_that_are_open(self) -> None:
        reader = Interpreter(has_texts=False)
        facts_of(call("open", {}, "open"), reader=reader)
        for number in range(CALLS_MAX):
            facts_of(call("f", {}, str(number)), output("x", str(number)), reader=reader)

        assert ended(output("x", "open"), reader=reader)[0].tool == "open"

    def test_of_running_scripts_use_bounded_memory(self) -> None:
        reader = Interpreter(has_texts=False)

        facts_of(*(script("f()", str(number)) for number in range(CALLS_MAX + 5)), reader=reader)

        assert len(reader.calls.scripts) == CALLS_MAX


class TestCallsWithoutOutputs:
    def test_have_no_end_while_they_are_running(self) -> None:
        lines = [item("web_search_call", id="w", status="in_progress", action={"type": "search", "query": "rust"})]

        assert [(fact.tool, fact.words) for fact in began(*lines)] == [("web_search", "search\nrust")]
        assert ended(*lines) == []

    def test_end_with_their_line(self) -> None:
        [searched, drawn, failed] = ended(
            item("web_search_call", status="completed", action={"type": "search", "query": "rust"}),
            item("image_generation_call", id="i", status="generating", revised_prompt="a cat", result=PNG),
            item("web_search_call", status="failed"),
        )

        assert (searched.call, searched.text, searched.is_failed) == (0, "", False)
        assert drawn.images == (Image(f"data:image/png;base64,{PNG}", "image/png"),)
        assert drawn.text is None
        assert (failed.call, failed.is_failed, failed.reason) == (2, True, "error")


class TestOutcomes:
    def test_that_an_item_tells_are_not_undone_by_the_output(self) -> None:
        ends = ended(call("exec_command", {"cmd": "ls"}), command_item(code=1), output("all is fine"))

        assert [(fact.is_failed, fact.was_failed, fact.reason, fact.stated) for fact in ends] == [
            (True, False, "exit code 1", "exit code 1"),
            (True, True, "exit code 1", ""),
        ]

    def test_that_an_item_tells_count_more_than_a_failure_that_the_output_states(self) -> None:
        ends = ended(call("f", {}), command_item(code=0), output("err: said a program"))

        assert [(fact.is_failed, fact.stated) for fact in ends] == [(False, ""), (False, "error")]

    def test_that_an_event_after_the_output_tells_count_more_than_the_output(self) -> None:
        ends = ended(
            call("apply_patch", {"input": "x"}),
            output("err: x"),
            event("patch_apply_end", call_id="c1", success=True, stdout="Success."),
        )

        assert [(fact.is_failed, fact.was_failed) for fact in ends] == [(True, False), (False, True)]

    def test_that_say_nothing_do_not_undo_a_failure(self) -> None:
        ends = ended(call("f", {}), output("err: x"), completed("FunctionCallOutput", id="c1", output="more"))

        assert [fact.is_failed for fact in ends] == [True, True]

    def test_of_a_command_that_ends_much_later_are_settled_by_its_item(self) -> None:
        reader = Interpreter()
        [first] = ended(call("exec_command", {"cmd": "make"}), output(RUNNING), *others(50), reader=reader)

        for own in (reader, stored_and_loaded(reader)):
            [last] = ended(command_item(code=2, aggregated_output="so far, and failed"), reader=own)

            assert (first.is_failed, first.duration, first.text) == (False, None, "so far")
            assert (last.call, last.is_failed, last.exit_code, last.tool) == (0, True, 2, "exec_command")

    def test_of_a_command_that_goes_on_are_settled_by_the_event_of_its_end(self) -> None:
        lines = [
            call("exec_command", {"cmd": "make"}),
            completed("CommandExecution", id="c1", status="in_progress", command=["make"]),
            output(RUNNING),
            event("exec_command_end", call_id="c1", exit_code=1, duration={"secs": 60, "nanos": 0}),
        ]

        assert [(fact.is_failed, fact.duration) for fact in ended(*lines)] == [(False, None), (True, 60.0)]

    def test_told_after_the_output_belong_to_their_call_however_the_lines_are_split(self) -> None:
        reader = Interpreter()
        facts_of(call("exec_command", {"cmd": "ls"}), output("a"), *others(30), reader=reader)
        loaded = stored_and_loaded(reader)

        late = command_item(aggregated_output="a")

        assert facts_of(late, reader=loaded) == facts_of(late, reader=reader)

    def test_have_the_first_exit_code_and_duration_that_a_line_states(self) -> None:
        ends = ended(
            call("shell", {"command": ["ls"]}),
            event("exec_command_end", call_id="c1", exit_code=3, duration={"secs": 2, "nanos": 0}),
            output("Exit code: 4\nWall time: 9 seconds\nOutput:\nx"),
        )

        assert [(fact.exit_code, fact.duration, fact.earlier_duration) for fact in ends] == [
            (3, 2.0, None),
            (3, 2.0, 2.0),
        ]

    def test_that_are_empty_repeat_an_output_but_not_nothing(self) -> None:
        ends = ended(call("f", {}), output(""), command_item(aggregated_output=""))
        more = ended(call("f", {}), command_item(aggregated_output="a"), output(""))

        assert [fact.is_repeated for fact in ends] == [False, False]
        assert [fact.is_repeated for fact in more] == [False, True]

    def test_that_differ_are_no_repetitions(self) -> None:
        assert [
            fact.is_repeated for fact in ended(call("f", {}), command_item(aggregated_output="a"), output("b"))
        ] == [
            False,
            False,
        ]


class TestScripts:
    def test_are_the_parents_of_the_calls_that_they_make(self) -> None:
        lines = [
            script("f()"),
            command_item("exec-1"),
            completed("McpToolCall", id="mcp-1", server="s", tool="t", status="completed"),
            event("patch_apply_end", call_id="p-1", success=True),
            script_output("completed"),
            command_item("exec-2"),
        ]

        assert [(fact.call, fact.tool, fact.parent, fact.kind) for fact in began(*lines)] == [
            (0, "exec", None, "script"),
            (1, "exec_command", 0, "command"),
            (2, "mcp__s__t", 0, "mcp"),
            (3, "apply_patch", 0, "patch"),
            (4, "shell", None, "command"),
        ]
        assert [(fact.call, fact.tool) for fact in ended(*lines)] == [
            (1, "exec_command"),
            (2, "mcp__s__t"),
            (3, "apply_patch"),
            (0, "exec"),
            (4, "shell"),
        ]

    def test_are_not_the_parents_of_the_calls_of_the_model_and_of_commands_of_a_person(self) -> None:
        lines = [script("f()"), call("f", {}), command_item("u", source="user_shell"), command_item("exec-1")]

        assert [(fact.tool, fact.parent) for fact in began(*lines)] == [
            ("exec", None),
            ("f", None),
            ("user_shell", None),
            ("exec_command", 0),
        ]

    def test_that_run_on_make_calls_until_the_output_of_the_call_that_waited_for_them(self) -> None:
        lines = [
            script("f()"),
            script_output("running"),
            command_item("exec-1"),
            call("wait", {"cell_id": "1"}, "w1"),
            waited("running", "w1"),
            command_item("exec-2"),
            call("wait", {"cell_id": "1"}, "w2"),
            waited("completed", "w2"),
            command_item("exec-3"),
        ]

        assert [(fact.call_id, fact.parent) for fact in began(*lines) if not fact.is_item] == [
            ("exec-1", 0),
            ("exec-2", 0),
            ("exec-3", None),
        ]

    def test_end_in_any_order_and_the_output_of_another_call_ends_none(self) -> None:
        lines = [
            script("f()", "s1"),
            script_output("running", call_id="s1"),
            script("f()", "s2"),
            call("f", {}, "f"),
            output("x", "f"),
            command_item("exec-1"),
            script_output("completed", call_id="s2"),
            command_item("exec-2"),
        ]

        assert [(fact.call_id, fact.parent) for fact in began(*lines) if not fact.is_item] == [
            ("exec-1", 1),
            ("exec-2", 0),
        ]

    def test_whose_wait_ended_first_end_once(self) -> None:
        lines = [
            script("f()", "s1"),
            script("f()", "s2"),
            call("wait", {}, "w"),
            waited("completed", "w"),
            script_output("completed", call_id="s2"),
            command_item("exec-1"),
        ]

        assert began(*lines)[-1].parent == 0

    def test_end_with_an_interrupted_turn(self) -> None:
        lines = [
            event("task_started"),
            script("f()"),
            event("turn_aborted", reason="interrupted"),
            command_item("exec-1"),
        ]

        assert began(*lines)[-1].parent is None

    def test_that_fail_have_failed(self) -> None:
        [end] = ended(script("f()"), script_output("failed", "Script error:\nx"))

        assert (end.is_failed, end.reason, end.duration) == (True, "script failed", 0.5)


def test_an_output_with_a_name_instead_of_an_id_is_a_context() -> None:
    facts = facts_of(item("function_call_output", name="goal_was_set", output="be done"))

    assert facts == [Context(1, None, -1, False, "goal was set", "be done")]


@pytest.mark.parametrize("has_texts", [True, False])
def test_an_output_of_no_call_is_stated_only_to_a_reader_of_texts(has_texts: bool) -> None:
    facts = facts_of(output("x", "c9"), reader=Interpreter(has_texts=has_texts))

    assert len(facts) == has_texts


class TestState:
    def test_has_the_open_calls_and_not_those_that_ended_long_ago(self) -> None:
        reader = Interpreter()
        facts_of(call("old", {}, "1"), output("x", "1"), call("open", {}, "2"), *others(40), reader=reader)
        facts_of(call("new", {}, "3"), output("x", "3"), reader=reader)

        plain = reader.calls.to_plain(reader.count)

        assert list(plain["calls"]) == ["2", "3"]
        assert CallTracker.from_plain(plain).to_plain(reader.count) == plain

    @pytest.mark.parametrize(
        "odd", [None, [], {}, {"count": 1, "calls": {}}, {"count": "1", "calls": {}, "scripts": []}]
    )
    def test_of_another_form_is_refused(self, odd: Any) -> None:
        with pytest.raises(ValueError, match="CallTracker"):
            CallTracker.from_plain(odd)

    @pytest.mark.parametrize("place", range(9))
    def test_of_a_call_with_a_value_of_another_type_is_refused(self, place: int) -> None:
        plain = one_call()
        plain["calls"]["c1"][place] = {}

        with pytest.raises(ValueError, match="a call is"):
            CallTracker.from_plain(plain)

    @pytest.mark.parametrize("packed", [None, "odd", [], [0, "f"], {"index": 0}])
    def test_of_a_call_with_other_values_is_refused(self, packed: Any) -> None:
        with pytest.raises(ValueError, match="a call is"):
            CallTracker.from_plain({**one_call(), "calls": {"c1": packed}})


def one_call() -> dict[str, Any]:
    reader = Interpreter()
    facts_of(call("f", {}), reader=reader)
    return reader.calls.to_plain(1)
