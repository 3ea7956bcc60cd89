from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rollout import Recorder, load_history
from rollout.cli import _app
from rollout.codec import decode_json, encode_json
from rollout.store import archive, delete, rename_session
from tests.cli.conftest import COMMAND, Run, Running
from tests.rollouts import ID, put, seed_session

OTHER = "02b1fbb5-7abd-7c53-8766-f128212a613c"
HELLO = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}


def test_items_from_stdin_become_a_session(run: Run, tmp_path: Path) -> None:
    event = {"type": "event_msg", "payload": {"type": "user_message", "message": "Hello"}}
    stdin = f"{encode_json(HELLO)}\n\n{encode_json(event)}\n"

    done = run("record", "--source", "exec", "--originator", "mine", "--cwd", tmp_path, "--fsync", stdin=stdin)

    first, last = map(decode_json, done.out.splitlines())
    history = load_history(first["session_id"])
    assert (done.status, last) == (0, {"schema_version": 2, "recorded": 2, "refused": 0})
    assert (str(history.path), history.meta.originator, history.meta.cwd) == (first["path"], "mine", str(tmp_path))
    assert [line.payload for line in history.lines[1:]] == [HELLO, event["payload"]]


def test_record_resumes_a_session(home: Path, run: Run) -> None:
    path = put(home, seed_session("one"))
    rename_session(ID, "bug")

    done = run("record", "--resume", "bug", "--all", stdin=encode_json({"type": "novel"}))

    assert done.status == 0
    assert load_history(path).lines[-1].payload == {"type": "novel"}


def test_lines_that_are_not_items_are_reported_and_left_out(run: Run) -> None:
    stdin = b"\n".join([b"garbage", b"[1]", b'"\xff"', b"[" * 5000, encode_json(HELLO).encode(), b"{}", b'{"type":3}'])

    done = run("record", stdin=stdin)

    counts = decode_json(done.out.splitlines()[1])
    assert (done.status, counts["refused"] >= 4, counts["recorded"] >= 1) == (4, True, True)
    assert "line 2: not an object but list; not recorded" in done.err
    assert "line 1: " in done.err


def test_messages_of_sdks_are_recorded_and_what_codex_does_not_read_is_kept_with_a_warning(
    home: Path, run: Run
) -> None:
    thinking = {"type": "thinking", "thinking": "hm"}
    items = [{"role": "user", "content": "hi"}, thinking, {"type": "event_msg"}]

    done = run("record", "--home", str(home), stdin="\n".join(map(encode_json, items)).encode())

    recorded = load_history(decode_json(done.out.splitlines()[0])["path"]).lines[1:]
    assert [line.payload for line in recorded] == [
        {"role": "user", "content": [{"type": "input_text", "text": "hi"}], "type": "message"},
        thinking,
    ]
    assert "line 2: type: 'thinking' is a part of a message" in done.err
    assert "recorded as it is, which Codex does not read" in done.err
    assert "line 3: payload: an item of type 'event_msg' needs a payload; not recorded" in done.err
    assert done.status == 4


def test_an_item_is_written_when_no_further_line_is_waiting(home: Path) -> None:
    recording = Running("record")
    assert recording.process.stdin is not None
    assert recording.process.stdout is not None
    path = Path(decode_json(recording.process.stdout.readline())["path"])
    recording.process.stdin.write(f"{encode_json(HELLO)}\n")
    recording.process.stdin.flush()
    following = Running("follow", path, "--from-start")
    assert following.process.stdout is not None

    assert "Hello\n" in iter(following.process.stdout.readline, "never")
    following.interrupt()
    done = recording.interrupt()

    assert done.status == 130
    assert len(load_history(path).lines) == 2


def test_record_continues_if_nothing_reads_stdout(home: Path) -> None:
    command = f"(sleep 0.3; echo '{encode_json(HELLO)}') | {' '.join(COMMAND)} record | true"

    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)

    assert done.stderr == ""
    (path,) = home.rglob("rollout-*.jsonl")
    assert len(load_history(path).lines) == 2


def test_record_does_not_resume_a_live_session(recorder: Recorder, run: Run) -> None:
    recorder.user_message("mine")
    recorder.flush()

    assert run("record", "--resume", recorder.session_id).status == 3


def test_record_at_a_terminal_explains_how_to_finish(run: Run) -> None:
    assert "press Ctrl-D to finish" in run("record", screen=True).err


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete -o"), ("zsh", "#compdef rollout"), ("fish", "complete")]
)
def test_completion_prints_the_script_of_each_shell(run: Run, shell: str, word: str) -> None:
    assert word in run("completion", shell).out


@pytest.fixture
def bash_completion(home: Path, tmp_path: Path) -> object:
    """
    Return a function that completes a command line in a real bash.
    """
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    script = tmp_path / "bin" / "rollout"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rollout.cli "$@"\n')
    script.chmod(0o700)

    def complete(line: str) -> list[str]:
        words = line.split(" ")
        typed = " ".join(f"'{word}'" for word in words)
        bash = f"""
            source <(rollout completion bash) || exit 1
            COMP_WORDS=({typed}) COMP_CWORD={len(words) - 1}
            _rollout_completion rollout
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        env = {**os.environ, "PATH": f"{script.parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", bash], env=env, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    return complete


def test_bash_completes_ids_names_and_commands(home: Path, bash_completion: object) -> None:
    complete: object = bash_completion
    assert callable(complete)
    put(home, seed_session("one"))
    put(home, seed_session("two", session_id=OTHER), session_id=OTHER)
    rename_session(ID, "parser-bug")

    assert complete("rollout ver") == ["verify"]
    assert complete("rollout show 02") == [OTHER]
    assert complete("rollout show ") == ["@last", "parser-bug", OTHER, ID]
    assert complete("rollout show pars") == ["parser-bug"]
    archive(OTHER)
    delete(ID)
    assert complete("rollout unarchive ") == [OTHER]
    assert complete("rollout restore 01a1") == [ID]


def test_a_name_with_shell_syntax_is_not_completed(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(home, seed_session("one"))
    for name in ("x;touch pwned", "$(touch pwned)", "a b", "-rf", "*", "~root", "`id`"):
        rename_session(ID, name)
        put(home, seed_session("one"))
        assert name not in _complete(["show", ""], monkeypatch, capsys)
    rename_session(ID, "plain")
    assert "plain,plain" in _complete(["show", "pl"], monkeypatch, capsys)
    (home / "session_index.jsonl").unlink()
    (home / "session_index.jsonl").mkdir()
    assert f"plain,{ID}" in _complete(["show", "--home", str(home), ""], monkeypatch, capsys)


def _complete(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    with monkeypatch.context() as patch:
        patch.setenv("_ROLLOUT_COMPLETE", "bash_complete")
        patch.setenv("COMP_WORDS", " ".join(["rollout", *words]))
        patch.setenv("COMP_CWORD", str(len(words)))
        capsys.readouterr()
        with pytest.raises(SystemExit):
            _app.run([])
        return capsys.readouterr().out.splitlines()
