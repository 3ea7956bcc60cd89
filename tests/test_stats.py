from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout import SessionNotFoundError, read_lines
from rollout.codec import RolloutLine, decode_json, encode_item, encode_json
from rollout.stats import SessionStats, StatsCounter, Tokens, ToolStats, combine, session_stats
from rollout.store import fork
from tests.rollouts import ID, TIME_MS, Line, answer, bare_session, event, message, meta, paginated_session, prompt, put

CHILD = "01a1fbb6-7abd-7c53-8766-f128212a613b"
GRANDCHILD = "01a1fbb7-7abd-7c53-8766-f128212a613b"
# One answer of a model.
USAGE = {
    "input_tokens": 100,
    "cached_input_tokens": 10,
    "output_tokens": 20,
    "reasoning_output_tokens": 5,
    "total_tokens": 120,
}
NAMES = tuple(USAGE)
Timed = tuple[int, Line]


def usage(count: float) -> dict[str, int]:
    return {name: int(value * count) for name, value in USAGE.items()}


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


def stamp(at_ms: int) -> str:
    line = decode_json(encode_item("x", {}, time_ms=TIME_MS + at_ms))
    return str(line["timestamp"])


def written(home: Path, lines: list[Timed], *, session_id: str = ID, first_ordinal: int | None = None) -> Path:
    data = b""
    for number, (at_ms, (kind, payload)) in enumerate(lines):
        ordinal = None if first_ordinal is None else first_ordinal + number
        data += encode_item(kind, payload, time_ms=TIME_MS + at_ms, ordinal=ordinal)
    return put(home, data, session_id=session_id)


def stats_of(home: Path, *lines: Line) -> SessionStats:
    return session_stats(written(home, apart([meta(), *lines])))


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

    def test_of_the_paginated_format_has_its_turns(self, home: Path) -> None:
        assert session_stats(put(home, paginated_session("one", "two"))).turns == 2

    def test_before_the_envelope_has_turns_and_times(self, home: Path) -> None:
        put(home, bare_session("one", "two"))

        stats = session_stats(ID[:8], home=home)

        assert (stats.turns, stats.tokens, stats.duration) == (2, Tokens(), 0.0)
        assert stats.first_at == stats.last_at == "2026-11-21T01:25:10.660Z"

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

    def test_without_outputs_use_bounded_memory(self, home: Path) -> None:
        counter = StatsCounter()
        for number in range(1500):
            payload = {"type": "local_shell_call", "call_id": str(number)}
            counter.add(RolloutLine(timestamp=None, type="response_item", payload=payload))

        assert counter.stats.tools == {"local_shell": ToolStats(calls=1500)}
        assert len(counter.open_calls) == 1000


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
        assert Tokens.read({**usage(1), "input_tokens": odd}) == attrs.evolve(tokens(1), input_tokens=0)

    @pytest.mark.parametrize("odd", [None, 7, "x", [1]])
    def test_of_a_value_of_another_type_are_none(self, odd: Any) -> None:
        assert Tokens.read(odd) is None

    def test_with_a_fraction_are_rounded_down(self) -> None:
        assert Tokens.read({"input_tokens": 7.0, "output_tokens": 7.9}) == Tokens(input_tokens=7, output_tokens=7)


OWN_TURN_ID = "01a1fbc6-7ad4-76d0-a532-df9d735e9862"
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

        assert (stats.tools, stats.tokens, stats.active_duration) == ({}, Tokens(), 0.0)

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
        one = SessionStats(
            turns=2,
            lines={"a": 1, "b": 2},
            tools={"f": ToolStats(2, 1, 0.5)},
            tokens=tokens(1),
            first_at=stamp(0),
            last_at=stamp(9000),
            duration=9.0,
            active_duration=1.0,
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
        )

    def test_of_no_statistics_is_empty(self) -> None:
        assert combine([]) == SessionStats(sessions=0)


def every_line(home: Path) -> list[RolloutLine]:
    own = apart(turn("four", count(4)) + turn("five", count(5)), begin=FORKED_MS + 60_000)
    call: Line = ("response_item", {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "1"})
    output: Line = ("response_item", {"type": "function_call_output", "call_id": "1", "output": "err: x"})
    record: Line = ("token_usage_record", {"response_id": "resp_1", "usage": usage(1)})
    own += apart([call, output, record, event("task_complete", duration_ms=7)], begin=FORKED_MS + 90_000)
    return list(read_lines(written(home, copied_again(own, copies=[meta(), *PARENT_LINES], forked_from_id=ID))))


