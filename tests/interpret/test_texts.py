from __future__ import annotations

from typing import Any

import pytest

from rollout import read_lines
from rollout.interpret._texts import TEXT_KINDS, Text, TextExtractor
from tests.builders import decoded
from tests.rollouts import (
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


def texts(*lines: Line, extractor: TextExtractor | None = None) -> list[Text]:
    extractor = extractor or TextExtractor()
    return [text for line in lines for text in extractor.extract(decoded(line))]


@pytest.mark.parametrize("session", [seed_session("one", "two"), paginated_session("one", "two")])
def test_the_texts_of_a_conversation_are_extracted_once_in_each_form_in_which_codex_writes_it(
    session: list[Line], home: Any
) -> None:
    extractor = TextExtractor()

    found = [text for line in read_lines(put(home, session)) for text in extractor.extract(line)]

    assert found == [
        Text("user", "one"),
        Text("agent", "answer to one"),
        Text("user", "two"),
        Text("agent", "answer to two"),
    ]


def test_instructions_and_lines_about_the_session_have_no_texts() -> None:
    lines = [
        meta(),
        surroundings(),
        message("developer", "orders"),
        ("turn_context", {"cwd": "/", "summary": "auto"}),
        event("token_count", info=None),
        event("item_completed", item={"type": "Reasoning", "text": "x"}),
        event("item_completed", item="odd"),
        item("ghost_snapshot"),
        message("user", ""),
    ]

    assert texts(*lines) == []


def test_a_text_repeated_much_later_is_no_echo() -> None:
    between = [text for number in range(20) for text in answer(f"a{number}")]

    found = texts(*prompt("go"), *between, *prompt("go"))

    assert [text.text for text in found].count("go") == 2


def test_a_call_and_its_output_have_the_tool_and_whether_it_failed() -> None:
    found = texts(
        item("function_call", name="shell", arguments='{"command":["ls"]}', call_id="1"),
        item("custom_tool_call", name="apply_patch", input="*** Begin Patch", call_id="2"),
        item("function_call_output", call_id="1", output="Exit code: 2\nWall time: 0.1 seconds\nOutput:\ngone"),
        item("custom_tool_call_output", call_id="2", output="done"),
        item("function_call_output", call_id="9", output="of a call that is not there"),
    )

    assert found == [
        Text("call", "ls", "shell"),
        Text("call", "*** Begin Patch", "apply_patch"),
        Text("output", "gone", "shell", is_failed=True),
        Text("output", "done", "apply_patch"),
        Text("output", "of a call that is not there"),
    ]


def test_equal_calls_and_outputs_are_no_echoes() -> None:
    calls = [item("function_call", name="f", arguments='"x"', call_id=str(n)) for n in (1, 2)]
    outputs = [item("function_call_output", call_id=str(n), output="x") for n in (1, 2)]

    assert [text.kind for text in texts(*calls, *outputs)] == ["call", "call", "output", "output"]


def test_calls_that_have_no_output_in_the_file_have_their_type_as_tool() -> None:
    found = texts(
        item("web_search_call", action={"type": "search", "query": "rust"}),
        item("image_generation_call", revised_prompt="a cat"),
    )

    assert found == [Text("call", "search\nrust", "web_search"), Text("call", "a cat", "image_generation")]


def test_an_output_after_over_1000_other_calls_has_no_tool() -> None:
    extractor = TextExtractor()
    texts(
        *(item("function_call", name="f", arguments='"x"', call_id=str(number)) for number in range(1001)),
        extractor=extractor,
    )

    first, second = texts(
        *(item("function_call_output", call_id=n, output="x") for n in ("0", "1")), extractor=extractor
    )

    assert (first.tool, second.tool) == (None, "f")


def test_an_extractor_continues_with_the_calls_that_were_open() -> None:
    (text,) = texts(item("function_call_output", call_id="1", output="x"), extractor=TextExtractor({"1": "shell"}))

    assert text.tool == "shell"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (item("reasoning", summary=[{"text": "a"}, "odd"], content=[{"text": "b"}]), Text("reasoning", "a\nb")),
        (event("agent_reasoning", text="a"), Text("reasoning", "a")),
        (event("agent_reasoning_raw_content", text="a"), Text("reasoning", "a")),
        (event("error", message="over the limit"), Text("agent", "over the limit")),
        (item("agent_message", content=[{"type": "input_text", "text": "to another"}]), Text("agent", "to another")),
        (event("item_completed", item={"type": "Plan", "text": "first, second"}), Text("agent", "first, second")),
        (event("thread_goal_updated", goal={"objective": "be done"}), Text("user", "be done")),
        (event("exited_review_mode", review_output={"findings": [{"title": "a bug"}]}), Text("agent", "a bug")),
        (("compacted", {"message": "what was"}), Text("summary", "what was")),
    ],
)
def test_each_line_with_a_text_has_this_text(line: Line, text: Text) -> None:
    assert texts(line) == [text]
    assert text.kind in TEXT_KINDS


@pytest.mark.parametrize("odd", [None, 1, 0.5, True, "", [], {}, [[]], {"type": []}])
def test_a_line_of_any_shape_is_read_without_an_error(odd: Any) -> None:
    kinds = [
        "message", "reasoning", "function_call", "function_call_output", "user_message", "item_completed",
        "thread_goal_updated", "exited_review_mode", "web_search_call", "agent_message", odd,
    ]  # fmt: skip
    keys = ("role", "content", "summary", "call_id", "name", "arguments", "output", "message", "item", "goal", "action")

    for line_type in ("response_item", "event_msg", "compacted"):
        for kind in kinds:
            assert texts((line_type, {"type": kind})) == []
            assert all(text.text for text in texts((line_type, {"type": kind, **dict.fromkeys(keys, odd)})))
