"""
Listing of files that are huge or have huge contents, within bounds on time and memory.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rollout import RolloutLine, follow, list_sessions, overview, read_lines, repair, verify
from rollout.interpret import Filters
from rollout.interpret._prompts import folder_in
from rollout.reading import _lines as lines_module
from rollout.reading._blocks import Bounds
from rollout.stats import session_stats
from tests import rollouts, zstd
from tests.memory import peak_memory
from tests.rollouts import encode, message, meta, prompt, put

listing_module = sys.modules[list_sessions.__module__]
REAL = listing_module._BOUNDS  # type: ignore[attr-defined]
BOUNDS = Bounds(size=128 * 2**10, line_count=300, unpacked_size=2**20)
# One block more may be read before a bound is noticed.
BLOCK = 64 * 2**10
SIZE = 4 * 2**20
META = encode([meta()])
SAID = encode([message("user", "\0")]).replace(b"\\u0000", b"%s")
DEEP = b'{"timestamp":"t","type":"response_item","payload":{"a":%s}}\n'
SKIPPABLE = b"\x50\x2a\x4d\x18"


def filled(line: bytes) -> bytes:
    return META + line * (SIZE // len(line))


CONTENTS: dict[str, bytes] = {
    "newlines": filled(b"\n"),
    "newlines before the meta": b"\n" * SIZE + META,
    "blank lines": filled(b" \t\r\n"),
    "long blank lines": filled(b" " * 70 + b"\n"),
    "blank lines among others": filled(b"\n" * 1000 + b"x\n"),
    "empty objects": filled(b"{}\n"),
    "garbage": filled(b"x\n"),
    "one line": META + b"x" * SIZE,
    "one whole line": META + SAID % (b"x" * SIZE),
    "one list": META + DEEP % (b"[" + b"{}," * (SIZE // 3) + b"1]"),
    "NUL bytes": META + b"\0" * SIZE,
    "NUL lines": filled(b"\0\n"),
    "nesting": filled(b"[" * 1000 + b"\n"),
    "one nesting": META + b"[" * SIZE,
    "token counts": filled(encode([rollouts.event("token_count")])),
    "metas": filled(META),
    "not UTF-8": filled(SAID % (b"\xff" * 50)),
}
FRAMES: dict[str, bytes] = {
    "empty frames": zstd.compress(META) + zstd.compress(b"") * 50_000,
    "a frame for each newline": zstd.compress(META) + zstd.compress(b"\n") * 50_000,
    "skippable frames": zstd.compress(META) + (SKIPPABLE + b"\0\0\0\0") * 50_000,
    "one skippable frame": SKIPPABLE + SIZE.to_bytes(4, "little") + bytes(SIZE) + zstd.compress(META),
}


class Counts:
    """What is read of files, uncompressed, and how many lines are decoded."""

    def __init__(self) -> None:
        self.size = self.lines = 0


class Counted:
    def __init__(self, file: Any, counts: Counts) -> None:
        self._file, self._counts = file, counts

    def read(self, size: int) -> bytes:
        return self._count(self._file.read(size))

    def read1(self, size: int) -> bytes:
        return self._count(self._file.read1(size))

    def _count(self, data: bytes) -> bytes:
        self._counts.size += len(data)
        return data

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    found = Counts()
    real_open, real_decode = lines_module.open_rollout, lines_module.decode_line

    def opened(path: Path, *bounds: Bounds) -> tuple[Any, Any]:
        file, damage = real_open(path, *bounds)
        return Counted(file, found), damage

    def decoded(raw: bytes) -> RolloutLine:
        found.lines += 1
        return real_decode(raw)

    monkeypatch.setattr(lines_module, "open_rollout", opened)
    monkeypatch.setattr(lines_module, "decode_line", decoded)
    return found


@pytest.fixture
def bounds(monkeypatch: pytest.MonkeyPatch) -> Bounds:
    monkeypatch.setattr(listing_module, "_BOUNDS", BOUNDS)
    monkeypatch.setattr(overview, "_COUNTED", BOUNDS)
    return BOUNDS


@pytest.mark.promise("listing")
@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize("suffix", ["", ".zst"])
def test_a_listing_reads_a_bounded_part_of_a_file_with_any_content(
    home: Path, kind: str, suffix: str, bounds: Bounds, counts: Counts
) -> None:
    data = CONTENTS[kind]
    put(home, zstd.compress(data) if suffix else data, suffix=suffix)

    with peak_memory() as peak:
        (item,) = list_sessions().items

    assert counts.lines <= 2 * bounds.line_count
    assert counts.size <= bounds.size + BLOCK + (bounds.unpacked_size if suffix else bounds.size) + BLOCK
    assert peak.size < 3 * 2**20
    assert (item.meta is None) == (kind == "newlines before the meta")


@pytest.mark.promise("listing")
@pytest.mark.parametrize("kind", FRAMES)
def test_a_listing_reads_a_bounded_number_of_frames(home: Path, kind: str, bounds: Bounds, counts: Counts) -> None:
    path = put(home, FRAMES[kind], suffix=".zst")

    (item,) = list_sessions().items
    (shown,) = overview.read_page(home, Filters(archived=False), count=1).items

    assert counts.size < 100_000
    assert (item.problem or "") == ("" if item.meta else "no session_meta in the first lines")
    assert shown.turns is None
    assert sum(1 for _ in read_lines(path)) == 1


@pytest.mark.promise("listing")
def test_a_listing_of_a_decompression_bomb_stops_at_the_default_bounds(
    home: Path, counts: Counts, figure: Callable[[str], None]
) -> None:
    compressor = zstd.ZstdCompressor()
    block = b"\n" * 2**20
    data = compressor.compress(META) + b"".join(compressor.compress(block) for _ in range(256)) + compressor.flush()
    path = put(home, data, suffix=".zst")

    (shown,) = overview.read_page(home, Filters(archived=False), count=1).items

    most = REAL.size + REAL.unpacked_size + overview._COUNTED.size + 3 * BLOCK
    assert counts.size <= most
    assert counts.lines <= 3
    assert (shown.turns, shown.tokens, shown.problem) == (None, None, None)
    figure(f"{path.stat().st_size:,} bytes that are 256 MiB: {counts.size / 2**20:.0f} MiB decompressed for a list")


@pytest.mark.promise("listing")
def test_a_listing_reads_a_bounded_number_of_lines_of_garbage(home: Path, counts: Counts) -> None:
    put(home, META + b"x\n" * 30_000 + encode(prompt("last")))

    (item,) = list_sessions().items
    (shown,) = overview.read_page(home, Filters(archived=False), count=1).items

    assert counts.lines <= 4 * REAL.line_count + overview._COUNTED.line_count
    assert item.preview is None
    assert item.tail == (message("user", "last")[1],)
    assert (shown.turns, shown.tokens) == (None, None)


@pytest.mark.promise("listing")
def test_both_ends_of_a_file_are_listed_with_any_garbage_between_them(home: Path, bounds: Bounds) -> None:
    data = encode([meta(), *prompt("first")]) + b"x" * SIZE + b"\n" * 200_000 + encode([message("assistant", "last")])
    put(home, data)

    (item,) = list_sessions().items

    assert (item.preview, item.tail, item.problem) == ("first", (message("assistant", "last")[1],), None)


@pytest.mark.promise("listing")
def test_the_tail_of_a_compressed_session_has_its_last_items_up_to_a_size(home: Path, bounds: Bounds) -> None:
    said = [message("assistant", f"{number:0500d}") for number in range(1500)]
    put(home, zstd.compress(encode([meta(), *said])), suffix=".zst")
    (whole,) = list_sessions().items
    put(home, zstd.compress(encode([meta(), *said * 2])), suffix=".zst")
    (larger,) = list_sessions().items

    assert whole.tail == tuple(payload for _, payload in said[-10:])
    assert (larger.tail, larger.head, larger.problem) == ((), whole.head, None)


@pytest.mark.promise("listing")
def test_a_damaged_compressed_session_has_the_tail_before_the_damage(home: Path) -> None:
    compressor = zstd.ZstdCompressor()
    lines = encode([meta(), *prompt("one"), message("assistant", "two")]).splitlines(keepends=True)
    data = b"".join(compressor.compress(line, mode=compressor.FLUSH_BLOCK) for line in lines)
    put(home, data, suffix=".zst")

    (item,) = list_sessions().items

    assert item.tail == (message("user", "one")[1], message("assistant", "two")[1])
    assert "damaged" in str(item.problem)


@pytest.mark.promise("listing")
def test_an_unclosed_folder_tag_is_searched_for_once() -> None:
    text = "<environment_context>" + "<cwd>" * 1_000_000 + "</environment_context>"

    assert folder_in(text) is None
    assert folder_in(text.replace("</e", "</cwd></e")) == "<cwd>" * 999_999


READ: dict[str, Callable[[Path], object]] = {
    "read_lines": lambda path: list(read_lines(path)),
    "verify": verify,
    "repair": repair,
    "session_stats": session_stats,
    "follow": lambda path: list(follow(path, from_start=True, timeout=0)),
}


@pytest.mark.promise("listing")
@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b" " * 100 + b"\n"], ids=["newlines", "CRLF", "spaces"])
@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_blank_lines_are_skipped_without_a_call_for_each(
    home: Path, read: Callable[[Path], object], blank: bytes
) -> None:
    path = put(home, META + blank * (SIZE // len(blank)) + encode(prompt("last")))
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        read(path)
    finally:
        sys.setprofile(None)

    # A call for each line would be 40,000 at least.
    assert calls < 5000


@pytest.mark.promise("listing")
def test_the_offsets_of_bad_lines_are_computed_in_linear_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(home, b"{}\n" * 50_000)
    real, counted = lines_module._size, 0

    def count(lines: list[bytes]) -> int:
        nonlocal counted
        counted += len(lines)
        return real(lines)

    monkeypatch.setattr(lines_module, "_size", count)
    reader = read_lines(path)

    assert list(reader) == []
    assert [bad.offset for bad in reader.skipped] == list(range(0, 150_000, 3))
    assert counted <= 50_000


@pytest.mark.promise("listing")
def test_lines_after_blank_lines_have_their_correct_numbers_and_offsets(home: Path) -> None:
    data = META + b"\n" * 300_000 + b"bad\n" + b" \n" * 100_000 + encode([message("user", "last")]) + b"\n" * 70_000
    path = put(home, data)

    reader = read_lines(path)
    numbers = [reader.lineno for _ in reader]
    with follow(path, from_start=True, timeout=0) as follower:
        followed = [follower.lineno for _ in follower]
    (fault,) = verify(path).faults

    assert numbers == followed == [1, 400_003]
    at = (300_002, len(META) + 300_000)
    assert [(bad.lineno, bad.offset) for bad in reader.skipped] == [at]
    assert [(bad.lineno, bad.offset) for bad in follower.skipped] == [at]
    assert (fault.lineno, fault.offset) == at
    assert verify(path).size == len(data)
    assert json.loads(data.split(b"\n")[numbers[1] - 1])["payload"] == message("user", "last")[1]