# Of some values, the fields that may have them.
USUAL = {
    "None": {"last_total", "first_at", "last_at"},
    "1": {"active_ms"},
    "0.5": {"active_ms"},
    "'x'": {"last_record", "first_at", "last_at"},
}


class TestState:
    def test_continues_from_any_line_to_the_same_result(self, home: Path) -> None:
        lines = every_line(home)
        whole = StatsCounter()
        for line in lines:
            whole.add(line)

        for cut in range(len(lines) + 1):
            counter = StatsCounter()
            for line in lines[:cut]:
                counter.add(line)
            counter = StatsCounter.from_plain(decode_json(encode_json(counter.to_plain())))
            for line in lines[cut:]:
                counter.add(line)

            assert counter == whole
            assert counter.stats == whole.stats
        assert whole.stats.tokens == tokens(2)

    @pytest.mark.parametrize("value", [None, 1, "", "turns", [], {}, {"turns": {}}])
    def test_of_another_form_is_refused(self, value: Any) -> None:
        with pytest.raises(ValueError, match="not the state of a counter"):
            StatsCounter.from_plain(value)

    @pytest.mark.parametrize("odd", [None, 1, 0.5, "x", [1, []], {"a": {"b": []}}])
    def test_with_a_part_of_another_form_is_refused(self, home: Path, odd: Any) -> None:
        counter = StatsCounter()
        for line in every_line(home):
            counter.add(line)
        plain = counter.to_plain()

        for name in plain.keys() - USUAL.get(repr(odd), set()):
            with pytest.raises(ValueError, match="not the state"):
                StatsCounter.from_plain({**plain, name: odd})

    def test_with_another_field_is_refused(self) -> None:
        plain = StatsCounter().to_plain()

        for other in ({**plain, "novel": 1}, {key: plain[key] for key in plain if key != "used"}):
            with pytest.raises(ValueError, match="not the state"):
                StatsCounter.from_plain(other)


ODD_TEXT = st.text(max_size=5) | st.sampled_from(
    [ID, stamp(0), stamp(9000), OWN_TURN_ID, '{"output":1}', "\ud800", "1e9"]
)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ODD_TEXT | st.sampled_from([2**63, 2**70, 10**400]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*NAMES, "total_token_usage", "type", "text"]), inner, max_size=4)
    ),
    max_leaves=6,
)
LINE_TYPES = ["session_meta", "response_item", "event_msg", "token_usage_record", "turn_context", "compacted", "novel"]
EVENTS = ["token_count", "user_message", "task_started", "task_complete", "agent_message"]
ITEMS = ["message", "function_call", "function_call_output", "local_shell_call", "custom_tool_call_output"]
KINDS = st.sampled_from([*EVENTS, *ITEMS, "web_search_call"])
INFO = st.fixed_dictionaries({}, optional={"total_token_usage": ODD, "last_token_usage": ODD})
FIELDS = ["id", "timestamp", "forked_from_id", "history_base", "subagent_history_start_ordinal", "turn_id", "role"]
FIELDS += ["content", "name", "call_id", "output", "arguments", "duration_ms", "usage", "response_id", "message"]
PAYLOADS = st.fixed_dictionaries(
    {"type": KINDS | ODD}, optional={"info": INFO | ODD, **dict.fromkeys(FIELDS, ODD), "rate_limits": ODD}
)
LINES = st.builds(
    RolloutLine,
    type=st.sampled_from(LINE_TYPES),
    timestamp=st.none() | ODD_TEXT,
    payload=PAYLOADS,
    ordinal=st.none() | st.integers(),
)


def assert_counts_without_an_error(lines: list[RolloutLine]) -> None:
    counter = StatsCounter()

    for line in lines:
        counter.add(line)

    stats = combine([counter.stats, counter.stats])
    assert all(0 <= number < 2**63 for number in attrs.astuple(stats.tokens))
    assert 0 <= stats.active_duration < 2**63
    assert stats.duration >= 0
    assert all(tool.calls >= 0 and tool.duration >= 0 for tool in stats.tools.values())
    assert StatsCounter.from_plain(decode_json(encode_json(counter.to_plain()))) == counter


@settings(max_examples=25, deadline=None)
@given(st.lists(LINES, max_size=12))
def test_any_value_in_any_field_of_any_line_is_counted_without_an_error(lines: list[RolloutLine]) -> None:
    assert_counts_without_an_error(lines)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(st.lists(LINES, max_size=12))
def test_many_values_in_any_field_of_any_line_are_counted_without_an_error(lines: list[RolloutLine]) -> None:
    assert_counts_without_an_error(lines)
