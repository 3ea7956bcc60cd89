"""
List the rollouts of a home by name, newest first. No file is opened, and links below ``sessions`` are not followed.
"""

from __future__ import annotations

import heapq
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from rollout.home._descriptor import is_shortage
from rollout.home._layout import Key, RolloutName, archive_folder, day_folder, has_link, sessions_folder

__all__ = ["Problem", "folders", "rollouts_in", "rollouts_of_day", "walk"]

# The day of a rollout that is directly in ``sessions`` (before September 2025): older than every day.
_NO_DAY = (0, 0, 0)


@frozen
class Problem:
    """
    A folder or file that could not be read. A listing leaves out the folder, but may show the file with its problem.

    Attributes:
        path: The folder or file.
        reason: Reason why it could not be read.
    """

    path: Path
    reason: str


def walk(
    home: Path,
    *,
    after: Key | None = None,
    name_contains: str = "",
    archived: bool | None = False,
    problems: list[Problem] | None = None,
) -> Iterator[RolloutName]:
    """
    Yield the rollouts of a home, newest first by name. Reads folders during the iteration, opens no file.

    If a session has a plain and a compressed file, only the plain file is yielded; if it has a live and an archived
    file, only the live one.

    Args:
        home: The home; it may have no sessions.
        after: Key of a rollout; only rollouts after this one (older ones) are yielded.
        name_contains: Text that a file name contains, in lower case; by default any name.
        archived: True for archived rollouts, False for live ones, None for both.
        problems: List to which the folders that could not be read are added.

    Raises:
        OSError: The process has no more descriptors or memory, so the result would be incomplete.
    """
    problems = [] if problems is None else problems
    if archived is None:
        places = (
            walk(home, after=after, name_contains=name_contains, archived=place, problems=problems)
            for place in (False, True)
        )
        yield from heapq.merge(*places, key=lambda name: name.key, reverse=True)
        return
    if archived:
        for name in rollouts_in(archive_folder(home), problems, after, name_contains):
            if not _is_live(home, name):
                yield name
        return
    day_of_after = None if after is None else _day_of(home, after)
    for day, folder in _day_folders(sessions_folder(home), day_of_after, problems):
        yield from rollouts_in(folder, problems, after if day == day_of_after else None, name_contains)


def _is_live(home: Path, name: RolloutName) -> bool:
    """
    Return whether a live file has the name of an archived one.
    """
    stem = name.path.name.removesuffix(".zst")
    places = (day_folder(home, name.day), sessions_folder(home))
    return any(_is_file(folder / f"{stem}{suffix}") for folder in places for suffix in ("", ".zst"))


def _day_folders(
    sessions: Path, not_after: tuple[int, int, int] | None, problems: list[Problem]
) -> Iterator[tuple[tuple[int, int, int], Path]]:
    for year, year_name in _numbered_folders(sessions, problems):
        if not_after and year > not_after[0]:
            continue
        year_folder = sessions / year_name
        for month, month_name in _numbered_folders(year_folder, problems):
            if not_after and (year, month) > not_after[:2]:
                continue
            month_folder = year_folder / month_name
            for day, day_name in _numbered_folders(month_folder, problems):
                if not not_after or (year, month, day) <= not_after:
                    yield (year, month, day), month_folder / day_name
    yield _NO_DAY, sessions


def _numbered_folders(folder: Path, problems: list[Problem]) -> list[tuple[int, str]]:
    """
    Return the folders in *folder* whose names are numbers, highest first.
    """
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.name.isdecimal() and e.is_dir(follow_symlinks=False)]
    except OSError as error:
        _report(folder, error, problems)
        return []
    return sorted(((int(name), name) for name in names), reverse=True)


def rollouts_in(
    folder: Path, problems: list[Problem] | None = None, after: Key | None = None, name_contains: str = ""
) -> Iterator[RolloutName]:
    """
    Yield the rollouts in one folder, newest first; arguments as `walk`.
    """
    for name in _names_in(folder, [] if problems is None else problems, name_contains):
        if after is not None and _key_of(name) >= after:
            continue
        parsed = RolloutName.parse(folder / name)
        if parsed is not None and not _is_file(parsed.path):
            parsed = _other_form(parsed)
        if parsed is not None:
            yield parsed


