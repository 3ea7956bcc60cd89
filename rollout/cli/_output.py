"""
Output: data goes to stdout, messages go to stderr, recorded text is escaped.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import click

from rollout._text import escape_control_chars, one_line
from rollout._version import SCHEMA_VERSION
from rollout.cli._progress import hide_bar
from rollout.export import json_escape, json_text

__all__ = [
    "Format",
    "cell_text",
    "display_width",
    "encode",
    "has_colors",
    "info",
    "is_terminal",
    "path_text",
    "print_out",
    "print_paged",
    "print_rows",
    "print_table",
    "style_text",
    "warn",
]

Format = Mapping[str, Any]

_NOT_ASCII = re.compile("[^\x00-\x7f]")
# Terminal columns between two columns of a table; minimum width of the wide column.
_GAP, _WIDE_MIN = 2, 24


def path_text(path: Path) -> str:
    """
    Return a path for stdout: escaped on a terminal, unchanged for a program that may open it.
    """
    return escape_control_chars(os.fspath(path)) if is_terminal() else os.fspath(path)


def encode(value: Any) -> str:
    """
    Encode as JSON in which all control characters are escaped, including those that JSON allows unescaped.
    """
    text = json_text(value)
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    return text if is_unicode else _NOT_ASCII.sub(json_escape, text)


def is_terminal() -> bool:
    """
    Return whether stdout is a terminal.
    """
    return sys.stdout.isatty()


def print_out(text: str, *, end: str = "\n") -> None:
    """
    Write data to stdout.
    """
    hide_bar()
    click.echo(f"{text}{end}", nl=False)


def warn(text: str) -> None:
    """
    Write a message to stderr.
    """
    hide_bar()
    click.echo(f"rollout: {escape_control_chars(text)}", err=True)


def info(text: str) -> None:
    """
    Write a message to stderr if that is a terminal.
    """
    if sys.stderr.isatty():
        warn(text)


def has_colors() -> bool:
    """
    Return whether to use colors: on a terminal that supports colors, unless ``NO_COLOR`` is set.
    """
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def style_text(text: str, **style: Any) -> str:
    """
    Return a text with colors, if `has_colors`.
    """
    return click.style(text, **style) if has_colors() else text


def print_rows(
    rows: Iterable[dict[str, Any]],
    key: str,
    form: Format,
    print_text: Callable[[list[dict[str, Any]]], None],
    **other: Any,
) -> bool:
    """
    Print rows as JSON, JSON Lines, fields or text; return whether there were any rows.

    Args:
        rows: Mappings of field names to plain values.
        key: Name of the list in the JSON document.
        form: The options ``json``, ``jsonl`` and ``fields``.
        print_text: Function that prints the rows for a person.
        other: Other fields of the JSON document.
    """
    if form["jsonl"]:
        count = 0
        for row in _select_fields(rows, form["fields"]):
            print_out(encode(row))
            count += 1
        return bool(count)
    selected = list(_select_fields(rows, form["fields"]))
    if form["json"]:
        print_out(encode({"schema_version": SCHEMA_VERSION, key: selected, **other}))
    elif form["fields"]:
        for row in selected:
            print_out("\t".join(cell_text(value) for value in row.values()))
    else:
        print_text(selected)
    return bool(selected)


def _select_fields(rows: Iterable[dict[str, Any]], fields: str | None) -> Iterator[dict[str, Any]]:
    names = [name.strip() for name in fields.split(",")] if fields else None
    for row in rows:
        if names is None:
            yield row
            continue
        unknown = [name for name in names if name not in row]
        if unknown:
            raise click.UsageError(f"unknown field {', '.join(unknown)}; the fields are {', '.join(row)}.")
        yield {name: row[name] for name in names}


def cell_text(value: Any) -> str:
    """
    Return a value as text for a column.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return one_line(value) if isinstance(value, str) else encode(value)


def print_table(
    columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]], optional: Sequence[str] = ()
) -> None:
    """
    Print a table: on a terminal in columns that fit its width, otherwise one line per row, separated by tabs.

    Args:
        columns: Headings and kinds: ``left``, ``right`` (the alignment), or ``wide`` for the column that is truncated.
        rows: Escaped texts.
        optional: Headings of columns that are left out on a narrow terminal, in this order.
    """
    if not is_terminal():
        for row in rows:
            print_out("\t".join(row))
        return
    lines = [[heading for heading, _ in columns], *map(list, rows)]
    # Empty columns are left out.
    shown = [
        _Column(*column, texts)
        for column, texts in zip(columns, zip(*lines, strict=True), strict=True)
        if any(texts[1:])
    ]
    terminal_width = _terminal_size().columns
    for heading in optional:
        if len(shown) > 1 and sum(column.min_width + _GAP for column in shown) - _GAP > terminal_width:
            shown = [column for column in shown if column.heading != heading]
    wide_width = terminal_width - sum(column.width + _GAP for column in shown if column.kind != "wide")
    cells = [column.cells(wide_width) for column in shown]
    titles, *texts = ((" " * _GAP).join(parts).rstrip() for parts in zip(*cells, strict=True)) if shown else [""]
    print_paged(chain([f"{style_text(titles, bold=True)}\n"] if titles else [], (f"{text}\n" for text in texts)))


class _Column:
    def __init__(self, heading: str, kind: str, texts: Sequence[str]) -> None:
        self.heading, self.kind, self.texts = heading, kind, texts
        self.width = max(map(display_width, texts))
        self.min_width = min(self.width, _WIDE_MIN) if kind == "wide" else self.width

    def cells(self, wide_width: int) -> Iterator[str]:
        """
        Yield the texts, padded to one width. A wide column is truncated to *wide_width*.
        """
        width = min(self.width, max(wide_width, 1)) if self.kind == "wide" else self.width
        for text in self.texts:
            truncated = _truncate(text, width)
            padding = " " * (width - display_width(truncated))
            yield padding + truncated if self.kind == "right" else truncated + padding


def _truncate(text: str, width: int) -> str:
    if display_width(text) <= width:
        return text
    if text.isascii():
        return f"{text[: width - 1]}…"
    from wcwidth import iter_graphemes  # noqa: PLC0415 -- see display_width

    # A character and its combining marks stay together.
    graphemes = list(iter_graphemes(text))
    ends = accumulate(map(display_width, graphemes), initial=1)
    return f"{''.join(graphemes[: sum(end <= width for end in ends) - 1])}…"


def display_width(text: str) -> int:
    """
    Return the number of terminal columns of an escaped text.
    """
    if text.isascii():
        return len(text)
    from wcwidth import width  # noqa: PLC0415 -- 25 ms, for text that is not ASCII, on a terminal only

    columns: int = width(text)
    return columns


def print_paged(parts: Iterable[str]) -> None:
    """
    Print text; on a terminal, use a pager if the text has more lines than the terminal.
    """
    rest = iter(parts)
    if is_terminal():
        first, left = [], _terminal_size().lines - 1
        for part in rest:
            first.append(part)
            left -= part.count("\n")
            if left < 0:
                # Pass colors through, and quit if the text fits on one screen.
                os.environ.setdefault("LESS", "-FRX")
                click.echo_via_pager(chain(first, rest), color=True)
                return
        rest = iter(first)
    for part in rest:
        print_out(part, end="")


def _terminal_size() -> os.terminal_size:
    from shutil import get_terminal_size  # noqa: PLC0415 -- 4 ms, for tables on a terminal only

    return get_terminal_size()
