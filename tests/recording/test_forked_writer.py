"""
The writer of a forked child: it has the file of its parent, and no thread. Real forks are in tests/faults.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rollout import Recorder, UnsupportedSessionError, WriterStartError
from rollout.home import SessionLock, create_session_file
from rollout.recording import _append_file as file_module
from rollout.recording import _lifecycle as lifecycle_module
from rollout.recording._append_file import AppendFile
from rollout.recording._commands import Add, Options
from rollout.recording._writer import Writer
from tests.disks import WatchedDisk
from tests.rollouts import ID


class Lock(SessionLock):
    """
    Lock that counts its releases.
    """

    release_count = 0

    def release(self) -> None:
        self.release_count += 1
        super().release()


class ForkedWriter(Writer):
    """
    Writer whose thread starts only after the fork, as the thread of the parent does not exist in the child.
    """

    def _start(self) -> threading.Thread:
        return super()._start() if self._is_child else threading.current_thread()


MakeChild = Callable[..., Writer]


@pytest.fixture
def lock(home: Path) -> Lock:
    return Lock(home, ID)


@pytest.fixture
def make_child(home: Path, disk: WatchedDisk, lock: Lock) -> MakeChild:
    def make(kind: type[Writer] = ForkedWriter, **options: Any) -> Writer:
        path, fd = create_session_file(home, ID, time.time())
        # This process is its own parent.
        disk.getppid = os.getpid
        writer = kind(AppendFile(path, fd, lock, system=disk), Options(), **options)
        writer.reset_after_fork()
        return writer

    return make


def meta_of_child() -> Add:
    return Add("session_meta", {"from": "child"})


def test_a_child_writes_after_the_first_line_of_its_parent(make_child: MakeChild) -> None:
    writer = make_child(first=meta_of_child)
    writer.add(Add("event_msg", {"from": "child"}))

    with writer.path.open("ab") as file:
        file.write(b'{"from":"parent"}\n')
    writer.flush(30, fsync=False)
    writer.close(30)

    assert [b"parent" in line for line in writer.path.read_bytes().splitlines()] == [True, False]


def test_a_child_waits_only_for_a_limited_time_for_the_first_line_of_its_parent(
    make_child: MakeChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_module, "_BEGINNING_TIMEOUT", 0.02)
    writer = make_child(first=meta_of_child)

    writer.flush(30, fsync=False)

    writer.close(30)
    assert b'"session_meta"' in writer.path.read_bytes()


def test_a_child_whose_parent_has_ended_writes_the_first_line_itself(make_child: MakeChild, disk: WatchedDisk) -> None:
    writer = make_child(first=meta_of_child)
    disk.getppid = lambda: 1

    writer.add(Add("event_msg", {"from": "child"}))
    writer.close(30)

    assert [b'"session_meta"' in line for line in writer.path.read_bytes().splitlines()] == [True, False]


def test_a_child_that_is_started_twice_has_one_thread(make_child: MakeChild) -> None:
    writer = make_child()
    writer.path.write_bytes(b"{}\n")

    writer._start()
    thread = writer._thread
    writer._start()

    assert writer._thread is thread
    writer.close(30)


def test_a_child_that_could_not_start_a_thread_starts_one_at_the_next_call(
    make_child: MakeChild, no_new_threads: Callable[[], AbstractContextManager[None]]
) -> None:
    writer = make_child()
    writer.path.write_bytes(b"{}\n")

    with no_new_threads(), pytest.raises(RuntimeError, match="new thread"):
        writer.add(Add("event_msg", {"name": "refused"}))
    writer.add(Add("event_msg", {"name": "written"}))
    writer.flush(30, fsync=False)

    assert b"written" in writer.path.read_bytes()
    writer.close(30)


def test_a_thread_whose_start_was_interrupted_writes_nothing_if_it_starts_late_and_another_thread_writes(
    make_child: MakeChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    late: list[threading.Thread] = []

    def start(self: threading.Thread) -> None:
        late.append(self)
        raise KeyboardInterrupt

    writer = make_child()
    writer.path.write_bytes(b"{}\n")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        with pytest.raises(KeyboardInterrupt):
            writer.add(Add("event_msg", {"name": "interrupted"}))
    late[0].start()
    late[0].join(30)
    writer.add(Add("event_msg", {"name": "written"}))
    writer.flush(30, fsync=False)

    assert writer._thread is not late[0]
    assert b"written" in writer.path.read_bytes()
    writer.close(30)


def test_a_thread_that_runs_already_when_its_start_is_interrupted_is_the_writers_thread(
    make_child: MakeChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = threading.Event()
    real_start = threading.Thread.start

    def start(self: threading.Thread) -> None:
        real_start(self)
        assert runs.wait(30)
        raise KeyboardInterrupt

    class ReportingWriter(ForkedWriter):
        def _run(self) -> None:
            runs.set()
            super()._run()

    writer = make_child(ReportingWriter)
    writer.path.write_bytes(b"{}\n")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        with pytest.raises(KeyboardInterrupt):
            writer.add(Add("event_msg", {"name": "interrupted"}))
    thread = writer._thread
    writer.add(Add("event_msg", {"name": "written"}))
    writer.flush(30, fsync=False)

    assert writer._thread is thread
    assert thread is not None
    assert b"written" in writer.path.read_bytes()
    writer.close(30)


@pytest.mark.parametrize("end", ["close", "abandon"])
def test_a_child_that_recorded_nothing_ends_without_a_thread_and_releases_the_lock_once(
    make_child: MakeChild, lock: Lock, end: str
) -> None:
    writer = make_child()

    for _ in range(2):
        writer.close(None) if end == "close" else writer.abandon()

    assert writer.is_closed
    assert writer not in lifecycle_module.live
    assert lock.release_count == 1


def test_a_child_leaves_the_lock_file_to_its_parent(lock: Lock) -> None:
    lock._pid = 0

    lock.release()

    assert lock.path.exists()


def test_a_child_cannot_record_into_a_paginated_session(make_child: MakeChild) -> None:
    writer = make_child(ordinal=3)

    with pytest.raises(UnsupportedSessionError, match="child of its writer"):
        writer.add(Add("event_msg", {}))

    writer.close(None)


def test_finalizers_of_multiprocessing_close_the_recorders_of_its_child(
    make_child: MakeChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    finalizers: list[Any] = []
    util = SimpleNamespace(
        register_after_fork=lambda anchor, call: call(anchor),
        Finalize=lambda anchor, call, exitpriority: finalizers.append(call),
    )
    monkeypatch.setitem(sys.modules, "multiprocessing.util", util)
    writer = make_child()

    monkeypatch.setattr(lifecycle_module._Ending, "is_known_to_multiprocessing", False)
    monkeypatch.setattr(lifecycle_module._Ending, "has_begun", False)
    lifecycle_module._after_fork_in_child()
    # The one that the child inherited, which multiprocessing has discarded, and its own.
    assert finalizers == [lifecycle_module._end_after_threads] * 2
    finalizers[1]()

    assert writer.is_closed
    with pytest.raises(WriterStartError, match="the program is ending"):
        Recorder()


def test_flush_and_close_in_a_process_that_was_forked_without_os_fork_raise_an_error_that_names_the_reason(
    home: Path,
) -> None:
    recorder = Recorder(home=home)
    recorder._writer._pid = 1

    for call in (recorder.flush, recorder.close):
        with pytest.raises(WriterStartError, match="was forked from 1 by other means than"):
            call()

    recorder._writer._pid = os.getpid()
    recorder.close()
