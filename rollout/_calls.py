"""
Tool calls and their outputs, in whichever form a Codex wrote them: which tool, what it was given, how it ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from rollout.codec import decode_json
from rollout.schema import CALL_OUTPUTS

__all__ = ["OUTPUTS", "Outcome", "call_text", "outcome_of", "strings_in", "tool_of"]

OUTPUTS = frozenset(CALL_OUTPUTS.values())
"""The types of response items that answer a call."""

# What Codex puts before an output: since 0.50 as text, before that the whole is JSON.
_HEADER_SIZE = 400
_EXIT_CODE = re.compile(r"(?:^Exit code: |^Process exited with code )(-?\d{1,10})$", re.MULTILINE | re.ASCII)
_DURATION = re.compile(r"^Wall time: (\d{1,9}(?:\.\d{1,9})?) seconds$", re.MULTILINE | re.ASCII)
_DURATION_MAX = 1e9  # seconds; the text's digits say no more
_OUTPUT_MARK = "Output:\n"
_JSON_MARK = '{"output":'


@frozen
class Outcome:
    """
    How a call ended.

    Attributes:
        text: What the tool answered, without what Codex says about it.
        exit_code: Of the command; None where it was none, or has not ended.
        duration: Seconds; None if it is not known.
        is_failed: The command ended with another code than 0, or the tool says that it failed.
    """

    text: str
    exit_code: int | None = None
    duration: float | None = None
    is_failed: bool = False


def tool_of(payload: Mapping[str, Any]) -> str:
    """
    Give the name of the tool that a call's payload calls.
    """
    name = payload.get("name")
    return name if isinstance(name, str) and name else str(payload.get("type")).removesuffix("_call")


def call_text(payload: Mapping[str, Any]) -> str:
    """
    Give what a call's payload gives to the tool: its command, its patch, the strings among its arguments.
    """
    for key in ("input", "arguments"):
        given = payload.get(key)
        if key == "arguments" and isinstance(given, str):
            try:
                given = decode_json(given)
            except ValueError:
                return given
        if given is not None:
            return "\n".join(strings_in(given))
    action = payload.get("action")
    if isinstance(action, dict):
        command = action.get("command")
        return "\n".join(strings_in(action if command is None else command))
    return ""


def strings_in(value: Any) -> Iterator[str]:
    """
    Give the strings in a JSON value, one that is a list of words only as one.
    """
    # Arguments may be nested as deep as a stack is.
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
    Give how the call ended that a payload answers.
    """
    output = payload.get("output")
    if isinstance(output, list):
        return Outcome("\n".join(part["text"] for part in output if _has_text(part)))
    if isinstance(output, dict):
        text = "\n".join(strings_in(output.get("content", "")))
        return Outcome(text, is_failed=output.get("success") is False)
    if not isinstance(output, str):
        return Outcome("")
    if output.startswith(_JSON_MARK):
        return _of_json(output)
    return _of_text(output)


def _has_text(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)


def _of_json(output: str) -> Outcome:
    try:
        value = decode_json(output)
        text, metadata = value["output"], value["metadata"]
        exit_code, duration = metadata.get("exit_code"), metadata.get("duration_seconds")
    except (ValueError, KeyError, AttributeError, TypeError):
        return Outcome(output)
    exit_code = exit_code if type(exit_code) is int else None
    seconds = float(duration) if type(duration) in (int, float) and 0 <= duration < _DURATION_MAX else None
    return Outcome(text if isinstance(text, str) else output, exit_code, seconds, bool(exit_code))


def _of_text(output: str) -> Outcome:
    header, mark, _ = output[:_HEADER_SIZE].partition(_OUTPUT_MARK)
    if not mark:
        # What an MCP server's error becomes.
        return Outcome(output, is_failed=output.startswith("err: "))
    code, seconds = _EXIT_CODE.search(header), _DURATION.search(header)
    if code is None and seconds is None:
        return Outcome(output)
    exit_code = int(code[1]) if code else None
    text = output[len(header) + len(mark) :]
    return Outcome(text, exit_code, float(seconds[1]) if seconds else None, bool(exit_code))
