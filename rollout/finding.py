"""
A session's file, found by its id or the beginning of it. Works on names alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from rollout._walk import rollouts_of_day, walk
from rollout.errors import AmbiguousSessionError, SessionNotFoundError
from rollout.layout import UUID_PATTERN, RolloutName, StrPath, home_folder

__all__ = ["find_session", "is_path", "locate", "use_found"]

_T = TypeVar("_T")
# Maximum number of attempts to find a session that is moved before it can be used.
_TRIES = 10
# Whether to search the archive, in order: live sessions have precedence. The live sessions are searched twice, because
# a session may be moved out of the archive between the first two searches. If there is no such session among 100,000,
# this takes 70 ms more.
_PLACES = (False, True, False)


def find_session(session_id: str, *, home: StrPath | None = None) -> Path:
    """
    Find a session's file by its id or the beginning of it; the newest, where a session has several files.

    Archived sessions are found if no other fits. Reads folders, opens no file. The file may be moved or deleted before
    the caller uses it.

    Raises:
        SessionNotFoundError: There is none.
        AmbiguousSessionError: The beginning fits several sessions.
    """
    folder = home_folder(home)
    wanted = str(session_id).lower()
    if re.fullmatch(r"[0-9a-f-]+", wanted, re.ASCII):
        is_whole = re.fullmatch(UUID_PATTERN, wanted) is not None
        for archived in _PLACES:
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
    return Path(path_or_id).expanduser() if is_path(path_or_id) else find_session(path_or_id, home=home)


def is_path(path_or_id: StrPath) -> bool:
    """
    Return whether `locate` takes the argument for a path, not for an id.
    """
    return not isinstance(path_or_id, str) or os.sep in path_or_id or path_or_id.endswith((".jsonl", ".zst"))


def use_found(find: Callable[[], Path], use: Callable[[Path], _T]) -> _T:
    """
    Call *use* with the path that *find* returns. Repeat both if *use* raises FileNotFoundError: the file was moved.

    Raises:
        FileNotFoundError: The file was moved before each attempt, or does not exist.
        Exception: As *find* and *use*.
    """
    for _ in range(_TRIES - 1):
        path = find()
        try:
            return use(path)
        except FileNotFoundError:
            continue
    return use(find())
