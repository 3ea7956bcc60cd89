from __future__ import annotations

from pathlib import Path

import pytest

from rollout import Recorder, load_history
from tests.recording.helpers import events_of, kinds_of, lines_of, payloads_of


def test_the_session_of_a_sub_agent_knows_its_parents(home: Path) -> None:
    with (
        Recorder(home=home, cwd="/w", originator="o", model_provider="p") as root,
        root.agent("Ada Lovelace", role="review", instructions="Review.") as child,
        child.agent("helper") as grandchild,
    ):
        child.user_message("review it")

    meta = lines_of(child.path)[0]["payload"]
    assert (meta["session_id"], meta["parent_thread_id"], meta["agent_path"]) == (
        root.session_id, root.session_id, "/root/Ada_Lovelace"
    )  # fmt: skip
    assert (meta["cwd"], meta["originator"], meta["model_provider"], meta["instructions"]) == (
        "/w", "o", "p", "Review."
    )  # fmt: skip
    assert meta["source"]["subagent"]["thread_spawn"] == {
        "parent_thread_id": root.session_id, "depth": 1, "agent_path": "/root/Ada_Lovelace",
        "agent_nickname": "Ada Lovelace", "agent_role": "review",
    }  # fmt: skip
    meta = lines_of(grandchild.path)[0]["payload"]
    assert (meta["session_id"], meta["parent_thread_id"], meta["agent_path"]) == (
        root.session_id, child.session_id, "/root/Ada_Lovelace/helper"
    )  # fmt: skip
    assert load_history(child.path).turns[-1].prompt == "review it"


def test_the_parent_records_the_start_and_the_end(home: Path) -> None:
    with Recorder(home=home) as rec:
        agent = rec.agent("a")
        agent.close()
        agent.close()

    first, second = events_of(rec.path, "sub_agent_activity")
    assert (first["kind"], second["kind"]) == ("started", "completed")
    assert first["agent_thread_id"] == second["agent_thread_id"] == agent.session_id


def test_in_a_paginated_turn_the_start_and_the_end_are_completed_items(home: Path) -> None:
    with Recorder(home=home, history_mode="paginated") as rec, rec.turn(), rec.agent("a"):
        pass

    assert [event["item"]["kind"] for event in events_of(rec.path, "item_completed")] == ["started", "completed"]


def test_an_agent_may_outlive_its_parent(home: Path) -> None:
    rec = Recorder(home=home)
    agent = rec.agent("a")
    rec.close()
    agent.user_message("still here")
    agent.close()

    assert kinds_of(rec.path) == ["sub_agent_activity"]
    assert kinds_of(agent.path) == ["message", "user_message"]


@pytest.mark.parametrize("name", ["", "  ", "/", "__"])
def test_a_name_without_a_letter_is_refused(home: Path, name: str) -> None:
    with Recorder(home=home) as rec, pytest.raises(ValueError, match="is not a name of an agent"):
        rec.agent(name)

    assert payloads_of(rec.path) == []
