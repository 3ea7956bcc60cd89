from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rollout.dialects import usage_of
from tests.dialects import events

NAMES = ("input_tokens", "cached_input_tokens", "cache_write_input_tokens", "output_tokens")
NAMES += ("reasoning_output_tokens", "total_tokens")


def objects(value: Any) -> Any:
    """
    Return a usage as objects with attributes, as SDKs have it.
    """
    return SimpleNamespace(**{key: objects(held) for key, held in value.items()}) if isinstance(value, dict) else value


CASES: dict[str, tuple[dict[str, Any], tuple[int | None, ...]]] = {
    "Responses": (events.response([])["usage"], (12, 4, 0, 5, 2, 17)),
    "Chat Completions": (
        {
            "prompt_tokens": 120,
            "completion_tokens": 15,
            "total_tokens": 135,
            "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": None},
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
        (120, 40, None, 15, 5, 135),
    ),
    "DeepSeek": ({"prompt_tokens": 9, "prompt_cache_hit_tokens": 3, "completion_tokens": 1}, (9, 3, None, 1, 0, 10)),
    "litellm, whose prompt counts the cache in": (
        {"prompt_tokens": 9, "completion_tokens": 1, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2},
        (9, 3, 2, 1, 0, 10),
    ),
    "Anthropic": (events.anthropic([])["usage"], (14, 4, 2, 15, 0, 29)),
    "Anthropic with thinking": (
        {"input_tokens": 8, "output_tokens": 5, "output_tokens_details": {"thinking_tokens": 3}},
        (8, 0, None, 5, 3, 13),
    ),
    "Anthropic with one of the two": (
        {"input_tokens": 8, "cache_read_input_tokens": None, "cache_creation_input_tokens": 2, "output_tokens": 5},
        (10, 0, 2, 5, 0, 15),
    ),
    "Google": ({**events.GEMINI_USAGE, "toolUsePromptTokenCount": 7}, (127, 40, None, 15, 5, 135)),
    "google-genai": (
        {"prompt_token_count": 9, "candidates_token_count": 2, "thoughts_token_count": 1, "total_token_count": 12},
        (9, 0, None, 3, 1, 12),
    ),
    "Google before the first candidate": ({"promptTokenCount": 9}, (9, 0, None, 0, 0, 9)),
    "Google with thoughts only": ({"thoughtsTokenCount": 2}, (0, 0, None, 2, 2, 2)),
    "openai-agents": (
        {
            "requests": 1,
            "input_tokens": 9,
            "input_tokens_details": {"cached_tokens": 3},
            "output_tokens": 2,
            "output_tokens_details": {"reasoning_tokens": 1},
            "total_tokens": 11,
        },
        (9, 3, None, 2, 1, 11),
    ),
    "pydantic-ai": (
        {
            "input_tokens": 9,
            "cache_read_tokens": 3,
            "cache_write_tokens": 1,
            "output_tokens": 2,
            "details": {"reasoning_tokens": 1},
        },
        (9, 3, 1, 2, 1, 11),
    ),
    "langchain": (
        {
            "input_tokens": 9,
            "output_tokens": 2,
            "total_tokens": 11,
            "input_token_details": {"cache_read": 3, "cache_creation": 1},
            "output_token_details": {"reasoning": 1},
        },
        (9, 3, 1, 2, 1, 11),
    ),
    "whole numbers as floats": ({"input_tokens": 9.0, "output_tokens": True}, (9, 0, None, 0, 0, 9)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", [dict, objects])
def test_the_usage_of_each_provider_and_framework_has_the_counts_of_codex(case: str, form: Any) -> None:
    usage, counts = CASES[case]

    expected = {name: count for name, count in zip(NAMES, counts, strict=True) if count is not None}
    assert usage_of(form(usage)) == expected


@pytest.mark.parametrize("usage", [None, {}, "9", [9], {"input_tokens": "9"}, {"total_tokens": 9}, 7.5])
def test_a_usage_without_counts_is_none(usage: Any) -> None:
    assert usage_of(usage) is None


def test_the_counts_of_codex_stay() -> None:
    counts = usage_of(CASES["Anthropic"][0])

    assert usage_of(counts) == counts
