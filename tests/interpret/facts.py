"""
The facts of short sessions.
"""

from __future__ import annotations

from typing import TypeVar

from rollout.interpret import Fact, Interpreter
from tests.builders import decoded
from tests.rollouts import Line

__all__ = ["facts_of", "of_kind"]

_FactT = TypeVar("_FactT", bound=Fact)


def facts_of(*lines: Line, reader: Interpreter | None = None) -> list[Fact]:
    """
    Return the facts of lines, which a new reader reads by default.
    """
    reader = reader or Interpreter()
    return [fact for line in lines for fact in reader.feed(decoded(line))]


def of_kind(kind: type[_FactT], *lines: Line, reader: Interpreter | None = None) -> list[_FactT]:
    """
    Return the facts of one class.
    """
    return [fact for fact in facts_of(*lines, reader=reader) if isinstance(fact, kind)]
