from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rollout import EncodeError, Recorder, load_history, schema
from rollout.stats import session_stats
from tests.recording.helpers import events_of, kinds_of, lines_of, payloads_of

PNG = b"\x89PNG\r\n\x1a\n0000"


@pytest.fixture
def rec(home: Path) -> Iterator[Recorder]:
    with Recorder(home=home) as rec:
        yield rec


class TestImages:
    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            (PNG, "png"), (b"\xff\xd8\xff\xe0", "jpeg"), (b"GIF89a", "gif"), (b"RIFF\n\0\0\0WEBPVP8", "webp"),
            (b"BM00", "bmp"),
        ],
    )  # fmt: skip
    def test_a_file_or_bytes_become_part_of_the_session(
        self, rec: Recorder, tmp_path: Path, content: bytes, kind: str
    ) -> None:
        path = tmp_path / "image"
        path.write_bytes(content)

        rec.user_message("look", images=[path, str(path), content])
        rec.close()

        url = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
        message, event = payloads_of(rec.path)
        part = {"type": "input_image", "image_url": url}
        assert message["content"] == [{"type": "input_text", "text": "look"}, part, part, part]
        # An image stands in the file once.
        assert event == {"type": "user_message", "message": "look", "kind": "plain"}

    @pytest.mark.parametrize("url", ["https://example.org/a.png", "HTTP://example.org/a", "data:image/png;base64,AA"])
    def test_a_url_stays_one(self, rec: Recorder, url: str) -> None:
        rec.user_message("", images=[url])
        rec.close()

        message, event = payloads_of(rec.path)
        assert message["content"] == [{"type": "input_image", "image_url": url}]
        assert event.get("images") == (None if url.startswith("data:") else [url])

    def test_an_image_that_cannot_be_read_is_refused_and_nothing_is_recorded(
        self, rec: Recorder, tmp_path: Path
    ) -> None:
        text = tmp_path / "text.png"
        text.write_text("no image")
        with pytest.raises(FileNotFoundError):
            rec.user_message("look", images=[tmp_path / "missing.png"])
        with pytest.raises(ValueError, match=r"text.png is no PNG, JPEG"):
            rec.user_message("look", images=[text])
        with pytest.raises(ValueError, match="the bytes are no PNG, JPEG"):
            rec.user_message("look", images=[b""])
        rec.close()

        assert payloads_of(rec.path) == []

    def test_a_paginated_session_shows_the_urls(self, home: Path) -> None:
        with Recorder(home=home, history_mode="paginated") as rec, rec.turn("", images=["https://e.org/a.png", PNG]):
            pass

        (event,) = events_of(rec.path, "item_completed")
        assert event["item"]["content"] == [{"type": "image", "image_url": "https://e.org/a.png"}]


class TestItems:
    def test_items_get_the_events_by_which_codex_shows_them(self, rec: Recorder) -> None:
        rec.record_items(
            {"type": "message", "role": "user", "content": "hi"},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "rules"}]},
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "s"}, {"type": "other"}],
                "content": [{"type": "reasoning_text", "text": "raw"}],
            },
            {"type": "web_search_call", "action": {"type": "search", "query": "q"}},
            {"type": "web_search_call", "action": None},
            {"type": "web_search_call", "id": "w", "action": {"type": "open_page", "url": "u"}},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"},
                                                                 {"type": "output_text", "text": "b"}, 7]},
            {"type": "message", "role": "assistant", "content": None},
            {"type": "novel", "call_id": 7},
            {"type": "event_msg", "payload": {"type": "warning", "message": "w"}},
        )  # fmt: skip
        rec.close()

        assert kinds_of(rec.path) == [
            "message", "user_message", "message", "agent_reasoning", "agent_reasoning_raw_content", "reasoning",
            "web_search_call", "web_search_end", "web_search_call", "web_search_call", "web_search_end",
            "agent_message", "message", "agent_message", "message", "novel", "warning",
        ]  # fmt: skip
        assert [event["message"] for event in events_of(rec.path, "agent_message")] == ["a\nb", ""]
        first, second = events_of(rec.path, "web_search_end")
        assert (first["query"], second["query"], second["call_id"]) == ("q", "", "w")

    def test_a_paginated_session_has_completed_items(self, home: Path) -> None:
        with Recorder(home=home, history_mode="paginated") as rec, rec.turn():
            rec.record_items(
                {"type": "web_search_call", "action": {"type": "search", "query": "q"}},
                {"type": "reasoning", "summary": [], "encrypted_content": "x"},
                {"type": "message", "id": "m", "role": "assistant", "phase": "commentary", "content": "a"},
            )

        search, message = [event["item"] for event in events_of(rec.path, "item_completed")]
        assert (search["type"], search["query"]) == ("WebSearch", "q")
        assert (message["type"], message["id"], message["phase"]) == ("AgentMessage", "m", "commentary")

    def test_metadata_stays_beside_the_payload(self, rec: Recorder) -> None:
        message = {"type": "message", "role": "assistant", "content": []}
        rec.record_items({"type": "response_item", "payload": message, "metadata": {"k": 1}})
        rec.close()

        assert [line.get("metadata") for line in lines_of(rec.path)[1:]] == [None, {"k": 1}]

    def test_an_item_that_has_no_json_form_is_refused_and_the_others_are_recorded(self, rec: Recorder) -> None:
        message = {"type": "message", "role": "system", "content": []}
        with pytest.raises(EncodeError) as refused:
            rec.record_items({**message, "extra": {1}}, message, {**message, "other": {2}})
        rec.close()

        assert refused.value.path == "extra"
        assert kinds_of(rec.path) == ["message"]


