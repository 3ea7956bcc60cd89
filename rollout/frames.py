"""
The sessions of a home as a pandas table. Needs the extra ``pandas``.

>>> from rollout.frames import sessions_dataframe
>>> sessions = sessions_dataframe()
>>> by_repository = sessions.groupby("repository")["total_tokens"].sum()
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from attrs import astuple

from rollout._text import to_local
from rollout.document import frame_of
from rollout.home import StrPath
from rollout.interpret import Filters
from rollout.reading import read_lines
from rollout.search import indexed_sessions, indexed_stats
from rollout.sessions import SessionInfo
from rollout.stats import SessionStats, counter_for

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
    Return a table of the sessions of a home, one per row, newest first.

    Blocks. Sessions for which the search index is current are taken from the index, some 0.25 ms each; the files of the
    other sessions are read, some 5 s per GB. To avoid this, update the index first (`rollout.search.update_index`). A
    file that cannot be opened is left out. A file that is deleted in the meantime has a problem instead of counts.

    Args:
        home: Home folder; by default ``CODEX_HOME``, else ``~/.codex``.
        filters: Conditions on sessions; by default all sessions, including archived ones.

    Returns:
        A table whose columns have the same dtypes if it is empty. Unknown values are missing (``<NA>``, ``NaT``, NaN).

        * *session_id*, *path* (string): id in the file name; path of the file.
        * *started* (datetime64[us]): time of creation, in the reader's local time.
        * *updated* (datetime64[us, UTC]): time of the last change.
        * *first_words* (string): the user's first request, at most 500 characters.
        * *cwd*, *branch*, *repository*, *model*, *originator*, *source* (string): folder in which the agent worked;
          branch and URL of git; model that answered last; program that recorded; cli, vscode, exec, mcp or another.
        * *is_archived* (boolean): whether the session is in the archive.
        * *turns*, *tool_calls*, *tool_failures* (Int64): numbers of prompts, of tool calls, and of failed calls.
        * *tool_seconds* (float64): seconds in tools, as far as the lines state them.
        * *input_tokens*, *cached_input_tokens* (part of the input), *output_tokens*, *reasoning_output_tokens* (part of
          the output), *total_tokens* (Int64): tokens used, without tokens that a fork inherited from another session.
        * *duration_seconds*, *active_seconds* (float64): seconds from the first line to the last; seconds in turns, if
          the session contains their times.
        * *size_bytes* (Int64): size of the file on the disk.
        * *problem* (string): description of the parts that could not be read.

    Raises:
        ModuleNotFoundError: The extra ``pandas`` is not installed.
    """
    # Check first whether pandas is installed, because reading may take long.
    frame_of({}, ())
    return frame_of(SESSION_COLUMNS, _rows(home, filters))


def _rows(home: StrPath | None, filters: Filters) -> Iterator[Sequence[Any]]:
    known = indexed_stats(home=home)
    for session in indexed_sessions(home=home, filters=filters, order="created"):
        stats, problem = known.get(session.path), session.problem
        if stats is None:
            stats, problem = _read(session)
        yield _row(session, stats, problem)


def _read(session: SessionInfo) -> tuple[SessionStats | None, str | None]:
    counter = counter_for(session.path)
    try:
        with read_lines(session.path) as lines:
            for line in lines:
                counter.add(line)
            skipped = lines.skipped
    except (OSError, ImportError) as error:
        return None, str(error)
    return counter.stats, f"line {skipped[0].lineno}: {skipped[0].reason}" if skipped else None


def _row(session: SessionInfo, stats: SessionStats | None, problem: str | None) -> Sequence[Any]:
    facts = session.facts
    return (
        session.session_id,
        str(session.path),
        _started(session.started_at),
        None if session.updated_at is None else (session.updated_at - _EPOCH_UTC) // _MICROSECOND,
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


def _started(moment: datetime | None) -> int | None:
    local = to_local(moment)
    return None if local is None else (local.replace(tzinfo=None) - _EPOCH) // _MICROSECOND


def _counts(stats: SessionStats | None) -> Sequence[Any]:
    if stats is None:
        return (None,) * 11
    tokens = (None,) * 5 if stats.tokens is None else astuple(stats.tokens)
    return (
        stats.turns,
        stats.calls,
        stats.failures,
        stats.tool_duration,
        *tokens,
        stats.duration,
        stats.active_duration,
    )
