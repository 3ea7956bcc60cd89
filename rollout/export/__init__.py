"""
A session as a file for people or programs: a page, Markdown, plain text, JSON.

All give pieces of text, to be written one after another as UTF-8. Nothing here prints, or writes a file.

>>> from rollout import load_history
>>> from rollout.export import export_markdown
>>> Path("session.md").write_text("".join(export_markdown(load_history(session_id))), encoding="utf-8")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout._opening import opener

if TYPE_CHECKING:
    from rollout.export._detail import DETAILS
    from rollout.export._html import export_html
    from rollout.export._json import export_json
    from rollout.export._markdown import export_markdown
    from rollout.export._redact import redacted
    from rollout.export._text import export_text

__all__ = ["DETAILS", "export_html", "export_json", "export_markdown", "export_text", "redacted"]

# Opened when something in them is asked for, as in rollout itself: a page needs an extra, the others do not.
__getattr__ = opener(
    globals(),
    {
        "_detail": ["DETAILS"],
        "_html": ["export_html"],
        "_json": ["export_json"],
        "_markdown": ["export_markdown"],
        "_redact": ["redacted"],
        "_text": ["export_text"],
    },
)
