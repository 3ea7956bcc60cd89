"""
What `instrument` records of each API, in each way in which a client can call it.
"""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from rollout.adapters import _instrument, instrument
from tests.adapters.apis import APIS, KEY, WAYS, Answer, Api, ModelServer, events_in, items_in, only, seen_items
from tests.adapters.conftest import MakeAgent, Record

CHAT = APIS[1]
PNG = "iVBORw0KGgoAAAANSUhEUg=="
TEXT = "It is sunny in Paris, 21 °C."

each_api = pytest.mark.parametrize("api", APIS, ids=repr)
each_way = pytest.mark.parametrize(
    ("is_streamed", "is_async"), WAYS, ids=["plain", "plain-async", "streamed", "streamed-async"]
)


@each_api
@each_way
class TestEachWay:
    def test_the_items_are_those_that_the_server_saw_and_sent(
        self, api: Api, is_streamed: bool, is_async: bool, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api, is_streamed=is_streamed, is_async=is_async)
        sessions = record(own.client)

        body = own.ask("What is the weather?", tools=[api.tool])
        own.context.append(api.output(api.call_id(body), "sunny"))
        own.go_on(tools=[api.tool])
        own.ask("And tomorrow?")
        sessions.undo()

        path = only(sessions)
        asked, answered = seen_items(api, server)
        context, text = seen_items(api, server, 1)
        last, bye = seen_items(api, server, 2)
        assert len(server.requests) == 3
        assert items_in(path) == [*asked, *answered, context[-1], *text, last[-1], *bye]
        assert sessions.problems == {}

    def test_usage_and_settings_are_those_of_the_request(
        self, api: Api, is_streamed: bool, is_async: bool, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api, is_streamed=is_streamed, is_async=is_async)
        sessions = record(own.client)

        own.ask("What is the weather?", **effort_of(api))
        sessions.undo()

        (count,) = events_in(only(sessions), "token_count")
        usage = count["info"]["last_token_usage"]
        # Messages does not state the tokens of reasoning.
        reasoning = {} if api.name == "messages" else {"reasoning_output_tokens": 5}
        assert usage.items() >= {"input_tokens": 120, "cached_input_tokens": 40, "output_tokens": 15}.items()
        assert usage.items() >= reasoning.items()
        (context,) = events_in(only(sessions), "turn_context")
        assert context["model"] == "m"
        assert context.get("effort") == (None if api.name == "messages" else "high")


def effort_of(api: Api) -> dict[str, Any]:
    efforts: dict[str, dict[str, Any]] = {
        "responses": {"reasoning": {"effort": "high"}},
        "chat": {"reasoning_effort": "high"},
        "messages": {},
    }
    return efforts[api.name]


@each_api
@pytest.mark.parametrize("is_streamed", [False, True])
def test_neither_the_key_nor_a_header_is_in_a_file(
    api: Api, is_streamed: bool, agent: MakeAgent, record: Record, home: Path
) -> None:
    own = agent(api, is_streamed=is_streamed, default_headers={"x-own": "header-secret"})
    sessions = record(own.client)

    own.ask("Hello", extra_headers={"x-other": "header-secret"}, extra_query={"q": "query-secret"})
    sessions.undo()

    files = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    assert len(files) >= 1
    assert not any(secret in text for text in files for secret in (KEY.encode(), b"-secret", b"Bearer"))


