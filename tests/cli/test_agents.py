from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rollout import Recorder, find_session
from rollout.store import archive
from tests.cli.conftest import Done
from tests.rollouts import ID, encode, meta, paginated_session, put

FORK = "02b1fbb5-7abd-7c53-8766-f128212a613b"
Run = Callable[..., Done]


@pytest.fixture
def family(home: Path) -> list[str]:
    """
    Record a session with two sub-agents, and return the ids.
    """
    with Recorder(home=home, cwd="/work") as rec:
        rec.user_message("parent")
        rec.usage(input_tokens=10, output_tokens=1)
        agents = []
        for name in ("Pauli", "Curie"):
            with rec.agent(name, role="explore") as agent:
                agent.user_message(f"task of {name}")
                agent.usage(input_tokens=100, output_tokens=10)
            agents.append(agent.session_id)
        rec.agent_message("done")
    return [rec.session_id, *agents]


def test_list_folds_sub_agents_and_counts_them(run: Run, family: list[str]) -> None:
    root, first, second = family
    ids = {
        shown: [row["id"] for row in run("list", "--agents", shown, "--json").json["sessions"]]
        for shown in ("fold", "all", "none", "only")
    }

    assert ids == {"fold": [root], "all": [second, first, root], "none": [root], "only": [second, first]}
    (row,) = run("list", "--json").json["sessions"]
    assert (row["agents"], row["parent_id"], row["role"], row["nickname"]) == (2, None, None, None)
    row = run("list", "--agents", "only", "--all", "--json").json["sessions"][0]
    assert (row["agents"], row["parent_id"], row["role"], row["nickname"]) == (0, root, "explore", "Curie")
    assert run("path", "@last").out.strip() == str(find_session(root))


def test_show_names_the_other_sessions(run: Run, family: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    root, first, second = family

    assert f"2 sub-agents: {second}, {first}\n" in run("show", root).err
    assert f"sub-agent Pauli (explore) of session {root}\n" in run("show", first).err
    monkeypatch.setattr("rollout.cli._show._AGENTS_MAX", 1)
    assert f"2 sub-agents: {second}, and 1 more; see rollout list --agents only" in run("show", root).err


def test_show_of_a_file_without_meta_names_no_session(run: Run, home: Path) -> None:
    put(home, encode(paginated_session("a")[1:]))

    assert "sub-agent" not in run("show", ID).err


def test_show_of_a_sub_agent_without_a_parent(run: Run, home: Path) -> None:
    put(home, [meta(source={"subagent": {"other": "guardian"}}), *paginated_session("a")[1:]])

    assert "sub-agent (guardian)\n" in run("show", ID).err


def test_stats_count_sub_agents_with_their_session(run: Run, family: list[str]) -> None:
    for arguments in ((), (family[0],), (*family,)):
        stats = run("stats", *arguments, "--json").json["stats"]
        assert (stats["tokens"]["total_tokens"], stats["sessions"] + stats["agents"]) == (231, 3), arguments
    assert [line for line in run("stats").out.splitlines() if line.startswith(("sessions", "sub-agents"))] == [
        "sessions\t1",
        "sub-agents\t2",
    ]
    (group,) = run("stats", "--by", "folder", "--json").json["groups"]
    assert (group["sessions"], group["tokens"]["total_tokens"]) == (1, 231)


def test_stats_of_sessions_that_name_each_other_in_a_circle(run: Run, home: Path) -> None:
    for one, other in ((ID, FORK), (FORK, ID)):
        put(home, [meta(one, parent_thread_id=other), *paginated_session("a")[1:]], session_id=one)

    stats = run("stats", "--json").json["stats"]

    assert stats["sessions"] + stats["agents"] == 2


def test_delete_refuses_a_session_that_forks_need_without_force(run: Run, home: Path) -> None:
    path = put(home, encode(paginated_session("a"), first_ordinal=0))
    base = {"thread_id": ID, "end_ordinal_exclusive": 9, "end_byte_offset": 1}
    put(home, encode([meta(FORK, history_mode="paginated", history_base=base)], first_ordinal=9), session_id=FORK)

    for options in (("--yes",), ("--dry-run",)):
        done = run("delete", ID, *options)
        assert f"forks need this file: {FORK}" in done.err
        assert done.status
        assert path.exists()
    assert run("delete", ID, "--dry-run", "--force").status == 0
    assert path.exists()
    assert run("delete", ID, "--yes", "--force").status == 0
    assert not path.exists()


def test_archived_sub_agents_are_listed_with_their_session(run: Run, family: list[str]) -> None:
    archive(family[0])

    (row,) = run("list", "--archived", "--json").json["sessions"]

    assert (row["id"], row["agents"]) == (family[0], 2)
