"""
The file with the names of sessions, ``session_index.jsonl``, as Codex writes it.

A line is ``{"id", "thread_name", "updated_at"}``; the last line for an id is valid. Codex 0.169.0 holds a lock on
``session_index.jsonl.lock`` while it writes, as observed when it named sessions.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

from rollout.home._flock import locked_file
from rollout.home._layout import make_folder

__all__ = ["NAMES_FILE", "append_name", "checked_name", "locked_names"]

NAMES_FILE = "session_index.jsonl"


def checked_name(name: str) -> str:
    """
    Return a name without the blanks around it.

    Raises:
        ValueError: The name is blank, or contains a line break or another control character.
    """
    if not name.strip() or not name.strip().isprintable():
        raise ValueError(f"{name!r} is not a valid name: it is blank, or contains a control character")
    return name.strip()


def locked_names(home: Path) -> AbstractContextManager[None]:
    """
    Return a context manager that locks the file against other writers; blocks.
    """
    make_folder(home)
    return locked_file(home / f"{NAMES_FILE}.lock", timeout=None)


def append_name(home: Path, line: bytes) -> None:
    """
    Append a line, with its newline, and sync the file; blocks. The file must be locked.

    Raises:
        OSError: The line could not be written.
    """
    fd = os.open(home / NAMES_FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(fd).st_size
        # Without a newline after an incomplete last line, both lines would be lost.
        is_torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        os.write(fd, b"\n" + line if is_torn else line)
        os.fsync(fd)
    finally:
        os.close(fd)
