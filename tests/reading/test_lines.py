from __future__ import annotations

import builtins
import os
import random
from pathlib import Path
from typing import Any

import pytest

from rollout import InvalidLineError, RolloutLine, read_lines
from rollout.reading import _blocks as blocks_module
from rollout.reading import decode_backwards
from rollout.reading._blocks import lines_backwards
from tests import rollouts, zstd
from tests.memory import peak_memory

WHOLE = rollouts.encode([rollouts.event("agent_message", message="whole")])


def types_of(lines: list[RolloutLine]) -> list[str]:
    return [line.type for line in lines]


def write(tmp_path: Path, data: bytes, name: str = "rollout.jsonl") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def test_read_lines_yields_every_line_with_its_bytes(tmp_path: Path) -> None:
    data = rollouts.encode(rollouts.seed_session("é 🎉", "two"))

    lines = list(read_lines(write(tmp_path, data)))

    assert b"".join(line.raw + b"\n" for line in lines) == data


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"{", "not JSON"),
        (b'{"timestamp":"2026', "not JSON"),
        (b"not json", "not JSON"),
        (b"\x00" * 100, "not JSON"),
        (b"[]", "not an object but list"),
        (b"null", "not an object but NoneType"),
        (b"{}", "neither"),
        (b'{"timestamp":"t","type":"event_msg"}', "neither"),
        (b'{"type":"event_msg","payload":{}}', "no timestamp"),
        (b'{"timestamp":"t","payload":{}}', "no type"),
        (b'{"timestamp":"t","type":"event_msg","payload":[]}', "not an object but list"),
        (b'{"timestamp":"t","type":"event_msg","payload":{},"ordinal":"1"}', "ordinal"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not JSON"),
        (WHOLE.strip() * 2, "not JSON"),
    ],
)
def test_read_lines_skips_a_bad_line_with_its_position_and_reason_and_continues(
    tmp_path: Path, bad: bytes, reason: str
) -> None:
    reader = read_lines(write(tmp_path, WHOLE + bad + b"\n" + WHOLE))

    lines = list(reader)

    assert [line.payload["message"] for line in lines] == ["whole", "whole"]
    (skipped,) = reader.skipped
    assert (skipped.lineno, skipped.offset, skipped.size) == (2, len(WHOLE), len(bad))
    assert reason in skipped.reason


@pytest.mark.parametrize(
    "data",
    [
        b"\n\n" + WHOLE + b"\n  \n\t\n",
        b"\xef\xbb\xbf" + WHOLE,
        WHOLE.replace(b"\n", b"\r\n"),
        WHOLE.strip(),
        b"\r\n" + WHOLE,
    ],
    ids=["blank lines", "BOM", "CRLF", "no newline at the end", "blank CRLF"],
)
def test_read_lines_reads_files_that_other_programs_have_changed(tmp_path: Path, data: bytes) -> None:
    reader = read_lines(write(tmp_path, data))

    assert [line.payload["message"] for line in reader] == ["whole"]
    assert reader.skipped == []


def test_a_line_that_is_not_utf8_is_read_and_keeps_its_bytes(tmp_path: Path) -> None:
    raw = WHOLE.replace(b"whole", b"\xff\xfe")

    (line,) = read_lines(write(tmp_path, raw))

    assert line.payload["message"] == "\ufffd\ufffd"
    assert line.raw + b"\n" == raw


def test_only_a_newline_ends_a_line(tmp_path: Path) -> None:
    data = rollouts.encode([rollouts.event("agent_message", message="a\u2028b\x85c\x0bd")])

    (line,) = read_lines(write(tmp_path, data))

    assert line.payload["message"] == "a\u2028b\x85c\x0bd"


def test_a_torn_last_line_is_skipped_with_the_reason_torn(tmp_path: Path) -> None:
    reader = read_lines(write(tmp_path, WHOLE + WHOLE[:30]))

    assert len(list(reader)) == 1
    assert reader.skipped[0].reason.startswith("torn: ")
    assert reader.skipped[0].size == 30


def test_read_lines_keeps_unknown_lines_and_items(tmp_path: Path) -> None:
    data = rollouts.encode([("novel", {"a": 1}), rollouts.event("novel", b=2), ("response_item", {"type": "novel"})])

    lines = list(read_lines(write(tmp_path, data)))

    assert types_of(lines) == ["novel", "event_msg", "response_item"]
    assert [type(line.item).__name__ for line in lines] == ["UnknownItem", "UnknownEvent", "UnknownResponseItem"]


def test_a_file_before_the_envelope_has_lines_of_the_same_types(tmp_path: Path) -> None:
    data = rollouts.bare_session("hello")

    lines = list(read_lines(write(tmp_path, data)))

    assert types_of(lines) == ["session_meta", *["state", "response_item"] * 3]
    assert b"".join(line.raw + b"\n" for line in lines) == data


@pytest.mark.parametrize("extra", [0, 1, 5, 70_000])
def test_a_line_that_is_too_long_is_skipped_without_losing_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: int
) -> None:
    monkeypatch.setattr(blocks_module, "MAX_LINE_SIZE", len(WHOLE))
    long = WHOLE.replace(b"whole", b"w" + b"h" * extra + b"ole")

    reader = read_lines(write(tmp_path, long + WHOLE))

    assert len(list(reader)) == (2 if extra <= 1 else 1)
    if extra > 1:
        (skipped,) = reader.skipped
        assert (skipped.lineno, skipped.offset, skipped.size) == (1, 0, len(long) - 1)
        assert "longer than" in skipped.reason


