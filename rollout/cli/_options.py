"""
What several commands are told in the same way: the home, sessions, moments, the form of the output.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from rollout._facts import Filters
from rollout._units import read_moment, read_span
from rollout._visible import one_line
from rollout._walk import rollouts_in, walk
from rollout.layout import RolloutName, home_folder, trash_folder
from rollout.store import find, session_names

__all__ = [
    "ARCHIVED_SESSION",
    "DELETED_SESSION",
    "SESSION",
    "SHORT_ID",
    "SPAN",
    "as_form",
    "each",
    "filter_options",
    "filters_from",
    "format_options",
    "home_option",
    "json_option",
]

F = TypeVar("F", bound=Callable[..., Any])

SHORT_ID = 13
"""Characters of an id that tell sessions apart that did not begin in the same millisecond."""

_COMPLETED_MAX = 50
_WORD = re.compile(r"[\w@%+.][\w@%+./-]*")


class _Session(click.ParamType):  # type: ignore[type-arg]
    name = "session"

    def __init__(self, rollouts: Callable[[Path, str], Iterable[RolloutName]], *, is_named: bool = False) -> None:
        self._rollouts, self._is_named = rollouts, is_named

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """
        Give the ids and names that begin so; names of files only, so that no key press waits for a disk.
        """
        home = home_folder(ctx.params.get("home"))
        names = {}
        with suppress(OSError):
            names = session_names(home=home)
        # A shell puts a word into its line as it is: none that it would take for a command.
        fitting = [(key, name) for key, name in names.items() if name.startswith(incomplete) and _WORD.fullmatch(name)]
        found = [CompletionItem("@last", help="the newest")] if "@last".startswith(incomplete) else []
        found += [CompletionItem(name, help=key[:SHORT_ID]) for key, name in fitting]
        rollouts = self._rollouts(home, incomplete.lower())
        ids = dict.fromkeys(name.session_id for name in rollouts if name.session_id.startswith(incomplete.lower()))
        help_of = {session_id: one_line(names.get(session_id, "")) for session_id in ids}
        of_ids = [CompletionItem(key, help=help_of[key] or None) for key in islice(ids, _COMPLETED_MAX)]
        return [*found, *of_ids] if self._is_named else of_ids


SESSION = _Session(lambda home, beginning: walk(home, holding=beginning), is_named=True)
"""A session's name on the command line; the shell completes those that are not archived."""
ARCHIVED_SESSION = _Session(lambda home, beginning: walk(home, holding=beginning, is_archived=True))
DELETED_SESSION = _Session(lambda home, beginning: rollouts_in(trash_folder(home), holding=beginning))


class _Moment(click.ParamType):  # type: ignore[type-arg]
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        moment = read_moment(value)
        if moment is None:
            self.fail(f"{value!r} is no time; say 30m, 12h, 2d, 1w, 2026-11-21 or 2026-11-21T14:30", param, ctx)
        return moment


class _Span(click.ParamType):  # type: ignore[type-arg]
    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        span = 0.0 if value == "0" else read_span(value)
        if span is None:
            self.fail(f"{value!r} is no span of time; say 30m, 12h, 7d or 2w", param, ctx)
        return span


MOMENT, SPAN = _Moment(), _Span()


def home_option(command: F) -> F:
    """
    Add ``--home``.
    """
    return click.option(
        "--home", type=click.Path(), help="The folder that holds sessions; else $CODEX_HOME or ~/.codex."
    )(command)


def json_option(command: F) -> F:
    """
    Add ``--json``, where there is no other form.
    """
    return click.option("--json", is_flag=True, help='One JSON document with "schema_version".')(command)


def format_options(command: F) -> F:
    """
    Add ``--json``, ``--jsonl`` and ``--fields``.
    """
    for option in (
        click.option("--fields", metavar="A,B", help="Only these fields; alone, a line a row with tabs."),
        click.option("--jsonl", is_flag=True, help="One JSON object a line."),
        click.option("--json", is_flag=True, help='One JSON document with "schema_version".'),
    ):
        command = option(command)
    return command


def filter_options(command: F) -> F:
    """
    Add the filters of sessions.
    """
    for option in (
        click.option("--source", help="Where it comes from: cli, vscode, exec, mcp."),
        click.option("--originator", help="The program that recorded it."),
        click.option("--model", help="The model."),
        click.option("--repo", "repository", help="A part of the git repository's URL."),
        click.option("--branch", help="The git branch."),
        click.option("--cwd", type=click.Path(), help="The folder it worked in, or one above; . for this one."),
        click.option("--until", type=MOMENT, help="Up to then."),
        click.option("--since", type=MOMENT, help="From then on: 30m, 12h, 2d, 1w, 2026-11-21."),
    ):
        command = option(command)
    return command


def as_form(options: dict[str, Any]) -> dict[str, Any]:
    """
    Take the options of `format_options` out of a command's.
    """
    return {name: options.pop(name) for name in ("json", "jsonl", "fields")}


def filters_from(options: dict[str, Any], **others: Any) -> Filters:
    """
    Take the options of `filter_options` out of a command's.
    """
    names = ("since", "until", "cwd", "branch", "repository", "model", "originator", "source")
    given = {name: options.pop(name) for name in names}
    if given["cwd"] is not None:
        given["cwd"] = os.path.abspath(os.path.expanduser(given["cwd"]))  # noqa: PTH100, PTH111 -- ".." goes, too
    return Filters(**given, **others)


def each(references: tuple[str, ...], home: str | None) -> list[Path]:
    """
    Find the files of the sessions that the user names, each once, and all of them before anything is done to one.
    """
    return list(dict.fromkeys(find(reference, home=home) for reference in references))
