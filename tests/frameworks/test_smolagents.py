"""
Agents of smolagents, recorded by `StepRecorder`: what the session contains, and what stays as it was.
"""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from loopback import REASONING, TEXT, Answer, ModelServer

from rollout import Recorder, load_history
from rollout.adapters import instrument
from rollout.adapters.smolagents import StepRecorder
from rollout.dialects import dialect_for
from tests.adapters.apis import events_in, items_in, only
from tests.recording.helpers import lines_of

smolagents = pytest.importorskip("smolagents", reason="smolagents is not installed")
Image = pytest.importorskip("PIL.Image", reason="an image library is not installed")
ChatMessage, MessageRole = smolagents.ChatMessage, smolagents.MessageRole
AgentGenerationError = smolagents.utils.AgentGenerationError

Json = dict[str, Any]
ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "frameworks" / "smolagents.md"
CODE = "I ask.\n<code>\nweather = get_weather('Paris')\nprint(weather)\n</code>"
FINAL_CODE = "<code>\nfinal_answer(weather)\n</code>"
CHAT = dialect_for("chat/completions")


class Weather(smolagents.Tool):
    name = "get_weather"
    description = "Weather of a city."
    inputs = {"city": {"type": "string", "description": "Name of the city."}}  # noqa: RUF012 -- the form of smolagents
    output_type = "string"

    def __init__(self, act: Callable[[str], Any] = "sunny in {}".format) -> None:
        super().__init__()
        self.act = act

    def forward(self, city: str) -> str:
        return self.act(city)


class LocalModel(smolagents.Model):
    """
    A model that no SDK serves: it answers with texts, or raises errors.
    """

    def __init__(self, *answers: Any) -> None:
        super().__init__(model_id="local")
        self.answers = list(answers)

    def generate(self, messages: list[Any], **_: Any) -> ChatMessage:
        answer = self.answers.pop(0)
        answer = answer() if callable(answer) else answer
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, ChatMessage) else ChatMessage(role=MessageRole.ASSISTANT, content=answer)


class StreamedModel(LocalModel):
    """
    A model that answers once, in pieces, through a retryer whose events are of a form of its own.
    """

    def retryer(self, function: Callable[..., Any]) -> Any:
        return function()

    def generate_stream(self, messages: list[Any], **_: Any) -> Iterator[Any]:
        for piece in self.retryer(lambda: iter(self.answers)):
            usage = smolagents.monitoring.TokenUsage(input_tokens=0, output_tokens=1)
            yield smolagents.ChatMessageStreamDelta(content=piece, token_usage=usage)


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Callable[..., StepRecorder]]:
    """
    Return a function that records agents in sessions of their own; the end of the test closes the recorder.
    """
    made: list[StepRecorder] = []

    def record(*agents: Any, recorder: Recorder | None = None, **settings: Any) -> StepRecorder:
        made.append(StepRecorder(recorder, home=tmp_path, **settings))
        for agent in agents:
            assert made[-1].attach(agent) is made[-1]
        return made[-1]

    yield record
    for steps in made:
        steps.close()


def model_of(server: ModelServer, **settings: Any) -> Any:
    settings = {"client_kwargs": {"max_retries": 0}, "retry": False, **settings}
    return smolagents.OpenAIModel(model_id="gpt-4o", api_base=f"{server.url}/v1", api_key="sk-very-secret", **settings)


def make_agent(model: Any, kind: str = "ToolCallingAgent", **settings: Any) -> Any:
    model = model_of(model) if isinstance(model, ModelServer) else model
    settings = {"tools": [Weather()], "verbosity_level": 0, **settings}
    return getattr(smolagents, kind)(model=model, **settings)


def of_type(items: list[Json], kind: str) -> list[Json]:
    return [item for item in items if item["type"] == kind]


def texts_of(items: list[Json], role: str) -> list[str]:
    messages = [item for item in of_type(items, "message") if item["role"] == role]
    return ["".join(part.get("text", "") for part in item["content"]) for item in messages]


def outputs_in(path: Path) -> list[str]:
    return [item["output"] for item in of_type(items_in(path), "function_call_output")]


def sent_texts(server: ModelServer, at: int = -1) -> list[str]:
    """
    Return the texts of a request, as the server received them.
    """
    _, body = server.requests[at]
    return [part["text"] for message in body["messages"] for part in message["content"] if "text" in part]


def failed_calls(path: Path) -> list[str]:
    return [end["call_id"] for end in events_in(path, "mcp_tool_call_end") if end["result"]["Ok"]["isError"]]


