"""
Sessions named, archived, forked or compressed by rollout work in the real Codex, and the other way round.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from driver import Codex, Server
from model import Model, function_call

from rollout import Recorder, SessionStateError, list_sessions, load_history
from rollout.store import (
    archive,
    compress,
    decompress,
    delete,
    find,
    fork,
    rename_session,
    restore,
    session_names,
    unarchive,
)

EVERY_SOURCE = {"sourceKinds": ["exec", "cli", "vscode", "appServer"]}


def record_by_rollout(codex: Codex, *prompts: str) -> str:
    with Recorder(home=codex.home, cwd=codex.cwd) as recorder:
        for text in prompts:
            recorder.user_message(text)
            recorder.agent_message(f"answer to {text}")
    return recorder.session_id


def record_by_codex(codex: Codex, prompt: str) -> str:
    return load_history(codex.record(prompt)).session_id


def list_threads(server: Server, *, archived: bool = False) -> dict[str, Any]:
    threads = server.call("thread/list", {**EVERY_SOURCE, "archived": archived})["data"]
    return {thread["id"]: thread for thread in threads}


def sent_texts(model: Model) -> list[str]:
    return [
        part["text"]
        for item in model.received[-1]["input"]
        if item.get("type") == "message" and item["role"] in ("user", "assistant")
        for part in item["content"]
        if not part["text"].startswith("<")
    ]


def conversation(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in item.items() if k != "id"} for item in items if item.get("role") != "developer"]


def test_names_are_shared_with_codex_in_both_directions(current: Codex) -> None:
    first, second = record_by_rollout(current, "one"), record_by_codex(current, "two")
    rename_session(first, "ours")
    rename_session(second, "theirs")

    with current.app_server() as server:
        assert [list_threads(server)[key]["name"] for key in (first, second)] == ["ours", "theirs"]
        server.call("thread/name/set", {"threadId": first, "name": "renamed there"})
        server.call("thread/name/set", {"threadId": second, "name": "named there"})
        assert session_names() == {first: "renamed there", second: "named there"}
        assert load_history(find("named there")).session_id == second

        # Codex now reads the name from its database.
        rename_session(second, "renamed here")
        rename_session(first, None)
        names = {key: thread["name"] for key, thread in list_threads(server).items()}
        assert names == {first: None, second: "renamed here"}


@pytest.mark.parametrize("record", [record_by_rollout, record_by_codex])
def test_archiving_is_shared_with_codex_in_both_directions(current: Codex, model: Model, record: Any) -> None:
    session_id = record(current, "one")
    with current.app_server() as server:
        list_threads(server)
        archive(session_id)
        assert session_id not in list_threads(server)
        assert session_id in list_threads(server, archived=True)
        server.call("thread/unarchive", {"threadId": session_id})
        assert [item.session_id for item in list_sessions().items] == [session_id]

        server.call("thread/archive", {"threadId": session_id})
        assert [item.session_id for item in list_sessions(archived=True).items] == [session_id]
        unarchive(session_id)
        assert session_id in list_threads(server)
        assert session_id not in list_threads(server, archived=True)

    current.resume(session_id, "and on")
    assert sent_texts(model)[0] == "one"
    assert sent_texts(model)[-1] == "and on"


def test_codex_does_not_resume_a_session_archived_by_rollout(current: Codex) -> None:
    session_id = record_by_codex(current, "one")
    archive(session_id)

    done = current.exec("resume", session_id, "and on")

    assert done.returncode != 0
    assert "is archived" in done.stderr


@pytest.mark.parametrize("record", [record_by_rollout, record_by_codex])
def test_codex_resumes_a_fork_made_by_rollout(current: Codex, model: Model, record: Any) -> None:
    session_id = record(current, "one")
    current.resume(session_id, "two")
    before = load_history(session_id).to_input()

    whole, first_turn = fork(session_id), fork(session_id, at=1)
    current.resume(load_history(whole).session_id, "after all")
    texts = sent_texts(model)
    current.resume(load_history(first_turn).session_id, "after one")

    assert texts[-1] == "after all"
    assert [text for text in texts if text in ("one", "two")] == ["one", "two"]
    assert "two" not in sent_texts(model)
    assert sent_texts(model)[-1] == "after one"
    assert load_history(session_id).to_input() == before
    with current.app_server() as server:
        assert len(list_threads(server)) == 3


def test_input_of_a_fork_by_reference_equals_the_input_codex_sends(current: Codex, model: Model) -> None:
    model.answers = [[function_call("exec_command", {"cmd": "echo hello"}, "call_1")]]
    session_id = record_by_codex(current, "one")
    with current.app_server() as server:
        forked = server.call("thread/fork", {"threadId": session_id})["thread"]["id"]
    assert load_history(forked).inherited

    loaded = load_history(forked).to_input()
    current.resume(forked, "and on")

    assert conversation(loaded) == conversation(model.received[-1]["input"])[: len(conversation(loaded))]
    assert [item["type"] for item in conversation(loaded)].count("function_call_output") == 1


@pytest.mark.parametrize("record", [record_by_rollout, record_by_codex])
def test_codex_resumes_a_session_compressed_by_rollout(current: Codex, model: Model, record: Any) -> None:
    session_id = record(current, "one")
    compressed = compress(session_id, min_age=0)
    with current.app_server() as server:
        assert session_id in list_threads(server)

    current.resume(session_id, "two")

    assert not compressed.exists()
    assert sent_texts(model)[-1] == "two"
    assert [turn.prompt for turn in load_history(session_id).turns] == ["one", "two"]


def test_an_archived_and_compressed_session_is_unarchived_by_codex_and_decompressed_by_rollout(current: Codex) -> None:
    session_id = record_by_rollout(current, "one")
    archive(session_id)
    compress(session_id, min_age=0)

    with current.app_server() as server:
        assert session_id in list_threads(server, archived=True)
        server.call("thread/unarchive", {"threadId": session_id})
    decompress(session_id)

    assert [turn.prompt for turn in load_history(session_id).turns] == ["one"]


def test_a_deleted_session_is_unknown_to_codex_until_it_is_restored(current: Codex, model: Model) -> None:
    session_id = record_by_codex(current, "one")
    with current.app_server() as server:
        list_threads(server)
        delete(session_id)
        assert session_id not in list_threads(server)

        path = restore(session_id)
        assert list_threads(server)[session_id]["path"] == str(path)
    current.resume(session_id, "two")

    assert sent_texts(model)[-1] == "two"


def test_a_session_deleted_by_codex_is_not_listed(current: Codex, home: Path) -> None:
    session_id = record_by_rollout(current, "one")
    rename_session(session_id, "x")
    with current.app_server() as server:
        list_threads(server)
        server.call("thread/delete", {"threadId": session_id})

    assert list_sessions().items == ()
    assert session_names() == {}


@pytest.mark.parametrize("is_archived", [False, True])
def test_a_session_compressed_by_codex_is_read_and_resumed(current: Codex, model: Model, is_archived: bool) -> None:
    session_id = record_by_rollout(current, "one " + "x" * 5000)
    path = archive(session_id) if is_archived else find(session_id)
    os.utime(path, (0, time.time() - 30 * 86_400))
    config = current.home / "config.toml"
    config.write_text(f"{config.read_text()}\n[features]\nlocal_thread_store_compression = true\n")
    compressed = path.with_name(f"{path.name}.zst")
    with current.app_server() as server:
        list_threads(server)
        deadline = time.monotonic() + 30
        while path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert compressed.exists()

    assert [len(turn.prompt or "") for turn in load_history(session_id).turns] == [5004]
    (item,) = list_sessions(archived=is_archived).items
    assert (item.path, item.problem) == (compressed, None)

    decompress(session_id)
    if is_archived:
        unarchive(session_id)
    with Recorder.resume(session_id) as recorder:
        recorder.user_message("two")
    current.resume(session_id, "three")
    assert sent_texts(model)[-2:] == ["two", "three"]


@pytest.mark.promise("moved")
def test_a_recorder_follows_its_session_when_a_codex_without_locks_archives_it(
    start_codex: Callable[[str], Codex],
) -> None:
    codex = start_codex("0.42.0")
    with Recorder(home=codex.home, cwd=codex.cwd, source="cli") as recorder:
        recorder.user_message("before")
        recorder.flush()
        before = recorder.path
        with codex.mcp() as server:
            names = {"conversationId": recorder.session_id, "rolloutPath": str(before)}
            server.call("archiveConversation", names)
        recorder.user_message("after")
        recorder.flush()

        assert not before.exists()
        assert recorder.path == codex.home / "archived_sessions" / before.name

    assert [turn.prompt for turn in load_history(recorder.path).turns] == ["before", "after"]


def test_current_codex_does_not_archive_a_session_while_it_is_recorded(current: Codex) -> None:
    with Recorder(home=current.home, cwd=current.cwd, source="cli") as recorder:
        recorder.user_message("before")
        recorder.flush()
        with current.app_server() as server, pytest.raises(AssertionError, match="already has an active writer"):
            server.call("thread/archive", {"threadId": recorder.session_id})

        assert recorder.path.exists()


def record_family(codex: Codex) -> list[str]:
    """
    Record a session with a sub-agent that has a sub-agent, and return the ids.
    """
    with Recorder(home=codex.home, cwd=codex.cwd, source="cli", model_provider="mock") as rec, rec.turn("parent"):
        with rec.agent("one") as one:
            one.user_message("task one")
            with one.agent("nested") as nested:
                nested.user_message("task nested")
        rec.agent_message("done")
    return [rec.session_id, one.session_id, nested.session_id]


def folders_of(codex: Codex) -> dict[str, str]:
    return {path.name[28:64]: path.relative_to(codex.home).parts[0] for path in codex.home.rglob("rollout-*")}


def test_archive_and_delete_take_sub_agents_along_here_and_in_codex(current: Codex) -> None:
    ids = record_family(current)
    live, archived = (dict.fromkeys(ids, place) for place in ("sessions", "archived_sessions"))
    with current.app_server() as server:
        assert [*list_threads(server)] == ids[:1]
        for change in (archive, lambda one: server.call("thread/archive", {"threadId": one})):
            change(ids[0])
            assert folders_of(current) == archived
            assert [*list_threads(server, archived=True)] == ids[:1]
            server.call("thread/unarchive", {"threadId": ids[0]})
            assert folders_of(current) == live
        archive(ids[0])
        unarchive(ids[0])
        assert folders_of(current) == live
        assert [*list_threads(server)] == ids[:1]

        delete(ids[0])
        assert folders_of(current) == dict.fromkeys(ids, "deleted_sessions")
        assert list_threads(server) == {}
        restore(ids[0])
        assert [*list_threads(server)] == ids[:1]
        server.call("thread/delete", {"threadId": ids[0]})
        assert folders_of(current) == {}


def test_a_session_that_a_fork_needs_is_deleted_neither_here_nor_by_codex_but_with_force(
    current: Codex, model: Model
) -> None:
    first = record_by_codex(current, "one")
    current.resume(first, "two")
    forks = []
    for session_id, prompt in ((first, "three"), (None, "four")):
        with current.app_server() as server:
            forked = server.call("thread/fork", {"threadId": session_id or forks[-1]})["thread"]["id"]
        current.resume(forked, prompt)
        forks.append(forked)
    with pytest.raises(SessionStateError, match=forks[0]):
        delete(first)
    with current.app_server() as server, pytest.raises(AssertionError, match="forked history still references it"):
        server.call("thread/delete", {"threadId": first})
    before = [load_history(one).to_input() for one in forks]

    delete(first, force=True)

    assert [load_history(one).to_input() for one in forks] == before
    with current.app_server() as server:
        for number, forked in enumerate(forks, 3):
            server.call("thread/resume", {"threadId": forked, "excludeTurns": True})
            page = server.call("thread/turns/list", {"threadId": forked, "limit": 10, "itemsView": "full"})
            assert [[item["type"] for item in turn["items"]] for turn in page["data"]] == [
                ["userMessage", "agentMessage"]
            ] * number
    current.resume(forks[1], "five")
    assert [text for text in sent_texts(model) if not text.startswith("answer")] == [
        "one", "two", "three", "four", "five"
    ]  # fmt: skip


def test_a_session_reverted_by_codex_is_listed_once_and_found_archived_and_deleted_as_one(
    current: Codex, model: Model
) -> None:
    session_id = record_by_codex(current, "one")
    for prompt in ("two", "three"):
        current.resume(session_id, prompt)
    with current.app_server() as server:
        server.call("thread/resume", {"threadId": session_id})
        turns = server.call("thread/turns/list", {"threadId": session_id, "limit": 10})["data"]
        server.call("thread/revert", {"threadId": session_id, "beforeTurnId": turns[0]["id"]})
    current.resume(session_id, "four")
    assert len(current.rollouts()) == 2

    (item,) = list_sessions().items
    assert item.path == find(session_id)
    assert [turn.prompt for turn in load_history(session_id).turns] == ["one", "two", "four"]
    rename_session(session_id, "reverted")
    with current.app_server() as server:
        archive(session_id)
        assert list_threads(server) == {}
        assert list_threads(server, archived=True)[session_id]["name"] == "reverted"
        server.call("thread/unarchive", {"threadId": session_id})
        assert len(current.rollouts()) == 2
        assert [item.path for item in list_sessions().items] == [find(session_id)]
        delete(session_id)
        assert list_threads(server) == {}
        restore(session_id)
        assert session_id in list_threads(server)
    current.resume(session_id, "five")
    assert [text for text in sent_texts(model) if not text.startswith("answer")] == ["one", "two", "four", "five"]

    with current.app_server() as server:
        server.call("thread/delete", {"threadId": session_id})
    assert list_sessions().items == ()
