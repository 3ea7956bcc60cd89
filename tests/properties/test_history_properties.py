"""
What a history gives for a model and as turns, against the plainest way to say it: each rollback and each compaction
looks at all that came before. It takes quadratic time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from hypothesis import example, given
from hypothesis import strategies as st

from rollout import History, schema
from rollout.codec import RolloutLine
from rollout.interpret import Fact, Interpreter, Prompt, TurnBegan, is_sent, rollback_mark, sent_item
from rollout.sessions._model_input import _UNSENT_KEY, _pair_calls
from tests.rollouts import ID, event, message, meta, surroundings

_AGENTS = "# AGENTS.md instructions for /x\n\n<INSTRUCTIONS>\nx\n</INSTRUCTIONS>"
_ITEMS = st.sampled_from([
    *(message("user", text)[1] for text in ("one", "two", "", "<skill>not closed", _AGENTS, "<skill>x</skill>")),
    surroundings()[1], message("assistant", "answer")[1], message("developer", "orders")[1],
    message("developer", "<tools>x</tools>")[1],
    {"type": "agent_message", "author": "/root/a", "recipient": "/root", "content": []},
    {"type": "function_call_output", "name": "create_goal", "output": "x"},
    {**message("user", "three")[1], _UNSENT_KEY: {"a": 1}}, {"type": "reasoning", "summary": []},
    {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "c"},
    {"type": "function_call_output", "call_id": "c", "output": "x"}, {"type": "ghost_snapshot"}, {"type": []}, {},
    {"type": "message", "role": "user", "content": None},
])  # fmt: skip
_COUNTS = st.sampled_from([1, 2, 3, 7, 10**30, 0, -1, None, "1", 1.0, True])
_LINES = st.one_of(
    _ITEMS.map(lambda item: ("response_item", item)),
    _ITEMS.map(lambda item: ("response_item", item)),
    st.sampled_from(["one", "two", "", "<skill>x</skill>", _AGENTS]).map(
        lambda text: event("user_message", message=text)
    ),
    st.sampled_from(["task_started", "task_complete", "turn_aborted"]).map(lambda kind: event(kind, turn_id="t")),
    _COUNTS.map(lambda count: event("thread_rolled_back", num_turns=count)),
    st.sampled_from(["summary", "<skill>x</skill>", None, ["x"]]).map(lambda text: ("compacted", {"message": text})),
    st.lists(st.one_of(_ITEMS, st.sampled_from([None, "x"])), max_size=4).map(
        lambda items: ("compacted", {"message": "summary", "replacement_history": items})
    ),
)

# An event confirms a message that was rolled back, after another message took its place.
_CONFIRMED_AFTER_A_ROLLBACK = [
    *(message("user", text) for text in ("one", "<skill>x</skill>", "two")),
    event("thread_rolled_back", num_turns=1),
    surroundings(),
    event("user_message", message="<skill>x</skill>"),
    ("compacted", {"message": "summary"}),
]
_COMPACTED_BEFORE_A_RUNNING_TURN = [
    ("compacted", {"message": "summary", "replacement_history": [message("user", "one")[1]]}),
    event("task_started", turn_id="t"),
]


def history_of(inherited: Sequence[tuple[str, Any]], lines: Sequence[tuple[str, Any]]) -> History:
    made, base = (
        tuple(RolloutLine(timestamp="", type=kind, payload=own) for kind, own in part) for part in (lines, inherited)
    )
    kind, payload = meta()
    own = RolloutLine(timestamp="", type=kind, payload=payload)
    item = own.item
    assert isinstance(item, schema.SessionMeta)
    return History(Path("x.jsonl"), ID, item, (own, *made), inherited=base, numbers=range(1, len(made) + 2))


@define
class Read:
    """
    A line with its facts, and its number in its file.
    """

    line: RolloutLine
    facts: Sequence[Fact]
    file: int
    number: int

    @property
    def prompts(self) -> list[Prompt]:
        # The prompts that a compaction at the beginning of a file kept belong to no turn.
        return [fact for fact in self.facts if isinstance(fact, Prompt) and fact.source != "history"]

    def is_prompt(self, so_far: Iterable[Read]) -> bool:
        if self.line.type != "response_item":
            return False
        return bool(self.prompts) or any(
            prompt.confirms == self.number for later in so_far if later.file == self.file for prompt in later.prompts
        )

    def is_start(self, so_far: Iterable[Read]) -> bool:
        return self.is_prompt(so_far) or rollback_mark(self.line, self.facts) == "start"

    def is_context(self, so_far: Iterable[Read]) -> bool:
        return rollback_mark(self.line, self.facts) == "context" and not self.is_prompt(so_far)


def read(parts: Iterable[Sequence[RolloutLine]]) -> Iterator[Read]:
    for file, lines in enumerate(parts):
        reader = Interpreter()
        for number, line in enumerate(lines, 1):
            yield Read(line, reader.feed(line), file, number)


def input_of(*parts: Sequence[RolloutLine]) -> list[dict[str, Any]]:
    items: list[tuple[dict[str, Any], bool]] = []
    for line, is_prompt, dropped in effective(parts):
        item = sent_item(line)
        if line.type == "compacted":
            items = compacted(items, line.payload, dropped)
        elif item is not None:
            items.append((item, is_prompt))
    return [{k: v for k, v in item.items() if k != _UNSENT_KEY} for item in _pair_calls(item for item, _ in items)]


def effective(parts: Iterable[Sequence[RolloutLine]]) -> list[tuple[RolloutLine, bool, int]]:
    kept: list[Read] = []
    dropped: dict[int, int] = {}
    so_far: list[Read] = []
    for each in read(parts):
        so_far.append(each)
        line = each.line
        if line.type == "compacted" or sent_item(line) is not None:
            kept.append(each)
        elif line.type == "event_msg" and line.payload.get("type") == "thread_rolled_back":
            starts = [i for i, one in enumerate(kept) if one.is_start(so_far)]
            start = start_of_last_turns(kept, so_far, line.payload.get("num_turns"))
            if start < len(kept) and start > starts[0] and kept[start - 1].line.type == "compacted":
                dropped[id(kept[start - 1])] = count_context(kept[start - 1].line.payload)
            del kept[start:]
    return [(each.line, each.is_prompt(so_far), dropped.get(id(each), 0)) for each in kept]


def count_context(payload: dict[str, Any]) -> int:
    count = 0
    items = payload.get("replacement_history")
    for item in reversed([item for item in items if isinstance(item, dict)] if isinstance(items, list) else []):
        if is_sent(item):
            [only] = read([[RolloutLine(timestamp="", type="response_item", payload=item)]])
            if not only.is_context([]):
                break
            count += 1
    return count


def start_of_last_turns(kept: Sequence[Read], so_far: Sequence[Read], count: Any) -> int:
    prompts = [i for i, each in enumerate(kept) if each.is_start(so_far)]
    if not prompts or type(count) is not int or count < 1:
        return len(kept)
    start = prompts[max(len(prompts) - count, 0)]
    while start > prompts[0] and kept[start - 1].is_context(so_far):
        start -= 1
    return start


def compacted(
    items: list[tuple[dict[str, Any], bool]], payload: dict[str, Any], dropped: int
) -> list[tuple[dict[str, Any], bool]]:
    replacement = payload.get("replacement_history")
    if isinstance(replacement, list):
        sent = [item for item in replacement if isinstance(item, dict) and is_sent(item)]
        return [(item, is_prompt_alone(item)) for item in sent[: len(sent) - dropped]]
    content = [{"type": "input_text", "text": str(payload.get("message", ""))}]
    summary = {"type": "message", "role": "user", "content": content}
    return [*((item, is_prompt) for item, is_prompt in items if is_prompt), (summary, is_prompt_alone(summary))]


def is_prompt_alone(item: dict[str, Any]) -> bool:
    [only] = read([[RolloutLine(timestamp="", type="response_item", payload=item)]])
    return only.is_prompt([])


def turns_of(*parts: Sequence[RolloutLine]) -> list[tuple[str | None, bool, int]]:
    prompts: list[str | None] = []
    are_back: list[bool] = []
    counts: list[int] = []
    replaced: list[str] = []
    for each in read(parts):
        line = each.line
        if any(isinstance(fact, TurnBegan) for fact in each.facts):
            prompts.append(None)
            are_back.append(False)
            counts.append(0)
        replaced += [fact.text for fact in each.facts if isinstance(fact, Prompt) and fact.source == "history"]
        if not prompts:
            continue
        counts[-1] += 1
        for prompt in each.prompts:
            prompts[-1] = prompts[-1] or prompt.text
        if line.type == "event_msg" and line.payload.get("type") == "thread_rolled_back":
            count = line.payload.get("num_turns")
            standing = [n for n, prompt in enumerate(prompts) if prompt is not None and not are_back[n]]
            for number in standing[-count:] if type(count) is int and count > 0 else ():
                are_back[number] = True
    if prompts and prompts[0] is None:
        # The file begins with the compaction that replaced the first prompt.
        prompts[0] = next(iter(replaced), None)
    return list(zip(prompts, are_back, counts, strict=True))


@pytest.mark.promise("growth")
@example([], _CONFIRMED_AFTER_A_ROLLBACK)
@given(st.lists(_LINES, max_size=8), st.lists(_LINES, max_size=30))
def test_the_input_equals_that_of_a_simple_quadratic_implementation(
    inherited: list[tuple[str, Any]], lines: list[tuple[str, Any]]
) -> None:
    history = history_of(inherited, lines)

    assert history.to_input() == input_of(history.inherited, history.lines)


@pytest.mark.promise("growth")
@example([], _COMPACTED_BEFORE_A_RUNNING_TURN)
@given(st.lists(_LINES, max_size=8), st.lists(_LINES, max_size=30))
def test_rolled_back_turns_equal_those_of_a_simple_quadratic_implementation(
    inherited: list[tuple[str, Any]], lines: list[tuple[str, Any]]
) -> None:
    history = history_of(inherited, lines)

    expected = turns_of(history.inherited, history.lines)

    assert [(turn.prompt, turn.is_rolled_back, len(turn.lines)) for turn in history.turns] == expected
    shown = [(turn.prompt, turn.is_rolled_back) for turn in history.document().turns if turn.number]
    assert shown == [(prompt, is_back) for prompt, is_back, _ in expected]
