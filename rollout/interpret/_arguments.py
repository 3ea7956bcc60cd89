"""
The input of a tool call: for a reader a command as typed, a patch as changes, a plan as steps, otherwise JSON; for a
search all its text.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from rollout.codec import decode_json, json_for_reading
from rollout.home import folder_of_uri
from rollout.interpret._parts import dict_of, list_of, strings_in, text_of
from rollout.interpret._patches import FileChange, changes_in, changes_of
from rollout.interpret._record import Record

__all__ = ["CallInput", "PlanStep", "plan_of", "read_input", "search_words"]

_SHELLS = ("bash", "sh", "zsh", "/bin/bash", "/bin/sh", "/bin/zsh", "/usr/bin/bash", "/usr/bin/zsh")
_FOLDER_KEYS = ("workdir", "working_directory", "cwd")
_QUERY_KEYS = ("query", "url")
# Forms of a call that consist of a command and its folder.
_COMMANDS = ("local_shell_call", "exec_command_begin", "exec_command_end", "CommandExecution")
PlanStep = tuple[str, str]
"""A step of a plan and its status: pending, in_progress, completed, or a value of a later Codex."""


class CallInput(Record):
    """
    The input of a call.

    Attributes:
        text: The input for a reader: a command, a patch, a query, or the arguments as JSON.
        language: The language of the text, a Pygments name: bash, json, javascript; empty for plain text.
        cwd: The folder in which a command ran; None if unknown.
        changes: The changes of files, if the call is a patch.
        plan: The steps of a plan.
        explanation: The reason for the change of a plan.
    """

    text: str = ""
    language: str = ""
    cwd: str | None = None
    changes: tuple[FileChange, ...] = ()
    plan: tuple[PlanStep, ...] = ()
    explanation: str = ""


def read_input(payload: Mapping[str, Any]) -> CallInput:
    """
    Return the input of a call in the payload of a response item or an event, or in a completed item.
    """
    found = CallInput()
    arguments = _arguments_in(payload)
    if isinstance(arguments, _Text):
        found.text = arguments
    else:
        _set_input(found, arguments)
    changes = changes_of(payload.get("changes"))
    found.changes = changes or found.changes
    found.cwd = found.cwd and folder_of_uri(found.cwd)
    if payload.get("name") == "exec" and payload.get("type") == "custom_tool_call":
        found.language = "javascript"
    if payload.get("name") == "update_plan":
        found.plan = plan_of(arguments)
        found.explanation = text_of(dict_of(arguments).get("explanation")) if found.plan else ""
    return found


class _Text(str):
    """Arguments that are not JSON."""


def _arguments_in(payload: Mapping[str, Any]) -> Any:
    kind = payload.get("type")
    if kind in ("image_generation_call", "image_generation_end", "ImageGeneration"):
        return _Text(text_of(payload.get("revised_prompt")))
    if kind in ("view_image_tool_call", "ImageView"):
        return _Text(text_of(payload.get("path")).removeprefix("file://"))
    if kind in ("web_search_begin", "web_search_end", "WebSearch"):
        return payload.get("action") or text_of(payload.get("query"))
    if "command" in payload and kind not in ("function_call", "custom_tool_call"):
        return {key: payload.get(key) for key in ("command", "cwd")}
    invocation = payload.get("invocation")
    if isinstance(invocation, dict):
        return invocation.get("arguments")
    given = payload.get("input")
    if given is None and isinstance(given := payload.get("arguments"), str):
        try:
            return decode_json(given)
        except ValueError:
            return _Text(given)
    return payload.get("action") if given is None else given


def _set_input(found: CallInput, arguments: Any) -> None:
    command, is_command = arguments, isinstance(arguments, list)
    if isinstance(arguments, dict):
        found.cwd = next((arguments[key] for key in _FOLDER_KEYS if isinstance(arguments.get(key), str)), None)
        command = arguments.get("command", arguments.get("cmd"))
        is_command = isinstance(command, (str, list))
        if not is_command:
            command = _only_text(arguments)
    if is_command and isinstance(command, list) and command and all(isinstance(word, str) for word in command):
        found.text, found.language = _command_line(command), "bash"
    elif isinstance(command, str):
        found.text, found.language = command, "bash" if is_command else ""
    elif arguments is not None:
        found.text, found.language = json_for_reading(arguments), "json"
    found.changes = changes_in(found.text)


def _command_line(words: list[str]) -> str:
    is_script = len(words) == len(("bash", "-lc", "script")) and words[0] in _SHELLS and words[1] in ("-lc", "-c")
    return words[2] if is_script else shlex.join(words)


def _only_text(arguments: dict[str, Any]) -> Any:
    """
    Return the only text of the arguments of a patch or a search; None if the arguments contain more.
    """
    for key in ("input", "patch"):
        if changes_in(text_of(arguments.get(key))):
            return arguments[key]
    if arguments.keys() <= {"type", "queries", *_QUERY_KEYS}:
        return next((arguments[key] for key in _QUERY_KEYS if isinstance(arguments.get(key), str)), None)
    return None


def plan_of(arguments: Any) -> tuple[PlanStep, ...]:
    """
    Return the steps of a plan, from the arguments of ``update_plan`` or its event.
    """
    steps = list_of(arguments.get("plan")) if isinstance(arguments, dict) else []
    return tuple((text_of(step.get("step")), text_of(step.get("status"))) for step in steps if isinstance(step, dict))


def search_words(payload: Mapping[str, Any]) -> str:
    """
    Return all text of the input of a call: the strings in its arguments, one per line.
    """
    arguments = _arguments_in(payload)
    if isinstance(arguments, str):
        return str(arguments)
    if isinstance(arguments, dict) and payload.get("type") in _COMMANDS:
        arguments = arguments.get("command", arguments)
    return "\n".join(strings_in(arguments)) or "\n".join(strings_in(_paths_in(payload.get("changes"))))


def _paths_in(changes: Any) -> Any:
    return [[path, change] for path, change in changes.items()] if isinstance(changes, dict) else changes
