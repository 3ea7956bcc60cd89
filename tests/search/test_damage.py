from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from rollout.search import Filters, Index, Progress, index_path, indexed_sessions, indexed_stats, search, update_index
from rollout.search import _update as update_module
from rollout.search._checking import check
from rollout.search._damage import DamagedIndexError, is_damage, session_checksum, span_checksum
from rollout.search._rows import COLUMNS
from rollout.search._seal import CHANGED, DAMAGED, WHOLE, Seal, lock_path
from rollout.store import delete
from tests.rollouts import encode, message, prompt, seed_session
from tests.search.homes import found, put_session, session_id, sql_damage

ROOT = Path(__file__).parent.parent.parent
PAGE = 4096


@pytest.fixture
def indexed(home: Path) -> Path:
    """
    The index of a home of eight sessions, of which one is gone.
    """
    for number in range(9):
        words = " ".join(f"z{number}x{part}" for part in range(200))
        put_session(home, number, [*seed_session("common start"), message("user", f"word{number} {words}")])
    update_index()
    delete(session_id(8))
    update_index()
    return index_path()


def answers() -> list[object]:
    return [
        found("common"),
        found("word3 OR word5"),
        {path.name for path in search("start").sessions()},
        found("common", filters=Filters(branch="none")),
        [session.path for session in indexed_sessions()],
        [session.path for session in indexed_sessions(order="created", filters=Filters())],
    ]


def assert_right_and_healed(expected: list[object]) -> None:
    assert answers() == expected
    assert len(indexed_stats()) in (0, 8)
    update_index()
    results = search("common")
    assert len(list(results)) == 16
    assert (results.is_indexed, results.problems) == (True, [])
    assert answers() == expected
    assert len(indexed_stats()) == 8


def put_back(path: Path, data: bytes) -> None:
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.write_bytes(data)


def zeros(_: random.Random, data: bytearray, at: int) -> None:
    data[at : at + PAGE] = bytes(PAGE)


def noise(chance: random.Random, data: bytearray, at: int) -> None:
    data[at : at + PAGE] = chance.randbytes(PAGE)


def flips(chance: random.Random, data: bytearray, at: int) -> None:
    for _ in range(4):
        data[at + chance.randrange(PAGE)] ^= 1 << chance.randrange(8)


