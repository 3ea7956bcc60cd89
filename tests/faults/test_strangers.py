"""
Unusual environments: gevent, eventlet, a subinterpreter, closed descriptors, another folder.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from rollout import Recorder, load_history
from tests.faults.programs import ROOT, Program, in_order, texts

RECORDING = """
def record(name):
    for n in range(300):
        rec.record(message(f"{name}:{n}"))
rec = rollout.Recorder(queue_size=16)
threads = [threading.Thread(target=record, args=(name,)) for name in "abc"]
for thread in threads:
    thread.start()
record("main")
rec.flush(timeout=30)
for thread in threads:
    thread.join()
rec.close(timeout=30)
print(rec.path)
"""
ALL = Counter(f"{name}:{n}" for name in ["a", "b", "c", "main"] for n in range(300))


@pytest.mark.promise("strangers")
@pytest.mark.parametrize("library", ["gevent", "eventlet"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_every_item_is_recorded_in_a_program_patched_by_gevent_or_eventlet(
    tmp_path: Path, program: Program, library: str, when: str
) -> None:
    pytest.importorskip(library)
    patch = {
        "gevent": "import gevent.monkey; gevent.monkey.patch_all()\n",
        "eventlet": "import warnings; warnings.simplefilter('ignore'); import eventlet; eventlet.monkey_patch()\n",
    }[library]
    source = program.source(RECORDING)
    script = tmp_path / "program.py"
    script.write_text(patch + source if when == "before" else source.replace("\ndef record", f"\n{patch}\ndef record"))

    # Not from a program that has imported rollout already.
    command = [*program.command, "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=program.limit, check=False, cwd=ROOT)

    assert (done.returncode, done.stderr) == (0, ""), done
    assert texts(done.stdout.strip()) == ALL


@pytest.mark.promise("strangers")
def test_a_recorder_in_a_subinterpreter_records_or_raises_an_error_with_the_reason(
    program: Program, home: Path
) -> None:
    name = {12: "_xxsubinterpreters", 13: "_interpreters"}.get(sys.version_info.minor, "_xxsubinterpreters")

    done = program.end(
        f"""
import {name} as interpreters
code = '''
try:
    import rollout
    with rollout.Recorder() as rec:
        rec.user_message("inside")
    print("recorded", flush=True)
except BaseException as error:
    print(type(error).__name__, error, flush=True)
'''
interpreter = interpreters.create()
said = interpreters.run_string(interpreter, code)
print(said or "", flush=True)
interpreters.destroy(interpreter)
""",
    )

    assert done.returncode == 0, done
    if done.stdout.startswith("recorded"):
        (path,) = home.glob("sessions/*/*/*/*.jsonl")
        assert [turn.prompt for turn in load_history(path).turns] == ["inside"]
    else:
        assert "subinterpreter" in done.stdout or "daemon threads" in done.stdout


CLOSED = """
rec = rollout.Recorder()
rec.record(message("before"))
rec.flush()
os.closerange(3, 4096)
strangers = [open(f"{sys.argv[1]}/stranger {n}", "w+b", buffering=0) for n in range(8)]
rec.record(message("after"))
rec.flush()
rec.close()
assert [os.fstat(file.fileno()).st_size for file in strangers] == [0] * 8
print(rec.path)
"""


@pytest.mark.promise("descriptors", naive="fails")
def test_after_the_program_closed_all_descriptors_no_line_goes_into_another_file(
    program: Program, tmp_path: Path
) -> None:
    path = program.run(CLOSED, tmp_path)

    assert in_order(path) == ["before", "after"]
    Recorder.resume(path).close()


@pytest.mark.promise("descriptors", naive="fails")
def test_a_daemon_continues_the_session_and_holds_its_lock(program: Program, tmp_path: Path) -> None:
    path = program.run(
        """
rec = rollout.Recorder()
rec.record(message("parent"))
rec.flush()
print(rec.path, flush=True)
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
os.chdir("/")
os.closerange(0, 4096)
strangers = [open(f"{sys.argv[1]}/stranger {n}", "w+b", buffering=0) for n in range(8)]
rec.record(message("daemon"))
rec.flush()
try:
    rollout.Recorder.resume(rec.path)
except rollout.SessionBusyError:
    rec.record(message("alone"))
rec.close()
os.write(strangers[0].fileno(), str([os.fstat(file.fileno()).st_size for file in strangers]).encode())
os.rename(strangers[0].name, f"{sys.argv[1]}/done")
os._exit(0)
""",
        tmp_path,
    )

    done = tmp_path / "done"
    deadline = time.monotonic() + Program.limit / 4
    while not done.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert done.read_text() == str([0] * 8)
    assert in_order(path) == ["parent", "daemon", "alone"]
    Recorder.resume(path).close()


@pytest.mark.promise("descriptors")
def test_flush_raises_and_the_lines_wait_after_another_writer_has_taken_the_session(
    program: Program, tmp_path: Path
) -> None:
    path = program.run("""
rec = rollout.Recorder()
rec.record(message("before"))
rec.flush()
os.closerange(3, 4096)
other = rollout.Recorder.resume(rec.path)
rec.record(message("after"))
try:
    rec.flush()
    raise SystemExit("two writers")
except rollout.WriteError as error:
    assert type(error.__cause__) is rollout.SessionBusyError, error.__cause__
other.record(message("other"))
other.close()
rec.close()
print(rec.path)
""")

    assert in_order(path) == ["before", "other", "after"]


@pytest.mark.promise("descriptors")
@pytest.mark.parametrize("fate", ["deleted", "replaced"])
def test_flush_and_close_raise_after_the_rollout_was_deleted_or_replaced(program: Program, fate: str) -> None:
    program.run(
        """
rec = rollout.Recorder()
rec.flush()
if sys.argv[1] == "deleted":
    rec.path.unlink()
else:
    os.closerange(3, 4096)
    rec.path.rename(rec.path.with_suffix(".moved"))
    rec.path.write_text("another")
rec.record(message("x"))
for call in (rec.flush, rec.close):
    try:
        call()
        raise SystemExit("said nothing")
    except rollout.WriteError as error:
        assert "was deleted" in str(error) or "another file" in str(error), error
assert not rec.path.exists() or rec.path.read_text() == "another"
sys.stdout.flush()
os._exit(0)
""",
        fate,
    )


@pytest.mark.promise("descriptors", naive="fails")
def test_a_change_of_the_working_directory_has_no_effect_on_a_recorder(program: Program, tmp_path: Path) -> None:
    path = program.run(
        """
os.chdir(sys.argv[1])
rec = rollout.Recorder(home="relative")
rec.record(message("before"))
os.chdir("/")
rec.record(message("after"))
rec.flush(fsync=True)
os.closerange(3, 4096)
rec.record(message("reopened"))
rec.close()
print(rec.path)
rollout.Recorder.resume(rec.path).close()
""",
        tmp_path,
    )

    assert Path(path).is_relative_to(tmp_path / "relative")
    assert in_order(path) == ["before", "after", "reopened"]
