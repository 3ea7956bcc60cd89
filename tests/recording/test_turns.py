from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, Literal

import pytest

from rollout import Recorder, RecorderClosedError, load_history
from rollout.stats import session_stats
from tests.recording.helpers import events_of, kinds_of, lines_of, payloads_of

Mode = Literal["legacy", "paginated"]


def lines_of_kind(path: Path, kind: str) -> list[dict[str, Any]]:
    return [line["payload"] for line in lines_of(path) if line["type"] == kind]


def test_a_turn_records_its_beginning_its_settings_its_prompt_and_its_end(home: Path) -> None:
    with (
        Recorder(home=home) as rec,
        rec.turn("hi", model="m", context={"effort": "high"}, model_context_window=9000) as turn,
    ):
        rec.agent_message("hello")

    assert kinds_of(rec.path) == [
        "task_started", "turn_context", "message", "user_message", "agent_message", "message", "task_complete"
    ]  # fmt: skip
    started, context, *_, done = payloads_of(rec.path)
    assert (started["turn_id"], started["model_context_window"]) == (turn.id, 9000)
    assert (context["turn_id"], context["model"], context["effort"]) == (turn.id, "m", "high")
    assert (done["turn_id"], done["last_agent_message"]) == (turn.id, "hello")
    assert done["completed_at"] - done["started_at"] <= 1
    assert 0 <= done["duration_ms"] < 1000


def test_a_turn_without_a_prompt_records_none(home: Path) -> None:
    with Recorder(home=home) as rec, rec.turn():
        pass

    assert kinds_of(rec.path) == ["task_started", "task_complete"]
    assert payloads_of(rec.path)[-1]["last_agent_message"] is None


def test_a_turn_without_a_model_has_that_of_the_turn_before_or_states_none(home: Path) -> None:
    with Recorder(home=home) as rec:
        for settings in ({}, {"context": {"effort": "low"}}, {}, {"model": "m"}, {}):
            with rec.turn("hi", **settings):  # type: ignore[arg-type]
                pass

    assert [context["model"] for context in lines_of_kind(rec.path, "turn_context")] == ["unknown", "m", "m"]


def test_an_error_that_was_recorded_in_the_turn_is_not_repeated_at_its_end(home: Path) -> None:
    with Recorder(home=home) as rec:
        for text in ("bad", "bad"):
            turn = rec.turn("hi").begin()
            rec.error(ValueError(text))
            turn.end(ValueError(text))
        turn = rec.turn("hi").begin()
        turn.end(ValueError("bad"))

    assert [error["message"] for error in events_of(rec.path, "error")] == ["ValueError: bad"] * 3
    assert [done["error"]["message"] for done in events_of(rec.path, "task_complete")] == ["ValueError: bad"] * 3


def test_an_exception_is_recorded_as_the_error_of_the_turn_and_raised(home: Path) -> None:
    with Recorder(home=home) as rec, pytest.raises(ValueError, match="bad"), rec.turn("hi"):
        raise ValueError("bad")

    assert kinds_of(rec.path)[-2:] == ["error", "task_complete"]
    error, done = payloads_of(rec.path)[-2:]
    assert error["message"] == done["error"]["message"] == "ValueError: bad"
    assert session_stats(rec.path).turns == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_an_interrupt_aborts_the_turn(home: Path, error: type[BaseException]) -> None:
    with Recorder(home=home) as rec, pytest.raises(error), rec.turn("hi"):
        raise error

    aborted = payloads_of(rec.path)[-1]
    assert (aborted["type"], aborted["reason"]) == ("turn_aborted", "interrupted")


def test_a_turn_that_is_ended_twice_has_one_end(home: Path) -> None:
    with Recorder(home=home) as rec:
        turn = rec.turn("hi").begin()
        turn.end()
        turn.end()

    assert kinds_of(rec.path).count("task_complete") == 1


def test_after_an_inner_turn_the_outer_one_goes_on(home: Path) -> None:
    with Recorder(home=home, history_mode="paginated") as rec, rec.turn("outer") as outer:
        with rec.turn("inner"):
            pass
        rec.agent_message("still here")

    (message,) = [p for p in events_of(rec.path, "item_completed") if p["item"]["type"] == "AgentMessage"]
    assert message["turn_id"] == outer.id


