"""
One session on its way into the index: from where the index is, to the last whole line.
"""

from __future__ import annotations

import os
import zlib
from hashlib import blake2b
from io import BufferedReader
from typing import Any

import attrs
from attrs import define, field, frozen

from rollout._facts import Facts
from rollout._texts import Texts
from rollout._walk import Problem
from rollout.codec import decode_json, decode_line, encode_json
from rollout.errors import InvalidLineError
from rollout.layout import RolloutName
from rollout.reader import RawLine, open_rollout, raw_lines
from rollout.search._filtering import tags_of
from rollout.search._index import Index
from rollout.search._postings import add_lines
from rollout.search._query import plain_text
from rollout.search._rows import Row
from rollout.stats import StatsCounter

__all__ = ["BATCH_SIZE", "Change", "Reading", "Updated", "goes_on", "place_session", "plain_state", "state_of"]

BATCH_SIZE = 64 * 2**20
"""Bytes read between two commits."""

_CHECKED_SIZE = 512
# What the states of all sessions have in common, for zlib; another one makes another version of the index.
_USUAL = (
    b'"event_msg/user_message":1,"event_msg/agent_message":1,"event_msg/agent_reasoning":1,"compacted":1,"shell":{"calls":1'
    b',"update_plan":{"calls":1,"local_shell":{"calls":1,"web_search":{"calls":1,"shell_command":{"calls":1,"last_total":'
    b'{"counter":{"turns":{"count":1,"is_running":false,"said_by":["response_item","event_msg"]},"copies":{"is_fork":false,'
    b'"is_copying":false,"session_id":"019","is_head":false,"forked_at":17,"copied_at":17,"own_ordinal":0},"lines":'
    b'{"session_meta":1,"event_msg/task_started":1,"response_item/message":2,"world_state":1,"turn_context":1,'
    b'"event_msg/item_completed":5,"response_item/reasoning":1,"response_item/custom_tool_call":1,'
    b'"response_item/custom_tool_call_output":1,"token_usage_record":1,"event_msg/token_count":1,'
    b'"event_msg/task_complete":1,"response_item/function_call":1,"response_item/function_call_output":1},"tools":'
    b'{"apply_patch":{"calls":1,"failures":0,"duration":0.0},"exec_command":{"calls":1,"failures":0,"duration":0.0}},'
    b'"by_records":{"open_calls":{},"used":{"input_tokens":1,"cached_input_tokens":1,"output_tokens":1,'
    b'"reasoning_output_tokens":1,"total_tokens":1},"last_record":"","last_total":null,"is_asked":false,'
    b'"is_answered":false,"first_at":"2026-","last_at":"2026-","active_ms":0.0},"texts":{"count":1,"said":{"","tools":{}}}'
)
# Characters of the first words that are kept.
_PREVIEW_SIZE = 120


@frozen
class Change:
    """
    A session that the index does not have as it is.

    Attributes:
        name: Its file.
        size: The file's bytes.
        mtime_ns: When it changed.
        inode: The file's number.
        row: What the index has of it; None for nothing that can be gone on from.
    """

    name: RolloutName
    size: int
    mtime_ns: int
    inode: int
    row: Row | None

    @property
    def unread_size(self) -> int:
        """Bytes to read, at most."""
        return self.size if self.row is None or self.name.is_compressed else max(self.size - self.row.offset, 0)

    @property
    def own_name(self) -> str:
        """The file's name, without ``.zst``."""
        return self.name.path.name.removesuffix(".zst")


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


def place_session(index: Index, change: Change) -> int:
    """
    Store the place of a session's file, and return the number of the session; a new session gets a number.
    """
    path = change.name.path
    place = (str(path.parent.relative_to(index.home)), change.name.is_compressed, change.own_name)
    if change.row is not None:
        index.database.execute("UPDATE sessions SET folder = ?, is_compressed = ? WHERE name = ?", place)
        index.sign(change.row.id)
        return change.row.id
    number = index.database.execute(
        "INSERT INTO sessions(folder, is_compressed, name, size, mtime_ns, inode, offset, turns, tokens)"
        " VALUES (?, ?, ?, -1, -1, 0, 0, 0, 0)",
        place,
    ).lastrowid
    assert number is not None  # noqa: S101 -- it was inserted
    index.sign(number)
    return number


