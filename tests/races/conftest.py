from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.programs import Program
from tests.races.programs import ground


@pytest.fixture
def quiet_ground() -> Iterator[None]:
    """
    A folder for the files of the programs; the log is disabled, as some programs end the writer with an error.
    """
    with ground():
        yield


@pytest.fixture
def program(home: Path) -> Program:
    return Program()
