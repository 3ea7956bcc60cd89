from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from rollout import Recorder
from rollout.search import update_index
from rollout.store import archive, delete
from rollout.web import _sessions
from tests.rollouts import ID, encode, paginated_session, put


@pytest.fixture
def family(home: Path) -> list[str]:
    with Recorder(home=home, cwd="/work") as rec:
        rec.user_message("parent")
        agents = []
        for name in ("Pauli", "Curie"):
            with rec.agent(name, role="explore") as agent:
                agent.user_message(f"task of {name}")
            agents.append(agent.session_id)
        rec.agent_message("done")
    return [rec.session_id, *agents]


def text_of(client: FlaskClient, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.text


def test_the_list_shows_the_number_of_sub_agents_in_place_of_them(client: FlaskClient, family: list[str]) -> None:
    page = text_of(client, "/")

    assert f'href="/s/{family[0]}#agents">2 sub-agents</a>' in page
    assert "task of Pauli" not in page
    assert "Pauli, explore" in text_of(client, "/?agents=all")
    assert "parent" not in text_of(client, "/?agents=only").partition("<table")[2]
    assert "2 sub-agents" in text_of(client, "/?agents=nonsense")


def test_pages_of_sub_agents_and_their_session_link_to_each_other(client: FlaskClient, family: list[str]) -> None:
    root, first, second = family

    parent, child = text_of(client, f"/s/{root}"), text_of(client, f"/s/{first}")

    assert f'<a href="/s/{first}">Pauli</a> (explore): task of Pauli' in parent
    assert f'<a href="/s/{second}">Curie</a>' in parent
    assert f'Sub-agent Pauli (explore) of <a href="/s/{root}">the session that started it</a>' in child
    archive(root)
    assert f'of <a href="/s/{root}">' in text_of(client, f"/s/{first}")


def test_a_sub_agent_without_its_session_says_so(client: FlaskClient, family: list[str], home: Path) -> None:
    root, first, _ = family
    path = next(home.rglob(f"*{root}.jsonl"))
    path.unlink()

    assert f"of a session that is not in this home: {root}" in text_of(client, f"/s/{first}")
    delete(first)


def test_not_all_of_many_sub_agents_are_shown(
    client: FlaskClient, family: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sessions, "_AGENTS_MAX", 1)

    page = text_of(client, f"/s/{family[0]}")

    assert "2 sub-agents</summary>" in page
    assert 'The newest 1 are shown; <a href="/?agents=only">all sub-agents</a>' in page


def test_a_session_whose_meta_comes_late_has_no_origin(client: FlaskClient, home: Path) -> None:
    lines = paginated_session("a")
    put(home, encode([*lines[1:] * 3, lines[0]]))

    assert "Sub-agent" not in text_of(client, f"/s/{ID}").partition("<main")[2]


@pytest.mark.parametrize("is_indexed", [False, True])
def test_statistics_count_sub_agents_with_their_sessions(
    client: FlaskClient, family: list[str], home: Path, is_indexed: bool
) -> None:
    put(home, b'{"type":"response_item","payload":{}}\n')
    if is_indexed:
        update_index(home=home)

    assert "2 sessions and 2 sub-agents used in this time" in text_of(client, "/stats?since=")
