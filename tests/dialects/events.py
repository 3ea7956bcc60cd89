"""
Events of streams as the APIs send them, each with the body of the same response without a stream.
"""

from __future__ import annotations

from typing import Any

Event = dict[str, Any]

# Chat Completions

CHAT_USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
CHAT_HEAD = {"id": "chatcmpl-1", "created": 1, "model": "gpt-x"}


def chunk(delta: Event, finish: str | None = None, index: int = 0) -> Event:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {**CHAT_HEAD, "object": "chat.completion.chunk", "choices": [choice]}


def usage_chunk() -> Event:
    return {**CHAT_HEAD, "object": "chat.completion.chunk", "choices": [], "usage": CHAT_USAGE}


def completion(*messages: Event, finish: str = "stop") -> Event:
    choices = [{"index": place, "message": message, "finish_reason": finish} for place, message in enumerate(messages)]
    return {**CHAT_HEAD, "object": "chat.completion", "choices": choices, "usage": CHAT_USAGE}


def piece(
    index: int | None, call_id: str | None = None, name: str | None = None, arguments: str | None = None
) -> Event:
    """
    Return a piece of a tool call.
    """
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    head = {"id": call_id, "type": "function"} if call_id else {}
    return {**({} if index is None else {"index": index}), **head, "function": function}


def called(call_id: str, arguments: str) -> Event:
    return {"id": call_id, "type": "function", "function": {"name": "weather", "arguments": arguments}}


TWO_CALLS = {"role": "assistant", "content": None, "tool_calls": [called("a", '{"c":1}'), called("b", '{"c":2}')]}
DETAIL = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
LOGPROB = {"token": "b", "logprob": -1.0, "bytes": [1], "top_logprobs": []}

