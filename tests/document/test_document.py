from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rollout import load_history
from rollout.codec import RolloutLine, decode_line, encode_item
from rollout.document import DocumentBuilder
from rollout.interpret._echoes import ECHO_LINES
from rollout.reading._lines import SkippedLine
from tests.builders import builder_of, call, completed, document_of, items_of, keys_of, output, texts_of
from tests.rollouts import (
    ID,
    TIME_MS,
    Line,
    answer,
    bare_session,
    encode,
    event,
    item,
    message,
    meta,
    paginated_session,
    prompt,
    put,
    seed_session,
)


class TestTurns:
    @pytest.mark.parametrize(
        "data",
        [seed_session("one", "two"), paginated_session("one", "two"), bare_session("one", "two")],
        ids=["seed", "paginated", "bare"],
    )
    def test_sessions_of_each_version_have_their_turns_and_each_line_once(self, home: Path, data: Any) -> None:
        history = load_history(put(home, data))

        document = history.document()

        assert [turn.prompt for turn in document.turns if turn.number] == ["one", "two"]
        assert [item.text for turn in document.turns for item in turn.items if item.kind == "agent"] == [
            "answer to one",
            "answer to two",
        ]
        assert keys_of(document.turns) == sorted(key for key, _ in history.numbered())
        assert document.line_count == len(history.lines)

    def test_a_turn_has_its_tokens_duration_status_and_model(self) -> None:
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
    def test_a_turn_has_a_status(self, ending: list[Line], status: str | None) -> None:
        document = document_of([event("task_started"), message("user", "one"), *ending])

        assert document.turns[-1].status == status

    def test_a_turn_without_a_recorded_duration_lasts_from_its_first_to_its_last_line(self) -> None:
        assert document_of([*prompt("one"), *answer("two")]).turns[-1].duration == 3.0

    @pytest.mark.parametrize("duration", [10**400, float("nan"), float("inf"), -1, True, "1", None])
    def test_an_invalid_duration_is_ignored(self, duration: Any) -> None:
        builder = builder_of([meta(), *prompt("one"), event("task_started"), call("shell", {"cmd": "ls"})])
        for number, kind in enumerate(("exec_command_end", "task_complete"), 6):
            took = {"secs": 1, "nanos": duration}
            fields = {"type": kind, "call_id": "c1", "duration_ms": duration, "duration": took}
            timestamp = "2026-11-21T01:25:43.122Z"
            builder.add(RolloutLine(timestamp=timestamp, type="event_msg", payload=fields), number)

        assert builder.document is not None
        turn = builder.document.turns[-1]
        assert turn.items[0].call is not None
        assert (turn.duration, turn.items[0].call.duration) == (2.0, None)

    def test_a_turn_with_an_image_as_its_prompt_can_be_rolled_back(self) -> None:
        picture = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
        lines: list[Line] = [("response_item", {"type": "message", "role": "user", "content": [picture]})]

        document = document_of([*prompt("one"), *lines, *answer("1"), event("thread_rolled_back", num_turns=1)])

        assert [turn.is_rolled_back for turn in document.turns] == [False, False, True]

    def test_rolled_back_turns_are_marked_and_their_number_is_shown(self) -> None:
        lines = [*prompt("one"), *answer("1"), *prompt("two"), *answer("2"), event("thread_rolled_back", num_turns=1)]

        document = document_of(lines)

        assert [turn.is_rolled_back for turn in document.turns] == [False, False, True]
        assert document.turns[2].items[-1].text == "1 turn"
        assert items_of([*lines, event("thread_rolled_back", num_turns=2)])[-1].text == "2 turns"
        assert items_of([event("thread_rolled_back", num_turns="x")])[-1].text == "x turns"

    def test_the_title_is_the_first_request_on_one_line_or_the_id(self) -> None:
        assert document_of([*prompt("one\n\ttwo  three")]).title == "one two three"
        assert document_of([*prompt("one"), *answer("1"), *prompt("two")]).title == "one"
        assert document_of([]).title == ID

    def test_a_long_title_ends_with_an_ellipsis(self) -> None:
        assert document_of(prompt("x" * 120)).title == "x" * 120
        assert document_of(prompt("x" * 121)).title == f"{'x' * 119}…"

    def test_the_prompt_is_the_request_without_what_an_editor_or_codex_adds(self) -> None:
        whole = "# Context from my IDE setup:\n\n## Open tabs:\n- a.py\n\n## My request for Codex:\nfix it"
        parts = [
            {"type": "input_text", "text": text} for text in ("<environment_context>x</environment_context>", "go")
        ]

        of_editor = document_of([message("user", whole)])
        of_parts = document_of([item("message", role="user", content=parts)])

        assert (of_editor.turns[1].prompt, of_editor.title) == ("fix it", "fix it")
        assert texts_of(of_editor.turns[1].items) == [("user", whole)]
        assert (of_parts.turns[1].prompt, of_parts.title) == ("go", "go")
        assert [(one.kind, one.text, one.key) for one in of_parts.turns[1].items] == [
            ("context", "<environment_context>x</environment_context>", "2"),
            ("user", "go", "2-2"),
        ]

    def test_a_prompt_that_is_only_an_image_has_no_words(self) -> None:
        picture = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}

        document = document_of([item("message", role="user", content=[picture]), *answer("1"), *prompt("two")])

        assert [turn.prompt for turn in document.turns if turn.number] == ["", "two"]
        assert [image.media_type for image in document.turns[1].items[0].images] == ["image/png"]
        assert document.title == "two"

    def test_the_tokens_of_a_turn_are_unknown_if_no_line_states_them(self) -> None:
        assert document_of(prompt("one")).turns[-1].tokens is None

    def test_gaps_are_the_times_between_items(self) -> None:
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

    def test_a_missing_base_is_named(self, home: Path) -> None:
        own = [meta(history_base={"thread_id": "01a1fbb5-0000-7c53-8766-f128212a6999", "end_ordinal_exclusive": 9})]

        document = load_history(put(home, own)).document()

        assert document.missing_base == "01a1fbb5-0000-7c53-8766-f128212a6999"

    def test_the_folder_of_a_bare_session_is_recovered(self, home: Path) -> None:
        assert load_history(put(home, bare_session("one", cwd="/demo"))).document().meta.cwd == "/demo"


