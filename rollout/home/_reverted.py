"""
Sessions that were reverted. Codex leaves the old file, and continues in a new one whose name has two ids.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from rollout.home._file_names import Key, RolloutName
from rollout.home._layout import archive_folder, day_folder
from rollout.home._walk import Problem, walk

__all__ = ["forget_reverted", "newest_reverted", "walk_sessions"]

# Seconds for which the names of newer files are not listed again. Listing 10,000 takes 5 ms, and a page of sessions 1.
_KEPT = 2.0
_newest: dict[tuple[Path, bool], tuple[float, int, str, dict[str, RolloutName]]] = {}
"""
The result of `newest_reverted` by home and place, with its time, the time of the last change of the folder into which
Codex writes new files, and the timestamp that the result goes back to.
"""


def walk_sessions(
    home: Path, *, after: Key | None = None, archived: bool = False, problems: list[Problem] | None = None
) -> Iterator[RolloutName]:
    """
    Yield the sessions of a home, newest first: as `walk`, but of a session that was reverted only the newest file.

    Args:
        home: The home.
        after: Key of a rollout; only rollouts after this one (older ones) are yielded.
        archived: Whether to yield the archived sessions instead.
        problems: List to which the folders that could not be read are added.
    """
    reverted = set() if after is None else {*newest_reverted(home, after, archived=archived)}
    for name in walk(home, after=after, archived=archived, problems=problems):
        if name.session_id not in reverted:
            if name.rollout_id:
                reverted.add(name.session_id)
            yield name


def newest_reverted(home: Path, before: Key, *, archived: bool = False) -> dict[str, RolloutName]:
    """
    Return the newest file of each session that was reverted, if it is not older than a key; by the session's id.

    Reads the names in the folders of the days since then: again if a file was created today, or after 2 seconds.
    """
    place, since, now = (home, archived), before[0], time.monotonic()
    changed = _changed_at(archive_folder(home) if archived else day_folder(home, time.localtime()[:3]))
    read_at, known_change, known_since, newest = _newest.get(place, (0.0, 0, "~", {}))
    if known_since > since or known_change != changed or now - read_at > _KEPT:
        newest = {}
        # Only names with two ids contain this character.
        for name in walk(home, name_contains="_", archived=archived, since=since):
            newest.setdefault(name.session_id, name)
        _newest[place] = (now, changed, since, newest)
    return {session_id: name for session_id, name in newest.items() if name.key >= before}


def _changed_at(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def forget_reverted() -> None:
    """
    Read the names again at the next call of `newest_reverted`: files were moved between folders.
    """
    _newest.clear()
