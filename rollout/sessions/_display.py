"""
A session of a list, and a page of sessions, as a notebook shows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

from rollout._text import age_text, moment_text, pluralize, size_text
from rollout.home import short_folder
from rollout.notebook import cut_line, facts_list, facts_text, join_facts, note, page, table
from rollout.sessions._info import Page, SessionInfo

__all__ = ["page_bundle", "session_bundle"]

_ROWS_MAX = 200
_COLUMNS = ("about", "folder", "branch", "age", "size", "")
# Columns of numbers.
_AGE, _SIZE = 3, 4
# Maximum number of characters of a path.
_PATH_MAX = 40


def page_bundle(sessions: Page) -> dict[str, str]:
    """
    Return a page as a table, as plain text and as HTML, by media type.
    """
    now = datetime.now(timezone.utc)
    items, cursor = sessions.items, sessions.next_cursor
    rows = [_row(item, now) for item in items[:_ROWS_MAX]]
    notes = [pluralize(len(items), "session") + (", newest first" if len(items) > 1 else "")]
    notes += [f"the first {_ROWS_MAX} are shown"] if len(items) > _ROWS_MAX else []
    notes += [f"more after the cursor {cut_line(str(cursor))}"] if cursor else []
    notes += [f"{pluralize(len(sessions.problems), 'problem')}, in Page.problems"] if sessions.problems else []
    text = "; ".join(notes)
    html = page(table(_COLUMNS, rows, numbers=(_AGE, _SIZE)) if rows else "", note(text))
    lines = [
        f"{age:>8}  {size:>7}  {' · '.join(filter(None, (words, folder, branch, state)))}"
        for words, folder, branch, age, size, state in rows
    ]
    return {"text/plain": "\n".join([*lines, text]), "text/html": html}


def _row(session: SessionInfo, now: datetime) -> tuple[str, str, str, str, str, str]:
    state = ["archived"] if session.is_archived else []
    state += [f"problem: {session.problem}"] if session.problem else []
    return (
        cut_line(session.title or session.session_id, 100),
        cut_line(short_folder(session.facts.cwd or "", _PATH_MAX), _PATH_MAX * 2),
        cut_line(session.facts.branch or "", 40),
        age_text(session.updated_at, now),
        size_text(session.size),
        cut_line(", ".join(state), 100),
    )


def session_bundle(session: SessionInfo) -> dict[str, str]:
    """
    Return a session as plain text and as HTML, by media type.
    """
    title, facts = session.title or session.session_id, list(_facts_of(session))
    return {"text/plain": facts_text(title, facts), "text/html": page(facts_list(title, facts))}


def _facts_of(session: SessionInfo) -> Iterator[tuple[str, str]]:
    facts, now = session.facts, datetime.now(timezone.utc)
    return join_facts({
        "session": [session.session_id],
        "started": [moment_text(session.started_at)],
        "updated": [moment_text(session.updated_at), age_text(session.updated_at, now)],
        "folder": [facts.cwd],
        "git": [facts.branch, facts.repository],
        "model": [facts.model],
        "recorded by": [facts.originator, facts.source],
        "file": [str(session.path), size_text(session.size)],
        "state": ["archived" if session.is_archived else "", session.problem],
    })  # fmt: skip
