from __future__ import annotations

from typing import Any

import pytest

from rollout.dialects import make_call, make_message, make_output, make_reasoning
from rollout.dialects._messages import MessagesDialect
from tests.dialects import events

DIALECT = MessagesDialect()
CACHE = {"cache_control": {"type": "ephemeral"}}
TEXT = {"type": "text", "text": "look"}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
IMAGE_PART = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
FILE_IMAGE = {"type": "image", "source": {"type": "file", "file_id": "f"}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris"}}


def read(*messages: Any) -> list[dict[str, Any]]:
    return DIALECT.read_request({"messages": list(messages)}).items


def test_a_request_is_read_with_all_its_keys() -> None:
    body = {
        "messages": [{"role": "user", "content": "hi"}],
        "model": "claude-x",
        "system": "be brief",
        "output_config": {"effort": "high"},
        "tools": [{"name": "weather"}],
        "stream": False,
        "max_tokens": 100,
    }

    request = DIALECT.read_request(body)

    assert request.items == [make_message("user", "hi")]
    assert (request.model, request.instructions, request.effort) == ("claude-x", "be brief", "high")
    assert request.tools == [{"name": "weather"}]
    assert request.settings == {"output_config": {"effort": "high"}, "max_tokens": 100}


def test_a_system_text_in_blocks_also_stays_in_the_settings() -> None:
    system = [{**TEXT, **CACHE}, {"type": "text", "text": " here"}]

    request = DIALECT.read_request({"system": system, "model": 5})

    assert request.instructions == "look here"
    assert request.settings == {"system": system, "model": 5}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


MESSAGES: dict[str, tuple[list[Any], list[dict[str, Any]]]] = {
    "a text": ([{"role": "user", "content": "hi"}], [make_message("user", "hi")]),
    "an empty text": (
        [{"role": "assistant", "content": ""}, assistant(USE)],
        [make_message("assistant", []), make_call("weather", {"city": "Paris"}, "toolu_1")],
    ),
    "texts of two messages": (
        [{"role": "user", "content": "hi"}, {"role": "user", "content": "ho"}],
        [make_message("user", "hi"), make_message("user", "ho")],
    ),
    "text and images of one message": (
        [user(TEXT, {**IMAGE, **CACHE}, {"type": "image", "source": {"type": "url", "url": "https://x/a.png"}})],
        [
            make_message(
                "user",
                [
                    {"type": "input_text", "text": "look"},
                    {**IMAGE_PART, **CACHE},
                    {"type": "input_image", "image_url": "https://x/a.png"},
                ],
            )
        ],
    ),
    "an image by its id": (
        [user(TEXT, FILE_IMAGE)],
        [make_message("user", "look"), {**FILE_IMAGE, "type": "anthropic_image", "role": "user"}],
    ),
    "thinking, text and calls": (
        [assistant({"type": "thinking", "thinking": "I think", "signature": "sig"}, TEXT, USE)],
        [
            make_reasoning("I think", signature="sig"),
            make_message("assistant", "look"),
            make_call("weather", {"city": "Paris"}, "toolu_1"),
        ],
    ),
    "thinking without a signature": (
        [assistant({"type": "thinking", "thinking": "I think"}, TEXT)],
        [make_reasoning("I think", anthropic={"type": "thinking"}), make_message("assistant", "look")],
    ),
    "redacted thinking": (
        [assistant({"type": "redacted_thinking", "data": "enc"}, TEXT)],
        [make_reasoning("", "enc", anthropic={"type": "redacted_thinking"}), make_message("assistant", "look")],
    ),
    "a call with further keys": (
        [assistant({**USE, "caller": {"type": "direct"}, "odd": 1})],
        [make_call("weather", {"city": "Paris"}, "toolu_1", caller={"type": "direct"}, anthropic={"odd": 1})],
    ),
    "results and a text": (
        [
            user(
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "21 C", **CACHE},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "broken", "is_error": True},
                {"type": "tool_result", "tool_use_id": "toolu_3", "content": [TEXT, IMAGE]},
                {"type": "tool_result", "tool_use_id": "toolu_4", "content": [TEXT, FILE_IMAGE]},
                {"type": "tool_result", "tool_use_id": "toolu_5", "content": [{**TEXT, **CACHE}]},
                TEXT,
            )
        ],
        [
            make_output("toolu_1", "21 C", **CACHE),
            make_output("toolu_2", "broken", is_error=True),
            make_output("toolu_3", [{"type": "input_text", "text": "look"}, IMAGE_PART]),
            make_output("toolu_4", "look", anthropic={"content": [TEXT, FILE_IMAGE]}),
            make_output("toolu_5", "look", anthropic={"content": [{**TEXT, **CACHE}]}),
            make_message("user", "look"),
        ],
    ),
    "a document": (
        [user({"type": "document", "source": {"type": "file", "file_id": "f"}, **CACHE}, TEXT)],
        [
            {"type": "anthropic_document", "role": "user", "source": {"type": "file", "file_id": "f"}, **CACHE},
            make_message("user", "look"),
        ],
    ),
    "a message with further keys": (
        [assistant(USE), {**assistant(USE), "odd": 1}],
        [
            make_call("weather", {"city": "Paris"}, "toolu_1"),
            make_call("weather", {"city": "Paris"}, "toolu_1", anthropic_message={"odd": 1}),
        ],
    ),
    "damaged blocks": (
        [assistant("odd", {"type": "text"}, {"type": "image"}, {"type": "thinking"}, {"type": "redacted_thinking"})],
        [
            {"type": "anthropic_unknown", "role": "assistant", "value": "odd"},
            {"type": "anthropic_text", "role": "assistant"},
            {"type": "anthropic_image", "role": "assistant"},
            {"type": "anthropic_thinking", "role": "assistant"},
            {"type": "anthropic_redacted_thinking", "role": "assistant"},
        ],
    ),
    "damaged calls and results": (
        [
            assistant({"type": "tool_use", "id": "a"}, {**USE, "input": [1]}),
            user({"type": "tool_result", "content": "a"}, {"type": "x", "role": "y"}),
        ],
        [
            {"type": "anthropic_tool_use", "role": "assistant", "id": "a"},
            {**USE, "type": "anthropic_tool_use", "role": "assistant", "input": [1]},
            {"type": "anthropic_tool_result", "role": "user", "content": "a"},
            {"type": "anthropic_unknown", "role": "user", "value": {"type": "x", "role": "y"}},
        ],
    ),
    "a message without a role": (
        [{"content": [TEXT]}, "odd", {"role": "user", "content": 5}],
        [
            {"type": "anthropic_message", "value": {"content": [TEXT]}},
            {"type": "anthropic_message", "value": "odd"},
            {"type": "anthropic_message", "value": {"role": "user", "content": 5}},
        ],
    ),
    "an image whose address looks like another kind": (
        [user({"type": "image", "source": {"type": "url", "url": "data:image/png;base64,AAAA"}}, TEXT)],
        [
            {"type": "anthropic_image", "role": "user", "source": {"type": "url", "url": "data:image/png;base64,AAAA"}},
            make_message("user", "look"),
        ],
    ),
    "an image with its text in the address": (
        [user({"type": "image", "source": {"type": "url", "url": "data:,a"}}, TEXT)],
        [
            make_message(
                "user", [{"type": "input_image", "image_url": "data:,a"}, {"type": "input_text", "text": "look"}]
            )
        ],
    ),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_messages_are_read_as_items_and_written_as_they_were(case: str) -> None:
    messages, items = MESSAGES[case]

    assert read(*messages) == items
    assert DIALECT.write_items(items) == messages


