"""
All ways in which a program ends. `make test-all` runs these tests on each Python from 3.10 to 3.13.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rollout import Recorder, load_history
from tests.faults.programs import Program, in_order, texts

COUNT = 2000
ALL = Counter(str(n) for n in range(COUNT))

RECORDING = f"""
rec = rollout.Recorder()
print(rec.path, flush=True)
for n in range({COUNT}):
    rec.record(message(str(n)))
"""


@pytest.mark.promise("exit", naive="fails")
@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("", 0),
        ("raise ValueError", 1),
        ("sys.exit(3)", 3),
        ("t = threading.Thread(target=sys.exit); t.start(); t.join()", 0),
        ("del rec; gc.collect()", 0),
        ("rec.me = rec; del rec; gc.collect()", 0),
        ("import __main__; __main__.kept = [rec]; del rec", 0),
    ],
    ids=["end", "exception", "sys.exit", "sys.exit in a thread", "collected", "collected in a cycle", "in a module"],
)
def test_a_program_that_ends_without_close_has_every_item_in_the_file(program: Program, ending: str, code: int) -> None:
    done = program.end(RECORDING + ending)

    assert done.returncode == code
    assert texts(done.stdout.strip()) == ALL


@pytest.mark.promise("close")
@pytest.mark.parametrize(
    ("leaving", "code"),
    [
        ("pass", 0),
        ("raise ValueError", 1),
        ("sys.exit(3)", 3),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(5)", -signal.SIGINT),
        ("rec.close()", 0),
    ],
    ids=["end", "exception", "sys.exit", "KeyboardInterrupt", "SIGINT", "closed before"],
)
def test_leaving_the_with_body_in_any_way_writes_every_item_and_releases_thread_and_lock(
    program: Program, leaving: str, code: int
) -> None:
    done = program.end(
        f"""
rec = rollout.Recorder()
print(rec.path, flush=True)
def leave():
    {leaving}
try:
    with rec:
        for n in range({COUNT}):
            rec.record(message(str(n)))
        leave()
finally:
    assert threading.active_count() == 1
    rollout.Recorder.resume(rec.path).close()
    print("free", flush=True)
"""
    )

    path, free = done.stdout.split()
    assert (done.returncode, free) == (code, "free")
    assert texts(path) == ALL


@pytest.mark.promise("exit", naive="fails")
def test_every_item_that_a_daemon_thread_could_record_before_the_end_is_in_the_file(
    program: Program, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    accepted = tmp_path / "accepted"

    done = program.end(
        """
rec = rollout.Recorder()
print(rec.path, flush=True)
accepted = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def record(name):
    for n in range(10_000_000):
        try:
            rec.record(message(f"{name}:{n}"))
        except rollout.RecorderClosedError:
            return
        os.write(accepted, f"{name}:{n}\\n".encode())
for name in "abc":
    threading.Thread(target=record, args=(name,), daemon=True).start()
time.sleep(0.3)
""",
        accepted,
    )

    assert done.returncode == 0
    found = texts(done.stdout.strip())
    told = accepted.read_text().split()
    assert set(told) - found.keys() == set()
    assert set(found.values()) == {1}
    figure(f"3 daemon threads: {len(told):,} accepted, all in the file")


@pytest.mark.promise("exit", naive="fails")
@pytest.mark.parametrize("ending", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", "os.abort()"])
def test_after_an_end_that_cannot_be_caught_flushed_lines_are_in_the_file_and_the_session_can_be_resumed(
    program: Program, ending: str
) -> None:
    done = program.end(
        f"""
import faulthandler
faulthandler.disable()
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
rec = rollout.Recorder()
print(rec.path, flush=True)
for n in range({COUNT}):
    rec.record(message(str(n)))
    if n == 1000:
        rec.flush()
{ending}
"""
    )

    path = Path(done.stdout.strip())
    assert in_order(path)[:1001] == [str(n) for n in range(1001)]
    # As if it had ended in the middle of a write.
    with path.open("ab") as file:
        file.write(path.read_bytes().splitlines()[-1][:70])
    program.run("rec = rollout.Recorder.resume(sys.argv[1])\nrec.record(message('on'))\nrec.flush()\nrec.close()", path)
    assert in_order(path)[-1] == "on"


INTERRUPTED = """
import itertools
accepted, told = [], 0
def later(*args):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, later)
rec = rollout.Recorder(queue_size=4)
print(rec.path, flush=True)
numbers = itertools.count()
for turn in range(600):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.000_02 * (turn % 40 + 1))
        while True:
            n = next(numbers)
            rec.record(message(str(n)))
            accepted.append(n)
            if sys.argv[1] == "flush":
                rec.flush()
    except KeyboardInterrupt:
        told += 1
