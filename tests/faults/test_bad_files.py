"""
A file is read that no crash, program or person should have left.
"""

from __future__ import annotations

import os
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from rollout import InvalidLineError, codec, follow, list_sessions, load_history, read_lines, repair, verify
from tests import rollouts
from tests.faults.programs import Program
from tests.faults.readers import read_everything

FINDS = sorted((Path(__file__).parent / "finds").iterdir())

WHOLE = rollouts.encode(rollouts.seed_session("one", "two"))
META, *REST = WHOLE.splitlines(keepends=True)
LINE = REST[1]


def deep(levels: int) -> bytes:
    return b'{"timestamp":"t","type":"event_msg","payload":{"a":' + b"[" * levels + b"]" * levels + b"}}\n"


CORPUS: dict[str, bytes] = {
    "empty": b"",
    "only newlines": b"\n" * 1000,
    "one byte": b"{",
    "NUL bytes": b"\0" * 10_000,
    "NUL bytes in the middle": META + b"\0" * 4096 + LINE,
    "NUL bytes at the end": WHOLE + b"\0" * 4096,
    "not UTF-8": META + LINE.replace(b"one", b"\xff\xfe\xc0\x80"),
    "UTF-16": WHOLE.decode().encode("utf-16"),
    "Latin-1": META + LINE.replace(b"one", "caf\xe9".encode("latin-1")),
    "BOM": b"\xef\xbb\xbf" + WHOLE,
    "BOM in every line": b"".join(b"\xef\xbb\xbf" + line for line in [META, *REST]),
    "CRLF": WHOLE.replace(b"\n", b"\r\n"),
    "CR alone": WHOLE.replace(b"\n", b"\r"),
    "blank lines": WHOLE.replace(b"\n", b"\n\n \n\t\n"),
    "no newline at the end": WHOLE[:-1],
    "torn": WHOLE[:-30],
    "torn in a character": META + LINE.replace(b"one", "☃".encode()[:2])[:-40],
    "glued": WHOLE.replace(b"\n", b""),
    "glued to a torn line": META + LINE[:50] + LINE,
    "nested 100": META + deep(100) + LINE,
    "nested 1,000": META + deep(1000) + LINE,
    "nested 100,000": META + deep(100_000) + LINE,
    "objects nested 100,000": META + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"\n" + LINE,
    "open brackets": META + b"[" * 1_000_000 + b"\n" + LINE,
    "huge numbers": META + LINE.replace(b'"one"', b"1" * 5000) + LINE.replace(b'"one"', b"1e999999") + LINE,
    "NaN": META + LINE.replace(b'"one"', b"NaN") + LINE.replace(b'"one"', b"-Infinity") + LINE,
    "lone surrogates": META + LINE.replace(b"one", b"\\ud800") + LINE.replace(b"one", b"\\udfff\\ud800"),
    "duplicate keys": META + LINE.replace(b'"payload":', b'"payload":{},"payload":'),
    "unknown types": META + LINE.replace(b"response_item", b"novel_item") + LINE.replace(b"message", b"novelty"),
    "wrong types": META
    + b'{"timestamp":1,"type":[],"payload":""}\n{"timestamp":"t","type":"x","payload":null}\n'
    + LINE,
    "no object": META + b'1\n"x"\nnull\ntrue\n[]\n{}\n' + LINE,
    "a PNG": b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(5000),
    "noise": random.Random(2).randbytes(100_000),
    "two metas": META + META + LINE,
    "the meta last": b"".join([*REST, META]),
    "a meta without id": META.replace(b'"id"', b'"xd"') + LINE,
    "paginated without numbers": META.replace(b'"cwd"', b'"history_mode":"paginated","cwd"') + LINE,
    "ordinals of all kinds": b"".join(
        META.replace(b'"type"', b'"ordinal":' + number + b',"type"', 1)
        for number in (b"0", b"0", b"-1", b"1.5", b'"1"', b"null", b"18446744073709551616", b"99999999999999999999999")
    ),
    "before the envelope": rollouts.bare_session("one", "two"),
    "both forms": WHOLE + rollouts.bare_session("three"),
}


