"""
Forks of a process that records. Each test runs its own process, since a fork would copy the whole test run.
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
def test_items_in_the_parent_s_queue_are_written_once_with_any_end_of_the_child(program: Program, ending: str) -> None:
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
def test_four_children_and_their_parent_write_every_line_complete_and_once(
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


def recorder_with_slow_git(folder: Path, seconds: float) -> str:
    """
    Return the beginning of a program: a recorder in a folder in which git takes some time to answer.
    """
    git = folder / "bin" / "git"
    git.parent.mkdir()
    git.write_text(f"#!/bin/sh\nsleep {seconds}\n")
    git.chmod(0o755)
    (folder / ".git").mkdir()
    return f"""
os.environ["PATH"] = {str(git.parent)!r} + ":/usr/bin:/bin"
rec = rollout.Recorder(cwd={str(folder)!r})
"""


def test_a_child_that_records_waits_for_the_first_line_of_its_parent(program: Program, tmp_path: Path) -> None:
    path = program.run(
        recorder_with_slow_git(tmp_path, 0.4)
        + """
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


def test_a_fork_during_a_git_command_does_not_make_the_parent_wait_for_the_child(
    program: Program, tmp_path: Path
) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)

    seconds = program.run(
        f"""
import threading, time
from rollout.recording import _git
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


def test_an_incomplete_line_is_ended_and_written_again_while_other_processes_write(program: Program) -> None:
    path = program.run(
        """
full = []
def write(fd, data):
    if full:
        del disk.write
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    full.append(True)
    return os.write(fd, data[:20])
rec = disk.Recorder()
rec.flush()
recorded, may_end = os.pipe(), os.pipe()
if not (pid := os.fork()):
    rec.record(message("child"))
    rec.flush()
    os.write(recorded[1], b"x")
    os.read(may_end[0], 1)
    os._exit(0)
os.read(recorded[0], 1)
disk.write = write
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


def test_python_s_warning_about_forks_with_threads_does_not_affect_recording(program: Program) -> None:
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
def test_pickling_or_copying_a_recorder_raises_an_error_with_advice(recorder: Recorder, take: Any) -> None:
    with pytest.raises(TypeError, match="a session of its own"):
        take(recorder)


def test_sending_a_recorder_to_a_spawned_process_raises_an_error_with_the_reason(program: Program) -> None:
    done = program.end(
        """
rec = rollout.Recorder()
try:
    multiprocessing.get_context("spawn").Process(target=print, args=(rec,)).start()
except TypeError as error:
    print(error)
"""
    )

    assert "cannot be pickled; the other process must record into a session of its own" in done.stdout


@pytest.mark.promise("fork")
def test_a_session_with_an_open_recorder_cannot_be_resumed(recorder: Recorder) -> None:
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
def test_a_process_that_ended_an_incomplete_line_keeps_its_shared_lock_on_the_file(program: Program) -> None:
    program.run(
        "rec = disk.Recorder()\nrec.flush()\n"
        + CHILD
        + """
import fcntl
def is_locked():
    with open(rec.path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True
calls = []
def write(fd, data):
    calls.append(1)
    return os.write(fd, data[:20] if len(calls) == 1 else data)
disk.write = write
rec.record(message("parent"))
try:
    rec.flush()
    raise SystemExit("the first write was to be short")
except rollout.WriteError as error:
    assert "another process may append after it" in str(error), error
rec.flush()
assert is_locked()
os.write(may_end[1], b"x")
wait(pid)
# The parent has kept its shared lock.
assert is_locked()
rec.close()
"""
    )


@pytest.mark.promise("fork")
def test_after_a_short_write_no_line_of_another_process_is_joined_to_ours(program: Program) -> None:
    path = program.run(
        "rec = disk.Recorder()\nrec.flush()\n"
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
disk.write = write
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
def test_a_daemon_writes_the_first_line_if_its_parent_ended_before_it(program: Program, tmp_path: Path) -> None:
    told = tmp_path / "told"

    program.run(
        recorder_with_slow_git(tmp_path, 1)
        + f"""
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
def test_a_child_writes_the_meta_first_if_the_file_was_truncated_after_the_fork(program: Program) -> None:
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
def test_the_session_stays_locked_while_a_child_records_after_the_parent_s_close(program: Program) -> None:
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
