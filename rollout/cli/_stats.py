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

from rollout._text import duration_text, one_line, size_text
from rollout.cli._exit_status import DONE, NOT_FOUND
from rollout.cli._options import SESSION, filter_options, find_all, home_option, json_option, pop_filters
from rollout.cli._output import encode, info, print_out, print_table, warn
from rollout.cli._progress import progress
from rollout.home import RolloutName, home_folder
from rollout.interpret import Filters
from rollout.search import indexed_sessions, indexed_stats
from rollout.stats import SessionStats, combine, session_stats
from rollout.storage import Storage, home_storage, session_storage
from rollout.store import find

__all__ = ["stats_command", "storage_command"]


@click.command("stats")
@json_option
@click.option("--archived/--live", default=None, help="Only archived sessions, or only sessions that are not archived.")
@filter_options
@home_option
@click.argument("sessions", nargs=-1, type=SESSION)
def stats_command(sessions: tuple[str, ...], home: str | None, json: bool, **options: Any) -> int:
    """
    Print the turns, tool calls, failures, time and tokens of SESSIONS, by default of all that match the options.

    Counts each token once, even if Codex repeats its totals, and leaves out the lines that a fork copied. Reads only
    the files that are missing or outdated in the index.

    \b
    Examples:
      rollout stats @last
      rollout stats --since 1w --json | jq .stats.tokens
    """
    filters = pop_filters(options, archived=options.pop("archived"))
    if sessions and filters != Filters():
        raise click.UsageError("SESSIONS and filter options cannot be combined.")
    folder = home_folder(home)
    total = combine(map(session_stats, find_all(sessions, home)) if sessions else _matching_stats(folder, filters))
    if json:
        print_out(encode({"schema_version": 1, "stats": attrs.asdict(total)}))
    elif total.sessions:
        _print_stats(total)
    else:
        info(f"no session in {folder} matches")
    return DONE if total.sessions else NOT_FOUND


def _matching_stats(home: Path, filters: Any) -> Iterator[SessionStats]:
    known = indexed_stats(home=home)
    with progress("reading sessions") as show:
        for number, session in enumerate(indexed_sessions(home=home, filters=filters)):
            show(number, 0)
            try:
                yield known.get(session.path) or session_stats(session.path)
            except (OSError, ImportError) as error:
                warn(f"{session.path}: {error}; not counted")


def _print_stats(stats: SessionStats) -> None:
    tokens = stats.tokens
    rows = [
        ("sessions", f"{stats.sessions:,}"),
        ("from", one_line(stats.first_at or "")),
        ("to", one_line(stats.last_at or "")),
        ("turns", f"{stats.turns:,}"),
        ("duration", duration_text(stats.duration)),
        ("active time", duration_text(stats.active_duration)),
        ("tokens", f"{tokens.total_tokens:,}"),
        ("input tokens", f"{tokens.input_tokens:,}"),
        ("cached input tokens", f"{tokens.cached_input_tokens:,}"),
        ("output tokens", f"{tokens.output_tokens:,}"),
        ("reasoning tokens", f"{tokens.reasoning_output_tokens:,}"),
    ]
    print_table((("", "left"), ("", "right")), [(name, value) for name, value in rows if value])
    if stats.tools:
        print_out("")
        tools = sorted(stats.tools.items(), key=lambda item: -item[1].calls)
        print_table(
            (("tool", "left"), ("calls", "right"), ("failed", "right"), ("time", "right")),
            [
                (one_line(name), f"{tool.calls:,}", f"{tool.failures:,}", duration_text(tool.duration))
                for name, tool in tools
            ],
        )


@click.command("storage")
@json_option
@click.option(
    "-n", "count", type=click.IntRange(0), default=10, show_default=True, help="Number of largest sessions to list."
)
@home_option
@click.argument("session", required=False, type=SESSION)
def storage_command(session: str | None, home: str | None, count: int, json: bool) -> int:
    """
    Show the disk usage of a SESSION, or of all sessions.

    Lists the sizes of line types, images, and copies by compactions, and the largest sessions.

    \b
    Examples:
      rollout storage
      rollout storage @last --json
    """
    if session is not None:
        report = session_storage(find(session, home=home))
    else:
        with progress("reading sessions") as show:
            report = home_storage(home=home, largest=count, progress=lambda _n, _all, done, total: show(done, total))
    if json:
        print_out(encode({"schema_version": 1, "storage": _storage_row(report)}))
    else:
        _print_storage(report)
    for problem in report.problems:
        warn(f"{problem.path}: {problem.reason}")
    return DONE if report.sessions else NOT_FOUND


def _storage_row(report: Storage) -> dict[str, Any]:
    row = attrs.asdict(report, recurse=True)
    row["largest"] = [{"path": os.fspath(path), "size": size} for path, size in report.largest]
    row["problems"] = [{"path": os.fspath(problem.path), "reason": problem.reason} for problem in report.problems]
    return row


def _print_storage(report: Storage) -> None:
    rows = [
        ("sessions", f"{report.sessions:,}"),
        ("on disk", size_text(report.size)),
        ("uncompressed", size_text(report.plain_size)),
        ("archived", size_text(report.archived_size)),
        ("in the trash", size_text(report.deleted_size)),
        (f"{report.images.count:,} images", size_text(report.images.size)),
        ("repeated images", size_text(report.repeated_images)),
        ("copies by compactions", size_text(report.compaction_copies)),
        ("unreadable", size_text(report.unreadable)),
        ("unchanged for 7 days, not compressed", size_text(report.compressible)),
    ]
    print_table((("", "left"), ("", "right")), rows)
    print_out("")
    types = [(one_line(name), f"{part.count:,}", size_text(part.size)) for name, part in report.by_type.items()]
    print_table((("line type", "left"), ("count", "right"), ("size", "right")), types)
    if report.largest:
        print_out("")
        largest = [(_session_label(path), size_text(size)) for path, size in report.largest]
        print_table((("largest sessions", "wide"), ("size", "right")), largest)


def _session_label(path: Path) -> str:
    name = RolloutName.parse(path)
    return f"{name.session_id}  {name.timestamp}" if name else one_line(os.fspath(path))