rec.close()
print(told, *accepted)
"""


@pytest.mark.promise("exit")
@pytest.mark.parametrize("call", ["record", "flush"])
def test_an_interrupt_in_the_middle_of_a_call_loses_nothing_that_was_accepted(
    program: Program, call: str, figure: Callable[[str], None]
) -> None:
    path, rest = program.run(INTERRUPTED, call).split("\n")

    interrupts, *accepted = rest.split()
    found = texts(path)
    assert set(accepted) - found.keys() == set()
    assert set(found.values()) == {1}
    # What was interrupted may be there or not.
    assert len(found) - len(accepted) <= int(interrupts)
    assert in_order(path) == sorted(found, key=int)
    figure(f"{interrupts} interrupts in {call}: {len(accepted):,} accepted, all in the file once, in order")


@pytest.mark.promise("exit")
def test_an_interrupted_close_can_be_called_again(program: Program) -> None:
    path = program.run("""
def interrupt(*args):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
def slow(fd, data):
    time.sleep(0.05)
    return os.write(fd, data)
disk.write = slow
for turn in range(20):
    rec = disk.Recorder()
    for n in range(20):
        rec.record(message(str(n)))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.002 * turn + 0.000_01)
        rec.close()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        pass
    rec.close()
    assert rec.closed and threading.active_count() == 1
    print(rec.path)
""")

    for session in path.splitlines():
        assert in_order(session) == [str(n) for n in range(20)]


KERNEL = """
from rollout import Recorder
rec = Recorder()
for n in range(1000):
    rec.record({"type": "message", "role": "user", "content": [{"type": "input_text", "text": str(n)}]})
print(rec.path)
"""


@contextmanager
def new_kernel() -> Iterator[tuple[Any, Any]]:
    """
    Yield the manager and the client of a new kernel.
    """
    manager_of = pytest.importorskip("jupyter_client.manager")
    pytest.importorskip("ipykernel")
    manager, client = manager_of.start_new_kernel(kernel_name="python3")
    try:
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def output_of(cell: str, client: Any) -> str:
    outputs: list[str] = []
    reply = client.execute_interactive(
        cell, timeout=60, output_hook=lambda m: outputs.append(m["content"].get("text") or str(m["content"]))
    )
    assert reply["content"]["status"] == "ok", outputs
    return "".join(text for text in outputs if "execution_state" not in text and "execution_count" not in text)


@pytest.mark.promise("exit")
@pytest.mark.filterwarnings("ignore")
def test_after_a_kernel_restart_every_item_is_in_the_file_and_the_session_can_be_resumed(home: Path) -> None:
    with new_kernel() as (manager, client):
        path = output_of(KERNEL, client).strip()
        manager.restart_kernel(now=False)
        client.wait_for_ready(timeout=60)
        before = in_order(path)
        resumed = f"from rollout import Recorder\nwith Recorder.resume({path!r}) as rec: rec.user_message('after')"
        output_of(resumed, client)

    assert before == [str(n) for n in range(1000)]
    assert in_order(path)[1000:] == ["after"]
    Recorder.resume(path).close()
    assert load_history(path).skipped == ()


INTERRUPTED_CELL = """
from rollout import Recorder
accepted = 0
with Recorder() as rec:
    print(rec.path, flush=True)
    while True:
        rec.record({"type": "message", "role": "user", "content": [{"type": "input_text", "text": str(accepted)}]})
        accepted += 1
"""


def reply_to(message_id: str, client: Any) -> dict[str, Any]:
    # A kernel that was slow to start answers several requests for its state, too.
    while True:
        reply = client.get_shell_msg(timeout=60)
        if reply["parent_header"].get("msg_id") == message_id:
            return dict(reply["content"])


@pytest.mark.promise("exit")
@pytest.mark.filterwarnings("ignore")
def test_a_notebook_interrupted_inside_the_with_body_has_every_accepted_line_in_the_file(home: Path) -> None:
    with new_kernel() as (manager, client):
        interrupted = client.execute(INTERRUPTED_CELL)
        while ".jsonl" not in client.get_iopub_msg(timeout=60)["content"].get("text", ""):
            pass
        manager.interrupt_kernel()
        reply = reply_to(interrupted, client)
        after = {"status": "aborted"}
        while after["status"] == "aborted":
            # A kernel aborts what it is sent right after an error.
            after = reply_to(client.execute("raise ValueError(accepted, rec.closed)"), client)

    assert reply["ename"] == "KeyboardInterrupt"
    accepted, closed = after["evalue"].strip("()").split(", ")
    (path,) = home.glob("sessions/*/*/*/*.jsonl")
    # The item of the call that was interrupted may be there or not.
    assert texts(path).total() in (int(accepted), int(accepted) + 1)
    assert closed == "True"
    Recorder.resume(path).close()
