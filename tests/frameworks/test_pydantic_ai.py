"""
The capability for Pydantic AI records runs as the model and the server of the model see them.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai", reason="pydantic-ai is not installed")

import pydantic_ai
from loopback import TEXT, Answer, ModelServer
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, RunContext, ToolReturn, capture_run_messages
from pydantic_ai import messages as pm
from pydantic_ai.capabilities import AbstractCapability, ModelFallback, ProcessHistory
from pydantic_ai.exceptions import ApprovalRequired, SkipToolExecution, ToolFailed, UnexpectedModelBehavior
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.native_tools import MCPServerTool, WebSearchTool
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults

import rollout
from rollout import Recorder
from rollout.adapters.pydantic_ai import PydanticAIHook
from rollout.dialects import dialect_for, is_compared, item_key
from tests.adapters.apis import events_in, items_in, only
from tests.recording.helpers import kinds_of, lines_of

Json = dict[str, Any]
ROOT = Path(__file__).parent.parent.parent
KINDS = ["responses", "chat", "messages"]
KEY = "sk-very-secret-key"
PNG = b"\x89PNG\r\n"
WEATHER = Answer(calls=[("get_weather", {"city": "Paris"})], reasoning="A tool is needed.")
LONG = Answer("word " * 40, pause=0.005)


def make_model(server: ModelServer, kind: str = "responses") -> Any:
    if kind == "messages":
        return AnthropicModel("m", provider=AnthropicProvider(api_key=KEY, base_url=server.url))
    provider = OpenAIProvider(base_url=f"{server.url}/v1", api_key=KEY)
    return {"chat": OpenAIChatModel, "responses": OpenAIResponsesModel}[kind]("m", provider=provider)


def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return f"sunny in {city}"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def hook(home: Path) -> Any:
    with PydanticAIHook(home=home) as hook:
        yield hook
    assert hook.problems == {}


def closed(hook: PydanticAIHook) -> Path:
    """
    Close the hook, and return the file of its only session.
    """
    hook.close()
    return only(hook)


def keys(items: list[Json]) -> list[tuple[str, ...]]:
    return [item_key(item) for item in items if is_compared(item)]


def typed(items: list[Json], kind: str) -> list[Json]:
    return [item for item in items if item["type"] == kind]


def text_of(item: Json) -> str:
    return "".join(part["text"] for part in item["content"])


def ends_of(path: Path) -> list[tuple[str, bool]]:
    """
    Return the text and the failure of each call that ended.
    """
    results = [end["result"]["Ok"] for end in events_in(path, "mcp_tool_call_end")]
    return [(result["content"][0]["text"], result["isError"]) for result in results]


def function_model(*responses: Any) -> FunctionModel:
    """
    Return a model that returns these responses, each with its parts or as a whole.
    """
    given = iter(responses)

    def answer(messages: list[Any], info: Any) -> pm.ModelResponse:
        own = next(given)
        return own if isinstance(own, pm.ModelResponse) else pm.ModelResponse(parts=own)

    return FunctionModel(answer)


class Delay(AbstractCapability[Any]):
    """
    Capability that waits before each request.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def before_model_request(self, ctx: Any, request_context: Any) -> Any:
        await asyncio.sleep(self.seconds)
        return request_context


