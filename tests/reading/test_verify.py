from __future__ import annotations

from pathlib import Path

import pytest

from rollout import Fault, verify
from rollout.reading import _blocks as blocks_module
from rollout.reading._verify import FAULT_KINDS
from tests import rollouts, zstd

pytestmark = pytest.mark.promise("repair")

META, PROMPT, EVENT, *REST = rollouts.encode(rollouts.seed_session("one", "two")).splitlines()
CALL = {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "call_1"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "done"}


def faults_of(tmp_path: Path, *lines: bytes, end: bytes = b"\n") -> list[tuple[str, int, int, int]]:
    path = tmp_path / "rollout.jsonl"
    path.write_bytes(b"\n".join(lines) + end)
    return [(fault.kind, fault.lineno, fault.offset, fault.size) for fault in verify(path).faults]


def size_of(*lines: bytes) -> int:
    return sum(len(line) + 1 for line in lines)


def line(kind: str, payload: dict[str, object]) -> bytes:
    return rollouts.encode([(kind, payload)])[:-1]


@pytest.mark.parametrize("lines", [rollouts.seed_session("a", "b"), rollouts.seed_session()], ids=["turns", "none"])
def test_a_session_without_a_fault_is_reported_as_whole(home: Path, lines: list[rollouts.Line]) -> None:
    verification = verify(rollouts.put(home, lines))

    assert verification.is_whole
    assert verification.line_count == len(lines)
    assert verification.size == len(rollouts.encode(lines))


def test_a_paginated_session_and_one_before_the_envelope_are_whole(home: Path) -> None:
    paginated = rollouts.put(home, rollouts.encode(rollouts.paginated_session("a", "b"), first_ordinal=0))
    bare = rollouts.put(home, rollouts.bare_session("a"), timestamp="2025-08-01T00-00-00")

    assert verify(paginated).is_whole
    assert verify(bare).is_whole


def test_blank_lines_and_a_last_line_without_newline_are_no_faults(tmp_path: Path) -> None:
    assert faults_of(tmp_path, META, b"", b"  \r", PROMPT + b"\r", EVENT, end=b"") == []


def test_a_torn_tail_is_reported(tmp_path: Path) -> None:
    assert faults_of(tmp_path, META, PROMPT, EVENT[:30], end=b"") == [("torn-tail", 3, size_of(META, PROMPT), 30)]


def test_glued_lines_complete_or_torn_are_reported(tmp_path: Path) -> None:
    glued = [PROMPT + EVENT, PROMPT[:30] + EVENT, PROMPT + b'{"time', META[:40] + PROMPT + b"\0\0" + EVENT]

    assert faults_of(tmp_path, META, *glued) == [
        ("glued-lines", 2, size_of(META), len(glued[0])),
        ("glued-lines", 3, size_of(META, glued[0]), len(glued[1])),
        ("glued-lines", 4, size_of(META, *glued[:2]), len(glued[2])),
        ("glued-lines", 5, size_of(META, *glued[:3]), len(glued[3])),
        ("nul-block", 5, size_of(META, *glued[:3]) + 40 + len(PROMPT), 2),
    ]
    assert verify(tmp_path / "rollout.jsonl").line_count == 1 + 2 + 1 + 1 + 2


def test_a_line_that_only_resembles_glued_lines_is_not_split(tmp_path: Path) -> None:
    nested = line("event_msg", {"type": "x", "inner": [{"timestamp": "t", "type": "y", "payload": {}}] * 3})

    assert faults_of(tmp_path, META, nested) == []
    assert faults_of(tmp_path, META, PROMPT + nested)[0][0] == "glued-lines"
    assert verify(tmp_path / "rollout.jsonl").line_count == 3


@pytest.mark.parametrize("bad", [b"garbage", b'{"a":', b'"' * 9, PROMPT[:-1], b'{"timestamp":' * 50])
def test_a_line_that_is_no_json_is_reported(tmp_path: Path, bad: bytes) -> None:
    assert faults_of(tmp_path, META, bad, PROMPT) == [("bad-json", 2, size_of(META), len(bad))]


@pytest.mark.parametrize("bad", [b"{}", b"[]", b'{"timestamp":"t","type":"x","payload":1}'])
def test_json_that_is_no_rollout_line_is_reported(tmp_path: Path, bad: bytes) -> None:
    assert faults_of(tmp_path, META, bad, PROMPT) == [("bad-line", 2, size_of(META), len(bad))]


