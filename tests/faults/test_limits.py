"""
Limits of the system: a file system without locks, no free descriptors.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rollout import Recorder
from rollout.home._locks import SessionLock, lock_files
from rollout.home._walk import walk
from rollout.search import Filters, Order, indexed_sessions
from rollout.store import delete
from tests.faults.programs import Program, in_order, run_under_strace
from tests.rollouts import message, meta, prompt, put

# Tries a call, and tells how it ended, and what it left behind.
TRY = """
import json, pathlib
home = pathlib.Path(os.environ["CODEX_HOME"])
def descriptors():
    return len(os.listdir("/proc/self/fd"))
def files():
    return sorted(str(path.relative_to(home)) for path in home.rglob("*"))
def tried(call):
    before = descriptors(), threading.active_count(), files()
    try:
        told = ["returned", repr(call())]
    except OSError as error:
        told = [errno.errorcode[error.errno], str(error), str(error.filename)]
    except rollout.RolloutError as error:
        told = [type(error).__name__, str(error)]
    after = descriptors(), threading.active_count(), files()
    left = [now - then for then, now in zip(before[:2], after[:2])]
    return [*told, *left, [path for path in after[2] if path not in before[2]]]
"""


WITHOUT_LOCKS = (
    TRY
    + """
from rollout import search, store
path = pathlib.Path(sys.argv[1])
print(json.dumps({
    "Recorder()": tried(rollout.Recorder),
    "Recorder.resume": tried(lambda: rollout.Recorder.resume(path)),
    "archive": tried(lambda: store.archive(path)),
    "delete": tried(lambda: store.delete(path)),
    "restore": tried(lambda: store.restore(sys.argv[2])),
    "compress": tried(lambda: store.compress(path)),
    "rename": tried(lambda: store.rename_session(path, "name")),
    "update_index": tried(search.update_index),
    "load_history": tried(lambda: rollout.load_history(path).session_id),
    "list_sessions": tried(lambda: len(rollout.list_sessions().items)),
}))
"""
)


@pytest.mark.promise("two writers")
@pytest.mark.parametrize(
    ("code", "which"), [("ENOLCK", ""), ("ENOLCK", ":when=2+"), ("ENOSYS", ""), ("EOPNOTSUPP", ""), ("EIO", ":when=2+")]
)
def test_if_locks_fail_the_error_names_the_lock_file_and_nothing_is_changed(
    program: Program, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, which: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Recorder() as recorder, Recorder() as deleted:
        recorder.user_message("x")
        deleted.user_message("y")
    delete(deleted.path)
    before = recorder.path.read_bytes()

    told = run_under_strace(program, f"flock:error={code}{which}", WITHOUT_LOCKS, recorder.path, deleted.session_id)

    assert told.pop("load_history")[:2] == ["returned", repr(recorder.session_id)]
    assert told.pop("list_sessions")[:2] == ["returned", "1"]
    for name, (ended, *rest) in told.items():
        assert ended == errno.errorcode[getattr(errno, code)], (name, told)
        text, file, descriptors, threads, new = rest
        assert file.endswith(".lock"), (name, told)
        assert "does not work on this file system; use a home on another file system" in text
        assert (descriptors, threads) == (0, 0), (name, told)
        assert [path for path in new if not is_usual_lock(path)] == [], (name, told)
    assert recorder.path.read_bytes() == before


def is_usual_lock(path: str) -> bool:
    """
    Whether it is a lock file that stays when it is free, or the folder of one.
    """
    return path in (".tmp", "thread-writer-locks") or path.endswith((".coordination.lock", "index.jsonl.lock"))


@pytest.mark.promise("two writers")
def test_a_failed_lock_keeps_the_lock_file_of_another_writer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = fcntl.flock, []

    def flock(fd: int, flags: int) -> None:
        if flags != fcntl.LOCK_UN:
            asked.append(fd)
        if len(asked) % 2 == 0:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        real(fd, flags)

    with Recorder() as recorder:
        monkeypatch.setattr(fcntl, "flock", flock)
        for session_id in (recorder.session_id, "01a1fbb5-7abd-7c53-8766-f128212a613b"):
            with pytest.raises(OSError, match=f"No locks available; .*{session_id}.lock"):
                SessionLock(home, session_id)
        monkeypatch.undo()
        monkeypatch.setenv("CODEX_HOME", str(home))

        assert list(lock_files(home)) == [recorder.session_id]


WITHOUT_DESCRIPTORS = (
    TRY
    + """
