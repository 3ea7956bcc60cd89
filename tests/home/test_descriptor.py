from __future__ import annotations

import os
from pathlib import Path

import pytest

from rollout import Recorder, WriteError, load_history
from rollout.home._descriptor import Descriptor
from rollout.home._locks import SessionLock
from rollout.recording._append_file import AppendFile
from rollout.recording._open_rollout import OpenRollout
from tests.disks import Disk
from tests.rollouts import ID


def open_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def rollout_of(recorder: Recorder) -> OpenRollout:
    return recorder._writer._file._rollout


def close_descriptors_of(recorder: Recorder) -> None:
    for descriptor in (rollout_of(recorder)._file, rollout_of(recorder)._lock._descriptor):
        os.close(descriptor.fd)


def test_close_closes_the_file_once(tmp_path: Path) -> None:
    descriptor = Descriptor(open_file(tmp_path / "own"))
    assert descriptor.is_ours

    descriptor.close()
    descriptor.close()

    assert not descriptor.is_ours
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor.fd)


@pytest.mark.parametrize("same_file", [True, False])
def test_close_closes_no_other_file_with_the_same_number(tmp_path: Path, same_file: bool) -> None:
    descriptor = Descriptor(open_file(tmp_path / "own"))
    os.close(descriptor.fd)
    assert not descriptor.is_ours
    other_fd = open_file(tmp_path / ("own" if same_file else "other"))
    assert other_fd == descriptor.fd
    other = Descriptor(other_fd) if same_file else None

    descriptor.close()

    assert not descriptor.is_ours
    os.fstat(other_fd)
    os.close(other_fd)
    assert other is None or not other.is_ours


def test_a_recorder_reopens_its_rollout_and_takes_its_lock_again(home: Path) -> None:
    recorder = Recorder(home=home)
    recorder.user_message("before")
    recorder.flush()
    close_descriptors_of(recorder)

    recorder.user_message("after")
    recorder.flush(fsync=True)

    assert rollout_of(recorder)._lock._descriptor.is_ours
    recorder.close()
    assert [turn.prompt for turn in load_history(recorder.path).turns] == ["before", "after"]
    assert list((home / "thread-writer-locks").glob("*-*")) == []


def test_a_replaced_or_deleted_rollout_is_an_error_and_is_not_written_to(home: Path) -> None:
    recorder = Recorder(home=home)
    recorder.flush()
    place = recorder.path.with_suffix(".moved")

    recorder.path.rename(place)
    recorder.path.touch()
    close_descriptors_of(recorder)
    recorder.user_message("x")
    with pytest.raises(WriteError, match="another file has taken the place"):
        recorder.flush()
    with pytest.raises(WriteError, match="another file has taken the place"):
        recorder.flush(fsync=True)
    assert recorder.path.stat().st_size == 0

    place.replace(recorder.path)
    recorder.flush()
    content = recorder.path.read_bytes()
    recorder.path.unlink()
    recorder.user_message("y")
    with pytest.raises(WriteError, match="the rollout was deleted"):
        recorder.flush()

    recorder._writer._file.drop()
    with pytest.raises(WriteError, match="the rollout was deleted"):
        recorder.close()
    assert content.count(b"\n") == 3


def test_a_lock_does_not_close_another_file_that_has_its_descriptor_number(home: Path, tmp_path: Path) -> None:
    lock = SessionLock(home, ID)
    os.close(lock._descriptor.fd)
    other_fd = open_file(tmp_path / "other_fd")

    lock.release()
    lock.renew()
    lock.renew()
    lock.release()

    os.fstat(other_fd)
    os.close(other_fd)


def test_a_removed_file_does_not_count_as_empty(home: Path) -> None:
    path = home / "gone"
    home.mkdir()
    file = AppendFile(path, open_file(path), SessionLock(home, ID))
    assert file.is_empty
    path.unlink()

    assert not file.is_empty
    file.close()


def test_a_file_that_cannot_be_opened_releases_the_session(home: Path) -> None:
    def fail(fd: int) -> os.stat_result:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        Disk(fstat=fail).Recorder(home=home, session_id=ID)

    Recorder(home=home / "again", session_id=ID).close()
    assert list((home / "thread-writer-locks").glob("*-*")) == []