CHAT: dict[str, tuple[list[Event], Event]] = {
    "text": (
        [
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "Sunny, "}),
            chunk({"content": "21 C."}),
            chunk({}, "stop"),
            usage_chunk(),
        ],
        completion({"role": "assistant", "content": "Sunny, 21 C."}),
    ),
    "parallel calls": (
        [
            chunk({"role": "assistant", "content": None}),
            chunk({"tool_calls": [piece(0, "a", "weather", "")]}),
            chunk({"tool_calls": [piece(0, arguments='{"c"')]}),
            chunk({"tool_calls": [piece(1, "b", "weather", "")]}),
            chunk({"tool_calls": [piece(0, arguments=":1}"), piece(1, arguments='{"c":2}')]}),
            chunk({}, "tool_calls"),
            usage_chunk(),
        ],
        completion(TWO_CALLS, finish="tool_calls"),
    ),
    "calls that all have the index 0": (
        [
            chunk({"role": "assistant", "tool_calls": [piece(0, "a", "weather", '{"c":1}')]}),
            chunk({"tool_calls": [piece(0, "b", "weather", '{"c":2}')]}),
            chunk({}, "tool_calls"),
            usage_chunk(),
        ],
        completion(TWO_CALLS, finish="tool_calls"),
    ),
    "calls without an index": (
        [
            chunk({"role": "assistant", "tool_calls": [piece(None, "a", "weather", '{"c"')]}),
            chunk({"tool_calls": [piece(None, arguments=":1}")]}),
            chunk({"tool_calls": [piece(None, "b", "weather", '{"c":2}')]}),
            chunk({}, "tool_calls"),
            usage_chunk(),
        ],
        completion(TWO_CALLS, finish="tool_calls"),
    ),
    "ids and names that are repeated with each piece": (
        [
            chunk(
                {"role": "assistant", "tool_calls": [piece(0, "a", "weather", '{"c"'), piece(1, "b", "weather", "")]}
            ),
            chunk({"role": "assistant", "tool_calls": [piece(0, "a", "weather", ":1}")]}),
            chunk({"role": "assistant", "tool_calls": [piece(1, "b", "weather", '{"c":2}')]}),
            chunk({}, "tool_calls"),
            usage_chunk(),
        ],
        completion(TWO_CALLS, finish="tool_calls"),
    ),
    "a name in pieces": (
        [
            chunk({"role": "assistant", "tool_calls": [piece(0, "a", "wea", "")]}),
            chunk({"tool_calls": [piece(0, "", "ther", '{"c":1}')]}),
            chunk({"tool_calls": [piece(1, "b", "weather", '{"c":2}')]}),
            chunk({}, "tool_calls"),
            usage_chunk(),
        ],
        completion(TWO_CALLS, finish="tool_calls"),
    ),
    "a refusal": (
        [
            chunk({"role": "assistant", "content": None, "refusal": ""}),
            chunk({"refusal": "I can"}),
            chunk({"refusal": "not."}),
            chunk({}, "stop"),
            usage_chunk(),
        ],
        completion({"role": "assistant", "content": None, "refusal": "I cannot."}),
    ),
    "several choices": (
        [
            chunk({"role": "assistant", "content": ""}),
            chunk({"role": "assistant", "content": ""}, index=1),
            chunk({"content": "a"}),
            chunk({"content": "x"}, index=1),
            chunk({"content": "b"}),
            chunk({"content": "y"}, index=1),
            chunk({}, "stop"),
            chunk({}, "stop", 1),
            usage_chunk(),
        ],
        completion({"role": "assistant", "content": "ab"}, {"role": "assistant", "content": "xy"}),
    ),
    "reasoning of DeepSeek": (
        [
            chunk({"role": "assistant", "content": None, "reasoning_content": "I "}),
            chunk({"content": None, "reasoning_content": "think"}),
            chunk({"content": "ok", "reasoning_content": None}),
            chunk({}, "stop"),
            usage_chunk(),
        ],
        completion({"role": "assistant", "content": "ok", "reasoning_content": "I think"}),
    ),
    "reasoning of OpenRouter": (
        [
            chunk(
                {"role": "assistant", "content": "", "reasoning": "I ", "reasoning_details": [{**DETAIL, "text": "I "}]}
            ),
            chunk({"content": "", "reasoning": "think", "reasoning_details": [{**DETAIL, "text": "think"}]}),
            chunk({"content": "", "reasoning_details": [{**DETAIL, "signature": "sig"}]}),
            chunk({"content": "ok"}),
            chunk({}, "stop"),
            usage_chunk(),
        ],
        completion(
            {
                "role": "assistant",
                "content": "ok",
                "reasoning": "I think",
                "reasoning_details": [{**DETAIL, "text": "I think", "signature": "sig"}],
            }
        ),
    ),
    "parts of Mistral": (
        [
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "I "}]}]}),
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "think"}]}]}),
            chunk({"content": "o"}),
            chunk({"content": "k"}),
            chunk({}, "stop"),
            usage_chunk(),
        ],
        completion(
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "I think"}]},
                    {"type": "text", "text": "ok"},
                ],
            }
        ),
    ),
    "parts after text": (
        [
            chunk({"role": "assistant", "content": "See "}),
            chunk({"content": [{"type": "reference", "reference_ids": [1]}, "odd"]}),
            chunk({}, "stop"),
            usage_chunk(),
        ],
        completion(
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "See "}, {"type": "reference", "reference_ids": [1]}, "odd"],
            }
        ),
    ),
    "audio": (
        [
            chunk({"role": "assistant", "content": None, "audio": {"id": "au", "transcript": "he"}}),
            chunk({"audio": {"data": "AA"}}),
            chunk({"audio": {"transcript": "y", "data": "BB"}}),
            chunk({"audio": {"expires_at": 5}}),
            chunk({}, "stop"),
            usage_chunk(),
        ],
        completion(
            {
                "role": "assistant",
                "content": None,
                "audio": {"id": "au", "transcript": "hey", "data": "AABB", "expires_at": 5},
            }
        ),
    ),
    "the old function call": (
        [
            chunk({"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": ""}}),
            chunk({"function_call": {"arguments": '{"c":1}'}}),
            chunk({}, "function_call"),
            usage_chunk(),
        ],
        completion(
            {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": '{"c":1}'}},
            finish="function_call",
        ),
    ),
}

