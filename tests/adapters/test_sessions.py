"""
Which requests share a session, and what a session contains.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rollout import Recorder, keep_all
from rollout.adapters import _sessions
from rollout.adapters._log import Log
from rollout.adapters._marks import is_recorded, recorded_here
from rollout.home import SessionLock
from tests.adapters.apis import APIS, Answer, Api, ModelServer, events_in, items_in, only
from tests.adapters.conftest import MakeAgent, Record
from tests.recording.helpers import lines_of

each_api = pytest.mark.parametrize("api", APIS, ids=repr)
CHAT = APIS[1]
RESPONSES = APIS[0]


def prompts(path: Path) -> list[str]:
    return [event["message"] for event in events_in(path, "user_message")]


@each_api
class TestConversations:
    @pytest.mark.promise("instrumented")
    def test_four_threads_through_one_client_are_four_sessions(
        self, api: Api, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api)
        sessions = record(own.client)
        start = threading.Barrier(4)

        def work() -> None:
            context: list[dict[str, Any]] = []
            for prompt in ("Hello", "And?", "Bye"):
                start.wait(10)
                context.append({"role": "user", "content": prompt})
                own.send(context)
                context.append({"role": "assistant", "content": "It is sunny in Paris, 21 °C."})

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        sessions.undo()

        assert [prompts(path) for path in sessions.sessions.values()] == [["Hello", "And?", "Bye"]] * 4
        assert {len(items_in(path)) for path in sessions.sessions.values()} == {6}
        assert sessions.problems == {}

    def test_objects_of_the_sdk_in_a_context_are_known_messages(
        self, api: Api, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api)
        sessions = record(own.client)
        context: list[Any] = [{"role": "user", "content": "Weather?"}]
        answer = own.send(context, tools=[api.tool])
        context += api.answer_objects(answer)
        context.append(api.output(api.call_id(server.replies[-1]), "sunny"))
        own.send(context, tools=[api.tool])
        sessions.undo()

        path = only(sessions)
        assert [item["type"] for item in items_in(path) if item["type"] != "reasoning"] == [
            "message",
            "function_call",
            "function_call_output",
            "message",
        ]
        assert events_in(path, "compacted") == []
        assert sessions.problems == {}

    @pytest.mark.promise("instrumented")
    def test_the_same_prompt_twice_is_two_sessions(
        self, api: Api, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api)
        sessions = record(own.client)

        for _ in range(2):
            own.send([{"role": "user", "content": "Hello"}])
        sessions.undo()

        assert [prompts(path) for path in sessions.sessions.values()] == [["Hello"]] * 2

    def test_an_edited_context_is_compacted(
        self, api: Api, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api)
        sessions = record(own.client)

        own.ask("Hello")
        own.ask("And?")
        own.send([*own.context[:2], {"role": "user", "content": "Instead?"}])
        sessions.undo()

        (compacted,) = events_in(only(sessions), "compacted")
        assert [item["role"] for item in compacted["replacement_history"]] == ["user", "assistant"]
        assert prompts(only(sessions)) == ["Hello", "And?", "Instead?"]

    def test_a_compacted_context_is_the_same_session(
        self, api: Api, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api)
        sessions = record(own.client)

        own.ask("Hello")
        own.ask("And?")
        summary = {"role": "user", "content": "Summary: they said hello."}
        own.send([summary, *own.context[-2:], {"role": "user", "content": "Go on"}])
        sessions.undo()

        (compacted,) = events_in(only(sessions), "compacted")
        assert len(compacted["replacement_history"]) == 3
        assert prompts(only(sessions)) == ["Hello", "And?", "Go on"]

    def test_sub_agents_with_prompts_of_their_own_have_sessions_of_their_own(
        self, api: Api, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api)
        sessions = record(own.client)

        body = own.ask("What is the weather?", tools=[api.tool])
        own.send([{"role": "user", "content": "You search the web. Weather of Paris?"}])
        own.context.append(api.output(api.call_id(body), "sunny"))
        own.go_on(tools=[api.tool])
        sessions.undo()

        main, sub = sessions.sessions.values()
        assert prompts(main) == ["What is the weather?"]
        assert prompts(sub) == ["You search the web. Weather of Paris?"]
        assert len(events_in(main, "task_complete")) == 1

    @pytest.mark.promise("instrumented")
    def test_a_session_that_was_closed_is_resumed(
        self, api: Api, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api)
        recorders: list[Recorder] = []
        sessions = record(own.client, on_session=recorders.append)

        own.ask("Hello")
        recorders[0].close()
        own.ask("And?")
        sessions.undo()

        assert prompts(only(sessions)) == ["Hello", "And?"]
        assert len(items_in(only(sessions))) == 4
        assert sessions.problems == {}

    @pytest.mark.promise("instrumented")
    def test_more_sessions_than_may_be_open_are_recorded(
        self, api: Api, server: ModelServer, agent: MakeAgent, record: Record, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_sessions, "RECORDERS_MAX", 2)
        own = agent(api)
        recorders: list[Recorder] = []
        sessions = record(own.client, on_session=recorders.append)
        said = {"role": "assistant", "content": "It is sunny in Paris, 21 °C."}

        asked = [{"role": "user", "content": f"Question {number}"} for number in range(5)]
        for first in asked:
            own.send([first])
        assert [recorder.closed for recorder in recorders] == [True, True, True, False, False]
        for first in asked:
            own.send([first, said, {"role": "user", "content": "And?"}])
        sessions.undo()

        found = [prompts(path) for path in sessions.sessions.values()]
        assert found == [[f"Question {number}", "And?"] for number in range(5)]
        assert sessions.problems == {}


@pytest.mark.parametrize(("seconds", "count"), [(0.2, 1), (2.0, 2)])
def test_a_closed_session_that_is_locked_for_a_moment_goes_on_and_otherwise_a_new_one_has_the_whole_context(
    server: ModelServer, agent: MakeAgent, record: Record, home: Path, seconds: float, count: int
) -> None:
    own = agent(CHAT)
    recorders: list[Recorder] = []
    sessions = record(own.client, on_session=recorders.append)
    own.ask("Hello")
    recorders[0].close()
    lock = SessionLock(home, recorders[0].session_id)
    timer = threading.Timer(seconds, lock.release)
    timer.start()
    own.ask("And?")
    timer.join()
    sessions.undo()

    *_, last = sessions.sessions.values()
    assert prompts(last) == ["Hello", "And?"]
    assert len(sessions.sessions) == count
    assert sum(sessions.problems.values()) == count - 1


class TestLinkedResponses:
    @pytest.mark.parametrize("is_streamed", [False, True])
    def test_previous_response_id_continues_a_session(
        self, is_streamed: bool, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(RESPONSES, is_streamed=is_streamed)
        sessions = record(own.client)

        own.send([{"role": "user", "content": "Hello"}])
        own.send([{"role": "user", "content": "Other"}])
        own.send([{"role": "user", "content": "Hello"}], previous_response_id="resp_0001")
        own.send([{"role": "user", "content": "Bye"}], previous_response_id="resp_0003")
        sessions.undo()

        assert [prompts(path) for path in sessions.sessions.values()] == [["Hello", "Hello", "Bye"], ["Other"]]

    def test_a_conversation_of_the_api_is_one_session(
        self, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(RESPONSES)
        sessions = record(own.client)
        conversation = own.client.conversations.create().id

        for prompt in ("Hello", "Hello"):
            own.send([{"role": "user", "content": prompt}], conversation=conversation)
        sessions.undo()

        assert [prompts(path) for path in sessions.sessions.values()] == [["Hello", "Hello"]]


class TestSettings:
    def test_redact_sees_everything_before_it_is_recorded(
        self, server: ModelServer, agent: MakeAgent, record: Record, home: Path
    ) -> None:
        def redact(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: redact(part) for key, part in value.items()}
            if isinstance(value, list):
                return [redact(part) for part in value]
            return value.replace("hunter2", "[x]") if isinstance(value, str) else value

        replies = [Answer(text="It is hunter2."), Answer(status=400, text="hunter2 is wrong")]
        with ModelServer(replies) as server:
            own = agent(RESPONSES, server=server)
            sessions = record(own.client, redact=redact)
            own.ask("hunter2", instructions="Use hunter2.", metadata={"key": "hunter2"})
            with pytest.raises(Exception, match="hunter2"):
                own.ask("And?")
            own.send([*own.context[:2], {"role": "user", "content": "Instead?"}])
            own.close()
            sessions.undo()

        text = only(sessions).read_text()
        assert "hunter2" not in text
        assert text.count("[x]") >= 5

    def test_the_policy_decides_what_is_kept(self, server: ModelServer, agent: MakeAgent, record: Record) -> None:
        own = agent(CHAT)
        sessions = record(own.client, policy=lambda kind, payload: kind != "event_msg" and keep_all(kind, payload))

        own.ask("Hello")
        sessions.undo()

        kinds = {line["type"] for line in lines_of(only(sessions))}
        assert kinds == {"session_meta", "turn_context", "response_item"}

    def test_the_home_is_that_of_the_caller(
        self, server: ModelServer, agent: MakeAgent, record: Record, tmp_path: Path, home: Path
    ) -> None:
        own = agent(CHAT)
        sessions = record(own.client, home=tmp_path / "other")

        own.ask("Hello")
        sessions.undo()

        assert only(sessions).is_relative_to(tmp_path / "other")
        assert not home.exists()
        assert lines_of(only(sessions))[0]["payload"]["originator"] == "rollout.instrument"

    def test_on_session_may_record_into_the_session(
        self, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(CHAT)
        sessions = record(own.client, on_session=lambda recorder: recorder.agent_message("Begin"))

        own.ask("Hello")
        sessions.undo()

        assert [item["role"] for item in items_in(only(sessions))] == ["assistant", "user", "assistant"]


class TestRecorderOfTheCaller:
    """
    A log that records into one recorder, as the adapters of frameworks have it.
    """

    @pytest.fixture
    def log(self, recorder: Recorder) -> Iterator[Log]:
        log = Log(recorder=recorder)
        yield log
        log.close()

    @pytest.fixture
    def send(self, log: Log) -> Callable[..., Callable[..., None]]:
        def send(*texts: str) -> Callable[..., None]:
            roles = ["user", "assistant"] * len(texts)
            context = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
            exchange = log.sent(CHAT.dialect, CHAT.arguments(context))
            assert exchange is not None

            def answer(text: str) -> None:
                exchange.received({"choices": [{"message": {"role": "assistant", "content": text}}]})

            return answer

        return send

    def test_the_next_task_is_in_the_same_session_with_a_context_of_its_own(
        self, log: Log, send: Callable[..., Callable[..., None]], recorder: Recorder
    ) -> None:
        send("First")("Done")
        send("Second")("Done, too")
        log.close()
        assert not recorder.closed
        recorder.close()

        assert prompts(recorder.path) == ["First", "Second"]
        (compacted,) = events_in(recorder.path, "compacted")
        assert compacted["replacement_history"] == []

    def test_a_request_within_a_turn_is_that_of_a_sub_agent(
        self, log: Log, send: Callable[..., Callable[..., None]], recorder: Recorder
    ) -> None:
        main = send("First")
        send("You search.")("Found")
        main("Done")
        log.close()
        recorder.close()

        (path,) = log.sessions.paths.values()
        assert prompts(recorder.path) == ["First"]
        assert prompts(path) == ["You search."]

    def test_a_fault_at_the_end_of_a_session_does_not_keep_the_others_open(
        self, log: Log, send: Callable[..., Callable[..., None]], recorder: Recorder
    ) -> None:
        send("First")
        recorder.close()

        log.close()

        assert sum(log.work.problems.values()) == 1

    def test_an_inner_hook_knows_that_an_outer_one_records(self) -> None:
        assert not is_recorded()
        with recorded_here():
            assert is_recorded()
        assert not is_recorded()
