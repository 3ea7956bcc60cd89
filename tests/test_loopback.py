from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

from loopback import TEXT, Answer, ModelServer, default_answer

Json = dict[str, Any]

PROGRAM = Path(__file__).parent.parent / "examples" / "loopback.py"
RESPONSES = "/v1/responses"
CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
GEMINI = "/v1beta/models/gemini-x:generateContent"
GEMINI_STREAM = "/v1beta/models/gemini-x:streamGenerateContent?alt=sse"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PATHS = (RESPONSES, CHAT, MESSAGES, GEMINI)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


class Client:
    """
    Client with one connection, as long as the server keeps it.
    """

    def __init__(self, server: ModelServer) -> None:
        self.connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)

    def send(self, path: str, body: Json) -> http.client.HTTPResponse:
        self.connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        return self.connection.getresponse()

    def post(self, path: str, body: Json) -> Json:
        response = self.send(path, body)
        return {**json.loads(response.read()), "status_code": response.status}

    def stream(self, path: str, body: Json) -> list[Json]:
        return events_in(self.send(path, body).read())


Connect = Callable[[ModelServer], Client]


@pytest.fixture
def connect() -> Iterator[Connect]:
    clients: list[Client] = []

    def connect(server: ModelServer) -> Client:
        clients.append(Client(server))
        return clients[-1]

    yield connect
    for client in clients:
        client.connection.close()


@pytest.fixture
def client(server: ModelServer, connect: Connect) -> Client:
    return connect(server)


