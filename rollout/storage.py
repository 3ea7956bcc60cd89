"""
The sizes of sessions by purpose: types of lines, images, copies in compactions, archive.

Changes nothing. The sizes overlap: an image that a compaction repeats counts as an image and as a copy.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from heapq import nlargest
from itertools import chain, islice
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from rollout.codec import RolloutLine, encode_json
from rollout.home import (
    Problem,
    RolloutName,
    StrPath,
    find_and_use,
    home_folder,
    is_archived,
    locate,
    rollouts_in,
    trash_folder,
    walk,
)
from rollout.reading import LineReader, read_lines

__all__ = ["Storage", "TypeSize", "home_storage", "session_storage"]

# Seconds without change after which `compress` accepts a file; bytes between two calls of *progress*.
_MIN_AGE, _TICK_SIZE = 7 * 86_400.0, 16 * 2**20
# Far more and longer types than Codex has: limits the memory for a damaged file.
_TYPES_MAX, _TYPE_LENGTH_MAX, _OTHERS = 1000, 100, "others"
_IMAGE_KEYS = frozenset({"image_url", "images", "result"})
# Types whose *result* is base64, without the head of a data URL; compactions repeat them.
_MADE_IMAGES = ("image_generation_call", "image_generation_end")
_MADE_IMAGE_TYPES = frozenset({"compacted", "response_item/image_generation_call", "event_msg/image_generation_end"})
# Keys that Codex of 2026 adds to an item when it writes it; the copy in a compaction may lack them.
_ADDED_KEYS = frozenset({"id", "internal_chat_message_metadata_passthrough"})


@frozen
class TypeSize:
    """A number of lines or images, and their size in bytes."""

    count: int = 0
    size: int = 0


@frozen
class Storage:
    """
    The sizes of a session, or of all sessions of a home, in bytes; sizes of lines are without newlines.

    Attributes:
        sessions: The number of files, live and archived; a session that was reverted has several.
        size: Size on disk.
        plain_size: Uncompressed size; for a compressed file, the size of the lines that can be read.
        by_type: Lines by type, as ``response_item/message``, before 0.32 ``bare/response_item``; the largest first.
        images: Inline images: data URLs, and base64 of images that the model made.
        repeated_images: Size of those *images* that any session contained before.
        repeated_images_in_session: Size of those *images* that the same file contained before.
        compaction_copies: Size of items in ``replacement_history`` that the session contained before; without ids.
        unreadable: Size of the lines that cannot be read.
        largest: The largest files and their sizes on disk, the largest first.
        compressible: Size of the plain files that did not change for 7 days, which `compress` accepts.
        archived_size: The part of *size* in the archive.
        deleted_size: Size on disk of deleted sessions in the trash, not part of any other size.
        problems: Folders and files that could not be read, or only in part; *size* includes the files.
    """

    sessions: int = 0
    size: int = 0
    plain_size: int = 0
    by_type: Mapping[str, TypeSize] = field(factory=dict)
    images: TypeSize = TypeSize()
    repeated_images: int = 0
    repeated_images_in_session: int = 0
    compaction_copies: int = 0
    unreadable: int = 0
    largest: tuple[tuple[Path, int], ...] = ()
    compressible: int = 0
    archived_size: int = 0
    deleted_size: int = 0
    problems: tuple[Problem, ...] = ()


def session_storage(session: StrPath, *, home: StrPath | None = None) -> Storage:
    """
    Return the sizes of a session by purpose.

    Blocks. Reads its file once, and the part before the first compaction twice. Memory holds one line, a digest for
    each image, and, if there is a compaction, a digest for each item.

    Args:
        session: The session's file, its id or the beginning of the id.
        home: The home in which to find an id; by default ``CODEX_HOME``, else ``~/.codex``.

    Raises:
        SessionNotFoundError, AmbiguousSessionError: As `find_session`.
        OSError, ModuleNotFoundError: As `read_lines`.
    """
    tally = find_and_use(lambda: locate(session, home), _tally_of)
    return tally.storage


def _tally_of(path: Path) -> _Tally:
    tally = _Tally(1)
    tally.add(path, lambda _: None)
    return tally


def home_storage(
    *, home: StrPath | None = None, largest: int = 10, progress: Callable[[int, int, int, int], None] | None = None
) -> Storage:
    """
    Return the sizes of a home's live and archived sessions by purpose, and the total size of deleted ones.

    Blocks. Reads every file as `session_storage` does. Follows no links below ``sessions``, and no links to files. If a
    session has a plain and a compressed file, the plain file is counted.

    Args:
        home: By default ``CODEX_HOME``, else ``~/.codex``.
        largest: The number of largest files to list.
        progress: Function that is called after each file and every 16 MiB, with four numbers: files done, all files,
            bytes on disk done, all bytes.
    """
    folder, tally = home_folder(home), _Tally(largest)
    sizes = [*_sizes(chain(walk(folder), walk(folder, archived=True)))] if progress else []
    all_files, all_size, done_files, done_size = len(sizes), sum(sizes), 0, 0

    def report(read_size: int) -> None:
        nonlocal done_size
        done_size = min(done_size + read_size, tally.sums["size"])
        if progress:
            # Since the count, files may have been added or have grown.
            progress(done_files, max(all_files, done_files), done_size, max(all_size, done_size))

    problems = tally.problems
    # Not merged: a session that is archived during a run of minutes would be missed.
    for name in chain(walk(folder, problems=problems), walk(folder, archived=True, problems=problems)):
        try:
            tally.add(name.path, report)
        except (OSError, ImportError) as error:
            problems.append(Problem(name.path, str(error)))
        done_files, done_size = done_files + 1, tally.sums["size"]
        report(0)
    tally.sums["deleted_size"] = sum(_sizes(rollouts_in(trash_folder(folder), problems)))
    return tally.storage


def _sizes(names: Iterable[RolloutName]) -> Iterator[int]:
    for name in names:
        with suppress(OSError):  # removed in the meantime
            yield name.path.lstat().st_size


@define
class _Tally:
    """The sizes so far: *sums* by the names of `Storage`, *seen* with the number of the last file of each image."""

    largest_count: int
    sums: Counter[str] = field(factory=Counter)
    counts: Counter[str] = field(factory=Counter)
    sizes: Counter[str] = field(factory=Counter)
    images: TypeSize = TypeSize()
    largest: list[tuple[int, Path]] = field(factory=list)
    problems: list[Problem] = field(factory=list)
    seen: dict[bytes, int] = field(factory=dict)

    @property
    def storage(self) -> Storage:
        return Storage(
            **self.sums,
            by_type={name: TypeSize(self.counts[name], size) for name, size in self.sizes.most_common()},
            images=self.images,
            largest=tuple((path, size) for size, path in self.largest),
            problems=tuple(self.problems),
        )

    def add(self, path: Path, report: Callable[[int], None]) -> None:
        status, is_plain = path.stat(), path.suffix != ".zst"
        size, is_old = status.st_size, time.time() - status.st_mtime > _MIN_AGE
        self.sums.update(sessions=1, size=size, archived_size=size * is_archived(path))
        self.sums.update(plain_size=size * is_plain, compressible=size * (is_plain and is_old))
        self.largest = nlargest(self.largest_count, [*self.largest, (size, path)])
        with read_lines(path) as lines:
            for read_size in self._read(lines):
                self.sums["plain_size"] += 0 if is_plain else read_size
                if read_size >= _TICK_SIZE:
                    report(read_size)
            self.sums["unreadable"] += sum(bad.size for bad in lines.skipped)
            self.problems += [Problem(path, bad.reason) for bad in lines.skipped if not bad.size]  # damaged from there

    def _read(self, lines: LineReader) -> Iterator[int]:
        # Yields the size of the lines read since the last yield, with their newlines.
        read_size, items = 0, None
        for lineno, line in enumerate(lines):
            name, size = _type_of(line), len(line.raw)
            if name not in self.counts and (len(self.counts) >= _TYPES_MAX or len(name) > _TYPE_LENGTH_MAX):
                name = _OTHERS
            self.counts[name] += 1
            self.sizes[name] += size
            if b"data:" in line.raw or name in _MADE_IMAGE_TYPES:
                self._count_images(line.payload)
            if line.type == "compacted" and isinstance(line.payload.get("replacement_history"), list):
                if items is None:
                    # Read the lines before a second time: most sessions have no compaction, and need no digests.
                    with read_lines(lines.path) as before:
                        items = {_digest(o.payload)[0] for o in islice(before, lineno) if o.type == "response_item"}
                for digest, item_size in map(_digest, line.payload["replacement_history"]):
                    self.sums["compaction_copies"] += item_size * (digest in items)
                    items.add(digest)
            elif items is not None and line.type == "response_item":
                items.add(_digest(line.payload)[0])
            read_size += size + 1
            if read_size >= _TICK_SIZE:
                yield read_size
                read_size = 0
        yield read_size

    def _count_images(self, payload: Any) -> None:
        for image in _images_in(payload):
            # Without the head: an image that a model made has a head only where it is sent back to a model.
            digest, size = blake2b(image[image.find(b",") + 1 :], digest_size=16).digest(), len(image)
            self.images = TypeSize(self.images.count + 1, self.images.size + size)
            self.sums["repeated_images"] += size * (digest in self.seen)
            self.sums["repeated_images_in_session"] += size * (self.seen.get(digest) == self.sums["sessions"])
            self.seen[digest] = self.sums["sessions"]


def _type_of(line: RolloutLine) -> str:
    kind = line.payload.get("type") if line.type in ("response_item", "event_msg") else None
    name = f"{line.type}/{kind}" if isinstance(kind, str) else line.type
    return f"bare/{line.type}" if line.is_bare else name


def _images_in(payload: Any) -> Iterator[bytes]:
    # Values with the beginning by which a string is an image. No recursion: a line may be 1000 levels deep.
    pending: list[tuple[Any, str | None]] = [(payload, None)]
    while pending:
        value, head = pending.pop()
        if isinstance(value, dict):
            made = "" if value.get("type") in _MADE_IMAGES else "data:"
            pending += [(v, made if k == "result" else "data:" if k in _IMAGE_KEYS else head) for k, v in value.items()]
        elif isinstance(value, list):
            pending += [(part, head) for part in value]
        elif head is not None and isinstance(value, str) and value and value.startswith(head):
            yield value.encode("utf-8", "surrogatepass")


def _digest(item: Any) -> tuple[bytes, int]:
    if isinstance(item, dict) and not _ADDED_KEYS.isdisjoint(item):
        item = {key: value for key, value in item.items() if key not in _ADDED_KEYS}
    encoded = b""
    with suppress(OverflowError, ValueError):  # NaN can be read, but not encoded
        encoded = encode_json(item).encode("utf-8", "surrogatepass")
    return blake2b(encoded, digest_size=16).digest(), len(encoded)
