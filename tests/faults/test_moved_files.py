"""
Other programs rename, archive, link, truncate or write to the rollout while it is recorded.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rollout import Recorder, SessionBusyError, WriteError, load_history, read_lines
from rollout.home._locks import LOCKS_FOLDER
from rollout.recording import _open_rollout as open_rollout_module
from rollout.recording._open_rollout import OpenRollout
from tests.disks import Disk
from tests.faults.programs import Program, in_order
from tests.rollouts import ID


def say(recorder: Recorder, text: str) -> None:
    recorder.record({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def started(home: Path, disk: Disk) -> Recorder:
    """
    Create a recorder whose file is on `disk`, and record one message.
    """
    recorder = disk.Recorder(home=home)
    say(recorder, "one")
    recorder.flush()
    return recorder


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def rename(path: Path) -> Path:
    return path.rename(f"{path}.1")


def rename_and_create(path: Path) -> Path:
    moved = rename(path)
    path.touch()
    return moved


def archive(path: Path) -> Path:
    folder = path.parents[4] / "archived_sessions"
    folder.mkdir()
    return path.rename(folder / path.name)


def rename_home(path: Path) -> Path:
    home = path.parents[4]
    return home.rename(home.with_name("renamed")) / path.relative_to(home)


@pytest.mark.promise("moved")
@pytest.mark.parametrize("move", [rename, rename_and_create, archive, rename_home])
@pytest.mark.parametrize("call", ["flush", "sync", "close"])
def test_after_a_move_every_line_is_in_the_file_that_path_names(
    started: Recorder, move: Callable[[Path], Path], call: str
) -> None:
    place = started.path
    moved = move(place)

    say(started, "two")
    if call != "close":
        started.flush(fsync=call == "sync")
        assert started.path == moved
        say(started, "three")
    started.close()

    assert started.path == moved
    assert in_order(moved) == ["one", "two", *(["three"] if call != "close" else [])]
    assert not place.exists() or place.read_bytes() == b""
    home = moved.parents[1] if move is archive else moved.parents[4]
    assert [path.name for path in (home / LOCKS_FOLDER).iterdir()] == [".coordination.lock"]


def test_a_move_out_of_the_listed_folders_is_logged_as_a_warning_and_an_archive_is_not(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for move, warnings in ((archive, 0), (rename, 1)):
        caplog.clear()
        recorder = Recorder(home=home)
        recorder.flush()
        move(recorder.path)
        recorder.close()
        assert sum(record.levelno == logging.WARNING for record in caplog.records) == warnings
        shutil.rmtree(home)


@pytest.mark.promise("moved")
def test_an_archived_file_is_found_on_systems_without_proc(started: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path) -> Path:
        raise OSError(2, "no /proc here")

    monkeypatch.setattr(Path, "readlink", fail)
    moved = archive(started.path)
    started.close()

    assert started.path == moved


@pytest.mark.promise("moved")
def test_an_archived_file_is_found_after_its_descriptor_was_closed(started: Recorder) -> None:
    moved = archive(started.path)
    os.close(started._writer._file._rollout.fd)

    say(started, "two")
    started.close()

    assert started.path == moved
    assert in_order(moved) == ["one", "two"]


def link_and_remove(path: Path) -> None:
    path.with_suffix(".backup").hardlink_to(path)
    path.unlink()


def link_and_replace(path: Path) -> None:
    link_and_remove(path)
    shutil.copy(path.with_suffix(".backup"), path)


def replace(path: Path) -> None:
    copy = path.with_suffix(".copy")
    shutil.copy(path, copy)
    copy.replace(path)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.promise("moved")
@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (link_and_remove, "the rollout was removed; the lines are in the file with inode"),
        (
            link_and_replace,
            "another file has taken the place of the rollout; the lines are in the file with inode",
        ),
        (replace, "the rollout was deleted"),
        (remove, "the rollout was deleted"),
    ],
)
@pytest.mark.parametrize("waiting", [True, False])
def test_every_flush_and_close_raises_after_the_file_lost_its_name_and_the_lines_wait(
    started: Recorder, harm: Callable[[Path], None], message: str, waiting: bool
) -> None:
    harm(started.path)

    if waiting:
        say(started, "two")
    for call in (started.flush, started.flush, started.close):
        with pytest.raises(WriteError, match=message) as error:
            call()
        assert error.value.pending == waiting

    assert not started.path.exists() or in_order(started.path) == ["one"]
    if waiting:
        started._writer._file.drop()
        with pytest.raises(WriteError, match=message):
            started.close()


@pytest.mark.promise("moved")
def test_lines_waiting_for_a_lost_name_are_written_when_the_file_has_it_again(started: Recorder) -> None:
    link_and_replace(started.path)
    say(started, "two")
    with pytest.raises(WriteError):
        started.flush()

    started.path.with_suffix(".backup").replace(started.path)
    started.close()

    assert in_order(started.path) == ["one", "two"]


@pytest.mark.promise("moved")
def test_a_write_detects_a_lost_name_without_a_flush(started: Recorder) -> None:
    say(started, "two")
    started.flush()
    link_and_replace(started.path)
    backup = started.path.with_suffix(".backup")
    started._writer._file._rollout._next_check = 0.0

    say(started, "three")
    wait_until(lambda: started.stats.last_error is not None)

    assert "another file" in str(started.stats.last_error)
    assert in_order(backup) == ["one", "two"]
    backup.replace(started.path)
    started.close()


@pytest.mark.promise("moved")
def test_a_file_truncated_to_zero_begins_with_its_meta_again(
    started: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    copy = started.path.with_suffix(".1")
    shutil.copy(started.path, copy)
    os.truncate(started.path, 0)

    say(started, "two")
    started.flush()
    say(started, "three")
    started.close()

    history = load_history(started.path)
    assert [line.type for line in history.lines].count("session_meta") == 1
    assert history.meta.id == started.session_id
    assert in_order(started.path) == ["two", "three"]
    assert in_order(copy) == ["one"]
    assert "another program cut the rollout from" in caplog.text


@pytest.mark.promise("moved")
def test_a_resumed_file_truncated_to_zero_begins_with_its_meta_again(started: Recorder) -> None:
    started.close()
    with Recorder.resume(started.path) as recorder:
        os.truncate(recorder.path, 0)
        say(recorder, "two")

    assert load_history(recorder.path).meta.id == started.session_id
    assert in_order(recorder.path) == ["two"]


@pytest.mark.promise("moved")
@pytest.mark.parametrize("size", [-5, -1])
def test_a_line_truncated_by_another_program_is_not_joined_to_the_next(started: Recorder, size: int) -> None:
    os.truncate(started.path, started.path.stat().st_size + size)

    say(started, "two")
    started.close()

    lines = read_lines(started.path)
    assert [line.type for line in lines] == ["session_meta", *["response_item"] * (2 if size == -1 else 1)]
    assert len(lines.skipped) == (size != -1)
    assert in_order(started.path)[-1] == "two"


@pytest.mark.promise("moved")
def test_lines_truncated_before_the_end_of_a_flush_are_reported_once_as_lost(started: Recorder) -> None:
    size = started.path.stat().st_size
    say(started, "two")
    wait_until(lambda: started.stats.written_lines == 3)
    os.truncate(started.path, size)
    say(started, "three")

    with pytest.raises(WriteError, match="another program cut the rollout") as error:
        started.flush()
    started.flush()
    started.close()

    assert (error.value.pending, error.value.lost) == (0, 1)
    assert in_order(started.path) == ["one", "three"]


@pytest.mark.promise("moved")
def test_an_incomplete_line_of_another_program_is_not_joined_to_the_next(started: Recorder) -> None:
    with started.path.open("ab") as other:
        other.write(b'{"half')

    say(started, "two")
    started.close()

    history = load_history(started.path)
    assert in_order(started.path) == ["one", "two"]
    assert [skipped.size for skipped in history.skipped] == [6]


@pytest.mark.promise("moved")
def test_a_removed_folder_of_locks_is_created_again_and_the_session_stays_locked(
    started: Recorder, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(home / LOCKS_FOLDER)
    monkeypatch.setattr(open_rollout_module, "_CHECK_INTERVAL", 0.0)
    started._writer._file._rollout._next_check = 0.0

    say(started, "two")
    started.flush()

    with pytest.raises(SessionBusyError):
        Recorder.resume(started.path)
    started.close()
    Recorder.resume(started.path).close()


@pytest.mark.promise("moved")
def test_flush_raises_and_the_lines_wait_if_another_writer_has_taken_the_session(started: Recorder, home: Path) -> None:
    shutil.rmtree(home / LOCKS_FOLDER)
    other = Recorder.resume(started.path)
    started._writer._file._rollout._next_check = 0.0

    say(started, "two")
    with pytest.raises(WriteError) as error:
        started.flush()
    assert isinstance(error.value.__cause__, SessionBusyError)
    say(other, "other")
    other.close()
    started._writer._file._rollout._next_check = 0.0
    started.close()

    assert in_order(started.path) == ["one", "other", "two"]


def test_a_renamed_rollout_outside_any_home_is_followed(home: Path, tmp_path: Path) -> None:
    with Recorder(home=home, session_id=ID) as first:
        say(first, "one")
    alone = first.path.rename(tmp_path / "alone.jsonl")
    with Recorder.resume(alone, home=home) as recorder:
        moved = alone.rename(tmp_path / "moved.jsonl")
        say(recorder, "two")

    assert recorder.path == moved
    assert in_order(moved) == ["one", "two"]


@pytest.mark.promise("moved")
def test_a_child_and_its_parent_continue_in_a_moved_file(program: Program) -> None:
    path = program.run("""
