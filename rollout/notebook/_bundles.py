"""
A session's document as a notebook shows it: HTML, and plain text for programs that do not show HTML.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rollout._text import pluralize
from rollout.document import session_facts, usage_facts
from rollout.notebook._html import (
    SIZE_MAX,
    facts_list,
    facts_text,
    join_facts,
    page,
    turn_line,
    turn_title,
    turns_list,
)

if TYPE_CHECKING:
    from rollout.document import Document, Turn

__all__ = ["history_bundle"]

# Number of turns that are shown: the first ones and the last ones.
_FIRST_TURNS, _LAST_TURNS = 20, 80
# Bytes for style and facts.
_HEAD_SIZE = 40_000


def history_bundle(document: Document) -> dict[str, str]:
    """
    Return a session as plain text and as HTML, by media type: its facts, and its turns, each opened by a click.
    """
    facts = list(_facts_of(document))
    turns = _shown_turns([turn for turn in document.turns if turn.number or turn.items])
    head = facts_list(document.title, facts)
    html = page(head, *turns_list(turns, SIZE_MAX - _HEAD_SIZE))
    rows = [f"{t.number:>4}  {turn_title(t)}  ({turn_line(t)})" if not isinstance(t, str) else t for t in turns]
    return {"text/plain": "\n".join([facts_text(document.title, facts), *rows]), "text/html": html}


def _shown_turns(turns: Sequence[Turn]) -> list[Turn | str]:
    left_out = len(turns) - _FIRST_TURNS - _LAST_TURNS
    if left_out <= 0:
        return [*turns]
    return [*turns[:_FIRST_TURNS], f"{pluralize(left_out, 'turn')} not shown here", *turns[-_LAST_TURNS:]]


def _facts_of(document: Document) -> Iterator[tuple[str, str]]:
    facts: dict[str, list[str | None]] = {}
    for name, values in session_facts(document):
        is_file = name == "file"
        if is_file:
            facts["usage"] = [*usage_facts(document.stats)]
        facts[name] = [*values, *([pluralize(document.line_count, "line")] if is_file else [])]
    facts["continues"] = [document.missing_base and f"{document.missing_base}, which is missing"]
    return join_facts(facts)
