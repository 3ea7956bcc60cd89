"""
What is said about sessions in the forms that people really have: titles, prompts, turns, tokens, calls, times.

Each form is in files of the named versions of Codex, or in a public report about a reader of such files.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from rollout import History, list_sessions, load_history
from rollout.codec import encode_item
from rollout.document import Call
from rollout.export import export_text
from rollout.search import Filters, search, update_index
from rollout.stats import SessionStats, group_stats, session_stats
from rollout.store import fork
from tests.rollouts import Line, answer, event, item, message, prompt, prompts_of, put

# 2026-06-08T11:00:00Z. Ids of turns of version 7 contain a time: two hours before, a second after, a minute after.
START_MS = 1_780_916_400_000
OWN = "019ea6e3-af80-7123-8000-000000000001"
PARENT = "019ea675-d280-7123-8000-000000000006"
OLD_TURN, OWN_TURN, LATER_TURN = (
    "019ea678-dfc0-7123-8000-000000000001", "019ea6e3-b368-7123-8000-000000000001",
    "019ea6e4-99e0-7123-8000-000000000001",
)  # fmt: skip
AGENTS = "# AGENTS.md instructions for /demo\n\n<INSTRUCTIONS>\nUse tabs.\n</INSTRUCTIONS>"
ENVIRONMENT = "<environment_context>\n  <cwd>/demo</cwd>\n</environment_context>"
IMAGE = "data:image/png;base64,iVBORw0KGgo="
Timed = tuple[float, Line]


def meta(**fields: Any) -> Line:
    own = {"id": OWN, "timestamp": "2026-06-08T11:00:00.000Z", "cwd": "/demo", "originator": "codex_cli_rs"}
    return "session_meta", {**own, "cli_version": "0.120.0", "source": "cli", **fields}


def put_timed(home: Path, *lines: Timed) -> Path:
    """
    Write a session whose lines have these times, in seconds after its start.
    """
    data = b"".join(encode_item(*line, time_ms=START_MS + round(at * 1000)) for at, line in lines)
    return put(home, data, session_id=OWN, timestamp="2026-06-08T11-00-00")


def put_lines(home: Path, *lines: Line, **fields: Any) -> Path:
    """
    Write a session whose lines follow one another every second.
    """
    return put_timed(home, *((number, line) for number, line in enumerate((meta(**fields), *lines))))


def parts(*texts: str, **fields: Any) -> Line:
    content = [{"type": "input_text", "text": text} for text in texts]
    return item("message", role="user", content=content, **fields)


def started(turn_id: str = OWN_TURN, **fields: Any) -> Line:
    return event("task_started", turn_id=turn_id, **fields)


def said(text: str) -> Line:
    return event("user_message", message=text, images=[], local_images=[])


def completed(kind: str, **fields: Any) -> Line:
    return event("item_completed", thread_id=OWN, turn_id=OWN_TURN, item={"type": kind, **fields})


def usage(total: int, last: int | None = None) -> Line:
    info = {"total_token_usage": {"input_tokens": total, "output_tokens": 0, "total_tokens": total}}
    if last is not None:
        info["last_token_usage"] = {"input_tokens": last, "output_tokens": 0, "total_tokens": last}
    return event("token_count", info=info, rate_limits=None)


def script(call_id: str, source: str = "await tools.exec_command({cmd: 'make'})") -> Line:
    return item("custom_tool_call", name="exec", call_id=call_id, input=source, status="completed")


def script_output(call_id: str, state: str = "completed", text: str = "done") -> Line:
    head = f"Script {state}\nWall time 5.0 seconds\nOutput:\n"
    output = [{"type": "input_text", "text": part} for part in (head, text)]
    return item("custom_tool_call_output", call_id=call_id, output=output)


def calls_in(history: History) -> Iterator[Call]:
    return (one.call for turn in history.document().turns for one in turn.items if one.call is not None)


def title_of(home: Path) -> str | None:
    (session,) = list_sessions(home=home).items
    return session.title


def tokens_of(path: Path) -> int | None:
    tokens = session_stats(path).tokens
    return None if tokens is None else tokens.total_tokens


def failures_of(stats: SessionStats) -> dict[str, int]:
    return {name: tool.failures for name, tool in stats.tools.items() if tool.failures}


class TestWordsOfAPerson:
    def test_a_message_with_instructions_and_environment_is_no_prompt(self, home: Path) -> None:
        # 0.107 to 0.147 write both as parts of one message.
        path = put_lines(home, parts(AGENTS, ENVIRONMENT), started(), *prompt("Why is the build red?"), *answer("x"))

        assert title_of(home) == "Why is the build red?"
        assert prompts_of(path) == ["Why is the build red?"]
        assert prompts_of(fork(path, at=1)) == ["Why is the build red?"]
        assert [hit.kind for hit in search("tabs", home=home)] == []

    def test_a_part_that_codex_added_to_a_prompt_does_not_belong_to_it(self, home: Path) -> None:
        path = put_lines(home, started(), parts(ENVIRONMENT, "fix it"), said("fix it"))

        assert prompts_of(path) == ["fix it"]

    @pytest.mark.parametrize(
        "text",
        [
            "<recommended_plugins>\n- a\n</recommended_plugins>",
            '<hook_prompt hook_run_id="1">run the linter</hook_prompt>',
            '<codex_internal_context source="goal">keep going</codex_internal_context>',
            "<user_action>\n  <context>review done</context>\n</user_action>",
            "Warning: The maximum number of unified exec processes you can keep open is 60 and you have 61.",
            "Warning: apply_patch was requested via exec_command. Use the apply_patch tool instead.",
            "<skill>\n<name>x</name>\n</skill>",
            ENVIRONMENT,
            AGENTS,
        ],
    )
    def test_text_of_codex_is_a_prompt_only_if_an_event_repeats_it(self, home: Path, text: str) -> None:
        path = put_lines(home, *prompt("one"), *answer("1"), message("user", text), *answer("2"))
        assert prompts_of(path) == ["one"]

        path = put_lines(home, *prompt("one"), *answer("1"), message("user", text), said(text), *answer("2"))
        assert prompts_of(path) == ["one", text]

    def test_the_author_that_codex_states_counts_more_than_the_text(self, home: Path) -> None:
        def of(author: str, text: str) -> Line:
            stated = [{"provenance": {"type": author}}]
            metadata = {"content_item_kinds": ["user.text"], "content_item_metadata": stated}
            return parts(text, internal_chat_message_metadata_passthrough=metadata)

        path = put_lines(home, of("harness", "stay on topic"), of("user", ENVIRONMENT))

        assert prompts_of(path) == [ENVIRONMENT]

    def test_the_request_stands_behind_the_context_of_an_editor(self, home: Path) -> None:
        text = "# Context from my IDE setup:\n\n## Open tabs:\n- a.py\n\n## My request for Codex:\nRename the helper\n"
        path = put_lines(home, started(), *prompt(text))

        assert (title_of(home), prompts_of(path)) == ("Rename the helper", ["Rename the helper"])

    def test_tags_of_images_do_not_belong_to_the_request(self, home: Path) -> None:
        content = [
            {"type": "input_text", "text": "<image name=[Image #1]>"},
            {"type": "input_image", "image_url": {"url": IMAGE}},
            {"type": "input_text", "text": "</image>"},
            {"type": "input_text", "text": "look"},
            {"type": "input_audio", "audio_url": "data:audio/wav;base64,AA=="},
        ]
        path = put_lines(home, started(), item("message", role="user", content=content), said("look"))

        (only,) = [one for turn in load_history(path).document().turns for one in turn.items]
        assert title_of(home) == "look"
        assert (only.text, [image.source for image in only.images]) == ("look\n[input_audio]", [IMAGE])

    def test_a_goal_is_the_title_of_a_session_without_a_prompt(self, home: Path) -> None:
        path = put_lines(home, started(), event("thread_goal_updated", goal={"objective": "Ship it"}), *answer("x"))

        assert (title_of(home), session_stats(path).turns) == ("Ship it", 1)

    def test_the_prompts_before_a_compaction_at_the_beginning_are_in_its_history(self, home: Path) -> None:
        replaced = [message("user", "port it")[1], message("developer", "rules")[1], {"type": "compaction"}]
        path = put_lines(home, ("compacted", {"message": "", "replacement_history": replaced}), started(), *answer("x"))

        assert (title_of(home), prompts_of(path)) == ("port it", ["port it"])

    def test_a_title_is_one_line_of_at_most_120_characters(self, home: Path) -> None:
        put_lines(home, *prompt("a\nb " + "word " * 100))

        title = title_of(home)
        assert title is not None
        assert title.startswith("a b word")
        assert len(title) == 119
        assert title in "".join(export_text(load_history(next(home.rglob("*.jsonl")))))


class TestTokensOfForks:
    def test_totals_that_go_on_from_those_of_the_parent_are_not_counted(self, home: Path) -> None:
        spawn = {"subagent": {"thread_spawn": {"parent_thread_id": PARENT, "depth": 1}}}
        own = [started(), *prompt("subtask"), usage(3_000_009_035, 9_035), usage(3_000_020_135, 11_100)]

        assert tokens_of(put_lines(home, *own, source=spawn, parent_thread_id=PARENT)) == 20_135
        assert tokens_of(put_lines(home, *own, forked_from_id=PARENT, parent_thread_id=PARENT)) == 20_135

    def test_copies_with_the_times_of_the_parent_are_not_counted(self, home: Path) -> None:
        copies = [started(OLD_TURN), *prompt("parent"), usage(1_010_000, 1_010_000)]
        own = [started(), *prompt("child"), usage(1_015_500, 5_500)]
        lines = [(-7000.0 + number, line) for number, line in enumerate(copies)]
        lines += [(1.0 + number, line) for number, line in enumerate(own)]

        path = put_timed(home, (0, meta(parent_thread_id=PARENT, thread_source="subagent")), *lines)

        assert (tokens_of(path), session_stats(path).turns, title_of(home)) == (5_500, 1, "child")

    @pytest.mark.parametrize("gap", [0.01, 0.8])
    def test_copies_with_new_times_end_at_the_first_turn_of_the_fork(self, home: Path, gap: float) -> None:
        copies = [started(OLD_TURN), *prompt("parent"), usage(1_010_000, 1_010_000), event("task_complete")]
        own = [started(LATER_TURN), *prompt("child"), usage(1_015_500, 5_500)]
        lines = [(gap * number, line) for number, line in enumerate(copies, 1)]
        lines += [(90.0 + number, line) for number, line in enumerate(own)]

        path = put_timed(home, (0, meta(forked_from_id=PARENT)), *lines)

        assert (tokens_of(path), session_stats(path).turns) == (5_500, 1)

    def test_work_in_the_second_of_the_fork_is_its_own(self, home: Path) -> None:
        first = started("fresh-turn", started_at=START_MS // 1000)
        counts = [(0.3, usage(1_050)), (0.9, usage(2_090)), (66, usage(3_120))]

        path = put_timed(home, (0, meta(forked_from_id=PARENT)), (0.1, first), *counts)

        assert (tokens_of(path), session_stats(path).turns) == (3_120, 1)

    def test_without_marks_of_turns_the_file_of_the_parent_decides(self, home: Path) -> None:
        copies = [*prompt("parent"), usage(1_000, 1_000), *answer("x")]
        own = [*prompt("child"), usage(1_500, 500)]
        lines = [(0.01 * number, line) for number, line in enumerate([*copies, *own], 1)]
        path = put_timed(home, (0, meta(forked_from_id=PARENT)), *lines)
        assert (tokens_of(path), session_stats(path).turns) == (0, 0)

        data = b"".join(encode_item(*line, time_ms=START_MS - 10**6) for line in [meta(id=PARENT), *copies])
        put(home, data, session_id=PARENT, timestamp="2026-06-08T10-00-00")

        assert (tokens_of(path), session_stats(path).turns) == (500, 1)


class TestCalls:
    def test_the_calls_of_a_script_are_calls_of_their_own(self, home: Path) -> None:
        nested = {"status": "failed", "exit_code": 101, "duration": {"secs": 4, "nanos": 0}}
        path = put_lines(
            home,
            started(),
            *prompt("x"),
            script("c1"),
            completed("CommandExecution", id="n1", command="cargo test", aggregated_output="1 failed", **nested),
            completed("McpToolCall", id="n2", server="gh", tool="get", status="failed",
                      result={"content": [{"type": "text", "text": "no luck"}], "isError": True}),
            completed("DynamicToolCall", id="n3", tool="lookup", status="completed", success=True,
                      content_items=[{"type": "inputText", "text": "ticket"}]),
            script_output("c1"),
            script("c2", "throw 1"),
            script_output("c2", "failed", "Error: 1"),
        )  # fmt: skip

        stats, calls = session_stats(path), list(calls_in(load_history(path)))
        assert {name: (tool.calls, tool.failures) for name, tool in stats.tools.items()} == {
            "exec": (2, 1), "exec_command": (1, 1), "mcp__gh__get": (1, 1), "lookup": (1, 0),
        }  # fmt: skip
        assert [(call.tool, call.output, call.failure) for call in calls] == [
            ("exec", "done", ""), ("exec_command", "1 failed", "exit code 101"), ("mcp__gh__get", "no luck", "error"),
            ("lookup", "ticket", ""), ("exec", "Error: 1", "script failed"),
        ]  # fmt: skip
        assert [call.parent for call in calls] == [None, "5", "5", "5", None]
        assert {hit.text for hit in search("luck OR ticket", home=home)} == {"no luck", "ticket"}
        assert len(list(search("", home=home, filters=Filters(failed=True)))) == stats.failures == 3

    def test_a_failure_without_an_output_is_found(self, home: Path) -> None:
        call = item("function_call", name="exec_command", arguments='{"cmd":"false"}', call_id="e1")
        done = completed("CommandExecution", id="e1", command="false", exit_code=1, status="failed",
                         duration={"secs": 0, "nanos": 42_000_000}, aggregated_output="")  # fmt: skip
        path = put_lines(home, *prompt("x"), call, done, item("function_call_output", call_id="e1", output=""))

        for _ in ("files", "index"):
            (hit,) = search("", home=home, filters=Filters(failed=True))
            assert (hit.text, failures_of(session_stats(path))) == ("exit code 1", {"exec_command": 1})
            update_index(home=home)

    def test_the_result_of_an_mcp_server_says_that_its_tool_failed(self, home: Path) -> None:
        def called(number: int, seconds: float, result: Any) -> list[Line]:
            call_id, took = f"m{number}", {"secs": int(seconds), "nanos": int(seconds % 1 * 10**9)}
            invocation = {"server": "gh", "tool": "list", "arguments": {}}
            return [
                item("function_call", name="mcp__gh__list", arguments="{}", call_id=call_id),
                event("mcp_tool_call_end", call_id=call_id, invocation=invocation, duration=took, result=result),
                item("function_call_output", call_id=call_id, output="text"),
            ]

        ok = {"Ok": {"content": [{"type": "text", "text": "nope"}], "isError": True}}
        path = put_lines(home, *prompt("x"), *called(1, 2.5, ok), *called(2, 3, {"Err": "connection closed"}))

        tool = session_stats(path).tools["mcp__gh__list"]
        assert (tool.calls, tool.failures, tool.duration) == (2, 2, 5.5)

    @pytest.mark.parametrize(
        ("output", "reason"),
        [
            ("failed in sandbox MacosSeatbelt with execution error: sandbox denied exec error", "error"),
            ('error: Failed to find expected lines ["x"] in /a.py', "error"),
            ("patch rejected by user", "denied"),
            ("exec command rejected by user", "denied"),
            ("execution error: No such file or directory (os error 2)", "error"),
            ("tool call error: tool call failed for `mem/add`", "error"),
            ("unsupported call: shell", "unsupported"),
            ("unsupported custom tool call: nsxtool", "unsupported"),
            ("request_user_input is unavailable in Default mode", "unsupported"),
            ("failed to parse function arguments: unknown field `id`", "error"),
            ("apply_patch verification failed: Failed to find expected lines", "error"),
            ("aborted", "aborted"),
            ("aborted by user after 1.2s", "aborted"),
            ('{"content":[{"type":"text","text":"no"}],"isError":true}', "error"),
        ],
    )
    def test_the_errors_that_codex_writes_as_output_are_failures(self, home: Path, output: str, reason: str) -> None:
        call = item("function_call", name="tool", arguments="{}", call_id="a")
        path = put_lines(home, *prompt("x"), call, item("function_call_output", call_id="a", output=output))

        (only,) = calls_in(load_history(path))
        assert (failures_of(session_stats(path)), only.failure) == ({"tool": 1}, reason)

    def test_a_command_that_goes_on_is_judged_when_it_ends(self, home: Path) -> None:
        running = "Chunk ID: a1\nWall time: 0.25 seconds\nProcess running with session ID 7\nOutput:\n"
        path = put_lines(
            home,
            *prompt("x"),
            item("function_call", name="exec_command", arguments='{"cmd":"serve"}', call_id="e1"),
            item("function_call_output", call_id="e1", output=running),
            *[event("token_count", info=None)] * 40,
            completed("CommandExecution", id="e1", command="serve", exit_code=-1, status="failed",
                      aggregated_output="bye", duration={"secs": 52, "nanos": 0}),
        )  # fmt: skip

        tool = session_stats(path).tools["exec_command"]
        assert (tool.calls, tool.failures, tool.duration) == (1, 1, 52.0)


class TestTimesAndTokens:
    def test_working_time_is_that_between_the_marks_of_a_turn(self, home: Path) -> None:
        path = put_timed(
            home, (0, meta()), (10, started()), (70.2, event("task_complete")),
            (300, started(LATER_TURN)), (330, event("turn_aborted", reason="interrupted")),
        )  # fmt: skip

        assert session_stats(path).active_duration == 90.2

    def test_what_no_line_states_is_unknown(self, home: Path) -> None:
        stats = session_stats(put_lines(home, *prompt("x"), item("web_search_call", action={})))

        assert (stats.active_duration, stats.tokens, stats.tools["web_search"].duration) == (None, None, None)

    def test_tokens_belong_to_the_day_and_the_model_with_which_they_were_used(self, home: Path) -> None:
        day = 86_400
        path = put_timed(
            home, (0, meta()), (1, started()), (2, ("turn_context", {"model": "big"})), (3, usage(1_000, 1_000)),
            (2 * day, started(LATER_TURN)), (2 * day + 1, ("turn_context", {"model": "small"})),
            (2 * day + 2, usage(1_500, 500)),
        )  # fmt: skip
        stats = session_stats(path)
        facts = list_sessions(home=home).items[0].facts

        by_model = group_stats([(stats, facts)], "model")
        assert {name: (one.turns, one.tokens and one.tokens.total_tokens) for name, one in by_model.items()} == {
            "big": (1, 1_000), "small": (1, 500),
        }  # fmt: skip
        by_day = group_stats([(stats, facts)], "day")
        assert [one.tokens and one.tokens.total_tokens for one in by_day.values()] == [1_000, 500]
        days = [date.fromisoformat(str(name)) for name in by_day]
        assert (days[1] - days[0]).days == 2

    def test_usage_without_a_total_is_the_sum_of_input_and_output(self, home: Path) -> None:
        def counted(input_tokens: int, output_tokens: int, name: str = "total_token_usage") -> Line:
            return event("token_count", info={name: {"input_tokens": input_tokens, "output_tokens": output_tokens}})

        assert tokens_of(put_lines(home, *prompt("q"), counted(100, 10), counted(300, 30))) == 330
        last = "last_token_usage"
        assert tokens_of(put_lines(home, *prompt("q"), counted(100, 10, last), counted(200, 20, last))) == 330

    def test_the_last_line_says_when_a_session_was_used(self, home: Path) -> None:
        put_timed(home, (0, meta()), *((600.0 + number, line) for number, line in enumerate(prompt("x"))))

        (session,) = list_sessions(home=home).items

        assert session.updated_at is not None
        assert session.updated_at.isoformat() == "2026-06-08T11:10:01+00:00"


def test_a_session_whose_meta_is_cut_is_used_with_the_id_in_its_name(home: Path) -> None:
    data = b'{"timestamp":"2026-06-08T11:00:00.000Z","type":"session_meta","payload":{"id":"019\n'
    data += b"".join(encode_item(*line, time_ms=START_MS) for line in [*prompt("who am I"), *answer("ok")])
    path = put(home, data, session_id=OWN, timestamp="2026-06-08T11-00-00")

    history = load_history(path)

    assert (history.session_id, title_of(home), prompts_of(fork(path))) == (OWN, "who am I", ["who am I"])
    assert OWN in "".join(export_text(history))


def test_a_text_in_the_lines_of_each_era_is_shown_once(home: Path) -> None:
    text = [{"type": "text", "text": "hello"}]
    path = put_lines(
        home,
        started(),
        *prompt("hello")[::-1],
        completed("UserMessage", id="u", content=text),
        *answer("hi"),
        completed("AgentMessage", id="a", content=[{"type": "Text", "text": "hi"}]),
        event("error", message="over the limit"),
        event("task_complete", last_agent_message="hi", error={"message": "over the limit", "info": "other"}),
    )

    shown = [(one.kind, one.text) for turn in load_history(path).document().turns for one in turn.items]

    assert shown == [("user", "hello"), ("agent", "hi"), ("error", "over the limit")]
    assert [hit.kind for hit in search("hello OR hi OR limit", home=home)] == ["user", "agent", "agent"]
