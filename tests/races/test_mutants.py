"""
Each fault that is put into the protocol is found, so the schedules of `test_schedules` would find it, too.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.races.exploring import Explorer, ScheduleError
from tests.races.mutants import MUTANTS
from tests.races.protocol import Protocol

pytestmark = [pytest.mark.promise("schedules"), pytest.mark.usefixtures("quiet_ground")]

# Number of schedules for one fault. No fault needs as many; otherwise its program would not be small enough.
LIMIT = 3_000


@pytest.mark.parametrize("name", MUTANTS)
def test_each_planted_fault_is_found(name: str, figure: Callable[[str], None]) -> None:
    mutant = MUTANTS[name]
    with Explorer(Protocol(mutant.module, mutant.changes), mutant.program) as explorer:
        with pytest.raises(ScheduleError) as caught:
            explorer.explore(2, limit=LIMIT)
        again = explorer.replay(caught.value.schedule)

    assert again[-1] in str(caught.value)
    figure(f"{name}: found by {mutant.program.__name__}, schedule {caught.value.found_after:,}")
