"""
The tokens of a response, in the words of every provider and framework, as the counts that Codex writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["usage_of"]

_INPUT = ("input_tokens", "prompt_tokens", "promptTokenCount", "prompt_token_count")
_OUTPUT = ("output_tokens", "completion_tokens")
_CANDIDATES = ("candidatesTokenCount", "candidates_token_count")
_THOUGHTS = ("thoughtsTokenCount", "thoughts_token_count")
_TOOL_PROMPT = ("toolUsePromptTokenCount", "tool_use_prompt_token_count")
_TOTAL = ("total_tokens", "totalTokenCount", "total_token_count")
_CACHED = (
    "cached_input_tokens",
    "cache_read_input_tokens",
    "cache_read_tokens",
    "prompt_cache_hit_tokens",
    "cachedContentTokenCount",
    "cached_content_token_count",
)
_WRITTEN = ("cache_write_input_tokens", "cache_creation_input_tokens", "cache_write_tokens")
_REASONING = ("reasoning_output_tokens", "reasoning_tokens", *_THOUGHTS)
_INPUT_DETAILS = ("input_tokens_details", "prompt_tokens_details", "input_token_details")
_OUTPUT_DETAILS = ("output_tokens_details", "completion_tokens_details", "output_token_details", "details")
# Anthropic's input_tokens are those beside the cache, all others count the cache in.
_BESIDE_CACHE = ("cache_read_input_tokens", "cache_creation_input_tokens")


def usage_of(usage: Any) -> dict[str, int] | None:
    """
    Return the tokens of one response.

    Args:
        usage: Dict or object of a provider's SDK (OpenAI, Anthropic, Google) or of a framework (openai-agents,
            pydantic-ai, langchain's ``usage_metadata``).

    Returns:
        ``input_tokens`` with those read from and written to a cache, ``cached_input_tokens``,
        ``cache_write_input_tokens`` if stated, ``output_tokens`` with reasoning, ``reasoning_output_tokens`` and
        ``total_tokens``; None if the usage states neither input nor output.
    """
    get = _getter(usage)
    given, produced = _first(get, _INPUT), _output(get)
    if given is None and produced is None:
        return None
    cached = _stated(get, _CACHED, _INPUT_DETAILS, ("cached_tokens", "cache_read"))
    written = _stated(get, _WRITTEN, _INPUT_DETAILS, ("cache_write_tokens", "cache_creation"))
    reasoning = _stated(
        get, _REASONING, _OUTPUT_DETAILS, ("reasoning_tokens", "reasoning", "thinking_tokens", "thoughts_tokens")
    )
    total_input = (given or 0) + (_first(get, _TOOL_PROMPT) or 0)
    if _first(get, _BESIDE_CACHE) is not None and get("prompt_tokens") is None and get("input_tokens_details") is None:
        total_input += (cached or 0) + (written or 0)
    total = _first(get, _TOTAL)
    return {
        "input_tokens": total_input,
        "cached_input_tokens": cached or 0,
        **({} if written is None else {"cache_write_input_tokens": written}),
        "output_tokens": produced or 0,
        "reasoning_output_tokens": reasoning or 0,
        "total_tokens": total_input + (produced or 0) if total is None else total,
    }


def _output(get: Callable[[str], Any]) -> int | None:
    produced = _first(get, _OUTPUT)
    if produced is not None:
        return produced
    # Google counts thoughts beside the candidates.
    candidates, thoughts = _first(get, _CANDIDATES), _first(get, _THOUGHTS)
    return None if candidates is None and thoughts is None else (candidates or 0) + (thoughts or 0)


def _stated(
    get: Callable[[str], Any], names: tuple[str, ...], groups: tuple[str, ...], nested: tuple[str, ...]
) -> int | None:
    found = _first(get, names)
    for group in groups:
        if found is None and (held := get(group)) is not None:
            found = _first(_getter(held), nested)
    return found


def _getter(value: Any) -> Callable[[str], Any]:
    if isinstance(value, Mapping):
        return value.get
    return lambda name: getattr(value, name, None)


def _first(get: Callable[[str], Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        value = get(name)
        if type(value) is int or (type(value) is float and value.is_integer()):
            return int(value)
    return None
