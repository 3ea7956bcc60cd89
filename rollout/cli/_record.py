"""
``record``, for shell scripts and other languages, and ``completion``.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import click

from rollout.cli._options import SESSION, home_option
from rollout.cli._output import encode, hint, note, say
from rollout.codec import decode_json
from rollout.errors import EncodeError
from rollout.policy import keep_all, seed_policy
from rollout.recorder import Recorder
from rollout.store import find

if TYPE_CHECKING:
    from click.shell_completion import ShellComplete

__all__ = ["completion_command", "record_command"]

_IN_PART = 4


@click.command("record")
@click.option("--fsync", is_flag=True, help="What is flushed survives a power cut.")
@click.option("--all", "everything", is_flag=True, help="Keep every item, also those that Codex does not keep.")
@click.option("--resume", "session", type=SESSION, help="Go on with this session, instead of a new one.")
@click.option("--instructions", help="The standing orders, for a new session.")
@click.option("--source", help="Where the session comes from: cli, vscode, exec, mcp.")
@click.option("--originator", default="rollout", show_default=True, help="The program that records.")
@click.option("--cwd", type=click.Path(), help="The folder the agent works in; by default this one.")
@home_option
def record_command(
    home: str | None, cwd: str | None, originator: str, source: str | None, instructions: str | None,
    session: str | None, everything: bool, fsync: bool,
) -> int:  # fmt: skip
    """
    Record items from stdin, one JSON object a line, into a session.

    Prints one line at the beginning, with the session's id and file, and one at the end, with how many were recorded.
    A line that is read is an item of the Responses API ({"type": "message", ...}) or a whole one ({"type":
    "event_msg", "payload": {...}}). Each is in the file as soon as no further line waits. A line that is none is
    named on stderr and left out: exit status 4.

    \b
    Example:
      printf '%s\\n' '{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}' \\
        '{"type": "event_msg", "payload": {"type": "user_message", "message": "Hi"}}' | rollout record
    """
    if sys.stdin.isatty():
        hint("reading items from the keyboard; Ctrl-D ends them")
    policy = keep_all if everything else seed_policy
    if session is None:
        recorder = Recorder(
            home=home,
            cwd=cwd,
            originator=originator,
            source=source,
            instructions=instructions,
            policy=policy,
            fsync=fsync,
        )
    else:
        recorder = Recorder.resume(find(session, home=home), home=home, cwd=cwd, policy=policy, fsync=fsync)
    with recorder:
        _tell({"session_id": recorder.session_id, "path": os.fspath(recorder.path)})
        recorded, refused = _record_all(recorder)
        recorder.flush(fsync=fsync)
    _tell({"recorded": recorded, "refused": refused})
    return _IN_PART if refused else 0


def _tell(row: dict[str, Any]) -> None:
    # That nobody wants to know where it is recorded is no reason not to.
    with suppress(BrokenPipeError):
        say(encode({"schema_version": 1, **row}))


def _record_all(recorder: Recorder) -> tuple[int, int]:
    recorded = refused = 0
    for number, raw in enumerate(sys.stdin.buffer, 1):
        if raw.isspace():
            continue
        try:
            recorder.record(_item(raw))
            recorded += 1
        except (EncodeError, ValueError) as error:
            refused += 1
            note(f"line {number}: {error}; not recorded")
    return recorded, refused


def _item(raw: bytes) -> Any:
    value = decode_json(raw.decode("utf-8", "replace"))
    if not isinstance(value, dict):
        raise ValueError(f"not an object but {type(value).__name__}")  # noqa: TRY004 -- the input's fault
    return value


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> int:
    """
    Print what makes a SHELL complete commands, options, and sessions' ids and names.

    \b
    Examples:
      rollout completion bash > ~/.local/share/bash-completion/completions/rollout
      rollout completion zsh > ~/.zfunc/_rollout        # a folder of $fpath
      rollout completion fish > ~/.config/fish/completions/rollout.fish
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415 -- for this command only

    from rollout.cli._app import group  # noqa: PLC0415 -- which loads this module

    kind = cast("type[ShellComplete]", get_completion_class(shell))
    say(kind(group, {}, "rollout", "_ROLLOUT_COMPLETE").source())
    return 0
