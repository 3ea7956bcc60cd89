"""
Forks: a new session file with the beginning of another session.

All lines are copied, as Codex does for sessions without ordinals. Codex forks sessions with ordinals by reference,
which needs the other file forever. Copied lines keep their timestamps, which are older than the fork, so that their
tokens are not counted twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any

import attrs

from rollout._version import __version__
from rollout.codec import RolloutLine, encode_line, format_timestamp
from rollout.errors import EncodeError, SessionNotFoundError
from rollout.home import StrPath, find_and_use, home_folder, home_of, locate, new_file, new_session_id, new_session_path
from rollout.reading import inherited_lines
from rollout.sessions import History, load_history

__all__ = ["fork"]

# Keys that describe the origin of the other file, and do not apply to a copy.
_NOT_COPIED = ("history_base", "forked_from_ordinal_exclusive", "subagent_history_start_ordinal")


def fork(session: StrPath, *, at: int | None = None, home: StrPath | None = None) -> Path:
    """
    Write a new session with the beginning of another one; `Recorder.resume` and Codex can continue it.

    Blocks. The file is created atomically and synced. The other session is only read, and may be live. Its unreadable
    lines are left out; a session from before 0.32 is converted to the current form.

    Args:
        session: The other session's id, the beginning of the id, or its file.
        at: The number of turns to copy; a negative number leaves out that many turns at the end. By default all turns.
        home: The home of both sessions; by default ``CODEX_HOME``, else ``~/.codex``.

    Returns:
        The new session's file.

    Raises:
        SessionNotFoundError: There is no such session, or the session that it continues by reference is missing.
        AmbiguousSessionError, MissingSessionMetaError: As `load_history`.
        ValueError: The session has fewer turns.
        OSError: A file cannot be read or written.
    """
    folder = home_folder(home).absolute()
    try:
        history = find_and_use(lambda: locate(session, folder).absolute(), load_history)
    except FileNotFoundError as error:
        raise SessionNotFoundError(str(session), folder) from error
    count = _line_count(history, at)
    now_ms = time.time_ns() // 1_000_000
    meta = _meta_of_fork(history, new_session_id(), format_timestamp(now_ms))
    target = new_session_path(folder, meta.payload["id"], now_ms / 1000)
    # If lines that the session has by reference could not be loaded, this raises the error.
    base = history.inherited or inherited_lines(_payload_of_meta(history), home_of(history.path) or folder)
    # The file is not read again: it may have been moved, and lines recorded since then do not belong to the fork.
    with new_file(target) as file:
        file.writelines(_encoded(meta, islice(chain(base, history.lines), count)))
    return target


def _line_count(history: History, at: int | None) -> int:
    all_lines = (*history.inherited, *history.lines)
    if at is None:
        return len(all_lines)
    turns = history.turns
    number = at if at >= 0 else len(turns) + at
    if not 0 <= number <= len(turns):
        raise ValueError(f"{history.path} has {len(turns)} turns; {at} is out of range")
    first_left_out = id(turns[number].lines[0]) if number < len(turns) else None
    return next((i for i, line in enumerate(all_lines) if id(line) == first_left_out), len(all_lines))


def _payload_of_meta(history: History) -> dict[str, Any]:
    """
    Return the payload of the session's own meta. If it cannot be read, it has only the values in the file's name.
    """
    metas = (line.payload for line in history.lines if line.type == "session_meta")
    own = (payload for payload in metas if payload.get("id") == history.session_id)
    return next(own, {"id": history.session_id, "timestamp": history.meta.timestamp})


def _meta_of_fork(history: History, session_id: str, timestamp: str) -> RolloutLine:
    known = {"originator": "rollout", "cli_version": __version__, "instructions": None}
    payload = {**known, **_payload_of_meta(history)}
    payload = {key: value for key, value in payload.items() if key not in _NOT_COPIED}
    payload |= {"id": session_id, "timestamp": timestamp, "cwd": history.meta.cwd or "/"}
    payload["forked_from_id"] = history.session_id
    if "session_id" in payload:
        payload["session_id"] = session_id
    ordinal = 0 if payload.get("history_mode") == "paginated" else None
    return RolloutLine(timestamp=timestamp, type="session_meta", payload=payload, ordinal=ordinal)


def _encoded(meta: RolloutLine, lines: Iterator[RolloutLine]) -> Iterator[bytes]:
    yield encode_line(meta)
    last_ordinal, time_of_line = meta.ordinal, meta.timestamp
    for line in lines:
        if last_ordinal is None:
            if not line.is_bare:
                yield line.raw + b"\n"
            elif line.type != "state":
                # Before 0.32 only the meta has a timestamp.
                time_of_line = line.timestamp or time_of_line
                yield encode_line(RolloutLine(timestamp=time_of_line, type=line.type, payload=line.payload))
        elif line.type != "session_meta":
            # Codex cannot read a line that is nested too deeply to be encoded again.
            with suppress(EncodeError):
                yield encode_line(attrs.evolve(line, ordinal=last_ordinal + 1, keys=None))
                last_ordinal += 1