class TestToolCallingAgent:
    def test_items_are_what_the_server_received_and_sent(self, server: ModelServer, record: Any) -> None:
        agent = make_agent(server)
        steps = record(agent)

        assert agent.run("What is the weather?") == TEXT
        steps.close()

        items = items_in(only(steps))
        received = CHAT.read_request(server.requests[0][1]).items
        answers = [CHAT.read_reply(body).items for body in server.replies]
        sent = of_type(items, "function_call_output")
        assert items == [*received, *answers[0], sent[0], *answers[1], sent[1]]
        assert [item["output"] for item in sent] == ["sunny in Paris", TEXT]
        assert [item["call_id"] for item in sent] == ["call_0001_0_0", "call_0002_0_0"]
        assert texts_of(items, "user") == ["New task:\nWhat is the weather?"]
        assert of_type(items, "reasoning")[0]["summary"][0]["text"] == REASONING
        assert json.loads(of_type(items, "function_call")[0]["arguments"]) == {"city": "Paris"}
        assert f"Observation:\n{sent[0]['output']}" in sent_texts(server)[-1]
        assert not steps.problems

    def test_usage_has_tokens_of_the_cache_and_of_reasoning(self, server: ModelServer, record: Any) -> None:
        agent = make_agent(server)
        steps = record(agent)

        agent.run("What is the weather?")
        steps.close()

        first, last = [count["info"] for count in events_in(only(steps), "token_count")]
        assert first["last_token_usage"]["cached_input_tokens"] == 40
        assert last["total_token_usage"]["reasoning_output_tokens"] == 10

    def test_settings_have_the_model_and_tools_but_no_keys(self, server: ModelServer, record: Any) -> None:
        secret = {"extra_headers": {"x-own": "very-secret"}, "api_token": None}
        agent = make_agent(model_of(server, temperature=0.5, reasoning_effort="low", max_tokens=99, **secret))
        del agent.model.kwargs["api_token"]
        steps = record(agent)

        agent.run("What is the weather?")
        steps.close()

        (context,) = events_in(only(steps), "turn_context")
        assert (context["model"], context["effort"]) == ("gpt-4o", "low")
        assert context["tools"] == server.requests[0][1]["tools"]
        assert context["settings"]["temperature"] == 0.5
        assert context["settings"]["max_tokens"] == 99
        assert "secret" not in only(steps).read_text()

    def test_parallel_calls_have_their_own_outputs_and_durations(self, serve: Any, record: Any) -> None:
        cities = ("Zürich", "Paris")
        server = serve(Answer("Both.", calls=[("get_weather", {"city": city}) for city in cities]))
        waited = threading.Event()
        act = {"Zürich": lambda: waited.wait(0.2), "Paris": lambda: None}
        agent = make_agent(server, tools=[Weather(lambda city: f"sunny in {city}{act[city]() or ''}")])
        steps = record(agent)

        agent.run("What is the weather?")
        steps.close()

        path = only(steps)
        assert outputs_in(path) == ["sunny in Zürich", "sunny in Paris", TEXT]
        assert texts_of(items_in(path), "assistant") == ["Both."]
        assert len(texts_of(items_in(path), "user")) == 1
        slow, fast, _ = [end["duration"]["nanos"] for end in events_in(path, "mcp_tool_call_end")]
        assert fast < 200_000_000 <= slow
        assert load_history(path).turns[0].prompt == "New task:\nWhat is the weather?"

    def test_the_error_of_a_tool_is_a_failed_call(self, serve: Any, record: Any) -> None:
        def act(city: str) -> str:
            raise ValueError(f"no {city}")

        server = serve(
            Answer(calls=[("get_weather", {"city": "Paris"})]), Answer(calls=[("final_answer", {"answer": 1})])
        )
        agent = make_agent(server, tools=[Weather(act)])
        steps = record(agent)

        assert agent.run("What is the weather?") == 1
        steps.close()

        path = only(steps)
        assert outputs_in(path)[0] in sent_texts(server)[-1]
        assert "ValueError: no Paris" in outputs_in(path)[0]
        assert failed_calls(path) == ["call_0001_0_0"]
        assert len(load_history(path).turns) == 1

    def test_of_parallel_calls_only_the_failed_one_has_the_error(self, serve: Any, record: Any) -> None:
        def act(city: str) -> str:
            return 1 / 0 if city == "Paris" else f"sunny in {city}"

        calls = [("get_weather", {"city": city}) for city in ("Paris", "Rome")]
        agent = make_agent(serve(Answer(calls=calls), Answer(calls=[("final_answer", {"answer": 1})])))
        agent.tools["get_weather"].act = act
        steps = record(agent)

        agent.run("What is the weather?")
        steps.close()

        path = only(steps)
        assert "ZeroDivisionError" in outputs_in(path)[0]
        assert failed_calls(path) == ["call_0001_0_0"]

    def test_an_answer_beside_other_calls_is_refused_in_the_session_too(self, serve: Any, record: Any) -> None:
        calls = [("get_weather", {"city": "Paris"}), ("final_answer", {"answer": "early"})]
        server = serve(Answer(calls=calls), Answer(calls=[("final_answer", {"answer": "late"})]))
        agent = make_agent(server, max_tool_threads=1)
        steps = record(agent)

        assert agent.run("What is the weather?") == "late"
        steps.close()

        items = items_in(only(steps))
        assert "please do not perform any other tool calls" in texts_of(items, "user")[-1]
        assert texts_of(items, "user")[-1] in sent_texts(server)[-1]
        assert len(events_in(only(steps), "task_started")) == 1

    def test_calls_of_unknown_tools_fail(self, serve: Any, record: Any) -> None:
        agent = make_agent(serve(Answer(calls=[("get_time", {})]), Answer(calls=[("final_answer", {"answer": 1})])))
        steps = record(agent)

        agent.run("What is the time?")
        steps.close()

        assert failed_calls(only(steps)) == ["call_0001_0_0"]
        assert "Unknown tool get_time" in outputs_in(only(steps))[0]

    def test_equal_calls_are_all_ended(self, serve: Any, record: Any) -> None:
        agent = make_agent(serve(Answer(calls=[("get_weather", {"city": "Paris"})] * 2)))
        steps = record(agent)

        agent.run("What is the weather?")
        agent.execute_tool_call("get_weather", {"city": "Rome"})
        with pytest.raises(smolagents.utils.AgentToolExecutionError):
            agent.execute_tool_call("get_time", {})
        steps.close()

        assert outputs_in(only(steps)) == ["sunny in Paris", "sunny in Paris", TEXT]
        assert not steps.problems

    def test_calls_in_the_text_of_an_answer_are_recorded(self, record: Any) -> None:
        texts = [json.dumps({"name": "get_weather", "arguments": {"city": "Rome"}}), "no call"]
        last = json.dumps({"name": "final_answer", "arguments": {"answer": "sunny"}})
        agent = make_agent(LocalModel(*texts, last))
        steps = record(agent)

        assert agent.run("What is the weather?") == "sunny"
        steps.close()

        items = items_in(only(steps))
        assert [item["name"] for item in of_type(items, "function_call")] == ["get_weather", "final_answer"]
        assert texts_of(items, "assistant") == [*texts, last]
        assert outputs_in(only(steps)) == ["sunny in Rome", "sunny"]
        assert texts_of(items, "user")[-1].startswith("Error:\nError while parsing tool call")
        assert len(events_in(only(steps), "task_started")) == 1
        assert events_in(only(steps), "token_count") == []

    def test_changes_by_a_later_callback_are_recorded(self, serve: Any, record: Any) -> None:
        calls = [("get_weather", {"city": city}) for city in ("Paris", "Rome")]
        server = serve(Answer(calls=calls))
        agent = make_agent(server)
        steps = record(agent)

        def change(step: Any) -> None:
            step.observations += "\nand a hint"

        agent.step_callbacks.register(smolagents.ActionStep, change)
        agent.run("What is the weather?")
        steps.close()

        changed = texts_of(items_in(only(steps)), "user")[-1]
        assert changed == "Observation:\nsunny in Paris\nsunny in Rome\nand a hint"
        assert changed in sent_texts(server)[-1]
        assert outputs_in(only(steps))[:2] == ["sunny in Paris", "sunny in Rome"]


