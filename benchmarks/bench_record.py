"""
The cost of recording for the caller, and the throughput. Each measurement runs in its own process:

    python benchmarks/bench_record.py '{"writer": "rollout", "workload": "uniform"}'
"""

from __future__ import annotations

import json
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data import WORKLOADS, large, peak_memory, uniform
from writers import NEEDS_ITEMS, WRITERS, Record

now = time.perf_counter


def quantiles(calls: list[float]) -> dict[str, Any]:
    """
    Return microseconds: the median, the tail, and 100 points of the distribution for the picture.
    """
    calls.sort()
    points = [*(n / 100 for n in range(1, 100)), 0.995, 0.999, 0.9999]
    at = [round(calls[min(int(len(calls) * point), len(calls) - 1)] * 1e6, 3) for point in points]
    return {"p50": at[49], "p99": at[98], "max": round(calls[-1] * 1e6, 1), "points": at}


def throughput(writer: str, workload: str, threads: int = 1, **options: Any) -> dict[str, Any]:
    """
    Record a workload in a tight loop, until every byte has reached the operating system.

    Three passes, each into a new file: one to warm up, one that counts items a second, one that times each call.
    """
    items = WORKLOADS[workload]()
    options |= {"items": items} if writer in NEEDS_ITEMS else {}
    parts = [items[number::threads] for number in range(threads)]
    calls: list[float] = []
    _pass(writer, parts, _record_all, options)
    took = _pass(writer, parts, _record_all, options)
    _pass(writer, parts, lambda record, part: _time_all(record, part, calls), options)
    return {"rate": len(items) / took, **quantiles(calls)}


def _pass(writer: str, parts: list[list[Any]], run: Callable[[Record, list[Any]], None], options: Any) -> float:
    with tempfile.TemporaryDirectory() as folder:
        peer = WRITERS[writer](Path(folder), **options)
        record = peer.__enter__()
        start = now()
        threads = [threading.Thread(target=run, args=(record, part)) for part in parts[1:]]
        for thread in threads:
            thread.start()
        run(record, parts[0])
        for thread in threads:
            thread.join()
        peer.__exit__(None, None, None)
        return now() - start


def _record_all(record: Record, items: list[Any]) -> None:
    for item in items:
        record(item)


def _time_all(record: Record, items: list[Any], calls: list[float]) -> None:
    took = []
    for item in items:
        before = now()
        record(item)
        took.append(now() - before)
    calls += took


def paced(writer: str, pause: float = 0.002, size: str = "small", count: int = 500) -> dict[str, Any]:
    """
    Record an item every *pause* seconds, as an agent does, and measure the calls while the writer may be busy.
    """
    items = large(count) if size == "large" else uniform(count)
    calls = []
    with tempfile.TemporaryDirectory() as folder, WRITERS[writer](Path(folder)) as record:
        for item in items:
            before = now()
            record(item)
            calls.append(now() - before)
            time.sleep(pause)
    return quantiles(calls)


def beside_work(writer: str, every: float = 200e-6, count: int = 500, turns: int = 20) -> dict[str, Any]:
    """
    Record an item every 200 us of the caller's own work, and measure how much longer the work takes than alone.
    """
    items = uniform(count)
    work = _work_of(every)
    alone, beside = [], []
    with tempfile.TemporaryDirectory() as folder, WRITERS[writer](Path(folder)) as record:
        for _ in range(turns):
            start = now()
            for _item in items:
                work()
            between = now()
            for item in items:
                work()
                record(item)
            alone.append(between - start)
            beside.append(now() - between)
            time.sleep(0.01)
    return {"share": sum(beside) / sum(alone) - 1, "each": sum(alone) / count / turns * 1e6}


def _work_of(seconds: float) -> Callable[[], None]:
    def work(steps: int = 10_000) -> None:
        total = 0
        for step in range(steps):
            total += step * step

    work()
    start = now()
    work(100_000)
    steps = int(100_000 * seconds / (now() - start))
    return lambda: work(steps)


def growth(count: int) -> dict[str, Any]:
    """
    Record *count* items into one file; return microseconds per item, and the peak memory of the process in bytes.
    """
    items = uniform(1_000)
    with tempfile.TemporaryDirectory() as folder:
        with WRITERS["rollout"](Path(folder)) as record:
            _record_all(record, items)
        start = now()
        with WRITERS["rollout"](Path(folder)) as record:
            for _ in range(count // len(items)):
                _record_all(record, items)
        took = now() - start
    return {"each": took / count * 1e6, "peak": peak_memory()}


def flush_round_trip(writer: str, count: int = 2_000) -> dict[str, Any]:
    """
    Measure a flush of an idle writer, and a bare queue with an event.
    """
    calls = []
    with tempfile.TemporaryDirectory() as folder:
        ask, end = _recorder_flush(Path(folder)) if writer == "rollout" else _bare_flush()
        for _ in range(count):
            before = now()
            ask()
            calls.append(now() - before)
        end()
    return quantiles(calls)


def _recorder_flush(folder: Path) -> tuple[Callable[[], Any], Callable[[], Any]]:
    from rollout import Recorder

    recorder = Recorder(home=folder)
    recorder.flush()
    return recorder.flush, recorder.close


def _bare_flush() -> tuple[Callable[[], Any], Callable[[], Any]]:
    waiting: queue.Queue[threading.Event | None] = queue.Queue()

    def answer() -> None:
        while (event := waiting.get()) is not None:
            event.set()

    def ask() -> None:
        event = threading.Event()
        waiting.put(event)
        event.wait()

    thread = threading.Thread(target=answer)
    thread.start()
    return ask, lambda: waiting.put(None)


MEASURES: dict[str, Callable[..., dict[str, Any]]] = {
    "throughput": throughput,
    "paced": paced,
    "beside_work": beside_work,
    "growth": growth,
    "flush": flush_round_trip,
}

if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    print(json.dumps(MEASURES[arguments.pop("measure")](**arguments)))
