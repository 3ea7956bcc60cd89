"""
Races between operations that archive, delete, restore, compress, name, copy and find the same sessions.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rollout import (
    RolloutError,
    SessionBusyError,
    SessionNotFoundError,
    find_session,
    follow,
    list_sessions,
    load_history,
    read_lines,
)
from rollout.home import _find as find_module
from rollout.home import _walk as walk_module
from rollout.home._locks import SessionLock
from rollout.reading import _lineage as lineage_module
from rollout.storage import session_storage
from rollout.store import (
    _compression,
    _fork,
    _moves,
    _names,
    archive,
    compress,
    decompress,
    delete,
    deleted_sessions,
    find,
    fork,
    rename_session,
    restore,
    session_names,
    unarchive,
)
from tests.rollouts import ID, encode, event, meta, put, seed_session

LIMIT = 60
MEMORY = Path("/dev/shm")  # noqa: S108 -- a folder of its own is made in it
Operation = Callable[[Any], object]

OPERATIONS: dict[str, Operation] = {
    "archive": archive,
    "unarchive": unarchive,
    "delete": delete,
    "delete for good": lambda session: delete(session, permanently=True),
    "restore": restore,
    "compress": lambda session: compress(session, min_age=0),
    "decompress": decompress,
    "fork": fork,
    "rename": lambda session: rename_session(session, "name"),
    "take the name away": lambda session: rename_session(session, None),
    "find": lambda session: find(session).exists(),
}
STATES: dict[str, Callable[[], object]] = {
    "live": lambda: None,
    "packed": lambda: compress(ID, min_age=0),
    "archived": lambda: archive(ID),
    "packed in the archive": lambda: (compress(ID, min_age=0), archive(ID)),
    "deleted": lambda: delete(ID),
}


def files(home: Path) -> list[Path]:
    return [path for path in home.rglob(f"rollout-*-{ID}*") if path.is_file()]


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # In memory, where there is such a folder: each move is synced twice, and there are thousands.
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        monkeypatch.setenv("CODEX_HOME", folder)
        yield Path(folder)


@pytest.fixture
def path(home: Path) -> Path:
    return put(home, seed_session("one", "two"))


def put_anew(home: Path) -> Path:
    shutil.rmtree(home)
    home.mkdir()
    return put(home, seed_session("one", "two"))


class Between:
    """
    A call to run once, at a point between the search for a session and its use.
    """

    def __init__(self) -> None:
        self.then: Callable[[], object] | None = None

    def run(self) -> None:
        then, self.then = self.then, None
        if then is not None:
            then()


@pytest.fixture(params=["found", "locking"])
def between(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Between:
    hook = Between()
    real = find_module.locate

    def located(*args: Any) -> Path:
        found = real(*args)
        hook.run()
        return found

    class Late(SessionLock):
        def __init__(self, home: Path, session_id: str) -> None:
            hook.run()
            super().__init__(home, session_id)

    for room in (_moves, _compression):
        if request.param == "locking":
            monkeypatch.setattr(room, "SessionLock", Late)
    for room in (_moves, _fork, _names):
        if request.param == "found":
            monkeypatch.setattr(room, "locate", located)
    return hook


def attempt(operation: Operation, session: Any) -> str:
    """
    Run an operation; it may only raise errors that the documentation names.
    """
    try:
        operation(session)
    except (SessionNotFoundError, SessionBusyError) as error:
        assert str(error)
        return type(error).__name__
    return "done"


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("first", OPERATIONS)
def test_two_concurrent_changes_of_a_session_succeed_or_raise_session_not_found(
    home: Path, between: Between, state: str, first: str
) -> None:
    for second, operation in OPERATIONS.items():
        put_anew(home)
        STATES[state]()
        said = [line.raw for line in read_lines(files(home)[0])]
        outcomes: list[str] = []
        between.then = lambda outcomes=outcomes, operation=operation: outcomes.append(attempt(operation, ID))

        outcomes.append(attempt(OPERATIONS[first], ID))
        between.then = None

        left = files(home)
        assert len(left) == 1 or (not left and "delete for good" in (first, second)), second
        assert [line.raw for file in left for line in read_lines(file)] in ([], said), second
        assert set(outcomes) <= {"done", "SessionNotFoundError"}, second


@pytest.mark.parametrize("first", OPERATIONS)
def test_a_change_of_a_file_moved_before_its_lock_follows_it_or_raises_session_not_found(
    home: Path, between: Between, first: str
) -> None:
    for second, operation in OPERATIONS.items():
        path = put_anew(home)
        between.then = lambda operation=operation: attempt(operation, ID)

        attempt(OPERATIONS[first], path)
        between.then = None

        assert len(files(home)) == 1 or "delete for good" in (first, second), second


@pytest.mark.parametrize("between", ["locking"], indirect=True)
def test_a_moved_file_is_compressed_and_decompressed_in_its_new_folder(
    home: Path, path: Path, between: Between
) -> None:
    between.then = lambda: archive(ID)
    packed = compress(path, min_age=0)
    between.then = lambda: decompress(ID)
    plain = decompress(packed)

    assert packed.name == f"{path.name}.zst"
    assert plain == home / "archived_sessions" / path.name
    assert files(home) == [plain]


@pytest.mark.parametrize("between", ["locking"], indirect=True)
def test_compress_of_a_removed_file_does_not_compress_another_file_of_the_session(
    home: Path, path: Path, between: Between
) -> None:
    reverted = path.with_name(f"rollout-2026-11-21T03-00-00-{ID}_{ID[:-1]}0.jsonl")
    reverted.write_bytes(path.read_bytes())
    between.then = path.unlink

    with pytest.raises(SessionNotFoundError):
        compress(path, min_age=0)

    assert files(home) == [reverted]


def test_archive_of_a_file_deleted_during_the_check_of_its_place_raises_session_not_found(
    home: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = _moves._live

    def listed(*args: Any) -> Any:
        monkeypatch.setattr(_moves, "_live", real)
        delete(ID)
        return real(*args)

    monkeypatch.setattr(_moves, "_live", listed)
    with pytest.raises(SessionNotFoundError):
        archive(path)


def test_archive_of_a_file_removed_by_another_program_raises_session_not_found(
    home: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = _moves.make_folder

    def made(folder: Path) -> None:
        real(folder)
        path.unlink(missing_ok=True)

    monkeypatch.setattr(_moves, "make_folder", made)
    with pytest.raises(SessionNotFoundError):
        archive(ID)


def test_a_session_unarchived_during_the_search_is_found(
    home: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(ID)
    real = find_module._newest_match

    def looked(folder: Path, wanted: str, is_whole: bool, archived: bool) -> Any:
        found = real(folder, wanted, is_whole, archived)
        if not archived and not path.exists():
            monkeypatch.undo()
            unarchive(home / "archived_sessions" / path.name)
        return found

    monkeypatch.setattr(find_module, "_newest_match", looked)

    assert find_session(ID) == path


@pytest.mark.parametrize("change", [compress, decompress])
def test_a_session_compressed_or_decompressed_while_its_folder_is_read_is_listed(
    home: Path, path: Path, change: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    if change is decompress:
        compress(ID, min_age=0)
    real = walk_module._is_file

    def asked(name: Path) -> bool:
        monkeypatch.setattr(walk_module, "_is_file", real)
        compress(ID, min_age=0) if change is compress else decompress(ID)
        return real(name)

    monkeypatch.setattr(walk_module, "_is_file", asked)

    assert [item.path for item in list_sessions().items] == files(home)


@pytest.mark.parametrize("use", [session_storage, lambda session: follow(session, timeout=0).close()])
def test_a_session_moved_before_it_is_opened_is_opened_in_its_new_folder(
    home: Path, path: Path, use: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = find_module.find_session

    def found(*args: Any, **options: Any) -> Path:
        monkeypatch.setattr(find_module, "find_session", real)
        place = real(*args, **options)
        archive(ID)
        return place

    monkeypatch.setattr(find_module, "find_session", found)
    use(ID)


def test_a_fork_by_reference_finds_its_base_after_a_move(
    home: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_id = ID[:-1] + "0"
    base = {"thread_id": ID, "end_ordinal_exclusive": 2}
    forked = put(home, [meta(own_id, history_base=base), event("token_count")], session_id=own_id)
    real = lineage_module._file_of

    def found(*args: Any) -> Path:
        place = real(*args)
        if place == path:
            archive(ID)
        return place

    monkeypatch.setattr(lineage_module, "_file_of", found)

    assert len(load_history(forked).inherited) > 0


def test_fork_of_a_session_that_is_always_moved_before_the_copy_raises_session_not_found(
    home: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fork, "locate", lambda *_: path.with_name("gone"))

    with pytest.raises(SessionNotFoundError):
        fork(ID)


def test_a_change_by_the_beginning_of_an_id_respects_the_session_s_lock(home: Path, path: Path) -> None:
    with SessionLock(home, ID):
        for operation in (archive, unarchive, delete, lambda session: compress(session, min_age=0)):
            with pytest.raises(SessionBusyError):
                operation(ID[:8])


@pytest.fixture
def hurried() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def run_at_once(home: Path, rounds: int) -> Counter[tuple[str, str]]:
    """
    Run random operations on four threads; return how often each had each outcome.
    """
    ended: Counter[tuple[str, str]] = Counter()
    start = threading.Barrier(4)
    lost = [name for name in OPERATIONS if name != "delete for good"]

    def work(number: int) -> None:
        choice = random.Random(number)
        start.wait(LIMIT)
        for _ in range(rounds):
            name = choice.choice(lost)
            try:
                OPERATIONS[name](ID)
            except RolloutError as error:
                ended[name, type(error).__name__] += 1
            except Exception as error:  # noqa: BLE001 -- which, the test says
                ended[name, repr(error)] += 1
            else:
                ended[name, "done"] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    return ended


def assert_whole(home: Path, said: bytes, ended: Counter[tuple[str, str]]) -> None:
    assert {how for _, how in ended} <= {"done", "SessionNotFoundError", "SessionBusyError"}
    (left,) = files(home)
    assert b"".join(line.raw + b"\n" for line in read_lines(left)) == said
    assert session_names() in ({}, {ID: "name"})
    for copy in set(home.rglob("rollout-*.jsonl")) - {left, *deleted_sessions()}:
        assert load_history(copy).lines


def test_concurrent_operations_lose_no_line_and_raise_only_documented_errors(
    home: Path, path: Path, hurried: None
) -> None:
    ended = run_at_once(home, 60)

    assert_whole(home, encode(seed_session("one", "two")), ended)


@pytest.mark.slow
def test_many_concurrent_operations_lose_no_line(home: Path, path: Path, hurried: None) -> None:
    ended = run_at_once(home, 1500)

    assert_whole(home, encode(seed_session("one", "two")), ended)
    assert {name for name, how in ended if how == "done"} == OPERATIONS.keys() - {"delete for good"}