class TestCodeAgent:
    def test_code_is_a_call_and_its_observation_the_output(self, serve: Any, record: Any) -> None:
        server = serve(Answer(CODE, reasoning=REASONING), Answer(FINAL_CODE))
        agent = make_agent(server, "CodeAgent")
        steps = record(agent)

        assert agent.run("What is the weather?") == "sunny in Paris"
        steps.close()

        path = only(steps)
        items = items_in(path)
        calls = of_type(items, "function_call")
        assert [call["name"] for call in calls] == ["python_interpreter"] * 2
        code = "weather = get_weather('Paris')\nprint(weather)"
        assert json.loads(calls[0]["arguments"]) == {"code": code}
        assert calls[0]["call_id"] != calls[1]["call_id"]
        logs = "Execution logs:\nsunny in Paris\nLast output from code snippet:\nNone"
        assert outputs_in(path)[0] == logs
        assert f"Observation:\n{logs}" in sent_texts(server)[-1]
        assert outputs_in(path)[1].endswith("sunny in Paris")
        assert texts_of(items, "assistant") == [CODE, FINAL_CODE]
        assert len(texts_of(items, "user")) == 1
        assert of_type(items, "reasoning")[0]["summary"][0]["text"] == REASONING

    def test_failed_code_has_its_logs_and_the_error(self, serve: Any, record: Any) -> None:
        server = serve(Answer("<code>\nprint('before')\n1 / 0\n</code>"), Answer("<code>\nfinal_answer(1)\n</code>"))
        agent = make_agent(server, "CodeAgent")
        steps = record(agent)

        agent.run("Divide.")
        steps.close()

        path = only(steps)
        failed = of_type(items_in(path), "function_call")[0]["call_id"]
        assert failed_calls(path) == [failed]
        assert outputs_in(path)[0].startswith("Execution logs:\nbefore")
        assert "ZeroDivisionError" in outputs_in(path)[0]
        assert len(load_history(path).turns) == 1

    def test_answers_without_code_have_no_call_and_stay_in_the_turn(self, serve: Any, record: Any) -> None:
        server = serve(Answer("I do not know."), Answer("<code>\nfinal_answer(1)\n</code>"))
        agent = make_agent(server, "CodeAgent")
        steps = record(agent)

        agent.run("Divide.")
        steps.close()

        items = items_in(only(steps))
        assert len(of_type(items, "function_call")) == 1
        assert "Error in code parsing" in texts_of(items, "user")[-1]
        assert len(events_in(only(steps), "task_started")) == 1

    def test_structured_answers_are_read(self, serve: Any, record: Any) -> None:
        server = serve(Answer(json.dumps({"thought": "easy", "code": "final_answer(2)"})))
        agent = make_agent(server, "CodeAgent", use_structured_outputs_internally=True)
        steps = record(agent)

        assert agent.run("What is 1 + 1?") == 2
        steps.close()

        (call,) = of_type(items_in(only(steps)), "function_call")
        assert json.loads(call["arguments"]) == {"code": "final_answer(2)"}
        (context,) = events_in(only(steps), "turn_context")
        assert context["settings"]["response_format"]["type"] == "json_schema"


