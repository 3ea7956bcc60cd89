"""
The tokens that we count, and those that a model has given to the real Codex.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from driver import Codex
from model import Model, called

from rollout import Recorder, load_history
from rollout.stats import SessionStats, Tokens, combine, session_stats
from rollout.store import fork


def given(model: Model) -> Tokens:
    """
    What the model has given in all, by the usage of its answers.
    """
    count = len(model.received)
    return Tokens(100 * count, 10 * count, 20 * count, 5 * count, 120 * count)


def all_stats(codex: Codex) -> SessionStats:
    return combine(session_stats(path) for path in codex.rollouts())


def id_of(path: Path) -> str:
    return load_history(path).session_id


def with_a_call(codex: Codex, model: Model, prompt: str) -> str:
    """
    Record a session whose first turn has two answers; its id.
    """
    tool, arguments = ("exec_command", {"cmd": "echo hi; exit 3"}) if codex.version == "0.169.0" else (
        "shell", {"command": ["sh", "-c", "echo hi; exit 3"]}
    )  # fmt: skip
    model.answers = [[called(tool, arguments, "call_1")]]
    return id_of(codex.record(prompt))


def forked_by_codex(codex: Codex, session_id: str) -> str:
    with codex.app_server() as server:
        return str(server.call("thread/fork", {"threadId": session_id})["thread"]["id"])


def recorded_here(codex: Codex) -> str:
    with Recorder(home=codex.home, cwd=codex.cwd) as recorder:
        recorder.user_message("ours")
        recorder.agent_message("answer to ours")
    return recorder.session_id


def test_turns_tools_and_tokens_of_a_turn_are_those_that_were_used(codex: Codex, model: Model) -> None:
    session_id = with_a_call(codex, model, "one")

    stats = session_stats(session_id)

    assert len(model.received) == 2
    assert (stats.turns, stats.tokens) == (1, given(model))
    assert [(tool.calls, tool.failures) for tool in stats.tools.values()] == [(1, 1)]
    assert 0 < stats.duration < 60


@pytest.mark.parametrize("first_turn", ["one answer", "two answers"])
def test_tokens_of_a_session_that_is_gone_on_with_are_those_that_were_used(
    codex: Codex, model: Model, first_turn: str
) -> None:
    session_id = with_a_call(codex, model, "one") if first_turn == "two answers" else id_of(codex.record("one"))

    for count, prompt in ((2, "two"), (3, "three"), (4, "four")):
        codex.go_on(session_id, prompt)

        assert session_stats(session_id).turns == count
        assert all_stats(codex).tokens == given(model)


def test_tokens_of_a_session_that_a_later_codex_goes_on_with_are_those_that_were_used(
    start_codex: Callable[[str], Codex], model: Model
) -> None:
    old, today = start_codex("0.36.0"), start_codex("0.169.0")
    session_id = id_of(old.record("one"))
    old.go_on(session_id, "two")

    today.go_on(session_id, "three")
    today.go_on(session_id, "four")

    assert session_stats(session_id).turns == 4
    assert session_stats(session_id).tokens == given(model)


def test_tokens_of_forks_that_codex_makes_by_reference_are_counted_once(today: Codex, model: Model) -> None:
    session_id = with_a_call(today, model, "one")
    child = forked_by_codex(today, session_id)
    assert load_history(child).inherited
    assert session_stats(child).tokens == Tokens()

    today.go_on(child, "two")
    grandchild = forked_by_codex(today, child)
    today.go_on(grandchild, "three")
    today.go_on(grandchild, "four")
    today.go_on(session_id, "five")

    assert [session_stats(key).turns for key in (session_id, child, grandchild)] == [2, 1, 2]
    assert all_stats(today).tokens == given(model)


def test_tokens_of_forks_that_codex_makes_as_copies_are_counted_once(today: Codex, model: Model) -> None:
    session_id = recorded_here(today)
    today.go_on(session_id, "one")
    child = forked_by_codex(today, session_id)
    assert not load_history(child).inherited
    assert (session_stats(child).turns, session_stats(child).tokens) == (0, Tokens())

    today.go_on(child, "two")
    grandchild = forked_by_codex(today, child)
    today.go_on(grandchild, "three")
    today.go_on(grandchild, "four")
    today.go_on(session_id, "five")

    assert [session_stats(key).turns for key in (session_id, child, grandchild)] == [3, 1, 2]
    assert all_stats(today).tokens == given(model)


@pytest.mark.parametrize("at", [None, 1])
def test_tokens_of_forks_made_here_are_counted_once(codex: Codex, model: Model, at: int | None) -> None:
    session_id = with_a_call(codex, model, "one")
    codex.go_on(session_id, "two")
    child = id_of(fork(session_id, at=at))
    assert (session_stats(child).turns, session_stats(child).tokens) == (0, Tokens())

    codex.go_on(child, "three")
    grandchild = id_of(fork(child))
    codex.go_on(grandchild, "four")
    codex.go_on(grandchild, "five")

    assert [session_stats(key).turns for key in (session_id, child, grandchild)] == [2, 1, 2]
    assert all_stats(codex).tokens == given(model)
