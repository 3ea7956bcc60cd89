"""
The model server of the examples satisfies the real SDKs: sync and async, plain, streamed and raw.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "examples"))

from loopback import TEXT, Answer, ModelServer

Json = dict[str, Any]
Serve = Callable[..., ModelServer]

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PARALLEL = Answer(
    "Both.", calls=[("get_weather", {"city": city}) for city in ("Paris", "Zürich")], reasoning="Two cities are asked."
)
RESPONSES_TOOLS: Any = [{"type": "function", "name": "get_weather", "parameters": SCHEMA}]
CHAT_TOOLS: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
MESSAGES_TOOLS: Any = [{"name": "get_weather", "input_schema": SCHEMA}]
MESSAGES_REQUEST: Json = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
GEMINI_CONFIG: Any = {"tools": [{"function_declarations": [{"name": "get_weather", "parameters": SCHEMA}]}]}
PNG = "iVBORw0KGgoAAAANSUhEUg=="


@pytest.fixture
def collect(is_async: bool) -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """
    Return a function that returns what a call returns, or the list of what it streams.
    """

    async def finish(call: Callable[[], Any]) -> Any:
        result = await call()
        return [event async for event in result] if hasattr(result, "__aiter__") else result

    def collect(call: Callable[[], Any]) -> Any:
        if is_async:
            # One loop, because a client keeps its connections.
            return loop.run_until_complete(finish(call))
        result = call()
        return list(result) if hasattr(result, "__next__") else result

    loop = asyncio.new_event_loop()
    yield collect
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture
def connect(request: pytest.FixtureRequest, collect: Any) -> Iterator[Callable[[ModelServer], Any]]:
    """
    Return a function that connects a client of the class's SDK to a server.
    """
    clients: list[Any] = []

    def connect(server: ModelServer) -> Any:
        clients.append(request.cls.make_client(server, is_async=request.getfixturevalue("is_async")))
        return clients[-1]

    yield connect
    for client in clients:
        collect(client.aclose if hasattr(client, "aclose") else client.close)


def plain(value: Any) -> Any:
    """
    Return a model of pydantic as JSON, without the fields that the server did not send.
    """
    return value.model_dump(mode="json", exclude_unset=True)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
class TestOpenAI:
    @staticmethod
    def make_client(server: ModelServer, *, is_async: bool) -> Any:
        openai = pytest.importorskip("openai", reason="the SDK of OpenAI is not installed")
        kind = openai.AsyncOpenAI if is_async else openai.OpenAI
        return kind(base_url=f"{server.url}/v1", api_key="none")

    def test_responses_are_read_plain_and_streamed(self, connect: Any, collect: Any, serve: Serve) -> None:
        server = serve(PARALLEL, PARALLEL)
        client = connect(server)
        request: Json = {"model": "m", "input": "hi", "tools": RESPONSES_TOOLS}

        response = collect(lambda: client.responses.create(**request))
        events = collect(lambda: client.responses.create(**request, stream=True))

        assert plain(response) == server.replies[0]
        assert response.output_text == "Both."
        assert [item.type for item in response.output] == ["reasoning", "message", "function_call", "function_call"]
        assert plain(events[-1].response) == server.replies[1]
        assert [plain(event) for event in events if event.type == "error"] == []
        assert {type(event).__name__ for event in events} >= {"ResponseReasoningSummaryTextDeltaEvent"}

    def test_the_helper_of_streams_builds_the_response(
        self, connect: Any, collect: Any, is_async: bool, serve: Serve
    ) -> None:
        server = serve(PARALLEL)
        client = connect(server)

        async def stream() -> Any:
            async with client.responses.stream(model="m", input="hi", tools=RESPONSES_TOOLS) as stream:
                async for _ in stream:
                    pass
                return await stream.get_final_response()

        def stream_now() -> Any:
            with client.responses.stream(model="m", input="hi", tools=RESPONSES_TOOLS) as stream:
                return stream.get_final_response()

        response = collect(stream if is_async else stream_now)

        assert response.id == server.replies[0]["id"]
        assert [call.arguments for call in response.output[2:]] == ['{"city": "Paris"}', '{"city": "Zürich"}']

    def test_chat_is_read_plain_and_streamed(self, connect: Any, collect: Any, serve: Serve) -> None:
        server = serve(PARALLEL, PARALLEL)
        client = connect(server)
        request: Json = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": CHAT_TOOLS}

        completion = collect(lambda: client.chat.completions.create(**request))
        usage = {"stream_options": {"include_usage": True}}
        chunks = collect(lambda: client.chat.completions.create(**request, **usage, stream=True))

        assert plain(completion) == server.replies[0]
        deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
        assert "".join(delta.content or "" for delta in deltas) == "Both."
        calls = [call for delta in deltas for call in delta.tool_calls or ()]
        arguments = ["".join(c.function.arguments for c in calls if c.index == index) for index in (0, 1)]
        assert [json.loads(text) for text in arguments] == [{"city": "Paris"}, {"city": "Zürich"}]
        assert chunks[-1].usage.model_dump(exclude_unset=True) == server.replies[1]["usage"]

    def test_raw_responses_have_header_and_body(self, connect: Any, collect: Any, serve: Serve) -> None:
        server = serve()
        client = connect(server)
        raw = collect(lambda: client.responses.with_raw_response.create(model="m", input="hi"))
        messages = [{"role": "user", "content": "hi"}]
        raw_chat = collect(lambda: client.chat.completions.with_raw_response.create(model="m", messages=messages))

        assert raw.headers["x-request-id"] == "req_1"
        assert [plain(raw.parse()), plain(raw_chat.parse())] == server.replies

    def test_structured_outputs_are_parsed(self, connect: Any, collect: Any, serve: Serve) -> None:
        pydantic = pytest.importorskip("pydantic", reason="pydantic is not installed")
        city = pydantic.create_model("City", name=(str, ...), population=(int, ...))
        client = connect(serve())
        messages = [{"role": "user", "content": "hi"}]

        response = collect(lambda: client.responses.parse(model="m", input="hi", text_format=city))
        request: Json = {"model": "m", "messages": messages, "response_format": city}
        completion = collect(lambda: client.chat.completions.parse(**request))

        assert response.output_parsed == completion.choices[0].message.parsed == city(name="Paris", population=1)

    @pytest.mark.parametrize(("status", "name"), [(429, "RateLimitError"), (500, "InternalServerError")])
    def test_an_error_is_tried_again_and_then_raised(
        self, connect: Any, collect: Any, serve: Serve, status: int, name: str
    ) -> None:
        server = serve(*[Answer("no", status=status)] * 4)
        client = connect(server)

        with pytest.raises(Exception, match="no") as caught:
            collect(lambda: client.responses.create(model="m", input="hi"))

        assert type(caught.value).__name__ == name
        assert len(server.requests) == 3
        assert collect(lambda: client.responses.create(model="m", input="hi")).output_text == TEXT

    def test_a_stream_that_is_cut_raises(self, connect: Any, collect: Any, serve: Serve) -> None:
        client = connect(serve(Answer("x" * 100, cut_after=5)))

        with pytest.raises(Exception, match="Connection error") as caught:
            collect(lambda: client.responses.create(model="m", input="hi", stream=True))

        assert "incomplete chunked read" in str(caught.value.__cause__)

    def test_an_error_in_a_chat_stream_raises(self, connect: Any, collect: Any, serve: Serve) -> None:
        client = connect(serve(Answer("overloaded", status=500, cut_after=1)))
        messages = [{"role": "user", "content": "hi"}]

        with pytest.raises(Exception, match="overloaded"):
            collect(lambda: client.chat.completions.create(model="m", messages=messages, stream=True))

    def test_a_timeout_raises(self, connect: Any, collect: Any, serve: Serve) -> None:
        client = connect(serve(Answer("late", delay=30))).with_options(timeout=0.2, max_retries=0)

        with pytest.raises(Exception, match="timed out"):
            collect(lambda: client.responses.create(model="m", input="hi"))

    def test_a_refusal_conversation_and_images_are_read(self, connect: Any, collect: Any, serve: Serve) -> None:
        server = serve(Answer(refusal="No."))
        client = connect(server)
        image = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}
        file = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}
        items: Any = [{"role": "user", "content": [image, file]}]

        first = collect(lambda: client.responses.create(model="m", input=items))
        conversation = collect(client.conversations.create)
        request: Json = {"model": "m", "input": "hi", "conversation": conversation.id}
        second = collect(lambda: client.responses.create(**request))

        assert first.output[0].content[0].refusal == "No."
        assert second.conversation.id == conversation.id


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
class TestAnthropic:
    @staticmethod
    def make_client(server: ModelServer, *, is_async: bool) -> Any:
        anthropic = pytest.importorskip("anthropic", reason="the SDK of Anthropic is not installed")
        kind = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
        return kind(base_url=server.url, api_key="none")

    def test_messages_are_read_plain_streamed_and_raw(self, connect: Any, collect: Any, serve: Serve) -> None:
        server = serve(PARALLEL, PARALLEL, PARALLEL)
        client = connect(server)
        request: Json = {**MESSAGES_REQUEST, "tools": MESSAGES_TOOLS}

        message = collect(lambda: client.messages.create(**request))
        events = collect(lambda: client.messages.create(**request, stream=True))
        raw = collect(lambda: client.messages.with_raw_response.create(**request))

        assert plain(message) == server.replies[0]
        assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
        assert message.content[0].signature == "c2lnbmF0dXJl"
        assert [events[0].type, events[-1].type] == ["message_start", "message_stop"]
        assert raw.headers["request-id"] == "req_1"
        assert plain(collect(raw.parse)) == server.replies[2]

    def test_the_helper_of_streams_builds_the_message(
        self, connect: Any, collect: Any, is_async: bool, serve: Serve
    ) -> None:
        server = serve(PARALLEL)
        client = connect(server)

        async def stream() -> Any:
            async with client.messages.stream(**MESSAGES_REQUEST, tools=MESSAGES_TOOLS) as stream:
                return await stream.get_final_message()

        def stream_now() -> Any:
            with client.messages.stream(**MESSAGES_REQUEST, tools=MESSAGES_TOOLS) as stream:
                return stream.get_final_message()

        message = collect(stream if is_async else stream_now)

        assert plain(message)["content"] == server.replies[0]["content"]
        assert plain(message)["usage"] == server.replies[0]["usage"]

    def test_a_tool_is_called_once(self, connect: Any, collect: Any, serve: Serve) -> None:
        client = connect(serve())
        request: Json = {**MESSAGES_REQUEST, "tools": MESSAGES_TOOLS}

        first = collect(lambda: client.messages.create(**request))
        result = {"type": "tool_result", "tool_use_id": first.content[-1].id, "content": "sunny"}
        messages = [*request["messages"], {"role": "assistant", "content": first.content}]
        messages += [{"role": "user", "content": [result]}]
        last = collect(lambda: client.messages.create(**{**request, "messages": messages}))

        assert [first.stop_reason, last.stop_reason] == ["tool_use", "end_turn"]
        assert last.content[0].text == TEXT

    def test_errors_cuts_and_timeouts_raise(self, connect: Any, collect: Any, serve: Serve) -> None:
        errors = [Answer("no", status=429)] * 3
        others = [Answer("x" * 100, cut_after=5), Answer("overloaded", status=500, cut_after=3), Answer(delay=30)]
        server = serve(*errors, *others)
        client = connect(server)

        with pytest.raises(Exception, match="no"):
            collect(lambda: client.messages.create(**MESSAGES_REQUEST))
        assert len(server.requests) == 3
        for error in ("incomplete", "overloaded"):
            with pytest.raises(Exception, match=error):
                collect(lambda: client.messages.create(**MESSAGES_REQUEST, stream=True))
        with pytest.raises(Exception, match="timed out"):
            collect(lambda: client.with_options(timeout=0.2, max_retries=0).messages.create(**MESSAGES_REQUEST))

    def test_tokens_are_counted(self, connect: Any, collect: Any, serve: Serve) -> None:
        client = connect(serve())
        request = {"model": "m", "messages": MESSAGES_REQUEST["messages"]}

        assert collect(lambda: client.messages.count_tokens(**request)).input_tokens == 120


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
class TestGemini:
    @staticmethod
    def make_client(server: ModelServer, *, is_async: bool) -> Any:
        genai = pytest.importorskip("google.genai", reason="the SDK of Gemini is not installed")
        client = genai.Client(api_key="none", http_options={"base_url": server.url})
        return client.aio if is_async else client

    def test_contents_are_read_plain_and_streamed(self, connect: Any, collect: Any, serve: Serve) -> None:
        server = serve(PARALLEL, PARALLEL)
        client = connect(server)
        request: Json = {"model": "gemini-x", "contents": "hi", "config": GEMINI_CONFIG}

        whole = collect(lambda: client.models.generate_content(**request))
        chunks = collect(lambda: client.models.generate_content_stream(**request))

        assert whole.text == "Both."
        assert [call.args["city"] for call in whole.function_calls] == ["Paris", "Zürich"]
        assert whole.model_version == "gemini-x"
        parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts or ()]
        assert "".join(part.text or "" for part in parts if not part.thought) == "Both."
        assert [part.function_call.args["city"] for part in parts if part.function_call] == ["Paris", "Zürich"]
        assert [part.thought_signature for part in parts if part.thought_signature] == [b"signature"]
        assert chunks[-1].usage_metadata.total_token_count == 135

    def test_a_function_is_called_once(self, connect: Any, collect: Any, serve: Serve) -> None:
        def get_weather(city: str) -> str:
            """
            Return the weather of a city.
            """
            return f"sunny in {city}"

        server = serve()
        client = connect(server)

        whole = collect(
            lambda: client.models.generate_content(model="g", contents="hi", config={"tools": [get_weather]})
        )

        assert whole.text == TEXT
        assert "sunny in Paris" in json.dumps(server.requests[1])

    def test_errors_and_cuts_raise(self, connect: Any, collect: Any, serve: Serve) -> None:
        client = connect(serve(Answer("slow down", status=429), Answer("x" * 100, cut_after=2)))

        with pytest.raises(Exception, match="slow down"):
            collect(lambda: client.models.generate_content(model="g", contents="hi"))
        with pytest.raises(Exception, match=r"(?i)incomplete|payload"):
            collect(lambda: client.models.generate_content_stream(model="g", contents="hi"))


class TestThreads:
    def test_many_share_a_client(self, serve: Serve) -> None:
        openai = pytest.importorskip("openai", reason="the SDK of OpenAI is not installed")
        server = serve()

        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client, ThreadPoolExecutor(8) as pool:
            texts = list(pool.map(lambda _: client.responses.create(model="m", input="hi").output_text, range(64)))

        assert texts == [TEXT] * 64
        assert len({reply["id"] for reply in server.replies}) == 64


def get_weather(city: str) -> str:
    """
    Return the weather of a city.

    Args:
        city: Name of the city.
    """
    return f"sunny in {city}"


def assert_called_once(server: ModelServer) -> None:
    """
    Check that the second request has the output of the tool, and that there is no other one.
    """
    assert ["sunny in Paris" in json.dumps(body) for _, body in server.requests] == [False, True]


@pytest.mark.parametrize("kind", ["chat", "responses", "anthropic"])
def test_langchain_calls_a_tool(server: ModelServer, kind: str) -> None:
    agents = pytest.importorskip("langchain.agents", reason="langchain is not installed")
    from langchain_anthropic import ChatAnthropic
    from langchain_openai import ChatOpenAI

    if kind == "anthropic":
        model = ChatAnthropic(model="m", base_url=server.url, api_key="none")
    else:
        model = ChatOpenAI(
            model="m", base_url=f"{server.url}/v1", api_key="none", use_responses_api=kind == "responses"
        )
    agent = agents.create_agent(model, tools=[get_weather])

    result = agent.invoke({"messages": [("user", "What is the weather?")]})

    assert result["messages"][-1].text == TEXT
    assert_called_once(server)


@pytest.mark.parametrize("kind", ["chat", "responses"])
def test_openai_agents_call_a_tool(server: ModelServer, kind: str) -> None:
    agents = pytest.importorskip("agents", reason="openai-agents is not installed")
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none")
    models = {"chat": agents.OpenAIChatCompletionsModel, "responses": agents.OpenAIResponsesModel}
    tools = [agents.function_tool(get_weather)]
    agent = agents.Agent(name="weather", model=models[kind]("m", client), tools=tools)
    agents.set_tracing_disabled(True)

    result = asyncio.run(agents.Runner.run(agent, "What is the weather?"))

    assert result.final_output == TEXT
    assert_called_once(server)


@pytest.mark.parametrize("kind", ["chat", "responses", "anthropic"])
def test_pydantic_ai_calls_a_tool(server: ModelServer, kind: str) -> None:
    pydantic_ai = pytest.importorskip("pydantic_ai", reason="pydantic-ai is not installed")
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.anthropic import AnthropicProvider
    from pydantic_ai.providers.openai import OpenAIProvider

    if kind == "anthropic":
        model: Any = AnthropicModel("m", provider=AnthropicProvider(api_key="none", base_url=server.url))
    else:
        provider = OpenAIProvider(base_url=f"{server.url}/v1", api_key="none")
        model = {"chat": OpenAIChatModel, "responses": OpenAIResponsesModel}[kind]("m", provider=provider)
    agent = pydantic_ai.Agent(model, tools=[get_weather])

    result = agent.run_sync("What is the weather?")

    assert result.output == TEXT
    assert_called_once(server)


@pytest.mark.parametrize("kind", ["OpenAIModel", "LiteLLMModel"])
def test_smolagents_call_a_tool(server: ModelServer, kind: str) -> None:
    smolagents = pytest.importorskip("smolagents", reason="smolagents is not installed")
    model = getattr(smolagents, kind)(model_id="openai/m", api_base=f"{server.url}/v1", api_key="none")
    agent = smolagents.ToolCallingAgent(tools=[smolagents.tool(get_weather)], model=model, verbosity_level=0)

    assert agent.run("What is the weather?") == TEXT
    assert_called_once(server)


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_litellm_calls_a_tool(server: ModelServer, kind: str) -> None:
    litellm = pytest.importorskip("litellm", reason="litellm is not installed")
    url = server.url if kind == "anthropic" else f"{server.url}/v1"
    request: Json = {"model": f"{kind}/m", "api_base": url, "api_key": "none", "tools": CHAT_TOOLS}
    messages: list[Any] = [{"role": "user", "content": "What is the weather?"}]

    call = litellm.completion(**request, messages=messages).choices[0].message
    output = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "sunny in Paris"}
    last = litellm.completion(**request, messages=[*messages, call.model_dump(), output])

    assert json.loads(call.tool_calls[0].function.arguments) == {"city": "Paris"}
    assert last.choices[0].message.content == TEXT
    assert_called_once(server)


def test_crewai_calls_a_tool(server: ModelServer) -> None:
    crewai = pytest.importorskip("crewai", reason="crewai is not installed")
    from crewai.tools import tool

    model = crewai.LLM(model="openai/gpt-4o", base_url=f"{server.url}/v1", api_key="none")
    own = {"role": "weather", "goal": "tell the weather", "backstory": "none"}
    agent = crewai.Agent(**own, llm=model, tools=[tool("get_weather")(get_weather)])
    task = crewai.Task(description="What is the weather?", expected_output="A sentence.", agent=agent)

    result = crewai.Crew(agents=[agent], tasks=[task]).kickoff()

    assert result.raw == TEXT
    assert_called_once(server)


def test_dspy_calls_a_tool(serve: Serve) -> None:
    dspy = pytest.importorskip("dspy", reason="dspy is not installed")
    steps = [
        {"next_thought": "I ask.", "next_tool_name": "get_weather", "next_tool_args": '{"city": "Paris"}'},
        {"next_thought": "I know.", "next_tool_name": "finish", "next_tool_args": "{}"},
        {"reasoning": "It is known.", "answer": TEXT},
    ]
    texts = ["\n".join(f"[[ ## {key} ## ]]\n{value}" for key, value in step.items()) for step in steps]
    server = serve(*(Answer(f"{text}\n[[ ## completed ## ]]") for text in texts))
    model = dspy.LM("openai/m", api_base=f"{server.url}/v1", api_key="none", cache=False)

    with dspy.context(lm=model):
        result = dspy.ReAct("question -> answer", tools=[get_weather])(question="What is the weather?")

    assert result.answer == TEXT
    assert ["sunny in Paris" in json.dumps(body) for _, body in server.requests] == [False, True, True]
