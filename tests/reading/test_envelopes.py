"""
Lines that are read many at a time, which are the same lines as those that are read one by one.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rollout.reading import _blocks as blocks_module
from rollout.reading import _lines as lines_module
from rollout.reading import read_envelopes, read_lines
from tests import zstd
from tests.rollouts import bare_session, encode, event, put, seed_session

LINE = encode([event("agent_message", message="a\u2028é")]).strip()
NUMBERED = encode([event("token_count")], first_ordinal=7).strip()
LONG = encode([event("agent_message", message="x" * 300)]).strip()
HEAD, TAIL = LINE[: LINE.index(b",")], LINE[LINE.index(b",") + 1 :]
PIECES = [
    *[LINE, LINE, NUMBERED, LONG, bare_session("one").split(b"\n")[2]],
    *[
        b"\n",
        b"\n",
        b"\n\n",
        b" \t\r\n",
        b"\r\n",
        b",",
        b" ",
        b"[",
        b"]",
        b"{}",
        b"null",
        b"\xff",
        b"\0",
        b"\xef\xbb\xbf",
    ],
    *[HEAD, TAIL, LINE[:40], LINE[40:], LINE.replace(b"}}", b'},"novel":1}'), LINE.replace(b"timestamp", b"time")],
]


def envelopes_of(path: Path) -> list[Any]:
    return [(one["timestamp"], one["type"], one["payload"]) for many in read_envelopes(path) for one in many]


def lines_of(path: Path) -> list[Any]:
    return [(line.timestamp, line.type, line.payload) for line in read_lines(path)]


@settings(max_examples=2 * settings.default.max_examples)
@given(
    data=st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join) | st.binary(max_size=100),
    size=st.sampled_from([1, 70, 500, 2**16]),
    longest=st.sampled_from([250, 2**20]),
    suffix=st.sampled_from(["", ".zst"]),
)
@example(data=b"%b,%b\n%b\n%b\n" % (LINE, LINE, HEAD, TAIL), size=2**16, longest=2**20, suffix="")
def test_envelopes_are_those_of_the_lines_of_any_file(data: bytes, size: int, longest: int, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(blocks_module, "_BLOCK_SIZE", size)
        for module in (blocks_module, lines_module):
            patched.setattr(module, "MAX_LINE_SIZE", longest)
        path = put(Path(folder), zstd.compress(data) if suffix else data, suffix=suffix)

        assert envelopes_of(path) == lines_of(path)


def test_whole_lines_are_decoded_together(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(home, seed_session("one", "two"))
    expected = lines_of(path)
    monkeypatch.setattr(lines_module, "decode_line", None)

    assert [len(many) for many in read_envelopes(path)] == [len(expected)]
    assert envelopes_of(path) == expected


def test_a_bad_line_costs_no_other_line_of_its_block(home: Path) -> None:
    data = encode(seed_session("one", "two"))
    path = put(home, data[:-1].replace(b"\n", b"\n{bad}\n") + b"\n" + data[:50])

    assert len(envelopes_of(path)) == data.count(b"\n")


def test_a_damaged_compressed_file_has_the_envelopes_before_the_damage(home: Path) -> None:
    path = put(home, zstd.compress(encode(seed_session("one"))) + zstd.compress(LINE * 100)[:-8], suffix=".zst")

    assert envelopes_of(path)[: len(seed_session("one"))] == lines_of(path)[: len(seed_session("one"))]
    assert len(envelopes_of(path)) >= len(seed_session("one"))
