from __future__ import annotations

import errno
import fcntl
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rollout import (
    FlushTimeoutError,
    Recorder,
    RecorderClosedError,
    RecorderFullError,
    RolloutError,
    UnsupportedSessionError,
    WriteError,
    WriterStartError,
    load_history,
)
from rollout import _commands as commands_room
from rollout import _encoder as encoder_room
from rollout import _file as file_room
from rollout import _live as live_room
from rollout import _queue as queue_room
from rollout import _whole as whole_room
from rollout import _writer as writer_room
from rollout._commands import Add, Options
from rollout._file import AppendFile
from rollout._lock import SessionLock, _coordinated
from rollout.layout import create_session_file
from tests.rollouts import ID


class Disk:
    """
    The real `os`, whose n-th write may go wrong.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.on_write: Callable[[bytes], int | None] = lambda data: None

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, fd: int, data: memoryview) -> int:
        written = self.on_write(bytes(data))
        self.calls.append(("write", len(data)))
        return os.write(fd, data if written is None else data[:written])

    def fsync(self, fd: int) -> None:
        self.calls.append(("fsync", Path(f"/proc/self/fd/{fd}").readlink()))
        os.fsync(fd)


def failing(times: int, code: int = errno.ENOSPC, *, after: int = 0) -> Callable[[bytes], int | None]:
    """
    Let each of the first calls write some bytes, then fail; the others are whole.
    """
    left = [times * 2]

    def on_write(data: bytes) -> int | None:
        if not left[0]:
            return None
        left[0] -= 1
        if left[0] % 2 and after:
            return after
        left[0] -= left[0] % 2
        raise OSError(code, os.strerror(code))

    return on_write


def refuse_to_start(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(file_room, "os", disk)
    monkeypatch.setattr(whole_room, "os", disk)
    return disk


@pytest.fixture
def held(disk: Disk) -> Iterator[Callable[[], threading.Event]]:
    """
    A disk whose next write waits until it is let go.
    """
    reached, let_go = threading.Event(), threading.Event()

    def hold() -> threading.Event:
        def on_write(data: bytes) -> None:
            reached.set()
            assert let_go.wait(30)

        disk.on_write = on_write
        return reached

    hold.let_go = let_go.set  # type: ignore[attr-defined]
    yield hold
    let_go.set()


def prompts(path: Path) -> list[str | None]:
    return [turn.prompt for turn in load_history(path).turns]


def test_a_batch_is_written_with_one_call(recorder: Recorder, disk: Disk, held: Any) -> None:
    recorder.flush()
    reached = held()
    recorder.user_message("0")
    assert reached.wait(10)

    for n in range(1, 50):
        recorder.user_message(str(n))
    held.let_go()
    recorder.flush()

    assert prompts(recorder.path) == [str(n) for n in range(50)]
    assert len([call for call in disk.calls if call[0] == "write"]) <= 3


@pytest.mark.parametrize("after", [0, 1, 150])
def test_after_a_failed_write_the_next_puts_everything_in_once_and_in_order(
    recorder: Recorder, disk: Disk, after: int
) -> None:
    recorder.flush()
    disk.on_write = failing(2, after=after)

    recorder.user_message("one")
    with pytest.raises(WriteError) as first:
        recorder.flush()
    recorder.user_message("two")
    with pytest.raises(WriteError) as second:
        recorder.flush()
    recorder.user_message("three")
    recorder.flush()

    assert (first.value.pending, second.value.pending) == (2, 4)
    assert isinstance(first.value.__cause__, OSError)
    assert "No space left on device" in str(first.value)
    assert prompts(recorder.path) == ["one", "two", "three"]
    assert load_history(recorder.path).skipped == ()
    assert recorder.stats.last_error is None


def test_a_part_line_is_cut_back_while_the_disk_is_full(recorder: Recorder, disk: Disk) -> None:
    recorder.flush()
    before = recorder.path.read_bytes()
    disk.on_write = failing(1, after=20)

    recorder.user_message("one")
    with pytest.raises(WriteError):
        recorder.flush()

    assert recorder.path.read_bytes() == before


def test_a_part_line_that_cannot_be_cut_back_is_completed_by_the_next_write(
    recorder: Recorder, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, size: int) -> None:
        raise OSError(errno.EPERM, "append only")

    recorder.flush()
    disk.on_write = failing(1, after=20)
    disk.ftruncate = refuse  # type: ignore[attr-defined]

    recorder.user_message("one")
    with pytest.raises(WriteError):
        recorder.flush()
    half = recorder.path.read_bytes()
    recorder.flush()

    assert not half.endswith(b"\n")
    assert prompts(recorder.path) == ["one"]
    assert recorder.stats.written_lines == 3


def test_a_part_line_behind_which_somebody_wrote_is_not_cut(recorder: Recorder, disk: Disk) -> None:
    def on_write(data: bytes) -> int | None:
        disk.on_write = other
        return 20

    def other(data: bytes) -> int | None:
        with recorder.path.open("ab") as file:
            file.write(b"\nforeign\n")
        disk.on_write = lambda data: None
        raise OSError(errno.EIO, "I/O error")

    recorder.flush()
    disk.on_write = on_write

    recorder.user_message("one")
    with pytest.raises(WriteError):
        recorder.flush()

    assert b"\nforeign\n" in recorder.path.read_bytes()


def test_short_writes_are_completed(recorder: Recorder, disk: Disk) -> None:
    disk.on_write = lambda data: max(1, len(data) // 2)

    recorder.user_message("x" * 1000)
    recorder.flush()

    assert prompts(recorder.path) == ["x" * 1000]


def test_nothing_waits_any_more_when_it_is_closed(home: Path) -> None:
    recorder = Recorder(home=home)
    recorder.user_message("x")

    recorder.close()

    assert recorder.stats.waiting_size == 0


def test_close_that_fails_keeps_what_waits_for_another_close(home: Path, disk: Disk) -> None:
    recorder = Recorder(home=home)
    recorder.flush()
    disk.on_write = failing(1)
    recorder.user_message("kept")

    with pytest.raises(WriteError, match="2 lines wait"):
        recorder.close()
    with pytest.raises(RecorderClosedError):
        recorder.user_message("too late")
    recorder.close()

    assert prompts(recorder.path) == ["kept"]


def test_leaving_the_body_with_a_full_disk_raises_write_error(home: Path, disk: Disk) -> None:
    recorder = Recorder(home=home)
    recorder.flush()
    disk.on_write = failing(1)

    with pytest.raises(WriteError), recorder:
        recorder.user_message("x")

    recorder.close()


def test_a_failing_close_does_not_mask_the_exception_of_the_body(
    home: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(home=home)
    recorder.flush()
    disk.on_write = failing(1)

    with pytest.raises(ZeroDivisionError), recorder:
        recorder.user_message("x")
        raise ZeroDivisionError

    assert "No space left on device" in caplog.text
    recorder.close()


def test_flush_and_close_on_a_hanging_disk_end_in_time_and_say_what_waits(
    home: Path, held: Callable[[], threading.Event]
) -> None:
    recorder = Recorder(home=home)
    recorder.flush()
    reached = held()
    recorder.user_message("x")
    assert reached.wait(10)

    with pytest.raises(FlushTimeoutError, match="flush took over") as flush:
        recorder.flush(timeout=0.15)
    with pytest.raises(FlushTimeoutError, match="close took over"):
        recorder.close(timeout=0.05)

    assert flush.value.pending > 0
    held.let_go()  # type: ignore[attr-defined]
    recorder.close()
    assert prompts(recorder.path) == ["x"]


def test_close_tells_when_the_session_cannot_be_let_go_in_time(home: Path) -> None:
    recorder = Recorder(home=home)
    recorder.flush()

    with _coordinated(home / "thread-writer-locks"), pytest.raises(FlushTimeoutError, match="close took over"):
        recorder.close(timeout=0.2)

    recorder.close()
    assert [path.name for path in (home / "thread-writer-locks").iterdir()] == [".coordination.lock"]


def test_the_end_of_the_program_closes_what_is_open_and_logs_what_it_cannot_write(
    home: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    fine, full = Recorder(home=home), Recorder(home=home)
    full.flush()
    fine.user_message("x")
    fine.flush()
    disk.on_write = failing(100)
    full.user_message("kept")

    live_room.close_all()

    assert fine.closed
    assert "at exit: " in caplog.text
    assert "2 lines wait in memory" in caplog.text
    disk.on_write = lambda data: None
    full.close()
    fine.close()


def test_a_recorder_forgotten_after_a_failed_close_is_tried_again_at_the_end(home: Path, disk: Disk) -> None:
    recorder = Recorder(home=home)
    path = recorder.path
    recorder.flush()
    disk.on_write = failing(1)
    recorder.user_message("kept")
    with pytest.raises(WriteError):
        recorder.close()

    del recorder
    gc.collect()
    live_room.close_all()

    assert prompts(path) == ["kept"]


def test_flush_of_a_full_queue_ends_in_time(home: Path, held: Callable[[], threading.Event]) -> None:
    recorder = Recorder(home=home, queue_size=2)
    recorder.flush()
    reached = held()
    recorder.user_message("0")
    assert reached.wait(10)
    recorder.user_message("1")
    recorder.user_message("2")

    with pytest.raises(FlushTimeoutError):
        recorder.flush(timeout=0.05)

    held.let_go()  # type: ignore[attr-defined]
    recorder.close()
    assert prompts(recorder.path) == ["0", "1", "2"]


def test_record_waits_only_while_the_queue_is_full(home: Path, held: Callable[[], threading.Event]) -> None:
    recorder = Recorder(home=home, queue_size=1)
    recorder.flush()
    reached = held()
    recorder.user_message("0")
    assert reached.wait(10)
    recorder.user_message("1")

    blocked = threading.Thread(target=recorder.user_message, args=("2",))
    blocked.start()
    blocked.join(0.05)
    was_waiting = blocked.is_alive()
    held.let_go()  # type: ignore[attr-defined]
    blocked.join(10)

    assert was_waiting
    recorder.close()
    assert prompts(recorder.path) == ["0", "1", "2"]


class TestFsync:
    def test_flush_with_fsync_syncs_the_file_and_every_folder_that_names_it(
        self, recorder: Recorder, disk: Disk, home: Path
    ) -> None:
        recorder.user_message("x")
        recorder.flush(fsync=True)

        synced = [call[1] for call in disk.calls if call[0] == "fsync"]
        assert synced[0] == recorder.path
        assert set(synced[1:]) >= {recorder.path.parent, home / "sessions", home, home.parent}
        assert disk.calls.index(("fsync", recorder.path)) > 0

    def test_a_flush_without_fsync_syncs_nothing(self, recorder: Recorder, disk: Disk) -> None:
        recorder.user_message("x")
        recorder.flush()

        assert [call for call in disk.calls if call[0] == "fsync"] == []

    def test_a_recorder_with_fsync_syncs_every_batch_before_it_answers(self, home: Path, disk: Disk) -> None:
        with Recorder(home=home, fsync=True) as recorder:
            recorder.user_message("syncs the folders, too")
            recorder.flush()
            recorder.user_message("x")
            recorder.flush()

            assert disk.calls[-1] == ("fsync", recorder.path)

    @pytest.fixture
    def failing_once(self, disk: Disk) -> Callable[[], None]:
        def arm() -> None:
            def fail(fd: int) -> None:
                disk.fsync = lambda fd: disk.calls.append(("fsync", fd)) or os.fsync(fd)  # type: ignore[func-returns-value,method-assign]
                raise OSError(errno.EIO, "I/O error")

            disk.fsync = fail  # type: ignore[method-assign]

        return arm

    @pytest.mark.promise("power")
    def test_after_a_sync_that_failed_all_since_the_last_is_written_again_before_the_next(
        self, recorder: Recorder, disk: Disk, failing_once: Callable[[], None]
    ) -> None:
        recorder.user_message("synced")
        recorder.flush(fsync=True)
        synced_size = recorder.path.stat().st_size
        recorder.user_message("dropped by the system")
        failing_once()

        def pwrite(fd: int, block: bytes, offset: int) -> int:
            disk.calls.append(("pwrite", offset, len(block)))
            return os.pwrite(fd, block, offset)

        disk.pwrite = pwrite  # type: ignore[attr-defined]
        with pytest.raises(WriteError, match="I/O error"):
            recorder.flush(fsync=True)
        recorder.flush(fsync=True)

        size = recorder.path.stat().st_size
        again = disk.calls.index(("pwrite", synced_size, size - synced_size))
        assert next(call[0] for call in disk.calls[again + 1 :]) == "fsync"
        assert prompts(recorder.path) == ["synced", "dropped by the system"]

    @pytest.mark.promise("power")
    def test_what_a_file_system_has_dropped_is_told_at_every_sync_until_it_is_back(
        self, recorder: Recorder, failing_once: Callable[[], None]
    ) -> None:
        recorder.flush(fsync=True)
        recorder.user_message("x" * 5000)
        failing_once()
        with pytest.raises(WriteError, match="I/O error"):
            recorder.flush(fsync=True)
        content = recorder.path.read_bytes()

        recorder.path.write_bytes(content[:-4000] + b"\0" * 4000)
        for _ in range(2):
            with pytest.raises(WriteError, match="the file system dropped what was written"):
                recorder.flush(fsync=True)

        recorder.path.write_bytes(content)
        recorder.flush(fsync=True)

    def test_after_a_failed_sync_the_file_is_synced_where_it_was_moved_and_what_took_its_place_is_left_alone(
        self, recorder: Recorder, failing_once: Callable[[], None]
    ) -> None:
        recorder.flush(fsync=True)
        recorder.user_message("x")
        failing_once()
        with pytest.raises(WriteError, match="I/O error"):
            recorder.flush(fsync=True)
        place = recorder.path
        moved = place.rename(place.with_suffix(".moved"))
        place.write_bytes(b"another")

        recorder.flush(fsync=True)

        assert recorder.path == moved
        assert prompts(moved) == ["x"]
        assert place.read_bytes() == b"another"


class TestChild:
    """
    A writer as a forked child has it: its parent's file, and no thread. Real forks are in tests/faults.
    """

    @pytest.fixture
    def released(self) -> list[str]:
        return []

    @pytest.fixture
    def make_child(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, released: list[str]
    ) -> Callable[..., writer_room.Writer]:
        def make(**options: Any) -> writer_room.Writer:
            path, fd = create_session_file(home, ID, time.time())
            lock = SessionLock(home, ID)
            monkeypatch.setattr(lock, "release", lambda: (SessionLock.release(lock), released.append("lock")))
            # It is a child of this process itself.
            monkeypatch.setattr(os, "getppid", os.getpid)
            with monkeypatch.context() as patched:
                patched.setattr(writer_room.Writer, "_start", lambda self: None)
                writer = writer_room.Writer(AppendFile(path, fd, lock), Options(), **options)
            writer.begin_again()
            return writer

        return make

    def test_writes_behind_the_first_line_of_its_parent(self, make_child: Callable[..., writer_room.Writer]) -> None:
        writer = make_child(first=lambda: Add("session_meta", {"from": "child"}))
        writer.add(Add("event_msg", {"from": "child"}))

        with writer.path.open("ab") as file:
            file.write(b'{"from":"parent"}\n')
        writer.flush(30, fsync=False)
        writer.close(30)

        assert [b"parent" in line for line in writer.path.read_bytes().splitlines()] == [True, False]

    def test_starts_one_thread_however_often_it_is_started(self, make_child: Callable[..., writer_room.Writer]) -> None:
        writer = make_child()
        writer.path.write_bytes(b"{}\n")

        writer._start()
        thread = writer._thread
        writer._start()

        assert writer._thread is thread
        writer.close(30)

    def test_that_could_start_no_thread_starts_one_at_the_next_call(
        self, make_child: Callable[..., writer_room.Writer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writer = make_child()
        writer.path.write_bytes(b"{}\n")

        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse_to_start)
            with pytest.raises(RuntimeError, match="new thread"):
                writer.add(Add("event_msg", {"name": "refused"}))
        writer.add(Add("event_msg", {"name": "written"}))
        writer.flush(30, fsync=False)

        assert b"written" in writer.path.read_bytes()
        writer.close(30)

    def test_whose_start_was_interrupted_has_one_thread_and_no_second_that_comes_late(
        self, make_child: Callable[..., writer_room.Writer], monkeypatch: pytest.MonkeyPatch
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

    def test_interrupted_behind_the_start_of_its_thread_keeps_it(
        self, make_child: Callable[..., writer_room.Writer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runs = threading.Event()
        real_start, real_run = threading.Thread.start, writer_room.Writer._run

        def start(self: threading.Thread) -> None:
            real_start(self)
            assert runs.wait(30)
            raise KeyboardInterrupt

        def run(self: writer_room.Writer) -> None:
            runs.set()
            real_run(self)

        writer = make_child()
        writer.path.write_bytes(b"{}\n")
        monkeypatch.setattr(writer_room.Writer, "_run", run)

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

    def test_waits_no_longer_than_its_limit(
        self, make_child: Callable[..., writer_room.Writer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(file_room, "_BEGINNING_TIMEOUT", 0.02)
        writer = make_child(first=lambda: Add("session_meta", {"from": "child"}))

        writer.flush(30, fsync=False)

        writer.close(30)
        assert b'"session_meta"' in writer.path.read_bytes()

    def test_writes_the_first_line_itself_where_its_parent_has_ended(
        self, make_child: Callable[..., writer_room.Writer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writer = make_child(first=lambda: Add("session_meta", {"from": "child"}))
        monkeypatch.setattr(os, "getppid", lambda: 1)

        writer.add(Add("event_msg", {"from": "child"}))
        writer.close(30)

        assert [b'"session_meta"' in line for line in writer.path.read_bytes().splitlines()] == [True, False]

    @pytest.mark.parametrize("end", ["close", "abandon"])
    def test_that_never_recorded_ends_without_a_thread(
        self, make_child: Callable[..., writer_room.Writer], released: list[str], end: str
    ) -> None:
        writer = make_child()

        for _ in range(2):
            writer.close(None) if end == "close" else writer.abandon()

        assert writer.is_closed
        assert writer not in live_room.live
        assert released == ["lock"]

    def test_of_a_paginated_session_is_refused(self, make_child: Callable[..., writer_room.Writer]) -> None:
        writer = make_child(ordinal=3)

        with pytest.raises(UnsupportedSessionError, match="child of its writer"):
            writer.add(Add("event_msg", {}))

        writer.close(None)

    def test_closes_off_half_a_line_where_others_append(self, recorder: Recorder, disk: Disk) -> None:
        recorder.flush()
        disk.on_write = failing(1, after=20)

        with recorder.path.open("rb") as other:
            # What a child holds while it may write.
            fcntl.flock(other, fcntl.LOCK_SH)
            recorder.user_message("one")
            with pytest.raises(WriteError, match="another process may append behind it"):
                recorder.flush()
            with pytest.raises(WriteError, match="No space left"):
                recorder.flush()
        recorder.flush()

        assert prompts(recorder.path) == ["one"]
        assert [skipped.size for skipped in load_history(recorder.path).skipped] == [20]

    def test_of_multiprocessing_is_closed_by_its_finalizers(
        self, make_child: Callable[..., writer_room.Writer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        finalizers: list[Any] = []
        util = SimpleNamespace(
            register_after_fork=lambda anchor, call: call(anchor),
            Finalize=lambda anchor, call, exitpriority: finalizers.append(call),
        )
        monkeypatch.setitem(sys.modules, "multiprocessing.util", util)
        writer = make_child()

        monkeypatch.setattr(live_room._Ending, "is_known_to_multiprocessing", False)
        monkeypatch.setattr(live_room._Ending, "has_begun", False)
        live_room._after_fork_in_child()
        # The one it was forked with, which another list has replaced in a child of multiprocessing, and its own.
        assert finalizers == [live_room._end_after_threads] * 2
        finalizers[1]()

        assert writer.is_closed
        with pytest.raises(WriterStartError, match="the program is ending"):
            Recorder()

    def test_leaves_the_lock_file_to_its_parent(self, home: Path) -> None:
        lock = SessionLock(home, ID)
        lock._pid = 0

        lock.release()

        assert lock.path.exists()


class TestEnd:
    """
    The end of a process, played in this one. Real ends are in tests/faults.
    """

    @pytest.fixture(autouse=True)
    def ending(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live_room._Ending, "has_begun", False)

    def test_waits_for_a_recorder_that_another_thread_is_making(self, home: Path) -> None:
        is_begun, may_go_on = threading.Event(), threading.Event()
        made: list[Recorder] = []

        def make() -> None:
            with live_room.starting():
                is_begun.set()
                may_go_on.wait(10)
                live_room._Ending.has_begun = False
                made.append(Recorder(home=home))

        maker = threading.Thread(target=make)
        maker.start()
        is_begun.wait(10)
        end = threading.Thread(target=live_room._end)
        end.start()
        may_go_on.set()
        maker.join(10)
        end.join(10)

        assert made[0].closed

    def test_waits_no_longer_than_its_limit_for_a_recorder_that_is_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live_room, "_STARTING_TIMEOUT", 0.02)

        with live_room.starting():
            live_room._end()

        assert live_room._Ending.has_begun

    def test_of_a_child_comes_behind_its_last_thread(self, home: Path) -> None:
        may_end = threading.Event()
        last = threading.Thread(target=may_end.wait)
        last.start()
        recorder = Recorder(home=home)

        live_room._end_after_threads()
        recorder.user_message("after the main thread")
        (waiting,) = (thread for thread in threading.enumerate() if thread.name == "rollout-exit")
        may_end.set()
        waiting.join(10)

        assert recorder.closed
        assert prompts(recorder.path) == ["after the main thread"]

    @pytest.mark.parametrize("can_start", [True, False])
    def test_of_the_main_thread_lets_others_make_recorders_where_there_can_be_threads(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, can_start: bool
    ) -> None:
        monkeypatch.setattr(threading, "main_thread", lambda: SimpleNamespace(is_alive=lambda: False))
        if can_start:
            Recorder(home=home).close()
        else:
            monkeypatch.setattr(threading.Thread, "start", refuse_to_start)
            with pytest.raises(WriterStartError, match="the program is ending"):
                Recorder(home=home)

        assert home.exists() == can_start

    def test_is_seen_by_what_an_exit_handler_imports(self, monkeypatch: pytest.MonkeyPatch) -> None:
        main = SimpleNamespace(is_alive=lambda: False)
        monkeypatch.setattr(threading, "main_thread", lambda: main)
        monkeypatch.setattr(threading, "current_thread", lambda: main)

        assert live_room._is_ending()

    def test_is_none_of_multiprocessings_where_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live_room._Ending, "is_known_to_multiprocessing", False)
        monkeypatch.delitem(sys.modules, "multiprocessing.util", raising=False)

        live_room._register_with_multiprocessing()

        assert not live_room._Ending.is_known_to_multiprocessing
        assert not live_room._is_ending()

    def test_closes_all_at_once_so_that_one_that_hangs_costs_the_others_nothing(
        self,
        home: Path,
        held: Callable[[], threading.Event],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(live_room, "EXIT_TIMEOUT", 0.3)
        hanging, *others = [Recorder(home=home) for _ in range(6)]
        for recorder in (hanging, *others):
            recorder.flush()
        reached = held()
        hanging.user_message("hangs")
        assert reached.wait(10)
        monkeypatch.setattr(file_room, "os", os)
        for recorder in others:
            recorder.user_message("x")

        def record(*args: object) -> None:
            others[0].user_message("from a logging handler")

        monkeypatch.setattr(live_room._log, "error", record)
        monkeypatch.setattr(live_room, "_snapshot", lambda: [hanging._writer, *(other._writer for other in others)])
        live_room.close_all()
        held.let_go()  # type: ignore[attr-defined]

        assert [prompts(recorder.path) for recorder in others] == [["x"]] * 5
        assert all(recorder.closed for recorder in others)
        hanging.close()

    def test_looks_again_where_a_writer_ends_while_the_others_are_counted(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Changing:
            count = 0

            def __iter__(self) -> Iterator[Any]:
                self.count += 1
                if self.count == 1:
                    raise RuntimeError("Set changed size during iteration")
                return iter([])

        changing = Changing()
        monkeypatch.setattr(live_room, "live", changing)

        assert live_room._snapshot() == []
        assert changing.count == 2


def test_a_recorder_that_was_forgotten_while_the_disk_was_full_ends_when_there_is_room(home: Path, disk: Disk) -> None:
    recorder = Recorder(home=home)
    recorder.flush()
    path, thread = recorder.path, recorder._writer._thread
    assert thread is not None
    disk.on_write = failing(1)
    recorder.user_message("kept")
    with pytest.raises(WriteError):
        recorder.close()

    del recorder
    gc.collect()
    thread.join(30)

    assert not thread.is_alive()
    assert prompts(path) == ["kept"]
    Recorder.resume(path).close()


class TestOfAnotherProcess:
    def test_a_writer_whose_process_was_forked_by_other_means_says_so(self, home: Path) -> None:
        recorder = Recorder(home=home)
        recorder._writer._pid = 1

        for call in (recorder.flush, recorder.close):
            with pytest.raises(WriterStartError, match="was forked from 1 by other means than"):
                call()

        recorder._writer._pid = os.getpid()
        recorder.close()


def test_a_wait_for_space_is_checked_until_there_is_some(
    home: Path, held: Callable[[], threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_room, "_CHECK_INTERVAL", 0.001)
    recorder = Recorder(home=home, queue_size=1)
    recorder.flush()
    checks: list[int] = []
    recorder._writer._commands._check = lambda _: checks.append(1)
    reached = held()
    recorder.user_message("0")
    assert reached.wait(10)
    recorder.user_message("1")

    blocked = threading.Thread(target=recorder.user_message, args=("2",))
    blocked.start()
    while len(checks) < 3:
        assert blocked.is_alive()
        time.sleep(0.001)
    held.let_go()  # type: ignore[attr-defined]
    blocked.join(10)

    recorder.close()
    assert prompts(recorder.path) == ["0", "1", "2"]


def test_lines_for_which_there_is_no_memory_wait_and_one_longer_than_a_write_is_written_alone(
    recorder: Recorder, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: AppendFile, lines: list[bytes]) -> bytes:
        raise MemoryError

    recorder.flush()
    with monkeypatch.context() as patched:
        patched.setattr(AppendFile, "_joined", fail)
        recorder.agent_message("small")
        recorder.record({"type": "message", "role": "user", "content": [], "text": "x" * 2**21})
        with pytest.raises(WriteError, match="MemoryError; 3 lines wait"):
            recorder.flush()
    disk.calls.clear()
    recorder.flush()

    assert [call[0] for call in disk.calls] == ["write", "write"]
    assert disk.calls[1][1] > 2**21


def test_a_file_into_which_something_was_written_is_not_discarded(home: Path) -> None:
    path, fd = create_session_file(home, ID, time.time())
    os.write(fd, b"{}\n")
    file = AppendFile(path, fd, SessionLock(home, ID))

    file.discard()

    assert path.read_bytes() == b"{}\n"


class TestDeath:
    @pytest.fixture
    def bug(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[], None]:
        def inject() -> None:
            def die(self: Any) -> None:
                raise RuntimeError("bug")

            monkeypatch.setattr(writer_room.Writer, "_encode", die)

        return inject

    def test_of_the_writer_ends_every_wait_and_every_later_call_says_so(
        self, home: Path, bug: Callable[[], None], caplog: pytest.LogCaptureFixture
    ) -> None:
        recorder = Recorder(home=home)
        recorder.flush()
        bug()

        recorder.user_message("lost")
        with pytest.raises(RolloutError):
            recorder.flush(timeout=10)
        recorder._writer._thread.join(10)
        with pytest.raises(WriteError, match="2 lost"):
            recorder.flush(timeout=10)
        with pytest.raises(WriteError):
            recorder.user_message("x")
        with pytest.raises(WriteError) as closing:
            recorder.close(timeout=10)

        assert isinstance(closing.value.__cause__, RuntimeError)
        assert "the writer died" in caplog.text
        recorder._forgotten.detach()

    def test_of_the_writer_frees_the_lock(self, home: Path, bug: Callable[[], None]) -> None:
        recorder = Recorder(home=home)
        recorder.flush()
        bug()
        recorder.user_message("lost")
        recorder._writer._thread.join(10)
        recorder._forgotten.detach()

        assert [path.name for path in (home / "thread-writer-locks").iterdir()] == [".coordination.lock"]

    def test_a_command_put_behind_an_ending_thread_is_answered(self, home: Path) -> None:
        recorder = Recorder(home=home)
        recorder.close()
        command = commands_room.Flush()

        recorder._writer._await(command, True, "flush", 5, commands_room.Deadline(5))

        assert command.done.is_set()


def test_an_item_that_cannot_be_encoded_costs_no_other_and_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = encoder_room.encode_item

    def bug(kind: str, payload: Any, *rest: Any) -> bytes:
        if payload.get("message") == "big":
            raise AttributeError
        return real(kind, payload, *rest)

    recorder = Recorder(home=home)
    recorder.flush()
    monkeypatch.setattr(encoder_room, "encode_item", bug)
    recorder.record({"type": "event_msg", "payload": {"type": "user_message", "message": "big"}})
    recorder.user_message("small")

    with pytest.raises(WriteError, match="1 lost"):
        recorder.flush()

    assert prompts(recorder.path) == ["small"]
    with pytest.raises(WriteError):
        recorder.close()


@pytest.mark.promise("full")
def test_items_for_which_there_is_no_memory_wait_in_order_and_are_written_when_there_is(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = encoder_room.encode_item

    def short_of_memory(kind: str, payload: Any, *rest: Any) -> bytes:
        if payload.get("message") == "big":
            raise MemoryError
        return real(kind, payload, *rest)

    recorder = Recorder(home=home, queue_size=1, max_waiting_size=50_000)
    recorder.flush()
    monkeypatch.setattr(encoder_room, "encode_item", short_of_memory)
    recorder.user_message("before")
    recorder.record(
        *({"type": "event_msg", "payload": {"type": "user_message", "message": t}} for t in ("big", "after"))
    )

    with pytest.raises(WriteError, match="2 lines wait in memory"):
        recorder.flush()
    assert prompts(recorder.path) == ["before"]
    recorder.agent_message("taken, and not tried at once")
    while recorder.stats.queued:
        time.sleep(0.001)
    with pytest.raises(RecorderFullError, match="MemoryError"):
        while True:
            recorder.user_message("x" * 1000)
    monkeypatch.undo()
    recorder.flush()

    assert prompts(recorder.path)[:3] == ["before", "big", "after"]
    assert recorder.stats.last_error is None
    recorder.close()


def test_lines_that_cannot_be_joined_for_want_of_memory_wait(home: Path, recorder: Recorder, disk: Disk) -> None:
    def on_write(data: bytes) -> int | None:
        raise MemoryError

    recorder.flush()
    disk.on_write = on_write
    recorder.user_message("kept")
    with pytest.raises(WriteError, match="2 lines wait in memory"):
        recorder.flush()
    disk.on_write = lambda data: None
    recorder.flush()

    assert prompts(recorder.path) == ["kept"]


def test_a_thread_that_cannot_start_frees_file_and_lock(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", refuse_to_start)
    with pytest.raises(WriterStartError, match="cannot record: can't start new thread"):
        Recorder(home=home)

    assert list(home.glob("sessions/*/*/*/*")) == []
    assert [path.name for path in (home / "thread-writer-locks").iterdir()] == [".coordination.lock"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queue_size": 0}, "queue_size is at least 1, not 0"),
        ({"max_waiting_size": -1}, "max_waiting_size is at least 1, not -1"),
        ({"on_full": "drop"}, "on_full is 'block' or 'raise', not 'drop'"),
    ],
)
def test_options_that_mean_nothing_are_refused_before_a_file_is_made(
    home: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Recorder(home=home, **options)  # type: ignore[arg-type]

    assert not home.exists()


def test_the_error_of_a_full_recorder_says_how_much_waits(home: Path) -> None:
    error = RecorderFullError(home / "rollout-x.jsonl", 3, 4096)

    assert str(error) == (
        "rollout-x.jsonl: 3 calls and 4096 bytes wait to be written already; nothing of this one was recorded. "
        "Wait for flush() and record it again."
    )
    error.__cause__ = OSError(28, "No space left on device")
    assert "No space left on device; 3 calls" in str(error)


def test_a_recorder_that_is_to_raise_when_it_is_full_does(home: Path, held: Callable[[], threading.Event]) -> None:
    recorder = Recorder(home=home, queue_size=1, on_full="raise")
    recorder.flush()
    reached = held()
    recorder.user_message("being written")
    assert reached.wait(10)
    recorder.user_message("queued")

    with pytest.raises(RecorderFullError) as caught:
        recorder.user_message("refused")

    assert caught.value.queued == 1
    held.let_go()  # type: ignore[attr-defined]
    recorder.close()
    assert prompts(recorder.path) == ["being written", "queued"]


def test_what_a_disk_refused_is_tried_again_without_a_call_and_not_at_every_one(
    home: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_room, "RETRY_INTERVAL", 0.2)
    recorder = Recorder(home=home)
    recorder.flush()
    tries = []

    def refuse(data: bytes) -> None:
        tries.append(data)
        raise OSError(errno.ENOSPC, "full")

    disk.on_write = refuse
    for n in range(50):
        recorder.user_message(str(n))
        time.sleep(0.001)
    assert len(tries) < 10

    disk.on_write = lambda data: None
    deadline = time.monotonic() + 10
    while recorder.stats.pending or recorder.stats.queued:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert prompts(recorder.path) == [str(n) for n in range(50)]
    recorder.close()


def test_an_interrupt_while_the_thread_starts_leaves_no_writer_behind(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = threading.Thread.start

    def start(self: threading.Thread) -> None:
        real(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(KeyboardInterrupt):
        Recorder(home=home, session_id=ID)
    monkeypatch.undo()

    deadline = time.monotonic() + 10
    while list((home / "thread-writer-locks").glob("*-*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_items_that_come_one_after_another_are_written_together_and_a_flush_waits_for_no_more(
    recorder: Recorder, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_room, "LINGER", 30)
    recorder.flush()
    before = len(disk.calls)

    for n in range(20):
        recorder.user_message(str(n))
    assert len(disk.calls) == before
    start = time.monotonic()
    recorder.flush()

    assert time.monotonic() - start < 10
    assert prompts(recorder.path) == [str(n) for n in range(20)]


def test_the_writer_waits_for_no_more_when_half_the_queue_is_full(
    recorder: Recorder, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_room, "LINGER", 30)
    recorder.flush()
    written = threading.Event()
    disk.on_write = lambda data: written.set()

    for n in range(128):
        recorder.user_message(str(n))

    assert written.wait(10)


def test_more_than_one_write_takes_is_written_with_several_and_in_order(recorder: Recorder, disk: Disk) -> None:
    recorder.flush()
    disk.on_write = failing(1)
    for n in range(30):
        recorder.agent_message(f"{n}:" + "x" * 100_000)
    with pytest.raises(WriteError):
        recorder.flush()
    disk.calls.clear()

    recorder.flush()

    assert len([call for call in disk.calls if call[0] == "write"]) == 6
    said = [line.payload["message"] for line in load_history(recorder.path).lines if line.type == "event_msg"]
    assert [text.partition(":")[0] for text in said] == [str(n) for n in range(30)]


def test_the_queue_is_the_standard_librarys_also_where_another_took_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    class Green:
        __module__ = "gevent.queue"

    monkeypatch.setattr(queue_room.queue, "Queue", Green)

    assert queue_room._own_queue()().mutex
