"""
Which user messages are a person's own words, and what the others say.

Codex sends what it knows of the surroundings as messages of the user, too: text between marks. Which marks, and
that they count only when closed, was seen by letting Codex 0.169.0 roll back a turn before each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from rollout import schema

__all__ = ["cwd_in", "is_context", "is_prompt", "message_text", "with_recovered_cwd"]

_CONTEXT = re.compile(
    r"""\s*(?:
        <(?P<tag>environment_context|skill|user_shell_command|turn_aborted|subagent_notification|goal_context
               |user_instructions)> .* </(?P=tag)>
      | \#\ AGENTS\.md\ instructions .* </INSTRUCTIONS>
    )\s*""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def message_text(payload: Mapping[str, Any]) -> str:
    """
    Give the text of a message's content, parts joined with newlines.
    """
    content = payload.get("content")
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def is_prompt(payload: Mapping[str, Any]) -> bool:
    """
    Say whether a response item is a message that the user wrote.
    """
    return _is_of_user(payload) and not is_context(payload)


def is_context(payload: Mapping[str, Any]) -> bool:
    """
    Say whether a response item is a user message that Codex wrote.
    """
    return _is_of_user(payload) and _CONTEXT.fullmatch(message_text(payload)) is not None


def with_recovered_cwd(meta: schema.SessionMeta, payloads: Iterable[Mapping[str, Any]]) -> schema.SessionMeta:
    """
    Complete a meta from before 0.32, which has no cwd, by what the first environment context says.
    """
    if meta.cwd is not None:
        return meta
    return attrs.evolve(meta, cwd=next(filter(None, map(cwd_in, payloads)), None))


def cwd_in(payload: Mapping[str, Any]) -> str | None:
    """
    Give the folder that an environment context names; None if a response item is none, or names none.
    """
    # A regular expression would take quadratic time for many opening tags without a closing tag.
    _, mark, cwd = message_text(payload).partition("<cwd>") if is_context(payload) else ("", "", "")
    cwd, end, _ = cwd.partition("</cwd>")
    return cwd if mark and end else None


def _is_of_user(payload: Mapping[str, Any]) -> bool:
    return payload.get("type") == "message" and payload.get("role") == "user"
