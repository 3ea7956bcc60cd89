"""
Updates of Codex's own database of sessions.

Codex 0.169.0 lists files and finds them in any folder. But for a session that it knows, its database
(``state_5.sqlite``, table ``threads``) takes precedence over the files: for Codex, a session that it archived or named
stays archived or named. Without such a database, row or column, no update is needed: Codex creates the row from the
file.
"""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

__all__ = ["forget_turns", "update_codex"]

# Seconds to wait until Codex unlocks the database.
_TIMEOUT = 5.0
_TURN_TABLES = ("thread_items", "thread_turns", "thread_history_projection_state")
_STATEMENTS = {
    # A session with ordinals has its name in the column "name". Other sessions have it in the session index and in
    # "title", in place of their first words.
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


def update_codex(home: Path, session_id: str, **change: str | None) -> None:
    """
    Record in Codex's database a session's *name*, its path (*live* or *archived*), or that it was deleted (*gone*).

    Best effort: errors of the database are ignored, because the files have already changed and are authoritative.
    """
    import sqlite3  # noqa: PLC0415 -- 4 ms, not needed to read names

    ((what, value),) = change.items()
    statement = _STATEMENTS.get(what, _STATEMENTS["moved"])
    values = {"id": session_id, "name": value, "path": value, "archived": what == "archived"}
    for path in home.glob("state_*.sqlite"):
        # Codex locks the database for milliseconds. A database with other columns is left unchanged.
        with suppress(sqlite3.Error), closing(_opened(path)) as database:
            database.execute(statement, values)


def forget_turns(home: Path, session_id: str) -> None:
    """
    Delete the turns of a session from Codex's database of turns, which it then reads again from the session's file.

    The database contains positions in the file. Best effort, as `update_codex`.
    """
    import sqlite3  # noqa: PLC0415 -- as above

    for path in home.glob("thread_history_*.sqlite"):
        with suppress(sqlite3.Error), closing(_opened(path)) as database:
            database.execute("BEGIN IMMEDIATE")
            for table in _TURN_TABLES:
                database.execute(f"DELETE FROM {table} WHERE thread_id = ?", (session_id,))  # noqa: S608
            database.execute("COMMIT")


def _opened(path: Path) -> sqlite3.Connection:
    import sqlite3  # noqa: PLC0415 -- as above

    # Does not create the database if it was removed in the meantime.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, timeout=_TIMEOUT, isolation_level=None, uri=True)
