"""
Where rollouts live: the home, a new session's path, file name <-> (time, id), the newest-first walk.

Works on names alone: no file is opened but the one that `create_session_file` makes. Folders are named after local
time, as Codex does it. Links below ``sessions`` are not followed.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

from attrs import field, frozen

__all__ = [
    "UUID_PATTERN",
    "Problem",
    "RolloutName",
    "create_session_file",
    "folders_naming",
    "home_folder",
    "home_of",
    "is_archived",
    "make_folder",
    "missing_folders",
    "new_session_id",
    "rollouts_of_day",
    "walk",
]

StrPath: TypeAlias = "str | os.PathLike[str]"
Key: TypeAlias = "tuple[str, str]"
"""(timestamp, id): what rollouts are sorted by."""

_SESSIONS = "sessions"
_ARCHIVED = "archived_sessions"
UUID_PATTERN = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TIMESTAMP = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3])-[0-5]\d-[0-5]\d"
_NAME = re.compile(
    rf"rollout-({_TIMESTAMP})-({UUID_PATTERN})(?:_({UUID_PATTERN}))?\.jsonl(\.zst)?", re.ASCII | re.IGNORECASE
)
_KEY = rf"({_TIMESTAMP})\|({UUID_PATTERN})"
# The folder of a rollout that lies flat in ``sessions`` (before September 2025): older than every day.
_NO_DAY = (0, 0, 0)


@frozen
class Problem:
    """
    Something a listing could not read and left out, or lists with this flag.

    Attributes:
        path: The folder or file.
        reason: Why.
    """

    path: Path
    reason: str


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
    for depth, name in ((0, _SESSIONS), (0, _ARCHIVED), (3, _SESSIONS)):
        if len(parents) > depth + 1 and parents[depth].name == name:
            return parents[depth + 1]
    return None


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
    local = time.localtime(now)
    folder = _day_folder(home / _SESSIONS, local[:3])
    if _is_linked(folder):
        raise OSError(errno.ELOOP, "a link in the place of a folder of sessions", str(folder))
    make_folder(folder)
    path = folder / str(RolloutName(time.strftime("%Y-%m-%dT%H-%M-%S", local), session_id))
    return path, os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _day_folder(sessions: Path, day: Sequence[int]) -> Path:
    return sessions / str(day[0]) / f"{day[1]:02d}" / f"{day[2]:02d}"


def _is_linked(day_folder: Path) -> bool:
    # Below ``sessions``; that one itself may be a link to a larger disk.
    return any(folder.is_symlink() for folder in (day_folder, *day_folder.parents[:2]))


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


def walk(
    home: Path,
    *,
    after: Key | None = None,
    holding: str = "",
    is_archived: bool = False,
    problems: list[Problem] | None = None,
) -> Iterator[RolloutName]:
    """
    Give the home's rollouts, newest first by name; reads folders as it goes, opens no file.

    Where a session has a plain and a compressed file, only the plain one.

    Args:
        home: The home; where it has no sessions there is nothing to give.
        after: Begin behind this one.
        holding: Only those whose name holds this, in lower case.
        is_archived: Give the archived ones instead.
        problems: Folders that could not be read are added here.
    """
    problems = [] if problems is None else problems
    if is_archived:
        yield from _rollouts_in(home / _ARCHIVED, problems, after, holding)
        return
    sessions = home / _SESSIONS
    day_of_after = None if after is None else _day_holding(sessions, after)
    for day, folder in _day_folders(sessions, day_of_after, problems):
        yield from _rollouts_in(folder, problems, after if day == day_of_after else None, holding)


def _day_folders(
    sessions: Path, not_after: tuple[int, int, int] | None, problems: list[Problem]
) -> Iterator[tuple[tuple[int, int, int], Path]]:
    for year, year_name in _numbered(sessions, problems):
        if not_after and year > not_after[0]:
            continue
        year_folder = sessions / year_name
        for month, month_name in _numbered(year_folder, problems):
            if not_after and (year, month) > not_after[:2]:
                continue
            month_folder = year_folder / month_name
            for day, day_name in _numbered(month_folder, problems):
                if not not_after or (year, month, day) <= not_after:
                    yield (year, month, day), month_folder / day_name
    yield _NO_DAY, sessions


def _numbered(folder: Path, problems: list[Problem]) -> list[tuple[int, str]]:
    """
    Give the folders in *folder* whose names are numbers, highest first.
    """
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.name.isdecimal() and e.is_dir(follow_symlinks=False)]
    except OSError as error:
        _report(folder, error, problems)
        return []
    return sorted(((int(name), name) for name in names), reverse=True)


def _rollouts_in(
    folder: Path, problems: list[Problem], after: Key | None = None, holding: str = ""
) -> Iterator[RolloutName]:
    # Most names are never asked for: listed at 0.2 us each and sorted as they are; parsing one takes 5.
    try:
        names = os.listdir(folder)  # noqa: PTH208 -- names, without 100,000 paths
    except OSError as error:
        _report(folder, error, problems)
        return
    if holding:
        names = [name for name in names if holding in name.lower()]
    names.sort(key=_key_of, reverse=True)
    present = set(names)
    for name in names:
        if after is not None and _key_of(name) >= after:
            continue
        if name.endswith(".zst") and name.removesuffix(".zst") in present:
            continue
        parsed = RolloutName.parse(folder / name)
        if parsed is not None and _is_file(parsed.path):
            yield parsed


def _key_of(name: str) -> Key:
    """
    Give the key of a rollout's name by position; of any other name, something.
    """
    return name[8:27], (name[65:101] if name[64:65] == "_" else name[28:64]).lower()


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        # Gone since.
        return False


def _report(folder: Path, error: OSError, problems: list[Problem]) -> None:
    # A home without sessions is an empty home, and a folder may go while we walk.
    if not isinstance(error, FileNotFoundError):
        problems.append(Problem(folder, error.strerror or str(error)))


def _day_holding(sessions: Path, key: Key) -> tuple[int, int, int]:
    """
    Give the day whose folder holds this rollout: its own, unless somebody moved it.
    """
    year, month, day = (int(part) for part in key[0][:10].split("-"))
    own_day = (year, month, day)
    folder = _day_folder(sessions, own_day)
    # Looked for under its usual name first: a tenth of a page's time less than listing the folder.
    if _is_file(folder / str(RolloutName(*key))) or _is_in(folder, key):
        return own_day
    # Moved, or gone since: rare enough for a walk through all names (30 ms for 100,000).
    return next((day for day, folder in _day_folders(sessions, None, []) if _is_in(folder, key)), own_day)


def _is_in(folder: Path, key: Key) -> bool:
    return any(name.key == key for name in _rollouts_in(folder, [], holding=key[1]))


def rollouts_of_day(home: Path, now: float, holding: str) -> Iterator[RolloutName]:
    """
    Give the rollouts in the folder of the local day of a moment (Unix seconds) whose name holds this, newest first.
    """
    folder = _day_folder(home / _SESSIONS, time.localtime(now)[:3])
    return iter(()) if _is_linked(folder) else _rollouts_in(folder, [], holding=holding)
