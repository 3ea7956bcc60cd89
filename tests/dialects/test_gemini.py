from __future__ import annotations

from typing import Any

import pytest

from rollout.dialects import make_call, make_message, make_output, make_reasoning
from rollout.dialects._gemini import GeminiDialect
from tests.dialects import events

DIALECT = GeminiDialect("gemini-x")
INLINE = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
IMAGE_PART = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "parts": list(parts)}


def model(*parts: Any) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


def called(name: str = "f", **keys: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": {}, **keys}}


def answered(response: Any, name: str = "f", **keys: Any) -> dict[str, Any]:
    return {"functionResponse": {"name": name, "response": response, **keys}}


def read(*contents: Any) -> list[dict[str, Any]]:
    return DIALECT.read_request({"contents": list(contents)}).items


@pytest.mark.parametrize(
    "body",
    [
        {
            "contents": [user({"text": "hi"})],
            "systemInstruction": {"role": "user", "parts": [{"text": "be brief"}]},
            "generationConfig": {"thinkingConfig": {"thinking_level": "LOW"}},
            "tools": [{"googleSearch": {}}],
        },
        {
            "contents": "hi",
            "system_instruction": "be brief",
            "generation_config": {"thinking_config": {"thinkingLevel": "low"}},
            "tools": [{"googleSearch": {}}],
        },
    ],
)
def test_a_request_is_read_with_all_its_keys(body: dict[str, Any]) -> None:
    request = DIALECT.read_request(body)

    assert request.items == [make_message("user", "hi")]
    assert (request.model, request.instructions, request.effort) == ("gemini-x", "be brief", "low")
    assert request.tools == [{"googleSearch": {}}]
    assert list(request.settings) == ["generationConfig"]


def test_a_system_instruction_with_more_than_text_also_stays_in_the_settings() -> None:
    system = {"parts": [{"text": "look "}, {"text": "here"}, INLINE]}

    request = DIALECT.read_request({"systemInstruction": system, "model": "gemini-y"})

    assert (request.instructions, request.model) == ("look here", "gemini-y")
    assert request.settings == {"systemInstruction": system}


CONTENTS: dict[str, tuple[list[Any], list[dict[str, Any]]]] = {
    "text and an image": (
        [user({"text": "look"}, INLINE)],
        [make_message("user", [{"type": "input_text", "text": "look"}, IMAGE_PART])],
    ),
    "a signature on a text": (
        [model({"text": "look", "thoughtSignature": "s"})],
        [make_message("assistant", [{"type": "output_text", "text": "look", "thoughtSignature": "s"}])],
    ),
    "a thought and a call with its signature": (
        [model({"text": "I think", "thought": True}, {**called(id="c1"), "thoughtSignature": "s"})],
        [make_reasoning("I think", gemini={"thought": True}), make_call("f", {}, "c1", thoughtSignature="s")],
    ),
    "a response that is a text": (
        [model(called(id="c1")), user(answered({"result": "sunny"}, id="c1"))],
        [make_call("f", {}, "c1"), make_output("c1", "sunny", name="f", response_key="result")],
    ),
    "a response that is an object": (
        [
            model(called(id="c1", willContinue=True)),
            user(answered({"a": 1}, id="c1", scheduling="SILENT"), {"text": "and?"}),
        ],
        [
            make_call("f", {}, "c1", function={"willContinue": True}),
            make_output("c1", '{"a":1}', name="f", function={"scheduling": "SILENT"}),
            make_message("user", "and?"),
        ],
    ),
    "other parts": (
        [
            user({"fileData": {"fileUri": "u", "mimeType": "video/mp4"}}),
            model({"executableCode": {"code": "1"}}, {"text": "ok"}),
        ],
        [
            {"type": "gemini_part", "role": "user", "value": {"fileData": {"fileUri": "u", "mimeType": "video/mp4"}}},
            {"type": "gemini_part", "role": "assistant", "value": {"executableCode": {"code": "1"}}},
            make_message("assistant", "ok"),
        ],
    ),
    "an image whose type ends the address": (
        [user({"inlineData": {"mimeType": "image/a;base64,b", "data": "AAAA"}})],
        [
            {
                "type": "gemini_part",
                "role": "user",
                "value": {"inlineData": {"mimeType": "image/a;base64,b", "data": "AAAA"}},
            }
        ],
    ),
    "contents of another form": (
        [user({"text": "a"}), {"text": "odd"}, model({"text": "b"})],
        [
            make_message("user", "a"),
            {"type": "gemini_content", "value": {"text": "odd"}},
            make_message("assistant", "b"),
        ],
    ),
    "an empty content": (
        [user({"text": "a"}), user(), user({"text": "b"})],
        [make_message("user", "a"), make_message("user", []), make_message("user", "b")],
    ),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_contents_are_read_as_items_and_written_as_they_were(case: str) -> None:
    contents, items = CONTENTS[case]

    assert read(*contents) == items
    assert DIALECT.write_items(items) == contents


def test_calls_without_ids_and_their_outputs_share_an_id() -> None:
    contents = [
        model(called(args={"a": 1}), called(args={"a": 1}), called("g")),
        user(answered({"n": 1}), answered({"n": 2}, "g"), answered({"n": 3})),
        model(called(args={"a": 2})),
        user(answered({"n": 4}), answered({"n": 5}, "unknown")),
    ]

    items = read(*contents)

    ids = [item["call_id"] for item in items]
    assert ids[3:6] == [ids[0], ids[2], ids[1]]
    assert ids[7] == ids[6]
    assert len(set(ids)) == 5
    assert DIALECT.write_items(items) == contents


def test_objects_of_the_sdk_are_read_as_the_wire() -> None:
    part = {"function_call": {"name": "f", "args": None, "id": "c1"}, "thought_signature": "s", "thought": None}

    assert read({"role": "model", "parts": [part, {"inline_data": {"mime_type": "image/png", "data": "AAAA"}}]}) == [
        make_call("f", {}, "c1", thoughtSignature="s"),
        make_message("assistant", [IMAGE_PART]),
    ]


def test_a_single_content_without_a_role_is_of_the_user() -> None:
    assert DIALECT.read_request({"contents": {"parts": [{"text": "hi"}]}}).items == [make_message("user", "hi")]


def test_a_reply_has_the_items_of_all_its_candidates() -> None:
    body = events.GEMINI["several candidates"][1]

    reply = DIALECT.read_reply(body)

    assert reply.items == [make_message("assistant", "ab"), make_message("assistant", "xy", choice=1)]
    assert (reply.id, reply.model, reply.error, reply.stop) == ("r1", "gemini-x", None, "STOP")
    assert DIALECT.write_items(reply.items) == [model({"text": "ab"})]


def test_a_candidate_without_content_has_no_items() -> None:
    reply = DIALECT.read_reply(
        {"candidates": [{"finishReason": "MAX_TOKENS"}, {"content": {"parts": [{"text": "a"}]}}]}
    )

    assert (reply.items, reply.stop) == ([make_message("assistant", "a", choice=1)], "MAX_TOKENS")


@pytest.mark.parametrize(
    ("body", "error", "stop"),
    [
        ({"error": {"code": 429, "message": "slow down"}}, "slow down", None),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, None, "SAFETY"),
        ({"prompt_feedback": {"block_reason": "OTHER", "block_reason_message": "not here"}}, "not here", "OTHER"),
    ],
)
def test_an_error_and_a_block_are_stated(body: dict[str, Any], error: str | None, stop: str | None) -> None:
    reply = DIALECT.read_reply(body)

    assert (reply.items, reply.error, reply.stop) == ([], error, stop)


def test_items_of_other_apis_are_written_as_contents() -> None:
    items: list[dict[str, Any]] = [
        {"type": "message", "role": "user", "content": "hi"},
        make_message("user", [{"type": "input_image", "image_url": "https://x/a.png"}, {"type": "odd"}]),
        make_reasoning("thought of another API"),
        make_message("assistant", [{"type": "refusal", "refusal": "no"}]),
        {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "abc"},
        make_call("none", "", "c2"),
        {"type": "local_shell_call", "call_id": "c3", "action": {"command": ["ls"]}},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"},
        make_output("c2", [{"type": "input_text", "text": "a"}]),
        make_output("c4", {"a": 1}),
        {"type": "web_search_call", "id": "ws_1"},
    ]

    assert DIALECT.write_items(items) == [
        user({"text": "hi"}, {"fileData": {"fileUri": "https://x/a.png"}}),
        model(
            {"text": "no"},
            {"functionCall": {"id": "c1", "name": "patch", "args": {"input": "abc"}}},
            {"functionCall": {"id": "c2", "name": "none", "args": {}}},
            {"functionCall": {"id": "c3", "name": "local_shell", "args": {"command": ["ls"]}}},
        ),
        user(
            {"functionResponse": {"id": "c1", "name": "patch", "response": {"output": "ok"}}},
            {"functionResponse": {"id": "c2", "name": "none", "response": {"output": "a"}}},
            {"functionResponse": {"id": "c4", "name": "", "response": {"a": 1}}},
        ),
    ]
