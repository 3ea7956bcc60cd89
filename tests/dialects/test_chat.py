from __future__ import annotations

from typing import Any

import pytest

from rollout.dialects import make_call, make_message, make_output, make_reasoning
from rollout.dialects._chat import ChatDialect
from tests.dialects import events

DIALECT = ChatDialect()
URL = "data:image/png;base64,AAAA"
TEXT = {"type": "text", "text": "look"}
CALL = events.called("c1", '{"c":1}')


def read(*messages: Any) -> list[dict[str, Any]]:
    return DIALECT.read_request({"messages": list(messages)}).items


def test_a_request_is_read_with_all_its_keys() -> None:
    body = {
        "messages": [{"role": "developer", "content": "be brief"}, {"role": "user", "content": "hi"}],
        "model": "gpt-x",
        "reasoning_effort": "low",
        "tools": [{"type": "function"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "user": None,
    }

    request = DIALECT.read_request(body)

    assert request.items == [make_message("developer", "be brief"), make_message("user", "hi")]
    assert (request.model, request.effort, request.instructions) == ("gpt-x", "low", None)
    assert request.tools == [{"type": "function"}]
    assert request.settings == {"stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("body", "effort", "tools", "settings"),
    [
        ({"reasoning": {"effort": "high"}}, "high", None, {"reasoning": {"effort": "high"}}),
        ({"functions": [1]}, None, [1], {}),
        ({"functions": [1], "tools": [2]}, None, [2], {"functions": [1]}),
        ({"model": 5, "reasoning_effort": 5}, None, None, {"model": 5, "reasoning_effort": 5}),
    ],
)
def test_other_forms_of_settings_are_read(body: dict[str, Any], effort: str | None, tools: Any, settings: Any) -> None:
    request = DIALECT.read_request(body)

    assert (request.effort, request.tools, request.settings) == (effort, tools, settings)


MESSAGES: dict[str, tuple[list[Any], list[dict[str, Any]]]] = {
    "a text": ([{"role": "user", "content": "hi"}], [make_message("user", "hi")]),
    "an empty text": ([{"role": "user", "content": ""}], [make_message("user", [])]),
    "a name": ([{"role": "user", "content": "hi", "name": "ann"}], [make_message("user", "hi", name="ann")]),
    "an unknown key": (
        [{"role": "user", "content": "hi", "id": "m1"}],
        [make_message("user", "hi", chat={"id": "m1"})],
    ),
    "text and images": (
        [
            {
                "role": "user",
                "content": [
                    {**TEXT, "cache_control": {"type": "ephemeral"}},
                    {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": URL}},
                ],
            }
        ],
        [
            make_message(
                "user",
                [
                    {"type": "input_text", "text": "look", "cache_control": {"type": "ephemeral"}},
                    {"type": "input_image", "image_url": URL, "detail": "low"},
                    {"type": "input_image", "image_url": URL},
                ],
            )
        ],
    ),
    "a file and audio between texts": (
        [
            {
                "role": "user",
                "content": [
                    TEXT,
                    {"type": "file", "file": {"file_id": "f"}},
                    {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
                    TEXT,
                ],
            }
        ],
        [
            make_message("user", "look"),
            {"type": "chat_file", "role": "user", "file": {"file_id": "f"}},
            {"type": "chat_input_audio", "role": "user", "input_audio": {"data": "AA", "format": "wav"}},
            make_message("user", "look"),
        ],
    ),
    "parallel calls and their outputs": (
        [
            {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL, events.called("c2", "{}")]},
            {"role": "tool", "tool_call_id": "c1", "content": "21 C"},
            {"role": "tool", "tool_call_id": "c2", "content": "5 C", "name": "weather"},
        ],
        [
            make_message("assistant", "Let me see."),
            make_call("weather", '{"c":1}', "c1"),
            make_call("weather", "{}", "c2"),
            make_output("c1", "21 C"),
            make_output("c2", "5 C", name="weather"),
        ],
    ),
    "calls with a signature of Google": (
        [{"role": "assistant", "content": None, "tool_calls": [{**CALL, "extra_content": {"google": {}}, "index": 0}]}],
        [make_call("weather", '{"c":1}', "c1", extra_content={"google": {}}, chat={"index": 0})],
    ),
    "a function with further keys": (
        [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{**CALL, "function": {"name": "weather", "arguments": "{}", "strict": True}}],
            }
        ],
        [make_call("weather", "{}", "c1", function={"strict": True})],
    ),
    "a custom tool": (
        [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "patch", "input": "abc"}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "ok"},
        ],
        [
            {"type": "custom_tool_call", "name": "patch", "input": "abc", "call_id": "c1"},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"},
        ],
    ),
    "a call of another form": (
        [{"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "odd"}, CALL]}],
        [
            {"type": "chat_tool_call", "value": {"id": "c1", "type": "odd"}},
            make_call("weather", '{"c":1}', "c1"),
        ],
    ),
    "extra keys of a message that has only calls": (
        [
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "assistant", "content": None, "tool_calls": [CALL], "name": "ann"},
        ],
        [
            make_call("weather", '{"c":1}', "c1"),
            make_call("weather", '{"c":1}', "c1", chat_message={"name": "ann"}),
        ],
    ),
    "an output with an image": (
        [
            {
                "role": "tool",
                "tool_call_id": "c1",
                "content": [TEXT, {"type": "image_url", "image_url": {"url": URL}}],
            }
        ],
        [make_output("c1", [{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": URL}])],
    ),
    "an output of several texts": (
        [{"role": "tool", "tool_call_id": "c1", "content": [TEXT, TEXT]}],
        [make_output("c1", "looklook", chat={"content": [TEXT, TEXT]})],
    ),
    "an output of another type": (
        [{"role": "tool", "tool_call_id": "c1", "content": {"a": 1}}],
        [make_output("c1", '{"a":1}', chat={"content": {"a": 1}})],
    ),
    "a refusal": (
        [{"role": "assistant", "content": None, "refusal": "I cannot."}],
        [
            make_message(
                "assistant", [{"type": "output_text", "text": "I cannot.", "refusal": True}], refusal="I cannot."
            )
        ],
    ),
    "a refusal as a part": (
        [{"role": "assistant", "content": [TEXT, {"type": "refusal", "refusal": "no"}]}],
        [
            make_message(
                "assistant",
                [{"type": "output_text", "text": "look"}, {"type": "output_text", "text": "no", "refusal": True}],
            )
        ],
    ),
    "audio of an earlier reply": (
        [{"role": "assistant", "content": "", "audio": {"id": "au"}}],
        [make_message("assistant", [], audio={"id": "au"})],
    ),
    "reasoning of DeepSeek": (
        [
            {"role": "assistant", "content": "ok", "reasoning_content": "I think"},
            {"role": "assistant", "content": None, "reasoning_content": "More", "tool_calls": [CALL]},
        ],
        [
            make_reasoning("I think"),
            make_message("assistant", "ok"),
            make_reasoning("More"),
            make_call("weather", '{"c":1}', "c1"),
        ],
    ),
    "reasoning of vLLM": (
        [{"role": "assistant", "content": "ok", "reasoning_content": "I think", "reasoning": "I think"}],
        [make_reasoning("I think", reasoning="I think"), make_message("assistant", "ok")],
    ),
    "reasoning of OpenRouter": (
        [{"role": "assistant", "content": "ok", "reasoning": "I think", "reasoning_details": [{"signature": "s"}]}],
        [
            make_reasoning("I think", chat_key="reasoning", reasoning_details=[{"signature": "s"}]),
            make_message("assistant", "ok"),
        ],
    ),
    "reasoning in details only": (
        [{"role": "assistant", "content": "ok", "reasoning_details": [{"text": "a"}, {"summary": "b"}, {"data": "c"}]}],
        [
            make_reasoning(
                "ab", chat_key="reasoning_details", reasoning_details=[{"text": "a"}, {"summary": "b"}, {"data": "c"}]
            ),
            make_message("assistant", "ok"),
        ],
    ),
    "reasoning with extra keys of its message": (
        [
            {"role": "assistant", "content": None, "reasoning_content": "I think", "prefix": True},
            {"role": "assistant", "content": "ok"},
        ],
        [make_reasoning("I think", chat_message={"prefix": True}), make_message("assistant", "ok")],
    ),
    "parts of Mistral": (
        [
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "I think"}]},
                    {"type": "text", "text": "ok"},
                    {"type": "thinking", "thinking": [{"type": "text", "text": "more"}], "closed": True},
                    {"type": "text", "text": "yes"},
                ],
            }
        ],
        [
            make_reasoning("I think", chat_key="thinking"),
            make_message("assistant", "ok"),
            make_reasoning(
                "more", chat_key="thinking", thinking={"thinking": [{"type": "text", "text": "more"}], "closed": True}
            ),
            make_message("assistant", "yes"),
        ],
    ),
    "an unknown role": ([{"role": "critic", "content": "hi"}], [make_message("critic", "hi")]),
    "a message without a role": (
        [{"content": "hi"}, {"role": "assistant", "content": None, "tool_calls": [CALL]}],
        [{"type": "chat_message", "value": {"content": "hi"}}, make_call("weather", '{"c":1}', "c1")],
    ),
    "an image with unknown keys": (
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": URL, "odd": 1}}]}],
        [{"type": "chat_image_url", "role": "user", "image_url": {"url": URL, "odd": 1}}],
    ),
    "a part without a type": (
        [{"role": "user", "content": [{"text": "hi"}]}],
        [{"type": "chat_unknown", "role": "user", "value": {"text": "hi"}}],
    ),
    "a name on a part that is no message": (
        [
            {"role": "user", "content": [{"type": "file", "file": {}}], "name": "ann"},
            {"role": "user", "content": "hi"},
        ],
        [
            {"type": "chat_file", "role": "user", "file": {}, "chat_message": {"name": "ann"}},
            make_message("user", "hi"),
        ],
    ),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_messages_are_read_as_items_and_written_as_they_were(case: str) -> None:
    messages, items = MESSAGES[case]

    assert read(*messages) == items
    assert DIALECT.write_items(items) == messages


