from __future__ import annotations

from typing import Any

import pytest

from rollout.dialects import is_foreign, unread_reason

TEXT = {"type": "input_text", "text": "hi"}


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"type": "message", "content": "hi"}, "the content of a message is a text, not parts"),
        ({"type": "message", "content": None}, "the content of a message is no list, not parts"),
        ({"type": "message", "content": [TEXT, {"type": "input_file"}]}, "a message has a part of type 'input_file'"),
        ({"type": "message", "content": ["hi"]}, "a message has a part of type None"),
        ({"type": "function_call", "arguments": {}}, "arguments of function_call is dict, not a text"),
        ({"type": "custom_tool_call", "input": ["x"]}, "input of custom_tool_call is list, not a text"),
        ({"type": "function_call_output", "output": 5}, "output of function_call_output is int, not a text"),
        (
            {"type": "function_call_output", "output": [TEXT, {"type": "input_file"}]},
            "output of function_call_output has a part that Codex does not know",
        ),
        ({"type": "thinking"}, "'thinking' is a part of a message, not an item"),
    ],
)
def test_an_item_that_codex_does_not_read_has_a_reason(item: dict[str, Any], reason: str) -> None:
    assert unread_reason(item) == reason


@pytest.mark.parametrize(
    "item",
    [
        {"type": "message", "content": [TEXT, {"type": "input_image"}, {"type": "output_text"}]},
        {"type": "message", "content": []},
        {"type": "function_call", "arguments": "{}"},
        {"type": "function_call_output", "output": [TEXT]},
        {"type": "reasoning"},
        {"type": "novel"},
        {"type": None},
        {"type": ["odd"]},
        {},
    ],
)
def test_other_items_have_none(item: dict[str, Any]) -> None:
    assert unread_reason(item) == ""
    assert not is_foreign({**item, "type": str(item.get("type"))})
