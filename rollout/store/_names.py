"""
The names of sessions, in Codex's ``session_index.jsonl``, and the search for sessions by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from attrs import frozen

from rollout.codec import decode_json, encode_name
from rollout.errors import AmbiguousSessionError, SessionNotFoundError
from rollout.home import (
    NAMES_FILE,
    RolloutName,
    StrPath,
    append_name,
    checked_name,
    find_session,
    home_folder,
    is_path,
    locate,
    locked_names,
    replacement_file,
)
from rollout.interpret import SessionFacts, seconds_of
from rollout.reading import open_bytes, raw_lines
from rollout.sessions import listed_names, summarize
from rollout.store._codex_database import update_codex

__all__ = ["SessionNames", "find", "forget_name", "read_names", "rename_session", "session_names"]

_NUMBERED = re.compile(r"@(last|[1-9]\d{0,8})", re.ASCII)


def session_names(*, home: StrPath | None = None) -> dict[str, str]:
    """
    Return the names of sessions by their ids, the last named session at the end. Unreadable lines are skipped.

    Raises:
        OSError: The file with the names exists, but cannot be read.
    """
    names: dict[str, str] = {}
    for row in _rows(home_folder(home)):
        names.pop(row["id"], None)
        if row["thread_name"].strip():
            names[row["id"]] = row["thread_name"].strip()
    return names


@frozen
class SessionNames:
    """
    The names of the sessions of a home.

    Codex keeps names in ``session_index.jsonl``. Versions of spring 2026 wrote them also, or only, into the session's
    own file (``thread_name_updated``). The name that was given last counts; if a time is missing, that in
    ``session_index.jsonl``. A line without a name there removes the name.

    Attributes:
        rows: The last line of each session in ``session_index.jsonl``, by the session's id.
    """

    rows: Mapping[str, Mapping[str, Any]]

    def of(self, session_id: str, facts: SessionFacts) -> str | None:
        """
        Return the name of a session; None if it has none.

        Args:
            session_id: The session's id.
            facts: Facts from the session's file.
        """
        row = self.rows.get(session_id)
        if row is None:
            return facts.given_name
        if facts.given_name is not None:
            named_at = seconds_of(text) if isinstance(text := row.get("updated_at"), str) else 0.0
            if 0 < named_at < seconds_of(facts.named_at):
                return facts.given_name
        return row["thread_name"].strip() or None

    def of_file(self, path: Path) -> str | None:
        """
        Return the name of the session in a file, whose first and last lines are read; None if it has none.
        """
        name = RolloutName.parse(path)
        if name is None:
            return None
        try:
            facts = summarize(name, is_archived=False).facts
        except (OSError, ImportError):
            facts = SessionFacts()
        return self.of(name.session_id, facts)


def read_names(home: Path) -> SessionNames:
    """
    Return the names of the sessions of a home.

    Raises:
        OSError: The file with the names exists, but cannot be read.
    """
    return SessionNames({row["id"]: row for row in _rows(home)})


def rename_session(session: StrPath, name: str | None, *, home: StrPath | None = None) -> str:
    """
    Set the name of a session, which Codex also shows. Blocks until the name is on disk. A writer may have the session
    open.

    Args:
        session: The session's id, the beginning of the id, or its file.
        name: The new name; None removes the name.
        home: By default ``CODEX_HOME``, else ``~/.codex``.

    Returns:
        The session's id.

    Raises:
        SessionNotFoundError, AmbiguousSessionError: As `find_session`.
        ValueError: The name is blank, or contains a line break or another control character.
        OSError: The name could not be written; the old name is unchanged.
    """
    name = None if name is None else checked_name(name)
    folder = home_folder(home)
    path, session_id = _identify(session, folder)
    # Codex's database is updated before the lock is released, so that both have the same name.
    with locked_names(folder):
        if name is None:
            _forget(folder, session_id)
            if read_names(folder).of_file(path) is not None:
                # Its own file names it, and is never changed.
                append_name(folder, encode_name(session_id, ""))
        else:
            append_name(folder, encode_name(session_id, name))
        update_codex(folder, session_id, name=name)
    return session_id


def _identify(session: StrPath, home: Path) -> tuple[Path, str]:
    path = locate(session, home)
    name = RolloutName.parse(path)
    # A session that was found by its id may have been moved in the meantime; this does not affect its name.
    if name is None or (is_path(session) and not path.is_file()):
        raise SessionNotFoundError(str(path), path.parent)
    return path, name.session_id


def forget_name(home: Path, session_id: str) -> None:
    """
    Remove a session's name: all its lines, as Codex does.
    """
    if _is_named(home, session_id):
        with locked_names(home):
            _forget(home, session_id)


def _is_named(home: Path, session_id: str) -> bool:
    return any(row["id"] == session_id for row in _rows(home))


def _forget(home: Path, session_id: str) -> None:
    if not _is_named(home, session_id):
        return
    with replacement_file(home / NAMES_FILE) as file:
        for raw in _raw_rows(home):
            row = _row(raw)
            if row is None or row["id"] != session_id:
                file.write(raw + b"\n")


def find(reference: StrPath, *, home: StrPath | None = None) -> Path:
    """
    Return a session's file by any kind of reference. Reads names, and the first lines of sessions for ``@2``. For a
    name that ``session_index.jsonl`` does not contain, uses the index, or else reads the first and last lines of all
    sessions.

    Args:
        reference: The session's file, its id or the beginning of the id, its full name, ``@last`` for the newest
            session of `list_sessions`, or ``@2`` for the second newest. Ids take precedence over names.
        home: By default ``CODEX_HOME``, else ``~/.codex``.

    Raises:
        SessionNotFoundError: No session matches.
        AmbiguousSessionError: Several sessions match.
    """
    folder = home_folder(home)
    numbered = _NUMBERED.fullmatch(reference) if isinstance(reference, str) else None
    if numbered is not None:
        number = 1 if numbered[1] == "last" else int(numbered[1])
        found = next(islice(listed_names(folder), number - 1, None), None)
        if found is None:
            raise SessionNotFoundError(str(reference), folder)
        return found.path
    try:
        return locate(reference, folder)
    except SessionNotFoundError:
        named = _found_by_name(str(reference), folder)
        if len(named) > 1:
            raise AmbiguousSessionError(str(reference), tuple(named)) from None
        if not named:
            raise
        return next(iter(named.values()))


def _found_by_name(name: str, home: Path) -> dict[str, Path]:
    from rollout.search import sessions_given_name  # noqa: PLC0415 -- sqlite3

    wanted, names, found = name.strip(), read_names(home), {}
    for session_id, row in names.rows.items():
        if row["thread_name"].strip() == wanted:
            # A name may outlive its session.
            with suppress(SessionNotFoundError):
                path = find_session(session_id, home=home)
                if names.of_file(path) == wanted:
                    found[session_id] = path
    if not found:
        named = sessions_given_name(home, wanted)
        found = {own.session_id: own.path for own, facts in named if names.of(own.session_id, facts) == wanted}
    return found


def _rows(home: Path) -> Iterator[dict[str, Any]]:
    return (row for row in map(_row, _raw_rows(home)) if row is not None)


def _raw_rows(home: Path) -> Iterator[bytes]:
    try:
        file, _ = open_bytes(home / NAMES_FILE)
    except FileNotFoundError:
        return
    with file:
        yield from (line.raw for line in raw_lines(file) if line.raw and not line.raw.isspace())


def _row(raw: bytes) -> dict[str, Any] | None:
    try:
        row = decode_json(raw)
    except ValueError:
        return None
    if type(row) is dict and isinstance(row.get("id"), str) and isinstance(row.get("thread_name"), str):
        return {**row, "id": row["id"].lower()}
    return None
