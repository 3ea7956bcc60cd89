"""
The meaning of a session's lines, decided in one place: an `Interpreter` states in facts what each line means.

Opens no file, and produces no text for people. The views of a session use its facts and look into no payload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout._lazy import lazy_getattr

if TYPE_CHECKING:
    from rollout.interpret._agents import Origin, origin_of
    from rollout.interpret._arguments import CallInput, PlanStep
    from rollout.interpret._call_facts import CallBegan, CallEnded
    from rollout.interpret._copies import KnownParent, ParentSource, line_digest, parent_of
    from rollout.interpret._exec_events import ExecReader
    from rollout.interpret._facts import (
        Compacted,
        Context,
        Counts,
        Fact,
        GoalSet,
        Notice,
        PlanChanged,
        Problem,
        Prompt,
        Quiet,
        Renamed,
        RolledBack,
        Said,
        SessionBegan,
        Settings,
        TurnBegan,
        TurnEnded,
        Unknown,
        Usage,
    )
    from rollout.interpret._inputs import (
        SENT_OUTPUTS,
        free_output,
        is_sent,
        missing_output,
        rollback_mark,
        sent_item,
    )
    from rollout.interpret._interpreter import Interpreter
    from rollout.interpret._moments import seconds_of
    from rollout.interpret._outcomes import output_outcome
    from rollout.interpret._parts import Image
    from rollout.interpret._patches import FileChange, changes_in, text_around
    from rollout.interpret._prompts import title_of
    from rollout.interpret._public_items import public_items
    from rollout.interpret._rollbacks import ActiveTurns
    from rollout.interpret._session import (
        Filters,
        SessionFacts,
        is_own_meta,
        may_state_latest,
        may_state_name,
        meta_of_name,
        states_latest,
        with_recovered_cwd,
    )
    from rollout.interpret._texts import TEXT_KINDS, Text, changes_state, line_texts, texts_of

_MODULES = {
    "_agents": ["Origin", "origin_of"],
    "_arguments": ["CallInput", "PlanStep"],
    "_copies": ["KnownParent", "ParentSource", "line_digest", "parent_of"],
    "_call_facts": ["CallBegan", "CallEnded"],
    "_exec_events": ["ExecReader"],
    "_facts": [
        "Compacted", "Context", "Counts", "Fact", "GoalSet", "Notice", "PlanChanged",
        "Problem", "Prompt", "Quiet", "Renamed", "RolledBack", "Said", "SessionBegan", "Settings", "TurnBegan",
        "TurnEnded", "Unknown", "Usage",
    ],
    "_inputs": ["SENT_OUTPUTS", "free_output", "is_sent", "missing_output", "rollback_mark", "sent_item"],
    "_interpreter": ["Interpreter"],
    "_moments": ["seconds_of"],
    "_outcomes": ["output_outcome"],
    "_parts": ["Image"],
    "_patches": ["FileChange", "changes_in", "text_around"],
    "_prompts": ["title_of"],
    "_public_items": ["public_items"],
    "_rollbacks": ["ActiveTurns"],
    "_session": [
        "Filters", "SessionFacts", "is_own_meta", "may_state_latest", "may_state_name", "meta_of_name", "states_latest",
        "with_recovered_cwd",
    ],
    "_texts": ["TEXT_KINDS", "Text", "changes_state", "line_texts", "texts_of"],
}  # fmt: skip

__all__ = [
    "ActiveTurns",
    "CallBegan",
    "CallEnded",
    "CallInput",
    "Compacted",
    "Context",
    "Counts",
    "ExecReader",
    "Fact",
    "FileChange",
    "Filters",
    "GoalSet",
    "Image",
    "Interpreter",
    "KnownParent",
    "Notice",
    "Origin",
    "ParentSource",
    "PlanChanged",
    "PlanStep",
    "Problem",
    "Prompt",
    "Quiet",
    "Renamed",
    "RolledBack",
    "Said",
    "SENT_OUTPUTS",
    "SessionBegan",
    "SessionFacts",
    "Settings",
    "TEXT_KINDS",
    "Text",
    "TurnBegan",
    "TurnEnded",
    "Unknown",
    "Usage",
    "changes_in",
    "changes_state",
    "free_output",
    "line_digest",
    "line_texts",
    "is_own_meta",
    "is_sent",
    "may_state_latest",
    "may_state_name",
    "meta_of_name",
    "missing_output",
    "origin_of",
    "output_outcome",
    "parent_of",
    "public_items",
    "rollback_mark",
    "seconds_of",
    "sent_item",
    "states_latest",
    "text_around",
    "texts_of",
    "title_of",
    "with_recovered_cwd",
]

__getattr__ = lazy_getattr(globals(), _MODULES)