def test_a_recorder_that_was_closed_in_the_turn_does_not_hide_the_exception_of_the_body(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rec = Recorder(home=home)

    with caplog.at_level(logging.ERROR, "rollout"), pytest.raises(ValueError, match="bad"), rec.turn("hi"):
        rec.close()
        raise ValueError("bad")

    assert "while a turn ends" in caplog.text
    with pytest.raises(RecorderClosedError), Recorder(home=home) as other, other.turn("hi"):
        other.close()


class TestPaginated:
    def test_each_item_has_its_completed_item_and_the_event_for_older_versions(self, home: Path) -> None:
        with Recorder(home=home, history_mode="paginated") as rec, rec.turn("hi", model="m"):
            rec.reasoning("hm")
            rec.tool_output(rec.tool_call("lookup", {"a": 1}), "found")
            rec.agent_message("hello")

        assert kinds_of(rec.path) == [
            "task_started", "turn_context",
            "message", "UserMessage", "user_message",
            "agent_reasoning", "reasoning", "Reasoning",
            "function_call", "DynamicToolCall", "function_call_output",
            "agent_message", "message", "AgentMessage",
            "task_complete",
        ]  # fmt: skip
        assert [line["ordinal"] for line in lines_of(rec.path)] == list(range(16))
        assert load_history(rec.path).meta.history_mode == "paginated"

    def test_messages_outside_of_a_turn_get_turns(self, home: Path) -> None:
        # Codex shows nothing outside of turns.
        with Recorder(home=home, history_mode="paginated") as rec:
            rec.agent_message("welcome")
            rec.user_message("one")
            rec.agent_message("first")
            rec.user_message("two")

        started, ended = events_of(rec.path, "task_started"), events_of(rec.path, "task_complete")
        assert [event["turn_id"] for event in started] == [event["turn_id"] for event in ended]
        assert [event["last_agent_message"] for event in ended] == ["welcome", "first", None]

    def test_an_explicit_turn_ends_one_that_was_begun_for_a_message(self, home: Path) -> None:
        with Recorder(home=home, history_mode="paginated") as rec:
            rec.user_message("one")
            with rec.turn("two"):
                rec.agent_message("second")

        assert kinds_of(rec.path).count("task_started") == kinds_of(rec.path).count("task_complete") == 2

    def test_a_resumed_session_continues_in_its_mode(self, home: Path) -> None:
        with Recorder(home=home, history_mode="paginated") as rec, rec.turn("one"):
            pass
        with Recorder.resume(rec.path) as resumed, resumed.turn("two"):
            resumed.agent_message("second")

        ordinals = [line["ordinal"] for line in lines_of(rec.path)]
        assert ordinals == list(range(len(ordinals)))
        assert kinds_of(rec.path).count("UserMessage") == 2


@pytest.mark.parametrize("mode", ["legacy", "paginated"])
def test_both_modes_are_read_the_same(home: Path, mode: Mode) -> None:
    with Recorder(home=home, history_mode=mode) as rec, rec.turn("hi", model="m") as turn:
        rec.reasoning("hm")
        rec.tool_output(rec.tool_call("lookup", {"a": 1}), "found", seconds=2)
        rec.tool_output(rec.tool_call("lookup", {"a": 2}), "gone", is_failed=True)
        rec.agent_message("hello")
        turn.usage(input_tokens=5, output_tokens=1)

    stats = session_stats(rec.path)
    assert (stats.turns, stats.calls, stats.failures) == (1, 2, 1)
    assert stats.tools.keys() == {"lookup"}
    assert stats.tokens is not None
    assert stats.tokens.total_tokens == 6
    items = [item for turn in load_history(rec.path).document().turns for item in turn.items]
    assert [item.kind for item in items] == ["user", "reasoning", "call", "call", "agent"]


def test_an_unknown_mode_is_refused(home: Path) -> None:
    with pytest.raises(ValueError, match="history_mode is 'legacy' or 'paginated', not 'pages'"):
        Recorder(home=home, history_mode="pages")  # type: ignore[arg-type]
