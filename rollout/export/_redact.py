"""
A session without its secrets, to be exported.
"""

from __future__ import annotations

from typing import Any

import attrs

from rollout import schema
from rollout._prompts import with_recovered_cwd
from rollout.codec import RolloutLine, decode_line, encode_line
from rollout.errors import EncodeError
from rollout.history import History
from rollout.secrets import Redaction

__all__ = ["redacted", "redacted_line"]


def redacted(history: History, redaction: Redaction) -> History:
    """
    Give a history with placeholders for secrets in every line, in the meta and in what is inherited.

    The lines' *raw* bytes are those of what they hold then. *redaction* counts what was replaced.
    """
    lines = tuple(redacted_line(line, redaction) for line in history.lines)
    inherited = tuple(redacted_line(line, redaction) for line in history.inherited)
    # Of a value that is no number, a reason says which it is.
    skipped = tuple(attrs.evolve(line, reason=redaction.redact(line.reason)) for line in history.skipped)
    metas = (line.item for line in lines if line.type == "session_meta")
    meta = next(item for item in metas if isinstance(item, schema.SessionMeta))
    meta = with_recovered_cwd(meta, (line.payload for line in lines if line.type == "response_item"))
    return attrs.evolve(history, session_id=meta.id, meta=meta, lines=lines, inherited=inherited, skipped=skipped)


def redacted_line(line: RolloutLine, redaction: Redaction) -> RolloutLine:
    """
    Give a line with placeholders for its secrets.
    """
    names = ("timestamp", "type", "payload", "metadata", "extra")
    try:
        new: dict[str, Any] = redaction.redact({name: getattr(line, name) for name in names})
    except RecursionError:
        # Too deep to be walked through; as text it stays valid JSON.
        return decode_line(_redacted_raw(line, redaction))
    # Without the order of the keys as they were read: one of them may have been a secret.
    own = attrs.evolve(line, **new, keys=None)
    try:
        raw = encode_line(own).rstrip(b"\n")
    except EncodeError:
        # NaN, or deeper than any Codex reads. Counted above already.
        raw = _redacted_raw(line, Redaction())
    object.__setattr__(own, "raw", raw)
    return own


def _redacted_raw(line: RolloutLine, redaction: Redaction) -> bytes:
    text: str = redaction.redact(line.raw.decode("utf-8", "replace"))
    return text.encode("utf-8", "replace")
