from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rollout import Recorder, SessionBusyError, SessionStateError, load_history, read_lines
from rollout.store import _compression, archive, compress, decompress
from tests.rollouts import ID, encode, put, seed_session
from tests.store.deaths import deaths

OLD = time.time() - 8 * 86_400


@pytest.fixture
def path(home: Path) -> Path:
    path = put(home, encode(seed_session("one", "two")) * 20)
    os.utime(path, (OLD, OLD))
    path.chmod(0o640)
    return path


def test_a_compressed_and_decompressed_session_has_the_same_bytes(path: Path) -> None:
    content = path.read_bytes()

    compressed = compress(ID)

    assert compressed == path.with_name(path.name + ".zst")
    assert not path.exists()
    assert compressed.stat().st_size < len(content) / 4
    assert b"".join(line.raw + b"\n" for line in read_lines(compressed)) == content
    assert compress(ID) == compressed

    assert decompress(ID) == path
    assert path.read_bytes() == content
    assert not compressed.exists()
    assert decompress(path) == path


def test_permissions_and_modification_time_are_kept(path: Path) -> None:
    before = path.stat()

    both = [compress(ID).stat(), decompress(ID).stat()]

    assert {(status.st_mode, status.st_mtime_ns) for status in both} == {(before.st_mode, before.st_mtime_ns)}


def test_an_archived_session_is_compressed_in_the_archive(home: Path, path: Path) -> None:
    archive(ID)

    assert compress(ID).parent == home / "archived_sessions"


def test_a_recently_changed_session_is_not_compressed(path: Path) -> None:
    os.utime(path)

    with pytest.raises(SessionStateError, match="changed less than 604800 seconds ago"):
        compress(ID)
    assert path.exists()

    assert compress(ID, min_age=0).exists()


def test_an_empty_file_is_not_compressed(path: Path) -> None:
    path.write_bytes(b"")

    with pytest.raises(SessionStateError, match="is empty"):
        compress(ID, min_age=0)

    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_live_session_is_not_compressed(recorder: Recorder) -> None:
    with pytest.raises(SessionBusyError):
        compress(recorder.session_id, min_age=0)


def test_nothing_is_compressed_while_codex_compresses(home: Path, path: Path) -> None:
    with _compression._maintenance(home), pytest.raises(SessionBusyError, match="rollout-maintenance"):
        compress(ID)

    assert path.exists()


def test_a_line_written_during_compression_is_not_lost(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As Codex before 0.147 may: it takes no lock.
    checksum = _compression._checksum

    def written_to_meanwhile(*args: object) -> bytes:
        with path.open("ab") as file:
            file.write(b"{}\n")
        return checksum(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(_compression, "_checksum", written_to_meanwhile)

    with pytest.raises(SessionStateError, match="was left unchanged"):
        compress(ID)

    assert path.read_bytes().endswith(b"{}\n{}\n")
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_damaged_compressed_file_is_kept_and_the_error_has_advice(path: Path) -> None:
    compressed = compress(ID)
    damaged = compressed.read_bytes()[:-20]
    compressed.write_bytes(damaged)

    with pytest.raises(SessionStateError, match="`rollout repair` recovers the readable lines"):
        decompress(ID)

    assert compressed.read_bytes() == damaged
    assert not path.exists()


@pytest.mark.parametrize("change", [lambda: compress(ID), lambda: decompress(ID)])
def test_a_kill_at_any_moment_loses_nothing_and_the_next_call_completes_the_change(
    path: Path, change: Callable[[], Path]
) -> None:
    expected = [line.raw for line in load_history(ID).lines]
    count = 0
    (compress if change() == path else decompress)(ID)

    for _ in deaths(change):
        count += 1
        assert [line.raw for line in load_history(ID).lines] == expected
        changed = change()
        assert [file for file in path.parent.iterdir() if not file.name.endswith(".tmp")] == [changed]
        (compress if changed == path else decompress)(ID)

    assert count >= 4


def test_a_compressed_file_that_differs_from_the_plain_one_is_kept(path: Path) -> None:
    twin = path.with_name(path.name + ".zst")
    twin.write_bytes(b"garbage")

    assert decompress(ID) == path

    assert twin.read_bytes() == b"garbage"
