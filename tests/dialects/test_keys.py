from __future__ import annotations

from typing import Any

import pytest

from rollout.dialects import (
    dialect_for,
    is_compared,
    item_key,
    make_call,
    make_message,
    make_output,
    make_reasoning,
    text_of,
)

IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
TEXT = {"type": "output_text", "text": "hi"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (make_message("assistant", "hi"), make_message("assistant", " hi\n", id="msg_1", status="completed")),
        (make_message("assistant", "hi"), make_message("assistant", [{**TEXT, "annotations": [1], "logprobs": []}])),
        (make_message("assistant", "hi"), {"type": "message", "role": "assistant", "content": "hi"}),
        (make_message("user", "hi"), {"role": "user", "content": ["h", "i"]}),
        (make_message("user", [IMAGE]), make_message("user", [{**IMAGE, "detail": "high"}])),
        (make_message("system", "hi"), make_message("developer", "hi")),
        (
            make_message("assistant", [{"type": "refusal", "refusal": "no"}]),
            make_message("assistant", [{"type": "output_text", "text": "no", "refusal": True}], refusal="no"),
        ),
        (make_call("f", {"a": 1}, "c1"), make_call("f", '{"a": 1}', "c1", id="fc_1", signature="s")),
        (make_output("c1", "done"), make_output("c1", [{"type": "input_text", "text": "done\n"}], is_error=True)),
        (make_reasoning("one", "gAAA"), make_reasoning("", "gAAA", id="rs_1")),
        (make_reasoning("one", signature="s"), make_reasoning("one")),
        (
            {"type": "web_search_call", "id": "ws_1", "action": {"b": 1, "a": 2}},
            {"type": "web_search_call", "action": {"a": 2, "b": 1}},
        ),
        (
            {"type": "anthropic_document", "role": "user", "title": "t", "cache_control": {"type": "ephemeral"}},
            {"type": "anthropic_document", "role": "user", "title": "t", "context": None},
        ),
    ],
)
def test_items_that_differ_in_what_a_client_changes_are_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert item_key(one) == item_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (make_message("user", "hi"), make_message("user", "ho")),
        (make_message("user", "hi"), make_message("assistant", "hi")),
        (make_message("user", [TEXT, IMAGE]), make_message("user", [TEXT])),
        (make_message("user", [IMAGE]), make_message("user", [{**IMAGE, "image_url": "b"}])),
        (
            make_message("user", [{"type": "input_file", "file_id": "a"}]),
            make_message("user", [{"type": "input_file"}]),
        ),
        (make_call("f", {}, "c1"), make_call("f", {}, "c2")),
        (make_call("f", {}, "c1"), make_call("g", {}, "c1")),
        (make_call("f", {}, "c1"), make_output("c1", "f")),
        (make_output("c1", "done"), make_output("c1", "[cleared]")),
        (
            {**make_output("c1", ""), "output": {"success": True}},
            {**make_output("c1", ""), "output": {"success": False}},
        ),
        (make_reasoning("one"), make_reasoning("two")),
        ({"type": "item_reference", "id": "a"}, {"type": "item_reference", "id": "b"}),
        ({"type": "function_call_output", "output": "a"}, {"type": "function_call_output", "output": "b"}),
    ],
)
def test_items_that_differ_to_a_reader_are_not_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert item_key(one) != item_key(other)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (make_message("user", "hi"), True),
        (make_message("user", [IMAGE]), True),
        (make_message("assistant", "\n\n"), False),
        (make_message("assistant", []), False),
        (make_message("system", "hi"), False),
        (make_message("developer", "hi"), False),
        (make_reasoning("one"), False),
        (make_call("f", {}, "c1"), True),
        (make_output("c1", ""), True),
    ],
)
def test_reasoning_system_texts_and_empty_messages_are_not_compared(item: dict[str, Any], expected: bool) -> None:
    assert is_compared(item) == expected


def test_a_value_that_is_too_deep_has_a_key() -> None:
    deep: Any = {}
    for _ in range(5_000):
        deep = {"a": deep}

    assert item_key({"type": "x_call", "a": deep}) == ("x_call", "<too deep>")


def test_a_value_without_a_json_form_has_a_key() -> None:
    assert item_key({"type": "x", "a": object()}) == ("x", "<dict without a JSON form>")


@pytest.mark.parametrize(
    ("path", "reply", "sent_back"),
    [
        (
            "/v1/chat/completions",
            {"choices": [{"message": {"role": "assistant", "content": "hi ", "refusal": None, "annotations": []}}]},
            {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "hi"}]}]},
        ),
        (
            "/v1/messages",
            {"content": [{"type": "text", "text": "hi", "citations": None}], "role": "assistant"},
            {"messages": [{"role": "assistant", "content": "hi"}]},
        ),
        (
            "/v1/models/m:generateContent",
            {
                "candidates": [
                    {"content": {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1, "b": 2}}}]}}
                ]
            },
            {"contents": [{"role": "model", "parts": [{"function_call": {"name": "f", "args": {"b": 2, "a": 1}}}]}]},
        ),
        (
            "/v1/models/m:generateContent",
            {"candidates": [{"content": {"parts": [{"text": "hello"}]}}]},
            {"contents": [{"role": "model", "parts": [{"text": "hel"}]}, {"role": "model", "parts": [{"text": "lo"}]}]},
        ),
    ],
)
def test_a_reply_that_a_client_sends_back_is_the_same(
    path: str, reply: dict[str, Any], sent_back: dict[str, Any]
) -> None:
    dialect = dialect_for(path)
    assert dialect is not None

    produced, returned = dialect.read_reply(reply).items, dialect.read_request(sent_back).items

    assert [item_key(item) for item in produced] == [item_key(item) for item in returned]


@pytest.mark.parametrize(
    ("content", "text"),
    [("hi", "hi"), ([TEXT, {"type": "refusal", "refusal": "no"}, "!", 1, {"text": 2}], "hino!"), (None, ""), ({}, "")],
)
def test_the_text_of_a_content_is_its_parts_together(content: Any, text: str) -> None:
    assert text_of(content) == text


@pytest.mark.parametrize(
    ("item", "value"),
    [
        (make_call("f", None, "c1")["arguments"], ""),
        (make_call("f", {"a": 1}, "c1")["arguments"], '{"a":1}'),
        (make_output("c1", None)["output"], ""),
        (make_output("c1", {"a": 1})["output"], '{"a":1}'),
        (make_output("c1", object())["output"], "<object without a JSON form>"),
        (make_message("user", "")["content"], []),
    ],
)
def test_builders_accept_any_value(item: Any, value: Any) -> None:
    assert item == value