class TestUnreadable:
    def test_unreadable_lines_are_items_in_their_place(self, home: Path) -> None:
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

    def test_an_unreadable_line_may_come_first(self) -> None:
        builder = DocumentBuilder(Path("x"))
        builder.add_unreadable(SkippedLine(1, 0, 3, "not JSON"))

        assert builder.document is None
        assert [item.kind for _, items in builder.changes() for item in items] == ["unreadable"]


class TestGrowing:
    def test_each_change_is_returned_once(self) -> None:
        builder = builder_of([meta(), *prompt("one"), call("shell", {"command": ["ls"]})])
        assert [(turn.number, [item.kind for item in items]) for turn, items in builder.changes()] == [
            (0, []),
            (1, ["user", "call"]),
        ]

        line = decode_line(encode_item(*output("a.txt"), time_ms=TIME_MS))
        builder.add(line, 5)

        changes = builder.changes()
        assert [(turn.number, [item.key for item in items]) for turn, items in changes] == [(1, ["4"])]
        assert builder.changes() == []

    def test_an_output_in_a_later_turn_changes_its_call_in_the_earlier_turn(self) -> None:
        builder = builder_of([meta(), *prompt("one"), call("shell", {"cmd": "sleep 9"}), *prompt("two"), *answer("x")])
        builder.changes()
        builder.add(decode_line(encode_item(*output("done"), time_ms=TIME_MS + 20_000)), 9)

        [(turn, items)] = builder.changes()

        assert turn.number == 1
        assert items[0].call is not None
        assert (items[0].call.output, items[0].call.elapsed, items[0].lines) == ("done", 16.0, ["4", "9"])

    def test_there_is_no_document_before_a_valid_meta(self) -> None:
        builder = builder_of(prompt("one"))
        assert builder.document is None
        builder.add(decode_line(encode_item("session_meta", {"id": 1}, time_ms=TIME_MS)), 3)
        assert builder.document is None
        builder.add(decode_line(encode_item(*meta(), time_ms=TIME_MS)), 4)
        builder.add(decode_line(encode_item(*meta("01a1fbb5-0000-7c53-8766-f128212a6999"), time_ms=TIME_MS)), 5)

        assert builder.document is not None
        assert builder.document.session_id == ID
        assert builder.document.turns[0].prompt == "one"

    def test_without_a_readable_meta_the_id_is_that_of_the_file_name_until_a_meta_follows(self) -> None:
        builder = DocumentBuilder(Path(f"rollout-2026-11-21T01-25-37-{ID}.jsonl"))
        builder.add(decode_line(encode_item(*message("user", "one"), time_ms=TIME_MS)), 1)
        document = builder.document

        assert document is not None
        assert (document.session_id, document.meta.timestamp, document.meta.originator) == (
            ID,
            "2026-11-21T01:25:37",
            None,
        )

        builder.add(decode_line(encode_item(*meta(), time_ms=TIME_MS)), 2)

        assert builder.document is document
        assert (document.session_id, document.meta.originator, document.title) == (ID, "codex", "one")


