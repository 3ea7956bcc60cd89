from __future__ import annotations

from typing import Any

import pytest

from rollout import read_lines
from rollout.codec import decode_line, encode_item
from rollout.interpret import (
    TEXT_KINDS,
    Image,
    Interpreter,
    Notice,
    PlanChanged,
    Problem,
    Quiet,
    Said,
    Text,
    Unknown,
    changes_state,
    line_texts,
    texts_of,
)
from rollout.interpret._echoes import ECHO_LINES, EVENT, ITEM, EchoTracker
from tests.builders import call, command_output, completed, decoded, output
from tests.interpret.facts import facts_of, of_kind
from tests.rollouts import (
    TIME_MS,
    Line,
    answer,
    event,
    item,
    message,
    meta,
    paginated_session,
    prompt,
    put,
    seed_session,
    surroundings,
)


def texts(*lines: Line, reader: Interpreter | None = None) -> list[Text]:
    """
    Return the texts of lines that no earlier line contains.
    """
    return [text for text in texts_of(facts_of(*lines, reader=reader)) if not text.is_echo]


def reasoning(*summary: str, content: tuple[str, ...] = ()) -> Line:
    return item("reasoning", summary=[{"text": text} for text in summary], content=[{"text": text} for text in content])


class TestConversations:
    @pytest.mark.parametrize("session", [seed_session("one", "two"), paginated_session("one", "two")])
    def test_have_each_text_once_in_each_form_in_which_codex_writes_it(self, session: list[Line], home: Any) -> None:
        reader = Interpreter()

        found = [text for line in read_lines(put(home, session)) for text in texts_of(reader.feed(line))]

        assert [text for text in found if not text.is_echo] == [
            Text("user", "one"),
            Text("agent", "answer to one"),
            Text("user", "two"),
            Text("agent", "answer to two"),
        ]

    def test_have_their_echoes_too(self) -> None:
        found = texts_of(facts_of(*prompt("go"), *answer("done")))

        assert [(text.kind, text.text, text.is_echo) for text in found] == [
            ("user", "go", False),
            ("user", "go", True),
            ("agent", "done", False),
            ("agent", "done", True),
        ]

    def test_have_no_texts_in_instructions_and_lines_about_the_session(self) -> None:
        lines = [
            meta(instructions="be good"),
            ("compacted", {"message": "", "replacement_history": [message("user", "before")[1]]}),
            surroundings(),
            message("developer", "orders"),
            ("turn_context", {"cwd": "/", "summary": "auto"}),
            event("token_count", info=None),
            event("item_completed", item={"type": "Reasoning", "text": "x"}),
            event("item_completed", item="odd"),
            item("ghost_snapshot"),
            message("user", ""),
        ]

        assert texts_of(facts_of(*lines)) == []

    def test_have_a_text_repeated_much_later_twice(self) -> None:
        between = [text for number in range(20) for text in answer(f"a{number}")]

        found = texts(*prompt("go"), *answer("x"), *between, *prompt("go"), *answer("x"))

        assert [text.text for text in found].count("go") == 2
        assert [text.text for text in found].count("x") == 2

    @pytest.mark.parametrize(
        "line",
        [
            message("assistant", "x"),
            event("agent_message", message="x"),
            completed("AgentMessage", content=[{"type": "Text", "text": "x"}]),
            reasoning("x"),
            event("agent_reasoning", text="x"),
            completed("Reasoning", summary_text=["x"]),
            message("user", "x"),
            event("user_message", message="x"),
        ],
    )
    def test_have_the_same_text_twice_in_one_form_twice(self, line: Line) -> None:
        assert [text.text for text in texts(line, line)] == ["x", "x"]