class TestContents:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("is_streamed", [False, True], ids=["plain", "streamed"])
    def test_the_items_are_those_that_the_server_saw_and_sent(
        self, serve: Any, hook: PydanticAIHook, kind: str, is_streamed: bool
    ) -> None:
        both = [("get_weather", {"city": city}) for city in ("Paris", "Zürich")]
        server = serve(Answer("Both.", calls=both, reasoning="Two cities."), Answer("Sunny.", reasoning="Done."))
        agent = Agent(make_model(server, kind), tools=[get_weather], system_prompt="Be kind.", capabilities=[hook])

        async def handle(ctx: Any, events: Any) -> None:
            async for _ in events:
                pass

        agent.run_sync("Weather?", event_stream_handler=handle if is_streamed else None)
        path = closed(hook)

        items, (_, body), dialect = items_in(path), server.requests[-1], dialect_for(server.requests[-1][0])
        assert dialect is not None
        last = dialect.read_reply(server.replies[-1]).items
        assert bool(body.get("stream")) == is_streamed
        # To this model's Responses API, the framework sends reasoning back as a text.
        seen = [item for item in dialect.read_request(body).items if "<think>" not in str(item.get("content"))]
        assert keys(items) == keys([*seen, *last])
        assert [item["type"] for item in items] == [
            *("message", "message", "reasoning", "message", "function_call", "function_call"),
            *("function_call_output", "function_call_output", "reasoning", "message"),
        ]
        assert (items[0]["role"], text_of(items[0])) == ("system", "Be kind.")
        assert items[2]["summary"] == [{"type": "summary_text", "text": "Two cities."}]
        assert [json.loads(call["arguments"]) for call in items[4:6]] == [{"city": "Paris"}, {"city": "Zürich"}]
        assert [item["call_id"] for item in items[4:6]] == [item["call_id"] for item in items[6:8]]
        assert [item["output"] for item in items[6:8]] == ["sunny in Paris", "sunny in Zürich"]

    @pytest.mark.parametrize("kind", KINDS)
    def test_usage_is_that_of_each_answer(self, serve: Any, hook: PydanticAIHook, kind: str) -> None:
        server = serve(WEATHER, Answer("Sunny."))
        Agent(make_model(server, kind), tools=[get_weather], capabilities=[hook]).run_sync("Weather?")

        first, second = events_in(closed(hook), "token_count")
        reasoning = 0 if kind == "messages" else 5  # its API does not state them
        assert first["info"]["last_token_usage"] == {
            "input_tokens": 120,
            "cached_input_tokens": 40,
            "output_tokens": 15,
            "reasoning_output_tokens": reasoning,
            "total_tokens": 135,
        }
        assert second["info"]["total_token_usage"]["total_tokens"] == 270

    def test_a_run_is_a_turn_with_its_settings(self, serve: Any, hook: PydanticAIHook) -> None:
        server = serve(WEATHER, Answer("Sunny."))
        settings: Any = {"openai_reasoning_effort": "high", "thinking": "low", "temperature": 0.5, "timeout": 20}
        settings["extra_headers"] = {"x-key": KEY}
        agent = Agent(make_model(server), tools=[get_weather], capabilities=[hook], model_settings=settings)
        agent.run_sync("Weather?", instructions="Be short.")

        path = closed(hook)
        (context,) = [line["payload"] for line in lines_of(path) if line["type"] == "turn_context"]
        assert (context["model"], context["effort"], context["user_instructions"]) == ("m", "high", "Be short.")
        (tool,) = context["tools"]
        assert tool["name"] == "get_weather"
        assert tool["description"] == "Return the weather of a city."
        assert tool["parameters"]["required"] == ["city"]
        assert context["settings"]["temperature"] == 0.5
        assert context["settings"]["provider"] == "openai"
        assert KEY not in path.read_text()
        assert kinds_of(path)[0] == "task_started"
        assert kinds_of(path)[-1] == "task_complete"

    def test_the_unified_effort_and_native_tools_are_kept_without_keys(self, hook: PydanticAIHook) -> None:
        tools = [
            WebSearchTool(max_uses=2),
            MCPServerTool(id="mcp", url="https://example.com", authorization_token=KEY, headers={"x-key": KEY}),
        ]
        model = FunctionModel(
            lambda messages, info: pm.ModelResponse(parts=[pm.TextPart("Sunny.")]),
            profile={"supported_native_tools": frozenset({WebSearchTool, MCPServerTool})},
        )
        agent = Agent(model, capabilities=[hook], model_settings={"thinking": "low"})
        with agent.override(native_tools=tools):
            agent.run_sync("Weather?")

        path = closed(hook)
        (context,) = [line["payload"] for line in lines_of(path) if line["type"] == "turn_context"]
        assert context["effort"] == "low"
        assert [(tool["type"], tool.get("max_uses")) for tool in context["tools"]] == [
            ("web_search", 2),
            ("mcp_server", None),
        ]
        assert KEY not in path.read_text()

    def test_instructions_of_a_history_are_kept_where_the_request_states_none(self, hook: PydanticAIHook) -> None:
        history = [pm.ModelRequest.user_text_prompt("Hi", instructions="Be short.")]
        model = function_model([pm.TextPart("Hi.")])

        async def ask() -> None:
            run = await hook.for_run(type("Context", (), {"run_id": "r", "agent": None}))
            wrapper = run.get_wrapper_model(model)
            await wrapper.request(history, None, pydantic_ai.models.ModelRequestParameters())

        asyncio.run(ask())

        (context,) = [line["payload"] for line in lines_of(closed(hook)) if line["type"] == "turn_context"]
        assert context["user_instructions"] == "Be short."

    def test_images_and_files_of_a_prompt_are_kept(self, hook: PydanticAIHook) -> None:
        prompt: list[Any] = [
            "Look:",
            pm.TextContent("tagged", metadata={"from": "app"}),
            pm.ImageUrl("https://example.com/a.png", vendor_metadata={"detail": "low"}),
            pm.BinaryContent(PNG, media_type="image/png"),
            pm.BinaryContent(b"sound", media_type="audio/wav"),
            pm.AudioUrl("https://example.com/a.mp3"),
            pm.UploadedFile("file_1", "openai"),
            pm.CachePoint(),
        ]
        Agent(function_model([pm.TextPart("Seen.")]), capabilities=[hook]).run_sync(prompt)

        prompted, _ = items_in(closed(hook))
        image = pm.BinaryContent(PNG, media_type="image/png").data_uri
        # Codex skips a message with parts of other types, so these are within texts.
        content = [part.get("responses_part", part) for part in prompted["content"]]
        url = content.pop(5)
        assert content == [
            {"type": "input_text", "text": "Look:"},
            {"type": "input_text", "text": "tagged", "pydantic_ai": {"metadata": {"from": "app"}}},
            {
                "type": "input_image",
                "image_url": "https://example.com/a.png",
                "pydantic_ai": {"vendor_metadata": {"detail": "low"}},
            },
            {"type": "input_image", "image_url": image},
            {"type": "input_file", "file_data": "data:audio/wav;base64,c291bmQ="},
            {"type": "input_file", "file_id": "file_1", "pydantic_ai": {"provider_name": "openai"}},
            {"type": "pydantic_ai_cache_point", "ttl": "5m"},
        ]
        assert (url["file_url"], url["pydantic_ai"]["kind"]) == ("https://example.com/a.mp3", "audio-url")

    def test_every_part_of_an_answer_is_kept(self, hook: PydanticAIHook) -> None:
        details = {"provider_name": "own", "provider_details": {"x": 1}}
        parts = [
            pm.ThinkingPart("hm", id="t1", signature="sig", **details),
            pm.ThinkingPart("", id="redacted_thinking", signature="opaque", provider_name="own"),
            pm.NativeToolCallPart("web_search", {"q": "Paris"}, "ws_1", **details),
            pm.NativeToolReturnPart("web_search", [{"url": "u"}], "ws_1", provider_name="own"),
            pm.FilePart(pm.BinaryImage(PNG, media_type="image/png"), id="f1", provider_name="own"),
            pm.FilePart(pm.BinaryContent(b"pdf", media_type="application/pdf")),
            pm.TextPart("Sunny.", id="m1", **details),
        ]
        agent = Agent(function_model(parts, [pm.TextPart("Again.")]), capabilities=[hook])
        first = agent.run_sync("Weather?")
        agent.run_sync("And now?", message_history=first.all_messages())

        items = items_in(closed(hook))
        assert [item["type"] for item in items] == [
            *("message", "reasoning", "reasoning", "pydantic_ai_builtin_tool_call", "pydantic_ai_builtin_tool_return"),
            *("image_generation_call", "pydantic_ai_file", "message", "message", "message"),
        ]
        assert items[1] == {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "sig",
            "id": "t1",
            "pydantic_ai": details,
        }
        assert items[2]["encrypted_content"] == "opaque"
        assert items[3]["args"] == {"q": "Paris"}
        assert items[3]["tool_call_id"] == items[4]["tool_call_id"] == "ws_1"
        assert items[4]["content"] == [{"url": "u"}]
        assert items[5]["result"] == "iVBORw0K"
        assert items[6]["content"]["data"] == "cGRm"
        assert items[7] == {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Sunny."}],
            "id": "m1",
            "pydantic_ai": details,
        }

    def test_outputs_keep_images_and_values(self, hook: PydanticAIHook) -> None:
        image = pm.BinaryImage(PNG, media_type="image/png")
        outputs: dict[str, Any] = {
            "both": ["A map", image],
            "image": image,
            "value": {"sky": "blue"},
            "nothing": None,
            "rich": ToolReturn("text for the model", metadata={"k": 1}),
        }
        calls = [pm.ToolCallPart("show", {"name": name}, f"call_{name}") for name in outputs]
        agent = Agent(function_model(calls, [pm.TextPart("Seen.")]), capabilities=[hook])

        @agent.tool_plain
        def show(name: str) -> Any:
            return outputs[name]

        agent.run_sync("Show")

        found = {item["call_id"][5:]: item for item in typed(items_in(closed(hook)), "function_call_output")}
        picture = {"type": "input_image", "image_url": image.data_uri}
        assert found["both"]["output"] == [{"type": "input_text", "text": "A map"}, picture]
        assert found["image"]["output"] == [picture]
        assert found["value"]["output"] == '{"sky":"blue"}'
        assert found["nothing"]["output"] == ""
        assert found["rich"]["output"] == "text for the model"
        assert found["rich"]["pydantic_ai"] == {"metadata": {"k": 1}}

    def test_parts_of_an_old_history_are_kept(self, hook: PydanticAIHook) -> None:
        parts = [
            pm.SystemPromptPart("Be kind.", metadata={"by": "me"}),
            pm.UserPromptPart("Hi"),
            pm.RetryPromptPart("no such city", tool_name="get_weather", tool_call_id="call_1"),
            pm.RetryPromptPart("not JSON"),
            pm.CompactionPart("They said hello."),
        ]
        model = function_model([pm.TextPart("Hi.")])

        async def ask() -> None:
            run = await hook.for_run(type("Context", (), {"run_id": "r", "agent": None}))
            parameters = pydantic_ai.models.ModelRequestParameters()
            await run.get_wrapper_model(model).request([pm.ModelRequest(parts=parts)], None, parameters)

        asyncio.run(ask())

        system, user, output, retry, summary, _ = items_in(closed(hook))
        assert system["pydantic_ai"] == {"metadata": {"by": "me"}}
        assert text_of(user) == "Hi"
        assert output["call_id"] == "call_1"
        assert "no such city" in output["output"]
        assert (retry["role"], "not JSON" in text_of(retry)) == ("user", True)
        assert summary == {"type": "pydantic_ai_compaction", "content": "They said hello."}

    def test_a_structured_output_is_a_call_with_its_output(self, serve: Any, hook: PydanticAIHook) -> None:
        class Weather(BaseModel):
            city: str
            degrees: int

        server = serve(*[Answer(calls=[("final_result", {"city": "Paris", "degrees": 21})])] * 2)
        agent = Agent(make_model(server), output_type=Weather, capabilities=[hook])
        first = agent.run_sync("Weather?")
        agent.run_sync("And now?", message_history=first.all_messages())

        path = closed(hook)
        assert [item["type"] for item in items_in(path)] == ["message", "function_call", "function_call_output"] * 2
        assert {item["output"] for item in typed(items_in(path), "function_call_output")} == {"Final result processed."}
        contexts = [line["payload"] for line in lines_of(path) if line["type"] == "turn_context"]
        assert [(tool["name"], tool["kind"]) for tool in contexts[0]["tools"]] == [("final_result", "output")]
        assert contexts[0]["settings"]["output_mode"] == "auto"