def test_messages_that_are_no_list_are_read() -> None:
    assert DIALECT.read_request({"messages": "hi"}).items == [{"type": "anthropic_message", "value": "hi"}]


def test_a_reply_keeps_the_order_of_its_blocks() -> None:
    reply = DIALECT.read_reply(events.anthropic(events.BLOCKS, "tool_use"))

    assert [item["type"] for item in reply.items] == [
        "reasoning",
        "reasoning",
        "message",
        "anthropic_server_tool_use",
        "anthropic_web_search_tool_result",
        "message",
        "function_call",
        "function_call",
        "anthropic_compaction",
    ]
    assert reply.items[5]["content"] == [
        {"type": "output_text", "text": "Found "},
        {"type": "output_text", "text": "this fact", "citations": [events.WEB_CITATION] * 2},
    ]
    assert (reply.id, reply.model, reply.error, reply.stop) == ("msg_1", "claude-x", None, "tool_use")
    assert DIALECT.write_items(reply.items) == [{"role": "assistant", "content": events.BLOCKS}]


def test_a_body_with_an_error_has_its_text() -> None:
    reply = DIALECT.read_reply({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})

    assert (reply.items, reply.error) == ([], "Overloaded")


def test_items_of_other_apis_are_written_as_messages() -> None:
    items: list[dict[str, Any]] = [
        {"type": "message", "role": "developer", "content": "be brief"},
        make_message("user", [{"type": "input_text", "text": "a"}, {"type": "odd"}]),
        make_reasoning("thought of another API", "gAAA"),
        make_reasoning("thought of another API"),
        make_message("assistant", [{"type": "refusal", "refusal": "no"}], id="msg_1"),
        make_message("assistant", "other", choice=1),
        {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "abc"},
        make_call("cut", '{"a', "c2"),
        make_call("none", "", "c3"),
        {"type": "local_shell_call", "call_id": "c4", "action": {"command": ["ls"]}},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": {"a": 1}},
        {"type": "web_search_call", "id": "ws_1"},
    ]

    assert DIALECT.write_items(items) == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "a"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "no"},
                {"type": "tool_use", "id": "c1", "name": "patch", "input": {"input": "abc"}},
                {"type": "tool_use", "id": "c2", "name": "cut", "input": {"input": '{"a'}},
                {"type": "tool_use", "id": "c3", "name": "none", "input": {}},
                {"type": "tool_use", "id": "c4", "name": "local_shell", "input": {"command": ["ls"]}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": '{"a":1}'}]},
    ]
