"""
``record``, for shell scripts and programs in other languages, and ``completion``.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import click

from rollout._version import SCHEMA_VERSION
from rollout.cli._exit_status import DONE, PARTIAL
from rollout.cli._options import SESSION, home_option
from rollout.cli._output import encode, info, print_out, warn
from rollout.codec import decode_json
from rollout.dialects import is_foreign
from rollout.errors import EncodeError
from rollout.recording import Recorder, default_policy, keep_all
from rollout.store import find

if TYPE_CHECKING:
    from click.shell_completion import ShellComplete

__all__ = ["completion_command", "record_command"]


@click.command("record")
@click.option("--fsync", is_flag=True, help="Sync the file after each flush; the items survive a power cut.")
@click.option("--all", "everything", is_flag=True, help="Record all items, including items that Codex does not record.")
@click.option("--resume", "session", type=SESSION, help="Append to this session instead of creating a new one.")
@click.option("--instructions", help="Instructions of a new session.")
@click.option("--source", help="Source of the session: cli, vscode, exec, mcp.")
@click.option("--originator", default="rollout", show_default=True, help="Name of the program that records.")
@click.option("--cwd", type=click.Path(), help="Folder in which the agent works; by default the current folder.")
@home_option
def record_command(
    home: str | None, cwd: str | None, originator: str, source: str | None, instructions: str | None,
    session: str | None, everything: bool, fsync: bool,
) -> int:  # fmt: skip
    """
    Record items from stdin into a session. Each line of stdin is one JSON object.

    An object is an item of the Responses API ({"type": "message", ...}) or a complete rollout item ({"type":
    "event_msg", "payload": {...}}), or a message as the SDKs of OpenAI and Anthropic have it ({"role": "user",
    "content": "Hi"}). An item is written as soon as no further line is waiting. A line that is not an item is reported
    on stderr and skipped; the exit status is then 4. An item that Codex will not read is recorded with a warning.

    Prints one line at the beginning, with the id and the path of the session, and one line at the end, with the numbers
    of recorded and refused items.

    \b
    Example:
      printf '%s\\n' '{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}' \\
        '{"type": "event_msg", "payload": {"type": "user_message", "message": "Hi"}}' | rollout record
    """
    if sys.stdin.isatty():
        info("reading items from the keyboard; press Ctrl-D to finish")
    policy = keep_all if everything else default_policy
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
        _print_json({"session_id": recorder.session_id, "path": os.fspath(recorder.path)})
        recorded, refused = _record_all(recorder)
        recorder.flush(fsync=fsync)
    _print_json({"recorded": recorded, "refused": refused})
    return PARTIAL if refused else DONE


def _print_json(row: dict[str, Any]) -> None:
    # Recording continues if nothing reads stdout.
    with suppress(BrokenPipeError):
        print_out(encode({"schema_version": SCHEMA_VERSION, **row}))


def _record_all(recorder: Recorder) -> tuple[int, int]:
    recorded = refused = 0
    for number, raw in enumerate(sys.stdin.buffer, 1):
        if raw.isspace():
            continue
        try:
            _record(recorder, number, _item(raw))
            recorded += 1
        except (EncodeError, ValueError) as error:
            refused += 1
            warn(f"line {number}: {error}; not recorded")
    return recorded, refused


def _record(recorder: Recorder, number: int, item: dict[str, Any]) -> None:
    try:
        recorder.record(item)
    except EncodeError as error:
        if not is_foreign(item):
            raise
        # In a pipe, the item would be lost.
        recorder.record({"type": "response_item", "payload": item})
        warn(f"line {number}: {error}; recorded as it is, which Codex does not read")


def _item(raw: bytes) -> Any:
    value = decode_json(raw.decode("utf-8", "replace"))
    if not isinstance(value, dict):
        raise ValueError(f"not an object but {type(value).__name__}")  # noqa: TRY004 -- an error of the input, not of the program
    return value


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> int:
    """
    Print a script that lets SHELL complete commands, options, session ids and names.

    \b
    Examples:
      rollout completion bash > ~/.local/share/bash-completion/completions/rollout
      rollout completion zsh > ~/.zfunc/_rollout        # a folder of $fpath
      rollout completion fish > ~/.config/fish/completions/rollout.fish
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415 -- for this command only

    from rollout.cli._app import COMPLETION_VARIABLE, group  # noqa: PLC0415 -- it imports this module

    kind = cast("type[ShellComplete]", get_completion_class(shell))
    print_out(kind(group, {}, "rollout", COMPLETION_VARIABLE).source())
    return DONE