def events_in(text: bytes) -> list[Json]:
    lines = [line.removeprefix("data: ") for line in text.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def request_for(path: str, *, prompt: str = "What is the weather?", has_tools: bool = False, **more: Any) -> Json:
    """
    Return a request of an API with a prompt.
    """
    tool = {"name": "get_weather", "description": "Weather of a city"}
    if path == RESPONSES:
        tools: list[Json] = [{"type": "function", **tool, "parameters": SCHEMA}]
        body: Json = {"model": "m", "input": prompt}
    elif path == CHAT:
        tools = [{"type": "function", "function": {**tool, "parameters": SCHEMA}}]
        body = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
    elif path == MESSAGES:
        tools = [{**tool, "input_schema": SCHEMA}]
        body = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": prompt}]}
    else:
        tools = [{"functionDeclarations": [{**tool, "parameters": SCHEMA}]}]
        body = {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}
    return {**body, **({"tools": tools} if has_tools else {}), **more}


def text_of(path: str, body: Json) -> str:
    if path == RESPONSES:
        (item,) = (item for item in body["output"] if item["type"] == "message")
        return str(item["content"][0].get("text") or item["content"][0].get("refusal"))
    if path == CHAT:
        return str(body["choices"][0]["message"]["content"])
    if path == MESSAGES:
        return "".join(block["text"] for block in body["content"] if block["type"] == "text")
    return "".join(part.get("text", "") for part in body["candidates"][0]["content"]["parts"] if "thought" not in part)


def calls_of(path: str, body: Json) -> list[tuple[str, Any]]:
    if path == RESPONSES:
        calls = [item for item in body["output"] if item["type"] == "function_call"]
        return [(call["name"], json.loads(call["arguments"])) for call in calls]
    if path == CHAT:
        functions = [call["function"] for call in body["choices"][0]["message"].get("tool_calls", ())]
        return [(function["name"], json.loads(function["arguments"])) for function in functions]
    if path == MESSAGES:
        return [(block["name"], block["input"]) for block in body["content"] if block["type"] == "tool_use"]
    parts = body["candidates"][0]["content"]["parts"]
    return [(part["functionCall"]["name"], part["functionCall"]["args"]) for part in parts if "functionCall" in part]


def with_output(path: str, request: Json) -> Json:
    """
    Return the request after the call of its tool.
    """
    if path == RESPONSES:
        output = {"type": "function_call_output", "call_id": "call_0001_0", "output": "sunny"}
        return {**request, "input": [output], "previous_response_id": "resp_0001"}
    if path == CHAT:
        return {
            **request,
            "messages": [*request["messages"], {"role": "tool", "tool_call_id": "c", "content": "sunny"}],
        }
    if path == MESSAGES:
        result = {"type": "tool_result", "tool_use_id": "t", "content": "sunny"}
        return {**request, "messages": [*request["messages"], {"role": "user", "content": [result]}]}
    result = {"functionResponse": {"name": "get_weather", "response": {"result": "sunny"}}}
    return {**request, "contents": [*request["contents"], {"role": "user", "parts": [result]}]}


def streamed(path: str, body: Json) -> tuple[str, Json]:
    return (GEMINI_STREAM, body) if path == GEMINI else (path, {**body, "stream": True})


def joined(path: str, events: list[Json]) -> tuple[str, str, list[str]]:
    """
    Return the reasoning, the text and the arguments of the calls that the deltas of a stream make.
    """
    if path == RESPONSES:
        kinds = ("response.reasoning_summary_text.delta", "response.output_text.delta")
        reasoning, text = ("".join(e["delta"] for e in events if e["type"] == kind) for kind in kinds)
        calls = [
            e["item"]["arguments"] for e in events if e["type"] == "response.output_item.done" and "name" in e["item"]
        ]
        return reasoning, text, calls
    if path == CHAT:
        deltas = [choice["delta"] for event in events for choice in event["choices"]]
        arguments: dict[int, str] = {}
        for delta in deltas:
            for call in delta.get("tool_calls", ()):
                arguments[call["index"]] = arguments.get(call["index"], "") + call["function"]["arguments"]
        reasoning, text = ("".join(d.get(key) or "" for d in deltas) for key in ("reasoning_content", "content"))
        return reasoning, text, [arguments[index] for index in sorted(arguments)]
    if path == MESSAGES:
        blocks: dict[int, dict[str, str]] = {}
        for event in events:
            for key in ("thinking", "text", "partial_json"):
                if key in event.get("delta", ()):
                    block = blocks.setdefault(event["index"], {})
                    block[key] = block.get(key, "") + event["delta"][key]
        reasoning, text = ("".join(block.get(key, "") for block in blocks.values()) for key in ("thinking", "text"))
        return reasoning, text, [block["partial_json"] for block in blocks.values() if "partial_json" in block]
    parts = [part for event in events for part in event["candidates"][0]["content"]["parts"]]
    reasoning = "".join(part["text"] for part in parts if part.get("thought"))
    text = "".join(part.get("text", "") for part in parts if not part.get("thought"))
    return reasoning, text, [json.dumps(part["functionCall"]["args"]) for part in parts if "functionCall" in part]


@pytest.mark.parametrize("path", PATHS)
class TestEachApi:
    def test_answers_with_a_text_without_tools(self, path: str, server: ModelServer, client: Client) -> None:
        request = request_for(path)

        body = client.post(path, request)

        assert body.pop("status_code") == 200
        assert text_of(path, body) == TEXT
        assert server.requests == [(path, request)]
        assert server.replies == [body]

    def test_calls_the_first_tool_once_and_then_answers(self, path: str, server: ModelServer, client: Client) -> None:
        request = request_for(path, has_tools=True)

        first = client.post(path, request)
        last = client.post(path, with_output(path, request))

        assert calls_of(path, first) == [("get_weather", {"city": "Paris"})]
        assert "I need the tool to answer this." in json.dumps(first)
        assert calls_of(path, last) == []
        assert text_of(path, last) == TEXT
        assert len(server.requests) == len(server.replies) == 2

    @pytest.mark.parametrize(
        "answer",
        [
            Answer("An answer of some length, with é and 🎉."),
            Answer("Both.", calls=[("get_weather", {"city": "Paris"})], reasoning="A longer thought about it."),
            Answer(calls=[("get_weather", {"city": city}) for city in ("Paris", "Oslo", "Rome")]),
            Answer("x" * 10_000),
        ],
        ids=["text", "call", "parallel calls", "long"],
    )
    def test_a_stream_sends_the_same_answer(self, path: str, answer: Answer, connect: Connect) -> None:
        with ModelServer([answer]) as server:
            events = connect(server).stream(*streamed(path, request_for(path, has_tools=True)))

            reasoning, text, arguments = joined(path, events)

        assert (reasoning, text) == (answer.reasoning, answer.text)
        assert [json.loads(call) for call in arguments] == [call for _, call in answer.calls]
        (body,) = server.replies
        assert not answer.text or text_of(path, body) == answer.text
        assert calls_of(path, body) == [(name, call) for name, call in answer.calls]

    def test_a_script_is_followed_by_the_usual_answers(self, path: str, connect: Connect) -> None:
        with ModelServer([Answer("one"), Answer("two")]) as server:
            client = connect(server)
            texts = [text_of(path, client.post(path, request_for(path))) for _ in range(3)]

        assert texts == ["one", "two", TEXT]

    def test_a_function_chooses_the_answers(self, path: str, connect: Connect) -> None:
        with ModelServer(lambda asked, body: Answer(f"{asked} {len(body)}")) as server:
            body = connect(server).post(path, request_for(path))

        assert text_of(path, body) == f"{path} {len(request_for(path))}"

    @pytest.mark.parametrize("status", [400, 401, 429, 500])
    @pytest.mark.parametrize("is_streamed", [False, True])
    def test_an_error_has_its_status_and_text(
        self, path: str, status: int, is_streamed: bool, connect: Connect
    ) -> None:
        request = request_for(path)
        with ModelServer([Answer("slow down", status=status)]) as server:
            body = connect(server).post(*(streamed(path, request) if is_streamed else (path, request)))

        assert body.pop("status_code") == status
        assert body["error"]["message"] == "slow down"
        assert server.replies == [body]

    def test_a_stream_that_is_cut_has_no_end(self, path: str, connect: Connect) -> None:
        with ModelServer([Answer("a text of some length", cut_after=2)]) as server:
            response = connect(server).send(*streamed(path, request_for(path)))

            with pytest.raises(http.client.IncompleteRead) as caught:
                response.read()

            after = connect(server).post(path, request_for(path))

        assert len(events_in(caught.value.partial)) == 2
        assert text_of(path, server.replies[0]) == "a text of some length"
        assert text_of(path, after) == TEXT

    def test_a_cut_before_a_plain_answer_ends_the_connection(self, path: str, connect: Connect) -> None:
        with ModelServer([Answer("never", cut_after=0)]) as server, pytest.raises(http.client.RemoteDisconnected):
            connect(server).post(path, request_for(path))

    def test_an_error_comes_in_the_middle_of_a_stream(self, path: str, connect: Connect) -> None:
        with ModelServer([Answer("overloaded", status=500, cut_after=2)]) as server:
            events = connect(server).stream(*streamed(path, request_for(path)))

        assert len(events) == 3
        error = events[-1].get("response", events[-1])["error"]
        assert error["message"] == "overloaded"
        assert server.replies[0]["error"] == error

    def test_an_incomplete_answer_says_so(self, path: str, connect: Connect) -> None:
        with ModelServer([Answer("half of", is_incomplete=True)] * 2) as server:
            plain = json.dumps(connect(server).post(path, request_for(path)))
            events = json.dumps(connect(server).stream(*streamed(path, request_for(path))))

        (word,) = [word for word in ("incomplete", '"length"', "max_tokens", "MAX_TOKENS") if word in plain]
        assert word in events

    def test_a_refusal_says_so(self, path: str, connect: Connect) -> None:
        with ModelServer([Answer(refusal="No, never.")]) as server:
            body = json.dumps(connect(server).post(path, request_for(path)))

        assert {RESPONSES: '"refusal": "No', CHAT: '"refusal": "No', MESSAGES: "refusal", GEMINI: "SAFETY"}[
            path
        ] in body

    def test_a_text_fits_the_schema_that_is_demanded(self, path: str, client: Client) -> None:
        schema = {"name": "answer", "schema": SCHEMA}
        more: Json = {
            RESPONSES: {"text": {"format": {"type": "json_schema", **schema}}},
            CHAT: {"response_format": {"type": "json_schema", "json_schema": schema}},
            MESSAGES: {"output_config": {"format": {"type": "json_schema", **schema}}},
            GEMINI: {"generationConfig": {"responseSchema": SCHEMA}},
        }[path]

        body = client.post(path, request_for(path, **more))

        assert json.loads(text_of(path, body)) == {"city": "Paris"}

    def test_images_and_files_are_ignored(self, path: str, server: ModelServer, client: Client) -> None:
        image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
        file = {"type": "input_file", "file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}
        more: Json = {
            RESPONSES: {"input": [{"role": "user", "content": [image, file]}]},
            CHAT: {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
            MESSAGES: {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64"}}]}]},
            GEMINI: {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}]},
        }[path]

        body = client.post(path, request_for(path, **more))

        assert text_of(path, body) == TEXT
        assert server.requests == [(path, request_for(path, **more))]

    def test_usage_is_the_answers_own(self, path: str, connect: Connect) -> None:
        usage = {"input_tokens": 1000, "cached_input_tokens": 300, "cache_write_input_tokens": 200, "output_tokens": 70}
        with ModelServer([Answer("x", usage=usage), Answer("y", usage={})]) as server:
            bodies = [connect(server).post(path, request_for(path)) for _ in range(2)]

        first, second = (body.get("usage") or body.get("usageMetadata") or {} for body in bodies)
        expected = {
            RESPONSES: {"input_tokens": 1000, "output_tokens": 70, "total_tokens": 1070},
            CHAT: {"prompt_tokens": 1000, "completion_tokens": 70, "total_tokens": 1070},
            MESSAGES: {"input_tokens": 500, "cache_read_input_tokens": 300, "cache_creation_input_tokens": 200},
            GEMINI: {"promptTokenCount": 1000, "cachedContentTokenCount": 300, "totalTokenCount": 1070},
        }[path]
        assert first.items() >= expected.items()
        assert not any(value for value in second.values() if isinstance(value, int))

    def test_many_clients_at_once_get_their_own_answers(self, path: str, connect: Connect) -> None:
        def find(_: str, body: Json) -> Answer:
            return Answer(f"answer to {prompt_in(json.dumps(body))}", delay=0.01)

        def ask(number: int) -> list[tuple[str, str]]:
            client = connect(server)
            prompts = [f"prompt-{number}-{turn}" for turn in range(5)]
            return [(prompt, text_of(path, client.post(path, request_for(path, prompt=prompt)))) for prompt in prompts]

        def prompt_in(text: str) -> str:
            start = text.index("prompt-")
            return text[start : text.index('"', start)]

        with ModelServer(find) as server, ThreadPoolExecutor(8) as pool:
            pairs = [pair for pairs in pool.map(ask, range(8)) for pair in pairs]

        assert all(text == f"answer to {prompt}" for prompt, text in pairs)
        asked = [prompt_in(json.dumps(body)) for _, body in server.requests]
        assert sorted(asked) == sorted(prompt for prompt, _ in pairs)
        # A request and its answer have the same place.
        assert [text_of(path, body) for body in server.replies] == [f"answer to {prompt}" for prompt in asked]


class TestConnection:
    def test_one_connection_serves_plain_answers_errors_and_streams(self, connect: Connect) -> None:
        with ModelServer([Answer("one"), Answer(status=429), Answer("three"), Answer("four")]) as server:
            client = connect(server)
            client.connection.connect()
            socket = client.connection.sock
            client.post(CHAT, request_for(CHAT))
            client.post(CHAT, request_for(CHAT))
            client.stream(*streamed(CHAT, request_for(CHAT)))
            client.stream(*streamed(RESPONSES, request_for(RESPONSES)))

            assert client.connection.sock is socket

    def test_a_slow_answer_comes_after_its_delay(self, connect: Connect) -> None:
        with ModelServer([Answer("late", delay=0.2)]) as server:
            begun = time.monotonic()
            connect(server).post(CHAT, request_for(CHAT))

        assert time.monotonic() - begun >= 0.2

    def test_a_slow_stream_pauses_before_each_event(self, connect: Connect) -> None:
        with ModelServer([Answer("late", pause=0.05)]) as server:
            begun = time.monotonic()
            events = connect(server).stream(*streamed(CHAT, request_for(CHAT)))

        assert time.monotonic() - begun >= 0.05 * len(events)

    def test_closing_ends_slow_answers_open_connections_and_all_threads(self, connect: Connect) -> None:
        before = set(threading.enumerate())
        server = ModelServer([Answer("x"), Answer("late", delay=300)])
        idle, waiting = connect(server), connect(server)
        idle.post(CHAT, request_for(CHAT))
        waiting.connection.request("POST", CHAT, json.dumps(request_for(CHAT)))
        while len(server.requests) < 2:
            time.sleep(0.01)

        begun = time.monotonic()
        server.close()
        server.close()

        assert time.monotonic() - begun < 10
        assert set(threading.enumerate()) == before

    def test_a_client_that_goes_away_is_no_error(self, capfd: pytest.CaptureFixture[str], connect: Connect) -> None:
        with ModelServer([Answer("x" * 100_000, pause=0.002)]) as server:
            client = connect(server)
            client.send(*streamed(CHAT, request_for(CHAT))).read(100)
            client.connection.close()
            assert connect(server).post(CHAT, request_for(CHAT))["status_code"] == 200

        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("body", ["{", "[]", "null", ""])
    def test_a_body_that_is_no_object_is_refused(self, body: str, server: ModelServer, client: Client) -> None:
        client.connection.request("POST", CHAT, body)
        response = client.connection.getresponse()

        assert (response.status, json.loads(response.read())["error"]["type"]) == (400, "invalid_request_error")
        assert server.requests == []
        assert client.post(CHAT, request_for(CHAT))["status_code"] == 200

    def test_a_body_in_chunks_is_read(self, server: ModelServer, client: Client) -> None:
        text = json.dumps(request_for(CHAT)).encode()
        client.connection.request("POST", CHAT, iter([text[:10], text[10:]]), encode_chunked=True)
        assert client.connection.getresponse().read() != b""

        client.post(CHAT, request_for(CHAT))

        assert server.requests == [(CHAT, request_for(CHAT))] * 2

    def test_an_unknown_path_is_not_found(self, server: ModelServer, client: Client) -> None:
        assert client.post("/v1/embeddings", {"input": "x"})["status_code"] == 404
        assert server.requests == [("/v1/embeddings", {"input": "x"})]

    def test_models_are_an_empty_list(self, client: Client) -> None:
        client.connection.request("GET", "/v1/models")

        assert json.loads(client.connection.getresponse().read()) == {"object": "list", "data": []}

    def test_tokens_are_counted(self, client: Client) -> None:
        assert client.post(f"{MESSAGES}/count_tokens?beta=true", request_for(MESSAGES))["input_tokens"] == 120


class TestResponses:
    def test_a_response_names_the_one_before_and_the_conversation(self, client: Client) -> None:
        conversation = client.post("/v1/conversations", {})["id"]

        body = client.post(RESPONSES, request_for(RESPONSES, conversation=conversation, store=False))
        after = client.post(RESPONSES, request_for(RESPONSES, previous_response_id=body["id"]))

        assert body["conversation"] == {"id": conversation}
        assert body["store"] is False
        assert after["previous_response_id"] == body["id"]

    def test_reasoning_is_encrypted_if_the_request_includes_it(self, client: Client) -> None:
        plain = client.post(RESPONSES, request_for(RESPONSES, has_tools=True))
        included = {"include": ["reasoning.encrypted_content"]}
        encrypted = client.post(RESPONSES, request_for(RESPONSES, has_tools=True, **included))

        assert "encrypted_content" not in plain["output"][0]
        assert encrypted["output"][0]["encrypted_content"] == "c2lnbmF0dXJl"

    def test_the_last_event_has_the_body(self, server: ModelServer, client: Client) -> None:
        events = client.stream(*streamed(RESPONSES, request_for(RESPONSES, has_tools=True)))

        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[-1]["response"] == server.replies[0]

    def test_a_custom_tool_gets_a_text(self, connect: Connect) -> None:
        tools = [{"type": "custom", "name": "shell"}]
        with ModelServer() as server:
            client = connect(server)
            body = client.post(RESPONSES, request_for(RESPONSES, tools=tools))
            events = client.stream(*streamed(RESPONSES, request_for(RESPONSES, tools=tools)))

        call = body["output"][-1]
        assert (call["type"], call["name"], call["input"]) == ("custom_tool_call", "shell", "Paris")
        assert "response.custom_tool_call_input.delta" in [event["type"] for event in events]

    def test_items_of_built_in_tools_are_sent_as_they_are(self, connect: Connect) -> None:
        item = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search"}}
        with ModelServer([Answer("found", extra=[item])] * 2) as server:
            body = connect(server).post(RESPONSES, request_for(RESPONSES))
            events = connect(server).stream(*streamed(RESPONSES, request_for(RESPONSES)))

        assert body["output"][0] == item
        assert item in [event["item"] for event in events if event["type"] == "response.output_item.done"]


class TestMessages:
    def test_blocks_of_built_in_tools_are_sent_as_they_are(self, connect: Connect) -> None:
        block = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "weather"}}
        with ModelServer([Answer("found", extra=[block])] * 2) as server:
            body = connect(server).post(MESSAGES, request_for(MESSAGES))
            events = connect(server).stream(*streamed(MESSAGES, request_for(MESSAGES)))

        assert body["content"] == [block, {"type": "text", "text": "found"}]
        assert block in [event.get("content_block") for event in events]


