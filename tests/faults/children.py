"""
What the child processes of `test_children.py` run; a spawned process imports it by name.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any


def message(text: object) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": str(text)}]}


def record(count: int) -> str:
    """
    Record into a new session of this process, and leave the recorder open.
    """
    import rollout

    recorder = rollout.Recorder()
    # So that it lives until the process ends.
    threading.current_thread().recorder = recorder  # type: ignore[attr-defined]
    for n in range(count):
        recorder.record(message(n))
    return str(recorder.path)


def record_in_a_thread(count: int) -> None:
    """
    Record in a thread that continues for a while after the main thread has ended.
    """
    import rollout

    recorder = rollout.Recorder()
    main = threading.main_thread()

    def run() -> None:
        for n in range(count):
            recorder.record(message(n))
            if n == count // 2:
                while main.is_alive() and not _is_ending():
                    time.sleep(0.001)

    thread = threading.Thread(target=run)
    thread.recorder = recorder  # type: ignore[attr-defined]
    thread.start()


def _is_ending() -> bool:
    # Up to Python 3.12 the main thread of a child of multiprocessing counts as alive until the end.
    import multiprocessing.util

    return bool(multiprocessing.util._exiting)  # type: ignore[attr-defined]


def record_in_a_fork(count: int) -> None:
    """
    Record in a fork of this process, which ends with `SystemExit`.
    """
    pid = os.fork()
    if not pid:
        record(count)
        raise SystemExit(0)
    os.waitpid(pid, 0)
