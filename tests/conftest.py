from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollout import Recorder


@pytest.fixture(autouse=True)
def no_thread_outlives_its_test() -> Iterator[None]:
    before = set(threading.enumerate())

    yield

    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(5)
    assert [thread.name for thread in left if thread.is_alive()] == []


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Also where nobody asks for it: no test may find the home of who runs it.
    folder = tmp_path / "home"
    monkeypatch.setenv("CODEX_HOME", str(folder))
    return folder


@pytest.fixture
def recorder(home: Path, tmp_path: Path) -> Iterator[Recorder]:
    with Recorder(home=home, cwd=tmp_path) as recorder:
        yield recorder
