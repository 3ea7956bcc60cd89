"""
The real Codex goes on with sessions that `instrument` recorded, of each API.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from agent_session import MODES, Mode
from driver import Codex
from model import Model
from weather import ANSWER, OUTPUT, PROMPT, each_api, record_weather, weather_server

from rollout import Recorder, list_sessions, load_history, repair, verify
from rollout.codec import encode_item
from tests.adapters.apis import Api

Said = list[tuple[str, Any]]

each_version = pytest.mark.parametrize("version", ["0.42.0", "0.169.0"])


def received(model: Model) -> Said:
    """
    Return what the model received in its only request: texts, reasoning, calls and outputs; nothing that Codex added.
    """
    (request,) = model.received
    said: Said = []
    for item in request["input"]:
        if item["type"] == "message" and item["role"] != "developer":
            texts = [part["text"] for part in item["content"]]
            said += [(item["role"], text) for text in texts if not text.startswith("<environment_context>")]
        elif item["type"] == "reasoning":
            said += [("reasoning", part["text"]) for part in item["summary"]]
        elif item["type"] == "function_call":
            said.append(("call", (item["call_id"], item["name"], json.loads(item["arguments"]))))
        elif item["type"] == "function_call_output":
            said.append(("output", (item["call_id"], item["output"])))
    return said


@each_api
@each_version
def test_codex_continues_a_session_of_an_sdk_with_its_whole_history(
    api: Api, version: str, start_codex: Callable[[str], Codex], model: Model
) -> None:
    codex = start_codex(version)
    with weather_server() as server:
        path = record_weather(api, server)
        call_id = api.call_id(server.replies[0])

    codex.resume(load_history(path).session_id, "And tomorrow?")

    assert received(model) == [
        ("user", PROMPT),
        ("reasoning", "I need the tool."),
        ("call", (call_id, "get_weather", {"city": "Paris"})),
        ("output", (call_id, OUTPUT)),
        ("assistant", ANSWER),
        ("user", "And tomorrow?"),
    ]


@each_api
@each_version
def test_the_part_of_the_sdk_and_that_of_codex_are_one_session(
    api: Api, version: str, start_codex: Callable[[str], Codex], model: Model
) -> None:
    codex = start_codex(version)
    with weather_server() as server:
        path = record_weather(api, server)

    codex.resume(load_history(path).session_id, "And tomorrow?")

    history = load_history(path)
    (listed,) = list_sessions(home=codex.home).items
    turns = [turn for turn in history.document().turns if turn.prompt]
    said = [[(item.kind, item.text) for item in turn.items if item.kind in ("user", "agent")] for turn in turns]
    calls = [item.call for turn in turns for item in turn.items if item.call is not None]
    assert codex.rollouts() == {path} == {listed.path}
    assert verify(path).is_whole
    assert said == [[("user", PROMPT), ("agent", ANSWER)], [("user", "And tomorrow?"), ("agent", "answer 1")]]
    assert [(call.tool, call.output, call.is_failed) for call in calls] == [("get_weather", OUTPUT, False)]


@each_version
@pytest.mark.parametrize("is_repaired", [False, True], ids=["recorded", "written as given and repaired"])
def test_items_in_the_usual_forms_of_sdks_reach_the_model(
    version: str, is_repaired: bool, start_codex: Callable[[str], Codex], model: Model
) -> None:
    codex = start_codex(version)
    items: list[dict[str, Any]] = [
        {"role": "user", "content": "hi"},
        {"type": "message", "role": "user", "content": "Where is the cache?"},
        {"type": "function_call", "name": "f", "arguments": {"a": 1}, "call_id": "c9"},
        {"type": "function_call_output", "call_id": "c9", "output": 42},
        {"role": "assistant", "content": [{"type": "text", "text": "In /tmp."}]},
    ]
    with Recorder(home=codex.home, cwd=codex.cwd) as rec:
        rec.record({"type": "event_msg", "payload": {"type": "user_message", "message": "hi"}})
        for item in items:
            as_given = {"type": "response_item", "payload": {"type": "message", **item}}
            rec.record(as_given if is_repaired else item)
    if is_repaired:
        repair(rec.path).copy.replace(rec.path)

    codex.resume(rec.session_id, "go on")

    assert verify(rec.path).is_whole
    assert received(model) == [
        ("user", "hi"),
        ("user", "Where is the cache?"),
        ("call", ("c9", "f", {"a": 1})),
        ("output", ("c9", "42")),
        ("assistant", "In /tmp."),
        ("user", "go on"),
    ]


UNREAD: list[dict[str, Any]] = [
    {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "unread refusal"}]},
    {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "unread"}, {"type": "input_file", "file_id": "unread file"}],
    },
    {"type": "mcp_call", "id": "m", "name": "unread call", "arguments": "{}", "server_label": "s"},
]


@pytest.mark.parametrize("mode", MODES)
def test_codex_passes_over_lines_with_refusals_files_and_unknown_items_and_continues_with_all_others(
    mode: Mode, codex: Codex, model: Model
) -> None:
    with Recorder(home=codex.home, cwd=codex.cwd, history_mode=mode) as rec:
        rec.user_message("before")
    # Written without the recorder, which may write another form of them.
    begin = len(load_history(rec.path).lines)
    with rec.path.open("ab") as file:
        for place, item in enumerate(UNREAD, begin):
            file.write(encode_item("response_item", item, 0, place if mode == "paginated" else None))
    with Recorder.resume(rec.path) as rec:
        rec.agent_message("after")

    codex.resume(rec.session_id, "go on")

    assert received(model) == [("user", "before"), ("assistant", "after"), ("user", "go on")]
    payloads = [line.payload for line in load_history(rec.path).lines]
    assert [item for item in payloads if item in UNREAD] == UNREAD
