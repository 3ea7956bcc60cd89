"""
The parts that items consist of, as HTML: texts in blocks, folded ones, patches, pictures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from rollout._units import counted, size_text
from rollout._visible import one_line
from rollout.document import FileChange, Image, Item
from rollout.export._html_cut import cut
from rollout.export._markup import code, plain
from rollout.export._markup_ansi import terminal, without_colours
from rollout.export._words import image_text

__all__ = ["block", "change_parts", "folded", "grouped", "picture", "preview", "wrapped"]

# Items of a turn that a browser lays out together.
_GROUP_SIZE = 50
# Characters of a text that is folded; changed lines of a patch that is not.
_PREVIEW = 140
_OPEN_LINES = 80
# Base64 of a picture in the page.
_PICTURE_MAX = 4_000_000
_PICTURE = re.compile(r"data:[a-z/]{1,20};base64,([A-Za-z0-9+/]+={0,2})", re.ASCII)


def grouped(items: Sequence[str]) -> Markup:
    """
    Put many items into groups, of which a browser lays out only those in view: 50,000 open in 3 s, not in 20.
    """
    if len(items) <= 2 * _GROUP_SIZE:
        return Markup("".join(items))  # noqa: S704 -- made by a template
    groups = ("".join(items[start : start + _GROUP_SIZE]) for start in range(0, len(items), _GROUP_SIZE))
    return Markup("".join(f'<div class="group">\n{group}</div>\n' for group in groups))  # noqa: S704 -- as above


def wrapped(kind: str, content: Markup) -> Markup:
    """
    Put content into a box of a class.
    """
    return Markup(f'<div class="{kind}">{content}</div>')  # noqa: S704 -- both are our own


def block(head: str, tail: str, note: str, key: str, language: str) -> Markup:
    """
    Give a text in a block of its own, or its beginning and end with what is between them said.
    """
    begin = Markup(f"<pre>{_coloured(head, language)}</pre>")  # noqa: S704 -- escaped there
    if not note:
        return begin
    more = Markup('<div class="cut">{} more, not shown here. <button data-more="{}">Show all</button></div>')
    return begin + more.format(note, key) + Markup("<pre>{}</pre>").format(_coloured(tail, language))


def _coloured(text: str, language: str) -> Markup:
    if language == "terminal":
        return terminal(text)
    return code(text, language) if language else plain(text)


def folded(item: Item, shown_text: Markup) -> Markup:
    """
    Fold the text of an item, with its title and how it begins in view.
    """
    lines = item.text.count("\n") + 1
    size = counted(lines, "line") if lines > 1 else size_text(len(item.text))
    said = f"{one_line(item.title)} · {size}" if item.title else size
    begin = preview(" ".join(item.text[: 8 * _PREVIEW].split()))
    return Markup('<details class="fold"><summary>{}{}</summary>{}</details>').format(said, begin, shown_text)


def preview(text: str, *, is_end: bool = False) -> Markup:
    """
    Give the first line of a text, or its last one.
    """
    text = without_colours(text[-8 * _PREVIEW :] if is_end else text[: 8 * _PREVIEW]).strip()
    line = one_line(text.rpartition("\n")[2] if is_end else text.partition("\n")[0])
    return Markup(f" <q>{escape(line[:_PREVIEW])}</q>") if line else Markup("")  # noqa: S704 -- escaped


def change_parts(change: FileChange, key: str) -> dict[str, Any]:
    """
    Give what a template says of a change to a file.
    """
    part = cut(change.diff)
    added, removed = change.counts
    return {
        "kind": one_line(change.kind),
        "path": one_line(change.path),
        "moved_to": one_line(change.moved_to or ""),
        "added": added,
        "removed": removed,
        "is_open": added + removed <= _OPEN_LINES,
        "diff": block(part.head, part.tail, part.note, key, "diff") if change.diff else "",
    }


def picture(image: Image) -> dict[str, Any]:
    """
    Give an image for a page: what may be shown, or why it is not.
    """
    said = image_text(image)
    if image.media_type is None:
        return {"source": "", "said": said, "why": "not loaded"}
    if len(image.source) > _PICTURE_MAX:
        return {"source": "", "said": said, "why": f"larger than {size_text(_PICTURE_MAX * 3 // 4)}, not shown"}
    found = _PICTURE.fullmatch(image.source)
    if found is None:
        return {"source": "", "said": said, "why": "damaged, not shown"}
    return {"source": f"data:{image.media_type};base64,{found[1]}", "said": said, "why": ""}
