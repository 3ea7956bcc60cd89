"""
The sub-agents of a session, which move with it, and the forks that need its file.

Codex forks a session with ordinals by reference: the new file has only the new lines. Before the other file is deleted,
the lines can be copied into the fork, as Codex would have written them: with their ordinals, after the fork's
session_meta. Checked with Codex 0.169.0: it resumes such a fork, and then deletes the other session.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from attrs import evolve, frozen

from rollout.codec import RolloutLine, decode_line, encode_line
from rollout.errors import InvalidLineError, SessionStateError
from rollout.home import (
    RolloutName,
    SessionLock,
    home_of,
    new_file,
    replacement_file,
    rollouts_in,
    sync_folder,
    trash_folder,
    walk,
)
from rollout.reading import LineReader, base_of, inherited_lines, open_bytes, raw_lines
from rollout.sessions import descendants, read_last_use, read_origin
from rollout.store._codex_database import forget_turns
from rollout.store._names import read_names

__all__ = ["agents_in_trash", "agents_of", "release_forks"]

# The first line of a file has some 20 KB, at most this number of bytes.
_HEAD_SIZE = 2**20
_MARK = b'"history_base"'


@frozen
class Fork:
    """
    A session that continues the lines in the file of another session.

    Attributes:
        name: The fork's file.
        base_id: Id of the other file: the second id in its name if the name has two, otherwise the id of its session.
        is_direct: Whether the other file is one of those that were asked for, not that of another fork.
    """

    name: RolloutName
    base_id: str
    is_direct: bool = True


def agents_of(path: Path) -> list[RolloutName]:
    """
    Return the files of the sub-agents of a session, live and archived, and of the sub-agents of these; newest first.

    Blocks. Reads the first lines of the files of the time in which the session was used.

    Args:
        path: File of the session; it has no sub-agents if it is not in a home.
    """
    name, home = RolloutName.parse(path), home_of(path)
    return [] if name is None or home is None else descendants(home, name, _used_until)


def _used_until(name: RolloutName) -> datetime | None:
    try:
        seconds = read_last_use(name.path) or name.path.stat().st_mtime
    except (OSError, ImportError):
        return None
    return datetime.fromtimestamp(seconds, timezone.utc)


def agents_in_trash(home: Path, session_id: str) -> list[str]:
    """
    Return the ids of the sub-agents of a session that are in the trash, and of the sub-agents of these.
    """
    parents: dict[str, str | None] = {}
    for name in rollouts_in(trash_folder(home)):
        with suppress(LookupError, OSError, ImportError):
            parents[name.session_id] = read_origin(name.path).parent_id
    found = {session_id: None}
    waiting = [session_id]
    while waiting:
        parent_id = waiting.pop()
        own = [one for one, its_parent in parents.items() if its_parent == parent_id and one not in found]
        found.update(dict.fromkeys(own))
        waiting += own
    return [one for one in found if one != session_id]


def forks_of(home: Path, own: Sequence[RolloutName]) -> list[Fork]:
    """
    Return the sessions that continue lines of these files by reference, and the forks of these; the nearest first.

    Blocks. Reads the first lines of all files that are not older, some 80 us each. Forks among *own* do not count.
    """
    deleted = {name.session_id for name in own}
    bases = [*_all_forks(home, _day_before(min((name.timestamp for name in own), default="")))]
    found: dict[str, Fork] = {}
    own_ids = {name.key[1] for name in own}
    wanted = own_ids
    while wanted:
        next_ones = {
            fork.name.key[1]: evolve(fork, is_direct=fork.base_id in own_ids)
            for fork in bases
            if fork.base_id in wanted and fork.name.session_id not in deleted and fork.name.key[1] not in found
        }
        found.update(next_ones)
        wanted = {*next_ones}
    return list(found.values())


def _day_before(timestamp: str) -> str:
    """
    Return the timestamp from which forks are looked for: they are newer, but may be named after another time zone.
    """
    try:
        return f"{date.fromisoformat(timestamp[:10]) - timedelta(1)}T00-00-00"
    except (ValueError, OverflowError):
        # No day of the calendar, or the first one.
        return ""


def _all_forks(home: Path, since: str) -> Iterator[Fork]:
    for name in walk(home, archived=None, since=since):
        with suppress(OSError, ImportError):
            base_id = base_of(_meta_of(name))
            if base_id is not None:
                yield Fork(name, base_id.lower())


def _meta_of(name: RolloutName) -> Mapping[str, Any]:
    if not name.is_compressed:
        with name.path.open("rb") as file:
            head = file.readline(_HEAD_SIZE)
        # A line that cannot be read as the first one is rare, and the meta may follow.
        if b'"session_meta"' in head and _MARK not in head:
            return {}
    with LineReader(name.path) as lines:
        return next((line.payload for line in lines if line.type == "session_meta"), {})


def release_forks(home: Path, names: Sequence[RolloutName], *, force: bool) -> None:
    """
    Copy the lines that forks have by reference in these files into the forks.

    Raises:
        SessionStateError: There are such forks, and *force* is not set.
        SessionBusyError, SessionNotFoundError, OSError, ModuleNotFoundError: As `copy_inherited`.
    """
    forks = forks_of(home, names)
    if forks and not force:
        known = read_names(home)
        ids = {fork.name.session_id: known.of_file(fork.name.path) for fork in forks if fork.is_direct}
        listed = ", ".join(f"{one} ({name})" if name else one for one, name in ids.items())
        raise SessionStateError(
            names[0].path,
            f"forks need this file: {listed}. Delete them first, or use force (--force): it copies the lines into the "
            "forks, then deletes the session",
        )
    # The forks of forks first: they read lines from the files of the others.
    for fork in reversed(forks):
        copy_inherited(fork, home)


def copy_inherited(fork: Fork, home: Path) -> None:
    """
    Copy the lines that a fork has by reference into its file, so that it needs no other file. Blocks.

    The new file replaces the old one at once. The fork's own lines keep their bytes.

    Raises:
        SessionBusyError: A writer has the fork open.
        SessionNotFoundError: A file to which the fork refers does not exist.
        OSError, ModuleNotFoundError: A file cannot be read or written; the fork is unchanged.
    """
    with SessionLock(home, fork.name.session_id):
        path = fork.name.path
        # Codex reads its view of the turns again from the file.
        forget_turns(home, fork.name.session_id)
        file, _ = open_bytes(path)
        with file:
            if fork.name.is_compressed:
                with new_file(path.with_suffix("")) as target:
                    _write_whole(file, target, home)
                path.unlink()
                sync_folder(path.parent)
            else:
                with replacement_file(path) as target:
                    _write_whole(file, target, home)


def _write_whole(file: BufferedReader, target: BinaryIO, home: Path) -> None:
    end = 0
    for raw in raw_lines(file):
        end = raw.end
        meta = _decoded(raw.raw)
        if meta is None or meta.type != "session_meta":
            target.write((raw.raw or b"") + b"\n")
            continue
        payload = {key: value for key, value in meta.payload.items() if key != "history_base"}
        first = None if meta.ordinal is None else 0
        target.write(encode_line(evolve(meta, payload=payload, ordinal=first)))
        for line in inherited_lines(meta.payload, home):
            if line.type != "session_meta":
                target.write(line.raw + b"\n" if line.raw else encode_line(line))
        break
    file.seek(end)
    shutil.copyfileobj(file, target)


def _decoded(raw: bytes | None) -> RolloutLine | None:
    try:
        return None if raw is None else decode_line(raw)
    except InvalidLineError:
        return None
