"""
Sub-agents: the meta of a session that another session has started, and the events of the other session about it.

The forms are those of the threads that Codex 0.169.0 starts.
"""

from __future__ import annotations

import re
import time
from typing import Any

from attrs import field, frozen

from rollout.home import new_session_id
from rollout.recording._call_ends import Item, event
from rollout.recording._companions import Companions

__all__ = ["ROOT", "Place"]

_NO_NAME = re.compile(r"[^\w.-]+")


@frozen
class Place:
    """
    The place of a session among the agents of a task.

    Attributes:
        path: Names of the agents from the first one: ``/root/reviewer``.
        root_id: Id of the first agent's session.
        parent_id: Id of the session that started this one; None for the first one.
        meta: The fields of the meta that tell this.
    """

    path: str = "/root"
    root_id: str = ""
    parent_id: str | None = None
    meta: dict[str, Any] = field(factory=dict, repr=False)

    def child(self, own_id: str, name: str, role: str) -> Place:
        """
        Return the place of an agent that the session *own_id* at this place starts.

        Raises:
            ValueError: The name has no letter and no digit.
        """
        path_name = _NO_NAME.sub("_", name).strip("_")
        if not path_name:
            raise ValueError(f"{name!r} is not a name of an agent: it has no letter and no digit")
        root_id, path = self.root_id or own_id, f"{self.path}/{path_name}"
        spawn = {
            "parent_thread_id": own_id,
            "depth": path.count("/") - 1,
            "agent_path": path,
            "agent_nickname": name,
            "agent_role": role,
        }
        meta = {
            "session_id": root_id,
            "parent_thread_id": own_id,
            "source": {"subagent": {"thread_spawn": spawn}},
            "thread_source": "subagent",
            "agent_nickname": name,
            "agent_role": role,
            "agent_path": path,
        }
        return Place(path, root_id, own_id, meta)

    def activity(self, companions: Companions, own_id: str, kind: str) -> Item:
        """
        Return the event about the agent at this place for the session that started it.

        Args:
            companions: Those of the session that started it.
            own_id: Id of the agent's session.
            kind: started or completed.
        """
        now = time.time_ns() // 1_000_000
        agent = {"kind": kind, "agent_thread_id": own_id, "agent_path": self.path}
        if companions.is_paginated or kind == "completed":
            done = {"type": "SubAgentActivity", "id": f"subagent-{kind}-{new_session_id()}", **agent}
            found = companions.completed(done)
            if found:
                return found[0]
        return event("sub_agent_activity", event_id=new_session_id(), occurred_at_ms=now, **agent)


ROOT = Place()
"""The place of a session that no other one started."""
