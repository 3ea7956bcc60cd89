"""
The meaning of a session's lines, decided in one place: prompts, turns, forks, calls and their outcomes, texts, facts.

Opens no file, and produces no text for people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout._lazy import lazy_getattr

if TYPE_CHECKING:
    from rollout.interpret._calls import OUTPUTS, outcome_of, strings_in, tool_of
    from rollout.interpret._facts import Filters, SessionFacts
    from rollout.interpret._forks import ForkDetector
    from rollout.interpret._prompts import cwd_in, is_context, is_prompt, with_recovered_cwd
    from rollout.interpret._texts import TEXT_KINDS, Text, TextExtractor
    from rollout.interpret._turns import ActiveTurns, TurnDetector, prompt_of, seconds_of

__all__ = [
    "ActiveTurns",
    "Filters",
    "ForkDetector",
    "OUTPUTS",
    "SessionFacts",
    "TEXT_KINDS",
    "Text",
    "TextExtractor",
    "TurnDetector",
    "cwd_in",
    "is_context",
    "is_prompt",
    "outcome_of",
    "prompt_of",
    "seconds_of",
    "strings_in",
    "tool_of",
    "with_recovered_cwd",
]

__getattr__ = lazy_getattr(
    globals(),
    {
        "_calls": ["OUTPUTS", "outcome_of", "strings_in", "tool_of"],
        "_facts": ["SessionFacts", "Filters"],
        "_forks": ["ForkDetector"],
        "_prompts": ["cwd_in", "is_context", "is_prompt", "with_recovered_cwd"],
        "_texts": ["TEXT_KINDS", "Text", "TextExtractor"],
        "_turns": ["ActiveTurns", "TurnDetector", "prompt_of", "seconds_of"],
    },
)
