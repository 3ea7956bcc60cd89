"""
What a tool was given, for a reader: a command as it is typed, a patch as changes, a plan as steps, else JSON.
"""

from __future__ import annotations

import shlex
from typing import Any

from rollout.codec import json_for_reading
from rollout.document._model import Call, PlanStep
from rollout.document._parts import list_of, text_of
from rollout.document._patches import changes_in

__all__ = ["plan_of", "set_input"]

_SHELLS = ("bash", "sh", "zsh", "/bin/bash", "/bin/sh", "/bin/zsh", "/usr/bin/bash", "/usr/bin/zsh")
_FOLDER_KEYS = ("workdir", "working_directory", "cwd")
_QUERY_KEYS = ("query", "url")


def set_input(call: Call, given: Any) -> None:
    """
    Put what a tool was given into its call.

    Args:
        call: Its *input*, *language*, *cwd* and *changes* are set.
        given: Plain JSON: the arguments, a command, or a text.
    """
    command, is_command = given, isinstance(given, list)
    if isinstance(given, dict):
        call.cwd = next((given[key] for key in _FOLDER_KEYS if isinstance(given.get(key), str)), None)
        command = given.get("command", given.get("cmd"))
        is_command = isinstance(command, (str, list))
        if not is_command:
            command = _only_text(given)
    if is_command and isinstance(command, list) and command and all(isinstance(word, str) for word in command):
        call.input, call.language = _typed(command), "bash"
    elif isinstance(command, str):
        call.input, call.language = command, "bash" if is_command else ""
    elif given is not None:
        call.input, call.language = json_for_reading(given), "json"
    call.changes = changes_in(call.input)


def _typed(words: list[str]) -> str:
    is_script = len(words) == len(("bash", "-lc", "script")) and words[0] in _SHELLS and words[1] in ("-lc", "-c")
    return words[2] if is_script else shlex.join(words)


def _only_text(given: dict[str, Any]) -> Any:
    """
    Give the one text that says it all: of a patch, a search; None if there is more to say.
    """
    for key in ("input", "patch"):
        if changes_in(text_of(given.get(key))):
            return given[key]
    if given.keys() <= {"type", "queries", *_QUERY_KEYS}:
        return next((given[key] for key in _QUERY_KEYS if isinstance(given.get(key), str)), None)
    return None


def plan_of(given: Any) -> tuple[PlanStep, ...]:
    """
    Give the steps of a plan, as ``update_plan`` and its event have them.
    """
    steps = list_of(given.get("plan")) if isinstance(given, dict) else []
    return tuple(
        PlanStep(text_of(step.get("step")), text_of(step.get("status"))) for step in steps if isinstance(step, dict)
    )
