"""
A plain port of the original recorder (Codex, September 2025) to Python, the work of an afternoon.

It lacks what the tests of this folder check: each test that is marked so must fail with it.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any
from uuid import UUID, uuid4

from rollout import errors
from rollout.errors import *  # noqa: F403 -- what the programs of the tests name

__all__ = [*errors.__all__, "Recorder"]


class Recorder:
    def __init__(self, *, home: Any = None, session_id: Any = None, cwd: Any = None, **_: Any) -> None:
        folder = Path(home or os.environ.get("CODEX_HOME") or "~/.codex").expanduser()
        now = time.localtime()
        day = folder / "sessions" / time.strftime("%Y/%m/%d", now)
        day.mkdir(parents=True, exist_ok=True)
        self.session_id = str(session_id or uuid4())
        UUID(self.session_id)
        meta = {
            "id": self.session_id,
            "timestamp": _timestamp(),
            "cwd": str(cwd or Path.cwd()),
            "originator": "naive",
            "cli_version": "0",
            "instructions": None,
        }
        self._begin(day / f"rollout-{time.strftime('%Y-%m-%dT%H-%M-%S', now)}-{self.session_id}.jsonl", meta)

    @classmethod
    def resume(cls, path: Any, **_: Any) -> Recorder:
        recorder = cls.__new__(cls)
        recorder._begin(Path(path), None)
        return recorder

    @property
    def stats(self) -> SimpleNamespace:
        return SimpleNamespace(queued=self._queue.qsize(), pending=0, waiting_size=0)

    def _begin(self, path: Path, meta: dict[str, Any] | None, system: Any = os) -> None:
        self.path = path
        self._system = system
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        self._queue: queue.Queue[tuple[str, Any]] = queue.Queue(256)
        self._thread = threading.Thread(target=self._run, args=(meta,), daemon=True)
        self._thread.start()

    def record(self, *items: dict[str, Any]) -> None:
        self._queue.put(("add", items))

    def user_message(self, text: str) -> None:
        self.record(
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]},
            {"type": "event_msg", "payload": {"type": "user_message", "message": text, "kind": "plain"}},
        )

    def agent_message(self, text: str) -> None:
        self.record({"type": "event_msg", "payload": {"type": "agent_message", "message": text}})

    def flush(self, timeout: float | None = None, *, fsync: bool = False) -> None:
        self._ask("flush")

    def close(self, timeout: float | None = None) -> None:
        self._ask("shutdown")

    def _ask(self, what: str) -> None:
        done = threading.Event()
        self._queue.put((what, done))
        done.wait()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _run(self, meta: dict[str, Any] | None) -> None:
        if meta is not None:
            self._write({"type": "session_meta", "payload": meta})
        while True:
            what, load = self._queue.get()
            if what == "add":
                for item in load:
                    self._write(item if "payload" in item else {"type": "response_item", "payload": item})
            else:
                load.set()
            if what == "shutdown":
                return

    def _write(self, item: dict[str, Any]) -> None:
        line = json.dumps({"timestamp": _timestamp(), **item}, ensure_ascii=False) + "\n"
        self._system.write(self._fd, line.encode())


def _timestamp() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
