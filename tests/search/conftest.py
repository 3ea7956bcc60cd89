from __future__ import annotations

from pathlib import Path

import pytest

from rollout.search import _news as news_room


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def tick(monkeypatch: pytest.MonkeyPatch) -> int:
    """
    What a folder's time is believed after: these tests write into files without a lock, and may be slow.
    """
    before = news_room._TICK
    monkeypatch.setattr(news_room, "_TICK", 10**13)
    return before
