"""
The cost of a page of a home, and of finding a session by its id. Each measurement runs in its own process:

    python benchmarks/bench_list.py '{"measure": "page", "lister": "rollout", "home": "/tmp/home"}'
"""

from __future__ import annotations

import json
import os
import queue
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import ujson

from rollout import SessionNotFoundError, find_session, list_sessions

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "codex"))
from driver import LIMIT, Codex

now = time.perf_counter
PAGE = 25
# As many lines as a list shows something of: the first 10 records.
HEAD = 10


def rollout_page(home: Path, number: int) -> Callable[[], Any]:
    cursor = None
    for _ in range(number - 1):
        cursor = list_sessions(home=home, page_size=PAGE, cursor=cursor).next_cursor
    return lambda: list_sessions(home=home, page_size=PAGE, cursor=cursor)


def bare_page(home: Path, _: int) -> Callable[[], Any]:
    """
    Measure the limit: read the newest day folders with `os.scandir`, and decode the first lines of 25 files with ujson.
    """

    def newest_first(folder: str) -> list[str]:
        with os.scandir(folder) as entries:
            return sorted((entry.path for entry in entries), reverse=True)

    def page() -> list[list[Any]]:
        found = []
        for year in newest_first(str(home / "sessions")):
            for month in newest_first(year):
                for day in newest_first(month):
                    for path in newest_first(day):
                        with open(path, "rb") as file:  # noqa: PTH123 -- the limit
                            found.append([ujson.loads(line) for line in islice(file, HEAD)])
                        if len(found) == PAGE:
                            return found
        return found

    return page


def walk_page(home: Path, _: int) -> Callable[[], Any]:
    def page() -> list[str]:
        paths = (os.path.join(folder, name) for folder, _, names in os.walk(home / "sessions") for name in names)  # noqa: PTH118
        return sorted(paths, key=os.path.basename, reverse=True)[:PAGE]

    return page


def find_page(home: Path, _: int) -> Callable[[], Any]:
    command = f"find {home}/sessions -name 'rollout-*.jsonl' | sort -r | head -{PAGE}"
    return lambda: subprocess.run(["bash", "-c", command], check=True, capture_output=True)


def codex_page(version: str, home: Path, _: int) -> tuple[Callable[[], Any], Callable[[], None]]:
    codex = Codex(version, home, home, "http://127.0.0.1:9/v1")
    if not codex.binary.exists():
        raise FileNotFoundError(f"Codex {version} is not installed")
    is_old = version == "0.36.0"
    server = codex.mcp() if is_old else codex.app_server()
    call = ("listConversations", {"pageSize": PAGE}) if is_old else ("thread/list", {"limit": PAGE})
    return lambda: server.call(*call), server.close


def nothing() -> None:
    pass


LISTERS: dict[str, Callable[..., Any]] = {
    "rollout": rollout_page,
    "limit: scandir + heads": bare_page,
    "os.walk + sort": walk_page,
    "find, sort": find_page,
    "Codex 0.36.0": lambda home, number: codex_page("0.36.0", home, number),
    "Codex 0.169.0": lambda home, number: codex_page("0.169.0", home, number),
}


def page(lister: str, home: str, number: int = 1, count: int = 20) -> dict[str, Any]:
    """
    Return the milliseconds of a page: the median of *count* warm calls, and the first call in a new process.
    """
    close = nothing
    try:
        made = LISTERS[lister](Path(home), number)
        call, close = made if isinstance(made, tuple) else (made, nothing)
        start = now()
        call()
        first = now() - start
        # What takes seconds is not called 20 times.
        calls = [_milliseconds(call) for _ in range(count if first < 1 else 2)]
    except Exception as error:  # noqa: BLE001 -- a peer's
        return {"error": f"no answer within {LIMIT} s" if isinstance(error, queue.Empty) else repr(error)}
    finally:
        close()
    return {"ms": statistics.median(calls), "first_ms": first * 1e3}


def _milliseconds(call: Callable[[], Any]) -> float:
    start = now()
    call()
    return (now() - start) * 1e3


def finding(what: str, home: str, count: int = 20) -> dict[str, Any]:
    """
    Return the milliseconds to find one of many sessions: one in the middle of the home, or one that does not exist.
    """
    sessions = Path(home) / "sessions"
    names = sorted(name for _, _, names in os.walk(sessions) for name in names)
    ids = {
        "7": [name[28:64] for name in names if name[42] == "7"],
        "4": [name[28:64] for name in names if name[42] == "4"],
    }

    def missing() -> None:
        try:
            find_session("01a1fdcb-942d-7fd0-9a54-e22b34d4e682", home=home)
        except SessionNotFoundError:
            return

    calls: dict[str, Callable[[], Any]] = {
        "id of version 7": lambda: find_session(ids["7"][len(ids["7"]) // 2], home=home),
        "id of version 4": lambda: find_session(ids["4"][len(ids["4"]) // 2], home=home),
        "id of none": missing,
        "os.walk": lambda: sum(len(names) for _, _, names in os.walk(sessions)),
        "scandir walk": lambda: _scan(str(sessions), 4),
    }
    return {"ms": statistics.median(_milliseconds(calls[what]) for _ in range(count))}


def _scan(folder: str, depth: int) -> int:
    with os.scandir(folder) as entries:
        return sum(1 if depth == 1 else _scan(entry.path, depth - 1) for entry in entries)


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    print(json.dumps({"page": page, "find": finding}[arguments.pop("measure")](**arguments)))