rec = rollout.Recorder()
rec.record(message("parent"))
rec.flush()
moved = str(rec.path) + ".1"
if not (pid := os.fork()):
    os.rename(rec.path, moved)
    logging.disable()
    rec.record(message("child"))
    rec.close()
    assert str(rec.path) == moved
    os._exit(0)
wait(pid)
logging.disable()
rec.record(message("on"))
rec.close()
assert str(rec.path) == moved
os.rename(moved, moved[:-2])
print(moved[:-2])
""")

    assert in_order(path) == ["parent", "child", "on"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up its rights")
def test_a_child_without_privileges_continues_with_the_descriptor_of_its_parent(program: Program) -> None:
    path = program.run("""
rec = rollout.Recorder()
rec.record(message("parent"))
rec.flush()
if not (pid := os.fork()):
    os.setgid(65534)
    os.setuid(65534)
    rec.record(message("child"))
    rec.flush()
    os._exit(0)
wait(pid)
rec.close()
print(rec.path)
""")

    assert in_order(path) == ["parent", "child"]


@pytest.mark.promise("full")
def test_after_a_subprocess_with_a_preexec_function_a_full_disk_leaves_no_incomplete_line(
    program: Program,
) -> None:
    path = program.run("""
import subprocess
rec = rollout.Recorder()
rec.flush()
subprocess.run(["true"], preexec_fn=os.setsid, check=True)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
for n in range(40):
    rec.record(message(str(n)))