class TestCalls:
    def test_and_their_outputs_have_the_tool_and_whether_they_failed(self) -> None:
        found = texts(
            call("shell", {"command": ["ls"]}, "1"),
            item("custom_tool_call", name="apply_patch", input="*** Begin Patch", call_id="2"),
            command_output("gone", "1", code=2),
            item("custom_tool_call_output", call_id="2", output="done"),
            output("of a call that is not there", "9"),
        )

        assert found == [
            Text("call", "ls", "shell"),
            Text("call", "*** Begin Patch", "apply_patch"),
            Text("output", "gone", "shell", is_failed=True),
            Text("output", "done", "apply_patch"),
            Text("output", "of a call that is not there"),
        ]

    def test_that_are_equal_are_no_echoes(self) -> None:
        calls = [item("function_call", name="f", arguments='"x"', call_id=str(n)) for n in (1, 2)]
        outputs = [output("x", str(n)) for n in (1, 2)]

        assert [text.kind for text in texts(*calls, *outputs)] == ["call", "call", "output", "output"]

    def test_told_by_several_lines_have_their_texts_once(self) -> None:
        lines = [
            call("shell", {"command": ["ls"]}),
            event("exec_command_begin", call_id="c1", command=["ls"]),
            event("exec_command_end", call_id="c1", command=["ls"], exit_code=1, stdout="no\n"),
            completed("CommandExecution", id="c1", command=["ls"], aggregated_output="no", exit_code=1),
            command_output("no", code=1),
        ]

        assert texts(*lines) == [Text("call", "ls", "shell"), Text("output", "no\n", "shell", is_failed=True)]

    def test_that_failed_have_exactly_one_failed_text_even_without_an_output(self) -> None:
        lines = [
            call("shell", {"command": ["false"]}),
            event("exec_command_end", call_id="c1", command=["false"], exit_code=1, stdout=""),
            command_output("", code=1),
            call("f", {"a": "b"}, "c2"),
            output("aborted", "c2"),
        ]

        assert [text for text in texts(*lines) if text.is_failed] == [
            Text("output", "exit code 1", "shell", is_failed=True),
            Text("output", "aborted", "f", is_failed=True),
        ]

    def test_whose_second_line_tells_the_failure_have_it_in_the_text_of_this_line(self) -> None:
        found = texts(
            call("apply_patch", {"input": "x"}),
            output("done"),
            event("patch_apply_end", call_id="c1", success=False, stdout="done"),
        )

        assert [(text.text, text.is_failed) for text in found if text.kind == "output"] == [
            ("done", False),
            ("done", True),
        ]

    def test_that_have_no_output_in_the_file_have_their_type_as_tool(self) -> None:
        found = texts(
            item("web_search_call", action={"type": "search", "query": "rust"}),
            item("image_generation_call", revised_prompt="a cat"),
        )

        assert found == [Text("call", "search\nrust", "web_search"), Text("call", "a cat", "image_generation")]

    def test_that_are_open_have_their_tool_after_the_state_was_stored(self) -> None:
        reader = Interpreter()
        facts_of(call("shell", {"command": ["ls"]}), reader=reader)

        [text] = texts(output("x"), reader=Interpreter.from_plain(reader.to_plain()))

        assert text.tool == "shell"


class TestReasoning:
    def test_in_events_paragraph_by_paragraph_is_told_once(self) -> None:
        events = [event("agent_reasoning", text=text) for text in ("one", "two")]

        [first, second, third] = of_kind(Said, *events, reasoning("one", "two", "three"))

        assert (first.text, second.text) == ("one", "two")
        assert (third.text, third.words, third.echoes) == ("three", "one\ntwo\nthree", (1, 2))

    def test_in_one_event_that_contains_all_paragraphs_is_told_once(self) -> None:
        whole = event("agent_reasoning", text="one\n\ntwo")

        [first, second] = of_kind(Said, whole, reasoning("one", "two"))

        assert (first.text, second.text, second.echoes) == ("one\n\ntwo", "", (1,))

    def test_whose_paragraphs_echo_as_a_whole_is_compared_again_by_paragraphs(self) -> None:
        whole = event("agent_reasoning", text="one\n\ntwo")

        found = of_kind(Said, whole, reasoning("one", "two"), event("agent_reasoning", text="one"))

        assert (found[-1].text, found[-1].echoes) == ("one", ())

    def test_in_items_has_its_summary_and_its_content(self) -> None:
        assert texts(reasoning("a", content=("b",))) == [Text("reasoning", "a\n\nb")]

    def test_in_a_completed_item_has_its_summary_and_its_raw_content(self) -> None:
        found = texts(completed("Reasoning", summary_text=["a", 7], raw_content=["b"]))

        assert found == [Text("reasoning", "a\n\nb")]