class TestRuns:
    @pytest.mark.parametrize("is_streamed", [False, True])
    def test_plans_are_in_the_session_of_the_agent(self, serve: Any, record: Any, is_streamed: bool) -> None:
        server = serve(Answer("First plan."), Answer(CODE), Answer("Second plan."), Answer(FINAL_CODE))
        agent = make_agent(server, "CodeAgent", planning_interval=1, stream_outputs=is_streamed)
        steps = record(agent)

        agent.run("What is the weather?")
        steps.close()

        path = only(steps)
        items = items_in(path)
        assert texts_of(items, "assistant") == ["First plan.", CODE, "Second plan.", FINAL_CODE]
        assert texts_of(items, "user").count("Now proceed and carry out this plan.") == 2
        assert len(of_type(items, "function_call_output")) == 2
        assert len(events_in(path, "token_count")) == 4
        assert len(events_in(path, "task_started")) == 1
        known = [one for role in ("system", "user") for one in texts_of(items, role)]
        for at in range(4):
            for text in sent_texts(server, at):
                # What smolagents builds from its own answers is not repeated.
                assert any(one in text for one in [*known, *outputs_in(path), CODE, " plan.", "Calling tools:"])

    def test_images_of_a_run_are_recorded_once(self, serve: Any, record: Any) -> None:
        server = serve(Answer(CODE), Answer(FINAL_CODE))
        agent = make_agent(server, "CodeAgent")
        steps = record(agent)
        image = Image.new("RGB", (3, 2), "red")

        agent.run("What is on it?", images=[image])
        steps.close()

        url = smolagents.utils.make_image_url(smolagents.utils.encode_image_base64(image))
        parts = [part for item in of_type(items_in(only(steps)), "message") for part in item["content"]]
        # The framework shows it with the task, and again after the step.
        assert [part.get("image_url") for part in parts if part["type"] == "input_image"] == [url, url]
        assert json.dumps(server.requests[1][1]).count(url) == 2
        assert len(events_in(only(steps), "task_started")) == 1

    def test_a_reset_begins_a_session_and_no_reset_goes_on(self, server: ModelServer, record: Any) -> None:
        agent = make_agent(server)
        steps = record(agent)

        for task, is_reset in (("First?", True), ("Second?", False), ("Third?", True)):
            agent.run(task, reset=is_reset)
        agent.run("Fourth?", False, False)
        steps.close()

        prompts = [[turn.prompt for turn in load_history(path).turns] for path in steps.sessions.values()]
        assert prompts == [["New task:\nFirst?", "New task:\nSecond?"], ["New task:\nThird?", "New task:\nFourth?"]]
        first, _ = steps.sessions.values()
        assert len(texts_of(items_in(first), "system")) == 1
        ids = [item["call_id"] for item in of_type(items_in(first), "function_call_output")]
        assert len(ids) == len(set(ids))

    def test_a_recorder_of_the_caller_gets_all_runs_and_stays_open(
        self, server: ModelServer, record: Any, tmp_path: Path
    ) -> None:
        agent = make_agent(server)
        with Recorder(home=tmp_path) as recorder:
            recorder.turn_context(model="before")
            with record(agent, recorder=recorder) as steps:
                agent.run("First?")
                agent.run("Second?")
            recorder.agent_message("after")

        assert [turn.prompt for turn in load_history(recorder.path).turns][-2:] == [
            "New task:\nFirst?",
            "New task:\nSecond?",
        ]
        assert steps.sessions == {}
        assert [line["type"] for line in lines_of(recorder.path)].count("compacted") == 1
        assert texts_of(items_in(recorder.path), "assistant")[-1] == "after"

    def test_the_answer_after_the_last_step_is_recorded(self, serve: Any, record: Any) -> None:
        server = serve(Answer(CODE), Answer("I was too slow."))
        agent = make_agent(server, "CodeAgent", max_steps=1)
        steps = record(agent)

        assert agent.run("What is the weather?") == "I was too slow."
        steps.close()

        assert texts_of(items_in(only(steps)), "assistant") == [CODE, "I was too slow."]
        (end,) = events_in(only(steps), "task_complete")
        assert end["last_agent_message"] == "I was too slow."

    @pytest.mark.parametrize("status", [429, 500])
    def test_errors_of_the_model_are_recorded_and_raised(self, serve: Any, record: Any, status: int) -> None:
        agent = make_agent(serve(Answer("too much", status=status)))
        steps = record(agent)

        with pytest.raises(AgentGenerationError, match="too much"):
            agent.run("What is the weather?")
        steps.close()

        assert f"Error code: {status}" in events_in(only(steps), "error")[0]["message"]
        (end,) = events_in(only(steps), "task_complete")
        assert "AgentGenerationError" in end["error"]["message"]

    def test_a_run_can_go_on_after_an_error(self, serve: Any, record: Any) -> None:
        agent = make_agent(serve(Answer(status=500)))
        steps = record(agent)

        with pytest.raises(AgentGenerationError):
            agent.run("What is the weather?")
        assert agent.run("Again?", reset=False) == TEXT
        steps.close()

        assert len(load_history(only(steps)).turns) == 2
        assert texts_of(items_in(only(steps)), "user") == ["New task:\nWhat is the weather?", "New task:\nAgain?"]

    def test_an_interrupted_agent_has_an_interrupted_turn(self, server: ModelServer, record: Any) -> None:
        agent = make_agent(server)
        agent.step_callbacks.register(smolagents.ActionStep, lambda _: agent.interrupt())
        steps = record(agent)

        with pytest.raises(smolagents.utils.AgentError, match="interrupted"):
            agent.run("What is the weather?")
        steps.close()

        assert [end["reason"] for end in events_in(only(steps), "turn_aborted")] == ["interrupted"]
        assert outputs_in(only(steps)) == ["sunny in Paris"]

    @pytest.mark.parametrize("kind", ["ToolCallingAgent", "CodeAgent"])
    def test_ctrl_c_in_a_tool_leaves_its_call_without_output(self, serve: Any, record: Any, kind: str) -> None:
        def act(city: str) -> str:
            raise KeyboardInterrupt

        server = serve(Answer(CODE)) if kind == "CodeAgent" else serve()
        agent = make_agent(server, kind, tools=[Weather(act)])
        steps = record(agent)

        with pytest.raises(KeyboardInterrupt):
            agent.run("What is the weather?")
        steps.close()

        assert len(events_in(only(steps), "turn_aborted")) == 1
        assert len(of_type(items_in(only(steps)), "function_call")) == 1
        assert outputs_in(only(steps)) == []

    def test_ctrl_c_in_a_request_ends_the_turn(self, record: Any) -> None:
        agent = make_agent(LocalModel(KeyboardInterrupt()))
        steps = record(agent)

        with pytest.raises(KeyboardInterrupt):
            agent.run("What is the weather?")
        steps.close()

        assert len(events_in(only(steps), "turn_aborted")) == 1
        assert len(texts_of(items_in(only(steps)), "user")) == 1

    def test_a_request_is_in_the_session_before_its_answer(self, record: Any, tmp_path: Path) -> None:
        seen: list[Any] = []

        def answer() -> str:
            recorder.flush()
            seen.append([texts_of(items_in(recorder.path), "user"), outputs_in(recorder.path)])
            return "<code>\nprint(1)\n</code>" if len(seen) == 1 else "<code>\nfinal_answer(1)\n</code>"

        agent = make_agent(LocalModel(answer, answer), "CodeAgent")
        with Recorder(home=tmp_path) as recorder, record(agent, recorder=recorder):
            agent.run("Print.")

        assert [prompts for prompts, _ in seen] == [["New task:\nPrint."]] * 2
        assert [len(outputs) for _, outputs in seen] == [0, 1]

    def test_two_agents_in_threads_have_their_own_sessions(self, server: ModelServer, record: Any) -> None:
        model = model_of(server)
        agents = [make_agent(model) for _ in range(2)]
        steps = record(*agents)
        barrier = threading.Barrier(2, timeout=10)
        for agent in agents:
            agent.tools["get_weather"].act = lambda city: f"sunny in {city}{barrier.wait() and ''}"

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(lambda agent: agent.run("What is the weather?"), agents)) == [TEXT] * 2
        steps.close()

        assert len(steps.sessions) == 2
        for path in steps.sessions.values():
            assert outputs_in(path)[1] == TEXT
            assert len(events_in(path, "task_complete")) == 1


