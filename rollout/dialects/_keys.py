"""
Keys by which two items are the same, whatever a client drops, adds or reformats when it sends an item back.
"""

from __future__ import annotations

from typing import Any

from rollout.dialects._items import OTHER_PART, text_of
from rollout.dialects._model import Item
from rollout.dialects._values import list_of, stable_json, string_of

__all__ = ["is_compared", "item_key"]

_SYSTEM = ("system", "developer")
# Keys that an API adds to a reply and refuses or ignores in a request, or that clients set anew in every request.
_IGNORED = frozenset(
    {
        *("id", "status", "annotations", "logprobs", "citations", "cache_control", "caller", "choice", "phase"),
        *("thoughtSignature", "signature", "prompt_cache_breakpoint", "anthropic_message", "chat_message"),
    }
)


def item_key(item: Item) -> tuple[str, ...]:
    """
    Return the key that two items share exactly if they are the same to a reader of the conversation.

    Ids, status, annotations, the form of a text (one string or parts), whitespace around it and the form of arguments
    do not count; the id of a call does.
    """
    kind = string_of(item.get("type"))
    if kind == "message" or (not kind and "role" in item):
        role = string_of(item.get("role"))
        return "message", "system" if role in _SYSTEM else role, *_content_key(item.get("content"))
    if kind == "reasoning":
        text = text_of(item.get("summary")) or text_of(item.get("content"))
        return kind, string_of(item.get("encrypted_content")) or text
    call_id = string_of(item.get("call_id"))
    if call_id and kind.endswith("_output"):
        return "output", call_id, *_content_key(item.get("output"))
    if call_id and kind.endswith("_call"):
        return "call", call_id, string_of(item.get("name"))
    if kind == "item_reference":
        return kind, string_of(item.get("id"))
    return kind, stable_json(item, _IGNORED)


def is_compared(item: Item) -> bool:
    """
    Return whether an item counts when two contexts are compared.

    Clients drop or change reasoning, system and developer texts, and messages that contain nothing.
    """
    kind = item.get("type")
    if kind == "reasoning":
        return False
    if kind != "message":
        return True
    return item.get("role") not in _SYSTEM and _content_key(item.get("content")) != ("",)


def _content_key(content: Any) -> tuple[str, ...]:
    if isinstance(content, str):
        return (content.strip(),)
    if isinstance(content, dict):
        return (stable_json(content, _IGNORED),)
    # Nearly every content is one text, and a long context has thousands of them.
    if type(content) is list and len(content) == 1 and type(content[0]) is dict:
        text = content[0].get("text")
        if type(text) is str and text and OTHER_PART not in content[0]:
            return (text.strip(),)
    others = [_part_key(part) for part in list_of(content) if not _is_text(part)]
    return text_of([part for part in list_of(content) if _is_text(part)]).strip(), *others


def _is_text(part: Any) -> bool:
    return isinstance(part, str) or (
        isinstance(part, dict)
        and OTHER_PART not in part
        and (isinstance(part.get("text"), str) or isinstance(part.get("refusal"), str))
    )


def _part_key(part: Any) -> str:
    url = part.get("image_url") if isinstance(part, dict) else None
    return url if isinstance(url, str) else stable_json(part, _IGNORED)
