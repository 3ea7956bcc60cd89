"""
The input of a tool call in a readable form: a command as typed, a patch as changes, a plan as steps, otherwise JSON.
"""

from __future__ import annotations

import shlex
from typing import Any

from rollout.codec import json_for_reading
from rollout.document._content import list_of, text_of
from rollout.document._model import Call, PlanStep
from rollout.document._patches import changes_in

__all__ = ["plan_of", "set_input"]

_SHELLS = ("bash", "sh", "zsh", "/bin/bash", "/bin/sh", "/bin/zsh", "/usr/bin/bash", "/usr/bin/zsh")
_FOLDER_KEYS = ("workdir", "working_directory", "cwd")
_QUERY_KEYS = ("query", "url")


def set_input(call: Call, arguments: Any) -> None:
    """
    Set the *input*, *language*, *cwd* and *changes* of a call.

    Args:
        call: The call to change.
        arguments: Plain JSON: the arguments, a command, or a text.
    """
    command, is_command = arguments, isinstance(arguments, list)
    if isinstance(arguments, dict):
        call.cwd = next((arguments[key] for key in _FOLDER_KEYS if isinstance(arguments.get(key), str)), None)
        command = arguments.get("command", arguments.get("cmd"))
        is_command = isinstance(command, (str, list))
        if not is_command:
            command = _only_text(arguments)
    if is_command and isinstance(command, list) and command and all(isinstance(word, str) for word in command):
        call.input, call.language = _command_line(command), "bash"
    elif isinstance(command, str):
        call.input, call.language = command, "bash" if is_command else ""
    elif arguments is not None:
        call.input, call.language = json_for_reading(arguments), "json"
    call.changes = changes_in(call.input)


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
    return tuple(
        PlanStep(text_of(step.get("step")), text_of(step.get("status"))) for step in steps if isinstance(step, dict)
    )