class Reading:
    """
    What is new in one session, on its way into the index.
    """

    def __init__(self, index: Index, change: Change, number: int, updated: Updated) -> None:
        self._index, self._change, self._number, self._updated = index, change, number, updated
        self._facts, self._counter, self._texts = Facts(), StatsCounter(), Texts()
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
            self._report(error)
            # Tried again at the next update.
            self._index.database.execute(
                "UPDATE sessions SET size = -1, mtime_ns = -1, problem = ? WHERE id = ?",
                (plain_text(str(error)), self._number),
            )
            self._index.sign(self._number)
            return
        with file:
            if self._change.row is not None:
                self._go_on(self._change.row, file)
            is_whole = True
            try:
                self._read(file)
            except damage as error:
                self._problem = f"the compressed file is damaged: {error}"
            except OSError as error:
                self._report(error)
                is_whole = False
            self._save(file, is_whole=is_whole)

    def _report(self, error: Exception) -> None:
        self._problem = str(error)
        self._updated.problems.append(Problem(self._change.name.path, self._problem))

    def _go_on(self, row: Row, file: BufferedReader) -> None:
        state = state_of(self._index.state(row.id)) if goes_on(file.fileno(), row) else None
        if state is not None:
            self._counter, self._texts = state
            self._facts, self._offset = row.facts, row.offset
            # Of what could not be read then, what comes before stays.
            problem = row.problem or ""
            is_of_line = problem.startswith("byte ") and not problem.startswith(_at(row.offset))
            self._problem = problem if is_of_line else None
            file.seek(row.offset)
        elif row.offset:
            # Another file of this name: its lines get numbers of their own.
            self._index.forget([row.id])
            self._number = place_session(self._index, attrs.evolve(self._change, row=None))

    def _read(self, file: BufferedReader) -> None:
        base, committed = self._offset, self._offset
        for raw in raw_lines(file):
            if not self._take(base + raw.offset, raw):
                # Half a line: perhaps it is being written.
                break
            self._updated.size += raw.end - raw.offset
            self._offset = base + raw.end
            if self._offset - committed >= BATCH_SIZE:
                committed = self._offset
                self._save(file, is_whole=False)
                self._index.commit()
                self._index.database.execute("BEGIN IMMEDIATE")

    def _take(self, at: int, raw: RawLine) -> bool:
        if raw.raw is not None and (not raw.raw or raw.raw.isspace()):
            return raw.is_ended
        reason = "longer than a line may be"
        try:
            line = decode_line(raw.raw) if raw.raw is not None else None
        except InvalidLineError as error:
            line, reason = None, error.reason
        if line is None:
            self._problem = self._problem or f"{_at(at)}{reason}"
            if raw.is_ended:
                self._texts.pass_over()
            return raw.is_ended
        self._facts.add(line)
        self._counter.add(line)
        found = self._texts.of(line)
        if found:
            text = "\n".join(text.text for text in found)
            tags = [tag for text in found for tag in tags_of(text.kind, text.tool, text.is_failed)]
            self._rows.append((at, text, " ".join(tags)))
        return True

    def _save(self, file: BufferedReader, *, is_whole: bool) -> None:
        add_lines(self._index, self._number, self._rows)
        self._rows = []
        state = {"counter": self._counter.to_plain(), "texts": self._texts.to_plain()}
        values = {
            # What is not wholly read is read on at the next update.
            "size": self._change.size if is_whole else -1,
            "mtime_ns": self._change.mtime_ns if is_whole else -1,
            "inode": self._change.inode,
            "offset": self._offset,
            "checksum": None if self._change.name.is_compressed else _checksum(file.fileno(), self._offset),
            "turns": self._counter.turns.count,
            "tokens": self._counter.stats.tokens.total_tokens,
            "problem": self._problem,
            "state": _compressed(state),
            **attrs.asdict(self._facts),
            "preview": self._facts.preview and self._facts.preview[:_PREVIEW_SIZE],
        }
        values = {key: plain_text(value) if isinstance(value, str) else value for key, value in values.items()}
        setting = ", ".join(f"{key} = :{key}" for key in values)
        self._index.database.execute(f"UPDATE sessions SET {setting} WHERE id = :id", {**values, "id": self._number})  # noqa: S608
        self._index.sign(self._number)


def state_of(state: bytes | None) -> tuple[StatsCounter, Texts] | None:
    """
    Give a session's counter and texts as the index keeps them, to go on with; None if there are none.
    """
    try:
        plain = plain_state(state or b"")
        return StatsCounter.from_plain(plain["counter"]), Texts(**plain["texts"])
    except (ValueError, KeyError, TypeError, zlib.error):
        # Of another version, say: the session is read anew.
        return None


def plain_state(state: bytes) -> Any:
    """
    Give what an index keeps of a session as plain values.

    Raises:
        ValueError, zlib.error: It is nothing of the kind.
    """
    decompressor = zlib.decompressobj(zdict=_USUAL)
    text = decompressor.decompress(state)
    if not decompressor.eof:
        # The checksum is at the end.
        raise ValueError("the state is truncated")
    return decode_json(text)


def _compressed(state: dict[str, Any]) -> bytes:
    # For 100,000 sessions 20 MB, and 50 without what all of them have in common.
    compressor = zlib.compressobj(9, zdict=_USUAL)
    return compressor.compress(encode_json(state).encode("utf-8", "replace")) + compressor.flush()


def goes_on(fd: int, row: Row) -> bool:
    """
    Say whether an open file is the one that the index has, and more lines at most.
    """
    status = os.fstat(fd)
    # Of the same size, and changed: not by more lines.
    is_longer = status.st_size >= row.offset and status.st_size != row.size
    if not (row.offset and row.checksum and status.st_ino == row.inode and is_longer):
        return False
    # A line without its newline was whole, and may have been made longer since.
    before, after = os.pread(fd, 1, row.offset - 1), os.pread(fd, 1, row.offset)
    return row.checksum == _checksum(fd, row.offset) and (before == b"\n" or after in (b"", b"\r", b"\n"))


def _checksum(fd: int, offset: int) -> bytes:
    """
    Give a checksum of the bytes before an offset, to tell whether a file goes on from there.
    """
    begin = max(offset - _CHECKED_SIZE, 0)
    return blake2b(os.pread(fd, offset - begin, begin), digest_size=8).digest()


def _at(offset: int) -> str:
    return f"byte {offset}: "
