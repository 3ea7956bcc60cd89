"""
A session as one HTML page that needs no other file, and the parts of this page, which the viewer also shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout._lazy import lazy_getattr

if TYPE_CHECKING:
    from rollout.export.html._markup import lexer_name
    from rollout.export.html._page import SCRIPT, STYLE, export_html
    from rollout.export.html._renderer import Renderer
    from rollout.export.html._truncate import truncated_texts

__all__ = ["SCRIPT", "STYLE", "Renderer", "export_html", "lexer_name", "truncated_texts"]

__getattr__ = lazy_getattr(
    globals(),
    {
        "_markup": ["lexer_name"],
        "_page": ["SCRIPT", "STYLE", "export_html"],
        "_renderer": ["Renderer"],
        "_truncate": ["truncated_texts"],
    },
)
