from __future__ import annotations

from typing import Any

import pytest
from attrs import define

from rollout import read_lines
from rollout.codec import RolloutLine
from rollout.interpret import (
    ActiveTurns,
    Context,
    Fact,
    Interpreter,
    Notice,
    Problem,
    Prompt,
    RolledBack,
    Said,
    TurnBegan,
    TurnEnded,
    seconds_of,
)
from rollout.interpret._moments import creation_time
from tests.builders import completed, decoded
from tests.interpret.facts import facts_of, of_kind
from tests.rollouts import (
    TURN_ID,
    Line,
    bare_session,
    event,
    message,
    meta,
    paginated_session,
    prompt,
    put,
    seed_session,
)

BEGAN_AT, ENDED_AT = "2026-11-21T01:25:00.250Z", "2026-11-21T01:25:03.500Z"


def starts(*lines: Line) -> list[bool]:
    """
    Return for each line whether a turn begins with it.
    """
    reader = Interpreter()
    return [any(isinstance(fact, TurnBegan) for fact in reader.feed(decoded(line))) for line in lines]


def timed(*lines: tuple[str | None, Line]) -> list[Fact]:
    reader = Interpreter()
    return [
        fact
        for timestamp, (kind, payload) in lines
        for fact in reader.feed(RolloutLine(timestamp=timestamp, type=kind, payload=payload))
    ]


def end_of(start: Line, end: Line, *, began_at: str | None = None, ended_at: str | None = None) -> TurnEnded:
    [found] = [fact for fact in timed((began_at, start), (ended_at, end)) if isinstance(fact, TurnEnded)]
    return found


class TestBeginnings:
    @pytest.mark.parametrize("session", [seed_session("a", "b", "c"), paginated_session("a", "b", "c")])
    def test_are_told_by_one_prompt_in_each_form_in_which_codex_writes_it(self, session: list[Line]) -> None:
        assert sum(starts(*session)) == 3

    def test_are_told_by_messages_alone_before_the_envelope(self, home: Any) -> None:
        reader = Interpreter()

        facts = [fact for line in read_lines(put(home, bare_session("a", "b"))) for fact in reader.feed(line)]

        assert sum(isinstance(fact, TurnBegan) for fact in facts) == 2

    def test_are_told_twice_by_the_same_prompt_twice(self) -> None:
        assert starts(*prompt("go"), *prompt("go")) == [True, False, True, False]

    def test_are_told_by_events_alone_and_by_completed_items_alone(self) -> None:
        events = [event("user_message", message=text) for text in "ab"]
        items = [completed("UserMessage", content=[{"type": "text", "text": text}]) for text in "ab"]

        assert starts(*events) == [True, True]
        assert starts(*items) == [True, True]

    def test_are_not_told_by_prompts_while_a_task_runs(self) -> None:
        lines = [event("turn_started"), *prompt("go"), *prompt("faster"), event("turn_aborted"), *prompt("next")]

        assert starts(*lines) == [True, False, False, False, False, False, True, False]

    def test_are_told_by_each_start_event(self) -> None:
        lines = [event("task_started"), event("turn_started"), event("task_complete"), event("task_started")]

        assert starts(*lines) == [True, True, False, True]

    def test_have_the_id_in_the_start_event(self) -> None:
        lines = [event("task_started", turn_id=TURN_ID), event("task_started", turn_id=7), *prompt("a")]

        assert [fact.turn_id for fact in of_kind(TurnBegan, *lines)] == [TURN_ID, None]

    @pytest.mark.parametrize(
        "line",
        [
            event("entered_review_mode", turn_id=TURN_ID, prompt="look"),
            event("item_completed", turn_id=TURN_ID, item={"type": "EnteredReviewMode", "prompt": "look"}),
        ],
    )
    def test_are_told_by_the_start_of_a_review(self, line: Line) -> None:
        facts = facts_of(*prompt("a"), line, *prompt("b"), event("task_complete"))

        assert [fact.turn_id for fact in facts if isinstance(fact, TurnBegan)] == [None, TURN_ID]
        assert [fact.text for fact in facts if isinstance(fact, Notice)] == ["look"]
        assert facts_of(line, reader=Interpreter(has_texts=False)) == [TurnBegan(1, None, 0, False, TURN_ID)]

    def test_number_the_facts_of_their_turn(self) -> None:
        facts = facts_of(surroundings_only(), *prompt("a"), *prompt("b"))

        assert [fact.turn for fact in facts] == [-1, 0, 0, 0, 1, 1, 1]
        assert [fact.number for fact in facts] == [1, 2, 2, 3, 4, 4, 5]


def surroundings_only() -> Line:
    return message("user", "<environment_context>x</environment_context>")


