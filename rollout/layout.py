"""
Where rollouts live: the home and its folders, a new session's path, file name <-> (time, id).

Works on names alone: no file is opened but the one that `create_session_file` makes. Folders are named after local
time, as Codex does it.
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

from attrs import field, frozen

__all__ = [
    "UUID_PATTERN",
    "Key",
    "RolloutName",
    "archive_folder",
    "create_session_file",
    "day_folder",
    "folders_naming",
    "home_folder",
    "home_of",
    "is_archived",
    "is_linked",
    "is_place",
    "make_folder",
    "missing_folders",
    "new_session_id",
    "new_session_path",
    "own_day_folder",
    "parse_key",
    "sessions_folder",
    "trash_folder",
]

StrPath: TypeAlias = "str | os.PathLike[str]"
Key: TypeAlias = "tuple[str, str]"
"""(timestamp, id): what rollouts are sorted by."""

_SESSIONS = "sessions"
_ARCHIVED = "archived_sessions"
# Ours: Codex has no trash. Not below ``sessions``, where Codex of 2025 would find it.
_DELETED = "deleted_sessions"
UUID_PATTERN = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TIMESTAMP = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3])-[0-5]\d-[0-5]\d"
_NAME = re.compile(
    rf"rollout-({_TIMESTAMP})-({UUID_PATTERN})(?:_({UUID_PATTERN}))?\.jsonl(\.zst)?", re.ASCII | re.IGNORECASE
)
_PLACE = re.compile(rf"{_SESSIONS}(?:/\d+){{0,3}}|{_ARCHIVED}")
_KEY = rf"({_TIMESTAMP})\|({UUID_PATTERN})"


@frozen
class RolloutName:
    """
    What a rollout's file name says.

    Attributes:
        timestamp: Local time the file was made at, ``YYYY-MM-DDThh-mm-ss``.
        session_id: The session's UUID, in lower case.
        rollout_id: The file's own UUID, where a thread was reverted and goes on in a new file.
        is_compressed: It ends in ``.jsonl.zst``.
        path: The file.
    """

    timestamp: str
    session_id: str
    rollout_id: str | None = None
    is_compressed: bool = False
    path: Path = field(default=Path(), eq=False)

    @property
    def key(self) -> Key:
        """What rollouts are sorted by."""
        return (self.timestamp, self.rollout_id or self.session_id)

    @property
    def day(self) -> tuple[int, int, int]:
        """The day it was made on: year, month, day."""
        year, month, day = (int(part) for part in self.timestamp[:10].split("-"))
        return year, month, day

    def __str__(self) -> str:
        own_id = f"_{self.rollout_id}" if self.rollout_id else ""
        return f"rollout-{self.timestamp}-{self.session_id}{own_id}.jsonl{'.zst' if self.is_compressed else ''}"

    @classmethod
    def parse(cls, path: str | Path) -> RolloutName | None:
        """
        Read a path's last part; None if it is not a rollout's.
        """
        path = Path(path) if isinstance(path, str) else path
        found = _NAME.fullmatch(path.name)
        if found is None:
            return None
        timestamp, session_id, own_id, zst = found.groups()
        return cls(timestamp, session_id.lower(), own_id and own_id.lower(), zst is not None, path)


def parse_key(token: str) -> Key | None:
    """
    Read ``YYYY-MM-DDThh-mm-ss|uuid``; None if it is not of this form.
    """
    found = re.fullmatch(_KEY, token, re.ASCII | re.IGNORECASE)
    return (found[1], found[2].lower()) if found else None


def home_folder(home: StrPath | None = None) -> Path:
    """
    Give *home*, else the environment's ``CODEX_HOME``, else ``~/.codex``; not necessarily there.
    """
    return Path(home or os.environ.get("CODEX_HOME") or "~/.codex").expanduser()


def home_of(path: Path) -> Path | None:
    """
    Give the home a rollout lies in; None if it lies in none.
    """
    parents = path.absolute().parents
    for depth, name in ((0, _SESSIONS), (0, _ARCHIVED), (0, _DELETED), (3, _SESSIONS)):
        if len(parents) > depth + 1 and parents[depth].name == name:
            return parents[depth + 1]
    return None


def sessions_folder(home: Path) -> Path:
    """
    Give the folder that holds the days' folders.
    """
    return home / _SESSIONS


def day_folder(home: Path, day: Sequence[int]) -> Path:
    """
    Give the folder of a day: year, month, day.
    """
    return home / _SESSIONS / str(day[0]) / f"{day[1]:02d}" / f"{day[2]:02d}"


def archive_folder(home: Path) -> Path:
    """
    Give the folder of archived rollouts, in which they lie flat.
    """
    return home / _ARCHIVED


def trash_folder(home: Path) -> Path:
    """
    Give the folder of deleted rollouts, in which they lie flat.
    """
    return home / _DELETED


def folders_naming(path: Path) -> list[Path]:
    """
    Give the folders by which a rollout is found, from its own up to its home; only its own if it lies in no home.
    """
    home = home_of(path)
    folders = list(path.absolute().parents)
    return folders[: folders.index(home) + 1 if home else 1]


def is_archived(path: Path) -> bool:
    """
    Say whether the rollout lies in an archive folder.
    """
    return path.absolute().parent.name == _ARCHIVED


def new_session_id() -> str:
    """
    Make a UUID of version 7: its first 48 bits are Unix milliseconds (RFC 9562, 5.7).
    """
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


def create_session_file(home: Path, session_id: str, now: float) -> tuple[Path, int]:
    """
    Create a new session's file, mode 0600, and what folders it needs, mode 0700.

    Args:
        home: The home.
        session_id: A UUID in its usual form.
        now: Unix seconds; the name says them as local time.

    Returns:
        The path, and a file descriptor open for reading and appending.

    Raises:
        OSError: As it came; FileExistsError if there is such a session.
    """
    path = new_session_path(home, session_id, now)
    return path, os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def new_session_path(home: Path, session_id: str, now: float) -> Path:
    """
    Make the folders for a new session's file, and give its path; arguments and errors as `create_session_file`.
    """
    local = time.localtime(now)
    folder = own_day_folder(home, local[:3])
    make_folder(folder)
    return folder / str(RolloutName(time.strftime("%Y-%m-%dT%H-%M-%S", local), session_id))


def own_day_folder(home: Path, day: Sequence[int]) -> Path:
    """
    Give the folder of a day, to put something into.

    Raises:
        OSError: A link is in its place.
    """
    folder = day_folder(home, day)
    if is_linked(folder):
        raise OSError(errno.ELOOP, "a link in the place of a folder of sessions", str(folder))
    return folder


def is_linked(day_folder: Path) -> bool:
    """
    Say whether a link leads to a day's folder: below ``sessions``; that one itself may be a link to a larger disk.
    """
    return any(folder.is_symlink() for folder in (day_folder, *day_folder.parents[:2]))


@lru_cache(maxsize=1024)
def is_place(folder: str) -> bool:
    """
    Return whether a folder, relative to the home, may contain rollouts: ``sessions``, a day's folder, or the archive.
    """
    return _PLACE.fullmatch(folder) is not None


def make_folder(folder: Path) -> None:
    """
    Make a folder and those above it, mode 0700; `Path.mkdir` gives the mode only to the last.
    """
    for path in reversed(missing_folders(folder)):
        path.mkdir(0o700, exist_ok=True)


def missing_folders(folder: Path) -> list[Path]:
    """
    Give the folders to make so that *folder* is there, itself first.
    """
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    return missing
