"""
The parts of items as HTML: text blocks, folded texts, patches, images.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from rollout._text import one_line, pluralize, size_text
from rollout.document import FileChange, Image, Item
from rollout.export._labels import image_text
from rollout.export.html._ansi import terminal_markup, without_colors
from rollout.export.html._markup import code, plain
from rollout.export.html._truncate import truncate

__all__ = ["text_block", "change_parts", "fold", "group_items", "image_parts", "preview", "wrap"]

# Number of items of a turn that a browser lays out together.
_GROUP_SIZE = 50
# Characters shown of a folded text; maximum number of changed lines of an unfolded patch.
_PREVIEW = 140
_OPEN_LINES = 80
# Maximum number of base64 characters of an image in the page.
_PICTURE_MAX = 4_000_000
_PICTURE = re.compile(r"data:[a-z/]{1,20};base64,([A-Za-z0-9+/]+={0,2})", re.ASCII)


def group_items(items: Sequence[str]) -> Markup:
    """
    Return items in groups. A browser lays out only the groups in view: a page of 50,000 items opens in 3 s, not in 20.
    """
    if len(items) <= 2 * _GROUP_SIZE:
        return Markup("".join(items))  # noqa: S704 -- made by a template
    groups = ("".join(items[start : start + _GROUP_SIZE]) for start in range(0, len(items), _GROUP_SIZE))
    return Markup("".join(f'<div class="group">\n{group}</div>\n' for group in groups))  # noqa: S704 -- as above


def wrap(kind: str, content: Markup) -> Markup:
    """
    Return content inside a ``div`` of a class.
    """
    return Markup(f'<div class="{kind}">{content}</div>')  # noqa: S704 -- both are our own


def text_block(head: str, tail: str, note: str, key: str, language: str) -> Markup:
    """
    Return a text as a block. If *note* is not empty, it describes the omitted part between *head* and *tail*.
    """
    begin = Markup(f"<pre>{_colored(head, language)}</pre>")  # noqa: S704 -- escaped there
    if not note:
        return begin
    more = Markup('<div class="cut">{} more, not shown here. <button data-more="{}">Show all</button></div>')
    return begin + more.format(note, key) + Markup("<pre>{}</pre>").format(_colored(tail, language))


def _colored(text: str, language: str) -> Markup:
    if language == "terminal":
        return terminal_markup(text)
    return code(text, language) if language else plain(text)


def fold(item: Item, shown_text: Markup) -> Markup:
    """
    Return the text of an item folded, with its title and its beginning visible.
    """
    lines = item.text.count("\n") + 1
    size = pluralize(lines, "line") if lines > 1 else size_text(len(item.text))
    description = f"{one_line(item.title)} · {size}" if item.title else size
    begin = preview(" ".join(item.text[: 8 * _PREVIEW].split()))
    return Markup('<details class="fold"><summary>{}{}</summary>{}</details>').format(description, begin, shown_text)


def preview(text: str, *, is_end: bool = False) -> Markup:
    """
    Return the first line of a text, or its last line.
    """
    text = without_colors(text[-8 * _PREVIEW :] if is_end else text[: 8 * _PREVIEW]).strip()
    line = one_line(text.rpartition("\n")[2] if is_end else text.partition("\n")[0])
    return Markup(f" <q>{escape(line[:_PREVIEW])}</q>") if line else Markup("")  # noqa: S704 -- escaped


def change_parts(change: FileChange, key: str) -> dict[str, Any]:
    """
    Return the values of a change for its template.
    """
    part = truncate(change.diff)
    added, removed = change.counts
    return {
        "kind": one_line(change.kind),
        "path": one_line(change.path),
        "moved_to": one_line(change.moved_to or ""),
        "added": added,
        "removed": removed,
        "is_open": added + removed <= _OPEN_LINES,
        "diff": text_block(part.head, part.tail, part.note, key, "diff") if change.diff else "",
    }


def image_parts(image: Image) -> dict[str, Any]:
    """
    Return the values of an image for its template: its source, or the reason why it is not shown.
    """
    description = image_text(image)
    if image.media_type is None:
        return {"source": "", "description": description, "reason": "not loaded"}
    if len(image.source) > _PICTURE_MAX:
        reason = f"larger than {size_text(_PICTURE_MAX * 3 // 4)}, not shown"
        return {"source": "", "description": description, "reason": reason}
    found = _PICTURE.fullmatch(image.source)
    if found is None:
        return {"source": "", "description": description, "reason": "damaged, not shown"}
    return {"source": f"data:{image.media_type};base64,{found[1]}", "description": description, "reason": ""}
