"""
Statistics of sessions of the real Codex, compared with the usage that the model reported.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from driver import Codex
from model import Model, function_call

from rollout import Recorder, load_history
from rollout.stats import SessionStats, Tokens, combine, session_stats
from rollout.store import fork


def total_usage(model: Model) -> Tokens:
    """
    Return the sum of the usage that the model has reported.
    """
    count = len(model.received)
    return Tokens(100 * count, 10 * count, 20 * count, 5 * count, 120 * count)


def all_stats(codex: Codex) -> SessionStats:
    return combine(session_stats(path) for path in codex.rollouts())


def id_of(path: Path) -> str:
    return load_history(path).session_id


def record_with_call(codex: Codex, model: Model, prompt: str) -> str:
    """
    Record a session whose first turn has two answers, and return its id.
    """
    tool, arguments = ("exec_command", {"cmd": "echo hi; exit 3"}) if codex.version == "0.169.0" else (
        "shell", {"command": ["sh", "-c", "echo hi; exit 3"]}
    )  # fmt: skip
    model.answers = [[function_call(tool, arguments, "call_1")]]
    return id_of(codex.record(prompt))


def fork_by_codex(codex: Codex, session_id: str) -> str:
    with codex.app_server() as server:
        return str(server.call("thread/fork", {"threadId": session_id})["thread"]["id"])


def resume_and_fork(codex: Codex, session_id: str) -> str:
    """
    Add a turn to a session, fork it, add two turns to the fork, and return the fork's id.
    """
    codex.resume(session_id, "two")
    child = fork_by_codex(codex, session_id)
    codex.resume(child, "three")
    codex.resume(child, "four")
    return child


def record_by_rollout(codex: Codex) -> str:
    with Recorder(home=codex.home, cwd=codex.cwd) as recorder:
        recorder.user_message("ours")
        recorder.agent_message("answer to ours")
    return recorder.session_id


def test_turns_tools_and_tokens_of_a_turn_equal_the_usage_of_the_model(codex: Codex, model: Model) -> None:
    session_id = record_with_call(codex, model, "one")

    stats = session_stats(session_id)

    assert len(model.received) == 2
    assert (stats.turns, stats.tokens) == (1, total_usage(model))
    assert [(tool.calls, tool.failures) for tool in stats.tools.values()] == [(1, 1)]
    assert 0 < stats.duration < 60


@pytest.mark.parametrize("first_turn", ["one answer", "two answers"])
def test_tokens_of_a_resumed_session_equal_the_usage_of_the_model(codex: Codex, model: Model, first_turn: str) -> None:
    session_id = record_with_call(codex, model, "one") if first_turn == "two answers" else id_of(codex.record("one"))

    for count, prompt in ((2, "two"), (3, "three"), (4, "four")):
        codex.resume(session_id, prompt)

        assert session_stats(session_id).turns == count
        assert all_stats(codex).tokens == total_usage(model)


def test_tokens_of_a_session_resumed_by_a_later_codex_equal_the_usage_of_the_model(
    start_codex: Callable[[str], Codex], model: Model
) -> None:
    old, current = start_codex("0.36.0"), start_codex("0.169.0")
    session_id = id_of(old.record("one"))
    old.resume(session_id, "two")

    current.resume(session_id, "three")
    current.resume(session_id, "four")

    assert session_stats(session_id).turns == 4
    assert session_stats(session_id).tokens == total_usage(model)


def test_tokens_of_forks_by_reference_are_counted_once(current: Codex, model: Model) -> None:
    session_id = record_with_call(current, model, "one")
    child = fork_by_codex(current, session_id)
    assert load_history(child).inherited
    assert session_stats(child).tokens is None

    grandchild = resume_and_fork(current, child)
    current.resume(session_id, "five")

    assert [session_stats(key).turns for key in (session_id, child, grandchild)] == [2, 1, 2]
    assert all_stats(current).tokens == total_usage(model)


def test_tokens_of_forks_copied_by_codex_are_counted_once(current: Codex, model: Model) -> None:
    session_id = record_by_rollout(current)
    current.resume(session_id, "one")
    child = fork_by_codex(current, session_id)
    assert not load_history(child).inherited
    assert (session_stats(child).turns, session_stats(child).tokens) == (0, Tokens())

    grandchild = resume_and_fork(current, child)
    current.resume(session_id, "five")

    assert [session_stats(key).turns for key in (session_id, child, grandchild)] == [3, 1, 2]
    assert all_stats(current).tokens == total_usage(model)


@pytest.mark.parametrize("at", [None, 1])
def test_tokens_of_forks_copied_by_rollout_are_counted_once(codex: Codex, model: Model, at: int | None) -> None:
    session_id = record_with_call(codex, model, "one")
    codex.resume(session_id, "two")
    child = id_of(fork(session_id, at=at))
    assert (session_stats(child).turns, session_stats(child).tokens) == (0, Tokens())

    codex.resume(child, "three")
    grandchild = id_of(fork(child))
    codex.resume(grandchild, "four")
    codex.resume(grandchild, "five")

    assert [session_stats(key).turns for key in (session_id, child, grandchild)] == [2, 1, 2]
    assert all_stats(codex).tokens == total_usage(model)
