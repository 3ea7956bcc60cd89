from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from rollout import AmbiguousSessionError, Recorder, repair
from rollout.layout import make_folder
from rollout.search import (
    Filters,
    Index,
    IndexBusyError,
    Progress,
    delete_index,
    index_path,
    indexed_sessions,
    indexed_stats,
    search,
    update_index,
)
from rollout.search import _index as index_room
from rollout.search import _news as news_room
from rollout.search import _postings as postings_room
from rollout.search import _reading as reading_room
from rollout.search import _update as update_room
from rollout.search._index import COLUMNS
from rollout.search._news import changes
from rollout.search._postings import add_lines, find_lines
from rollout.search._query import parse_query
from rollout.store import archive, compress, decompress, delete, restore, unarchive
from tests.rollouts import Line, answer, encode, event, message, meta, prompt, seed_session
from tests.search.homes import (
    OLD,
    call,
    found,
    many,
    output,
    place_of,
    put_session,
    session_id,
    settle,
    texts,
    timestamp,
)

ROOT = Path(__file__).parent.parent.parent


def opened(home: Path | None = None) -> Index:
    index = Index.open(home)
    assert index is not None
    return index


def content() -> dict[str, Any]:
    """
    Give all that an index says, but for the numbers of its sessions and rows.
    """
    with opened() as index:
        names = {row.id: row.name for row in index.rows()}
        rows = [
            [getattr(row.facts if hasattr(row.facts, name) else row, name) for name in COLUMNS[1:]]
            for row in index.rows("1 = 1 ORDER BY name")
        ]
        places = {
            number: (names.get(session), offset)
            for first, session, offsets in index.database.execute("SELECT first, session, offsets FROM spans")
            for number, offset in enumerate(postings_room._unpacked(offsets), first)
        }
        index.database.execute("CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, texts, instance)")
        words = [(*places[number], term) for term, number in index.database.execute("SELECT term, doc FROM temp.words")]
        states = {row.name: reading_room.plain_state(index.state(row.id) or b"") for row in index.rows()}
    return {"rows": rows, "words": sorted(word for word in words if word[0]), "states": states}


def fresh() -> dict[str, Any]:
    """
    Give what an index made anew says.
    """
    update_index(rebuild=True)
    return content()


def append(path: Path, data: bytes | list[Line]) -> None:
    with path.open("ab") as file:
        file.write(data if isinstance(data, bytes) else encode(data))


def behind(home: Path) -> list[str]:
    with opened(home) as index:
        return [change.name.session_id for change in changes(index)]


def test_an_update_reads_what_is_new_and_nothing_else(home: Path) -> None:
    one = put_session(home, 1, seed_session("first"))
    put_session(home, 2, seed_session("second"))

    first = update_index()
    append(one, prompt("third"))
    second = update_index()
    third = update_index()

    assert (first.sessions, second.sessions, third.sessions) == (2, 1, 0)
    assert second.size == len(encode(prompt("third")))
    assert third.size == 0
    assert search("third").is_indexed
    assert texts("first OR second OR third") == ["answer to first", "answer to second", "first", "second", "third"]
    assert content() == fresh()


def test_an_update_tells_how_far_it_is(home: Path) -> None:
    many(home, 3)
    seen: list[Progress] = []

    update_index(progress=seen.append)

    assert [(part.sessions, part.all_sessions) for part in seen] == [(1, 3), (2, 3), (3, 3)]
    assert seen[-1].size == seen[-1].all_size


def test_the_index_of_a_home_without_sessions_says_nothing(home: Path) -> None:
    assert update_index().sessions == 0
    assert texts("anything") == []


def test_the_index_lies_in_the_cache_and_only_its_owner_reads_it(home: Path, cache: Path) -> None:
    before = os.umask(0)
    try:
        put_session(home, 1, seed_session("secret"))
        update_index()
        with opened() as index:
            names = sorted(path.name for path in index.path.parent.iterdir())
            modes = {path.stat().st_mode & 0o777 for path in index.path.parent.iterdir()}
    finally:
        os.umask(before)

    assert index_path().parent == cache / "rollout"
    assert len(names) == 4
    assert modes == {0o600}
    assert index_path().parent.stat().st_mode & 0o777 == 0o700


def test_the_index_holds_no_text(home: Path) -> None:
    put_session(home, 1, [*seed_session("short"), message("user", "wordone wordtwo wordthree")])

    update_index()

    assert b"wordone wordtwo" not in index_path().read_bytes()
    assert texts('"wordone wordtwo"') == ["wordone wordtwo wordthree"]


