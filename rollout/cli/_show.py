"""
``show`` and ``follow``: a session as a conversation, as it is and as it grows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import click

from rollout._lineage import base_of, inherited_lines
from rollout._texts import KINDS, Text, Texts
from rollout.cli._options import SESSION, as_form, format_options, home_option
from rollout.cli._output import emit, encode, hint, note, one_line, paged, say, styled, visible
from rollout.codec import RolloutLine
from rollout.errors import SessionNotFoundError
from rollout.follow import follow
from rollout.layout import home_folder, home_of
from rollout.reader import read_lines
from rollout.secrets import Redaction
from rollout.store import find

__all__ = ["follow_command", "show_command"]

# Lines of a tool's output that are shown unless all are asked for.
_OUTPUT_LINES = 12
_COLOURS = {"user": "green", "agent": "cyan", "reasoning": "bright_black", "call": "yellow", "summary": "magenta"}


@click.command("show")
@format_options
@click.option("--kind", multiple=True, type=click.Choice(KINDS), help="Only what these say; may be repeated.")
@click.option("--full", is_flag=True, help="Outputs whole, not only their first lines.")
@click.option("--redact", is_flag=True, help="Replace keys and passwords; which, is said on stderr.")
@home_option
@click.argument("session", type=SESSION)
def show_command(
    session: str, home: str | None, full: bool, kind: tuple[str, ...], redact: bool, **options: Any
) -> int:
    """
    Show a SESSION: what was said, thought, run and answered.

    With --json or --jsonl the lines of the file as they were recorded, with --kind those that say such. Characters
    that would act on the terminal stand there as escapes. How many lines could not be read is said on stderr.

    Fields: timestamp, ordinal, type, payload.

    \b
    Examples:
      rollout show @last
      rollout show 01a1fbb5 --kind user --kind agent
      rollout show "parser bug" --jsonl | jq .payload.type
    """
    form = as_form(options)
    path = find(session, home=home)
    with read_lines(path) as reader:
        lines = _with_inherited(reader, home_of(path) or home_folder(home))
        redaction = Redaction()
        if redact:
            lines = (attrs.evolve(line, payload=redaction.redact(line.payload), keys=None) for line in lines)
        if any(form.values()):
            is_found = emit(map(_row, _saying(lines, kind)), "lines", form, lambda _: None)
        else:
            shown = _Shown(full=full, kinds=kind or KINDS)
            paged(part for line in lines for part in shown.of(line))
            is_found = shown.count > 0
            if not is_found:
                hint("nothing was said in it")
        for replaced in redaction.receipt.replacements:
            note(f"{replaced.placeholder} stands for a {replaced.kind}, {replaced.count} times")
        if reader.skipped:
            count, first = len(reader.skipped), reader.skipped[0]
            note(f"{count} lines could not be read; line {first.lineno}: {first.reason}. See rollout verify.")
    return 0 if is_found else 1


def _with_inherited(lines: Iterable[RolloutLine], home: Path) -> Iterator[RolloutLine]:
    """
    Put what a fork by reference refers to before its own lines.
    """
    is_first = True
    for line in lines:
        if is_first and line.type == "session_meta":
            is_first = False
            try:
                yield from inherited_lines(line.payload, home)
            except (SessionNotFoundError, OSError, ImportError):
                note(f"what it has from session {base_of(line.payload)} is missing: its file is not there")
        yield line


def _saying(lines: Iterable[RolloutLine], kinds: Collection[str]) -> Iterable[RolloutLine]:
    if not kinds:
        return lines
    texts = Texts()
    return (line for line in lines if any(text.kind in kinds for text in texts.of(line)))


def _row(line: RolloutLine) -> dict[str, Any]:
    return {"timestamp": line.timestamp, "ordinal": line.ordinal, "type": line.type, "payload": line.payload}


class _Shown:
    """
    A session's lines as text for a terminal.
    """

    def __init__(self, *, full: bool, kinds: Iterable[str]) -> None:
        self._full, self._kinds = full, frozenset(kinds)
        self._texts = Texts()
        self._has_heading = False
        self.count = 0

    def of(self, line: RolloutLine) -> Iterator[str]:
        """
        Give what a line adds.
        """
        if line.type == "session_meta" and not self._has_heading:
            self._has_heading = True
            yield _heading(line.payload)
        for text in self._texts.of(line):
            if text.kind in self._kinds:
                self.count += 1
                yield _title(text, line.timestamp)
                yield from self._body(text)

    def _body(self, text: Text) -> Iterator[str]:
        lines = visible(text.text).rstrip("\n").split("\n")
        shown = lines if self._full or text.kind != "output" else lines[:_OUTPUT_LINES]
        for line in shown:
            yield f"{line}\n"
        if len(shown) < len(lines):
            more = styled(f"... {len(lines) - len(shown)} more lines (--full)", dim=True)
            yield f"{more}\n"
        yield "\n"


def _heading(payload: dict[str, Any]) -> str:
    known = (payload.get(key) for key in ("id", "timestamp", "cwd", "originator", "cli_version"))
    text = styled("  ".join(one_line(value) for value in known if isinstance(value, str)), dim=True)
    return f"{text}\n\n"


def _title(text: Text, timestamp: str | None) -> str:
    who = f"{text.kind} {one_line(text.tool)}" if text.tool else text.kind
    failed = styled(" failed", fg="red", bold=True) if text.is_failed else ""
    time = styled(f"  {one_line(timestamp)}", dim=True) if timestamp else ""
    return f"{styled(who, fg=_COLOURS.get(text.kind), bold=True)}{failed}{time}\n"


@click.command("follow")
@click.option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="End when nothing came for so long.")
@click.option("--from-start", is_flag=True, help="Begin with what is there already.")
@click.option("--jsonl", is_flag=True, help="The lines as they are recorded, one JSON object a line.")
@click.option("--full", is_flag=True, help="Outputs whole, not only their first lines.")
@home_option
@click.argument("session", type=SESSION)
def follow_command(
    session: str, home: str | None, full: bool, jsonl: bool, from_start: bool, timeout: float | None
) -> int:
    """
    Follow a SESSION: show each line once, as soon as its writer has completed it, until Ctrl-C.

    Goes on when one writer ends and another resumes the session. Exit status 1 if --timeout ends it before any line.

    \b
    Examples:
      rollout follow @last
      rollout follow @last --from-start --jsonl --timeout 60 > session.jsonl
    """
    path = find(session, home=home)
    shown = _Shown(full=full, kinds=KINDS)
    count = 0
    hint(f"following {path}; Ctrl-C ends it")
    with follow(path, from_start=from_start, timeout=timeout) as follower:
        for count, line in enumerate(follower, 1):  # noqa: B007 -- said below
            for part in [f"{encode(_row(line))}\n"] if jsonl else shown.of(line):
                say(part, end="")
        if follower.skipped:
            note(f"{len(follower.skipped)} lines could not be read: {follower.skipped[0].reason}")
    return 0 if count else 1