class TestEchoes:
    def test_are_recognized_up_to_their_maximum_distance(self) -> None:
        def echo_after(lines: int) -> int | None:
            tracker = EchoTracker()
            tracker.add("agent", "x", ITEM, 1)
            return tracker.find("agent", "x", EVENT, 1 + lines)

        assert (echo_after(ECHO_LINES), echo_after(ECHO_LINES + 1)) == (1, None)

    def test_use_bounded_memory(self) -> None:
        tracker = EchoTracker()

        for number in range(10 * ECHO_LINES):
            tracker.add("agent", str(number), ITEM, number)

        assert len(tracker.seen) <= 4 * ECHO_LINES

    def test_are_the_same_if_the_state_is_stored_in_between(self) -> None:
        # The second paragraph of the last line is as old as an echo may be; by then there are too many texts.
        old = [event("agent_reasoning", text=str(number)) for number in range(3 * ECHO_LINES)]
        last_ones = [event("agent_reasoning", text=f"last {number}") for number in range(ECHO_LINES)]
        reader = Interpreter()
        facts_of(*old, *last_ones, reader=reader)
        loaded = Interpreter.from_plain(reader.to_plain())
        line = reasoning("new", "last 0")

        again = Interpreter()
        facts_of(*old, *last_ones, reader=again)

        assert facts_of(line, reader=loaded) == facts_of(line, reader=again)


