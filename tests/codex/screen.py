"""
The screen of the real Codex: its program for a terminal, in a pseudo-terminal, and an emulator that reads it.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

import pyte
from driver import LIMIT, Codex

ROWS, COLUMNS = 200, 120  # so many rows that a whole session is visible
_QUIET = 1.0  # seconds without output after which a screen is complete
_SETTLED = 5.0  # seconds after the text appeared: some versions never stop to draw
# What Codex asks a terminal, and the answer: the cursor's place, the kind of terminal, the two colors.
_ANSWERS = {
    b"\x1b[6n": b"\x1b[1;1R",
    b"\x1b[c": b"\x1b[?1;2c",
    b"\x1b]10;?": b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\",
    b"\x1b]11;?": b"\x1b]11;rgb:0000/0000/0000\x1b\\",
}


def screen_of(codex: Codex, session_id: str, until: str) -> str:
    """
    Return the screen after Codex has resumed a session and shown a text.
    """
    _trust(codex)
    own, theirs = pty.openpty()
    fcntl.ioctl(own, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(
        [codex.binary, "resume", *_options(codex), session_id],
        env={**codex.env, "TERM": "xterm-256color"},
        cwd=codex.cwd,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        return _read(own, until)
    finally:
        process.terminate()
        process.wait(LIMIT)
        os.close(own)


def _options(codex: Codex) -> list[str]:
    """
    Return options so that the program writes on the screen itself, does not propose another model, and ends with it.
    """
    options = ["-c", 'tui.alternate_screen="never"', "-c", 'model="any"']
    done = subprocess.run([codex.binary, "resume", "--help"], capture_output=True, text=True, env=codex.env, check=True)
    # Otherwise today's Codex starts a server that stays, with the session's lock.
    return [*options, "--no-daemon"] if "--no-daemon" in done.stdout else options


def _trust(codex: Codex) -> None:
    """
    Trust the working folder, so that Codex does not ask.
    """
    path = codex.home / "config.toml"
    trusted = f'\n[projects."{codex.cwd}"]\ntrust_level = "trusted"\n'
    if trusted not in path.read_text():
        path.write_text(path.read_text() + trusted)


def _read(terminal: int, until: str) -> str:
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    began = time.monotonic()
    shown_at = None
    while time.monotonic() - began < LIMIT:
        ready, _, _ = select.select([terminal], [], [], _QUIET)
        if shown_at is None and until in _text(screen):
            shown_at = time.monotonic()
        if shown_at is not None and (not ready or time.monotonic() - shown_at > _SETTLED):
            return _text(screen)
        if ready:
            try:
                output = os.read(terminal, 65536)
            except OSError:  # the program has ended
                break
            stream.feed(output)
            for question, answer in _ANSWERS.items():
                if question in output:
                    os.write(terminal, answer)
    raise AssertionError(f"Codex has not shown {until!r}:\n{_text(screen)}")


def _text(screen: pyte.Screen) -> str:
    lines = [line.rstrip() for line in screen.display]
    return "\n".join(line for line in lines if line)
