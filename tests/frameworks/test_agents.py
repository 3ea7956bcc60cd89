"""
The processor and the session for the OpenAI Agents SDK record runs as the server of the model sees them.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("agents", reason="openai-agents is not installed")

import agents
from agents import Agent, RunConfig, Runner, function_tool
from agents.memory import Session as SessionProtocol
from agents.memory import SessionSettings
from loopback import TEXT, Answer, ModelServer
from openai import APIStatusError, AsyncOpenAI
from pydantic import BaseModel

import rollout
from rollout import Recorder
from rollout.adapters.agents import Processor, Session
from rollout.dialects import dialect_for, is_compared, item_key
from tests.adapters.apis import events_in, items_in, only
from tests.recording.helpers import kinds_of, lines_of

Json = dict[str, Any]
ROOT = Path(__file__).parent.parent.parent
KINDS = ["responses", "chat"]
KEY = "sk-very-secret-key"
WEATHER = Answer(calls=[("get_weather", {"city": "Paris"})], reasoning="A tool is needed.")
LONG = Answer("word " * 40, pause=0.005)


@function_tool
def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return f"sunny in {city}"


@function_tool
def broken(city: str) -> str:
    """Raise an error that the SDK tells the model."""
    raise RuntimeError("no weather")


@function_tool(failure_error_function=None)
def fatal(city: str) -> str:
    """Raise an error that ends the run."""
    raise RuntimeError("no weather")


@function_tool
def nothing() -> None:
    """Return nothing."""


class Weather(BaseModel):
    city: str


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def no_processors() -> Iterator[None]:
    # Another test may have disabled tracing.
    agents.set_tracing_disabled(False)
    agents.set_trace_processors([])
    yield
    agents.set_trace_processors([])


@pytest.fixture
def hook(home: Path) -> Iterator[Processor]:
    with traced(Processor(home=home)) as hook:
        yield hook
    assert hook.problems == {}


def traced(hook: Processor) -> Processor:
    agents.set_trace_processors([hook])
    return hook


def make_model(server: ModelServer, kind: str = "responses") -> Any:
    # A client is used in several event loops, which must not share connections.
    headers = {"connection": "close"}
    client = AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0, default_headers=headers)
    return {"chat": agents.OpenAIChatCompletionsModel, "responses": agents.OpenAIResponsesModel}[kind]("m", client)


def make_agent(server: ModelServer, kind: str = "responses", **options: Any) -> Agent:
    options = {"name": "weather", "instructions": "Be brief.", "tools": [get_weather], **options}
    return Agent(model=make_model(server, kind), **options)


async def run(agent: Agent, prompt: Any = "What is the weather?", *, is_streamed: bool = False, **options: Any) -> Any:
    if not is_streamed:
        return await Runner.run(agent, prompt, **options)
    result = Runner.run_streamed(agent, prompt, **options)
    async for _ in result.stream_events():
        pass
    return result


def run_sync(agent: Agent, prompt: Any = "What is the weather?", **options: Any) -> Any:
    return asyncio.run(run(agent, prompt, **options))


def closed(hook: Processor) -> Path:
    """
    Close the hook, and return the file of its only session.
    """
    hook.close()
    return only(hook)


def keys(items: list[Json]) -> list[tuple[str, ...]]:
    return [item_key(item) for item in items if is_compared(item)]


def typed(items: list[Json], kind: str) -> list[Json]:
    return [item for item in items if item["type"] == kind]


def exchanged(server: ModelServer, kind: str) -> list[tuple[str, ...]]:
    """
    Return the keys of what the server saw in the last request, and sent.
    """
    dialect = dialect_for("/v1/responses" if kind == "responses" else "/v1/chat/completions")
    seen, sent = server.requests[-1][1], server.replies[-1]
    return keys([*dialect.read_request(seen).items, *dialect.read_reply(sent).items])


def turn_errors(path: Path) -> list[str]:
    return [event["error"]["message"] for event in events_in(path, "task_complete") if "error" in event]


def input_of(path: Path) -> list[tuple[str, ...]]:
    return keys(rollout.load_history(path).to_input())


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
class TestEachWay:
    def test_the_items_are_those_that_the_server_saw_and_sent(self, hook, serve, kind, is_streamed) -> None:
        server = serve(WEATHER)

        result = run_sync(make_agent(server, kind), is_streamed=is_streamed)

        path = closed(hook)
        assert result.final_output == TEXT
        assert keys(items_in(path)) == input_of(path) == exchanged(server, kind)
        assert [item["summary"][0]["text"] for item in typed(items_in(path), "reasoning")] == ["A tool is needed."]
        (call,) = typed(items_in(path), "function_call")
        (output,) = typed(items_in(path), "function_call_output")
        assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Paris"})
        assert (output["call_id"], output["output"]) == (call["call_id"], "sunny in Paris")
        assert "__fake_id__" not in path.read_text()
        assert KEY not in path.read_text()

    def test_a_run_is_a_turn_with_its_settings(self, hook, serve, kind, is_streamed) -> None:
        settings = agents.ModelSettings(temperature=0.5, reasoning={"effort": "low"}, extra_headers={"x-key": KEY})
        agent = make_agent(serve(), kind, model_settings=settings)

        run_sync(agent, is_streamed=is_streamed)

        path = closed(hook)
        (turn,) = rollout.load_history(path).turns
        (context,) = events_in(path, "turn_context")
        assert turn.prompt == "What is the weather?"
        assert (context["model"], context["effort"], context["user_instructions"]) == ("m", "low", "Be brief.")
        assert context["settings"]["temperature"] == 0.5
        assert context["tools"][0]["name"] == "get_weather"
        assert context["tools"][0]["parameters"]["required"] == ["city"]
        assert KEY not in path.read_text()

    def test_a_session_has_the_same_items_and_what_the_processor_adds(
        self, hook, home, serve, kind, is_streamed
    ) -> None:
        server = serve(WEATHER)
        session = Session(home=home)

        run_sync(make_agent(server, kind), is_streamed=is_streamed, session=session)

        session.close()
        path = session.recorder.path
        assert hook.sessions == {}
        assert input_of(path) == exchanged(server, kind)
        assert len(events_in(path, "task_started")) == len(events_in(path, "task_complete")) == 1
        assert events_in(path, "turn_context")[-1]["user_instructions"] == "Be brief."
        assert len(events_in(path, "mcp_tool_call_end")) == 1
        assert len(events_in(path, "token_count")) == (0 if kind == "chat" and is_streamed else 2)

    def test_an_http_error_is_recorded_with_the_prompt(self, hook, serve, kind, is_streamed) -> None:
        agent = make_agent(serve(Answer(status=429, text="too many")), kind)

        with pytest.raises(APIStatusError):
            run_sync(agent, is_streamed=is_streamed)

        path = closed(hook)
        assert [turn.prompt for turn in rollout.load_history(path).turns] == ["What is the weather?"]
        assert "too many" in events_in(path, "error")[0]["message"]
        assert len(turn_errors(path)) == 1

    def test_an_abandoned_stream_is_an_interrupted_turn(self, hook, serve, kind, is_streamed) -> None:
        async def abandon() -> None:
            if is_streamed:
                result = Runner.run_streamed(make_agent(serve(LONG), kind), "Tell me.")
                async for event in result.stream_events():
                    if event.type == "raw_response_event":
                        break
                result.cancel()
                async for _ in result.stream_events():
                    pass
            else:
                task = asyncio.create_task(run(make_agent(serve(Answer("late", delay=5)), kind), "Tell me."))
                await asyncio.sleep(0.2)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

        asyncio.run(abandon())

        path = closed(hook)
        assert keys(items_in(path)) == keys([{"type": "message", "role": "user", "content": "Tell me."}])
        assert [event["reason"] for event in events_in(path, "turn_aborted")] == ["interrupted"]


class TestUsage:
    @pytest.mark.parametrize("kind", KINDS)
    def test_tokens_have_those_of_cache_and_reasoning(self, hook, serve, kind: str) -> None:
        run_sync(make_agent(serve(WEATHER), kind))

        usage = [event["info"]["last_token_usage"] for event in events_in(closed(hook), "token_count")]
        assert len(usage) == 2
        assert (usage[0]["input_tokens"], usage[0]["cached_input_tokens"]) == (120, 40)
        assert (usage[0]["output_tokens"], usage[0]["reasoning_output_tokens"]) == (15, 5)

    def test_a_stream_of_chat_has_usage_if_it_is_asked_for(self, hook, serve) -> None:
        settings = agents.ModelSettings(include_usage=True)

        run_sync(make_agent(serve(Answer("Hello.")), "chat", model_settings=settings), is_streamed=True)

        (event,) = events_in(closed(hook), "token_count")
        assert event["info"]["last_token_usage"]["cached_input_tokens"] == 40


class TestTools:
    def test_parallel_calls_have_their_own_durations(self, hook, serve) -> None:
        @function_tool
        async def wait(seconds: float) -> str:
            """Wait."""
            await asyncio.sleep(seconds)
            return f"{seconds} s"

        server = serve(Answer(calls=[("wait", {"seconds": 0.2}), ("wait", {"seconds": 0.01})]))

        run_sync(make_agent(server, tools=[wait]))

        slow, fast = events_in(closed(hook), "mcp_tool_call_end")
        assert slow["duration"]["nanos"] >= 200_000_000 > 100_000_000 > fast["duration"]["nanos"]
        assert slow["invocation"]["arguments"] == {"seconds": 0.2}

    def test_calls_with_equal_arguments_all_end(self, hook, serve) -> None:
        run_sync(make_agent(serve(Answer(calls=[("get_weather", {"city": "Rome"})] * 3))))

        assert len(events_in(closed(hook), "mcp_tool_call_end")) == 3

    def test_an_error_that_the_model_is_told_is_a_failed_call(self, hook, serve) -> None:
        result = run_sync(make_agent(serve(), tools=[broken]))

        path = closed(hook)
        (ended,) = events_in(path, "mcp_tool_call_end")
        assert result.final_output == TEXT
        assert ended["result"]["Ok"]["isError"] is True
        assert "An error occurred" in typed(items_in(path), "function_call_output")[0]["output"]
        assert turn_errors(path) == []

    def test_an_error_that_ends_the_run_is_a_failed_call_and_turn(self, hook, serve) -> None:
        with pytest.raises(agents.UserError):
            run_sync(make_agent(serve(), tools=[fatal]))

        path = closed(hook)
        (output,) = typed(items_in(path), "function_call_output")
        assert output["output"] == "Error running tool: no weather"
        assert events_in(path, "mcp_tool_call_end")[0]["result"]["Ok"]["isError"] is True
        assert turn_errors(path) == ["RuntimeError: Error in agent run: Error running tool fatal: no weather"]

    def test_a_tool_that_returns_nothing_has_the_output_that_the_model_gets(self, hook, serve) -> None:
        run_sync(make_agent(serve(), tools=[nothing]))

        assert [item["output"] for item in typed(items_in(closed(hook)), "function_call_output")] == ["None"]

    def test_the_output_of_a_last_call_is_recorded(self, hook, serve) -> None:
        result = run_sync(make_agent(serve(WEATHER), tool_use_behavior="stop_on_first_tool"))

        assert result.final_output == "sunny in Paris"
        assert [item["output"] for item in typed(items_in(closed(hook)), "function_call_output")] == ["sunny in Paris"]

    def test_an_output_of_a_model_class_is_recorded_as_its_values(self, hook, serve) -> None:
        @function_tool
        def weather() -> Weather:
            """Return the weather."""
            return Weather(city="Paris")

        run_sync(make_agent(serve(), tools=[weather], tool_use_behavior="stop_on_first_tool"))

        (output,) = typed(items_in(closed(hook)), "function_call_output")
        assert json.loads(output["output"]) == {"city": "Paris"}

    def test_a_tool_of_the_provider_and_a_shell_on_this_machine(self, hook, serve) -> None:
        action = {"commands": ["ls"], "timeout_ms": None, "max_output_length": None}
        call = {"type": "shell_call", "id": "sh_1", "call_id": "call_1", "status": "completed", "action": action}
        tools = [agents.ShellTool(executor=lambda _: "a.txt"), agents.WebSearchTool()]

        run_sync(make_agent(serve(Answer(extra=[call]), Answer("One file.")), tools=tools))

        hook.close()
        path = only(hook)
        assert typed(items_in(path), "shell_call")[0]["action"]["commands"] == ["ls"]
        assert events_in(path, "turn_context")[0]["tools"] == [{"type": "shell"}, {"type": "web_search"}]
        assert "a.txt" in json.dumps(typed(items_in(path), "shell_call_output"))

    def test_a_call_that_waits_for_an_approval_is_recorded_once_in_one_turn(self, hook, serve) -> None:
        @function_tool(needs_approval=True)
        def delete(name: str) -> str:
            """Delete a file."""
            return f"{name} is gone"

        server = serve(Answer(calls=[("delete", {"name": "a.txt"})]), Answer("Done."))
        agent = make_agent(server, tools=[delete])

        async def approve() -> Any:
            state = (await run(agent, "Delete it.")).to_state()
            state.approve(state.get_interruptions()[0])
            return await Runner.run(agent, state)

        asyncio.run(approve())

        path = closed(hook)
        assert keys(items_in(path)) == exchanged(server, "responses")
        assert [item["output"] for item in typed(items_in(path), "function_call_output")] == ["a.txt is gone"]
        assert len(events_in(path, "task_started")) == len(events_in(path, "task_complete")) == 1

    def test_a_cancelled_tool_is_an_interrupted_turn(self, hook, serve) -> None:
        @function_tool
        async def sleep() -> str:
            """Sleep."""
            await asyncio.sleep(5)
            return "awake"

        with pytest.raises(asyncio.TimeoutError):
            asyncio.run(asyncio.wait_for(run(make_agent(serve(), tools=[sleep])), 0.3))

        path = closed(hook)
        assert [event["reason"] for event in events_in(path, "turn_aborted")] == ["interrupted"]


class TestRuns:
    def test_a_run_that_goes_on_is_a_turn_of_the_same_session(self, hook, serve) -> None:
        server = serve(WEATHER)
        agent = make_agent(server)

        first = run_sync(agent)
        run_sync(agent, [*first.to_input_list(), {"role": "user", "content": "And tomorrow?"}])

        path = closed(hook)
        assert keys(items_in(path)) == exchanged(server, "responses")
        prompts = [turn.prompt for turn in rollout.load_history(path).turns]
        assert prompts == ["What is the weather?", "And tomorrow?"]

    def test_a_run_that_names_the_last_response_goes_on_in_its_session(self, hook, serve) -> None:
        agent = make_agent(serve(Answer("Hello."), Answer("Again.")), tools=[])

        first = run_sync(agent, "Hello?")
        run_sync(agent, "Again?", previous_response_id=first.last_response_id)

        assert [turn.prompt for turn in rollout.load_history(closed(hook)).turns] == ["Hello?", "Again?"]

    def test_another_run_has_a_session_of_its_own(self, hook, serve) -> None:
        server = serve(Answer("One."), Answer("Two."))

        for prompt in ("First?", "Second?"):
            run_sync(make_agent(server), prompt)

        hook.close()
        turns = [turn.prompt for path in hook.sessions.values() for turn in rollout.load_history(path).turns]
        assert turns == ["First?", "Second?"]

    def test_runs_in_one_trace_are_turns_with_an_end(self, hook, serve) -> None:
        server = serve(Answer("One."), Answer("Two."))

        async def both() -> None:
            with agents.trace("both"), agents.custom_span("outer", {"a": 1}):
                await run(make_agent(server), "First?")
                await run(make_agent(server), "Second?")

        asyncio.run(both())

        hook.close()
        assert [len(events_in(path, "task_complete")) for path in hook.sessions.values()] == [1, 1]
        assert [lines_of(path)[0]["payload"].get("parent_thread_id") for path in hook.sessions.values()] == [None] * 2

    def test_a_run_without_spans_of_runners_is_recorded(self, hook, serve) -> None:
        config = RunConfig(tracing={"include_task_and_turn_spans": False})
        inner = make_agent(serve(Answer("Inner.")), name="inner", tools=[])
        tool = inner.as_tool("ask", "Ask.", run_config=config)
        agent = make_agent(serve(Answer(calls=[("ask", {"input": "Well?"})])), tools=[tool])

        run_sync(agent, run_config=config)

        hook.close()
        first, second = hook.sessions.values()
        assert len(events_in(first, "task_complete")) == len(events_in(second, "task_complete")) == 1
        assert lines_of(second)[0]["payload"]["parent_thread_id"] == lines_of(first)[0]["payload"]["id"]

    def test_runs_in_threads_and_tasks_keep_apart(self, hook, serve) -> None:
        server = serve()

        async def two(name: str) -> None:
            await asyncio.gather(*(run(make_agent(server), f"Weather {name}{number}?") for number in range(2)))

        threads = [threading.Thread(target=lambda name=name: asyncio.run(two(name))) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        hook.close()
        found = [rollout.load_history(path) for path in hook.sessions.values()]
        prompts = sorted(turn.prompt for history in found for turn in history.turns)
        assert prompts == ["Weather a0?", "Weather a1?", "Weather b0?", "Weather b1?"]
        assert {len(history.to_input()) for history in found} == {5}

    def test_too_many_turns_are_a_failed_turn(self, hook, serve) -> None:
        with pytest.raises(agents.MaxTurnsExceeded):
            run_sync(make_agent(serve()), max_turns=1)

        path = closed(hook)
        assert turn_errors(path) == ["RuntimeError: Max turns exceeded: max_turns: 1"]
        assert typed(items_in(path), "function_call_output")[0]["output"] == "sunny in Paris"

    def test_an_incomplete_answer_is_a_failed_turn(self, hook, serve) -> None:
        with pytest.raises(agents.ModelBehaviorError):
            run_sync(make_agent(serve(Answer("part", is_incomplete=True))))

        assert "max_output_tokens" in turn_errors(closed(hook))[0]

    def test_an_interrupt_that_the_program_handles_is_not_one_of_the_run(self, hook, serve) -> None:
        async def handle() -> None:
            try:
                signal.default_int_handler(signal.SIGINT, None)
            except KeyboardInterrupt:
                await run(make_agent(serve(WEATHER)))

        asyncio.run(handle())

        path = closed(hook)
        assert (len(events_in(path, "task_complete")), events_in(path, "turn_aborted")) == (1, [])

    def test_a_request_that_is_tried_again_is_one_turn_that_ends_well(self, hook, serve) -> None:
        retry = agents.ModelRetrySettings(max_retries=1, policy=agents.retry_policies.http_status([500]))
        settings = agents.ModelSettings(retry=retry)

        result = run_sync(make_agent(serve(Answer(status=500), Answer("Well.")), model_settings=settings))

        path = closed(hook)
        assert result.final_output == "Well."
        assert len(events_in(path, "error")) == 1
        assert len(events_in(path, "user_message")) == len(events_in(path, "task_complete")) == 1
        assert turn_errors(path) == []

    def test_a_guardrail_that_stops_the_run_is_the_error_of_the_turn(self, hook, serve) -> None:
        @agents.input_guardrail
        async def no_weather(context: Any, agent: Any, prompt: Any) -> Any:
            await asyncio.sleep(0.2)
            return agents.GuardrailFunctionOutput(output_info="no", tripwire_triggered=True)

        agent = make_agent(serve(Answer("late", delay=1)), input_guardrails=[no_weather])
        with pytest.raises(agents.InputGuardrailTripwireTriggered):
            run_sync(agent)

        assert turn_errors(closed(hook)) == ["RuntimeError: Guardrail tripwire triggered: guardrail: no_weather"]

    def test_the_form_of_the_answer_is_recorded(self, hook, serve) -> None:
        result = run_sync(make_agent(serve(), output_type=Weather, tools=[]))

        (context,) = events_in(closed(hook), "turn_context")
        assert result.final_output == Weather(city="Paris")
        assert context["settings"]["text"]["format"]["schema"]["properties"]["city"]["type"] == "string"


class TestAgents:
    def test_a_hand_off_goes_on_in_the_same_session(self, hook, serve) -> None:
        server = serve(Answer(calls=[("transfer_to_spanish", {})]), Answer("Hola."))
        spanish = make_agent(server, name="spanish", instructions="Habla.", tools=[])

        result = run_sync(make_agent(server, handoffs=[spanish], tools=[]))

        path = closed(hook)
        contexts = events_in(path, "turn_context")
        assert result.final_output == "Hola."
        assert keys(items_in(path)) == exchanged(server, "responses")
        assert [context["user_instructions"] for context in contexts] == ["Be brief.", "Habla."]
        assert [tool["name"] for tool in contexts[0]["tools"]] == ["transfer_to_spanish"]
        assert len(events_in(path, "task_started")) == 1

    @pytest.mark.parametrize("name", ["French helper", "!!!"])
    @pytest.mark.parametrize("place", ["own", "recorder", "session"])
    def test_agents_as_tools_have_sessions_that_know_their_parent(self, home, serve, place: str, name: str) -> None:
        server = serve(
            Answer(calls=[("ask", {"input": "One?"}), ("ask", {"input": "Two?"})]),
            Answer("1"),
            Answer("2"),
            Answer("3"),
        )
        helper = make_agent(server, name=name, tools=[])
        agent = make_agent(server, tools=[helper.as_tool("ask", "Ask the helper.")])
        recorder = Recorder(home=home) if place == "recorder" else None
        session = Session(home=home) if place == "session" else None

        with traced(Processor(recorder, home=home)) as hook:
            run_sync(agent, session=session)
        paths = list(hook.sessions.values())
        for owner in (recorder, session):
            if owner is not None:
                owner.close()
                paths.insert(0, getattr(owner, "recorder", owner).path)

        main, *helpers = paths
        metas = [lines_of(path)[0]["payload"] for path in helpers]
        assert hook.problems == {}
        assert {meta["parent_thread_id"] for meta in metas} == {lines_of(main)[0]["payload"]["id"]}
        assert {meta["agent_nickname"] for meta in metas} == {name if name != "!!!" else "agent"}
        prompts = [turn.prompt for path in helpers for turn in rollout.load_history(path).turns]
        assert sorted(prompts) == ["One?", "Two?"]
        assert [len(events_in(path, "task_complete")) for path in paths] == [1, 1, 1]
        kinds = [event["kind"] for event in events_in(main, "sub_agent_activity")]
        assert sorted(kinds) == ["completed", "completed", "started", "started"]
        assert [turn.prompt for turn in rollout.load_history(main).turns] == ["What is the weather?"]

    def test_an_agent_of_a_guardrail_has_a_session_of_its_own(self, hook, serve) -> None:
        checker = make_agent(serve(Answer("fine")), name="checker", tools=[])

        @agents.output_guardrail
        async def check(context: Any, agent: Any, output: Any) -> Any:
            await run(checker, f"Is this fine: {output}")
            return agents.GuardrailFunctionOutput(output_info="yes", tripwire_triggered=False)

        run_sync(make_agent(serve(Answer("Sunny.")), output_guardrails=[check]))

        hook.close()
        first, second = hook.sessions.values()
        assert lines_of(second)[0]["payload"]["parent_thread_id"] == lines_of(first)[0]["payload"]["id"]


class TestProcessor:
    def test_a_recorder_of_the_caller_stays_open(self, home, serve) -> None:
        server = serve(WEATHER)
        recorder = Recorder(home=home)

        with traced(Processor(recorder)) as hook:
            run_sync(make_agent(server))
            run_sync(make_agent(server), "And now?")
        recorder.agent_message("Bye.")
        recorder.close()

        assert hook.sessions == {}
        assert hook.problems == {}
        prompts = [turn.prompt for turn in rollout.load_history(recorder.path).turns]
        assert prompts == ["What is the weather?", "And now?"]

    def test_options_redact_and_tell_of_sessions(self, home, serve) -> None:
        begun: list[Recorder] = []

        def redact(value: Any) -> Any:
            return json.loads(json.dumps(value).replace("weather?", "[secret]?"))

        with traced(Processor(home=home, redact=redact, on_session=begun.append)) as hook:
            run_sync(make_agent(serve(WEATHER)))

        assert [recorder.path for recorder in begun] == list(hook.sessions.values())
        assert "weather?" not in only(hook).read_text()
        assert "[secret]?" in only(hook).read_text()

    @pytest.mark.parametrize("kind", KINDS)
    def test_instrument_and_the_processor_record_once(self, hook, home, serve, kind: str) -> None:
        agent = make_agent(serve(WEATHER), kind)

        with rollout.instrument(home=home) as sessions:
            run_sync(agent)
            run_sync(agent, "Streamed?", is_streamed=True)
            with Session(home=home) as session:
                run_sync(agent, "Saved?", session=session)

        assert dict(sessions.sessions) == {}
        assert len(hook.sessions) == 2

    def test_instrument_records_what_tracing_does_not_show(self, hook, home, serve) -> None:
        with rollout.instrument(home=home) as sessions:
            run_sync(make_agent(serve()), run_config=RunConfig(tracing_disabled=True))

        assert len(sessions.sessions) == 1
        assert hook.sessions == {}

    def test_nothing_is_recorded_inside_of_an_outer_hook(self, home, serve) -> None:
        outer, inner = Processor(home=home), Processor(home=home)
        agents.set_trace_processors([outer, inner])

        with outer, inner:
            run_sync(make_agent(serve(WEATHER)))

        assert (len(outer.sessions), len(inner.sessions)) == (1, 0)
        assert inner.problems == {}

    @pytest.mark.parametrize("kind", KINDS)
    def test_without_sensitive_data_no_request_is_recorded(self, hook, serve, kind: str) -> None:
        run_sync(make_agent(serve(), kind), run_config=RunConfig(trace_include_sensitive_data=False))

        assert hook.sessions == {}

    def test_a_generation_span_of_the_caller_is_a_request(self, hook) -> None:
        asked = [{"role": "user", "content": "Hello?"}]
        with agents.trace("own"):
            with agents.generation_span(input=asked, model="own", model_config={"seed": 1}) as span:
                span.span_data.output = [{"role": "assistant", "content": "Hello."}]
            with agents.generation_span() as span:
                span.span_data.output = [{"role": "assistant", "content": "No input."}]
            with agents.response_span(), agents.function_span("get_weather"):
                pass

        path = closed(hook)
        assert [turn.prompt for turn in rollout.load_history(path).turns] == ["Hello?"]
        assert events_in(path, "agent_message")[0]["message"] == "Hello."
        assert events_in(path, "turn_context")[0]["settings"] == {"seed": 1}
        assert len(events_in(path, "task_complete")) == 1

    def test_an_error_of_a_span_without_details_is_recorded(self, hook) -> None:
        with agents.trace("own"), agents.generation_span(input=[{"role": "user", "content": "Hello?"}]) as span:
            span.set_error({"message": "no answer", "data": None})

        assert turn_errors(closed(hook)) == ["RuntimeError: no answer"]

    def test_a_span_of_the_caller_without_an_answer_leaves_no_error(self, hook) -> None:
        with agents.trace("own"), agents.generation_span(input=[{"role": "user", "content": "Hello?"}]):
            pass

        path = closed(hook)
        assert (len(events_in(path, "task_complete")), events_in(path, "error")) == (1, [])

    def test_a_fault_of_recording_does_not_reach_the_agent(self, tmp_path, serve, caplog) -> None:
        (tmp_path / "file").write_text("no folder")

        with traced(Processor(home=tmp_path / "file")) as hook:
            result = run_sync(make_agent(serve(WEATHER)))

        assert result.final_output == TEXT
        assert hook.sessions == {}
        assert sum(hook.problems.values()) == 2
        assert "could not be recorded" in caplog.text

    def test_force_flush_writes_what_is_recorded(self, hook, home, serve) -> None:
        run_sync(make_agent(serve(Answer("Hello."))))
        hook.force_flush()
        written = kinds_of(only(hook))

        recorder = Recorder(home=home)
        with traced(Processor(recorder)) as other:
            run_sync(make_agent(serve(Answer("Hello."))))
            other.force_flush()
            assert kinds_of(recorder.path) == written
        recorder.close()
        assert written[-1] == "task_complete"

    def test_after_shutdown_nothing_is_recorded(self, hook, serve) -> None:
        agent = make_agent(serve(Answer("One."), Answer("Two.")))
        run_sync(agent)

        hook.shutdown()
        run_sync(agent, "Again?")

        assert "Again?" not in only(hook).read_text()

    def test_it_keeps_nothing_of_a_run_that_ended(self, hook, serve) -> None:
        for answers in ([WEATHER], [Answer(status=500)]):
            agent = make_agent(serve(*answers), tools=[get_weather, fatal])
            asyncio.run(_outcome(agent))

        assert (hook._spans, hook._runs, hook._requests) == ({}, {}, {})


async def _outcome(agent: Agent) -> Any:
    return await asyncio.gather(run(agent), return_exceptions=True)


def message(role: str, text: str) -> Json:
    return {"role": role, "content": text}


def call_and_output(number: int) -> list[Json]:
    call = {"type": "function_call", "name": "f", "arguments": "{}", "call_id": f"c{number}"}
    return [call, {"type": "function_call_output", "call_id": f"c{number}", "output": "done"}]


def reread(session: Session, home: Path) -> list[Json]:
    session.close()
    with Session(session.session_id, home=home) as again:
        return asyncio.run(again.get_items())


class TestSession:
    def test_it_is_a_session_of_the_sdk(self, home) -> None:
        with Session(home=home) as session:
            assert isinstance(session, SessionProtocol)
            assert session.session_id == session.recorder.session_id

    def test_alone_it_records_turns_that_read_back(self, home, serve) -> None:
        server = serve(WEATHER, Answer("Sunny."), Answer("Rain."))

        with Session(home=home) as session:
            for prompt in ("Today?", "Tomorrow?"):
                run_sync(make_agent(server), prompt, session=session)

        path = session.recorder.path
        history = rollout.load_history(path)
        assert [turn.prompt for turn in history.turns] == ["Today?", "Tomorrow?"]
        assert keys(history.to_input()) == exchanged(server, "responses")
        assert len(events_in(path, "task_complete")) == 2
        assert lines_of(path)[0]["payload"]["originator"] == "rollout.agents"

    def test_a_second_process_continues_it(self, home, serve) -> None:
        server = serve(WEATHER, Answer("Sunny."), Answer("Rain."))
        with Session(home=home) as session:
            run_sync(make_agent(server), "Today?", session=session)
        program = f"""
            import asyncio, sys
            from agents import Agent, OpenAIResponsesModel, Runner, set_tracing_disabled
            from openai import AsyncOpenAI
            from rollout.adapters.agents import Session
            set_tracing_disabled(True)
            model = OpenAIResponsesModel("m", AsyncOpenAI(base_url={server.url!r} + "/v1", api_key="none"))
            session = Session({session.session_id!r}, home={str(home)!r})
            print(Runner.run_sync(Agent(name="a", model=model), "Tomorrow?", session=session).final_output)
        """
        program = re.sub(r"^ {12}", "", program, flags=re.MULTILINE)

        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

        assert done.stdout == "Rain.\n"
        assert input_of(session.recorder.path) == exchanged(server, "responses")
        assert [item.get("type") for item in server.requests[-1][1]["input"]].count("function_call_output") == 1

    def test_limits_count_the_last_items(self, home) -> None:
        async def limits() -> list[int]:
            session = Session(home=home, session_settings=SessionSettings(limit=3))
            await session.add_items([message("user", str(number)) for number in range(5)])
            found = [await session.get_items(), await session.get_items(2), await session.get_items(0)]
            found += [await session.get_items(-1), await session.get_items(9)]
            assert [item["content"] for item in found[1]] == ["3", "4"]
            session.close()
            return [len(items) for items in found]

        assert asyncio.run(limits()) == [3, 2, 0, 5, 5]

    def test_the_limit_of_a_run_counts(self, home, serve) -> None:
        server = serve(*(Answer(str(number)) for number in range(4)))
        settings = RunConfig(session_settings=SessionSettings(limit=2))

        with Session(home=home) as session:
            for prompt in ("a", "b", "c"):
                run_sync(make_agent(server, tools=[]), prompt, session=session, run_config=settings)

        assert [len(body["input"]) for _, body in server.requests] == [1, 3, 3]
        assert len(input_of(session.recorder.path)) == 6

    def test_items_that_it_returns_are_copies(self, home) -> None:
        async def change() -> list[Json]:
            session = Session(home=home)
            given = message("user", "Hello?")
            await session.add_items([given])
            given["content"] = "changed"
            (await session.get_items())[0]["content"] = "changed"
            session.close()
            return await session.get_items()

        assert asyncio.run(change()) == [message("user", "Hello?")]

    def test_a_prompt_that_is_popped_is_rolled_back(self, home) -> None:
        session = Session(home=home)

        async def pop() -> None:
            await session.add_items([message("user", "One?"), message("assistant", "1")])
            await session.add_items([message("user", "Two?")])
            assert await session.pop_item() == message("user", "Two?")

        asyncio.run(pop())
        again = reread(session, home)

        assert [item["content"][0]["text"] for item in again] == ["One?", "1"]
        path = session.recorder.path
        assert [event["num_turns"] for event in events_in(path, "thread_rolled_back")] == [1]
        assert events_in(path, "compacted") == []
        assert [turn.is_rolled_back for turn in rollout.load_history(path).turns] == [False, True]

    def test_another_item_that_is_popped_is_compacted_away_and_stays_in_the_file(self, home) -> None:
        session = Session(home=home)

        async def pop() -> Any:
            await session.add_items([message("user", "One?"), *call_and_output(1), message("assistant", "wrong")])
            return await session.pop_item()

        assert asyncio.run(pop()) == message("assistant", "wrong")
        assert [item["type"] for item in reread(session, home)] == ["message", "function_call", "function_call_output"]
        assert "wrong" in session.recorder.path.read_text()

    def test_a_prompt_before_a_compaction_is_popped_alone(self, home) -> None:
        session = Session(home=home)

        async def pop() -> None:
            await session.add_items([message("user", "One?"), message("assistant", "1"), message("user", "Two?")])
            await session.add_items([message("assistant", "2")])
            for _ in range(2):
                await session.pop_item()

        asyncio.run(pop())

        assert [item["role"] for item in reread(session, home)] == ["user", "assistant"]

    def test_an_empty_session_has_nothing_to_pop(self, home) -> None:
        with Session(home=home) as session:
            assert asyncio.run(session.pop_item()) is None
            assert asyncio.run(session.get_items()) == []

    def test_a_cleared_session_is_empty_and_its_file_is_not(self, home) -> None:
        session = Session(home=home)

        async def clear() -> None:
            await session.add_items([message("user", "Forget this.")])
            await session.clear_session()
            await session.add_items([message("user", "Hello?")])

        asyncio.run(clear())

        assert [item["content"][0]["text"] for item in reread(session, home)] == ["Hello?"]
        assert "Forget this." in session.recorder.path.read_text()

    @pytest.mark.parametrize("seed", range(8))
    def test_any_changes_read_back_as_they_are(self, home, seed: int) -> None:
        """
        Adding, popping and clearing in any order; the session is resumed now and then.
        """
        chance = random.Random(seed)
        session = Session(home=home)
        expected: list[Json] = []
        for number in range(60):
            act = chance.choices(["turn", "prompt", "pop", "clear", "resume"], [6, 3, 5, 1, 2])[0]
            if act == "clear":
                asyncio.run(session.clear_session())
                expected = []
            elif act == "pop":
                popped = asyncio.run(session.pop_item())
                assert (popped is None) == (not expected)
                if expected:
                    assert item_key({"type": "message"} | popped) == item_key({"type": "message"} | expected.pop())
                # An output is popped together with its call: alone, no model takes the call.
                if popped and popped.get("type") == "function_call_output":
                    asyncio.run(session.pop_item())
                    expected.pop()
            elif act == "resume":
                session.close()
                session = Session(session.recorder.path)
            else:
                added = [message("user", f"Prompt {number}")]
                if act == "turn":
                    added += [*call_and_output(number), message("assistant", f"Answer {number}")]
                asyncio.run(session.add_items(added))
                expected += added
            wanted = keys([{"type": "message"} | item for item in expected])
            assert keys([{"type": "message"} | item for item in asyncio.run(session.get_items())]) == wanted
        session.close()
        assert input_of(session.recorder.path) == wanted

    def test_a_recorder_of_the_caller_is_continued_and_stays_open(self, home) -> None:
        with Recorder(home=home) as recorder:
            recorder.user_message("Hello?")
            with Session(recorder) as session:
                assert len(asyncio.run(session.get_items())) == 1
                asyncio.run(session.add_items([message("assistant", "Hello.")]))
            recorder.user_message("Bye?")

        session.close()
        assert [key[1] for key in input_of(recorder.path)] == ["user", "assistant", "user"]

    def test_errors_of_opening_are_raised_at_once(self, home) -> None:
        with pytest.raises(rollout.SessionNotFoundError):
            Session("0000", home=home)
        with Session(home=home) as session, pytest.raises(rollout.SessionBusyError):
            Session(session.session_id, home=home)

    def test_its_errors_reach_the_agent(self, home, serve) -> None:
        session = Session(home=home)
        hook = traced(Processor(home=home))
        agent = make_agent(serve(Answer("Hello.")))
        run_sync(agent, session=session)
        session.close()

        with hook, pytest.raises(rollout.RecorderClosedError):
            run_sync(agent, session=session)
        assert hook.problems == {}

    def test_a_failed_run_is_a_failed_turn_with_its_prompt(self, hook, home, serve) -> None:
        session = Session(home=home)
        agent = make_agent(serve(Answer(status=500, text="no power")))

        with pytest.raises(APIStatusError):
            run_sync(agent, session=session)

        session.close()
        path = session.recorder.path
        assert "no power" in turn_errors(path)[0]
        assert [turn.prompt for turn in rollout.load_history(path).turns] == ["What is the weather?"]

    def test_a_failed_call_is_recorded_as_failed(self, hook, home, serve) -> None:
        session = Session(home=home)

        run_sync(make_agent(serve(), tools=[broken]), session=session)

        session.close()
        (ended,) = events_in(session.recorder.path, "mcp_tool_call_end")
        assert ended["result"]["Ok"]["isError"] is True

    def test_runs_with_and_without_it_keep_apart_in_one_trace(self, hook, home, serve) -> None:
        server = serve(Answer("One."), Answer("Two."))
        session = Session(home=home)

        async def both() -> None:
            with agents.trace("both"):
                await run(make_agent(server), "Saved?", session=session)
                await run(make_agent(server), "Alone?")

        asyncio.run(both())

        session.close()
        assert [turn.prompt for turn in rollout.load_history(session.recorder.path).turns] == ["Saved?"]
        assert [turn.prompt for turn in rollout.load_history(closed(hook)).turns] == ["Alone?"]

    def test_a_run_without_spans_of_runners_is_recorded_once(self, hook, home, serve) -> None:
        config = RunConfig(tracing={"include_task_and_turn_spans": False})

        with Session(home=home) as session:
            run_sync(make_agent(serve(WEATHER)), session=session, run_config=config)

        assert hook.sessions == {}
        assert len(events_in(session.recorder.path, "token_count")) == 2

    def test_the_event_loop_goes_on_while_the_disk_is_slow(self, home) -> None:
        is_running = threading.Event()

        async def add() -> bool:
            def wait(kind: str, payload: Any) -> bool:
                return is_running.wait(10)

            with Recorder(home=home, policy=wait) as recorder:
                session = Session(recorder)
                task = asyncio.create_task(session.add_items([message("user", "Hello?")]))
                await asyncio.sleep(0.05)
                is_waiting = not task.done()
                is_running.set()
                await task
                return is_waiting

        assert asyncio.run(add())

    def test_a_session_that_is_dropped_is_not_kept_alive(self, home) -> None:
        async def add() -> weakref.ref[Session]:
            with agents.trace("own"), Session(home=home) as session:
                await session.add_items([message("user", "Hello?")])
            return weakref.ref(session)

        found = asyncio.run(add())
        gc.collect()

        assert found() is None


def test_the_page_has_a_program_that_runs(home, server, monkeypatch, capsys) -> None:
    page = (ROOT / "docs" / "frameworks" / "openai-agents.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for name, value in (("OPENAI_BASE_URL", f"{server.url}/v1"), ("OPENAI_API_KEY", KEY), ("CODEX_HOME", str(home))):
        monkeypatch.setenv(name, value)

    program: Json = {}
    exec(compile(code, "openai-agents.md", "exec"), program)  # noqa: S102 -- the code of the page

    text, path = capsys.readouterr().out.splitlines()
    assert text == TEXT
    assert input_of(Path(path)) == exchanged(server, "responses")
    assert program["processor"].problems == {}


def test_the_example_runs(home) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "openai_agents_agent.py", "--home", home],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    answer, path, *turns = done.stdout.splitlines()
    assert answer == TEXT
    assert Path(path).exists()
    assert [turn.rpartition(":")[0] for turn in turns] == ["What is the weather in Paris?", "And tomorrow?"]
