"""
The group of commands, each imported when it is called, and the handling of errors.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from rollout._text import escape_control_chars, one_line
from rollout._version import SCHEMA_VERSION, __version__
from rollout.cli._exit_status import BUSY, DONE, ERROR, EXIT_STATUSES, INTERRUPTED
from rollout.cli._output import encode
from rollout.errors import RolloutError, SessionBusyError

__all__ = ["COMMANDS", "COMPLETION_VARIABLE", "group", "run"]

COMPLETION_VARIABLE = "_ROLLOUT_COMPLETE"
"""The environment variable that the scripts of `rollout completion` set."""
COMMANDS = {
    "list": "_list",
    "show": "_show",
    "follow": "_show",
    "export": "_export",
    "view": "_view",
    "search": "_search",
    "stats": "_stats",
    "path": "_list",
    "name": "_manage",
    "archive": "_manage",
    "unarchive": "_manage",
    "delete": "_manage",
    "restore": "_manage",
    "fork": "_manage",
    "compress": "_manage",
    "verify": "_health",
    "repair": "_health",
    "storage": "_stats",
    "index": "_search",
    "doctor": "_health",
    "record": "_record",
    "completion": "_record",
}
"""Each command and its module."""
_HELP = """
List, read, search, check and change sessions of AI agents, recorded by Codex or `rollout`.

A SESSION is an id or its first characters, a name, a path, @last for the newest session, or @2 for the one before it.
Sessions are read from the folder --home, by default $CODEX_HOME or ~/.codex.

\b
Exit status:
""" + "\n".join(f"  {status}  {meaning}" for status, meaning in EXIT_STATUSES.items())


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"rollout.cli.{COMMANDS[cmd_name]}"), f"{cmd_name}_command")
        return command


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]}, help=_HELP)
@click.version_option(__version__, prog_name="rollout")
def group() -> None:
    """
    Group the commands.
    """


def run(args: Sequence[str] | None = None) -> int:
    """
    Run a command and return its exit status.
    """
    args = list(sys.argv[1:] if args is None else args)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        # The caller can close streams: `rollout list >&-`.
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 -- open until the process ends
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Characters that the encoding of the terminal lacks are written as escapes.
            stream.reconfigure(errors="backslashreplace")
    if COMPLETION_VARIABLE in os.environ:
        group.main(args, prog_name="rollout", complete_var=COMPLETION_VARIABLE)
    try:
        status = _invoke(args or ["--help"])
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        with _interrupts_ignored():
            return _report_error(args, "Interrupted", "interrupted", INTERRUPTED)
    except click.ClickException as error:
        return _report_error(args, type(error).__name__, _usage_message(error), ERROR)
    except BrokenPipeError:
        # The reader of the pipe has closed it, as `head` does.
        _flush_stdout()
        return DONE
    except (RolloutError, OSError, ValueError, ImportError, _database_error()) as error:
        status = BUSY if isinstance(error, SessionBusyError) else ERROR
        return _report_error(args, type(error).__name__, _error_message(error), status)
    return status


def _invoke(args: list[str]) -> int:
    # Not group.main, which ends the process when a pipe is broken.
    try:
        with group.make_context("rollout", args) as context:
            status: int = group.invoke(context)
    except click.exceptions.Exit as error:
        return error.exit_code
    return status


def _database_error() -> type[Exception]:
    # Most commands do not use sqlite3, and its import takes 5 ms.
    module: Any = sys.modules.get("sqlite3")
    error: type[Exception] = module.Error if module else RolloutError
    return error


def _error_message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))]
        return ": ".join([*names, error.strerror])
    if isinstance(error, _database_error()) and not isinstance(error, RolloutError):
        return f"the index cannot be used: {error}. `rollout index --rebuild` rebuilds it."
    return str(error)


def _usage_message(error: click.ClickException) -> str:
    message = one_line(error.format_message())
    end = "" if message.endswith((".", "?", ")")) else "."
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{message}{end} Try '{context.command_path if context else 'rollout'} --help'."


def _report_error(args: Sequence[str], kind: str, message: str, status: int) -> int:
    """
    Write an error to stderr, as JSON with ``--json`` or ``--jsonl``; return the exit status.
    """
    if "--json" in args or "--jsonl" in args:
        text = encode({"schema_version": SCHEMA_VERSION, "error": {"type": kind, "message": message, "status": status}})
    else:
        text = f"rollout: {escape_control_chars(message)}"
    with suppress(OSError):
        click.echo(text, err=True)
    _flush_stdout()
    return status


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """
    Ignore SIGINT, so that a second Ctrl-C does not interrupt the report of the first.

    ``timeout -s INT`` sends the signal twice: to the process, and to its group.
    """
    import signal  # noqa: PLC0415 -- 1 ms

    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _flush_stdout() -> None:
    """
    Flush stdout. If that fails, redirect it to the null device, so that Python does not try again at exit.
    """
    try:
        sys.stdout.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
