"""
What `LiteLLMHook` and `rollout.instrument` record of the real LiteLLM.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import rollout
from rollout.dialects import dialect_for
from tests.adapters.apis import Answer, ModelServer, events_in, items_in, only

pytest.importorskip("litellm", reason="litellm is not installed")

import litellm
import openai
from litellm import completion as completion_by_name

from rollout.adapters.litellm import LiteLLMHook

Json = dict[str, Any]

ROOT = Path(__file__).parent.parent.parent
KEY = "sk-very-secret-key"
TEXT = "It is sunny in Paris, 21 °C."
SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL: Json = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
RESPONSES_TOOL: Json = {"type": "function", "name": "get_weather", "parameters": SCHEMA}
PARALLEL = Answer(calls=[("get_weather", {"city": city}) for city in ("Paris", "Rome")], reasoning="Two cities.")
BACKTICKS = re.compile(r"```python\n(.*?)```", re.DOTALL)

each_way = pytest.mark.parametrize(
    ("is_streamed", "is_async"),
    [(is_streamed, is_async) for is_streamed in (False, True) for is_async in (False, True)],
    ids=["plain", "plain-async", "streamed", "streamed-async"],
)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "suppress_debug_info", True)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def record(home: Path) -> Iterator[Callable[..., LiteLLMHook]]:
    """
    Return a function that makes a hook; the end of the test closes it.
    """
    made: list[LiteLLMHook] = []

    def record(*args: Any, **settings: Any) -> LiteLLMHook:
        made.append(LiteLLMHook(*args, **{"home": home, **settings}))
        return made[-1]

    yield record
    for hook in reversed(made):
        hook.close()


class Client:
    """
    LiteLLM with a provider whose address is a server, in one of the four ways.
    """

    def __init__(
        self, server: ModelServer, provider: str = "openai", *, is_streamed: bool = False, is_async: bool = False
    ) -> None:
        url = server.url if provider == "anthropic" else f"{server.url}/v1"
        self.settings: Json = {"model": f"{provider}/m", "api_base": url, "api_key": KEY, "max_retries": 0}
        self.is_streamed, self.is_async = is_streamed, is_async

    def ask(self, messages: Any, **more: Any) -> Any:
        """
        Return the message of the answer.
        """
        result = self.call("completion", messages=messages, **more)
        if self.is_streamed:
            result = litellm.stream_chunk_builder(result)
        return result.choices[0].message

    def call(self, name: str, **more: Any) -> Any:
        """
        Return the result of a function, of a stream its events.
        """
        arguments = {**self.settings, **({"stream": True} if self.is_streamed else {}), **more}
        if not self.is_async:
            result = getattr(litellm, name)(**arguments)
            return list(result) if self.is_streamed else result

        async def call() -> Any:
            result = await getattr(litellm, f"a{name}")(**arguments)
            return [event async for event in result] if self.is_streamed else result

        return asyncio.run(call())


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def output(call_id: str, text: str) -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def exchanged(server: ModelServer, at: int) -> tuple[list[Json], list[Json]]:
    """
    Return the items that the server received in a request, and those that it sent.
    """
    path, body = server.requests[at]
    dialect = dialect_for(path)
    assert dialect is not None
    return dialect.read_request(body).items, dialect.read_reply(server.replies[at]).items


def gist(items: list[Json]) -> list[tuple[Any, ...]]:
    """
    Return what items of two APIs have in common.
    """
    texts = {"message": "content", "reasoning": "summary"}
    return [
        ("".join(part["text"] for part in item[texts[item["type"]]]), item.get("role"))
        if item["type"] in texts
        else (item["type"], item["call_id"], item.get("output") or (item["name"], json.loads(item["arguments"])))
        for item in items
    ]


def texts_in(path: Path) -> list[str]:
    return [text for text, *_ in gist(items_in(path))]


@each_way
class TestEachWay:
    def test_the_items_are_those_that_the_server_saw_and_sent(
        self, is_streamed: bool, is_async: bool, record: Callable[..., LiteLLMHook]
    ) -> None:
        with ModelServer([PARALLEL, Answer(TEXT), Answer("Rain.")]) as server:
            client = Client(server, is_streamed=is_streamed, is_async=is_async)
            hook = record()
            messages: list[Any] = [{"role": "system", "content": "Be brief."}, user("What is the weather?")]

            messages.append(client.ask(messages, tools=[TOOL]))  # the object itself, as programs do
            messages += [output(call.id, f"sunny {call.id}") for call in messages[-1].tool_calls]
            messages.append(client.ask(messages, tools=[TOOL]))
            client.ask([*messages, user("And tomorrow?")], tools=[TOOL])
            hook.close()

        asked, called = exchanged(server, 0)
        context, text = exchanged(server, 1)
        last, bye = exchanged(server, 2)
        assert items_in(only(hook)) == [*asked, *called, *context[-2:], *text, last[-1], *bye]
        assert [item["type"] for item in called] == ["reasoning", "function_call", "function_call"]
        assert hook.problems == {}
        turns = rollout.load_history(only(hook)).turns
        assert [turn.prompt for turn in turns] == ["What is the weather?", "And tomorrow?"]
        assert len(events_in(only(hook), "task_complete")) == 2

    def test_another_provider_is_recorded_in_the_same_form(
        self, is_streamed: bool, is_async: bool, record: Callable[..., LiteLLMHook]
    ) -> None:
        with ModelServer([PARALLEL, Answer(TEXT)]) as server:
            client = Client(server, "anthropic", is_streamed=is_streamed, is_async=is_async)
            hook = record()
            messages: list[Any] = [user("What is the weather?")]

            messages.append(client.ask(messages, tools=[TOOL]))
            messages += [output(call.id, "sunny") for call in messages[-1].tool_calls]
            client.ask(messages, tools=[TOOL])
            hook.close()

        assert [path for path, _ in server.requests] == ["/v1/messages"] * 2
        asked, called = exchanged(server, 0)
        context, text = exchanged(server, 1)
        assert gist(items_in(only(hook))) == gist([*asked, *called, *context[-2:], *text])
        # The signature of the reasoning, without which the provider refuses to go on.
        assert "c2lnbmF0dXJl" in json.dumps(items_in(only(hook)))
        (count, _) = events_in(only(hook), "token_count")
        usage = count["info"]["last_token_usage"]
        assert usage.items() >= {"input_tokens": 120, "cached_input_tokens": 40, "output_tokens": 15}.items()
        assert hook.problems == {}

    def test_responses_are_recorded_and_continued(
        self, is_streamed: bool, is_async: bool, server: ModelServer, record: Callable[..., LiteLLMHook]
    ) -> None:
        client = Client(server, is_streamed=is_streamed, is_async=is_async)
        hook = record()

        result = client.call("responses", input="What is the weather?", tools=[RESPONSES_TOOL], instructions="Brief.")
        response = result[-1].response if is_streamed else result
        outputs = [{"type": "function_call_output", "call_id": response.output[-1].call_id, "output": "sunny"}]
        client.call("responses", input=outputs, previous_response_id=response.id, instructions="Brief.")
        hook.close()

        asked, called = exchanged(server, 0)
        context, text = exchanged(server, 1)
        assert gist(items_in(only(hook))) == gist([*asked, *called, *context, *text])
        (begun, *_) = events_in(only(hook), "turn_context")
        assert begun["user_instructions"] == "Brief."
        (count, _) = events_in(only(hook), "token_count")
        assert count["info"]["last_token_usage"]["reasoning_output_tokens"] == 5
        assert hook.problems == {}

    def test_usage_and_settings_are_those_of_the_request(
        self, is_streamed: bool, is_async: bool, server: ModelServer, record: Callable[..., LiteLLMHook]
    ) -> None:
        client = Client(server, is_streamed=is_streamed, is_async=is_async)
        hook = record()

        more: Json = {"stream_options": {"include_usage": True}} if is_streamed else {}
        client.ask([user("Hi")], temperature=0.5, extra_body={"own": 1}, tools=[TOOL], **more)
        hook.close()

        (count,) = events_in(only(hook), "token_count")
        usage = count["info"]["last_token_usage"]
        assert [usage[key] for key in ("input_tokens", "cached_input_tokens", "output_tokens")] == [120, 40, 15]
        assert usage["reasoning_output_tokens"] == 5
        (context,) = events_in(only(hook), "turn_context")
        assert context["model"] == "openai/m"
        assert context["settings"] == {"temperature": 0.5, "own": 1, **more}
        assert context["tools"] == [TOOL]

    def test_a_duration_is_the_time_from_the_answer_to_the_next_request(
        self, is_streamed: bool, is_async: bool, server: ModelServer, record: Callable[..., LiteLLMHook]
    ) -> None:
        client = Client(server, is_streamed=is_streamed, is_async=is_async)
        hook = record()

        message = client.ask([user("Hi")], tools=[TOOL])
        time.sleep(0.1)
        client.ask([user("Hi"), message, output(message.tool_calls[0].id, "sunny")], tools=[TOOL])
        hook.close()

        (end,) = events_in(only(hook), "mcp_tool_call_end")
        assert end["duration"]["secs"] + end["duration"]["nanos"] / 1e9 >= 0.1

    def test_an_error_of_the_model_is_recorded_and_the_retry_has_no_second_prompt(
        self, is_streamed: bool, is_async: bool, record: Callable[..., LiteLLMHook]
    ) -> None:
        with ModelServer([Answer(status=429), Answer(TEXT)]) as server:
            client = Client(server, is_streamed=is_streamed, is_async=is_async)
            hook = record()
            with pytest.raises(litellm.RateLimitError):
                client.ask([user("Hi")])
            client.ask([user("Hi")])
            hook.close()

        (error,) = events_in(only(hook), "error")
        assert "RateLimitError" in error["message"]
        assert texts_in(only(hook)) == ["Hi", TEXT]

    def test_retries_within_litellm_are_one_request(
        self, is_streamed: bool, is_async: bool, record: Callable[..., LiteLLMHook]
    ) -> None:
        with ModelServer([Answer(status=500), Answer(status=500), Answer(TEXT)]) as server:
            client = Client(server, is_streamed=is_streamed, is_async=is_async)
            hook = record()
            client.ask([user("Hi")], max_retries=2)
            hook.close()

        assert len(server.requests) == 3
        assert texts_in(only(hook)) == ["Hi", TEXT]
        assert events_in(only(hook), "error") == []

    def test_a_request_is_in_the_file_before_it_is_sent(
        self, is_streamed: bool, is_async: bool, tmp_path: Path, record: Callable[..., LiteLLMHook]
    ) -> None:
        seen: list[list[str]] = []
        with rollout.Recorder(home=tmp_path) as rec:

            def answer(path: str, body: Json) -> Answer:
                rec.flush()
                seen.append(texts_in(rec.path))
                return Answer(TEXT)

            with ModelServer(answer) as server:
                record(rec)
                Client(server, is_streamed=is_streamed, is_async=is_async).ask([user("Hi")])

        assert seen == [["Hi"]]

    def test_together_with_instrument_all_is_recorded_once(
        self, is_streamed: bool, is_async: bool, server: ModelServer, home: Path, record: Callable[..., LiteLLMHook]
    ) -> None:
        client = Client(server, is_streamed=is_streamed, is_async=is_async)
        with rollout.instrument(home=home / "other") as sessions:
            hook = record()
            client.ask([user("Hi")])
            hook.close()
            within = dict(sessions.sessions)
            client.ask([user("Hi again")])

        assert within == {}
        assert texts_in(only(hook)) == ["Hi", TEXT]
        # Without the hook, the request is one of the SDK.
        assert texts_in(only(sessions)) == ["Hi again", TEXT]

    def test_instrument_alone_records_the_sdk_of_openai_but_no_other_provider(
        self, is_streamed: bool, is_async: bool, server: ModelServer, home: Path
    ) -> None:
        with rollout.instrument(home=home) as sessions:
            for provider in ("openai", "anthropic"):
                client = Client(server, provider, is_streamed=is_streamed, is_async=is_async)
                client.ask([user(f"Hi {provider}")])
            Client(server, is_streamed=is_streamed, is_async=is_async).call("responses", input="Hi")

        assert texts_in(only(sessions)) == ["Hi openai", TEXT]
        assert [path for path, _ in server.requests] == ["/v1/chat/completions", "/v1/messages", "/v1/responses"]

    @pytest.mark.parametrize("cut_after", [0, 4])
    def test_a_broken_stream_is_recorded_as_far_as_it_came(
        self, is_streamed: bool, is_async: bool, cut_after: int, record: Callable[..., LiteLLMHook]
    ) -> None:
        with ModelServer([Answer("Long text " * 10, cut_after=cut_after), Answer(TEXT)]) as server:
            client = Client(server, is_streamed=is_streamed, is_async=is_async)
            hook = record()
            with pytest.raises(openai.APIError):
                client.ask([user("Hi")])
            client.ask([user("Hi")])
            hook.close()

        first, *parts, last = texts_in(only(hook))
        assert (first, last) == ("Hi", TEXT)
        assert all(part != "Long text " * 10 and part.startswith("Long") for part in parts)
        assert len(parts) == (1 if is_streamed and cut_after else 0)
        assert len(events_in(only(hook), "error")) == 1
        assert hook.problems == {}


class TestStreams:
    @pytest.mark.parametrize("end", ["closed", "dropped", "left", "at the end"])
    def test_an_abandoned_stream_is_recorded_as_far_as_it_came(
        self, end: str, record: Callable[..., LiteLLMHook]
    ) -> None:
        with ModelServer([Answer("Long text " * 10)]) as server:
            hook = record()
            stream = litellm.completion(**Client(server).settings, messages=[user("Hi")], stream=True)
            for _ in range(3):
                next(stream)
            if end == "closed":
                stream.close()
            elif end == "left":
                with stream:
                    pass
            elif end == "dropped":
                del stream
                gc.collect()
            hook.close()

        asked, part = texts_in(only(hook))
        assert asked == "Hi"
        assert ("Long text " * 10).startswith(part)
        assert len(part) > 5
        assert hook.problems == {}

    def test_an_abandoned_asynchronous_stream_is_recorded_as_far_as_it_came(
        self, record: Callable[..., LiteLLMHook]
    ) -> None:
        async def begin(server: ModelServer) -> None:
            stream = await litellm.acompletion(**Client(server).settings, messages=[user("Hi")], stream=True)
            await anext(stream)
            await anext(stream)
            await stream.aclose()

        with ModelServer([Answer("Long text " * 10)]) as server:
            hook = record()
            asyncio.run(begin(server))
            hook.close()

        assert len(texts_in(only(hook))) == 2

    def test_an_error_in_place_of_the_first_event_is_recorded(self, record: Callable[..., LiteLLMHook]) -> None:
        with ModelServer([Answer(status=500, cut_after=0)]) as server:
            hook = record()
            stream = litellm.completion(**Client(server).settings, messages=[user("Hi")], stream=True)
            with pytest.raises(openai.APIError):
                list(stream)
            hook.close()

        assert texts_in(only(hook)) == ["Hi"]
        assert len(events_in(only(hook), "error")) == 1

    def test_a_stream_is_of_the_class_that_programs_look_for(
        self, server: ModelServer, record: Callable[..., LiteLLMHook]
    ) -> None:
        settings = {**Client(server).settings, "messages": [user("Hi")], "stream": True}
        before = litellm.completion(**settings)
        record()

        stream = litellm.completion(**settings)

        assert isinstance(stream, litellm.CustomStreamWrapper)
        assert type(stream).__qualname__ == type(before).__qualname__
        assert [len(list(stream)), stream.custom_llm_provider] == [len(list(before)), "openai"]

    def test_a_damaged_chunk_does_not_reach_the_program_and_is_counted(
        self, server: ModelServer, record: Callable[..., LiteLLMHook]
    ) -> None:
        class Damaged:
            def model_dump(self, **_: Any) -> Json:
                raise ValueError("damaged")

        hook = record()
        stream = litellm.completion(**Client(server).settings, messages=[user("Hi")], stream=True)
        stream.chunks.append(Damaged())
        stream.close()

        assert list(hook.problems) == ["an answer could not be recorded: ValueError: damaged"]


class TestFunctions:
    def test_functions_that_were_imported_by_name_are_recorded_until_the_end(
        self, server: ModelServer, record: Callable[..., LiteLLMHook], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "no_module", types.SimpleNamespace(f=completion_by_name))
        before = completion_by_name
        hook = record()
        assert completion_by_name is litellm.completion is not before

        completion_by_name("openai/m", [user("Hi")], api_base=f"{server.url}/v1", api_key=KEY)
        hook.close()
        hook.close()
        completion_by_name(**Client(server).settings, messages=[user("Not recorded")])

        assert texts_in(only(hook)) == ["Hi", TEXT]
        assert completion_by_name is litellm.completion is before

    def test_what_was_taken_during_the_recording_only_passes_on_after_it(
        self, server: ModelServer, record: Callable[..., LiteLLMHook]
    ) -> None:
        hook = record()
        taken = litellm.completion
        hook.close()

        assert taken(**Client(server).settings, messages=[user("Hi")]).choices[0].message.content == TEXT
        assert hook.sessions == {}

    def test_two_hooks_record_once(self, server: ModelServer, record: Callable[..., LiteLLMHook]) -> None:
        first, second = record(), record()

        Client(server).ask([user("Hi")])
        first.close()
        second.close()

        assert [len(first.sessions), len(second.sessions)] == [0, 1]

    def test_the_asynchronous_form_of_a_synchronous_function_is_recorded_once(
        self, server: ModelServer, record: Callable[..., LiteLLMHook]
    ) -> None:
        hook = record()

        async def call() -> Any:
            return await litellm.completion(**Client(server).settings, messages=[user("Hi")], acompletion=True)

        assert asyncio.run(call()).choices[0].message.content == TEXT
        hook.close()
        assert texts_in(only(hook)) == ["Hi", TEXT]

    @pytest.mark.parametrize("is_async", [False, True])
    def test_a_router_and_its_retries_are_one_conversation(
        self, is_async: bool, record: Callable[..., LiteLLMHook]
    ) -> None:
        with ModelServer([Answer(status=500), Answer(TEXT)]) as server:
            model = {"model_name": "own", "litellm_params": Client(server).settings}
            router = litellm.Router([model], num_retries=1, retry_after=0)
            hook = record()
            if is_async:
                result = asyncio.run(router.acompletion("own", [user("Hi")]))
            else:
                result = router.completion("own", [user("Hi")])
            hook.close()

        assert result.choices[0].message.content == TEXT
        assert texts_in(only(hook)) == ["Hi", TEXT]
        assert len(events_in(only(hook), "error")) == 1

    def test_wrong_arguments_raise_the_error_of_litellm(self, record: Callable[..., LiteLLMHook]) -> None:
        hook = record()

        with pytest.raises(TypeError):
            litellm.completion(messages=[user("Hi")], wrong=1)

        assert hook.sessions == {}
        assert len(hook.problems) == 1


class TestSessions:
    def test_requests_go_into_the_callers_recorder(
        self, server: ModelServer, tmp_path: Path, record: Callable[..., LiteLLMHook]
    ) -> None:
        with rollout.Recorder(home=tmp_path) as rec:
            hook = record(rec)
            for text in ("Hi", "Another task"):
                Client(server).ask([user(text)])
            hook.close()
            rec.user_message("mine")

        assert texts_in(rec.path) == ["Hi", TEXT, "Another task", TEXT, "mine"]
        assert hook.sessions == {}
        prompts = [turn.prompt for turn in rollout.load_history(rec.path).turns]
        assert prompts[:2] == ["Hi", "Another task"]

    def test_agents_in_threads_have_sessions_of_their_own(self, record: Callable[..., LiteLLMHook]) -> None:
        def answer(path: str, body: Json) -> Answer:
            return Answer(f"Answer to {body['messages'][-1]['content']}", delay=0.01)

        def run(number: int) -> None:
            client, messages = Client(server, is_streamed=number % 2 == 0, is_async=number % 3 == 0), []
            for step in range(3):
                messages.append(user(f"{number}.{step}"))
                messages.append({"role": "assistant", "content": client.ask(messages).content})

        with ModelServer(answer) as server:
            hook = record()
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(run, range(8)))
            hook.close()

        expected = [
            [text for step in range(3) for text in (f"{number}.{step}", f"Answer to {number}.{step}")]
            for number in range(8)
        ]
        assert sorted(texts_in(path) for path in hook.sessions.values()) == expected
        assert hook.problems == {}

    def test_neither_the_key_nor_a_header_is_in_a_file(
        self, server: ModelServer, home: Path, record: Callable[..., LiteLLMHook]
    ) -> None:
        hook = record()
        secrets: Json = {"extra_headers": {"x-own": "header-secret"}, "metadata": {"key": "meta-secret"}}
        Client(server).ask([user("Hi")], headers={"x-other": "header-secret"}, organization="org-secret", **secrets)
        hook.close()

        text = only(hook).read_text()
        assert not any(secret in text for secret in (KEY, "-secret", "Bearer"))

    @pytest.mark.parametrize("is_streamed", [False, True])
    def test_a_fault_of_recording_does_not_reach_the_program_and_is_counted(
        self, is_streamed: bool, server: ModelServer, record: Callable[..., LiteLLMHook]
    ) -> None:
        def redact(value: Any) -> Any:
            raise ValueError("no redaction")

        hook = record(redact=redact)
        assert Client(server, is_streamed=is_streamed).ask([user("Hi")]).content == TEXT

        assert hook.problems == {
            "a request could not be recorded: ValueError: no redaction": 1,
            "an answer could not be recorded: ValueError: no redaction": 1,
        }


# Both record the same requests, in each of the four ways.
PROGRAM = """
import asyncio, sys
import litellm, rollout
from litellm.integrations.custom_logger import CustomLogger
from rollout.adapters.litellm import LiteLLMHook

