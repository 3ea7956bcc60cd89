from __future__ import annotations

from typing import Any

import pytest

from rollout.interpret import Interpreter, Usage
from rollout.interpret._usage import TOKEN_NAMES, UsageCounter, read_counts
from tests.interpret.facts import of_kind
from tests.rollouts import Line, answer, event, meta, prompt

PARENT = "00b1fbb5-7abd-7c53-8766-f128212a613b"
ONE = (100, 10, 20, 5, 120)


def times(count: float) -> tuple[int, ...]:
    return tuple(int(number * count) for number in ONE)


def usage(count: float) -> dict[str, int]:
    return dict(zip(TOKEN_NAMES, times(count), strict=True))


def total(count: float, last: float | None = 1, **fields: Any) -> Line:
    """
    Return the event with the cumulative total, which Codex writes after each answer.
    """
    info = {"total_token_usage": usage(count), **({} if last is None else {"last_token_usage": usage(last)})}
    return event("token_count", info=info, **{"rate_limits": {"primary": None}, **fields})


def single(count: float, **fields: Any) -> Line:
    """
    Return the event with the tokens of the last answer only.
    """
    return event("token_count", info={"last_token_usage": usage(count)}, **{"rate_limits": None, **fields})


def record(count: float, response_id: Any = "r1", **fields: Any) -> Line:
    return "token_usage_record", {"response_id": response_id, "usage": usage(count), **fields}


def used(*lines: Line, reader: Interpreter | None = None) -> list[tuple[int, ...]]:
    """
    Return the tokens that lines add.
    """
    return [fact.counts for fact in of_kind(Usage, *lines, reader=reader)]


class TestCounts:
    def test_are_the_five_numbers_of_a_usage(self) -> None:
        assert read_counts(usage(1)) == ONE

    @pytest.mark.parametrize("odd", [None, "7", -7, True, [], {}, float("nan"), float("inf"), 2**63, 1e30])
    @pytest.mark.parametrize("place", range(4))
    def test_that_are_no_number_count_as_zero(self, odd: Any, place: int) -> None:
        expected = [*ONE]
        expected[place] = 0

        assert read_counts({**usage(1), TOKEN_NAMES[place]: odd}) == tuple(expected)

    def test_with_a_fraction_are_rounded_down(self) -> None:
        assert read_counts({"input_tokens": 7.0, "output_tokens": 7.9, "total_tokens": 14.9}) == (7, 0, 7, 0, 14)

    @pytest.mark.parametrize("fields", [{}, {"total_tokens": None}])
    def test_without_a_total_have_the_sum_of_input_and_output(self, fields: dict[str, Any]) -> None:
        assert read_counts({"input_tokens": 7, "cached_input_tokens": 5, "output_tokens": 2, **fields}) == (
            7,
            5,
            2,
            0,
            9,
        )

    @pytest.mark.parametrize("odd", ["9", -1, True])
    def test_with_an_invalid_total_have_none(self, odd: Any) -> None:
        assert read_counts({"input_tokens": 7, "total_tokens": odd}) == (7, 0, 0, 0, 0)

    @pytest.mark.parametrize("odd", [None, 7, "x", [1]])
    def test_of_a_value_of_another_type_are_none(self, odd: Any) -> None:
        assert read_counts(odd) is None


class TestRecords:
    def test_count_once_by_the_id_of_their_response(self) -> None:
        records = [record(1, response_id) for response_id in ("r1", "r1", "r2", None, None, 7, "")]

        assert used(*records) == [ONE] * 6

    def test_without_a_usage_count_nothing(self) -> None:
        reader = Interpreter()

        assert used(("token_usage_record", {"response_id": "r1", "usage": None}), reader=reader) == []
        assert not reader.usage.is_told

    def test_count_more_than_the_total_after_them(self) -> None:
        assert used(record(1, "r1"), total(1), record(2, "r2"), total(3, 2)) == [times(1), times(2)]

    def test_count_more_than_the_single_usage_after_them(self) -> None:
        assert used(record(1, "r1"), single(1), single(2)) == [times(1), times(2)]

    def test_that_are_missing_are_made_up_by_the_growth_of_the_total(self) -> None:
        assert used(record(1, "r1"), total(1), total(3, 2)) == [times(1), times(2)]

    def test_that_were_copied_count_nothing_but_tell_that_tokens_are_counted(self) -> None:
        reader = Interpreter()

        assert used(meta(), record(1, thread_id=PARENT), reader=reader) == []
        assert reader.usage.is_told


