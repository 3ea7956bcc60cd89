"""
Items in the usual forms of SDKs are recorded in the form that Codex reads.
"""

from __future__ import annotations

from collections import UserDict
from pathlib import Path
from typing import Any

import pytest

from rollout import EncodeError, Recorder
from tests.recording.helpers import payloads_of

USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
ASSISTANT = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}
CALL = {"type": "function_call", "name": "f", "arguments": '{"a":1}', "call_id": "c1"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "42"}
PARTS = {**OUTPUT, "output": [{"type": "input_text", "text": "42"}]}
FILE = {"type": "input_file", "file_id": "f1"}
FILE_TEXT = {"type": "input_text", "text": "[input_file f1]", "responses_part": FILE}
FORMS = [
    ({"role": "user", "content": "hi"}, [USER]),
    (UserDict({"role": "user", "content": "hi"}), [USER]),
    ({"type": "message", "role": "user", "content": "hi"}, [USER]),
    ({"type": "message", "role": "assistant", "content": "hello"}, [ASSISTANT]),
    ({"role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}, [ASSISTANT]),
    ({"role": "user", "content": [{"type": "text", "text": "hi"}]}, [USER]),
    ({"type": "message", "role": "user", "content": [{"type": "text", "text": "hi"}]}, [USER]),
    (
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
        [{"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png"}]}],
    ),
    ({**CALL, "arguments": {"a": 1}}, [CALL]),
    (
        {"type": "custom_tool_call", "name": "p", "input": ["x"], "call_id": "c"},
        [{"type": "custom_tool_call", "name": "p", "input": '["x"]', "call_id": "c"}],
    ),
    ({**OUTPUT, "output": 42}, [OUTPUT]),
    ({**OUTPUT, "output": {"a": 1}}, [{**OUTPUT, "output": '{"a":1}'}]),
    (
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
        },
        [CALL],
    ),
    ({"role": "tool", "tool_call_id": "c1", "content": "42"}, [OUTPUT]),
    (
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "hello"},
                {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
            ],
        },
        [ASSISTANT, CALL],
    ),
    ({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "42"}]}, [OUTPUT]),
    (
        {"role": "user", "content": [{"type": "input_text", "text": "hi"}, FILE]},
        [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}, FILE_TEXT]}],
    ),
    ({**OUTPUT, "output": (FILE,)}, [{**OUTPUT, "output": [FILE_TEXT]}]),
    # Already in the form.
    (USER, [USER]),
    (CALL, [CALL]),
    (PARTS, [PARTS]),
    ({"type": "message", "role": "user", "content": []}, [{"type": "message", "role": "user", "content": []}]),
    ({"type": "web_search_call", "id": "w"}, [{"type": "web_search_call", "id": "w"}]),
]  # fmt: skip
each_form = pytest.mark.parametrize(("item", "recorded"), FORMS)


class Message:
    """
    An object of an SDK without a type, as a message of Chat Completions.
    """

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return {"role": "user", "content": "hi"}


@each_form
def test_an_item_is_recorded_in_the_form_that_codex_reads(recorder: Recorder, item: Any, recorded: list[Any]) -> None:
    recorder.record(item)
    recorder.close()

    assert payloads_of(recorder.path) == recorded


@each_form
def test_the_same_with_the_events_for_codex(recorder: Recorder, item: Any, recorded: list[Any]) -> None:
    recorder.record_items(item)
    recorder.close()

    items = [payload for payload in payloads_of(recorder.path) if payload in recorded]
    assert items == recorded


def test_several_items_of_a_call_keep_their_order(recorder: Recorder) -> None:
    recorder.record(*(item for item, _ in FORMS))
    recorder.close()

    assert payloads_of(recorder.path) == [item for _, items in FORMS for item in items]


def test_an_object_of_an_sdk_without_a_type_is_recorded_as_its_message(recorder: Recorder) -> None:
    recorder.record(Message())
    recorder.record_items(Message())
    recorder.close()

    assert [payload for payload in payloads_of(recorder.path) if payload["type"] == "message"] == [USER, USER]


def test_thinking_of_anthropic_is_reasoning_with_its_signature(recorder: Recorder) -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    recorder.record({"role": "assistant", "content": [thinking, {"type": "text", "text": "hello"}]})
    recorder.close()

    reasoning, answer = payloads_of(recorder.path)
    assert (reasoning["type"], reasoning["summary"][0]["text"], reasoning["signature"]) == ("reasoning", "hm", "s")
    assert answer == ASSISTANT


@pytest.mark.parametrize("kind", ["thinking", "redacted_thinking", "tool_use", "tool_result", "text", "image"])
@pytest.mark.parametrize("method", ["record", "record_items"])
def test_a_part_without_its_message_is_refused_with_advice(recorder: Recorder, kind: str, method: str) -> None:
    with pytest.raises(EncodeError, match=f"'{kind}' is a part of a message; record the message"):
        getattr(recorder, method)({"type": kind}, USER)
    recorder.close()

    assert payloads_of(recorder.path)[0] == USER


@pytest.mark.parametrize(("item", "key"), [(CALL, "arguments"), (OUTPUT, "output")])
def test_a_call_without_arguments_is_refused(recorder: Recorder, item: dict[str, Any], key: str) -> None:
    with pytest.raises(EncodeError, match=f"needs {key}, a text"):
        recorder.record({name: value for name, value in item.items() if name != key})


def test_an_item_without_a_type_and_a_role_is_refused_as_before(recorder: Recorder) -> None:
    for item in ({"content": "hi"}, {"role": 1}, {"type": 5, "role": "user"}):
        with pytest.raises(EncodeError, match="an item needs a type"):
            recorder.record(item)
        with pytest.raises(EncodeError, match="an item needs a type"):
            recorder.record_items(item)


def test_a_line_with_its_envelope_is_recorded_as_it_is(recorder: Recorder) -> None:
    payload = {"type": "message", "role": "user", "content": "hi"}
    recorder.record({"type": "response_item", "payload": payload})
    recorder.close()

    assert payloads_of(recorder.path) == [payload]


def test_a_policy_gets_each_item_in_the_form_of_codex(home: Path) -> None:
    seen: list[Any] = []
    part = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}
    message = {"role": "assistant", "content": [{"type": "text", "text": "hello"}, part]}

    with Recorder(home=home, policy=lambda _, payload: bool(seen.append(payload))) as recorder:
        recorder.record(message)

    assert [payload["type"] for payload in seen] == ["message", "function_call"]
    assert payloads_of(recorder.path) == []


def test_a_value_without_a_json_form_in_such_an_item_is_refused(recorder: Recorder) -> None:
    with pytest.raises(EncodeError, match="x: "):
        recorder.record({"role": "user", "content": "hi", "x": {1, 2}})
    recorder.call_ended("unknown")