class TestPrompts:
    @pytest.mark.parametrize(
        ("line", "text"),
        [
            (message("user", "hi"), "hi"),
            (event("user_message", message="hi"), "hi"),
            (event("user_message"), ""),
            (event("user_message", message=7), ""),
            (completed("UserMessage", content=[{"type": "text", "text": "hi"}, {"type": "image", "url": "u"}]), "hi"),
            (completed("UserMessage"), ""),
            (message("assistant", "hi"), None),
            (event("agent_message", message="hi"), None),
            (meta(), None),
        ],
    )
    def test_are_found_in_each_form(self, line: Line, text: str | None) -> None:
        assert [fact.text for fact in of_kind(Prompt, line)] == ([] if text is None else [text])

    def test_in_another_form_are_echoes_of_the_first(self) -> None:
        lines = [
            event("task_started"),
            message("user", "go"),
            event("user_message", message="go\n"),
            completed("UserMessage", content=[{"type": "text", "text": "go"}]),
        ]

        found = of_kind(Prompt, *lines)

        assert [(fact.number, fact.echo_of, fact.is_steering) for fact in found] == [
            (2, None, False),
            (3, 2, False),
            (4, 2, False),
        ]

    def test_in_the_same_form_are_others_even_with_the_same_words(self) -> None:
        lines = [event("task_started"), *prompt("go"), *prompt("go")]

        found = of_kind(Prompt, *lines)

        assert [(fact.number, fact.echo_of, fact.is_steering) for fact in found] == [
            (2, None, False),
            (3, 2, False),
            (4, None, True),
            (5, 4, True),
        ]

    def test_with_other_words_in_another_form_belong_to_the_same_turn(self) -> None:
        found = of_kind(Prompt, message("user", "go"), event("user_message", message="go on"))

        assert [(fact.turn, fact.echo_of) for fact in found] == [(0, None), (0, None)]

    def test_of_a_turn_with_very_many_are_compared_with_the_last_ones(self) -> None:
        items = [message("user", str(number)) for number in range(9)]
        echoes = [event("user_message", message=str(number)) for number in (0, 8)]

        found = of_kind(Prompt, event("task_started"), *items, *echoes)

        assert [fact.echo_of for fact in found[-2:]] == [None, 10]


class TestEnds:
    START = event("task_started", started_at=100)

    @pytest.mark.parametrize("kind", ["task_complete", "turn_complete", "turn_aborted"])
    @pytest.mark.parametrize(
        ("fields", "duration"),
        [
            ({"duration_ms": 1500, "completed_at": 107}, 1.5),
            ({"duration_ms": 0}, 0.0),
            ({"completed_at": 107}, 7.0),
            ({"completed_at": 107, "started_at": 105}, 2.0),
            ({"completed_at": 100}, 0.0),
            ({"completed_at": 99}, 3.25),
            ({"duration_ms": "1", "completed_at": 1.5}, 3.25),
            ({"duration_ms": -1, "completed_at": 2**40}, 3.25),
            ({}, 3.25),
        ],
    )
    def test_have_the_duration_that_the_events_state_or_else_that_between_them(
        self, kind: str, fields: dict[str, Any], duration: float
    ) -> None:
        assert end_of(self.START, event(kind, **fields), began_at=BEGAN_AT, ended_at=ENDED_AT).duration == duration

    @pytest.mark.parametrize(
        ("start", "began_at", "ended_at"),
        [
            (START, None, ENDED_AT),
            (START, BEGAN_AT, None),
            (START, BEGAN_AT, "yesterday"),
            (START, ENDED_AT, BEGAN_AT),
            (message("user", "a"), BEGAN_AT, ENDED_AT),
        ],
    )
    def test_have_no_duration_if_nothing_states_it(self, start: Line, began_at: Any, ended_at: Any) -> None:
        assert end_of(start, event("task_complete"), began_at=began_at, ended_at=ended_at).duration is None

    def test_that_are_repeated_have_no_duration(self) -> None:
        end = event("task_complete")
        facts = timed((BEGAN_AT, self.START), (ENDED_AT, end), (ENDED_AT, end))

        assert [fact.duration for fact in facts if isinstance(fact, TurnEnded)] == [3.25, None]

    @pytest.mark.parametrize("started_at", [None, 0, -1, "100", 100.0, True, 2**40])
    def test_are_not_measured_from_an_impossible_start(self, started_at: Any) -> None:
        start = event("task_started", started_at=started_at)

        assert end_of(start, event("task_complete", completed_at=107)).duration is None

    @pytest.mark.parametrize(
        ("end", "outcome", "reason"),
        [
            (event("task_complete"), "completed", ""),
            (event("turn_complete", error=None), "completed", ""),
            (event("turn_complete", error={"message": "no"}), "failed", ""),
            (event("turn_aborted", reason="interrupted"), "interrupted", "interrupted"),
            (event("turn_aborted", reason=7, error="no"), "interrupted", ""),
        ],
    )
    def test_have_an_outcome(self, end: Line, outcome: str, reason: str) -> None:
        found = end_of(event("task_started"), end)

        assert (found.outcome, found.reason) == (outcome, reason)

    def test_contain_the_last_message_of_the_agent(self) -> None:
        said = of_kind(Said, message("assistant", "done"), event("task_complete", last_agent_message="done"))
        alone = of_kind(Said, event("task_complete", last_agent_message="done"), event("task_complete"))

        assert [(fact.text, fact.echoes) for fact in said] == [("done", ()), ("", (1,))]
        assert [fact.text for fact in alone] == ["done"]


