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

from rollout._text import plain_text
from rollout.codec import MAX_LINE_SIZE, decode_json, decode_line, encode_json
from rollout.errors import AmbiguousSessionError, InvalidLineError, SessionNotFoundError
from rollout.home import Problem, RolloutName, find_session
from rollout.interpret import Interpreter, ParentSource, SessionFacts, seconds_of, texts_of
from rollout.reading import RawLine, is_plain, open_rollout, parent_source, raw_lines
from rollout.search._index import Index
from rollout.search._postings import Place, add_lines
from rollout.search._rows import Row
from rollout.search._sql_filters import tags_of
from rollout.sessions import last_use
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

# Of a timestamp of the format: 2025-09-16T19:49:09.591Z.
_STAMP_LENGTH = 24
BATCH_SIZE = 64 * 2**20
"""Number of bytes that are read between two commits."""

_CHECKED_SIZE = 512
# Common parts of the states of all sessions: the dictionary of zlib. A change of this text needs a new version of the
# index.
_COMMON_STATE = (
    b'"exec_command":[1,0,null],"apply_patch":[1,0,null],"shell":[1,0,0.1],"update_plan":[1,0,null],"web_search":[1,0'
    b',null]"local_shell":[1,0,null],"shell_command":[1,0,0.1],["event_msg/user_message","script failed","exit code 1"'
    b',"error","seen":{"count":1,"model":"gpt-5.1-codex","agent_path":"","role":"root","has_events":true,"compaction":[],"turn":'
    b'{"index":0,"is_running":false,"began_at":"","started_at":0,"families":3,"prompts":[[5,"5f3a1c2b",3]],"contexts":[],'
    b'"error":[]},"copies":{"is_fork":false,"is_open":false,"is_copying":false,"session_id":"019a0b1c-","parent_id":"",'
    b'"parent_used":"","is_head":false,"forked_at":17,"copied_at":17,"own_ordinal":0,"has_turns":false,"position":-1},'
    b'"usage":{"is_told":true,"last_total":[1000,0,100,0,1100],"last_single":null,"is_asked":false,"is_answered":true,'
    b'"last_record":"","is_recorded":false},"echoes":{"seen":{"},"calls":{"count":1,"calls":{},"scripts":[]}},"counter":'
    b'{"lines":{"session_meta":[[null,1]],"response_item":[["message",2],["reasoning",1],["function_call",1],'
    b'["function_call_output",1],["custom_tool_call",1],["custom_tool_call_output",1]],"event_msg":[["task_started",1],'
    b'["user_message",1],["agent_reasoning",1],["agent_message",1],["token_count",1],["task_complete",1],'
    b'["item_completed",1]],"turn_context":[[null,1]],"world_state":[[null,1]],"token_usage_record":[[null,1]]},"parts":'
    b'[["2026-06-08T11:00","gpt-5.1-codex",1,[1000,0,100,0,1100],null,{"exec_command":[1,0,0.1]}]],"first_at":"2026-06-08T'
    b'11:00:00.000Z","last_at":"2026-06-08T11:00:00.000Z","is_told":true,"turn_at":null,"model":"gpt-5.1-codex"}}'
)


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
        self._facts = SessionFacts()
        self._source = parent_source(index.home)
        self._interpreter = Interpreter(parent_source=self._source)
        self._counter = StatsCounter(self._interpreter)
        self._offset = 0
        # The time of a line in seconds, its day, and a later timestamp of this day, which is converted only at the end:
        # a conversion takes 1 us.
        self._last_at = 0.0
        self._day = self._stamp = ""
        self._parent_before: str | None = None
        self._problem: str | None = None
        self._rows: list[tuple[Place, str, str]] = []

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
        is_usable = has_only_grown(file.fileno(), row)
        state = restore_state(self._index.state(row.id), self._source) if is_usable else None
        if state is not None:
            self._interpreter, self._counter = state
            self._facts, self._offset = row.facts, row.offset
            # It was not read again: which file was read for the lines before, stays as it was.
            self._parent_before = row.parent
            self._last_at = (row.updated_ms or 0) / 1000
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
                self._interpreter.skip()
            return raw.is_ended
        facts = self._interpreter.feed(line)
        self._facts.add(facts)
        self._counter.count(facts)
        if line.timestamp is not None:
            self._note_time(line.timestamp)
        found = texts_of(facts)
        if not found:
            return True
        is_nested = any(text.is_nested for text in found)
        for number, text in enumerate(found):
            if not text.is_echo:
                has_events = text.kind == "user" and self._interpreter.has_events
                place = Place(at, number, text.is_failed, has_events, is_nested)
                self._rows.append((place, text.text, " ".join(tags_of(text.kind, text.tool, text.is_failed))))
        return True

    def _note_time(self, timestamp: str) -> None:
        if timestamp[:11] != self._day or len(timestamp) != _STAMP_LENGTH:
            seconds = seconds_of(timestamp)
            if seconds:
                self._last_at, self._day, self._stamp = seconds, timestamp[:11], ""
        else:
            self._stamp = timestamp

    def _parent(self) -> str | None:
        """
        Return the id and the inode number of the file that was read to find copied lines.
        """
        session_id = self._interpreter.copies.parent_used
        if not session_id or self._parent_before is not None:
            return self._parent_before
        try:
            return f"{session_id} {find_session(session_id, home=self._index.home).stat().st_ino}"
        except (SessionNotFoundError, AmbiguousSessionError, OSError):
            return f"{session_id} 0"

    def _save(self, file: BufferedReader, *, is_whole: bool) -> None:
        add_lines(self._index, self._number, self._rows)
        self._rows = []
        state = {"interpreter": self._interpreter.to_plain(), "counter": self._counter.to_plain()}
        stats = self._counter.stats
        used_at = last_use(self._interpreter.started_at, seconds_of(self._stamp) or self._last_at)
        values = {
            # A file that was not read to its end is continued at the next update.
            "size": self._change.size if is_whole else -1,
            "mtime_ns": self._change.mtime_ns if is_whole else -1,
            "inode": self._change.inode,
            "offset": self._offset,
            "checksum": _checksum(file.fileno(), self._offset) if is_plain(file) else None,
            "turns": stats.turns,
            "tokens": None if stats.tokens is None else stats.tokens.total_tokens,
            "updated_ms": round(used_at * 1000) or None,
            "parent": self._parent(),
            "problem": self._problem,
            "state": _compress(state),
            **attrs.asdict(self._facts),
        }
        values = {key: plain_text(value) if isinstance(value, str) else value for key, value in values.items()}
        setting = ", ".join(f"{key} = :{key}" for key in values)
        self._index.database.execute(f"UPDATE sessions SET {setting} WHERE id = :id", {**values, "id": self._number})  # noqa: S608
        self._index.sign(self._number)


def restore_state(state: bytes | None, source: ParentSource | None = None) -> tuple[Interpreter, StatsCounter] | None:
    """
    Return the reader and the counter with which reading a session continues; None if the state is missing or unusable.
    """
    try:
        plain = decode_state(state or b"")
        interpreter = Interpreter.from_plain(plain["interpreter"], parent_source=source)
        return interpreter, StatsCounter.from_plain(plain["counter"], interpreter)
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
