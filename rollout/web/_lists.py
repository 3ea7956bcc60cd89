"""
The pages with lists: the sessions of the home, and the hits of a search.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date, datetime
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from attrs import frozen
from flask import render_template, request, url_for
from markupsafe import Markup

from rollout._text import escape_control_chars, to_local
from rollout.errors import InvalidCursorError
from rollout.home import RolloutName
from rollout.interpret import TEXT_KINDS, Filters
from rollout.overview import is_indexed, read_page
from rollout.search import Hit, Order, SessionFacts, read_facts, search
from rollout.sessions import AGENTS, AgentsShown, Page, SessionInfo, read_stated_start
from rollout.store import read_names
from rollout.web._cancel import check
from rollout.web._context import current_site
from rollout.web._forms import Form, read_form, read_number
from rollout.web._template_filters import day_text
from rollout.web._url_keys import key_of

__all__ = ["list_page", "search_page"]

# Number of sessions on a page of the list; number of hits on the first page of a search, and at most.
_SESSIONS, _HITS, _HITS_MAX = 50, 50, 5000
# Maximum seconds of a search without an index.
_TIMEOUT = 10.0


def list_page() -> Any:
    """
    Show the sessions of the home that match the form, newest first.
    """
    home = current_site().home
    form = read_form(request.args, archived=False)
    order: Order = "updated" if form.values.get("sort") == "updated" else "created"
    shown: AgentsShown = next((each for each in AGENTS if each == form.values.get("agents")), "fold")
    skip, cursor = read_number(form.values.get("skip"), 0), form.values.get("cursor")
    problems = list(form.problems)
    page = Page()
    if not problems:
        try:
            page = read_page(home, form.filters, count=_SESSIONS, order=order, cursor=cursor, skip=skip, agents=shown)
        except InvalidCursorError:
            problems.append("The URL of this page is invalid. Start again from the first page.")
    return render_template(
        "sessions.html",
        sessions=page.items,
        days=_group_by_day(page.items, order),
        page=page,
        form=form,
        problems=problems,
        is_indexed=is_indexed(home),
        is_first=not (skip or cursor),
        next_url=_next_url(form, page),
        first=_without_position(form),
        home=home,
    )


def _group_by_day(sessions: Sequence[SessionInfo], order: Order) -> list[tuple[str, list[tuple[str, SessionInfo]]]]:
    """
    Group sessions by the local day on which they started, or were last updated.
    """
    today = datetime.now().astimezone().date()

    def day_of(session: SessionInfo) -> date | None:
        moment = to_local(session.updated_at if order == "updated" else session.started_at)
        return None if moment is None else moment.date()

    return [
        ("Unknown day" if day is None else day_text(day, today), [(key_of(session.path), session) for session in group])
        for day, group in groupby(sessions, key=day_of)
    ]


def _next_url(form: Form, page: Page) -> str | None:
    values = _without_position(form)
    if page.next_cursor is not None:
        return url_for("sessions", **values, cursor=str(page.next_cursor))
    return None if page.skipped is None else url_for("sessions", **values, skip=page.skipped)


def _without_position(form: Form) -> dict[str, Any]:
    return {name: value for name, value in form.values.items() if name not in ("cursor", "skip")}


@frozen
class _SessionHits:
    """
    The hits of one session.
    """

    key: str
    name: str | None
    facts: SessionFacts
    started_at: datetime | None
    hits: tuple[tuple[Hit, Markup], ...]


class _OutOfTimeError(Exception):
    """The search reached its time limit."""


def search_page() -> Any:
    """
    Show the hits of the words of the form, newest sessions first.
    """
    form = read_form(request.args, archived=None)
    words = form.values.get("q", "")
    count = min(read_number(form.values.get("n"), _HITS), _HITS_MAX)
    has_query = bool(words or form.filters.needs_texts) and not form.problems
    result = _search(words, form.filters, count) if has_query else _SearchResult()
    more: dict[str, Any] = {**form.values, "n": count + 4 * _HITS}
    return render_template(
        "search.html",
        form=form,
        words=words,
        kinds=[("", "any"), *((kind, kind) for kind in TEXT_KINDS)],
        result=result,
        sessions=_group_by_session(result.hits),
        problems=[*form.problems, *([result.problem] if result.problem else [])],
        has_query=has_query,
        more_url=url_for("search", **more) if result.has_more and count < _HITS_MAX else None,
    )


@frozen
class _SearchResult:
    """
    The result of a search.

    Attributes:
        hits: Hits, in order.
        has_more: Whether there are more hits.
        is_indexed: Whether the index was used.
        scanned: Number of sessions that were read because they are not in the index.
        is_late: Whether the search ended at its time limit.
        unread: Number of sessions that could not be read.
        seconds: Duration of the search.
        problem: Reason why the search failed.
    """

    hits: tuple[Hit, ...] = ()
    has_more: bool = False
    is_indexed: bool = True
    scanned: int = 0
    is_late: bool = False
    unread: int = 0
    seconds: float = 0.0
    problem: str = ""


def _search(words: str, filters: Filters, count: int) -> _SearchResult:
    start = time.monotonic()

    def check_time(_: int) -> None:
        check()
        if time.monotonic() - start > _TIMEOUT:
            raise _OutOfTimeError

    hits: list[Hit] = []
    is_late = False
    try:
        results = search(words, home=current_site().home, filters=filters, progress=check_time)
    except ValueError as error:
        return _SearchResult(problem=str(error))
    with results:
        try:
            for hit in islice(results, count + 1):
                check()
                hits.append(hit)
        except _OutOfTimeError:
            is_late = True
        return _SearchResult(
            tuple(hits[:count]),
            len(hits) > count,
            results.is_indexed,
            results.scanned,
            is_late,
            len(results.problems),
            time.monotonic() - start,
        )


def _group_by_session(hits: tuple[Hit, ...]) -> list[_SessionHits]:
    names = read_names(current_site().home)
    groups = []
    for path, group in groupby(hits, key=lambda hit: hit.path):
        check()
        file_name = RolloutName.parse(path)
        snippets = tuple((hit, _mark_matches(hit)) for hit in group)
        stated_start = read_stated_start(file_name) if file_name else 0.0
        started_at = SessionInfo(path, "", "", stated_start=stated_start).started_at
        groups.append(_SessionHits(key_of(path), names.of_file(path), _read_facts(path), started_at, snippets))
    return groups


def _read_facts(path: Path) -> SessionFacts:
    try:
        return read_facts(path)
    except (OSError, ImportError):
        # The file was removed after the search.
        return SessionFacts()


def _mark_matches(hit: Hit) -> Markup:
    """
    Return the snippet of a hit, with its matches marked.
    """
    parts, end = ["…" if hit.start else ""], 0
    for start, stop in hit.matches:
        before, match = escape_control_chars(hit.snippet[end:start]), escape_control_chars(hit.snippet[start:stop])
        parts.append(Markup("{}<mark>{}</mark>").format(before, match))
        end = stop
    is_truncated = hit.start + len(hit.snippet) < len(hit.text)
    return Markup("").join([*parts, escape_control_chars(hit.snippet[end:]), "…" if is_truncated else ""])