# Responses


def response(output: list[Event], status: str = "completed", **more: Any) -> Event:
    usage = {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 17,
    }
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-x", "status": status}
    return {**head, "output": output, "error": None, "incomplete_details": None, "usage": usage, **more}


CITATION = {"type": "url_citation", "start_index": 0, "end_index": 1, "url": "u", "title": "t"}
TEXT_PART = {"type": "output_text", "text": "Hello world", "annotations": [CITATION], "logprobs": []}
REFUSAL_PART = {"type": "refusal", "refusal": "no no"}
REASONING = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}],
    "encrypted_content": "gAAA",
}
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [TEXT_PART, REFUSAL_PART],
}
CALLS = [
    {
        "id": f"fc_{n}",
        "type": "function_call",
        "call_id": f"c{n}",
        "name": "weather",
        "arguments": text,
        "status": "completed",
    }
    for n, text in ((1, "{}"), (2, "{ }"))
]
PATCH = {"id": "ct_1", "type": "custom_tool_call", "call_id": "c3", "name": "patch", "input": "abc"}
CODE = {"id": "ci_1", "type": "code_interpreter_call", "code": "print()", "container_id": "x", "status": "completed"}
OUTPUT = [REASONING, SEARCH, MESSAGE, *CALLS, PATCH, CODE]


def about(kind: str, index: int, **more: Any) -> Event:
    return {"type": f"response.{kind}", "item_id": OUTPUT[index]["id"], "output_index": index, **more}


def item_event(action: str, index: int, **more: Any) -> Event:
    return {"type": f"response.output_item.{action}", "output_index": index, "item": {**OUTPUT[index], **more}}


def _summary(number: int, text: str) -> list[Event]:
    at = {"summary_index": number}
    return [
        about("reasoning_summary_part.added", 0, **at, part={"type": "summary_text", "text": ""}),
        about("reasoning_summary_text.delta", 0, **at, delta=text[:1]),
        about("reasoning_summary_text.delta", 0, **at, delta=text[1:]),
        about("reasoning_summary_text.done", 0, **at, text=text),
        about("reasoning_summary_part.done", 0, **at, part={"type": "summary_text", "text": text}),
    ]


