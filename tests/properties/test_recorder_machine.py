"""
Random operations on a recorder, in random order: its file has the same items as a plain list.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rollout import Recorder, RecorderClosedError, SessionBusyError, load_history, read_lines
from tests.rollouts import user_item as message

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


class RecorderMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.expected: list[Any] = []
        self.is_open = False
        self.tears = 0

    @initialize(queue_size=st.integers(1, 4), fsync=st.booleans())
    def create(self, queue_size: int, fsync: bool) -> None:
        self.recorder = Recorder(home=self.home, cwd=self.home, queue_size=queue_size, fsync=fsync)
        self.is_open = True

    def written(self) -> list[Any]:
        return [line.payload for line in load_history(self.recorder.path).lines[1:]]

    @precondition(lambda self: self.is_open)
    @rule(texts=st.lists(TEXTS, max_size=5))
    def record(self, texts: list[str]) -> None:
        items = [message(text) for text in texts]
        self.recorder.record(*items)
        self.expected += [message(text) for text in texts]
        for item in items:
            item.clear()

    @precondition(lambda self: self.is_open)
    @rule(fsync=st.booleans())
    def flush(self, fsync: bool) -> None:
        self.recorder.flush(30, fsync=fsync)
        assert self.written() == self.expected

    @precondition(lambda self: self.is_open)
    @rule()
    def read_at_any_time(self) -> None:
        # A prefix, and never half a line: one write holds whole lines.
        reader = read_lines(self.recorder.path)
        payloads = [line.payload for line in reader][1:]
        assert payloads == self.expected[: len(payloads)]
        assert len(reader.skipped) == self.tears

    @rule()
    def close(self) -> None:
        self.recorder.close(30)
        self.is_open = False
        assert self.written() == self.expected

    @precondition(lambda self: not self.is_open)
    @rule()
    def record_when_closed(self) -> None:
        with pytest.raises(RecorderClosedError):
            self.recorder.record(message("x"))

    @precondition(lambda self: not self.is_open)
    @rule(by_id=st.booleans())
    def resume(self, by_id: bool) -> None:
        what = self.recorder.session_id if by_id else self.recorder.path
        self.recorder = Recorder.resume(what, home=self.home)
        self.is_open = True

    @precondition(lambda self: self.is_open)
    @rule()
    def resume_when_open(self) -> None:
        with pytest.raises(SessionBusyError):
            Recorder.resume(self.recorder.path)

    @precondition(lambda self: not self.is_open)
    @rule(tail=st.binary(min_size=1, max_size=20).filter(lambda tail: b"\n" not in tail and tail.strip()))
    def tear(self, tail: bytes) -> None:
        # As a crash leaves it; the next recorder closes it off.
        with self.recorder.path.open("ab") as file:
            file.write(b"{" + tail)
        with Recorder.resume(self.recorder.path) as recorder:
            recorder.record(message("after the crash"))
        self.expected.append(message("after the crash"))
        self.tears += 1

    @invariant()
    def closed_is_told(self) -> None:
        if hasattr(self, "recorder"):
            assert self.recorder.closed is not self.is_open

    def teardown(self) -> None:
        if hasattr(self, "recorder"):
            self.recorder.close(30)
            assert self.written() == self.expected
        shutil.rmtree(self.home)


TestRecorderMachine = RecorderMachine.TestCase
TestRecorderMachine.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
