"""
How things are shown: data to stdout, everything else to stderr; recorded text never raw.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import click

from rollout._visible import one_line, visible
from rollout.cli._live import hide_bar
from rollout.export._json import json_escape, json_text

__all__ = [
    "Format",
    "age",
    "cell",
    "count_text",
    "emit",
    "encode",
    "has_colours",
    "hint",
    "is_terminal",
    "note",
    "paged",
    "path_text",
    "say",
    "styled",
    "table",
]

Format = Mapping[str, Any]

_NOT_ASCII = re.compile("[^\x00-\x7f]")
# Days up to two weeks: the first number that still tells sessions apart.
_UNITS = ((14 * 86_400, 7 * 86_400, "w"), (86_400, 86_400, "d"), (3600, 3600, "h"), (60, 60, "m"))
_YEAR = 365 * 86_400
_KILO = 1000
# Columns of a table: between two, and of the one that gives way first.
_GAP, _WIDE_MIN = 2, 24


def path_text(path: Path) -> str:
    """
    Give a path for stdout: to a program as it is, as it may open it.
    """
    return visible(os.fspath(path)) if is_terminal() else os.fspath(path)


def encode(value: Any) -> str:
    """
    Encode as JSON that does nothing to a terminal: what JSON need not escape is escaped, too.
    """
    text = json_text(value)
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    return text if is_unicode else _NOT_ASCII.sub(json_escape, text)


def is_terminal() -> bool:
    """
    Say whether a person reads stdout.
    """
    return sys.stdout.isatty()


def say(text: str, *, end: str = "\n") -> None:
    """
    Say something on stdout: data.
    """
    hide_bar()
    click.echo(f"{text}{end}", nl=False)


def note(text: str) -> None:
    """
    Say something on stderr.
    """
    hide_bar()
    click.echo(f"rollout: {visible(text)}", err=True)


def hint(text: str) -> None:
    """
    Say something on stderr that only a person cares about.
    """
    if sys.stderr.isatty():
        note(text)


def has_colours() -> bool:
    """
    Say whether colours are wanted: on a terminal that has them, without ``NO_COLOR``.
    """
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def styled(text: str, **style: Any) -> str:
    """
    Give a text with colours, where they are wanted.
    """
    return click.style(text, **style) if has_colours() else text


def emit(
    rows: Iterable[dict[str, Any]],
    key: str,
    form: Format,
    text: Callable[[list[dict[str, Any]]], None],
    **beside: Any,
) -> bool:
    """
    Show rows in the form that was asked for; say whether there were any.

    Args:
        rows: Each a mapping of field names to plain values.
        key: What the list is called in JSON.
        form: The options ``json``, ``jsonl`` and ``fields``.
        text: Shows them to a person.
        beside: What else JSON has, beside the list.
    """
    if form["jsonl"]:
        count = 0
        for row in _chosen(rows, form["fields"]):
            say(encode(row))
            count += 1
        return bool(count)
    found = list(_chosen(rows, form["fields"]))
    if form["json"]:
        say(encode({"schema_version": 1, key: found, **beside}))
    elif form["fields"]:
        for row in found:
            say("\t".join(cell(value) for value in row.values()))
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
    return one_line(value) if isinstance(value, str) else encode(value)


def table(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]], spare: Sequence[str] = ()) -> None:
    """
    Show a table: to a person in columns that fit the screen, else a line a row with tabs.

    Args:
        columns: Heading and how it behaves: ``left``, ``right``, or ``wide`` for what gives way first.
        rows: Texts, made visible already.
        spare: Headings of what a narrow screen does without, the first first.
    """
    if not is_terminal():
        for row in rows:
            say("\t".join(row))
        return
    lines = [[heading for heading, _ in columns], *map(list, rows)]
    of_columns = list(zip(*lines, strict=True))
    # Where a column is empty its heading is noise.
    shown = [_Column(*kind, texts) for kind, texts in zip(columns, of_columns, strict=True) if any(texts[1:])]
    screen = _screen().columns
    for heading in spare:
        if len(shown) > 1 and sum(column.least + _GAP for column in shown) - _GAP > screen:
            shown = [column for column in shown if column.heading != heading]
    room = screen - sum(column.width + _GAP for column in shown if column.kind != "wide")
    cells = [column.cells(room) for column in shown]
    titles, *texts = ((" " * _GAP).join(parts).rstrip() for parts in zip(*cells, strict=True)) if shown else [""]
    paged(chain([f"{styled(titles, bold=True)}\n"] if titles else [], (f"{text}\n" for text in texts)))


class _Column:
    def __init__(self, heading: str, kind: str, texts: Sequence[str]) -> None:
        self.heading, self.kind, self.texts = heading, kind, texts
        self.width = max(map(display_width, texts))
        self.least = min(self.width, _WIDE_MIN) if kind == "wide" else self.width

    def cells(self, room: int) -> Iterator[str]:
        """
        Give its texts, all of one width; of a wide column no more than there is room for.
        """
        width = min(self.width, max(room, 1)) if self.kind == "wide" else self.width
        for text in self.texts:
            cut = _cut(text, width)
            space = " " * (width - display_width(cut))
            yield space + cut if self.kind == "right" else cut + space


def _cut(text: str, width: int) -> str:
    if display_width(text) <= width:
        return text
    sizes = accumulate(map(_width_of, text), initial=1)
    return f"{text[: sum(size <= width for size in sizes) - 1]}…"


def display_width(text: str) -> int:
    """
    Give the columns that a text takes on a terminal.
    """
    return len(text) if text.isascii() else sum(map(_width_of, text))


def _width_of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def paged(parts: Iterable[str]) -> None:
    """
    Show text: to a person through a pager, where it is more than a screen.
    """
    rest = iter(parts)
    if is_terminal():
        first, left = [], _screen().lines - 1
        for part in rest:
            first.append(part)
            left -= part.count("\n")
            if left < 0:
                # Colours as they are, and away when the end is reached on one screen.
                os.environ.setdefault("LESS", "-FRX")
                click.echo_via_pager(chain(first, rest), color=True)
                return
        rest = iter(first)
    for part in rest:
        say(part, end="")


def age(moment: datetime | None) -> str:
    """
    Say how long ago something was: 5m, 3h, 2d, 7w, and the day after a year.
    """
    if moment is None:
        return ""
    seconds = (datetime.now(timezone.utc) - moment).total_seconds()
    if seconds >= _YEAR:
        return moment.astimezone().strftime("%Y-%m-%d")
    return next((f"{int(seconds // unit)}{letter}" for least, unit, letter in _UNITS if seconds >= least), "now")


def count_text(count: int) -> str:
    """
    Give a number of things, roughly: 950, 12k, 3.4M.
    """
    size: float = count
    for unit in ("", "k", "M", "G"):
        if size < _KILO:
            return f"{size:.0f}{unit}" if not unit or size >= 10 else f"{size:.1f}{unit}"
        size /= _KILO
    return f"{size:.1f}T"


def _screen() -> os.terminal_size:
    from shutil import get_terminal_size  # noqa: PLC0415 -- 4 ms, for tables on a terminal only

    return get_terminal_size()
