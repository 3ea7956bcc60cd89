"""
How things are shown: data to stdout, everything else to stderr; recorded text never raw.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, TypeVar

import click

from rollout.codec import encode_json

__all__ = [
    "Format",
    "age",
    "emit",
    "encode",
    "is_terminal",
    "note",
    "paged",
    "progress",
    "size_text",
    "styled",
    "table",
    "visible",
]

Format = Mapping[str, Any]
T = TypeVar("T")

# What a terminal may act on, or what turns the order of characters around: controls but newline and tab, the marks
# of direction, line and paragraph separators, the private use area, tags, halves of characters.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_UNITS = ((7 * 86_400, "w"), (86_400, "d"), (3600, "h"), (60, "m"))
_YEAR = 365 * 86_400
_KILO = 1000


def visible(text: str) -> str:
    """
    Give a text in which nothing acts on a terminal: such characters stand there as escapes, as in ``\\x1b``.
    """
    return _UNSAFE.sub(_escape, text.replace("\r\n", "\n"))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def one_line(text: str) -> str:
    """
    Give a text for a line or a cell of a table.
    """
    return visible(" ".join(text.split()))


def encode(value: Any) -> str:
    """
    Encode as JSON that does nothing to a terminal: what JSON need not escape is escaped, too.
    """
    return _UNSAFE.sub(_json_escape, encode_json(value))


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def is_terminal() -> bool:
    """
    Say whether a person reads stdout.
    """
    return sys.stdout.isatty()


def note(text: str) -> None:
    """
    Say something on stderr.
    """
    click.echo(f"rollout: {visible(text)}", err=True)


def hint(text: str) -> None:
    """
    Say something on stderr that only a person cares about.
    """
    if sys.stderr.isatty():
        note(text)


def styled(text: str, **style: Any) -> str:
    """
    Give a text with colours, where colours are wanted: on a terminal, without ``NO_COLOR``.
    """
    return click.style(text, **style) if is_terminal() and not os.environ.get("NO_COLOR") else text


def emit(rows: Iterable[dict[str, Any]], key: str, form: Format, text: Callable[[list[dict[str, Any]]], None]) -> bool:
    """
    Show rows in the form that was asked for; say whether there were any.

    Args:
        rows: Each a mapping of field names to plain values.
        key: What the list is called in JSON.
        form: The options ``json``, ``jsonl`` and ``fields``.
        text: Shows them to a person.
    """
    if form["jsonl"]:
        count = 0
        for row in _chosen(rows, form["fields"]):
            click.echo(encode(row))
            count += 1
        return bool(count)
    found = list(_chosen(rows, form["fields"]))
    if form["json"]:
        click.echo(encode({"schema_version": 1, key: found}))
    elif form["fields"]:
        for row in found:
            click.echo("\t".join(cell(value) for value in row.values()))
    else:
        text(found)
    return bool(found)


def _chosen(rows: Iterable[dict[str, Any]], fields: str | None) -> Iterator[dict[str, Any]]:
    names = [name.strip() for name in fields.split(",")] if fields else None
    for row in rows:
        if names is None:
            yield row
            continue
        unknown = [name for name in names if name not in row]
        if unknown:
            raise click.UsageError(f"no field {', '.join(unknown)}; there are {', '.join(row)}.")
        yield {name: row[name] for name in names}


def cell(value: Any) -> str:
    """
    Give a value as text for a column.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return one_line(value if isinstance(value, str) else str(value))


def table(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> None:
    """
    Show a table: to a person in columns that fit the screen, else a line a row with tabs.

    Args:
        columns: Heading and how it behaves: ``left``, ``right``, or ``wide`` for what gives way first.
        rows: Texts, made visible already.
    """
    if not is_terminal():
        for row in rows:
            click.echo("\t".join(row))
        return
    from rich.console import Console  # noqa: PLC0415 -- 50 ms
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading, kind in columns:
        shown.add_column(
            heading,
            justify="right" if kind == "right" else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if kind == "wide" else None,
        )
    for row in rows:
        shown.add_row(*(Text(text) for text in row))
    Console(highlight=False, markup=False, emoji=False).print(shown)


def paged(lines: Iterable[str]) -> None:
    """
    Show lines: to a person through a pager, where they are more than a screen.
    """
    if not is_terminal():
        for line in lines:
            click.echo(line, nl=False)
        return
    os.environ.setdefault("LESS", "-FRX")
    click.echo_via_pager(lines, color=not os.environ.get("NO_COLOR"))


@contextmanager
def progress(label: str) -> Iterator[Callable[[float, float], None]]:
    """
    Give a function that shows how much is done of how much, and how long it will take: on stderr, to a person.
    """
    if not sys.stderr.isatty():
        yield lambda _done, _all: None
        return
    from rich.console import Console  # noqa: PLC0415 -- 100 ms
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole or None)


def age(moment: datetime | None) -> str:
    """
    Say how long ago something was: 5m, 3h, 2d, 7w, and the day after a year.
    """
    if moment is None:
        return ""
    seconds = (datetime.now(timezone.utc) - moment).total_seconds()
    if seconds >= _YEAR:
        return moment.astimezone().strftime("%Y-%m-%d")
    return next((f"{int(seconds // unit)}{letter}" for unit, letter in _UNITS if seconds >= unit), "now")


def size_text(size: float) -> str:
    """
    Give a number of bytes in the unit that fits.
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < _KILO:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= _KILO
    return f"{size:.1f} TB"


def display_width(text: str) -> int:
    """
    Give the columns that a text takes on a terminal.
    """
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
