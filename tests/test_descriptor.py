from __future__ import annotations

import os
from pathlib import Path

import pytest

from rollout import Recorder, WriteError, load_history
from rollout._descriptor import Descriptor
from rollout._file import AppendFile
from rollout._lock import SessionLock
from rollout._open_rollout import OpenRollout
from tests.rollouts import ID


def open_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def rollout_of(recorder: Recorder) -> OpenRollout:
    return recorder._writer._file._rollout


def close_behind_its_back(recorder: Recorder) -> None:
    for descriptor in (rollout_of(recorder)._file, rollout_of(recorder)._lock._descriptor):
        os.close(descriptor.fd)


def test_closes_what_is_its_own_once(tmp_path: Path) -> None:
    descriptor = Descriptor(open_file(tmp_path / "own"))
    assert descriptor.is_ours

    descriptor.close()
    descriptor.close()

    assert not descriptor.is_ours
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor.fd)


@pytest.mark.parametrize("same_file", [True, False])
def test_lets_a_stranger_with_its_number_alone(tmp_path: Path, same_file: bool) -> None:
    descriptor = Descriptor(open_file(tmp_path / "own"))
    os.close(descriptor.fd)
    assert not descriptor.is_ours
    stranger = open_file(tmp_path / ("own" if same_file else "other"))
    assert stranger == descriptor.fd
    other = Descriptor(stranger) if same_file else None

    descriptor.close()

    assert not descriptor.is_ours
    os.fstat(stranger)
    os.close(stranger)
    assert other is None or not other.is_ours


def test_a_recorder_opens_its_rollout_again_and_takes_its_lock_again(home: Path) -> None:
    recorder = Recorder(home=home)
    recorder.user_message("before")
    recorder.flush()
    close_behind_its_back(recorder)

    recorder.user_message("after")
    recorder.flush(fsync=True)

    assert rollout_of(recorder)._lock._descriptor.is_ours
    recorder.close()
    assert [turn.prompt for turn in load_history(recorder.path).turns] == ["before", "after"]
    assert list((home / "thread-writer-locks").glob("*-*")) == []


def test_a_rollout_that_is_another_or_gone_is_not_written_to_and_told(home: Path) -> None:
    recorder = Recorder(home=home)
    recorder.flush()
    place = recorder.path.with_suffix(".moved")

    recorder.path.rename(place)
    recorder.path.touch()
    close_behind_its_back(recorder)
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


def test_a_lock_whose_number_is_a_strangers_is_released_by_nobody(home: Path, tmp_path: Path) -> None:
    lock = SessionLock(home, ID)
    os.close(lock._descriptor.fd)
    stranger = open_file(tmp_path / "stranger")

    lock.release()
    lock.renew()
    lock.renew()
    lock.release()

    os.fstat(stranger)
    os.close(stranger)


def test_a_file_that_is_gone_counts_as_begun(home: Path) -> None:
    path = home / "gone"
    home.mkdir()
    file = AppendFile(path, open_file(path), SessionLock(home, ID))
    assert file.is_empty
    path.unlink()

    assert not file.is_empty
    file.close()


def test_a_file_that_cannot_be_looked_at_frees_the_session(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: AppendFile, *args: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(AppendFile, "__init__", fail)
    with pytest.raises(OSError, match="Input/output error"):
        Recorder(home=home, session_id=ID)
    monkeypatch.undo()

    Recorder(home=home / "again", session_id=ID).close()
    assert list((home / "thread-writer-locks").glob("*-*")) == []
