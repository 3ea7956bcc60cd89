"""
What recording costs the caller, and how much goes through: `rollout`, a bare writer, and logging's queue.

Peers take turns, so that a busy moment of the machine hits all of them. Prints medians of the rounds, and ratios.
"""

from __future__ import annotations

import logging
import logging.handlers
import queue
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ujson

from rollout import Recorder

ROUNDS = 5
Record = Callable[[dict[str, Any]], None]


def message(size: int) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x" * size}]}


def mixed(count: int) -> list[dict[str, Any]]:
    sizes = random.Random(1)  # noqa: S311
    ranges = [(300, 800)] * 14 + [(2_000, 8_000)] * 5 + [(50_000, 200_000)]
    return [message(sizes.randint(*sizes.choice(ranges))) for _ in range(count)]


WORKLOADS = {"uniform": [message(400)] * 20_000, "mix": mixed(5_000)}


@contextmanager
def rollout_recorder(folder: Path) -> Iterator[Record]:
    with Recorder(home=folder) as recorder:
        recorder.flush()
        yield recorder.record


@contextmanager
def bare_ujson(folder: Path) -> Iterator[Record]:
    with (folder / "bare.jsonl").open("wb", buffering=0) as file:

        def record(item: dict[str, Any]) -> None:
            line = {"timestamp": "2026-11-21T01:25:37.122Z", "type": "response_item", "payload": item}
            file.write(ujson.dumps(line, ensure_ascii=False, escape_forward_slashes=False).encode() + b"\n")

        yield record


@contextmanager
def logging_queue(folder: Path) -> Iterator[Record]:
    waiting: queue.Queue[Any] = queue.Queue(-1)
    file = logging.FileHandler(folder / "log.jsonl")
    listener = logging.handlers.QueueListener(waiting, file)
    logger = logging.Logger("bench")
    logger.addHandler(logging.handlers.QueueHandler(waiting))
    listener.start()
    yield lambda item: logger.info(ujson.dumps(item, ensure_ascii=False))
    listener.stop()
    file.close()


PEERS = {"rollout": rollout_recorder, "ujson + write": bare_ujson, "logging queue": logging_queue}


def measure(peer: Any, items: list[dict[str, Any]]) -> tuple[float, float, float]:
    """
    Give thousands of items a second, and the median and 99th percentile of one call in microseconds.
    """
    now, calls = time.perf_counter, []
    with tempfile.TemporaryDirectory() as folder:
        start = now()
        with peer(Path(folder)) as record:
            for item in items:
                before = now()
                record(item)
                calls.append(now() - before)
        took = now() - start
    calls.sort()
    return len(items) / took / 1e3, calls[len(calls) // 2] * 1e6, calls[len(calls) * 99 // 100] * 1e6


def main() -> None:
    for workload, items in WORKLOADS.items():
        rounds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in PEERS}
        for _ in range(ROUNDS):
            for name, peer in PEERS.items():
                rounds[name].append(measure(peer, items))
        print(f"\n{workload}: {len(items)} items, medians of {ROUNDS} rounds")
        print(f"{'':14} {'k items/s':>10} {'p50 us':>8} {'p99 us':>8}   ours is")
        own = [statistics.median(column) for column in zip(*rounds["rollout"], strict=True)]
        for name, results in rounds.items():
            rate, p50, p99 = (statistics.median(column) for column in zip(*results, strict=True))
            ratios = f"{own[0] / rate:.2f} x the rate, {own[1] / p50:.2f} x p50, {own[2] / p99:.2f} x p99"
            print(f"{name:14} {rate:10.1f} {p50:8.1f} {p99:8.1f}   {ratios}")


if __name__ == "__main__":
    main()
