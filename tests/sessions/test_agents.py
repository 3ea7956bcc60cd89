from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rollout import Recorder, list_sessions, load_history, overview
from rollout.home import RolloutName
from rollout.interpret import Filters, origin_of
from rollout.overview import matching_sessions, read_page
from rollout.search import update_index
from rollout.sessions import AgentsShown, Page, SessionInfo, descendants
from rollout.sessions import _agents as module
from rollout.store import archive, find
from tests.rollouts import encode, meta, prompt, put


def uid(number: int, *, ms: int = 0) -> str:
    """
    Return a UUIDv7 of 2026-11-21T10:00 UTC plus *ms*.
    """
    stamp = f"{1_795_255_200_000 + ms:012x}"
    return f"{stamp[:8]}-{stamp[8:]}-7000-8000-{number:012x}"


def put_session(
    home: Path, number: int, minutes: int, *, parent: str | None = None, lasts: int = 0, **more: Any
) -> str:
    """
    Write a session that starts some minutes after 10:00 and lasts some minutes; return its id.
    """
    session_id = uid(number, ms=minutes * 60_000)

    def at(minute: int) -> str:
        return f"2026-11-21T{10 + minute // 60:02d}:{minute % 60:02d}:00.000Z"

    fields: dict[str, Any] = {"timestamp": at(minutes), **more.pop("fields", {})}
    if parent is not None:
        fields |= {"parent_thread_id": parent, "thread_source": "subagent", "agent_role": "review"}
    data = encode([meta(session_id, **fields), *prompt(f"prompt {number}")])
    data = data.replace(b"2026-11-21T01:25:37.122Z", at(minutes + lasts).encode())
    stamp = at(minutes)[:19].replace(":", "-")
    put(home, data, session_id=session_id, timestamp=stamp, **more)
    return session_id


def titles(page: Page | list[SessionInfo]) -> list[str]:
    items = page.items if isinstance(page, Page) else page
    return [f"{(item.title or '').removeprefix('prompt ')}:{item.agents}" for item in items]


def put_family(home: Path) -> list[str]:
    """
    Write a session with two sub-agents, the second of which has one, too; and other sessions around them.
    """
    put_session(home, 1, 0)
    root = put_session(home, 2, 1, lasts=30)
    first = put_session(home, 3, 2, parent=root)
    put_session(home, 4, 3)
    second = put_session(home, 5, 20, parent=root, lasts=40)
    nested = put_session(home, 6, 50, parent=second)
    put_session(home, 7, 59, parent=uid(99))
    return [root, first, second, nested]


SHOWN: dict[AgentsShown, list[str]] = {
    "fold": ["7:0", "4:0", "2:3", "1:0"],
    "all": ["7:0", "6:0", "5:1", "4:0", "3:0", "2:3", "1:0"],
    "none": ["4:0", "2:3", "1:0"],
    "only": ["7:0", "6:0", "5:1", "3:0"],
}


@pytest.mark.parametrize("shown", SHOWN)
def test_sub_agents_are_folded_listed_or_left_out(home: Path, shown: AgentsShown) -> None:
    put_family(home)

    assert titles(list_sessions(agents=shown)) == SHOWN[shown]


@pytest.mark.parametrize("page_size", [1, 2, 3, 10])
@pytest.mark.parametrize("shown", SHOWN)
def test_pages_of_every_size_are_the_whole_list(home: Path, shown: AgentsShown, page_size: int) -> None:
    put_family(home)

    page = list_sessions(agents=shown, page_size=page_size)
    found, sizes = titles(page), [len(page.items)]
    while page.next_cursor is not None:
        page = list_sessions(agents=shown, page_size=page_size, cursor=page.next_cursor)
        found += titles(page)
        sizes.append(len(page.items))

    assert [title.split(":")[0] for title in found] == [title.split(":")[0] for title in SHOWN[shown]]
    assert 0 not in sizes


def test_another_value_is_refused(home: Path) -> None:
    with pytest.raises(ValueError, match="agents must be one of fold, all, none, only, not 'x'"):
        list_sessions(agents="x")  # type: ignore[arg-type]


def test_sub_agents_are_counted_on_a_later_page(home: Path) -> None:
    root = put_session(home, 1, 0, lasts=30)
    put_session(home, 2, 10, parent=root)
    put_session(home, 3, 20)

    page = list_sessions(page_size=1)

    assert titles(page) == ["3:0"]
    assert titles(list_sessions(page_size=1, cursor=page.next_cursor)) == ["1:1"]


