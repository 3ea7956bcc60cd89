from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rollout import MissingSessionMetaError, SessionNotFoundError, load_history, schema
from tests import rollouts, zstd
from tests.rollouts import Line, answer, encode, event, message, meta, prompt, put, surroundings


def texts(items: list[dict[str, Any]]) -> list[str]:
    return [part["text"] for item in items for part in item["content"]]


def turn(number: int) -> list[Line]:
    return [*prompt(f"u{number}"), *answer(f"a{number}")]


def input_of(home: Path, *lines: Line) -> list[dict[str, Any]]:
    return load_history(put(home, [meta(), *lines])).to_input()


class TestLoading:
    def test_has_id_meta_lines_and_items(self, home: Path) -> None:
        path = put(home, rollouts.seed_session("hello"))

        history = load_history(path)

        assert history.path == path
        assert history.session_id == rollouts.ID
        assert history.meta.git == schema.GitInfo(commit_hash=rollouts.GIT["commit_hash"], branch="master")
        assert [type(item).__name__ for item in history.items] == [
            "SessionMeta", "Message", "Message", "UserMessage", "AgentMessage", "Message",
        ]  # fmt: skip
        assert history.skipped == ()

    def test_finds_a_session_by_the_beginning_of_its_id(self, home: Path) -> None:
        path = put(home, rollouts.seed_session("hello"))

        assert load_history(rollouts.ID[:9]).path == path
        assert load_history(rollouts.ID, home=home).path == path
        with pytest.raises(SessionNotFoundError):
            load_history("ffff")

    def test_the_first_meta_is_used(self, home: Path) -> None:
        path = put(home, [meta(), meta("01a1fbb5-0000-7000-8000-000000000000", cwd="/parent"), *prompt("x")])

        history = load_history(path)

        assert (history.session_id, history.meta.cwd) == (rollouts.ID, "/home/dev/demo")
        assert len(history.lines) == 4

    def test_an_invalid_meta_is_skipped(self, home: Path) -> None:
        path = put(home, [("session_meta", {"id": 1}), meta()])

        assert load_history(path).session_id == rollouts.ID

    def test_skipped_lines_have_their_reasons(self, home: Path) -> None:
        path = put(home, encode([meta()]) + b"bad\n" + encode(prompt("x")) + b'{"torn')

        history = load_history(path)

        assert [(skipped.lineno, skipped.reason[:8]) for skipped in history.skipped] == [
            (2, "not JSON"),
            (5, "torn: th"),
        ]
        assert len(history.lines) == 3

    @pytest.mark.parametrize("data", [b"", b"\n \n"])
    def test_an_empty_file_raises_an_error_with_the_reason(self, home: Path, data: bytes) -> None:
        with pytest.raises(MissingSessionMetaError, match="empty session file"):
            load_history(put(home, data))

    def test_a_file_without_a_readable_line_raises_an_error_with_the_reason(self, home: Path) -> None:
        with pytest.raises(MissingSessionMetaError, match="no session_meta"):
            load_history(put(home, b"bad\n"))

    def test_a_file_without_meta_and_with_another_name_raises_an_error_with_the_reason(self, tmp_path: Path) -> None:
        path = tmp_path / "copy.jsonl"
        path.write_bytes(encode(prompt("x")))

        with pytest.raises(MissingSessionMetaError, match="no session_meta"):
            load_history(path)

    @pytest.mark.parametrize("is_cut", [True, False])
    def test_a_file_without_its_first_line_has_the_id_and_the_start_in_its_name(self, home: Path, is_cut: bool) -> None:
        first, *rest = encode(rollouts.seed_session("one", "two")).splitlines(keepends=True)
        path = put(home, first[30:] * is_cut + b"".join(rest))

        history = load_history(path)

        assert (history.session_id, history.meta.id) == (rollouts.ID, rollouts.ID)
        assert history.meta.timestamp == "2026-11-21T01:25:37"
        assert history.meta.cwd == "/home/dev/demo"
        assert [turn.prompt for turn in history.turns] == ["one", "two"]
        assert [skipped.lineno for skipped in history.skipped] == [1] * is_cut
        assert load_history(rollouts.ID[:9]).path == path

    def test_a_copied_meta_after_a_cut_first_line_is_not_the_session_s_own(self, home: Path) -> None:
        other = meta("01a1fbb5-0000-7000-8000-000000000000", cwd="/parent")

        history = load_history(put(home, encode([meta(), other, *prompt("x")])[30:]))

        assert history.session_id == rollouts.ID
        assert history.meta.cwd is None

    def test_a_compressed_session_loads_equally(self, home: Path) -> None:
        data = encode(rollouts.seed_session("hello"))

        history = load_history(put(home, zstd.compress(data), suffix=".zst"))

        assert [turn.prompt for turn in history.turns] == ["hello"]

    @pytest.mark.parametrize("cwd", ["/home/dev/demo", None])
    def test_a_file_before_the_envelope_has_the_folder_of_its_environment_context(
        self, home: Path, cwd: str | None
    ) -> None:
        history = load_history(put(home, rollouts.bare_session("one", "two", cwd=cwd)))

        assert history.meta.cwd == cwd
        assert [turn.prompt for turn in history.turns] == ["one", "two"]
        assert len(history.to_input()) == (5 if cwd else 4)


