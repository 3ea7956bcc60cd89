"""
Statistics of sessions: turns, tools, failures, time and tokens; as a whole, by time and model, and in groups.

They are counts of the facts that `rollout.interpret` states. Lines that were copied from another session do not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout._lazy import lazy_getattr

if TYPE_CHECKING:
    from rollout.stats._counter import StatsCounter, session_stats
    from rollout.stats._counter import counter_for as counter_for
    from rollout.stats._counter import stats_of_plain as stats_of_plain
    from rollout.stats._model import (
        GROUPS,
        Group,
        SessionStats,
        StatsPart,
        Tokens,
        ToolStats,
        combine,
        group_stats,
    )
    from rollout.stats._model import local_day as local_day
    from rollout.stats._model import plain_stats as plain_stats
    from rollout.stats._model import sum_known as sum_known
    from rollout.stats._model import tokens_by_day as tokens_by_day

__all__ = [
    "GROUPS",
    "Group",
    "SessionStats",
    "StatsCounter",
    "StatsPart",
    "Tokens",
    "ToolStats",
    "combine",
    "group_stats",
    "session_stats",
]

__getattr__ = lazy_getattr(
    globals(),
    {
        "_counter": ["StatsCounter", "counter_for", "session_stats", "stats_of_plain"],
        "_model": [
            "GROUPS", "Group", "SessionStats", "StatsPart", "Tokens", "ToolStats", "combine", "group_stats",
            "local_day", "plain_stats", "sum_known", "tokens_by_day",
        ],
    },
)  # fmt: skip
