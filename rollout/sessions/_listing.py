"""
List sessions, newest first, page by page. Order and paging use file names; only the files on a page are opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from rollout.codec import RolloutLine, decode_line
from rollout.errors import InvalidLineError
from rollout.home import Problem, RolloutName, StrPath, home_folder, walk_sessions
from rollout.interpret import SessionFacts, may_state_latest, seconds_of, states_latest
from rollout.reading import Bounds, LineReader, raw_backwards
from rollout.sessions._agents import AGENTS, NEWEST, AgentsShown, Families
from rollout.sessions._info import Cursor, Page, SessionInfo

if TYPE_CHECKING:
    from rollout.interpret import Interpreter

__all__ = ["last_use", "list_sessions", "read_last_use", "read_stated_start", "summarize"]

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


def list_sessions(
    *,
    home: StrPath | None = None,
    page_size: int = 25,
    cursor: Cursor | str | None = None,
    archived: bool = False,
    codex_filter: bool = False,
    scan_limit: int = _SCAN_LIMIT,
    agents: AgentsShown = "fold",
) -> Page:
    """
    Return a page of sessions, newest first by file name. Blocks. Reads only file names, and the beginning and end of
    the files on the page.

    A file or folder that cannot be read does not end the listing; it is reported. A file of at most 64 KiB is read
    whole. Of a larger file the listing reads the first 200 and the last 200 lines, at most 8 MiB from either end, and
    decompresses at most 64 MiB of a compressed file. What these lines do not contain is None.

    Args:
        home: Home folder; by default ``CODEX_HOME``, else ``~/.codex``.
        page_size: Maximum number of sessions on the page.
        cursor: `Page.next_cursor` of the previous page, or its text.
        archived: Whether to list the archived sessions instead.
        codex_filter: Whether to leave out the sessions that Codex of 2025 leaves out: sessions without an early user
            message.
        scan_limit: Maximum number of files to open.
        agents: The sub-agents that are listed. ``fold``: those whose own session is not in this place, live or
            archived; the others are only counted, in `SessionInfo.agents`. ``all``, ``none``, or ``only`` sub-agents.

    Raises:
        InvalidCursorError: *cursor* is a text that is not a cursor.
        ValueError: *page_size* or *scan_limit* is less than 1, or *agents* has another value.
    """
    if agents not in AGENTS:
        raise ValueError(f"agents must be one of {', '.join(AGENTS)}, not {agents!r}")
    if page_size < 1 or scan_limit < 1:
        raise ValueError(f"page_size and scan_limit must be at least 1, not {page_size} and {scan_limit}")
    after = Cursor.parse(cursor) if isinstance(cursor, str) else cursor
    problems: list[Problem] = []
    folder = home_folder(home)
    key = (after.timestamp, after.id) if after else None
    names = walk_sessions(folder, after=key, archived=archived, problems=problems)
    opened: list[RolloutName] = []
    families = Families(folder, archived=archived)
    found = _scan(islice(names, scan_limit), opened, families, agents, archived=archived, codex_filter=codex_filter)
    page = list(islice(found, page_size))
    is_full = len(page) == page_size
    # There is a next page if a session follows. With the filter, the next files must be read to find out.
    rest = found if codex_filter else (name for name in names if _is_shown(name, families, agents))
    has_next = is_full and next(rest, None) is not None
    reached_cap = not has_next and len(opened) == scan_limit and next(names, None) is not None
    next_cursor = None
    if has_next or reached_cap:
        next_cursor = Cursor(*(page[-1][0] if is_full else opened[-1]).key)
    sessions = [session for _, session in page]
    if opened:
        newest = after.timestamp if after else NEWEST
        sessions = families.with_counts(sessions, (opened[-1].timestamp, newest))
    items = tuple(sessions)
    problems += [Problem(item.path, item.problem) for item in items if item.problem]
    return Page(items, next_cursor, len(opened), reached_cap, tuple(problems))


def _scan(
    names: Iterable[RolloutName],
    opened: list[RolloutName],
    families: Families,
    agents: AgentsShown,
    *,
    archived: bool,
    codex_filter: bool,
) -> Iterator[tuple[RolloutName, SessionInfo]]:
    """
    Yield the sessions that are listed, with their names. Opens one file after the other, and appends its name to
    *opened*.
    """
    is_shown = True
    for name in names:
        opened.append(name)
        # After one that is not listed, more may follow: reading only the first line takes a fifth of the time.
        if not is_shown and not _is_shown(name, families, agents):
            continue
        session = _summarize_or_report(name, is_archived=archived)
        families.note(name.session_id, session.facts.parent_id)
        is_shown = families.shows(name.session_id, agents, is_agent=session.facts.role is not None)
        if is_shown and (not codex_filter or (session._meta and session.has_early_user_message)):
            yield name, session


def _is_shown(name: RolloutName, families: Families, agents: AgentsShown) -> bool:
    return agents == "all" or families.shows(name.session_id, agents, is_agent=families.read(name).is_agent)


def _summarize_or_report(name: RolloutName, *, is_archived: bool) -> SessionInfo:
    try:
        return summarize(name, is_archived=is_archived)
    except (OSError, ImportError) as error:
        return SessionInfo(name.path, name.session_id, name.timestamp, is_archived=is_archived, problem=str(error))


def summarize(name: RolloutName, *, is_archived: bool) -> SessionInfo:
    """
    Return what the first and the last lines of a file say about its session, as `list_sessions` does.

    Raises:
        OSError, ModuleNotFoundError: The file cannot be read.
    """
    known: dict[str, Any] = {
        "path": name.path,
        "session_id": name.session_id,
        "timestamp": name.timestamp,
        "is_archived": is_archived,
    }
    status = name.path.stat()
    with LineReader(name.path, bounds=_BOUNDS) as reader:
        # A small file is read whole, so that it is opened only once: this halves the time of a page.
        lines = tuple(reader) if status.st_size <= _SMALL and not name.is_compressed else None
        is_whole = lines is not None and not reader.is_cut
        head = _head(reader if lines is None else lines, to_end=is_whole)
        tail = _tail_of_lines(lines) if lines is not None and is_whole else _tail_of_file(name)
        problem = _problem(head["meta"], bool(head["head"]), reader)
    if not is_whole:
        # The last model counts: it is in the last lines, or unknown.
        head["facts"].model = tail.facts.model
        if tail.facts.given_name is not None:
            head["facts"].given_name, head["facts"].named_at = tail.facts.given_name, tail.facts.named_at
    started_at, last_at = head.pop("started_at"), seconds_of(tail.last_at)
    used_at = last_use(started_at, last_at) if last_at or is_whole else 0.0
    return SessionInfo(
        **known,
        **head,
        stated_start=started_at,
        updated_at=datetime.fromtimestamp(used_at or status.st_mtime, timezone.utc),
        is_updated_by_file=not used_at,
        size=status.st_size,
        tail=tail.items,
        problem=problem,
    )


def read_stated_start(name: RolloutName) -> float:
    """
    Return the start of a session for `SessionInfo`, in Unix seconds; 0 if the file's name suffices, or if the file
    cannot be read.
    """
    if not name.is_sure:
        with suppress(OSError, ImportError):
            return _read_started_at(name.path)
    return 0.0


def _read_started_at(path: Path) -> float:
    interpreter = _interpreter()
    with LineReader(path, bounds=_BOUNDS) as lines:
        for line in islice(lines, 1):
            interpreter.feed(line)
    return interpreter.started_at


def read_last_use(path: Path) -> float:
    """
    Return the time of the last use of a session from its first and last lines; 0 if they do not state it.

    Raises:
        OSError, ModuleNotFoundError: As `read_lines`.
    """
    last_at = 0.0
    for raw in islice(raw_backwards(path, _BOUNDS), _TAIL_LINES):
        with suppress(InvalidLineError):
            last_at = seconds_of(decode_line(raw).timestamp)
            if last_at:
                break
    if not last_at and (path.suffix == ".zst" or path.stat().st_size > _SMALL):
        # A line before the last ones may have a time.
        return 0.0
    return last_use(_read_started_at(path), last_at)


def last_use(started_at: float, last_at: float) -> float:
    """
    Return the time of the last use of a session, in Unix seconds; 0 if it is unknown.

    A fork without lines of its own has only older lines: it was used when it was made.

    Args:
        started_at: Start of the session; 0 if unknown.
        last_at: Time of the last line that has one; 0 if none has.
    """
    return max(started_at, last_at)


def _head(lines: Iterable[RolloutLine], *, to_end: bool) -> dict[str, Any]:
    head: list[dict[str, Any]] = []
    meta: dict[str, Any] | None = None
    facts, interpreter = SessionFacts(), _interpreter()
    has_early_user_message = False
    for line in lines if to_end else islice(lines, _PREVIEW_LINES):
        if len(head) < _HEAD_SIZE:
            if line.type in ("session_meta", "response_item"):
                head.append(line.payload)
            is_event = line.type == "event_msg"
            has_early_user_message |= is_event and line.payload.get("type") == "user_message"
        elif facts.preview is not None and facts.cwd is not None and not to_end:
            break
        if meta is None and line.type == "session_meta" and _has_identity(line.payload):
            meta = line.payload
        # Once the others are known, only the model and the name can change.
        if facts.preview is None or facts.cwd is None or states_latest(line):
            facts.add(interpreter.feed(line))
    return {
        "meta": meta,
        "facts": facts,
        "preview": facts.preview,
        "has_early_user_message": has_early_user_message,
        "head": tuple(head),
        "started_at": interpreter.started_at,
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


@frozen
class _Tail:
    """
    The content of the last lines of a file: the last response items, the last time, and the latest model and name.
    """

    items: tuple[dict[str, Any], ...] = ()
    last_at: str | None = None
    facts: SessionFacts = field(factory=SessionFacts)


def _tail_of_lines(lines: Sequence[RolloutLine]) -> _Tail:
    items = islice((line.payload for line in reversed(lines) if line.type == "response_item"), _TAIL_SIZE)
    last_at = next((line.timestamp for line in reversed(lines) if seconds_of(line.timestamp)), None)
    return _Tail(tuple(items)[::-1], last_at)


def _tail_of_file(name: RolloutName) -> _Tail:
    """
    Return the tail of a file that is not read whole. Decodes only the lines that are needed.
    """
    items: list[dict[str, Any]] = []
    last_at = None
    latest = SessionFacts()
    for raw in islice(raw_backwards(name.path, _BOUNDS), _TAIL_LINES):
        is_latest = may_state_latest(raw)
        if len(items) == _TAIL_SIZE and last_at and not is_latest:
            if latest.model is not None:
                break
            continue
        try:
            line = decode_line(raw)
        except InvalidLineError:
            continue
        last_at = last_at or (line.timestamp if seconds_of(line.timestamp) else None)
        if line.type == "response_item" and len(items) < _TAIL_SIZE:
            items.append(line.payload)
        if is_latest:
            facts, interpreter = SessionFacts(), _interpreter()
            # The meta is not among these lines; the name of another session must not count.
            interpreter.copies.session_id = name.session_id
            facts.add(interpreter.feed(line))
            latest.model = latest.model or facts.model
            if latest.given_name is None:
                latest.given_name, latest.named_at = facts.given_name, facts.named_at
    return _Tail(tuple(items)[::-1], last_at, latest)


def _interpreter() -> Interpreter:
    from rollout.interpret import Interpreter  # noqa: PLC0415 -- 25 ms, not needed with an index

    return Interpreter(has_texts=False)
