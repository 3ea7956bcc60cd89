"""
Lines about calls of tools: response items, begin and end events, and completed items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from rollout.codec import RolloutLine
from rollout.interpret._call_facts import CallBegan, CallEnded
from rollout.interpret._calls import SCRIPT_TOOL, CallState, key_of, tool_of
from rollout.interpret._facts import Context, Fact
from rollout.interpret._outcomes import Outcome, event_outcome, output_outcome
from rollout.interpret._parts import picture
from rollout.schema import CALL_OUTPUTS

if TYPE_CHECKING:
    from rollout.interpret._interpreter import Interpreter

__all__ = ["CALL_EVENTS", "CALL_ITEMS", "CALL_OUTPUT_TYPES", "read_completed_call"]

_Facts: TypeAlias = "Sequence[Fact]"
_Payload: TypeAlias = "Mapping[str, Any]"

CALL_OUTPUT_TYPES = frozenset({*CALL_OUTPUTS.values(), "tool_search_output"})
"""The types of response items that are outputs of calls."""

# Calls whose output is not in another item.
_CALLS_WITHOUT_OUTPUT = frozenset({"web_search_call", "image_generation_call"})
_COMPLETED = frozenset({
    "CommandExecution", "FileChange", "McpToolCall", "DynamicToolCall", "WebSearch", "ImageView", "ImageGeneration",
    "Extension", "FunctionCallOutput",
})  # fmt: skip


def _describe(own: Interpreter, line: RolloutLine, payload: _Payload, *, is_item: bool) -> tuple[CallState, CallBegan]:
    """
    Return the call in a line, which is new or known from an earlier line, and its fact.
    """
    key = key_of(payload)
    call = own.calls.find(key, own.count)
    if call is not None and is_item and call.is_called:
        # The id is used a second time.
        call = None
    is_new = call is None
    if call is None:
        call = own.calls.begin(key, payload, own.count, is_item=is_item)
    earlier = call.tool
    if is_item:
        call.is_called = True
        if not is_new:
            # The name in the response item is the one that the model used.
            call.tool = tool_of(payload)
    call.number = own.count
    return call, CallBegan(
        own.count, line.timestamp, own.turn.index, own.is_copied,
        call.index, key or None, call.tool, call.parent, is_new, is_item, earlier, payload,
    )  # fmt: skip


def _end(
    own: Interpreter, line: RolloutLine, call: CallState | None, key: str, outcome: Outcome, *, is_item: bool
) -> CallEnded:
    if call is None:
        return CallEnded(
            *own.head(line), None, key or None, "", outcome.text, outcome.images, outcome.exit_code, outcome.duration,
            stated=outcome.reason,
        )  # fmt: skip
    was_failed, earlier = call.is_failed, call.duration
    own.calls.answer(call, outcome, own.count, is_item=is_item)
    is_repeated = own.has_texts and call.is_repeated(outcome.text)
    return CallEnded(
        own.count, line.timestamp, own.turn.index, own.is_copied, call.index, key or None, call.tool, outcome.text,
        outcome.images, call.exit_code, call.duration, call.is_failed, call.reason, outcome.reason, was_failed, earlier,
        is_item, is_repeated,
    )  # fmt: skip


def _read_call(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    key, name = payload.get("call_id"), payload.get("name")
    if type(key) is type(name) is str and key and name != SCRIPT_TOOL and "namespace" not in payload:
        # Most calls: without the steps that other forms need, in half of the time.
        number = own.count
        index = own.calls.add(key, name, number)
        if index is not None:
            return (
                CallBegan(
                    number, line.timestamp, own.turn.index, own.is_copied,
                    index, key, name, None, True, True, name, payload,
                ),
            )  # fmt: skip
    call, began = _describe(own, line, payload, is_item=True)
    if payload["type"] not in _CALLS_WITHOUT_OUTPUT:
        return (began,)
    is_ended = payload.get("status") == "completed"
    images = picture(payload.get("result"))
    if not is_ended and not images and payload.get("status") != "failed":
        return (began,)
    failed = payload.get("status") == "failed"
    outcome = Outcome(
        "" if is_ended or failed else None, is_failed=failed, reason="error" if failed else "", images=images
    )
    return began, _end(own, line, call, key_of(payload), outcome, is_item=True)


def _read_output(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    key = payload.get("call_id")
    if type(key) is not str:
        # The id of an output is its own.
        key = key_of({"type": payload["type"], "call_id": key})
    elif key and not own.has_texts and key not in own.calls.calls:
        return ()
    name = payload.get("name")
    if not key and isinstance(name, str):
        # An output of no call: Codex writes so that a goal was set.
        return (Context(*own.head(line), name.replace("_", " "), output_outcome(payload).text or ""),)
    call = own.calls.find(key, own.count)
    if call is not None and call.is_answered:
        # A message of a running script, or an id that was used a second time.
        call = None
    if call is None and not own.has_texts:
        return ()
    return (_end(own, line, call, key, output_outcome(payload), is_item=True),)


def _read_event(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    call, began = _describe(own, line, payload, is_item=False)
    outcome = event_outcome(payload)
    if outcome.text is None and outcome.is_failed is None and not outcome.images and outcome.duration is None:
        return (began,)
    return began, _end(own, line, call, key_of(payload), outcome, is_item=False)


def read_completed_call(own: Interpreter, line: RolloutLine, item: _Payload) -> _Facts | None:
    """
    Return the facts of a completed item that is a call; None if it is none.
    """
    kind = item.get("type")
    if not isinstance(kind, str) or kind not in _COMPLETED:
        return None
    if kind == "FunctionCallOutput":
        key = key_of(item)
        return (_end(own, line, own.calls.find(key, own.count), key, event_outcome(item), is_item=False),)
    return _read_event(own, line, item)


_Reader: TypeAlias = "Callable[[Interpreter, RolloutLine, _Payload], _Facts]"
CALL_ITEMS: dict[str, _Reader] = {
    **dict.fromkeys((*CALL_OUTPUTS, *_CALLS_WITHOUT_OUTPUT, "tool_search_call"), _read_call),
    **dict.fromkeys(CALL_OUTPUT_TYPES, _read_output),
}
"""The readers of response items about calls."""

CALL_EVENTS: dict[str, _Reader] = dict.fromkeys(
    (
        "exec_command_begin", "exec_command_end", "patch_apply_begin", "patch_apply_end", "mcp_tool_call_begin",
        "mcp_tool_call_end", "web_search_begin", "web_search_end", "view_image_tool_call", "image_generation_end",
    ),
    _read_event,
)  # fmt: skip
"""The readers of events about calls."""