def test_other_forms_of_the_same_messages_are_read() -> None:
    image = {"type": "image_url", "image_url": URL}

    assert read({"role": "user", "content": ["hi", image]}) == [
        make_message("user", [{"type": "input_text", "text": "hi"}, {"type": "input_image", "image_url": URL}])
    ]
    assert read({"role": "user", "content": {"type": "text", "text": "hi"}}) == [make_message("user", "hi")]
    assert DIALECT.read_request({"messages": "hi"}).items == [{"type": "chat_message", "value": "hi"}]
    assert read(
        {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"a": 1}}}]}
    ) == [make_call("f", '{"a":1}', "c1")]


def test_the_old_function_call_and_its_output_share_an_id() -> None:
    messages = [
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "ok"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "not JSON"}},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
    ]

    items = read(*messages)

    assert items[0]["call_id"] == items[1]["call_id"] != items[2]["call_id"]
    assert items[1]["type"] == "function_call_output"
    assert DIALECT.write_items(items) == messages


def test_calls_without_ids_get_the_same_ones_in_the_reply_and_the_next_request() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": '{"a": 1, "b": 2}'}}
    same = {"type": "function", "function": {"name": "f", "arguments": '{"b":2,"a":1}'}}
    custom = {"type": "custom", "custom": {"name": "g", "input": "x"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call, same, custom]}
    outputs = [{"role": "tool", "name": name, "content": "ok"} for name in ("f", "f", "g")]

    produced = DIALECT.read_reply({"choices": [{"message": message}]}).items
    items = read(message, *outputs)

    ids = [item["call_id"] for item in produced]
    assert len(set(ids)) == len(ids)
    assert [item["call_id"] for item in items] == [*ids, *ids]
    assert DIALECT.write_items(items) == [message, *outputs]