def test_two_homes_have_two_indexes(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    put_session(home, 1, seed_session("here"))
    put_session(other, 1, seed_session("there"))

    update_index()

    assert index_path() != index_path(other)
    assert not search("there", home=other).is_indexed
    update_index(home=other)
    assert texts("there", home=other) == ["answer to there", "there"]
    assert texts("there") == []


def test_without_the_extra_the_index_says_so_and_a_search_reads(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_session(home, 1, seed_session("one"))
    monkeypatch.setitem(sys.modules, "platformdirs", None)

    with pytest.raises(ModuleNotFoundError, match=r"rollout-recorder\[search\]"):
        update_index()
    assert not search("one").is_indexed
    assert len(texts("one")) == 2
    assert indexed_stats() == {}
    assert [session.turns for session in indexed_sessions()] == [None]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"first", b"fresh"),
        lambda data: data.replace(b"first", b"a longer one"),
        lambda data: data.replace(b"first", b"it"),
        lambda data: encode(seed_session("fresh")),
        lambda data: data[: data.index(b"first") + 3],
        lambda data: data[:0],
        lambda data: data.replace(b"first", b"fresh") + encode(prompt("then")),
    ],
)
@pytest.mark.parametrize("in_place", [True, False])
def test_a_file_that_was_written_anew_is_read_anew(
    home: Path, change: Callable[[bytes], bytes], in_place: bool
) -> None:
    # So long that what is checked does not reach what is changed.
    path = put_session(home, 1, seed_session("first", *["second"] * 5))
    update_index()
    data = change(path.read_bytes())
    if data.endswith(encode(prompt("then"))):
        # Whoever writes into the middle of a file and behind its end, at one go, is not seen.
        in_place = False
    if in_place:
        path.write_bytes(data)
    else:
        other = path.with_name("other")
        other.write_bytes(data)
        other.replace(path)

    for _ in range(2):
        for word in ("first", "fresh", "longer", "it", "second", "then"):
            assert found(word) == found(word, use_index=False), word
        update_index()
    assert search("fresh").scanned == 0
    assert content() == fresh()


def test_a_session_whose_index_has_another_shape_is_read_anew(home: Path) -> None:
    path = put_session(home, 1, seed_session("first"))
    update_index()
    with opened() as index, index.transaction():
        index.database.execute("UPDATE sessions SET state = ?", [zlib.compress(b'{"counter":{}}')])
    append(path, prompt("second"))

    assert len(texts("first OR second")) == 3
    assert indexed_stats() == {}
    update_index()

    assert len(texts("first OR second")) == 3
    assert content() == fresh()


def test_statistics_of_a_damaged_state_are_left_out(home: Path) -> None:
    put_session(home, 1, seed_session("first"))
    update_index()
    with opened() as index, index.transaction():
        index.database.execute("UPDATE sessions SET state = ?", [b"no state"])

    assert indexed_stats() == {}


def test_what_moves_is_not_read_again(home: Path) -> None:
    put_session(home, 1, seed_session("first"))
    put_session(home, 2, seed_session("second"))
    update_index()
    one = session_id(1)

    for move in (
        archive,
        lambda one: compress(one, min_age=0),
        unarchive,
        decompress,
        lambda one: compress(one, min_age=0),
        decompress,
        archive,
    ):
        path = move(one)
        for _ in range(2):
            results = search("first")
            hits = list(results)
            assert ({hit.path for hit in hits}, len(hits)) == ({path}, 2)
            assert (results.is_indexed, results.scanned, results.problems) == (True, 0, [])
            assert [session.path for session in indexed_sessions(filters=Filters(archived=None))][1] == path
            assert len(indexed_stats()) == 2
            is_archived = path.parent.name == "archived_sessions"
            assert bool(texts("first", filters=Filters(archived=True))) is is_archived
            assert bool(texts("first", filters=Filters(archived=False))) is not is_archived
            done = update_index()
            assert (done.sessions, done.size, done.gone) == (0, 0, 0)
    assert content() == fresh()


def test_a_session_that_was_compressed_and_goes_on_is_read_anew(home: Path) -> None:
    path = put_session(home, 1, seed_session("first"))
    compress(path, min_age=0)
    update_index()
    append(decompress(session_id(1)), prompt("second"))

    assert len(texts("first OR second")) == 3
    assert update_index().gone == 1

    assert len(texts("first OR second")) == 3
    assert content() == fresh()


