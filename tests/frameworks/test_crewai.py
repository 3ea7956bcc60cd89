"""
What `rollout.instrument` and `LiteLLMHook` record of the real CrewAI: the table of docs/frameworks/litellm.md.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import rollout
from rollout.dialects import dialect_for
from tests.adapters.apis import Answer, ModelServer, events_in, items_in, only

pytest.importorskip("crewai", reason="crewai is not installed")

import crewai
from crewai.tools import tool

from rollout.adapters.litellm import LiteLLMHook

Json = dict[str, Any]

PAGE = Path(__file__).parent.parent.parent / "docs" / "frameworks" / "litellm.md"
KEY = "sk-very-secret-key"
TEXT = "It is sunny in Paris, 21 °C."
PARALLEL = Answer(calls=[("get_weather", {"city": city}) for city in ("Paris", "Rome")], reasoning="Two cities.")
FINAL = Answer(f"Thought: I know.\nFinal Answer: {TEXT}")

# CrewAI's own client, with both APIs, and that of LiteLLM; each with and without asyncio.
WAYS: list[Json] = [{"api": "completions"}, {"api": "responses"}, {"is_litellm": True}]
ANTHROPIC: Json = {"model": "anthropic/claude-sonnet-4-5"}
each_way = pytest.mark.parametrize("way", WAYS, ids=["own-chat", "own-responses", "litellm"])
each_call = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


@tool("get_weather")
def get_weather(city: str) -> str:
    """
    Return the weather of a city.
    """
    if city == "Rome":
        raise ValueError("no weather in Rome")
    return f"sunny in {city}"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CREWAI_STORAGE_DIR", str(tmp_path / "crewai"))
    return tmp_path / "home"


def make_crew(server: ModelServer, tasks: int = 1, tools: Any = (get_weather,), **settings: Any) -> Any:
    model = crewai.LLM(**{"model": "openai/gpt-4o", "base_url": f"{server.url}/v1", "api_key": KEY, **settings})
    agents, work = [], []
    for number in range(tasks):
        own = {"role": f"reporter {number}", "goal": "tell the weather", "backstory": "none"}
        agents.append(crewai.Agent(**own, llm=model, tools=list(tools)))
        work.append(crewai.Task(description=f"Weather {number}?", expected_output="A sentence.", agent=agents[-1]))
    return crewai.Crew(agents=agents, tasks=work)


def run(crew: Any, *, is_async: bool = False) -> str:
    return str((asyncio.run(crew.akickoff()) if is_async else crew.kickoff()).raw)


def exchanged(server: ModelServer, at: int) -> tuple[list[Json], list[Json]]:
    """
    Return the items that the server received in a request, and those that it sent.
    """
    path, body = server.requests[at]
    dialect = dialect_for(path)
    assert dialect is not None
    return dialect.read_request(body).items, dialect.read_reply(server.replies[at]).items


def asked_at(server: ModelServer, path: str) -> list[int]:
    """
    Return the places of the requests with a path.
    """
    return [at for at, request in enumerate(server.requests) if request[0] == path]


def kinds_in(path: Path) -> list[str]:
    return [item["type"] for item in items_in(path) if item.get("role") != "system"]


@each_way
@each_call
class TestTable:
    def test_the_items_are_those_that_the_server_saw_and_sent(self, way: Json, is_async: bool) -> None:
        with ModelServer([PARALLEL, Answer(TEXT)]) as server, rollout.instrument() as sessions:
            assert run(make_crew(server, **way), is_async=is_async) == TEXT

        asked, called = exchanged(server, 0)
        context, text = exchanged(server, 1)
        assert len(server.requests) == 2
        assert items_in(only(sessions)) == [*asked, *called, *context[-2:], *text]
        assert [item["type"] for item in called] == ["reasoning", "function_call", "function_call"]
        assert sessions.problems == {}

    def test_usage_model_and_tools_are_recorded(self, way: Json, is_async: bool) -> None:
        with ModelServer([Answer(TEXT)]) as server, rollout.instrument() as sessions:
            run(make_crew(server, **way), is_async=is_async)

        (count,) = events_in(only(sessions), "token_count")
        usage = count["info"]["last_token_usage"]
        assert usage["input_tokens"] == 120
        assert usage["cached_input_tokens"] == 40
        assert usage["output_tokens"] == 15
        assert usage["reasoning_output_tokens"] == 5
        (context,) = events_in(only(sessions), "turn_context")
        assert context["model"] == "gpt-4o"
        assert "get_weather" in json.dumps(context["tools"])
        assert KEY not in only(sessions).read_text()

    def test_an_error_of_the_model_is_recorded(self, way: Json, is_async: bool) -> None:
        answers = [Answer(status=400)] * 20
        refused = pytest.raises(Exception, match="400")
        with ModelServer(answers) as server, rollout.instrument() as sessions, refused:
            run(make_crew(server, **way), is_async=is_async)

        errors = events_in(only(sessions), "error")
        assert len(errors) == len(server.requests)
        assert all("400" in error["message"] for error in errors)

    def test_an_error_of_a_tool_is_a_text_and_no_failed_call(self, way: Json, is_async: bool) -> None:
        with ModelServer([PARALLEL, Answer(TEXT)]) as server, rollout.instrument() as sessions:
            run(make_crew(server, **way), is_async=is_async)

        (*_, output) = [item["output"] for item in items_in(only(sessions)) if "output" in item]
        assert output == "Error executing tool: no weather in Rome"
        assert [end["result"].get("Err") for end in events_in(only(sessions), "mcp_tool_call_end")] == [None, None]

    def test_a_duration_is_the_time_from_the_answer_to_the_next_request(self, way: Json, is_async: bool) -> None:
        @tool("get_weather")
        def slow(city: str) -> str:
            """
            Return the weather of a city.
            """
            time.sleep(0.2)
            return "sunny"

        with ModelServer() as server, rollout.instrument() as sessions:
            run(make_crew(server, tools=[slow], **way), is_async=is_async)

        (end,) = events_in(only(sessions), "mcp_tool_call_end")
        assert end["duration"]["secs"] + end["duration"]["nanos"] / 1e9 >= 0.2

    def test_each_task_is_a_session(self, way: Json, is_async: bool, server: ModelServer) -> None:
        with rollout.instrument() as sessions:
            run(make_crew(server, tasks=2, **way), is_async=is_async)

        prompts = [rollout.load_history(path).turns[0].prompt for path in sessions.sessions.values()]
        assert ["Weather 0?" in prompts[0], "Weather 1?" in prompts[1]] == [True, True]
        assert len(prompts) == 2

    def test_the_hook_of_litellm_and_instrument_together_record_once(
        self, way: Json, is_async: bool, server: ModelServer, tmp_path: Path
    ) -> None:
        with rollout.instrument() as sessions, LiteLLMHook(home=tmp_path / "other") as hook:
            run(make_crew(server, **way), is_async=is_async)

        counts = [len(sessions.sessions), len(hook.sessions)]
        assert counts == ([0, 1] if "is_litellm" in way else [1, 0])
        (path,) = [*sessions.sessions.values(), *hook.sessions.values()]
        assert kinds_in(path) == ["message", "reasoning", "function_call", "function_call_output", "message"]


@pytest.mark.parametrize("way", [WAYS[0], WAYS[2]], ids=["own", "litellm"])
def test_a_stream_is_recorded(way: Json) -> None:
    with ModelServer([Answer(TEXT)]) as server, rollout.instrument() as sessions:
        run(make_crew(server, tools=[], stream=True, **way))

    asked, text = exchanged(server, 0)
    assert server.requests[0][1]["stream"] is True
    assert items_in(only(sessions)) == [*asked, *text]
    assert len(events_in(only(sessions), "token_count")) == 1


def test_of_streams_by_litellm_crewai_loses_the_ids_of_calls(server: ModelServer) -> None:
    with rollout.instrument() as sessions:
        run(make_crew(server, stream=True, is_litellm=True))

    (call,) = server.requests[1][1]["messages"][2]["tool_calls"]
    assert call["id"] is None
    calls = [item["call_id"] for item in items_in(only(sessions)) if item["type"] == "function_call"]
    assert [call_id.startswith("made_") for call_id in calls] == [False, True]


class TestAnthropic:
    """
    CrewAI's own client of Anthropic's API.
    """

    @each_call
    def test_its_items_are_those_that_the_server_saw_and_sent(self, is_async: bool) -> None:
        with ModelServer([PARALLEL, Answer(TEXT)]) as server, rollout.instrument() as sessions:
            assert run(make_crew(server, **ANTHROPIC, base_url=server.url), is_async=is_async) == TEXT

        # Between them, the client asks for numbers of tokens.
        (asked, called), (context, text) = [exchanged(server, at) for at in asked_at(server, "/v1/messages")]
        assert items_in(only(sessions)) == [*asked, *called, *context[-2:], *text]
        assert [item["type"] for item in called] == ["reasoning", "function_call", "function_call"]
        counts = events_in(only(sessions), "token_count")
        assert [count["info"]["last_token_usage"]["input_tokens"] for count in counts] == [120, 120]
        assert KEY not in only(sessions).read_text()
        assert sessions.problems == {}

    def test_its_stream_is_recorded(self) -> None:
        with ModelServer([Answer(TEXT)]) as server, rollout.instrument() as sessions:
            run(make_crew(server, tools=[], stream=True, **ANTHROPIC, base_url=server.url))

        (at,) = asked_at(server, "/v1/messages")
        asked, text = exchanged(server, at)
        assert server.requests[at][1]["stream"] is True
        assert items_in(only(sessions)) == [*asked, *text]


@each_call
def test_models_of_other_providers_are_recorded_by_the_hook_of_litellm(is_async: bool, tmp_path: Path) -> None:
    rec = rollout.Recorder(home=tmp_path)
    with ModelServer([FINAL]) as server, rollout.instrument() as sessions, rec, LiteLLMHook(rec):
        run(make_crew(server, model="mistral/mistral-large", tools=[]), is_async=is_async)

    assert sessions.sessions == {}
    asked, text = exchanged(server, 0)
    assert items_in(rec.path) == [*asked, *text]


def test_crews_in_threads_have_sessions_of_their_own(server: ModelServer) -> None:
    with rollout.instrument() as sessions, ThreadPoolExecutor(3) as pool:
        assert list(pool.map(run, [make_crew(server) for _ in range(3)])) == [TEXT] * 3

    kinds = ["message", "reasoning", "function_call", "function_call_output", "message"]
    assert [kinds_in(path) for path in sessions.sessions.values()] == [kinds] * 3
    assert sessions.problems == {}


def test_a_fault_of_recording_does_not_reach_the_crew_and_is_counted(server: ModelServer) -> None:
    def redact(value: Any) -> Any:
        raise ValueError("no redaction")

    with rollout.instrument(redact=redact) as sessions:
        assert run(make_crew(server)) == TEXT

    assert set(sessions.problems) == {
        "a request could not be recorded: ValueError: no redaction",
        "an answer could not be recorded: ValueError: no redaction",
    }


def test_the_code_of_the_page_runs(
    server: ModelServer, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = [block for block in blocks if "crewai" in block]

    exec(compile(code, "litellm.md", "exec"), {})  # noqa: S102 -- the code of the page

    (path,) = home.rglob("*.jsonl")
    assert str(path) in capsys.readouterr().out
    assert kinds_in(path) == ["message", "reasoning", "function_call", "function_call_output", "message"]