class TestLines:
    @pytest.mark.parametrize(
        ("line", "text"),
        [
            (
                item("reasoning", summary=[{"text": "a"}, "b"], content=[{"text": "c"}]),
                Text("reasoning", "a\n\nb\n\nc"),
            ),
            (event("agent_reasoning", text="a"), Text("reasoning", "a")),
            (event("agent_reasoning_raw_content", text="a"), Text("reasoning", "a")),
            (event("error", message="over the limit"), Text("agent", "over the limit")),
            (event("stream_error", message="cut"), Text("agent", "cut")),
            (event("task_complete", error={"message": "no"}), Text("agent", "no")),
            (event("task_complete", last_agent_message="done"), Text("agent", "done")),
            (item("agent_message", content=[{"type": "input_text", "text": "a"}]), Text("agent", "a")),
            (("inter_agent_communication", {"author": "a", "recipient": "b", "content": "c"}), Text("agent", "c")),
            (("realtime_item", {"role": "user", "text": "spoken"}), Text("user", "spoken")),
            (("realtime_item", {"role": "assistant", "text": "spoken"}), Text("agent", "spoken")),
            (event("item_completed", item={"type": "Plan", "text": "first, second"}), Text("agent", "first, second")),
            (completed("AgentMessage", text="a"), Text("agent", "a")),
            (event("plan_update", explanation="why", plan=[]), Text("agent", "why")),
            (event("thread_goal_updated", goal={"objective": "be done"}), Text("user", "be done")),
            (event("exited_review_mode", review_output={"findings": [{"title": "a bug"}]}), Text("agent", "a bug")),
            (completed("ExitedReviewMode", review_output="a bug"), Text("agent", "a bug")),
            (("compacted", {"message": "what was"}), Text("summary", "what was")),
        ],
    )  # fmt: skip
    def test_with_a_text_have_this_text(self, line: Line, text: Text) -> None:
        assert texts(line) == [text]
        assert text.kind in TEXT_KINDS
        assert line_texts(decoded(line)) == [text]

    @pytest.mark.parametrize(
        "line",
        [
            event("warning", message="hot"),
            event("background_event", message="busy"),
            event("turn_diff", unified_diff="+x"),
            event("entered_review_mode", prompt="look"),
            event("plan_update", explanation="why", plan=[{"step": "a", "status": "pending"}]),
            event("sub_agent_activity", kind="started"),
        ],
    )
    def test_about_the_session_have_no_text_to_search_in(self, line: Line) -> None:
        assert texts(line) == []

    @pytest.mark.parametrize(
        ("line", "title", "text"),
        [
            (event("warning", message="hot"), "warning", "hot"),
            (event("background_event", message="busy"), "", "busy"),
            (event("undo_completed", message="back"), "undone", "back"),
            (event("turn_diff", unified_diff="+x"), "changes of the turn", "+x"),
            (event("entered_review_mode", prompt="look"), "review started", "look"),
            (event("entered_review_mode", user_facing_hint="changes"), "review started", "changes"),
            (completed("EnteredReviewMode"), "review started", ""),
            (event("exited_review_mode"), "review ended", ""),
            (event("sub_agent_activity", agent_path="/a", kind="started", model="m"), "sub-agent", "/a started m"),
            (completed("SubAgentActivity", kind="started"), "sub-agent", "started"),
            (completed("CollabAgentToolCall", tool="wait", status="completed"), "sub-agent", "wait completed"),
            (event("collab_resume_end", call_id="c", status="running"), "sub-agent", "resume running"),
            (
                event("collab_agent_spawn_end", new_agent_nickname="Ada", status="pending_init", prompt="look"),
                "sub-agent",
                "agent spawn Ada pending_init look",
            ),
            (completed("HookPrompt", fragments=[{"text": "a"}, None, {"text": "b"}]), "hook", "a\nb"),
            (item("configuration_update", reasoning={"effort": "low"}), "settings", "reasoning effort low"),
            (item("configuration_update", tools=["a", "b"], model=None), "settings", "tools a, b"),
        ],
    )
    def test_about_the_session_are_notices(self, line: Line, title: str, text: str) -> None:
        assert [(fact.title, fact.text) for fact in of_kind(Notice, line)] == [(title, text)]

    def test_without_a_new_setting_are_quiet(self) -> None:
        assert of_kind(Notice, item("configuration_update", reasoning=None)) == []

    def test_a_hook_without_text_is_quiet(self) -> None:
        assert of_kind(Notice, completed("HookPrompt", fragments=[])) == []
        assert len(of_kind(Quiet, item("configuration_update", reasoning=None))) == 1

    def test_with_a_plan_have_its_steps(self) -> None:
        steps = [{"step": "a", "status": "completed"}, {"step": "b"}, "odd"]

        [found] = of_kind(PlanChanged, event("plan_update", explanation="why", plan=steps))

        assert (found.text, found.steps) == ("why", (("a", "completed"), ("b", "")))

    def test_with_an_error_of_the_connection_do_not_end_the_turn(self) -> None:
        [found] = of_kind(Problem, event("stream_error", message="cut"))

        assert (found.text, found.title, found.ends_turn) == ("cut", "connection", False)

    def test_between_agents_have_their_names_images_and_other_parts(self) -> None:
        content = [{"text": "see"}, {"image_url": "u"}, {"type": "audio"}]

        [found] = of_kind(Said, item("agent_message", author="a", recipient="b", content=content))

        assert (found.title, found.text, found.images) == ("a to b", "see\n[audio]", (Image("u"),))
        assert of_kind(Said, item("agent_message", author="a", content="x"))[0].title == "a"

    @pytest.mark.parametrize(
        ("line", "kind"),
        [
            (event("agent_message", message=""), "agent_message"),
            (event("agent_message"), "agent_message"),
            (event("agent_reasoning", text=7), "agent_reasoning"),
            (event("error"), "error"),
            (event("stream_error"), "stream_error"),
            (event("warning"), "warning"),
            (event("token_count", info=None), "token_count"),
            (event("thread_name_updated"), "thread_name_updated"),
            (event("thread_goal_updated", goal=7), "thread_goal_updated"),
            (item("reasoning", encrypted_content="x"), "reasoning without text"),
            (item("agent_message"), "message without content"),
            (message("assistant", ""), "message without content"),
            (completed("AgentMessage"), "item_completed"),
            (completed("Reasoning"), "item_completed"),
            (completed("Plan"), "item_completed"),
            (("realtime_item", {}), "realtime_item"),
            (item("ghost_snapshot"), "ghost_snapshot"),
            (item("compaction"), "compaction"),
            (event("agent_message_delta", delta="x"), "agent_message_delta"),
            (("world_state", {}), "world_state"),
            (("security_risk_score", {"score": 1}), "security_risk_score"),
            (("token_usage_record", {}), "token_usage_record"),
        ],
    )
    def test_without_content_are_quiet(self, line: Line, kind: str) -> None:
        assert facts_of(line) == [Quiet(1, None, -1, False, kind)]
        assert facts_of(line, reader=Interpreter(has_texts=False)) == []

    @pytest.mark.parametrize(
        ("line", "kind"),
        [
            (("novel", {"a": 1}), "novel"),
            (item("novel"), "novel"),
            (item(["odd"]), "response_item"),
            (event("novel"), "novel"),
            (event(None), "event_msg"),
            (event("item_completed", item=7), "item_completed"),
            (completed("Novel"), "Novel"),
            (completed(["odd"]), "['odd']"),
        ],
    )
    def test_of_an_unknown_kind_are_unknown(self, line: Line, kind: str) -> None:
        assert [fact.type for fact in of_kind(Unknown, line)] == [kind]
        assert facts_of(line, reader=Interpreter(has_texts=False)) == []

    @pytest.mark.parametrize("odd", [None, 1, 0.5, True, "", [], {}, [[]], {"type": []}])
    def test_of_any_shape_are_read_without_an_error(self, odd: Any) -> None:
        kinds = [
            "message", "reasoning", "function_call", "function_call_output", "user_message", "item_completed",
            "thread_goal_updated", "exited_review_mode", "web_search_call", "agent_message", odd,
        ]  # fmt: skip
        keys = (
            "role", "content", "summary", "call_id", "name", "arguments", "output", "message", "item", "goal", "action",
        )  # fmt: skip

        for line_type in ("response_item", "event_msg", "compacted"):
            for kind in kinds:
                assert texts((line_type, {"type": kind})) == []
                assert all(text.text for text in texts((line_type, {"type": kind, **dict.fromkeys(keys, odd)})))