BEGINNING = [
    {"type": "response.created", "response": response([], "in_progress", usage=None)},
    {"type": "response.in_progress", "response": response([], "in_progress", usage=None)},
]
OUTPUT_EVENTS = [
    item_event("added", 0, summary=[]),
    *_summary(0, "one"),
    *_summary(1, "two"),
    item_event("done", 0),
    item_event("added", 1, status="in_progress"),
    about("web_search_call.searching", 1),
    item_event("done", 1),
    item_event("added", 2, status="in_progress", content=[]),
    about("content_part.added", 2, content_index=0, part={**TEXT_PART, "text": "", "annotations": []}),
    about("output_text.delta", 2, content_index=0, delta="Hello", logprobs=[]),
    about("output_text.delta", 2, content_index=0, delta=" world", logprobs=[]),
    about("output_text.annotation.added", 2, content_index=0, annotation_index=0, annotation=CITATION),
    about("output_text.done", 2, content_index=0, text="Hello world", logprobs=[]),
    about("content_part.done", 2, content_index=0, part=TEXT_PART),
    about("content_part.added", 2, content_index=1, part={"type": "refusal", "refusal": ""}),
    about("refusal.delta", 2, content_index=1, delta="no "),
    about("refusal.delta", 2, content_index=1, delta="no"),
    about("refusal.done", 2, content_index=1, refusal="no no"),
    about("content_part.done", 2, content_index=1, part=REFUSAL_PART),
    item_event("done", 2),
    item_event("added", 3, arguments="", status="in_progress"),
    item_event("added", 4, arguments="", status="in_progress"),
    about("function_call_arguments.delta", 4, delta="{"),
    about("function_call_arguments.delta", 3, delta="{"),
    about("function_call_arguments.delta", 4, delta=" }"),
    about("function_call_arguments.delta", 3, delta="}"),
    about("function_call_arguments.done", 3, arguments="{}", name="weather"),
    item_event("done", 3),
    about("function_call_arguments.done", 4, arguments="{ }", name="weather"),
    item_event("done", 4),
    item_event("added", 5, input=""),
    about("custom_tool_call_input.delta", 5, delta="ab"),
    about("custom_tool_call_input.delta", 5, delta="c"),
    about("custom_tool_call_input.done", 5, input="abc"),
    item_event("done", 5),
    item_event("added", 6, code="", status="in_progress"),
    about("code_interpreter_call_code.delta", 6, delta="print"),
    about("code_interpreter_call_code.delta", 6, delta="()"),
    about("code_interpreter_call_code.done", 6, code="print()"),
    item_event("done", 6),
]
RESPONSES: dict[str, tuple[list[Event], Event]] = {
    "every kind of item": (
        [*BEGINNING, *OUTPUT_EVENTS, {"type": "response.completed", "response": response(OUTPUT)}],
        response(OUTPUT),
    ),
    "an end without the output": (
        [*BEGINNING, *OUTPUT_EVENTS, {"type": "response.completed", "response": response([])}],
        response(OUTPUT),
    ),
    "an end at the maximum": (
        [
            *BEGINNING,
            *OUTPUT_EVENTS[:15],
            {"type": "response.incomplete", "response": response([REASONING, SEARCH], "incomplete")},
        ],
        response([REASONING, SEARCH], "incomplete"),
    ),
}

# Messages


