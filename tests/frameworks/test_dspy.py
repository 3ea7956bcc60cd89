"""
What DSPyHook, LiteLLMHook and rollout.instrument record of the real DSPy: the table of docs/frameworks/litellm.md.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pydantic
import pytest

import rollout
from rollout.dialects import dialect_for
from tests.adapters.apis import Answer, ModelServer, events_in, items_in, only
from tests.recording.helpers import lines_of

pytest.importorskip("dspy", reason="dspy is not installed")

import dspy
from dspy import lm15 as native
from dspy.clients.typesafe import TypeSafe

from rollout.adapters.dspy import DSPyHook
from rollout.adapters.litellm import LiteLLMHook

Json = dict[str, Any]

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "frameworks" / "litellm.md"
KEY = "sk-very-secret-key"
TEXT = "It is sunny in Paris, 21 °C."
STEPS = [
    {"next_thought": "I ask.", "next_tool_name": "get_weather", "next_tool_args": '{"city": "Paris"}'},
    {"next_thought": "I know.", "next_tool_name": "finish", "next_tool_args": "{}"},
    {"reasoning": "It is known.", "answer": TEXT},
]
each_call = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


def form(step: Json) -> Answer:
    """
    Return the answer of a model in the form that DSPy asks for.
    """
    return Answer("\n".join(f"[[ ## {key} ## ]]\n{value}" for key, value in step.items()) + "\n[[ ## completed ## ]]")


ANSWER = form({"answer": TEXT})


class Calls(dspy.Signature):
    """
    A question that is answered with calls of tools.
    """

    question: str = dspy.InputField()
    tools: list[dspy.Tool] = dspy.InputField()
    outputs: dspy.ToolCalls = dspy.OutputField()


def get_weather(city: str) -> str:
    return f"sunny in {city}"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def make_model(server: ModelServer, model: str = "openai/gpt-4o", **settings: Any) -> Any:
    url = server.url if model.startswith("anthropic") else f"{server.url}/v1"
    own = {"engine": "litellm", "cache": False, "num_retries": 0, "api_key": KEY, "api_base": url, **settings}
    return dspy.LM(model, **own)


def ask(model: Any, program: Any = None, *, is_async: bool = False, **inputs: Any) -> Any:
    program, inputs = program or dspy.Predict("question -> answer"), inputs or {"question": "What is the weather?"}
    with dspy.context(lm=model, adapter=dspy.ChatAdapter(use_native_function_calling=True)):
        return asyncio.run(program.acall(**inputs)) if is_async else program(**inputs)


def exchanged(server: ModelServer, at: int = 0) -> tuple[list[Json], list[Json]]:
    """
    Return the items that the server received in a request, and those that it sent.
    """
    path, body = server.requests[at]
    dialect = dialect_for(path)
    assert dialect is not None
    return dialect.read_request(body).items, dialect.read_reply(server.replies[at]).items


@each_call
class TestTable:
    def test_the_items_are_those_that_the_server_saw_and_sent_and_each_request_is_a_turn(
        self, is_async: bool, tmp_path: Path
    ) -> None:
        with ModelServer(map(form, STEPS)) as server, rollout.Recorder(home=tmp_path) as rec, LiteLLMHook(rec) as hook:
            program = dspy.ReAct("question -> answer", tools=[get_weather])
            assert ask(make_model(server), program, is_async=is_async).answer == TEXT

        assert items_in(rec.path) == [item for at in range(3) for items in exchanged(server, at) for item in items]
        turns = rollout.load_history(rec.path).turns
        assert ["What is the weather?" in str(turn.prompt) for turn in turns] == [True, True, True]
        # The calls and outputs of ReAct are texts.
        assert {item["type"] for item in items_in(rec.path)} == {"message"}
        assert events_in(rec.path, "mcp_tool_call_end") == []
        assert "sunny in Paris" in str(turns[1].prompt)
        assert hook.problems == {}

    @pytest.mark.parametrize("model", ["openai/gpt-4o", "anthropic/claude-sonnet-4-5"])
    def test_calls_by_native_function_calling_are_recorded_with_usage_and_settings(
        self, model: str, is_async: bool, server: ModelServer
    ) -> None:
        with LiteLLMHook() as hook:
            inputs: Json = {"question": "What?", "tools": [dspy.Tool(get_weather)]}
            result = ask(make_model(server, model), dspy.Predict(Calls), is_async=is_async, **inputs)

        items = items_in(only(hook))
        assert [item["type"] for item in items[-2:]] == ["reasoning", "function_call"]
        assert items[-1]["call_id"] == result.outputs.tool_calls[0].id
        assert json.loads(items[-1]["arguments"]) == {"city": "Paris"}
        (count,) = events_in(only(hook), "token_count")
        usage = count["info"]["last_token_usage"]
        assert [usage[key] for key in ("input_tokens", "cached_input_tokens", "output_tokens")] == [120, 40, 15]
        (context,) = events_in(only(hook), "turn_context")
        assert context["model"] == model
        assert "get_weather" in json.dumps(context["tools"])
        assert KEY not in only(hook).read_text()

    def test_responses_are_recorded(self, is_async: bool) -> None:
        with ModelServer([ANSWER]) as server, LiteLLMHook() as hook:
            assert ask(make_model(server, model_type="responses"), is_async=is_async).answer == TEXT

        assert [path for path, _ in server.requests] == ["/v1/responses"]
        asked, text = exchanged(server)
        recorded = items_in(only(hook))
        assert recorded[:-1] == asked
        assert recorded[-1]["content"][0]["text"] == text[0]["content"][0]["text"]

    def test_an_error_of_the_model_is_recorded_and_its_retry_has_no_second_prompt(self, is_async: bool) -> None:
        with ModelServer([Answer(status=500), ANSWER]) as server, LiteLLMHook() as hook:
            assert ask(make_model(server, num_retries=1), is_async=is_async).answer == TEXT

        assert len(events_in(only(hook), "error")) == 1
        assert [item["role"] for item in items_in(only(hook))] == ["system", "user", "assistant"]

    def test_instrument_alone_records_openai_and_together_with_the_hook_once(
        self, is_async: bool, tmp_path: Path
    ) -> None:
        with ModelServer([ANSWER] * 2) as server, rollout.instrument() as sessions:
            ask(make_model(server), is_async=is_async)
            with LiteLLMHook(home=tmp_path / "other") as hook:
                ask(make_model(server), is_async=is_async)

        for path in (only(sessions), only(hook)):
            assert items_in(path) == [item for items in exchanged(server) for item in items]

    def test_the_own_client_of_dspy_is_not_recorded(self, is_async: bool) -> None:
        with ModelServer([ANSWER]) as server, rollout.instrument() as sessions, LiteLLMHook() as hook:
            assert ask(make_model(server, engine="auto"), is_async=is_async).answer == TEXT

        assert len(server.requests) == 1
        assert sessions.sessions == hook.sessions == {}

    def test_an_answer_from_the_cache_of_dspy_is_not_recorded(self, is_async: bool, tmp_path: Path) -> None:
        dspy.configure_cache(disk_cache_dir=str(tmp_path / "cache"))
        with ModelServer([ANSWER]) as server, LiteLLMHook() as hook:
            model = make_model(server, cache=True)
            for _ in range(2):
                assert ask(model, is_async=is_async).answer == TEXT

        assert len(server.requests) == len(hook.sessions) == 1


def test_a_stream_is_recorded() -> None:
    async def read(server: ModelServer) -> list[Any]:
        program = dspy.streamify(dspy.Predict("question -> answer"))
        with dspy.context(lm=make_model(server)):
            return [chunk async for chunk in program(question="What is the weather?")]

    with ModelServer([ANSWER]) as server, LiteLLMHook() as hook:
        *_, last = asyncio.run(read(server))

    assert last.answer == TEXT
    assert server.requests[0][1]["stream"] is True
    assert items_in(only(hook)) == [item for items in exchanged(server) for item in items]


def test_programs_in_threads_have_sessions_of_their_own() -> None:
    with ModelServer([ANSWER] * 4) as server, LiteLLMHook() as hook, ThreadPoolExecutor(4) as pool:
        assert [result.answer for result in pool.map(ask, [make_model(server)] * 4)] == [TEXT] * 4

    assert [len(items_in(path)) for path in hook.sessions.values()] == [3] * 4
    assert hook.problems == {}


def test_a_fault_of_recording_does_not_reach_the_program_and_is_counted() -> None:
    def redact(value: Any) -> Any:
        raise ValueError("no redaction")

    with ModelServer([ANSWER]) as server, LiteLLMHook(redact=redact) as hook:
        assert ask(make_model(server)).answer == TEXT

    assert len(hook.problems) == 2


def make_hooked(hook: DSPyHook, server: ModelServer, model: str = "openai/gpt-4o", **settings: Any) -> Any:
    """
    Return a context in which a model is recorded that DSPy's own client asks.
    """
    model_of_server = make_model(server, model, **{"engine": "auto", **settings})
    adapter = dspy.ChatAdapter(use_native_function_calling=True)
    return dspy.context(lm=model_of_server, callbacks=[hook], adapter=adapter)


def call(program: Any, *, is_async: bool = False, **inputs: Any) -> Any:
    inputs = inputs or {"question": "What is the weather?"}
    return asyncio.run(program.acall(**inputs)) if is_async else program(**inputs)


def kinds_in(path: Path) -> list[str]:
    return [item.get("role") or item["type"] for item in items_in(path)]


def closed(hook: DSPyHook) -> Path:
    """
    Close the hook, and return the file of its only session.
    """
    hook.close()
    return only(hook)


def ends_of(path: Path) -> list[tuple[str, bool]]:
    """
    Return the text and the failure of each call that ended.
    """
    results = [end["result"]["Ok"] for end in events_in(path, "mcp_tool_call_end")]
    return [(result["content"][0]["text"], result["isError"]) for result in results]


def find_weather(city: str) -> str:
    if city == "Rome":
        raise ValueError("no weather in Rome")
    time.sleep(0.05)
    return f"sunny in {city}"


class Trip(dspy.Module):  # type: ignore[misc]
    """
    A program of two steps, of which the last may run at the same time as others.
    """

    def __init__(self, *, is_parallel: bool = False) -> None:
        super().__init__()
        self.plan, self.step = dspy.Predict("question -> answer"), dspy.Predict("city -> answer")
        self.is_parallel = is_parallel

    def forward(self, question: str) -> Any:
        self.plan(question=question)
        if self.is_parallel:
            parallel = dspy.Parallel(num_threads=2, disable_progress_bar=True)
            return parallel([(self.step, dspy.Example(city=city).with_inputs("city")) for city in ("Paris", "Rome")])[0]
        return self.step(city="Paris")

    async def aforward(self, question: str) -> Any:
        await self.plan.acall(question=question)
        if self.is_parallel:
            return (await asyncio.gather(*(self.step.acall(city=city) for city in ("Paris", "Rome"))))[0]
        return await self.step.acall(city="Paris")


REACT = [{**STEPS[0], "next_tool_args": f'{{"city": "{city}"}}'} for city in ("Paris", "Rome")] + STEPS[1:]
NATIVE = [
    Answer(calls=[("find_weather", {"city": city}) for city in ("Paris", "Rome")], reasoning="I ask."),
    Answer(calls=[("submit", {"answer": TEXT})]),
]


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[DSPyHook]:
    with DSPyHook(home=tmp_path / "hook") as hook:
        yield hook
    assert hook.problems == {}


@each_call
class TestHook:
    def test_a_program_is_one_turn_with_each_item_once(self, is_async: bool, tmp_path: Path) -> None:
        program = dspy.ReAct("question -> answer", tools=[dspy.Tool(find_weather, name="get_weather")])
        rec = rollout.Recorder(home=tmp_path)
        with ModelServer(map(form, REACT)) as server, rec, DSPyHook(rec) as hook, make_hooked(hook, server):
            assert call(program, is_async=is_async).answer == TEXT

        (system, user), answer = exchanged(server)
        assert items_in(rec.path)[:3] == [system, user, *answer]
        step = ["assistant", "function_call", "function_call_output", "user"]
        assert kinds_in(rec.path) == ["system", "user", *step, *step, *step[:3], "system", "user", "assistant"]
        prompts = [item for item in items_in(rec.path) if item.get("role") == "user"]
        assert prompts == [exchanged(server, at)[0][1] for at in range(4)]
        (turn,) = rollout.load_history(rec.path).turns
        assert "What is the weather?" in str(turn.prompt)
        assert events_in(rec.path, "compacted") == []
        assert hook.problems == {}

    def test_calls_that_are_texts_have_ids_outputs_errors_and_durations(self, is_async: bool, hook: DSPyHook) -> None:
        program = dspy.ReAct("question -> answer", tools=[dspy.Tool(find_weather, name="get_weather")])
        with ModelServer(map(form, REACT)) as server, make_hooked(hook, server):
            call(program, is_async=is_async)

        calls = [item for item in items_in(closed(hook)) if item["type"] == "function_call"]
        assert [(own["name"], json.loads(own["arguments"])) for own in calls] == [
            ("get_weather", {"city": "Paris"}),
            ("get_weather", {"city": "Rome"}),
            ("finish", {}),
        ]
        assert len({own["call_id"] for own in calls}) == 3
        error = "ValueError: no weather in Rome"
        assert ends_of(closed(hook)) == [("sunny in Paris", False), (error, True), ("Completed.", False)]
        assert [item["output"] for item in items_in(closed(hook)) if "output" in item] == [
            "sunny in Paris",
            error,
            "Completed.",
        ]
        ends = events_in(closed(hook), "mcp_tool_call_end")
        assert 0.05 <= ends[0]["duration"]["nanos"] / 1e9 < 5

    @pytest.mark.parametrize("model", ["openai/gpt-4o", "anthropic/claude-sonnet-4-5", "responses"])
    def test_calls_of_the_model_have_its_ids_and_are_recorded_once(
        self, model: str, is_async: bool, hook: DSPyHook
    ) -> None:
        settings: Json = {"model": model}
        if model == "responses":
            settings = {"model": "openai/gpt-4o", "model_type": "responses"}
        program = dspy.ReActV2("question -> answer", tools=[find_weather])
        with ModelServer(NATIVE) as server, make_hooked(hook, server, **settings):
            assert call(program, is_async=is_async).answer == TEXT

        items = items_in(closed(hook))
        sent = [item for at in range(2) for item in exchanged(server, at)[1]]
        assert [item for item in items if item["type"] in ("reasoning", "function_call")] == sent
        outputs = [item["call_id"] for item in items if item["type"] == "function_call_output"]
        assert outputs == [item["call_id"] for item in sent if item["type"] == "function_call"]
        assert [is_failed for _, is_failed in ends_of(closed(hook))] == [False, True, False]
        ends = events_in(closed(hook), "mcp_tool_call_end")
        assert 0.05 <= ends[0]["duration"]["nanos"] / 1e9 < 5
        counts = [count["info"]["last_token_usage"] for count in events_in(closed(hook), "token_count")]
        assert [(count["input_tokens"], count["cached_input_tokens"], count["output_tokens"]) for count in counts] == [
            (120, 40, 15)
        ] * 2
        (context,) = events_in(closed(hook), "turn_context")
        assert context["model"] == settings["model"]
        assert "find_weather" in json.dumps(context["tools"])
        assert KEY not in closed(hook).read_text()

    def test_a_module_in_a_module_is_a_step_of_it(self, is_async: bool, hook: DSPyHook) -> None:
        with ModelServer([ANSWER] * 2) as server, make_hooked(hook, server):
            call(Trip(), is_async=is_async)

        assert kinds_in(closed(hook)) == ["system", "user", "assistant"] * 2
        assert len(rollout.load_history(closed(hook)).turns) == 1

    def test_modules_that_run_at_the_same_time_are_sub_agents(self, is_async: bool, tmp_path: Path) -> None:
        rec = rollout.Recorder(home=tmp_path)
        with ModelServer([ANSWER] * 3) as server, rec, DSPyHook(rec) as hook, make_hooked(hook, server):
            call(Trip(is_parallel=True), is_async=is_async)

        assert kinds_in(rec.path) == ["system", "user", "assistant"]
        assert len(hook.sessions) == 2
        for path in hook.sessions.values():
            assert kinds_in(path) == ["system", "user", "assistant"]
            assert lines_of(path)[0]["payload"]["parent_thread_id"] == rec.session_id
            assert len(rollout.load_history(path).turns) == 1
        assert hook.problems == {}

    def test_a_module_that_a_tool_calls_is_a_sub_agent(self, is_async: bool, tmp_path: Path) -> None:
        inner = dspy.Predict("question -> answer")

        def ask_expert(question: str) -> str:
            return str(inner(question=question).answer)

        steps = [
            form({**STEPS[0], "next_tool_name": "ask_expert", "next_tool_args": '{"question": "Paris?"}'}),
            ANSWER,
            *map(form, STEPS[1:]),
        ]
        rec = rollout.Recorder(home=tmp_path)
        with ModelServer(steps) as server, rec, DSPyHook(rec) as hook, make_hooked(hook, server):
            call(dspy.ReAct("question -> answer", tools=[ask_expert]), is_async=is_async)

        assert kinds_in(only(hook)) == ["system", "user", "assistant"]
        assert ends_of(rec.path)[0] == (TEXT, False)
        assert len(rollout.load_history(rec.path).turns) == 1

    def test_each_call_of_a_program_is_a_turn_of_the_recorder_and_else_a_session(
        self, is_async: bool, hook: DSPyHook, tmp_path: Path
    ) -> None:
        program, rec = dspy.Predict("question -> answer"), rollout.Recorder(home=tmp_path)
        with ModelServer([ANSWER] * 4) as server, rec, DSPyHook(rec) as own:
            for used in (own, own, hook, hook):
                with make_hooked(used, server):
                    call(program, is_async=is_async)

        hook.close()
        assert own.sessions == {}
        assert kinds_in(rec.path) == ["system", "user", "assistant"] * 2
        assert len(rollout.load_history(rec.path).turns) == 2
        assert [kinds_in(path) for path in hook.sessions.values()] == [["system", "user", "assistant"]] * 2

    def test_an_error_of_the_model_ends_the_turn_as_failed(self, is_async: bool, hook: DSPyHook) -> None:
        refused = pytest.raises(dspy.LMError)
        with ModelServer([Answer(status=429)]) as server, make_hooked(hook, server), refused:
            call(dspy.Predict("question -> answer"), is_async=is_async)

        (error,) = events_in(closed(hook), "error")
        (end,) = events_in(closed(hook), "task_complete")
        assert end["error"]["message"] == error["message"]
        assert error["message"].startswith("LMRateLimitError: ")

    def test_tries_within_the_model_are_one_request(self, is_async: bool, hook: DSPyHook) -> None:
        with ModelServer([Answer(status=500), ANSWER]) as server, make_hooked(hook, server, num_retries=1):
            assert call(dspy.Predict("question -> answer"), is_async=is_async).answer == TEXT

        assert len(server.requests) == 2
        assert kinds_in(closed(hook)) == ["system", "user", "assistant"]
        assert events_in(closed(hook), "error") == []

    @pytest.mark.parametrize("engine", ["auto", "litellm"])
    def test_together_with_the_other_hooks_each_request_is_recorded_once(
        self, engine: str, is_async: bool, hook: DSPyHook, tmp_path: Path
    ) -> None:
        others = rollout.instrument(home=tmp_path / "sdk"), LiteLLMHook(home=tmp_path / "litellm")
        with ModelServer([ANSWER] * 2) as server, others[0] as sdk, others[1] as litellm:
            with make_hooked(hook, server, engine=engine):
                call(dspy.Predict("question -> answer"), is_async=is_async)
            assert sdk.sessions == litellm.sessions == {}
            with dspy.context(lm=make_model(server)):
                call(dspy.Predict("question -> answer"), is_async=is_async)

        hook.close()
        assert [len(own.sessions) for own in (hook, sdk, litellm)] == [1, 0, 1]
        assert items_in(closed(hook)) == [item for items in exchanged(server) for item in items]
        assert len(events_in(closed(hook), "token_count")) == 1

    def test_an_answer_from_the_cache_is_recorded_without_usage(
        self, is_async: bool, hook: DSPyHook, tmp_path: Path
    ) -> None:
        dspy.configure_cache(disk_cache_dir=str(tmp_path / "cache"))
        with ModelServer([ANSWER]) as server, make_hooked(hook, server, cache=True):
            for _ in range(2):
                assert call(dspy.Predict("question -> answer"), is_async=is_async).answer == TEXT

        hook.close()
        assert len(server.requests) == 1
        first, second = hook.sessions.values()
        assert items_in(first) == items_in(second)
        assert [len(events_in(path, "token_count")) for path in (first, second)] == [1, 0]

    def test_a_model_is_recorded_without_a_program(self, is_async: bool, hook: DSPyHook) -> None:
        with ModelServer([Answer("Hello.")] * 3) as server, make_hooked(hook, server):
            model = dspy.settings.lm
            asyncio.run(model.acall("Hi")) if is_async else model("Hi")
            context = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
            context += [{"role": "user", "content": "Again"}]
            asyncio.run(model.acall(messages=context)) if is_async else model(messages=context)

        assert kinds_in(closed(hook)) == ["user", "assistant"] * 2
        assert len(rollout.load_history(closed(hook)).turns) == 2


class TestRequests:
    @pytest.mark.parametrize("model_type", ["chat", "responses"])
    @pytest.mark.parametrize("is_history", [True, False])
    def test_a_request_of_the_own_engine_is_recorded_as_the_server_saw_it(
        self, model_type: str, is_history: bool, hook: DSPyHook
    ) -> None:
        request = native.Request(model="openai/gpt-4o", messages=(native.Message.user("Hi"),), system="Be kind.")
        with (
            ModelServer([Answer("Hello.", reasoning="Kind.")]) as server,
            make_hooked(hook, server, model_type=model_type),
            dspy.context(disable_history=not is_history),
        ):
            dspy.settings.lm(request=request) if is_history else dspy.settings.lm(request)

        asked, answer = exchanged(server)
        assert items_in(closed(hook)) == [*asked, *answer]
        assert len(events_in(closed(hook), "token_count")) == is_history

    def test_answers_of_several_choices_are_recorded_with_their_numbers(self, hook: DSPyHook) -> None:
        with ModelServer([Answer("One."), Answer("Two.")]) as server, make_hooked(hook, server, n=2):
            assert dspy.settings.lm("Hi") == ["One.", "Two."]

        texts = [(item["content"][0]["text"], item.get("choice")) for item in items_in(closed(hook))]
        assert texts == [("Hi", None), ("One.", None), ("Two.", 1)]
        (count,) = events_in(closed(hook), "token_count")
        assert count["info"]["last_token_usage"]["input_tokens"] == 240

    def test_a_typed_stream_is_recorded(self, hook: DSPyHook) -> None:
        async def read() -> list[Any]:
            program = dspy.streamify(dspy.Predict("question -> answer"))
            return [chunk async for chunk in program(question="What?")]

        with ModelServer([ANSWER]) as server, make_hooked(hook, server):
            *_, last = asyncio.run(read())

        assert last.answer == TEXT
        assert server.requests[0][1]["stream"] is True
        assert items_in(closed(hook)) == [item for items in exchanged(server) for item in items]
        assert len(events_in(closed(hook), "token_count")) == 1

    def test_settings_are_recorded_without_keys_and_with_the_schema_of_a_class(self, hook: DSPyHook) -> None:
        class Form(pydantic.BaseModel):
            answer: str

        headers = {"x-secret": KEY}
        with ModelServer([Answer('{"answer": "Yes."}')]) as server, make_hooked(hook, server, seed=1, headers=headers):
            dspy.settings.lm("Hi", temperature=0.5, response_format=Form, my_api_key=KEY)

        (context,) = events_in(closed(hook), "turn_context")
        assert context["settings"] == {"seed": 1, "temperature": 0.5, "response_format": Form.model_json_schema()}
        assert KEY not in closed(hook).read_text()

    def test_a_client_that_answers_no_prompt_is_not_recorded(self, hook: DSPyHook) -> None:
        client = TypeSafe(api_key=KEY, callbacks=[hook])

        hook.on_lm_start("1", client, {"state": {}, "questions": {}})
        hook.on_lm_end("1", {})

        assert hook.sessions == {}


class TestTools:
    def test_tools_outside_of_a_program_or_before_its_first_request_are_not_recorded(self, hook: DSPyHook) -> None:
        class Program(dspy.Module):  # type: ignore[misc]
            def forward(self, question: str) -> Any:
                tool(city="Paris")
                return step(question=question)

        tool, step = dspy.Tool(find_weather), dspy.Predict("question -> answer")
        with ModelServer([ANSWER]) as server, make_hooked(hook, server):
            tool(city="Paris")
            Program()(question="What?")

        assert kinds_in(closed(hook)) == ["system", "user", "assistant"]

    def test_a_request_in_a_tool_and_an_output_that_is_no_text_are_recorded(self, hook: DSPyHook) -> None:
        def ask(question: str) -> Json:
            return {"answers": dspy.settings.lm(question), "at": Path("Paris")}

        steps = [{**STEPS[0], "next_tool_name": "ask", "next_tool_args": '{"question": "Paris?"}'}]
        answers = [form(steps[0]), Answer("Sunny."), *map(form, STEPS[1:])]
        with ModelServer(answers) as server, make_hooked(hook, server):
            dspy.ReAct("question -> answer", tools=[ask])(question="What?")

        kinds = ["assistant", "function_call", "user", "assistant", "function_call_output"]
        assert kinds_in(closed(hook))[2:7] == kinds
        assert ends_of(closed(hook))[0] == ('{"answers": ["Sunny."], "at": "Paris"}', False)

    def test_a_call_whose_arguments_are_no_json_gets_a_call_of_its_own(self, hook: DSPyHook) -> None:
        broken = Answer(calls=[("find_weather", '{"city": "Paris"')])
        answers = [broken, Answer(calls=[("submit", {"answer": TEXT})])]
        program = dspy.ReActV2("question -> answer", tools=[find_weather])
        with ModelServer(answers) as server, make_hooked(hook, server, engine="litellm"):
            program(question="What?")

        names = [item["name"] for item in items_in(closed(hook)) if item["type"] == "function_call"]
        assert names == ["find_weather", "find_weather", "submit"]


class TestGemini:
    """
    Gemini's API has no ids of calls: DSPy numbers them anew in each answer.
    """

    @staticmethod
    def answers() -> list[Answer]:
        cities = [Answer(calls=[("find_weather", {"city": city})]) for city in ("Paris", "Rome")]
        return [*cities, Answer(calls=[("submit", {"answer": TEXT})])]

    def test_each_call_has_its_output_in_each_turn_of_a_recorder(self, tmp_path: Path) -> None:
        program, rec = dspy.ReActV2("question -> answer", tools=[find_weather]), rollout.Recorder(home=tmp_path)
        with ModelServer(self.answers() * 2) as server, rec, DSPyHook(rec) as hook:
            for _ in range(2):
                with make_hooked(hook, server, "gemini/gemini-2.5-flash", api_base=f"{server.url}/v1beta"):
                    program(question="What?")

        kinds = ["function_call", "function_call_output"] * 6
        items = [item for item in items_in(rec.path) if "call_id" in item]
        assert [item["type"] for item in items] == kinds
        assert {item["call_id"] for item in items} == {"tool_call_0"}
        assert [is_failed for _, is_failed in ends_of(rec.path)] == [False, True, False] * 2
        assert hook.problems == {}

    def test_programs_at_the_same_time_do_not_mix_their_calls(self, tmp_path: Path) -> None:
        barrier = threading.Barrier(2, timeout=20)

        def submit(city: str) -> Any:
            def find(city: str) -> str:
                barrier.wait()
                return f"sunny in {city}"

            return dspy.ReActV2("question -> answer", tools=[dspy.Tool(find, name="find")])(question=city)

        def answer(path: str, body: Json) -> Answer:
            city = "Paris" if "Paris" in json.dumps(body) else "Rome"
            is_called = "functionResponse" in json.dumps(body)
            barrier.wait()
            return Answer(calls=[("submit", {"answer": city}) if is_called else ("find", {"city": city})])

        with (
            ModelServer(answer) as server,
            DSPyHook(home=tmp_path) as hook,
            make_hooked(hook, server, "gemini/gemini-2.5-flash", api_base=f"{server.url}/v1beta"),
            ThreadPoolExecutor(2) as pool,
        ):
            waiting = [pool.submit(copy_context().run, submit, city) for city in ("Paris", "Rome")]
            assert [own.result().answer for own in waiting] == ["Paris", "Rome"]

        ends = sorted(ends_of(path) for path in hook.sessions.values())
        assert ends == [
            [(f"sunny in {city}", False), (json.dumps({"answer": city}), False)] for city in ("Paris", "Rome")
        ]


class TestLife:
    def test_programs_at_the_same_time_are_sessions_of_their_own(self, tmp_path: Path) -> None:
        rec = rollout.Recorder(home=tmp_path)
        barrier = threading.Barrier(3, timeout=20)

        def answer(path: str, body: Json) -> Answer:
            barrier.wait()
            return ANSWER

        parallel = dspy.Parallel(num_threads=3, disable_progress_bar=True)
        pairs = [(dspy.Predict("question -> answer"), dspy.Example(question="W?").with_inputs("question"))] * 3
        with ModelServer(answer) as server, rec, DSPyHook(rec) as hook, make_hooked(hook, server):
            assert [result.answer for result in parallel(pairs)] == [TEXT] * 3

        assert [kinds_in(path) for path in (rec.path, *hook.sessions.values())] == [["system", "user", "assistant"]] * 3
        assert hook.problems == {}

    def test_an_evaluation_is_a_turn_for_each_example(self, tmp_path: Path) -> None:
        rec, examples = rollout.Recorder(home=tmp_path), [dspy.Example(question="W?").with_inputs("question")] * 2
        evaluate = dspy.Evaluate(devset=examples, metric=lambda *_: 1.0, num_threads=1, display_progress=False)
        with ModelServer([ANSWER] * 2) as server, rec, DSPyHook(rec) as hook, make_hooked(hook, server):
            evaluate(dspy.Predict("question -> answer"))

        assert len(rollout.load_history(rec.path).turns) == 2
        assert hook.sessions == hook.problems == {}

    def test_a_stream_that_breaks_is_recorded_with_its_error(self, hook: DSPyHook) -> None:
        async def read() -> None:
            async for _ in dspy.streamify(dspy.Predict("question -> answer"))(question="What?"):
                pass

        broken = Answer(ANSWER.text, cut_after=3)
        with ModelServer([broken]) as server, make_hooked(hook, server), pytest.raises(dspy.LMError):
            asyncio.run(read())

        assert kinds_in(closed(hook)) == ["system", "user"]
        (error,) = events_in(closed(hook), "error")
        assert "connection closed" in error["message"]

    def test_a_cancelled_program_is_an_interrupted_turn(self, hook: DSPyHook) -> None:
        async def cancel() -> None:
            task = asyncio.ensure_future(dspy.Predict("question -> answer").acall(question="What?"))
            while not server.requests:
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        with ModelServer([Answer(ANSWER.text, delay=20)]) as server, make_hooked(hook, server):
            asyncio.run(cancel())

        (end,) = events_in(closed(hook), "turn_aborted")
        assert end["reason"] == "interrupted"

    def test_a_hook_that_is_given_twice_records_once(self, hook: DSPyHook) -> None:
        program = dspy.ReAct("question -> answer", tools=[dspy.Tool(find_weather, name="get_weather")])
        with ModelServer(map(form, STEPS)) as server, make_hooked(hook, server), dspy.context(callbacks=[hook, hook]):
            program(question="What?")

        calls = [item["name"] for item in items_in(closed(hook)) if item["type"] == "function_call"]
        assert calls == ["get_weather", "finish"]
        assert len(events_in(closed(hook), "token_count")) == 3

    def test_a_copy_of_a_model_is_recorded_by_the_same_hook(self, hook: DSPyHook) -> None:
        model = dspy.LM("openai/gpt-4o", callbacks=[hook])

        assert copy.deepcopy(model).callbacks == [hook]

    def test_after_its_end_a_hook_records_nothing(self, hook: DSPyHook) -> None:
        hook.close()
        program = dspy.ReAct("question -> answer", tools=[dspy.Tool(find_weather, name="get_weather")])
        with ModelServer(map(form, STEPS)) as server, make_hooked(hook, server):
            assert program(question="What?").answer == TEXT

        assert hook.sessions == {}

    def test_a_fault_of_recording_is_counted_and_does_not_reach_the_program(self) -> None:
        def redact(value: Any) -> Any:
            raise ValueError("no redaction")

        with ModelServer([ANSWER]) as server, DSPyHook(redact=redact) as hook, make_hooked(hook, server):
            assert call(dspy.Predict("question -> answer")).answer == TEXT

        assert len(hook.problems) == 2

    def test_what_cannot_be_read_is_counted(self, tmp_path: Path) -> None:
        class Model(dspy.LM):  # type: ignore[misc]
            """
            A model of a caller, with an answer that has no form.
            """

        with ModelServer([ANSWER]) as server, DSPyHook(home=tmp_path) as hook, make_hooked(hook, server):
            model = dspy.settings.lm
            hook.on_lm_start("1", model, {"prompt": "Hi", "messages": None, "kwargs": {}})
            hook.on_lm_end("1", 5)
            hook.on_lm_start("2", model, {})

        assert [text.partition(" could")[0] for text in hook.problems] == ["an answer", "a request"]
        assert "could not be read" in events_in(closed(hook), "error")[0]["message"]


def test_the_code_of_the_page_runs(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = [block for block in blocks if "dspy" in block]
    with ModelServer(map(form, STEPS)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)

        exec(compile(code, "litellm.md", "exec"), {})  # noqa: S102 -- the code of the page

    (path,) = home.rglob("*.jsonl")
    assert str(path) in capsys.readouterr().out
    assert ends_of(path) == [("sunny in Paris", False), ("Completed.", False)]
    assert len(rollout.load_history(path).turns) == 1


def test_the_example_runs(home: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "dspy_agent.py"), "--home", str(home)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)

    (path,) = home.rglob("*.jsonl")
    assert str(path) in done.stdout
    assert TEXT in done.stdout
    assert ends_of(path) == [("sunny in Paris", False), ("Completed.", False)]
