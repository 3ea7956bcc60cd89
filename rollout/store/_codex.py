"""
Codex's own database of sessions, told what has changed.

Codex 0.169.0 lists files and finds them wherever they are, but of a session that it has seen it believes its database
(``state_5.sqlite``, table ``threads``): a session that it archived stays archived to it, and one that it named keeps
that name, whatever the files say. Where there is no such database or row, or it has other columns, there is nothing to
tell: Codex makes the row from the file.
"""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

__all__ = ["tell_codex"]

# Seconds to wait for Codex to let go of it.
_TIMEOUT = 5.0
_STATEMENTS = {
    # A session with numbers has its name in one column, others in the session index and where their first words stood.
    "name": (
        "UPDATE threads SET title = coalesce(:name, nullif(first_user_message, ''), preview, ''),"
        " name = CASE WHEN name IS NOT NULL OR history_mode = 'paginated' THEN :name END WHERE id = :id"
    ),
    "moved": (
        "UPDATE threads SET rollout_path = :path, archived = :archived,"
        " archived_at = CASE WHEN :archived THEN coalesce(archived_at, unixepoch()) END WHERE id = :id"
    ),
    "gone": "DELETE FROM threads WHERE id = :id",
}


def tell_codex(home: Path, session_id: str, **change: str | None) -> None:
    """
    Say what a session's name is (*name*), where it lies now (*live* or *archived*, a path), or that it is *gone*.

    Best effort: the files have changed already, and are the truth.
    """
    import sqlite3  # noqa: PLC0415 -- 4 ms, for who only reads names

    ((what, value),) = change.items()
    statement = _STATEMENTS.get(what, _STATEMENTS["moved"])
    values = {"id": session_id, "name": value, "path": value, "archived": what == "archived"}
    for path in home.glob("state_*.sqlite"):
        # Codex locks it for milliseconds; a version with other columns has other ways.
        with suppress(sqlite3.Error), closing(_opened(path)) as database:
            database.execute(statement, values)


def _opened(path: Path) -> sqlite3.Connection:
    import sqlite3  # noqa: PLC0415 -- as above

    # Not created where it has gone since.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, timeout=_TIMEOUT, isolation_level=None, uri=True)
