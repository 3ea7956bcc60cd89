"""
How far long work is, while it goes on: on stderr, to a person.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["hide_bar", "progress"]

# Seconds before work counts as long, and between two looks at it.
_PATIENCE, _TICK = 0.5, 0.1


@contextmanager
def progress(label: str) -> Iterator[Callable[[float, float], None]]:
    """
    Give a function that shows how much is done of how much, and how long it will take: on stderr, to a person.
    """
    if not sys.stderr.isatty():
        yield lambda _done, _all: None
        return
    bar = _Bar(label)
    try:
        yield bar.update
    finally:
        bar.hide()


def hide_bar() -> None:
    """
    Take what is shown off the screen, until there is more to show: something else is to be said.
    """
    if _Bar.shown is not None:
        _Bar.shown.hide()


class _Bar:
    """
    How far long work is, on stderr; what is said meanwhile stands above.
    """

    shown: _Bar | None = None

    def __init__(self, label: str) -> None:
        self._label = label
        self._next = time.monotonic() + _PATIENCE
        self._live: Any = None

    def update(self, done: float, whole: float) -> None:
        """
        Show it, but not more often than a person can read.
        """
        if (now := time.monotonic()) < self._next:
            return
        self._next = now + _TICK
        if self._live is None:
            from rich.console import Console  # noqa: PLC0415 -- 100 ms, which short work does not need
            from rich.progress import Progress  # noqa: PLC0415

            # Not redirected: rich would put what goes to stdout on stderr.
            self._live = Progress(
                console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._live.add_task(self._label, total=None)
        _Bar.shown = self
        self._live.start()
        self._live.update(self._live.task_ids[0], completed=done, total=whole or None)

    def hide(self) -> None:
        """
        Take it off the screen, until the next update.
        """
        _Bar.shown = None
        if self._live is not None:
            self._live.stop()
