"""
``stats`` and ``storage``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import click

from rollout._text import duration_text, moment_text, one_line, size_text
from rollout._version import SCHEMA_VERSION
from rollout.cli._exit_status import DONE, NOT_FOUND
from rollout.cli._options import SESSION, filter_options, find_all, home_option, json_option, pop_filters
from rollout.cli._output import encode, info, print_out, print_table, warn
from rollout.cli._progress import progress
from rollout.home import RolloutName, home_folder
from rollout.interpret import Filters, SessionFacts
from rollout.search import indexed_sessions, indexed_stats, read_facts
from rollout.sessions import SessionInfo
from rollout.stats import GROUPS, Group, SessionStats, combine, group_stats, plain_stats, session_stats
from rollout.storage import Storage, home_storage, session_storage
from rollout.store import agents_of, find

__all__ = ["stats_command", "storage_command"]


@click.command("stats")
@json_option
@click.option("--by", type=click.Choice(GROUPS), help="Print a table: a row for each day, model, tool and so on.")
@click.option("--archived/--live", default=None, help="Only archived sessions, or only sessions that are not archived.")
@filter_options
@home_option
@click.argument("sessions", nargs=-1, type=SESSION)
def stats_command(sessions: tuple[str, ...], home: str | None, json: bool, by: Group | None, **options: Any) -> int:
    """
    Print the turns, tool calls, failures, time and tokens of SESSIONS, by default of all that match the options.

    A session counts together with its sub-agents. Counts each token once, even if Codex repeats its totals, and leaves
    out the lines that a fork copied. With --since
    and --until, counts only what was used in this time, to a quarter of an hour. What no line states is "-", in JSON
    null. Reads only the files that are missing or outdated in the index.

    \b
    Examples:
      rollout stats @last
      rollout stats --since 1w --by day
      rollout stats --by model --json | jq .groups
    """
    filters = pop_filters(options, archived=options.pop("archived"))
    if sessions and filters != Filters():
        raise click.UsageError("SESSIONS and filter options cannot be combined.")
    folder = home_folder(home).absolute()
    found = _given_stats(sessions, home) if sessions else _matching_stats(folder, filters)
    pairs = list(found)
    total = combine(stats for stats, _ in pairs)
    groups = None if by is None else group_stats(pairs, by)
    if json:
        print_out(encode({"schema_version": SCHEMA_VERSION, "stats": plain_stats(total), **_group_rows(by, groups)}))
    elif groups is not None and total.sessions:
        _print_groups(str(by), groups)
    elif total.sessions:
        _print_stats(total)
    else:
        info(f"no session in {folder} matches")
    return DONE if total.sessions else NOT_FOUND


def _given_stats(sessions: tuple[str, ...], home: str | None) -> Iterator[tuple[SessionStats, SessionFacts]]:
    paths = find_all(sessions, home)
    for path in paths:
        facts = read_facts(path)
        yield session_stats(path), facts
        for name in agents_of(path):
            if name.path not in paths:
                yield _of_agent(session_stats(name.path)), facts


def _of_agent(stats: SessionStats) -> SessionStats:
    return attrs.evolve(stats, sessions=0, agents=1)


def _matching_stats(home: Path, filters: Filters) -> Iterator[tuple[SessionStats, SessionFacts]]:
    """
    Yield the statistics and the facts of the sessions; those of a sub-agent with the facts of its first session.
    """
    pairs = [*_read_matching(home, filters)]
    sessions = {session.session_id: session for session, _ in pairs}
    for session, stats in pairs:
        root, seen = session, {session.session_id}
        while (parent := sessions.get(root.facts.parent_id or "")) is not None and parent.session_id not in seen:
            root = parent
            seen.add(root.session_id)
        yield (stats if root is session else _of_agent(stats)), root.facts


def _read_matching(home: Path, filters: Filters) -> Iterator[tuple[SessionInfo, SessionStats]]:
    known = indexed_stats(home=home)
    with progress("reading sessions") as show:
        for number, session in enumerate(indexed_sessions(home=home, filters=filters)):
            show(number, 0)
            try:
                stats = known.get(session.path) or session_stats(session.path)
            except (OSError, ImportError) as error:
                warn(f"{session.path}: {error}; not counted")
                continue
            yield session, stats.between(filters.since, filters.until)


def _print_stats(stats: SessionStats) -> None:
    tokens = stats.tokens
    counts = (None,) * 5 if tokens is None else attrs.astuple(tokens)
    used, cached, answered, reasoned, total = ("-" if count is None else f"{count:,}" for count in counts)
    rows = [
        ("sessions", f"{stats.sessions:,}"),
        ("sub-agents", f"{stats.agents:,}" if stats.agents else ""),
        ("from", moment_text(stats.first_at)),
        ("to", moment_text(stats.last_at)),
        ("turns", f"{stats.turns:,}"),
        ("duration", _seconds_text(stats.duration)),
        ("active time", _seconds_text(stats.active_duration)),
        ("tokens", total),
        ("input tokens", used),
        ("cached input tokens", cached),
        ("output tokens", answered),
        ("reasoning tokens", reasoned),
    ]
    print_table((("", "left"), ("", "right")), [(name, value) for name, value in rows if value])
    if stats.tools:
        print_out("")
        tools = sorted(stats.tools.items(), key=lambda item: -item[1].calls)
        print_table(
            (("tool", "left"), ("calls", "right"), ("failed", "right"), ("time", "right")),
            [
                (one_line(name), f"{tool.calls:,}", f"{tool.failures:,}", _seconds_text(tool.duration))
                for name, tool in tools
            ],
        )


def _seconds_text(seconds: float | None) -> str:
    return "-" if seconds is None else duration_text(seconds)


def _print_groups(by: str, groups: Mapping[str | None, SessionStats]) -> None:
    # Turns, tokens and active time belong to no tool.
    heads: tuple[str, ...] = ("sessions", "calls", "failed", "tool time")
    if by != "tool":
        heads = ("sessions", "turns", "calls", "failed", "active time", "tokens")
    rows = []
    for name, stats in groups.items():
        cells = {
            "sessions": f"{stats.sessions:,}",
            "turns": f"{stats.turns:,}",
            "calls": f"{stats.calls:,}",
            "failed": f"{stats.failures:,}",
            "active time": _seconds_text(stats.active_duration),
            "tool time": _seconds_text(stats.tool_duration),
            "tokens": "-" if stats.tokens is None else f"{stats.tokens.total_tokens:,}",
        }
        rows.append((one_line("-" if name is None else name), *(cells[head] for head in heads)))
    print_table(((by, "left"), *((head, "right") for head in heads)), rows)


def _group_rows(by: Group | None, groups: Mapping[str | None, SessionStats] | None) -> dict[str, Any]:
    if groups is None:
        return {}
    names = ("sessions", "calls", "failures", "active_duration", "tool_duration")
    rows = [
        {
            "name": name,
            **{key: getattr(stats, key) for key in names},
            "turns": None if by == "tool" else stats.turns,
            "tokens": None if stats.tokens is None else attrs.asdict(stats.tokens),
        }
        for name, stats in groups.items()
    ]
    return {"by": by, "groups": rows}


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
        print_out(encode({"schema_version": SCHEMA_VERSION, "storage": _storage_row(report)}))
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
    return f"{name.session_id}  {moment_text(name.started_at)}" if name else one_line(os.fspath(path))
