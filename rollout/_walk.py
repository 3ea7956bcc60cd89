"""
The rollouts of a home, newest first, by their names alone: no file is opened.

Links below ``sessions`` are not followed.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from rollout._descriptor import is_shortage
from rollout.layout import Key, RolloutName, archive_folder, day_folder, is_linked, sessions_folder

__all__ = ["Problem", "folders", "rollouts_in", "rollouts_of_day", "walk"]

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

    Raises:
        OSError: There are no more descriptors or there is no memory, so the result would be incomplete.
    """
    problems = [] if problems is None else problems
    if is_archived:
        yield from rollouts_in(archive_folder(home), problems, after, holding)
        return
    day_of_after = None if after is None else _day_holding(home, after)
    for day, folder in _day_folders(sessions_folder(home), day_of_after, problems):
        yield from rollouts_in(folder, problems, after if day == day_of_after else None, holding)


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


def rollouts_in(
    folder: Path, problems: list[Problem] | None = None, after: Key | None = None, holding: str = ""
) -> Iterator[RolloutName]:
    """
    Give the rollouts that lie in one folder, newest first; arguments as `walk`.
    """
    for name in _names_in(folder, [] if problems is None else problems, holding):
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


def _names_in(folder: Path, problems: list[Problem], holding: str = "") -> Iterator[str]:
    """
    Give the names in a folder, newest first, those of rollouts among them; of two forms of one, the plain one.
    """
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
        if not (name.endswith(".zst") and name.removesuffix(".zst") in present):
            yield name


def folders(home: Path) -> Iterator[tuple[Path, int, list[str]]]:
    """
    Give all folders of a home in which rollouts or their folders lie: when each changed (Unix nanoseconds, 0 if it is
    not there), and the names of what may be rollouts in it, newest first.
    """
    sessions = sessions_folder(home)
    yield _looked_into(sessions)
    yield _looked_into(archive_folder(home))
    for _, year in _numbered(sessions, []):
        yield _looked_into(sessions / year)
        for _, month in _numbered(sessions / year, []):
            yield _looked_into(sessions / year / month)
            for _, day in _numbered(sessions / year / month, []):
                yield _looked_into(sessions / year / month / day)


def _looked_into(folder: Path) -> tuple[Path, int, list[str]]:
    # Asked before: what comes while the names are listed is news again.
    mtime_ns = _mtime_ns(folder)
    return folder, mtime_ns, [name for name in _names_in(folder, []) if name.startswith("rollout-")]


def _mtime_ns(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


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
    if is_shortage(error):
        # Otherwise a session would be missing from a list, or be removed from the index.
        raise error
    # A home without sessions is an empty home, and a folder may go while we walk.
    if not isinstance(error, FileNotFoundError):
        problems.append(Problem(folder, error.strerror or str(error)))


def _day_holding(home: Path, key: Key) -> tuple[int, int, int]:
    """
    Give the day whose folder holds this rollout: its own, unless somebody moved it.
    """
    name = RolloutName(*key)
    folder = day_folder(home, name.day)
    # Looked for under its usual name first: a tenth of a page's time less than listing the folder.
    if _is_file(folder / str(name)) or _is_in(folder, key):
        return name.day
    # Moved, or gone since: rare enough for a walk through all names (30 ms for 100,000).
    days = _day_folders(sessions_folder(home), None, [])
    return next((day for day, folder in days if _is_in(folder, key)), name.day)


def _is_in(folder: Path, key: Key) -> bool:
    return any(name.key == key for name in rollouts_in(folder, holding=key[1]))


def rollouts_of_day(home: Path, now: float, holding: str) -> Iterator[RolloutName]:
    """
    Give the rollouts in the folder of the local day of a moment (Unix seconds) whose name holds this, newest first.
    """
    folder = day_folder(home, time.localtime(now)[:3])
    return iter(()) if is_linked(folder) else rollouts_in(folder, holding=holding)
