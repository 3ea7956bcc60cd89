"""
Recorders in child processes, and recorders that are created while a process ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from rollout import Recorder
from tests.faults.programs import ROOT, Program, in_order, texts

METHODS = ["fork", "forkserver", "spawn"]


def sessions(home: Path) -> list[Path]:
    return sorted(home.glob("sessions/*/*/*/*.jsonl"))


def assert_whole(home: Path, count: int, lines: int) -> None:
    found = sessions(home)
    assert len(found) == count
    for path in found:
        assert texts(path) == Counter(str(n) for n in range(lines))


ENDINGS = {
    "Process": """
for _ in range(3):
    process = context.Process(target=children.record, args=(lines,))
    process.start()
    process.join()
    assert process.exitcode == 0
""",
    "Pool": """
with context.Pool(3) as pool:
    pool.map(children.record, [lines] * 3, chunksize=1)
    pool.close()
    pool.join()
""",
    "ProcessPoolExecutor": """
from concurrent.futures import ProcessPoolExecutor
with ProcessPoolExecutor(3, mp_context=context) as pool:
    list(pool.map(children.record, [lines] * 3))
""",
    "thread": """
process = context.Process(target=children.record_in_a_thread, args=(lines,))
process.start()
process.join()
""",
    "fork of a child": """
process = context.Process(target=children.record_in_a_fork, args=(lines,))
process.start()
process.join()
""",
}
"""How children are started, with the processes of each."""
COUNTS = {"Process": 3, "Pool": 3, "ProcessPoolExecutor": 3, "thread": 1, "fork of a child": 1}


@pytest.mark.promise("children")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ENDINGS)
def test_an_unclosed_recorder_of_a_child_has_every_line_in_its_file(
    program: Program, home: Path, method: str, kind: str, figure: Callable[[str], None]
) -> None:
    program.run(
        f"""
from tests.faults import children
lines = 500
context = multiprocessing.get_context({method!r})
{ENDINGS[kind]}
"""
    )

    # A worker of a pool may have got two of the three calls.
    assert len(sessions(home)) == COUNTS[kind]
    assert_whole(home, COUNTS[kind], 500)
    figure(f"{kind}, {method}: {COUNTS[kind]} of {COUNTS[kind]} sessions whole")


@pytest.mark.promise("children")
def test_a_child_that_is_the_first_to_import_rollout_has_every_line_in_the_file(program: Program, home: Path) -> None:
    script = """
import multiprocessing, sys
from tests.faults import children
assert "rollout" not in sys.modules
process = multiprocessing.get_context("fork").Process(target=children.record, args=(500,))
process.start()
process.join()
"""

    subprocess.run([*program.command, script], check=True, timeout=program.limit, cwd=ROOT)

    assert_whole(home, 1, 500)


@pytest.mark.promise("children")
def test_a_child_records_into_its_own_session_while_its_parent_has_another(program: Program, home: Path) -> None:
    program.run(
        """
from tests.faults import children
rec = rollout.Recorder(home=os.environ["CODEX_HOME"] + "/parents")
rec.record(message("parent"))
process = multiprocessing.get_context("fork").Process(target=children.record, args=(500,))
process.start()
process.join()
"""
    )

    assert_whole(home, 1, 500)
    (path,) = sessions(home / "parents")
    assert texts(path) == Counter(["parent"])


@pytest.mark.promise("children")
def test_the_sessions_of_a_terminated_pool_have_the_flushed_lines_and_can_be_resumed(
    program: Program, home: Path
) -> None:
    program.run(
        """
def work(n):
    global rec
    rec = rollout.Recorder()
    rec.record(message("flushed"))
    rec.flush()
    return n
with multiprocessing.get_context("fork").Pool(2) as pool:
    pool.map(work, range(2), chunksize=1)
"""
    )

    for path in sessions(home):
        assert in_order(path)[:1] == ["flushed"]
        Recorder.resume(path).close()


@pytest.mark.slow
@pytest.mark.promise("children")
@pytest.mark.parametrize("method", METHODS)
def test_twenty_children_with_20_000_lines_each_have_every_line_in_their_files(
    program: Program, home: Path, method: str, figure: Callable[[str], None]
) -> None:
    program.run(
        f"""
from tests.faults import children
context = multiprocessing.get_context({method!r})
for _ in range(20):
    process = context.Process(target=children.record, args=(20_000,))
    process.start()
    process.join()
"""
    )

    assert_whole(home, 20, 20_000)
    figure(f"{method}: 20 children x 20,000 lines, none missing")


LATE = """
import atexit
def late():
    try:
        from rollout import Recorder
        rec = Recorder()
        rec.user_message("late")
        print("recorded", flush=True)
    except Exception as error:
        print(type(error).__name__, error, flush=True)
