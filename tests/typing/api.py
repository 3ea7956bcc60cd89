"""
A program of a user, for the type checkers: mypy and pyright check it, and it is never run.
"""

# pyright: strict

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from rollout import (
    Cursor,
    Follower,
    History,
    Page,
    Recorder,
    RecorderStats,
    RolloutError,
    RolloutLine,
    SessionInfo,
    SessionMeta,
    Turn,
    WriteError,
    find_session,
    follow,
    keep_all,
    list_sessions,
    load_history,
    read_lines,
    schema,
)
from rollout.codec import decode_line, encode_line


def record(home: Path) -> Path:
    with Recorder(home=home, session_id=UUID(int=0), cwd="/", policy=keep_all, fsync=True, queue_size=1) as recorder:
        recorder.record({"type": "message"}, schema.AgentMessage(message="m"))
        call_id: str = recorder.tool_call("shell", {"command": ["ls"]})
        recorder.tool_output(call_id, "out")
        recorder.user_message("u")
        recorder.agent_message("a")
        recorder.reasoning("r")
        recorder.turn_context(model="m", effort=None)
        recorder.flush(timeout=1.5, fsync=True)
        stats: RecorderStats = recorder.stats
        error: BaseException | None = stats.last_error
        print(error, recorder.closed, recorder.session_id.upper())
    try:
        recorder.close(timeout=None)
    except WriteError as failure:
        pending: int = failure.pending
        print(pending, failure.path.name)
    except RolloutError:
        raise
    resumed: Recorder = Recorder.resume("01a1", home="~/x", policy=lambda kind, payload: kind == "event_msg")
    return resumed.path


def read(path: Path) -> None:
    for line in read_lines(path, strict=True):
        raw: bytes = line.raw
        ordinal: int | None = line.ordinal
        item = line.item
        if isinstance(item, schema.Message):
            for part in item.content:
                if isinstance(part, schema.InputText):
                    print(part.text.upper(), raw, ordinal)
    line = decode_line(b"{}")
    data: bytes = encode_line(line)
    history: History = load_history(str(path), home=None)
    meta: SessionMeta = history.meta
    items: tuple[schema.RolloutItem, ...] = history.items
    turns: tuple[Turn, ...] = history.turns
    to_send: list[dict[str, Any]] = history.to_input()
    lines: tuple[RolloutLine, ...] = history.lines
    print(data, meta.git and meta.git.branch, items, turns[0].prompt, to_send, lines, len(history.skipped))


def browse() -> None:
    page: Page = list_sessions(page_size=10, archived=True, codex_filter=False, scan_limit=5)
    cursor: Cursor | None = page.next_cursor
    if cursor is not None:
        page = list_sessions(cursor=str(cursor))
        page = list_sessions(cursor=cursor)
    session: SessionInfo = page.items[0]
    preview: str | None = session.preview
    path: Path = find_session(session.session_id)
    follower: Follower = follow(path, from_start=True, timeout=1)
    for line in follower:
        print(line.payload, preview)
    follower.close()
