"""
The handler of LangChain records agents, graphs, chains and models as a server sees them, and changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest

pytest.importorskip("langchain", reason="langchain is not installed")

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.caches import InMemoryCache
from langchain_core.language_models.llms import LLM
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableGenerator, RunnableLambda
from langchain_core.tools import InjectedToolCallId, tool
from langchain_openai import ChatOpenAI, custom_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

from rollout import Recorder, instrument, load_history
from rollout.adapters.langchain import Handler
from rollout.adapters.langchain._items import read_request
from rollout.dialects import item_key
from rollout.document import Call, Document, DocumentBuilder
from tests.adapters.apis import APIS, Answer, Api, ModelServer, events_in, items_in, only, seen_items

ROOT = Path(__file__).parent.parent.parent
CHAT, MESSAGES = APIS[1], APIS[2]
each_api = pytest.mark.parametrize("api", APIS, ids=repr)
PARALLEL = Answer(
    "Both.", calls=[("get_weather", {"city": city}) for city in ("Paris", "Zürich")], reasoning="Two cities."
)
ONE = Answer(calls=[("get_weather", {"city": "Paris"})])
DONE = Answer("It is sunny.")
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
KEY = "sk-very-secret-key"


@tool
def get_weather(city: str) -> str:
    """
    Return the weather of a city.
    """
    return f"sunny in {city}"


@tool
def fail(city: str) -> str:
    """
    Raise an error.
    """
    raise ValueError(f"no city {city}")


def model_of(api: Api, server: ModelServer, **settings: Any) -> Any:
    if api.name == "messages":
        thinking = {"type": "enabled", "budget_tokens": 1024}
        return ChatAnthropic(
            model="claude",
            base_url=server.url,
            api_key=KEY,
            max_tokens=2000,
            max_retries=0,
            thinking=thinking,
            **settings,
        )
    if api.name == "responses":
        settings = {
            "use_responses_api": True,
            "reasoning": {"effort": "low"},
            "include": ["reasoning.encrypted_content"],
            **settings,
        }
    else:
        settings = {"reasoning_effort": "low", "stream_usage": True, **settings}
    return ChatOpenAI(model="m", base_url=f"{server.url}/v1", api_key=KEY, max_retries=0, **settings)


@pytest.fixture
def handler(tmp_path: Path) -> Iterator[Handler]:
    with Handler(home=tmp_path) as handler:
        yield handler


@pytest.fixture
def sdk(tmp_path: Path) -> Iterator[Any]:
    """
    Return the recording of the SDKs, which must record nothing that the handler records.
    """
    with instrument(home=tmp_path / "sdk") as sdk:
        yield sdk


def config(handler: Handler, **more: Any) -> Any:
    return {"callbacks": [handler], **more}


def plain(items: list[Any]) -> list[Any]:
    """
    Return items without what LangChain drops or adds, and with the values of arguments.
    """
    dropped = ("langchain", "status", "id", "logprobs", "annotations", "phase")

    def strip(value: Any) -> Any:
        if isinstance(value, list):
            return [strip(part) for part in value]
        if not isinstance(value, dict):
            return value
        return {
            key: json.loads(held) if key == "arguments" else strip(held)
            for key, held in value.items()
            if key not in dropped and held is not None and held is not False
        }

    return strip(items)


def texts(path: Path, kind: str = "user_message") -> list[str]:
    return [event["message"] for event in events_in(path, kind)]


def run_async(work: Any) -> Any:
    return asyncio.run(work)


async def collect(stream: Any) -> list[Any]:
    return [value async for value in stream]


WAYS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "invoke": lambda agent, value, config: agent.invoke(value, config),
    "ainvoke": lambda agent, value, config: run_async(agent.ainvoke(value, config)),
    "stream": lambda agent, value, config: list(agent.stream(value, config)),
    "astream": lambda agent, value, config: run_async(collect(agent.astream(value, config))),
    "astream_events": lambda agent, value, config: run_async(
        collect(agent.astream_events(value, config, version="v2"))
    ),
}
each_way = pytest.mark.parametrize("way", WAYS)


class TestAgents:
    @each_api
    @pytest.mark.parametrize("way", [*WAYS, "tokens"])
    def test_an_agent_is_recorded_once_as_the_server_saw_it(
        self, api: Api, way: str, serve: Any, handler: Handler, sdk: Any
    ) -> None:
        server = serve(PARALLEL, DONE)
        agent = create_agent(model_of(api, server), [get_weather], system_prompt="You are kind.")

        if way == "tokens":
            list(agent.stream(HELLO, config(handler), stream_mode="messages"))
        else:
            WAYS[way](agent, HELLO, config(handler))
        handler.close()

        path = only(handler)
        (_, first), (_, answer) = (seen_items(api, server, at) for at in range(2))
        seen, _ = seen_items(api, server, 1)
        outputs = [item for item in seen if item["type"] == "function_call_output"]
        # LangChain shows no reasoning of Chat Completions.
        sent = [item for item in first if api is not CHAT or item["type"] != "reasoning"]
        recorded = items_in(path)
        context = recorded[: -len([*sent, *outputs, *answer])]
        assert [(item["role"], item["content"][0]["text"]) for item in context] == [
            ("system", "You are kind."),
            ("user", "Hello"),
        ]
        assert plain(recorded[len(context) :]) == plain([*sent, *outputs, *answer])
        assert [key for item in recorded if (key := item_key(item))[0] == "call"] == [
            item_key(item) for item in seen if item["type"] == "function_call"
        ]
        assert sdk.sessions == handler.problems == sdk.problems == {}

    @each_api
    def test_usage_settings_and_durations_are_recorded(self, api: Api, serve: Any, handler: Handler) -> None:
        server = serve(PARALLEL, DONE)
        agent = create_agent(model_of(api, server, temperature=1.0), [get_weather])

        agent.invoke(HELLO, config(handler))
        handler.close()

        path = only(handler)
        counts = [event["info"]["last_token_usage"] for event in events_in(path, "token_count")]
        used = {"input_tokens": 120, "cached_input_tokens": 40, "output_tokens": 15, "total_tokens": 135}
        assert [{key: count[key] for key in used} for count in counts] == [used] * 2
        assert counts[0]["reasoning_output_tokens"] == (0 if api is MESSAGES else 5)
        (context,) = events_in(path, "turn_context")
        assert (context["model"], context.get("effort")) == (("claude", None) if api is MESSAGES else ("m", "low"))
        assert context["settings"]["temperature"] == 1.0
        assert "get_weather" in json.dumps(context["tools"])
        ends = events_in(path, "mcp_tool_call_end")
        assert [end["result"]["Ok"]["content"][0]["text"] for end in ends] == ["sunny in Paris", "sunny in Zürich"]
        assert all(0 < end["duration"]["nanos"] < 10**9 and end["duration"]["secs"] == 0 for end in ends)

    def test_the_next_question_is_the_next_turn_of_the_session(self, serve: Any, handler: Handler) -> None:
        server = serve(ONE, DONE, DONE)
        agent = create_agent(model_of(CHAT, server), [get_weather], checkpointer=InMemorySaver())
        thread = config(handler, configurable={"thread_id": "1"})

        agent.invoke(HELLO, thread)
        agent.invoke({"messages": [{"role": "user", "content": "And tomorrow?"}]}, thread)
        handler.close()

        assert texts(only(handler)) == ["Hello", "And tomorrow?"]
        assert statuses(only(handler)) == ["completed"] * 2

    def test_a_recorder_of_the_caller_stays_open(self, serve: Any, tmp_path: Path) -> None:
        server = serve(ONE, DONE)
        agent = create_agent(model_of(CHAT, server), [get_weather])

        with Recorder(home=tmp_path) as recorder:
            with Handler(recorder) as handler:
                agent.invoke(HELLO, config(handler))
            recorder.agent_message("The end.")

        assert handler.sessions == handler.problems == {}
        assert texts(recorder.path, "agent_message") == ["It is sunny.", "The end."]

    def test_a_tool_that_fails_is_a_failed_call(self, serve: Any, handler: Handler) -> None:
        server = serve(Answer(calls=[("fail", {"city": "Nowhere"})]), DONE)
        agent = create_agent(model_of(CHAT, server), [fail])

        with pytest.raises(ValueError, match="no city"):
            agent.invoke(HELLO, config(handler))
        handler.close()

        (end,) = events_in(only(handler), "mcp_tool_call_end")
        (turn,) = events_in(only(handler), "task_complete")
        assert "ValueError: no city Nowhere" in json.dumps(end["result"])
        assert turn["error"]["message"] == "ValueError: no city Nowhere"
        assert [call.is_failed for call in turn_calls(only(handler))] == [True]

    @pytest.mark.parametrize("name", ["fail", "missing"])
    def test_an_error_that_the_graph_handles_is_a_failed_call(self, name: str, serve: Any, handler: Handler) -> None:
        server = serve(Answer(calls=[(name, {"city": "Nowhere"})]), DONE)
        graph = tool_graph(model_of(CHAT, server), ToolNode([fail], handle_tool_errors=True))

        graph.invoke(HELLO, config(handler))
        handler.close()

        (output,) = [item for item in items_in(only(handler)) if item["type"] == "function_call_output"]
        assert output["output"].startswith("Error")
        assert output["is_error"]
        assert [call.is_failed for call in turn_calls(only(handler))] == [True]
        assert "error" not in events_in(only(handler), "task_complete")[0]

    def test_an_output_without_an_event_is_recorded(self, serve: Any, handler: Handler) -> None:
        def run(state: Any) -> Any:
            return {"messages": [ToolMessage("by hand", tool_call_id=state["messages"][-1].tool_calls[0]["id"])]}

        graph = tool_graph(model_of(CHAT, serve(Answer(calls=[("fail", {"city": "X"})]), DONE)), run)

        graph.invoke(HELLO, config(handler))
        handler.close()

        assert [(call.output, call.is_failed) for call in turn_calls(only(handler))] == [("by hand", False)]

    def test_a_call_that_a_person_answers_is_one_turn(self, serve: Any, handler: Handler) -> None:
        @tool
        def ask(question: str) -> str:
            """
            Ask a person.
            """
            return str(interrupt(question))

        server = serve(Answer(calls=[("ask", {"question": "Which?"})]), DONE)
        agent = create_agent(model_of(CHAT, server), [ask], checkpointer=InMemorySaver())
        thread = config(handler, configurable={"thread_id": "1"})

        agent.invoke(HELLO, thread)
        agent.invoke(Command(resume="This"), thread)
        handler.close()

        (call,) = turn_calls(only(handler))
        assert (statuses(only(handler)), call.output, call.is_failed) == (["completed"], "This", False)

    def test_a_loop_over_a_chain_is_one_turn(self, serve: Any, handler: Handler) -> None:
        server = serve(ONE, DONE)
        model = model_of(CHAT, server).bind_tools([get_weather])
        chain = ChatPromptTemplate.from_messages([("placeholder", "{messages}")]) | model
        messages: list[Any] = [HumanMessage("Hello")]

        messages.append(chain.invoke({"messages": messages}, config(handler)))
        messages += [get_weather.invoke(call, config(handler)) for call in messages[-1].tool_calls]
        chain.invoke({"messages": messages}, config(handler))
        handler.close()

        assert len(events_in(only(handler), "task_started")) == 1
        assert len(events_in(only(handler), "mcp_tool_call_end")) == 1

    def test_outputs_of_all_forms_are_recorded_without_a_further_request(self, serve: Any, handler: Handler) -> None:
        @tool(return_direct=True)
        def command(call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
            """
            Return a command.
            """
            return Command(update={"messages": [ToolMessage("commanded", tool_call_id=call_id)]})

        server = serve(Answer(calls=[("command", {})]))
        agent = create_agent(model_of(CHAT, server), [command])

        agent.invoke(HELLO, config(handler))
        handler.close()

        assert [call.output for call in turn_calls(only(handler))] == ["commanded"]
        assert statuses(only(handler)) == ["completed"]

    def test_a_command_without_a_message_is_recorded_as_text(self, serve: Any, handler: Handler) -> None:
        server = serve(ONE)
        model = model_of(CHAT, server).bind_tools([get_weather])

        @tool
        def move() -> Command[Any]:
            """
            Go to another node.
            """
            return Command(goto="other")

        (call,) = model.invoke("Hello", config(handler)).tool_calls
        move.invoke({**call, "args": {}}, config(handler))
        move.invoke({}, config(handler))
        handler.close()

        (call,) = turn_calls(only(handler))
        assert "other" in call.output


def document_of(path: Path) -> Document:
    history = load_history(path)
    assert history.skipped == ()
    builder = DocumentBuilder(path)
    for number, line in zip(history.numbers, history.lines, strict=True):
        builder.add(line, number)
    assert builder.document is not None
    return builder.document


def turn_calls(path: Path) -> list[Call]:
    return [item.call for turn in document_of(path).turns for item in turn.items if item.call is not None]


def statuses(path: Path) -> list[str | None]:
    return [turn.status for turn in document_of(path).turns if turn.number]


def tool_graph(model: Any, tools: Any, name: str = "graph") -> Any:
    """
    Return a graph of a model and its tools that LangGraph compiles without `create_agent`.
    """
    bound = model.bind_tools([fail])

    def route(state: Any) -> str:
        return "tools" if state["messages"][-1].tool_calls else "__end__"

    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [bound.invoke(state["messages"])]})
    graph.add_node("tools", tools)
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", route)
    graph.add_edge("tools", "model")
    return graph.compile(name=name)


class TestSubAgents:
    @pytest.mark.parametrize("is_async", [False, True])
    def test_an_agent_in_a_tool_has_a_session_below_the_first(self, is_async: bool, serve: Any, tmp_path: Path) -> None:
        server = serve(Answer(calls=[("research", {"question": "Why?"})]), ONE, Answer("Because."), DONE)
        inner = create_agent(model_of(CHAT, server), [get_weather], name="researcher")

        @tool
        async def research(question: str) -> str:
            """
            Ask the other agent.
            """
            answer = await inner.ainvoke({"messages": [{"role": "user", "content": question}]})
            return str(answer["messages"][-1].content)

        @tool("research")
        def research_now(question: str) -> str:
            """
            Ask the other agent.
            """
            return str(inner.invoke({"messages": [{"role": "user", "content": question}]})["messages"][-1].content)

        outer = create_agent(model_of(CHAT, server), [research if is_async else research_now])
        with Recorder(home=tmp_path) as recorder, Handler(recorder) as handler:
            WAYS["ainvoke" if is_async else "invoke"](outer, HELLO, config(handler))

        (sub,) = handler.sessions.values()
        meta = events_in(sub, "session_meta")[0]
        assert (meta["parent_thread_id"], meta["agent_nickname"]) == (recorder.session_id, "researcher")
        assert (texts(recorder.path), texts(sub)) == (["Hello"], ["Why?"])
        assert [len(events_in(path, "task_complete")) for path in (recorder.path, sub)] == [1, 1]
        assert [call.output for call in turn_calls(sub)] == ["sunny in Paris"]
        assert [call.output for call in turn_calls(recorder.path)] == ["Because."]

    def test_the_error_of_an_agent_in_a_tool_ends_only_its_own_turn(self, serve: Any, tmp_path: Path) -> None:
        server = serve(Answer(calls=[("research", {})]), Answer(calls=[("fail", {"city": "X"})]), DONE)
        inner = create_agent(model_of(CHAT, server), [fail])

        @tool
        def research() -> str:
            """
            Ask the other agent.
            """
            with pytest.raises(ValueError, match="no city"):
                inner.invoke({"messages": [{"role": "user", "content": "Why?"}]})
            return "It failed."

        with Recorder(home=tmp_path) as recorder, Handler(recorder) as handler:
            create_agent(model_of(CHAT, server), [research]).invoke(HELLO, config(handler))

        (sub,) = handler.sessions.values()
        assert statuses(sub) == ["failed"]
        assert statuses(recorder.path) == ["completed"]

    @each_way
    def test_a_graph_with_an_agent_as_a_node_is_one_session(
        self, way: str, serve: Any, handler: Handler, sdk: Any
    ) -> None:
        server = serve(ONE, DONE, Answer("Bye."))
        model = model_of(CHAT, server)
        graph = StateGraph(MessagesState)
        graph.add_node("agent", create_agent(model, [get_weather]))
        graph.add_node("last", RunnableLambda(lambda state: {"messages": [model.invoke(state["messages"])]}))
        graph.add_edge(START, "agent")
        graph.add_edge("agent", "last")

        WAYS[way](graph.compile(), HELLO, config(handler))
        handler.close()

        assert texts(only(handler), "agent_message") == ["It is sunny.", "Bye."]
        assert len(items_in(only(handler))) == 5
        assert sdk.sessions == {}


class TestModels:
    @each_api
    @each_way
    def test_a_model_is_recorded_once(self, api: Api, way: str, serve: Any, handler: Handler, sdk: Any) -> None:
        server = serve(Answer("Hi.", reasoning="A greeting."))
        model = model_of(api, server)

        WAYS[way](model, "Hello", config(handler))
        handler.close()

        request, reply = seen_items(api, server)
        expected = [item for item in [*request, *reply] if api is not CHAT or item["type"] != "reasoning"]
        assert plain(items_in(only(handler))) == plain(expected)
        assert events_in(only(handler), "token_count")[-1]["info"]["last_token_usage"]["input_tokens"] == 120
        assert len(events_in(only(handler), "task_complete")) == 1
        assert sdk.sessions == {}

    @pytest.mark.parametrize("is_async", [False, True])
    @pytest.mark.filterwarnings("ignore")
    def test_the_newest_events_are_recorded_once(self, is_async: bool, serve: Any, handler: Handler, sdk: Any) -> None:
        server = serve(Answer("Hi."), Answer("Hi."))
        model = model_of(CHAT, server)

        async def read() -> None:
            stream = await model.astream_events("Hello", config(handler), version="v3")
            await collect(stream)

        if is_async:
            run_async(read())
        else:
            list(model.stream_events("Hello", config(handler), version="v3"))
        handler.close()

        assert texts(only(handler), "agent_message") == ["Hi."]
        assert sdk.sessions == {}

    @pytest.mark.parametrize("way", ["batch", "abatch", "generate", "agenerate"])
    def test_each_request_of_a_batch_is_recorded_once(self, way: str, serve: Any, handler: Handler, sdk: Any) -> None:
        server = serve(lambda _, body: Answer(f"Re: {body['messages'][0]['content']}"))
        model = model_of(CHAT, server, streaming=way == "generate")
        prompts = ["one", "two", "three"]
        lists = [[HumanMessage(prompt)] for prompt in prompts]

        if way == "batch":
            model.batch(prompts, config(handler))
        elif way == "abatch":
            run_async(model.abatch(prompts, config(handler)))
        elif way == "generate":
            model.generate(lists, callbacks=[handler])
        else:
            run_async(model.agenerate(lists, callbacks=[handler]))
        model.invoke("four", config(handler))
        handler.close()

        found = {texts(path)[0]: texts(path, "agent_message") for path in handler.sessions.values()}
        assert found == {prompt: [f"Re: {prompt}"] for prompt in [*prompts, "four"]}
        assert sdk.sessions == {}

    @pytest.mark.parametrize("is_async", [False, True])
    def test_a_batch_that_fails_does_not_hide_later_requests(
        self, is_async: bool, serve: Any, handler: Handler, sdk: Any
    ) -> None:
        def answer(_: str, body: Any) -> Answer:
            return Answer(status=500 if body["messages"][0]["content"] == "two" else 200, text="Re")

        model = model_of(CHAT, serve(answer))
        lists = [[HumanMessage(prompt)] for prompt in ("one", "two", "three")]

        async def work() -> None:
            with pytest.raises(Exception, match="Re"):
                await model.agenerate(lists, callbacks=[handler])
            await model.ainvoke("four", config(handler))

        if is_async:
            run_async(work())
        else:
            with pytest.raises(Exception, match="Re"):
                model.generate(lists, callbacks=[handler])
            model.invoke("four", config(handler))
        handler.close()

        found = {texts(path)[0]: texts(path, "agent_message") for path in handler.sessions.values()}
        kept = ["Re"] if is_async else []
        assert found == {"one": kept, "two": [], "three": kept, "four": ["Re"]}
        assert sdk.sessions == {}

    def test_choices_are_recorded_with_their_numbers(self, serve: Any, handler: Handler) -> None:
        server = serve(Answer("Hi."))

        model_of(CHAT, server, n=2).invoke("Hello", config(handler))
        handler.close()

        answers = [item for item in items_in(only(handler)) if item.get("role") == "assistant"]
        assert [(item["content"][0]["text"], item.get("choice")) for item in answers] == [("Hi.", None), ("Hi. (2)", 1)]
        assert len(events_in(only(handler), "token_count")) == 1

    @pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "batch", "abatch"])
    def test_a_model_for_texts_is_recorded_once(self, way: str, serve: Any, handler: Handler, sdk: Any) -> None:
        server = serve(lambda _, body: Answer(f"Re: {body['messages'][0]['content']}"))
        model = TextModel(server=server)

        if way == "batch":
            model.batch(["one", "two"], config(handler))
        elif way == "abatch":
            run_async(model.abatch(["one", "two"], config(handler)))
        else:
            WAYS[way](model, "one", config(handler))
        handler.close()

        found = sorted((texts(path), texts(path, "agent_message")) for path in handler.sessions.values())
        expected = [(["one"], ["Re: one"]), (["two"], ["Re: two"])]
        assert found == (expected if "batch" in way else expected[:1])
        # LangChain shows the request of such a model in another context, if it is one of asyncio.
        assert len(sdk.sessions) == {"ainvoke": 1, "abatch": 2}.get(way, 0)

    def test_an_answer_from_a_cache_has_no_usage(self, serve: Any, handler: Handler) -> None:
        server = serve(Answer("Hi."))
        model = model_of(CHAT, server, cache=InMemoryCache())

        for _ in range(2):
            model.invoke("Hello", config(handler))
        handler.close()

        first, second = handler.sessions.values()
        assert texts(first, "agent_message") == texts(second, "agent_message") == ["Hi."]
        assert [len(events_in(path, "token_count")) for path in (first, second)] == [1, 0]

    def test_a_request_that_continues_a_response_belongs_to_its_session(self, serve: Any, handler: Handler) -> None:
        model = model_of(APIS[0], serve(Answer("Hi."), Answer("Bye.")))

        first = model.invoke("Hello", config(handler))
        model.invoke("More?", config(handler), previous_response_id=first.response_metadata["id"])
        handler.close()

        assert texts(only(handler)) == ["Hello", "More?"]

    def test_headers_and_keys_are_not_recorded(self, serve: Any, handler: Handler) -> None:
        model = model_of(CHAT, serve(Answer("Hi.")), include_response_headers=True)

        model.invoke("Hello", config(handler), extra_headers={"x-token": KEY})
        handler.close()

        text = only(handler).read_text()
        assert KEY not in text
        assert "x-request-id" not in text
        assert "api_key" not in text


class TextModel(LLM):
    """
    A model for texts, which asks a model of OpenAI by its SDK.
    """

    server: Any

    @property
    def _llm_type(self) -> str:
        return "text"

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **_: Any) -> str:
        import openai

        client = openai.OpenAI(base_url=f"{self.server.url}/v1", api_key=KEY, max_retries=0)
        with client:
            done = client.chat.completions.create(model="m", messages=[{"role": "user", "content": prompt}])
        return str(done.choices[0].message.content)


class TestStreams:
    @pytest.mark.parametrize("is_async", [False, True])
    def test_an_abandoned_stream_is_recorded_as_far_as_it_came(
        self, is_async: bool, serve: Any, handler: Handler, sdk: Any
    ) -> None:
        model = model_of(CHAT, serve(Answer("A long answer. " * 20), Answer("Hi.")))

        async def read() -> None:
            stream = model.astream("Hello", config(handler))
            async for chunk in stream:
                if chunk.content:
                    break
            await stream.aclose()

        if is_async:
            run_async(read())
        else:
            stream = model.stream("Hello", config(handler))
            next(chunk for chunk in stream if chunk.content)
            stream.close()
        model.invoke("Hello", config(handler))
        handler.close()

        part, whole = texts(only(handler), "agent_message")
        assert ("A long answer. " * 20).startswith(part)
        assert whole == "Hi."
        assert sdk.sessions == {}

    def test_a_chain_that_ends_before_its_parts_leaves_nothing(self, serve: Any, handler: Handler) -> None:
        def pass_on(chunks: Iterator[Any]) -> Iterator[Any]:
            yield from chunks

        model = model_of(CHAT, serve(Answer("A long answer. " * 20)))
        stream = (RunnableLambda(str) | model | RunnableGenerator(pass_on)).stream("Hello", config(handler))

        next(stream)
        stream.close()

        assert handler._calls == handler._chains == {}

    @pytest.mark.parametrize("name", ["chain", "agent"])
    def test_an_abandoned_run_ends(self, name: str, serve: Any, handler: Handler) -> None:
        model = model_of(CHAT, serve(Answer("A long answer. " * 20)))
        if name == "chain":
            stream = (ChatPromptTemplate.from_messages([("human", "{text}")]) | model).stream(
                {"text": "Hello"}, config(handler)
            )
        else:
            agent = create_agent(model, [get_weather])
            stream = agent.stream(HELLO, config(handler), stream_mode="messages")

        next(stream)
        stream.close()
        handler.close()

        assert texts(only(handler)) == ["Hello"]
        # LangGraph waits for the thread that reads the answer.
        assert texts(only(handler), "agent_message") == (["A long answer. " * 20] if name == "agent" else [])
        assert statuses(only(handler)) == ["completed"]

    @each_api
    def test_a_stream_that_breaks_is_recorded_with_its_error(self, api: Api, serve: Any, handler: Handler) -> None:
        calls = [("get_weather", {"city": "Paris"})]
        model = model_of(api, serve(Answer("A long answer. " * 20, calls=calls, cut_after=20)))

        with pytest.raises(Exception) as raised:
            list(model.bind_tools([get_weather]).stream("Hello", config(handler)))
        handler.close()

        (error,) = events_in(only(handler), "error")
        (part,) = texts(only(handler), "agent_message")
        assert type(raised.value).__name__ in error["message"]
        assert ("A long answer. " * 20).startswith(part)
        assert KEY not in only(handler).read_text()

    @pytest.mark.parametrize("is_async", [False, True])
    def test_requests_of_the_reader_of_a_stream_are_recorded(
        self, is_async: bool, serve: Any, handler: Handler, sdk: Any
    ) -> None:
        server = serve(lambda _, body: Answer("A long answer. " * 9, choices=1))
        model = model_of(CHAT, server)
        text = TextModel(server=server)

        async def read() -> None:
            async for _ in model.astream("Hello", config(handler)):
                await model.ainvoke("Inside", config(handler))
                text._call("Directly")
                break

        if is_async:
            run_async(read())
        else:
            for _ in model.stream("Hello", config(handler)):
                model.invoke("Inside", config(handler))
                text._call("Directly")
                break
        handler.close()
        sdk.close()

        assert sorted(texts(path)[0] for path in handler.sessions.values()) == ["Hello", "Inside"]
        assert texts(only(sdk)) == ["Directly"]


class TestErrors:
    @each_api
    @pytest.mark.parametrize(("status", "way"), [(429, "invoke"), (500, "ainvoke"), (429, "stream")])
    def test_an_error_of_the_api_is_recorded_and_raised(
        self, api: Api, status: int, way: str, serve: Any, handler: Handler, sdk: Any
    ) -> None:
        agent = create_agent(model_of(api, serve(Answer("No luck.", status=status))), [get_weather])

        with pytest.raises(Exception, match="No luck") as raised:
            WAYS[way](agent, HELLO, config(handler))
        handler.close()

        name = type(raised.value).__name__
        assert ("RateLimit" in name) == (status == 429)
        assert all(event["message"].startswith(name) for event in events_in(only(handler), "error"))
        assert statuses(only(handler)) == ["failed"]
        assert handler.problems == {}
        assert sdk.sessions == {}

    def test_a_request_that_is_tried_again_is_recorded_once(self, serve: Any, handler: Handler) -> None:
        model = model_of(CHAT, serve(Answer("Busy.", status=429), Answer("Hi.")))

        model.with_retry(wait_exponential_jitter=False).invoke("Hello", config(handler))
        handler.close()

        assert texts(only(handler)) == ["Hello"]
        assert texts(only(handler), "agent_message") == ["Hi."]
        assert "Busy" in events_in(only(handler), "error")[0]["message"]

    @pytest.mark.parametrize("follows", ["model", "task", "agent", "tool", "nothing"])
    def test_a_cancelled_request_is_interrupted_and_hides_nothing(
        self, follows: str, serve: Any, handler: Handler, sdk: Any
    ) -> None:
        def answer(_: str, body: Any) -> Answer:
            return Answer("Hi.", delay=30 if body["messages"][-1]["content"] == "Slow" else 0)

        server = serve(answer)
        model = model_of(CHAT, server)
        messages: Any = {"messages": [{"role": "user", "content": "Fast"}]}

        async def work() -> None:
            # `wait_for` has the same context only since Python 3.12.
            slow = asyncio.current_task()
            assert slow is not None
            asyncio.get_running_loop().call_later(0.3, slow.cancel)
            with pytest.raises(asyncio.CancelledError):
                await model.ainvoke("Slow", config(handler))
            if follows == "model":
                await model.ainvoke("Fast", config(handler))
            elif follows == "task":
                await asyncio.gather(model.ainvoke("Fast", config(handler)))
            elif follows == "agent":
                await create_agent(model, []).ainvoke(messages, config(handler))
            elif follows == "tool":
                await get_weather.ainvoke({"city": "Paris"}, config(handler))
                await asyncio.to_thread(model.invoke, "Fast", config(handler))
            await asyncio.to_thread(TextModel(server=server)._call, "Directly")

        run_async(work())
        handler.close()
        sdk.close()

        found = [(texts(path)[0], statuses(path)) for path in handler.sessions.values()]
        fast = [] if follows == "nothing" else [("Fast", ["completed"])]
        assert found == [("Slow", ["interrupted"]), *fast]
        assert texts(only(sdk)) == ["Directly"]
        assert (handler.problems, sdk.problems) == ({}, {})

    def test_a_cancelled_agent_is_interrupted(self, serve: Any, handler: Handler) -> None:
        agent = create_agent(model_of(CHAT, serve(Answer("Hi.", delay=30))), [get_weather])

        async def work() -> None:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(agent.ainvoke(HELLO, config(handler)), 0.3)

        run_async(work())
        assert handler._calls == handler._chains == handler._tools == handler._exchanges == {}
        handler.close()

        assert statuses(only(handler)) == ["interrupted"]

    def test_an_agent_that_is_cancelled_in_a_tool_leaves_nothing(self, serve: Any, handler: Handler) -> None:
        @tool
        async def wait(city: str) -> str:
            """
            Wait for the weather.
            """
            await asyncio.sleep(30)
            return city

        agent = create_agent(model_of(CHAT, serve(Answer(calls=[("wait", {"city": "Paris"})]))), [wait])

        async def work() -> None:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(agent.ainvoke(HELLO, config(handler)), 0.5)

        run_async(work())
        assert handler._calls == handler._chains == handler._tools == handler._exchanges == {}
        handler.close()

        assert statuses(only(handler)) == ["interrupted"]

    def test_a_fault_of_recording_is_counted_and_does_not_reach_the_agent(self, serve: Any, tmp_path: Path) -> None:
        def redact(value: Any) -> Any:
            raise RuntimeError("no redaction")

        agent = create_agent(model_of(CHAT, serve(ONE, DONE)), [get_weather])

        with Handler(home=tmp_path, redact=redact) as handler:
            answer = agent.invoke(HELLO, config(handler))

        assert answer["messages"][-1].content == "It is sunny."
        assert sum(handler.problems.values()) >= 2
        assert all("no redaction" in problem for problem in handler.problems)

    def test_events_that_cannot_be_read_are_counted(self, serve: Any, handler: Handler) -> None:
        model = model_of(CHAT, serve(Answer("Hi.")))

        handler.on_chat_model_start({}, [[object()]], run_id=1)
        handler.on_chat_model_start({}, [[HumanMessage("Hello")]], run_id=2)
        handler.on_llm_end(object(), run_id=2)
        handler.on_llm_end(object(), run_id=3)
        handler.on_llm_error(ValueError(), run_id=3)
        handler.on_chain_end({}, run_id=3)
        handler.on_tool_end(object(), run_id=3)
        model.invoke("Hello again", config(handler))
        handler.close()

        assert sorted(problem.split(" could")[0] for problem in handler.problems) == ["a request", "an answer"]
        assert [texts(path)[0] for path in handler.sessions.values()] == ["Hello", "Hello again"]


class TestThreads:
    def test_two_runs_at_once_are_two_sessions(self, serve: Any, handler: Handler, sdk: Any) -> None:
        barrier = threading.Barrier(2)

        def answer(_: str, body: Any) -> Answer:
            barrier.wait(10)
            return DONE if any(message["role"] == "tool" for message in body["messages"]) else ONE

        agent = create_agent(model_of(CHAT, serve(answer)), [get_weather])

        agent.batch([HELLO, HELLO], config(handler))
        handler.close()

        assert [texts(path) for path in handler.sessions.values()] == [["Hello"]] * 2
        assert [len(items_in(path)) for path in handler.sessions.values()] == [4] * 2
        assert [statuses(path) for path in handler.sessions.values()] == [["completed"]] * 2
        assert sdk.sessions == {}

    def test_two_handlers_record_the_same(self, serve: Any, handler: Handler, tmp_path: Path) -> None:
        model = model_of(CHAT, serve(Answer("Hi.")))

        with Handler(home=tmp_path) as other:
            model.invoke("Hello", {"callbacks": [other, handler]})
        handler.close()

        # The first one marks the request as recorded.
        assert (len(other.sessions), len(handler.sessions)) == (1, 0)


def contents(items: list[Any]) -> list[Any]:
    return [(item["type"], item.get("role"), item.get("content")) for item in items]


class TestContents:
    def items(self, *messages: Any) -> list[Any]:
        return read_request(list(messages), {}).items

    def test_images_and_files_are_parts_and_items(self) -> None:
        png = {"type": "image", "base64": "iVBOR", "mime_type": "image/png"}
        old = {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}}
        file = {"type": "file", "base64": "JVBER", "mime_type": "application/pdf"}
        message = HumanMessage([{"type": "text", "text": "Look"}, png, old, file, {"type": "text", "text": "Well?"}])
        before = message.model_dump()

        first, own, last = self.items(message)

        assert first["content"] == [
            {"type": "input_text", "text": "Look"},
            {"type": "input_image", "image_url": "data:image/png;base64,iVBOR"},
            {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "low"},
        ]
        assert own == {**file, "type": "langchain_file", "role": "user"}
        assert last["content"] == [{"type": "input_text", "text": "Well?"}]
        assert message.model_dump() == before

    def test_an_image_that_is_sent_is_recorded_as_the_server_saw_it(self, serve: Any, handler: Handler) -> None:
        server = serve(Answer("A dot."))
        image = {"type": "image", "base64": "iVBORw0KGgoAAAANSUhEUg==", "mime_type": "image/png"}

        model_of(MESSAGES, server).invoke([HumanMessage([{"type": "text", "text": "Look"}, image])], config(handler))
        handler.close()

        request, reply = seen_items(MESSAGES, server)
        assert plain(items_in(only(handler))) == plain([*request, *reply])

    @pytest.mark.parametrize("way", ["invoke", "stream"])
    def test_blocks_of_providers_are_kept(self, way: str, serve: Any, handler: Handler) -> None:
        search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
        search["action"] = {"type": "search", "query": "weather"}  # type: ignore[assignment]
        used = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "weather"}}
        found = {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []}
        answers = [(APIS[0], [search]), (MESSAGES, [{"type": "redacted_thinking", "data": "c2VhbGVk"}])]
        if way == "invoke":
            # A stream sends no input at once.
            answers.append((MESSAGES, [used, found]))
        server = serve(*(Answer("Hi.", extra=extra) for _, extra in answers))

        for at, (api, _) in enumerate(answers):
            WAYS[way](model_of(api, server), str(at), config(handler))
        handler.close()

        for at, path in enumerate(handler.sessions.values()):
            request, reply = seen_items(answers[at][0], server, at)
            assert plain(items_in(path)) == plain([*request, *reply])

    def test_a_custom_tool_is_recorded_as_the_server_saw_it(self, serve: Any, handler: Handler) -> None:
        @custom_tool
        def run(code: str) -> str:
            """
            Run code.
            """
            return "1"

        server = serve(Answer(calls=[("run", "print(1)")]), DONE)

        create_agent(model_of(APIS[0], server), [run]).invoke(HELLO, config(handler))
        handler.close()

        request, reply = seen_items(APIS[0], server, 1)
        assert plain(items_in(only(handler))) == plain([*request, *reply])
        assert [call.output for call in turn_calls(only(handler))] == ["1"]

    def test_a_refusal_is_an_answer(self, serve: Any, handler: Handler) -> None:
        server = serve(Answer(refusal="I will not."), Answer(refusal="I will not."))

        # LangChain drops a refusal in a stream of Chat Completions.
        model_of(CHAT, server).invoke("Hello", config(handler))
        list(model_of(APIS[0], server).stream("Hello", config(handler)))
        handler.close()

        part = {"type": "output_text", "text": "I will not.", "refusal": True}
        assert [items_in(path)[-1]["content"] for path in handler.sessions.values()] == [[part]] * 2

    def test_other_messages_and_blocks_become_items_of_their_own(self) -> None:
        items = self.items(
            SystemMessage("Be kind", additional_kwargs={"__openai_role__": "developer"}),
            ChatMessage("Hi", role="critic"),
            FunctionMessage("21", name="f"),
            AIMessage(""),
            AIMessage([{"type": "text", "text": 5}, {"type": "new", "value": {"x": 1}}], name="a"),
            AIMessage(["Hi", {"x": 1}, {"type": "text"}], response_metadata={"model_provider": "anthropic"}),
            AIMessage(["Hi"], response_metadata={"model_provider": "groq"}),
            ToolMessage([{"type": "text", "text": "a"}, {"type": "new"}], tool_call_id="c", artifact=object),
            ToolMessage([{"type": "image", "url": "https://x.test/a.png"}], tool_call_id="d"),
        )

        assert contents(items[:2]) == [
            ("message", "developer", [{"type": "input_text", "text": "Be kind"}]),
            ("message", "critic", [{"type": "input_text", "text": "Hi"}]),
        ]
        assert (items[2]["type"], items[2]["content"]) == ("langchain_function", "21")
        assert contents(items[3:4]) == [("message", "assistant", [])]
        assert [item["type"] for item in items[4:6]] == ["langchain_text", "langchain_new"]
        assert items[4]["langchain"]["name"] == "a"
        assert contents(items[6:10]) == [
            ("message", "assistant", [{"type": "output_text", "text": "Hi"}]),
            ("langchain_unknown", "assistant", None),
            ("langchain_text", "assistant", None),
            ("message", "assistant", [{"type": "output_text", "text": "Hi"}]),
        ]
        assert items[10]["output"] == "a"
        assert items[10]["langchain"] == {
            "artifact": str(object),
            "content": [{"type": "text", "text": "a"}, {"type": "new"}],
        }
        assert items[11]["output"] == [{"type": "input_image", "image_url": "https://x.test/a.png"}]
        json.dumps(items)

    def test_calls_beside_the_content_are_kept(self) -> None:
        call = {"name": "f", "args": {"x": 1}, "id": "c1", "extras": {"call_id": "x"}}
        broken = {"name": "g", "args": '{"x": ', "id": None, "error": "no JSON"}
        meta = {"output_version": "v1"}
        message = AIMessage(["text"], tool_calls=[call], invalid_tool_calls=[broken], response_metadata=meta)
        thoughts = [{"type": "reasoning", "id": "rs_1", "reasoning": text} for text in ("One.", "Two.")]

        first, good, bad = self.items(message)
        (refused,) = self.items(AIMessage("", additional_kwargs={"refusal": "No."}))
        (reasoning,) = self.items(AIMessage(thoughts, response_metadata=meta))

        assert (good["name"], good["arguments"], good["call_id"]) == ("f", '{"x":1}', "c1")
        assert (bad["name"], bad["arguments"], bad["call_id"], bad["error"]) == ("g", '{"x": ', "", "no JSON")
        assert first["langchain"]["response_metadata"] == meta
        assert [part["text"] for part in reasoning["summary"]] == ["One.", "Two."]
        assert refused["content"] == [{"type": "output_text", "text": "No.", "refusal": True}]

    def test_settings_are_read_in_the_words_of_each_api_without_keys(self) -> None:
        schema = {"type": "object", "properties": {"headers": {"type": "string"}}}
        request = read_request(
            "Hello",
            {
                "model_name": "m",
                "functions": [{"name": "f", "parameters": schema}, {"type": "mcp", "authorization": KEY}],
                "output_config": {"effort": "high"},
                "conversation": {"id": "c"},
                "default_headers": {"x": KEY},
                "model_kwargs": {"extra_headers": {"x": KEY}},
                "openai_api_key": KEY,
                "stop": None,
            },
        )

        assert (request.model, request.effort, request.conversation) == ("m", "high", "c")
        assert request.tools == [{"name": "f", "parameters": schema}, {"type": "mcp"}]
        assert request.settings == {"output_config": {"effort": "high"}, "model_kwargs": {}}


class TestPages:
    def test_the_example_of_the_page_records_an_agent(
        self, server: ModelServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        page = (ROOT / "docs/frameworks/langchain.md").read_text()
        code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("CODEX_HOME", str(tmp_path))

        exec(compile(code, "langchain.md", "exec"), {"__name__": "page"})  # noqa: S102 -- our own page

        (path,) = tmp_path.rglob("rollout-*.jsonl")
        assert statuses(path) == ["completed"]
        assert len(turn_calls(path)) == 1

    def test_the_example_runs(self, tmp_path: Path) -> None:
        command = [sys.executable, ROOT / "examples/langchain_agent.py", "--home", tmp_path]
        done = subprocess.run(command, capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr
        (path,) = tmp_path.rglob("rollout-*.jsonl")
        assert str(path) in done.stdout
        assert "sunny" in done.stdout