"""


@pytest.mark.promise("children")
@pytest.mark.parametrize(
    "order",
    [
        "import threading; atexit.register(late)",
        "atexit.register(late); import rollout; rollout.Recorder",
        "import rollout; rollout.Recorder; atexit.register(late)",
        "import rollout; rollout.Recorder().close(); atexit.register(late)",
        "import threading as t; main = t.main_thread(); t.Thread(target=lambda: (main.join(), late())).start()",
        "import multiprocessing.util as util; p = util.Finalize(None, late, exitpriority=-5)",
    ],
    ids=["first", "before", "after", "after a recorder", "in a thread that outlives main", "in a finalizer"],
)
def test_a_recorder_created_while_the_program_ends_works_or_is_refused_before_a_file_is_created(
    program: Program, home: Path, order: str
) -> None:
    done = subprocess.run(
        [*program.command, LATE + order], capture_output=True, text=True, timeout=program.limit, check=False, cwd=ROOT
    )

    assert (done.returncode, done.stderr) == (0, "")
    late = [path for path in sessions(home) if b"late" in path.read_bytes()]
    empty = [path for path in sessions(home) if not path.read_bytes()]
    if done.stdout == "recorded\n":
        assert (len(late), empty) == (1, [])
    else:
        assert "WriterStartError cannot record: " in done.stdout
        assert (late, empty) == ([], [])


@pytest.mark.promise("children")
def test_if_no_thread_can_start_a_child_s_recorder_raises_and_no_file_is_left(program: Program, home: Path) -> None:
    program.run("""
real = threading.Thread.start
def start(self):
    raise RuntimeError("can't start new thread")
rec = rollout.Recorder()
rec.flush()
if not (pid := os.fork()):
    threading.Thread.start = start
    for call in (lambda: rec.record(message("x")), rec.flush, rollout.Recorder):
        try:
            call()
            raise SystemExit("said nothing")
        except rollout.WriterStartError as error:
            assert "can't start new thread" in str(error)
    threading.Thread.start = real
    rec.record(message("child"))
    sys.exit()
wait(pid)
""")

    (path,) = sessions(home)
    assert texts(path) == Counter(["child"])


@pytest.mark.promise("fork")
def test_a_recorder_in_a_child_forked_without_os_fork_raises_and_does_not_hang(program: Program) -> None:
    done = program.end("""
import ctypes
rec = rollout.Recorder(queue_size=1)
rec.record(message("parent"))
rec.flush()
pid = ctypes.PyDLL(None).fork()
if not pid:
    calls = (rec.flush, rec.close, lambda: [rec.record(message("child")) for n in range(3)])
    for call in calls:
        try:
            call()
            raise SystemExit("said nothing")
        except rollout.WriterStartError as error:
            assert "was forked from" in str(error), error
    os._exit(0)
wait(pid)
rec.record(message("on"))
rec.close()
print(rec.path)
""")

    assert (done.returncode, done.stderr) == (0, "")
    assert texts(done.stdout.strip()) == Counter(["parent", "on"])


APPLICATION = """
import os, rollout
rec = None
def application(environ, start_response):
    global rec
    if rec is None:
        rec = rollout.Recorder()
    text = environ["PATH_INFO"].strip("/")
    rec.record({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


@pytest.mark.promise("children")
@pytest.mark.parametrize("worker", ["sync", "gthread"])
@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
def test_the_workers_of_a_stopped_gunicorn_have_every_line_in_their_files(
    tmp_path: Path, home: Path, worker: str, preload: bool
) -> None:
    pytest.importorskip("gunicorn")
    (tmp_path / "served.py").write_text(APPLICATION)
    socket = tmp_path / "address"
    command = [sys.executable, "-m", "gunicorn", "--workers=2", f"--worker-class={worker}", "--threads=4"]
    command += [
        "--bind=127.0.0.1:0",
        "--chdir",
        str(tmp_path),
        *(["--preload"] if preload else []),
        "served:application",
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
    try:
        address = _address_of(server)
        for n in range(200):
            urllib.request.urlopen(f"{address}/{n}", timeout=30).close()  # noqa: S310 -- http
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)

    assert not socket.exists()
    found = sum((texts(path) for path in sessions(home)), Counter())
    assert found == Counter(str(n) for n in range(200))


def _address_of(server: subprocess.Popen[str]) -> str:
    assert server.stderr is not None
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        line = server.stderr.readline()
        if "Listening at: " in line:
            return line.partition("Listening at: ")[2].split()[0]
    raise AssertionError("gunicorn does not listen")
