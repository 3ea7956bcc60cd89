from __future__ import annotations

from typing import Any

import pytest

from rollout.dialects import item_key, make_call, make_message, make_output, make_reasoning
from rollout.dialects._responses import ResponsesDialect
from tests.dialects import events

DIALECT = ResponsesDialect()
# Codex skips a message with a part of the type `refusal`.
READ_MESSAGE = {
    **events.MESSAGE, "content": [events.TEXT_PART, {"type": "output_text", "text": "no no", "refusal": True}]
}  # fmt: skip
FILE = {"type": "input_file", "filename": "report.pdf", "file_data": "data:application/pdf;base64,AA=="}


def test_a_request_is_read_with_all_its_keys() -> None:
    body = {
        "input": "hi",
        "model": "gpt-x",
        "instructions": "be brief",
        "reasoning": {"effort": "high", "summary": "auto"},
        "tools": [{"type": "web_search"}],
        "stream": True,
        "temperature": 0.5,
        "metadata": None,
        "previous_response_id": "resp_1",
        "conversation": {"id": "conv_1"},
    }

    request = DIALECT.read_request(body)

    assert request.items == [make_message("user", "hi")]
    assert (request.model, request.instructions, request.effort) == ("gpt-x", "be brief", "high")
    assert (request.previous_id, request.conversation) == ("resp_1", "conv_1")
    assert request.tools == [{"type": "web_search"}]
    assert request.settings == {"reasoning": body["reasoning"], "temperature": 0.5}


def test_what_is_not_understood_stays_in_the_settings() -> None:
    request = DIALECT.read_request({"model": 1, "instructions": ["x"], "conversation": "", "tools": None})

    assert request.settings == {"model": 1, "instructions": ["x"], "conversation": ""}
    assert (request.items, request.model, request.tools) == ([], None, None)


@pytest.mark.parametrize(
    ("value", "item"),
    [
        ({"role": "user", "content": "hi"}, make_message("user", "hi")),
        ({"type": None, "role": "assistant", "content": "hi"}, make_message("assistant", "hi")),
        (
            {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
            make_message("user", [{"type": "input_text", "text": "a"}]),
        ),
        (events.MESSAGE, READ_MESSAGE),
        (events.SEARCH, events.SEARCH),
        ({"id": "msg_1"}, {"type": "item_reference", "id": "msg_1"}),
        ({"type": "item_reference", "id": "msg_1"}, {"type": "item_reference", "id": "msg_1"}),
        ({"x": 1}, {"type": "responses_unknown", "value": {"x": 1}}),
        ("odd", {"type": "responses_unknown", "value": "odd"}),
    ],
)
def test_an_item_of_the_input_stays_and_a_message_gets_its_type_and_parts(value: Any, item: dict[str, Any]) -> None:
    assert DIALECT.read_request({"input": [value]}).items == [item]


def test_an_input_that_is_no_list_is_read() -> None:
    assert DIALECT.read_request({"input": {"role": "user", "content": "hi"}}).items == [make_message("user", "hi")]


def test_a_reply_is_read() -> None:
    reply = DIALECT.read_reply(events.response(events.OUTPUT))

    assert reply.items == [READ_MESSAGE if item is events.MESSAGE else item for item in events.OUTPUT]
    assert (reply.id, reply.model, reply.error, reply.stop) == ("resp_1", "gpt-x", None, "completed")
    assert reply.usage == {
        "input_tokens": 12,
        "cached_input_tokens": 4,
        "cache_write_input_tokens": 0,
        "output_tokens": 5,
        "reasoning_output_tokens": 2,
        "total_tokens": 17,
    }


@pytest.mark.parametrize(
    ("more", "error", "stop"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, None, "max_output_tokens"),
        ({"status": "failed", "error": {"code": "c", "message": "broken"}}, "broken", "failed"),
        ({"status": "failed", "error": {"code": "c"}}, '{"code":"c"}', "failed"),
        ({"status": "failed", "error": "broken"}, "broken", "failed"),
        ({"status": "failed", "error": 5}, "5", "failed"),
        ({"status": "completed", "error": {}}, None, "completed"),
        ({"status": "completed", "error": []}, None, "completed"),
    ],
)
def test_the_end_of_a_reply_is_in_the_words_of_the_api(more: dict[str, Any], error: str | None, stop: str) -> None:
    reply = DIALECT.read_reply({**events.response([]), **more})

    assert (reply.error, reply.stop) == (error, stop)


def test_items_of_other_apis_are_written_without_what_this_api_refuses() -> None:
    items: list[dict[str, Any]] = [
        make_message("user", [{"type": "input_text", "text": "a", "cache_control": {"type": "ephemeral"}}]),
        make_message(
            "assistant", [{"type": "output_text", "text": "no", "refusal": True}], refusal="no", chat={"odd": 1}
        ),
        {"type": "anthropic_document", "role": "user"},
        {**make_message("assistant", "other"), "choice": 1},
        make_call("f", {}, "c1", signature="s", caller={"type": "direct"}),
        make_reasoning("a", chat_key="reasoning"),
    ]

    assert DIALECT.write_items(items) == [
        make_message("user", "a"),
        make_message("assistant", [{"type": "refusal", "refusal": "no"}]),
        make_call("f", {}, "c1"),
        make_reasoning("a"),
    ]


def test_a_damaged_part_is_written_as_it_was() -> None:
    items = [
        make_message("user", ["odd", {"type": "refusal", "refusal": "no"}]),
        {"type": "responses_unknown", "value": "odd"},
    ]

    assert DIALECT.write_items(items) == [items[0], "odd"]


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (FILE, "[input_file report.pdf]"),
        ({"type": "input_file", "file_id": "f_1"}, "[input_file f_1]"),
        ({"type": "input_file", "file_url": "https://x/y"}, "[input_file https://x/y]"),
        ({"type": "computer_screenshot"}, "[computer_screenshot]"),
        ({"type": "refusal", "refusal": 5}, "[refusal]"),
    ],
)
@pytest.mark.parametrize("kind", ["message", "output"])
def test_a_part_that_codex_does_not_read_is_within_a_text_and_is_written_back(
    part: dict[str, Any], text: str, kind: str
) -> None:
    parts = [{"type": "input_text", "text": "See:"}, part, "odd", {"x": 1}]
    item = {"role": "user", "content": parts} if kind == "message" else make_output("c1", parts)

    (read,) = DIALECT.read_request({"input": [item]}).items

    found = read["content" if kind == "message" else "output"]
    assert found == [parts[0], {"type": "input_text", "text": text, "responses_part": part}, *parts[2:]]
    assert DIALECT.write_items([read]) == [{"type": "message", **item}]


def test_messages_with_other_files_are_other_messages() -> None:
    def key(file: str) -> tuple[str, ...]:
        content = [{"type": "input_text", "text": "See:"}, {**FILE, "file_data": file}]
        (item,) = DIALECT.read_request({"input": [{"role": "user", "content": content}]}).items
        (alone,) = DIALECT.read_request({"input": [{"role": "user", "content": content[1:]}]}).items
        return (*item_key(item), *item_key(alone))

    assert key("a") == key("a")
    assert key("a") != key("b")
    assert "See:" in key("a")
