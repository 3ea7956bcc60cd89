"""
The sessions of a home as a table of pandas. Needs the extra ``pandas``.

>>> from rollout.frames import sessions_dataframe
>>> sessions = sessions_dataframe()
>>> by_repository = sessions.groupby("repository")["total_tokens"].sum()
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from rollout._facts import Filters
from rollout._frame import frame_of
from rollout.layout import StrPath
from rollout.reader import read_lines
from rollout.search import IndexedSession, indexed_sessions, indexed_stats
from rollout.stats import SessionStats, StatsCounter

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

__all__ = ["SESSION_COLUMNS", "sessions_dataframe"]

SESSION_COLUMNS = {
    "session_id": "string",
    "path": "string",
    "started": "datetime64[us]",
    "updated": "datetime64[us, UTC]",
    "first_words": "string",
    "cwd": "string",
    "branch": "string",
    "repository": "string",
    "model": "string",
    "originator": "string",
    "source": "string",
    "is_archived": "boolean",
    "turns": "Int64",
    "tool_calls": "Int64",
    "tool_failures": "Int64",
    "tool_seconds": "float64",
    "input_tokens": "Int64",
    "cached_input_tokens": "Int64",
    "output_tokens": "Int64",
    "reasoning_output_tokens": "Int64",
    "total_tokens": "Int64",
    "duration_seconds": "float64",
    "active_seconds": "float64",
    "size_bytes": "Int64",
    "problem": "string",
}
"""The columns of `sessions_dataframe` and their dtypes."""

_EPOCH, _EPOCH_UTC = datetime(1970, 1, 1), datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: DTZ001 -- local times
_MICROSECOND = timedelta(microseconds=1)


def sessions_dataframe(home: StrPath | None = None, *, filters: Filters = Filters()) -> pd.DataFrame:  # noqa: B008 -- frozen
    """
    Make a table of the sessions of a home, one a row, those begun last first.

    Blocks. What the search index has is taken from it, some 0.25 ms a session; every other session's file is read,
    some 5 s a GB: bring the index up to date before (`rollout.search.update_index`). A file that may
    not be opened is left out; one that goes meanwhile has no counts, but a problem.

    Args:
        home: By default ``CODEX_HOME``, else ``~/.codex``.
        filters: Which sessions, by what is said of them; by default all, the archived ones among them.

    Returns:
        A table whose columns have the same dtypes if it is empty. What is not known is missing (``<NA>``, ``NaT``,
        NaN).

        * *session_id*, *path* (string): the id in the file's name; the file.
        * *started* (datetime64[us]): when the file was made, in the local time of then, as its name has it.
        * *updated* (datetime64[us, UTC]): when it changed last.
        * *first_words* (string): what the user began with; from the index its first 120 characters.
        * *cwd*, *branch*, *repository*, *model*, *originator*, *source* (string): the folder the agent worked in; of
          git the branch and URL; the model that answered last; the program that recorded; cli, vscode, exec, mcp or
          another.
        * *is_archived* (boolean): it lies in the archive.
        * *turns*, *tool_calls*, *tool_failures* (Int64): how often the user asked, tools were called, calls failed.
        * *tool_seconds* (float64): seconds in tools, as far as they were measured.
        * *input_tokens*, *cached_input_tokens* (of them), *output_tokens*, *reasoning_output_tokens* (of them),
          *total_tokens* (Int64): used, without what a fork has from another session.
        * *duration_seconds*, *active_seconds* (float64): from the first line to the last; while a turn ran, of those
          that say so.
        * *size_bytes* (Int64): of the file, as it lies there.
        * *problem* (string): what could not be read of it.

    Raises:
        ModuleNotFoundError: The extra ``pandas`` is not installed.
    """
    # Asked first: reading may take long.
    frame_of({}, ())
    return frame_of(SESSION_COLUMNS, _rows(home, filters))


def _rows(home: StrPath | None, filters: Filters) -> Iterator[Sequence[Any]]:
    known = indexed_stats(home=home)
    for session in indexed_sessions(home=home, filters=filters, order="created"):
        stats, problem = known.get(session.path), session.problem
        if stats is None:
            stats, problem = _read(session)
        yield _row(session, stats, problem)


def _read(session: IndexedSession) -> tuple[SessionStats | None, str | None]:
    counter = StatsCounter()
    try:
        with read_lines(session.path) as lines:
            for line in lines:
                counter.add(line)
            skipped = lines.skipped
    except (OSError, ImportError) as error:
        return None, str(error)
    return counter.stats, f"line {skipped[0].lineno}: {skipped[0].reason}" if skipped else None


def _row(session: IndexedSession, stats: SessionStats | None, problem: str | None) -> Sequence[Any]:
    facts = session.facts
    return (
        session.session_id,
        str(session.path),
        _started(session.timestamp),
        (session.updated_at - _EPOCH_UTC) // _MICROSECOND,
        facts.preview,
        facts.cwd,
        facts.branch,
        facts.repository,
        facts.model,
        facts.originator,
        facts.source,
        session.is_archived,
        *_counts(stats),
        session.size,
        problem,
    )


def _started(timestamp: str) -> int | None:
    try:
        return (datetime.strptime(timestamp, "%Y-%m-%dT%H-%M-%S") - _EPOCH) // _MICROSECOND  # noqa: DTZ007 -- local time
    except ValueError:
        # The 31st of a shorter month.
        return None


def _counts(stats: SessionStats | None) -> Sequence[Any]:
    if stats is None:
        return (None,) * 11
    tools, tokens = stats.tools.values(), stats.tokens
    return (
        stats.turns,
        sum(tool.calls for tool in tools),
        sum(tool.failures for tool in tools),
        sum(tool.duration for tool in tools),
        tokens.input_tokens,
        tokens.cached_input_tokens,
        tokens.output_tokens,
        tokens.reasoning_output_tokens,
        tokens.total_tokens,
        stats.duration,
        stats.active_duration,
    )
