"""
The layout of a home: its folders, and the path of a new session.

Uses only names: no file is opened, except the new file of `create_session_file`. Folders are named after local time, as
in Codex.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

from rollout.home._file_names import RolloutName

__all__ = [
    "archive_folder",
    "create_session_file",
    "day_folder",
    "day_of_name",
    "folder_for",
    "folders_of_day",
    "folders_up_to_home",
    "home_folder",
    "home_of",
    "is_archived",
    "has_link",
    "is_session_folder",
    "make_folder",
    "missing_folders",
    "new_session_id",
    "new_session_path",
    "real_day_folder",
    "sessions_folder",
    "trash_folder",
]

StrPath: TypeAlias = "str | os.PathLike[str]"

_SESSIONS = "sessions"
_ARCHIVED = "archived_sessions"
# A folder of this package: Codex has no trash. Not below ``sessions``, where Codex of 2025 would find its files.
_DELETED = "deleted_sessions"
# Folders of days in other spellings than that of Codex, below ``sessions``: unpadded, or one name for a day.
_DAY_NAME = re.compile(r"(\d{4})-(\d\d?)-(\d\d?)", re.ASCII)
_SESSION_FOLDER = re.compile(rf"{_SESSIONS}(?:(?:/\d+){{0,3}}|/{_DAY_NAME.pattern})|{_ARCHIVED}")


def home_folder(home: StrPath | None = None) -> Path:
    """
    Return *home*, else the environment variable ``CODEX_HOME``, else ``~/.codex``. The folder may not exist.
    """
    return Path(home or os.environ.get("CODEX_HOME") or "~/.codex").expanduser()


def home_of(path: Path) -> Path | None:
    """
    Return the home that contains a rollout; None if the path is not in a home.
    """
    parents = path.absolute().parents
    for depth, name in ((0, _SESSIONS), (0, _ARCHIVED), (0, _DELETED), (1, _SESSIONS), (3, _SESSIONS)):
        if len(parents) > depth + 1 and parents[depth].name == name and (depth != 1 or day_of_name(parents[0].name)):
            return parents[depth + 1]
    return None


def sessions_folder(home: Path) -> Path:
    """
    Return the folder that contains the folders of days.
    """
    return home / _SESSIONS


def day_folder(home: Path, day: Sequence[int]) -> Path:
    """
    Return the folder of a day: year, month, day.
    """
    return home / _SESSIONS / str(day[0]) / f"{day[1]:02d}" / f"{day[2]:02d}"


def day_of_name(name: str) -> tuple[int, int, int] | None:
    """
    Return the day of a folder that has one name for the whole day, ``2026-06-08``; None for another name.
    """
    found = _DAY_NAME.fullmatch(name)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def folders_of_day(home: Path, day: Sequence[int]) -> list[Path]:
    """
    Return the folders that may contain the rollouts of a day, in all spellings; that of Codex first.
    """
    sessions, (year, month, day_) = home / _SESSIONS, day
    months, days = (dict.fromkeys((f"{number:02d}", str(number))) for number in (month, day_))
    names = dict.fromkeys(f"{year}-{one}-{other}" for one in months for other in days)
    return [*(sessions / str(year) / one / other for one in months for other in days), *(sessions / n for n in names)]


def folder_for(home: Path, name: RolloutName) -> Path:
    """
    Return the folder into which a rollout is moved back: that of its day, or ``sessions`` if its name states none.

    Raises:
        OSError: The path of the folder contains a link.
    """
    return real_day_folder(home, name.day) if name.is_dated else sessions_folder(home)


def archive_folder(home: Path) -> Path:
    """
    Return the folder of archived rollouts; it has no subfolders.
    """
    return home / _ARCHIVED


def trash_folder(home: Path) -> Path:
    """
    Return the folder of deleted rollouts; it has no subfolders.
    """
    return home / _DELETED


def folders_up_to_home(path: Path) -> list[Path]:
    """
    Return the folders of a rollout's path, from its own folder up to the home; only its own if it is not in a home.
    """
    home = home_of(path)
    folders = list(path.absolute().parents)
    return folders[: folders.index(home) + 1 if home else 1]


def is_archived(path: Path) -> bool:
    """
    Return whether a rollout is in an archive folder.
    """
    return path.absolute().parent.name == _ARCHIVED


def new_session_id() -> str:
    """
    Return a new UUID of version 7: its first 48 bits are Unix milliseconds (RFC 9562, 5.7).
    """
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


def create_session_file(home: Path, session_id: str, now: float) -> tuple[Path, int]:
    """
    Create the file of a new session, mode 0600, and missing folders, mode 0700.

    Args:
        home: The home.
        session_id: UUID in its usual form.
        now: Current time in Unix seconds; the file name contains it as local time.

    Returns:
        The path, and a file descriptor that is open for reading and appending.

    Raises:
        FileExistsError: The session exists already.
        OSError: The file or a folder could not be created.
    """
    path = new_session_path(home, session_id, now)
    return path, os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def new_session_path(home: Path, session_id: str, now: float) -> Path:
    """
    Create the folders for a new session's file, and return its path; arguments and errors as `create_session_file`.
    """
    local = time.localtime(now)
    folder = real_day_folder(home, local[:3])
    make_folder(folder)
    return folder / str(RolloutName(time.strftime("%Y-%m-%dT%H-%M-%S", local), session_id))


def real_day_folder(home: Path, day: Sequence[int]) -> Path:
    """
    Return the folder of a day, for a new file in it.

    Raises:
        OSError: The path of the folder contains a link.
    """
    folder = day_folder(home, day)
    if has_link(folder):
        raise OSError(errno.ELOOP, "a symbolic link is in the place of a session folder", str(folder))
    return folder


def has_link(day_folder: Path) -> bool:
    """
    Return whether the path of a day's folder contains a link below ``sessions``. (``sessions`` itself may be a link.)
    """
    return any(folder.is_symlink() for folder in (day_folder, *day_folder.parents[:2]))


@lru_cache(maxsize=1024)
def is_session_folder(folder: str) -> bool:
    """
    Return whether a folder, relative to the home, may contain rollouts: ``sessions``, a day's folder, or the archive.
    """
    return _SESSION_FOLDER.fullmatch(folder) is not None


def make_folder(folder: Path) -> None:
    """
    Create a folder and missing folders above it, mode 0700. (`Path.mkdir` sets the mode only of the last folder.)
    """
    for path in reversed(missing_folders(folder)):
        path.mkdir(0o700, exist_ok=True)


def missing_folders(folder: Path) -> list[Path]:
    """
    Return the folders that must be created for *folder* to exist, *folder* first.
    """
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    return missing
