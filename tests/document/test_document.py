from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rollout import load_history
from rollout.codec import RolloutLine, decode_line, encode_item
from rollout.document import Document, DocumentBuilder, Item, Turn
from rollout.reader import SkippedLine
from tests.rollouts import (
    ID,
    TIME_MS,
    Line,
    answer,
    bare_session,
    encode,
    event,
    message,
    meta,
    paginated_session,
    prompt,
    put,
    seed_session,
)


def built(lines: list[Line], *, step_ms: int = 1000) -> DocumentBuilder:
    """
    A session's lines, each a second after the one before.
    """
    builder = DocumentBuilder(Path("rollout.jsonl"))
    for number, (kind, payload) in enumerate(lines, 1):
        builder.add(decode_line(encode_item(kind, payload, time_ms=TIME_MS + number * step_ms)), number)
    return builder


def document_of(lines: list[Line], **kwargs: Any) -> Document:
    document = built([meta(), *lines], **kwargs).document
    assert document is not None
    return document


def items_of(lines: list[Line], **kwargs: Any) -> list[Item]:
    return [item for turn in document_of(lines, **kwargs).turns for item in turn.items]


def said(items: list[Item]) -> list[tuple[str, str]]:
    return [(item.kind, item.text) for item in items]


def keys_of(turns: list[Turn]) -> list[str]:
    of_items = [key for turn in turns for item in turn.items for key in item.lines]
    return sorted([*of_items, *(key for turn in turns for keys in turn.others.values() for key in keys)])


def call(arguments: Any, name: str = "shell", call_id: str = "c1") -> Line:
    from rollout.codec import encode_json

    text = arguments if isinstance(arguments, str) else encode_json(arguments)
    return "response_item", {"type": "function_call", "name": name, "arguments": text, "call_id": call_id}


def output(text: Any, call_id: str = "c1") -> Line:
    return "response_item", {"type": "function_call_output", "call_id": call_id, "output": text}


def completed(kind: str, **fields: Any) -> Line:
    return event("item_completed", item={"type": kind, **fields})