class TestUsage:
    def test_totals_grow(self, rec: Recorder) -> None:
        rec.usage(input_tokens=10, cached_input_tokens=4, output_tokens=3, reasoning_output_tokens=1)
        rec.usage(input_tokens=20, output_tokens=5, total_tokens=26, model_context_window=1000)
        rec.close()

        first, second = [event["info"] for event in events_of(rec.path, "token_count")]
        assert list(first["last_token_usage"].values()) == [10, 4, 3, 1, 13]
        assert first["total_token_usage"] == first["last_token_usage"]
        assert list(second["total_token_usage"].items()) == [
            ("input_tokens", 30), ("cached_input_tokens", 4), ("output_tokens", 8), ("reasoning_output_tokens", 1),
            ("total_tokens", 39),
        ]  # fmt: skip
        assert (first["model_context_window"], second["model_context_window"]) == (None, 1000)

    def test_a_usage_object_of_a_provider_is_understood(self, rec: Recorder) -> None:
        rec.usage(SimpleNamespace(input_tokens=80, cache_read_input_tokens=40, cache_creation_input_tokens=5,
                                  output_tokens=15))  # fmt: skip
        rec.close()

        (event,) = events_of(rec.path, "token_count")
        assert list(event["info"]["last_token_usage"].items()) == [
            ("input_tokens", 125), ("cached_input_tokens", 40), ("cache_write_input_tokens", 5), ("output_tokens", 15),
            ("reasoning_output_tokens", 0), ("total_tokens", 140),
        ]  # fmt: skip

    def test_a_usage_of_an_unknown_form_is_refused(self, rec: Recorder) -> None:
        with pytest.raises(ValueError, match="the usage has no known form: much"):
            rec.usage("much")

    @pytest.mark.parametrize(
        "last",
        [
            {"type": "event_msg", "payload": {"type": "token_count", "info": {"total_token_usage": {
                "input_tokens": 100, "output_tokens": 10, "total_tokens": 110, "odd": None}}}},
            {"type": "token_usage_record", "payload": {"thread_token_usage": {
                "input_tokens": 100, "output_tokens": 10, "total_tokens": 110}}},
        ],
    )  # fmt: skip
    def test_a_resumed_session_continues_its_totals(self, home: Path, last: dict[str, Any]) -> None:
        with Recorder(home=home) as rec:
            rec.usage(input_tokens=1, output_tokens=1)
            rec.record(last, {"type": "event_msg", "payload": {"type": "token_count", "info": None}})
            rec.user_message("later")
        with Recorder.resume(rec.path) as resumed:
            resumed.usage(input_tokens=5, output_tokens=5)
            resumed.usage(input_tokens=1, output_tokens=1)

        counts = [event["info"] for event in events_of(rec.path, "token_count")[-2:]]
        assert [info["total_token_usage"]["total_tokens"] for info in counts] == [120, 122]

    def test_a_resumed_session_without_totals_begins_with_none(self, home: Path) -> None:
        with Recorder(home=home) as rec:
            rec.user_message("one")
        with Recorder.resume(rec.path) as resumed:
            resumed.usage(input_tokens=5, output_tokens=5)

        tokens = session_stats(rec.path).tokens
        assert tokens is not None
        assert tokens.total_tokens == 10

    def test_totals_that_cannot_be_read_begin_with_none(self, home: Path, tmp_path: Path) -> None:
        with Recorder(home=home) as rec:
            rec.usage(input_tokens=5, output_tokens=5)
        with Recorder.resume(rec.path) as resumed:
            rec.path.rename(tmp_path / "moved.jsonl")
            resumed.usage(input_tokens=1, output_tokens=1)
            (tmp_path / "moved.jsonl").rename(rec.path)

        assert events_of(rec.path, "token_count")[-1]["info"]["total_token_usage"]["total_tokens"] == 2


class TestRest:
    @pytest.mark.parametrize(
        ("error", "text"), [(ValueError("bad"), "ValueError: bad"), (KeyError(), "KeyError"), ("it broke", "it broke")]
    )
    def test_an_error_is_recorded_with_its_class(self, rec: Recorder, error: BaseException | str, text: str) -> None:
        rec.error(error)
        rec.close()

        assert payloads_of(rec.path) == [{"type": "error", "message": text, "codex_error_info": "other"}]

    def test_a_compaction_replaces_the_history(self, rec: Recorder) -> None:
        rec.user_message("one")
        rec.compacted("so far: one", [schema.Message(role="user", content=(schema.InputText(text="so far"),))])
        rec.compacted("shorter")
        rec.close()

        first, second = payloads_of(rec.path)[-2:]
        assert first["replacement_history"][0]["content"] == [{"type": "input_text", "text": "so far"}]
        assert second == {"message": "shorter"}
        assert "one" not in str(load_history(rec.path).to_input()[:1])

    def test_a_name_is_set(self, rec: Recorder, home: Path) -> None:
        from rollout.store import session_names

        with pytest.raises(ValueError, match="not a valid name"):
            rec.name(" ")
        rec.name(" my agent ")

        assert session_names(home=home) == {rec.session_id: "my agent"}