@each_api
class TestRawResponses:
    @pytest.mark.parametrize("is_async", [False, True])
    @pytest.mark.parametrize("is_streamed", [False, True])
    @pytest.mark.parametrize("wrapper", ["with_raw_response", "with_streaming_response"])
    def test_a_raw_response_is_recorded_like_a_parsed_one(
        self,
        api: Api,
        wrapper: str,
        is_streamed: bool,
        is_async: bool,
        server: ModelServer,
        agent: MakeAgent,
        record: Record,
    ) -> None:
        own = agent(api, is_async=is_async)
        sessions = record(own.client)
        resource = getattr(api.resource(own.client), wrapper)
        arguments = api.arguments([{"role": "user", "content": "Hello"}], stream=is_streamed)

        def read_now() -> None:
            if wrapper == "with_raw_response":
                parsed = resource.create(**arguments).parse()
            else:
                with resource.create(**arguments) as response:
                    parsed = response.parse()
                    list(parsed if is_streamed else [])
            list(parsed if is_streamed else [])

        async def read_later() -> None:
            if wrapper == "with_raw_response":
                parsed = (await resource.create(**arguments)).parse()
                parsed = await parsed if inspect.isawaitable(parsed) else parsed
                if is_streamed:
                    assert [event async for event in parsed]
                return
            async with resource.create(**arguments) as response:
                parsed = await response.parse()
                if is_streamed:
                    assert [event async for event in parsed]

        if own.loop is None:
            read_now()
        else:
            own.loop.run_until_complete(read_later())
        sessions.undo()

        asked, answered = seen_items(api, server)
        assert items_in(only(sessions)) == [*asked, *answered]
        assert events_in(only(sessions), "task_complete") != []
        assert sessions.problems == {}

    def test_the_lines_of_a_streamed_response_are_recorded(
        self, api: Api, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api)
        sessions = record(own.client)

        arguments = api.arguments([{"role": "user", "content": "Hello"}])
        with api.resource(own.client).with_streaming_response.create(**arguments) as response:
            text = "".join(response.iter_lines())
        sessions.undo()

        assert TEXT in str(json.loads(text))
        asked, answered = seen_items(api, server)
        assert items_in(only(sessions)) == [*asked, *answered]

    def test_a_response_of_the_http_client_is_recorded(
        self, api: Api, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api)
        http = pytest.importorskip("httpx2", reason="the SDKs use httpx2")
        sessions = record(own.client)

        body = api.arguments([{"role": "user", "content": "Hello"}])
        response = own.client.post(api.client_path, cast_to=http.Response, body=body)
        sessions.undo()

        assert response.json() == server.replies[0]
        asked, answered = seen_items(api, server)
        assert items_in(only(sessions)) == [*asked, *answered]

    def test_a_request_of_a_path_is_recorded(
        self, api: Api, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api)
        sessions = record(own.client)

        body = api.arguments([{"role": "user", "content": "Hello"}])
        path = api.client_path
        own.client.post(path, cast_to=object, body=body, options={"extra_json": {"top_p": 0.5}})
        sessions.undo()

        asked, answered = seen_items(api, server)
        assert items_in(only(sessions)) == [*asked, *answered]
        (context,) = events_in(only(sessions), "turn_context")
        assert context["settings"]["top_p"] == 0.5