def test_a_last_line_that_is_too_long_and_torn_ends_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_module, "MAX_LINE_SIZE", 10)

    reader = read_lines(write(tmp_path, b"x" * 100))

    assert list(reader) == []
    assert reader.skipped[0].size == 100


def test_a_damaged_compressed_file_yields_every_line_before_the_damage(tmp_path: Path) -> None:
    lines = rollouts.encode([rollouts.event("agent_message", message=f"{n:0200d}") for n in range(1000)]).splitlines(
        True
    )
    compressor = zstd.ZstdCompressor()
    # One block for each line, as from a writer that syncs each line.
    blocks = [compressor.compress(line, mode=compressor.FLUSH_BLOCK) for line in lines]
    path = write(tmp_path, b"".join(blocks[:700]) + blocks[700][:-1], name="rollout.jsonl.zst")

    reader = read_lines(path)

    assert len(list(reader)) == 700
    assert [skipped.lineno for skipped in reader.skipped] == [701]


def test_strict_raises_at_the_first_bad_line(tmp_path: Path) -> None:
    path = write(tmp_path, WHOLE + b"bad\n" + WHOLE)
    reader = read_lines(path, strict=True)
    next(reader)

    with pytest.raises(InvalidLineError, match="line 2: not JSON") as error:
        next(reader)

    assert (error.value.path, error.value.lineno) == (path, 2)


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    assert list(read_lines(write(tmp_path, b""))) == []


def test_a_missing_file_a_folder_and_a_pipe_are_errors_without_a_wait(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    with pytest.raises(FileNotFoundError):
        read_lines(tmp_path / "missing.jsonl")
    with pytest.raises(IsADirectoryError):
        read_lines(tmp_path)
    with pytest.raises(OSError, match="not a regular file"):
        read_lines(pipe)


def test_closing_before_the_end_ends_the_iteration_and_closes_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, WHOLE * 3)

    with read_lines(path) as reader:
        next(reader)

    assert list(reader) == []
    assert reader._file.closed


def test_memory_stays_far_below_the_size_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "big.jsonl"
    line = rollouts.encode([rollouts.event("agent_message", message="x" * 10_000)])
    with path.open("wb") as file:
        for _ in range(3000):
            file.write(line)

    with peak_memory() as peak:
        count = sum(1 for _ in read_lines(path))

    assert count == 3000
    assert peak.size < path.stat().st_size / 50


class TestCompressed:
    def test_file_has_the_same_lines_as_the_plain_file(self, tmp_path: Path) -> None:
        data = rollouts.encode(rollouts.seed_session("one", "two"))
        path = write(tmp_path, zstd.compress(data), "rollout.jsonl.zst")

        assert b"".join(line.raw + b"\n" for line in read_lines(path)) == data

    @pytest.mark.parametrize("damage", ["cut", "garbled"])
    def test_file_ends_at_its_damage_with_a_skipped_line(self, tmp_path: Path, damage: str) -> None:
        noise = random.Random(1).randbytes(300_000).hex()
        data = WHOLE + rollouts.encode([rollouts.event("agent_message", message=noise)] * 2)
        packed = zstd.compress(data)
        broken = packed[:-1000] if damage == "cut" else packed[:-1000] + b"x" * 1000
        path = write(tmp_path, broken, "rollout.jsonl.zst")

        reader = read_lines(path)

        assert next(reader).payload["message"] == "whole"
        assert len(list(reader)) <= 2
        assert "damaged" in reader.skipped[-1].reason

    def test_file_with_damage_raises_an_error_if_strict(self, tmp_path: Path) -> None:
        path = write(tmp_path, zstd.compress(WHOLE)[:-3], "rollout.jsonl.zst")

        with pytest.raises(InvalidLineError, match="damaged"):
            list(read_lines(path, strict=True))

    def test_file_without_the_extra_raises_an_error_that_names_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = builtins.__import__

        def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
            if name in ("backports", "compression"):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return real(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", refuse)
        with pytest.raises(ModuleNotFoundError, match=r"rollout-recorder\[zstd\]"):
            read_lines(write(tmp_path, b"", "rollout.jsonl.zst"))


def test_the_lines_of_a_file_backwards_are_its_valid_lines_in_reverse(tmp_path: Path) -> None:
    lines = rollouts.seed_session("one", "two")
    path = write(tmp_path, rollouts.encode(lines[:3]) + b"x\n\n" + rollouts.encode(lines[3:]))

    assert [line.payload for line in decode_backwards(path)] == [payload for _, payload in reversed(lines)]


@pytest.mark.parametrize("block_size", [1, 2, 7, 64])
@pytest.mark.parametrize(
    "data", [b"", b"a", b"\n", b"a\n", b"a\nb", b"a\n\nbb\r\nccc\n", b"x" * 100, b"\n\n\n", b"long line\nshort\n"]
)
def test_lines_backwards_are_the_lines_in_reverse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_size: int, data: bytes
) -> None:
    monkeypatch.setattr(blocks_module, "_BLOCK_SIZE", block_size)

    with write(tmp_path, data).open("rb") as file:
        assert list(lines_backwards(file)) == [line for line in data.split(b"\n")[::-1] if line.strip()]
