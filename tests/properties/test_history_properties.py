"""
What a history gives for a model and as turns, against the plainest way to say it: each rollback and each compaction
looks at all that came before. It takes quadratic time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout import History, schema
from rollout.codec import RolloutLine
from rollout.interpret._prompts import is_context, is_prompt
from rollout.interpret._turns import TurnDetector, prompt_of
from rollout.sessions._history import _SENT_TYPES, _UNSENT_KEY, _pair_calls
from tests.rollouts import ID, event, message, meta, surroundings

_AGENTS = "# AGENTS.md instructions for /x\n\n<INSTRUCTIONS>\nx\n</INSTRUCTIONS>"
_ITEMS = st.sampled_from([
    *(message("user", text)[1] for text in ("one", "two", "", "<skill>not closed", _AGENTS, "<skill>x</skill>")),
    surroundings()[1], message("assistant", "answer")[1], message("developer", "orders")[1],
    {**message("user", "three")[1], _UNSENT_KEY: {"a": 1}}, {"type": "reasoning", "summary": []},
    {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "c"},
    {"type": "function_call_output", "call_id": "c", "output": "x"}, {"type": "ghost_snapshot"}, {"type": []}, {},
    {"type": "message", "role": "user", "content": None},
])  # fmt: skip
_COUNTS = st.sampled_from([1, 2, 3, 7, 10**30, 0, -1, None, "1", 1.0, True])
_LINES = st.one_of(
    _ITEMS.map(lambda item: ("response_item", item)),
    _ITEMS.map(lambda item: ("response_item", item)),
    st.sampled_from(["one", "two", ""]).map(lambda text: event("user_message", message=text)),
    st.sampled_from(["task_started", "task_complete", "turn_aborted"]).map(lambda kind: event(kind, turn_id="t")),
    _COUNTS.map(lambda count: event("thread_rolled_back", num_turns=count)),
    st.sampled_from(["summary", "<skill>x</skill>", None, ["x"]]).map(lambda text: ("compacted", {"message": text})),
    st.lists(st.one_of(_ITEMS, st.sampled_from([None, "x"])), max_size=4).map(
        lambda items: ("compacted", {"message": "summary", "replacement_history": items})
    ),
)


def history_of(inherited: Sequence[tuple[str, Any]], lines: Sequence[tuple[str, Any]]) -> History:
    made, base = (
        tuple(RolloutLine(timestamp="", type=kind, payload=own) for kind, own in part) for part in (lines, inherited)
    )
    kind, payload = meta()
    own = RolloutLine(timestamp="", type=kind, payload=payload)
    item = own.item
    assert isinstance(item, schema.SessionMeta)
    return History(Path("x.jsonl"), ID, item, (own, *made), inherited=base, numbers=range(1, len(made) + 2))


def input_of(lines: Sequence[RolloutLine]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for line in effective(lines):
        if line.type == "compacted":
            items = compacted(items, line.payload)
        elif is_sent(line.payload):
            items.append(line.payload)
    return [{k: v for k, v in item.items() if k != _UNSENT_KEY} for item in _pair_calls(items)]


def is_sent(item: dict[str, Any]) -> bool:
    kind = item.get("type")
    return isinstance(kind, str) and kind in _SENT_TYPES


def effective(lines: Sequence[RolloutLine]) -> list[RolloutLine]:
    kept: list[RolloutLine] = []
    for line in lines:
        if line.type in ("response_item", "compacted"):
            kept.append(line)
        elif line.type == "event_msg" and line.payload.get("type") == "thread_rolled_back":
            del kept[start_of_last_turns(kept, line.payload.get("num_turns")) :]
    return kept


def start_of_last_turns(lines: Sequence[RolloutLine], count: Any) -> int:
    prompts = [i for i, line in enumerate(lines) if line.type == "response_item" and is_prompt(line.payload)]
    if not prompts or type(count) is not int or count < 1:
        return len(lines)
    start = prompts[max(len(prompts) - count, 0)]
    while start > prompts[0] and lines[start - 1].type == "response_item" and is_context(lines[start - 1].payload):
        start -= 1
    return start


def compacted(items: list[dict[str, Any]], payload: dict[str, Any]) -> list[dict[str, Any]]:
    replacement = payload.get("replacement_history")
    if isinstance(replacement, list):
        return [item for item in replacement if isinstance(item, dict) and is_sent(item)]
    content = [{"type": "input_text", "text": str(payload.get("message", ""))}]
    return [*filter(is_prompt, items), {"type": "message", "role": "user", "content": content}]


def turns_of(lines: Sequence[RolloutLine]) -> list[tuple[str | None, bool, int]]:
    prompts: list[str | None] = []
    # A prompt may be a picture without words, of which the turn keeps none.
    has_prompt: list[bool] = []
    are_back: list[bool] = []
    counts: list[int] = []
    beginnings = TurnDetector()
    for line in lines:
        if beginnings.is_start(line):
            prompts.append(None)
            has_prompt.append(False)
            are_back.append(False)
            counts.append(0)
        if not prompts:
            continue
        counts[-1] += 1
        prompts[-1] = prompts[-1] or prompt_of(line)
        has_prompt[-1] |= prompts[-1] is not None
        if line.type == "event_msg" and line.payload.get("type") == "thread_rolled_back":
            count = line.payload.get("num_turns")
            standing = [n for n, has in enumerate(has_prompt) if has and not are_back[n]]
            for number in standing[-count:] if type(count) is int and count > 0 else ():
                are_back[number] = True
    return list(zip(prompts, are_back, counts, strict=True))


@pytest.mark.promise("growth")
@given(st.lists(_LINES, max_size=8), st.lists(_LINES, max_size=30))
def test_the_input_equals_that_of_a_simple_quadratic_implementation(
    inherited: list[tuple[str, Any]], lines: list[tuple[str, Any]]
) -> None:
    history = history_of(inherited, lines)

    assert history.to_input() == input_of((*history.inherited, *history.lines))


@pytest.mark.promise("growth")
@given(st.lists(_LINES, max_size=8), st.lists(_LINES, max_size=30))
def test_rolled_back_turns_equal_those_of_a_simple_quadratic_implementation(
    inherited: list[tuple[str, Any]], lines: list[tuple[str, Any]]
) -> None:
    history = history_of(inherited, lines)

    expected = turns_of((*history.inherited, *history.lines))

    assert [(turn.prompt, turn.is_rolled_back, len(turn.lines)) for turn in history.turns] == expected
    shown = [(turn.prompt, turn.is_rolled_back) for turn in history.document().turns if turn.number]
    assert shown == [(prompt, is_back) for prompt, is_back, _ in expected]
