"""
The pages that list: the sessions of the home, and what a search finds in them.
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

from rollout._facts import Filters
from rollout._listed import Listed, Listing, is_indexed, listing
from rollout._texts import KINDS
from rollout._visible import visible
from rollout.errors import InvalidCursorError
from rollout.layout import RolloutName
from rollout.search import Facts, Hit, search
from rollout.search._scanning import facts_of
from rollout.search._sessions import Order
from rollout.store import session_names
from rollout.web._addresses import key_of
from rollout.web._cancel import check
from rollout.web._forms import Form, number_of, read_form
from rollout.web._site import site
from rollout.web._words import day_text

__all__ = ["list_page", "search_page"]

_SESSIONS, _HITS = 50, 50
_HITS_MAX = 5000
# Seconds that a search without an index may take.
_TIMEOUT = 10.0


def list_page() -> Any:
    """
    Show the sessions of the home that fit the form, newest first.
    """
    home = site().home
    form = read_form(request.args, archived=False)
    order: Order = "updated" if form.values.get("sort") == "updated" else "created"
    skip, cursor = number_of(form.values.get("skip"), 0), form.values.get("cursor")
    problems = list(form.problems)
    page = Listing()
    if not problems:
        try:
            page = listing(home, form.filters, count=_SESSIONS, order=order, cursor=cursor, skip=skip)
        except InvalidCursorError:
            problems.append("The address of this page is damaged: begin at the first.")
    return render_template(
        "sessions.html",
        sessions=page.sessions,
        days=_by_day(page.sessions, order),
        page=page,
        form=form,
        problems=problems,
        is_indexed=is_indexed(home),
        is_first=not (skip or cursor),
        next_url=_next(form, page),
        first=_place_less(form),
        home=home,
    )


def _by_day(sessions: Sequence[Listed], order: Order) -> list[tuple[str, list[tuple[str, Listed]]]]:
    """
    Group sessions by the local day on which they began, or changed last.
    """
    today = datetime.now().astimezone().date()

    def day_of(session: Listed) -> date:
        if order == "updated" and session.updated_at is not None:
            return session.updated_at.astimezone().date()
        return date.fromisoformat(session.timestamp[:10])

    return [
        (day_text(day, today), [(key_of(session.path), session) for session in of_day])
        for day, of_day in groupby(sessions, key=day_of)
    ]


def _next(form: Form, page: Listing) -> str | None:
    values = _place_less(form)
    if page.cursor is not None:
        return url_for("sessions", **values, cursor=str(page.cursor))
    return None if page.skipped is None else url_for("sessions", **values, skip=page.skipped)


def _place_less(form: Form) -> dict[str, Any]:
    return {name: value for name, value in form.values.items() if name not in ("cursor", "skip")}


@frozen
class _Found:
    """
    The hits of one session.
    """

    key: str
    name: str | None
    facts: Facts
    timestamp: str
    hits: tuple[tuple[Hit, Markup], ...]


class _OutOfTimeError(Exception):
    """A search took long enough."""


def search_page() -> Any:
    """
    Show where the words of the form stand, the newest sessions first.
    """
    form = read_form(request.args, archived=None)
    words = form.values.get("q", "")
    count = min(number_of(form.values.get("n"), _HITS), _HITS_MAX)
    asked = bool(words or form.filters.is_of_texts) and not form.problems
    result = _search(words, form.filters, count) if asked else _Result()
    more: dict[str, Any] = {**form.values, "n": count + 4 * _HITS}
    return render_template(
        "search.html",
        form=form,
        words=words,
        kinds=[("", "anybody"), *((kind, kind) for kind in KINDS)],
        result=result,
        sessions=_by_session(result.hits),
        problems=[*form.problems, *([result.problem] if result.problem else [])],
        is_asked=asked,
        more_url=url_for("search", **more) if result.has_more and count < _HITS_MAX else None,
    )


@frozen
class _Result:
    """
    What a search found.

    Attributes:
        hits: In order.
        has_more: There are more.
        is_indexed: The index was asked.
        scanned: How many sessions were read, because it does not have them.
        is_late: There was no time to read all.
        unread: How many could not be read.
        seconds: How long it took.
        problem: Why there is nothing.
    """

    hits: tuple[Hit, ...] = ()
    has_more: bool = False
    is_indexed: bool = True
    scanned: int = 0
    is_late: bool = False
    unread: int = 0
    seconds: float = 0.0
    problem: str = ""


def _search(words: str, filters: Filters, count: int) -> _Result:
    start = time.monotonic()

    def watch(_: int) -> None:
        check()
        if time.monotonic() - start > _TIMEOUT:
            raise _OutOfTimeError

    hits: list[Hit] = []
    is_late = False
    try:
        results = search(words, home=site().home, filters=filters, progress=watch)
    except ValueError as error:
        return _Result(problem=str(error))
    with results:
        try:
            for hit in islice(results, count + 1):
                check()
                hits.append(hit)
        except _OutOfTimeError:
            is_late = True
        return _Result(
            tuple(hits[:count]),
            len(hits) > count,
            results.is_indexed,
            results.scanned,
            is_late,
            len(results.problems),
            time.monotonic() - start,
        )


def _by_session(hits: tuple[Hit, ...]) -> list[_Found]:
    names = session_names(home=site().home) if hits else {}
    found = []
    for path, of_session in groupby(hits, key=lambda hit: hit.path):
        check()
        name = RolloutName.parse(path)
        marked = tuple((hit, _marked(hit)) for hit in of_session)
        own_name = names.get(name.session_id) if name else None
        found.append(_Found(key_of(path), own_name, _facts(path), name.timestamp if name else "", marked))
    return found


def _facts(path: Path) -> Facts:
    try:
        return facts_of(path)
    except (OSError, ImportError):
        # Gone since it was found.
        return Facts()


def _marked(hit: Hit) -> Markup:
    """
    Give the snippet with what was found marked.
    """
    parts, end = ["…" if hit.start else ""], 0
    for begin, stop in hit.matches:
        before, found = visible(hit.snippet[end:begin]), visible(hit.snippet[begin:stop])
        parts.append(Markup("{}<mark>{}</mark>").format(before, found))
        end = stop
    is_cut = hit.start + len(hit.snippet) < len(hit.text)
    return Markup("").join([*parts, visible(hit.snippet[end:]), "…" if is_cut else ""])
