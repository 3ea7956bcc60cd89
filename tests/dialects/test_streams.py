from __future__ import annotations

from time import process_time
from typing import Any

import pytest

from rollout.dialects import Dialect, Fold, dialect_for, is_compared, item_key
from tests.dialects import events
from tests.dialects.events import about, chunk, generated, item_event, piece, response

Event = dict[str, Any]


def dialect(name: str) -> Dialect:
    path = {
        "responses": "/v1/responses",
        "chat": "/v1/chat/completions",
        "messages": "/v1/messages",
        "gemini": "/v1beta/models/m:streamGenerateContent",
    }
    found = dialect_for(path[name])
    assert found is not None
    return found


def folded(name: str, stream: list[Any]) -> Fold:
    fold = dialect(name).folder()
    for event in stream:
        fold.add(event)
    return fold


def body_of(name: str, stream: list[Any]) -> Event:
    body = folded(name, stream).body
    assert body is not None
    return body


def compared(name: str, body: Event) -> list[tuple[str, ...]]:
    return [item_key(item) for item in dialect(name).read_reply(body).items if is_compared(item)]


TABLES = {"chat": events.CHAT, "responses": events.RESPONSES, "messages": events.MESSAGES, "gemini": events.GEMINI}


@pytest.mark.parametrize(("name", "case"), [(name, case) for name, table in TABLES.items() for case in table])
def test_a_stream_becomes_the_body_of_the_same_response_without_a_stream(name: str, case: str) -> None:
    stream, body = TABLES[name][case]

    fold = folded(name, stream)

    assert fold.body == body
    assert fold.is_complete


@pytest.mark.parametrize(("name", "case"), [(name, case) for name, table in TABLES.items() for case in table])
def test_a_stream_that_ends_early_is_incomplete_and_keeps_what_came(name: str, case: str) -> None:
    stream, body = TABLES[name][case]
    # The last events state only the end; the last chunk of candidates also has text.
    last = {"chat": 2, "messages": 2}.get(name, 1)

    fold = folded(name, stream[:-last])

    assert fold.body is not None
    assert not fold.is_complete
    kept, expected = compared(name, fold.body), compared(name, body)
    assert kept == expected or case == "several candidates"
    assert len(kept) == len(expected)


@pytest.mark.parametrize("name", TABLES)
def test_a_stream_without_events_has_no_body(name: str) -> None:
    fold = folded(name, [])

    assert fold.body is None
    assert not fold.is_complete


@pytest.mark.parametrize("name", TABLES)
def test_the_body_so_far_does_not_change_with_later_events(name: str) -> None:
    stream, _ = next(iter(TABLES[name].values()))
    fold = folded(name, stream[:-3])
    before, text = fold.body, repr(fold.body)

    for event in stream[-3:]:
        fold.add(event)

    assert repr(before) == text


class TestResponses:
    def test_an_item_that_did_not_end_has_the_pieces_that_came(self) -> None:
        stream = [item_event("added", 2, content=[]), about("output_text.delta", 2, content_index=0, delta="Hel")]

        assert body_of("responses", stream)["output"][0]["content"] == [{"type": "output_text", "text": "Hel"}]

    def test_items_are_in_the_order_of_their_index(self) -> None:
        stream = [
            item_event("added", 4),
            item_event("added", 3),
            {"type": "response.output_item.done", "item": {"x": 1}},
        ]

        assert body_of("responses", stream)["output"] == [*events.CALLS, {"x": 1}]

    def test_pieces_continue_what_the_item_began_with(self) -> None:
        stream = [
            item_event(
                "added", 2, content=[{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "z"}]
            ),
            about("output_text.delta", 2, content_index=0, delta="b"),
            about("output_text.delta", 2, content_index=0, delta=None),
        ]

        content = body_of("responses", stream)["output"][0]["content"]
        assert [part["text"] for part in content] == ["ab", "z"]

    def test_a_last_word_of_another_type_does_not_replace_the_pieces(self) -> None:
        stream = [about("refusal.delta", 2, content_index=0, delta="no"), about("refusal.done", 2, refusal=None)]

        assert body_of("responses", stream)["output"] == [{"content": [{"type": "refusal", "refusal": "no"}]}]

    def test_what_came_before_a_failure_is_kept_with_the_error(self) -> None:
        error = {"code": "server_error", "message": "broken"}
        end = {"type": "response.failed", "response": response([], "failed", error=error)}

        fold = folded("responses", [*events.BEGINNING, item_event("done", 0), end])

        assert fold.is_complete
        reply = dialect("responses").read_reply(fold.body or {})
        assert (reply.items, reply.error, reply.stop) == ([events.REASONING], "broken", "failed")

    @pytest.mark.parametrize(
        ("event", "text"),
        [
            ({"type": "error", "code": "c", "message": "slow down", "param": None}, "slow down"),
            ({"type": "error", "error": {"message": "slow down"}}, "slow down"),
        ],
    )
    def test_an_error_ends_the_stream(self, event: Event, text: str) -> None:
        fold = folded("responses", [event])

        assert fold.is_complete
        assert dialect("responses").read_reply(fold.body or {}).error == text


