"""
Reading of damaged files, as no crash or program should have left them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from rollout import InvalidLineError, codec, follow, list_sessions, load_history, read_lines, repair, verify
from tests import rollouts
from tests.bad_files import CORPUS, LINE, META
from tests.faults.programs import Program
from tests.faults.readers import read_everything
from tests.memory import peak_memory

FINDS = sorted((Path(__file__).parent / "finds").iterdir())


@pytest.mark.promise("read")
@pytest.mark.parametrize("kind", CORPUS)
def test_a_bad_file_raises_an_error_or_has_its_bad_lines_counted_in_every_reader(home: Path, kind: str) -> None:
    read_everything(rollouts.put(home, CORPUS[kind]), home)


@pytest.mark.promise("read")
@pytest.mark.parametrize("find", FINDS, ids=lambda path: path.name)
def test_the_inputs_found_by_the_fuzzer_are_read_by_every_reader(home: Path, find: Path) -> None:
    read_everything(rollouts.put(home, find.read_bytes()), home)


@pytest.mark.promise("read")
def test_a_session_that_is_cut_or_changed_at_random_bytes_is_read(home: Path) -> None:
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
def test_a_line_of_a_gigabyte_is_skipped_and_counted_in_less_memory_than_its_size(
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
        with peak_memory() as peak:
            read()
        peaks[name] = peak.size

    size = path.stat().st_size
    assert max(peaks.values()) < 4_000_000, peaks
    figure(f"a file of {size / 1e6:.0f} MB is read in {max(peaks.values()) / 1e6:.1f} MB")


@pytest.mark.promise("read")
@pytest.mark.parametrize("read", [load_history, lambda path: list(read_lines(path)), verify, repair, follow])
def test_a_folder_a_pipe_and_a_missing_file_are_errors_without_a_wait(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)

    for path, error in [(tmp_path, IsADirectoryError), (pipe, OSError), (tmp_path / "missing", FileNotFoundError)]:
        with pytest.raises(error):
            read(path)


def test_a_line_at_the_limit_is_read_and_one_byte_more_is_not(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (codec, import_module("rollout.reading._blocks")):
        monkeypatch.setattr(module, "MAX_LINE_SIZE", len(LINE))
    path = rollouts.put(home, LINE + LINE.replace(b"one", b"more"))

    with read_lines(path) as reader:
        assert len(list(reader)) == 1
    assert [skipped.lineno for skipped in reader.skipped] == [2]
    with pytest.raises(InvalidLineError):
        list(read_lines(path, strict=True))
