"""
Syncs of the file and its folders to the disk, and what follows a sync that failed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout import Recorder, WriteError
from tests.disks import WatchedDisk
from tests.rollouts import prompts_of


def test_flush_with_fsync_syncs_the_file_and_every_folder_that_names_it(
    recorder: Recorder, disk: WatchedDisk, home: Path
) -> None:
    recorder.user_message("x")
    recorder.flush(fsync=True)

    synced = [path for _, path in disk.calls_of("fsync")]
    assert synced[0] == recorder.path
    assert set(synced[1:]) >= {recorder.path.parent, home / "sessions", home, home.parent}
    assert disk.calls.index(("fsync", recorder.path)) > 0


def test_flush_without_fsync_syncs_nothing(recorder: Recorder, disk: WatchedDisk) -> None:
    recorder.user_message("x")
    recorder.flush()

    assert disk.calls_of("fsync") == []


def test_a_recorder_with_fsync_syncs_every_batch_before_flush_returns(home: Path, disk: WatchedDisk) -> None:
    with disk.Recorder(home=home, fsync=True) as recorder:
        recorder.user_message("syncs the folders, too")
        recorder.flush()
        recorder.user_message("x")
        recorder.flush()

        assert disk.calls[-1] == ("fsync", recorder.path)


@pytest.mark.promise("power")
def test_after_a_failed_sync_all_bytes_since_the_last_sync_are_written_again_before_the_next_sync(
    recorder: Recorder, disk: WatchedDisk
) -> None:
    recorder.user_message("synced")
    recorder.flush(fsync=True)
    synced_size = recorder.path.stat().st_size
    recorder.user_message("dropped by the system")
    disk.fail_next_sync()

    with pytest.raises(WriteError, match="I/O error"):
        recorder.flush(fsync=True)
    recorder.flush(fsync=True)

    size = recorder.path.stat().st_size
    again = disk.calls.index(("pwrite", synced_size, size - synced_size))
    assert next(call[0] for call in disk.calls[again + 1 :]) == "fsync"
    assert prompts_of(recorder.path) == ["synced", "dropped by the system"]


@pytest.mark.promise("power")
def test_every_sync_reports_bytes_that_the_file_system_dropped_until_they_are_back(
    recorder: Recorder, disk: WatchedDisk
) -> None:
    recorder.flush(fsync=True)
    recorder.user_message("x" * 5000)
    disk.fail_next_sync()
    with pytest.raises(WriteError, match="I/O error"):
        recorder.flush(fsync=True)
    content = recorder.path.read_bytes()

    recorder.path.write_bytes(content[:-4000] + b"\0" * 4000)
    for _ in range(2):
        with pytest.raises(WriteError, match="the file system dropped bytes that were written"):
            recorder.flush(fsync=True)

    recorder.path.write_bytes(content)
    recorder.flush(fsync=True)


def test_after_a_failed_sync_a_renamed_file_is_synced_and_a_new_file_at_its_old_path_is_unchanged(
    recorder: Recorder, disk: WatchedDisk
) -> None:
    recorder.flush(fsync=True)
    recorder.user_message("x")
    disk.fail_next_sync()
    with pytest.raises(WriteError, match="I/O error"):
        recorder.flush(fsync=True)
    old = recorder.path
    renamed = old.rename(old.with_suffix(".moved"))
    old.write_bytes(b"another")

    recorder.flush(fsync=True)

    assert recorder.path == renamed
    assert prompts_of(renamed) == ["x"]
    assert old.read_bytes() == b"another"