def test_a_session_that_was_compressed_with_another_time_is_read_anew(home: Path) -> None:
    path = compress(put_session(home, 1, seed_session("first")), min_age=0)
    update_index()
    os.utime(path, (1, 1))

    assert len(texts("first")) == 2
    assert update_index().gone == 1
    assert len(texts("first")) == 2


def test_a_session_that_is_deleted_is_found_no_more(home: Path) -> None:
    put_session(home, 1, seed_session("first"))
    put_session(home, 2, seed_session("second"))
    update_index()

    delete(session_id(1))

    results = search("first")
    assert (list(results), results.problems) == ([], [])
    assert [session.session_id for session in indexed_sessions()] == [session_id(2)]
    assert update_index().gone == 1
    assert texts("first") == []
    restore(session_id(1))
    assert len(texts("first")) == 2
    assert content()["rows"] != fresh()["rows"]


def test_a_rollout_with_a_link_in_its_place_is_gone(home: Path, tmp_path: Path) -> None:
    path = put_session(home, 1, seed_session("first"))
    update_index()
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")

    assert texts("first") == []
    assert update_index().gone == 1


def test_other_files_among_the_sessions_are_passed_over(home: Path) -> None:
    folder = put_session(home, 1, seed_session("first")).parent
    (folder / "rollout-notes.txt").write_text("first")
    (folder / f"rollout-{timestamp(2)}-{session_id(2)}.jsonl").mkdir()

    assert update_index().sessions == 1
    assert update_index().sessions == 0


def test_a_trigram_index_finds_parts_of_words(home: Path) -> None:
    path = put_session(home, 1, [*seed_session("unbelievable"), message("user", "日本語 go")])

    update_index(trigram=True)

    assert texts("believ") == ["answer to unbelievable", "unbelievable"]
    assert texts("日本語") == ["日本語 go"]
    append(path, prompt("believing"))
    assert len(texts("believ")) == 3
    update_index()
    update_index(rebuild=True)
    assert len(texts("believ")) == 3
    results = search("go")
    assert [hit.text for hit in results] == ["日本語 go"]
    assert not results.is_indexed
    update_index(trigram=False)
    assert texts("believ") == []
    assert search("go").is_indexed


def test_an_index_is_made_anew_with_what_is_there_only(home: Path) -> None:
    put_session(home, 1, seed_session("first"))
    update_index()
    delete(session_id(1))
    with opened() as index:
        update_index(rebuild=True)
        # Whoever has the old one open goes on with it.
        assert len(list(index.rows())) == 1

    with opened() as index:
        assert list(index.rows()) == []
        assert list(index.database.execute("SELECT rowid FROM texts WHERE texts MATCH 'first'")) == []


def test_a_deleted_index_is_gone_and_made_again(home: Path) -> None:
    put_session(home, 1, seed_session("first"))
    assert delete_index() is False
    update_index()

    assert delete_index() is True

    assert list(index_path().parent.iterdir()) == []
    assert not search("first").is_indexed
    update_index()
    assert search("first").is_indexed


def test_a_cache_that_is_removed_under_a_search_does_not_end_it(home: Path) -> None:
    many(home, 20)
    update_index()
    expected = found("common")
    results = search("common")
    hits = [next(results)]

    for path in index_path().parent.iterdir():
        path.unlink()

    hits += results
    assert {place_of(hit) for hit in hits} == expected


def damaged(home: Path, damage: Callable[[Path], object]) -> None:
    many(home, 30)
    update_index()
    with closing(sqlite3.connect(index_path())) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damage(index_path())


