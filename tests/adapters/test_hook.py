"""
What every hook into a framework gets from its base: sessions, turns, outputs, sub-agents, and one record of each call.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import rollout
from rollout import Recorder
from rollout.adapters import _log, _opening, _process, _sessions
from rollout.adapters._hook import FrameworkHook
from rollout.adapters._marks import is_recorded
from rollout.adapters._opening import Opening
from rollout.adapters._work import Work
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


def ask_as(hook: FrameworkHook, run: str, agent: Any, *answer: Item) -> None:
    request = Request(items=[make_message("user", f"Task of {run}.")], settings={})
    asked = hook._log.asked(request, run, agent, is_turn=True)
    assert asked is not None
    asked.answered(Reply(items=list(answer)))


def test_a_sub_agent_that_a_framework_names_is_a_session_below_that_of_its_starter(home: Path) -> None:
    with FrameworkHook(home=home) as hook, Recorder(home=home) as other:
        ask_as(hook, "run 1", None, CALL)
        ask_as(hook, "run 2", ("run 1", "Pauli"), ANSWER)
        hook._log.run_ended("run 2")
        ask_as(hook, "run 3", (other, "Curie"), ANSWER)
        ask_as(hook, "run 4", ("unknown", "Bohr"), ANSWER)

    root = next(iter(hook.sessions))
    metas = [rollout.load_history(path).meta for path in hook.sessions.values()]
    assert [meta.parent_thread_id for meta in metas] == [None, root, other.session_id, None]
    assert [meta.agent_nickname for meta in metas[1:3]] == ["Pauli", "Curie"]
    assert hook.problems == {}


def test_the_end_of_the_program_ends_turns_and_records_streams_as_far_as_they_came(
    home: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.last_value", ValueError("bad"), raising=False)
    with FrameworkHook(home=home) as own, FrameworkHook(recorder) as given, FrameworkHook(home=home) as closed:
        for hook in (own, given, closed):
            Framework(hook).ask("Weather?", CALL)
            hook._log.open_streams.add(own._log.open_streams.clear)
        closed.close()
        recorder.flush()
        _process._settle_all()
        assert own._log.open_streams == set()
        for session in own._log.sessions.all_open:
            session.recorder.close()
        _process._settle_all()
    recorder.close()

    for path in (only(own), recorder.path):
        (done,) = events_in(path, "task_complete")
        assert done["error"]["message"] == "ValueError: bad"
    assert "error" not in events_in(only(closed), "task_complete")[0]


@pytest.mark.parametrize("has_recorder", [False, True])
def test_a_child_process_begins_anew(home: Path, recorder: Recorder, has_recorder: bool) -> None:
    hook = FrameworkHook(recorder) if has_recorder else FrameworkHook(home=home)
    with hook:
        framework, other = Framework(hook), Framework(hook, "run 2")
        framework.ask("Weather?", CALL)
        other.ask("You are the sub-agent.", CALL)
        # As in a child after a fork.
        _process._reset_all()
        assert hook.sessions == {}
        framework.context.append(make_output("call_1", "Sunny."))
        framework.step(ANSWER)
    for session in hook._log.sessions._inherited:
        session.recorder.close()

    child = rollout.load_history(only(hook))
    types = [item["type"] for item in child.to_input()]
    assert types == ["message", "function_call", "function_call_output", "message"]
    assert child.meta.parent_thread_id == (recorder.session_id if has_recorder else None)


def test_a_session_of_another_process_is_not_used(home: Path) -> None:
    with FrameworkHook(home=home) as hook:
        framework = Framework(hook)
        framework.ask("Weather?", ANSWER)
        (session,) = hook._log.sessions.all_open
        session._pid = 0
        with pytest.raises(RuntimeError, match="has forked this process"):
            hook._log.sessions.use(session)
        session._pid = os.getpid()


def test_sessions_beyond_the_limit_are_refused_only_while_closed_ones_wait_for_the_disk(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sessions, "RECORDERS_MAX", 1)
    with FrameworkHook(home=home) as hook:
        for run in range(4):
            Framework(hook, f"run {run}").ask(f"Task {run}.", ANSWER)
            hook._log.flush()
        assert hook.problems == {}
        monkeypatch.setattr(_sessions, "_is_waiting", lambda _: True)
        for run in range(4, 8):
            Framework(hook, f"run {run}").ask(f"Task {run}.", ANSWER)

    assert len(hook.sessions) < 8
    assert all("already wait for the disk" in text for text in hook.problems)


def test_an_interrupt_in_the_recording_is_counted_and_raised(recorder: Recorder) -> None:
    hook = FrameworkHook(recorder)
    with pytest.raises(KeyboardInterrupt), hook._guard("a request"):
        raise KeyboardInterrupt

    assert hook.problems == {"a request could not be recorded: KeyboardInterrupt: ": 1}


def test_an_error_of_a_run_is_recorded_without_secrets(recorder: Recorder) -> None:
    with FrameworkHook(recorder, redact=lambda value: str(value).replace("secret", "[...]")) as hook:
        Framework(hook)
        ask_as(hook, "run 1", None)
        hook._log.run_ended("run 1", ValueError("the secret"))
    recorder.close()

    assert [event["message"] for event in events_in(recorder.path, "error")] == ["ValueError: the [...]"]


def test_an_end_of_a_call_after_the_turn_is_ignored(recorder: Recorder) -> None:
    with FrameworkHook(recorder) as hook:
        Framework(hook).ask("Weather?", CALL)
        hook._log.tool_ended("call_1", "Sunny.")
        hook._log.run_ended("run 1")
        hook._log.tool_ended("call_1", "Late.")
    recorder.close()

    assert [item["output"] for item in events_of(recorder.path, "function_call_output")] == ["Sunny."]


def test_the_end_of_the_program_waits_for_a_limited_time_for_a_thread_that_records() -> None:
    work, is_held, is_over = Work(), threading.Event(), threading.Event()

    def hold() -> None:
        with work.owned():
            is_held.set()
            is_over.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait(10)
    with pytest.raises(TimeoutError, match="another thread has been recording"), work.owned(0.01):
        pass
    is_over.set()
    thread.join()


def test_a_recorder_that_opens_too_late_is_closed_and_only_one_request_waits(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_opening, "OPEN_TIMEOUT", 0.05)
    opening, responds, opened = Opening(), threading.Event(), []

    def make() -> Recorder:
        responds.wait(10)
        opened.append(Recorder(home=home))
        return opened[0]

    with pytest.raises(TimeoutError, match="did not respond within"):
        opening.open(make)
    with pytest.raises(TimeoutError, match="still does not respond"):
        opening.open(make)
    responds.set()
    while not (opened and opened[0].closed):
        time.sleep(0.01)
    opened[0].close()
