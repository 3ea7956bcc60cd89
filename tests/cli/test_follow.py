from __future__ import annotations

import subprocess
from pathlib import Path

from rollout import Recorder
from rollout.codec import decode_json
from tests.cli.conftest import Run, Running
from tests.rollouts import ID, encode, put, seed_session


def test_follow_shows_existing_and_new_lines_once(home: Path, recorder: Recorder) -> None:
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


def test_follow_ends_after_the_timeout(home: Path, run: Run) -> None:
    path = put(home, seed_session("one"))

    done = run("follow", path, "--from-start", "--timeout", "0", "--jsonl", screen=True)

    assert decode_json(done.out.splitlines()[0])["type"] == "session_meta"
    assert f"following {path}" in done.err
    assert run("follow", path, "--timeout", "0").status == 1
    assert "answer to one" in run("follow", path, "--from-start", "--timeout", "0", "--full").out


def test_follow_counts_unreadable_lines_and_refuses_a_compressed_session(home: Path, run: Run) -> None:
    put(home, encode(seed_session("one")) + b"garbage\n")
    compressed = put(home, b"", suffix=".zst")

    assert "1 line could not be read: not JSON" in run("follow", ID, "--from-start", "--timeout", "0").err
    assert "no program writes to it" in run("follow", compressed).err


def test_follow_ends_without_an_error_when_its_reader_ends(home: Path, tmp_path: Path) -> None:
    put(home, seed_session(*map(str, range(500))))

    done = subprocess.run(
        ["sh", "-c", f"{' '.join(Running.command)} follow @last --from-start --jsonl --timeout 1 | head -1"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