class TestTurns:
    @pytest.mark.parametrize(
        "data",
        [seed_session("one", "two"), paginated_session("one", "two"), bare_session("one", "two")],
        ids=["seed", "paginated", "bare"],
    )
    def test_every_era_has_its_turns_and_each_line_is_told_once(self, home: Path, data: Any) -> None:
        history = load_history(put(home, data))

        document = history.document()

        assert [turn.prompt for turn in document.turns if turn.number] == ["one", "two"]
        assert [item.text for turn in document.turns for item in turn.items if item.kind == "agent"] == [
            "answer to one",
            "answer to two",
        ]
        assert keys_of(document.turns) == sorted(key for key, _ in history.numbered())
        assert document.line_count == len(history.lines)

    def test_what_a_turn_took_stands_in_it(self) -> None:
        total = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
        info = {"total_token_usage": total, "last_token_usage": total}
        lines = [
            ("turn_context", {"cwd": "/", "model": "gpt-6"}),
            event("task_started", turn_id="t"),
            message("user", "one"),
            event("token_count", info=info, rate_limits=None),
            event("task_complete", turn_id="t", duration_ms=1500, last_agent_message=None),
            event("task_started", turn_id="u"),
        ]

        document = document_of(lines)

        turn = document.turns[1]
        assert (turn.tokens.total_tokens, turn.duration, turn.status, turn.model) == (120, 1.5, "completed", "gpt-6")
        assert (turn.started_at, turn.ended_at) == ("2026-11-21T01:25:40.122Z", "2026-11-21T01:25:43.122Z")
        assert document.token_growth == [("2026-11-21T01:25:42.122Z", 120)]
        assert document.turns[2].model == "gpt-6"
        assert document.turns[2].status is None
        assert document.stats.turns == 2

    @pytest.mark.parametrize(
        ("ending", "status"),
        [
            ([event("turn_aborted", reason="interrupted", duration_ms=True)], "interrupted"),
            ([event("error", message="no"), event("task_complete")], "failed"),
            ([event("task_complete", error={"message": "no"})], "failed"),
            ([], None),
        ],
    )
    def test_how_a_turn_ended(self, ending: list[Line], status: str | None) -> None:
        document = document_of([event("task_started"), message("user", "one"), *ending])

        assert document.turns[-1].status == status

    def test_a_turn_that_is_not_measured_lasts_from_its_first_line_to_its_last(self) -> None:
        assert document_of([*prompt("one"), *answer("two")]).turns[-1].duration == 3.0

    @pytest.mark.parametrize("duration", [10**400, float("nan"), float("inf"), -1, True, "1", None])
    def test_a_duration_that_is_none_is_not_believed(self, duration: Any) -> None:
        builder = built([meta(), *prompt("one"), event("task_started"), call({"cmd": "ls"})])
        for number, kind in enumerate(("exec_command_end", "task_complete"), 6):
            took = {"secs": 1, "nanos": duration}
            fields = {"type": kind, "call_id": "c1", "duration_ms": duration, "duration": took}
            timestamp = "2026-11-21T01:25:43.122Z"
            builder.add(RolloutLine(timestamp=timestamp, type="event_msg", payload=fields), number)

        assert builder.document is not None
        turn = builder.document.turns[-1]
        assert turn.items[0].call is not None
        assert (turn.duration, turn.items[0].call.duration) == (2.0, None)

    def test_a_turn_whose_prompt_is_a_picture_is_rolled_back_too(self) -> None:
        picture = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
        lines: list[Line] = [("response_item", {"type": "message", "role": "user", "content": [picture]})]

        document = document_of([*prompt("one"), *lines, *answer("1"), event("thread_rolled_back", num_turns=1)])

        assert [turn.is_rolled_back for turn in document.turns] == [False, False, True]

    def test_turns_rolled_back_say_so(self) -> None:
        lines = [*prompt("one"), *answer("1"), *prompt("two"), *answer("2"), event("thread_rolled_back", num_turns=1)]

        document = document_of(lines)

        assert [turn.is_rolled_back for turn in document.turns] == [False, False, True]
        assert document.turns[2].items[-1].text == "1 turn taken back"
        assert items_of([*lines, event("thread_rolled_back", num_turns=2)])[-1].text == "2 turns taken back"
        assert items_of([event("thread_rolled_back", num_turns="x")])[-1].text == "x turns taken back"

    def test_the_title_is_the_first_line_of_the_first_prompt(self) -> None:
        assert document_of([*prompt("one\ntwo")]).title == "one"
        assert document_of([]).title == ID

    def test_times_between_are_those_between_items(self) -> None:
        gaps = [item.gap for item in items_of([*prompt("one"), event("token_count"), *answer("two")])]

        assert gaps == [None, 3.0]

    def test_inherited_lines_have_keys_of_their_own(self, home: Path) -> None:
        total = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
        counted = event("token_count", info={"total_token_usage": total})
        base = put(home, encode([*paginated_session("one"), counted], first_ordinal=0))
        fork_id = "01a1fbb5-7abd-7c53-8766-f128212a6999"
        own = [
            meta(fork_id, history_mode="paginated", history_base={"thread_id": ID, "end_ordinal_exclusive": 99}),
            event("task_started", turn_id="x"),
            message("user", "two"),
        ]
        history = load_history(put(home, own, session_id=fork_id))

        document = history.document()

        assert base.exists()
        assert (document.inherited_count, document.line_count, document.session_id) == (10, 3, fork_id)
        assert (document.token_growth, document.turns[1].tokens.total_tokens) == ([], 120)
        assert [(turn.prompt, turn.is_inherited) for turn in document.turns if turn.number] == [
            ("one", True),
            ("two", False),
        ]
        assert keys_of(document.turns) == sorted(key for key, _ in history.numbered())
        assert document.others["session_meta"] == 2

    def test_a_base_that_is_gone_is_named(self, home: Path) -> None:
        own = [meta(history_base={"thread_id": "01a1fbb5-0000-7c53-8766-f128212a6999", "end_ordinal_exclusive": 9})]

        document = load_history(put(home, own)).document()

        assert document.missing_base == "01a1fbb5-0000-7c53-8766-f128212a6999"

    def test_the_folder_of_a_bare_session_is_recovered(self, home: Path) -> None:
        assert load_history(put(home, bare_session("one", cwd="/demo"))).document().meta.cwd == "/demo"


