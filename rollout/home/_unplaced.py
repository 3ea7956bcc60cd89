"""
Find what lies in the folders of a home, but is on no list: files in other places or with other names, and links.
"""

from __future__ import annotations

import os
from pathlib import Path

from attrs import frozen

from rollout.home._file_names import RolloutName
from rollout.home._layout import archive_folder, day_of_name, sessions_folder

__all__ = ["Unplaced", "find_unplaced"]

# Folders of year, month and day.
_DEPTH = 3


@frozen
class Unplaced:
    """
    Files and links of a home that are on no list.

    Attributes:
        files: Files whose place or name is not that of a rollout.
        links: Symbolic links to files and folders. They are not followed: what they lead to may be in another home, and
            would be listed, archived and deleted twice.
    """

    files: tuple[Path, ...] = ()
    links: tuple[Path, ...] = ()


def find_unplaced(home: Path) -> Unplaced:
    """
    Return what is in ``sessions`` and in the archive of a home, but is on no list. Blocks; uses only names.
    """
    files: list[Path] = []
    links: list[Path] = []
    for root in (sessions_folder(home), archive_folder(home)):
        for folder, below, names in os.walk(root):
            place = Path(folder)
            links += [place / name for name in below if (place / name).is_symlink()]
            is_listed = place == root or (root != archive_folder(home) and _is_day(place.relative_to(root).parts))
            for name in names:
                if os.path.islink(f"{folder}/{name}"):  # noqa: PTH114 -- 100,000 names, without 100,000 paths
                    links.append(place / name)
                elif not (is_listed and RolloutName.parse(name)):
                    files.append(place / name)
    return Unplaced(tuple(sorted(files)), tuple(sorted(links)))


def _is_day(parts: tuple[str, ...]) -> bool:
    if len(parts) == 1:
        return day_of_name(parts[0]) is not None
    return len(parts) == _DEPTH and all(part.isdecimal() for part in parts)
