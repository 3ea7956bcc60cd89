"""
Builders of homes with many sessions, searches in them, and the contents of their indexes.
"""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from rollout.codec import encode_item
from rollout.search import Hit, Index, search, update_index
from rollout.search import _ingest as ingest_module
from rollout.search import _postings as postings_module
from rollout.search import _update as update_module
from rollout.search._changes import find_changes
from rollout.search._index import COLUMNS
from tests.rollouts import Line, encode, event, message, put, seed_session

ROOT = Path(__file__).parent.parent.parent
# A time so long ago that a folder with it has not changed within the last tick of the clock.
OLD = 1_795_000_000
# A time after the start of all sessions.
USED = 1_795_300_000
# How much of the sessions is indexed before a search.
WAYS = ["files", "index", "stale index"]
# A program that updates the index of the home in small batches.
UPDATE_PROGRAM = """
import sys
from rollout.search import _ingest, _update, update_index
_ingest.BATCH_SIZE = _update.BATCH_SIZE = 20_000
print("ready", flush=True)
update_index()
"""

Found = tuple[str, int, str]


def session_id(number: int) -> str:
    return f"01a1fbb5-7abd-7c53-8766-{number:012x}"


def timestamp(number: int) -> str:
    return f"2026-11-{number // 24 % 28 + 1:02d}T{number % 24:02d}-00-00"


def put_session(home: Path, number: int, data: bytes | list[Line], **place: Any) -> Path:
    """
    Write a session with a number into a home; sessions with higher numbers are newer.
    """
    path = put(home, data, session_id=session_id(number), timestamp=timestamp(number), **place)
    os.utime(path, (OLD + number, OLD + number))
    return path


def lines_at(seconds: float, lines: list[Line]) -> bytes:
    """
    Return the bytes of lines that were recorded at a time, in seconds after `USED`.
    """
    return b"".join(encode_item(kind, payload, time_ms=int((USED + seconds) * 1000)) for kind, payload in lines)


def put_used(home: Path, number: int, seconds: float, lines: list[Line], **place: Any) -> Path:
    """
    Write a session that was used last at a time, in seconds after `USED`.
    """
    path = put_session(home, number, lines_at(seconds, lines), **place)
    os.utime(path, (USED + seconds, USED + seconds))
    return path


def prepare(way: str, home: Path) -> None:
    """
    Index no session, all sessions, or the beginning of each session.
    """
    if way == "index":
        update_index(home=home)
    elif way == "stale index":
        whole = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in home.rglob("rollout-*.jsonl")}
        for path, (data, _) in whole.items():
            lines = data.split(b"\n")
            path.write_bytes(b"\n".join(lines[: len(lines) // 2]) + b"\n")
        update_index(home=home)
        for path, (data, mtime_ns) in whole.items():
            with path.open("ab") as file:
                file.write(data[path.stat().st_size :])
            os.utime(path, ns=(mtime_ns, mtime_ns))


def many(home: Path, count: int) -> None:
    noise = random.Random(1)
    words = [f"word{number}" for number in range(50)]
    for number in range(count):
        lines = seed_session("common start", session_id=session_id(number))
        for _ in range(noise.randrange(8)):
            lines.append(message("user", " ".join(noise.choices(words, k=6))))
            lines.append(event("agent_message", message=" ".join(noise.choices(words, k=6))))
        put_session(home, number, lines)


def settle(home: Path) -> None:
    """
    Set the modification times of all folders to long ago.
    """
    for folder, _, _ in os.walk(home):
        os.utime(folder, (OLD, OLD))


def found(text: str, **options: Any) -> set[Found]:
    """
    Return the hits of a search, after a check that each is found once.
    """
    hits = list(search(text, **options))
    places = [place_of(hit) for hit in hits]
    assert len(set(places)) == len(places), places
    return set(places)


def place_of(hit: Hit) -> Found:
    return hit.session_id, hit.offset, hit.text


def texts(text: str, **options: Any) -> list[str]:
    """
    Return the texts that a search finds, sorted.
    """
    return sorted(found_text for _, _, found_text in found(text, **options))


def words_of(hit: Hit) -> list[str]:
    """
    Return the matching words of a hit.
    """
    return [hit.snippet[begin:end] for begin, end in hit.matches]


def append(path: Path, data: bytes | list[Line]) -> None:
    with path.open("ab") as file:
        file.write(data if isinstance(data, bytes) else encode(data))


def sql_damage(statement: str) -> Callable[[Path], object]:
    """
    Return a function that changes the database of an index with an SQL statement.
    """

    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database:
            database.execute(statement)
            database.commit()

    return change


def open_index(home: Path | None = None) -> Index:
    index = Index.open(home)
    assert index is not None
    return index


def index_content() -> dict[str, Any]:
    """
    Return the contents of the index, without the numbers of sessions and rows.
    """
    with open_index() as index:
        names = {row.id: row.name for row in index.rows()}
        rows = [
            [getattr(row.facts if hasattr(row.facts, name) else row, name) for name in COLUMNS[1:]]
            for row in index.rows("1 = 1 ORDER BY name")
        ]
        places = {
            number: (names.get(session), place.offset, place.flags)
            for first, session, offsets in index.database.execute("SELECT first, session, offsets FROM spans")
            for number, place in enumerate(postings_module._unpack(offsets), first)
        }
        index.database.execute("CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, texts, instance)")
        words = [(*places[number], term) for term, number in index.database.execute("SELECT term, doc FROM temp.words")]
        states = {row.name: ingest_module.decode_state(index.state(row.id) or b"") for row in index.rows()}
    return {"rows": rows, "words": sorted(word for word in words if word[0]), "states": states}


def rebuilt_content() -> dict[str, Any]:
    """
    Rebuild the index, and return its contents.
    """
    update_index(rebuild=True)
    return index_content()


def changed_ids(home: Path) -> list[str]:
    """
    Return the ids of the sessions that have changed since they were indexed.
    """
    with open_index(home) as index:
        return [change.name.session_id for change in find_changes(index)]


@contextmanager
def run_in_small_batches(monkeypatch: pytest.MonkeyPatch, size: int) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(ingest_module, "BATCH_SIZE", size)
        patched.setattr(update_module, "BATCH_SIZE", size)
        yield
