"""
The peers that write: each records the same items as the same JSON lines, an envelope with the time around each item.

All that encode with ujson do it as `rollout` does. A peer is a context manager that gives a function taking one item;
when it is left, every byte has reached the operating system.
"""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import logging.handlers
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import ujson
from data import Item, lines

from rollout import Recorder
from rollout.codec import encode_item

Record = Callable[[Item], Any]

encode = partial(ujson.dumps, ensure_ascii=False, escape_forward_slashes=False)


def envelope(item: Any) -> Item:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return {"timestamp": f"{stamp}.{nanoseconds // 1_000_000:03d}Z", "type": "response_item", "payload": item}


@contextmanager
def recorder(folder: Path, **options: Any) -> Iterator[Record]:
    with Recorder(home=folder, **options) as made:
        made.flush()
        yield made.record


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    fd = os.open(folder / "peer.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    yield fd
    os.close(fd)


@contextmanager
def os_write(folder: Path, items: list[Item]) -> Iterator[Record]:
    """
    Measure the limit: write lines that are ready, one call for each.
    """
    ready = iter([encode_item("response_item", item, time_ms=0) for item in items])
    with _opened(folder) as fd:
        yield lambda _: os.write(fd, next(ready))


@contextmanager
def os_writev(folder: Path, items: list[Item]) -> Iterator[Record]:
    """
    Measure the limit: write lines that are ready, 256 per call.
    """
    ready = iter([encode_item("response_item", item, time_ms=0) for item in items])
    waiting: list[bytes] = []

    def record(_: Item) -> None:
        waiting.append(next(ready))
        if len(waiting) == 256:
            _write_all(fd, waiting)
            waiting.clear()

    with _opened(folder) as fd:
        yield record
        _write_all(fd, waiting)


def _write_all(fd: int, ready: list[bytes]) -> None:
    written, size = os.writev(fd, ready) if ready else 0, sum(map(len, ready))
    # Never short on a regular file with space.
    assert written == size, f"{written} of {size} bytes"


@contextmanager
def ujson_write(folder: Path) -> Iterator[Record]:
    with _opened(folder) as fd:
        yield lambda item: os.write(fd, encode(envelope(item)).encode() + b"\n")


@contextmanager
def orjson_write(folder: Path) -> Iterator[Record]:
    import orjson

    with _opened(folder) as fd:
        yield lambda item: os.write(fd, orjson.dumps(envelope(item)) + b"\n")


@contextmanager
def json_write(folder: Path) -> Iterator[Record]:
    with (folder / "peer.jsonl").open("a", encoding="utf-8") as file:

        def record(item: Item) -> None:
            file.write(json.dumps(envelope(item), ensure_ascii=False) + "\n")
            file.flush()

        yield record


@contextmanager
def json_lines(folder: Path) -> Iterator[Record]:
    import jsonlines

    with jsonlines.open(folder / "peer.jsonl", "a", flush=True) as writer:
        yield lambda item: writer.write(envelope(item))


@contextmanager
def structlog_orjson(folder: Path) -> Iterator[Record]:
    import orjson
    import structlog

    with (folder / "peer.jsonl").open("ab", buffering=0) as file:
        logger = structlog.wrap_logger(
            structlog.BytesLogger(file),
            processors=[
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.processors.JSONRenderer(serializer=orjson.dumps),
            ],
            cache_logger_on_first_use=True,
        ).bind()
        yield lambda item: logger.info("response_item", payload=item)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return encode(envelope(record.payload))  # type: ignore[attr-defined]


@contextmanager
def logging_queue(folder: Path) -> Iterator[Record]:
    """
    Use the standard library: the item beside the message, through an unbounded queue, without a snapshot.
    """
    waiting: queue.Queue[Any] = queue.Queue(-1)
    file = logging.FileHandler(folder / "peer.jsonl", encoding="utf-8")
    file.setFormatter(_JsonFormatter())
    listener = logging.handlers.QueueListener(waiting, file)
    logger = logging.Logger("peer", logging.INFO)
    logger.addHandler(logging.handlers.QueueHandler(waiting))
    listener.start()
    yield lambda item: logger.info("response_item", extra={"payload": item})
    listener.stop()
    file.close()


@contextmanager
def loguru_enqueue(folder: Path) -> Iterator[Record]:
    from loguru import logger

    logger.remove()
    logger.add(folder / "peer.jsonl", serialize=True, enqueue=True, encoding="utf-8")
    yield lambda item: logger.bind(payload=item).info("response_item")
    logger.complete()
    logger.remove()


@contextmanager
def sqlite_wal(folder: Path) -> Iterator[Record]:
    base = sqlite3.connect(folder / "peer.db", isolation_level=None, check_same_thread=False)
    base.execute("pragma journal_mode = wal")
    base.execute("pragma synchronous = normal")
    base.execute("create table line (id integer primary key, text text)")
    yield lambda item: base.execute("insert into line (text) values (?)", (encode(envelope(item)),))
    base.close()


@contextmanager
def agents_session(folder: Path) -> Iterator[Record]:
    from agents import SQLiteSession

    session = SQLiteSession("bench", folder / "peer.db")
    loop = asyncio.new_event_loop()
    yield lambda item: loop.run_until_complete(session.add_items([item]))  # type: ignore[list-item]
    session.close()
    loop.close()


@contextmanager
def seed_copied(folder: Path, copied: Callable[[Any], Any] = lambda item: item) -> Iterator[Record]:
    """
    Use the seed in Python: Queue(256), a thread, one write and flush for each line.
    """
    waiting: queue.Queue[tuple[str, Any]] = queue.Queue(256)

    def write() -> None:
        with (folder / "peer.jsonl").open("ab") as file:
            file.write(lines("0", []))
            while True:
                what, load = waiting.get()
                if what == "add":
                    for item in load:
                        file.write(encode(envelope(item)).encode() + b"\n")
                        file.flush()
                else:
                    load.set()
                    return

    thread = threading.Thread(target=write)
    thread.start()
    yield lambda item: waiting.put(("add", [copied(item)]))
    done = threading.Event()
    waiting.put(("shutdown", done))
    done.wait()
    thread.join()


WRITERS: dict[str, Callable[..., Any]] = {
    "rollout": recorder,
    "rollout, fsync": partial(recorder, fsync=True),
    "logging queue": logging_queue,
    "loguru enqueue": loguru_enqueue,
    "structlog + orjson": structlog_orjson,
    "jsonlines": json_lines,
    "sqlite WAL": sqlite_wal,
    "agents SQLiteSession": agents_session,
    "seed in Python": seed_copied,
    "seed in Python, deepcopy": partial(seed_copied, copied=copy.deepcopy),
    "ujson + write": ujson_write,
    "orjson + write": orjson_write,
    "json + write": json_write,
    "limit: os.write": os_write,
    "limit: writev": os_writev,
}
NEEDS_ITEMS = {"limit: os.write", "limit: writev"}
