"""
One session on its way into the index: from where the index is, to the last whole line.
"""

from __future__ import annotations

import os
import zlib
from hashlib import blake2b
from io import BufferedReader

import attrs
from attrs import define, field, frozen

from rollout._facts import Facts
from rollout._texts import Texts
from rollout._walk import Problem
from rollout.codec import decode_json, decode_line, encode_json
from rollout.errors import InvalidLineError
from rollout.layout import RolloutName
from rollout.reader import open_rollout, raw_lines
from rollout.search._index import Index, Row, tags_of
from rollout.search._query import without_surrogates
from rollout.stats import StatsCounter

__all__ = ["BATCH_SIZE", "Change", "Reading", "Updated", "counter_of", "place_session"]

BATCH_SIZE = 64 * 2**20
"""Bytes read between two commits."""

_CHECKED_SIZE = 512
# Characters of the first words that are kept.
_PREVIEW_SIZE = 200


@frozen
class Change:
    """
    A session that the index does not have as it is.

    Attributes:
        name: Its file.
        size: The file's bytes.
        mtime_ns: When it changed.
        row: What the index has of it; None for nothing that can be gone on from.
    """

    name: RolloutName
    size: int
    mtime_ns: int
    row: Row | None

    @property
    def unread_size(self) -> int:
        """Bytes to read, at most."""
        return self.size if self.row is None or self.name.is_compressed else max(self.size - self.row.offset, 0)


@define
class Updated:
    """
    What an update did.

    Attributes:
        sessions: How many it read from.
        size: Bytes it read.
        gone: How many it forgot.
        problems: What it could not read.
    """

    sessions: int = 0
    size: int = 0
    gone: int = 0
    problems: list[Problem] = field(factory=list)


def place_session(index: Index, change: Change) -> None:
    """
    Note where a session lies; one that the index does not have gets a number.
    """
    path = change.name.path
    place = (str(path.parent.relative_to(index.home)), change.name.is_compressed, path.name.removesuffix(".zst"))
    if change.row is not None:
        index.database.execute("UPDATE sessions SET folder = ?, is_compressed = ? WHERE name = ?", place)
    else:
        index.database.execute("INSERT INTO sessions(folder, is_compressed, name, offset) VALUES (?, ?, ?, 0)", place)


class Reading:
    """
    What is new in one session, on its way into the index.
    """

    def __init__(self, index: Index, change: Change, number: int, updated: Updated) -> None:
        self._index, self._change, self._number, self._updated = index, change, number, updated
        self._facts, self._counter = Facts(), StatsCounter()
        self._offset = 0
        self._problem: str | None = None
        self._rows: list[tuple[int, str, str]] = []

    def run(self) -> None:
        """
        Read it to its end; the caller commits, but for each 64 MB of one file.
        """
        path = self._change.name.path
        try:
            file, damage = open_rollout(path)
        except (OSError, ImportError) as error:
            self._problem = str(error)
            self._updated.problems.append(Problem(path, self._problem))
            self._save(None)
            return
        with file:
            if self._change.row is not None:
                self._go_on(self._change.row, file)
            self._texts = Texts(self._counter.open_calls)
            try:
                self._read(file)
            except damage as error:
                self._problem = f"the compressed file is damaged: {error}"
            self._save(file)

    def _go_on(self, row: Row, file: BufferedReader) -> None:
        if row.checksum is not None and row.checksum == _checksum(file, row.offset):
            (state,) = self._index.database.execute("SELECT state FROM sessions WHERE id = ?", (row.id,)).fetchone()
            self._counter = counter_of(state)
            self._facts, self._offset, self._problem = row.facts, row.offset, row.problem
            file.seek(row.offset)
        elif row.offset:
            # Another file of this name: its lines get numbers of their own.
            self._index.database.execute("DELETE FROM sessions WHERE id = ?", (row.id,))
            place_session(self._index, attrs.evolve(self._change, row=None))
            name = self._change.name.path.name
            (self._number,) = next(self._index.database.execute("SELECT id FROM sessions WHERE name = ?", (name,)))

    def _read(self, file: BufferedReader) -> None:
        base, committed = self._offset, self._offset
        for raw in raw_lines(file):
            at = base + raw.offset
            is_blank = raw.raw is not None and (not raw.raw or raw.raw.isspace())
            if not (is_blank or self._take(at, raw.raw) or raw.is_ended):
                # Half a line: perhaps it is being written.
                break
            self._updated.size += raw.end - raw.offset
            self._offset = base + raw.end
            if self._offset - committed >= BATCH_SIZE:
                committed = self._offset
                self._save(file, is_whole=False)
                self._index.database.execute("COMMIT")
                self._index.database.execute("BEGIN IMMEDIATE")

    def _take(self, at: int, raw: bytes | None) -> bool:
        try:
            line = decode_line(raw) if raw is not None else None
        except InvalidLineError as error:
            self._problem = self._problem or f"byte {at}: {error.reason}"
            return False
        if line is None:
            self._problem = self._problem or f"byte {at}: longer than a line may be"
            return False
        self._facts.add(line)
        self._counter.add(line)
        found = self._texts.of(line)
        if found:
            text = "\n".join(without_surrogates(text.text) for text in found)
            self._rows.append((at, text, " ".join(tags_of(text.kind, text.tool, text.is_failed) for text in found)))
        return True

    def _save(self, file: BufferedReader | None, *, is_whole: bool = True) -> None:
        self._index.add(self._number, self._rows)
        self._rows = []
        is_plain = file is not None and not self._change.name.is_compressed
        values = {
            # What is not wholly read is read on at the next update.
            "size": self._change.size if is_whole else -1,
            "mtime_ns": self._change.mtime_ns if is_whole else -1,
            "offset": self._offset,
            "checksum": _checksum(file, self._offset) if file is not None and is_plain else None,
            "turns": self._counter.turns.count,
            "tokens": self._counter.stats.tokens.total_tokens,
            "problem": self._problem,
            "state": zlib.compress(encode_json(self._counter.to_plain()).encode("utf-8", "replace")),
            **attrs.asdict(self._facts),
            "preview": self._facts.preview and self._facts.preview[:_PREVIEW_SIZE],
        }
        values = {key: without_surrogates(value) if isinstance(value, str) else value for key, value in values.items()}
        setting = ", ".join(f"{key} = :{key}" for key in values)
        self._index.database.execute(f"UPDATE sessions SET {setting} WHERE id = :id", {**values, "id": self._number})  # noqa: S608


def counter_of(state: bytes) -> StatsCounter:
    """
    Give a session's counter as the index keeps it.

    Raises:
        ValueError, zlib.error: It is none.
    """
    return StatsCounter.from_plain(decode_json(zlib.decompress(state)))


def _checksum(file: BufferedReader, offset: int) -> bytes:
    """
    Give a checksum of the bytes before an offset, to tell whether a file goes on from there.
    """
    begin = max(offset - _CHECKED_SIZE, 0)
    return blake2b(os.pread(file.fileno(), offset - begin, begin), digest_size=8).digest()
