"""
A session as a file for people or programs: an HTML page, Markdown, plain text, JSON.

The export functions yield pieces of text, to be written one after another as UTF-8. This package prints and writes
nothing.

>>> from rollout import load_history
>>> from rollout.export import export_markdown
>>> Path("session.md").write_text("".join(export_markdown(load_history(session_id))), encoding="utf-8")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout._lazy import lazy_getattr

if TYPE_CHECKING:
    from rollout.export._detail import DETAILS
    from rollout.export._json import export_json
    from rollout.export._json_text import json_escape as json_escape
    from rollout.export._json_text import json_text as json_text
    from rollout.export._labels import change_text as change_text
    from rollout.export._labels import command_text as command_text
    from rollout.export._labels import image_text as image_text
    from rollout.export._labels import line_notes as line_notes
    from rollout.export._labels import session_lines as session_lines
    from rollout.export._labels import truncate_line as truncate_line
    from rollout.export._markdown import export_markdown
    from rollout.export._markdown_safe import sanitize_markdown as sanitize_markdown
    from rollout.export._redact import redacted
    from rollout.export._redact import redacted_line as redacted_line
    from rollout.export._text import TextRenderer as TextRenderer
    from rollout.export._text import export_text
    from rollout.export._text import first_lines as first_lines
    from rollout.export.html import export_html

__all__ = ["DETAILS", "export_html", "export_json", "export_markdown", "export_text", "redacted"]

# The names in `__all__` are public; the command and the viewer use the others.
__getattr__ = lazy_getattr(
    globals(),
    {
        "_detail": ["DETAILS"],
        "_json": ["export_json"],
        "_json_text": ["json_escape", "json_text"],
        "_labels": [
            "change_text",
            "command_text",
            "session_lines",
            "image_text",
            "line_notes",
            "truncate_line",
        ],
        "_markdown": ["export_markdown"],
        "_markdown_safe": ["sanitize_markdown"],
        "_redact": ["redacted", "redacted_line"],
        "_text": ["TextRenderer", "export_text", "first_lines"],
        "html": ["export_html"],
    },
)