try:
    rec.flush()
except rollout.WriteError:
    pass
assert rec.path.read_bytes().endswith(b"\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
rec.close()
print(rec.path)
""")

    assert in_order(path) == [str(n) for n in range(40)]
    assert load_history(path).skipped == ()


@pytest.mark.promise("full")
def test_items_that_do_not_fit_into_memory_are_written_when_memory_is_free(program: Program) -> None:
    path = program.run("""
rec = rollout.Recorder()
rec.flush()
big = "x" * (10 << 20)
messages = [message(text) for text in ("0", big + "1", "2", big + "3", "4")]
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
_, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + (8 << 20), hard))  # the line of a big one needs 10 MiB
for item in messages:
    rec.record(item)
try:
    rec.flush()
    raise SystemExit("there is enough memory")
except rollout.WriteError as error:
    assert error.lost == 0 and "memory" in str(error), error
resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
rec.close()
print(rec.path)
""")

    assert [text[-1] for text in in_order(path)] == list("01234")


def test_without_file_locks_the_recorder_does_not_count_as_the_only_writer(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Recorder(home=home) as recorder:
        recorder.flush()
        file: OpenRollout = recorder._writer._file._rollout

        def fail(fd: int, how: int) -> None:
            raise OSError(38, "Function not implemented")

        monkeypatch.setattr(open_rollout_module.fcntl, "flock", fail)
        file._lock_shared()
        with file.alone() as is_alone:
            assert not is_alone
        monkeypatch.undo()


def test_a_file_that_replaced_the_rollout_while_it_was_reopened_is_not_written_to(
    started: Recorder, disk: Disk
) -> None:
    def replace_and_open(path: Path, flags: int) -> int:
        replace(path)
        return os.open(path, flags)

    disk.open = replace_and_open
    with pytest.raises(OSError, match="another file has taken the place"):
        started._writer._file._rollout.open_again(0)
    started._writer._file.drop()
    with pytest.raises(WriteError, match="was deleted"):
        started.close()


def test_a_rollout_moved_out_of_its_home_keeps_its_lock(home: Path, tmp_path: Path) -> None:
    with Recorder(home=home) as recorder:
        recorder.flush()
        (tmp_path / "elsewhere").mkdir()
        moved = recorder.path.rename(tmp_path / "elsewhere" / "x.jsonl")
        recorder.flush()
        with pytest.raises(SessionBusyError):
            Recorder.resume(moved, home=home)

    assert recorder.path == moved


def test_a_path_without_permission_counts_as_the_given_default(
    started: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptor = started._writer._file._rollout._file

    def fail(self: Path) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", fail)
        known = [descriptor.is_at(started.path), descriptor.is_at(started.path, unknown=True)]
    started.close()

    assert known == [False, True]


def test_flush_and_close_raise_after_a_rollout_outside_any_home_lost_its_name(home: Path, tmp_path: Path) -> None:
    with Recorder(home=home, session_id=ID) as first:
        say(first, "one")
    alone = first.path.rename(tmp_path / "alone.jsonl")
    recorder = Recorder.resume(alone, home=home)
    link_and_remove(alone)

    for call in (recorder.flush, recorder.close):
        with pytest.raises(WriteError, match="the rollout was removed"):
            call()


def test_a_child_that_cannot_open_the_file_uses_the_descriptor_of_its_parent(started: Recorder, disk: Disk) -> None:
    file = started._writer._file._rollout
    fd = file.fd

    def refuse(path: Path, flags: int) -> int:
        raise PermissionError(13, "Permission denied")

    file.inherit()
    disk.open = refuse
    size = file.status().st_size
    started.close()

    assert file.fd == fd
    assert size == started.path.stat().st_size


@pytest.mark.promise("moved")
def test_a_truncated_session_with_a_very_long_meta_has_no_joined_lines(home: Path) -> None:
    with Recorder(home=home, instructions="x" * 2**21) as first:
        say(first, "one")
    with Recorder.resume(first.path) as recorder:
        os.truncate(recorder.path, 0)
        say(recorder, "two")

    lines = read_lines(recorder.path)
    assert [line.payload["content"][0]["text"] for line in lines] == ["two"]
    assert list(lines.skipped) == []


@pytest.mark.promise("moved")
def test_a_truncated_session_with_its_meta_in_a_later_line_gets_no_second_meta(home: Path) -> None:
    recorder = Recorder(home=home)
    say(recorder, "one")
    recorder.close()
    recorder.path.write_bytes(b"\n{}\n" + recorder.path.read_bytes())
    with Recorder.resume(recorder.path) as resumed:
        os.truncate(resumed.path, resumed.path.stat().st_size - 5)
        say(resumed, "two")

    assert [line.type for line in load_history(recorder.path).lines].count("session_meta") == 1


@pytest.mark.promise("moved")
def test_the_lock_stays_in_a_home_with_a_linked_sessions_folder(home: Path, tmp_path: Path) -> None:
    (tmp_path / "big" / "sessions").mkdir(parents=True)
    home.mkdir()
    (home / "sessions").symlink_to(tmp_path / "big" / "sessions")
    with Recorder(home=home) as recorder:
        recorder.flush()
        moved = archive(recorder.path)
        recorder.flush()
        assert recorder.path == moved
        day = tmp_path / "big" / "sessions" / moved.name[8:12] / moved.name[13:15] / moved.name[16:18]
        moved.rename(day / moved.name)
        recorder._writer._file._rollout._next_check = 0.0
        recorder.flush()

        assert recorder.path.is_relative_to(home)
        with pytest.raises(SessionBusyError):
            Recorder.resume(recorder.path)


@pytest.mark.promise("moved")
def test_close_does_not_release_a_lock_that_another_writer_has_taken(started: Recorder, home: Path) -> None:
    shutil.rmtree(home / LOCKS_FOLDER)
    other = Recorder.resume(started.path)
    started.close()

    with pytest.raises(SessionBusyError):
        Recorder.resume(started.path)
    other.close()


def test_a_lock_of_another_program_on_the_rollout_does_not_block_a_resume(
    started: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_rollout_module, "_LOCK_TIMEOUT", 0.01)
    started.close()
    with started.path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with Recorder.resume(started.path) as recorder:
            say(recorder, "two")

    assert in_order(started.path) == ["one", "two"]