class TestErrors:
    def test_make_the_turn_fail_and_only_this_turn(self) -> None:
        lines = [event("task_started"), event("error", message="no"), event("task_complete")]

        found = of_kind(TurnEnded, *lines, event("task_started"), event("task_complete"))

        assert [fact.outcome for fact in found] == ["failed", "completed"]

    def test_told_twice_are_one_error(self) -> None:
        lines = [event("error", message="no "), event("task_complete", error={"message": "no"})]

        found = of_kind(Problem, event("task_started"), *lines)

        assert [(fact.number, fact.text, fact.echo_of, fact.ends_turn) for fact in found] == [
            (2, "no ", None, True),
            (3, "no", 2, True),
        ]

    def test_with_other_words_are_others(self) -> None:
        lines = [event("error", message=text) for text in ("a", "a", "b", "a")]

        assert [fact.echo_of for fact in of_kind(Problem, *lines)] == [None, 1, None, None]

    def test_are_not_echoes_of_those_of_another_turn(self) -> None:
        lines = [event("error", message="no"), event("task_started"), event("error", message="no")]

        assert [fact.echo_of for fact in of_kind(Problem, *lines)] == [None, None]

    @pytest.mark.parametrize(
        ("error", "text"),
        [("no", "no"), ({"code": "a", "info": ["b", "c"]}, "a\nb c"), (7, ""), ({"message": 7, "code": "a"}, "a")],
    )
    def test_at_the_end_of_a_turn_of_any_form_have_their_texts(self, error: Any, text: str) -> None:
        assert [fact.text for fact in of_kind(Problem, event("task_complete", error=error))] == [text]

    @pytest.mark.parametrize("message", [None, "", 7])
    def test_without_a_text_are_none(self, message: Any) -> None:
        assert of_kind(Problem, event("error", message=message)) == []


class TestRollbacks:
    @pytest.mark.parametrize(
        ("count", "turns"), [(1, 1), (2, 2), (0, 0), (-1, 0), (None, 0), ("1", 0), (True, 0), (1.0, 0)]
    )
    def test_have_the_number_of_turns_and_none_if_it_is_invalid(self, count: Any, turns: int) -> None:
        [found] = of_kind(RolledBack, event("thread_rolled_back", num_turns=count))

        assert (found.count, found.words) == (turns, str(count))

    def test_mark_the_last_turns_that_have_a_prompt_and_are_not_marked(self) -> None:
        turns = [PromptedTurn("a"), PromptedTurn("b"), PromptedTurn(None), PromptedTurn("c")]
        active: ActiveTurns[PromptedTurn] = ActiveTurns()
        for turn in turns:
            active.add(turn)
            active.add(turn)

        removed = [active.roll_back(count) for count in (1, 0, 7)]
        active.add(turns[0])

        assert removed == [[turns[3]], [], [turns[0], turns[1]]]
        assert [turn.is_rolled_back for turn in turns] == [True, True, False, True]
        assert active.roll_back(1) == []


@define
class PromptedTurn:
    prompt: str | None
    is_rolled_back: bool = False


@pytest.mark.parametrize("has_texts", [True, False])
def test_a_message_without_content_is_none(has_texts: bool) -> None:
    lines = [message("assistant", ""), message("developer", "")]

    facts = facts_of(*lines, reader=Interpreter(has_texts=has_texts))

    assert not any(isinstance(fact, (Said, Context, Prompt)) for fact in facts)


@pytest.mark.parametrize(
    ("timestamp", "seconds"),
    [
        ("1970-01-01T00:00:01.500Z", 1.5),
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T00:00:01.123456789Z", 1.123),
        ("2025-01-03T12-00-00", 0.0),
        (None, 0.0),
        (5, 0.0),
    ],
)
def test_a_timestamp_is_read_as_seconds_and_any_other_value_as_zero(timestamp: Any, seconds: float) -> None:
    assert seconds_of(timestamp) == seconds


@pytest.mark.parametrize(
    ("uuid", "seconds"),
    [
        ("019a0000-0000-7000-8000-000000000000", 0x019A00000000 / 1000),
        ("4f0be0a1-50f5-480d-a99d-c68eada68a51", 0.0),
        ("odd", 0.0),
        (None, 0.0),
        (7, 0.0),
    ],
)
def test_a_uuid_of_version_7_has_the_time_of_its_creation_and_any_other_value_none(uuid: Any, seconds: float) -> None:
    assert creation_time(uuid) == seconds
