"""
A session as one HTML page that can be read without a network and without JavaScript.

A live page uses the same `Renderer`, `STYLE` and `SCRIPT`; it replaces items by their ids.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files

from rollout._lazy import extra_error
from rollout.codec import RolloutLine, encode_json, encode_line
from rollout.document import Document, Item
from rollout.export._detail import has_outputs, visible_items
from rollout.export.html._embedded import TextPositions, data_blocks
from rollout.export.html._truncate import truncated_texts
from rollout.schema import CALL_OUTPUTS
from rollout.sessions import History

try:
    from markupsafe import Markup

    from rollout.export.html._renderer import Renderer
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("jinja2", "markupsafe", "markdown_it", "pygments"):
        raise
    raise extra_error("HTML needs", "html", error) from error

__all__ = ["SCRIPT", "STYLE", "Renderer", "export_html"]

_STATIC = files("rollout.export.html").joinpath("static")
STYLE = _STATIC.joinpath("page.css").read_text(encoding="utf-8")
"""The style of a page."""
SCRIPT = _STATIC.joinpath("page.js").read_text(encoding="utf-8")
"""The script of a page: folding, search, copying, raw lines, live updates. A page can be read without it."""


def export_html(history: History, *, detail: str = "full", title: str | None = None) -> Iterator[str]:
    """
    Return a session as one HTML file, in pieces. Memory holds at most one turn, and one block of compressed data.

    Recorded text cannot run or load anything: the page's content security policy forbids it. A text longer than about
    20 kB is truncated, with a note; the full text and all lines of the file are in the page, compressed.

    Args:
        history: The session.
        detail: One of `DETAILS`. The file does not contain the omitted parts in any form.
        title: The title of the page; by default the first request.

    Raises:
        ValueError: The level of detail is unknown.
        ModuleNotFoundError: The extra ``html`` is not installed.
    """
    document = history.document()
    renderer = Renderer(detail=detail, cwd=document.meta.cwd)
    yield renderer.page_head(title or document.title, STYLE, _policy())
    yield from renderer.body(document)
    yield Markup("<script>{}</script>\n").format(Markup(SCRIPT))  # noqa: S704 -- our own
    yield from data_blocks("whole", _truncated_texts(history, document, detail))
    yield from data_blocks("raw", _lines(history, document, detail))
    yield "</body>\n</html>\n"


def _policy() -> str:
    """
    Return the content security policy: nothing loads, and only the script and the style with these hashes are used.
    """
    style, script = (b64encode(sha256(text.encode()).digest()).decode() for text in (STYLE, SCRIPT))
    return (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _truncated_texts(history: History, document: Document, detail: str) -> Iterator[tuple[str, bytes]]:
    """
    Yield the truncated texts: their position in a line, or the full text if no line contains it in one piece.
    """
    texts = [
        (item.key, key, text)
        for item in _items(document, detail)
        for key, text in truncated_texts(item, has_outputs(detail))
    ]
    wanted = {line_key for item_key, key, _ in texts for line_key in (item_key, key)}
    lines = {key: line for key, line in history.numbered() if key in wanted} if detail == "full" else {}
    # Cache two lines, of a call and of its output: a patch may have hundreds of texts.
    positions = lru_cache(maxsize=2)(lambda line_key: TextPositions(lines[line_key]))
    for item_key, key, text in texts:
        line_key = key if key in lines else item_key
        position = positions(line_key).find(text) if line_key in lines else None
        entry = text if position is None else {"line": line_key, "path": position[0], "start": position[1]}
        yield key, encode_json(entry).encode("utf-8", "replace")


def _lines(history: History, document: Document, detail: str) -> Iterator[tuple[str, bytes]]:
    """
    Yield the lines of the file; below full detail, only lines of shown items that contain no output.
    """
    if detail == "full":
        yield from ((key, _raw(line)) for key, line in history.numbered())
        return
    kept = {key: item for item in _items(document, detail) for key in item.lines}
    for key, line in history.numbered():
        # The end event of a call repeats its output, and so do some begin events. The replacement history of a
        # compaction contains outputs, too.
        if (
            line.type != "compacted"
            and key in kept
            and (kept[key].call is None or line.payload.get("type") in CALL_OUTPUTS)
        ):
            yield key, _raw(line)


def _raw(line: RolloutLine) -> bytes:
    return (line.raw or encode_line(line)).strip()


def _items(document: Document, detail: str) -> Iterator[Item]:
    for turn in document.turns:
        yield from visible_items(turn, detail)[0]
