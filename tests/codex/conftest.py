from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "drift"))
sys.path.insert(0, str(Path(__file__).parent))

from driver import Codex
from install import VERSIONS, binary
from model import Model


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.codex)


@pytest.fixture
def model() -> Iterator[Model]:
    model = Model()
    yield model
    model.close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "note.txt").write_text("a note\n")
    return folder


@pytest.fixture
def start_codex(home: Path, project: Path, model: Model) -> Callable[[str], Codex]:
    def start(version: str) -> Codex:
        if not binary(version).exists():
            reason = f"Codex {version} is not installed; run `make test-codex`"
            if os.environ.get("ROLLOUT_REQUIRE_CODEX"):
                pytest.fail(reason)
            pytest.skip(reason)
        return Codex(version, home, project, model.url)

    return start


@pytest.fixture(params=VERSIONS)
def codex(start_codex: Callable[[str], Codex], request: pytest.FixtureRequest) -> Codex:
    return start_codex(request.param)


@pytest.fixture
def seed(start_codex: Callable[[str], Codex]) -> Codex:
    """
    Return the version nearest to the seed recorder.
    """
    return start_codex("0.36.0")


@pytest.fixture
def current(start_codex: Callable[[str], Codex]) -> Codex:
    return start_codex("0.169.0")