url, first, second = sys.argv[1:]
rec = rollout.Recorder(home=first)

class Logger(CustomLogger):
    def log_pre_api_call(self, model, messages, kwargs):
        rec.record_items({"type": "message", "role": "user", "content": []})
    def log_success_event(self, kwargs, response_obj, start_time, end_time):
        rec.record_items({"type": "message", "role": "assistant", "content": []})
    async def async_log_success_event(self, *args):
        self.log_success_event(*args)

litellm.callbacks = [Logger()]
hook = LiteLLMHook(rollout.Recorder(home=second))
settings = {"model": "openai/m", "api_base": url, "api_key": "none"}

def messages(number):
    return [{"role": "user", "content": f"{number}"}]

async def ask():
    for number in range(4):
        await litellm.acompletion(**settings, messages=messages(number))
        async for _ in await litellm.acompletion(**settings, messages=messages(number), stream=True):
            pass

for number in range(4):
    litellm.completion(**settings, messages=messages(number))
    list(litellm.completion(**settings, messages=messages(number), stream=True))
asyncio.run(ask())
"""


def test_nothing_is_lost_when_a_program_ends_without_closing_the_hook_but_by_a_logger(
    server: ModelServer, tmp_path: Path
) -> None:
    homes = [tmp_path / "logger", tmp_path / "hook"]

    command = [sys.executable, "-c", PROGRAM, f"{server.url}/v1", *map(str, homes)]
    subprocess.run(command, check=True, capture_output=True, timeout=60, cwd=ROOT)

    paths = [next(home.rglob("*.jsonl")) for home in homes]
    by_logger, by_hook = ([item["role"] for item in items_in(path)] for path in paths)
    assert by_hook == ["user", "assistant"] * 16
    assert by_logger.count("user") == 16
    assert by_logger.count("assistant") < 16


class TestDocs:
    def test_the_code_of_the_page_runs(
        self, server: ModelServer, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("ANTHROPIC_API_BASE", server.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.setenv("CODEX_HOME", str(home))
        code = BACKTICKS.findall((ROOT / "docs" / "frameworks" / "litellm.md").read_text(encoding="utf-8"))[0]

        exec(compile(code, "litellm.md", "exec"), {})  # noqa: S102 -- the code of the page

        (path,) = home.rglob("*.jsonl")
        assert str(path) in capsys.readouterr().out
        kinds = [item["type"] for item in items_in(path)]
        assert kinds == ["message", "reasoning", "function_call", "function_call_output", "message"]
        assert texts_in(path)[-1] == TEXT

    def test_the_example_runs(self, home: Path) -> None:
        command = [sys.executable, str(ROOT / "examples" / "litellm_agent.py"), "--home", str(home)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)

        (path,) = home.rglob("*.jsonl")
        assert str(path) in done.stdout
        assert TEXT in done.stdout
        kinds = [item["type"] for item in items_in(path)]
        assert kinds == ["message", "reasoning", "function_call", "function_call_output", "message"]
