"""
A file that is there whole or not at all: written under another name, synced, and then given its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["new_file", "replaced_file", "sync_folder"]


@contextmanager
def new_file(path: Path, *, mode: int = 0o600, mtime_ns: int | None = None) -> Iterator[BinaryIO]:
    """
    Write a file that overwrites nothing.

    Args:
        path: Its name, once it is whole.
        mode: Its permissions.
        mtime_ns: When it last changed, to say so of a file that is another form of one there was before.

    Raises:
        FileExistsError: There is one of this name.
        OSError: It could not be written; nothing is left of it.
    """
    with _unfinished(path, mode) as (unfinished, file):
        yield file
        _finish(file, mtime_ns)
        os.link(unfinished, path)
    sync_folder(path.parent)


@contextmanager
def replaced_file(path: Path) -> Iterator[BinaryIO]:
    """
    Write a file that takes the place of the one of this name, with its permissions.

    Raises:
        OSError: It could not be written; the other is as it was.
    """
    with _unfinished(path, path.stat().st_mode & 0o777) as (unfinished, file):
        yield file
        _finish(file, None)
        unfinished.rename(path)
    sync_folder(path.parent)


@contextmanager
def _unfinished(path: Path, mode: int) -> Iterator[tuple[Path, BinaryIO]]:
    unfinished = path.with_name(path.name + ".tmp")
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, mode)
            yield unfinished, file
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()


def _finish(file: BinaryIO, mtime_ns: int | None) -> None:
    file.flush()
    if mtime_ns is not None:
        os.utime(file.fileno(), ns=(mtime_ns, mtime_ns))
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """
    Let the names in a folder reach the disk.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