def test_nul_bytes_are_reported_with_their_position(tmp_path: Path) -> None:
    nuls = b"\0" * 4096

    assert faults_of(tmp_path, META, nuls, nuls + PROMPT) == [
        ("nul-block", 2, size_of(META), 4096),
        ("nul-block", 3, size_of(META, nuls), 4096),
    ]
    assert verify(tmp_path / "rollout.jsonl").line_count == 2


def test_nul_bytes_inside_a_string_make_the_line_bad(tmp_path: Path) -> None:
    bad = PROMPT.replace(b"one", b"o\0e").replace(b"env", b"e\0v")

    kinds = [kind for kind, *_ in faults_of(tmp_path, META, bad, EVENT)]

    assert kinds == ["bad-json", *["nul-block"] * bad.count(b"\0")]


def test_bytes_that_are_not_utf8_are_reported_with_their_position(tmp_path: Path) -> None:
    bad = EVENT.replace(b"one", b"\xff")

    assert faults_of(tmp_path, META, bad) == [("bad-utf8", 2, size_of(META) + bad.index(b"\xff"), 1)]


def test_a_byte_order_mark_is_reported(tmp_path: Path) -> None:
    assert faults_of(tmp_path, b"\xef\xbb\xbf" + META, PROMPT, b"\xef\xbb\xbf") == [
        ("bom", 1, 0, 3),
        ("bom", 3, 3 + size_of(META, PROMPT), 3),
    ]


def test_a_line_too_long_to_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_module, "MAX_LINE_SIZE", 1000)

    assert faults_of(tmp_path, META, b"x" * 5000, PROMPT) == [("oversize-line", 2, size_of(META), 5000)]


def test_a_missing_meta_is_reported_even_for_an_empty_file(tmp_path: Path) -> None:
    assert faults_of(tmp_path, PROMPT) == [("missing-meta", 1, 0, 0)]
    assert faults_of(tmp_path, end=b"") == [("missing-meta", 1, 0, 0)]


def test_ordinals_that_are_missing_repeated_or_skipped_are_reported(home: Path) -> None:
    lines = rollouts.encode(rollouts.paginated_session("a"), first_ordinal=0).splitlines(keepends=True)
    unnumbered = lines[4].replace(b'"ordinal":4,', b"")
    path = rollouts.put(home, b"".join([*lines[:3], lines[2], lines[3], unnumbered, lines[1], *lines[6:]]))

    told = [(fault.kind, fault.lineno, fault.message.partition(":")[0]) for fault in verify(path).faults]

    assert told == [
        ("duplicate-ordinal", 4, "ordinal 2 after 2"),
        ("missing-ordinal", 6, "no ordinal in a paginated session"),
        ("duplicate-ordinal", 7, "ordinal 1 after 3"),
        ("missing-ordinal", 8, "ordinal 6 after 3"),
    ]


def test_a_call_without_an_output_is_reported(tmp_path: Path) -> None:
    call, output = line("response_item", CALL), line("response_item", OUTPUT)
    odd = line("response_item", {"type": ["function_call"], "call_id": {}})

    assert faults_of(tmp_path, META, call, output, odd) == []
    assert faults_of(tmp_path, META, call, odd) == [("call-without-output", 2, size_of(META), len(call))]
    assert verify(tmp_path / "rollout.jsonl").faults[0].message == "call call_1 of shell has no output"


def test_items_that_codex_does_not_read_are_reported_with_the_reason(tmp_path: Path) -> None:
    message, call = {"type": "message", "role": "user", "content": "hi"}, {**CALL, "arguments": {}}
    lines = [line("response_item", item) for item in (message, call, OUTPUT)]

    assert [kind for kind, *_ in faults_of(tmp_path, META, *lines)] == ["unread-by-codex"] * 2
    assert [(fault.lineno, fault.message) for fault in verify(tmp_path / "rollout.jsonl").faults] == [
        (2, "the content of a message is a text, not parts"),
        (3, "arguments of function_call is dict, not a text"),
    ]


def test_damaged_compression_is_reported(home: Path) -> None:
    data = zstd.compress(rollouts.encode(rollouts.seed_session(*map(str, range(2000)))))
    path = rollouts.put(home, data[: len(data) // 2], suffix=".zst")

    verification = verify(path)

    assert verification.faults[-1].kind == "bad-compression"
    assert verification.line_count > 0


def test_a_folder_and_a_missing_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        verify(tmp_path)
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "missing")


def test_every_kind_of_fault_is_explained() -> None:
    source = Path(verify.__code__.co_filename).read_text()

    assert {kind for kind in FAULT_KINDS if source.count(f'"{kind}"') < 2} == set()
    assert Fault("bom", 1, 0, 3, "m").kind in FAULT_KINDS
