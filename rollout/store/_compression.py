"""
Sessions compressed, as Codex compresses what lies in its archive: zstd, level 3, ``.jsonl.zst`` beside no other.

The new form is written beside the old one, read back and compared, and only then does the old one go. A crash leaves
both at worst, of which the plain one counts; the same call again finishes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

from rollout._lock import SessionLock, take_flock
from rollout._whole import new_file, sync_folder
from rollout._zstd import zstd_module
from rollout.errors import SessionBusyError, SessionStateError
from rollout.layout import StrPath, make_folder
from rollout.reader import open_rollout
from rollout.store._moves import identified, place_of

__all__ = ["compress", "decompress"]

# As Codex: nothing that is likely to be gone on with.
_MIN_AGE = 7 * 86_400.0
_LEVEL = 3
_BLOCK_SIZE = 2**20


def compress(session: StrPath, *, home: StrPath | None = None, min_age: float = _MIN_AGE) -> Path:
    """
    Compress a session's file; permissions and time of change stay. Does nothing to one that is compressed.

    Reads and writes the file once and reads the result once, in constant memory. `Recorder.resume` needs a plain file:
    `decompress` first. Codex 0.169.0 does so by itself.

    Args:
        session: Its id, the beginning of it, or its file.
        home: By default ``CODEX_HOME``, else ``~/.codex``; that of the file, where one is given.
        min_age: Seconds since the last change. Codex before 0.147 takes no lock: what it writes into a file that is
            being compressed is lost.

    Returns:
        The compressed file.

    Raises:
        SessionNotFoundError, AmbiguousSessionError: As `find_session`.
        SessionBusyError: A writer has it open, or Codex is compressing.
        SessionStateError: It changed less than *min_age* ago, or meanwhile; it is empty, or lies in no home.
        ModuleNotFoundError: The extra ``zstd`` is not installed.
        OSError: It could not be written, or what was written reads otherwise; the plain file stays.
    """
    session_id, folder = identified(session, home)
    path = place_of(session, folder, session_id)
    if path.name.endswith(".zst"):
        return path
    with SessionLock(folder, session_id), _maintenance(folder):
        # The file may have been moved, or compressed, before this process got the lock.
        path = place_of(session, folder, session_id)
        if path.name.endswith(".zst"):
            return path
        target = path.with_name(path.name + ".zst")
        if not path.stat().st_size:
            raise SessionStateError(path, "is empty")
        if time.time() - path.stat().st_mtime < min_age:
            raise SessionStateError(path, f"changed less than {min_age:g} seconds ago; compress it later")
        # Left by a crash: the plain file beside it counts.
        target.unlink(missing_ok=True)
        _transform(path, target)
    return target


def decompress(session: StrPath, *, home: StrPath | None = None) -> Path:
    """
    Make a compressed session's file plain again. Does nothing to one that is plain.

    Args:
        session: Its id, the beginning of it, or its file.
        home: As for `compress`.

    Returns:
        The plain file.

    Raises:
        SessionStateError: It is damaged, or lies in no home; see `rollout.repair`.
        SessionNotFoundError, AmbiguousSessionError, SessionBusyError, ModuleNotFoundError, OSError: As `compress`.
    """
    session_id, folder = identified(session, home)
    path, target = _both_forms(place_of(session, folder, session_id))
    if not path.is_file():
        return target
    with SessionLock(folder, session_id), _maintenance(folder):
        # The file may have been moved, or decompressed, before this process got the lock.
        path, target = _both_forms(place_of(session, folder, session_id))
        # A crash has left both; the plain one counts.
        if path.is_file() and target.exists():
            _remove_if_equal(path, target)
        elif path.is_file():
            _transform(path, target)
    return target


def _both_forms(path: Path) -> tuple[Path, Path]:
    """
    Return the paths of the compressed and the uncompressed form of a file.
    """
    plain = path.with_suffix("") if path.name.endswith(".zst") else path
    return plain.with_name(plain.name + ".zst"), plain


def _transform(path: Path, target: Path) -> None:
    """
    Write *path* in the other form as *target*, and remove it once that is proved.
    """
    file, damage = open_rollout(path)
    before = path.stat()
    try:
        with (
            file,
            new_file(target, mode=before.st_mode & 0o777, mtime_ns=before.st_mtime_ns) as new,
            nullcontext(new) if path.name.endswith(".zst") else _compressor(path, new) as sink,
        ):
            written = _checksum(file, sink)
    except damage as error:
        raise SessionStateError(path, f"the compressed file is damaged: {error}; `repair` saves what can be") from error
    file, damage = open_rollout(target)
    is_equal = False
    with file, suppress(*damage):
        is_equal = _checksum(file) == written
    after = path.stat()
    if not is_equal or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        target.unlink()
        reason = "was written to meanwhile" if is_equal else f"what was written to {target.name} reads otherwise"
        raise SessionStateError(path, f"{reason}; it stays as it is")
    path.unlink()
    sync_folder(path.parent)


def _remove_if_equal(path: Path, target: Path) -> None:
    file, _ = open_rollout(target)
    other, damage = open_rollout(path)
    with file, other, suppress(*damage):
        if _checksum(file) == _checksum(other):
            path.unlink()


def _compressor(path: Path, file: BinaryIO) -> Any:
    # Closing it ends the frame, and leaves the file below open.
    return zstd_module(path).ZstdFile(file, "w", level=_LEVEL)


def _checksum(source: BinaryIO, sink: BinaryIO | None = None) -> bytes:
    """
    Read a file to its end, writing it to *sink* on the way.
    """
    checksum = blake2b()
    while block := source.read(_BLOCK_SIZE):
        checksum.update(block)
        if sink is not None:
            sink.write(block)
    return checksum.digest()


@contextmanager
def _maintenance(home: Path) -> Iterator[None]:
    """
    Hold the lock that Codex holds while it puts one form of a file in the place of another.
    """
    path = home / ".tmp" / "rollout-maintenance.lock"
    make_folder(path.parent)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if not take_flock(fd, path):
            raise SessionBusyError(path)
        yield
    finally:
        os.close(fd)
