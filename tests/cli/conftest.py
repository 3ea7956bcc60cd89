"""
The command, run as people run it: by a program that reads its pipes, and at a terminal; and in this process, where
coverage counts.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from rollout.cli import _app
from rollout.codec import decode_json

ROOT = Path(__file__).parent.parent.parent
COMMAND = (sys.executable, "-m", "rollout.cli")
# Colours and the like; what the command itself may send to a terminal.
STYLE = re.compile(r"\x1b\[[\d;]*m")
_LIMIT = 60


@frozen
class Done:
    """
    How a run of the command ended, and what it said.
    """

    status: int
    out: str
    err: str = ""

    @property
    def json(self) -> Any:
        return decode_json(self.out)

    @property
    def error(self) -> Any:
        return decode_json(self.err)["error"]

    @property
    def rows(self) -> list[list[str]]:
        return [line.split("\t") for line in self.out.splitlines()]

    @property
    def text(self) -> str:
        return STYLE.sub("", self.out)


Run = Callable[..., Done]


@pytest.fixture(autouse=True)
def surroundings(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "LINES", "LESS", "NO_COLOR", "PAGER", "PYTHONIOENCODING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", os.fspath(ROOT))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.fixture
def rollout(tmp_path: Path) -> Run:
    """
    Runs the command as a process of its own.
    """

    def run(*args: str | Path, stdin: str = "", env: dict[str, str] | None = None) -> Done:
        done = subprocess.run(
            [*COMMAND, *args],
            input=stdin.encode("utf-8", "surrogateescape"),
            capture_output=True,
            timeout=_LIMIT,
            check=False,
            cwd=tmp_path,
            env={**os.environ, **(env or {})},
        )
        text = [said.decode("utf-8", "surrogateescape") for said in (done.stdout, done.stderr)]
        return Done(done.returncode, *text)

    return run


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """
    Runs the command in this process; with *screen*, as if people read what it says.
    """

    def run(
        *args: str | Path, stdin: str | bytes = b"", screen: bool = False, env: dict[str, str] | None = None
    ) -> Done:
        stdin = stdin.encode() if isinstance(stdin, str) else stdin
        with monkeypatch.context() as patch:
            typed = io.TextIOWrapper(io.BytesIO(stdin))
            patch.setattr(sys, "stdin", typed)
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            if screen:
                for stream in (sys.stdin, sys.stdout, sys.stderr):
                    patch.setattr(stream, "isatty", lambda: True)
            capsys.readouterr()
            status = _app.run([os.fspath(arg) for arg in args])
            out, err = capsys.readouterr()
        return Done(status, out, err)

    return run


@pytest.fixture
def terminal(tmp_path: Path) -> Run:
    """
    Runs the command at a terminal of its own, where stdout and stderr are one.
    """

    def run(
        *args: str | Path, keys: str = "", columns: int = 100, lines: int = 40, env: dict[str, str] | None = None
    ) -> Done:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        process = subprocess.Popen(
            [*COMMAND, *args], stdin=slave, stdout=slave, stderr=slave, cwd=tmp_path, env={**os.environ, **(env or {})}
        )
        os.close(slave)
        os.write(master, keys.encode())
        shown = _shown(master)
        os.close(master)
        return Done(process.wait(_LIMIT), shown.decode().replace("\r\n", "\n"))

    return run


def _shown(master: int) -> bytes:
    shown, end = b"", time.monotonic() + _LIMIT
    # The end of a terminal is an error to Linux, and empty to others.
    with suppress(OSError):
        while select.select([master], [], [], max(end - time.monotonic(), 0))[0] and (part := os.read(master, 65536)):
            shown += part
    return shown


class Running:
    """
    The command while it runs, to be looked at and interrupted.
    """

    command = COMMAND

    def __init__(self, *args: str | Path) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [*COMMAND, *args], stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def interrupt(self) -> Done:
        self.process.send_signal(signal.SIGINT)
        return self.end()

    def end(self) -> Done:
        out, err = self.process.communicate(timeout=_LIMIT)
        return Done(self.process.returncode, out, err)
