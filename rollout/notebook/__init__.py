"""
Sessions as notebooks show them, and the HTML elements and texts from which other packages build such displays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout._lazy import lazy_getattr

if TYPE_CHECKING:
    from rollout.notebook._bundles import history_bundle
    from rollout.notebook._html import cut_line, facts_list, facts_text, join_facts, note, page, table

__all__ = [
    "cut_line",
    "facts_list",
    "facts_text",
    "history_bundle",
    "join_facts",
    "note",
    "page",
    "table",
]

__getattr__ = lazy_getattr(
    globals(),
    {
        "_bundles": ["history_bundle"],
        "_html": ["cut_line", "facts_list", "facts_text", "join_facts", "note", "page", "table"],
    },
)