def anthropic(content: list[Event], stop: str | None = "end_turn", output_tokens: int = 15) -> Event:
    usage = {"input_tokens": 8, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": content}
    return {**head, "stop_reason": stop, "stop_sequence": None, "usage": {**usage, "output_tokens": output_tokens}}


def block_events(number: int, empty: Event, *deltas: Event) -> list[Event]:
    at = {"index": number}
    return [
        {"type": "content_block_start", **at, "content_block": empty},
        *({"type": "content_block_delta", **at, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", **at},
    ]


def json_deltas(*pieces: str) -> list[Event]:
    return [{"type": "input_json_delta", "partial_json": text} for text in ("", *pieces)]


WEB_CITATION = {
    "type": "web_search_result_location",
    "cited_text": "c",
    "encrypted_index": "e",
    "title": "t",
    "url": "u",
}
SEARCHED = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [{"type": "web_search_result", "title": "t", "url": "u", "encrypted_content": "e", "page_age": None}],
}
BLOCKS: list[Event] = [
    {"type": "thinking", "thinking": "I think so", "signature": "c2ln"},
    {"type": "redacted_thinking", "data": "ZW5j"},
    {"type": "text", "text": "Searching"},
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
    SEARCHED,
    {"type": "text", "text": "Found "},
    {"type": "text", "text": "this fact", "citations": [WEB_CITATION, WEB_CITATION]},
    {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris", "n": [1, 2.5]}},
    {"type": "tool_use", "id": "toolu_2", "name": "weather", "input": {}},
    {"type": "compaction", "content": "short"},
]
_EVENTS_OF_BLOCKS = [
    block_events(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "I think"},
        {"type": "thinking_delta", "thinking": " so"},
        {"type": "signature_delta", "signature": "c2ln"},
    ),
    block_events(1, BLOCKS[1]),
    block_events(
        2,
        {"type": "text", "text": ""},
        {"type": "text_delta", "text": "Sear"},
        {"type": "text_delta", "text": "ching"},
    ),
    block_events(3, {**BLOCKS[3], "input": {}}, *json_deltas('{"que', 'ry": "q"}')),
    block_events(4, SEARCHED),
    block_events(5, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Found "}),
    block_events(
        6,
        {"type": "text", "text": "", "citations": []},
        {"type": "citations_delta", "citation": WEB_CITATION},
        {"type": "text_delta", "text": "this fact"},
        {"type": "citations_delta", "citation": WEB_CITATION},
    ),
    block_events(7, {**BLOCKS[7], "input": {}}, *json_deltas('{"city": "Pa', 'ris", "n": [1, 2.5]}')),
    block_events(8, BLOCKS[8], *json_deltas()),
    block_events(9, {"type": "compaction", "content": None}, {"type": "compaction_delta", "content": "short"}),
]
MESSAGE_START = {"type": "message_start", "message": anthropic([], None, 1)}
MESSAGES: dict[str, tuple[list[Event], Event]] = {
    "every kind of block": (
        [
            MESSAGE_START,
            {"type": "ping"},
            *(event for block in _EVENTS_OF_BLOCKS for event in block),
            {
                "type": "message_delta",
                "delta": {"stop_reason": "tool_use", "stop_sequence": None},
                "usage": {"output_tokens": 15, "cache_read_input_tokens": None},
            },
            {"type": "message_stop"},
        ],
        anthropic(BLOCKS, "tool_use"),
    ),
    "a refusal": (
        [
            MESSAGE_START,
            *block_events(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "I cannot"}),
            {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 15}},
            {"type": "message_stop"},
        ],
        anthropic([{"type": "text", "text": "I cannot"}], "refusal"),
    ),
}

# generateContent

GEMINI_USAGE = {
    "promptTokenCount": 120,
    "cachedContentTokenCount": 40,
    "candidatesTokenCount": 10,
    "thoughtsTokenCount": 5,
    "totalTokenCount": 135,
}
GEMINI_HEAD = {"modelVersion": "gemini-x", "responseId": "r1"}


def generated(parts: list[Event], finish: str | None = None, index: int = 0) -> Event:
    candidate: Event = {"content": {"role": "model", "parts": parts}, "index": index}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **GEMINI_HEAD, "usageMetadata": GEMINI_USAGE}


GEMINI_CALL = {"functionCall": {"name": "weather", "args": {"city": "Paris"}}, "thoughtSignature": "c2ln"}
GEMINI: dict[str, tuple[list[Event], Event]] = {
    "thoughts, text and a call": (
        [
            generated([{"text": "I ", "thought": True}]),
            generated([{"text": "think", "thought": True}, {"text": "Let me "}]),
            generated([{"text": "see."}]),
            generated([GEMINI_CALL]),
            generated([{"text": "", "thoughtSignature": "c2ln"}], "STOP"),
        ],
        generated(
            [
                {"text": "I think", "thought": True},
                {"text": "Let me see."},
                GEMINI_CALL,
                {"text": "", "thoughtSignature": "c2ln"},
            ],
            "STOP",
        ),
    ),
    "several candidates": (
        [
            generated([{"text": "a"}]),
            generated([{"text": "x"}], index=1),
            generated([{"text": "b"}], "STOP"),
            generated([{"text": "y"}], "STOP", 1),
        ],
        {
            "candidates": [
                *generated([{"text": "ab"}], "STOP")["candidates"],
                *generated([{"text": "xy"}], "STOP", 1)["candidates"],
            ],
            **GEMINI_HEAD,
            "usageMetadata": GEMINI_USAGE,
        },
    ),
}

STREAMS = {
    name: [stream for stream, _ in table.values()]
    for name, table in (("chat", CHAT), ("responses", RESPONSES), ("messages", MESSAGES), ("gemini", GEMINI))
}