def _other_form(name: RolloutName) -> RolloutName | None:
    """
    Return the compressed or uncompressed form that has replaced this file since the folder was read; None if there is
    none.
    """
    other = RolloutName.parse(
        name.path.with_name(name.path.name.removesuffix(".zst") + ".zst" * (not name.is_compressed))
    )
    return other if other is not None and _is_file(other.path) else None


def _names_in(folder: Path, problems: list[Problem], name_contains: str = "") -> Iterator[str]:
    """
    Yield the names in a folder, newest first, not only names of rollouts. If a rollout has a plain and a compressed
    file, only the plain name is yielded.
    """
    # Most names are not needed. Listing and sorting unparsed names takes 0.2 us each; parsing a name takes 5 us.
    try:
        names = os.listdir(folder)  # noqa: PTH208 -- names, without 100,000 paths
    except OSError as error:
        _report(folder, error, problems)
        return
    if name_contains:
        names = [name for name in names if name_contains in name.lower()]
    names.sort(key=_key_of, reverse=True)
    present = set(names)
    for name in names:
        if not (name.endswith(".zst") and name.removesuffix(".zst") in present):
            yield name


def folders(home: Path) -> Iterator[tuple[Path, int, list[str]]]:
    """
    Yield all folders of a home that may contain rollouts or folders of days, each with the time of its last change
    (Unix nanoseconds, 0 if it does not exist), and the names in it that may be rollouts, newest first.
    """
    sessions = sessions_folder(home)
    yield _folder_entry(sessions)
    for _, year in _numbered_folders(sessions, []):
        yield _folder_entry(sessions / year)
        for _, month in _numbered_folders(sessions / year, []):
            yield _folder_entry(sessions / year / month)
            for _, day in _numbered_folders(sessions / year / month, []):
                yield _folder_entry(sessions / year / month / day)
    # Last: of a live and an archived file with the same name, the live one counts.
    yield _folder_entry(archive_folder(home))


def _folder_entry(folder: Path) -> tuple[Path, int, list[str]]:
    # The time is read before the names, so that a change while they are listed is found the next time.
    mtime_ns = _mtime_ns(folder)
    return folder, mtime_ns, [name for name in _names_in(folder, []) if name.startswith("rollout-")]


def _mtime_ns(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def _key_of(name: str) -> Key:
    """
    Return the key in a rollout's name, by position; arbitrary text for other names.
    """
    return name[8:27], (name[65:101] if name[64:65] == "_" else name[28:64]).lower()


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        # Removed or moved since the folder was read.
        return False


def _report(folder: Path, error: OSError, problems: list[Problem]) -> None:
    if is_shortage(error):
        # Otherwise a session would be missing from a list, or be removed from the index.
        raise error
    # A home without this folder is empty, and a folder may be removed during the walk.
    if not isinstance(error, FileNotFoundError):
        problems.append(Problem(folder, error.strerror or str(error)))


def _day_of(home: Path, key: Key) -> tuple[int, int, int]:
    """
    Return the day whose folder contains a rollout: the day in its name, unless the file was moved.
    """
    name = RolloutName(*key)
    folder = day_folder(home, name.day)
    # The usual name is tried first: this saves a tenth of a page's time compared with listing the folder.
    if _is_file(folder / str(name)) or _is_in(folder, key):
        return name.day
    # Moved or removed: rare enough for a walk through all names (30 ms for 100,000).
    days = _day_folders(sessions_folder(home), None, [])
    return next((day for day, folder in days if _is_in(folder, key)), name.day)


def _is_in(folder: Path, key: Key) -> bool:
    return any(name.key == key for name in rollouts_in(folder, name_contains=key[1]))


def rollouts_of_day(home: Path, now: float, name_contains: str) -> Iterator[RolloutName]:
    """
    Yield the rollouts in the folder of the local day of *now* (Unix seconds) whose names contain a text, newest first.
    """
    folder = day_folder(home, time.localtime(now)[:3])
    return iter(()) if has_link(folder) else rollouts_in(folder, name_contains=name_contains)