class TestChat:
    def test_the_first_chunk_of_azure_does_not_hide_the_model(self) -> None:
        stream = [
            {"choices": [], "id": "", "model": "", "prompt_filter_results": [{"prompt_index": 0}]},
            chunk({"content": "a"}),
            {**chunk({}, "stop"), "usage": None},
        ]

        body = body_of("chat", stream)

        assert (body["id"], body["model"], body["usage"]) == ("chatcmpl-1", "gpt-x", None)

    def test_logprobs_are_collected(self) -> None:
        first, second = {**events.LOGPROB}, {**events.LOGPROB, "token": "c"}
        stream = [chunk({"content": "b"}), chunk({"content": "c"}, "stop")]
        for event, logprob in zip(stream, (first, second), strict=True):
            event["choices"][0]["logprobs"] = {"content": [logprob], "refusal": None}

        assert body_of("chat", stream)["choices"][0]["logprobs"] == {"content": [first, second], "refusal": None}

    def test_an_error_ends_the_stream(self) -> None:
        fold = folded("chat", [chunk({"content": "a"}), {"error": {"message": "overloaded", "code": 502}}])

        assert fold.is_complete
        assert dialect("chat").read_reply(fold.body or {}).error == "overloaded"

    def test_a_chunk_with_a_whole_message_is_read(self) -> None:
        stream = [{"choices": [{"message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}]}]

        assert body_of("chat", stream)["choices"][0]["message"]["content"] == "a"

    def test_values_without_an_index_or_of_another_type_are_kept(self) -> None:
        stream = [
            chunk({"role": "assistant", "annotations": [{"type": "url_citation"}], "tool_calls": ["odd"]}),
            chunk({"annotations": [{"type": "url_citation"}], "tool_calls": [piece(None, arguments="{}")], "n": 1}),
            chunk({"n": 2, "role": ["odd"]}),
        ]

        message = body_of("chat", stream)["choices"][0]["message"]

        assert message["annotations"] == [{"type": "url_citation"}] * 2
        assert message["tool_calls"] == ["odd", {"function": {"arguments": "{}"}}]
        assert (message["n"], message["role"]) == (2, ["odd"])


class TestMessages:
    def test_input_that_was_cut_off_stays_as_text(self) -> None:
        stream = [
            events.MESSAGE_START,
            {"type": "content_block_start", "index": 0, "content_block": {**events.BLOCKS[7], "input": {}}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"ci'}},
        ]

        body = body_of("messages", stream)

        assert body["content"][0]["input"] == '{"ci'
        assert dialect("messages").read_reply(body).items[0]["arguments"] == '{"ci'

    def test_an_error_ends_the_stream(self) -> None:
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}

        fold = folded("messages", [events.MESSAGE_START, error])

        assert fold.is_complete
        assert dialect("messages").read_reply(fold.body or {}).error == "Overloaded"
        assert folded("messages", [{"type": "error"}]).is_complete

    def test_deltas_without_their_beginning_or_index_are_kept(self) -> None:
        stream = [
            {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "a"}},
            {"type": "content_block_start", "content_block": {"type": "text", "text": "b"}},
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "c"}},
            {"type": "message_delta", "usage": {"output_tokens": 1}, "context_management": {}},
        ]

        body = body_of("messages", stream)

        assert body["content"] == [{"type": "thinking", "thinking": "a"}, {"type": "text", "text": "bc"}]
        assert (body["role"], body["usage"], body["context_management"]) == ("assistant", {"output_tokens": 1}, {})


class TestGemini:
    def test_a_blocked_prompt_ends_the_stream(self) -> None:
        fold = folded("gemini", [{"promptFeedback": {"blockReason": "SAFETY"}, "responseId": "r1"}])

        assert fold.is_complete
        assert dialect("gemini").read_reply(fold.body or {}).stop == "SAFETY"

    def test_feedback_without_a_reason_does_not_end_the_stream(self) -> None:
        assert not folded("gemini", [{"promptFeedback": {"safetyRatings": []}}]).is_complete

    def test_a_chunk_without_content_and_one_with_a_damaged_content_are_kept(self) -> None:
        stream = [generated([{"text": "a"}]), {"candidates": [{"finishReason": "STOP"}, {"content": "odd"}]}]

        candidates = body_of("gemini", stream)["candidates"]

        assert [candidate["content"]["parts"] for candidate in candidates] == [[{"text": "a"}], ["odd"]]


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("chat", chunk({"tool_calls": [piece(0, arguments="x" * 1_000)], "content": "y" * 1_000})),
        ("responses", about("output_text.delta", 2, content_index=0, delta="x" * 1_000)),
        ("responses", about("output_text.annotation.added", 2, content_index=0, annotation=events.CITATION)),
        ("messages", {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x" * 1_000}}),
        ("gemini", generated([{"text": "x" * 1_000}])),
    ],
)
def test_four_times_the_events_take_about_four_times_the_time(name: str, event: Event) -> None:
    few, many = (min(seconds(name, event, count) for _ in range(3)) for count in (2_000, 8_000))

    assert many < few * 10


def seconds(name: str, event: Event, count: int) -> float:
    fold = dialect(name).folder()
    start = process_time()
    for _ in range(count):
        fold.add(event)
    assert fold.body is not None
    return process_time() - start