class TestStreams:
    def test_a_stream_is_recorded_as_a_whole_answer(self, serve: Any, record: Any) -> None:
        server = serve(Answer("I ask.", calls=[("get_weather", {"city": "Paris"})], reasoning=REASONING))
        agent = make_agent(server, stream_outputs=True)
        steps = record(agent)

        events = list(agent.run("What is the weather?", stream=True))
        steps.close()

        assert isinstance(events[-1], smolagents.FinalAnswerStep)
        assert events[-1].output == TEXT
        items = items_in(only(steps))
        answers = [CHAT.read_reply(body).items for body in server.replies]
        assert [item for item in items if item in answers[0] + answers[1]] == answers[0] + answers[1]
        assert outputs_in(only(steps)) == ["sunny in Paris", TEXT]
        usage = events_in(only(steps), "token_count")[0]["info"]["last_token_usage"]
        assert (usage["input_tokens"], usage["cached_input_tokens"], usage["reasoning_output_tokens"]) == (120, 40, 5)
        assert len(events_in(only(steps), "task_complete")) == 1

    def test_a_stream_of_a_model_that_no_sdk_serves_is_recorded(self, record: Any) -> None:
        agent = make_agent(StreamedModel("<code>\n", "final_answer(1)\n", "</code>"), "CodeAgent", stream_outputs=True)
        steps = record(agent)

        assert agent.run("What is the weather?") == 1
        steps.close()

        assert texts_of(items_in(only(steps)), "assistant") == ["<code>\nfinal_answer(1)\n</code>"]
        assert len(outputs_in(only(steps))) == 1
        (count,) = events_in(only(steps), "token_count")
        assert count["info"]["last_token_usage"]["output_tokens"] == 3

    @pytest.mark.parametrize("how", ["close", "drop"])
    def test_an_abandoned_stream_is_recorded_as_far_as_it_came(self, serve: Any, record: Any, how: str) -> None:
        server = serve(Answer("<code>\n" + "print('a long answer')\n" * 20))
        agent = make_agent(server, "CodeAgent", stream_outputs=True)
        steps = record(agent)

        run = agent.run("What is the weather?", stream=True)
        first = [next(run).content for _ in range(5)]
        if how == "close":
            # smolagents yields a step while it is closed.
            with pytest.raises(RuntimeError, match="GeneratorExit"):
                run.close()
        else:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "unraisablehook", lambda _: None)
                del run
                gc.collect()
        steps.close()

        assert texts_of(items_in(only(steps)), "assistant") == ["".join(filter(None, first))]
        assert len(events_in(only(steps), "turn_aborted")) == 1
        assert not steps.problems

    def test_a_stream_that_breaks_is_recorded_with_its_error(self, serve: Any, record: Any) -> None:
        agent = make_agent(serve(Answer("A long answer. " * 20, cut_after=4)), "CodeAgent", stream_outputs=True)
        steps = record(agent)

        with pytest.raises(AgentGenerationError):
            agent.run("What is the weather?")
        steps.close()

        (text,) = texts_of(items_in(only(steps)), "assistant")
        assert text
        assert text < "A long answer. " * 20
        assert "APIConnectionError" in events_in(only(steps), "error")[0]["message"]

    def test_a_stream_that_does_not_begin_has_an_error(self, serve: Any, record: Any) -> None:
        agent = make_agent(serve(Answer("too much", status=500)), stream_outputs=True)
        steps = record(agent)

        with pytest.raises(AgentGenerationError):
            agent.run("What is the weather?")
        steps.close()

        assert "too much" in events_in(only(steps), "error")[0]["message"]

    def test_an_open_stream_is_recorded_when_recording_ends(self, serve: Any, record: Any) -> None:
        agent = make_agent(serve(Answer(CODE), Answer(FINAL_CODE)), "CodeAgent", stream_outputs=True)
        steps = record(agent)

        run = agent.run("What is the weather?", stream=True)
        first = [next(run).content for _ in range(3)]
        steps.close()
        rest = list(run)

        assert texts_of(items_in(only(steps)), "assistant") == ["".join(filter(None, first))]
        assert rest[-1].output == "sunny in Paris"

    def test_the_context_between_steps_belongs_to_the_caller(
        self, serve: Any, server: ModelServer, record: Any, tmp_path: Path
    ) -> None:
        agent = make_agent(
            serve(Answer("<code>\nfinal_answer('a long answer')\n</code>")), "CodeAgent", stream_outputs=True
        )
        steps = record(agent)
        run = agent.run("What is the weather?", stream=True)
        next(run)

        with instrument(home=tmp_path / "sdk") as sdk:
            model_of(server).generate([{"role": "user", "content": [{"type": "text", "text": "hi"}]}])
        assert list(run)[-1].output == "a long answer"
        steps.close()

        assert texts_of(items_in(only(sdk)), "user") == ["hi"]
        assert "hi" not in texts_of(items_in(only(steps)), "user")


