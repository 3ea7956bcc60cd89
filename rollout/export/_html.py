"""
A session as one page of HTML that needs nothing else: no network, and no script to be read.

The same `Renderer`, `STYLE` and `SCRIPT` make a live page: items are replaced there by their ids.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files

from rollout.codec import RolloutLine, encode_json, encode_line
from rollout.document import Document, Item
from rollout.export._detail import has_outputs, shown
from rollout.export._html_cut import wholes
from rollout.export._html_store import Places, blocks
from rollout.history import History
from rollout.schema import CALL_OUTPUTS

try:
    from markupsafe import Markup

    from rollout.export._html_renderer import Renderer
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("jinja2", "markupsafe", "markdown_it", "pygments"):
        raise
    raise ModuleNotFoundError("HTML needs the extra: pip install 'rollout-recorder[html]'", name=error.name) from error

__all__ = ["SCRIPT", "STYLE", "Renderer", "export_html"]

_STATIC = files("rollout.export").joinpath("static")
STYLE = _STATIC.joinpath("page.css").read_text(encoding="utf-8")
"""The style of a page."""
SCRIPT = _STATIC.joinpath("page.js").read_text(encoding="utf-8")
"""The script of a page: folding, search, copies, lines on demand, news. Without it a page can be read all the same."""


def export_html(history: History, *, detail: str = "full", title: str | None = None) -> Iterator[str]:
    """
    Give a session as one file of HTML, in pieces: no more than a turn is in memory, beside what is compressed.

    Nothing recorded runs in it, or loads anything: it forbids that to itself. What is longer than about 20 kB is cut,
    with a note; the whole of it and each line of the file are in the page, compressed, for its script.

    Args:
        history: The session.
        detail: How much is shown, one of `DETAILS`. What is left out is not in the file in any form.
        title: Of the page; by default the first line of the first prompt.

    Raises:
        ValueError: There is no such detail.
        ModuleNotFoundError: The extra ``html`` is not installed.
    """
    document = history.document()
    renderer = Renderer(detail=detail, cwd=document.meta.cwd)
    yield renderer.page_head(title or document.title, STYLE, _policy())
    yield from renderer.body(document)
    yield Markup("<script>{}</script>\n").format(Markup(SCRIPT))  # noqa: S704 -- our own
    yield from blocks("whole", _cut_texts(history, document, detail))
    yield from blocks("raw", _lines(history, document, detail))
    yield "</body>\n</html>\n"


def _policy() -> str:
    """
    Give the content security policy: nothing loads, and nothing runs but what has these hashes.
    """
    style, script = (b64encode(sha256(text.encode()).digest()).decode() for text in (STYLE, SCRIPT))
    return (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _cut_texts(history: History, document: Document, detail: str) -> Iterator[tuple[str, bytes]]:
    """
    Give the texts that are cut: where in a line they stand, or if they were put together, themselves.
    """
    cuts = [
        (item.key, key, text) for item in _items(document, detail) for key, text in wholes(item, has_outputs(detail))
    ]
    wanted = {line_key for item_key, key, _ in cuts for line_key in (item_key, key)}
    lines = {key: line for key, line in history.numbered() if key in wanted} if detail == "full" else {}
    # Two lines are cached, that of a call and that of its answer: a patch may have hundreds of texts.
    places = lru_cache(maxsize=2)(lambda line_key: Places(lines[line_key]))
    for item_key, key, text in cuts:
        line_key = key if key in lines else item_key
        place = places(line_key).of(text) if line_key in lines else None
        found = text if place is None else {"line": line_key, "path": place[0], "start": place[1]}
        yield key, encode_json(found).encode("utf-8", "replace")


def _lines(history: History, document: Document, detail: str) -> Iterator[tuple[str, bytes]]:
    """
    Give the lines of the file; below full detail, of what is shown only those that hold no output.
    """
    if detail == "full":
        yield from ((key, _raw(line)) for key, line in history.numbered())
        return
    kept = {key: item for item in _items(document, detail) for key in item.lines}
    for key, line in history.numbered():
        # An event that says how a call ended repeats its output; so do some that call.
        # What a compaction replaced has outputs, too.
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
        yield from shown(turn, detail)[0]
