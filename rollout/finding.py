"""
A session's file, found by its id or the beginning of it. Works on names alone.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from uuid import UUID

from rollout._walk import rollouts_of_day, walk
from rollout.errors import AmbiguousSessionError, SessionNotFoundError
from rollout.layout import UUID_PATTERN, RolloutName, StrPath, home_folder

__all__ = ["find_session", "locate"]


def find_session(session_id: str, *, home: StrPath | None = None) -> Path:
    """
    Find a session's file by its id or the beginning of it; the newest, where a session has several files.

    Archived sessions are found if no other fits. Reads folders, opens no file.

    Raises:
        SessionNotFoundError: There is none.
        AmbiguousSessionError: The beginning fits several sessions.
    """
    folder = home_folder(home)
    wanted = str(session_id).lower()
    if re.fullmatch(r"[0-9a-f-]+", wanted, re.ASCII):
        is_whole = re.fullmatch(UUID_PATTERN, wanted) is not None
        for archived in (False, True):
            found = _newest_of_day(folder, wanted) if is_whole and not archived else None
            found = found or _newest_fitting(folder, wanted, is_whole, archived)
            if found is not None:
                return found.path
    raise SessionNotFoundError(str(session_id), folder)


def _newest_fitting(home: Path, wanted: str, is_whole: bool, archived: bool) -> RolloutName | None:
    newest: dict[str, RolloutName] = {}
    for name in walk(home, holding=wanted, is_archived=archived):
        if name.session_id.startswith(wanted):
            newest.setdefault(name.session_id, name)
            if is_whole:
                break
    if len(newest) > 1:
        raise AmbiguousSessionError(wanted, tuple(sorted(newest)))
    return next(iter(newest.values()), None)


def _newest_of_day(home: Path, session_id: str) -> RolloutName | None:
    """
    Look where the date inside a UUIDv7 says: 0.08 ms, against 68 for a walk through 100,000 names.
    """
    value = UUID(session_id)
    if value.version != 7:
        return None
    names = rollouts_of_day(home, (value.int >> 80) / 1000, session_id)
    return next((name for name in names if name.session_id == session_id), None)


def locate(path_or_id: StrPath, home: StrPath | None = None) -> Path:
    """
    Take a path as it is and find an id or its beginning; what looks like a file name is a path.

    Raises:
        SessionNotFoundError: It is an id, and there is no such session.
        AmbiguousSessionError: It is the beginning of several ids.
    """
    if not isinstance(path_or_id, str):
        return Path(path_or_id)
    if os.sep in path_or_id or path_or_id.endswith((".jsonl", ".zst")):
        return Path(path_or_id).expanduser()
    return find_session(path_or_id, home=home)