class TestTurns:
    def test_a_prompt_written_as_item_and_event_is_one_turn(self, home: Path) -> None:
        history = load_history(put(home, rollouts.seed_session("one", "one", "two")))

        assert [turn.prompt for turn in history.turns] == ["one", "one", "two"]
        assert [len(turn.lines) for turn in history.turns] == [4, 4, 4]

    def test_an_event_before_its_item_is_one_turn(self, home: Path) -> None:
        one, two = ([*reversed(prompt(text))] for text in ("one", "two"))

        history = load_history(put(home, [meta(), *one, *two]))

        assert [turn.prompt for turn in history.turns] == ["one", "two"]

    def test_a_user_message_written_by_codex_begins_no_turn(self, home: Path) -> None:
        marks = [
            surroundings(),
            message("user", "# AGENTS.md instructions for /x\n\n<INSTRUCTIONS>\nx\n</INSTRUCTIONS>"),
            message("user", "<user_instructions>\nx\n</user_instructions>"),
        ]

        history = load_history(put(home, [meta(), *marks, *prompt("one")]))

        assert [turn.prompt for turn in history.turns] == ["one"]

    def test_in_current_sessions_each_task_is_a_turn(self, home: Path) -> None:
        history = load_history(put(home, rollouts.paginated_session("one", "two")))

        assert [(turn.prompt, turn.turn_id) for turn in history.turns] == [
            ("one", f"{rollouts.TURN_ID[:-1]}0"),
            ("two", f"{rollouts.TURN_ID[:-1]}1"),
        ]
        assert sum(len(turn.lines) for turn in history.turns) == len(history.lines) - 1

    def test_a_prompt_during_a_task_belongs_to_its_turn(self, home: Path) -> None:
        lines = [event("task_started", turn_id="t"), message("user", "go"), message("user", "and hurry")]

        history = load_history(put(home, [meta(), *lines, event("turn_aborted", reason="x"), message("user", "next")]))

        assert [turn.prompt for turn in history.turns] == ["go", "next"]

    def test_a_task_without_a_prompt_is_a_turn_without_prompt(self, home: Path) -> None:
        history = load_history(put(home, [meta(), event("turn_started"), event("turn_complete")]))

        assert [turn.prompt for turn in history.turns] == [None]

    def test_rolled_back_turns_are_marked(self, home: Path) -> None:
        back = event("thread_rolled_back", num_turns=2)

        history = load_history(put(home, [meta(), *turn(1), *turn(2), *turn(3), back, *turn(4)]))

        assert [(turn.prompt, turn.is_rolled_back) for turn in history.turns] == [
            ("u1", False),
            ("u2", True),
            ("u3", True),
            ("u4", False),
        ]

    def test_a_prompt_has_no_open_files_of_an_editor(self, home: Path) -> None:
        words = "# Context from my IDE setup:\n\n## Open tabs:\n- a.py\n\n## My request for Codex:\nfix it\n"

        assert [turn.prompt for turn in load_history(put(home, [meta(), *prompt(words)])).turns] == ["fix it"]

    def test_a_prompt_that_is_only_an_image_is_empty(self, home: Path) -> None:
        image = rollouts.item("message", role="user", content=[{"type": "input_image", "image_url": "data:,x"}])

        assert [turn.prompt for turn in load_history(put(home, [meta(), image])).turns] == [""]

    def test_the_first_turn_after_a_compaction_at_the_beginning_has_the_first_prompt_before_it(
        self, home: Path
    ) -> None:
        kept = [surroundings()[1], message("user", "first")[1], message("user", "second")[1]]
        compacted = ("compacted", {"message": "summary", "replacement_history": kept})
        lines = [compacted, event("task_started", turn_id="t"), *answer("on"), event("task_complete", turn_id="t")]

        history = load_history(put(home, [meta(), *lines, *turn(3)]))

        assert [turn.prompt for turn in history.turns] == ["first", "u3"]

    def test_a_first_turn_with_a_prompt_keeps_it_after_a_compaction_at_the_beginning(self, home: Path) -> None:
        compacted = ("compacted", {"message": "summary", "replacement_history": [message("user", "first")[1]]})

        history = load_history(put(home, [meta(), compacted, *turn(2), *turn(3)]))

        assert [turn.prompt for turn in history.turns] == ["u2", "u3"]

    def test_a_compaction_after_the_first_turn_changes_no_prompt(self, home: Path) -> None:
        compacted = ("compacted", {"message": "summary", "replacement_history": [message("user", "first")[1]]})
        task = [event("task_started", turn_id="t"), *answer("a"), event("task_complete", turn_id="t")]

        history = load_history(put(home, [meta(), *task, compacted, *turn(2)]))

        assert [turn.prompt for turn in history.turns] == [None, "u2"]

    @pytest.mark.parametrize("count", [0, -1, None, "1"])
    def test_an_invalid_rollback_has_no_effect(self, home: Path, count: Any) -> None:
        path = put(home, [meta(), *turn(1), event("thread_rolled_back", num_turns=count)])

        assert not load_history(path).turns[0].is_rolled_back
        assert texts(load_history(path).to_input()) == ["u1", "a1"]


