"""
Events of a code review: it begins, and it ends with findings.
"""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import frozen

from rollout.schema._wire import Wire, nullable, optional
from rollout.schema.events import EventMsg

__all__ = [
    "CodeLocation",
    "EnteredReviewMode",
    "ExitedReviewMode",
    "LineRange",
    "ReviewFinding",
    "ReviewOutput",
]


@frozen(kw_only=True, slots=False)
class EnteredReviewMode(EventMsg):
    """A review begins; *prompt* in September 2025, *target* later."""

    tag: ClassVar[str] = "entered_review_mode"

    item_id: str | None = optional()
    turn_id: str | None = optional()
    prompt: str | None = optional()
    target: Any = optional()
    user_facing_hint: str | None = optional()


@frozen(kw_only=True, slots=False)
class LineRange(Wire):
    """Lines of a file, counted from 1, both ends included."""

    start: int
    end: int


@frozen(kw_only=True, slots=False)
class CodeLocation(Wire):
    """The position of a finding."""

    absolute_file_path: str
    line_range: LineRange


@frozen(kw_only=True, slots=False)
class ReviewFinding(Wire):
    """One finding; *confidence_score* 0 to 1, *priority* 0 (highest) to 3."""

    title: str
    body: str
    confidence_score: float
    priority: int
    code_location: CodeLocation


@frozen(kw_only=True, slots=False)
class ReviewOutput(Wire):
    """The results of a review."""

    findings: tuple[ReviewFinding, ...]
    overall_correctness: str
    overall_explanation: str
    overall_confidence_score: float


@frozen(kw_only=True, slots=False)
class ExitedReviewMode(EventMsg):
    """A review ended; *review_output* is None if it was abandoned."""

    tag: ClassVar[str] = "exited_review_mode"

    item_id: str | None = optional()
    turn_id: str | None = optional()
    review_output: ReviewOutput | None = nullable()
