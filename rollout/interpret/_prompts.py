"""
Separate user messages that a person wrote from user messages that Codex wrote to describe the context of the session.

Codex sends the context as messages of the user, with text between tags. The list of tags, and the rule that a tag is
valid only with its closing tag, come from tests in which Codex 0.169.0 rolled back a turn before each of them.
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
    Return the text of a message's content; its parts are joined with newlines.
    """
    content = payload.get("content")
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def is_prompt(payload: Mapping[str, Any]) -> bool:
    """
    Return whether a response item is a message that the user wrote.
    """
    return _is_of_user(payload) and not is_context(payload)


def is_context(payload: Mapping[str, Any]) -> bool:
    """
    Return whether a response item is a user message that Codex wrote.
    """
    return _is_of_user(payload) and _CONTEXT.fullmatch(message_text(payload)) is not None


def with_recovered_cwd(meta: schema.SessionMeta, payloads: Iterable[Mapping[str, Any]]) -> schema.SessionMeta:
    """
    Return a meta with a cwd. Versions before 0.32 wrote no cwd; then it is taken from the first environment context.
    """
    if meta.cwd is not None:
        return meta
    return attrs.evolve(meta, cwd=next(filter(None, map(cwd_in, payloads)), None))


def cwd_in(payload: Mapping[str, Any]) -> str | None:
    """
    Return the folder in an environment context; None if the response item is not a context, or names no folder.
    """
    # A regular expression would take quadratic time for many opening tags without a closing tag.
    _, mark, cwd = message_text(payload).partition("<cwd>") if is_context(payload) else ("", "", "")
    cwd, end, _ = cwd.partition("</cwd>")
    return cwd if mark and end else None


def _is_of_user(payload: Mapping[str, Any]) -> bool:
    return payload.get("type") == "message" and payload.get("role") == "user"
