from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from rollout import _scan as scan_room
from rollout._scan import lines_holding
from tests import rollouts

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

WHOLE = rollouts.encode([rollouts.event("agent_message", message="whole")])


def put(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "rollout.jsonl"
    path.write_bytes(data)
    return path


WORDS = [b"one", b"two", "dr\u00e9i".encode(), b'two \\"x\\"', b"f" * 50, b"two"]


@pytest.mark.parametrize("block_size", [1, 7, 100, 1000])
@pytest.mark.parametrize("end", [b"\n", b""])
@pytest.mark.parametrize(
    ("text", "found"), [("two", 3), ("dr\u00e9i", 1), ('two "x"', 1), ("f" * 50, 1), ("timestamp", 6), ("none", 0)]
)
def test_the_lines_that_hold_a_text_are_found_wherever_they_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_size: int, end: bytes, text: str, found: int
) -> None:
    monkeypatch.setattr(scan_room, "_BLOCK_SIZE", block_size)
    lines = [WHOLE.strip().replace(b"whole", word) for word in WORDS]
    path = put(tmp_path, b"\n".join([*lines, b"torn two"]) + end)

    hits = [line.raw for line in lines_holding(path, text)]

    assert hits == [line for line in lines if text in json.loads(line)["payload"]["message"] or found == len(lines)]
    assert len(hits) == found


def test_a_text_is_looked_for_behind_a_line_that_is_too_long_and_in_a_compressed_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_room, "_BLOCK_SIZE", 10)
    monkeypatch.setattr(scan_room, "MAX_LINE_SIZE", len(WHOLE))
    data = b"whole" * 1000 + b"\n" + WHOLE * 2 + b"whole" * 1000
    compressed = tmp_path / "a.jsonl.zst"
    compressed.write_bytes(zstd.compress(data)[:-4])

    assert len(list(lines_holding(put(tmp_path, data), "whole"))) == 2
    assert len(list(lines_holding(compressed, "whole"))) <= 2


def test_to_look_for_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needed"):
        next(lines_holding(put(tmp_path, WHOLE), ""))
