"""
The place of a session among others, as its session_meta states it: which session has started it, and in which role.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rollout.interpret._parts import dict_of, text_of
from rollout.interpret._record import Record

__all__ = ["ROOT", "Origin", "origin_of", "spawn_in"]

ROOT = "root"
"""The role of a session that no other session has started."""


class Origin(Record):
    """
    The origin of a session.

    Attributes:
        role: `ROOT`; for a sub-agent, its role: ``review``, ``default`` or another value.
        parent_id: Id of the session that has started this one as its sub-agent; None if it is unknown, or if there is
            none.
        nickname: Name of the sub-agent.
        path: Path of the sub-agent in the tree of agents.
    """

    role: str = ROOT
    parent_id: str | None = None
    nickname: str | None = None
    path: str | None = None

    @property
    def is_agent(self) -> bool:
        """Whether the session is a sub-agent."""
        return self.role != ROOT


def origin_of(meta: Mapping[str, Any]) -> Origin:
    """
    Return the origin of a session, given the payload of its session_meta.
    """
    spawn = spawn_in(meta)

    def stated(key: str) -> str | None:
        return text_of(meta.get(key)) or text_of(spawn.get(key)) or None

    parent_id = stated("parent_thread_id")
    subagent = dict_of(meta.get("source")).get("subagent")
    role = stated("agent_role") or "agent"
    if subagent is None and meta.get("thread_source") != "subagent" and parent_id is None:
        role = ROOT
    else:
        # "review", or {"other": "guardian"}.
        role = text_of(subagent) or text_of(dict_of(subagent).get("other")) or role
    return Origin(role, parent_id and parent_id.lower(), stated("agent_nickname"), stated("agent_path"))


def spawn_in(meta: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what the session_meta of a sub-agent states about its start; empty for other sessions.
    """
    return dict_of(dict_of(dict_of(meta.get("source")).get("subagent")).get("thread_spawn"))
