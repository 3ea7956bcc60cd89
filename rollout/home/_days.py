"""
The folders of days of a home, newest first, in all spellings; and what is directly in ``sessions``.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TypeAlias

from attrs import frozen

from rollout.home._descriptor import is_shortage
from rollout.home._file_names import key_in
from rollout.home._layout import day_of_name

__all__ = [
    "Day",
    "Place",
    "Problem",
    "by_number",
    "classify",
    "day_in",
    "days_of",
    "list_names",
    "numbered_folders",
    "report",
]

Day: TypeAlias = "tuple[int, int, int]"
"""Year, month, day."""

Place: TypeAlias = "tuple[Path, str]"
"""A folder and a name in it."""


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


def days_of(
    sessions: Path, not_after: Day | None, problems: list[Problem], name_contains: str
) -> Iterator[tuple[Day, list[Path], list[str]]]:
    """
    Yield each day, the newest first, with its folders and the names of its rollouts that are directly in ``sessions``.
    """
    years, named, flat = classify(sessions, problems, name_contains)
    days = _numbered_days(years, not_after, problems)
    if named or flat:
        others = ((day, sorted(named.get(day, [])), flat.get(day, [])) for day in sorted({*named, *flat}, reverse=True))
        days = heapq.merge(days, others, key=lambda found: found[0], reverse=True)
    for day, group in groupby(days, key=lambda found: found[0]):
        if not not_after or day <= not_after:
            places = [*group]
            yield day, [path for place in places for path in place[1]], [name for place in places for name in place[2]]


def classify(
    sessions: Path, problems: list[Problem], name_contains: str = ""
) -> tuple[list[Place], dict[Day, list[Path]], dict[Day, list[str]]]:
    """
    Return what is directly in ``sessions``: folders of years; folders of days, by day; names of rollouts, by day.
    """
    years: list[Place] = []
    named: dict[Day, list[Path]] = {}
    flat: dict[Day, list[str]] = {}
    # Names, not entries: a home with 100,000 files here is listed in a fifth of the time.
    for name in list_names(sessions, problems):
        if name.startswith("rollout-"):
            # Other files may have such a name, too.
            with suppress(ValueError):
                if name_contains in name.lower():
                    flat.setdefault(day_in(key_in(name)[0]), []).append(name)
        elif name.isdecimal() and _is_folder(sessions / name):
            years.append((sessions, name))
        else:
            day = day_of_name(name)
            if day is not None and _is_folder(sessions / name):
                named.setdefault(day, []).append(sessions / name)
    return years, named, flat


def day_in(timestamp: str) -> Day:
    """
    Return the day in the timestamp of a name.

    Raises:
        ValueError: The text is no timestamp.
    """
    return int(timestamp[:4]), int(timestamp[5:7]), int(timestamp[8:10])


def _numbered_days(
    years: list[Place], not_after: Day | None, problems: list[Problem]
) -> Iterator[tuple[Day, list[Path], list[str]]]:
    for year, year_folders in by_number(years):
        if not_after and year > not_after[0]:
            continue
        for month, month_folders in numbered_folders(year_folders, problems):
            if not_after and (year, month) > not_after[:2]:
                continue
            for day, day_folders in numbered_folders(month_folders, problems):
                yield (year, month, day), day_folders, []


def numbered_folders(folders: list[Path], problems: list[Problem]) -> Iterator[tuple[int, list[Path]]]:
    """
    Yield the folders in *folders* whose names are numbers, highest first; 06 and 6 are the same number.
    """
    found: list[Place] = []
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                found += [(folder, e.name) for e in entries if e.name.isdecimal() and e.is_dir(follow_symlinks=False)]
        except OSError as error:
            report(folder, error, problems)
    return by_number(found)


def by_number(places: list[Place]) -> Iterator[tuple[int, list[Path]]]:
    """
    Yield folders by their numbers, highest first; of one number, the spelling of Codex (06) first.
    """
    numbers: dict[int, list[Place]] = {}
    for place in places:
        numbers.setdefault(int(place[1]), []).append(place)
    for number in sorted(numbers, reverse=True):
        # Most folders are not needed: a path takes 1 us.
        yield number, [folder / name for folder, name in sorted(numbers[number], key=itemgetter(1))]


def list_names(folder: Path, problems: list[Problem]) -> list[str]:
    """
    Return the names in a folder; none, with a problem, if it cannot be read.
    """
    try:
        return os.listdir(folder)  # noqa: PTH208 -- names, without 100,000 paths
    except OSError as error:
        report(folder, error, problems)
        return []


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)  # noqa: PTH112, PTH114 -- never raises


def report(folder: Path, error: OSError, problems: list[Problem]) -> None:
    """
    Add a folder that cannot be read to the problems.
    """
    if is_shortage(error):
        # Otherwise a session would be missing from a list, or be removed from the index.
        raise error
    # A home without this folder is empty, and a folder may be removed during the walk.
    if not isinstance(error, FileNotFoundError):
        problems.append(Problem(folder, error.strerror or str(error)))