class TestContent:
    @each_api
    def test_parallel_calls_and_reasoning_are_kept_with_their_outputs(
        self, api: Api, agent: MakeAgent, record: Record
    ) -> None:
        calls = [("get_weather", {"city": city}) for city in ("Paris", "Rome")]
        with ModelServer([Answer(calls=calls, reasoning="Both."), Answer(text="Fine.")]) as server:
            own = agent(api, server=server, is_streamed=True)
            sessions = record(own.client)
            body = own.ask("Weather?", tools=[api.tool])
            replied = api.dialect.read_reply(body).items
            own.context += [api.output(item["call_id"], "sunny") for item in replied if item["type"] == "function_call"]
            own.go_on(tools=[api.tool])
            own.close()
            sessions.undo()

            items = items_in(only(sessions))
        kinds = [item["type"] for item in items]
        assert kinds == [
            "message",
            "reasoning",
            *["function_call"] * 2,
            *["function_call_output"] * 2,
            "message",
        ]
        assert [item["output"] for item in items if "output" in item] == ["sunny", "sunny"]
        assert len(events_in(only(sessions), "task_started")) == 1
        assert len(events_in(only(sessions), "task_complete")) == 1

    @each_api
    @pytest.mark.parametrize("is_streamed", [False, True])
    def test_a_refusal_is_kept(self, api: Api, is_streamed: bool, agent: MakeAgent, record: Record) -> None:
        with ModelServer([Answer(refusal="I will not.")]) as server:
            own = agent(api, server=server, is_streamed=is_streamed)
            sessions = record(own.client)
            own.ask("Do it")
            own.close()
            sessions.undo()

            _, answered = seen_items(api, server)
            assert items_in(only(sessions))[1:] == answered
            assert "I will not." in json.dumps(answered)

    @pytest.mark.parametrize("is_streamed", [False, True])
    def test_all_choices_are_kept(self, is_streamed: bool, agent: MakeAgent, record: Record) -> None:
        with ModelServer([Answer(text="Yes", choices=3)]) as server:
            own = agent(CHAT, server=server, is_streamed=is_streamed)
            sessions = record(own.client)
            own.ask("Do it", n=3)
            own.ask("And now?")
            own.close()
            sessions.undo()

            _, answered = seen_items(CHAT, server)
            assert [item.get("choice") for item in answered] == [None, 1, 2]
            assert items_in(only(sessions))[1:4] == answered

    @each_api
    def test_the_definitions_of_tools_are_in_the_session_once(
        self, api: Api, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api)
        sessions = record(own.client)

        body = own.ask("What is the weather?", tools=[api.tool])
        own.context.append(api.output(api.call_id(body), "sunny"))
        own.go_on(tools=[api.tool])
        own.ask("And tomorrow?", tools=[api.tool])
        sessions.undo()

        contexts = events_in(only(sessions), "turn_context")
        assert [context.get("tools") for context in contexts] == [[api.tool], None]

    @each_api
    def test_a_changed_setting_within_a_turn_is_recorded(
        self, api: Api, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api)
        sessions = record(own.client)

        body = own.ask("What is the weather?", tools=[api.tool], extra_body={"temperature": 0.5})
        own.context.append(api.output(api.call_id(body), "sunny"))
        own.go_on(tools=[api.tool], extra_body={"temperature": 0.25})
        sessions.undo()

        contexts = events_in(only(sessions), "turn_context")
        assert [context["settings"]["temperature"] for context in contexts] == [0.5, 0.25]
        assert len({context["turn_id"] for context in contexts}) == 1

    @pytest.mark.parametrize(
        ("api", "more"),
        [
            (APIS[0], {"instructions": "Be brief."}),
            (APIS[2], {"system": "Be brief."}),
        ],
        ids=["responses", "messages"],
    )
    def test_instructions_are_in_the_turn_context(
        self, api: Api, more: dict[str, Any], server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api)
        sessions = record(own.client)

        own.ask("Hello", **more)
        sessions.undo()

        (context,) = events_in(only(sessions), "turn_context")
        assert context["user_instructions"] == "Be brief."

    @each_api
    def test_an_image_is_kept(self, api: Api, server: ModelServer, agent: MakeAgent, record: Record) -> None:
        own = agent(api)
        sessions = record(own.client)
        url = f"data:image/png;base64,{PNG}"
        parts: dict[str, Any] = {
            "responses": {"type": "input_image", "image_url": url, "detail": "auto"},
            "chat": {"type": "image_url", "image_url": {"url": url}},
            "messages": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        }

        own.send([{"role": "user", "content": [parts[api.name]]}])
        sessions.undo()

        asked, _ = seen_items(api, server)
        assert items_in(only(sessions))[:1] == asked
        assert only(sessions).read_text().count(PNG) >= 1

    @each_api
    def test_the_helpers_for_streams_are_recorded(
        self, api: Api, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api)
        sessions = record(own.client)

        with api.resource(own.client).stream(**api.arguments([{"role": "user", "content": "Hello"}])) as stream:
            for _ in stream:
                pass
        sessions.undo()

        asked, answered = seen_items(api, server)
        assert items_in(only(sessions)) == [*asked, *answered]
        assert sessions.problems == {}

    @each_api
    def test_a_structured_output_is_recorded(
        self, api: Api, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        pydantic = pytest.importorskip("pydantic", reason="the SDKs use pydantic")
        own = agent(api)
        sessions = record(own.client)
        form = pydantic.create_model("Weather", city=(str, ...))

        name = {"responses": "text_format", "chat": "response_format", "messages": "output_format"}[api.name]
        api.resource(own.client).parse(**api.arguments([{"role": "user", "content": "Where?"}]), **{name: form})
        sessions.undo()

        asked, answered = seen_items(api, server)
        assert items_in(only(sessions)) == [*asked, *answered]
        assert '{"city": "Paris"}' in json.dumps(answered).replace('\\"', '"')

    def test_what_is_no_model_request_is_not_recorded(
        self, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(APIS[2])
        sessions = record(own.client)

        own.client.messages.count_tokens(model="m", messages=[{"role": "user", "content": "Hello"}])
        own.client.models.list()
        sessions.undo()

        assert sessions.sessions == {}
        assert sessions.problems == {}


class TestTargets:
    @pytest.mark.parametrize("is_async", [False, True])
    @each_api
    def test_without_a_target_all_clients_are_recorded(
        self, api: Api, is_async: bool, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        before = agent(api, is_async=is_async)
        with record() as sessions:
            after = agent(api, is_async=is_async)
            before.ask("Hello")
            after.ask("Hello")
        before.ask("And?")

        assert len(sessions.sessions) == 2
        assert sessions.problems == {}

    @each_api
    def test_a_class_is_recorded_until_the_end(
        self, api: Api, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api)
        before = dict(vars(api.class_of()))
        with record(api.class_of()) as sessions:
            own.ask("Hello")

        assert len(sessions.sessions) == 1
        assert dict(vars(api.class_of())) == before

    @each_api
    def test_undo_restores_the_methods(self, api: Api, server: ModelServer, agent: MakeAgent, record: Record) -> None:
        own = agent(api)
        before = dict(vars(own.client))

        sessions = record(own.client)
        assert dict(vars(own.client)) != before
        sessions.undo()
        sessions.undo()

        assert dict(vars(own.client)) == before

    def test_a_method_of_the_caller_is_restored(self, server: ModelServer, agent: MakeAgent, record: Record) -> None:
        own = agent(CHAT)
        theirs = own.client.request = own.client.request

        record(own.client).undo()

        assert own.client.request is theirs

    def test_undo_leaves_a_method_that_another_program_has_wrapped(
        self, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(CHAT)
        sessions = record(own.client)
        inner, calls = own.client.request, []

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            calls.append(args)
            return inner(*args, **kwargs)

        own.client.request = wrapped
        own.ask("Hello")
        sessions.undo()
        own.ask("And?")

        assert own.client.request is wrapped
        assert len(calls) == 2
        assert len(events_in(only(sessions), "user_message")) == 1

    @pytest.mark.parametrize("is_async", [False, True])
    @each_api
    def test_two_instrumentations_of_a_client_record_once(
        self, api: Api, is_async: bool, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api, is_async=is_async)
        first, second = record(own.client), record(own.client)

        own.ask("Hello")
        second.undo()
        own.ask("Bye")
        first.undo()

        assert [len(one.sessions) for one in (first, second)] == [1, 1]
        assert len(items_in(only(second))) == 2
        assert len(items_in(only(first))) == 4

    @pytest.mark.parametrize("is_first_undone_first", [False, True])
    def test_two_instrumentations_can_be_undone_in_any_order(
        self, is_first_undone_first: bool, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(CHAT)
        both = [record(own.client), record(own.client)]

        for sessions in both if is_first_undone_first else reversed(both):
            sessions.undo()
        own.ask("Hello")

        assert [len(one.sessions) for one in both] == [0, 0]

    @each_api
    def test_a_client_and_all_clients_record_once(
        self, api: Api, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api)
        every, one = record(), record(own.client)

        own.ask("Hello")

        assert [len(every.sessions), len(one.sessions)] == [0, 1]

    @pytest.mark.parametrize("is_async", [False, True])
    @each_api
    def test_copies_of_a_client_are_recorded_in_the_same_session(
        self, api: Api, is_async: bool, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(api, is_async=is_async)
        sessions = record(own.client)

        own.ask("Hello")
        copied = own.client.with_options(timeout=5).copy(max_retries=0)
        own.send([*own.context, {"role": "user", "content": "And?"}], copied)
        sessions.undo()
        own.send([*own.context, {"role": "user", "content": "Not any more"}], copied)
        own.send([{"role": "user", "content": "Nor this"}], copied.with_options(timeout=5))

        path = only(sessions)
        assert [event["message"] for event in events_in(path, "user_message")] == ["Hello", "And?"]

    def test_a_client_without_copies_is_recorded(self, server: ModelServer, agent: MakeAgent, record: Record) -> None:
        own = agent(CHAT)

        class Proxy:
            """
            Client of another SDK with the same method.
            """

            def request(self, *args: Any, **kwargs: Any) -> Any:
                return own.client.request(*args, **kwargs)

        proxy = Proxy()
        sessions = record(proxy)
        options = importlib.import_module("openai._models").FinalRequestOptions
        body = CHAT.arguments([{"role": "user", "content": "Hello"}])
        proxy.request(object, options(method="post", url="/chat/completions", json_data=body))
        with pytest.raises(importlib.import_module("openai").BadRequestError):
            proxy.request(object, options=options(method="post", url="/chat/completions", json_data=[body]))
        sessions.undo()

        assert len(items_in(only(sessions))) == 2
        assert sessions.problems == {}

    def test_an_object_that_is_no_client_is_refused(self) -> None:
        with pytest.raises(TypeError, match="no client"):
            instrument(object())

    def test_without_an_sdk_there_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_instrument, "_CLIENTS", {"no_such_sdk": ("Client",)})

        with pytest.raises(ModuleNotFoundError, match="install no_such_sdk"):
            instrument()

    def test_its_text_counts_the_sessions(self, server: ModelServer, agent: MakeAgent, record: Record) -> None:
        own = agent(CHAT)
        sessions = record(own.client)

        own.ask("Hello")

        assert repr(sessions) == "<Instrumentation: 1 sessions, 0 problems>"
