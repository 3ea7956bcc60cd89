from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollout import Follower, Recorder, RolloutLine, follow
from rollout import follow as follow_function
from tests import rollouts
from tests.rollouts import encode, event, meta, put

LIMIT = 30


def encoded(text: str) -> bytes:
    return encode([event("agent_message", message=text)])


def texts(lines: Iterator[RolloutLine] | list[RolloutLine]) -> list[str]:
    return [line.payload["message"] for line in lines]


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


class ReaderThread:
    """
    A thread that reads the lines of a follower.
    """

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.lines: list[RolloutLine] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for line in self.follower:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()

    def wait_for(self, count: int) -> list[RolloutLine]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.lines) >= count, LIMIT)
            return list(self.lines)

    def end(self) -> list[RolloutLine]:
        self.follower.close()
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()
        return self.lines


@pytest.fixture
def path(home: Path) -> Path:
    return put(home, [meta(), event("agent_message", message="old")])


def test_follow_yields_only_new_lines_without_from_start(path: Path) -> None:
    new, every = follow(path, timeout=0.3), follow(path, timeout=0.3, from_start=True)
    append(path, encoded("new"))

    assert texts(new) == ["new"]
    assert [line.type for line in every] == ["session_meta", "event_msg", "event_msg"]


def test_follow_yields_a_line_when_it_is_complete(path: Path) -> None:
    line = encoded("in pieces")
    reading = ReaderThread(follow(path))
    append(path, line[:20])
    append(path, line[20:-1])
    append(path, line[-1:] + encoded("next"))

    assert texts(reading.wait_for(2)) == ["in pieces", "next"]
    reading.end()


def test_a_torn_tail_at_the_start_is_yielded_when_it_is_complete(path: Path) -> None:
    line = encoded("torn once")
    append(path, line[:20])
    follower = follow(path, timeout=0.3)
    append(path, line[20:])

    assert texts(follower) == ["torn once"]


def test_follow_continues_when_one_writer_ends_and_another_resumes(home: Path) -> None:
    first = Recorder(home=home)
    first.flush()
    reading = ReaderThread(follow(first.session_id, home=home))
    first.user_message("one")
    first.close()
    reading.wait_for(2)

    with Recorder.resume(first.path) as second:
        second.user_message("two")

    assert [line.payload.get("message") for line in reading.wait_for(4)] == [None, "one", None, "two"]
    assert len(reading.end()) == 4


def test_follow_ends_after_the_timeout_without_lines(path: Path) -> None:
    assert list(follow(path, timeout=0)) == []


def test_follow_closed_by_another_thread_yields_the_complete_lines_and_ends(path: Path) -> None:
    reading = ReaderThread(follow(path))
    for n in range(100):
        append(path, encoded(str(n)))

    assert texts(reading.end()) == [str(n) for n in range(100)]


def test_the_end_of_the_with_body_ends_the_iteration(path: Path) -> None:
    with follow(path) as follower:
        append(path, encoded("x"))

        assert next(follower).type == "event_msg"

    assert list(follower) == []


def test_follow_skips_bad_lines_and_stores_their_positions(path: Path) -> None:
    follower = follow(path, timeout=0.3)
    start = path.stat().st_size
    append(path, encoded("a") + b"\n" + b"bad\n" + encoded("b"))

    assert texts(follower) == ["a", "b"]
    (skipped,) = follower.skipped
    assert (skipped.lineno, skipped.offset, skipped.size) == (3, start + len(encoded("a")) + 1, 3)


def test_follow_continues_in_a_copy_that_replaced_the_file(path: Path) -> None:
    reading = ReaderThread(follow(path))
    append(path, encoded("a"))
    reading.wait_for(1)
    copy = path.with_suffix(".copy")
    shutil.copy(path, copy)
    copy.rename(path)
    append(path, encoded("b"))

    assert texts(reading.wait_for(2)) == ["a", "b"]
    reading.end()


def test_follow_ends_when_the_file_is_removed(path: Path) -> None:
    follower = follow(path, timeout=LIMIT)
    append(path, encoded("last"))
    path.unlink()

    assert texts(follower) == ["last"]


def test_an_incomplete_line_that_the_writer_removes_is_never_yielded(path: Path) -> None:
    reading = ReaderThread(follow(path))
    size = path.stat().st_size
    append(path, encoded("taken back")[:30])
    os.truncate(path, size)
    append(path, encoded("written instead"))

    assert texts(reading.wait_for(1)) == ["written instead"]
    reading.end()


def test_follow_reads_a_line_longer_than_a_block(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(follow_function.__globals__, "_BLOCK_SIZE", 16)
    follower = follow(path, timeout=0.3)
    append(path, encoded("x" * 1000) + encoded("y"))

    assert texts(follower) == ["x" * 1000, "y"]


def test_follow_counts_a_line_that_is_too_long_and_continues_after_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("_BLOCK_SIZE", 64), ("MAX_LINE_SIZE", 500)):
        monkeypatch.setitem(follow_function.__globals__, name, size)
    before = path.stat().st_size
    long = encoded("x" * 1000)
    follower = follow(path, timeout=0.3)
    append(path, long + encoded("after") + b"x" * 2000)

    assert texts(follower) == ["after"]
    (skipped,) = follower.skipped
    assert (skipped.lineno, skipped.offset, skipped.size) == (1, before, len(long) - 1)
    assert skipped.reason == "longer than 500 bytes"


def test_no_line_is_missed_or_yielded_twice_with_writes_of_any_size(path: Path) -> None:
    pieces = random.Random(7)
    data = b"".join(encoded(f"{n} {'x' * pieces.randrange(200)}") for n in range(300))
    reading = ReaderThread(follow(path))

    while data:
        size = pieces.randrange(1, 700)
        append(path, data[:size])
        data = data[size:]

    assert [text.split()[0] for text in texts(reading.wait_for(300))] == [str(n) for n in range(300)]
    assert len(reading.end()) == 300


def test_a_compressed_or_missing_file_is_refused(home: Path) -> None:
    with pytest.raises(ValueError, match="no program writes"):
        follow("rollout.jsonl.zst")
    with pytest.raises(FileNotFoundError):
        follow(home / "missing.jsonl")


def test_an_empty_file_is_followed_from_its_beginning(home: Path) -> None:
    path = put(home, b"")
    follower = follow(path, timeout=0.3)
    append(path, encode([meta(rollouts.ID)]))

    assert [line.type for line in follower] == ["session_meta"]
