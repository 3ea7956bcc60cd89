"""
List sessions, newest first, page by page. Order and paging use file names; only the files on a page are opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

from attrs import field, frozen

from rollout import schema
from rollout.codec import RolloutLine
from rollout.errors import InvalidCursorError
from rollout.home import Problem, RolloutName, StrPath, home_folder, parse_key, walk
from rollout.interpret import SessionFacts, with_recovered_cwd
from rollout.reading import Bounds, LineReader, decode_backwards
from rollout.schema import to_item

__all__ = ["Cursor", "Page", "SessionInfo", "list_sessions"]

# Number of first and last records of a file that Codex of 2025 reads.
_HEAD_SIZE = 10
_TAIL_SIZE = 10
# Maximum number of lines read to find the first words of the user; a paginated session of 0.169 has them within 10.
_PREVIEW_LINES = 200
_TAIL_LINES = 200
_SCAN_LIMIT = 10_000
# Maximum size in bytes of a file that is read whole.
_SMALL = 64 * 2**10
# Limits for reading a file, once from its beginning and once from its end. 8 MiB: a first prompt with two images of
# 3 MB in base64. 2000 lines: more than _SMALL bytes can have, as the shortest line has 39 bytes; 2000 lines of garbage
# take 12 ms. 64 MiB: reading a compressed file of this size to its end takes 50 ms.
_BOUNDS = Bounds(size=8 * 2**20, line_count=2000, unpacked_size=64 * 2**20)


@frozen
class Cursor:
    """
    Position of the last session of a page: the next page begins after it. Its text ``YYYY-MM-DDThh-mm-ss|uuid`` is the
    cursor of Codex.

    Attributes:
        timestamp: Local time in the session's file name.
        id: UUID in the file name, in lower case; the second UUID if the name has two.
    """

    timestamp: str
    id: str

    @classmethod
    def parse(cls, token: str) -> Cursor:
        """
        Read a cursor from its text.

        Raises:
            InvalidCursorError: The text is not a cursor.
        """
        key = parse_key(token)
        if key is None:
            raise InvalidCursorError(token)
        return cls(*key)

    def __str__(self) -> str:
        return f"{self.timestamp}|{self.id}"


@frozen
class SessionInfo:
    """
    One session of a list. Fields that its source does not provide have their default values.

    Attributes:
        path: Path of the file.
        session_id: Id in the file name.
        timestamp: Local time at which the session started, from the file name (``YYYY-MM-DDThh-mm-ss``).
        updated_at: Time of the last change of the file, in UTC; None if unknown.
        size: Size of the file in bytes.
        facts: Folder, branch, model and similar facts, if the first lines contain them.
        preview: First words of the user.
        has_early_user_message: Whether a user_message event comes before the 10th record: Codex of 2025 lists only such
            sessions. From `list_sessions`.
        head: Payloads of the first records (session_meta and response items), up to 10. From `list_sessions`.
        tail: Payloads of the last response items, up to 10, in order; empty for a compressed file of more than
            64 MiB uncompressed. From `list_sessions`.
        is_archived: Whether the file is in the archive.
        problem: Reason why the file, or a part of the file, could not be read; None if there is no problem, or if it is
            unknown.
        turns: Number of the user's prompts; None if unknown, for example for a large file without an index.
        tokens: Number of tokens used; None if unknown.
        name: Name of the session, set by a person; None if there is no name, or if it is unknown.
        is_live: Whether a writer has the session open; None if unknown.
    """

    path: Path
    session_id: str
    timestamp: str
    updated_at: datetime | None = None
    size: int = 0
    facts: SessionFacts = field(factory=SessionFacts, repr=False)
    _meta: dict[str, Any] | None = field(default=None, repr=False)
    preview: str | None = None
    has_early_user_message: bool = False
    head: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    tail: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    is_archived: bool = False
    problem: str | None = None
    turns: int | None = None
    tokens: int | None = None
    name: str | None = None
    is_live: bool | None = None

    @property
    def meta(self) -> schema.SessionMeta | None:
        """The session_meta, built at every access; None if it is not among the first records."""
        # Not built before: importing the classes of the format takes 50 ms.
        item = None if self._meta is None else to_item("session_meta", self._meta)
        return with_recovered_cwd(item, self.head) if isinstance(item, schema.SessionMeta) else None

    @property
    def state(self) -> str:
        """live, damaged, archived or ok. A live session never counts as damaged: its writer may complete a line."""
        return "live" if self.is_live else "damaged" if self.problem else "archived" if self.is_archived else "ok"

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        from rollout.sessions._display import session_bundle  # noqa: PLC0415 -- for notebooks

        return session_bundle(self)


@frozen
class Page:
    """
    Some sessions, newest first.

    Attributes:
        items: Sessions.
        next_cursor: Cursor of the next page; None on the last page, or if the next page is found by *skipped*.
        scanned: Number of files that were opened to fill the page.
        reached_cap: Whether the page ended early because *scan_limit* files were opened; *next_cursor* continues there.
        problems: Folders and files that could not be read.
        skipped: Number of sessions before the next page, for lists from an index, which have no cursor; otherwise None.
        read_until: Start of the last session that was read, if the page ended at its time limit; otherwise None.
    """

    items: tuple[SessionInfo, ...] = ()
    next_cursor: Cursor | None = None
    scanned: int = 0
    reached_cap: bool = False
    problems: tuple[Problem, ...] = ()
    skipped: int | None = None
    read_until: str | None = None

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        from rollout.sessions._display import page_bundle  # noqa: PLC0415 -- for notebooks

        return page_bundle(self)


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
    Return a page of sessions, newest first by file name. Blocks. Reads only file names, and the beginning and end of
    the files on the page.

    A file or folder that cannot be read does not end the listing; it is reported. The listing reads at most 8 MiB and
    2000 lines from either end of a file, and decompresses at most 64 MiB of a compressed file. It ignores lines beyond
    these limits.

    Args:
        home: Home folder; by default ``CODEX_HOME``, else ``~/.codex``.
        page_size: Maximum number of sessions on the page.
        cursor: `Page.next_cursor` of the previous page, or its text.
        archived: Whether to list the archived sessions instead.
        codex_filter: Whether to leave out the sessions that Codex of 2025 leaves out: sessions without an early user
            message.
        scan_limit: Maximum number of files to open.

    Raises:
        InvalidCursorError: *cursor* is a text that is not a cursor.
        ValueError: *page_size* or *scan_limit* is less than 1.
    """
    if page_size < 1 or scan_limit < 1:
        raise ValueError(f"page_size and scan_limit must be at least 1, not {page_size} and {scan_limit}")
    after = Cursor.parse(cursor) if isinstance(cursor, str) else cursor
    problems: list[Problem] = []
    names = walk(
        home_folder(home), after=(after.timestamp, after.id) if after else None, archived=archived, problems=problems
    )
    opened: list[RolloutName] = []
    found = _scan(islice(names, scan_limit), opened, archived=archived, codex_filter=codex_filter)
    page = list(islice(found, page_size))
    is_full = len(page) == page_size
    # There is a next page if a session follows. With the filter, the next files must be read to find out.
    has_next = is_full and next(found if codex_filter else names, None) is not None
    reached_cap = not has_next and len(opened) == scan_limit and next(names, None) is not None
    next_cursor = None
    if has_next or reached_cap:
        next_cursor = Cursor(*(page[-1][0] if is_full else opened[-1]).key)
    items = tuple(session for _, session in page)
    problems += [Problem(item.path, item.problem) for item in items if item.problem]
    return Page(items, next_cursor, len(opened), reached_cap, tuple(problems))


