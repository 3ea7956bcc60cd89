"""
Programs for the tests: each runs in its own process, which a test kills, starves, forks or interrupts.

With ROLLOUT_SUBJECT=naive the programs use the plain port of the original, and the tests that its marks name fail.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rollout import load_history

IS_NAIVE = os.environ.get("ROLLOUT_SUBJECT") == "naive"
ROOT = Path(__file__).parent.parent.parent

PROLOGUE = """
import errno, gc, logging, multiprocessing, os, resource, signal, sys, threading, time
if {is_naive}:
    from tests.faults import naive as rollout
else:
    import rollout
from tests.disks import Disk

# disk.Recorder is rollout.Recorder, but its file is on this disk, whose functions a program replaces.
disk = Disk(rollout.Recorder)

def message(text):
    return {{"type": "message", "role": "user", "content": [{{"type": "input_text", "text": text}}]}}

def wait(pid):
    assert os.waitpid(pid, 0)[1] == 0
"""


class Program:
    """
    Runs scripts as programs of their own.
    """

    # Python 3.12 warns of a fork beside threads; that is what is tested.
    command = (sys.executable, "-W", "ignore::DeprecationWarning", "-c")
    limit = 4 if IS_NAIVE else 120

    def run(self, script: str, *args: object) -> str:
        """
        Run it to its end, which is to be in time and without a word of complaint; what it printed.
        """
        done = self.end(script, *args)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout.strip()

    def end(self, script: str, *args: object) -> subprocess.CompletedProcess[str]:
        """
        Run it to its end, which is to be in time; how that was.
        """
        try:
            return subprocess.run(
                [*self.command, self.source(script), *map(str, args)],
                capture_output=True,
                text=True,
                timeout=self.limit,
                check=False,
                cwd=ROOT,
            )
        except subprocess.TimeoutExpired as error:
            pytest.fail(f"the program hangs; it said {error.stderr!r}")

    def start(self, script: str, *args: object) -> subprocess.Popen[str]:
        """
        Start it, with pipes.
        """
        pipe = subprocess.PIPE
        command = [*self.command, self.source(script), *map(str, args)]
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT)

    @staticmethod
    def source(script: str) -> str:
        return PROLOGUE.format(is_naive=IS_NAIVE) + script


def run_under_strace(program: Program, inject: str, script: str, *args: object) -> Any:
    """
    Run a program in whose system calls some fail or are slow; what it printed, as JSON.
    """
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    call = inject.partition(":")[0]
    command = ["strace", "-f", "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={inject}", *program.command]
    command += [program.source(script), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    if "ptrace" in done.stderr:
        pytest.skip(f"ptrace is not allowed here: {done.stderr}")
    assert (done.returncode, done.stderr) == (0, ""), done
    return json.loads(done.stdout)


def texts(path: str | Path) -> Counter[str]:
    """
    Count the texts of a whole file's messages, the first of which is the meta and the only one.
    """
    history = load_history(path)
    assert history.skipped == ()
    assert [line.type for line in history.lines].count("session_meta") == 1
    assert history.lines[0].type == "session_meta"
    return Counter(in_order(path))


def in_order(path: str | Path) -> list[str]:
    """
    Give the texts of a file's messages.
    """
    lines = load_history(path).lines
    return [line.payload["content"][0]["text"] for line in lines if line.payload.get("type") == "message"]


@contextmanager
def mounted(folder: Path, *args: str) -> Iterator[None]:
    """
    Mount something on a folder, or skip the test where that is not allowed.
    """
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *args, folder], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def frozen(disk: Path, child: subprocess.Popen[str]) -> Iterator[None]:
    """
    Freeze a mounted file system in the with statement, or skip the test where that is not allowed. The program reads
    one line when the file system is frozen, and one when it is not any more.
    """
    assert child.stdin is not None
    if shutil.which("fsfreeze") is None or subprocess.run(["fsfreeze", "-f", disk], check=False).returncode:
        child.kill()
        pytest.skip("fsfreeze is not installed, or not allowed here")
    try:
        child.stdin.write("frozen\n")
        child.stdin.flush()
        yield
    finally:
        subprocess.run(["fsfreeze", "-u", disk], check=True)
    child.stdin.write("thawed\n")
    child.stdin.flush()


def file_system(image: Path) -> Path:
    """
    Make a file that holds an ext4 file system.
    """
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed")
    with image.open("wb") as file:
        file.truncate(64 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image], check=True)
    return image
