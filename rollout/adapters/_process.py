"""
The end and the fork of a process with sessions of hooks.
"""

from __future__ import annotations

import os
import sys
import weakref
from typing import Protocol

from rollout.recording import call_before_end

__all__ = ["logs"]


class _Log(Protocol):
    def reset_after_fork(self) -> None: ...

    def settle(self, error: BaseException | None) -> None: ...


logs: weakref.WeakSet[_Log] = weakref.WeakSet()
"""Every log of this process, also those that have ended."""


def _settle_all() -> None:
    # The exception that ended the program. In an interactive one it is any earlier exception.
    error = None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)
    for log in list(logs):
        log.settle(error)


def _reset_all() -> None:
    for log in list(logs):
        log.reset_after_fork()


call_before_end(_settle_all)
os.register_at_fork(after_in_child=_reset_all)
