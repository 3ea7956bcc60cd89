"""
A session without its secrets, for export.
"""

from __future__ import annotations

from typing import Any

import attrs

from rollout import schema
from rollout.codec import RolloutLine, decode_line, encode_line
from rollout.errors import EncodeError
from rollout.interpret import with_recovered_cwd
from rollout.secrets import Redaction
from rollout.sessions import History

__all__ = ["redacted", "redacted_line"]


def redacted(history: History, redaction: Redaction) -> History:
    """
    Return a history with placeholders for secrets in every line, in the meta and in inherited lines.

    The *raw* bytes of the lines are redacted, too. *redaction* counts the replacements.
    """
    lines = tuple(redacted_line(line, redaction) for line in history.lines)
    inherited = tuple(redacted_line(line, redaction) for line in history.inherited)
    # The reason may contain the recorded value, where a number was expected.
    skipped = tuple(attrs.evolve(line, reason=redaction.redact(line.reason)) for line in history.skipped)
    # Without a meta in the file, that of the history has only the values of the file's name.
    items = (new.item for line, new in zip(history.lines, lines, strict=True) if _is_meta_of(history, line))
    meta = next((item for item in items if isinstance(item, schema.SessionMeta)), history.meta)
    meta = with_recovered_cwd(meta, lines)
    return attrs.evolve(history, session_id=meta.id, meta=meta, lines=lines, inherited=inherited, skipped=skipped)


def _is_meta_of(history: History, line: RolloutLine) -> bool:
    return line.type == "session_meta" and line.payload.get("id") == history.meta.id


def redacted_line(line: RolloutLine, redaction: Redaction) -> RolloutLine:
    """
    Return a line with placeholders for its secrets.
    """
    names = ("timestamp", "type", "payload", "metadata", "extra")
    try:
        new: dict[str, Any] = redaction.redact({name: getattr(line, name) for name in names})
    except RecursionError:
        # Nested too deeply for recursion; the raw text, redacted, stays valid JSON.
        return decode_line(_redacted_raw(line, redaction))
    # Drop the recorded order of the keys: one of the keys may have been a secret.
    own = attrs.evolve(line, **new, keys=None)
    try:
        raw = encode_line(own).rstrip(b"\n")
    except EncodeError:
        # NaN, or nested deeper than any version of Codex reads. The replacements were already counted above.
        raw = _redacted_raw(line, Redaction())
    return own._with_raw(raw)


def _redacted_raw(line: RolloutLine, redaction: Redaction) -> bytes:
    text: str = redaction.redact(line.raw.decode("utf-8", "replace"))
    return text.encode("utf-8", "replace")