def _scan(
    names: Iterable[RolloutName], opened: list[RolloutName], *, archived: bool, codex_filter: bool
) -> Iterator[tuple[RolloutName, SessionInfo]]:
    """
    Yield the sessions that are listed, with their names. Opens one file after the other, and appends its name to
    *opened*.
    """
    for name in names:
        session = _summarize(name, archived)
        opened.append(name)
        if not codex_filter or (session._meta and session.has_early_user_message):
            yield name, session


def _summarize(name: RolloutName, is_archived: bool) -> SessionInfo:
    known: dict[str, Any] = {
        "path": name.path,
        "session_id": name.session_id,
        "timestamp": name.timestamp,
        "is_archived": is_archived,
    }
    try:
        status = name.path.stat()
        with LineReader(name.path, bounds=_BOUNDS) as reader:
            # A small file is read whole, so that it is opened only once: this halves the time of a page.
            lines = tuple(reader) if status.st_size <= _SMALL and not name.is_compressed else None
            head = _head(lines or reader)
            tail = _tail(lines[::-1]) if lines and not reader.is_cut else _tail_of(name)
            problem = _problem(head["meta"], bool(head["head"]), reader)
    except (OSError, ImportError) as error:
        return SessionInfo(**known, problem=str(error))
    updated_at = datetime.fromtimestamp(status.st_mtime, timezone.utc)
    return SessionInfo(**known, **head, updated_at=updated_at, size=status.st_size, tail=tail, problem=problem)


def _head(lines: Iterable[RolloutLine]) -> dict[str, Any]:
    head: list[dict[str, Any]] = []
    meta: dict[str, Any] | None = None
    facts = SessionFacts()
    has_early_user_message = False
    for line in islice(lines, _PREVIEW_LINES):
        if len(head) < _HEAD_SIZE:
            if line.type in ("session_meta", "response_item"):
                head.append(line.payload)
            is_event = line.type == "event_msg"
            has_early_user_message |= is_event and line.payload.get("type") == "user_message"
        if meta is None and line.type == "session_meta" and _has_identity(line.payload):
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


def _has_identity(payload: dict[str, Any]) -> bool:
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
