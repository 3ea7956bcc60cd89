"""
The SDK of Google, recorded by the event hooks of its HTTP client.
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("google.genai", reason="google-genai is not installed")
pytest.importorskip("httpx", reason="httpx is not installed")

import httpx
import httpx2
from google import genai
from loopback import TEXT, Answer, ModelServer

import rollout
from rollout import Recorder
from rollout.adapters.http import watch
from rollout.dialects import dialect_for
from tests.adapters.apis import events_in, items_in, only

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "frameworks" / "http.md").read_text()
RETRY = {"attempts": 3, "initial_delay": 0.01, "max_delay": 0.01, "http_status_codes": [429, 500]}
TOOL = {"function_declarations": [{"name": "get_weather", "parameters": {"type": "object"}}]}

each_client = pytest.mark.parametrize("http", [httpx, httpx2], ids=["httpx", "httpx2"])
each_way = pytest.mark.parametrize("is_streamed", [False, True], ids=["plain", "streamed"])
both_clients = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


class Agent:
    """
    A client of the SDK with an HTTP client of the caller, and a chat.
    """

    def __init__(self, server: ModelServer, *, http: Any = httpx2, is_async: bool = False, **settings: Any) -> None:
        self.loop = asyncio.new_event_loop() if is_async else None
        self.http = http.AsyncClient() if is_async else http.Client()
        name = "httpx_async_client" if is_async else "httpx_client"
        options = {"base_url": server.url, name: self.http, **settings}
        client = genai.Client(api_key="very-secret-key", http_options=options)
        self.client = client.aio if is_async else client

    def run(self, result: Any) -> Any:
        return result if self.loop is None else self.loop.run_until_complete(result)

    def close(self) -> None:
        if self.http.is_closed:
            return
        self.run(self.http.close() if self.loop is None else self.http.aclose())
        if self.loop is not None:
            self.run(self.loop.shutdown_asyncgens())
            self.loop.close()

    def chat(self, **config: Any) -> Any:
        return self.client.chats.create(model="gemini-x", config=config)

    def ask(self, chat: Any, text: str, *, is_streamed: bool = False) -> str:
        if not is_streamed:
            return str(self.run(chat.send_message(text)).text)
        if self.loop is None:
            return "".join(chunk.text or "" for chunk in chat.send_message_stream(text))

        async def read() -> str:
            return "".join([chunk.text or "" async for chunk in await chat.send_message_stream(text)])

        return str(self.run(read()))


@pytest.fixture
def agent(server: ModelServer) -> Iterator[Any]:
    """
    Return a function that makes an agent; the end of the test closes it, before the server.
    """
    made: list[Agent] = []

    def agent(own: ModelServer = server, **settings: Any) -> Agent:
        made.append(Agent(own, **settings))
        return made[-1]

    yield agent
    for own in made:
        own.close()


def seen(server: ModelServer, at: int) -> tuple[list[Any], list[Any]]:
    """
    Return the items that the server received in a request, and those that it sent.
    """
    path, body = server.requests[at]
    dialect = dialect_for(path)
    assert dialect is not None
    return dialect.read_request(body).items, dialect.read_reply(server.replies[at]).items


def get_weather(city: str) -> str:
    """
    Return the weather of a city.
    """
    return f"sunny in {city}"


def fail(city: str) -> str:
    """
    Return the weather of a city.
    """
    raise ValueError(f"no weather in {city}")


@each_client
@both_clients
@each_way
class TestEachWay:
    def test_a_function_that_the_sdk_calls_is_recorded(
        self, http: Any, is_async: bool, is_streamed: bool, server: ModelServer, agent: Any
    ) -> None:
        own = agent(http=http, is_async=is_async)
        with watch(own.http) as sessions:
            chat = own.chat(tools=[get_weather], system_instruction="Be short.")
            assert own.ask(chat, "What is the weather?", is_streamed=is_streamed) == TEXT
            assert own.ask(chat, "And tomorrow?", is_streamed=is_streamed) == TEXT

        path = only(sessions)
        asked, called = seen(server, 0)
        context, answered = seen(server, 1)
        later, last = seen(server, 2)
        assert items_in(path) == [*asked, *called, context[-1], *answered, later[-1], *last]
        assert [item["type"] for item in called] == ["reasoning", "function_call"]
        assert context[-1]["output"] == "sunny in Paris"
        assert context[-1]["call_id"] == called[-1]["call_id"]
        assert [turn.prompt for turn in rollout.load_history(path).turns] == ["What is the weather?", "And tomorrow?"]
        assert sessions.problems == {}

    def test_model_usage_and_instructions_are_recorded_and_no_key(
        self, http: Any, is_async: bool, is_streamed: bool, agent: Any, home: Path
    ) -> None:
        own = agent(http=http, is_async=is_async, headers={"x-own": "header-secret"})
        with watch(own.http) as sessions:
            chat = own.chat(system_instruction="Be short.", thinking_config={"thinking_level": "HIGH"})
            own.ask(chat, "Hello", is_streamed=is_streamed)

        (context,) = events_in(only(sessions), "turn_context")
        assert [context[name] for name in ("model", "effort", "user_instructions")] == ["gemini-x", "high", "Be short."]
        (count,) = events_in(only(sessions), "token_count")
        expected = {"input_tokens": 120, "cached_input_tokens": 40, "output_tokens": 15, "reasoning_output_tokens": 5}
        assert count["info"]["last_token_usage"].items() >= expected.items()
        files = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
        assert not any(b"secret" in text for text in files)

    def test_parallel_calls_are_recorded(self, http: Any, is_async: bool, is_streamed: bool, agent: Any) -> None:
        calls = [("get_weather", {"city": city}) for city in ("Paris", "Zürich")]
        with ModelServer([Answer(calls=calls), Answer(TEXT)]) as server:
            own = agent(server, http=http, is_async=is_async)
            with watch(own.http) as sessions:
                own.ask(own.chat(tools=[get_weather]), "What is the weather?", is_streamed=is_streamed)
            own.close()

        found = items_in(only(sessions))
        outputs = [item["output"] for item in found if item["type"] == "function_call_output"]
        assert outputs == ["sunny in Paris", "sunny in Zürich"]


@both_clients
class TestErrors:
    def test_retries_of_the_sdk_are_one_conversation(self, is_async: bool, agent: Any) -> None:
        with ModelServer([Answer(status=429, text="slow down"), Answer(status=500), Answer("Yes")]) as server:
            own = agent(server, is_async=is_async, retry_options=RETRY)
            with watch(own.http) as sessions:
                assert own.ask(own.chat(), "Hello") == "Yes"
            own.close()

        path = only(sessions)
        errors = [event["message"] for event in events_in(path, "error")]
        assert [text[:29] for text in errors] == ["RuntimeError: HTTP status 429", "RuntimeError: HTTP status 500"]
        assert "slow down" in errors[0]
        assert [item["role"] for item in items_in(path)] == ["user", "assistant"]
        assert len(events_in(path, "task_complete")) == 1

    def test_retries_of_the_sdk_after_a_timeout_are_one_conversation(self, is_async: bool, agent: Any) -> None:
        with ModelServer([Answer(delay=0.4), Answer("Yes")]) as server:
            own = agent(server, is_async=is_async, retry_options=RETRY, timeout=200)
            with watch(own.http) as sessions:
                assert own.ask(own.chat(), "Hello") == "Yes"
            own.close()

        (error,) = events_in(only(sessions), "error")
        assert error["message"].startswith("ReadTimeout")
        assert [item["role"] for item in items_in(only(sessions))] == ["user", "assistant"]

    @each_way
    def test_an_error_that_reaches_the_program_is_recorded(self, is_streamed: bool, is_async: bool, agent: Any) -> None:
        with ModelServer([Answer(status=429, text="slow down")]) as server:
            own = agent(server, is_async=is_async)
            with watch(own.http) as sessions, pytest.raises(genai.errors.APIError, match="slow down"):
                own.ask(own.chat(), "Hello", is_streamed=is_streamed)
            own.close()

        (error,) = events_in(only(sessions), "error")
        assert "HTTP status 429" in error["message"]
        assert [item["role"] for item in items_in(only(sessions))] == ["user"]

    def test_an_error_of_a_function_is_its_output(self, is_async: bool, server: ModelServer, agent: Any) -> None:
        own = agent(is_async=is_async)
        with watch(own.http) as sessions:
            own.ask(own.chat(tools=[fail]), "What is the weather?")

        (output,) = [item for item in items_in(only(sessions)) if item["type"] == "function_call_output"]
        assert "no weather in Paris" in str(output["output"])

    def test_a_cut_stream_is_recorded_as_far_as_it_came(self, is_async: bool, agent: Any) -> None:
        with ModelServer([Answer("It is sunny. " * 20, cut_after=4)]) as server:
            own = agent(server, is_async=is_async)
            with watch(own.http) as sessions, pytest.raises(httpx2.RemoteProtocolError):
                own.ask(own.chat(), "Hello", is_streamed=True)
            own.close()

        _, answer = items_in(only(sessions))
        text = answer["content"][0]["text"]
        assert 0 < len(text) < len("It is sunny. " * 20)
        assert ("It is sunny. " * 20).startswith(text)
        assert sessions.problems == {}

    def test_a_fault_of_recording_does_not_reach_the_program(
        self, is_async: bool, server: ModelServer, agent: Any
    ) -> None:
        def redact(value: Any) -> Any:
            raise RuntimeError("redact fails")

        own = agent(is_async=is_async)
        with watch(own.http, redact=redact) as sessions:
            assert own.ask(own.chat(), "Hello") == TEXT

        assert all("redact fails" in text for text in sessions.problems)
        assert sum(sessions.problems.values()) == 2


@both_clients
def test_a_stream_that_is_dropped_is_recorded_as_far_as_it_came(is_async: bool, agent: Any) -> None:
    with ModelServer([Answer("It is sunny. " * 20)]) as server:
        own = agent(server, is_async=is_async)
        with watch(own.http) as sessions:
            made = own.run(own.client.models.generate_content_stream(model="g", contents="Hello"))
            for _ in range(3):
                next(made) if own.loop is None else own.run(made.__anext__())
            del made
            gc.collect()
            own.run(own.loop.shutdown_asyncgens() if own.loop else None)
        own.close()

    _, answer = items_in(only(sessions))
    assert 0 < len(answer["content"][0]["text"]) < len("It is sunny. " * 20)
    assert sessions.problems == {}


def test_two_threads_have_two_sessions(agent: Any) -> None:
    with ModelServer(lambda path, body: Answer(f"Answer to {body['contents'][-1]['parts'][0]['text']}")) as server:
        own = agent(server)
        barrier = threading.Barrier(2, timeout=10)

        def converse(name: str) -> None:
            chat = own.chat()
            for number in range(3):
                barrier.wait()
                own.ask(chat, f"{name} {number}")

        with watch(own.http) as sessions, ThreadPoolExecutor(2) as pool:
            list(pool.map(converse, ["one", "two"]))
        own.close()

    found = [
        [item["content"][0]["text"] for item in items_in(path) if item["role"] == "user"]
        for path in sessions.sessions.values()
    ]
    assert sorted(found) == [[f"{name} {number}" for number in range(3)] for name in ("one", "two")]


def test_a_recorder_of_the_caller_is_used_and_stays_open(agent: Any, recorder: Recorder) -> None:
    own = agent()
    with watch(own.http, recorder):
        own.ask(own.chat(), "Hello")
    recorder.user_message("Still open")
    recorder.close()

    assert [item["role"] for item in items_in(recorder.path)] == ["user", "assistant", "user"]


def test_the_async_client_that_the_sdk_makes_itself_is_not_recorded(server: ModelServer) -> None:
    # A limit that the page states: its event hooks are not those of the clients inside.
    client = genai.Client(api_key="none", http_options={"base_url": server.url})
    hidden = client._api_client._async_httpx_client

    async def ask() -> None:
        await client.aio.models.generate_content(model="g", contents="Hello")
        await client.aio.aclose()

    with watch(hidden) as sessions:
        asyncio.run(ask())

    assert len(server.requests) == 1
    assert sessions.sessions == {}


@pytest.mark.parametrize("number", [0, 1])
def test_the_code_of_the_page_records(number: int, server: ModelServer, home: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[number]

    output = run_program(
        "-c",
        code,
        OPENAI_BASE_URL=f"{server.url}/v1",
        OPENAI_API_KEY="none",
        GOOGLE_GEMINI_BASE_URL=server.url,
        GEMINI_API_KEY="none",
    )

    answer, path = output.splitlines()
    assert answer == TEXT
    assert [item["role"] for item in items_in(Path(path))] == ["user", "assistant"]


def test_the_example_runs_without_a_key_and_is_recorded(home: Path) -> None:
    output = run_program(ROOT / "examples" / "google_genai_agent.py", "--home", home)

    answer, *_, path = output.splitlines()
    assert answer == TEXT
    kinds = [item["type"] for item in rollout.load_history(Path(path)).to_input()]
    assert kinds == ["message", "reasoning", "function_call", "function_call_output", "message"]


def run_program(*command: object, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