class TestStateChanges:
    """
    A search without an index reads only lines that may match, and those that change how later lines are read.
    """

    @pytest.mark.parametrize(
        "line",
        [
            event("task_started", turn_id="t"),
            event("turn_started", turn_id="t"),
            event("entered_review_mode", turn_id="t"),
            completed("EnteredReviewMode", id="r"),
            message("user", "go"),
            item("message", id="msg_1", role="user", content=[]),
            event("user_message", message="go"),
            completed("UserMessage", id="u", content=[]),
            call("shell", {"command": ["ls"]}),
            item("custom_tool_call", name="exec", input="x", call_id="c"),
            item("local_shell_call", call_id="c"),
        ],
    )
    def test_are_made_by_prompts_turns_and_calls(self, line: Line) -> None:
        assert changes_state(encode_item(*line, time_ms=TIME_MS))

    @pytest.mark.parametrize(
        "line",
        [
            message("assistant", "go"),
            message("developer", "go"),
            event("agent_message", message="go"),
            event("agent_message", message='"type":"user_message"'),
            event("token_count", info=None),
            output("x" * 500 + '"type":"task_started"'),
        ],
    )
    def test_are_made_by_no_other_line(self, line: Line) -> None:
        assert not changes_state(encode_item(*line, time_ms=TIME_MS))

    def test_are_found_in_the_bytes_of_each_line_of_a_session_that_changes_the_texts_after_it(self) -> None:
        lines = [
            decode_line(encode_item(*line, time_ms=TIME_MS))
            for line in [*paginated_session("one", "one"), *seed_session("two", "two"), call("f", {}), output("x")]
        ]
        whole, part = Interpreter(), Interpreter()

        for line in lines:
            expected = texts_of(whole.feed(line))
            if any(text.kind in ("user", "output", "call") for text in expected) or changes_state(line.raw):
                assert texts_of(part.feed(line)) == expected
            else:
                part.skip()