class TestInput:
    def test_has_only_the_response_items(self, home: Path) -> None:
        items = input_of(home, surroundings(), *turn(1), event("token_count", info=None), *turn(2))

        assert texts(items)[1:] == ["u1", "a1", "u2", "a2"]

    def test_leaves_out_internal_metadata_of_codex(self, home: Path) -> None:
        kind, payload = message("user", "x")
        inner = {"internal_chat_message_metadata_passthrough": {"turn_id": "t"}}

        items = input_of(home, (kind, {**payload, **inner}))

        assert items == [payload]

    def test_a_compaction_replaces_the_items_before_it(self, home: Path) -> None:
        snapshot = {"type": "ghost_snapshot", "ghost_commit": {}}
        replacement = [message("user", "r1")[1], snapshot, message("assistant", "r2")[1], "odd"]
        compacted = ("compacted", {"message": "", "replacement_history": replacement})

        assert texts(input_of(home, *turn(1), compacted, *turn(2))) == ["r1", "r2", "u2", "a2"]

    def test_a_compaction_without_replacement_leaves_the_prompts_and_the_summary(self, home: Path) -> None:
        items = input_of(home, surroundings(), *turn(1), *turn(2), ("compacted", {"message": "summary"}), *turn(3))

        assert texts(items) == ["u1", "u2", "summary", "u3", "a3"]
        assert items[2]["role"] == "user"

    @pytest.mark.parametrize(("count", "left"), [(1, ["u1", "a1"]), (2, []), (9, [])])
    def test_a_rollback_removes_the_last_turns(self, home: Path, count: int, left: list[str]) -> None:
        items = input_of(home, *turn(1), *turn(2), event("thread_rolled_back", num_turns=count), *turn(3))

        assert texts(items) == [*left, "u3", "a3"]

    def test_a_rollback_undoes_a_compaction_that_came_later(self, home: Path) -> None:
        compacted = ("compacted", {"message": "summary"})
        back = event("thread_rolled_back", num_turns=2)

        assert texts(input_of(home, *turn(1), *turn(2), compacted, *turn(3), back)) == ["u1", "a1"]

    def test_a_rollback_removes_the_context_of_its_turn_but_not_of_the_first_turn(self, home: Path) -> None:
        back = event("thread_rolled_back", num_turns=9)
        items = input_of(home, surroundings("/first"), *turn(1), surroundings("/second"), *turn(2), back)

        assert ["/first" in text for text in texts(items)] == [True]

    def test_a_rollback_removes_only_the_context_directly_before_its_turn(self, home: Path) -> None:
        back = event("thread_rolled_back", num_turns=1)
        before = [*turn(1), surroundings("/second")]

        right_before = input_of(home, *before, *turn(2), back)
        orders_between = input_of(home, *before, message("developer", "orders"), *turn(2), back)

        assert texts(right_before) == ["u1", "a1"]
        assert texts(orders_between)[3:] == ["orders"]

    def test_leaves_out_items_that_are_not_sent_to_a_model(self, home: Path) -> None:
        unsent: list[Line] = [
            ("response_item", {"type": "ghost_snapshot", "ghost_commit": {}}),
            ("response_item", {"type": "novel"}),
            ("response_item", {"type": ["odd"]}),
            ("response_item", {}),
        ]

        assert texts(input_of(home, *turn(1), *unsent)) == ["u1", "a1"]

    def test_a_rollback_without_prompts_changes_nothing(self, home: Path) -> None:
        assert len(input_of(home, surroundings(), event("thread_rolled_back", num_turns=1))) == 1

    def test_every_call_has_an_output_and_every_output_a_call(self, home: Path) -> None:
        calls: list[Line] = [
            ("response_item", {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "1"}),
            ("response_item", {"type": "custom_tool_call", "name": "g", "input": "", "call_id": "2"}),
            ("response_item", {"type": "local_shell_call", "call_id": "3", "status": "completed", "action": {}}),
            ("response_item", {"type": "function_call_output", "call_id": "3", "output": "fine"}),
            ("response_item", {"type": "function_call_output", "call_id": "9", "output": "to nothing"}),
        ]

        items = input_of(home, *calls)

        assert [(item["type"], item["call_id"], item.get("output")) for item in items] == [
            ("function_call", "1", None),
            ("function_call_output", "1", "aborted"),
            ("custom_tool_call", "2", None),
            ("custom_tool_call_output", "2", "aborted"),
            ("local_shell_call", "3", None),
            ("function_call_output", "3", "fine"),
        ]

    @pytest.mark.parametrize("rollbacks", [0, 1])
    def test_a_text_like_that_of_codex_is_a_prompt_if_an_event_repeats_it_unless_it_was_rolled_back(
        self, home: Path, rollbacks: int
    ) -> None:
        pasted = "<skill>x</skill>"
        repeated = [message("user", pasted), event("user_message", message=pasted)]
        lines = [*turn(1), *repeated, *[event("thread_rolled_back", num_turns=1)] * rollbacks]

        found = texts(input_of(home, *lines, *turn(2), ("compacted", {"message": "summary"})))

        assert found == ["u1", *[pasted] * (not rollbacks), "u2", "summary"]
