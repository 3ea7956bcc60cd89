"""
Sessions newest first, page by page. Order and paging work on file names; only the files on a page are opened.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

from attrs import field, frozen

from rollout import schema
from rollout._blocks import Bounds
from rollout._display import Displayed
from rollout._facts import Facts
from rollout._prompts import with_recovered_cwd
from rollout._structure import to_item
from rollout._walk import Problem, walk
from rollout.codec import RolloutLine
from rollout.errors import InvalidCursorError
from rollout.layout import RolloutName, StrPath, home_folder, parse_key
from rollout.reader import LineReader, decode_backwards

__all__ = ["Cursor", "Page", "SessionSummary", "list_sessions"]

# What the seed reads of a file: its first and last records.
_HEAD_SIZE = 10
_TAIL_SIZE = 10
# Lines read at most until the first words of the user; a paginated session of 0.169 has them within 10.
_PREVIEW_LINES = 200
_TAIL_LINES = 200
_SCAN_LIMIT = 10_000
# Bytes of a file that is read whole.
_SMALL = 64 * 2**10
# Limits for reading a file, once from its beginning and once from its end. 8 MiB: a first prompt with two images of
# 3 MB in base64. 2000 lines: more than _SMALL bytes can have, as the shortest line has 39 bytes; 2000 lines of garbage
# take 12 ms. 64 MiB: reading a compressed file of this size to its end takes 50 ms.
_BOUNDS = Bounds(size=8 * 2**20, line_count=2000, unpacked_size=64 * 2**20)


@frozen
class Cursor:
    """
    Where a page ended; the next begins behind it. As text ``YYYY-MM-DDThh-mm-ss|uuid``, the token of Codex.

    Attributes:
        timestamp: Local time in the last session's file name.
        id: Its UUID, in lower case; the second, where the name has two.
    """

    timestamp: str
    id: str

    @classmethod
    def parse(cls, token: str) -> Cursor:
        """
        Read a token.

        Raises:
            InvalidCursorError: It is none.
        """
        key = parse_key(token)
        if key is None:
            raise InvalidCursorError(token)
        return cls(*key)

    def __str__(self) -> str:
        return f"{self.timestamp}|{self.id}"


@frozen
class SessionSummary(Displayed):
    """
    What a list shows of a session.

    Attributes:
        path: The file.
        session_id: The id in its name.
        timestamp: Local time of its beginning, as its name has it (``YYYY-MM-DDThh-mm-ss``).
        updated_at: When the file last changed, in UTC; None if that is not known.
        size: Bytes of the file.
        facts: Its folder, branch, model and so on, as far as its first lines say.
        preview: The user's first words.
        has_early_user_message: A user_message event stands before the 10th record: Codex of 2025 lists it.
        head: The payloads of its first records (session_meta and response items), up to 10.
        tail: The payloads of its last response items, up to 10, in order; empty for a compressed file of more than
            64 MiB uncompressed.
        is_archived: It lies in the archive.
        problem: Why it could not be read, or not wholly; None if it could.
    """

    path: Path
    session_id: str
    timestamp: str
    updated_at: datetime | None = None
    size: int = 0
    facts: Facts = field(factory=Facts, repr=False)
    _meta: dict[str, Any] | None = field(default=None, repr=False)
    preview: str | None = None
    has_early_user_message: bool = False
    head: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    tail: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    is_archived: bool = False
    problem: str | None = None

    @property
    def meta(self) -> schema.SessionMeta | None:
        """Its session_meta, made anew at every access; None if it has none among its first records."""
        # Not made before: the classes of the format take 50 ms.
        item = None if self._meta is None else to_item("session_meta", self._meta)
        return with_recovered_cwd(item, self.head) if isinstance(item, schema.SessionMeta) else None

    def _shown(self) -> dict[str, str]:
        from rollout._notebook import summary_bundle  # noqa: PLC0415 -- for notebooks

        return summary_bundle(self)


@frozen
class Page(Displayed):
    """
    Some sessions, newest first.

    Attributes:
        items: The sessions.
        next_cursor: Pass it for the next page; None on the last.
        scanned: How many files were opened for it.
        reached_cap: It ended early, because *scan_limit* files were opened; *next_cursor* goes on from there.
        problems: Folders and files that could not be read.
    """

    items: tuple[SessionSummary, ...]
    next_cursor: Cursor | None
    scanned: int
    reached_cap: bool
    problems: tuple[Problem, ...] = ()

    def _shown(self) -> dict[str, str]:
        from rollout._notebook import page_bundle  # noqa: PLC0415 -- for notebooks

        return page_bundle(self.items, None if self.next_cursor is None else str(self.next_cursor), self.problems)


def list_sessions(
    *,
    home: StrPath | None = None,
    page_size: int = 25,
    cursor: Cursor | str | None = None,
    archived: bool = False,
    codex_filter: bool = False,
    scan_limit: int = _SCAN_LIMIT,
) -> Page:
    """
    List sessions, newest first by file name. Reads only names, and the beginning and end of the files on the page.

    A file or folder that cannot be read does not end the listing; it is reported. The listing reads at most 8 MiB and
    2000 lines from either end of a file, and decompresses at most 64 MiB of a compressed file. It ignores lines beyond
    these limits.

    Args:
        home: By default ``CODEX_HOME``, else ``~/.codex``.
        page_size: Sessions on a page.
        cursor: `Page.next_cursor` of the page before, or its text.
        archived: List the archived sessions instead.
        codex_filter: Leave out what Codex of 2025 leaves out: sessions without an early user message.
        scan_limit: Files to open at most for one page.

    Raises:
        InvalidCursorError: *cursor* is a text that is no token.
        ValueError: *page_size* or *scan_limit* is less than 1.
    """
    if page_size < 1 or scan_limit < 1:
        raise ValueError(f"page_size and scan_limit are at least 1, not {page_size} and {scan_limit}")
    after = Cursor.parse(cursor) if isinstance(cursor, str) else cursor
    problems: list[Problem] = []
    names = walk(
        home_folder(home), after=(after.timestamp, after.id) if after else None, is_archived=archived, problems=problems
    )
    items: list[SessionSummary] = []
    scanned, reached_cap = 0, False
    last_item = last_scanned = next_name = None
    for name in names:
        is_full = len(items) == page_size
        if is_full and not codex_filter:
            next_name = last_item
            break
        if scanned == scan_limit:
            next_name, reached_cap = last_item if is_full else last_scanned, True
            break
        summary = _summarize(name, archived)
        scanned += 1
        last_scanned = name
        if codex_filter and not (summary._meta and summary.has_early_user_message):
            continue
        if is_full:
            # Found by looking ahead: there is a next page.
            next_name = last_item
            break
        items.append(summary)
        last_item = last_scanned
    problems += [Problem(item.path, item.problem) for item in items if item.problem]
    next_cursor = None if next_name is None else Cursor(*next_name.key)
    return Page(tuple(items), next_cursor, scanned, reached_cap, tuple(problems))


def _summarize(name: RolloutName, is_archived: bool) -> SessionSummary:
    known: dict[str, Any] = {
        "path": name.path,
        "session_id": name.session_id,
        "timestamp": name.timestamp,
        "is_archived": is_archived,
    }
    try:
        status = name.path.stat()
        with LineReader(name.path, bounds=_BOUNDS) as reader:
            # All of a small file, which then is opened once: half of what a page takes.
            lines = tuple(reader) if status.st_size <= _SMALL and not name.is_compressed else None
            head = _head(lines or reader)
            tail = _tail(lines[::-1]) if lines and not reader.is_cut else _tail_of(name)
            problem = _problem(head["meta"], bool(head["head"]), reader)
    except (OSError, ImportError) as error:
        return SessionSummary(**known, problem=str(error))
    updated_at = datetime.fromtimestamp(status.st_mtime, timezone.utc)
    return SessionSummary(**known, **head, updated_at=updated_at, size=status.st_size, tail=tail, problem=problem)


def _head(lines: Iterable[RolloutLine]) -> dict[str, Any]:
    head: list[dict[str, Any]] = []
    meta: dict[str, Any] | None = None
    facts = Facts()
    has_early_user_message = False
    for line in islice(lines, _PREVIEW_LINES):
        if len(head) < _HEAD_SIZE:
            if line.type in ("session_meta", "response_item"):
                head.append(line.payload)
            is_event = line.type == "event_msg"
            has_early_user_message |= is_event and line.payload.get("type") == "user_message"
        if meta is None and line.type == "session_meta" and _says_whose(line.payload):
            meta = line.payload
        facts.add(line)
        if facts.preview and len(head) == _HEAD_SIZE:
            break
    return {
        "meta": meta,
        "facts": facts,
        "preview": facts.preview,
        "has_early_user_message": has_early_user_message,
        "head": tuple(head),
    }


def _says_whose(payload: dict[str, Any]) -> bool:
    return isinstance(payload.get("id"), str) and isinstance(payload.get("timestamp"), str)


def _problem(meta: dict[str, Any] | None, has_head: bool, reader: LineReader) -> str | None:
    if reader.skipped:
        return f"line {reader.skipped[0].lineno}: {reader.skipped[0].reason}"
    if meta is not None:
        return None
    if reader.is_cut:
        return "no session_meta in the first lines"
    return "no session_meta" if has_head else "empty session file"


def _tail_of(name: RolloutName) -> tuple[dict[str, Any], ...]:
    lines = decode_backwards(name.path, _BOUNDS)
    return _tail(lines if name.is_compressed else islice(lines, _TAIL_LINES))


def _tail(backwards: Iterable[RolloutLine]) -> tuple[dict[str, Any], ...]:
    payloads = islice((line.payload for line in backwards if line.type == "response_item"), _TAIL_SIZE)
    return tuple(payloads)[::-1]