class TestUnreadable:
    def test_lines_that_could_not_be_read_stand_where_they_are(self, home: Path) -> None:
        data = encode([meta(), *prompt("one")]) + b"{oops\n\n" + encode(answer("two")) + b'{"torn'
        history = load_history(put(home, data))

        document = history.document()

        items = [item for turn in document.turns for item in turn.items]
        assert [(item.kind, item.key) for item in items] == [
            ("user", "2"),
            ("unreadable", "4"),
            ("agent", "6"),
            ("unreadable", "8"),
        ]
        assert items[1].text.startswith("5 bytes from byte ")
        assert "not JSON" in items[1].title
        assert document.line_count == len(history.lines) + 2

    def test_a_file_may_begin_with_one(self) -> None:
        builder = DocumentBuilder(Path("x"))
        builder.add_unreadable(SkippedLine(1, 0, 3, "not JSON"))

        assert builder.document is None
        assert [item.kind for _, items in builder.changes() for item in items] == ["unreadable"]


class TestGrowing:
    def test_changes_are_told_once_and_are_only_those(self) -> None:
        builder = built([meta(), *prompt("one"), call({"command": ["ls"]})])
        assert [(turn.number, [item.kind for item in items]) for turn, items in builder.changes()] == [
            (0, []),
            (1, ["user", "call"]),
        ]

        line = decode_line(encode_item(*output("a.txt"), time_ms=TIME_MS))
        builder.add(line, 5)

        changes = builder.changes()
        assert [(turn.number, [item.key for item in items]) for turn, items in changes] == [(1, ["4"])]
        assert builder.changes() == []

    def test_an_answer_that_comes_in_a_later_turn_changes_the_call_where_it_stands(self) -> None:
        builder = built([meta(), *prompt("one"), call({"cmd": "sleep 9"}), *prompt("two"), *answer("x")])
        builder.changes()
        builder.add(decode_line(encode_item(*output("done"), time_ms=TIME_MS + 20_000)), 9)

        [(turn, items)] = builder.changes()

        assert turn.number == 1
        assert items[0].call is not None
        assert (items[0].call.output, items[0].call.elapsed, items[0].lines) == ("done", 16.0, ["4", "9"])

    def test_before_its_meta_there_is_no_document(self) -> None:
        builder = built(prompt("one"))
        assert builder.document is None
        builder.add(decode_line(encode_item("session_meta", {"id": 1}, time_ms=TIME_MS)), 3)
        assert builder.document is None
        builder.add(decode_line(encode_item(*meta(), time_ms=TIME_MS)), 4)
        builder.add(decode_line(encode_item(*meta("01a1fbb5-0000-7c53-8766-f128212a6999"), time_ms=TIME_MS)), 5)

        assert builder.document is not None
        assert builder.document.session_id == ID
        assert builder.document.turns[0].prompt == "one"


