"""
A process forks while it records. Each test is a program of its own, since a fork copies the whole test run.
"""

from __future__ import annotations

import copy
import pickle
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rollout import Recorder, SessionBusyError, load_history
from tests import rollouts
from tests.faults.programs import Program, texts


@pytest.mark.promise("fork")
@pytest.mark.parametrize(
    "ending", ["os._exit(0)", "sys.exit()", "rec.close(); os._exit(0)", "rec.flush(); os._exit(0)"]
)
def test_what_the_parent_has_queued_is_written_once_however_the_child_ends(program: Program, ending: str) -> None:
    path = program.run(
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


@pytest.mark.promise("fork", naive="fails")
@pytest.mark.parametrize("resumed", [False, True], ids=["new", "resumed"])
def test_four_children_and_their_parent_write_every_line_whole_and_once(
    program: Program, resumed: bool, figure: Callable[[str], None]
) -> None:
    path = program.run(
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

    found = texts(path)
    assert found == Counter(f"{name}:{n}" for name in [*"abcd", "parent"] for n in range(10_000))
    figure(f"5 processes x 10,000 lines: {found.total():,} whole, none lost, none twice")


def test_a_child_that_records_waits_for_the_first_line_of_its_parent(program: Program, tmp_path: Path) -> None:
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "git").write_text("#!/bin/sh\nsleep 0.4\n")
    (fake / "git").chmod(0o755)
    (tmp_path / ".git").mkdir()

    path = program.run(
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


def test_a_fork_while_git_is_asked_does_not_make_git_wait_for_the_child(program: Program, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)

    seconds = program.run(
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


def test_the_session_stays_locked_when_a_child_closes_it(program: Program) -> None:
    path = program.run(
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


def test_a_child_of_a_child_records_too(program: Program) -> None:
    path = program.run(
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


def test_a_child_cannot_number_the_lines_of_a_paginated_session(program: Program, home: Path) -> None:
    path = rollouts.put(home, rollouts.encode(rollouts.paginated_session("one"), first_ordinal=0))

    told = program.run(
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


def test_half_a_line_beside_other_writers_is_closed_off_and_written_again(program: Program) -> None:
    path = program.run(
        """
full = []
def write(fd, data):
    if full:
        disk_room.os = os
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    full.append(True)
    return os.write(fd, data[:20])
rec = rollout.Recorder()
rec.flush()
recorded, may_end = os.pipe(), os.pipe()
if not (pid := os.fork()):
    rec.record(message("child"))
    rec.flush()
    os.write(recorded[1], b"x")
    os.read(may_end[0], 1)
    os._exit(0)
os.read(recorded[0], 1)
disk_room.os = Disk(write=write)
rec.record(message("whole"))
try:
    rec.flush()
except rollout.WriteError as error:
    assert error.pending == 1
os.write(may_end[1], b"x")
wait(pid)
rec.close()
print(rec.path)
"""
    )

    history = load_history(path)
    assert [line.payload["content"][0]["text"] for line in history.lines[1:]] == ["child", "whole"]
    assert [skipped.size for skipped in history.skipped] == [20]


def test_the_warning_of_python_3_12_that_a_fork_beside_threads_may_deadlock_changes_nothing(program: Program) -> None:
    done = program.end(
        """
import warnings
warnings.simplefilter("always")
rec = rollout.Recorder()
for n in range(500):
    rec.record(message(str(n)))
if not (pid := os.fork()):
    rec.record(message("child"))
    sys.exit()
wait(pid)
rec.close()
print(rec.path)
"""
    )

    assert [line for line in done.stderr.splitlines() if "fork" not in line] == []
    assert texts(done.stdout.strip()).total() == 501


@pytest.mark.promise("fork")
@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_recorder_is_not_pickled_or_copied_but_says_what_to_do(recorder: Recorder, take: Any) -> None:
    with pytest.raises(TypeError, match="a session of its own"):
        take(recorder)


def test_a_recorder_that_is_sent_to_a_spawned_process_is_refused_by_name(program: Program) -> None:
    done = program.end(
        """
rec = rollout.Recorder()
try:
    multiprocessing.get_context("spawn").Process(target=print, args=(rec,)).start()
except TypeError as error:
    print(error)
"""
    )

    assert "cannot be pickled; let the other process record into a session of its own" in done.stdout


@pytest.mark.promise("fork")
def test_a_spawned_process_cannot_take_the_session_of_its_parent(recorder: Recorder) -> None:
    with pytest.raises(SessionBusyError):
        Recorder.resume(recorder.path)
