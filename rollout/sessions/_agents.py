"""
Sub-agents: which sessions a session has started, and which of them a list shows.

A file name does not tell whether its session is a sub-agent; the first line does. A session starts sub-agents only
while it is used, so their names are between its start and its last use: only the first lines of these files are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias

from attrs import evolve

from rollout.errors import AmbiguousSessionError, SessionNotFoundError
from rollout.home import RolloutName, find_session, id_time, is_archived, walk, walk_sessions
from rollout.interpret import Origin, origin_of
from rollout.reading import Bounds, LineReader
from rollout.sessions._info import SessionInfo

__all__ = ["AGENTS", "NEWEST", "AgentsShown", "Families", "descendants", "listed_names", "read_origin"]

AgentsShown: TypeAlias = Literal["fold", "all", "none", "only"]
AGENTS: tuple[AgentsShown, ...] = ("fold", "all", "none", "only")
"""
The sub-agents that a list shows: those whose own session is not on the list, all, none, or only sub-agents.
"""

# Limits for reading the first session_meta of a file; it has some 20 KB with its instructions.
_HEAD = Bounds(size=2**20, line_count=20, unpacked_size=2**20)
# A session that was killed has no line after it started its last sub-agent, and another clock may differ.
_SLACK = timedelta(minutes=5)
# Number of files outside of a page whose first lines are read to count its sub-agents; 1000 take 0.1 s.
_EXTRA_MAX = 1000
NEWEST = "~"
"""A timestamp that is newer than that of every name."""

_STAMP = "%Y-%m-%dT%H-%M-%S"


def read_origin(path: Path) -> Origin:
    """
    Return the origin of a session from the first session_meta of its file.

    Raises:
        LookupError: The first lines of the file contain no session_meta, or not yet.
        OSError, ModuleNotFoundError: The file cannot be read.
    """
    return _origin_of(path, path.stat().st_ino)


# The first session_meta of a file never changes.
@lru_cache(maxsize=2**16)
def _origin_of(path: Path, _inode: int) -> Origin:
    with LineReader(path, bounds=_HEAD) as lines:
        for line in lines:
            if line.type == "session_meta":
                return origin_of(line.payload)
    raise LookupError(f"{path}: no session_meta in the first lines")


def listed_names(home: Path) -> Iterator[RolloutName]:
    """
    Yield the sessions that `list_sessions` lists, newest first; reads only their first lines.
    """
    families = Families(home, archived=False)
    for name in walk_sessions(home):
        if families.shows(name.session_id, "fold", is_agent=families.read(name).is_agent):
            yield name


class Families:
    """
    The sessions of a home by the sessions that have started them, as far as they were asked for.

    Args:
        home: Home folder.
        archived: Whether only archived sessions count as there (True), only others (False), or both (None).
        matches: Whether a session, given its file, is on the list; by default every one that is there.
    """

    def __init__(self, home: Path, *, archived: bool | None, matches: Callable[[Path], bool] = lambda _: True) -> None:
        self._home, self._archived, self._matches = home, archived, matches
        self._parents: dict[str, str | None] = {}
        self._files: dict[str, RolloutName | None] = {}

    def note(self, session_id: str, parent_id: str | None) -> None:
        """
        Keep what was read about a session.
        """
        self._parents[session_id] = parent_id

    def read(self, name: RolloutName) -> Origin:
        """
        Return the origin of a session, and keep it; that of a session without parent if the file cannot be read.
        """
        try:
            origin = read_origin(name.path)
        except (LookupError, OSError, ImportError):
            origin = Origin()
        self.note(name.session_id, origin.parent_id)
        return origin

    def shows(self, session_id: str, shown: AgentsShown, *, is_agent: bool) -> bool:
        """
        Return whether a list shows a session that was read.
        """
        if shown == "fold":
            return next(self.ancestors(session_id), None) is None
        return shown == "all" or is_agent == (shown == "only")

    def ancestors(self, session_id: str) -> Iterator[str]:
        """
        Yield the session that has started this one, the one that has started that one, and so on; none that is not
        there or not on the list, and none at all if the sessions name each other in a circle.
        """
        found: list[str] = []
        name = self._file_of(self._parents.get(session_id))
        while name is not None:
            if name.session_id == session_id or name.session_id in found:
                return
            found.append(name.session_id)
            if name.session_id not in self._parents:
                self.read(name)
            name = self._file_of(self._parents[name.session_id])
        yield from found

    def _file_of(self, session_id: str | None) -> RolloutName | None:
        if session_id is None:
            return None
        if session_id not in self._files:
            self._files[session_id] = self._find(session_id)
        return self._files[session_id]

    def _find(self, session_id: str) -> RolloutName | None:
        try:
            path = find_session(session_id, home=self._home)
        except (SessionNotFoundError, AmbiguousSessionError):
            return None
        is_there = self._archived is None or is_archived(path) == self._archived
        name = RolloutName.parse(path) if is_there and self._matches(path) else None
        # A text that is only the beginning of an id names no session.
        return name if name is not None and name.session_id == session_id else None

    def with_counts(self, items: Sequence[SessionInfo], known: tuple[str, str] | None = None) -> list[SessionInfo]:
        """
        Return sessions with the number of their sub-agents, also of the sub-agents of these.

        Args:
            items: The sessions.
            known: The timestamps of the oldest and newest file between which all files were read with `read` or noted.
        """
        # On the first page, all newer files were read.
        is_first = known is not None and known[1] == NEWEST
        windows = [_window(item, is_first=is_first) for item in items]
        unread = sorted(part for window in windows for part in _outside(window, known))
        names = (name for span in _merged(unread) for name in self._names(*span))
        extra = 0
        for extra, name in enumerate(islice(names, _EXTRA_MAX + 1), 1):  # noqa: B007 -- used below
            if name.session_id not in self._parents:
                self.read(name)
        counts = Counter(one for session_id in list(self._parents) for one in self.ancestors(session_id))
        return [
            item if extra > _EXTRA_MAX and [*_outside(window, known)] else evolve(item, agents=counts[item.session_id])
            for item, window in zip(items, windows, strict=True)
        ]

    def _names(self, since: str, until: str) -> Iterator[RolloutName]:
        return walk(self._home, archived=self._archived, since=since, until=until)


def descendants(
    home: Path, session: RolloutName, used_until: Callable[[RolloutName], datetime | None]
) -> list[RolloutName]:
    """
    Return the newest files of the sub-agents of a session, live and archived, and of the sub-agents of these.

    Blocks. Reads the first lines of the files whose names are between the start and the last use of each session.

    Args:
        home: Home folder.
        session: File of the session.
        used_until: Function that returns the time of the last use of a session.
    """
    families = Families(home, archived=None)
    family, waiting = {session.session_id: session}, [session]
    started: dict[str | None, list[RolloutName]] = {}
    known: tuple[str, str] | None = None
    while waiting:
        since, until = _span(name := waiting.pop(), used_until(name))
        if known is not None:
            since, until = min(since, known[0]), max(until, known[1])
        for part in _outside((since, until), known):
            for other in walk(home, archived=None, since=part[0], until=part[1]):
                started.setdefault(families.read(other).parent_id, []).append(other)
        known = since, until
        for other in [other for one in family for other in started.get(one, ())]:
            if other.session_id not in family:
                family[other.session_id] = other
                waiting.append(other)
    return sorted([*family.values()][1:], key=lambda name: name.key, reverse=True)


def _window(item: SessionInfo, *, is_first: bool) -> tuple[str, str]:
    if is_first and "_" not in item.path.name:
        return item.timestamp, item.timestamp
    name = RolloutName.parse(item.path)
    assert name is not None  # noqa: S101 -- it is on the list by its name
    return _span(name, item.updated_at)


def _span(name: RolloutName, used_at: datetime | None) -> tuple[str, str]:
    """
    Return the timestamps of names, in the time zone of the session, between which those of its sub-agents are.
    """
    started = name.started_at
    if started is None:
        return name.timestamp, name.timestamp
    written = datetime.fromisoformat(f"{name.timestamp[:10]}T{name.timestamp[11:].replace('-', ':')}")
    created, reverted = id_time(name.session_id), id_time(name.rollout_id or "")
    # A file after a revert is newer than its session.
    since = written - (reverted - created) if created and reverted and reverted > created else written
    until = written + max((used_at or started) - started, timedelta(0)) + _SLACK
    return since.strftime(_STAMP), until.strftime(_STAMP)


def _outside(window: tuple[str, str], known: tuple[str, str] | None) -> Iterator[tuple[str, str]]:
    since, until = window
    if known is None:
        yield window
        return
    if since < known[0]:
        yield since, min(until, known[0])
    if until > known[1]:
        yield max(since, known[1]), until


def _merged(spans: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """
    Yield spans that do not overlap, given sorted ones.
    """
    last: tuple[str, str] | None = None
    for span in spans:
        if last is not None and span[0] <= last[1]:
            last = (last[0], max(last[1], span[1]))
            continue
        if last is not None:
            yield last
        last = span
    if last is not None:
        yield last
