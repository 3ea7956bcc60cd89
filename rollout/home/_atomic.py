"""
Atomic file creation: write to a temporary name, sync, link or rename.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["new_file", "replacement_file", "sync_folder"]


@contextmanager
def new_file(path: Path, *, mode: int = 0o600, mtime_ns: int | None = None) -> Iterator[BinaryIO]:
    """
    Write a new file; never overwrite an existing file. The file gets its name when the body ends.

    Args:
        path: Path of the new file.
        mode: Permissions.
        mtime_ns: Time of the last change in Unix nanoseconds, for a file that is another form of an older file; by
            default the current time.

    Raises:
        FileExistsError: The path exists already.
        OSError: The file could not be written; no part of it is left.
    """
    with _temporary_file(path, mode) as (temporary, file):
        yield file
        _sync(file, mtime_ns)
        os.link(temporary, path)
    sync_folder(path.parent)


@contextmanager
def replacement_file(path: Path) -> Iterator[BinaryIO]:
    """
    Write a file that replaces an existing file when the body ends, with the same permissions.

    Raises:
        OSError: The file could not be written; the existing file is unchanged.
    """
    with _temporary_file(path, path.stat().st_mode & 0o777) as (temporary, file):
        yield file
        _sync(file, None)
        temporary.rename(path)
    sync_folder(path.parent)


@contextmanager
def _temporary_file(path: Path, mode: int) -> Iterator[tuple[Path, BinaryIO]]:
    temporary = path.with_name(path.name + ".tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, mode)
            yield temporary, file
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _sync(file: BinaryIO, mtime_ns: int | None) -> None:
    file.flush()
    if mtime_ns is not None:
        os.utime(file.fileno(), ns=(mtime_ns, mtime_ns))
    os.fsync(file.fileno())


def sync_folder(folder: Path, fsync: Callable[[int], None] | None = None) -> None:
    """
    Write the names in a folder to the disk.

    Args:
        folder: The folder.
        fsync: Function that syncs an open file; by default `os.fsync`.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        (fsync or os.fsync)(fd)
    finally:
        os.close(fd)
