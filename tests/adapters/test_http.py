"""
What the event hooks of an HTTP client record: each API, each way to call it, errors, and other hooks beside them.

The tests run with each of httpx and httpx2 that is installed; the SDKs bring one of them.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import importlib
import importlib.util
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

import rollout
from rollout import Recorder
from rollout.adapters._marks import recorded_here
from rollout.adapters.http import HttpHook, watch
from tests.adapters.apis import APIS, KEY, WAYS, Answer, Api, ModelServer, events_in, items_in, only, seen_items
from tests.adapters.conftest import MakeAgent

Json = dict[str, Any]

TEXT = "It is sunny in Paris, 21 °C."
LONG = "It is sunny in Paris. " * 20
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Gemini(Api):
    """
    The API of Google, which names the model and the stream in the path.
    """

    def __init__(self) -> None:
        tool = {"functionDeclarations": [{"name": "get_weather", "parameters": {"type": "object"}}]}
        super().__init__("gemini", "httpx", "/v1beta/models/m:generateContent", tool)

    def arguments(self, context: list[Json], **more: Any) -> Json:
        return {"contents": context, **{key: value for key, value in more.items() if key != "stream"}}

    def output(self, call_id: str, text: str) -> Json:
        return {"role": "user", "parts": [{"functionResponse": {"name": "get_weather", "response": {"result": text}}}]}

    def answer(self, body: Json) -> list[Json]:
        return [body["candidates"][0]["content"]]


CHAT, GEMINI = APIS[1], Gemini()
each_api = pytest.mark.parametrize("api", [*APIS, GEMINI], ids=repr)
each_way = pytest.mark.parametrize(
    ("is_streamed", "is_async"), WAYS, ids=["plain", "plain-async", "streamed", "streamed-async"]
)
both_clients = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


class Caller:
    """
    A program that calls an API with an HTTP client alone.
    """

    def __init__(
        self, http: Any, api: Api, url: str, *, is_streamed: bool = False, is_async: bool = False, **settings: Any
    ) -> None:
        self.http, self.api, self.is_streamed = http, api, is_streamed
        self.loop = asyncio.new_event_loop() if is_async else None
        make = http.AsyncClient if is_async else http.Client
        settings = {"verify": TLS, "headers": {"authorization": f"Bearer {KEY}"}, **settings}
        self.client = make(base_url=url, **settings)
        self.context: list[Json] = []

    def close(self) -> None:
        if self.loop is None:
            self.client.close()
        elif not self.loop.is_closed():
            self.run(self.client.aclose())
            self.run(self.loop.shutdown_asyncgens())
            self.loop.close()

    def run(self, result: Any) -> Any:
        return result if self.loop is None else self.loop.run_until_complete(result)

    def make(self, context: list[Json], **more: Any) -> Any:
        """
        Return a request.
        """
        path = self.api.path
        if self.is_streamed and self.api.name == "gemini":
            path = path.replace(":generate", ":streamGenerate") + "?alt=sse"
        body = self.api.arguments(context, **({"stream": True} if self.is_streamed else {}), **more)
        return self.client.build_request("POST", path, json=body)

    def send(self, request: Any) -> Any:
        """
        Send a request, and read its response by lines if it is a stream.
        """
        response = self.run(self.client.send(request, stream=self.is_streamed))
        if self.is_streamed and self.loop is None:
            assert list(response.iter_lines())
        elif self.is_streamed:
            self.run(self._read(response))
        return response

    async def _read(self, response: Any) -> None:
        assert [line async for line in response.aiter_lines()]

    def open(self, text: str) -> Any:
        """
        Return the response of a request that is streamed, of which some lines were read.
        """
        self.is_streamed = True
        response = self.run(self.client.send(self.make([self.prompt(text)]), stream=True))
        lines = response.iter_lines() if self.loop is None else response.aiter_lines()
        for _ in range(30):
            next(lines) if self.loop is None else self.run(lines.__anext__())
        # The generator reads from the response until it is dropped, too.
        response.own_lines = lines
        return response

    def prompt(self, text: str) -> Json:
        return {"role": "user", **({"parts": [{"text": text}]} if self.api.name == "gemini" else {"content": text})}

    def ask(self, text: str, server: ModelServer, **more: Any) -> Json:
        """
        Send a prompt in the context, note the answer in it, and return the answer's body.
        """
        self.context.append(self.prompt(text))
        return self.go_on(server, **more)

    def go_on(self, server: ModelServer, **more: Any) -> Json:
        self.send(self.make(self.context, **more)).raise_for_status()
        body: Json = server.replies[-1]
        self.context += self.api.answer(body)
        return body


Call = Callable[..., Caller]


@pytest.fixture(params=[name for name in ("httpx", "httpx2") if importlib.util.find_spec(name)])
def http(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(request.param)


@pytest.fixture
def call(http: Any, server: ModelServer) -> Iterator[Call]:
    """
    Return a function that makes a caller of an API; the end of the test closes it, before the server.
    """
    with ExitStack() as stack:

        def call(api: Api = CHAT, own: Any = server, **settings: Any) -> Caller:
            made = Caller(http, api, own.url, **settings)
            stack.callback(made.close)
            return made

        yield call


@pytest.fixture
def serve() -> Iterator[Callable[..., Any]]:
    """
    Return a function that serves one answer after the other: its status, its header and its body.
    """
    with ExitStack() as stack:

        def serve(*answers: tuple[int, Json, bytes]) -> Any:
            left = iter(answers)

            class Handler(BaseHTTPRequestHandler):
                def log_message(self, *_: Any) -> None:
                    pass

                def do_POST(self) -> None:
                    self.rfile.read(int(self.headers["content-length"]))
                    status, header, content = next(left)
                    self.send_response(status)
                    for name, value in {**header, "content-length": str(len(content))}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)

            own = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            own.daemon_threads, own.url = False, f"http://127.0.0.1:{own.server_port}"  # type: ignore[attr-defined]
            thread = threading.Thread(target=own.serve_forever, args=(0.02,))
            thread.start()
            for end in (own.server_close, thread.join, own.shutdown):
                stack.callback(end)
            return own

        yield serve


def texts_in(path: Path, role: str) -> list[str]:
    items = [item for item in items_in(path) if item.get("role") == role]
    return ["".join(part["text"] for part in item["content"]) for item in items]


def errors_in(path: Path) -> list[str]:
    return [event["message"] for event in events_in(path, "error")]


@each_api
@each_way
class TestEachWay:
    def test_the_items_are_those_that_the_server_saw_and_sent(
        self, api: Api, is_streamed: bool, is_async: bool, server: ModelServer, call: Call
    ) -> None:
        own = call(api, is_streamed=is_streamed, is_async=is_async)
        with watch(own.client) as sessions:
            body = own.ask("What is the weather?", server, tools=[api.tool])
            own.context.append(api.output(api.call_id(body), "sunny"))
            own.go_on(server, tools=[api.tool])
            own.ask("And tomorrow?", server)

        path = only(sessions)
        asked, answered = seen_items(api, server)
        context, text = seen_items(api, server, 1)
        last, bye = seen_items(api, server, 2)
        assert items_in(path) == [*asked, *answered, context[-1], *text, last[-1], *bye]
        assert [turn.prompt for turn in rollout.load_history(path).turns] == ["What is the weather?", "And tomorrow?"]
        assert len(events_in(path, "task_complete")) == 2
        assert sessions.problems == {}

    def test_usage_and_model_are_recorded_and_no_key(
        self, api: Api, is_streamed: bool, is_async: bool, server: ModelServer, call: Call, home: Path
    ) -> None:
        own = call(api, is_streamed=is_streamed, is_async=is_async, params={"key": "query-secret"})
        with watch(own.client) as sessions:
            own.ask("Hello", server)

        path = only(sessions)
        (count,) = events_in(path, "token_count")
        # Messages does not state the tokens of reasoning.
        reasoning = {} if api.name == "messages" else {"reasoning_output_tokens": 5}
        expected = {"input_tokens": 120, "cached_input_tokens": 40, "output_tokens": 15, **reasoning}
        assert count["info"]["last_token_usage"].items() >= expected.items()
        (context,) = events_in(path, "turn_context")
        assert context["model"] == "m"
        files = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
        assert not any(secret in text for text in files for secret in (KEY.encode(), b"-secret", b"Bearer"))


@each_api
@both_clients
class TestErrorsOfTheServer:
    def test_an_http_error_is_recorded_and_its_retry_has_no_second_prompt(
        self, api: Api, is_async: bool, http: Any, call: Call
    ) -> None:
        with ModelServer([Answer(status=429, text="Not now"), Answer(text="Yes")]) as server:
            own = call(api, server, is_async=is_async)
            with watch(own.client) as sessions:
                with pytest.raises(http.HTTPStatusError):
                    own.ask("Hello", server)
                own.go_on(server)
            own.close()

        (error,) = errors_in(only(sessions))
        assert error.startswith("RuntimeError: HTTP status 429: ")
        assert "Not now" in error
        assert texts_in(only(sessions), "user") == ["Hello"]
        assert texts_in(only(sessions), "assistant") == ["Yes"]
        assert len(events_in(only(sessions), "task_complete")) == 1


class NoAnswer:
    """
    Mixin of a transport that is not the one of httpx, and knows no extension.
    """

    def __init__(self, error: Exception) -> None:
        self.error = error

    def handle_request(self, request: Any) -> Any:
        raise self.error

    async def handle_async_request(self, request: Any) -> Any:
        raise self.error


@both_clients
class TestErrorsOfTheConnection:
    def test_a_refused_connection_is_recorded_and_its_retry_has_no_second_prompt(
        self, is_async: bool, http: Any, call: Call
    ) -> None:
        own = call(own=Refused(), is_async=is_async)
        with watch(own.client) as sessions:
            with pytest.raises(http.ConnectError) as caught:
                own.send(own.make([own.prompt("Hello")]))
            with ModelServer() as server:
                own.client.base_url = server.url
                # The error, and by it the first request, still lives.
                assert own.ask("Hello", server)
                own.close()

        (error,) = errors_in(only(sessions))
        assert error == f"ConnectError: {caught.value}"
        assert texts_in(only(sessions), "user") == ["Hello"]
        assert texts_in(only(sessions), "assistant") == [TEXT]

    def test_a_timeout_is_recorded(self, is_async: bool, http: Any, call: Call) -> None:
        with ModelServer([Answer(text="late", delay=0.3)]) as server:
            own = call(own=server, is_async=is_async, timeout=0.05)
            with watch(own.client) as sessions, pytest.raises(http.ReadTimeout):
                own.ask("Hello", server)
            own.close()

        (error,) = errors_in(only(sessions))
        assert error.startswith("ReadTimeout")
        assert texts_in(only(sessions), "user") == ["Hello"]

    def test_an_error_of_another_transport_is_recorded_when_the_request_is_dropped(
        self, is_async: bool, http: Any, server: ModelServer, call: Call
    ) -> None:
        base = http.AsyncBaseTransport if is_async else http.BaseTransport
        transport = type("Own", (NoAnswer, base), {})(http.PoolTimeout("all are in use"))
        own = call(is_async=is_async, transport=transport)
        with watch(own.client) as sessions:
            for _ in range(2):
                with pytest.raises(http.PoolTimeout):
                    own.send(own.make([own.prompt("Hello")]))
                transport.error = http.PoolTimeout("all are still in use")
                gc.collect()
            before = errors_in_open(sessions)

        assert before == ["RuntimeError: the request ended without a response"] * 2
        assert texts_in(only(sessions), "user") == ["Hello"]

    def test_a_transport_that_connects_again_is_recorded_with_its_error_and_its_answer(
        self, is_async: bool, http: Any, call: Call
    ) -> None:
        refused = Refused()
        servers: list[ModelServer] = []
        names: list[str] = []

        def trace(name: str, info: Json) -> None:
            names.append(name)
            if name == "connection.connect_tcp.failed":
                servers.append(ModelServer(port=refused.port))

        async def trace_async(name: str, info: Json) -> None:
            trace(name, info)

        transport = (http.AsyncHTTPTransport if is_async else http.HTTPTransport)(verify=TLS, retries=1)
        own = call(own=refused, is_async=is_async, transport=transport)
        request = own.make([own.prompt("Hello")])
        request.extensions["trace"] = trace_async if is_async else trace
        with watch(own.client) as sessions:
            own.send(request).raise_for_status()
        own.close()
        servers[0].close()

        assert len(errors_in(only(sessions))) == 1
        assert texts_in(only(sessions), "user") == ["Hello"]
        assert texts_in(only(sessions), "assistant") == [TEXT]
        # The caller's function is called as before.
        assert names[-1].endswith("response_closed.complete")
        assert len(servers) == 1


class Refused:
    """
    A port at which nobody listens.
    """

    def __init__(self) -> None:
        with socket.socket() as own:
            own.bind(("127.0.0.1", 0))
            self.port = own.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"


def errors_in_open(sessions: HttpHook) -> list[str]:
    """
    Return the errors in a session that is being written.
    """
    sessions._log.flush()
    return errors_in(only(sessions))


class TestInterrupts:
    def test_a_cancelled_task_ends_the_turn_as_interrupted(self, call: Call) -> None:
        with ModelServer([Answer(text="late", delay=0.3)]) as server:
            own = call(own=server, is_async=True)

            async def cancel() -> None:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(own.client.send(own.make([own.prompt("Hello")])), 0.05)

            with watch(own.client) as sessions:
                own.run(cancel())
            own.close()

        (aborted,) = events_in(only(sessions), "turn_aborted")
        assert aborted["reason"] == "interrupted"

    def test_a_request_that_is_under_way_at_the_end_leaves_its_prompt(self, server: ModelServer, call: Call) -> None:
        own = call()
        sessions = watch(own.client)
        own.client.event_hooks["request"].append(lambda request: sessions.close())

        own.ask("Hello", server)

        assert [item["role"] for item in items_in(only(sessions))] == ["user"]
        assert len(server.requests) == 1
        assert sessions.problems == {}


@both_clients
class TestRequestsThatAreSentAgain:
    def test_a_redirect_is_one_request(self, is_async: bool, server: ModelServer, call: Call, serve: Any) -> None:
        first = serve((307, {"location": f"{server.url}{CHAT.path}"}, b""))
        own = call(own=first, is_async=is_async, follow_redirects=True)
        with watch(own.client) as sessions:
            own.ask("Hello", server)

        asked, answered = seen_items(CHAT, server)
        assert items_in(only(sessions)) == [*asked, *answered]
        assert errors_in(only(sessions)) == []

    def test_a_redirect_that_is_not_followed_has_no_answer(self, is_async: bool, call: Call, serve: Any) -> None:
        own = call(own=serve((307, {"location": "/elsewhere"}, b"")), is_async=is_async)
        with watch(own.client) as sessions:
            own.send(own.make([own.prompt("Hello")]))
            gc.collect()

        assert errors_in(only(sessions)) == ["RuntimeError: the request ended without a response"]

    def test_a_password_that_is_demanded_makes_no_second_prompt(
        self, is_async: bool, http: Any, call: Call, serve: Any
    ) -> None:
        demand = {"www-authenticate": 'Digest realm="a", nonce="b", qop="auth", algorithm="MD5"'}
        body = {"choices": [{"message": {"role": "assistant", "content": "Yes"}}]}
        own = call(own=serve((401, demand, b""), (200, {}, json.dumps(body).encode())), is_async=is_async)
        own.client.auth = http.DigestAuth("name", "password")
        with watch(own.client) as sessions:
            own.send(own.make([own.prompt("Hello")])).raise_for_status()

        assert errors_in(only(sessions)) == ["RuntimeError: HTTP status 401"]
        assert texts_in(only(sessions), "user") == ["Hello"]
        assert texts_in(only(sessions), "assistant") == ["Yes"]
        assert sessions.problems == {}


@each_api
@both_clients
class TestStreams:
    @pytest.fixture
    def server(self) -> Iterator[ModelServer]:
        with ModelServer(lambda path, body: Answer(text=LONG)) as server:
            yield server

    @pytest.mark.parametrize("end", ["close", "drop", "end of the hook"])
    def test_a_stream_that_is_abandoned_is_recorded_as_far_as_it_came(
        self, api: Api, is_async: bool, end: str, call: Call
    ) -> None:
        own = call(api, is_async=is_async)
        with watch(own.client) as sessions:
            response = own.open("Hello")
            if end == "close":
                own.run(response.close() if own.loop is None else response.aclose())
            elif end == "drop":
                del response
                gc.collect()

        (text,) = texts_in(only(sessions), "assistant")
        assert LONG.startswith(text)
        assert 0 < len(text) < len(LONG)
        assert sessions.problems == {}


class TestEncodings:
    BODY: ClassVar[Json] = {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "Yes"}]}, "finishReason": "STOP"}]
    }

    @both_clients
    @pytest.mark.parametrize("is_streamed", [False, True])
    def test_a_compressed_answer_is_recorded(self, is_async: bool, is_streamed: bool, call: Call, serve: Any) -> None:
        text = f"data: {json.dumps(self.BODY)}\r\n\r\n" if is_streamed else json.dumps(self.BODY)
        kind = "text/event-stream" if is_streamed else "application/json"
        header = {"content-encoding": "gzip", "content-type": kind}
        own = call(GEMINI, serve((200, header, gzip.compress(text.encode()))), is_async=is_async)
        own.is_streamed = is_streamed
        with watch(own.client) as sessions:
            own.send(own.make([own.prompt("Hello")]))

        assert texts_in(only(sessions), "assistant") == ["Yes"]
        assert sessions.problems == {}

    def test_a_stream_that_is_one_array_is_recorded(self, call: Call, serve: Any) -> None:
        parts = [{"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}}]} for text in ("No", ", ")]
        content = json.dumps([*parts, "no chunk", self.BODY]).encode()
        own = call(GEMINI, serve((200, {"content-type": "application/json"}, content)))
        with watch(own.client) as sessions:
            own.send(own.make([own.prompt("Hello")]))

        assert texts_in(only(sessions), "assistant") == ["No, Yes"]
        assert len(events_in(only(sessions), "task_complete")) == 1


@both_clients
class TestOtherHooks:
    def test_only_the_own_hooks_are_removed(self, is_async: bool, server: ModelServer, call: Call) -> None:
        def note(value: Any) -> None:
            noted.append(type(value).__name__)

        async def note_async(value: Any) -> None:
            note(value)

        noted: list[str] = []
        hook = note_async if is_async else note
        own = call(is_async=is_async, event_hooks={"request": [hook]})
        sessions = watch(own.client)
        own.client.event_hooks["response"].append(hook)
        own.ask("Hello", server)
        sessions.close()
        sessions.close()
        own.ask("And?", server)

        assert own.client.event_hooks == {"request": [hook], "response": [hook]}
        assert noted == ["Request", "Response"] * 2
        assert len(items_in(only(sessions))) == 2

    def test_a_hook_that_raises_for_a_status_does_not_hide_the_error(
        self, is_async: bool, http: Any, call: Call
    ) -> None:
        def check(response: Any) -> None:
            response.read()
            response.raise_for_status()

        async def check_async(response: Any) -> None:
            await response.aread()
            response.raise_for_status()

        with ModelServer([Answer(status=500, text="Down")]) as server:
            own = call(own=server, is_async=is_async)
            own.client.event_hooks = {"response": [check_async if is_async else check]}
            with watch(own.client) as sessions, pytest.raises(http.HTTPStatusError):
                own.ask("Hello", server)
            own.close()

        (error,) = errors_in(only(sessions))
        assert "HTTP status 500" in error
        assert "Down" in error

    def test_two_hooks_record_both(self, is_async: bool, server: ModelServer, call: Call, tmp_path: Path) -> None:
        own = call(is_async=is_async)
        with watch(own.client, home=tmp_path / "a") as first, watch(own.client, home=tmp_path / "b") as second:
            own.ask("Hello", server)

        asked, answered = seen_items(CHAT, server)
        assert items_in(only(first)) == items_in(only(second)) == [*asked, *answered]

    def test_what_an_outer_hook_records_is_not_recorded_again(
        self, is_async: bool, server: ModelServer, call: Call
    ) -> None:
        own = call(is_async=is_async)
        with watch(own.client) as sessions, recorded_here():
            own.ask("Hello", server)

        assert sessions.sessions == {}

    def test_other_requests_are_not_recorded(self, is_async: bool, server: ModelServer, call: Call) -> None:
        own = call(is_async=is_async)
        with watch(own.client) as sessions:
            own.run(own.client.get("/v1/models"))
            own.run(own.client.get(CHAT.path))
            own.run(own.client.post("/v1/embeddings", json={"model": "m", "input": "Hello"}))
            own.run(own.client.post(CHAT.path, json=["no object"]))

        assert sessions.sessions == {}
        assert sessions.problems == {}

    def test_a_closed_client_raises_as_before(self, is_async: bool, server: ModelServer, call: Call) -> None:
        own = call(is_async=is_async)
        with watch(own.client) as sessions:
            own.ask("Hello", server)
            own.run(own.client.close() if own.loop is None else own.client.aclose())
            with pytest.raises(RuntimeError, match="closed"):
                own.ask("And?", server)

        assert len(items_in(only(sessions))) == 2
        assert own.client.event_hooks == {"request": [], "response": []}


@both_clients
class TestFaultsOfRecording:
    def test_a_body_that_cannot_be_read_is_counted_and_sent(
        self, is_async: bool, server: ModelServer, call: Call
    ) -> None:
        def parts() -> Iterator[bytes]:
            yield json.dumps(CHAT.arguments([own.prompt("Hello")])).encode()

        async def parts_async() -> Any:
            for part in parts():
                yield part

        own = call(is_async=is_async)
        with watch(own.client) as sessions:
            streamed = own.run(own.client.post(CHAT.path, content=parts_async() if is_async else parts()))
            broken = own.run(own.client.post(CHAT.path, content=b"{"))

        assert [streamed.status_code, broken.status_code] == [200, 400]
        assert len(sessions.problems) == 2
        assert all(text.startswith("a request could not be recorded") for text in sessions.problems)
        assert sessions.sessions == {}

    def test_an_error_in_redact_is_counted_and_does_not_reach_the_caller(
        self, is_async: bool, server: ModelServer, call: Call
    ) -> None:
        def redact(value: Any) -> Any:
            if "secret" in str(value):
                raise RuntimeError("redact fails")
            return value

        own = call(is_async=is_async)
        with watch(own.client, redact=redact) as sessions:
            own.ask("A secret", server)
            own.ask("Hello", server)

        ((text, count),) = sessions.problems.items()
        assert "redact fails" in text
        assert count == 1
        assert "secret" not in only(sessions).read_text()

    def test_a_home_that_cannot_be_written_is_counted(
        self, is_async: bool, server: ModelServer, call: Call, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        own = call(is_async=is_async)
        with watch(own.client, home=tmp_path / "file") as sessions:
            body = own.ask("Hello", server)

        assert body == server.replies[0]
        assert sum(sessions.problems.values()) == 1

    @pytest.mark.parametrize(("content", "count"), [(b"{", 1), (b"[]", 0)])
    def test_a_request_that_changes_while_the_transport_connects_is_sent(
        self, is_async: bool, content: bytes, count: int, http: Any, call: Call
    ) -> None:
        def change(name: str, info: Json) -> None:
            if name == "connection.connect_tcp.failed":
                servers.append(ModelServer(port=refused.port))
                request._content = content

        async def change_async(name: str, info: Json) -> None:
            change(name, info)

        refused, servers = Refused(), list[ModelServer]()
        transport = (http.AsyncHTTPTransport if is_async else http.HTTPTransport)(verify=TLS, retries=1)
        own = call(own=refused, is_async=is_async, transport=transport)
        with watch(own.client) as sessions:
            request = own.make([own.prompt("Hello")])
            request.extensions["trace"] = change_async if is_async else change
            response = own.send(request)
        own.close()
        servers[0].close()

        assert response.status_code == 200
        assert sum(sessions.problems.values()) == count
        assert len(errors_in(only(sessions))) == 1


class TestSessions:
    @pytest.mark.parametrize("api", APIS, ids=repr)
    @both_clients
    def test_an_sdk_is_recorded_as_by_instrument(
        self, api: Api, is_async: bool, server: ModelServer, agent: MakeAgent
    ) -> None:
        def converse(record: Callable[[Any], Any]) -> list[Json]:
            own = agent(api, is_async=is_async)
            with record(own.client) as sessions:
                body = own.ask("What is the weather?", tools=[api.tool])
                own.context.append(api.output(api.call_id(body), "sunny"))
                own.go_on(tools=[api.tool])
            return without_ids(items_in(only(sessions)))

        by_hooks = converse(lambda client: watch(client._client))
        by_instrument = converse(rollout.instrument)

        assert by_hooks == by_instrument

    @pytest.mark.parametrize("api", APIS, ids=repr)
    @both_clients
    def test_instrument_and_this_hook_record_once(
        self, api: Api, is_async: bool, server: ModelServer, agent: MakeAgent
    ) -> None:
        own = agent(api, is_async=is_async, is_streamed=True)
        with watch(own.client._client) as inner, rollout.instrument(own.client) as outer:
            own.ask("Hello")

        assert inner.sessions == {}
        asked, answered = seen_items(api, server)
        assert items_in(only(outer)) == [*asked, *answered]

    @pytest.mark.parametrize("api", APIS, ids=repr)
    @both_clients
    def test_retries_of_an_sdk_are_one_conversation(self, api: Api, is_async: bool, agent: MakeAgent) -> None:
        with ModelServer([Answer(status=429), Answer(status=500), Answer(text="Yes")]) as server:
            own = agent(api, server=server, is_async=is_async, max_retries=2)
            with watch(own.client._client) as sessions:
                own.ask("Hello")
            own.close()

            assert len(server.requests) == 3
        path = only(sessions)
        assert [text[:29] for text in errors_in(path)] == [
            "RuntimeError: HTTP status 429",
            "RuntimeError: HTTP status 500",
        ]
        assert texts_in(path, "user") == ["Hello"]
        assert texts_in(path, "assistant") == ["Yes"]
        assert len(events_in(path, "task_complete")) == 1

    @pytest.mark.parametrize("api", APIS, ids=repr)
    @both_clients
    def test_retries_of_an_sdk_after_timeouts_are_one_conversation(
        self, api: Api, is_async: bool, agent: MakeAgent
    ) -> None:
        with ModelServer([Answer(delay=0.4), Answer(text="Yes")]) as server:
            own = agent(api, server=server, is_async=is_async, max_retries=1, timeout=0.2)
            with watch(own.client._client) as sessions:
                own.ask("Hello")
            own.close()

        path = only(sessions)
        assert len(errors_in(path)) == 1
        assert texts_in(path, "user") == ["Hello"]
        assert texts_in(path, "assistant") == ["Yes"]

    def test_chunks_that_a_client_sends_back_are_the_answer(self, server: ModelServer, call: Call) -> None:
        own = call(GEMINI, is_streamed=True)
        with watch(own.client) as sessions:
            own.ask("What is the weather?", server, tools=[GEMINI.tool])
            # The SDK of Google sends back each chunk as it came, also the last one, which has an empty text.
            own.context += [{"role": "model", "parts": [{"text": ""}]}, GEMINI.output("", "sunny")]
            own.go_on(server, tools=[GEMINI.tool])

        kinds = [item["type"] for item in items_in(only(sessions))]
        assert kinds == ["message", "reasoning", "function_call", "function_call_output", "message"]

    def test_two_threads_have_two_sessions(self, server: ModelServer, call: Call) -> None:
        own = call()
        barrier = threading.Barrier(2, timeout=10)

        def converse(name: str) -> None:
            context = [own.prompt(f"{name} 0")]
            for number in range(1, 4):
                barrier.wait()
                body = own.send(own.make(context)).json()
                context += [*CHAT.answer(body), own.prompt(f"{name} {number}")]

        with watch(own.client) as sessions, ThreadPoolExecutor(2) as pool:
            list(pool.map(converse, ["one", "two"]))

        prompts = {tuple(texts_in(path, "user")) for path in sessions.sessions.values()}
        assert prompts == {tuple(f"{name} {number}" for number in range(3)) for name in ("one", "two")}
        assert sessions.problems == {}

    def test_the_caller_may_give_a_recorder(self, server: ModelServer, call: Call, recorder: Recorder) -> None:
        own = call()
        found: list[Recorder] = []
        with watch(own.client, recorder, on_session=found.append):
            own.ask("Hello", server)
        recorder.user_message("Still open")
        recorder.close()

        assert found == []
        assert texts_in(recorder.path, "user") == ["Hello", "Still open"]
        assert texts_in(recorder.path, "assistant") == [TEXT]

    def test_another_object_is_refused(self) -> None:
        with pytest.raises(TypeError, match="no client of httpx or httpx2"):
            watch(object())


def without_ids(value: Any) -> Any:
    """
    Return items without the ids that the server counts up.
    """
    if isinstance(value, list):
        return [without_ids(part) for part in value]
    if isinstance(value, dict):
        return {key: without_ids(part) for key, part in value.items() if key not in ("id", "call_id")}
    return value