def noise(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def noise_within(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for at in range(4096, len(data)):
        data[at] = (at * 31) % 256
    path.write_bytes(data)


def noise_in_words(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE texts_data SET block = x'ffffffffffffffffff' || block WHERE id > 10")
        database.commit()


def rewritten(statement: str) -> Callable[[Path], object]:
    def rewrite(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database:
            database.execute(statement)
            database.commit()

    return rewrite


DAMAGES = {
    "noise": noise,
    "noise within": noise_within,
    "noise in words": noise_in_words,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: os.truncate(path, 8192),
    "another version": rewritten("UPDATE notes SET value = 1 WHERE key = 'version'"),
    "no version": rewritten("DELETE FROM notes WHERE key = 'version'"),
    "no notes": rewritten("DROP TABLE notes"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_index_is_done_without_and_made_again(home: Path, damage: str) -> None:
    damaged(home, DAMAGES[damage])
    expected = found("common OR word1", use_index=False)

    results = search("common OR word1")

    assert {place_of(hit) for hit in results} == expected
    assert not results.is_indexed
    assert sorted(set(search("word1").sessions())) == sorted({hit.path for hit in search("word1", use_index=False)})
    assert len(list(indexed_sessions())) == 30
    assert len(indexed_stats()) in (0, 30)
    if damage == "a folder":
        index_path().rmdir()
    update_index()
    assert search("common").is_indexed
    assert found("common OR word1") == expected


def test_an_index_that_is_damaged_is_made_anew_by_an_update(home: Path) -> None:
    damaged(home, noise_in_words)
    assert len(texts("common")) == 60
    assert Index.open() is None

    update_index()

    assert content() == fresh()


@pytest.mark.parametrize("kind", [sqlite3.DatabaseError, sqlite3.IntegrityError])
def test_damage_that_an_update_meets_is_mended(
    home: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    many(home, 3)
    update_index()
    put_session(home, 9, seed_session("common"))
    add, count = reading_room.add_lines, 0

    def failing(*args: Any) -> None:
        nonlocal count
        count += 1
        if count == 1:
            raise kind("damaged")
        add(*args)

    monkeypatch.setattr(reading_room, "add_lines", failing)
    assert update_index().sessions == 4

    assert content() == fresh()


def test_a_damaged_index_is_noticed_also_between_two_hits(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(home, 9)
    put_session(home, 10, seed_session("common"))
    update_index()
    expected = found("common", use_index=False)
    rows = Index.row
    count = 0

    def failing(self: Index, number: int) -> Any:
        nonlocal count
        count += 1
        if not count % 4:
            raise sqlite3.DatabaseError("database disk image is malformed")
        return rows(self, number)

    monkeypatch.setattr(Index, "row", failing)
    results = search("common")

    hits = [place_of(hit) for hit in results]

    assert (len(hits), set(hits)) == (len(expected), expected)
    assert not results.is_indexed
    assert [problem.path for problem in results.problems] == [index_path()]
    update_index()
    count = 0
    paths = list(search("common").sessions())
    assert (len(paths), set(paths)) == (10, {hit.path for hit in search("common", use_index=False)})


def test_an_index_whose_disk_is_full_stays_as_it_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put_session(home, 1, seed_session("first"))
    update_index()
    before = content()
    append(path, [message("user", " ".join(f"w{number}x{part}" for part in range(300))) for number in range(200)])
    connect = index_room._connect

    def small(*args: Any) -> sqlite3.Connection:
        database = connect(*args)
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")
        return database

    with monkeypatch.context() as patched, pytest.raises(sqlite3.OperationalError, match="full"):
        patched.setattr(index_room, "_connect", small)
        update_index()

    assert content() == before


def test_a_disk_that_is_full_at_the_beginning_leaves_no_index_open(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_session(home, 1, seed_session("first"))
    monkeypatch.setattr(index_room, "_TABLES", "no SQL")

    with pytest.raises(sqlite3.OperationalError):
        update_index()

    assert Index.open() is None
    assert len(texts("first")) == 2


def test_an_interrupted_update_takes_back_its_batch(home: Path) -> None:
    put_session(home, 1, seed_session("first"))
    update_index()
    put_session(home, 2, seed_session("second"))

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        update_index(progress=interrupt)

    assert len(texts("first OR second")) == 4
    assert [session.turns for session in indexed_sessions()] == [None, 1]
    assert update_index().sessions == 1
    assert search("second").scanned == 0
    assert len(texts("first OR second")) == 4


@contextmanager
def small_batches(monkeypatch: pytest.MonkeyPatch, size: int) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(reading_room, "BATCH_SIZE", size)
        patched.setattr(update_room, "BATCH_SIZE", size)
        yield


def test_an_update_that_is_interrupted_within_a_file_goes_on_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [meta(session_id(1)), *(line for number in range(300) for line in prompt(f"text {number}"))]
    path = put_session(home, 1, lines)
    take = reading_room.Reading._take

    def taken(self: Any, at: int, raw: Any) -> bool:
        if raw.offset > 60_000:
            raise KeyboardInterrupt
        return take(self, at, raw)

    with small_batches(monkeypatch, 10_000):
        monkeypatch.setattr(reading_room.Reading, "_take", taken)
        with pytest.raises(KeyboardInterrupt):
            update_index()
        monkeypatch.setattr(reading_room.Reading, "_take", take)
        with opened() as index:
            (row,) = index.rows()
        assert (row.size, row.mtime_ns) == (-1, -1)
        assert 50_000 < row.offset <= 60_500
        settle(home)
        assert len(texts("text")) == 300
        assert len(texts("text", filters=Filters(cwd="/home/dev", branch=None))) == 300
        done = update_index()

    assert done.size == path.stat().st_size - row.offset
    assert len(texts("text")) == 300
    assert search("text").scanned == 0
    assert content() == fresh()


KILLED = """
import sys
from rollout.search import _reading, _update, update_index
_reading.BATCH_SIZE = _update.BATCH_SIZE = 20_000
print("ready", flush=True)
update_index()
"""


def test_a_kill_at_any_moment_loses_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(home, 200)
    big = [meta(session_id(900)), *(line for number in range(800) for line in prompt(f"text {number}"))]
    put_session(home, 900, big)
    expected = found("common OR text", use_index=False)
    kills = 0

    for number in range(7):
        program = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, cwd=ROOT)
        assert program.stdout is not None
        program.stdout.readline()
        time.sleep(0.01 + number * 0.02)
        program.send_signal(signal.SIGKILL)
        kills += program.wait() == -signal.SIGKILL
        program.stdout.close()
        if number % 4 == 0:
            assert found("common OR text") == expected

    assert kills > 2
    with small_batches(monkeypatch, 20_000):
        update_index()
    assert found("common OR text") == expected
    assert search("text").scanned == 0
    assert content() == fresh()


def test_of_two_processes_that_update_one_is_told(home: Path) -> None:
    many(home, 10)
    make_folder(index_path().parent)
    errors = []

    def update(_: Progress) -> None:
        for work in (update_index, delete_index):
            with pytest.raises(IndexBusyError, match="held by another process") as caught:
                work()
            errors.append(caught.value.path)

    update_index(progress=update)

    assert set(errors) == {index_path().with_name(f"{index_path().name}.lock")}
    assert content() == fresh()


def test_a_search_beside_a_process_that_updates_finds_each_hit_once(home: Path) -> None:
    many(home, 150)
    update_index()
    for number in range(0, 150, 2):
        append(next(home.rglob(f"*{session_id(number)}*")), prompt("common end"))
    put_session(home, 999, seed_session("common"))
    expected = found("common", use_index=False)
    busy = rounds = 0

    # It may be told that this process is quicker.
    quiet = subprocess.DEVNULL
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=quiet, stderr=quiet, cwd=ROOT) as program:
        while program.poll() is None or not rounds:
            rounds += 1
            assert found("common") == expected
            try:
                update_index(rebuild=rounds == 2)
            except IndexBusyError:
                busy += 1

    assert program.returncode in (0, 1)
    assert found("common") == expected
    update_index()
    assert found("common") == expected
    assert content() == fresh()


def test_a_lock_that_is_removed_while_it_is_opened_is_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_session(home, 1, seed_session("first"))
    update_index()
    flock, count = fcntl.flock, 0
    lock = index_path().with_name(f"{index_path().name}.lock")

    def late(fd: int, how: int) -> None:
        nonlocal count
        count += 1
        if count < 3:
            lock.unlink()
            if count == 2:
                lock.touch()
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    update_index()

    assert count == 3
    assert lock.exists()


def test_a_search_beside_an_update_finds_each_hit_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(home, 60)
    update_index()
    for number in range(0, 60, 3):
        path = next(home.rglob(f"*{session_id(number)}*"))
        if number % 2:
            append(path, prompt("common end"))
        else:
            path.write_bytes(path.read_bytes().replace(b"common", b"common newer"))
    expected = found("common", use_index=False)
    seen = 0

    def look(_: Progress) -> None:
        nonlocal seen
        seen += 1
        assert found("common") == expected
        assert len(list(indexed_sessions())) == 60

    with small_batches(monkeypatch, 1):
        # The index of each of these says something else when its files are asked.
        results = [search("common") for _ in range(2)]
        early = next(results[0])
        update_index(progress=look)
        late = [{place_of(hit) for hit in each} for each in results]

    assert seen == 20
    assert late[0] | {place_of(early)} == expected
    assert late[1] == expected
    assert found("common") == expected


def test_an_index_that_is_replaced_while_it_is_opened_is_opened_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(home, 2)
    update_index()
    opened_at, times = Index._opened.__func__, 0  # type: ignore[attr-defined]

    def late(cls: type[Index], folder: Path, path: Path) -> Index | None:
        nonlocal times
        times += 1
        index: Index | None = None if times == 2 else opened_at(cls, folder, path)
        if times < 3:
            # Beside it, so that it has a number of its own.
            copy = path.with_name(f"copy{times}")
            copy.write_bytes(path.read_bytes())
            copy.replace(path)
        return index

    monkeypatch.setattr(Index, "_opened", classmethod(late))
    with opened() as index:
        assert len(list(index.rows())) == 2
    assert times == 3


def test_a_live_recorder_is_found_as_soon_as_it_has_flushed(home: Path) -> None:
    many(home, 5)
    with Recorder(home=home, cwd=home) as recorder:
        for number in range(6):
            recorder.user_message(f"message {number}")
            recorder.agent_message(f"answer {number}")
            recorder.flush()
            if number % 2:
                update_index()
            if number > 3:
                settle(home)
                update_index()
            expected = {f"message {each}" for each in range(number + 1)}
            assert set(texts("message")) == expected
            assert found("message") == found("message", use_index=False)
            assert search("message", use_index=True).is_indexed is (number > 0)
        recorder.user_message("message last")
        recorder.flush()
        with opened() as index:
            # Nothing but the live session was looked at.
            assert news_room._is_unchanged(index)
        assert behind(home) == [recorder.session_id]
        assert "message last" in texts("message")
    assert found("message") == found("message", use_index=False)
    update_index()
    assert found("message") == found("message", use_index=False)
    assert behind(home) == []
    assert content() == fresh()


def test_the_echo_of_a_message_is_found_once_wherever_an_update_came_between(home: Path) -> None:
    lines = [
        meta(session_id(1)),
        *prompt("one"),
        *answer("two"),
        call("shell", "three"),
        output("four"),
        *prompt("one"),
    ]
    cuts = [len(encode(lines[:number])) for number in range(len(lines) + 1)]
    data = encode(lines)
    expected = None

    for cut in (*cuts, cuts[2] + 20, cuts[4] + 20):
        path = put_session(home, 1, data[:cut])
        update_index(rebuild=True)
        with path.open("ab") as file:
            file.write(data[cut:])
        expected = expected or found("one OR two OR three OR four", use_index=False)
        assert len(expected) == 4
        assert found("one OR two OR three OR four") == expected
        assert [hit.text for hit in search("four", filters=Filters(tool="shell"))] == ["four"]
        update_index()
        assert found("one OR two OR three OR four") == expected
        assert [hit.text for hit in search("four", filters=Filters(tool="shell"))] == ["four"]
        assert content() == fresh()


def test_what_is_said_again_later_is_found_again_also_where_only_some_lines_are_read(home: Path) -> None:
    between = [event("token_count", number=number) for number in range(40)]
    put_session(home, 1, [meta(session_id(1)), *prompt("go"), *between, *prompt("go"), *answer("on")])

    assert len(texts("go")) == 2
    update_index()
    assert len(texts("go")) == 2


def test_the_memory_of_what_was_said_has_an_end(home: Path) -> None:
    path = put_session(home, 1, [meta(session_id(1)), *(message("user", f"n{number}") for number in range(500))])

    update_index()

    with opened() as index:
        state = index.state(1)
    assert state is not None
    assert str(reading_room.plain_state(state)).count(": 4") < 80
    append(path, [event("user_message", message="n499")])
    assert texts("n499") == ["n499"]


def test_half_a_line_is_read_when_it_is_whole(home: Path) -> None:
    whole = encode([message("user", "torn apart")])
    path = put_session(home, 1, encode(seed_session("first")) + whole[:-20])
    update_index()
    assert "not JSON" in str(next(indexed_sessions()).problem)
    assert texts("torn") == []

    append(path, whole[-20:-1])
    assert texts("torn") == ["torn apart"]
    update_index()
    assert next(indexed_sessions()).problem is None
    append(path, b"\n" + encode(prompt("second")))

    assert texts("torn OR second") == ["second", "torn apart"]
    update_index()
    assert texts("torn OR second") == ["second", "torn apart"]
    assert content() == fresh()


@pytest.mark.parametrize("more", [encode(prompt("glued")), b"x\n", b" \n", b"\r\n", b"  "])
def test_a_last_line_without_its_newline_may_go_on(home: Path, more: bytes) -> None:
    path = put_session(home, 1, encode(seed_session("first"))[:-1])
    update_index()

    append(path, more)

    for _ in range(2):
        assert found("first OR glued") == found("first OR glued", use_index=False)
        append(path, b" \n" + encode(prompt("later")))
        assert found("first OR later") == found("first OR later", use_index=False)
        update_index()
        assert found("first OR later") == found("first OR later", use_index=False)
    assert content() == fresh()


def test_a_session_that_cannot_be_read_is_told_and_tried_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put_session(home, 1, seed_session("first"))
    compressed = compress(put_session(home, 2, seed_session("second")), min_age=0)
    update_index()
    append(path, prompt("third"))
    os.utime(compressed, (OLD, OLD))
    opens = reading_room.open_rollout

    def broken(path: Path) -> Any:
        raise ModuleNotFoundError("no zstd") if path.name.endswith(".zst") else PermissionError(13, "forbidden")

    with monkeypatch.context() as patched:
        for room in (reading_room, __import__("rollout.search._scanning")):
            patched.setattr(room if room is reading_room else room.search._scanning, "open_rollout", broken)
        done = update_index()
        assert {problem.path for problem in done.problems} == {path, compressed}
        settle(home)
        update_index()
        results = search("first OR second OR third")
        assert {hit.path for hit in results} == {path}
        assert {problem.path for problem in results.problems} == {path, compressed}
    assert reading_room.open_rollout is opens
    assert len(texts("first OR second OR third")) == 5
    assert update_index().problems == []
    assert len(texts("first OR second OR third")) == 5
    assert content() == fresh()


def test_a_disk_that_fails_while_a_session_is_read_costs_this_session_only(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_session(home, 1, seed_session("first"))
    put_session(home, 2, seed_session("second"))
    lines = reading_room.raw_lines

    def failing(file: Any) -> Any:
        for number, line in enumerate(lines(file)):
            if number == 3 and b"second" in line.raw:
                raise OSError(5, "Input/output error")
            yield line

    with monkeypatch.context() as patched:
        patched.setattr(reading_room, "raw_lines", failing)
        done = update_index()

    assert [problem.reason for problem in done.problems] == ["[Errno 5] Input/output error"]
    assert len(texts("first OR second")) == 4
    assert update_index().sessions == 1
    assert content() == fresh()


def test_a_damaged_compressed_session_has_what_comes_before_the_damage(home: Path) -> None:
    path = compress(put_session(home, 1, seed_session(*map(str, range(1000)))), min_age=0)
    path.write_bytes(path.read_bytes()[:-100])

    update_index()

    assert "damaged" in str(next(indexed_sessions()).problem)
    assert found("answer") == found("answer", use_index=False)
    assert len(found("answer")) > 10


def test_a_file_that_is_replaced_between_the_look_and_the_reading_is_read_anew(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_session(home, 1, seed_session("first"))
    update_index()
    append(path, prompt("second"))
    prepare = update_room._prepare

    def late(*args: Any) -> Any:
        numbers = prepare(*args)
        path.write_bytes(encode(seed_session("other", "another", "and others", "more")))
        return numbers

    monkeypatch.setattr(update_room, "_prepare", late)
    update_index()

    assert found("first OR other OR second") == found("first OR other OR second", use_index=False)
    update_index()
    assert found("first OR other OR second") == found("first OR other OR second", use_index=False)


def test_a_file_that_cannot_be_looked_at_is_left_to_who_reads_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put_session(home, 1, seed_session("first"))
    update_index()
    append(path, prompt("second"))
    opens = os.open

    def closed(name: Any, *args: Any, **kwargs: Any) -> int:
        if Path(name) == path:
            raise PermissionError(13, "forbidden")
        return opens(name, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", closed)
        done = update_index()
        assert texts("first OR second") == []

    assert [problem.path for problem in done.problems] == [path]
    assert len(texts("first OR second")) == 3
    assert update_index().size == len(encode(prompt("second")))


def test_a_file_that_goes_between_the_look_and_the_reading_is_a_problem(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_session(home, 1, seed_session("first"))
    lstat = os.lstat

    def gone(name: Any) -> os.stat_result:
        status = lstat(name)
        path.unlink(missing_ok=True)
        return status

    with monkeypatch.context() as patched:
        patched.setattr(news_room.os, "lstat", gone)
        done = update_index()

    assert [problem.path for problem in done.problems] == [path]
    put_session(home, 1, seed_session("first"))
    assert len(texts("first")) == 2
    update_index()
    settle(home)
    update_index()
    with opened() as index, index.transaction():
        index.database.execute("UPDATE sessions SET size = -1")
        for row in index.database.execute("SELECT id FROM sessions").fetchall():
            index.sign(*row)
    path.unlink()
    settle(home)
    assert texts("first") == []
    assert update_index().gone == 1


def test_nothing_is_looked_at_where_no_folder_changed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(home, 30)
    (home / "thread-writer-locks").mkdir()
    for name in (".coordination.lock", f"{session_id(7)}.lock", f"{session_id(999)}.lock"):
        (home / "thread-writer-locks" / name).touch()
    update_index()
    settle(home)
    assert behind(home) == []
    looked_at = []
    lstat = os.lstat

    with monkeypatch.context() as patched:
        patched.setattr(os, "lstat", lambda path: looked_at.append(str(path)) or lstat(path))
        assert behind(home) == []

    assert looked_at
    assert all(session_id(7) in path for path in looked_at)


def test_a_lock_with_the_beginning_of_several_ids_is_no_session(home: Path) -> None:
    many(home, 3)
    (home / "thread-writer-locks").mkdir()
    (home / "thread-writer-locks" / "0.lock").touch()
    with pytest.raises(AmbiguousSessionError):
        next(news_room.find_session("0", home=home).glob(""))
    assert list(news_room._live_paths(home)) == []


def test_a_folder_that_changed_within_the_last_second_is_looked_at_again(
    home: Path, tick: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news_room, "_TICK", tick)
    assert tick == 10**9
    many(home, 3)
    for folder, _, _ in os.walk(home):
        os.utime(folder)
    update_index()

    with opened() as index:
        assert not news_room._is_unchanged(index)
        settle(home)
        update_index()
        assert news_room._is_unchanged(index)
        put_session(home, 4, seed_session("new"))
        assert not news_room._is_unchanged(index)


def test_a_session_in_a_month_that_had_no_day_is_noticed(home: Path) -> None:
    put_session(home, 1, seed_session("first"))
    (home / "sessions" / "2027" / "01").mkdir(parents=True)
    (home / "sessions" / "2028").mkdir(parents=True)
    for day in ("2027-01-05", "2028-02-01"):
        settle(home)
        update_index()
        assert behind(home) == []
        put_session(home, int(day[:4]), seed_session(f"in {day[:4]}"), day=day)
        assert len(texts(day[:4])) == 2


def test_a_note_of_the_folders_waits_for_nobody(home: Path) -> None:
    many(home, 2)
    update_index()
    settle(home)
    with opened() as index:
        index.database.execute("BEGIN IMMEDIATE")
        began = time.monotonic()

        assert behind(home) == []

        assert time.monotonic() - began < 5
        assert not news_room._is_unchanged(index)


def test_lines_of_files_of_any_size_and_any_number_of_sessions_are_found(home: Path) -> None:
    with Index.create(home) as index:
        for number in (2**25 - 1, 1):
            name = f"rollout-{timestamp(number % 100)}-{session_id(number)}.jsonl"
            index.database.execute(
                "INSERT INTO sessions(id, name, folder, is_compressed, size, mtime_ns, inode, offset, turns, tokens)"
                " VALUES (?, ?, 'archived_sessions', 0, 0, 0, 0, 0, 0, 0)",
                (number, name),
            )
            index.sign(number)
        add_lines(index, 1, [(2**38 - 1, "far", "")])
        add_lines(index, 2**25 - 1, [(0, "far", ""), (127, "near", ""), (128, "far", ""), (2**38 - 1, "far", "")])

        rows = [(row.id, offset) for row, offset in find_lines(index, parse_query("far"), Filters(), {})]

    assert rows == [(2**25 - 1, 2**38 - 1), (2**25 - 1, 128), (2**25 - 1, 0), (1, 2**38 - 1)]


def test_a_repaired_copy_is_no_session(home: Path) -> None:
    path = put_session(home, 1, encode(seed_session("first")) + b"torn")
    update_index()

    repair(path)

    assert len(texts("first")) == 2
    assert len(found("first", use_index=False)) == 2
