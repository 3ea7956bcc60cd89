"""
A session is followed while its writers are killed and other writers resume it.
"""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
from pathlib import Path

from rollout.codec import decode_json
from tests.cli.conftest import ROOT, Running

COUNT = 2000
# Records numbered messages, prints a number after each flush, until it is killed or finished.
WRITER = """
import sys
from rollout import Recorder
first, count = int(sys.argv[1]), int(sys.argv[2])
recorder = Recorder.resume(sys.argv[3]) if len(sys.argv) > 3 else Recorder()
recorder.flush()
print(recorder.path, flush=True)
for number in range(first, count):
    recorder.user_message(f"message {number}")
    if number % 7 == 6 or number == count - 1:
        recorder.flush()
        print(number, flush=True)
recorder.close()
"""


def start_writer(first: int, *args: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(first), str(COUNT), *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_follow_shows_each_line_once_while_writers_are_killed_and_resume(home: Path) -> None:
    noise = random.Random(1)
    flushed: set[int] = set()
    first, kills = 0, 0
    path = ""
    following = None
    while first < COUNT:
        recording = start_writer(first, *([path] if path else []))
        assert recording.stdout is not None
        path = recording.stdout.readline().rstrip()
        following = following or Running("follow", "@last", "--from-start", "--jsonl", "--timeout", "8")
        limit = noise.randrange(100, 400) if kills < 6 else COUNT
        last = first - 1
        for line in recording.stdout:
            last = int(line)
            if last - first >= limit:
                recording.send_signal(signal.SIGKILL)
                kills += 1
                break
        # Flushes acknowledged before the kill count, too.
        last = max([last, *map(int, recording.stdout.read().split())])
        recording.wait(60)
        recording.stdout.close()
        flushed |= set(range(first, last + 1))
        first = last + 1

    assert following is not None
    assert following.process.stdout is not None
    shown = []
    for line in following.process.stdout:
        payload = decode_json(line)["payload"]
        shown += [payload["content"][0]["text"]] if payload.get("type") == "message" else []
        if shown and shown[-1] == f"message {COUNT - 1}":
            break
    done = following.interrupt()

    numbers = [int(re.fullmatch(r"message (\d+)", text)[1]) for text in shown]  # type: ignore[index]
    in_file = re.findall(r'"text":"message (\d+)"', Path(path).read_text())
    assert (done.status, kills) == (130, 6)
    assert flushed == set(range(COUNT)) == set(numbers)
    # A killed writer can have written lines that it did not acknowledge. The next writer records them again.
    assert numbers == [int(number) for number in in_file]
