"""
All readers applied to one file, with the promises that hold for arbitrary bytes.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path

from rollout import (
    EncodeError,
    History,
    InvalidLineError,
    MissingSessionMetaError,
    Recorder,
    RolloutError,
    follow,
    list_sessions,
    load_history,
    read_lines,
    repair,
    verify,
)
from rollout.codec import decode_line, encode_line

__all__ = ["read_everything"]


def read_everything(path: Path, home: Path) -> int:
    """
    Read a rollout of a home in every way; return the number of its lines.
    """
    try:
        with read_lines(path) as reader:
            lines = list(reader)
    except OSError as error:
        # A file in UTF-16 is refused, and named.
        assert error.errno == errno.EILSEQ
        assert "utf-16" in {fault.kind for fault in verify(path).faults}
        assert [session.path for session in list_sessions(home=home).items] == [path]
        return 0
    for line in lines:
        assert line.raw in path.read_bytes()
        assert type(line.item).__name__
        # Numbers too long, NaN and nesting too deep for Codex are read and not written; a lone surrogate is replaced.
        with suppress(EncodeError):
            again = decode_line(encode_line(line))
            as_written = (line.type, line.payload, line.ordinal)
            assert (again.type, again.payload, again.ordinal) == as_written or b"\\ud" in line.raw.lower()
    _strictly(path, has_skipped=bool(reader.skipped))
    _as_history(path, len(lines))
    verification = verify(path)
    assert verification.line_count >= len(lines)
    assert not (verification.is_whole and reader.skipped)
    _repaired(path, len(lines))
    (summary,) = list_sessions(home=home).items
    assert summary.path == path
    with follow(path, from_start=True, timeout=0) as follower:
        followed = [line.raw for line in follower]
    # What has no newline yet is not followed yet.
    assert followed == [line.raw for line in lines][: len(followed)]
    assert len(lines) - len(followed) <= 1
    _resumed(path, len(lines))
    return len(lines)


def _strictly(path: Path, *, has_skipped: bool) -> None:
    try:
        for _ in read_lines(path, strict=True):
            pass
    except InvalidLineError:
        assert has_skipped
    else:
        assert not has_skipped


def _as_history(path: Path, count: int) -> None:
    try:
        history = load_history(path)
    except MissingSessionMetaError:
        return
    assert len(history.lines) == count
    for turn in history.turns:
        assert turn.lines
    for item in history.to_input():
        assert isinstance(item["type"], str)
    _as_document(history)


def _as_document(history: History) -> None:
    document = history.document()
    told = {key for turn in document.turns for item in turn.items for key in item.lines}
    told |= {key for turn in document.turns for keys in turn.others.values() for key in keys}
    assert told == {key for key, _ in history.numbered()} | {str(line.lineno) for line in history.skipped}
    assert document.line_count == len(history.lines) + len(history.skipped)


def _repaired(path: Path, count: int) -> None:
    done = repair(path)
    try:
        assert done.after.line_count >= count
        # What is left is no damage of bytes: the copy reads as it is.
        assert {fault.kind for fault in done.after.faults} <= {
            "bad-line",
            "oversize-line",
            "call-without-output",
            "missing-ordinal",
            "missing-meta",
        }
        with read_lines(done.copy) as reader:
            assert sum(1 for _ in reader) == done.after.line_count
    finally:
        done.copy.unlink()
        done.report.unlink()


def _resumed(path: Path, count: int) -> None:
    before = path.read_bytes()
    try:
        recorder = Recorder.resume(path)
    except RolloutError:
        assert path.read_bytes() == before
        return
    with recorder:
        recorder.agent_message("on")
    after = path.read_bytes()
    assert after.startswith(before)
    with read_lines(path) as reader:
        # The event, the item, and no line less; a torn tail may be one by now.
        assert sum(1 for _ in reader) >= count + 2
    path.write_bytes(before)
