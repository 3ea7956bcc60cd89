from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from rollout import Recorder
from tests.disks import WatchedDisk


@pytest.fixture
def disk() -> Iterator[WatchedDisk]:
    disk = WatchedDisk()
    yield disk
    disk.release()


@pytest.fixture
def recorder(disk: WatchedDisk, home: Path, tmp_path: Path) -> Iterator[Recorder]:
    """
    Create a recorder whose file is on `disk`.
    """
    with disk.Recorder(home=home, cwd=tmp_path) as recorder:
        yield recorder


@pytest.fixture
def no_new_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """
    Return a context manager; within its block the system has no more threads.
    """

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    @contextmanager
    def refusing() -> Iterator[None]:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            yield

    return refusing
