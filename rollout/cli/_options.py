"""
Options and arguments that several commands share: the home, sessions, times, durations, the output format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from rollout._text import one_line, read_moment, read_span
from rollout.home import RolloutName, home_folder, rollouts_in, trash_folder, typed_folder, walk
from rollout.interpret import Filters
from rollout.store import find, session_names

__all__ = [
    "ARCHIVED_SESSION",
    "DELETED_SESSION",
    "DURATION",
    "SESSION",
    "SHORT_ID",
    "filter_options",
    "find_all",
    "format_options",
    "home_option",
    "json_option",
    "pop_filters",
    "pop_format",
]

F = TypeVar("F", bound=Callable[..., Any])

_JSON_HELP = 'Print one JSON document with "schema_version".'

SHORT_ID = 13
"""Length of the shortest prefix that distinguishes ids of sessions that started in different milliseconds."""

_COMPLETED_MAX = 50
# Characters that a shell does not interpret.
_SAFE_WORD = re.compile(r"[\w@%+.][\w@%+./-]*")


class _Session(click.ParamType):  # type: ignore[type-arg]
    name = "session"

    def __init__(self, rollouts: Callable[[Path, str], Iterable[RolloutName]], *, has_names: bool = False) -> None:
        self._rollouts, self._has_names = rollouts, has_names

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """
        Return the ids and names with this prefix. Reads no session, so that a key press does not wait for the disk.
        """
        home = home_folder(ctx.params.get("home"))
        names = {}
        with suppress(OSError):
            names = session_names(home=home)
        # A shell inserts a word without quotes: names that the shell would interpret are left out.
        safe = [
            (key, name) for key, name in names.items() if name.startswith(incomplete) and _SAFE_WORD.fullmatch(name)
        ]
        found = [CompletionItem("@last", help="the newest session")] if "@last".startswith(incomplete) else []
        found += [CompletionItem(name, help=key[:SHORT_ID]) for key, name in safe]
        rollouts = self._rollouts(home, incomplete.lower())
        ids = dict.fromkeys(name.session_id for name in rollouts if name.session_id.startswith(incomplete.lower()))
        help_of = {session_id: one_line(names.get(session_id, "")) for session_id in ids}
        id_items = [CompletionItem(key, help=help_of[key] or None) for key in islice(ids, _COMPLETED_MAX)]
        return [*found, *id_items] if self._has_names else id_items


SESSION = _Session(lambda home, prefix: walk(home, name_contains=prefix), has_names=True)
"""A reference to a session. The shell completes sessions that are not archived."""
ARCHIVED_SESSION = _Session(lambda home, prefix: walk(home, name_contains=prefix, archived=True))
DELETED_SESSION = _Session(lambda home, prefix: rollouts_in(trash_folder(home), name_contains=prefix))


class _Time(click.ParamType):  # type: ignore[type-arg]
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        moment = read_moment(value)
        if moment is None:
            self.fail(
                f"{value!r} is not a valid time; use 30m, 12h, 2d, 1w, 2026-11-21 or 2026-11-21T14:30", param, ctx
            )
        return moment


class _Duration(click.ParamType):  # type: ignore[type-arg]
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = 0.0 if value == "0" else read_span(value)
        if seconds is None:
            self.fail(f"{value!r} is not a valid duration; use 30m, 12h, 7d or 2w", param, ctx)
        return seconds


TIME, DURATION = _Time(), _Duration()


def home_option(command: F) -> F:
    """
    Add ``--home``.
    """
    return click.option(
        "--home", type=click.Path(), help="Folder with the sessions; by default $CODEX_HOME or ~/.codex."
    )(command)


def json_option(command: F) -> F:
    """
    Add ``--json``, for commands without ``--jsonl`` and ``--fields``.
    """
    return click.option("--json", is_flag=True, help=_JSON_HELP)(command)


def format_options(command: F) -> F:
    """
    Add ``--json``, ``--jsonl`` and ``--fields``.
    """
    for option in (
        click.option(
            "--fields", metavar="A,B", help="Only these fields; without --json, one line per row, separated by tabs."
        ),
        click.option("--jsonl", is_flag=True, help="Print one JSON object per line."),
        click.option("--json", is_flag=True, help=_JSON_HELP),
    ):
        command = option(command)
    return command


def filter_options(command: F) -> F:
    """
    Add the options that filter sessions.
    """
    for option in (
        click.option("--source", help="Only sessions from this source: cli, vscode, exec, mcp."),
        click.option("--originator", help="Only sessions recorded by this program."),
        click.option("--model", help="Only sessions with this model."),
        click.option("--repo", "repository", help="Only sessions whose git repository URL contains this text."),
        click.option("--branch", help="Only sessions on this git branch."),
        click.option(
            "--cwd", type=click.Path(), help="Only sessions in this folder or below; . means the current one."
        ),
        click.option("--until", type=TIME, help="Only sessions until this time."),
        click.option("--since", type=TIME, help="Only sessions since this time: 30m, 12h, 2d, 1w, 2026-11-21."),
    ):
        command = option(command)
    return command


def pop_format(options: dict[str, Any]) -> dict[str, Any]:
    """
    Remove the options of `format_options` from a command's options and return them.
    """
    return {name: options.pop(name) for name in ("json", "jsonl", "fields")}


def pop_filters(options: dict[str, Any], **others: Any) -> Filters:
    """
    Remove the options of `filter_options` from a command's options and return the filters.
    """
    names = ("since", "until", "cwd", "branch", "repository", "model", "originator", "source")
    values = {name: options.pop(name) for name in names}
    if values["cwd"] is not None:
        values["cwd"] = typed_folder(values["cwd"])
    return Filters(**values, **others)


def find_all(references: tuple[str, ...], home: str | None) -> list[Path]:
    """
    Return the files of the sessions that the user names, each once. Raises before a command changes any of them.
    """
    return list(dict.fromkeys(find(reference, home=home) for reference in references))
