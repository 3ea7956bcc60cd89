from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.programs import IS_NAIVE, Program


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if Path(item.fspath).parent == Path(__file__).parent]
    for item in here:
        mark = item.get_closest_marker("promise")
        if IS_NAIVE and (mark is None or "naive" not in mark.kwargs):
            item.add_marker(pytest.mark.skip(reason="says nothing of a plain port"))


@pytest.fixture
def program(home: Path) -> Program:
    return Program()
