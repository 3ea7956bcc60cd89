"""
``export``: a session as a file for people or programs.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click

import rollout.export
from rollout import load_history
from rollout._units import size_text
from rollout._visible import visible
from rollout._whole import new_file, replaced_file
from rollout.cli._options import SESSION, home_option
from rollout.cli._output import is_terminal, note, path_text, say
from rollout.export import DETAILS, redacted
from rollout.secrets import Redaction
from rollout.store import find

__all__ = ["export_command"]

# Each form and the endings of its files, the usual one first.
_ENDINGS = {
    "html": (".html", ".htm"),
    "markdown": (".md", ".markdown"),
    "text": (".txt", ".text"),
    "json": (".json",),
}
_STDOUT = "-"


@click.command("export")
@click.option(
    "--to", "form", type=click.Choice(list(_ENDINGS)), help="What it becomes; else by the FILE's ending, or html."
)
@click.option("--detail", type=click.Choice(DETAILS), default="full", show_default=True, help="How much of it.")
@click.option("--redact", is_flag=True, help="Replace keys and passwords; which, is said on stderr.")
@click.option("-o", "--output", metavar="FILE", help="Where to; - for stdout.")
@click.option("--force", is_flag=True, help="Overwrite the FILE.")
@home_option
@click.argument("session", type=SESSION)
def export_command(
    session: str, home: str | None, output: str | None, form: str | None, detail: str, redact: bool, force: bool
) -> int:
    """
    Export a SESSION as one file: a page for a browser, Markdown, plain text, or JSON.

    In a pipe it goes to stdout; at a terminal a page goes into a file named after the session, in this folder. A
    file is there whole or not at all, for you alone to read. Details: everything; calls without their outputs; only
    what you and the agent said.

    \b
    Examples:
      rollout export @last
      rollout export "parser bug" --redact -o parser.md
      rollout export @2 --to text --detail conversation | less
    """
    form = form or _form_of(output)
    path = find(session, home=home)
    target = _target(path, output, form)
    if target is not None and not force:
        _refuse_existing(target)
    redaction = Redaction()
    history = load_history(path, home=home)
    if redact:
        history = redacted(history, redaction)
    exported: Callable[..., Iterator[str]] = getattr(rollout.export, f"export_{form}")
    parts = exported(history, detail=detail)
    if target is None:
        _say(parts)
    else:
        _write(parts, target)
        note(f"{path_text(target)}: {size_text(target.stat().st_size)}")
    for replaced in redaction.receipt.replacements:
        note(f"{replaced.placeholder} stands for a {replaced.kind}, {replaced.count} times")
    return 0


def _form_of(output: str | None) -> str:
    ending = Path(output or "").suffix.lower()
    return next((form for form, endings in _ENDINGS.items() if ending in endings), "html")


def _target(path: Path, output: str | None, form: str) -> Path | None:
    """
    Give the file to write; None for stdout.
    """
    if output is not None:
        return None if output == _STDOUT else Path(output)
    if form != "html" or not is_terminal():
        return None
    return Path(path.name.partition(".jsonl")[0] + _ENDINGS[form][0])


def _refuse_existing(target: Path) -> None:
    if target.exists():
        raise FileExistsError(errno.EEXIST, "there is such a file already; --force overwrites it", str(target))


def _say(parts: Iterable[str]) -> None:
    for part in parts:
        say(visible(part) if is_terminal() else part, end="")


def _write(parts: Iterable[str], target: Path) -> None:
    # With --force there may be one.
    written: Any = replaced_file if target.exists() else new_file
    with written(target) as file:
        for part in parts:
            file.write(part.encode("utf-8", "backslashreplace"))