class TestEchoes:
    def test_what_is_said_as_event_and_as_item_stands_once(self) -> None:
        items = items_of([*prompt("one"), event("agent_reasoning", text="hm"), *answer("two")])

        assert said(items) == [("user", "one"), ("reasoning", "hm"), ("agent", "two")]
        assert [item.lines for item in items] == [["2", "3"], ["4"], ["5", "6"]]

    def test_what_a_user_says_twice_stands_twice(self) -> None:
        assert said(items_of([*prompt("go on"), *prompt("go on")])) == [("user", "go on"), ("user", "go on")]

    def test_what_a_person_says_in_a_new_turn_is_no_echo_of_the_last(self) -> None:
        lines = [event("user_message", message="yes"), *answer("a"), event("task_started"), message("user", "yes")]

        assert said(items_of(lines)) == [("user", "yes"), ("agent", "a"), ("user", "yes")]

    def test_each_compaction_stands_though_it_says_nothing(self) -> None:
        lines: list[Line] = [
            event("context_compacted"),
            ("compacted", {"message": "", "replacement_history": [{}, {}]}),
            message("assistant", "mid"),
            ("compacted", {"message": "", "replacement_history": [{}, {}, {}]}),
        ]

        items = items_of(lines)

        assert [(item.kind, item.title) for item in items] == [
            ("compaction", "2 items kept"),
            ("agent", ""),
            ("compaction", "3 items kept"),
        ]

    def test_an_echo_that_comes_late_is_none(self) -> None:
        between = [event("token_count")] * 40

        assert len(items_of([message("assistant", "x"), *between, event("agent_message", message="x")])) == 2

    def test_what_was_said_long_ago_is_forgotten(self) -> None:
        builder = built([meta(), *(message("assistant", str(number)) for number in range(1000))])

        assert len(builder._said) <= 130

    def test_reasoning_that_an_event_said_whole_is_said_once_and_no_line_is_lost(self) -> None:
        parts = [{"type": "summary_text", "text": text} for text in ("a", "b")]
        item = ("response_item", {"type": "reasoning", "summary": parts})
        lines = [event("agent_reasoning", text="a\n\nb"), item, event("agent_reasoning", text="a")]

        turns = document_of(lines).turns

        assert said(turns[0].items) == [("reasoning", "a\n\nb"), ("reasoning", "a")]
        assert keys_of(turns) == ["1", "2", "3", "4"]

    def test_paragraphs_of_reasoning_that_events_said_are_not_repeated_by_their_item(self) -> None:
        parts = [{"type": "summary_text", "text": text} for text in ("a", "b", "c")]
        item = ("response_item", {"type": "reasoning", "summary": parts[:2], "content": parts[2:]})
        events = [event("agent_reasoning", text=text) for text in ("a", "b")]

        after = items_of([*events, item])
        before = items_of([item, *events])

        assert said(after) == [("reasoning", "a"), ("reasoning", "b"), ("reasoning", "c")]
        assert [item.lines for item in after] == [["2", "4"], ["3", "4"], ["4"]]
        together = items_of([completed("Reasoning", summary_text=["a", "b"], raw_content=["c"]), item])
        assert said(before) == said(together) == [("reasoning", "a\n\nb\n\nc")]
        assert together[0].lines == ["2", "3"]
        assert before[0].lines == ["2", "3", "4"]

    def test_the_last_message_of_a_turn_is_said_a_third_time_by_its_end(self) -> None:
        lines = [*prompt("one"), *answer("two"), event("task_complete", last_agent_message="two")]

        assert said(items_of(lines)) == [("user", "one"), ("agent", "two")]

    def test_a_turn_that_only_its_end_tells_of_is_shown_with_its_error(self) -> None:
        items = items_of([event("task_complete", last_agent_message="two", error={"message": "broken"})])

        assert said(items) == [("agent", "two"), ("error", "broken")]
        assert [item.key for item in items] == ["2", "2-2"]

    def test_a_compaction_stands_once_and_a_plan_with_its_call(self) -> None:
        steps = [{"step": "look", "status": "completed"}, {"step": "act", "status": "pending"}, "odd"]
        lines = [
            call({"plan": steps}, "update_plan"),
            event("plan_update", plan=steps),
            ("compacted", {"message": "short", "replacement_history": [{}]}),
            event("context_compacted"),
            completed("ContextCompaction"),
            event("plan_update", explanation="other", plan=[]),
        ]

        items = items_of(lines)

        assert [(item.kind, item.lines) for item in items] == [
            ("call", ["2", "3"]),
            ("compaction", ["4", "5", "6"]),
            ("plan", ["7"]),
        ]
        assert [(step.text, step.status) for step in items[0].plan] == [("look", "completed"), ("act", "pending")]
        assert (items[1].title, items[1].text) == ("1 items kept", "short")

    def test_images_of_an_event_are_those_of_its_item(self) -> None:
        url = "data:image/png;base64,iVBORw0KGgo="
        lines = [
            message("user", "look"),
            event("user_message", message="look", images=[url, 1], local_images=["/a.svg"]),
        ]

        [item] = items_of(lines)

        assert [(image.media_type, image.source[:9]) for image in item.images] == [
            ("image/png", "data:imag"),
            (None, "/a.svg"),
        ]
