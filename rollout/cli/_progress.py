"""
A progress bar on stderr for long work, if stderr is a terminal.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["hide_bar", "progress"]

# Seconds before the bar appears, and between two updates.
_DELAY, _INTERVAL = 0.5, 0.1


@contextmanager
def progress(label: str) -> Iterator[Callable[[float, float], None]]:
    """
    Provide a function that shows a progress bar. Its arguments are the work done and the total work.
    """
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    bar = _Bar(label)
    try:
        yield bar.update
    finally:
        bar.hide()


def hide_bar() -> None:
    """
    Hide the progress bar until its next update, so that other output can be printed.
    """
    if _Bar.visible is not None:
        _Bar.visible.hide()


class _Bar:
    """
    A progress bar on stderr. Other output is printed above it.
    """

    visible: _Bar | None = None

    def __init__(self, label: str) -> None:
        self._label = label
        self._next_update = time.monotonic() + _DELAY
        self._live: Any = None

    def update(self, done: float, total: float) -> None:
        """
        Show the bar, at most every tenth of a second.
        """
        if (now := time.monotonic()) < self._next_update:
            return
        self._next_update = now + _INTERVAL
        if self._live is None:
            from rich.console import Console  # noqa: PLC0415 -- 100 ms, for long work only
            from rich.progress import Progress  # noqa: PLC0415

            # No redirection: rich would write stdout to stderr.
            self._live = Progress(
                console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._live.add_task(self._label, total=None)
        _Bar.visible = self
        self._live.start()
        self._live.update(self._live.task_ids[0], completed=done, total=total or None)

    def hide(self) -> None:
        """
        Hide the bar until the next update.
        """
        _Bar.visible = None
        if self._live is not None:
            self._live.stop()
