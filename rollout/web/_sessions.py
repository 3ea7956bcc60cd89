"""
The page of a session, and what it loads on demand: raw lines, truncated texts, and exports.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import asdict
from flask import Response, abort, redirect, request, stream_template, url_for
from markupsafe import Markup

from rollout.codec import encode_line
from rollout.document import Document, Item
from rollout.errors import SessionNotFoundError
from rollout.export import export_html, export_json, export_markdown, export_text, redacted
from rollout.export.html import Renderer, truncated_texts
from rollout.home import RolloutName, find_session, is_archived
from rollout.interpret import SessionFacts
from rollout.reading import open_rollout, raw_lines
from rollout.secrets import Redaction
from rollout.sessions import History, history_of, read_origin, summarize
from rollout.store import agents_of, read_names
from rollout.web._cancel import CheckedReader, check
from rollout.web._context import current_site
from rollout.web._document_parts import PagePosition, Part, part_of_line, part_of_turn, split_document
from rollout.web._forms import read_number
from rollout.web._url_keys import key_of

__all__ = ["FORMATS", "export_page", "offset_page", "output_page", "raw_page", "session_page"]

FORMATS: dict[str, tuple[str, str, str, Callable[[History], Iterator[str]]]] = {
    "html": ("HTML", "text/html", "html", export_html),
    "markdown": ("Markdown", "text/markdown", "md", export_markdown),
    "text": ("Text", "text/plain", "txt", export_text),
    "json": ("JSON", "application/json", "json", export_json),
}
"""The formats of downloads: name on the page, media type, file extension, and export function."""

_TURN_LINK = re.compile(r'(?<=<a href=")#t(\d+)(?=")')
_BLOCK_SIZE = 2**20
# Number of sub-agents to which the page of a session has links; 200 take 60 ms.
_AGENTS_MAX = 200


def session_page(key: str) -> Any:
    """
    Show a session, or a part of it. With a line or turn in the URL, redirect to the part that contains it.
    """
    own_path = current_site().find_path(key)
    loaded = current_site().load_document(own_path)
    document = loaded.document
    parts = split_document(document)
    if "line" in request.args:
        index = part_of_line(parts, request.args["line"])
        return abort(404) if index is None else redirect(_part_url(key, index, f"L{request.args['line']}"))
    if "turn" in request.args:
        number = read_number(request.args["turn"], 0)
        index = part_of_turn(parts, number)
        return abort(404) if index is None else redirect(_part_url(key, index, f"t{number}"))
    last = len(parts) - 1
    page = last if request.args.get("page") == "last" else read_number(request.args.get("page"), 1) - 1
    if not 0 <= page <= last:
        abort(404)
    part = parts[page]
    position = PagePosition(loaded.line_count, part.first_line, part.numbers[0])
    agents = agents_of(own_path)
    renderer = Renderer(is_live=loaded.is_live, cwd=document.meta.cwd)
    return stream_template(
        "session.html",
        key=key,
        document=document,
        name=read_names(current_site().home).of_file(document.path),
        origin=_origin(own_path),
        agents=[*_agents(agents[:_AGENTS_MAX])],
        agent_count=len(agents),
        heading=_markup(renderer.heading(document)),
        jump_list=_jump_list(renderer, document, key, part),
        turns=(_markup(renderer.turn(turn)) for turn in part.turns),
        closing=_markup(renderer.closing(document)),
        parts=[part.numbers for part in parts],
        page=page,
        formats=FORMATS,
        is_live=loaded.is_live,
        # Only the last part gets new lines.
        events=url_for("events", key=key, **asdict(position)) if loaded.is_live and page == last else None,
    )


def _origin(path: Path) -> dict[str, Any]:
    """
    Return the role and the name of a sub-agent, and the key of the session that has started it, if it is there.
    """
    try:
        origin = read_origin(path)
    except LookupError:
        return {}
    if not origin.is_agent:
        return {}
    parent = None
    with suppress(SessionNotFoundError):
        parent = origin.parent_id and key_of(find_session(origin.parent_id, home=current_site().home))
    return {"role": origin.role, "nickname": origin.nickname, "parent": parent, "parent_id": origin.parent_id}


def _agents(names: Iterable[RolloutName]) -> Iterator[tuple[str, SessionFacts]]:
    for name in names:
        check()
        # A file may be removed in the meantime.
        with suppress(OSError, ImportError):
            yield key_of(name.path), summarize(name, is_archived=is_archived(name.path)).facts


def _part_url(key: str, index: int, anchor: str) -> str:
    return url_for("session", key=key, page=index + 1 if index else None, _anchor=anchor)


def _jump_list(renderer: Renderer, document: Document, key: str, part: Part) -> Markup:
    """
    Return the jump list of all turns. Turns on other pages are linked to these pages.
    """
    here, url = {turn.number for turn in part.turns}, url_for("session", key=key)

    def link(found: re.Match[str]) -> str:
        return found[0] if int(found[1]) in here else f"{url}?turn={found[1]}"

    # Recorded text in the list is escaped, and cannot contain such a link.
    return _markup(_TURN_LINK.sub(link, renderer.contents(document)))


def _markup(html: str) -> Markup:
    return Markup(html)  # noqa: S704 -- from the renderer, which escapes recorded text


def offset_page(key: str, offset: int) -> Any:
    """
    Redirect to the line that contains a byte of the (uncompressed) file.
    """
    lineno = 1
    file, damage = open_rollout(current_site().find_path(key))
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
    Return the bytes of a line. An inherited line without its original bytes is encoded again.
    """
    path = current_site().find_path(key)
    raw = _inherited_line(path, line) if line.startswith("b") else _own_line(path, int(line))
    if raw is None:
        abort(404)
    return Response(raw, mimetype="text/plain")


def _own_line(path: Path, lineno: int) -> bytes | None:
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
    history = history_of(CheckedReader(path), current_site().home)
    return next((line.raw or encode_line(line) for line_key, line in history.numbered() if line_key == key), None)


def output_page(key: str, text: str) -> Response:
    """
    Return the complete text of a truncated text.
    """
    document = current_site().load_document(current_site().find_path(key)).document
    texts = (pair for item in _items(document) for pair in truncated_texts(item))
    whole = next((whole for text_key, whole in texts if text_key == text), None)
    if whole is None:
        abort(404)
    return Response(whole.encode("utf-8", "replace"), mimetype="text/plain")


def _items(document: Document) -> Iterator[Item]:
    return (item for turn in document.turns for item in turn.items)


def export_page(key: str, form: str) -> Response:
    """
    Return the session as a download; with ``?redact=1``, without keys and passwords.
    """
    path = current_site().find_path(key)
    _, media_type, extension, export = FORMATS[form]
    history = history_of(CheckedReader(path), current_site().home)
    check()
    if "redact" in request.args:
        history = redacted(history, Redaction())
    pieces = (piece.encode("utf-8", "replace") for piece in export(history))
    name = re.sub(r"[^\w.-]", "_", path.name.partition(".json")[0], flags=re.ASCII)
    # An attachment: a browser must not show it as a page of the viewer.
    disposition = f'attachment; filename="{name}.{extension}"'
    return Response(pieces, mimetype=media_type, headers={"Content-Disposition": disposition})
