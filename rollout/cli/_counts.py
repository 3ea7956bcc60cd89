"""
``stats`` and ``storage``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import click

from rollout._facts import Filters
from rollout._units import duration_text, size_text
from rollout._visible import one_line
from rollout.cli._live import progress
from rollout.cli._options import SESSION, each, filter_options, filters_from, home_option, json_option
from rollout.cli._output import encode, hint, note, say, table
from rollout.layout import RolloutName, home_folder
from rollout.search import indexed_sessions, indexed_stats
from rollout.stats import SessionStats, combine, session_stats
from rollout.storage import Storage, home_storage, session_storage
from rollout.store import find

__all__ = ["stats_command", "storage_command"]


@click.command("stats")
@json_option
@click.option("--archived/--live", default=None, help="Only archived sessions, or none of them.")
@filter_options
@home_option
@click.argument("sessions", nargs=-1, type=SESSION)
def stats_command(sessions: tuple[str, ...], home: str | None, json: bool, **options: Any) -> int:
    """
    Count what SESSIONS took: turns, tool calls, failures, time, tokens; if none is named, all that fit the options.

    Tokens are those used, however often Codex repeats its totals; what a fork copied is not counted again. Reads the
    files that the index does not have as they are.

    \b
    Examples:
      rollout stats @last
      rollout stats --since 1w --json | jq .stats.tokens
    """
    filters = filters_from(options, archived=options.pop("archived"))
    if sessions and filters != Filters():
        raise click.UsageError("name sessions, or say which by options; not both.")
    folder = home_folder(home)
    whole = combine(map(session_stats, each(sessions, home)) if sessions else _fitting(folder, filters))
    if json:
        say(encode({"schema_version": 1, "stats": attrs.asdict(whole)}))
    elif whole.sessions:
        _show_stats(whole)
    else:
        hint(f"no session of {folder} fits")
    return 0 if whole.sessions else 1


def _fitting(home: Path, filters: Any) -> Iterator[SessionStats]:
    known = indexed_stats(home=home)
    with progress("reading sessions") as show:
        for number, session in enumerate(indexed_sessions(home=home, filters=filters)):
            show(number, 0)
            try:
                yield known.get(session.path) or session_stats(session.path)
            except (OSError, ImportError) as error:
                note(f"{session.path}: {error}; not counted")


def _show_stats(stats: SessionStats) -> None:
    tokens = stats.tokens
    rows = [
        ("sessions", f"{stats.sessions:,}"),
        ("from", one_line(stats.first_at or "")),
        ("to", one_line(stats.last_at or "")),
        ("turns", f"{stats.turns:,}"),
        ("duration", duration_text(stats.duration)),
        ("of it working", duration_text(stats.active_duration)),
        ("tokens", f"{tokens.total_tokens:,}"),
        ("input tokens", f"{tokens.input_tokens:,}"),
        ("of it cached", f"{tokens.cached_input_tokens:,}"),
        ("output tokens", f"{tokens.output_tokens:,}"),
        ("of it reasoning", f"{tokens.reasoning_output_tokens:,}"),
    ]
    table((("", "left"), ("", "right")), [(name, value) for name, value in rows if value])
    if stats.tools:
        say("")
        tools = sorted(stats.tools.items(), key=lambda item: -item[1].calls)
        table(
            (("tool", "left"), ("calls", "right"), ("failed", "right"), ("time", "right")),
            [(one_line(n), f"{t.calls:,}", f"{t.failures:,}", duration_text(t.duration)) for n, t in tools],
        )


@click.command("storage")
@json_option
@click.option("-n", "count", type=click.IntRange(0), default=10, show_default=True, help="How many of the largest.")
@home_option
@click.argument("session", required=False, type=SESSION)
def storage_command(session: str | None, home: str | None, count: int, json: bool) -> int:
    """
    Show where the bytes go: of a SESSION, or of all. By type of line, images, what compactions copy, the largest.

    \b
    Examples:
      rollout storage
      rollout storage @last --json
    """
    if session is not None:
        report = session_storage(find(session, home=home))
    else:
        with progress("reading sessions") as show:
            report = home_storage(home=home, largest=count, progress=lambda _n, _all, done, whole: show(done, whole))
    if json:
        say(encode({"schema_version": 1, "storage": _plain(report)}))
    else:
        _show_storage(report)
    for problem in report.problems:
        note(f"{problem.path}: {problem.reason}")
    return 0 if report.sessions else 1


def _plain(report: Storage) -> dict[str, Any]:
    row = attrs.asdict(report, recurse=True)
    row["largest"] = [{"path": os.fspath(path), "size": size} for path, size in report.largest]
    row["problems"] = [{"path": os.fspath(problem.path), "reason": problem.reason} for problem in report.problems]
    return row


def _show_storage(report: Storage) -> None:
    rows = [
        ("sessions", f"{report.sessions:,}"),
        ("on disk", size_text(report.size)),
        ("uncompressed", size_text(report.plain_size)),
        ("archived", size_text(report.archived_size)),
        ("in the trash", size_text(report.deleted_size)),
        (f"{report.images.count:,} images", size_text(report.images.size)),
        ("of it repeated", size_text(report.repeated_images)),
        ("copied by compactions", size_text(report.compaction_copies)),
        ("unreadable", size_text(report.unreadable)),
        ("unchanged for 7 days, not compressed", size_text(report.compressible)),
    ]
    table((("", "left"), ("", "right")), rows)
    say("")
    types = [(one_line(name), f"{part.count:,}", size_text(part.size)) for name, part in report.by_type.items()]
    table((("lines", "left"), ("count", "right"), ("size", "right")), types)
    if report.largest:
        say("")
        largest = [(_name_of(path), size_text(size)) for path, size in report.largest]
        table((("largest", "wide"), ("size", "right")), largest)


def _name_of(path: Path) -> str:
    name = RolloutName.parse(path)
    return f"{name.session_id}  {name.timestamp}" if name else one_line(os.fspath(path))
