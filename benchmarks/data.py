"""
The data to record, read and list, made from fixed seeds, so that every peer and every run gets the same data.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from rollout.codec import encode_item
from rollout.home._layout import RolloutName

Item = dict[str, Any]

# Prose, code and a terminal: what ujson escapes is there, and every 20th text is not ASCII, as in real sessions.
_WORDS_TEXT = (
    'the of file a value returns None if it was not found in this folder "quoted" path/to/module.py:12 and '
    "def run(self): error\n    at line test passed assert result == expected 0x7f3a for which we need"
)
_WORDS = tuple(_WORDS_TEXT.split(" "))
_OTHER_WORDS = (*_WORDS, "naïve", "— so", "日本語", "✓")


@cache
def _pool(words: Sequence[str]) -> str:
    # Drawn once and cut at random: a text that repeats itself is encoded in half the time of a real one.
    return " ".join(random.Random(5).choices(words, k=400_000))


def text(random_: random.Random, size: int) -> str:
    pool = _pool(_OTHER_WORDS if random_.random() < 0.05 else _WORDS)
    start = random_.randrange(len(pool) - size)
    return pool[start : start + size]


def message(random_: random.Random, size: int) -> Item:
    """
    Return an item of a common kind, of about *size* bytes as a line.
    """
    size = max(size - 150, 1)
    kind = random_.random()
    if kind < 0.5:
        body = [{"type": "output_text", "text": text(random_, size)}]
        return {"type": "message", "role": "assistant", "content": body}
    call_id = f"call_{random_.getrandbits(96):024x}"
    if kind < 0.75:
        return {"type": "function_call_output", "call_id": call_id, "output": text(random_, size)}
    return {"type": "function_call", "name": "shell", "arguments": text(random_, size), "call_id": call_id}


# A workload repeats so many different items: an agent's is just made, that is, in the cache of the processor, which
# 20,000 that were made before are not (then all who look at the item on the caller's thread take 1 us longer).
_DIFFERENT = 500


def uniform(count: int) -> list[Item]:
    random_ = random.Random(1)
    return _repeated([message(random_, random_.randint(400, 600)) for _ in range(_DIFFERENT)], count)


def mix(count: int) -> list[Item]:
    random_ = random.Random(2)
    ranges = [(300, 800)] * 14 + [(2_000, 8_000)] * 5 + [(50_000, 200_000)]
    return _repeated([message(random_, random_.randint(*random_.choice(ranges))) for _ in range(_DIFFERENT)], count)


def _repeated(items: list[Item], count: int) -> list[Item]:
    return (items * (count // len(items) + 1))[:count]


def large(count: int) -> list[Item]:
    random_ = random.Random(3)
    return _repeated([message(random_, 200_000) for _ in range(20)], count)


WORKLOADS = {"uniform": lambda: uniform(20_000), "mix": lambda: mix(5_000)}


def meta(session_id: str) -> Item:
    return {
        "id": session_id,
        "timestamp": "2026-01-01T00:00:00.000Z",
        "cwd": "/home/dev/demo",
        "originator": "codex_cli_rs",
        "cli_version": "0.36.0",
        "instructions": None,
        "source": "cli",
        "model_provider": "mock",
    }


def lines(session_id: str, items: list[Item], *, has_user_message: bool = True) -> bytes:
    """
    Return the lines of a session: its meta, the message of the user, then items.
    """
    said = "Look at the tests and mend the one that fails, please."
    first: list[tuple[str, Item]] = [("session_meta", meta(session_id))]
    if has_user_message:
        first.append(("event_msg", {"type": "user_message", "message": said, "kind": "plain"}))
    rest = [("response_item", item) for item in items]
    return b"".join(
        encode_item(kind, payload, time_ms=1_767_225_600_000 + number)
        for number, (kind, payload) in enumerate((*first, *rest))
    )


def make_rollout(path: Path, size: int, items: list[Item]) -> None:
    """
    Write one rollout of at least *size* bytes.
    """
    block = b"".join(encode_item("response_item", item, time_ms=1_767_225_600_000) for item in items)
    with path.open("wb") as file:
        file.write(lines(str(UUID(int=7)), []))
        while file.tell() < size:
            file.write(block)


def make_home(home: Path, count: int, *, has_user_message: bool = True) -> None:
    """
    Write a home of *count* small sessions (6 lines), 150 a day up to now. Every 10th id has version 4, the others 7.
    """
    random_ = random.Random(4)
    items = [message(random_, 300) for _ in range(4)]
    second = time.time() - 60
    for number in range(count):
        second -= 576
        local = time.localtime(second)
        folder = home / "sessions" / time.strftime("%Y/%m/%d", local)
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
        session_id = str(_uuid(random_, int(second * 1000), 4 if number % 10 == 0 else 7))
        name = RolloutName(time.strftime("%Y-%m-%dT%H-%M-%S", local), session_id)
        path = folder / str(name)
        path.write_bytes(lines(session_id, items, has_user_message=has_user_message))
        os.utime(path, (second, second))


def _uuid(random_: random.Random, time_ms: int, version: int) -> UUID:
    value = random_.getrandbits(128)
    if version == 7:
        value = value & ((1 << 80) - 1) | time_ms << 80
    value = value & ~(0xF << 76) | version << 76
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def peak_memory() -> int:
    """
    Return the peak memory of this process in bytes; that of getrusage includes the parent's memory before exec.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