class TestChat:
    def test_several_choices_have_texts_of_their_own(self, server: ModelServer, client: Client) -> None:
        body = client.post(CHAT, request_for(CHAT, n=2))
        events = client.stream(*streamed(CHAT, request_for(CHAT, n=2)))

        assert [choice["message"]["content"] for choice in body["choices"]] == [TEXT, f"{TEXT} (2)"]
        assert {choice["index"] for event in events for choice in event["choices"]} == {0, 1}

    def test_a_stream_has_usage_only_on_request(self, server: ModelServer, client: Client) -> None:
        without = client.stream(*streamed(CHAT, request_for(CHAT)))
        included = {"stream_options": {"include_usage": True}}
        with_usage = client.stream(*streamed(CHAT, request_for(CHAT, **included)))

        assert not any("usage" in event for event in without)
        assert with_usage[-1]["usage"]["total_tokens"] == 135
        assert ["usage" in body for body in server.replies] == [False, True]

    def test_arguments_may_be_any_text(self, connect: Connect) -> None:
        with ModelServer([Answer(calls=[("get_weather", '{"city": ')])]) as server:
            body = connect(server).post(CHAT, request_for(CHAT))

        assert body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"city": '


class TestDefaultAnswer:
    @pytest.mark.parametrize(
        ("schema", "value"),
        [
            ({"type": "string"}, "Paris"),
            ({}, "Paris"),
            ({"type": "INTEGER"}, 1),
            ({"type": "number"}, 1.5),
            ({"type": "boolean"}, True),
            ({"type": ["string", "null"]}, "Paris"),
            ({"type": "null"}, None),
            ({"enum": ["metric", "other"]}, "metric"),
            ({"const": 7}, 7),
            ({"type": "string", "default": "Oslo"}, "Oslo"),
            ({"type": "string", "examples": ["Rome"]}, "Rome"),
            ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
            ({"type": "array", "items": {"type": "integer"}}, [1]),
            ({"properties": {"a": {"type": "boolean"}}}, {"a": True}),
            ({"$ref": "#/$defs/City"}, {"name": "Paris"}),
        ],
    )
    def test_an_argument_fits_its_schema(self, schema: Json, value: Any) -> None:
        definitions = {"City": {"type": "object", "properties": {"name": {"type": "string"}}}}
        whole = {"type": "object", "properties": {"field": schema}, "$defs": definitions}

        answer = default_answer({"tools": [{"type": "function", "name": "f", "parameters": whole}]})

        assert answer.calls == [("f", {"field": value})]

    def test_a_schema_that_contains_itself_ends(self) -> None:
        whole = {"type": "object", "properties": {"child": {"$ref": "#"}}}

        answer = default_answer({"tools": [{"name": "f", "input_schema": whole}]})

        assert json.dumps(answer.calls).count("child") < 30

    @pytest.mark.parametrize(
        ("choice", "names"),
        [
            ({}, ["first"]),
            ({"tool_choice": "auto"}, ["first"]),
            ({"tool_choice": "none"}, []),
            ({"tool_choice": "required"}, ["first"]),
            ({"tool_choice": {"type": "any"}}, ["first"]),
            ({"tool_choice": {"type": "tool", "name": "last"}}, ["last"]),
            ({"tool_choice": {"type": "function", "function": {"name": "last"}}}, ["last"]),
            ({"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}, []),
            ({"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["last"]}}}, ["last"]),
        ],
    )
    def test_a_demand_chooses_the_tool(self, choice: Json, names: list[str]) -> None:
        tools = [{"type": "web_search"}, {"name": "first"}, {"name": "last"}]

        assert [name for name, _ in default_answer({"tools": tools, **choice}).calls] == names

    @pytest.mark.parametrize("tool", [{"type": "web_search"}, {"googleSearch": {}}])
    def test_a_tool_that_the_model_runs_itself_is_not_called(self, tool: Json) -> None:
        assert default_answer({"tools": [tool]}) == Answer(TEXT)

    def test_a_demand_after_an_output_takes_the_final_answer(self) -> None:
        tools = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("find", "final")]
        messages = [{"role": "user", "content": [{"type": "text", "text": "Observation:\nsunny"}]}]

        answer = default_answer({"tools": tools, "messages": messages, "tool_choice": "required"})

        assert answer.calls == [("final", {"city": TEXT})]


def test_the_program_serves_until_it_is_interrupted() -> None:
    program = subprocess.Popen([sys.executable, PROGRAM], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    with program:
        url = program.stdout.readline().strip()
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
        connection.request("POST", CHAT, json.dumps(request_for(CHAT)))
        status = connection.getresponse().status
        connection.close()
        program.send_signal(signal.SIGINT)

        assert (status, program.wait(20)) == (200, 0)
