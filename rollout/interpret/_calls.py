"""
Tool calls and their outputs, in each form that a version of Codex writes: the tool, its input, and the outcome.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from rollout.codec import decode_json
from rollout.schema import CALL_OUTPUTS

__all__ = ["OUTPUTS", "Outcome", "call_text", "has_text", "outcome_of", "strings_in", "tool_of"]

OUTPUTS = frozenset(CALL_OUTPUTS.values())
"""The types of response items that are outputs of calls."""

# Maximum size in characters of the header that Codex writes before an output since 0.50. Before, outputs were JSON.
_HEADER_SIZE = 400
_EXIT_CODE = re.compile(r"(?:^Exit code: |^Process exited with code )(-?\d{1,10})$", re.MULTILINE | re.ASCII)
_DURATION = re.compile(r"^Wall time: (\d{1,9}(?:\.\d{1,9})?) seconds$", re.MULTILINE | re.ASCII)
_DURATION_MAX = 1e9  # seconds, as many digits as the pattern for text accepts
_OUTPUT_MARK = "Output:\n"
_JSON_MARK = '{"output":'


@frozen
class Outcome:
    """
    The outcome of a call.

    Attributes:
        text: Output of the tool, without the header that Codex adds.
        exit_code: Exit code of the command; None if the call was not a command, or the command has not ended.
        duration: Duration in seconds; None if unknown.
        is_failed: Whether the command ended with an exit code other than 0, or the tool reported a failure.
    """

    text: str
    exit_code: int | None = None
    duration: float | None = None
    is_failed: bool = False


def tool_of(payload: Mapping[str, Any]) -> str:
    """
    Return the name of the tool in a call's payload; if there is no name, the type of the call.
    """
    name = payload.get("name")
    return name if isinstance(name, str) and name else str(payload.get("type")).removesuffix("_call")


def call_text(payload: Mapping[str, Any]) -> str:
    """
    Return the input of a call as text: the command, the patch, or the strings in the arguments.
    """
    for key in ("input", "arguments"):
        value = payload.get(key)
        if key == "arguments" and isinstance(value, str):
            try:
                value = decode_json(value)
            except ValueError:
                return value
        if value is not None:
            return "\n".join(strings_in(value))
    action = payload.get("action")
    if isinstance(action, dict):
        command = action.get("command")
        return "\n".join(strings_in(action if command is None else command))
    return ""


def strings_in(value: Any) -> Iterator[str]:
    """
    Yield the strings in a JSON value. A list of only strings is one string, joined with spaces.
    """
    # A loop, as arguments may be nested deeper than Python's stack allows.
    rest = [value]
    while rest:
        part = rest.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, list) and part and all(isinstance(word, str) for word in part):
            yield " ".join(part)
        elif isinstance(part, (list, dict)):
            rest += reversed(part if isinstance(part, list) else part.values())


def outcome_of(payload: Mapping[str, Any]) -> Outcome:
    """
    Return the outcome in the payload of a call's output.
    """
    output = payload.get("output")
    if isinstance(output, list):
        return Outcome("\n".join(part["text"] for part in output if has_text(part)))
    if isinstance(output, dict):
        text = "\n".join(strings_in(output.get("content", "")))
        return Outcome(text, is_failed=output.get("success") is False)
    if not isinstance(output, str):
        return Outcome("")
    if output.startswith(_JSON_MARK):
        return _outcome_of_json(output)
    return _outcome_of_text(output)


def has_text(part: Any) -> bool:
    """
    Return whether a part of an item's content has a text.
    """
    return isinstance(part, dict) and isinstance(part.get("text"), str)


def _outcome_of_json(output: str) -> Outcome:
    try:
        value = decode_json(output)
        text, metadata = value["output"], value["metadata"]
        exit_code, duration = metadata.get("exit_code"), metadata.get("duration_seconds")
    except (ValueError, KeyError, AttributeError, TypeError):
        return Outcome(output)
    exit_code = exit_code if type(exit_code) is int else None
    seconds = float(duration) if type(duration) in (int, float) and 0 <= duration < _DURATION_MAX else None
    return Outcome(text if isinstance(text, str) else output, exit_code, seconds, bool(exit_code))


def _outcome_of_text(output: str) -> Outcome:
    header, mark, _ = output[:_HEADER_SIZE].partition(_OUTPUT_MARK)
    if not mark:
        # Codex writes an error of an MCP server in this form.
        return Outcome(output, is_failed=output.startswith("err: "))
    code, seconds = _EXIT_CODE.search(header), _DURATION.search(header)
    if code is None and seconds is None:
        return Outcome(output)
    exit_code = int(code[1]) if code else None
    text = output[len(header) + len(mark) :]
    return Outcome(text, exit_code, float(seconds[1]) if seconds else None, bool(exit_code))
