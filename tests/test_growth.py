"""
Everything that is done with a session takes time proportional to its size, whatever it consists of.

Counted are the lines of Python that run, which no busy machine changes; where the time is spent in C (patterns, JSON,
the index), the processor's time is measured, with room.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.growth import OPERATIONS, SESSIONS, TEXTS, Grown, grown, saying

pytestmark = pytest.mark.promise("growth")

# Times the steps, for 4 times the session; a loop over all that came before gives up to 16. Five are promised.
_STEPS_MAX = 4.5
# Times the time, for 4 times the text. Seconds: what is shorter is not measured well.
_TIME_MAX, _TIME_MIN = 8, 0.02
# Of messages and of the units of texts: past what is treated differently because it is short. `make stress` has more
# of both, and every kind of session and of text.
_LINES, _UNITS = 25, 80
_MANY_LINES, _MANY_UNITS, _CHARACTERS = 60, 250, 15_000
# Each draws every item anew, which takes long to count; `make stress` has them, too.
_DRAWN = frozenset({"show at a terminal", "html, conversation"})
_FAST = {name: work for name, work in OPERATIONS.items() if name not in _DRAWN}
# Whose patterns and encoders are in C.
_IN_C = (
    "load", "to_input", "text", "markdown", "json", "verify", "repair", "secrets", "redact", "search the files",
    "index",
)  # fmt: skip


def steps_of(work: Callable[[], Any]) -> int:
    count = 0

    def on_event(_frame: FrameType, _kind: str, _argument: Any) -> Any:
        nonlocal count
        count += 1
        return on_event

    before = sys.gettrace()
    sys.settrace(on_event)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def seconds_of(work: Callable[[], Any]) -> float:
    # Without garbage collections: the first full one makes 22,000 lines cost 12 times 5,500; from there on it is 4.
    gc.disable()
    try:
        begin = time.process_time()
        work()
        return time.process_time() - begin
    finally:
        gc.enable()


@pytest.fixture(scope="module", autouse=True)
def everything_is_imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    # What is done once in a process belongs to no session.
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("CODEX_HOME", str(folder / "home"))
        session = grown(folder / "home", SESSIONS["turns"](2))
        for work in OPERATIONS.values():
            work(session)
        yield


@pytest.fixture
def sessions(tmp_path: Path) -> Callable[[Callable[[int], Any], int], tuple[Grown, Grown]]:
    def make(content: Callable[[int], Any], count: int) -> tuple[Grown, Grown]:
        return grown(tmp_path / "small", content(count)), grown(tmp_path / "large", content(4 * count))

    return make


def said(name: str) -> Callable[[int], Any]:
    return lambda count: saying(TEXTS[name](count))


def growth_of(small: Grown, large: Grown, operations: Mapping[str, Callable[[Grown], Any]]) -> dict[str, float]:
    """
    Return how many times the steps of a small session each operation takes for a large one, the most first.
    """
    found = {}
    for name, work in operations.items():
        before = steps_of(lambda work=work: work(small))  # type: ignore[misc]
        found[name] = steps_of(lambda work=work: work(large)) / before  # type: ignore[misc]
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def check(growth: dict[str, float], what: str, figure: Callable[[str], None]) -> None:
    most = next(iter(growth))
    figure(f"{what}: {growth[most]:.1f} times the steps for 4 times as many ({most})")
    assert {name: times for name, times in growth.items() if times > _STEPS_MAX} == {}


@pytest.mark.parametrize(
    "name",
    [
        "tiny lines", "turns", "compactions", "rollbacks at the end", "open calls", "calls of one id", "images",
        "lines that cannot be read",
    ],
)  # fmt: skip
def test_four_times_the_lines_take_at_most_five_times_the_steps(
    sessions: Callable[..., tuple[Grown, Grown]], figure: Callable[[str], None], name: str
) -> None:
    small, large = sessions(SESSIONS[name], _LINES)

    check(growth_of(small, large, _FAST), name, figure)


@pytest.mark.parametrize(
    "name",
    [
        "colours", "nested lists", "links that do not end", "backticks", "diff", "patch of many files",
    ],
)  # fmt: skip
def test_four_times_the_text_takes_at_most_five_times_the_steps(
    sessions: Callable[..., tuple[Grown, Grown]], figure: Callable[[str], None], name: str
) -> None:
    small, large = sessions(said(name), _UNITS)

    check(growth_of(small, large, _FAST), name, figure)


@pytest.mark.slow
@pytest.mark.parametrize("name", SESSIONS)
def test_four_times_the_lines_take_at_most_five_times_the_steps_in_every_operation(
    sessions: Callable[..., tuple[Grown, Grown]], figure: Callable[[str], None], name: str
) -> None:
    small, large = sessions(SESSIONS[name], _MANY_LINES)

    check(growth_of(small, large, OPERATIONS), name, figure)


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTS)
def test_four_times_the_text_takes_at_most_five_times_the_steps_in_every_operation(
    sessions: Callable[..., tuple[Grown, Grown]], figure: Callable[[str], None], name: str
) -> None:
    small, large = sessions(said(name), _MANY_UNITS)

    check(growth_of(small, large, OPERATIONS), name, figure)


def slow_ones(small: Grown, large: Grown, names: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """
    Return the operations that take more than their share of time for a large session each of three times.
    """
    rest: dict[str, tuple[float, float]] = dict.fromkeys(names, (0.0, 0.0))
    for attempt in range(3):
        for name in tuple(rest):
            times = []
            for session in (small, large):
                # Each attempt of a repair needs a place of its own.
                own = Grown(session.path, session.home.with_name(f"{session.home.name}-{attempt}"), session.history)
                subject = own if name == "repair" else session
                times.append(seconds_of(lambda subject=subject, name=name: OPERATIONS[name](subject)))  # type: ignore[misc]
            if times[1] <= _TIME_MAX * max(times[0], _TIME_MIN):
                del rest[name]
            else:
                rest[name] = (times[0], times[1])
    return rest


def units_of(name: str, size: int) -> int:
    return max(size * 100 // len(TEXTS[name](100)), 1)


@pytest.mark.parametrize("name", ["colours that do not end", "tags", "contexts", "passwords", "patches", "blanks"])
def test_four_times_the_text_takes_linear_time_in_compiled_code(
    sessions: Callable[..., tuple[Grown, Grown]], name: str
) -> None:
    small, large = sessions(said(name), units_of(name, _CHARACTERS))

    assert slow_ones(small, large, _IN_C) == {}


def test_four_times_the_unreadable_lines_take_linear_time(
    sessions: Callable[..., tuple[Grown, Grown]],
) -> None:
    small, large = sessions(SESSIONS["lines that cannot be read"], 1000)

    assert slow_ones(small, large, ("list", "load", "stats", "storage", "verify", "repair", "secrets")) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTS)
def test_four_times_the_text_takes_linear_time_in_every_operation(
    sessions: Callable[..., tuple[Grown, Grown]], name: str
) -> None:
    small, large = sessions(said(name), units_of(name, 2 * _CHARACTERS))

    assert slow_ones(small, large, tuple(OPERATIONS)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", SESSIONS)
def test_four_times_the_lines_take_linear_time_in_every_operation(
    sessions: Callable[..., tuple[Grown, Grown]], name: str
) -> None:
    small, large = sessions(SESSIONS[name], 500)

    assert slow_ones(small, large, tuple(OPERATIONS)) == {}
