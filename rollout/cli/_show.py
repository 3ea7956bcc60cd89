"""
``show`` and ``follow``: print a session as a conversation, completely or as it grows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import click

from rollout._text import one_line, pluralize
from rollout.cli._exit_status import DONE, NOT_FOUND
from rollout.cli._options import SESSION, format_options, home_option, pop_format
from rollout.cli._output import encode, info, print_out, print_paged, print_rows, warn
from rollout.codec import RolloutLine
from rollout.errors import SessionNotFoundError
from rollout.home import home_folder, home_of
from rollout.interpret import TEXT_KINDS, Interpreter, texts_of
from rollout.reading import LineReader, base_of, follow, inherited_lines, read_lines
from rollout.secrets import Redaction
from rollout.sessions import read_origin
from rollout.store import agents_of, find

__all__ = ["follow_command", "show_command"]

# Number of sub-agents whose ids are printed.
_AGENTS_MAX = 20


class NumberedLine(NamedTuple):
    """
    A line and its number in its file. An inherited line is in the file of the session that this one was forked from.
    """

    line: RolloutLine
    number: int
    is_inherited: bool = False


@click.command("show")
@format_options
@click.option("--kind", multiple=True, type=click.Choice(TEXT_KINDS), help="Only text of this kind; can be repeated.")
@click.option("--full", is_flag=True, help="Print outputs completely, not only their first lines.")
@click.option("--redact", is_flag=True, help="Replace keys and passwords; list them on stderr.")
@home_option
@click.argument("session", type=SESSION)
def show_command(
    session: str, home: str | None, full: bool, kind: tuple[str, ...], redact: bool, **options: Any
) -> int:
    """
    Show a SESSION as a conversation: messages, reasoning, commands and outputs.

    Which session has started a sub-agent, and the ids of sub-agents, are printed on stderr. With --json or --jsonl,
    print the recorded lines; with --kind, only the lines of these kinds. Control characters are escaped. The number of
    unreadable lines is printed on stderr.

    Fields: timestamp, ordinal, type, payload.

    \b
    Examples:
      rollout show @last
      rollout show 01a1fbb5 --kind user --kind agent
      rollout show "parser bug" --jsonl | jq .payload.type
    """
    form = pop_format(options)
    path = find(session, home=home)
    with read_lines(path) as reader:
        redaction = Redaction()
        lines = _with_inherited(reader, home_of(path) or home_folder(home))
        if redact:
            from rollout.export import redacted_line  # noqa: PLC0415 -- 6 ms, for --redact only

            lines = (numbered._replace(line=redacted_line(numbered.line, redaction)) for numbered in lines)
        if any(form.values()):
            rows = map(_row, _lines_of_kinds((numbered.line for numbered in lines), kind))
            is_found = print_rows(rows, "lines", form, lambda _: None)
        else:
            from rollout.cli._conversation import Conversation, make_renderer  # noqa: PLC0415 -- 20 ms, not for JSON

            _print_relatives(path)
            redact_text = redaction.redact if redact else None
            conversation = Conversation(reader, make_renderer(full=full), kind, redact=redact_text)
            print_paged(conversation.render_all(lines))
            is_found = conversation.count > 0
            if not is_found:
                missing = "text of this kind" if kind else "messages, commands or outputs"
                info(f"the session has no {missing}")
        for replaced in redaction.receipt.replacements:
            warn(f"{replaced.placeholder} replaces a {replaced.kind} in {pluralize(replaced.count, 'place')}")
        if reader.skipped:
            count, first = len(reader.skipped), reader.skipped[0]
            reason = redaction.redact(first.reason)
            warn(f"{pluralize(count, 'line')} could not be read; line {first.lineno}: {reason}. See `rollout verify`.")
    return DONE if is_found else NOT_FOUND


def _print_relatives(path: Path) -> None:
    """
    Print which session has started this one, and which sub-agents it has started.
    """
    with suppress(LookupError):
        origin = read_origin(path)
        if origin.is_agent:
            words = one_line(" ".join(filter(None, (origin.nickname, f"({origin.role})"))))
            started = f" of session {one_line(origin.parent_id)}" if origin.parent_id else ""
            warn(f"sub-agent {words}{started}")
    agents = agents_of(path)
    if agents:
        shown = ", ".join(name.session_id for name in agents[:_AGENTS_MAX])
        more = f", and {len(agents) - _AGENTS_MAX:,} more; see rollout list --agents only"
        warn(f"{pluralize(len(agents), 'sub-agent')}: {shown}{more if len(agents) > _AGENTS_MAX else ''}")


def _with_inherited(lines: LineReader, home: Path) -> Iterator[NumberedLine]:
    """
    Yield the lines that a fork by reference refers to, then its own lines.
    """
    is_first = True
    for line in lines:
        if is_first and line.type == "session_meta":
            is_first = False
            try:
                for number, inherited in enumerate(inherited_lines(line.payload, home), 1):
                    yield NumberedLine(inherited, number, is_inherited=True)
            except (SessionNotFoundError, OSError, ImportError):
                warn(f"the lines inherited from session {base_of(line.payload)} are missing: its file was not found")
        yield NumberedLine(line, lines.lineno)


def _lines_of_kinds(lines: Iterable[RolloutLine], kinds: Collection[str]) -> Iterable[RolloutLine]:
    if not kinds:
        return lines
    interpreter = Interpreter()
    return (
        line
        for line in lines
        if any(text.kind in kinds and not text.is_echo for text in texts_of(interpreter.feed(line)))
    )


def _row(line: RolloutLine) -> dict[str, Any]:
    return {"timestamp": line.timestamp, "ordinal": line.ordinal, "type": line.type, "payload": line.payload,
            **line.extra}  # fmt: skip


@click.command("follow")
@click.option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Stop after this time without a new line.")
@click.option("--from-start", is_flag=True, help="Begin with the lines that the session already has.")
@click.option("--jsonl", is_flag=True, help="Print the recorded lines, one JSON object per line.")
@click.option("--full", is_flag=True, help="Print outputs completely, not only their first lines.")
@home_option
@click.argument("session", type=SESSION)
def follow_command(
    session: str, home: str | None, full: bool, jsonl: bool, from_start: bool, timeout: float | None
) -> int:
    """
    Follow a SESSION: show each new line once, as soon as it is complete, until Ctrl-C.

    Continues when one writer ends and another one resumes the session. The exit status is 1 if --timeout ends the
    command before the first line.

    \b
    Examples:
      rollout follow @last
      rollout follow @last --from-start --jsonl --timeout 60 > session.jsonl
    """
    path = find(session, home=home)
    from rollout.cli._conversation import Conversation, make_renderer  # noqa: PLC0415 -- 20 ms

    count = 0
    info(f"following {path}; press Ctrl-C to stop")
    with follow(path, from_start=from_start, timeout=timeout) as follower:
        conversation = Conversation(follower, make_renderer(full=full), is_live=True, is_whole=from_start)
        for count, line in enumerate(follower, 1):  # noqa: B007 -- used below
            if jsonl:
                print_out(encode(_row(line)))
                continue
            for part in conversation.render_line(NumberedLine(line, follower.lineno)):
                print_out(part, end="")
        if follower.skipped:
            lines = pluralize(len(follower.skipped), "line")
            warn(f"{lines} could not be read: {follower.skipped[0].reason}")
    return DONE if count else NOT_FOUND
