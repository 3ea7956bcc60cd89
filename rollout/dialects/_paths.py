"""
The dialect of a request, by the path of its URL.
"""

from __future__ import annotations

import re

from rollout.dialects._model import Dialect

__all__ = ["dialect_for"]

_GEMINI = re.compile(r"(?:.*/)?([^/:]*):(?:g|streamG)enerateContent")
# Messages of OpenAI's Assistants.
_OTHER_MESSAGES = re.compile(r"(?:^|/)threads/")


def dialect_for(path: str) -> Dialect | None:
    """
    Return the dialect of a request to a model; None if the path is of another request.

    Args:
        path: Path of the URL, or the whole URL. Only its end counts: a gateway may add any prefix.
    """
    path = re.split(r"[?#]", path, maxsplit=1)[0].rstrip("/")
    if path.endswith("/responses") or path == "responses":
        from rollout.dialects._responses import ResponsesDialect  # noqa: PLC0415 -- most clients use one dialect

        return ResponsesDialect()
    if path.endswith("chat/completions"):
        from rollout.dialects._chat import ChatDialect  # noqa: PLC0415

        return ChatDialect()
    if (path.endswith("/messages") or path == "messages") and not _OTHER_MESSAGES.search(path):
        from rollout.dialects._messages import MessagesDialect  # noqa: PLC0415

        return MessagesDialect()
    found = _GEMINI.fullmatch(path)
    if found:
        from rollout.dialects._gemini import GeminiDialect  # noqa: PLC0415

        return GeminiDialect(found[1] or None)
    return None
