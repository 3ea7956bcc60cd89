"""
``view``: run the local viewer.
"""

from __future__ import annotations

import signal
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import click

from rollout.cli._exit_status import SIGNAL_BASE
from rollout.cli._options import SESSION, home_option
from rollout.cli._output import info, is_terminal, print_out, warn
from rollout.store import find

__all__ = ["view_command"]


@click.command("view")
@click.option("--no-browser", is_flag=True, help="Print the URL only; do not open a browser.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Listen on this port; by default, any free port."
)
@click.option(
    "--host", default="127.0.0.1", help="Listen on this address, 127.0.0.1 by default; 0.0.0.0 or :: for all addresses."
)
@home_option
@click.argument("session", required=False, type=SESSION)
def view_command(session: str | None, home: str | None, host: str, port: int, no_browser: bool) -> None:
    """
    Show sessions in a browser: list, search, read, follow, count. With a SESSION, open the page of this session.

    Runs until Ctrl-C or SIGTERM and changes nothing. By default, only this machine can reach the viewer; with --host,
    other machines can reach it, too. Prints the URL of the viewer. The URL cannot be guessed, and it gives access to
    every session of the home: keep it secret. On a terminal, also opens the browser.

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
        with _exit_on_sigterm():
            print_out(viewer.url)
            if viewer.is_public:
                warn(_warning(viewer.public_urls))
            if is_terminal() and not no_browser:
                webbrowser.open(viewer.url)
            info("press Ctrl-C to stop")
            viewer.serve_forever()
    finally:
        viewer.close()


def _warning(urls: Sequence[str]) -> str:
    """
    Return the warning for a viewer that listens on more than a loopback address.
    """
    known_urls = " and ".join(urls) or "an address of this machine"
    return (
        f"other machines can reach the viewer at {known_urls}. Anyone who knows this URL can read every session. The "
        "connection is not encrypted."
    )


@contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """
    End the viewer on SIGTERM as on Ctrl-C. The first process of a container ignores SIGTERM if it has no handler.
    """
    handler = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def _exit(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 -- the signature of a handler
    raise SystemExit(SIGNAL_BASE + number)
