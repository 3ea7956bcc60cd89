from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.codec import RolloutLine, decode_json, encode_json
from rollout.interpret import (
    CallBegan,
    CallEnded,
    Context,
    Fact,
    Interpreter,
    Notice,
    PlanChanged,
    Problem,
    Prompt,
    Quiet,
    Said,
    SessionFacts,
    TurnBegan,
    Unknown,
    texts_of,
)
from rollout.reading import parent_source
from tests.builders import call, decoded
from tests.interpret.facts import facts_of
from tests.interpret.lines import ANY_LINES, PARENT, sessions, stamp
from tests.rollouts import Line, answer, event, item, message, meta, paginated_session, prompt, put, seed_session

TEXTS = (Said, Notice, PlanChanged, Quiet, Unknown)


def stored(reader: Interpreter) -> dict[str, Any]:
    """
    Return the state of a reader as an index keeps it.
    """
    plain: dict[str, Any] = decode_json(encode_json(reader.to_plain()))
    return plain


def stored_and_loaded(reader: Interpreter) -> Interpreter:
    """
    Return a reader that continues from the stored state of another one.
    """
    return Interpreter.from_plain(stored(reader), has_texts=reader.has_texts, parent_source=reader.parent_source)


def facts_in(lines: list[RolloutLine], *, has_texts: bool = True, is_stored: bool = False) -> list[Fact]:
    reader = Interpreter(has_texts)
    found: list[Fact] = []
    for line in lines:
        reader = stored_and_loaded(reader) if is_stored else reader
        found += reader.feed(line)
    return found


def without_texts(facts: list[Fact]) -> list[Fact]:
    """
    Return the facts that a reader without texts states, too.
    """
    return [
        _unrepeated(fact) if isinstance(fact, CallEnded) else fact
        for fact in facts
        if not isinstance(fact, TEXTS)
        and not (isinstance(fact, Context) and not fact.is_of_user)
        and not (isinstance(fact, Problem) and fact.title)
        and not (isinstance(fact, CallEnded) and fact.call is None)
    ]


def _unrepeated(fact: CallEnded) -> CallEnded:
    fact = copy(fact)
    fact.is_repeated = False
    return fact


class TestReading:
    @settings(max_examples=60)
    @given(sessions(), st.booleans())
    def test_states_the_same_facts_if_the_state_is_stored_between_any_two_lines(
        self, lines: list[RolloutLine], has_texts: bool
    ) -> None:
        assert facts_in(lines, has_texts=has_texts, is_stored=True) == facts_in(lines, has_texts=has_texts)

    @settings(max_examples=60)
    @given(sessions(), st.data())
    def test_states_the_same_facts_if_the_state_is_stored_once(
        self, lines: list[RolloutLine], data: st.DataObject
    ) -> None:
        cut = data.draw(st.integers(0, len(lines)))
        whole, first = Interpreter(), Interpreter()

        expected = [whole.feed(line) for line in lines]
        found = [first.feed(line) for line in lines[:cut]]
        second = stored_and_loaded(first)
        found += [second.feed(line) for line in lines[cut:]]

        assert found == expected
        assert stored(second) == stored(whole)

    @settings(max_examples=60)
    @given(sessions())
    def test_without_texts_states_the_same_other_facts(self, lines: list[RolloutLine]) -> None:
        alone = facts_in(lines, has_texts=False)

        assert without_texts(alone) == without_texts(facts_in(lines))
        assert not any(isinstance(fact, TEXTS) for fact in alone)

    @settings(max_examples=60)
    @given(sessions(), st.booleans(), st.data())
    def test_of_many_lines_at_once_states_the_facts_of_each(
        self, lines: list[RolloutLine], has_texts: bool, data: st.DataObject
    ) -> None:
        cut = data.draw(st.integers(0, len(lines)))
        one, many = Interpreter(has_texts), Interpreter(has_texts)

        expected = [fact for line in lines for fact in one.feed(line)]
        found = many.feed_all([vars(line) for line in lines[:cut]])

        assert found == expected[: len(found)]
        assert found + many.feed_all([vars(line) for line in lines[cut:]]) == expected
        assert many.to_plain() == one.to_plain()

    @settings(max_examples=20)
    @given(sessions())
    def test_states_facts_in_the_order_of_the_lines_and_turns(self, lines: list[RolloutLine]) -> None:
        facts = facts_in(lines)

        numbers, turns = [fact.number for fact in facts], [fact.turn for fact in facts]
        assert numbers == sorted(numbers)
        assert turns == sorted(turns)
        assert turns.count(-1) == len(turns) or max(turns) + 1 == sum(isinstance(fact, TurnBegan) for fact in facts)

    @pytest.mark.parametrize("session", [seed_session("one", "two"), paginated_session("one", "two")])
    def test_of_a_session_of_codex_knows_each_line(self, session: list[Line]) -> None:
        facts = facts_of(*session)

        assert {fact.number for fact in facts} | {2} >= set(range(1, len(session) + 1))
        assert not any(isinstance(fact, Unknown) for fact in facts)

    def test_counts_lines_that_could_not_be_read(self) -> None:
        reader = Interpreter()

        facts_of(*prompt("a"), reader=reader)
        reader.skip()

        assert [fact.number for fact in facts_of(*prompt("b"), reader=reader)] == [4, 4, 5]

    def test_of_many_lines_with_a_type_that_is_no_text_states_the_other_facts(self) -> None:
        lines = [decoded(line) for line in (meta(), *prompt("a"), item(["odd"]), *prompt("b"))]
        reader = Interpreter(has_texts=False)
        reader.feed_all([vars(line) for line in lines[:2]])

        found = reader.feed_all([vars(line) for line in lines[2:]])

        assert [type(fact).__name__ for fact in found] == ["Prompt", "TurnBegan", "Prompt", "Prompt"]

    def test_of_a_fork_states_the_same_facts_if_the_state_is_stored_among_the_copies(self, home: Path) -> None:
        copies = [meta(PARENT), *prompt("a"), *answer("b")]
        put(home, copies, session_id=PARENT)
        own = meta(forked_from_id=PARENT, timestamp=stamp(0))
        lines = [
            RolloutLine(timestamp=stamp(1), type=kind, payload=payload)
            for kind, payload in [own, *copies, *prompt("own"), *answer("b")]
        ]
        whole = Interpreter(parent_source=parent_source(home))
        expected = [whole.feed(line) for line in lines]

        for cut in range(len(lines) + 1):
            reader = Interpreter(parent_source=parent_source(home))
            found = [reader.feed(line) for line in lines[:cut]]
            reader = stored_and_loaded(reader)
            found += [reader.feed(line) for line in lines[cut:]]
            assert found == expected

        copied = [any(fact.is_copied for fact in facts) for facts in expected]
        assert copied == [False, *[True] * len(copies), *[False] * 4]


