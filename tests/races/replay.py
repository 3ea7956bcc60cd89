"""
Run one schedule of a program again, and print its switches: ``python -m tests.races.replay NAME SCHEDULE``.
"""

from __future__ import annotations

import ast
import sys

from tests.races import programs
from tests.races.exploring import Explorer
from tests.races.protocol import Protocol


def main(name: str, schedule: str) -> None:
    with programs.ground(), Explorer(Protocol(), getattr(programs, name)) as explorer:
        print("\n".join(explorer.replay(ast.literal_eval(schedule))))


if __name__ == "__main__":
    main(*sys.argv[1:])