class TestConversations:
    def test_a_history_continues_the_session(self, serve: Any, hook: PydanticAIHook) -> None:
        server = serve(WEATHER, Answer("Sunny."), Answer("Rain."))
        agent = Agent(make_model(server), tools=[get_weather], capabilities=[hook])
        first = agent.run_sync("Weather?")
        stored = pm.ModelMessagesTypeAdapter.validate_json(first.all_messages_json())
        agent.run_sync("And tomorrow?", message_history=stored)

        path = closed(hook)
        loaded = rollout.load_history(path)
        assert [turn.prompt for turn in loaded.turns] == ["Weather?", "And tomorrow?"]
        assert len(items_in(path)) == 7
        assert [item["type"] for item in loaded.to_input()] == [item["type"] for item in items_in(path)]
        assert len(events_in(path, "task_complete")) == 2

    def test_runs_without_a_history_are_sessions_of_their_own(self, serve: Any, hook: PydanticAIHook) -> None:
        agent = Agent(make_model(serve(Answer("One."), Answer("Two."))), capabilities=[hook])
        agent.run_sync("Hello")
        agent.run_sync("Hello")
        hook.close()

        texts = [text_of(items_in(path)[-1]) for path in hook.sessions.values()]
        assert texts == ["One.", "Two."]

    def test_runs_are_turns_of_the_recorder_of_the_caller(self, serve: Any, home: Path) -> None:
        server = serve(WEATHER, Answer("Sunny."), Answer("Hi."))
        with Recorder(home=home) as recorder, PydanticAIHook(recorder) as hook:
            agent = Agent(make_model(server), tools=[get_weather])
            agent.run_sync("Weather?", capabilities=[hook])
            agent.run_sync("Hello", capabilities=[hook])

        assert hook.sessions == {}
        assert hook.problems == {}
        assert [turn.prompt for turn in rollout.load_history(recorder.path).turns] == ["Weather?", "Hello"]
        assert len(events_in(recorder.path, "task_complete")) == 2

    @pytest.mark.parametrize("is_given", [False, True], ids=["own sessions", "recorder"])
    def test_an_agent_within_a_tool_is_a_sub_agent(self, serve: Any, home: Path, is_given: bool) -> None:
        server = serve(
            Answer(calls=[("search", {"topic": "Paris"})]), Answer("Found."), Answer("Sunny."), Answer("Hi.")
        )
        recorder = Recorder(home=home) if is_given else None
        with PydanticAIHook(recorder, home=None if is_given else home) as hook:
            searcher = Agent(make_model(server), name="searcher", capabilities=[hook])
            main = Agent(make_model(server), capabilities=[hook])

            @main.tool_plain
            async def search(topic: str) -> str:
                return (await searcher.run(f"Search {topic}")).output

            main.run_sync("Weather?")
            searcher.run_sync("Not by another agent")
        paths = list(hook.sessions.values())
        if recorder is not None:
            recorder.close()
            paths.insert(0, recorder.path)

        assert hook.problems == {}
        first, second = rollout.load_history(paths[0]), rollout.load_history(paths[1])
        assert second.meta.parent_thread_id == first.session_id
        assert second.meta.agent_nickname == "searcher"
        assert [turn.prompt for turn in second.turns] == ["Search Paris"]
        assert [item["type"] for item in items_in(paths[0])][:4] == [
            *("message", "function_call", "function_call_output", "message")
        ]
        assert [own["kind"] for own in events_in(paths[0], "sub_agent_activity")] == ["started", "completed"]
        assert len(paths) == (2 if is_given else 3)

    def test_a_sub_agent_without_a_usable_name_is_named_agent(self, hook: PydanticAIHook) -> None:
        inner = Agent(function_model([pm.TextPart("Found.")]), name="??", capabilities=[hook])
        calls = [pm.ToolCallPart("search", {}, "call_1")]
        main = Agent(function_model(calls, [pm.TextPart("Done.")]), capabilities=[hook])

        @main.tool_plain
        async def search() -> str:
            return (await inner.run("Search")).output

        main.run_sync("Go")
        hook.close()

        _, sub = map(rollout.load_history, hook.sessions.values())
        assert sub.meta.agent_nickname == "agent"

    def test_two_runs_at_once_are_two_sessions(self, serve: Any, hook: PydanticAIHook) -> None:
        server = serve()
        agent = Agent(make_model(server), tools=[get_weather], capabilities=[hook])

        async def both() -> None:
            await asyncio.gather(agent.run("One?"), agent.run("Two?"))

        asyncio.run(both())
        hook.close()

        prompts = sorted(rollout.load_history(path).turns[0].prompt or "" for path in hook.sessions.values())
        assert prompts == ["One?", "Two?"]
        assert {len(items_in(path)) for path in hook.sessions.values()} == {5}

    def test_two_threads_are_two_sessions(self, serve: Any, hook: PydanticAIHook) -> None:
        server = serve()
        start = threading.Barrier(2)

        def work(prompt: str) -> None:
            agent = Agent(make_model(server, "chat"), tools=[get_weather], capabilities=[hook])
            start.wait(10)
            agent.run_sync(prompt)

        threads = [threading.Thread(target=work, args=(prompt,)) for prompt in ("One?", "Two?")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        hook.close()

        prompts = sorted(rollout.load_history(path).turns[0].prompt or "" for path in hook.sessions.values())
        assert prompts == ["One?", "Two?"]

    def test_an_answer_that_the_model_continues_is_one_turn(self, hook: PydanticAIHook) -> None:
        halves = [pm.ModelResponse(parts=[pm.TextPart("One, ")], state="suspended"), [pm.TextPart("two.")]]
        agent = Agent(function_model(*halves, [pm.TextPart("Three.")]), capabilities=[hook])
        first = agent.run_sync("Count")
        agent.run_sync("Go on", message_history=first.all_messages())

        path = closed(hook)
        assert [text_of(item) for item in items_in(path)] == ["Count", "One, ", "two.", "Go on", "Three."]
        assert len(events_in(path, "task_complete")) == 2

    def test_a_shortened_history_is_a_compaction(self, serve: Any, hook: PydanticAIHook) -> None:
        def shorten(messages: list[Any]) -> list[Any]:
            return messages[-3:]

        server = serve(*map(Answer, ("One.", "Two.", "Three.")))
        agent = Agent(make_model(server), capabilities=[hook, ProcessHistory(shorten)])
        messages: list[Any] = []
        for prompt in ("First?", "Second?", "Third?"):
            messages = agent.run_sync(prompt, message_history=messages).all_messages()

        path = closed(hook)
        (compacted,) = events_in(path, "compacted")
        assert [text_of(item) for item in compacted["replacement_history"]] == ["Second?", "Two."]
        assert [text_of(item) for item in items_in(path)][-2:] == ["Third?", "Three."]


class TestTools:
    def test_the_duration_is_that_of_the_tool(self, serve: Any, hook: PydanticAIHook) -> None:
        async def slow(city: str) -> str:
            await asyncio.sleep(0.05)
            return city

        server = serve(Answer(calls=[("slow", {"city": "Paris"})]), Answer("Done.", delay=0.3))
        Agent(make_model(server), tools=[slow], capabilities=[hook]).run_sync("Weather?")

        (end,) = events_in(closed(hook), "mcp_tool_call_end")
        assert 40_000_000 < end["duration"]["nanos"] < 300_000_000
        assert end["duration"]["secs"] == 0

    def test_the_duration_of_a_failed_tool_is_that_of_the_tool(self, serve: Any, hook: PydanticAIHook) -> None:
        async def slow(city: str) -> str:
            await asyncio.sleep(0.05)
            raise ModelRetry("Try another.")

        server = serve(Answer(calls=[("slow", {"city": "Paris"})]), Answer("Sorry."))
        agent = Agent(make_model(server), tools=[slow], capabilities=[hook, Delay(0.3)])
        agent.run_sync("Weather?")

        (end,) = events_in(closed(hook), "mcp_tool_call_end")
        assert 40_000_000 < end["duration"]["nanos"] < 300_000_000

    def test_a_tool_that_another_one_cancels_is_a_failed_call(self, hook: PydanticAIHook) -> None:
        async def wait() -> None:
            await asyncio.sleep(30)

        async def fail() -> None:
            await asyncio.sleep(0.02)
            raise ValueError("no")

        calls = [pm.ToolCallPart("wait", {}, "call_1"), pm.ToolCallPart("fail", {}, "call_2")]
        with pytest.raises(ValueError, match="no"):
            Agent(function_model(calls), tools=[wait, fail], capabilities=[hook]).run_sync("Go")

        assert sorted(ends_of(closed(hook))) == [("CancelledError", True), ("ValueError: no", True)]

    @pytest.mark.parametrize(
        ("error", "outcome"),
        [(ModelRetry("Try another."), "retried"), (ToolFailed("No such city."), "failed")],
        ids=["retry", "failure"],
    )
    def test_an_error_that_the_model_sees_is_a_failed_call(
        self, serve: Any, hook: PydanticAIHook, error: Exception, outcome: str
    ) -> None:
        def fail(city: str) -> str:
            raise error

        server = serve(Answer(calls=[("fail", {"city": "Paris"})]), Answer("Sorry."))
        Agent(make_model(server), tools=[fail], capabilities=[hook]).run_sync("Weather?")

        path = closed(hook)
        (output,) = typed(items_in(path), "function_call_output")
        assert output["output"] == str(error)
        assert output["pydantic_ai"]["outcome"] == outcome
        assert ends_of(path) == [(str(error), True)]
        assert len(events_in(path, "task_complete")) == 1

    @pytest.mark.parametrize(
        "call", [("get_weather", {"town": "Paris"}), ("unknown", {"city": "Paris"})], ids=["arguments", "name"]
    )
    def test_a_call_that_no_tool_can_answer_has_failed(
        self, serve: Any, hook: PydanticAIHook, call: tuple[str, Json]
    ) -> None:
        server = serve(Answer(calls=[call]), WEATHER, Answer("Sunny."))
        Agent(make_model(server), tools=[get_weather], capabilities=[hook]).run_sync("Weather?")

        assert [is_failed for _, is_failed in ends_of(closed(hook))] == [True, False]

    def test_an_error_of_a_tool_ends_the_run(self, serve: Any, hook: PydanticAIHook) -> None:
        def fail(city: str) -> str:
            raise ValueError(f"no {city}")

        server = serve(Answer(calls=[("fail", {"city": "Paris"})]))
        with pytest.raises(ValueError, match="no Paris"):
            Agent(make_model(server), tools=[fail], capabilities=[hook]).run_sync("Weather?")

        path = closed(hook)
        assert ends_of(path) == [("ValueError: no Paris", True)]
        (end,) = events_in(path, "task_complete")
        assert end["error"]["message"] == "ValueError: no Paris"

    def test_a_call_that_waits_for_an_approval_is_answered_by_the_next_run(self, hook: PydanticAIHook) -> None:
        calls = [pm.ToolCallPart("delete", {"path": "a"}, "call_1")]
        model = function_model(calls, [pm.TextPart("Deleted.")])
        agent = Agent(model, output_type=[str, DeferredToolRequests], capabilities=[hook])

        @agent.tool
        def delete(ctx: RunContext, path: str) -> str:
            if not ctx.tool_call_approved:
                raise ApprovalRequired
            return f"deleted {path}"

        first = agent.run_sync("Delete a")
        results = DeferredToolResults(approvals={"call_1": True})
        agent.run_sync(message_history=first.all_messages(), deferred_tool_results=results)

        path = closed(hook)
        assert [item["type"] for item in items_in(path)] == [
            *("message", "function_call", "function_call_output", "message")
        ]
        assert ends_of(path) == [("deleted a", False)]

    def test_a_tool_that_another_capability_skips_has_the_output_of_the_capability(self, hook: PydanticAIHook) -> None:
        class Cache(AbstractCapability[Any]):
            async def before_tool_execute(self, ctx: Any, **_: Any) -> Any:
                raise SkipToolExecution("from the cache")

        calls = [pm.ToolCallPart("get_weather", {"city": "Paris"}, "call_1")]
        model = function_model(calls, [pm.TextPart("Sunny.")])
        Agent(model, tools=[get_weather], capabilities=[Cache(), hook]).run_sync("Weather?")

        assert ends_of(closed(hook)) == [("from the cache", False)]

    def test_a_cancelled_tool_is_a_failed_call_of_an_interrupted_turn(self, serve: Any, hook: PydanticAIHook) -> None:
        has_begun = asyncio.Event()

        async def wait(city: str) -> str:
            has_begun.set()
            await asyncio.sleep(30)
            return city

        server = serve(Answer(calls=[("wait", {"city": "Paris"})]))

        async def cancel() -> None:
            run = asyncio.create_task(Agent(make_model(server), tools=[wait], capabilities=[hook]).run("Weather?"))
            await has_begun.wait()
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run

        asyncio.run(cancel())

        path = closed(hook)
        assert ends_of(path) == [("CancelledError", True)]
        assert kinds_of(path)[-2:] == ["function_call_output", "turn_aborted"]

    def test_a_rejected_answer_and_its_feedback_are_one_turn(self, serve: Any, hook: PydanticAIHook) -> None:
        agent = Agent(make_model(serve(Answer("Bad."), Answer("Good."))), capabilities=[hook])

        @agent.output_validator
        def check(text: str) -> str:
            if text == "Bad.":
                raise ModelRetry("Be better.")
            return text

        agent.run_sync("Weather?")

        path = closed(hook)
        texts = [text_of(item) for item in items_in(path)]
        assert [*texts[:2], texts[-1]] == ["Weather?", "Bad.", "Good."]
        assert "Be better." in texts[-2]
        assert len(events_in(path, "task_complete")) == 1


class TestErrors:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("status", [429, 500])
    def test_an_error_of_the_model_is_recorded(self, serve: Any, hook: PydanticAIHook, kind: str, status: int) -> None:
        server = serve(*[Answer(status=status)] * 5)
        with pytest.raises(pydantic_ai.exceptions.ModelHTTPError):
            Agent(make_model(server, kind), capabilities=[hook]).run_sync("Weather?")

        path = closed(hook)
        assert str(status) in events_in(path, "error")[0]["message"]
        (end,) = events_in(path, "task_complete")
        assert str(status) in end["error"]["message"]
        assert [text_of(item) for item in items_in(path)] == ["Weather?"]

    def test_a_stream_that_is_refused_is_recorded(self, serve: Any, hook: PydanticAIHook) -> None:
        agent = Agent(make_model(serve(*[Answer(status=429)] * 5)), capabilities=[hook])

        async def ask() -> None:
            async with agent.run_stream("Weather?") as stream:
                await stream.get_output()

        with pytest.raises(pydantic_ai.exceptions.ModelHTTPError):
            asyncio.run(ask())

        assert "429" in events_in(closed(hook), "error")[0]["message"]

    def test_a_run_without_a_usable_answer_ends_as_failed(self, serve: Any, hook: PydanticAIHook) -> None:
        agent = Agent(make_model(serve(*[Answer("Bad.")] * 3)), output_type=int, retries=0, capabilities=[hook])
        with pytest.raises(UnexpectedModelBehavior), capture_run_messages():
            agent.run_sync("Number?")

        (end,) = events_in(closed(hook), "task_complete")
        assert end["error"]["message"].startswith("UnexpectedModelBehavior")

    def test_the_models_that_failed_before_the_fallback_are_recorded(self, serve: Any, hook: PydanticAIHook) -> None:
        server = serve(*[Answer(status=500)] * 3, Answer("Sunny."))
        model = FallbackModel(make_model(server), make_model(server, "chat"))
        Agent(model, capabilities=[hook]).run_sync("Weather?")

        path = closed(hook)
        assert [text_of(item) for item in items_in(path)] == ["Weather?", "Sunny."]
        (error,) = events_in(path, "error")
        assert error["message"].startswith("m: ModelServerError: status_code: 500")
        assert len(events_in(path, "task_complete")) == 1

    def test_each_attempt_of_a_capability_that_falls_back_is_recorded(self, serve: Any, hook: PydanticAIHook) -> None:
        server = serve(*[Answer(status=500)] * 3, Answer("Sunny."))
        fallback = ModelFallback(make_model(server, "chat"))
        Agent(make_model(server), capabilities=[hook, fallback]).run_sync("Weather?")

        path = closed(hook)
        assert [text_of(item) for item in items_in(path)] == ["Weather?", "Sunny."]
        assert "500" in events_in(path, "error")[0]["message"]
        assert len(events_in(path, "task_complete")) == 1

    def test_a_cancelled_request_ends_the_turn_as_interrupted(self, serve: Any, hook: PydanticAIHook) -> None:
        server = serve(Answer("Late.", delay=30))

        async def cancel() -> None:
            run = asyncio.create_task(Agent(make_model(server), capabilities=[hook]).run("Weather?"))
            while not server.requests:
                await asyncio.sleep(0.01)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run

        asyncio.run(cancel())

        assert kinds_of(closed(hook))[-1] == "turn_aborted"

    def test_a_fault_of_recording_is_counted_and_does_not_reach_the_agent(self, serve: Any, home: Path) -> None:
        def refuse(value: Any) -> Any:
            raise RuntimeError("no")

        server = serve(WEATHER, Answer("Sunny."))
        with PydanticAIHook(home=home, redact=refuse) as hook:
            result = Agent(make_model(server), tools=[get_weather], capabilities=[hook]).run_sync("Weather?")

        assert result.output == "Sunny."
        assert set(hook.problems) == {
            "a request could not be recorded: RuntimeError: no",
            "an answer could not be recorded: RuntimeError: no",
        }

    @pytest.mark.parametrize("is_streamed", [False, True], ids=["plain", "streamed"])
    def test_a_message_that_cannot_be_read_is_counted_and_sent(
        self, serve: Any, home: Path, monkeypatch: pytest.MonkeyPatch, is_streamed: bool
    ) -> None:
        server = serve(Answer("Sunny."))
        hook = PydanticAIHook(home=home)
        monkeypatch.setattr("rollout.adapters.pydantic_ai._hook.read_request", lambda *args: 1 / 0)
        agent = Agent(make_model(server), capabilities=[hook])

        async def ask() -> str:
            if not is_streamed:
                return (await agent.run("Weather?")).output
            async with agent.run_stream("Weather?") as stream:
                return await stream.get_output()

        assert asyncio.run(ask()) == "Sunny."
        hook.close()

        assert list(hook.problems) == ["a request could not be recorded: ZeroDivisionError: division by zero"]
        assert hook.sessions == {}

    def test_after_the_end_nothing_is_recorded(self, serve: Any, home: Path) -> None:
        hook = PydanticAIHook(home=home)
        agent = Agent(make_model(serve(Answer("One."), WEATHER)), tools=[get_weather], capabilities=[hook])
        agent.run_sync("Hello")
        hook.close()
        assert agent.run_sync("Hello").output == TEXT

        assert len(items_in(only(hook))) == 2
        assert hook.problems == {}


class TestStreams:
    def run(self, ask: Callable[[], Any]) -> Any:
        return asyncio.run(ask())

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_streamed_run_is_recorded(self, serve: Any, hook: PydanticAIHook, kind: str) -> None:
        agent = Agent(make_model(serve(WEATHER, Answer("Sunny."))), tools=[get_weather], capabilities=[hook])

        async def ask() -> list[str]:
            async with agent.run_stream("Weather?") as stream:
                return [text async for text in stream.stream_text(delta=True)]

        assert "".join(self.run(ask)) == "Sunny."
        path = closed(hook)
        assert [item["type"] for item in items_in(path)] == [
            *("message", "reasoning", "function_call", "function_call_output", "message")
        ]
        assert len(events_in(path, "token_count")) == 2
        assert kinds_of(path)[-1] == "task_complete"

    def test_a_stream_without_asyncio_is_recorded(self, serve: Any, hook: PydanticAIHook) -> None:
        agent = Agent(make_model(serve(Answer("Sunny.")), "messages"), capabilities=[hook])
        with agent.run_stream_sync("Weather?") as stream:
            assert stream.get_output() == "Sunny."

        assert [text_of(item) for item in items_in(closed(hook))] == ["Weather?", "Sunny."]

    def test_a_stream_that_is_left_is_recorded_as_far_as_it_came(self, serve: Any, hook: PydanticAIHook) -> None:
        agent = Agent(make_model(serve(LONG)), capabilities=[hook])

        async def leave() -> None:
            async with agent.iter("Weather?") as run:
                async for node in run:
                    if Agent.is_model_request_node(node):
                        async with node.stream(run.ctx) as stream:
                            async for event in stream:
                                if isinstance(event, pm.PartDeltaEvent):
                                    return

        self.run(leave)

        path = closed(hook)
        _, answer = items_in(path)
        assert LONG.text.startswith(text_of(answer))
        assert 0 < len(text_of(answer)) < len(LONG.text)
        assert kinds_of(path)[-1] == "turn_aborted"

    def test_after_a_stream_that_was_left_the_conversation_goes_on(self, serve: Any, hook: PydanticAIHook) -> None:
        agent = Agent(make_model(serve(LONG, Answer("Sunny."))), capabilities=[hook])

        async def leave() -> None:
            with capture_run_messages() as messages:
                async with agent.run_stream("Weather?") as stream:
                    async for _ in stream.stream_text(delta=True, debounce_by=None):
                        break
            await agent.run("And now?", message_history=messages)

        self.run(leave)

        path = closed(hook)
        assert [turn.prompt for turn in rollout.load_history(path).turns] == ["Weather?", "And now?"]
        assert text_of(items_in(path)[-1]) == "Sunny."

    def test_a_stream_that_breaks_is_recorded_with_its_error(self, serve: Any, hook: PydanticAIHook) -> None:
        agent = Agent(make_model(serve(Answer("word " * 40, cut_after=12))), capabilities=[hook])

        async def ask() -> None:
            async with agent.run_stream("Weather?") as stream:
                await stream.get_output()

        with pytest.raises(pydantic_ai.exceptions.ModelAPIError):
            self.run(ask)

        path = closed(hook)
        assert text_of(items_in(path)[-1]).startswith("word ")
        (end,) = events_in(path, "task_complete")
        assert end["error"]["message"].startswith("ModelConnectionError")

    def test_a_stream_that_is_open_at_the_end_of_recording_loses_only_its_rest(self, serve: Any, home: Path) -> None:
        hook = PydanticAIHook(home=home)
        agent = Agent(make_model(serve(LONG)), capabilities=[hook])

        async def ask() -> str:
            async with agent.run_stream("Weather?") as stream:
                async for _ in stream.stream_text(delta=True, debounce_by=None):
                    if not hook._log.is_ended:
                        hook.close()
                return stream.response.text or ""

        assert self.run(ask) == LONG.text
        assert 0 < len(text_of(items_in(only(hook))[-1])) < len(LONG.text)
        assert hook.problems == {}

    def test_another_agent_may_run_while_a_stream_is_read(self, serve: Any, hook: PydanticAIHook) -> None:
        server = serve(LONG, Answer("Inner."))
        outer = Agent(make_model(server), capabilities=[hook])
        inner = Agent(make_model(server), name="inner", capabilities=[hook])

        async def ask() -> None:
            async with outer.run_stream("Outer?") as stream:
                has_asked = False
                async for _ in stream.stream_text(delta=True, debounce_by=None):
                    if not has_asked:
                        has_asked = True
                        await inner.run("Inner?")

        self.run(ask)
        hook.close()

        first, second = hook.sessions.values()
        assert [text_of(item) for item in items_in(first)] == ["Outer?", LONG.text]
        assert [text_of(item) for item in items_in(second)] == ["Inner?", "Inner."]


class TestOtherHooks:
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_framework_sends_and_returns_the_same_with_and_without_it(
        self, serve: Any, hook: PydanticAIHook, kind: str
    ) -> None:
        sent, returned, models = [], [], []
        for capabilities in ([], [hook]):
            server = serve(WEATHER, Answer("Sunny."))
            agent = Agent(make_model(server, kind), instructions="Be short.", capabilities=capabilities)

            @agent.tool(name="get_weather")
            def weather(ctx: RunContext, city: str) -> str:
                models.append(type(ctx.model))
                return get_weather(city)

            messages = agent.run_sync("Weather?").all_messages()
            sent.append([body for _, body in server.requests])
            returned.append([(type(part), getattr(part, "content", None)) for own in messages for part in own.parts])

        assert sent[0] == sent[1]
        assert returned[0] == returned[1]
        assert models[0] == models[1]

    @pytest.mark.parametrize("is_streamed", [False, True], ids=["plain", "streamed"])
    def test_with_instrument_each_request_is_recorded_once(self, serve: Any, home: Path, is_streamed: bool) -> None:
        server = serve(WEATHER, Answer("Sunny."))
        with rollout.instrument(home=home) as sdks, PydanticAIHook(home=home) as hook:
            agent = Agent(make_model(server), tools=[get_weather], capabilities=[hook])

            async def ask() -> None:
                if is_streamed:
                    async with agent.run_stream("Weather?") as stream:
                        await stream.get_output()
                else:
                    await agent.run("Weather?")

            asyncio.run(ask())

        assert sdks.sessions == {}
        assert len(items_in(only(hook))) == 5
        assert sdks.problems == hook.problems == {}

    @pytest.mark.parametrize("is_streamed", [False, True], ids=["plain", "streamed"])
    def test_of_two_hooks_of_an_agent_the_outer_one_records(self, serve: Any, home: Path, is_streamed: bool) -> None:
        server = serve(Answer("Sunny."))
        with PydanticAIHook(home=home) as outer, PydanticAIHook(home=home) as inner:
            agent = Agent(make_model(server), capabilities=[outer, inner])

            async def ask() -> None:
                if is_streamed:
                    async with agent.run_stream("Weather?") as stream:
                        await stream.get_output()
                else:
                    await agent.run("Weather?")

            asyncio.run(ask())

        assert (len(outer.sessions), len(inner.sessions)) == (1, 0)
        assert len(items_in(only(outer))) == 2


class TestTexts:
    def test_the_code_of_the_page_runs(self, server: ModelServer, tmp_path: Path) -> None:
        page = (ROOT / "docs" / "frameworks" / "pydantic-ai.md").read_text(encoding="utf-8")
        code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
        settings = {"OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": "none", "CODEX_HOME": str(tmp_path)}

        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert done.stderr == ""
        assert TEXT in done.stdout
        (path,) = tmp_path.rglob("rollout-*.jsonl")
        assert len(typed(items_in(path), "function_call_output")) == 1

    def test_the_example_runs(self, tmp_path: Path) -> None:
        program = ROOT / "examples" / "pydantic_ai_agent.py"
        assert len(program.read_text(encoding="utf-8").splitlines()) <= 50

        done = subprocess.run(
            [sys.executable, program, "--home", tmp_path],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert done.stderr == ""
        (path,) = tmp_path.rglob("rollout-*.jsonl")
        assert str(path) in done.stdout
        assert "get_weather" in done.stdout
