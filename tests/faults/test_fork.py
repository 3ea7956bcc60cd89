"""
A process forks while it records. Each test is a program of its own, since a fork copies the whole test run.
"""

from __future__ import annotations

import copy
import pickle
import subprocess
import time
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
for call in range(2):
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


CHILD = """
recorded, may_end = os.pipe(), os.pipe()
if not (pid := os.fork()):
    rec.record(message("child"))
    rec.flush()
    os.write(recorded[1], b"x")
    os.read(may_end[0], 1)
    rec.record(message("child again"))
    rec.close()
    os._exit(0)
os.read(recorded[0], 1)
"""


@pytest.mark.promise("fork")
def test_a_process_that_closed_off_half_a_line_still_keeps_others_from_cutting_the_file(program: Program) -> None:
    program.run(
        "rec = rollout.Recorder()\nrec.flush()\n"
        + CHILD
        + """
import fcntl
calls = []
def write(fd, data):
    calls.append(1)
    return os.write(fd, data[:20] if len(calls) == 1 else data)
disk_room.os = Disk(write=write)
rec.record(message("parent"))
try:
    rec.flush()
    raise SystemExit("the first write was to be short")
except rollout.WriteError as error:
    assert "another process may append behind it" in str(error), error
rec.flush()
with open(rec.path) as file:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        raise SystemExit("nobody holds the shared lock")
    except BlockingIOError:
        pass
os.write(may_end[1], b"x")
wait(pid)
with open(rec.path) as file:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        raise SystemExit("the parent has lost its shared lock")
    except BlockingIOError:
        pass
rec.close()
"""
    )


@pytest.mark.promise("fork")
def test_after_a_short_write_no_line_of_another_process_comes_into_the_middle_of_ours(program: Program) -> None:
    path = program.run(
        "rec = rollout.Recorder()\nrec.flush()\n"
        + CHILD
        + """
calls = []
def write(fd, data):
    calls.append(1)
    if len(calls) > 1:
        return os.write(fd, data)
    written = os.write(fd, data[:20])
    os.write(may_end[1], b"x")
    wait(pid)
    return written
disk_room.os = Disk(write=write)
rec.record(message("parent"))
try:
    rec.close()
    raise SystemExit("the first write was to be short")
except rollout.WriteError:
    pass
rec.close()
print(rec.path)
"""
    )

    history = load_history(path)
    found = [line.payload["content"][0]["text"] for line in history.lines[1:]]
    assert sorted(found) == ["child", "child again", "parent"]
    assert [skipped.size for skipped in history.skipped] == [20]


@pytest.mark.promise("fork")
def test_a_daemon_whose_parent_ended_before_the_first_line_writes_it_itself(program: Program, tmp_path: Path) -> None:
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "git").write_text("#!/bin/sh\nsleep 1\n")
    (fake / "git").chmod(0o755)
    (tmp_path / ".git").mkdir()
    told = tmp_path / "told"

    program.run(
        f"""
os.environ["PATH"] = {str(fake)!r} + ":/usr/bin:/bin"
rec = rollout.Recorder(cwd={str(tmp_path)!r})
if os.fork():
    os._exit(0)
rec.record(message("daemon"))
start = time.monotonic()
rec.close()
seconds = time.monotonic() - start
with open({str(told)!r} + ".new", "w") as file:
    file.write(f"{{rec.path}} {{seconds}}")
os.rename({str(told)!r} + ".new", {str(told)!r})
os._exit(0)
"""
    )

    deadline = time.monotonic() + 60
    while not told.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    path, seconds = told.read_text().split()
    assert texts(path) == Counter(["daemon"])
    assert float(seconds) < 5
    Recorder.resume(path).close()


@pytest.mark.promise("fork")
def test_a_child_whose_file_was_cut_since_the_fork_writes_the_meta_first(program: Program) -> None:
    path = program.run("""
logging.disable()
rec = rollout.Recorder()
rec.record(message("parent"))
rec.flush()
if not (pid := os.fork()):
    os.truncate(rec.path, 0)
    rec.record(message("child"))
    rec.flush(timeout=4)
    rec.close()
    os._exit(0)
wait(pid)
rec.record(message("on"))
rec.close()
print(rec.path)
""")

    assert texts(path) == Counter(["child", "on"])


@pytest.mark.promise("fork")
def test_the_session_stays_locked_while_a_child_records_after_its_parent_has_closed(program: Program) -> None:
    program.run("""
rec = rollout.Recorder()
rec.flush()
closed, tried = os.pipe(), os.pipe()
if not (pid := os.fork()):
    os.read(closed[0], 1)
    rec.record(message("child"))
    rec.flush()
    os.write(tried[1], b"x")
    os.read(closed[0], 1)
    os._exit(0)
rec.close()
os.write(closed[1], b"x")
os.read(tried[0], 1)
try:
    rollout.Recorder.resume(rec.path)
    raise SystemExit("two writers")
except rollout.SessionBusyError:
    pass
os.write(closed[1], b"x")
wait(pid)
rollout.Recorder.resume(rec.path).close()
""")
