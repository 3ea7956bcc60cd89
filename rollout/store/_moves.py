"""
Moves of sessions: into the archive and back, into the trash and back.

A move is one rename: the file is always in one of the two folders. If a session has several files, a crash may leave
some moved; a second call moves the rest.

A session is found before its lock is taken, and may be moved or deleted between the two. So its files are looked up
again when the lock is held. Codex's database is updated before the lock is released, in the order of the changes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from rollout.errors import AmbiguousSessionError, SessionNotFoundError, SessionStateError
from rollout.home import (
    RolloutName,
    SessionLock,
    StrPath,
    archive_folder,
    find_session,
    folder_for,
    forget_reverted,
    home_folder,
    home_of,
    is_path,
    locate,
    locked_sessions,
    make_folder,
    rollouts_in,
    sync_folder,
    trash_folder,
    walk,
)
from rollout.store._codex_database import update_codex
from rollout.store._names import forget_name
from rollout.store._relatives import agents_in_trash, agents_of, release_forks

__all__ = ["archive", "check_deletable", "delete", "deleted_sessions", "identify", "place_of", "restore", "unarchive"]


def archive(session: StrPath, *, home: StrPath | None = None) -> Path:
    """
    Move a session and its sub-agents into the archive. Blocks.

    Codex and `list_sessions` show archived sessions only on request. Does nothing to an archived session.

    Args:
        session: The session's id, the beginning of the id, or its file.
        home: By default ``CODEX_HOME``, else ``~/.codex``; for a file, the home that contains it.

    Returns:
        The file in the archive; the newest if the session has several.

    Raises:
        SessionNotFoundError: There is no such session, or it was deleted in the meantime.
        AmbiguousSessionError: As `find_session`.
        SessionBusyError: A writer has the session open, or another call is changing it.
        SessionStateError: The file is not in a home, or its name is not the name of a rollout.
        FileExistsError: Another file of the same name is in the archive.
        OSError: The file could not be moved, and is still in its old place.
    """
    session_id, folder = identify(session, home)
    with SessionLock(folder, session_id):
        _check_free(folder, agents := _agents(folder, session_id))
        for agent_id in agents:
            with SessionLock(folder, agent_id):
                _archive(folder, agent_id, _live(folder, agent_id), _archived(folder, agent_id))
        return _archive(folder, session_id, *_places(session, folder, session_id))


def _archive(home: Path, session_id: str, live: Sequence[RolloutName], archived: Sequence[RolloutName]) -> Path:
    moved = _move_all(live, lambda _: archive_folder(home))
    path = next(iter((*moved, *(name.path for name in archived))))
    update_codex(home, session_id, archived=str(path))
    return path


def _agents(home: Path, session_id: str) -> list[str]:
    """
    Return the ids of the sub-agents of a session that is not in the trash.
    """
    try:
        path = find_session(session_id, home=home)
    except SessionNotFoundError:
        return []
    return [name.session_id for name in agents_of(path)]


def _check_free(home: Path, agents: Iterable[str]) -> None:
    """
    Raise SessionBusyError if a writer has one of these sub-agents open: before the first one is moved.
    """
    held = locked_sessions(home)
    for agent_id in agents:
        if agent_id in held:
            SessionLock(home, agent_id).release()


def unarchive(session: StrPath, *, home: StrPath | None = None) -> Path:
    """
    Move a session and its sub-agents out of the archive, into the folders of the days in their names.

    Does nothing to a session that is not archived. Arguments, result and errors as `archive`.
    """
    session_id, folder = identify(session, home)
    with SessionLock(folder, session_id):
        _check_free(folder, agents := _agents(folder, session_id))
        for agent_id in agents:
            with SessionLock(folder, agent_id):
                _unarchive(folder, agent_id, _live(folder, agent_id), _archived(folder, agent_id))
        return _unarchive(folder, session_id, *_places(session, folder, session_id))


def _unarchive(home: Path, session_id: str, live: Sequence[RolloutName], archived: Sequence[RolloutName]) -> Path:
    moved = _move_all(archived, lambda name: folder_for(home, name))
    path = next(iter((*moved, *(name.path for name in live))))
    update_codex(home, session_id, live=str(path))
    return path


def delete(
    session: StrPath, *, home: StrPath | None = None, permanently: bool = False, force: bool = False
) -> tuple[Path, ...]:
    """
    Delete a session and its sub-agents: all files, live and archived, plain and compressed. Blocks.

    Codex forks a session by reference: the fork needs the file of the other session, so that is not deleted. To find
    such forks, the first lines of all newer sessions are read, some 8 s for 100,000.

    Args:
        session: The session's id, the beginning of the id, or its file.
        home: As for `archive`.
        permanently: Whether to remove the files and the name, also files of the session that are already in the trash.
            By default the files move to the trash, ``deleted_sessions`` in the home; `restore` moves them back.
        force: Whether to copy the lines that forks need into the files of the forks, and then to delete the session.

    Returns:
        The paths of the session's files in the trash, then those of its sub-agents; their former paths if they were
        removed.

    Raises:
        SessionNotFoundError: There is no such session, or another call deleted it in the meantime.
        SessionStateError: Forks need the file, and *force* is not set; or as `archive`.
        AmbiguousSessionError, SessionBusyError, OSError: As `archive`.
    """
    session_id, folder = identify(session, home, in_trash=permanently)
    with SessionLock(folder, session_id):
        agents = _agents(folder, session_id)
        if permanently:
            agents = [*dict.fromkeys((*agents, *agents_in_trash(folder, session_id)))]
        _check_free(folder, agents)
        names = _files(folder, session_id, in_trash=permanently)
        if not names:
            raise SessionNotFoundError(str(session), folder)
        of_all = [name for one in (session_id, *agents) for name in _files(folder, one, in_trash=permanently)]
        release_forks(folder, of_all, force=force)
        of_agents: list[Path] = []
        for agent_id in agents:
            with SessionLock(folder, agent_id):
                files = _files(folder, agent_id, in_trash=permanently)
                of_agents += _delete(folder, agent_id, files, permanently=permanently)
        return (*_delete(folder, session_id, names, permanently=permanently), *of_agents)


def _files(home: Path, session_id: str, *, in_trash: bool) -> list[RolloutName]:
    names = [*_live(home, session_id), *_archived(home, session_id)]
    return [*names, *_deleted(home, session_id)] if in_trash else names


def check_deletable(
    session: StrPath, *, home: StrPath | None = None, permanently: bool = False, force: bool = False
) -> tuple[Path, ...]:
    """
    Return the files that `delete` would delete, or raise its error, if forks need them; change nothing.
    """
    session_id, folder = identify(session, home, in_trash=permanently)
    ids = (session_id, *_agents(folder, session_id))
    names = [name for one in ids for name in _files(folder, one, in_trash=permanently)]
    if not force:
        release_forks(folder, names, force=False)
    return tuple(name.path for name in names)


def _delete(home: Path, session_id: str, names: Sequence[RolloutName], *, permanently: bool) -> list[Path]:
    if permanently:
        paths = [name.path for name in names]
        _remove(paths)
        forget_name(home, session_id)
    else:
        paths = _move_all(names, lambda _: trash_folder(home))
    update_codex(home, session_id, gone="")
    return paths


def restore(session: StrPath, *, home: StrPath | None = None) -> Path:
    """
    Move a session and its sub-agents out of the trash, into the folders of the days in their names.

    Args:
        session: The session's id, the beginning of the id, or its file in the trash.
        home: As for `archive`.

    Returns:
        The file; the newest if the session has several.

    Raises:
        SessionNotFoundError: The session is not in the trash, or another call removed it from there in the meantime.
        AmbiguousSessionError, SessionBusyError, SessionStateError, OSError: As `archive`.
    """
    session_id, folder = _identify_in_trash(session, home_folder(home).absolute())
    with SessionLock(folder, session_id):
        agents = agents_in_trash(folder, session_id)
        moved = _move_all(_deleted(folder, session_id), lambda name: folder_for(folder, name))
        if not moved:
            raise SessionNotFoundError(str(session), trash_folder(folder))
        for agent_id in agents:
            with SessionLock(folder, agent_id):
                _move_all(_deleted(folder, agent_id), lambda name: folder_for(folder, name))
    return moved[0]


def deleted_sessions(*, home: StrPath | None = None) -> list[Path]:
    """
    Return the files in the trash, newest first.
    """
    return [name.path for name in rollouts_in(trash_folder(home_folder(home)))]


def identify(session: StrPath, home: StrPath | None, *, in_trash: bool = False) -> tuple[str, Path]:
    """
    Return a session's id and its home. Its files may be moved before its lock is taken.
    """
    folder = home_folder(home).absolute()
    try:
        path = locate(session, folder)
    except SessionNotFoundError:
        if in_trash:
            return _identify_in_trash(session, folder)
        raise
    name, own_home = RolloutName.parse(path), home_of(path)
    if name is not None and own_home is not None and not is_path(session):
        # The search reads only folders of the home that are not links, so the checks below are not needed.
        return name.session_id, own_home
    if not path.is_file():
        raise SessionNotFoundError(str(session), folder)
    if name is None or own_home is None:
        raise SessionStateError(path.absolute(), "the file is not in a home, or its name is not the name of a rollout")
    # The file must not be in the trash, and its path must not contain a link.
    found = [*_live(own_home, name.session_id), *_archived(own_home, name.session_id)]
    found += _deleted(own_home, name.session_id) if in_trash else []
    if path.absolute() not in (each.path for each in found):
        if not path.is_file():  # moved since it was found
            raise SessionNotFoundError(str(session), folder)
        raise SessionStateError(path.absolute(), "the file is in the trash, or its path contains a symbolic link")
    return name.session_id, own_home


def place_of(session: StrPath, folder: Path, session_id: str) -> Path:
    """
    Return the current path of a session's file, also after a move. For a path, this is the file of the same name; for
    an id, the newest file.

    Raises:
        SessionNotFoundError: The session was deleted in the meantime.
    """
    names = [name for found in _places(session, folder, session_id) for name in found]
    if is_path(session):
        wanted = Path(session).name
        names = [name for name in names if name.path.name.removesuffix(".zst") == wanted.removesuffix(".zst")]
        names.sort(key=lambda name: name.path.name != wanted)
    if not names:
        raise SessionNotFoundError(str(session), folder)
    return names[0].path


def _places(session: StrPath, folder: Path, session_id: str) -> tuple[list[RolloutName], list[RolloutName]]:
    """
    Return the live and the archived files of a session whose lock is held.

    Raises:
        SessionNotFoundError: The session no longer has any files.
    """
    places = _live(folder, session_id), _archived(folder, session_id)
    if not any(places):
        raise SessionNotFoundError(str(session), folder)
    return places


def _identify_in_trash(session: StrPath, home: Path) -> tuple[str, Path]:
    name = RolloutName.parse(Path(session))
    wanted = name.session_id if name else str(session).lower()
    found = {name.session_id for name in _deleted(home, wanted)}
    if len(found) > 1:
        raise AmbiguousSessionError(wanted, tuple(sorted(found)))
    if not found or not wanted:
        raise SessionNotFoundError(str(session), trash_folder(home))
    return found.pop(), home


def _live(home: Path, session_id: str) -> list[RolloutName]:
    return list(_of_session(walk(home, name_contains=session_id), session_id))


def _archived(home: Path, session_id: str) -> list[RolloutName]:
    return list(_of_session(walk(home, name_contains=session_id, archived=True), session_id))


def _deleted(home: Path, session_id: str) -> list[RolloutName]:
    return list(_of_session(rollouts_in(trash_folder(home), name_contains=session_id), session_id))


def _of_session(names: Iterable[RolloutName], beginning: str) -> Iterator[RolloutName]:
    for name in names:
        if name.session_id.startswith(beginning):
            yield name
            # A walk leaves out compressed files if the plain file also exists.
            twin = RolloutName.parse(name.path.with_name(f"{name}.zst"))
            if twin is not None and not name.is_compressed and twin.path.is_file():
                yield twin


def _move_all(names: Sequence[RolloutName], to: Callable[[RolloutName], Path]) -> list[Path]:
    """
    Move files, the newest last: a session counts as moved when its newest file is.
    """
    return [_move(name, to(name)) for name in reversed(names)][::-1]


def _move(name: RolloutName, folder: Path) -> Path:
    make_folder(folder)
    path, target = name.path, folder / name.path.name
    # No other call can create the target now: this one holds the session's lock.
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "another file with this name exists; decide which one to keep", str(target))
    try:
        path.rename(target)
    except FileNotFoundError as error:
        # A program that takes no lock has moved the file.
        raise SessionNotFoundError(name.session_id, path.parent) from error
    forget_reverted()
    sync_folder(folder)
    sync_folder(path.parent)
    return target


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
