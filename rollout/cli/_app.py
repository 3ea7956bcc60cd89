"""
The group of commands, each loaded when it is asked for, and what becomes of errors.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from rollout._version import __version__
from rollout.cli._output import encode, visible
from rollout.errors import RolloutError, SessionBusyError

__all__ = ["COMMANDS", "group", "run"]

ERROR, BUSY, IN_PART, INTERRUPTED = 2, 3, 4, 130
COMMANDS = {
    "list": "_list",
    "show": "_show",
    "follow": "_show",
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
    try:
        status = group.main(args, prog_name="rollout", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _failed(args, "Interrupted", "interrupted", INTERRUPTED)
    except click.ClickException as error:
        hint = "" if error.exit_code != ERROR or not isinstance(error, click.UsageError) else _usage(error)
        return _failed(args, type(error).__name__, error.format_message() + hint, ERROR)
    except BrokenPipeError:
        # Who reads has enough. Nothing more may be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SessionBusyError as error:
        return _failed(args, type(error).__name__, str(error), BUSY)
    except (RolloutError, OSError, ValueError, ImportError) as error:
        return _failed(args, type(error).__name__, str(error), ERROR)
    return status if isinstance(status, int) else 0


def _usage(error: click.UsageError) -> str:
    command = error.ctx.command_path if error.ctx else "rollout"
    return f" Try '{command} --help'."


def _failed(args: Sequence[str], kind: str, message: str, status: int) -> int:
    """
    Say what went wrong on stderr: as JSON, where JSON was asked for.
    """
    if "--json" in args or "--jsonl" in args:
        text = encode({"schema_version": 1, "error": {"type": kind, "message": message, "status": status}})
    else:
        text = f"rollout: {visible(message)}"
    click.echo(text, err=True)
    return status
