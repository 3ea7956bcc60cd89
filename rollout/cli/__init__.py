"""
The command ``rollout``. Only this package prints, asks questions and exits. It needs the extra ``cli``.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence

from rollout.cli._exit_status import ERROR, INTERRUPTED

__all__ = ["main"]

_EXTRA = ("click", "platformdirs", "rich")


def main(args: Sequence[str] | None = None) -> None:
    """
    Run the command and exit. ``rollout --help`` lists the exit statuses.
    """
    try:
        from rollout.cli._app import run  # noqa: PLC0415 -- an extra
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        sys.stderr.write("rollout: the command needs the extra: pip install 'rollout-recorder[cli]'\n")
        sys.exit(ERROR)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    try:
        status: int | str | None = run(args)
    except SystemExit as error:
        status = error.code
    except KeyboardInterrupt:
        # A second Ctrl-C, before `run` ignores it or after.
        status = INTERRUPTED
    _exit_if_viewer_is_running(status)
    sys.exit(status)


def _exit_if_viewer_is_running(status: int | str | None) -> None:
    """
    End the process with `os._exit` if a thread of the viewer is still running a plot or a query.

    At its normal end, Python stops such a thread at any point. Inside C++ code, this aborts the process (status -6).
    """
    if any(thread.name.startswith("rollout-viewer") for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)
