"""
A process forks while it records. Each test is a program of its own, since a fork copies the whole test run.
"""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rollout import Recorder, SessionBusyError, load_history
from tests import rollouts

# Python 3.12 warns of a fork beside threads; that is what is tested.
RUN = [sys.executable, "-W", "ignore::DeprecationWarning", "-c"]

PROLOGUE = """
import os, sys, multiprocessing, rollout
def message(text):
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
def wait(pid):
    assert os.waitpid(pid, 0)[1] == 0
"""


def run(script: str, *args: str) -> str:
    done = subprocess.run([*RUN, PROLOGUE + script, *args], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def texts(path: str | Path) -> Counter[str]:
    history = load_history(path)
    assert history.skipped == ()
    assert [line.type for line in history.lines].count("session_meta") == 1
    assert history.lines[0].type == "session_meta"
    return Counter(line.payload["content"][0]["text"] for line in history.lines if line.type == "response_item")


@pytest.mark.parametrize(
    "ending", ["os._exit(0)", "sys.exit()", "rec.close(); os._exit(0)", "rec.flush(); os._exit(0)"]
)
def test_what_the_parent_has_queued_is_written_once_however_the_child_ends(home: Path, ending: str) -> None:
    path = run(
        f"""
rec = rollout.Recorder(queue_size=64)
for n in range(500):
    rec.record(message(str(n)))
pid = os.fork()
if not pid:
    {ending}
wait(pid)
rec.close()
print(rec.path)
"""
    )

    assert texts(path) == Counter(str(n) for n in range(500))


@pytest.mark.parametrize("resumed", [False, True], ids=["new", "resumed"])
def test_four_children_and_their_parent_write_every_line_whole_and_once(home: Path, resumed: bool) -> None:
    path = run(
        f"""
rec = rollout.Recorder()
if {resumed}:
    rec.close()
    rec = rollout.Recorder.resume(rec.path)
def child(name):
    for n in range(10_000):
        rec.record(message(f"{{name}}:{{n}}"))
context = multiprocessing.get_context("fork")
children = [context.Process(target=child, args=(name,)) for name in "abcd"]
for process in children:
    process.start()
child("parent")
for process in children:
    process.join()
    assert process.exitcode == 0
rec.close()
print(rec.path)
"""
    )

    assert texts(path) == Counter(f"{name}:{n}" for name in [*"abcd", "parent"] for n in range(10_000))


def test_a_child_that_records_waits_for_the_first_line_of_its_parent(home: Path, tmp_path: Path) -> None:
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "git").write_text("#!/bin/sh\nsleep 0.4\n")
    (fake / "git").chmod(0o755)
    (tmp_path / ".git").mkdir()

    path = run(
        f"""
os.environ["PATH"] = {str(fake)!r} + ":/usr/bin:/bin"
rec = rollout.Recorder(cwd={str(tmp_path)!r})
pid = os.fork()
if not pid:
    rec.record(message("child"))
    sys.exit()
wait(pid)
rec.close()
print(rec.path)
"""
    )

    assert texts(path) == Counter(["child"])


def test_a_fork_while_git_is_asked_does_not_make_git_wait_for_the_child(home: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)

    seconds = run(
        f"""
import threading, time
from rollout import _git
sys.setswitchinterval(1e-6)
asked = []
def ask():
    start = time.monotonic()
    for n in range(40):
        _git.collect_git_info({str(tmp_path)!r})
    asked.append(time.monotonic() - start)
thread = threading.Thread(target=ask)
thread.start()
while not asked:
    if not os.fork():
        time.sleep(3)
        os._exit(0)
    time.sleep(0.003)
print(asked[0])
"""
    )

    assert float(seconds) < 3


def test_the_session_stays_locked_when_a_child_closes_it(home: Path) -> None:
    path = run(
        """
rec = rollout.Recorder()
rec.record(message("parent"))
pid = os.fork()
if not pid:
    rec.record(message("child"))
    rec.close()
    os._exit(0)
wait(pid)
try:
    rollout.Recorder.resume(rec.path)
except rollout.SessionBusyError:
    print(rec.path)
"""
    )

    assert texts(path) == Counter(["parent", "child"])
    Recorder.resume(path).close()


def test_a_child_of_a_child_records_too(home: Path) -> None:
    path = run(
        """
rec = rollout.Recorder()
if not (pid := os.fork()):
    rec.record(message("child"))
    if not (pid := os.fork()):
        rec.record(message("grandchild"))
        sys.exit()
    wait(pid)
    sys.exit()
wait(pid)
rec.close()
print(rec.path)
"""
    )

    assert texts(path) == Counter(["child", "grandchild"])


def test_a_child_cannot_number_the_lines_of_a_paginated_session(home: Path) -> None:
    path = rollouts.put(home, rollouts.encode(rollouts.paginated_session("one"), first_ordinal=0))

    told = run(
        f"""
rec = rollout.Recorder.resume({str(path)!r})
if not (pid := os.fork()):
    try:
        rec.record(message("child"))
    except rollout.UnsupportedSessionError as error:
        print("child" in str(error), flush=True)
    os._exit(0)
wait(pid)
rec.close()
"""
    )

    assert told == "True"


def test_half_a_line_beside_other_writers_is_closed_off_and_written_again(home: Path) -> None:
    path = run(
        """
import rollout._file as room
class Disk:
    is_full = False
    def __getattr__(self, name):
        return getattr(os, name)
    def write(self, fd, data):
        if self.is_full:
            room.os = os
            raise OSError(28, "No space left on device")
        self.is_full = True
        return os.write(fd, data[:20])
rec = rollout.Recorder()
rec.flush()
if not (pid := os.fork()):
    os._exit(0)
wait(pid)
room.os = Disk()
rec.record(message("whole"))
try:
    rec.flush()
except rollout.WriteError as error:
    assert error.pending == 1
rec.close()
print(rec.path)
"""
    )

    history = load_history(path)
    assert [line.payload["content"][0]["text"] for line in history.lines[1:]] == ["whole"]
    assert [skipped.size for skipped in history.skipped] == [20]


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_recorder_is_not_pickled_or_copied_but_says_what_to_do(recorder: Recorder, take: Any) -> None:
    with pytest.raises(TypeError, match="a session of its own"):
        take(recorder)


def test_a_spawned_process_cannot_take_the_session_of_its_parent(recorder: Recorder) -> None:
    with pytest.raises(SessionBusyError):
        Recorder.resume(recorder.path)
