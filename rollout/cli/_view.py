"""
``view``.
"""

from __future__ import annotations

import signal
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import click

from rollout.cli._options import SESSION, home_option
from rollout.cli._output import hint, is_terminal, note, say
from rollout.store import find

__all__ = ["view_command"]

# The exit status of a program that a signal ended is this plus the number of the signal.
_SIGNALLED = 128


@click.command("view")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Listen there; by default where it is free.")
@click.option(
    "--host", default="127.0.0.1", help="Listen on this address, 127.0.0.1 by default; 0.0.0.0 or :: for all addresses."
)
@home_option
@click.argument("session", required=False, type=SESSION)
def view_command(session: str | None, home: str | None, host: str, port: int, no_browser: bool) -> None:
    """
    See sessions in a browser: list, search, read, follow, count. With a SESSION, begin with it.

    Runs until Ctrl-C or SIGTERM and changes nothing. By default only this machine can reach it; with --host other
    machines can, too. Prints its address, which cannot be guessed and which opens every session of the home: keep it
    secret. On a terminal it also opens the browser.

    \b
    Examples:
      rollout view
      rollout view @last
      rollout view --port 8080 --no-browser
      rollout view --host 0.0.0.0 --port 8080
    """
    # Flask takes 150 ms to load.
    from rollout.web import make_viewer  # noqa: PLC0415 -- an extra

    path = None if session is None else find(session, home=home)
    if path is not None:
        path.stat()
    viewer = make_viewer(home, session=path, host=host, port=port)
    try:
        with _ending_on_sigterm():
            say(viewer.url)
            if viewer.is_public:
                note(_warning(viewer.public_urls))
            if is_terminal() and not no_browser:
                webbrowser.open(viewer.url)
            hint("Ctrl-C ends it")
            viewer.serve_forever()
    finally:
        viewer.close()


def _warning(urls: Sequence[str]) -> str:
    """
    Return the warning for a viewer that listens on more than a loopback address.
    """
    opened = " and ".join(urls) or "an address of this machine"
    return (
        f"other machines can reach the viewer, by {opened}. Everyone with that address can read every session. The "
        "connection is not encrypted."
    )


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """
    End the viewer on SIGTERM as on Ctrl-C. The first process of a container ignores SIGTERM if it has no handler.
    """
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 -- the signature of a handler
    raise SystemExit(_SIGNALLED + number)
