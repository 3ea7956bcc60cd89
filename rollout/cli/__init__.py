"""
The command ``rollout``: the only room that prints, asks and exits. Needs the extra ``cli``.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence

__all__ = ["main"]

_EXTRA = ("click", "platformdirs", "rich")


def main(args: Sequence[str] | None = None) -> None:
    """
    Run the command, and exit: 0 done or found, 1 nothing found, 2 error; ``rollout --help`` lists the others.
    """
    try:
        from rollout.cli._app import run  # noqa: PLC0415 -- an extra
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        sys.stderr.write("rollout: the command needs: pip install 'rollout-recorder[cli]'\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        status: int | str | None = run(args)
    except SystemExit as ended:
        status = ended.code
    _end_with_viewer(status)
    sys.exit(status)


def _end_with_viewer(status: int | str | None) -> None:
    """
    End the process with `os._exit` if a thread of the viewer is still running, in the middle of a plot or a query.

    At its normal end, Python stops such a thread at any point. Inside C++ code, this aborts the process (status -6).
    """
    if any(thread.name.startswith("rollout-viewer") for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)