@pytest.mark.promise("read")
@pytest.mark.parametrize("kind", CORPUS)
def test_is_read_in_every_way_with_an_error_or_a_counted_skip_and_nothing_lost(home: Path, kind: str) -> None:
    read_everything(rollouts.put(home, CORPUS[kind]), home)


@pytest.mark.promise("read")
@pytest.mark.parametrize("find", FINDS, ids=lambda path: path.name)
def test_what_the_fuzzer_found_is_read_in_every_way(home: Path, find: Path) -> None:
    read_everything(rollouts.put(home, find.read_bytes()), home)


@pytest.mark.promise("read")
def test_every_cut_and_every_changed_byte_of_a_session_is_read(home: Path) -> None:
    noise = random.Random(3)
    data = rollouts.encode(rollouts.paginated_session("a"), first_ordinal=0)
    for turn in range(120):
        damaged = bytearray(data[: noise.randrange(len(data))] if turn % 2 else data)
        for _ in range(turn % 5):
            damaged[noise.randrange(len(damaged))] = noise.choice(b'\0\n"{}[]\\,:\xff 0')
        read_everything(rollouts.put(home, bytes(damaged)), home)


# Written and read as a program of its own, whose memory is limited by the system.
GIGABYTE = f"""
path = sys.argv[1]
with open(path, "ab") as file:
    for _ in range(1024):
        file.write(b"x" * 2**20)
    file.write(b"\\n")
    file.write({LINE!r})
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
history = rollout.load_history(path)
faults = rollout.verify(path).faults
print(len(history.lines), [(s.lineno, s.size) for s in history.skipped], [f.kind for f in faults])
print(len(list(rollout.follow(path, from_start=True, timeout=0))))
"""


@pytest.mark.slow
@pytest.mark.promise("read")
def test_a_line_of_a_gigabyte_is_a_counted_skip_in_less_memory_than_it(
    program: Program, home: Path, figure: Callable[[str], None]
) -> None:
    path = rollouts.put(home, META)

    said = program.run(GIGABYTE, path).splitlines()

    assert said == [f"2 [(2, {2**30})] ['oversize-line']", "2"]
    figure("a line of 1 GiB: skipped and counted, within 1 GiB of address space")


@pytest.mark.promise("read")
def test_memory_does_not_grow_with_the_file(home: Path, figure: Callable[[str], None]) -> None:
    path = rollouts.put(home, META + LINE.replace(b"one", b"x" * 10_000) * 2000)

    peaks = {}
    for name, read in {
        "read_lines": lambda: sum(1 for _ in read_lines(path)),
        "follow": lambda: sum(1 for _ in follow(path, from_start=True, timeout=0)),
        "verify": lambda: verify(path),
        "repair": lambda: repair(path),
        "list_sessions": lambda: list_sessions(home=home),
    }.items():
        tracemalloc.start()
        read()
        peaks[name] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    size = path.stat().st_size
    assert max(peaks.values()) < 4_000_000, peaks
    figure(f"a file of {size / 1e6:.0f} MB is read in {max(peaks.values()) / 1e6:.1f} MB")


@pytest.mark.promise("read")
@pytest.mark.parametrize("read", [load_history, lambda path: list(read_lines(path)), verify, repair, follow])
def test_a_folder_a_pipe_a_missing_and_a_forbidden_file_are_errors_at_once(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)

    for path, error in [(tmp_path, IsADirectoryError), (pipe, OSError), (tmp_path / "missing", FileNotFoundError)]:
        with pytest.raises(error):
            read(path)


def test_a_line_at_the_limit_is_read_and_one_byte_more_is_not(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (codec, __import__("rollout._blocks")._blocks):
        monkeypatch.setattr(module, "MAX_LINE_SIZE", len(LINE))
    path = rollouts.put(home, LINE + LINE.replace(b"one", b"more"))

    with read_lines(path) as reader:
        assert len(list(reader)) == 1
    assert [skipped.lineno for skipped in reader.skipped] == [2]
    with pytest.raises(InvalidLineError):
        list(read_lines(path, strict=True))
