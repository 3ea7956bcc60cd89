from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout import SessionNotFoundError, read_lines
from rollout.codec import RolloutLine, decode_json, encode_item, encode_json
from rollout.interpret import Interpreter, SessionFacts
from rollout.stats import (
    GROUPS,
    SessionStats,
    StatsCounter,
    StatsPart,
    Tokens,
    ToolStats,
    combine,
    group_stats,
    local_day,
    plain_stats,
    session_stats,
    stats_of_plain,
    tokens_by_day,
)
from rollout.store import fork
from tests.builders import call, completed, decoded, output
from tests.interpret.lines import ANY_LINES, OWN_TURN_ID, sessions, stamp, usage
from tests.rollouts import ID, TIME_MS, Line, answer, bare_session, event, message, meta, paginated_session, prompt, put

CHILD = "01a1fbb6-7abd-7c53-8766-f128212a613b"
GRANDCHILD = "01a1fbb7-7abd-7c53-8766-f128212a613b"
HOUR_MS = 3_600_000
Timed = tuple[int, Line]


def tokens(count: float) -> Tokens:
    return Tokens(**usage(count))


def count(total: float, last: float = 1, **fields: Any) -> Line:
    info = {"total_token_usage": usage(total), "last_token_usage": usage(last), "model_context_window": 258400}
    return event("token_count", info=info, rate_limits={"primary": None}, **fields)


def turn(text: str, *counts: Line) -> list[Line]:
    # As 0.42.0 writes it: the agent's event, the count, the agent's item.
    said, item = answer(f"answer to {text}")
    return [*prompt(text), said, *counts, item]


def apart(lines: Iterable[Line], *, begin: int = 0, step: int = 2000) -> list[Timed]:
    """
    Return lines as a session writes them, with times in milliseconds since its beginning.
    """
    return [(begin + number * step, line) for number, line in enumerate(lines)]


