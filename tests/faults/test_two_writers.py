"""
Two writers for one session. Tests with the real Codex as the second are in tests/codex.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollout import Recorder, SessionBusyError, find_session, list_sessions, load_history, verify
from tests.faults.programs import Program, in_order, mounted


@pytest.mark.promise("two writers", naive="fails")
def test_a_second_process_is_refused_with_the_session_s_id_and_the_first_continues(program: Program) -> None:
    path = program.run(
        """
import subprocess
rec = rollout.Recorder()
rec.record(message("before"))
rec.flush()
second = subprocess.run(
    [sys.executable, "-c", "import rollout, sys; rollout.Recorder.resume(sys.argv[1])", rec.path],
    capture_output=True, text=True,
) if rollout.__name__ == "rollout" else subprocess.run(
    [sys.executable, "-c", "from tests.faults import naive; naive.Recorder.resume(sys.argv[1])", rec.path],
    capture_output=True, text=True,
)
assert "SessionBusyError" in second.stderr and rec.session_id in second.stderr, second
rec.record(message("after"))
rec.close()
print(rec.path)
"""
    )

    assert in_order(path) == ["before", "after"]


@pytest.mark.promise("two writers", naive="fails")
def test_a_second_recorder_in_the_same_process_is_refused_until_the_first_is_closed(program: Program) -> None:
    path = program.run("""
rec = rollout.Recorder()
rec.record(message("first"))
rec.flush()
for again in (lambda: rollout.Recorder.resume(rec.path), lambda: rollout.Recorder(session_id=rec.session_id)):
    try:
        again()
        raise SystemExit("two writers")
    except rollout.SessionBusyError as error:
        assert "is locked by another writer" in str(error)
rec.close()
with rollout.Recorder.resume(rec.path) as second:
    second.record(message("second"))
print(rec.path)
""")

    assert in_order(path) == ["first", "second"]


@pytest.mark.promise("two writers", naive="fails")
def test_only_one_of_many_concurrent_resumes_has_the_session_at_a_time(program: Program) -> None:
    path = program.run("""
rec = rollout.Recorder()
rec.close()
turns = []
holders = 0
def take(name):
    global holders
    done = 0
    while done < 15:
        try:
            again = rollout.Recorder.resume(rec.path)
        except rollout.SessionBusyError:
            continue
        holders += 1
        assert holders == 1
        again.record(message(f"{name}:{done}"))
        again.flush()
        holders -= 1
        again.close()
        done += 1
    turns.append(name)
threads = [threading.Thread(target=take, args=(name,)) for name in "abcd"]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert sorted(turns) == list("abcd"), turns
print(rec.path)
""")

    assert sorted(in_order(path)) == sorted(f"{name}:{n}" for name in "abcd" for n in range(15))


@pytest.mark.promise("two writers")
def test_the_lock_file_of_a_killed_process_does_not_block_a_resume(program: Program, home: Path) -> None:
    path = Path(
        program.end("""
rec = rollout.Recorder()
rec.flush()
print(rec.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
""").stdout.strip()
    )
    left = [lock.name for lock in (home / "thread-writer-locks").iterdir()]

    with Recorder.resume(path) as recorder:
        recorder.user_message("on")

    assert f"{recorder.session_id}.lock" in left
    assert [turn.prompt for turn in load_history(path).turns] == ["on"]


@pytest.fixture
def read_only(home: Path) -> Iterator[Recorder]:
    """
    A session in a home that nobody may write to: not even root, if its file system is mounted so.
    """

    def fill() -> Recorder:
        with Recorder(home=home) as recorder:
            recorder.user_message("old")
        return recorder

    if os.getuid():
        recorder = fill()
        folders = [home, *(path for path in home.rglob("*") if path.is_dir())]
        for path in [recorder.path, *folders]:
            path.chmod(0o500)
        yield recorder
        for folder in folders:
            folder.chmod(0o700)
    else:
        with mounted(home, "-t", "tmpfs", "none"):
            recorder = fill()
            subprocess.run(["mount", "-o", "remount,ro", home], check=True)
            yield recorder


@pytest.mark.promise("two writers")
def test_a_read_only_home_is_readable_and_the_error_of_a_recorder_names_the_path(
    read_only: Recorder, home: Path
) -> None:
    for make in (lambda: Recorder(home=home), lambda: Recorder.resume(read_only.path)):
        with pytest.raises(OSError) as caught:
            make()
        assert caught.value.errno in (errno.EROFS, errno.EACCES)
        assert str(caught.value.filename).startswith(str(home))

    assert [turn.prompt for turn in load_history(read_only.path).turns] == ["old"]
    assert [item.preview for item in list_sessions(home=home).items] == ["old"]
    assert verify(read_only.path).is_whole


@pytest.mark.promise("two writers")
@pytest.mark.parametrize(
    "name",
    ["with spaces and\ttabs", "naïve ☃ 日本語", "x" * 200, "-rf", "a'b\"c$(d)`e`", "new\nline", "\udcff not UTF-8"],
    ids=["spaces", "non-ASCII", "200 characters", "dash", "quotes", "newline", "not UTF-8"],
)
def test_sessions_in_a_home_of_any_name_are_recorded_listed_found_and_resumed(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    with Recorder(home=home, cwd=home.parent) as recorder:
        recorder.user_message("one")

    with Recorder.resume(recorder.session_id[:13], home=home) as resumed:
        resumed.user_message("two")
        resumed.flush(fsync=True)

    assert [item.path for item in list_sessions(home=home).items] == [recorder.path]
    assert find_session(recorder.session_id, home=home) == recorder.path
    assert [turn.prompt for turn in load_history(recorder.path).turns] == ["one", "two"]


@pytest.mark.promise("two writers")
def test_a_home_with_a_name_too_long_for_the_system_raises_its_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="File name too long"):
        Recorder(home=tmp_path / ("x" * 300))


@pytest.mark.promise("two writers")
def test_a_second_new_session_with_the_same_id_is_refused(home: Path) -> None:
    with Recorder(home=home) as first, pytest.raises(SessionBusyError):
        Recorder(home=home, session_id=first.session_id)
