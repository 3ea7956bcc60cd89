from __future__ import annotations

from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.reading import _blocks as blocks_module
from rollout.reading._blocks import Bounds, OutOfBoundsError, blocks, end_of_lines, lines_backwards
from rollout.reading._lines import raw_lines

PIECES = st.lists(
    st.sampled_from([b"\n", b"\n" * 63, b"\n" * 64, b"\n" * 200, b" \n", b"\t", b"x", b"line\n", b"x" * 100]),
    max_size=30,
).map(b"".join)


def buffered(data: bytes) -> BufferedReader:
    return BufferedReader(BytesIO(data))  # type: ignore[arg-type]


def with_block_size(size: int, read: Any) -> Any:
    before = blocks_module._BLOCK_SIZE
    blocks_module._BLOCK_SIZE = size
    try:
        return read()
    finally:
        blocks_module._BLOCK_SIZE = before


@given(data=PIECES, size=st.sampled_from([1, 70, 1000]))
def test_lines_have_their_numbers_and_offsets_among_any_blank_lines(data: bytes, size: int) -> None:
    lines = data.split(b"\n")
    starts = [sum(len(line) + 1 for line in lines[:number]) for number in range(len(lines))]

    found = with_block_size(size, lambda: list(raw_lines(buffered(data))))

    whole = [(raw.lineno, raw.offset, raw.raw) for raw in found if raw.raw and not raw.raw.isspace()]
    assert whole == [
        (number, start, line) for number, (start, line) in enumerate(zip(starts, lines, strict=True), 1) if line.strip()
    ]
    assert b"".join((raw.raw or b"") + b"\n" * raw.is_ended for raw in found) == data
    assert [raw.end for raw in found[:-1]] == [raw.offset for raw in found[1:]]


@given(data=PIECES, size=st.sampled_from([1, 70, 1000]))
def test_the_end_of_the_lines_is_after_the_last_newline(data: bytes, size: int) -> None:
    assert with_block_size(size, lambda: end_of_lines(BytesIO(data))) == data.rfind(b"\n") + 1


@given(data=PIECES, size=st.sampled_from([1, 70, 1000]), bound=st.integers(0, 1000), count=st.integers(0, 40))
def test_bounds_yield_the_beginning_of_the_file(data: bytes, size: int, bound: int, count: int) -> None:
    wanted = [line for line in data.split(b"\n") if line.strip()]

    def read() -> tuple[list[bytes], bool]:
        found: list[bytes] = []
        try:
            for block in blocks(buffered(data), Bounds(bound, count)):
                found += filter(bytes.strip, block.lines)
        except OutOfBoundsError:
            return found, True
        return found, False

    found, is_cut = with_block_size(size, read)
    backwards = with_block_size(size, lambda: list(lines_backwards(BytesIO(data), Bounds(bound, count))))

    assert found == wanted[: len(found)]
    assert is_cut or len(found) == len(wanted)
    assert sum(map(len, found)) <= bound
    assert len(found) <= count
    assert backwards == wanted[len(wanted) - len(backwards) :][::-1]
    assert len(backwards) <= count


@pytest.mark.parametrize("size", [1, 70])
def test_a_line_too_long_for_memory_is_left_out_backwards(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_module, "_BLOCK_SIZE", size)
    monkeypatch.setattr(blocks_module, "MAX_LINE_SIZE", 100)
    long = b"x" * 1000

    for data in (long + b"\na\n" + long + b"\nb\n" + long, b"a\n" + long + b"\nb"):
        assert list(lines_backwards(BytesIO(data))) == [b"b", b"a"]


def test_bounds_that_end_inside_a_line_leave_it_out(tmp_path: Path) -> None:
    data = b"first\n" + b"x" * 200_000 + b"\nlast\n"

    with pytest.raises(OutOfBoundsError):
        list(blocks(buffered(data), Bounds(size=70_000)))
    assert list(lines_backwards(BytesIO(data), Bounds(size=70_000))) == [b"last"]