def at_once(lines: Iterable[Line], *, begin: int) -> list[Timed]:
    """
    Return lines as a fork copies them: many in a millisecond.
    """
    return [(begin + number // 20, line) for number, line in enumerate(lines)]


def written(home: Path, lines: list[Timed], *, session_id: str = ID, first_ordinal: int | None = None) -> Path:
    data = b""
    for number, (at_ms, (kind, payload)) in enumerate(lines):
        ordinal = None if first_ordinal is None else first_ordinal + number
        data += encode_item(kind, payload, time_ms=TIME_MS + at_ms, ordinal=ordinal)
    return put(home, data, session_id=session_id)


def stats_of(home: Path, *lines: Line) -> SessionStats:
    return session_stats(written(home, apart([meta(), *lines])))


def count_of(*lines: Line) -> SessionStats:
    """
    Return the statistics of lines without a time.
    """
    counter = StatsCounter()
    for line in lines:
        counter.add(decoded(line))
    return counter.stats


class TestSession:
    def test_has_its_turns_and_its_lines_by_type(self, home: Path) -> None:
        stats = stats_of(home, *turn("one"), *turn("two"), ("novel", {}), ("event_msg", {"type": ["odd"]}))

        assert stats.turns == 2
        assert stats.lines == {
            "session_meta": 1,
            "response_item/message": 4,
            "event_msg/user_message": 2,
            "event_msg/agent_message": 2,
            "novel": 1,
            "event_msg": 1,
        }

    def test_lasts_from_its_first_to_its_last_line(self, home: Path) -> None:
        stats = stats_of(home, *turn("one"))

        assert (stats.first_at, stats.last_at, stats.duration) == (stamp(0), stamp(8000), 8.0)

    def test_active_duration_is_the_sum_of_recorded_durations_of_turns(self, home: Path) -> None:
        stats = stats_of(
            home,
            event("task_started"),
            event("task_complete", duration_ms=1500),
            event("turn_aborted", duration_ms=250),
            event("turn_complete"),
            event("task_complete", duration_ms="1"),
        )

        assert stats.active_duration == 1.75

    def test_active_duration_without_recorded_durations_is_the_time_between_the_events_of_a_turn(
        self, home: Path
    ) -> None:
        stated = [event("task_started", started_at=100), event("task_complete", completed_at=107)]

        stats = stats_of(home, event("task_started"), *turn("one"), event("task_complete"), *stated)

        assert stats.active_duration == 17.0

    def test_without_an_end_of_a_turn_has_an_unknown_active_duration(self, home: Path) -> None:
        assert stats_of(home, event("task_started"), *turn("one")).active_duration is None

    def test_of_the_paginated_format_has_its_turns(self, home: Path) -> None:
        assert session_stats(put(home, paginated_session("one", "two"))).turns == 2

    def test_before_the_envelope_has_turns_and_times(self, home: Path) -> None:
        put(home, bare_session("one", "two"))

        stats = session_stats(ID[:8], home=home)

        assert (stats.turns, stats.tokens, stats.duration) == (2, None, 0.0)
        assert stats.first_at == stats.last_at == "2026-11-21T01:25:10.660Z"

    def test_whose_lines_have_no_time_has_an_unknown_duration(self) -> None:
        stats = count_of(meta(), *turn("one"))

        assert (stats.turns, stats.first_at, stats.last_at, stats.duration) == (1, None, None, None)

    @pytest.mark.parametrize("timestamp", ["5", '["odd"]', "{}", "true"])
    def test_before_the_envelope_with_a_time_of_another_type_is_added_to_others(
        self, home: Path, timestamp: str
    ) -> None:
        odd = put(home, f'{{"id":"{CHILD}","timestamp":{timestamp}}}\n'.encode(), session_id=CHILD)
        usual = stats_of(home, *turn("one"))

        total = combine([session_stats(odd), usual])

        assert (total.sessions, total.turns, total.last_at) == (2, 1, usual.last_at)

    def test_that_is_missing_raises_session_not_found(self, home: Path) -> None:
        with pytest.raises(SessionNotFoundError):
            session_stats(ID)

    def test_without_lines_has_empty_statistics(self, home: Path) -> None:
        assert session_stats(put(home, b"")) == SessionStats()


class TestTools:
    def test_are_counted_with_failures_and_seconds(self, home: Path) -> None:
        def called(call_id: str, name: str, output: Any) -> list[Line]:
            return [
                ("response_item", {"type": "function_call", "name": name, "arguments": "{}", "call_id": call_id}),
                ("response_item", {"type": "function_call_output", "call_id": call_id, "output": output}),
            ]

        stats = stats_of(
            home,
            *called("1", "shell", "Exit code: 0\nWall time: 1.5 seconds\nOutput:\n"),
            *called("2", "shell", "Exit code: 1\nWall time: 0.5 seconds\nOutput:\n"),
            *called("3", "update_plan", "Plan updated"),
            ("response_item", {"type": "web_search_call", "action": {}}),
            ("response_item", {"type": "function_call_output", "call_id": "9", "output": "err: of no call"}),
        )

        assert stats.tools == {
            "shell": ToolStats(calls=2, failures=1, duration=2.0),
            "update_plan": ToolStats(calls=1),
            "web_search": ToolStats(calls=1),
        }

    def test_of_the_model_and_of_the_client_are_counted_once_each(self, home: Path) -> None:
        stats = stats_of(
            home,
            call("exec_command", {"cmd": "ls"}),
            event("exec_command_begin", call_id="c1", command=["ls"]),
            completed("CommandExecution", id="c1", command=["ls"], exit_code=1, durationMs=500),
            output("Exit code: 1\nWall time: 0.6 seconds\nOutput:\nno"),
            completed("CommandExecution", id="u1", command=["ls"], exit_code=0, source="userShell"),
            ("response_item", {"type": "tool_search_call", "arguments": {"query": "q"}}),
            completed("McpToolCall", id="m1", server="s", tool="t", status="completed"),
        )

        assert stats.tools == {
            "exec_command": ToolStats(calls=1, failures=1, duration=0.5),
            "user_shell": ToolStats(calls=1),
            "tool_search": ToolStats(calls=1),
            "mcp__s__t": ToolStats(calls=1),
        }
        assert (stats.calls, stats.failures) == (4, 1)

    def test_named_by_the_model_after_an_event_have_this_name(self) -> None:
        begin = event("exec_command_begin", call_id="c1", command=["ls"])

        assert count_of(begin, call("exec_command", {"cmd": "ls"})).tools == {"exec_command": ToolStats(calls=1)}

    def test_named_by_the_model_in_the_quarter_after_their_event_are_counted_once(self, home: Path) -> None:
        begin = event("exec_command_begin", call_id="c1", command=["ls"])
        lines = [(0, meta()), (1, begin), (HOUR_MS, call("exec_command", {"cmd": "ls"}))]

        stats = session_stats(written(home, lines))

        assert stats.tools == {"exec_command": ToolStats(calls=1)}

    def test_that_an_event_shows_to_have_succeeded_after_all_have_not_failed(self, home: Path) -> None:
        failed, fine = output("err: x"), event("patch_apply_end", call_id="c1", success=True)
        for later_ms in (1, HOUR_MS):
            lines = [(0, meta()), (1, call("apply_patch", {})), (1, failed), (1 + later_ms, fine)]

            stats = session_stats(written(home, lines))

            assert stats.tools == {"apply_patch": ToolStats(calls=1)}

    def test_without_outputs_use_bounded_memory(self) -> None:
        counter = StatsCounter()
        for number in range(2500):
            counter.add(decoded(("response_item", {"type": "local_shell_call", "call_id": str(number)})))

        assert counter.stats.tools == {"local_shell": ToolStats(calls=2500)}
        assert len(counter.interpreter.calls.calls) <= 2000


class TestTokens:
    def test_are_the_cumulative_total(self, home: Path) -> None:
        assert stats_of(home, *turn("one", count(1)), *turn("two", count(3, 2))).tokens == tokens(3)

    def test_of_a_repeated_event_are_counted_once(self, home: Path) -> None:
        again = [count(1)] * 5

        stats = stats_of(home, *turn("one", count(1), *again), *again, *prompt("two"), *again, *answer("x"), count(2))

        assert stats.tokens == tokens(2)

    def test_are_the_growth_of_the_total_and_not_the_sum_of_totals(self, home: Path) -> None:
        lines = [line for n in range(1, 101) for line in turn(f"turn {n}", count(n), count(n))]
        reported = [line[1]["info"]["total_token_usage"] for line in lines if line[1].get("type") == "token_count"]

        stats = stats_of(home, *lines)

        assert sum(total["total_tokens"] for total in reported) >= 50 * stats.tokens.total_tokens
        assert stats.tokens == tokens(100)

    @pytest.mark.parametrize("first", [0.5, 2, 7])
    def test_are_added_if_a_resumed_session_counts_from_zero(self, home: Path, first: float) -> None:
        before = turn("one", count(1), count(2))

        stats = stats_of(home, *before, *turn("two", count(first, first), count(first + 1)))

        assert stats.tokens == tokens(3 + first)

    def test_are_added_if_a_session_counts_from_zero_and_its_first_count_is_missing(self, home: Path) -> None:
        assert stats_of(home, *turn("one", count(5, 5)), *turn("two", count(3, 1))).tokens == tokens(6)
        no_last = event("token_count", info={"total_token_usage": usage(3)})
        assert stats_of(home, *turn("one", count(5, 5)), *turn("two", no_last)).tokens == tokens(8)

    def test_are_added_if_a_resumed_session_reports_the_same_total_as_before(self, home: Path) -> None:
        said_nothing = event("token_count", info=None, rate_limits={})
        call: Line = ("response_item", {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "1"})

        answered = stats_of(home, *turn("one", count(1)), *turn("two", count(1)), *turn("three", count(1)))
        told = stats_of(home, *turn("one", count(1)), *prompt("two"), said_nothing, count(1), call, count(1))

        assert answered.tokens == tokens(3)
        assert told.tokens == tokens(2)

    def test_of_equal_events_without_rate_limits_are_counted_each_time(self, home: Path) -> None:
        bare = event("token_count", info=count(1)[1]["info"])

        assert stats_of(home, *prompt("one"), bare, *prompt("two"), bare).tokens == tokens(2)

    def test_repeated_inside_an_answer_are_counted_once_if_the_session_marks_tasks(self, home: Path) -> None:
        begin, end = event("task_started"), event("task_complete")

        stats = stats_of(home, begin, *turn("one", count(1)), end, begin, *turn("two", count(1), count(2)), end)

        assert stats.tokens == tokens(2)

    def test_of_a_total_that_was_set_to_the_size_of_the_window_are_not_counted(self, home: Path) -> None:
        full = event("token_count", info={"total_token_usage": {"total_tokens": 258400}})
        beyond = {**usage(1), "total_tokens": 258400 + 120}
        after = event("token_count", info={"total_token_usage": beyond, "last_token_usage": usage(1)})

        assert stats_of(home, *turn("one", count(1)), full, *turn("two", after)).tokens == tokens(2)

    def test_are_counted_from_records_if_there_are_no_totals(self, home: Path) -> None:
        records: list[Line] = [
            ("token_usage_record", {"response_id": response_id, "usage": usage(1), "thread_token_usage": usage(9)})
            for response_id in ("resp_1", "resp_1", "resp_2", None, None)
        ]

        assert stats_of(home, *records, ("token_usage_record", {"usage": None})).tokens == tokens(4)

    def test_of_records_and_of_totals_are_not_counted_twice(self, home: Path) -> None:
        record: Line = ("token_usage_record", {"response_id": "resp_1", "usage": usage(1)})

        assert stats_of(home, *turn("one", record, count(1))).tokens == tokens(1)

    @pytest.mark.parametrize("odd", [None, "7", -7, True, [], {}, float("nan"), float("inf"), 2**63, 1e30])
    def test_that_are_no_number_count_as_zero(self, odd: Any) -> None:
        stats = count_of(("token_usage_record", {"usage": {**usage(1), "input_tokens": odd}}))

        assert stats.tokens == attrs.evolve(tokens(1), input_tokens=0)

    @pytest.mark.parametrize("odd", [None, 7, "x", [1]])
    def test_of_a_value_of_another_type_are_none(self, odd: Any) -> None:
        assert count_of(("token_usage_record", {"usage": odd})).tokens is None

    def test_with_a_fraction_are_rounded_down(self) -> None:
        stats = count_of(("token_usage_record", {"usage": {"input_tokens": 7.0, "output_tokens": 7.9}}))

        assert stats.tokens == Tokens(input_tokens=7, output_tokens=7, total_tokens=14)

    def test_that_no_line_states_are_unknown_and_not_zero(self, home: Path) -> None:
        nothing_yet = event("token_count", info=None, rate_limits={})

        assert stats_of(home, *turn("one"), nothing_yet).tokens is None
        assert stats_of(home, *turn("one", count(0))).tokens == Tokens()


PARENT_LINES = [*turn("one", count(1), count(1)), *turn("two", count(2)), *turn("three", count(3))]
FORKED_MS = 600_000


def parent(home: Path) -> Path:
    return written(home, apart([meta(), *PARENT_LINES]))


def child_meta(session_id: str = CHILD, at_ms: int = FORKED_MS, **fields: Any) -> Line:
    return meta(session_id, timestamp=stamp(at_ms), **fields)


def copied_again(own: list[Timed], *, copies: list[Line], session_id: str = CHILD, **fields: Any) -> list[Timed]:
    # The meta is written with the first lines, which may be long after the fork was made.
    first = (FORKED_MS + 9000, child_meta(session_id, **fields))
    return [first, *at_once(copies, begin=FORKED_MS + 9001), *own]


class TestForks:
    @pytest.mark.parametrize("fields", [{"forked_from_id": ID}, {}])
    @pytest.mark.parametrize(
        ("first", "second", "used"),
        [(count(4), count(5), 2), (count(1), count(2), 2), (count(3, 3), count(4), 4), (count(9, 9), count(10), 10)],
    )
    def test_with_copied_lines_count_only_the_lines_after_the_copies(
        self, home: Path, fields: dict[str, Any], first: Line, second: Line, used: int
    ) -> None:
        own = apart([*turn("four", first), *turn("five", second)], begin=FORKED_MS + 60_000)

        path = written(home, copied_again(own, copies=[meta(), *PARENT_LINES], **fields), session_id=CHILD)
        stats = session_stats(path)

        assert stats.tokens == tokens(used)
        assert stats.turns == 2
        assert stats.lines["session_meta"] == 1
        assert stats.lines["event_msg/user_message"] == 2
        assert stats.first_at == stamp(FORKED_MS + 9000)

    def test_with_copied_lines_and_a_turn_in_the_same_millisecond_count_this_turn(self, home: Path) -> None:
        old = event("task_started", turn_id="01a1fbb5-7ad4-76d0-a532-df9d735e9862")
        own = [event("task_started", turn_id=OWN_TURN_ID), *turn("four", count(4)), event("task_complete")]
        copies = [meta(), old, *PARENT_LINES]

        lines = copied_again(at_once(own, begin=FORKED_MS + 9003), copies=copies, forked_from_id=ID)
        stats = session_stats(written(home, lines, session_id=CHILD))

        assert (stats.turns, stats.tokens) == (1, tokens(1))

    def test_of_forks_with_copied_lines_count_only_their_own_lines(self, home: Path) -> None:
        middle = [child_meta(forked_from_id=ID), meta(), *PARENT_LINES, *turn("four", count(4))]
        own = apart(turn("five", count(5)), begin=FORKED_MS + 60_000)

        lines = copied_again(own, copies=middle, session_id=GRANDCHILD, forked_from_id=CHILD)
        stats = session_stats(written(home, lines, session_id=GRANDCHILD))

        assert (stats.turns, stats.tokens) == (1, tokens(1))

    def test_without_own_lines_have_no_turns_and_no_tokens(self, home: Path) -> None:
        lines = copied_again([], copies=[meta(), *PARENT_LINES], forked_from_id=ID)

        stats = session_stats(written(home, lines, session_id=CHILD))

        assert (stats.turns, stats.tokens, stats.lines) == (0, Tokens(), {"session_meta": 1})

    @pytest.mark.parametrize(("at", "total"), [(None, 4), (None, 1), (1, 2), (1, 1)])
    def test_with_copies_that_keep_their_times_count_every_later_line(
        self, home: Path, at: int | None, total: int
    ) -> None:
        # Copied: what was long before now.
        old = [(at_ms - 10**10, line) for at_ms, line in apart([meta(), *PARENT_LINES])]
        forked = fork(written(home, old), at=at)
        now_ms = time.time_ns() // 1_000_000 + 1
        with forked.open("ab") as file:
            file.writelines(encode_item(*line, time_ms=now_ms) for line in turn("own", count(total)))

        stats = session_stats(forked)

        assert (stats.turns, stats.tokens) == (1, tokens(1))

    def test_by_reference_continue_from_the_total_of_their_base(self, home: Path) -> None:
        base = {"thread_id": ID, "end_ordinal_exclusive": 39, "end_byte_offset": 1}
        own = [child_meta(forked_from_id=ID, history_base=base), *turn("four", count(4)), *turn("five", count(6, 2))]

        path = written(home, apart(own, begin=FORKED_MS), session_id=CHILD, first_ordinal=39)

        assert session_stats(path).tokens == tokens(3)
        assert session_stats(path).turns == 2

    def test_of_subagents_count_only_the_lines_after_their_prefix(self, home: Path) -> None:
        prefix = [meta(), *PARENT_LINES]
        start = 1 + len(prefix)
        own = [*turn("task", count(1)), *turn("more", count(2))]
        first = child_meta(subagent_history_start_ordinal=start, history_mode="paginated")

        path = written(home, at_once([first, *prefix, *own], begin=FORKED_MS), session_id=CHILD, first_ordinal=0)

        assert (session_stats(path).turns, session_stats(path).tokens) == (2, tokens(2))

    def test_of_subagents_without_counts_in_their_prefix_continue_from_the_total_of_their_parent(
        self, home: Path
    ) -> None:
        first = child_meta(subagent_history_start_ordinal=2, history_mode="paginated")
        lines = [first, message("user", "of the other"), *turn("task", count(8)), *turn("more", count(9))]

        path = written(home, apart(lines, begin=FORKED_MS), session_id=CHILD, first_ordinal=0)

        assert session_stats(path).tokens == tokens(2)

    def test_do_not_count_copied_tools_records_and_durations(self, home: Path) -> None:
        copies: list[Line] = [
            meta(),
            event("task_started", turn_id="01a1fbb5-7ad4-76d0-a532-df9d735e9862"),
            ("response_item", {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "1"}),
            ("token_usage_record", {"response_id": "resp_1", "usage": usage(1)}),
            event("task_complete", duration_ms=1000),
        ]

        stats = session_stats(written(home, copied_again([], copies=copies, forked_from_id=ID), session_id=CHILD))

        assert (stats.tools, stats.tokens, stats.active_duration) == ({}, Tokens(), None)

    @pytest.mark.parametrize("forks", [1, 20])
    def test_and_their_base_have_together_the_tokens_that_were_used(self, home: Path, forks: int) -> None:
        paths = [parent(home)]
        for number in range(forks):
            session_id = f"{CHILD[:-2]}{number:02d}"
            own = apart(turn("own", count(4), count(4)), begin=FORKED_MS + 60_000)
            lines = copied_again(own, copies=[meta(), *PARENT_LINES], session_id=session_id, forked_from_id=ID)
            paths.append(written(home, lines, session_id=session_id))
        kept = fork(paths[0])
        base = {"thread_id": ID, "end_ordinal_exclusive": 16, "end_byte_offset": 1}
        by_reference = [child_meta(GRANDCHILD, history_base=base), *turn("own", count(4))]
        paths += [kept, written(home, apart(by_reference), session_id=GRANDCHILD)]

        family = combine(session_stats(path) for path in paths)

        assert family.tokens == tokens(3 + forks + 1)
        assert (family.sessions, family.turns) == (forks + 3, 3 + forks + 1)


class TestCombining:
    def test_adds_all_statistics(self) -> None:
        part = StatsPart("2026-11-21T01:15", "m", 2, {"f": ToolStats(2, 1, 0.5)}, tokens(1), 1.0)
        one = SessionStats(
            turns=2,
            lines={"a": 1, "b": 2},
            tools={"f": ToolStats(2, 1, 0.5)},
            tokens=tokens(1),
            first_at=stamp(0),
            last_at=stamp(9000),
            duration=9.0,
            active_duration=1.0,
            parts=(part,),
        )
        two = attrs.evolve(one, tools={"f": ToolStats(1), "g": ToolStats(1)}, first_at=stamp(-1), last_at=None)

        assert combine(iter([one, two])) == SessionStats(
            sessions=2,
            turns=4,
            lines={"a": 2, "b": 4},
            tools={"f": ToolStats(3, 1, 0.5), "g": ToolStats(1)},
            tokens=tokens(2),
            first_at=stamp(-1),
            last_at=stamp(9000),
            duration=18.0,
            active_duration=2.0,
            parts=(part, part),
        )

    def test_of_unknown_and_known_numbers_is_the_known_ones_and_of_unknown_ones_unknown(self) -> None:
        unknown, known = SessionStats(), SessionStats(tokens=tokens(1), duration=2.0, active_duration=1.0)

        for stats in ([unknown, known], [known, unknown]):
            total = combine(stats)
            assert (total.tokens, total.duration, total.active_duration) == (tokens(1), 2.0, 1.0)
        assert combine([unknown, unknown]) == SessionStats(sessions=2)

    def test_of_no_statistics_is_empty(self) -> None:
        assert combine([]) == SessionStats(sessions=0)


# The first turn of these sessions begins in this quarter of an hour.
QUARTER = datetime(2026, 11, 21, 1, 15, tzinfo=timezone.utc)
FIRST, SECOND, THIRD = "2026-11-21T01:15", "2026-11-21T02:15", "2026-11-21T03:15"


def set_model(name: str, cwd: str = "/x") -> Line:
    return "turn_context", {"model": name, "cwd": cwd}


def several_hours(home: Path) -> SessionStats:
    """
    Return the statistics of a session with a turn in each of three hours, the last two with another model.
    """
    lines = [
        (0, meta()),
        *at_once([event("task_started"), set_model("m"), *turn("one", count(1)), call("f", {}, "c1")], begin=1000),
        *at_once([output("err: x", "c1"), event("task_complete", duration_ms=500)], begin=HOUR_MS),
        *at_once([event("task_started"), set_model("n"), *turn("two", count(3, 2))], begin=HOUR_MS),
        *at_once([event("task_started"), call("g", {}, "c2"), output("x", "c2")], begin=2 * HOUR_MS),
        (2 * HOUR_MS, event("task_complete", duration_ms=250)),
    ]
    return session_stats(written(home, lines))


class TestParts:
    def test_have_the_counts_of_a_quarter_of_an_hour_with_one_model(self, home: Path) -> None:
        stats = several_hours(home)

        assert stats.parts == (
            StatsPart(FIRST, "m", 1, {"f": ToolStats(1)}, tokens(1)),
            StatsPart(SECOND, "m", 0, {"f": ToolStats(0, 1)}, None, 0.5),
            StatsPart(SECOND, "n", 1, {}, tokens(2)),
            StatsPart(THIRD, "n", 1, {"g": ToolStats(1)}, None, 0.25),
        )
        assert (stats.turns, stats.tokens, stats.active_duration) == (3, tokens(3), 0.75)

    def test_begin_at_a_quarter_of_an_hour(self) -> None:
        counter = StatsCounter()
        for minute in ("00", "14", "15", "59"):
            line = event("user_message", message=minute)
            counter.add(RolloutLine(timestamp=f"2026-11-21T01:{minute}:30.000Z", type=line[0], payload=line[1]))

        assert [(part.at, part.turns) for part in counter.stats.parts] == [
            ("2026-11-21T01:00", 2),
            ("2026-11-21T01:15", 1),
            ("2026-11-21T01:45", 1),
        ]

    @pytest.mark.parametrize(
        "timestamp", [None, "", "yesterday", "2026-11-21T01-25-37", "2026-11-21T01:61:00Z", "x" * 30]
    )
    def test_without_a_time_are_none(self, timestamp: str | None) -> None:
        counter = StatsCounter()
        counter.add(RolloutLine(timestamp=timestamp, type="event_msg", payload={"type": "task_started"}))

        assert counter.stats.parts == (StatsPart(None, None, 1),)

    def test_count_a_turn_for_the_model_that_its_settings_state_later(self) -> None:
        begin = event("task_started")

        first = count_of(begin, set_model("m"), begin, begin, set_model("n"), set_model("o"), set_model("o"))

        assert {part.model: part.turns for part in first.parts} == {"m": 2, "o": 1}

    def test_count_a_turn_that_used_tokens_for_the_model_before(self) -> None:
        stats = count_of(event("task_started"), set_model("m"), count(1), set_model("n"), count(2))

        assert {part.model: (part.turns, part.tokens) for part in stats.parts} == {
            "m": (1, tokens(1)),
            "n": (0, tokens(1)),
        }

    def test_without_a_model_are_none(self) -> None:
        stats = count_of(event("task_started"), count(1), ("turn_context", {"model": 7}))

        assert [(part.model, part.turns) for part in stats.parts] == [(None, 1)]

    def test_are_not_in_the_text_and_the_plain_form_of_statistics(self, home: Path) -> None:
        stats = several_hours(home)

        assert "<4 parts>" in repr(stats)
        assert plain_stats(stats)["turns"] == 3
        assert "parts" not in plain_stats(stats)


class TestPeriods:
    def test_without_ends_are_the_whole_session(self, home: Path) -> None:
        stats = several_hours(home)

        assert stats.between(None, None) is stats

    @pytest.mark.parametrize(
        ("since", "until", "parts"),
        [
            (0, None, 4),
            (14, None, 4),
            (15, None, 3),
            (60, None, 3),
            (75, None, 1),
            (135, None, 0),
            (None, -1, 0),
            (None, 1, 1),
            (None, 59, 1),
            (None, 61, 3),
            (None, 500, 4),
            (15, 119, 2),
            (80, 70, 0),
        ],
    )
    def test_have_each_quarter_of_an_hour_that_is_partly_in_them(
        self, home: Path, since: int | None, until: int | None, parts: int
    ) -> None:
        stats = several_hours(home)

        begin, end = (None if each is None else QUARTER + timedelta(minutes=each) for each in (since, until))
        found = stats.between(begin, end)

        assert len(found.parts) == parts
        assert all(part in stats.parts for part in found.parts)
        assert found.turns == sum(part.turns for part in found.parts)
        assert (found.sessions, found.lines) == (1, {})

    @pytest.mark.parametrize("quarters", [0, 4, 8])
    def test_do_not_have_the_quarter_of_an_hour_that_begins_when_they_end(self, home: Path, quarters: int) -> None:
        until = QUARTER + timedelta(minutes=15 * quarters)

        found = several_hours(home).between(None, until)

        assert all(part.at is not None and part.at < f"{until:%Y-%m-%dT%H:%M}" for part in found.parts)

    def test_in_another_time_zone_are_the_same(self, home: Path) -> None:
        stats, zone = several_hours(home), timezone(timedelta(hours=-11))
        since, until = QUARTER + timedelta(minutes=15), QUARTER + timedelta(minutes=119)

        assert stats.between(since.astimezone(zone), until.astimezone(zone)) == stats.between(since, until)

    @pytest.mark.parametrize(
        ("since", "until", "duration"),
        [(60, None, 2 * 3600 - 3600 + 10 * 60), (None, 70, 3600 - 40 * 60 - 600), (600, None, 0.0)],
    )
    def test_last_as_long_as_the_session_in_them(
        self, home: Path, since: int | None, until: int | None, duration: float
    ) -> None:
        stats = several_hours(home)
        begin, end = (None if each is None else QUARTER + timedelta(minutes=each) for each in (since, until))
        first, last = (
            datetime.fromisoformat(each.replace("Z", "+00:00")) for each in (stats.first_at, stats.last_at) if each
        )

        found = stats.between(begin, end)

        expected = (min(last, end or last) - max(first, begin or first)).total_seconds()
        assert found.duration == pytest.approx(max(expected, 0.0))
        assert (found.first_at, found.last_at) == (stats.first_at, stats.last_at)

    def test_have_nothing_without_a_time(self) -> None:
        found = count_of(event("task_started"), count(1)).between(QUARTER, None)

        assert (found.turns, found.tokens, found.duration) == (0, None, None)


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """
    Set a time zone in which the second hour of these sessions is the first one of a day.
    """
    monkeypatch.setenv("TZ", "UTC-22")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class TestGroups:
    def groups(self, home: Path, by: Any) -> dict[str | None, SessionStats]:
        facts = SessionFacts(cwd="/x", repository="https://example.org/x")
        other = SessionStats(turns=1, parts=(StatsPart(None, None, 1),))
        return group_stats([(several_hours(home), facts), (other, SessionFacts())], by)

    @pytest.mark.usefixtures("zone")
    def test_of_days_are_in_local_time(self, home: Path) -> None:
        found = self.groups(home, "day")

        assert {day: (stats.sessions, stats.turns, stats.tokens) for day, stats in found.items()} == {
            "2026-11-21": (1, 1, tokens(1)),
            "2026-11-22": (1, 2, tokens(2)),
            None: (1, 1, None),
        }
        assert list(found) == ["2026-11-21", "2026-11-22", None]

    def test_of_models_have_what_was_used_with_each(self, home: Path) -> None:
        found = self.groups(home, "model")

        assert {model: (stats.sessions, stats.turns, stats.tokens) for model, stats in found.items()} == {
            "m": (1, 1, tokens(1)),
            "n": (1, 2, tokens(2)),
            None: (1, 1, None),
        }
        assert found["m"].tools == {"f": ToolStats(1, 1)}

    def test_of_tools_have_only_calls(self, home: Path) -> None:
        assert self.groups(home, "tool") == {
            name: SessionStats(tools={name: tool}, parts=(StatsPart(None, None, tools={name: tool}),))
            for name, tool in {"f": ToolStats(1, 1), "g": ToolStats(1)}.items()
        }

    @pytest.mark.parametrize(("by", "name"), [("folder", "/x"), ("repository", "https://example.org/x")])
    def test_of_places_have_whole_sessions(self, home: Path, by: str, name: str) -> None:
        found = self.groups(home, by)

        assert {place: (stats.sessions, stats.turns) for place, stats in found.items()} == {name: (1, 3), None: (1, 1)}

    @pytest.mark.parametrize("by", GROUPS)
    def test_of_no_sessions_are_none(self, by: Any) -> None:
        assert group_stats([], by) == {}

    @pytest.mark.parametrize("by", GROUPS)
    def test_have_together_the_calls_of_all_sessions(self, home: Path, by: Any) -> None:
        assert sum(stats.calls for stats in self.groups(home, by).values()) == several_hours(home).calls == 2

    @pytest.mark.usefixtures("zone")
    def test_of_tokens_by_day_have_those_without_a_time_on_the_day_of_the_start(self, home: Path) -> None:
        timeless = StatsPart(None, None, tokens=tokens(5))
        stats = several_hours(home)
        stats = attrs.evolve(stats, parts=(*stats.parts, timeless, StatsPart(FIRST, None, tokens=Tokens())))

        assert tokens_by_day(stats, date(2026, 11, 1)) == {
            date(2026, 11, 21): tokens(1).total_tokens,
            date(2026, 11, 22): tokens(2).total_tokens,
            date(2026, 11, 1): tokens(5).total_tokens,
        }

    def test_of_days_of_an_unknown_time_are_none(self) -> None:
        assert (local_day(None), local_day("yesterday")) == (None, None)


def every_line(home: Path) -> list[RolloutLine]:
    own = apart(turn("four", count(4)) + turn("five", count(5)), begin=FORKED_MS + 60_000)
    record: Line = ("token_usage_record", {"response_id": "resp_1", "usage": usage(1)})
    called = [event("task_started"), set_model("m"), call("f", {}, "1"), output("err: x", "1")]
    ended = [
        record,
        event("task_complete", duration_ms=7),
        event("exec_command_begin", call_id="2"),
        call("g", {}, "2"),
    ]
    own += apart([*called, *ended], begin=FORKED_MS + 90_000)
    return list(read_lines(written(home, copied_again(own, copies=[meta(), *PARENT_LINES], forked_from_id=ID))))


def stored(value: Any) -> Any:
    """
    Return plain values as an index keeps them.
    """
    return decode_json(encode_json(value))


def stored_and_loaded(counter: StatsCounter) -> StatsCounter:
    reader = Interpreter.from_plain(stored(counter.interpreter.to_plain()), has_texts=False)
    return StatsCounter.from_plain(stored(counter.to_plain()), reader)


def counter_of(lines: Iterable[RolloutLine], counter: StatsCounter | None = None) -> StatsCounter:
    counter = counter or StatsCounter()
    for line in lines:
        counter.add(line)
    return counter


# Of some values, the fields that may have them.
USUAL = {"None": {"turn_at", "model"}, "'x'": {"model"}}


class TestState:
    def test_continues_from_any_line_to_the_same_result(self, home: Path) -> None:
        lines = every_line(home)
        whole = counter_of(lines)

        for cut in range(len(lines) + 1):
            counter = counter_of(lines[cut:], stored_and_loaded(counter_of(lines[:cut])))

            assert counter.stats == whole.stats
            assert stored(counter.to_plain()) == stored(whole.to_plain())
        assert whole.stats.tokens == tokens(3)

    @settings(max_examples=30)
    @given(sessions(), st.data())
    def test_of_any_session_continues_from_any_line_to_the_same_result(
        self, lines: list[RolloutLine], data: st.DataObject
    ) -> None:
        cut = data.draw(st.integers(0, len(lines)))

        counter = counter_of(lines[cut:], stored_and_loaded(counter_of(lines[:cut])))

        assert counter.stats == counter_of(lines).stats

    @settings(max_examples=30)
    @given(sessions())
    def test_of_many_lines_at_once_is_that_of_each(self, lines: list[RolloutLine]) -> None:
        counter = StatsCounter()

        counter.add_all([vars(line) for line in lines])

        assert counter.stats == counter_of(lines).stats

    def test_has_the_statistics(self, home: Path) -> None:
        counter = counter_of(every_line(home))

        assert stats_of_plain(stored(counter.to_plain()), stored(counter.interpreter.to_plain())) == counter.stats

    @pytest.mark.parametrize("value", [None, 1, "", "parts", [], {}, {"parts": {}}])
    def test_of_another_form_is_refused(self, value: Any) -> None:
        with pytest.raises(ValueError, match="not the state of a counter"):
            StatsCounter.from_plain(value, Interpreter())
        with pytest.raises(ValueError, match="not the state of a counter"):
            stats_of_plain(StatsCounter().to_plain(), value)

    @pytest.mark.parametrize("value", [None, 1, "", "parts", [], {}, {"parts": None}, {"parts": [[]]}])
    def test_of_another_form_has_no_statistics(self, value: Any) -> None:
        with pytest.raises(ValueError):
            stats_of_plain(value, Interpreter().to_plain())

    @pytest.mark.parametrize("odd", [None, 1, 0.5, "x", [1, []], {"a": {"b": []}}])
    def test_with_a_part_of_another_form_is_refused(self, home: Path, odd: Any) -> None:
        plain = stored(counter_of(every_line(home)).to_plain())

        for name in plain.keys() - USUAL.get(repr(odd), set()):
            with pytest.raises(ValueError, match="not the state"):
                StatsCounter.from_plain({**plain, name: odd}, Interpreter())

    @pytest.mark.parametrize("odd", ["x", [1, []], {"a": {"b": []}}])
    def test_with_a_number_of_another_form_is_refused(self, home: Path, odd: Any) -> None:
        plain = stored(counter_of(every_line(home)).to_plain())
        first = plain["parts"][0]

        for place in range(2, len(first)):
            changed = [*first[:place], odd, *first[place + 1 :]]
            with pytest.raises(ValueError, match="not the state"):
                StatsCounter.from_plain({**plain, "parts": [changed]}, Interpreter())

    def test_with_another_field_is_refused(self) -> None:
        plain = StatsCounter().to_plain()

        for other in ({**plain, "novel": 1}, {key: plain[key] for key in plain if key != "parts"}):
            with pytest.raises(ValueError, match="not the state"):
                StatsCounter.from_plain(other, Interpreter())


def assert_counts_without_an_error(lines: list[RolloutLine]) -> None:
    counter = counter_of(lines)

    stats = combine([counter.stats, counter.stats])
    assert all(0 <= number < 2**63 for number in attrs.astuple(stats.tokens or Tokens()))
    assert 0 <= (stats.active_duration or 0.0) < 2**63
    assert stats.duration is None or stats.duration >= 0
    assert all(tool.calls >= 0 and (tool.duration or 0.0) >= 0 for tool in stats.tools.values())
    for by in GROUPS:
        assert sum(each.calls for each in group_stats([(stats, SessionFacts())], by).values()) == stats.calls
    assert stored_and_loaded(counter).stats == counter.stats


@settings(max_examples=25, deadline=None)
@given(st.lists(ANY_LINES, max_size=12))
def test_any_value_in_any_field_of_any_line_is_counted_without_an_error(lines: list[RolloutLine]) -> None:
    assert_counts_without_an_error(lines)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(st.lists(ANY_LINES, max_size=12))
def test_many_values_in_any_field_of_any_line_are_counted_without_an_error(lines: list[RolloutLine]) -> None:
    assert_counts_without_an_error(lines)
