"""
Compression of sessions as Codex does it in its archive: zstd, level 3, ``.jsonl.zst`` in place of the plain file.

The new file is written next to the old one, read back and compared; only then is the old one removed. In the worst
case, a crash leaves both files: then the plain file is used, and a second call completes the change.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

from rollout.errors import SessionStateError
from rollout.home import SessionLock, StrPath, locked_file, make_folder, new_file, sync_folder
from rollout.reading import open_bytes, zstd_module
from rollout.store._moves import identify, place_of

__all__ = ["compress", "decompress"]

# Seconds, as in Codex: a session that changed more recently is likely to be continued.
_MIN_AGE = 7 * 86_400.0
_LEVEL = 3
_BLOCK_SIZE = 2**20


def compress(session: StrPath, *, home: StrPath | None = None, min_age: float = _MIN_AGE) -> Path:
    """
    Compress a session's file; keep its permissions and modification time. Does nothing to a compressed file.

    Reads and writes the file once and reads the result once, in constant memory. `Recorder.resume` needs a plain file:
    call `decompress` first. Codex 0.169.0 decompresses by itself.

    Args:
        session: The session's id, the beginning of the id, or its file.
        home: By default ``CODEX_HOME``, else ``~/.codex``; for a file, the home that contains it.
        min_age: Minimum number of seconds since the last change. Codex before 0.147 takes no lock: lines that it writes
            during the compression are lost.

    Returns:
        The compressed file.

    Raises:
        SessionNotFoundError, AmbiguousSessionError: As `find_session`.
        SessionBusyError: A writer has the session open, or Codex is compressing.
        SessionStateError: The file changed less than *min_age* seconds ago or during the compression, is empty, or is
            not in a home; or the compressed file has different content.
        ModuleNotFoundError: The extra ``zstd`` is not installed.
        OSError: The new file could not be written; the plain file is unchanged.
    """
    session_id, folder = identify(session, home)
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
            raise SessionStateError(path, "the file is empty")
        if time.time() - path.stat().st_mtime < min_age:
            raise SessionStateError(path, f"changed less than {min_age:g} seconds ago; compress it later")
        # Left by a crash: the plain file is used.
        target.unlink(missing_ok=True)
        _transform(path, target)
    return target


def decompress(session: StrPath, *, home: StrPath | None = None) -> Path:
    """
    Decompress a session's file. Does nothing to a plain file.

    Args:
        session: The session's id, the beginning of the id, or its file.
        home: As for `compress`.

    Returns:
        The plain file.

    Raises:
        SessionStateError: The file is damaged, or is not in a home; see `rollout.repair`.
        SessionNotFoundError, AmbiguousSessionError, SessionBusyError, ModuleNotFoundError, OSError: As `compress`.
    """
    session_id, folder = identify(session, home)
    path, target = _both_forms(place_of(session, folder, session_id))
    if not path.is_file():
        return target
    with SessionLock(folder, session_id), _maintenance(folder):
        # The file may have been moved, or decompressed, before this process got the lock.
        path, target = _both_forms(place_of(session, folder, session_id))
        # If a crash left both files, the plain one is used.
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
    Write *path* in the other form as *target*, compare the contents, and remove *path*.
    """
    file, damage = open_bytes(path)
    before = path.stat()
    try:
        with (
            file,
            new_file(target, mode=before.st_mode & 0o777, mtime_ns=before.st_mtime_ns) as new,
            nullcontext(new) if path.name.endswith(".zst") else _compressor(path, new) as sink,
        ):
            written = _checksum(file, sink)
    except damage as error:
        raise SessionStateError(
            path, f"the compressed file is damaged: {error}; `rollout repair` recovers the readable lines"
        ) from error
    file, damage = open_bytes(target)
    is_equal = False
    with file, suppress(*damage):
        is_equal = _checksum(file) == written
    after = path.stat()
    if not is_equal or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        target.unlink()
        reason = "the file changed in the meantime" if is_equal else f"{target.name} has different content"
        raise SessionStateError(path, f"{reason}; the original file was left unchanged")
    path.unlink()
    sync_folder(path.parent)


def _remove_if_equal(path: Path, target: Path) -> None:
    file, _ = open_bytes(target)
    other, damage = open_bytes(path)
    with file, other, suppress(*damage):
        if _checksum(file) == _checksum(other):
            path.unlink()


def _compressor(path: Path, file: BinaryIO) -> Any:
    # Closing the compressor ends the frame, and leaves *file* open.
    return zstd_module(path).ZstdFile(file, "w", level=_LEVEL)


def _checksum(source: BinaryIO, sink: BinaryIO | None = None) -> bytes:
    """
    Return the checksum of the rest of a file, and write this rest to *sink*.
    """
    checksum = blake2b()
    while block := source.read(_BLOCK_SIZE):
        checksum.update(block)
        if sink is not None:
            sink.write(block)
    return checksum.digest()


def _maintenance(home: Path) -> AbstractContextManager[None]:
    """
    Return the lock that Codex holds while it replaces one form of a file with the other.
    """
    path = home / ".tmp" / "rollout-maintenance.lock"
    make_folder(path.parent)
    return locked_file(path)