def test_a_reply_has_the_items_of_all_its_choices() -> None:
    body = events.completion(
        {"role": "assistant", "content": "a", "refusal": None, "annotations": []},
        {"role": None, "content": "b"},
        {"role": "assistant", "content": "c", "annotations": [{"type": "url_citation"}]},
    )
    body["choices"].append({"message": "odd", "index": None})
    body["choices"].append({"finish_reason": "stop"})

    reply = DIALECT.read_reply(body)

    assert reply.items == [
        make_message("assistant", "a"),
        make_message("assistant", "b", choice=1),
        make_message("assistant", "c", annotations=[{"type": "url_citation"}], choice=2),
        {"type": "chat_message", "value": "odd", "choice": 3},
    ]
    assert (reply.id, reply.model, reply.error, reply.stop) == ("chatcmpl-1", "gpt-x", None, "stop")
    assert DIALECT.write_items(reply.items) == [{"role": "assistant", "content": "a"}]


def test_a_body_with_an_error_has_its_text() -> None:
    reply = DIALECT.read_reply({"error": {"message": "slow down", "code": 429}})

    assert (reply.items, reply.error, reply.stop) == ([], "slow down", None)


def test_items_of_other_apis_are_written_as_messages() -> None:
    items: list[dict[str, Any]] = [
        {"type": "message", "role": "user", "content": "hi", "id": "m1"},
        make_message("assistant", [{"type": "refusal", "refusal": "no"}, {"type": "odd"}], status="completed"),
        {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"},
        {"type": "local_shell_call", "call_id": "c1", "action": {"command": ["ls"]}},
        make_output("c1", [{"type": "input_text", "text": "a"}, {"type": "odd"}]),
        {"type": "computer_call_output", "call_id": "c2", "output": {"a": 1}},
        {"type": "web_search_call", "id": "ws_1"},
        {"type": "anthropic_document", "role": "user"},
    ]

    assert DIALECT.write_items(items) == [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": [{"type": "refusal", "refusal": "no"}],
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "local_shell", "arguments": '{"command":["ls"]}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a"},
        {"role": "tool", "tool_call_id": "c2", "content": '{"a":1}'},
    ]
