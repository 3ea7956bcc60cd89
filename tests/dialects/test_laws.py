from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.codec import decode_json, encode_json
from rollout.dialects import Dialect, dialect_for, is_compared, item_key, text_of, usage_of
from tests.dialects import conversations, events
from tests.dialects.conversations import JSON, damaged

RESPONSES, CHAT, MESSAGES, GEMINI = (
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/messages",
    "/v1beta/models/gemini-x:generateContent",
)
PATHS = [RESPONSES, CHAT, MESSAGES, GEMINI]
CONTEXT = {
    RESPONSES: ("input", conversations.INPUT_ITEM),
    CHAT: ("messages", conversations.CHAT_MESSAGE),
    MESSAGES: ("messages", conversations.ANTHROPIC_MESSAGE),
    GEMINI: ("contents", conversations.CONTENT),
}


def dialect(path: str) -> Dialect:
    found = dialect_for(path)
    assert found is not None
    return found


def requests(path: str) -> st.SearchStrategy[dict[str, Any]]:
    key, message = CONTEXT[path]
    return st.lists(message, max_size=5).map(lambda messages: {"model": "m", key: messages})


def read(path: str, messages: Any) -> list[dict[str, Any]]:
    return dialect(path).read_request({CONTEXT[path][0]: messages}).items


@pytest.mark.parametrize("path", PATHS)
@given(data=st.data())
def test_what_was_read_and_written_is_read_again_as_the_same_items(path: str, data: st.DataObject) -> None:
    items = dialect(path).read_request(data.draw(requests(path))).items

    assert read(path, dialect(path).write_items(items)) == items


@given(data=st.data())
def test_messages_of_anthropic_are_written_as_they_were(data: st.DataObject) -> None:
    body = data.draw(requests(MESSAGES))

    written = dialect(MESSAGES).write_items(dialect(MESSAGES).read_request(body).items)

    assert merged(written) == merged(body["messages"])


def merged(messages: list[dict[str, Any]]) -> list[tuple[str, list[Any]]]:
    """
    Return the blocks of messages, those of one role in a row together: to the API this is the same conversation.
    """
    runs: list[tuple[str, list[Any]]] = []
    for message in messages:
        content, others = (
            message["content"],
            {key: held for key, held in message.items() if key not in ("role", "content")},
        )
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) and content else list(content)
        if not runs or runs[-1][0] != message["role"]:
            runs.append((message["role"], []))
        runs[-1][1].extend([*([others] if others else []), *map(with_plain_result, blocks)])
    return runs


def with_plain_result(block: dict[str, Any]) -> dict[str, Any]:
    content = block.get("content")
    is_plain = block["type"] == "tool_result" and content == [{"type": "text", "text": text_of(content)}]
    return {**block, "content": text_of(content)} if is_plain else block


@given(data=st.data())
def test_contents_of_gemini_are_written_as_they_were(data: st.DataObject) -> None:
    contents = data.draw(requests(GEMINI))["contents"]

    written = dialect(GEMINI).write_items(read(GEMINI, contents))

    assert parts_of(written) == parts_of(contents)


def parts_of(contents: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [(content["role"], part) for content in contents for part in content["parts"]]


@pytest.mark.parametrize("path", PATHS)
@given(data=st.data())
def test_items_are_plain_json_and_the_request_is_unchanged(path: str, data: st.DataObject) -> None:
    body = data.draw(requests(path))
    before = deepcopy(body)

    items = dialect(path).read_request(body).items
    dialect(path).write_items(items)

    assert body == before
    assert decode_json(encode_json(items)) == items


@pytest.mark.parametrize("path", PATHS)
@given(data=st.data())
def test_a_damaged_body_is_read_and_written(path: str, data: st.DataObject) -> None:
    body = data.draw(damaged(requests(path)) | JSON)
    before = deepcopy(body)

    items = dialect(path).read_request(body).items
    reply = dialect(path).read_reply(body)
    for other in PATHS:
        dialect(other).write_items([*items, *reply.items])

    assert body == before
    assert all(isinstance(item_key(item), tuple) for item in items)
    assert all(isinstance(is_compared(item), bool) for item in items)


@pytest.mark.parametrize("path", PATHS)
@given(data=st.data())
def test_damaged_messages_are_read_written_and_read_as_the_same_items(path: str, data: st.DataObject) -> None:
    items = read(path, data.draw(damaged(requests(path).map(lambda body: body[CONTEXT[path][0]]))))

    assert read(path, dialect(path).write_items(items)) == items


@pytest.mark.parametrize("path", PATHS)
@given(data=st.data())
def test_damaged_replies_and_streams_are_read(path: str, data: st.DataObject) -> None:
    stream = data.draw(damaged(st.sampled_from(events.STREAMS[dialect(path).name])) | JSON)
    before = deepcopy(stream)

    fold = dialect(path).folder()
    for event in stream if isinstance(stream, list) else [stream]:
        fold.add(event)
        if fold.body is not None:
            dialect(path).read_reply(fold.body)

    assert isinstance(fold.is_complete, bool)
    assert stream == before


@pytest.mark.parametrize("path", PATHS)
@given(body=JSON)
def test_a_reply_of_any_value_is_read(path: str, body: Any) -> None:
    dialect(path).read_reply(body)
    dialect(path).read_reply({"output": body, "choices": body, "content": body, "candidates": body, "error": body})


@given(usage=JSON)
def test_usage_of_any_value_is_counts_or_none(usage: Any) -> None:
    counts = usage_of(usage)

    assert counts is None or all(type(count) is int for count in counts.values())


@given(data=st.data(), source=st.sampled_from(PATHS), target=st.sampled_from(PATHS))
def test_items_of_one_api_are_written_as_another(data: st.DataObject, source: str, target: str) -> None:
    items = dialect(source).read_request(data.draw(requests(source))).items

    written = dialect(target).write_items(items)

    assert names_of_calls(read(target, written)) == names_of_calls(items)


def names_of_calls(items: list[dict[str, Any]]) -> list[str]:
    return [item["name"] for item in items if item["type"] in ("function_call", "custom_tool_call")]