class TestManagedAgents:
    @pytest.fixture
    def manager(self, serve: Any) -> Any:
        server = serve(
            Answer(calls=[("reporter", {"task": "Ask for Paris."})]),
            Answer(calls=[("get_weather", {"city": "Paris"})]),
            Answer(calls=[("final_answer", {"answer": "sunny"})]),
            Answer(calls=[("final_answer", {"answer": "It is sunny."})]),
        )
        model = model_of(server)
        reporter = make_agent(model, name="reporter", description="Reports the weather.")
        return make_agent(model, tools=[], managed_agents=[reporter])

    @pytest.mark.parametrize("has_recorder", [False, True])
    def test_managed_agents_have_sessions_of_their_own(
        self, manager: Any, record: Any, tmp_path: Path, has_recorder: bool
    ) -> None:
        recorder = Recorder(home=tmp_path) if has_recorder else None
        steps = record(manager, recorder=recorder)

        assert manager.run("What is the weather?") == "It is sunny."
        steps.close()

        *mains, agent = steps.sessions.values()
        main = mains[0] if recorder is None else recorder.path
        if recorder is not None:
            recorder.close()
        assert "sunny" in outputs_in(main)[0]
        assert outputs_in(agent) == ["sunny in Paris", "sunny"]
        meta = lines_of(agent)[0]["payload"]
        assert meta["agent_nickname"] == "reporter"
        assert meta["parent_thread_id"] == lines_of(main)[0]["payload"]["id"]
        assert len(events_in(main, "task_complete")) == len(events_in(agent, "task_complete")) == 1
        assert not steps.problems

    def test_code_calls_managed_agents_in_a_thread(self, serve: Any, record: Any) -> None:
        server = serve(
            Answer("<code>\nfinal_answer(reporter(task='Ask.'))\n</code>"),
            Answer(calls=[("final_answer", {"answer": "sunny"})]),
        )
        reporter = make_agent(server, name="reporter", description="Reports the weather.")
        manager = make_agent(server, "CodeAgent", managed_agents=[reporter])
        steps = record(reporter, manager)

        assert "sunny" in manager.run("What is the weather?")
        steps.close()

        main, agent = steps.sessions.values()
        assert lines_of(agent)[0]["payload"]["parent_thread_id"] == lines_of(main)[0]["payload"]["id"]

    def test_a_managed_agent_can_run_alone(self, server: ModelServer, record: Any) -> None:
        reporter = make_agent(server, name="reporter", description="Reports the weather.")
        steps = record(make_agent(server, managed_agents=[reporter]))

        assert reporter.run("What is the weather?") == TEXT
        steps.close()

        assert "agent_nickname" not in lines_of(only(steps))[0]["payload"]