def test_the_number_is_unknown_if_too_many_files_would_have_to_be_read(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = put_session(home, 1, 0, lasts=30)
    put_session(home, 2, 10, parent=root)
    put_session(home, 3, 20)
    monkeypatch.setattr(module, "_EXTRA_MAX", 0)

    page = list_sessions(page_size=1)

    assert titles(list_sessions(page_size=1, cursor=page.next_cursor)) == ["1:None"]


def test_a_sub_agent_whose_session_is_archived_is_listed(home: Path) -> None:
    root = put_session(home, 1, 0)
    put_session(home, 2, 10, parent=root)
    archive(root)

    assert titles(list_sessions()) == ["2:0"]
    assert titles(list_sessions(archived=True)) == ["1:0"]


def test_sessions_that_name_each_other_in_a_circle_are_listed(home: Path) -> None:
    one, two = uid(1), uid(2, ms=60_000)
    put_session(home, 1, 0, parent=two)
    put_session(home, 2, 1, parent=one)
    put_session(home, 3, 2, parent=uid(3, ms=120_000))

    assert [title[0] for title in titles(list_sessions())] == ["3", "2", "1"]


def test_a_session_without_meta_is_no_sub_agent(home: Path) -> None:
    root = put_session(home, 1, 0, lasts=10)
    put_session(home, 2, 1, parent=root)
    path = put(home, b"no line\n", session_id=uid(3, ms=30_000), timestamp="2026-11-21T10-00-30")

    found = [item.path.name for item in list_sessions().items]

    assert path.name in found
    assert len(found) == 2


@pytest.mark.parametrize("is_indexed", [False, True])
def test_with_filters_a_sub_agent_is_listed_if_its_session_does_not_match(home: Path, is_indexed: bool) -> None:
    root = put_session(home, 1, 0, fields={"cwd": "/one"}, lasts=20)
    child = put_session(home, 2, 1, parent=root, fields={"cwd": "/two"})
    put_session(home, 3, 2, parent=child, fields={"cwd": "/two"})
    put_session(home, 4, 3, parent=root, fields={"cwd": "/one"})
    if is_indexed:
        update_index(home=home)

    for order in ("created", "updated"):
        for cwd, expected in {"/one": ["1:3"], "/two": ["2:1"]}.items():
            filters = Filters(cwd=cwd, archived=False)
            assert titles(read_page(home, filters, count=5, order=order)) == expected
            assert titles([*matching_sessions(home, filters, order)]) == expected
    every = read_page(home, Filters(archived=False), count=5, order="updated", agents="only")
    assert sorted(titles(every)) == ["2:1", "3:0", "4:0"]


def test_an_unreadable_session_does_not_match(home: Path) -> None:
    root = put_session(home, 1, 0, fields={"cwd": "/one"}, lasts=20)
    put_session(home, 2, 1, parent=root, fields={"cwd": "/one"})
    path = find(root)
    path.unlink()
    path.with_name(f"{path.name}.zst").write_bytes(b"no zstd")

    assert titles(read_page(home, Filters(archived=False, cwd="/one"), count=5)) == ["2:0"]


@pytest.mark.parametrize("is_indexed", [False, True])
def test_a_reverted_session_matches_once(home: Path, is_indexed: bool) -> None:
    session_id = put_session(home, 1, 0)
    content = find(session_id).read_bytes()
    newest = put(home, content, session_id=f"{session_id}_{uid(2)}", timestamp="2026-11-21T10-30-00")
    if is_indexed:
        update_index(home=home)

    found = [item.path for item in matching_sessions(home, Filters(archived=False), "updated")]

    assert found == [newest]


def test_sub_agents_of_a_reverted_session_are_counted(home: Path) -> None:
    root = put_session(home, 1, 0, lasts=5)
    put_session(home, 2, 1, parent=root)
    content = find(root).read_bytes()
    put(home, content, session_id=f"{root}_{uid(9, ms=1_800_000)}", timestamp="2026-11-21T10-30-00")

    assert titles(list_sessions(page_size=1)) == ["1:1"]


def test_the_numbers_of_sessions_are_those_of_the_list(home: Path) -> None:
    put_family(home)

    assert [find(f"@{number}").name[-17:-6] for number in (1, 2, 3)] == [
        item.path.name[-17:-6] for item in list_sessions().items[:3]
    ]


def test_a_file_without_a_time_has_no_descendants(home: Path) -> None:
    name = RolloutName("0001-01-01T00-00-00", uid(1))

    assert descendants(home, name, lambda _: None) == []


def test_a_recorded_agent_has_its_parent_and_role(home: Path) -> None:
    with Recorder(home=home, cwd="/work") as rec:
        rec.user_message("parent")
        with rec.agent("Pauli", role="explore") as agent:
            agent.user_message("task")

    (item,) = list_sessions(agents="only").items

    facts = item.facts
    assert (facts.parent_id, facts.role, facts.nickname) == (rec.session_id, "explore", "Pauli")
    assert load_history(item.path).session_id == agent.session_id


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ("root", None, None)),
        ({"source": {"subagent": "review"}}, ("review", None, None)),
        ({"source": {"subagent": {"other": "guardian"}}}, ("guardian", None, None)),
        ({"thread_source": "subagent"}, ("agent", None, None)),
        ({"parent_thread_id": "A"}, ("agent", "a", None)),
        (
            {"source": {"subagent": {"thread_spawn": {"parent_thread_id": "p", "agent_nickname": "N"}}}},
            ("agent", "p", "N"),
        ),
    ],
)
def test_the_meta_states_the_origin(fields: dict[str, Any], expected: tuple[str, str | None, str | None]) -> None:
    origin = origin_of(fields)

    assert (origin.role, origin.parent_id, origin.nickname) == expected
    assert origin.is_agent == (expected[0] != "root")


def test_a_session_whose_file_is_gone_does_not_match(home: Path) -> None:
    path = find(put_session(home, 1, 0, fields={"cwd": "/one"}))
    families = overview._families(home, Filters(cwd="/one"))
    assert families._matches(path)

    path.unlink()

    assert not families._matches(path)
    assert not families._matches(path.with_name("other.txt"))
