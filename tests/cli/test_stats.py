from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from rollout.search import update_index
from rollout.store import archive
from tests.cli.conftest import Run
from tests.rollouts import ID, encode, put, seed_session, token_count

OTHER = "01a1fbb5-7abd-7c53-8766-f128212a613c"


@pytest.fixture
def path(home: Path) -> Path:
    counted = token_count({"input_tokens": 1234, "total_tokens": 1234})
    call = {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "c"}
    output = {"type": "function_call_output", "call_id": "c", "output": '{"output":"","metadata":{"exit_code":1}}'}
    lines = [*seed_session("one", "two"), counted, ("response_item", call), ("response_item", output)]
    raw = encode(lines).replace(b"01:25:37.122Z", b"02:26:38.122Z").replace(b"02:26:38.122Z", b"01:25:37.122Z", 1)
    return put(home, raw)


@pytest.mark.parametrize("is_indexed", [False, True])
def test_stats_counts_sessions(home: Path, path: Path, run: Run, is_indexed: bool) -> None:
    put(home, seed_session("three", session_id=OTHER), session_id=OTHER, timestamp="2026-11-21T02-00-00")
    if is_indexed:
        update_index(home=home)

    one, both = (run("stats", *args, "--json").json["stats"] for args in ([ID], []))

    assert (one["turns"], one["tokens"]["total_tokens"], one["duration"]) == (2, 1234, 3661.0)
    assert one["tools"] == {"shell": {"calls": 1, "failures": 1, "duration": 0.0}}
    assert (both["sessions"], both["turns"]) == (2, 3)
    assert run("stats", "--model", "other").status == 1
    assert run("stats", "--archived", "--json").json["stats"]["sessions"] == 0


def test_stats_at_a_terminal_prints_a_table(path: Path, run: Run) -> None:
    lines = run("stats", ID, screen=True).text.splitlines()

    rows = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in lines if line}
    assert (rows["turns"], rows["duration"], rows["tokens"]) == ("2", "1 h 1 min", "1,234")
    assert lines[-2].split() == ["tool", "calls", "failed", "time"]
    assert lines[-1].split() == ["shell", "1", "1", "0", "ms"]


def test_stats_prints_durations_in_suitable_units(home: Path, run: Run) -> None:
    raw = encode(seed_session("one")).replace(b"01:25:37.122Z", b"01:27:40.122Z")
    put(home, raw.replace(b"01:27:40.122Z", b"01:25:37.122Z", 1))

    assert ["duration", "2 min 3 s"] in run("stats").rows


def test_stats_accepts_either_sessions_or_filters(path: Path, run: Run) -> None:
    assert run("stats", ID, "--since", "1d").status == 2
    assert "matches" in run("stats", "--branch", "none", screen=True).err


def test_stats_reports_unreadable_sessions_and_does_not_count_them(
    home: Path, path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(home, b"", session_id=OTHER, suffix=".zst")

    def refuse(session: Path) -> object:
        raise PermissionError(13, "Permission denied", str(session))

    monkeypatch.setattr("rollout.cli._stats.session_stats", refuse)

    done = run("stats")

    assert done.status == 1
    assert "Permission denied" in done.err
    assert "not counted" in done.err


def test_storage_counts_bytes(home: Path, path: Path, run: Run) -> None:
    os.utime(path, (time.time() - 8 * 86_400,) * 2)
    archive(put(home, seed_session("x", session_id=OTHER), session_id=OTHER))

    whole = run("storage", "--json").json["storage"]
    one = run("storage", ID, "--json").json["storage"]

    assert (whole["sessions"], one["sessions"]) == (2, 1)
    assert one["size"] == one["compressible"] == path.stat().st_size
    assert whole["largest"][0] == {"path": str(path), "size": path.stat().st_size}
    assert run("storage", "-n", "0", "--json").json["storage"]["largest"] == []
    assert ["sessions", "2"] in run("storage").rows


def test_storage_at_a_terminal_lists_the_largest_sessions_by_id(
    home: Path, path: Path, run: Run, tmp_path: Path
) -> None:
    text = run("storage", screen=True).text
    copy = tmp_path / "notes.jsonl"
    copy.write_bytes(path.read_bytes())

    assert f"{ID}  2026-11-21T01-25-37" in text
    assert "response_item/message" in text
    assert "notes.jsonl" in run("storage", copy).out
    assert "largest" not in run("storage", "-n", "0", screen=True).text


def test_storage_of_an_empty_home_is_empty_and_unreadable_sessions_are_reported(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("storage").status == 1
    put(home, b"", suffix=".zst")
    for module in ("backports", "compression"):
        monkeypatch.setitem(sys.modules, module, None)

    done = run("storage", "--json")

    assert "pip install 'rollout-recorder[zstd]'" in done.err
    assert len(done.json["storage"]["problems"]) == 1