class TestHooks:
    def test_instrument_and_steps_record_once(self, server: ModelServer, record: Any, tmp_path: Path) -> None:
        with instrument(home=tmp_path / "sdk") as sdk:
            agent = make_agent(server)
            steps = record(agent)
            agent.run("What is the weather?")
            list(agent.run("And now?", stream=True))
            steps.close()

        assert len(steps.sessions) == 2
        assert sdk.sessions == {}

    def test_two_recorders_record_once(self, server: ModelServer, record: Any) -> None:
        agent = make_agent(server, stream_outputs=True)
        inner, outer = record(agent), record(agent)

        assert agent.run("What is the weather?") == TEXT
        outer.close()
        inner.close()

        assert len(outer.sessions) == 1
        assert inner.sessions == {}
        assert not inner.problems

    @pytest.mark.parametrize("is_streamed", [False, True])
    def test_litellm_is_recorded(self, server: ModelServer, record: Any, is_streamed: bool) -> None:
        model = smolagents.LiteLLMModel(model_id="openai/m", api_base=f"{server.url}/v1", api_key="sk-very-secret")
        agent = make_agent(model, stream_outputs=is_streamed)
        steps = record(agent)

        assert agent.run("What is the weather?") == TEXT
        steps.close()

        items = items_in(only(steps))
        assert of_type(items, "reasoning")[0]["summary"][0]["text"] == REASONING
        assert outputs_in(only(steps)) == ["sunny in Paris", TEXT]
        usage = events_in(only(steps), "token_count")[0]["info"]["last_token_usage"]
        assert (usage["cached_input_tokens"], usage["reasoning_output_tokens"]) == (40, 5)
        assert "secret" not in only(steps).read_text()

    @pytest.mark.parametrize("kind", ["ToolCallingAgent", "CodeAgent"])
    def test_the_end_leaves_everything_as_it_was(self, server: ModelServer, record: Any, kind: str) -> None:
        managed = make_agent(server, name="reporter", description="Reports.")
        agent = make_agent(server, kind, managed_agents=[managed])
        objects = [agent, managed, agent.model, managed.model]
        before = [(dict(vars(own)), getattr(own, "step_callbacks", None)) for own in objects]
        callbacks = [
            {kind: [*known] for kind, known in own.step_callbacks._callbacks.items()} for own in (agent, managed)
        ]

        steps = record(agent)
        steps.attach(agent)
        steps.close()
        steps.close()

        assert [(dict(vars(own)), getattr(own, "step_callbacks", None)) for own in objects] == before
        assert [own.step_callbacks._callbacks for own in (agent, managed)] == callbacks

    def test_a_detached_agent_is_not_recorded(self, server: ModelServer, record: Any) -> None:
        model = model_of(server)
        recorded, detached, other = (make_agent(model) for _ in range(3))
        steps = record(recorded, detached)

        steps.detach(detached)
        steps.detach(other)
        for agent in (recorded, detached, other):
            assert agent.run("What is the weather?") == TEXT
        list(model.generate_stream([{"role": "user", "content": [{"type": "text", "text": "hi"}]}]))
        steps.close()

        assert len(server.requests) == 2 * 3 + 1
        assert len(of_type(items_in(only(steps)), "function_call")) == 2

    def test_another_model_of_an_agent_is_recorded(self, server: ModelServer, record: Any) -> None:
        agent = make_agent(LocalModel())
        steps = record(agent)

        agent.model = model_of(server)
        agent.run("What is the weather?")
        steps.close()

        assert outputs_in(only(steps)) == ["sunny in Paris", TEXT]

    def test_a_wrong_call_of_a_run_raises_its_own_error(self, record: Any) -> None:
        agent = make_agent(LocalModel())
        record(agent)

        with pytest.raises(TypeError, match="task"):
            agent.run()

    def test_an_agent_that_is_detached_in_its_run_is_recorded_so_far(self, server: ModelServer, record: Any) -> None:
        agent = make_agent(server)
        steps = record(agent)
        agent.tools["get_weather"].act = lambda city: f"sunny in {city}{steps.detach(agent) or ''}"

        assert agent.run("What is the weather?") == TEXT
        steps.close()

        assert len(of_type(items_in(only(steps)), "function_call")) == 1
        assert not steps.problems

    def test_only_agents_can_be_attached(self, record: Any) -> None:
        with pytest.raises(TypeError, match="no agent of smolagents"):
            record("agent")

    def test_a_run_that_is_left_open_does_not_end_the_next_one(self, serve: Any, record: Any) -> None:
        agent = make_agent(serve(), stream_outputs=True)
        steps = record(agent)

        left = agent.run("First?", stream=True)
        next(left)
        assert agent.run("Second?") == TEXT
        with pytest.raises(RuntimeError, match="GeneratorExit"):
            left.close()
        steps.close()

        first, second = steps.sessions.values()
        assert len(events_in(first, "turn_aborted")) == len(events_in(second, "task_complete")) == 1
        assert outputs_in(second) == ["sunny in Paris", TEXT]

    def test_messages_that_are_not_understood_are_problems(self, record: Any) -> None:
        last = json.dumps({"name": "final_answer", "arguments": {"answer": "sunny"}})
        first = json.dumps({"name": "get_weather", "arguments": {"city": "Paris"}})
        agent = make_agent(LocalModel(first, "Paris!", last))
        agent.tools["get_weather"].act = lambda _: agent.model([3]).content
        steps = record(agent)

        assert agent.run("What is the weather?") == "sunny"
        steps.close()

        assert outputs_in(only(steps)) == ["Paris!", "sunny"]
        assert len(steps.problems) == 1

    def test_faults_of_recording_do_not_reach_the_agent(self, server: ModelServer, record: Any) -> None:
        def redact(value: Any) -> Any:
            raise ValueError("no redaction")

        agent = make_agent(server)
        steps = record(agent, redact=redact)

        assert agent.run("What is the weather?") == TEXT

        assert any("no redaction" in text for text in steps.problems)
        assert len(server.requests) == 2

    def test_forms_that_are_not_understood_are_problems(self, record: Any) -> None:
        class Odd:
            def model_dump(self, **_: Any) -> Any:
                raise ValueError("odd")

        odd = ChatMessage(role=MessageRole.ASSISTANT, content="<code>\nfinal_answer(1)\n</code>", raw=Odd())
        agent = make_agent(LocalModel(odd), "CodeAgent")
        steps = record(agent)

        assert agent.run("What is the weather?") == 1

        assert list(steps.problems) == ["an answer could not be recorded: ValueError: odd"]

    def test_events_that_are_not_understood_are_problems(self, record: Any) -> None:
        class Odd(str):
            __slots__ = ()

            def model_dump(self, **_: Any) -> Any:
                raise ValueError("odd")

        agent = make_agent(StreamedModel(Odd("<code>\nfinal_answer(1)\n</code>")), "CodeAgent", stream_outputs=True)
        steps = record(agent)

        assert agent.run("What is the weather?") == 1
        steps.close()

        assert len(outputs_in(only(steps))) == 1
        assert [*steps.problems] == ["a part of an answer could not be recorded: ValueError: odd"]

    def test_messages_of_other_forms_are_recorded(self, server: ModelServer, record: Any) -> None:
        def act(city: str) -> str:
            message = {"role": "user", "content": f"Say {city}.", "name": "me"}
            return str(agent.model.answers and agent.model(messages=[message], temperature=0).content)

        last = json.dumps({"name": "final_answer", "arguments": {"answer": "sunny"}})
        first = json.dumps({"name": "get_weather", "arguments": {"city": "Paris"}})
        agent = make_agent(LocalModel(first, "Paris!", last), tools=[Weather(act)])
        steps = record(agent)

        assert agent.run("What is the weather?") == "sunny"
        steps.close()

        (message,) = [item for item in items_in(only(steps)) if item.get("name") == "me"]
        assert message["content"][0]["text"] == "Say Paris."
        assert "Paris!" in texts_of(items_in(only(steps)), "assistant")


class TestDocuments:
    def test_the_page_runs(self, server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        monkeypatch.setenv("CODEX_HOME", str(tmp_path))
        # The decorator of a tool reads its source.
        script = tmp_path / "page.py"
        script.write_text(code)

        done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=60)

        assert done.returncode == 0, done.stderr
        (path,) = tmp_path.rglob("rollout-*.jsonl")
        assert outputs_in(path) == ["sunny in Paris", TEXT]
        assert str(path) in done.stdout

    def test_the_example_runs(self, tmp_path: Path) -> None:
        example = ROOT / "examples" / "smolagents_agent.py"
        env = {**os.environ, "CODEX_HOME": str(tmp_path)}

        done = subprocess.run(
            [sys.executable, example], env=env, capture_output=True, text=True, check=False, timeout=60
        )

        assert done.returncode == 0, done.stderr
        (path,) = tmp_path.rglob("rollout-*.jsonl")
        assert str(path) in done.stdout
        assert "get_weather" in done.stdout
