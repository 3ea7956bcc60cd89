"""
The targets, and whether a run reached them: ratios between peers of the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Results = dict[str, dict[str, Any]]


class Verdict(NamedTuple):
    what: str
    target: str
    value: float | None
    holds: bool | None
    why_not: str = ""


class _MissingError(Exception):
    pass


def verdicts(results: Results) -> list[Verdict]:
    judge = _Judge(results)
    return [verdict for part in (_writing, _calling, _reading, _listing, _rest) for verdict in part(judge)]


class _Judge:
    def __init__(self, results: Results) -> None:
        self.results = results

    def get(self, case: str, figure: str) -> float:
        result = self.results.get(case, {"error": "not measured"})
        if "error" in result:
            raise _MissingError(f"{case}: {result['error']}")
        value: float = result[figure]
        return value

    def ratio(self, case: str, other: str, figure: str) -> float:
        return self.get(case, figure) / self.get(other, figure)

    def least(self, what: str, limit: float, value: Callable[[], float]) -> Verdict:
        return self._verdict(what, f">= {limit:g}", value, lambda found: found >= limit)

    def most(self, what: str, limit: float, value: Callable[[], float]) -> Verdict:
        return self._verdict(what, f"<= {limit:.3g}", value, lambda found: found <= limit)

    def _verdict(self, what: str, target: str, value: Callable[[], float], holds: Callable[[float], bool]) -> Verdict:
        try:
            found = value()
        except _MissingError as missing:
            return Verdict(what, target, None, None, str(missing))
        return Verdict(what, target, found, holds(found))


def _writing(judge: _Judge) -> Iterator[Verdict]:
    limits = {
        "uniform": {
            "logging queue": 4,
            "seed in Python": 2.5,
            "seed in Rust": 5,
            "loguru enqueue": 18,
            "limit: os.write": 0.38,
        },
        "mix": {"logging queue": 1.7, "seed in Python": 1.5, "seed in Rust": 1.5, "ujson + write": 1.2},
    }
    for workload, peers in limits.items():
        for peer, limit in peers.items():
            cases = f"write/{workload}/rollout", f"write/{workload}/{peer}"
            yield judge.least(f"items/s, {workload}, x {peer}", limit, lambda c=cases: judge.ratio(*c, "rate"))
    four = "threads/4/rollout", "threads/4/seed in Python"
    yield judge.least("items/s, 4 threads, x seed in Python", 4, lambda: judge.ratio(*four, "rate"))


def _calling(judge: _Judge) -> Iterator[Verdict]:
    for workload in ("uniform", "mix"):
        for point, limit in (("p50", 0.3), ("p99", 0.5)):
            cases = f"write/{workload}/rollout", f"write/{workload}/logging queue", point
            yield judge.most(f"record(), {workload}, {point}, x logging queue", limit, lambda c=cases: judge.ratio(*c))
    yield judge.most(
        "record(), p99 of 200 KB items, x of 500 B", 2, lambda: judge.ratio("paced/large", "paced/small", "p99")
    )
    yield judge.most(
        "an item every 200 us: share of the caller's work", 0.03, lambda: judge.get("beside work/rollout", "share")
    )
    yield judge.most(
        "flush() when idle, x a bare queue + event",
        3,
        lambda: judge.ratio("flush/rollout", "flush/queue + event", "p50"),
    )


def _reading(judge: _Judge) -> Iterator[Verdict]:
    yield judge.least(
        "reading 500 MB, speed x a bare ujson loop",
        0.8,
        lambda: judge.ratio("read/mix/ujson loop", "read/mix/rollout", "seconds"),
    )
    for reader in ("rollout", "rollout, follow"):
        case = f"read/mix/{reader}"
        yield judge.most(f"peak memory of it, {reader}, MB", 64, lambda c=case: judge.get(c, "peak") / 2**20)
    for peer, limit in (("cattrs plain", 2), ("seed in Rust", 1)):
        cases = f"read/small/{peer}", "read/small/rollout, items"
        yield judge.least(f"typed items, small, speed x {peer}", limit, lambda c=cases: judge.ratio(*c, "seconds"))
    yield judge.most(
        "scanning for a text, time x ripgrep", 8, lambda: judge.ratio("search/rollout", "search/ripgrep", "seconds")
    )


def _listing(judge: _Judge) -> Iterator[Verdict]:
    counts = sorted({int(case.split("/")[1]) for case in judge.results if case.startswith("list/")})
    for count in counts:
        for peer, limit in (("Codex 0.36.0", 1), ("Codex 0.169.0", 4)):
            cases = f"list/{count}/{peer}", f"list/{count}/rollout"
            yield judge.least(f"first page of {count:,}, speed x {peer}", limit, lambda c=cases: judge.ratio(*c, "ms"))
    largest = f"list/{counts[-1]}"
    yield judge.most(
        f"first page of {counts[-1]:,}, time x bare scandir + heads",
        3,
        lambda: judge.ratio(f"{largest}/rollout", f"{largest}/limit: scandir + heads", "ms"),
    )
    (late,) = (case for case in judge.results if case.startswith(f"{largest}/page "))
    yield judge.most(
        f"{late.split('/')[2]}, time x the first", 1.3, lambda: judge.ratio(late, f"{largest}/rollout", "ms")
    )
    yield judge.most(
        "find by id of version 7, x os.walk", 1 / 300, lambda: judge.ratio("find/id of version 7", "find/os.walk", "ms")
    )
    for what in ("id of version 4", "id of none"):
        case = f"find/{what}"
        yield judge.most(
            f"find by {what}, x a scandir walk", 1.2, lambda c=case: judge.ratio(c, "find/scandir walk", "ms")
        )


def _rest(judge: _Judge) -> Iterator[Verdict]:
    def started(what: str) -> float:
        return judge.get(f"import/{what}", "ms") - judge.get("import/nothing", "ms")

    yield judge.most(
        "import rollout, x attrs, cattrs, ujson", 1.5, lambda: started("rollout") / started("dependencies")
    )
    counts = sorted(int(case.split("/")[1]) for case in judge.results if case.startswith("growth/"))
    first, last = f"growth/{counts[0]}", f"growth/{counts[-1]}"
    yield judge.most(
        f"a record, {counts[-1]:,} lines, time x of {counts[0]:,}", 1.2, lambda: judge.ratio(last, first, "each")
    )
    yield judge.most(
        "a record, 8 threads, time x of 1", 1.2, lambda: judge.ratio("threads/1/rollout", "threads/8/rollout", "rate")
    )
