"""
Read one session into the index: from the position that the index has reached, to the last complete line.
"""

from __future__ import annotations

import os
import zlib
from hashlib import blake2b
from io import BufferedReader
from typing import Any

import attrs
from attrs import define, field, frozen

from rollout.codec import MAX_LINE_SIZE, decode_json, decode_line, encode_json
from rollout.errors import InvalidLineError
from rollout.home import Problem, RolloutName
from rollout.interpret import SessionFacts, TextExtractor
from rollout.reading import RawLine, open_rollout, raw_lines
from rollout.search._index import Index
from rollout.search._postings import add_lines
from rollout.search._query import plain_text
from rollout.search._rows import Row
from rollout.search._sql_filters import tags_of
from rollout.stats import StatsCounter

__all__ = [
    "BATCH_SIZE",
    "Change",
    "SessionIngest",
    "UpdateResult",
    "decode_state",
    "has_only_grown",
    "place_session",
    "restore_state",
]

BATCH_SIZE = 64 * 2**20
"""Number of bytes that are read between two commits."""

_CHECKED_SIZE = 512
# Common parts of the states of all sessions: the dictionary of zlib. A change of this text needs a new version of the
# index.
_COMMON_STATE = (
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
# Number of characters of the user's first words that are stored.
_PREVIEW_SIZE = 120


@frozen
class Change:
    """
    A session that is new or has changed since it was indexed.

    Attributes:
        name: Name of the file.
        size: Size of the file in bytes.
        mtime_ns: Modification time of the file.
        inode: Inode number of the file.
        row: Row from which reading can continue; None if the file must be read from its beginning.
    """

    name: RolloutName
    size: int
    mtime_ns: int
    inode: int
    row: Row | None

    @property
    def unread_size(self) -> int:
        """Maximum number of bytes to read."""
        return self.size if self.row is None or self.name.is_compressed else max(self.size - self.row.offset, 0)

    @property
    def stem(self) -> str:
        """Name of the file, without ``.zst``."""
        return self.name.path.name.removesuffix(".zst")


@define
class UpdateResult:
    """
    Result of an update.

    Attributes:
        sessions: Number of sessions that were read.
        size: Number of bytes that were read.
        gone: Number of deleted or replaced sessions that were removed from the index.
        problems: Sessions that could not be read.
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
    place = (str(path.parent.relative_to(index.home)), change.name.is_compressed, change.stem)
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


class SessionIngest:
    """
    Reader of the new lines of one session into the index.
    """

    def __init__(self, index: Index, change: Change, number: int, result: UpdateResult) -> None:
        self._index, self._change, self._number, self._result = index, change, number, result
        self._facts, self._counter, self._texts = SessionFacts(), StatsCounter(), TextExtractor()
        self._offset = 0
        self._problem: str | None = None
        self._rows: list[tuple[int, str, str]] = []

    def run(self) -> None:
        """
        Read the session to its end. Commits after each 64 MB of the file; the caller commits the rest.
        """
        path = self._change.name.path
        try:
            file, damage = open_rollout(path)
        except (OSError, ImportError) as error:
            self._report(error)
            # The next update tries again.
            self._index.database.execute(
                "UPDATE sessions SET size = -1, mtime_ns = -1, problem = ? WHERE id = ?",
                (plain_text(str(error)), self._number),
            )
            self._index.sign(self._number)
            return
        with file:
            if self._change.row is not None:
                self._resume(self._change.row, file)
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
        self._result.problems.append(Problem(self._change.name.path, self._problem))

    def _resume(self, row: Row, file: BufferedReader) -> None:
        state = restore_state(self._index.state(row.id)) if has_only_grown(file.fileno(), row) else None
        if state is not None:
            self._counter, self._texts = state
            self._facts, self._offset = row.facts, row.offset
            # A bad line before the position stays a problem; other problems are checked again.
            problem = row.problem or ""
            is_of_line = problem.startswith("byte ") and not problem.startswith(_position_text(row.offset))
            self._problem = problem if is_of_line else None
            file.seek(row.offset)
        elif row.offset:
            # Another file has this name now: its lines get new numbers.
            self._index.forget([row.id])
            self._number = place_session(self._index, attrs.evolve(self._change, row=None))

    def _read(self, file: BufferedReader) -> None:
        base, committed = self._offset, self._offset
        for raw in raw_lines(file):
            if not self._add_line(base + raw.offset, raw):
                # An incomplete line: a writer may be about to complete it.
                break
            self._result.size += raw.end - raw.offset
            self._offset = base + raw.end
            if self._offset - committed >= BATCH_SIZE:
                committed = self._offset
                self._save(file, is_whole=False)
                self._index.commit()
                self._index.database.execute("BEGIN IMMEDIATE")

    def _add_line(self, at: int, raw: RawLine) -> bool:
        if raw.raw is not None and (not raw.raw or raw.raw.isspace()):
            return raw.is_ended
        reason = f"longer than {MAX_LINE_SIZE} bytes"
        try:
            line = decode_line(raw.raw) if raw.raw is not None else None
        except InvalidLineError as error:
            line, reason = None, error.reason
        if line is None:
            self._problem = self._problem or f"{_position_text(at)}{reason}"
            if raw.is_ended:
                self._texts.skip()
            return raw.is_ended
        self._facts.add(line)
        self._counter.add(line)
        found = self._texts.extract(line)
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
            # A file that was not read to its end is continued at the next update.
            "size": self._change.size if is_whole else -1,
            "mtime_ns": self._change.mtime_ns if is_whole else -1,
            "inode": self._change.inode,
            "offset": self._offset,
            "checksum": None if self._change.name.is_compressed else _checksum(file.fileno(), self._offset),
            "turns": self._counter.turns.count,
            "tokens": self._counter.stats.tokens.total_tokens,
            "problem": self._problem,
            "state": _compress(state),
            **attrs.asdict(self._facts),
            "preview": self._facts.preview and self._facts.preview[:_PREVIEW_SIZE],
        }
        values = {key: plain_text(value) if isinstance(value, str) else value for key, value in values.items()}
        setting = ", ".join(f"{key} = :{key}" for key in values)
        self._index.database.execute(f"UPDATE sessions SET {setting} WHERE id = :id", {**values, "id": self._number})  # noqa: S608
        self._index.sign(self._number)


def restore_state(state: bytes | None) -> tuple[StatsCounter, TextExtractor] | None:
    """
    Return the counter and texts with which reading a session continues; None if the state is missing or unusable.
    """
    try:
        plain = decode_state(state or b"")
        return StatsCounter.from_plain(plain["counter"]), TextExtractor(**plain["texts"])
    except (ValueError, KeyError, TypeError, zlib.error):
        # For example, a state of another version: the session is read from its beginning.
        return None


def decode_state(state: bytes) -> Any:
    """
    Return the state of a session in the index as plain values.

    Raises:
        ValueError, zlib.error: The bytes are not a state.
    """
    decompressor = zlib.decompressobj(zdict=_COMMON_STATE)
    text = decompressor.decompress(state)
    if not decompressor.eof:
        # The checksum is at the end.
        raise ValueError("the state is truncated")
    return decode_json(text)


def _compress(state: dict[str, Any]) -> bytes:
    # 20 MB for 100,000 sessions, and 50 MB without the dictionary.
    compressor = zlib.compressobj(9, zdict=_COMMON_STATE)
    return compressor.compress(encode_json(state).encode("utf-8", "replace")) + compressor.flush()


def has_only_grown(fd: int, row: Row) -> bool:
    """
    Return whether an open file is the indexed file, and only lines were added to it.
    """
    status = os.fstat(fd)
    # A changed file of the same size has no added lines.
    is_longer = status.st_size >= row.offset and status.st_size != row.size
    if not (row.offset and row.checksum and status.st_ino == row.inode and is_longer):
        return False
    # The last line may have had no newline, and may have become longer since.
    before, after = os.pread(fd, 1, row.offset - 1), os.pread(fd, 1, row.offset)
    return row.checksum == _checksum(fd, row.offset) and (before == b"\n" or after in (b"", b"\r", b"\n"))


def _checksum(fd: int, offset: int) -> bytes:
    """
    Return a checksum of the bytes before an offset, which shows whether a file was only extended.
    """
    begin = max(offset - _CHECKED_SIZE, 0)
    return blake2b(os.pread(fd, offset - begin, begin), digest_size=8).digest()


def _position_text(offset: int) -> str:
    return f"byte {offset}: "
