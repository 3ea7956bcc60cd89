from __future__ import annotations

from pathlib import Path

import pytest

from rollout.search import _changes as changes_module


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def tick(monkeypatch: pytest.MonkeyPatch) -> int:
    """
    Raise the tick, and return the real one: these tests write into files without a lock, and may be slow.
    """
    before = changes_module._TICK
    monkeypatch.setattr(changes_module, "_TICK", 10**13)
    return before
