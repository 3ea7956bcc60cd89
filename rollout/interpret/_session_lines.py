"""
Lines about the session as a whole: its meta, settings, name, goal, tokens and compactions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from rollout.codec import RolloutLine
from rollout.interpret._agents import origin_of
from rollout.interpret._echoes import ECHO_LINES
from rollout.interpret._facts import Compacted, Context, Fact, GoalSet, Prompt, Renamed, SessionBegan, Settings, Usage
from rollout.interpret._parts import dict_of, list_of, text_of
from rollout.interpret._prompts import read_user_message, request_in

if TYPE_CHECKING:
    from rollout.interpret._interpreter import Interpreter

__all__ = ["SESSION_EVENTS", "SESSION_LINES", "read_compaction_mark"]

_Facts: TypeAlias = "Sequence[Fact]"
_Payload: TypeAlias = "Mapping[str, Any]"

# The families of lines about a compaction, as bits; each contains it once.
_LINE, _EVENT, _ITEM = 1, 2, 4


def _read_meta(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    base = dict_of(payload.get("base_instructions"))
    instructions = text_of(payload.get("instructions")) or text_of(base.get("text"))
    if own.role or own.is_copied:
        if own.has_texts and instructions:
            return (Context(*own.head(line), "instructions", instructions, is_of_user=False),)
        return own.quiet(line, "session_meta")
    source, git, origin = payload.get("source"), dict_of(payload.get("git")), origin_of(payload)
    own.role, own.agent_path = origin.role, origin.path or ""
    names: dict[str, Any] = {
        "started_at": payload.get("timestamp"),
        "cwd": payload.get("cwd"),
        "branch": git.get("branch"),
        "repository": git.get("repository_url"),
        "originator": payload.get("originator"),
        "cli_version": payload.get("cli_version"),
        "source": next(iter(source), None) if isinstance(source, dict) else source,
        "model_provider": payload.get("model_provider"),
        "parent_id": origin.parent_id,
        "forked_from": payload.get("forked_from_id"),
        "agent_path": origin.path,
        "nickname": origin.nickname,
    }
    known: dict[str, Any] = {name: value if isinstance(value, str) and value else None for name, value in names.items()}
    own_id = text_of(payload.get("id"))
    return (SessionBegan(*own.head(line), id=own_id, role=own.role, instructions=instructions, **known),)


def _read_turn_context(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    return _settings(own, line, payload, "effort")


def _read_settings(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    return _settings(own, line, dict_of(payload.get("thread_settings")), "reasoning_effort")


def _settings(own: Interpreter, line: RolloutLine, settings: _Payload, effort: str) -> _Facts:
    model, cwd = text_of(settings.get("model")) or None, text_of(settings.get("cwd")) or None
    own.model = model or own.model
    return (Settings(*own.head(line), model, text_of(settings.get(effort)) or None, cwd),)


def _read_name(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    name, thread = text_of(payload.get("thread_name")).strip(), payload.get("thread_id")
    if not name:
        return own.quiet(line, "thread_name_updated")
    # The name of another thread was copied.
    is_foreign = isinstance(thread, str) and bool(own.copies.session_id) and thread != own.copies.session_id
    return (Renamed(own.count, line.timestamp, own.turn.index, own.is_copied or is_foreign, name),)


def _read_goal(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    goal = text_of(dict_of(payload.get("goal")).get("objective"))
    return (GoalSet(*own.head(line), goal),) if goal else own.quiet(line, "thread_goal_updated")


def _read_total(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    counts = own.usage.total(
        payload, is_copied=own.is_copied, is_fork=own.copies.is_fork, is_running=own.turn.is_running
    )
    if counts is None:
        return own.quiet(line, "token_count")
    return (Usage(own.count, line.timestamp, own.turn.index, False, counts, own.model),)


def _read_record(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    thread = payload.get("thread_id")
    # A record of another thread was copied.
    is_foreign = isinstance(thread, str) and bool(own.copies.session_id) and thread != own.copies.session_id
    counts = own.usage.record(payload, is_copied=own.is_copied or is_foreign)
    if counts is None:
        return own.quiet(line, "token_usage_record")
    return (Usage(*own.head(line), counts, own.model),)


def _note_answer(own: Interpreter, _line: RolloutLine, _payload: _Payload) -> _Facts:
    own.usage.is_answered = True
    return ()


def _read_compaction(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    replaced = payload.get("replacement_history")
    found: list[Fact] = []
    if own.turn.index < 0:
        # The file begins with the compaction: the prompts before it are only here.
        for item in list_of(replaced):
            if isinstance(item, dict) and item.get("type") == "message" and item.get("role") == "user":
                message = read_user_message(item, has_events=False)
                if message.is_prompt and message.words:
                    words, images = message.words, message.images
                    found.append(Prompt(*own.head(line), request_in(words), words, images, "history"))
    return [_compacted(own, line, _LINE, text_of(payload.get("message")), replaced), *found]


def read_compaction_mark(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    """
    Return the fact of an event or a completed item that says that a compaction took place.
    """
    return (_compacted(own, line, _EVENT if payload.get("type") == "context_compacted" else _ITEM, "", None),)


def _compacted(own: Interpreter, line: RolloutLine, family: int, text: str, replaced: Any) -> Compacted:
    known = own.compaction
    echo_of = None
    if known and not known[1] & family and own.count - known[0] <= ECHO_LINES:
        known[1] |= family
        echo_of = known[0]
    else:
        own.compaction = [own.count, family]
    kept = len(replaced) if isinstance(replaced, list) else None
    return Compacted(*own.head(line), text, kept, echo_of)


_Reader: TypeAlias = "Callable[[Interpreter, RolloutLine, _Payload], _Facts]"
SESSION_LINES: dict[str, _Reader] = {
    "session_meta": _read_meta,
    "turn_context": _read_turn_context,
    "token_usage_record": _read_record,
    "compacted": _read_compaction,
}
"""The readers of lines about the session."""

SESSION_EVENTS: dict[str, _Reader] = {
    "token_count": _read_total,
    "agent_message": _note_answer,
    "agent_reasoning": _note_answer,
    "thread_settings_applied": _read_settings,
    "thread_name_updated": _read_name,
    "thread_goal_updated": _read_goal,
    "context_compacted": read_compaction_mark,
}
"""The readers of events about the session."""
