"""
Homes of many sessions, and what a search finds in them.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

from rollout.search import Hit, search
from tests.rollouts import Line, event, message, put, seed_session

# Long enough ago for a folder's time to be believed.
OLD = 1_795_000_000

Found = tuple[str, int, str]


def session_id(number: int) -> str:
    return f"01a1fbb5-7abd-7c53-8766-{number:012x}"


def timestamp(number: int) -> str:
    return f"2026-11-{number // 24 % 28 + 1:02d}T{number % 24:02d}-00-00"


def put_session(home: Path, number: int, data: bytes | list[Line], **place: Any) -> Path:
    """
    Put the session of a number into a home; those with higher numbers are newer.
    """
    path = put(home, data, session_id=session_id(number), timestamp=timestamp(number), **place)
    os.utime(path, (OLD + number, OLD + number))
    return path


def call(tool: str, text: str, call_id: str = "1") -> Line:
    arguments = f'{{"command":["{text}"]}}'
    return "response_item", {"type": "function_call", "name": tool, "arguments": arguments, "call_id": call_id}


def output(text: str, call_id: str = "1", *, code: int = 0) -> Line:
    whole = f"Exit code: {code}\nWall time: 0.1 seconds\nOutput:\n{text}"
    return "response_item", {"type": "function_call_output", "call_id": call_id, "output": whole}


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
    Let all folders have changed long ago.
    """
    for folder, _, _ in os.walk(home):
        os.utime(folder, (OLD, OLD))


def found(text: str, **options: Any) -> set[Found]:
    """
    Give what a search finds, each of which is to be found once, and where it says.
    """
    hits = list(search(text, **options))
    places = [place_of(hit) for hit in hits]
    assert len(set(places)) == len(places), places
    return set(places)


def place_of(hit: Hit) -> Found:
    return hit.session_id, hit.offset, hit.text


def texts(text: str, **options: Any) -> list[str]:
    """
    Give the texts that a search finds, sorted.
    """
    return sorted(found_text for _, _, found_text in found(text, **options))


def words_of(hit: Hit) -> list[str]:
    """
    Give what a hit says that its matches are.
    """
    return [hit.snippet[begin:end] for begin, end in hit.matches]
