"""
The current Codex with today's models, and this package, agree on all that the scenario of `make drift` records.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from driver import Codex
from fields import unknown_names
from run import MODELS, of_model


@pytest.mark.parametrize("name", MODELS)
def test_the_scenario_is_read_as_codex_reads_it(current: Codex, tmp_path: Path, name: str) -> None:
    found, refused = of_model(current.version, name, tmp_path / "scenario")

    assert found == []
    # The steps that 0.169.0 does not know.
    assert refused.keys() <= {"detached review", "rollback", "rollback of the old form"}


def test_codex_knows_no_type_or_field_that_this_package_does_not(current: Codex, tmp_path: Path) -> None:
    current.record("first")

    assert list(unknown_names(current, current.home)) == []
