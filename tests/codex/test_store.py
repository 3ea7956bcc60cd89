"""
What is named, archived, forked and compressed here, the real Codex understands, and the other way round.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from driver import Codex, Server
from model import Model, called

from rollout import Recorder, list_sessions, load_history
from rollout.store import archive, compress, decompress, delete, find, fork, rename_session, restore, session_names
from rollout.store import unarchive as take_out

EVERY_SOURCE = {"sourceKinds": ["exec", "cli", "vscode", "appServer"]}


def ours(codex: Codex, *prompts: str) -> str:
    with Recorder(home=codex.home, cwd=codex.cwd) as recorder:
        for text in prompts:
            recorder.user_message(text)
            recorder.agent_message(f"answer to {text}")
    return recorder.session_id


def theirs(codex: Codex, prompt: str) -> str:
    return load_history(codex.record(prompt)).session_id


def listed(server: Server, *, archived: bool = False) -> dict[str, Any]:
    threads = server.call("thread/list", {**EVERY_SOURCE, "archived": archived})["data"]
    return {thread["id"]: thread for thread in threads}


def sent(model: Model) -> list[str]:
    return [
        part["text"]
        for item in model.received[-1]["input"]
        if item.get("type") == "message" and item["role"] in ("user", "assistant")
        for part in item["content"]
        if not part["text"].startswith("<")
    ]


def conversation(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in item.items() if k != "id"} for item in items if item.get("role") != "developer"]


def test_a_name_given_here_is_shown_there_and_back(today: Codex) -> None:
    first, second = ours(today, "one"), theirs(today, "two")
    rename_session(first, "ours")
    rename_session(second, "theirs")

    with today.app_server() as server:
        assert [listed(server)[key]["name"] for key in (first, second)] == ["ours", "theirs"]
        server.call("thread/name/set", {"threadId": first, "name": "renamed there"})
        server.call("thread/name/set", {"threadId": second, "name": "named there"})
        assert session_names() == {first: "renamed there", second: "named there"}
        assert load_history(find("named there")).session_id == second

        # Codex believes its database now.
        rename_session(second, "renamed here")
        rename_session(first, None)
        names = {key: thread["name"] for key, thread in listed(server).items()}
        assert names == {first: None, second: "renamed here"}


@pytest.mark.parametrize("record", [ours, theirs])
def test_what_is_archived_here_is_archived_there_and_back(today: Codex, model: Model, record: Any) -> None:
    session_id = record(today, "one")
    with today.app_server() as server:
        listed(server)
        archive(session_id)
        assert session_id not in listed(server)
        assert session_id in listed(server, archived=True)
        server.call("thread/unarchive", {"threadId": session_id})
        assert [item.session_id for item in list_sessions().items] == [session_id]

        server.call("thread/archive", {"threadId": session_id})
        assert [item.session_id for item in list_sessions(archived=True).items] == [session_id]
        take_out(session_id)
        assert session_id in listed(server)
        assert session_id not in listed(server, archived=True)

    today.go_on(session_id, "and on")
    assert sent(model)[0] == "one"
    assert sent(model)[-1] == "and on"


def test_a_session_archived_here_is_not_gone_on_with_there(today: Codex) -> None:
    session_id = theirs(today, "one")
    archive(session_id)

    done = today.exec("resume", session_id, "and on")

    assert done.returncode != 0
    assert "is archived" in done.stderr


@pytest.mark.parametrize("record", [ours, theirs])
def test_a_fork_made_here_is_gone_on_with_there(today: Codex, model: Model, record: Any) -> None:
    session_id = record(today, "one")
    today.go_on(session_id, "two")
    before = load_history(session_id).to_input()

    whole, first_turn = fork(session_id), fork(session_id, at=1)
    today.go_on(load_history(whole).session_id, "after all")
    texts = sent(model)
    today.go_on(load_history(first_turn).session_id, "after one")

    assert texts[-1] == "after all"
    assert [text for text in texts if text in ("one", "two")] == ["one", "two"]
    assert "two" not in sent(model)
    assert sent(model)[-1] == "after one"
    assert load_history(session_id).to_input() == before
    with today.app_server() as server:
        assert len(listed(server)) == 3


def test_what_codex_forks_by_reference_is_sent_to_a_model_as_codex_sends_it(today: Codex, model: Model) -> None:
    model.answers = [[called("exec_command", {"cmd": "echo hello"}, "call_1")]]
    session_id = theirs(today, "one")
    with today.app_server() as server:
        forked = server.call("thread/fork", {"threadId": session_id})["thread"]["id"]
    assert load_history(forked).inherited

    loaded = load_history(forked).to_input()
    today.go_on(forked, "and on")

    assert conversation(loaded) == conversation(model.received[-1]["input"])[: len(conversation(loaded))]
    assert [item["type"] for item in conversation(loaded)].count("function_call_output") == 1


@pytest.mark.parametrize("record", [ours, theirs])
def test_what_is_compressed_here_is_gone_on_with_there_and_read_here_again(
    today: Codex, model: Model, record: Any
) -> None:
    session_id = record(today, "one")
    compressed = compress(session_id, min_age=0)
    with today.app_server() as server:
        assert session_id in listed(server)

    today.go_on(session_id, "two")

    assert not compressed.exists()
    assert sent(model)[-1] == "two"
    assert [turn.prompt for turn in load_history(session_id).turns] == ["one", "two"]


def test_an_archived_and_compressed_session_comes_back_from_either(today: Codex) -> None:
    session_id = ours(today, "one")
    archive(session_id)
    compress(session_id, min_age=0)

    with today.app_server() as server:
        assert session_id in listed(server, archived=True)
        server.call("thread/unarchive", {"threadId": session_id})
    decompress(session_id)

    assert [turn.prompt for turn in load_history(session_id).turns] == ["one"]


def test_a_deleted_session_is_gone_there_and_comes_back(today: Codex, model: Model) -> None:
    session_id = theirs(today, "one")
    with today.app_server() as server:
        listed(server)
        delete(session_id)
        assert session_id not in listed(server)

        path = restore(session_id)
        assert listed(server)[session_id]["path"] == str(path)
    today.go_on(session_id, "two")

    assert sent(model)[-1] == "two"


def test_what_codex_deletes_is_gone_here(today: Codex, home: Path) -> None:
    session_id = ours(today, "one")
    rename_session(session_id, "x")
    with today.app_server() as server:
        listed(server)
        server.call("thread/delete", {"threadId": session_id})

    assert list_sessions().items == ()
    assert session_names() == {}


@pytest.mark.parametrize("is_archived", [False, True])
def test_what_codex_compresses_is_read_here_and_gone_on_with(today: Codex, model: Model, is_archived: bool) -> None:
    session_id = ours(today, "one " + "x" * 5000)
    path = archive(session_id) if is_archived else find(session_id)
    os.utime(path, (0, time.time() - 30 * 86_400))
    config = today.home / "config.toml"
    config.write_text(f"{config.read_text()}\n[features]\nlocal_thread_store_compression = true\n")
    compressed = path.with_name(f"{path.name}.zst")
    with today.app_server() as server:
        listed(server)
        deadline = time.monotonic() + 30
        while path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert compressed.exists()

    assert [len(turn.prompt or "") for turn in load_history(session_id).turns] == [5004]
    (item,) = list_sessions(archived=is_archived).items
    assert (item.path, item.problem) == (compressed, None)

    decompress(session_id)
    if is_archived:
        take_out(session_id)
    with Recorder.resume(session_id) as recorder:
        recorder.user_message("two")
    today.go_on(session_id, "three")
    assert sent(model)[-2:] == ["two", "three"]


@pytest.mark.promise("moved")
def test_a_session_that_a_codex_without_locks_archives_while_we_record_it_is_followed(
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


def test_todays_codex_does_not_archive_a_session_while_we_record_it(today: Codex) -> None:
    with Recorder(home=today.home, cwd=today.cwd, source="cli") as recorder:
        recorder.user_message("before")
        recorder.flush()
        with today.app_server() as server, pytest.raises(AssertionError, match="already has an active writer"):
            server.call("thread/archive", {"threadId": recorder.session_id})

        assert recorder.path.exists()
