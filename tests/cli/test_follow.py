from __future__ import annotations

import subprocess
from pathlib import Path

from rollout import Recorder
from rollout.codec import decode_json
from tests.cli.conftest import Run, Running
from tests.rollouts import ID, encode, put, seed_session


def test_what_is_there_and_what_comes_is_shown_once(home: Path, recorder: Recorder) -> None:
    recorder.user_message("before")
    recorder.flush()
    following = Running("follow", "@last", "--from-start")
    assert following.process.stdout is not None

    lines = iter(following.process.stdout)
    assert next(line for line in lines if line == "before\n")
    recorder.user_message("after")
    assert next(line for line in lines if line == "after\n")

    done = following.interrupt()
    assert (done.status, done.err) == (130, "rollout: interrupted\n")


def test_following_ends_when_nothing_comes(home: Path, run: Run) -> None:
    path = put(home, seed_session("one"))

    done = run("follow", path, "--from-start", "--timeout", "0", "--jsonl", screen=True)

    assert decode_json(done.out.splitlines()[0])["type"] == "session_meta"
    assert f"following {path}" in done.err
    assert run("follow", path, "--timeout", "0").status == 1
    assert "answer to one" in run("follow", path, "--from-start", "--timeout", "0", "--full").out


def test_lines_that_cannot_be_read_are_counted_and_a_compressed_one_is_refused(home: Path, run: Run) -> None:
    put(home, encode(seed_session("one")) + b"garbage\n")
    compressed = put(home, b"", suffix=".zst")

    assert "1 lines could not be read: not JSON" in run("follow", ID, "--from-start", "--timeout", "0").err
    assert "nobody writes to it" in run("follow", compressed).err


def test_who_stops_reading_ends_it_quietly(home: Path, tmp_path: Path) -> None:
    put(home, seed_session(*map(str, range(500))))

    done = subprocess.run(
        ["sh", "-c", f"{' '.join(Running.command)} follow @last --from-start --jsonl --timeout 1 | head -1"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
