"""
Used tokens and remaining limits.
"""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import frozen

from rollout.schema._wire import RolloutItem, Wire, nullable, optional

__all__ = [
    "RateLimitWindow",
    "RateLimits",
    "TokenUsage",
    "TokenUsageInfo",
    "TokenUsageRecord",
]


@frozen(kw_only=True, slots=False)
class TokenUsage(Wire):
    """Token counts of one or several responses."""

    input_tokens: int
    cached_input_tokens: int | None = optional()
    cache_write_input_tokens: int | None = optional()
    output_tokens: int
    reasoning_output_tokens: int | None = optional()
    total_tokens: int


@frozen(kw_only=True, slots=False)
class TokenUsageInfo(Wire):
    """Tokens of the session so far and of the last request; *model_context_window* in tokens."""

    total_token_usage: TokenUsage
    last_token_usage: TokenUsage
    last_usage_includes_reasoning: bool | None = optional()
    model_context_window: int | None = nullable()


@frozen(kw_only=True, slots=False)
class RateLimitWindow(Wire):
    """The used part of a limit; *used_percent* 0 to 100, *resets_at* in Unix seconds."""

    used_percent: float
    window_minutes: int | None = optional()
    resets_at: Any = optional()


@frozen(kw_only=True, slots=False)
class RateLimits(Wire):
    """The limits of the service."""

    limit_id: str | None = optional()
    limit_name: str | None = optional()
    normal_model_slug: str | None = optional()
    primary: RateLimitWindow | None = nullable()
    secondary: RateLimitWindow | None = nullable()
    credits: Any = optional()
    individual_limit: Any = optional()
    spend_control_reached: Any = optional()
    plan_type: Any = optional()
    rate_limit_reached_type: Any = optional()


@frozen(kw_only=True, slots=False)
class TokenUsageRecord(RolloutItem):
    """The tokens of one response, and the totals of its turn and thread so far."""

    line_type: ClassVar[str] = "token_usage_record"

    thread_id: str
    turn_id: str | None = optional()
    session_id: str | None = optional()
    root_turn_id: str | None = optional()
    response_id: str | None = optional()
    usage: TokenUsage
    turn_token_usage: TokenUsage | None = optional()
    thread_token_usage: TokenUsage | None = optional()
