"""
Streams that nobody reads to their end, and streams that break.
"""

from __future__ import annotations

import gc
import json
import threading
from typing import Any

import pytest

from rollout.adapters._responses import events_in as events_of_bytes
from tests.adapters.apis import APIS, Agent, Answer, Api, ModelServer, events_in, items_in, only, seen_items
from tests.adapters.conftest import MakeAgent, Record

each_api = pytest.mark.parametrize("api", APIS, ids=repr)
both_clients = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])

LONG = "It is sunny in Paris. " * 20


def opened(own: Agent, text: str = "Hello") -> Any:
    """
    Return the stream of a request.
    """
    arguments = own.api.arguments([{"role": "user", "content": text}], stream=True)
    made = own.api.resource(own.client).create(**arguments)
    return made if own.loop is None else own.loop.run_until_complete(made)


def read(own: Agent, stream: Any, count: int) -> None:
    if own.loop is None:
        for _ in range(count):
            next(stream)
        return

    async def read_some() -> None:
        for _ in range(count):
            await stream.__anext__()

    own.loop.run_until_complete(read_some())


def close(own: Agent, stream: Any) -> None:
    if own.loop is None:
        stream.close()
    else:
        own.loop.run_until_complete(stream.close())


def text_in(items: list[dict[str, Any]]) -> str:
    return "".join(part["text"] for item in items if item.get("role") == "assistant" for part in item["content"])


@each_api
@both_clients
class TestAbandoned:
    @pytest.fixture
    def server(self) -> Any:
        with ModelServer(lambda path, body: Answer(text=LONG)) as server:
            yield server

    def test_a_stream_that_is_closed_half_way_is_recorded_as_far_as_it_came(
        self, api: Api, is_async: bool, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api, is_async=is_async)
        sessions = record(own.client)

        stream = opened(own)
        read(own, stream, 12)
        close(own, stream)

        assert read_items(sessions, own)
        assert LONG.startswith(text_in(items_in(only(sessions))))
        assert sessions.problems == {}

    def test_a_stream_that_is_never_read_leaves_the_prompt(
        self, api: Api, is_async: bool, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api, is_async=is_async)
        sessions = record(own.client)

        close(own, opened(own))
        close(own, opened(own))
        sessions.undo()

        # The second request is a retry of the first one.
        assert items_in(only(sessions)) == seen_items(api, server)[0]
        assert sessions.problems == {}

    def test_a_stream_that_is_dropped_is_recorded(
        self, api: Api, is_async: bool, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api, is_async=is_async)
        sessions = record(own.client)

        stream = opened(own)
        read(own, stream, 12)
        del stream
        gc.collect()

        assert read_items(sessions, own)
        assert sessions.problems == {}

    def test_a_stream_that_is_open_at_the_end_loses_only_its_rest(
        self, api: Api, is_async: bool, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api, is_async=is_async)
        sessions = record(own.client)

        stream = opened(own)
        read(own, stream, 12)
        sessions.undo()
        before = only(sessions).read_bytes()
        read(own, stream, 5)
        close(own, stream)

        assert read_items(sessions, own)
        assert only(sessions).read_bytes() == before

    def test_after_an_abandoned_stream_the_agent_may_go_on(
        self, api: Api, is_async: bool, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api, is_async=is_async, is_streamed=True)
        sessions = record(own.client)

        stream = opened(own)
        read(own, stream, 5)
        close(own, stream)
        own.ask("Hello")
        own.ask("Thanks")
        sessions.undo()

        messages = [event["message"] for event in events_in(only(sessions), "user_message")]
        assert messages == ["Hello", "Thanks"]
        assert text_in(items_in(only(sessions))).endswith(LONG + LONG)


def read_items(sessions: Any, own: Agent) -> list[dict[str, Any]]:
    """
    Return what the model has said, after the end of recording.
    """
    sessions.undo()
    items = items_in(only(sessions))
    assert items[:1] == seen_items(own.api, own.server)[0]
    text = text_in(items)
    assert text == text[: len(LONG)] != LONG
    return items[1:]


class TestGarbage:
    """
    The garbage collector drops a stream at any moment, in any thread.
    """

    @pytest.mark.parametrize("is_other_thread", [False, True])
    def test_a_stream_that_is_dropped_while_another_request_is_recorded_is_recorded_after_it(
        self, is_other_thread: bool, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(APIS[1])
        streams: list[Any] = []

        def drop(value: Any) -> Any:
            if streams and "second" in str(value):
                streams.clear()
                if is_other_thread:
                    thread = threading.Thread(target=gc.collect)
                    thread.start()
                    thread.join(5)
                    assert not thread.is_alive(), "the collector waits for the lock of the recording"
                else:
                    gc.collect()
            return value

        sessions = record(own.client, redact=drop)
        streams.append(opened(own, "first"))
        read(own, streams[0], 4)
        own.ask("second")
        sessions.undo()

        first, second = sessions.sessions.values()
        assert [item["role"] for item in items_in(first)] == ["user", "assistant"]
        assert [item["role"] for item in items_in(second)] == ["user", "assistant"]
        assert sessions.problems == {}


@each_api
@both_clients
class TestBroken:
    def test_a_cut_stream_is_recorded_as_far_as_it_came_and_tried_again_without_a_second_prompt(
        self, api: Api, is_async: bool, agent: MakeAgent, record: Record
    ) -> None:
        with ModelServer([Answer(text=LONG, cut_after=8), Answer(text="At last.")]) as server:
            own = agent(api, is_async=is_async, is_streamed=True, server=server)
            sessions = record(own.client)
            with pytest.raises(Exception, match=r"(?i)peer closed|incomplete|connection"):
                own.ask("Hello")
            own.go_on()
            own.close()
            sessions.undo()

        path = only(sessions)
        assert text_in(items_in(path)).endswith("At last.")
        assert LONG.startswith(text_in(items_in(path)).removesuffix("At last."))
        assert len(events_in(path, "user_message")) == 1
        assert len(events_in(path, "task_started")) == 1
        assert len(events_in(path, "task_complete")) == 1
        assert sessions.problems == {}

    def test_an_error_within_a_stream_is_recorded(
        self, api: Api, is_async: bool, agent: MakeAgent, record: Record
    ) -> None:
        with ModelServer([Answer(text="error 500 of a server", cut_after=3, status=500)]) as server:
            own = agent(api, is_async=is_async, is_streamed=True, server=server)
            sessions = record(own.client)
            try:
                own.ask("Hello")
            except Exception as failure:  # noqa: BLE001 -- only some SDKs raise an error
                assert "500" in str(failure)
            own.close()
            sessions.undo()

        (error,) = events_in(only(sessions), "error")
        assert "500" in error["message"]


class TestEventsInBytes:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_events_are_parted_by_empty_lines(self, end: str) -> None:
        lines = ["event: a", 'data: {"n": 1}', "", ": comment", 'data:{"n":', "data: 2}", "", "data: [DONE]", ""]

        assert list(events_of_bytes(end.join(lines).encode())) == [{"n": 1}, {"n": 2}]

    @pytest.mark.parametrize("damaged", ["data: {", "data: [1]", "data: 7", "data", ""])
    def test_what_is_no_object_is_skipped(self, damaged: str) -> None:
        text = f"{damaged}\n\ndata: {json.dumps({'n': 2})}"

        assert list(events_of_bytes(text.encode())) == [{"n": 2}]
