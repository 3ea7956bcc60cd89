"""
Separate the words of a person from the text that Codex writes into messages of the user.

The evidence, most trusted first: where Codex states for each part of a message who wrote it (since 0.169); an event
with the same words, which Codex writes for a person's message only; the marks of the texts that Codex writes. The marks
come from tests in which Codex 0.169.0 rolled back a turn before each of them, and from files of older versions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rollout.interpret._parts import Image, Parts, dict_of, list_of, read_parts, text_of
from rollout.interpret._record import Record

__all__ = ["UserMessage", "context_kind", "folder_in", "is_turn_context", "read_user_message", "request_in", "title_of"]

_METADATA = "internal_chat_message_metadata_passthrough"
# Tags of texts that are known to be Codex's. Such a text is one element, with or without attributes.
_TAGS = frozenset({
    "environment_context", "skill", "user_shell_command", "turn_aborted", "subagent_notification", "goal_context",
    "user_instructions", "recommended_plugins", "hook_prompt", "codex_internal_context", "user_action",
})  # fmt: skip
_OPENING = re.compile(r"<([A-Za-z_][\w-]{0,60})(?:\s[^<>]{0,400})?>")
_AGENTS = ("# agents.md instructions", "</instructions>")
_WARNINGS = (
    "Warning: The maximum number of unified exec processes you can keep open is ",
    "Warning: apply_patch was requested via ",
)
# How the messages of the developer begin that Codex 0.169.0 writes before a turn: when it rolls back the turn, it
# removes exactly these. Found by rolling back a turn after a message with each of the 250 tags in the program.
_TURN_CONTEXT = (
    "<apps_instructions>", "<collaboration_mode>", "<context_window>", "<context_window_guidance>",
    "<environments_instructions>", "<git_attribution>", "<managed_developer_instructions>", "<model_switch>",
    "<multi_agent_mode>", "<multi_agent_role>", "<permissions instructions>", "<persistent_mode>",
    "<personality_spec>", "<plugins_instructions>", "<realtime_conversation>", "<rollout_budget>",
    "<skills_instructions>", "<token_budget>", "<tools>", "approved command prefix saved:",
)  # fmt: skip
_TURN_CONTEXT_SIZE = max(map(len, _TURN_CONTEXT))
# What an editor puts before a request, and the line at which the request begins.
_REQUEST = re.compile(r"^## My request for Codex:[ \t]*$", re.MULTILINE)
_IMAGE_TAGS = re.compile(r"</?image(?: name=\[[^\]\n]{0,80}\][^>\n]{0,400})?>")
_TITLE_SIZE = 120


class UserMessage(Record):
    """
    A message with the role of the user, separated by author.

    Attributes:
        words: The words of the person, without the marks around images; empty if the person wrote no text.
        others: The types of parts that are neither text nor image.
        images: Images of the person, or of the whole message if no part is the person's.
        context: The texts that Codex wrote.
        kind: Kind of the first text in *context*; empty without such a text.
        is_prompt: Whether the person wrote a part of the message.
        is_sure: Whether the message states the authors itself.
    """

    words: str = ""
    others: tuple[str, ...] = ()
    images: tuple[Image, ...] = ()
    context: str = ""
    kind: str = ""
    is_prompt: bool = True
    is_sure: bool = False


def read_user_message(payload: Mapping[str, Any], *, has_events: bool) -> UserMessage:
    """
    Return a message of the user, separated by author.

    Args:
        payload: Payload of the message.
        has_events: Whether the session is known to have an event for each message of a person. Texts that only resemble
            those of Codex are then Codex's, too.
    """
    content = payload.get("content")
    parts = [content] if isinstance(content, str) else list_of(content)
    authors, kinds = _authors_of(payload)
    own: list[Any] = []
    context: list[str] = []
    kind = ""
    for index, part in enumerate(parts):
        text = part if isinstance(part, str) else dict_of(part).get("text")
        if not isinstance(text, str):
            own.append(part)
            continue
        author = authors[index] if index < len(authors) else None
        found = "" if author == "user" else context_kind(text, has_events=has_events)
        if not found and author not in (None, "user"):
            found = (kinds[index] if index < len(kinds) else "") or str(author)
        if not found:
            own.append(part)
            continue
        kind = kind or found
        context.append(text)
    read = read_parts(own)
    is_prompt = (
        not context or "user" in authors or any(isinstance(part, str) or "text" in dict_of(part) for part in own)
    )
    return UserMessage(
        _without_image_tags(read), read.others, read.images, "\n".join(context), kind, is_prompt, bool(authors)
    )


def _authors_of(payload: Mapping[str, Any]) -> tuple[list[str | None], list[str]]:
    """
    Return for each part its author, user or another, and its kind, if the message states them.
    """
    metadata = payload.get(_METADATA)
    if not isinstance(metadata, dict):
        return [], []
    authors = [
        text_of(dict_of(dict_of(part).get("provenance")).get("type")) or None
        for part in list_of(metadata.get("content_item_metadata"))
    ]
    kinds = [text_of(kind).rpartition(".")[2].replace("_", " ") for kind in list_of(metadata.get("content_item_kinds"))]
    return authors, kinds


def _without_image_tags(parts: Parts) -> str:
    return _IMAGE_TAGS.sub("", parts.words).strip("\n") if parts.images else parts.words


def context_kind(text: str, *, has_events: bool = False) -> str:
    """
    Return the kind of a text that Codex wrote, from its marks; an empty string for any other text.
    """
    text = text.strip()
    opening = _OPENING.match(text)
    if opening:
        tag = opening[1].lower()
        is_known = tag in _TAGS or (has_events and "_" in tag)
        is_closed = text[-len(tag) - 3 :].lower() == f"</{tag}>" and len(text) >= opening.end() + len(tag) + 3
        return tag.replace("_", " ") if is_known and is_closed else ""
    first, last = _AGENTS
    if text[: len(first)].lower() == first and text[-len(last) :].lower() == last:
        return "AGENTS.md instructions"
    is_warning = text.startswith(_WARNINGS) or (has_events and text.startswith("Warning: ") and "\n" not in text)
    return "warning" if is_warning else ""


def is_turn_context(payload: Mapping[str, Any]) -> bool:
    """
    Return whether a message of the developer belongs to the turn that follows it, because one of its parts begins with
    words by which Codex knows its own.
    """
    if payload.get("role") != "developer":
        return False
    content = payload.get("content")
    parts = [content] if isinstance(content, str) else list_of(content)
    texts = (part if isinstance(part, str) else text_of(dict_of(part).get("text")) for part in parts)
    return any(text.lstrip()[:_TURN_CONTEXT_SIZE].lower().startswith(_TURN_CONTEXT) for text in texts)


def request_in(words: str) -> str:
    """
    Return the request in a message, without what an editor puts before it.
    """
    if words.lstrip().startswith("# "):
        found = _REQUEST.search(words)
        if found:
            return words[found.end() :].strip()
    return words


def title_of(text: str) -> str:
    """
    Return the title of a session that begins with a request: at most 120 characters on one line.
    """
    title = " ".join(text[: 20 * _TITLE_SIZE].split())
    return title if len(title) <= _TITLE_SIZE else f"{title[: _TITLE_SIZE - 1].rstrip()}…"


def folder_in(text: str) -> str | None:
    """
    Return the folder in an environment context; None if it names none.
    """
    # A regular expression would take quadratic time for many opening tags without a closing tag.
    _, mark, cwd = text.partition("<cwd>")
    cwd, end, _ = cwd.partition("</cwd>")
    return cwd if mark and end else None
