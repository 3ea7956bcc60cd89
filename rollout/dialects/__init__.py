"""
Bodies of the model APIs as items of the Responses API, and back: requests, replies, streams and usage.

Dialects are OpenAI's Responses and Chat Completions (also as other providers write it), Anthropic's Messages and
Google's generateContent. All functions are pure: they import no SDK, change no argument, and raise for no body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout._lazy import lazy_getattr

if TYPE_CHECKING:
    from rollout.dialects._codex_form import codex_items, is_foreign, unread_reason
    from rollout.dialects._items import make_call, make_message, make_output, make_reasoning, text_of
    from rollout.dialects._keys import is_compared, item_key
    from rollout.dialects._model import Dialect, Fold, Item, Reply, Request
    from rollout.dialects._paths import dialect_for
    from rollout.dialects._usage import usage_of

__all__ = [
    "Dialect",
    "Fold",
    "Item",
    "Reply",
    "Request",
    "codex_items",
    "dialect_for",
    "is_compared",
    "is_foreign",
    "item_key",
    "make_call",
    "make_message",
    "make_output",
    "make_reasoning",
    "text_of",
    "unread_reason",
    "usage_of",
]

__getattr__ = lazy_getattr(
    globals(),
    {
        "_codex_form": ["codex_items", "is_foreign", "unread_reason"],
        "_items": ["make_call", "make_message", "make_output", "make_reasoning", "text_of"],
        "_keys": ["is_compared", "item_key"],
        "_model": ["Dialect", "Fold", "Item", "Reply", "Request"],
        "_paths": ["dialect_for"],
        "_usage": ["usage_of"],
    },
)
