"""
The settings of a recorder, and the session_meta that states them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from rollout import schema
from rollout._version import __version__
from rollout.codec import format_timestamp
from rollout.recording._commands import Options
from rollout.recording._policy import Policy
from rollout.recording._prepare import Default
from rollout.schema import snapshot

__all__ = ["Settings", "session_meta"]


@frozen(kw_only=True)
class Settings:
    """
    The settings of a recorder, as `Recorder` describes them; a sub-agent's recorder has the same.
    """

    home: Path
    cwd: str
    originator: str
    cli_version: str = __version__
    model_provider: str | None = None
    policy: Policy
    default: Default
    history_mode: str
    options: Options


def session_meta(settings: Settings, session_id: str, time_ms: int, fields: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the payload of a new session's first line.

    Args:
        settings: Settings of the recorder.
        session_id: Id of the session.
        time_ms: Unix milliseconds of the session's beginning.
        fields: Further fields of `schema.SessionMeta`.
    """
    meta: dict[str, Any] = snapshot(
        schema.SessionMeta(
            id=session_id,
            timestamp=format_timestamp(time_ms),
            cwd=settings.cwd,
            originator=settings.originator,
            cli_version=settings.cli_version,
            model_provider=settings.model_provider,
            # Without this field, as in all sessions before Codex 0.148, the mode is legacy.
            history_mode=None if settings.history_mode == "legacy" else settings.history_mode,
            **fields,
        )
    )
    return meta
