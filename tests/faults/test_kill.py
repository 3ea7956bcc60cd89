"""
A program that is killed at any moment.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from rollout import Recorder, read_lines
from tests.faults.programs import Program

# Records as long as it lives, and says of each line whether it was acknowledged.
RECORDING = """
import random
path, number = sys.argv[1:]
sizes = random.Random(int(number))
rec = rollout.Recorder.resume(path) if path else rollout.Recorder()
for n in range(1_000_000):
    size = sizes.choice([10, 60_000, sizes.randrange(4 * 2**20), sizes.randrange(4 * 2**20)])
    rec.record(message(f"{number}:{n}:" + "x" * size))
    if n % 3 != 2:
        rec.flush()
        print(rec.path, n, flush=True)
"""


@pytest.mark.promise("kill", naive="fails")
@pytest.mark.parametrize("kills", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_after_a_kill_every_acknowledged_line_is_in_the_file_and_the_session_can_be_resumed(
    program: Program, kills: int, figure: Callable[[str], None]
) -> None:
    moments = random.Random(kills)
    acknowledged: set[str] = set()
    path = ""

    for number in range(kills):
        with program.start(RECORDING, path, number) as child:
            assert child.stdout is not None and child.stderr is not None
            said = [child.stdout.readline()]
            # Not to wait for something: the moment of death is to be any.
            time.sleep(moments.random() / 100)
            child.send_signal(signal.SIGKILL)
            said += child.stdout
            assert child.stderr.read() == ""
        for line in said:
            # A word cut short by the kill is none.
            if line.endswith("\n"):
                path, n = line.split()
                acknowledged.add(f"{number}:{n}")

    # Closes off the last tail, too.
    with Recorder.resume(path) as recorder:
        recorder.agent_message("end:0:")
    found: Counter[str] = Counter()
    torn = 0
    last = ""
    with read_lines(path) as lines:
        for line in lines:
            text = line.payload["content"][0]["text"] if line.type == "response_item" else "::"
            run, n, _ = text.split(":")
            found[f"{run}:{n}"] += 1
            # A line that cannot be read stands where one run ends and the next begins, and nowhere else.
            assert len(lines.skipped) - torn <= (run != last)
            torn, last = len(lines.skipped), run
    lost = acknowledged - found.keys()
    twice = [text for text, count in found.items() if count > 1 and text != ":"]
    size = Path(path).stat().st_size
    figure(
        f"{kills:,} kills, {len(acknowledged):,} acknowledged lines, {size / 1e6:,.0f} MB: {len(lost)} lost, "
        f"{len(twice)} twice, 0 unreadable but {torn} torn tails of the kills themselves"
    )
    assert (lost, twice) == (set(), [])
    assert torn <= kills