class TestEchoes:
    def test_a_text_in_an_event_and_in_an_item_is_shown_once(self) -> None:
        items = items_of([*prompt("one"), event("agent_reasoning", text="hm"), *answer("two")])

        assert texts_of(items) == [("user", "one"), ("reasoning", "hm"), ("agent", "two")]
        assert [item.lines for item in items] == [["2", "3"], ["4"], ["5", "6"]]

    def test_a_repeated_prompt_is_shown_twice(self) -> None:
        assert texts_of(items_of([*prompt("go on"), *prompt("go on")])) == [("user", "go on"), ("user", "go on")]

    def test_the_same_text_twice_in_lines_of_one_kind_is_shown_twice(self) -> None:
        items = items_of([message("assistant", "x"), message("assistant", "x"), *answer("y"), *answer("y")])

        assert texts_of(items) == [("agent", "x"), ("agent", "x"), ("agent", "y"), ("agent", "y")]
        assert [one.lines for one in items] == [["2"], ["3"], ["4", "5"], ["6", "7"]]

    def test_a_text_in_lines_of_each_kind_is_shown_once(self) -> None:
        lines = [*answer("x"), completed("AgentMessage", text="x"), event("task_complete", last_agent_message="x")]

        items = items_of([event("task_started"), *lines])

        assert [(one.text, one.lines) for one in items] == [("x", ["3", "4", "5", "6"])]

    def test_a_prompt_in_a_new_turn_is_no_echo_of_an_earlier_one(self) -> None:
        lines = [event("user_message", message="yes"), *answer("a"), event("task_started"), message("user", "yes")]

        assert texts_of(items_of(lines)) == [("user", "yes"), ("agent", "a"), ("user", "yes")]

    def test_each_compaction_without_a_text_is_shown(self) -> None:
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

    def test_a_text_repeated_much_later_is_shown_again(self) -> None:
        between = [event("token_count")] * 40

        assert len(items_of([message("assistant", "x"), *between, event("agent_message", message="x")])) == 2

    def test_the_number_of_remembered_texts_is_bounded(self) -> None:
        builder = builder_of([meta(), *(message("assistant", str(number)) for number in range(1000))])

        assert len(builder._sources[False].said) <= 256
        assert len(builder._sources[False].interpreter.echoes.seen) <= 4 * ECHO_LINES

    def test_reasoning_that_one_event_contains_completely_is_shown_once_and_no_line_is_lost(self) -> None:
        parts = [{"type": "summary_text", "text": text} for text in ("a", "b")]
        item = ("response_item", {"type": "reasoning", "summary": parts})
        lines = [event("agent_reasoning", text="a\n\nb"), item, event("agent_reasoning", text="a")]

        turns = document_of(lines).turns

        assert texts_of(turns[0].items) == [("reasoning", "a\n\nb"), ("reasoning", "a")]
        assert keys_of(turns) == ["1", "2", "3", "4"]

    def test_paragraphs_of_reasoning_in_events_are_not_repeated_by_their_item(self) -> None:
        parts = [{"type": "summary_text", "text": text} for text in ("a", "b", "c")]
        item = ("response_item", {"type": "reasoning", "summary": parts[:2], "content": parts[2:]})
        events = [event("agent_reasoning", text=text) for text in ("a", "b")]

        after = items_of([*events, item])
        before = items_of([item, *events])

        assert texts_of(after) == [("reasoning", "a"), ("reasoning", "b"), ("reasoning", "c")]
        assert [item.lines for item in after] == [["2", "4"], ["3", "4"], ["4"]]
        together = items_of([completed("Reasoning", summary_text=["a", "b"], raw_content=["c"]), item])
        assert texts_of(before) == texts_of(together) == [("reasoning", "a\n\nb\n\nc")]
        assert together[0].lines == ["2", "3"]
        assert before[0].lines == ["2", "3", "4"]

    def test_the_end_of_a_turn_does_not_repeat_the_last_message(self) -> None:
        lines = [*prompt("one"), *answer("two"), event("task_complete", last_agent_message="two")]

        assert texts_of(items_of(lines)) == [("user", "one"), ("agent", "two")]

    def test_a_turn_with_only_an_end_is_shown_with_its_error(self) -> None:
        items = items_of([event("task_complete", last_agent_message="two", error={"message": "broken"})])

        assert texts_of(items) == [("agent", "two"), ("error", "broken")]
        assert [item.key for item in items] == ["2", "2-2"]

    def test_a_compaction_is_shown_once_and_a_plan_in_its_call(self) -> None:
        steps = [{"step": "look", "status": "completed"}, {"step": "act", "status": "pending"}, "odd"]
        lines = [
            call("update_plan", {"plan": steps}),
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

    def test_images_of_an_event_belong_to_its_item(self) -> None:
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
