"""
What every hook into a framework gets from its base: sessions, turns, outputs, sub-agents, and one record of each call.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import rollout
from rollout import Recorder
from rollout.adapters import _log
from rollout.adapters._hook import FrameworkHook
from rollout.adapters._marks import is_recorded
from rollout.dialects import Item, Reply, Request, make_call, make_message, make_output
from tests.adapters.apis import events_in, items_in, only
from tests.recording.helpers import events_of, kinds_of


class Framework:
    """
    An agent framework as small as possible, with the calls that a hook makes in it.
    """

    def __init__(self, hook: FrameworkHook, run: str | None = "run 1") -> None:
        self.hook, self.run = hook, run
        self.context: list[Item] = []

    def ask(self, prompt: str, *answer: Item, usage: dict[str, int] | None = None, is_whole: bool = True) -> None:
        self.context.append(make_message("user", prompt))
        self.step(*answer, usage=usage, is_whole=is_whole)

    def step(self, *answer: Item, usage: dict[str, int] | None = None, is_whole: bool = True) -> None:
        self.send()
        self.hook._answered(id(self), Reply(items=list(answer), usage=usage), is_whole=is_whole)
        self.context += answer

    def send(self) -> None:
        self.hook._asked(id(self), Request(items=list(self.context), model="m", settings={}), self.run)


ANSWER = make_message("assistant", "Sunny.")
CALL = make_call("get_weather", '{"city":"Paris"}', "call_1")


def test_each_conversation_is_a_session_without_a_recorder(home: Path) -> None:
    with FrameworkHook(home=home) as hook:
        for run in ("run 1", "run 2"):
            framework = Framework(hook, run)
            framework.ask(f"Weather in {run}?", ANSWER, usage={"input_tokens": 3, "output_tokens": 2})
            framework.ask("And tomorrow?", ANSWER)

    assert len(hook.sessions) == 2
    for path in hook.sessions.values():
        assert [item["role"] for item in items_in(path)] == ["user", "assistant"] * 2
        assert len(events_in(path, "task_complete")) == 2
    assert hook.problems == {}
    assert repr(hook) == "<FrameworkHook: 2 sessions, 0 problems>"


def test_a_recorder_of_the_caller_gets_all_conversations_and_stays_open(recorder: Recorder) -> None:
    hook = FrameworkHook(recorder)
    for run in ("run 1", "run 2"):
        Framework(hook, run).ask(f"Weather in {run}?", ANSWER)
    hook.close()
    hook.close()
    recorder.agent_message("Still open.")
    recorder.close()

    assert [event["message"] for event in events_in(recorder.path, "user_message")] == [
        "Weather in run 1?",
        "Weather in run 2?",
    ]
    assert hook.sessions == {}


def test_a_request_within_a_turn_of_another_one_is_a_sub_agent(recorder: Recorder) -> None:
    with FrameworkHook(recorder) as hook:
        main = Framework(hook)
        main.ask("Weather?", CALL)
        Framework(hook, "run 2").ask("You are the sub-agent.", ANSWER)
        main.context.append(make_output("call_1", "Sunny."))
        main.step(ANSWER)
    recorder.close()

    sub = rollout.load_history(only(hook))
    assert sub.meta.parent_thread_id == recorder.session_id
    assert [turn.prompt for turn in sub.turns] == ["You are the sub-agent."]
    assert [item["type"] for item in items_in(recorder.path)] == [
        "message",
        "function_call",
        "function_call_output",
        "message",
    ]


def test_a_call_has_the_duration_and_the_failure_that_the_framework_states(recorder: Recorder) -> None:
    with FrameworkHook(recorder) as hook:
        main = Framework(hook)
        main.ask("Weather?", CALL)
        hook._log.tool_ended("call_1", "no such city", seconds=1.5, is_failed=True)
        hook._log.tool_ended("unknown", "is ignored")
        main.context.append(make_output("call_1", "Error: no such city"))
        main.step(ANSWER)
    recorder.close()

    (end,) = events_of(recorder.path, "mcp_tool_call_end")
    assert end["duration"] == {"secs": 1, "nanos": 500_000_000}
    assert end["result"]["Ok"] == {"content": [{"type": "text", "text": "Error: no such city"}], "isError": True}
    assert [item["output"] for item in events_of(recorder.path, "function_call_output")] == ["Error: no such city"]


def test_an_output_that_no_later_request_contains_is_recorded_at_the_end_of_the_run(recorder: Recorder) -> None:
    with FrameworkHook(recorder) as hook:
        Framework(hook).ask("Weather?", CALL)
        hook._log.tool_ended("call_1", {"sky": "blue"})
        hook._log.run_ended("run 1")
        hook._log.run_ended("run 1")
        assert kinds_after(recorder)[-2:] == ["function_call_output", "task_complete"]
    recorder.close()

    (output,) = events_of(recorder.path, "function_call_output")
    assert output["output"] == '{"sky":"blue"}'


def test_a_run_that_ends_with_an_error_ends_its_turn_as_failed(recorder: Recorder) -> None:
    with FrameworkHook(recorder) as hook:
        Framework(hook).ask("Weather?", CALL)
        hook._log.run_ended("run 1", ValueError("too many steps"))
        assert kinds_after(recorder)[-2:] == ["error", "task_complete"]
    recorder.close()

    (error,) = events_in(recorder.path, "error")
    assert error["message"] == "ValueError: too many steps"


def kinds_after(recorder: Recorder) -> list[str]:
    recorder.flush()
    return kinds_of(recorder.path)


def test_hooks_further_inside_do_not_record_a_marked_request_again(home: Path) -> None:
    with FrameworkHook(home=home) as outer, FrameworkHook(home=home) as inner:
        framework, same = Framework(outer), Framework(inner)
        framework.context = same.context = [make_message("user", "Weather?")]
        framework.send()
        assert is_recorded()
        same.step(ANSWER)
        outer._answered(id(framework), Reply(items=[ANSWER]))
        assert not is_recorded()
        same.step(ANSWER)

    assert [len(hook.sessions) for hook in (outer, inner)] == [1, 1]
    assert len(items_in(only(inner))) == 3


def test_a_failed_request_is_recorded_and_its_retry_adds_only_the_answer(recorder: Recorder) -> None:
    with FrameworkHook(recorder) as hook:
        framework = Framework(hook)
        framework.context.append(make_message("user", "Weather?"))
        framework.send()
        hook._failed(id(framework), RuntimeError("no connection"))
        hook._failed(id(framework), RuntimeError("is ignored"))
        hook._answered(id(framework), Reply(items=[CALL]))
        framework.step(ANSWER)
    recorder.close()

    assert [item["role"] for item in items_in(recorder.path)] == ["user", "assistant"]
    assert [event["message"] for event in events_in(recorder.path, "error")] == ["RuntimeError: no connection"]


def test_the_first_answer_of_a_request_counts(recorder: Recorder) -> None:
    with FrameworkHook(recorder) as hook:
        asked = hook._log.asked(Request(items=[make_message("user", "Weather?")], settings={}))
        assert asked is not None
        asked.answered(Reply(items=[ANSWER]))
        asked.answered(Reply(items=[ANSWER]))
        asked.failed(RuntimeError("is ignored"))
    recorder.close()

    assert len(items_in(recorder.path)) == 2
    assert events_in(recorder.path, "error") == []


def test_errors_of_a_hook_are_counted_and_do_not_reach_the_program(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    with FrameworkHook(recorder) as hook:
        for _ in range(2):
            with hook._guard("a request"):
                raise KeyError("role")
    assert hook.problems == {"a request could not be recorded: KeyError: 'role'": 2}
    assert [record.message for record in caplog.records] == ["a request could not be recorded: KeyError: 'role'"]


def test_nothing_is_recorded_after_the_end(recorder: Recorder) -> None:
    hook = FrameworkHook(recorder)
    framework, late = Framework(hook), Framework(hook, "run 2")
    framework.ask("Weather?", CALL)
    framework.context.append(make_message("user", "And?"))
    late.context.append(make_message("user", "Late?"))
    late.send()
    recorder.flush()
    hook.close()
    before = kinds_after(recorder)

    hook._answered(id(late), Reply(items=[ANSWER]))
    framework.step(ANSWER)
    hook._log.tool_ended("call_1", "late")
    hook._log.run_ended("run 1")

    assert kinds_after(recorder) == before
    assert hook.problems == {}


def test_calls_that_never_end_are_forgotten_at_a_limit(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_log, "_CALLS_MAX", 2)
    with FrameworkHook(recorder) as hook:
        calls: list[Any] = [make_call("tool", "{}", f"call_{number}") for number in range(3)]
        Framework(hook).ask("Go.", *calls)
        for number in range(3):
            hook._log.tool_ended(f"call_{number}", str(number))
    recorder.close()

    assert [item["output"] for item in events_of(recorder.path, "function_call_output")] == ["1", "2"]


def test_concurrent_runs_with_one_recorder_stay_apart(recorder: Recorder) -> None:
    hook = FrameworkHook(recorder)
    start = threading.Barrier(3)

    def work(name: str) -> None:
        framework = Framework(hook, name)
        start.wait(10)
        framework.ask(f"Task of {name}.", make_call("tool", "{}", f"call {name}"))
        start.wait(10)
        framework.context.append(make_output(f"call {name}", name))
        framework.step(ANSWER)
        hook._log.run_ended(name)

    threads = [threading.Thread(target=work, args=(f"run {number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    hook.close()
    recorder.close()

    found = [recorder.path, *hook.sessions.values()]
    assert len(found) == 3
    for path in found:
        (prompt,) = [event["message"] for event in events_in(path, "user_message")]
        assert [f"Task of {item['output']}." for item in events_in(path, "function_call_output")] == [prompt]
    assert hook.problems == {}


def test_a_request_without_a_run_belongs_to_its_thread(recorder: Recorder) -> None:
    with FrameworkHook(recorder) as hook:
        framework = Framework(hook, None)
        framework.ask("Weather?", ANSWER)
        framework.ask("And?", ANSWER)
    recorder.close()

    assert len(items_in(recorder.path)) == 4


def test_a_call_that_a_framework_finds_in_a_text_is_recorded_with_its_output(recorder: Recorder) -> None:
    with FrameworkHook(recorder) as hook:
        framework = Framework(hook)
        framework.context.append(make_message("user", "Weather?"))
        framework.send()
        exchange = hook._exchanges[id(framework)]
        hook._answered(id(framework), Reply(items=[ANSWER]), is_whole=False)
        exchange.added(CALL)
        exchange.tool_ended("call_1", "sunny", seconds=1.5, is_failed=False)
        exchange.added(make_output("call_1", "sunny"))
        hook._log.run_ended("run 1")
    recorder.close()

    assert items_in(recorder.path)[-2:] == [CALL, make_output("call_1", "sunny")]
    (end,) = events_in(recorder.path, "mcp_tool_call_end")
    assert end["duration"] == {"secs": 1, "nanos": 500_000_000}
    assert hook.problems == {}


def test_calls_of_several_sessions_and_turns_may_have_the_same_id(home: Path) -> None:
    with FrameworkHook(home=home) as hook:
        for turn in ("one", "two"):
            agents = [Framework(hook, f"run {number} of turn {turn}") for number in range(2)]
            exchanges = []
            for number, agent in enumerate(agents):
                agent.context = [make_message("user", f"Weather {number}?")]
                request = Request(items=agent.context, model="m", settings={}, conversation=f"conversation {number}")
                hook._asked(id(agent), request, agent.run)
                exchanges.append(hook._exchanges[id(agent)])
                hook._answered(id(agent), Reply(items=[CALL]))
            for number, exchange in enumerate(exchanges):
                exchange.tool_ended("call_1", f"sunny {number} {turn}", seconds=1.0, is_failed=False)
            for agent in agents:
                hook._log.run_ended(agent.run)

    outputs = [[item["output"] for item in items_in(path) if "output" in item] for path in hook.sessions.values()]
    assert outputs == [["sunny 0 one", "sunny 0 two"], ["sunny 1 one", "sunny 1 two"]]
