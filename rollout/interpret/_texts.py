"""
The texts of a session's lines for a search: messages of the user and the agent, reasoning, calls and their outputs.

Developer messages, instructions and contexts are left out, because they are the same in every session.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from attrs import define

from rollout.codec import RolloutLine
from rollout.interpret._call_facts import CallBegan, CallEnded
from rollout.interpret._facts import (
    Compacted,
    Fact,
    GoalSet,
    Notice,
    PlanChanged,
    Problem,
    Prompt,
    Said,
)
from rollout.interpret._interpreter import Interpreter

__all__ = ["TEXT_KINDS", "Text", "changes_state", "line_texts", "texts_of"]

TEXT_KINDS = ("user", "agent", "reasoning", "call", "output", "summary")
"""The kinds of texts. `summary` is the text with which a compaction replaced the history."""

# Beginning of a line that changes how later lines are read. The type of a payload is its first key.
_HEAD_SIZE = 400
_STATE = re.compile(
    rb'"type":"(?:task_started|turn_started|entered_review_mode|EnteredReviewMode|agent_reasoning|user_message|UserMessage|\w+_call|message"(?:,"id":"[^"]{0,80}")?,"role":"user)"'
)


@define
class Text:
    """
    One text of a line.

    Attributes:
        kind: One of `TEXT_KINDS`.
        text: The text; not empty.
        tool: The tool of a call or output; None for other kinds, or if unknown.
        is_failed: Whether the text is the output of a call that failed. Of several outputs of a call, only the one that
            first states the failure.
        is_echo: Whether an earlier line contains the same text.
        is_nested: Whether the text is that of a call by a script.
    """

    kind: str
    text: str
    tool: str | None = None
    is_failed: bool = False
    is_echo: bool = False
    is_nested: bool = False


def texts_of(facts: Iterable[Fact]) -> list[Text]:
    """
    Return the texts in the facts of a line, echoes included.
    """
    found: list[Text] = []
    for fact in facts:
        reader = _READERS.get(type(fact))
        if reader is not None:
            text = reader(fact)
            if text.text:
                found.append(text)
    return found


def line_texts(line: RolloutLine, *, has_events: bool = False, is_nested: bool = False) -> list[Text]:
    """
    Return all texts of a line, of which the lines before are unknown: in the order of `texts_of`, perhaps with echoes.

    Args:
        line: The line.
        has_events: Whether a line before was an event with a message of a person.
        is_nested: Whether a script was running.
    """
    interpreter = Interpreter()
    interpreter.has_events = has_events
    interpreter.calls.scripts += [0] * is_nested
    return texts_of(interpreter.feed(line))


def changes_state(raw: bytes) -> bool:
    """
    Return whether a line may change which texts of later lines are echoes, given its bytes.
    """
    return _STATE.search(raw, 0, _HEAD_SIZE) is not None


def _of_prompt(fact: Prompt) -> Text:
    return Text("user", "" if fact.source == "history" else fact.words, is_echo=fact.echo_of is not None)


def _of_said(fact: Said) -> Text:
    return Text(fact.who, fact.text or fact.words, is_echo=not fact.text)


def _of_call(fact: CallBegan) -> Text:
    return Text("call", fact.words, fact.tool, False, not fact.is_new, fact.parent is not None)


def _of_outcome(fact: CallEnded) -> Text:
    has_failed = fact.is_failed and not fact.was_failed
    # A failed call without an output is found by the reason of its failure.
    is_echo = not has_failed and (fact.is_repeated or not fact.text)
    return Text("output", fact.text or fact.stated, fact.tool or None, has_failed, is_echo)


_READERS: dict[type[Fact], Callable[[Any], Text]] = {
    Prompt: _of_prompt,
    Said: _of_said,
    CallBegan: _of_call,
    CallEnded: _of_outcome,
    Compacted: lambda fact: Text("summary", fact.text, is_echo=fact.echo_of is not None),
    GoalSet: lambda fact: Text("user", fact.text),
    PlanChanged: lambda fact: Text("agent", "" if fact.steps else fact.text),
    Problem: lambda fact: Text("agent", fact.text, is_echo=fact.echo_of is not None),
    Notice: lambda fact: Text("agent", fact.text if fact.title == "review ended" else ""),
}
