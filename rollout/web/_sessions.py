"""
A session's page, and what it asks for: lines as they stand in the file, texts that it cuts, the session as a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attrs import asdict
from flask import Response, abort, redirect, request, stream_template, url_for
from markupsafe import Markup

from rollout.codec import encode_line
from rollout.document import Document, Item
from rollout.export import export_html, export_json, export_markdown, export_text, redacted
from rollout.export._html import Renderer
from rollout.export._html_cut import wholes
from rollout.history import History, history_of
from rollout.reader import open_rollout, raw_lines
from rollout.secrets import Redaction
from rollout.store import session_names
from rollout.web._cancel import CheckedReader, check
from rollout.web._forms import number_of
from rollout.web._parts import Part, Place, part_of_line, part_of_turn, parts_of
from rollout.web._site import site

__all__ = ["FORMATS", "export_page", "offset_page", "output_page", "raw_page", "session_page"]

FORMATS: dict[str, tuple[str, str, str, Callable[[History], Iterator[str]]]] = {
    "html": ("HTML", "text/html", "html", export_html),
    "markdown": ("Markdown", "text/markdown", "md", export_markdown),
    "text": ("Text", "text/plain", "txt", export_text),
    "json": ("JSON", "application/json", "json", export_json),
}
"""What a session is downloaded as: its name, media type, ending, and what makes it."""

_TURN_LINK = re.compile(r'(?<=<a href=")#t(\d+)(?=")')
_BLOCK_SIZE = 2**20


def session_page(key: str) -> Any:
    """
    Show a session, or a part of it; with a line in the address, lead to where that is.
    """
    path = site().path(key)
    opened = site().opened(path)
    document = opened.document
    parts = parts_of(document)
    if "line" in request.args:
        place = part_of_line(parts, request.args["line"])
        return abort(404) if place is None else redirect(_address(key, place, f"L{request.args['line']}"))
    if "turn" in request.args:
        number = number_of(request.args["turn"], 0)
        place = part_of_turn(parts, number)
        return abort(404) if place is None else redirect(_address(key, place, f"t{number}"))
    last = len(parts) - 1
    page = last if request.args.get("page") == "last" else number_of(request.args.get("page"), 1) - 1
    if not 0 <= page <= last:
        abort(404)
    part = parts[page]
    grown = Place(opened.line_count, part.first_line, part.numbers[0])
    renderer = Renderer(is_live=opened.is_live, cwd=document.meta.cwd)
    return stream_template(
        "session.html",
        key=key,
        document=document,
        name=session_names(home=site().home).get(document.session_id),
        heading=_markup(renderer.heading(document)),
        contents=_contents(renderer, document, key, part),
        turns=(_markup(renderer.turn(turn)) for turn in part.turns),
        closing=_markup(renderer.closing(document)),
        parts=[item.numbers for item in parts],
        page=page,
        formats=FORMATS,
        is_live=opened.is_live,
        # Only the last part grows.
        events=url_for("events", key=key, **asdict(grown)) if opened.is_live and page == last else None,
    )


def _address(key: str, place: int, anchor: str) -> str:
    return url_for("session", key=key, page=place + 1 if place else None, _anchor=anchor)


def _contents(renderer: Renderer, document: Document, key: str, part: Part) -> Markup:
    """
    Give the jump list of all turns; those on other pages are linked to these.
    """
    here, address = {turn.number for turn in part.turns}, url_for("session", key=key)

    def link(found: re.Match[str]) -> str:
        return found[0] if int(found[1]) in here else f"{address}?turn={found[1]}"

    # What was recorded is escaped in it, and has no such link.
    return _markup(_TURN_LINK.sub(link, renderer.contents(document)))


def _markup(html: str) -> Markup:
    return Markup(html)  # noqa: S704 -- the renderer's, in which what was recorded is escaped


def offset_page(key: str, offset: int) -> Any:
    """
    Lead to the line that begins at a byte of the (uncompressed) file.
    """
    path = site().path(key)
    lineno = 1
    file, damage = open_rollout(path)
    with file:
        try:
            while offset > 0 and (block := file.read(min(_BLOCK_SIZE, offset))):
                check()
                lineno += block.count(b"\n")
                offset -= len(block)
        except damage:
            abort(404)
    return redirect(url_for("session", key=key, line=lineno))


def raw_page(key: str, line: str) -> Response:
    """
    Give a line as it stands in the file; of one that is inherited, as it would stand there.
    """
    raw = _inherited_line(site().path(key), line) if line.startswith("b") else _line(site().path(key), int(line))
    if raw is None:
        abort(404)
    return Response(raw, mimetype="text/plain")


def _line(path: Path, lineno: int) -> bytes | None:
    file, damage = open_rollout(path)
    with file:
        try:
            for line in raw_lines(file):
                check()
                if line.lineno == lineno:
                    return line.raw
        except damage:
            pass
    return None


def _inherited_line(path: Path, key: str) -> bytes | None:
    history = history_of(CheckedReader(path), site().home)
    return next((line.raw or encode_line(line) for own_key, line in history.numbered() if own_key == key), None)


def output_page(key: str, text: str) -> Response:
    """
    Give a text that the page shows only in part.
    """
    document = site().opened(site().path(key)).document
    found = next((whole for item in _items(document) for own_key, whole in wholes(item) if own_key == text), None)
    if found is None:
        abort(404)
    return Response(found.encode("utf-8", "replace"), mimetype="text/plain")


def _items(document: Document) -> Iterator[Item]:
    return (item for turn in document.turns for item in turn.items)


def export_page(key: str, form: str) -> Response:
    """
    Give the session as a file to keep; with ``?redact=1`` without keys and passwords.
    """
    path = site().path(key)
    _, kind, ending, export = FORMATS[form]
    history = history_of(CheckedReader(path), site().home)
    check()
    if "redact" in request.args:
        history = redacted(history, Redaction())
    pieces = (piece.encode("utf-8", "replace") for piece in export(history))
    # Never shown as a page of this address.
    name = re.sub(r"[^\w.-]", "_", path.name.partition(".jsonl")[0], flags=re.ASCII)
    return Response(pieces, mimetype=kind, headers={"Content-Disposition": f'attachment; filename="{name}.{ending}"'})