class TestTotals:
    def test_add_their_growth(self) -> None:
        assert used(total(1), total(3, 2), total(3.5, 0.5)) == [times(1), times(2), times(0.5)]

    def test_that_are_repeated_add_nothing(self) -> None:
        lines = [*prompt("a"), total(1), total(1), *prompt("b"), total(1), *answer("c"), total(2)]

        assert used(*lines) == [times(1), times(1)]

    def test_that_restart_add_themselves(self) -> None:
        assert used(total(2, 2), total(1, 1)) == [times(2), times(1)]
        assert used(total(2, 2), total(3, 3)) == [times(2), times(3)]

    def test_that_restart_without_being_told_add_the_last_answer(self) -> None:
        assert used(total(5, 5), total(3, 1)) == [times(5), times(1)]
        assert used(total(5, 5), total(3, None)) == [times(5), times(3)]

    def test_that_restart_at_the_same_number_add_themselves_after_an_answer(self) -> None:
        answered = [*prompt("a"), answer("x")[0], total(1)]

        assert used(*answered, *answered) == [times(1)] * 2
        assert used(*answered, *prompt("b"), total(1)) == [times(1)]
        assert used(*answered, *prompt("b"), event("token_count", info=None), total(1)) == [times(1)] * 2
        assert used(*answered, event("task_started"), *answered) == [times(1)]

    def test_that_are_set_to_the_size_of_the_window_add_nothing(self) -> None:
        full = event("token_count", info={"total_token_usage": {"total_tokens": 258400}})
        after = event("token_count", info={"total_token_usage": {**usage(1), "total_tokens": 258400 + 120}})

        assert used(total(1), full, after) == [times(1), (100, 10, 20, 5, 120)]

    def test_of_which_a_part_shrinks_add_nothing_of_this_part(self) -> None:
        less = {**usage(2), "cached_input_tokens": 3}
        shrunk = event("token_count", info={"total_token_usage": less, "last_token_usage": usage(1)})

        assert used(total(1), shrunk) == [times(1), (100, 0, 20, 5, 120)]

    def test_of_a_fork_continue_the_total_of_the_other_session(self) -> None:
        fork = meta(forked_from_id=PARENT, history_base={"thread_id": PARENT})

        assert used(fork, total(9, 1), total(10)) == [times(1), times(1)]
        assert used(fork, total(9, None)) == [times(9)]

    @pytest.mark.parametrize("info", [None, "odd", [], {}, {"total_token_usage": 7}])
    def test_that_are_missing_add_nothing_and_leave_unknown_whether_tokens_are_counted(self, info: Any) -> None:
        reader = Interpreter()

        assert used(event("token_count", info=info), reader=reader) == []
        assert not reader.usage.is_told


class TestSingleUsages:
    def test_add_themselves(self) -> None:
        assert used(single(1), single(2)) == [times(1), times(2)]

    def test_that_are_repeated_with_rate_limits_before_an_answer_add_nothing(self) -> None:
        assert used(single(1), single(1)) == [times(1)]
        assert used(single(1), answer("x")[0], single(1)) == [times(1)] * 2
        assert used(single(1), event("agent_reasoning", text="x"), single(1)) == [times(1)] * 2
        assert used(single(1), event("agent_reasoning_raw_content", text="x"), single(1)) == [times(1)]

    def test_without_rate_limits_add_themselves_each_time(self) -> None:
        bare = event("token_count", info={"last_token_usage": usage(1)})

        assert used(bare, bare) == [times(1)] * 2

    def test_that_were_copied_add_nothing(self) -> None:
        counter = UsageCounter()

        counts = [counter.total(single(1)[1], is_copied=is_copied, is_fork=True, is_running=False)
                  for is_copied in (True, False)]  # fmt: skip

        assert counts == [None, None]
        assert counter.is_told


@pytest.mark.parametrize(
    "settings", [("turn_context", {"model": "m"}), event("thread_settings_applied", thread_settings={"model": "m"})]
)
def test_tokens_belong_to_the_model_that_the_settings_before_them_state(settings: Line) -> None:
    found = of_kind(Usage, total(1), settings, ("turn_context", {"cwd": "/x"}), total(2), record(1, "r2"))

    assert [fact.model for fact in found] == [None, "m", "m"]
