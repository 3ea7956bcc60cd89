"""
Fixtures that run the command: with pipes, at a terminal, and in this process (for the coverage).
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
# Colour codes: the only escape sequences that the command sends to a terminal.
STYLE = re.compile(r"\x1b\[[\d;]*m")
_LIMIT = 60


@frozen
class Done:
    """
    The exit status and the output of the command.
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
def environment(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    Return a function that runs the command in another process.
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
        text = [output.decode("utf-8", "surrogateescape") for output in (done.stdout, done.stderr)]
        return Done(done.returncode, *text)

    return run


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """
    Return a function that runs the command in this process; with *screen*, as if at a terminal.
    """

    def run(
        *args: str | Path, stdin: str | bytes = b"", screen: bool = False, env: dict[str, str] | None = None
    ) -> Done:
        stdin = stdin.encode() if isinstance(stdin, str) else stdin
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
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
    Return a function that runs the command at a terminal. Its output has stdout and stderr together.
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
        output = _read_all(master)
        os.close(master)
        return Done(process.wait(_LIMIT), output.decode().replace("\r\n", "\n"))

    return run


def _read_all(master: int) -> bytes:
    output, end = b"", time.monotonic() + _LIMIT
    # At the end of a terminal, Linux raises an error; other systems return no bytes.
    with suppress(OSError):
        while select.select([master], [], [], max(end - time.monotonic(), 0))[0] and (part := os.read(master, 65536)):
            output += part
    return output


class Running:
    """
    A running command.
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
