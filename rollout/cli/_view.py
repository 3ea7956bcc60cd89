"""
``view``.
"""

from __future__ import annotations

import webbrowser

import click

from rollout.cli._options import SESSION, home_option
from rollout.cli._output import hint, is_terminal, say
from rollout.store import find

__all__ = ["view_command"]


@click.command("view")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Listen there; by default where it is free.")
@click.option("--host", type=click.Choice(["127.0.0.1", "::1"]), default="127.0.0.1", help="Listen on this address.")
@home_option
@click.argument("session", required=False, type=SESSION)
def view_command(session: str | None, home: str | None, host: str, port: int, no_browser: bool) -> None:
    """
    See sessions in a browser: list, search, read, follow, count. With a SESSION, begin with it.

    Serves to this machine only and changes nothing, until Ctrl-C. Prints its address, which nobody can guess and
    which opens every session of the home: keep it to yourself. On a terminal it opens the browser, too.

    \b
    Examples:
      rollout view
      rollout view @last
      rollout view --port 8080 --no-browser
    """
    # Flask takes 150 ms to load.
    from rollout.web import make_viewer  # noqa: PLC0415 -- an extra

    path = None if session is None else find(session, home=home)
    if path is not None:
        path.stat()
    viewer = make_viewer(home, session=path, host=host, port=port)
    try:
        say(viewer.url)
        if is_terminal() and not no_browser:
            webbrowser.open(viewer.url)
        hint("Ctrl-C ends it")
        viewer.serve_forever()
    finally:
        viewer.close()
