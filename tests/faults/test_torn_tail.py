"""
An incomplete last line that an earlier program has left.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from rollout import read_lines
from tests import rollouts
from tests.faults.programs import Program

DATA = rollouts.encode(rollouts.seed_session("one", "two"))
META_SIZE = DATA.index(b"\n") + 1


@pytest.mark.promise("resume", naive="fails")
def test_every_complete_line_before_and_after_a_torn_tail_is_read(
    program: Program, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    cuts = sorted(random.Random(1).sample(range(META_SIZE, len(DATA)), 200))
    for cut in cuts:
        rollouts.put(tmp_path / str(cut), DATA[:cut])

    program.run(
        """
import glob
for path in glob.glob(sys.argv[1] + "/*/sessions/*/*/*/*.jsonl"):
    with rollout.Recorder.resume(path) as rec:
        rec.record(message("after"))
""",
        tmp_path,
    )

    torn = 0
    for cut in cuts:
        (path,) = (tmp_path / str(cut)).glob("sessions/*/*/*/*.jsonl")
        before, _, tail = DATA[:cut].rpartition(b"\n")
        with read_lines(path) as lines:
            found = [line.raw for line in lines]
        # Only its newline was missing.
        is_whole = DATA[cut : cut + 1] == b"\n"
        assert found[:-1] == [*before.split(b"\n"), *([tail] if is_whole else [])]
        assert b'"after"' in found[-1]
        assert [skipped.size for skipped in lines.skipped] == ([] if is_whole or not tail else [len(tail)])
        torn += len(lines.skipped)
    figure(f"{len(cuts)} cuts, {torn} half lines: each closed off and counted, no whole line lost")
