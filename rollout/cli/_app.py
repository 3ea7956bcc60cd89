"""
The group of commands, each loaded when it is asked for, and what becomes of errors.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from rollout._version import __version__
from rollout._visible import one_line, visible
from rollout.cli._output import encode
from rollout.errors import RolloutError, SessionBusyError

__all__ = ["COMMANDS", "group", "run"]

ERROR, BUSY, INTERRUPTED = 2, 3, 130
# Set by the scripts of `rollout completion`.
_COMPLETES = "_ROLLOUT_COMPLETE"
COMMANDS = {
    "list": "_list",
    "show": "_show",
    "follow": "_show",
    "export": "_export",
    "view": "_view",
    "search": "_search",
    "stats": "_counts",
    "path": "_list",
    "name": "_change",
    "archive": "_change",
    "unarchive": "_change",
    "delete": "_change",
    "restore": "_change",
    "fork": "_change",
    "compress": "_change",
    "verify": "_check",
    "repair": "_check",
    "storage": "_counts",
    "index": "_search",
    "doctor": "_check",
    "record": "_record",
    "completion": "_record",
}
"""Each command's module."""


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"rollout.cli.{COMMANDS[cmd_name]}"), f"{cmd_name}_command")
        return command


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rollout")
def group() -> None:
    """
    Sessions of AI agents that Codex or `rollout` recorded: list, read, search, keep.

    A SESSION is an id or the beginning of it, a name, a path, @last for the newest, @2 for the one before. Sessions
    are those of ~/.codex, of $CODEX_HOME, or of --home.

    \b
    Exit status:
      0  done; something was found
      1  nothing was found, or something is wrong with what was checked
      2  error
      3  a writer has the session open
      4  done for some sessions, not for others
      130  interrupted; nothing is half done
    """


def run(args: Sequence[str] | None = None) -> int:
    """
    Run a command; its exit status.
    """
    args = list(sys.argv[1:] if args is None else args)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        # Closed by who calls, as in `rollout list >&-`.
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 -- until the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that knows few letters gets escapes.
            stream.reconfigure(errors="backslashreplace")
    if _COMPLETES in os.environ:
        group.main(args, prog_name="rollout", complete_var=_COMPLETES)
    try:
        status = _invoked(args or ["--help"])
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        return _failed(args, "Interrupted", "interrupted", INTERRUPTED)
    except click.ClickException as error:
        return _failed(args, type(error).__name__, _message_of_usage(error), ERROR)
    except BrokenPipeError:
        # Who reads has enough.
        _end_output()
        return 0
    except (RolloutError, OSError, ValueError, ImportError, _database_error()) as error:
        status = BUSY if isinstance(error, SessionBusyError) else ERROR
        return _failed(args, type(error).__name__, _message(error), status)
    return status


def _invoked(args: list[str]) -> int:
    # Not group.main, which ends the process at a broken pipe.
    try:
        with group.make_context("rollout", args) as context:
            status: int = group.invoke(context)
    except click.exceptions.Exit as error:
        return error.exit_code
    return status


def _database_error() -> type[Exception]:
    # Most commands do without, and it takes 5 ms to load.
    module: Any = sys.modules.get("sqlite3")
    error: type[Exception] = module.Error if module else RolloutError
    return error


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))]
        return ": ".join([*names, error.strerror])
    if isinstance(error, _database_error()) and not isinstance(error, RolloutError):
        return f"the index cannot be used: {error}. `rollout index --rebuild` makes it anew."
    return str(error)


def _message_of_usage(error: click.ClickException) -> str:
    message = one_line(error.format_message())
    end = "" if message.endswith((".", "?", ")")) else "."
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{message}{end} Try '{context.command_path if context else 'rollout'} --help'."


def _failed(args: Sequence[str], kind: str, message: str, status: int) -> int:
    """
    Say what went wrong on stderr: as JSON, where JSON was asked for.
    """
    if "--json" in args or "--jsonl" in args:
        text = encode({"schema_version": 1, "error": {"type": kind, "message": message, "status": status}})
    else:
        text = f"rollout: {visible(message)}"
    with suppress(OSError):
        click.echo(text, err=True)
    _end_output()
    return status


def _end_output() -> None:
    """
    Write what waits for stdout; where that is not possible, Python shall not try again at exit.
    """
    try:
        sys.stdout.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
