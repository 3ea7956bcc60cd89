"""
The tokens that a session used: from Codex's records of single answers, otherwise from the growth of its totals.

Codex repeats its totals, restarts them when it resumes a session, and copies them with the history into forks; the sum
of all totals would be up to 91 times too high.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define

from rollout.interpret._facts import Counts
from rollout.interpret._state import is_number_list, stored

__all__ = ["NO_TOKENS", "TOKEN_NAMES", "UsageCounter", "read_counts"]

TOKEN_NAMES = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens", "total_tokens")
"""The keys of a usage object, in the order of `Counts`."""

NO_TOKENS: Counts = (0, 0, 0, 0, 0)
# Larger numbers are damage: the limit is more than all tokens of a year.
_NUMBER_MAX = 2**40


def read_counts(usage: Any) -> Counts | None:
    """
    Return the numbers of a usage object; None for other values. Missing or invalid numbers count as 0, a missing total
    as the sum of input and output.
    """
    if type(usage) is not dict:
        return None
    try:
        a, b, c, d, e = found = (
            usage["input_tokens"], usage["cached_input_tokens"], usage["output_tokens"],
            usage["reasoning_output_tokens"], usage["total_tokens"],
        )  # fmt: skip
        # Nearly all usage objects have five plain integers.
        if type(a) is type(b) is type(c) is type(d) is type(e) is int and min(found) >= 0 and max(found) < _NUMBER_MAX:
            return found
    except KeyError:
        pass
    counts = [_number(usage.get(name)) for name in TOKEN_NAMES]
    if usage.get("total_tokens") is None:
        counts[4] = counts[0] + counts[2]
    return (counts[0], counts[1], counts[2], counts[3], counts[4])


def _number(value: Any) -> int:
    # NaN, negative numbers and other values of a damaged file count as 0.
    return int(value) if type(value) in (int, float) and 0 < value < _NUMBER_MAX else 0


def _is_counts(value: Any) -> bool:
    return value is None or (is_number_list(value) and len(value) == len(TOKEN_NAMES))


@define(eq=False, repr=False)
class UsageCounter:
    """
    State that finds the tokens that each line adds. The lines are passed in order.

    Attributes:
        is_told: Whether a line has stated numbers of tokens.
    """

    is_told: bool = stored(False)
    # The last cumulative total and the last single usage; whether a prompt, and after it an answer, followed.
    last_total: Sequence[int] | None = stored(None, check=_is_counts)
    last_single: Sequence[int] | None = stored(None, check=_is_counts)
    is_asked: bool = stored(False)
    is_answered: bool = stored(False)
    last_record: str = stored("")
    # Whether a record has counted the tokens since the last total.
    is_recorded: bool = stored(False)

    def record(self, payload: Mapping[str, Any], *, is_copied: bool) -> Counts | None:
        """
        Return the tokens that a record of one answer adds.
        """
        counts, response_id = read_counts(payload.get("usage")), payload.get("response_id")
        response_id = response_id if isinstance(response_id, str) else ""
        if counts is None or (response_id and response_id == self.last_record):
            return None
        self.is_told = True
        if is_copied:
            return None
        self.last_record, self.is_recorded = response_id, True
        return counts

    def total(self, payload: Mapping[str, Any], *, is_copied: bool, is_fork: bool, is_running: bool) -> Counts | None:
        """
        Return the tokens that an event with the cumulative total adds.

        Args:
            payload: Payload of the event.
            is_copied: Whether the event was copied from another session.
            is_fork: Whether the session continues another session.
            is_running: Whether the event is between the marks of a turn.
        """
        info = payload.get("info")
        if type(info) is not dict:
            # Codex has counted nothing yet: it has just begun, or resumed.
            self.is_answered = True
            return None
        stated, single = info.get("total_token_usage"), info.get("last_token_usage")
        total = read_counts(stated)
        if total is None:
            return self._single(read_counts(single), payload, is_copied=is_copied)
        self.is_told = True
        before, self.last_total = self.last_total, total
        is_recorded, self.is_recorded = self.is_recorded, False
        if before is not None and total == tuple(before):
            # Codex repeats a total with new rate limits before the agent answers. If it marks turns, totals continue.
            is_new = self.is_asked and not is_running and ("rate_limits" not in payload or self.is_answered)
            if not (is_new and total == read_counts(single)):
                return None
        # A total without input and output was set, not counted: to the size of the context window when it is full.
        if is_copied or not (total[0] or total[2]):
            return None
        self.is_asked = False
        if is_recorded:
            return None
        if before is None:
            # The first total of a fork continues that of the other session.
            return (read_counts(single) or total) if is_fork else total
        a, b, c, d, e = total
        f, g, h, i, j = before
        if stated == single:
            # Codex resumed the session and restarted the totals.
            return total
        if e < j:
            return read_counts(single) or total
        growth = (a - f, b - g, c - h, d - i, e - j)
        return growth if min(growth) >= 0 else (max(a - f, 0), max(b - g, 0), max(c - h, 0), max(d - i, 0), e - j)

    def _single(self, counts: Counts | None, payload: Mapping[str, Any], *, is_copied: bool) -> Counts | None:
        """
        Return the tokens of an event without a total: those of the last answer, unless the event repeats them.
        """
        if counts is None:
            self.is_answered = True
            return None
        self.is_told = True
        last, self.last_single = self.last_single, counts
        is_recorded, self.is_recorded = self.is_recorded, False
        is_repeated = last is not None and tuple(last) == counts and "rate_limits" in payload and not self.is_answered
        self.is_answered = False
        return None if is_copied or is_recorded or is_repeated else counts
