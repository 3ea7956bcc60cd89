"""
``export``: write a session to one file, for people or programs.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click

import rollout.export
from rollout import load_history
from rollout._text import escape_control_chars, pluralize, size_text
from rollout.cli._exit_status import DONE
from rollout.cli._options import SESSION, home_option
from rollout.cli._output import is_terminal, path_text, print_out, warn
from rollout.export import DETAILS, redacted
from rollout.home import new_file, replacement_file
from rollout.secrets import Redaction
from rollout.store import find

__all__ = ["export_command"]

# Each format and its file extensions, the usual one first.
_EXTENSIONS = {
    "html": (".html", ".htm"),
    "markdown": (".md", ".markdown"),
    "text": (".txt", ".text"),
    "json": (".json",),
}
_STDOUT = "-"


@click.command("export")
@click.option(
    "--to", "form", type=click.Choice(list(_EXTENSIONS)), help="Format; by default from the extension of FILE, or html."
)
@click.option(
    "--detail", type=click.Choice(DETAILS), default="full", show_default=True, help="Level of detail; see above."
)
@click.option("--redact", is_flag=True, help="Replace keys and passwords; list them on stderr.")
@click.option("-o", "--output", metavar="FILE", help="Write to FILE; - for stdout.")
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
@home_option
@click.argument("session", type=SESSION)
def export_command(
    session: str, home: str | None, output: str | None, form: str | None, detail: str, redact: bool, force: bool
) -> int:
    """
    Export a SESSION as one file: HTML, Markdown, plain text or JSON.

    Without --output, the export is written to stdout; on a terminal, HTML is written to a file in the current folder,
    named after the session. A file is written completely or not at all. Only you can read a new file.

    Level of detail: full exports everything; no-outputs leaves out the outputs of calls; conversation exports only
    messages, plans, compactions, errors and interruptions.

    \b
    Examples:
      rollout export @last
      rollout export "parser bug" --redact -o parser.md
      rollout export @2 --to text --detail conversation | less
    """
    form = form or _format_of(output)
    path = find(session, home=home)
    target = _target_file(path, output, form)
    if target is not None and not force:
        _refuse_existing(target)
    redaction = Redaction()
    history = load_history(path, home=home)
    if redact:
        history = redacted(history, redaction)
    exported: Callable[..., Iterator[str]] = getattr(rollout.export, f"export_{form}")
    parts = exported(history, detail=detail)
    if target is None:
        _print_parts(parts)
    else:
        _write_file(parts, target)
        warn(f"{path_text(target)}: {size_text(target.stat().st_size)}")
    for replaced in redaction.receipt.replacements:
        warn(f"{replaced.placeholder} replaces a {replaced.kind} in {pluralize(replaced.count, 'place')}")
    return DONE


def _format_of(output: str | None) -> str:
    extension = Path(output or "").suffix.lower()
    return next((form for form, extensions in _EXTENSIONS.items() if extension in extensions), "html")


def _target_file(path: Path, output: str | None, form: str) -> Path | None:
    """
    Return the file to write; None for stdout.
    """
    if output is not None:
        return None if output == _STDOUT else Path(output)
    if form != "html" or not is_terminal():
        return None
    return Path(path.name.partition(".jsonl")[0] + _EXTENSIONS[form][0])


def _refuse_existing(target: Path) -> None:
    if target.exists():
        raise FileExistsError(errno.EEXIST, "the file exists; use --force to overwrite it", str(target))


def _print_parts(parts: Iterable[str]) -> None:
    for part in parts:
        print_out(escape_control_chars(part) if is_terminal() else part, end="")


def _write_file(parts: Iterable[str], target: Path) -> None:
    # With --force the file may exist.
    open_target: Any = replacement_file if target.exists() else new_file
    with open_target(target) as file:
        for part in parts:
            file.write(part.encode("utf-8", "backslashreplace"))