from rollout import search, store
path = pathlib.Path(sys.argv[1])
search.update_index()
rec = rollout.Recorder()
rec.flush()
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
def with_descriptors(free, call):
    # The next ones that are opened have the lowest free numbers.
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(free + 1)]
    for fd in held:
        os.close(fd)
    before, was = descriptors(), files()
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(held), most))
    try:
        told = ["returned", str(call())]
    except OSError as error:
        told = [errno.errorcode[error.errno], str(error)]
    except Exception as error:
        told = [type(error).__name__, str(error)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return [*told, descriptors() - before, [path for path in files() if path not in was]]
def recorded():
    rec.record(message("goes on"))
    rec.flush(60)
def made():
    rollout.Recorder().close()
known = {path.name[-42:-6]}
told = {}
# Once with plenty: what is imported when it is first asked for.
for free in (100, 0, 1, 2, 3):
    for name, call in {
        "record": recorded,
        "Recorder()": made,
        "Recorder.resume": lambda: rollout.Recorder.resume(path).close(),
        "list_sessions": lambda: (lambda page: (len(page.items), len(page.problems)))(rollout.list_sessions()),
        "load_history": lambda: rollout.load_history(path).session_id,
        "find_session": lambda: rollout.find_session(path.name[-42:-6]),
        "search": lambda: len(list(search.search("needle"))),
        "indexed_sessions": lambda: len({entry.session_id for entry in search.indexed_sessions()} & known),
        "update_index": search.update_index,
    }.items():
        told[f"{name} {free}"] = with_descriptors(free, call)
rec.flush(60, fsync=True)
rec.close()
told["threads"] = threading.active_count()
told["left"] = known <= {entry.session_id for entry in search.indexed_sessions()}
print(json.dumps({"path": str(rec.path), "told": told}))
"""
)


@pytest.mark.promise("two writers")
def test_without_free_descriptors_calls_raise_an_error_with_the_reason_and_leave_no_files(
    program: Program, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Recorder() as recorder:
        recorder.user_message("needle")

    said = json.loads(program.run(WITHOUT_DESCRIPTORS, recorder.path))
    told = said["told"]

    assert told.pop("threads") == 1
    assert told.pop("left")
    whole = {
        "load_history": recorder.session_id,
        "find_session": str(recorder.path),
        "search": "1",
        "indexed_sessions": "1",
    }
    refused = 0
    for name, (ended, text, descriptors, new) in told.items():
        call = name.split()[0]
        assert descriptors == 0, (name, told)
        if ended == "returned":
            assert text == whole.get(call, text), (name, told)
            assert call != "list_sessions" or text.endswith(", 0)"), (name, told)
            continue
        refused += 1
        assert call != "record", (name, told)
        assert new == [], (name, told)
        # SQLite says of any file that it cannot open no more than that.
        assert (ended == "EMFILE" and str(tmp_path) in text) or "unable to open database file" in text, (name, told)
    assert {name for name, (ended, *_) in told.items() if ended != "returned"} >= {
        f"{name} 0" for name in ("Recorder()", "Recorder.resume", "list_sessions", "load_history", "find_session",
                                 "search", "indexed_sessions", "update_index")
    }  # fmt: skip
    assert in_order(said["path"]) == ["goes on"] * 5
    figure(f"{refused} calls refused with 0 to 3 descriptors left: each says so; none left a file or a descriptor")


@pytest.mark.promise("two writers")
def test_without_free_descriptors_no_folder_counts_as_empty(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Recorder().close()

    def short(*args: Any, **options: Any) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "path")

    monkeypatch.setattr(os, "listdir", short)
    for look in (lambda: list(walk(home)), lambda: lock_files(home)):
        with pytest.raises(OSError, match="Too many open files"):
            look()
    monkeypatch.undo()
    monkeypatch.setenv("CODEX_HOME", str(home))
    monkeypatch.setattr(os, "open", short)
    with pytest.raises(OSError, match="Too many open files"):
        list(indexed_sessions())


def after_opens(monkeypatch: pytest.MonkeyPatch, count: int, act: Callable[[Path], None]) -> None:
    """
    Call a function before each opening of a session's file after the first *count* ones.
    """
    real, left = os.open, count

    def opened(path: Any, *args: Any, **options: Any) -> int:
        nonlocal left
        if str(path).endswith(".jsonl"):
            left -= 1
            if left < 0:
                act(Path(path))
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", opened)


@pytest.mark.parametrize("opens", range(6))
def test_without_free_descriptors_no_session_counts_as_empty(
    home: Path, monkeypatch: pytest.MonkeyPatch, opens: int
) -> None:
    put(home, [meta(), *prompt("first"), *[message("assistant", "x" * 500)] * 300])
    expected = [session.preview for session in indexed_sessions()]

    def short(path: Path) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    for filters in (Filters(archived=False), Filters(cwd="/home/dev/demo")):
        with monkeypatch.context() as patch:
            after_opens(patch, opens, short)
            try:
                found = [session.preview for session in indexed_sessions(filters=filters)]
            except OSError as error:
                assert error.errno == errno.EMFILE
            else:
                assert found == expected


@pytest.mark.parametrize("order", ["created", "updated"])
@pytest.mark.parametrize("opens", range(2))
def test_a_session_that_is_removed_while_sessions_are_listed_is_left_out(
    home: Path, monkeypatch: pytest.MonkeyPatch, opens: int, order: Order
) -> None:
    put(home, [meta(), *prompt("first"), *[message("assistant", "x" * 500)] * 300])
    after_opens(monkeypatch, opens, lambda path: path.unlink(missing_ok=True))

    assert list(indexed_sessions(order=order)) == []
