"""
``show`` and ``follow``: a session as a conversation, as it is and as it grows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from rollout._lineage import base_of, inherited_lines
from rollout._texts import KINDS, Texts
from rollout.cli._options import SESSION, as_form, format_options, home_option
from rollout.cli._output import emit, encode, hint, note, paged, say
from rollout.codec import RolloutLine
from rollout.errors import SessionNotFoundError
from rollout.follow import follow
from rollout.layout import home_folder, home_of
from rollout.reader import LineReader, read_lines
from rollout.secrets import Redaction
from rollout.store import find

__all__ = ["follow_command", "show_command"]


class Given(NamedTuple):
    """
    A line, its number in its file, and whether that is the file of the session that this one goes on from.
    """

    line: RolloutLine
    number: int
    is_inherited: bool = False


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
        redaction = Redaction()
        lines = _with_inherited(reader, home_of(path) or home_folder(home))
        if redact:
            from rollout.export._redact import redacted_line  # noqa: PLC0415 -- 6 ms, which few need

            lines = (given._replace(line=redacted_line(given.line, redaction)) for given in lines)
        if any(form.values()):
            rows = map(_row, _saying((given.line for given in lines), kind))
            is_found = emit(rows, "lines", form, lambda _: None)
        else:
            from rollout.cli._showing import Shown, renderer  # noqa: PLC0415 -- 20 ms, not for JSON

            shown = Shown(reader, renderer(full=full), kind, redact=redaction.redact if redact else None)
            paged(shown.all(lines))
            is_found = shown.count > 0
            if not is_found:
                hint("nothing was said in it")
        for replaced in redaction.receipt.replacements:
            note(f"{replaced.placeholder} stands for a {replaced.kind}, {replaced.count} times")
        if reader.skipped:
            count, first = len(reader.skipped), reader.skipped[0]
            reason = redaction.redact(first.reason)
            note(f"{count} lines could not be read; line {first.lineno}: {reason}. See rollout verify.")
    return 0 if is_found else 1


def _with_inherited(lines: LineReader, home: Path) -> Iterator[Given]:
    """
    Put what a fork by reference refers to before its own lines.
    """
    is_first = True
    for line in lines:
        if is_first and line.type == "session_meta":
            is_first = False
            try:
                for number, inherited in enumerate(inherited_lines(line.payload, home), 1):
                    yield Given(inherited, number, is_inherited=True)
            except (SessionNotFoundError, OSError, ImportError):
                note(f"what it has from session {base_of(line.payload)} is missing: its file is not there")
        yield Given(line, lines.lineno)


def _saying(lines: Iterable[RolloutLine], kinds: Collection[str]) -> Iterable[RolloutLine]:
    if not kinds:
        return lines
    texts = Texts()
    return (line for line in lines if any(text.kind in kinds for text in texts.of(line)))


def _row(line: RolloutLine) -> dict[str, Any]:
    return {"timestamp": line.timestamp, "ordinal": line.ordinal, "type": line.type, "payload": line.payload}


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
    from rollout.cli._showing import Shown, renderer  # noqa: PLC0415

    count = 0
    hint(f"following {path}; Ctrl-C ends it")
    with follow(path, from_start=from_start, timeout=timeout) as follower:
        shown = Shown(follower, renderer(full=full), is_live=True, is_whole=from_start)
        for count, line in enumerate(follower, 1):  # noqa: B007 -- said below
            for part in [f"{encode(_row(line))}\n"] if jsonl else shown.of(Given(line, follower.lineno)):
                say(part, end="")
        if follower.skipped:
            note(f"{len(follower.skipped)} lines could not be read: {follower.skipped[0].reason}")
    return 0 if count else 1