# Of some values, the fields that may have them.
USUAL = {
    "None": {"model", "last_total", "last_single", "first_at", "last_at"},
    "True": {"has_events", "is_running", "is_fork", "is_open", "is_copying", "is_head", "has_turns", "is_told",
             "is_asked", "is_answered", "is_recorded", "is_parent_known"},
    "1": {"count", "index", "started_at", "families", "forked_at", "copied_at", "own_ordinal", "position"},
    "0.5": {"forked_at", "copied_at"},
    "'x'": {"model", "agent_path", "role", "began_at", "session_id", "parent_id", "parent_used", "last_record",
            "first_at", "last_at"},
}  # fmt: skip


def state() -> dict[str, Any]:
    """
    Return a state with a value in every field.
    """
    reader = Interpreter()
    facts_of(
        meta(),
        event("task_started"),
        message("user", "<skill>x</skill>"),
        *prompt("a"),
        *answer("b"),
        event("error", message="no"),
        ("turn_context", {"model": "m"}),
        call("f", {}),
        item("custom_tool_call", name="exec", input="x", call_id="s1"),
        event("token_count", info={"total_token_usage": {"total_tokens": 1}, "last_token_usage": {}}),
        event("token_count", info={"last_token_usage": {"total_tokens": 1}}),
        ("compacted", {"message": "x"}),
        reader=reader,
    )
    return stored(reader)


class TestState:
    @pytest.mark.parametrize("value", [None, 1, "", "turn", [], {}, {"turn": {}}])
    def test_of_another_form_is_refused(self, value: Any) -> None:
        with pytest.raises(ValueError, match="not the state of a session"):
            Interpreter.from_plain(value)

    def test_of_every_form_that_a_reader_returns_is_accepted(self) -> None:
        assert Interpreter.from_plain(state()).to_plain() == state()

    @pytest.mark.parametrize("odd", [None, True, 1, 0.5, "x", [1, []], {"a": {"b": []}}])
    def test_with_a_part_of_another_form_is_refused(self, odd: Any) -> None:
        plain = state()
        usual = USUAL.get(repr(odd), set())
        accepted = []

        for name, value in plain.items():
            others = [{**value, key: odd} for key in value.keys() - usual] if isinstance(value, dict) else []
            if name not in usual:
                others.append(odd)
            for other in others:
                try:
                    Interpreter.from_plain({**plain, name: other})
                except ValueError as error:
                    assert "not the state of a session" in str(error)
                else:
                    accepted.append((name, other))

        assert accepted == []

    @pytest.mark.parametrize("name", [None, "turn", "copies", "usage", "echoes", "calls", "tally"])
    def test_with_another_field_or_without_one_is_refused(self, name: str | None) -> None:
        plain = state()
        part = plain if name is None else plain[name]
        others = [{**part, "novel": 1}, *({key: part[key] for key in part if key != gone} for gone in part)]

        for other in others:
            with pytest.raises(ValueError, match="not the state of a session"):
                Interpreter.from_plain(other if name is None else {**plain, name: other})


def assert_reads_without_an_error(lines: list[RolloutLine]) -> None:
    reader, alone, session = Interpreter(), Interpreter(has_texts=False), SessionFacts()
    for line in lines:
        facts = reader.feed(line)
        session.add(facts)
        assert all(text.text for text in texts_of(facts))
        assert all(
            fact.input and isinstance(fact.words, str) and fact.kind for fact in facts if isinstance(fact, CallBegan)
        )
    assert session.title is None or len(session.title) <= 120
    assert without_texts(alone.feed_all([vars(line) for line in lines])) == without_texts(facts_in(lines))
    assert stored(stored_and_loaded(reader)) == stored(reader)


@settings(max_examples=40)
@given(st.lists(ANY_LINES, max_size=10))
def test_any_value_in_any_field_of_any_line_is_read_without_an_error(lines: list[RolloutLine]) -> None:
    assert_reads_without_an_error(lines)


@pytest.mark.slow
@settings(max_examples=500)
@given(st.lists(ANY_LINES, max_size=12))
def test_many_values_in_any_field_of_any_line_are_read_without_an_error(lines: list[RolloutLine]) -> None:
    assert_reads_without_an_error(lines)


def test_a_fact_shows_its_fields() -> None:
    fact = next(fact for fact in facts_of(*prompt("hello")) if isinstance(fact, Prompt))

    assert repr(fact).startswith("Prompt(number=1, timestamp=")
    assert "text='hello'" in repr(fact)
    assert fact != "hello"
    assert fact == copy(fact)