def swap(chance: random.Random, data: bytearray, at: int) -> None:
    other = chance.randrange(len(data) // PAGE) * PAGE
    data[at : at + PAGE] = data[other : other + PAGE]


@pytest.mark.promise("index")
@pytest.mark.parametrize("damage", [zeros, noise, flips, swap])
def test_damage_in_any_page_changes_no_answer_and_an_update_repairs_it(
    indexed: Path, damage: Callable[[random.Random, bytearray, int], None]
) -> None:
    expected, chance = answers(), random.Random(8)

    for _ in range(8):
        data = bytearray(indexed.read_bytes())
        damage(chance, data, chance.randrange(len(data) // PAGE) * PAGE)
        put_back(indexed, bytes(data))
        assert_right_and_healed(expected)


@pytest.mark.promise("index")
def test_damage_that_keeps_the_file_s_time_is_detected(indexed: Path) -> None:
    expected, status = answers(), indexed.stat()
    data = bytearray(indexed.read_bytes())
    # Words of lines, most of which SQLite would read as others.
    for at in range(PAGE * 10, len(data), 97):
        data[at] ^= 1

    with indexed.open("r+b") as file:
        file.write(data)
    os.utime(indexed, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert_right_and_healed(expected)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def another_database(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE notes (key TEXT, value)")


def a_log_of_another_database(path: Path) -> None:
    other, log = path.with_name("other"), path.with_name(f"{path.name}-wal")
    with closing(sqlite3.connect(other)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE notes (key TEXT, value)")
        database.commit()
        shutil.copy(other.with_name("other-wal"), log)


def beside(suffix: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda path: make(path.with_name(path.name + suffix))


STATES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, PAGE * 3),
    "cut within a page": lambda path: os.truncate(path, PAGE * 3 + 5),
    "empty": lambda path: os.truncate(path, 0),
    "longer": lambda path: os.truncate(path, path.stat().st_size + PAGE),
    "a folder": a_folder,
    "a pipe": a_pipe,
    "a link": a_link,
    "another database": another_database,
    "a newer version": sql_damage("UPDATE notes SET value = 99 WHERE key = 'version'"),
    "a folder outside": sql_damage("UPDATE sessions SET folder = '/etc'"),
    "a session less": sql_damage("DELETE FROM sessions WHERE id = 3"),
    "words less": sql_damage("DELETE FROM texts_data WHERE id > 10"),
    "lines less": sql_damage("DELETE FROM spans WHERE first > 5"),
    "another text": sql_damage("UPDATE sessions SET preview = CAST(x'ff41' AS TEXT)"),
    "without a log": sql_damage("PRAGMA journal_mode = DELETE"),
    "a log of another database": a_log_of_another_database,
    "a log that is noise": beside("-wal", lambda path: path.write_bytes(b"noise" * 5000)),
    "a log that is a folder": beside("-wal", Path.mkdir),
    "a log that is a pipe": beside("-wal", os.mkfifo),
    "a wal-index that is noise": beside("-shm", lambda path: path.write_bytes(b"noise" * 8000)),
    "a wal-index that is a folder": beside("-shm", Path.mkdir),
    "no seal": lambda path: lock_path(path).unlink(),
    "a seal that is noise": lambda path: lock_path(path).write_bytes(b"noise\n" * 99),
}


@pytest.mark.promise("index")
@pytest.mark.parametrize("state", STATES)
def test_with_anything_in_place_of_the_index_answers_are_right_and_an_update_creates_it(
    indexed: Path, state: str
) -> None:
    expected = answers()

    STATES[state](indexed)

    assert_right_and_healed(expected)


def test_a_folder_with_files_in_place_of_the_index_is_not_removed(indexed: Path) -> None:
    expected = answers()
    a_folder(indexed)
    (indexed / "own").touch()

    with pytest.raises(OSError, match="not empty"):
        update_index()

    assert answers() == expected
    assert (indexed / "own").exists()


def test_the_index_of_another_home_is_not_used(indexed: Path, tmp_path: Path) -> None:
    put_session(tmp_path / "other", 1, seed_session("elsewhere"))
    update_index(home=tmp_path / "other")
    for suffix in ("", ".lock"):
        shutil.copy(indexed.with_name(indexed.name + suffix), f"{index_path(tmp_path / 'other')}{suffix}")

    assert len(list(search("elsewhere", home=tmp_path / "other"))) == 2
    assert list(search("common", home=tmp_path / "other")) == []
    assert Index.open(tmp_path / "other") is None


def test_a_copied_index_is_checked_once_and_used(indexed: Path) -> None:
    copy = indexed.with_name("copy")
    shutil.copy(indexed, copy)
    copy.replace(indexed)

    assert Seal(indexed).judge()[0] == WHOLE

    assert Seal(indexed).holds(is_closed=True)
    assert search("common").is_indexed


def test_a_damaged_trigram_index_is_rebuilt_as_a_trigram_index(indexed: Path) -> None:
    update_index(trigram=True)
    sql_damage("UPDATE sessions SET folder = '/etc'")(indexed)

    update_index()

    assert len(found("ommo")) == 16


def in_place(statement: str) -> None:
    """
    Change a row as a disk does that lets it rot: without a trace in the file's times.
    """
    with Index.open() or pytest.fail() as index, index.transaction():
        index.database.execute(statement)


ROTS = {
    "a session": "UPDATE sessions SET size = size + 1 WHERE id = 3",
    "another type": "UPDATE sessions SET size = 'x' WHERE id = 3",
    "a folder outside": "UPDATE sessions SET folder = '../' || folder WHERE id = 3",
    "a session that is missing": "DELETE FROM sessions WHERE id = 3",
    "a place of lines": "UPDATE spans SET offsets = x'0102' WHERE first = 4",
    "a place of lines that is missing": "DELETE FROM spans WHERE first < 5",
    "the last place of lines that is missing": "DELETE FROM spans WHERE first = (SELECT max(first) FROM spans)",
    "a place of lines of another type": "UPDATE spans SET offsets = 7",
    "the folders": "UPDATE folders SET mtime_ns = mtime_ns + 1",
    "a folder that is missing": "DELETE FROM folders WHERE path LIKE '%archived%'",
    "a note": "UPDATE notes SET value = 'x' WHERE key = 'folders'",
    "a note that is missing": "DELETE FROM notes WHERE key = 'folders'",
    "no UTF-8": "UPDATE sessions SET preview = CAST(x'ff41' AS TEXT) WHERE id = 3",
}


@pytest.mark.promise("index")
@pytest.mark.parametrize("rot", ROTS)
def test_a_changed_row_has_no_effect_on_answers(indexed: Path, rot: str) -> None:
    expected = answers()

    in_place(ROTS[rot])

    assert_right_and_healed(expected)


def test_a_row_with_a_path_outside_the_home_is_refused_even_with_a_valid_checksum(indexed: Path) -> None:
    expected = answers()
    with Index.open() or pytest.fail() as index, index.transaction():
        index.database.execute("UPDATE sessions SET folder = 'sessions/../../elsewhere' WHERE id = 3")
        index.sign(3)

    with pytest.raises(DamagedIndexError, match="is not a rollout in the home"), Index.open() or pytest.fail() as index:
        index.row(3)

    assert_right_and_healed(expected)


def test_a_damaged_note_about_a_removed_session_is_detected(indexed: Path) -> None:
    in_place("UPDATE gone SET sum = sum + 1")

    with pytest.raises(DamagedIndexError, match="missing"), Index.open() or pytest.fail() as index:
        index.row(9)


def test_a_list_is_read_from_the_files_if_the_index_lacks_a_session(
    indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Index.rows
    # As where the tree of names has an entry that the table has not.
    monkeypatch.setattr(Index, "rows", lambda self, *args: list(rows(self, *args))[1:] if args else rows(self))

    assert len(list(indexed_sessions())) == 8


@pytest.mark.promise("index")
def test_the_daily_check_of_an_update_detects_words_changed_by_the_disk(
    indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, seal = answers(), Seal(indexed)
    _, commits, sum_ = seal._read() or pytest.fail()
    indexed.write_bytes(indexed.read_bytes().replace(b"\x06common", b"\x06commom"))
    # As if the file's times were what they were: until then it cannot be known.
    seal._write(" ".join(seal._state()), commits, sum_)
    assert found("common") == set()

    monkeypatch.setattr(update_module, "_CHECKED_EVERY", -1)
    update_index()

    assert_right_and_healed(expected)


def test_an_update_keeps_an_index_without_damage(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    number = indexed.stat().st_ino
    monkeypatch.setattr(update_module, "_CHECKED_EVERY", -1)

    update_index()
    with Index.open() or pytest.fail() as index:
        # Beside a process that writes, its rows are checked.
        index._seal.open(index.note("commits"))
        index.check()

    assert indexed.stat().st_ino == number


def left_open(path: Path) -> None:
    """
    Leave an index as a process does that is killed while SQLite puts the log into the database.
    """
    seal = Seal(path)
    seal.open((seal._read() or pytest.fail())[1])
    os.utime(path)


@pytest.mark.promise("index")
def test_an_index_left_by_a_killed_writer_is_checked_and_used(indexed: Path) -> None:
    number = indexed.stat().st_ino
    left_open(indexed)
    assert Seal(indexed).judge()[0] == CHANGED

    assert search("common").is_indexed

    update_index()
    assert indexed.stat().st_ino == number
    assert Seal(indexed).holds(is_closed=True)


WRONG = {
    "a tree": "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = 3 WHERE name = 'unread'",
    "a session": ROTS["a session"],
    "a session that is missing": ROTS["a session that is missing"],
    "a session that is gone": "UPDATE gone SET sum = sum + 1",
    "lines": "UPDATE spans SET session = session + 1 WHERE first = 4",
    "the first lines": "DELETE FROM spans WHERE first = 1",
    "the last lines": "DELETE FROM spans WHERE first = (SELECT max(first) FROM spans)",
    "a note": "DELETE FROM notes WHERE key = 'checked'",
}


@pytest.mark.promise("index")
@pytest.mark.parametrize("wrong", WRONG)
def test_an_index_left_by_a_killed_writer_is_not_used_if_rows_are_missing(indexed: Path, wrong: str) -> None:
    expected = answers()
    with Index.open() or pytest.fail() as index:
        index.database.executescript(WRONG[wrong])
    left_open(indexed)

    assert Index.open() is None
    assert Seal(indexed).judge()[0] == DAMAGED
    assert_right_and_healed(expected)


def test_a_truncated_log_is_detected(indexed: Path) -> None:
    with Index.open() or pytest.fail() as index:
        index._seal.open(index.note("commits") + 1)
        os.utime(indexed)

        assert Seal(indexed).judge()[0] == CHANGED
        index._seal.open(index.note("commits") + 1)

    with Index.open() or pytest.fail() as index:
        assert Seal(indexed).judge() == (WHOLE, index.note("commits"))


def test_a_log_of_a_sealed_index_is_checked_with_it(indexed: Path) -> None:
    indexed.with_name(f"{indexed.name}-wal").write_bytes(b"x" * 32)

    assert Seal(indexed).judge()[0] == CHANGED
    assert search("common").is_indexed


def test_the_seal_of_an_index_that_another_process_has_open_stays_open(indexed: Path) -> None:
    with Index.open() or pytest.fail() as index:
        with index.transaction():
            index.note("checked", 1)
        seal = Seal(indexed)

        seal.close()

        assert seal.holds()
        assert not seal.holds(is_closed=True)
    assert seal.holds(is_closed=True)


def test_a_seal_is_open_if_another_process_writes_while_the_index_is_read(
    indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal, checksum = Seal(indexed), Seal._checksum

    def late(self: Seal) -> int:
        sum_ = checksum(self)
        os.utime(indexed)
        return sum_

    monkeypatch.setattr(Seal, "_checksum", late)
    seal.close()

    assert seal.holds()
    assert not seal.holds(is_closed=True)


def test_changes_by_another_program_while_an_index_is_open_are_not_sealed(indexed: Path) -> None:
    expected = answers()
    with Index.open() or pytest.fail() as index, closing(sqlite3.connect(indexed)) as database:
        database.execute("UPDATE sessions SET folder = '/etc'")
        database.commit()
        with index.transaction():
            index.note("checked", 1)

    assert Seal(indexed).judge()[0] == DAMAGED
    assert_right_and_healed(expected)


def test_a_seal_that_cannot_be_written_is_not_valid(tmp_path: Path) -> None:
    path = tmp_path / "index"
    seal = Seal(path)
    lock_path(path).mkdir()

    seal.open(1)
    seal.close(1)
    seal.remove()

    assert seal.judge() == (DAMAGED, 0)
    lock_path(path).rmdir()
    lock_path(path).symlink_to("nowhere")
    assert seal.judge() == (DAMAGED, 0)
    lock_path(path).unlink()
    lock_path(path).touch()
    seal._write("elsewhere", 1, 1)
    path.mkdir()
    assert seal.judge() == (WHOLE, 1) or not seal.holds()


def test_a_killed_update_leaves_a_valid_index(home: Path, indexed: Path) -> None:
    number = indexed.stat().st_ino
    for session in range(20, 60):
        put_session(home, session, [*seed_session("common"), *prompt("common again")])
    expected = found("common", use_index=False)
    program = """
import os
from rollout.search import _ingest, _update, update_index
_ingest.BATCH_SIZE = _update.BATCH_SIZE = 2_000
update_index(progress=lambda part: part.sessions == 7 and os.kill(os.getpid(), 9))
"""

    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
        assert found("common") == expected
        assert search("common").is_indexed
        update_index() if _ else None

    assert indexed.stat().st_ino == number
    assert search("common").scanned == 0
    assert found("common") == expected


def test_an_update_that_finds_a_missing_note_rebuilds_the_index(
    home: Path, indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_session(home, 20, encode(seed_session("common")))
    in_place("DELETE FROM notes WHERE key = 'next_row'")
    seen: list[Progress] = []

    done = update_index(progress=seen.append)

    assert done.sessions == 9
    assert len(found("common")) == 18


def test_damage_is_distinguished_from_errors_of_the_disk_and_of_permissions() -> None:
    damage = [
        sqlite3.DatabaseError("database disk image is malformed"),
        sqlite3.OperationalError("Could not decode to UTF-8 column 'preview' with text 'x'"),
        sqlite3.OperationalError("no such table: texts"),
        sqlite3.IntegrityError("datatype mismatch"),
        DamagedIndexError("a row"),
    ]
    others = [
        sqlite3.OperationalError("database is locked"),
        sqlite3.OperationalError("database or disk is full"),
        sqlite3.OperationalError("disk I/O error"),
        sqlite3.ProgrammingError("Cannot operate on a closed database."),
        sqlite3.InterfaceError("bad argument"),
        ValueError("x"),
        None,
    ]

    assert all(map(is_damage, damage))
    assert not any(map(is_damage, others))


def test_rows_of_wrong_types_have_no_checksum() -> None:
    texts = [None] * 9
    assert session_checksum([None] * len(COLUMNS)) == -1
    assert session_checksum([1, "n", "f", 0, 0, 0, 0, 0, "text", 0, 0, 0, *texts]) == -1
    for tokens, used in ((0, "text"), ("text", 0), (2**70, None)):
        assert session_checksum([1, "n", "f", 0, 0, 0, 0, 0, b"", 0, tokens, used, *texts]) == -1
    assert session_checksum([1, "n", "f", 0, 0, 0, 0, 0, b"", 0, None, None, *texts]) != -1
    assert span_checksum("x", 1, b"") == span_checksum(1, 1, None) == -1


def test_a_check_of_an_undamaged_index_raises_no_error(indexed: Path) -> None:
    with Index.open() or pytest.fail() as index:
        check(index)

        assert not index.database.in_transaction
