"""
A process that dies in the middle of its work: at the n-th call that changes a file or a folder.
"""

from __future__ import annotations

import os
import pathlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

_CALLS = ("link", "rename", "replace", "unlink", "fsync", "write", "mkdir", "utime")


def deaths(work: Callable[[], Any]) -> Iterator[int]:
    """
    Run the work in child processes that die before their first, second, ... call, until one completes.

    Gives the number of the call after each death; the test looks at what is left, and sets the stage anew.
    """
    for number in range(1, 200):
        with warnings.catch_warnings():
            # Where another test has imported eventlet, it warns at every fork.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            _work_until(work, number)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return
        assert code == 9
        yield number
    pytest.fail("it never comes to its end")


def _work_until(work: Callable[[], Any], number: int) -> None:
    left = number

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                os._exit(9)
            return call(*args, **kwargs)

        return count

    code = 1
    try:
        for name in _CALLS:
            setattr(os, name, call := dying(getattr(os, name)))
            # Python 3.10's paths keep the calls of their own time.
            if hasattr(pathlib, "_NormalAccessor"):
                setattr(pathlib._NormalAccessor, name, staticmethod(call))
        work()
        code = 0
    except BaseException as error:  # noqa: BLE001
        print(repr(error), file=sys.stderr)  # noqa: T201
    finally:
        os._exit(code)
