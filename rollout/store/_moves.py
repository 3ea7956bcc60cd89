"""
Sessions moved: into the archive and back, into the trash and back.

A move is one rename: there is no moment at which the file is in neither place. Where a session has several files, a
crash may leave some moved; the same call again moves the rest.

A session is found before its lock is taken, and may be moved or deleted between the two. So its files are looked up
again when the lock is held. Codex's database is updated before the lock is released, so in the order of the changes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from rollout._lock import SessionLock
from rollout._walk import rollouts_in, walk
from rollout._whole import sync_folder
from rollout.errors import AmbiguousSessionError, SessionNotFoundError, SessionStateError
from rollout.finding import is_path, locate
from rollout.layout import (
    RolloutName,
    StrPath,
    archive_folder,
    home_folder,
    home_of,
    make_folder,
    own_day_folder,
    trash_folder,
)
from rollout.store._codex import tell_codex
from rollout.store._names import forget_name

__all__ = ["archive", "delete", "deleted_sessions", "identified", "place_of", "restore", "unarchive"]


def archive(session: StrPath, *, home: StrPath | None = None) -> Path:
    """
    Put a session into the archive, where Codex and `list_sessions` do not show it unless asked to.

    Does nothing to one that is there.

    Args:
        session: Its id, the beginning of it, or its file.
        home: By default ``CODEX_HOME``, else ``~/.codex``; that of the file, where one is given.

    Returns:
        The file in the archive; the newest, where the session has several.

    Raises:
        SessionNotFoundError: There is no such session, or it was deleted meanwhile.
        AmbiguousSessionError: As `find_session`.
        SessionBusyError: A writer has it open, or another call is changing it.
        SessionStateError: The file lies in no home, or is not named as a rollout is.
        FileExistsError: Another file of its name is there.
        OSError: It could not be moved; it is where it was.
    """
    session_id, folder = identified(session, home)
    with SessionLock(folder, session_id):
        live, archived = _places(session, folder, session_id)
        moved = _move_all(live, lambda _: archive_folder(folder))
        path = next(iter((*moved, *(name.path for name in archived))))
        tell_codex(folder, session_id, archived=str(path))
    return path


def unarchive(session: StrPath, *, home: StrPath | None = None) -> Path:
    """
    Take a session out of the archive, into the folder of the day that its name says.

    Does nothing to one that is not there. Arguments, result and errors as `archive`.
    """
    session_id, folder = identified(session, home)
    with SessionLock(folder, session_id):
        live, archived = _places(session, folder, session_id)
        moved = _move_all(archived, lambda name: own_day_folder(folder, name.day))
        path = next(iter((*moved, *(name.path for name in live))))
        tell_codex(folder, session_id, live=str(path))
    return path


def delete(session: StrPath, *, home: StrPath | None = None, permanently: bool = False) -> tuple[Path, ...]:
    """
    Delete a session: all its files, live, archived, plain and compressed.

    A session that Codex has forked from it may need its file; see `fork`.

    Args:
        session: Its id, the beginning of it, or its file.
        home: As for `archive`.
        permanently: Remove the files and the name, instead of moving the files to ``deleted_sessions`` in the home,
            from where `restore` brings them back. Those of this session that lie there already go, too.

    Returns:
        Where its files are now, in the trash; where they were, if they are gone.

    Raises:
        SessionNotFoundError: There is no such session, or another call deleted it meanwhile.
        AmbiguousSessionError, SessionBusyError, SessionStateError, OSError: As `archive`.
    """
    session_id, folder = identified(session, home, in_trash=permanently)
    with SessionLock(folder, session_id):
        names = [*_live(folder, session_id), *_archived(folder, session_id)]
        names += _deleted(folder, session_id) if permanently else []
        if not names:
            raise SessionNotFoundError(str(session), folder)
        if permanently:
            paths = [name.path for name in names]
            _remove(paths)
            forget_name(folder, session_id)
        else:
            paths = _move_all(names, lambda _: trash_folder(folder))
        tell_codex(folder, session_id, gone="")
    return tuple(paths)


def restore(session: StrPath, *, home: StrPath | None = None) -> Path:
    """
    Bring a session back from the trash, into the folder of the day that its name says.

    Args:
        session: Its id, the beginning of it, or its file in the trash.
        home: As for `archive`.

    Returns:
        The file; the newest, where the session has several.

    Raises:
        SessionNotFoundError: It is not in the trash, or another call has removed it from the trash meanwhile.
        AmbiguousSessionError, SessionBusyError, SessionStateError, OSError: As `archive`.
    """
    session_id, folder = _identified_in_trash(session, home_folder(home).absolute())
    with SessionLock(folder, session_id):
        moved = _move_all(_deleted(folder, session_id), lambda name: own_day_folder(folder, name.day))
        if not moved:
            raise SessionNotFoundError(str(session), trash_folder(folder))
    return moved[0]


def deleted_sessions(*, home: StrPath | None = None) -> list[Path]:
    """
    Give the files in the trash, newest first.
    """
    return [name.path for name in rollouts_in(trash_folder(home_folder(home)))]


def identified(session: StrPath, home: StrPath | None, *, in_trash: bool = False) -> tuple[str, Path]:
    """
    Return a session's id and its home. Its files may be moved before its lock is taken.
    """
    folder = home_folder(home).absolute()
    try:
        path = locate(session, folder)
    except SessionNotFoundError:
        if in_trash:
            return _identified_in_trash(session, folder)
        raise
    name, own_home = RolloutName.parse(path), home_of(path)
    if name is not None and own_home is not None and not is_path(session):
        # The search reads only folders of the home that are not links, so the checks below are not needed.
        return name.session_id, own_home
    if not path.is_file():
        raise SessionNotFoundError(str(session), folder)
    if name is None or own_home is None:
        raise SessionStateError(path.absolute(), "it lies in no home, or is not named as a session is")
    # Neither in the trash nor behind a link.
    found = [*_live(own_home, name.session_id), *_archived(own_home, name.session_id)]
    found += _deleted(own_home, name.session_id) if in_trash else []
    if path.absolute() not in (each.path for each in found):
        if not path.is_file():  # moved since it was looked for
            raise SessionNotFoundError(str(session), folder)
        raise SessionStateError(path.absolute(), "it lies in the trash, or behind a link")
    return name.session_id, own_home


def place_of(session: StrPath, folder: Path, session_id: str) -> Path:
    """
    Return the current path of a session's file, also after a move. For a path, this is the file of the same name; for
    an id, the newest file.

    Raises:
        SessionNotFoundError: The session was deleted meanwhile.
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
        SessionNotFoundError: The session has no files any more.
    """
    places = _live(folder, session_id), _archived(folder, session_id)
    if not any(places):
        raise SessionNotFoundError(str(session), folder)
    return places


def _identified_in_trash(session: StrPath, home: Path) -> tuple[str, Path]:
    name = RolloutName.parse(Path(session))
    wanted = name.session_id if name else str(session).lower()
    found = {name.session_id for name in _deleted(home, wanted)}
    if len(found) > 1:
        raise AmbiguousSessionError(wanted, tuple(sorted(found)))
    if not found or not wanted:
        raise SessionNotFoundError(str(session), trash_folder(home))
    return found.pop(), home


def _live(home: Path, session_id: str) -> list[RolloutName]:
    return list(_of_session(walk(home, holding=session_id), session_id))


def _archived(home: Path, session_id: str) -> list[RolloutName]:
    return list(_of_session(walk(home, holding=session_id, is_archived=True), session_id))


def _deleted(home: Path, session_id: str) -> list[RolloutName]:
    return list(_of_session(rollouts_in(trash_folder(home), holding=session_id), session_id))


def _of_session(names: Iterable[RolloutName], beginning: str) -> Iterator[RolloutName]:
    for name in names:
        if name.session_id.startswith(beginning):
            yield name
            # A walk leaves out what is compressed beside a plain file.
            twin = RolloutName.parse(name.path.with_name(f"{name}.zst"))
            if twin is not None and not name.is_compressed and twin.path.is_file():
                yield twin


def _move_all(names: Sequence[RolloutName], to: Callable[[RolloutName], Path]) -> list[Path]:
    """
    Move files, the newest last: until all are moved the session is where it was.
    """
    return [_move(name, to(name)) for name in reversed(names)][::-1]


def _move(name: RolloutName, folder: Path) -> Path:
    make_folder(folder)
    path, target = name.path, folder / name.path.name
    # Nobody else makes one: the session's lock is ours.
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "there is another file of this name; look which one to keep", str(target))
    try:
        path.rename(target)
    except FileNotFoundError as error:
        # A program that takes no lock has moved the file.
        raise SessionNotFoundError(name.session_id, path.parent) from error
    sync_folder(folder)
    sync_folder(path.parent)
    return target


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
