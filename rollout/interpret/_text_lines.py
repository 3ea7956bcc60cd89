"""
Lines that only say something: texts of agents, reasoning, notices, plans; and lines without content for a reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from rollout.codec import RolloutLine
from rollout.interpret._echoes import COMPLETED, EVENT, ITEM, checksum
from rollout.interpret._facts import Fact, Notice, PlanChanged, Problem, Said
from rollout.interpret._parts import Image, dict_of, list_of, read_parts, strings_in, text_of

if TYPE_CHECKING:
    from rollout.interpret._interpreter import Interpreter

__all__ = ["QUIET_EVENTS", "QUIET_ITEMS", "QUIET_LINES", "TEXT_COMPLETED", "TEXT_EVENTS", "TEXT_ITEMS", "TEXT_LINES"]
__all__ += ["say"]

_Facts: TypeAlias = "Sequence[Fact]"
_Payload: TypeAlias = "Mapping[str, Any]"

# Lines without content for a reader, and risk scores, which must not be shown.
QUIET_LINES = frozenset({
    "world_state", "security_risk_score", "inter_agent_communication_metadata", "retained_context",
    "rollout_reference", "fork_reference", "state", "dynamic_tools_updated",
})  # fmt: skip
"""The types of lines without content for a reader."""

QUIET_ITEMS = frozenset({
    "ghost_snapshot", "compaction", "compaction_summary", "context_compaction", "compaction_trigger",
    "additional_tools",
})  # fmt: skip
"""The types of response items without content for a reader."""

QUIET_EVENTS = frozenset({
    "session_configured", "shutdown_complete", "agent_message_delta", "agent_reasoning_delta",
    "agent_reasoning_raw_content_delta", "agent_reasoning_section_break", "exec_command_output_delta",
    "item_started", "item_updated",
    "conversation_path", "get_history_entry_response", "list_custom_prompts_response", "mcp_list_tools_response",
})  # fmt: skip
"""The types of events without content for a reader."""


def say(
    own: Interpreter, line: RolloutLine, who: str, paragraphs: Sequence[str], family: int,
    images: tuple[Image, ...] = (), *, title: str = "", others: Sequence[str] = (), kind: str = "",
) -> _Facts:  # fmt: skip
    """
    Return the fact of what an agent said or thought in a line: the paragraphs that no earlier line contains.

    Args:
        own: The reader.
        line: The line.
        who: agent, reasoning or user.
        paragraphs: The paragraphs.
        family: Family of the line.
        images: Images of the line.
        title: Author of the text.
        others: Types of parts that are no text.
        kind: Kind of the line if it has no content.
    """
    found = [(text, own.echoes.find(who, text, family, own.count)) for text in paragraphs if text]
    new = [text for text, echo_of in found if echo_of is None]
    known = [echo_of for _, echo_of in found if echo_of is not None]
    if len(new) > 1:
        # Events contain paragraphs one by one, response items all together.
        whole = own.echoes.find(who, "\n\n".join(new), family, own.count)
        if whole is not None:
            for text in new:
                own.echoes.seen.pop(checksum(who, text), None)
            known, new = [*known, whole], []
    text = "\n".join(filter(None, ("\n\n".join(new), *(() if known else others))))
    if not (text or known or images):
        return own.quiet(line, kind)
    words = "\n".join((*(text for text, _ in found), *others))
    return (Said(*own.head(line), who, text, words, title, images, tuple(dict.fromkeys(known))),)


def _read_reasoning_item(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    texts = [read_parts([part]).text for key in ("summary", "content") for part in list_of(payload.get(key))]
    return say(own, line, "reasoning", texts, ITEM, kind="reasoning without text")


def _read_agent_to_agent(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    read = read_parts(payload.get("content"))
    names = filter(None, (text_of(payload.get(key)) for key in ("author", "recipient")))
    return say(
        own, line, "agent", [read.words], ITEM, read.images,
        title=" to ".join(names), others=read.others, kind="message without content",
    )  # fmt: skip


def _read_realtime(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    who = "user" if payload.get("role") == "user" else "agent"
    return say(own, line, who, [text_of(payload.get("text"))], EVENT, title="spoken", kind="realtime_item")


def _read_agent_message(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    own.usage.is_answered = True
    return say(own, line, "agent", [text_of(payload.get("message"))], EVENT, kind="agent_message")


def _read_reasoning(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    own.usage.is_answered = own.usage.is_answered or payload["type"] == "agent_reasoning"
    return say(own, line, "reasoning", [text_of(payload.get("text"))], EVENT, kind=str(payload["type"]))


def _notice(title: str, key: str) -> _Reader:
    def reader(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
        text = text_of(payload.get(key))
        return (Notice(*own.head(line), title, text),) if text else own.quiet(line, str(payload.get("type")))

    return reader


def _read_stream_error(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    text = text_of(payload.get("message"))
    return (Problem(*own.head(line), text, "connection"),) if text else own.quiet(line, "stream_error")


def _read_review_end(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    return (Notice(*own.head(line), "review ended", "\n".join(strings_in(payload.get("review_output")))),)


def _read_plan(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    from rollout.interpret._arguments import plan_of  # noqa: PLC0415 -- not needed for lists and statistics

    return (PlanChanged(*own.head(line), text_of(payload.get("explanation")), plan_of(payload)),)


def _read_configuration(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    text = "; ".join(_settings({key: value for key, value in payload.items() if key != "type"}))
    return (Notice(*own.head(line), "settings", text),) if text else own.quiet(line, "configuration_update")


def _settings(value: Any) -> list[str]:
    """
    Return the settings in a value as texts: ``reasoning effort low`` for ``{"reasoning": {"effort": "low"}}``.
    """
    if isinstance(value, dict):
        return [f"{key} {text}" for key, inner in value.items() for text in _settings(inner)]
    if isinstance(value, list):
        return [", ".join(map(str, value))]
    return [] if value is None else [str(value)]


def _read_activity(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    text = " ".join(filter(None, (text_of(payload.get(key)) for key in ("agent_path", "kind", "model"))))
    return (Notice(*own.head(line), "sub-agent", text),)


def _read_completed_message(own: Interpreter, line: RolloutLine, item: _Payload) -> _Facts:
    read = read_parts(item.get("content") or text_of(item.get("text")))
    return say(own, line, "agent", [read.words], COMPLETED, read.images, others=read.others, kind="item_completed")


def _read_completed_reasoning(own: Interpreter, line: RolloutLine, item: _Payload) -> _Facts:
    texts = [*list_of(item.get("summary_text")), *list_of(item.get("raw_content"))]
    found = [text for text in texts if isinstance(text, str)]
    return say(own, line, "reasoning", found, COMPLETED, kind="item_completed")


def _read_completed_plan(own: Interpreter, line: RolloutLine, item: _Payload) -> _Facts:
    text = text_of(item.get("text"))
    return (PlanChanged(*own.head(line), text),) if text else own.quiet(line, "item_completed")


def _read_agent_event(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    name = str(payload["type"]).removeprefix("collab_").removesuffix("_end").replace("_", " ")
    words = (text_of(payload.get(key)) for key in ("new_agent_nickname", "receiver_agent_nickname", "status", "prompt"))
    return (Notice(*own.head(line), "sub-agent", " ".join(filter(None, (name, *words)))),)


def _read_agent_call(own: Interpreter, line: RolloutLine, item: _Payload) -> _Facts:
    text = " ".join(filter(None, (text_of(item.get(key)) for key in ("tool", "status", "prompt"))))
    return (Notice(*own.head(line), "sub-agent", text),)


def _read_hook(own: Interpreter, line: RolloutLine, item: _Payload) -> _Facts:
    text = "\n".join(filter(None, (text_of(dict_of(part).get("text")) for part in list_of(item.get("fragments")))))
    return (Notice(*own.head(line), "hook", text),) if text else own.quiet(line, "item_completed")


_Reader: TypeAlias = "Callable[[Interpreter, RolloutLine, _Payload], _Facts]"
TEXT_LINES: dict[str, _Reader] = {
    "inter_agent_communication": _read_agent_to_agent,
    "realtime_item": _read_realtime,
}
"""The readers of lines."""

TEXT_ITEMS: dict[str, _Reader] = {
    "reasoning": _read_reasoning_item,
    "agent_message": _read_agent_to_agent,
    "configuration_update": _read_configuration,
}
"""The readers of response items."""

TEXT_EVENTS: dict[str, _Reader] = {
    "agent_message": _read_agent_message,
    "agent_reasoning": _read_reasoning,
    "agent_reasoning_raw_content": _read_reasoning,
    "stream_error": _read_stream_error,
    "warning": _notice("warning", "message"),
    "background_event": _notice("", "message"),
    "undo_completed": _notice("undone", "message"),
    "turn_diff": _notice("changes of the turn", "unified_diff"),
    "exited_review_mode": _read_review_end,
    "plan_update": _read_plan,
    "sub_agent_activity": _read_activity,
    "collab_agent_spawn_end": _read_agent_event,
    "collab_agent_interaction_end": _read_agent_event,
    "collab_waiting_end": _read_agent_event,
    "collab_resume_end": _read_agent_event,
    "collab_close_end": _read_agent_event,
}
"""The readers of events."""

TEXT_COMPLETED: dict[str, _Reader] = {
    "AgentMessage": _read_completed_message,
    "Reasoning": _read_completed_reasoning,
    "Plan": _read_completed_plan,
    "ExitedReviewMode": _read_review_end,
    "SubAgentActivity": _read_activity,
    "CollabAgentToolCall": _read_agent_call,
    "HookPrompt": _read_hook,
}
"""The readers of completed items."""
