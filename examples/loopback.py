"""
A model server on the loopback interface, for examples and tests: no key, no network, no dependency.

It speaks the Responses API, Chat Completions, Messages (Anthropic) and Gemini, plain and streamed, keeps the requests,
and answers any number of clients at once:

    with ModelServer() as server:
        client = OpenAI(base_url=f"{server.url}/v1", api_key="none")

Unless its answers are given, it calls the first tool that a request offers, once a conversation, and then answers with
a text. `python examples/loopback.py [PORT]` serves until it is interrupted.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any

from loopback_forms import Answer, Form, error_body, is_model_path, is_streamed, make_form

__all__ = ["TEXT", "Answer", "ModelServer", "default_answer"]

Json = dict[str, Any]

TEXT = "It is sunny in Paris, 21 °C."
REASONING = "I need the tool to answer this."
_STRING = "Paris"
_SAMPLES: Json = {"integer": 1, "number": 1.5, "boolean": True, "null": None}
_SCHEMA_KEYS = ("parameters", "input_schema", "parametersJsonSchema", "parameters_json_schema")
_DEPTH_MAX = 20  # of a schema that contains itself


class ModelServer:
    """
    Server of the four APIs, on a port of its own until it is closed. Its methods may be called from any thread.

    Args:
        replies: Answers to the next requests, in order, after which `default_answer` answers; or a function that
            returns the answer to a path and a body, and that several threads may call.
        port: Port; 0 means any free one.

    Attributes:
        requests: Path and body of each request so far, in the order in which they came.
        replies: Body of the answer to each of these requests, as the API sends it without a stream. The answer to a
            stream that breaks is here as a whole.
    """

    def __init__(self, replies: Iterable[Answer] | Callable[[str, Json], Answer] = (), *, port: int = 0) -> None:
        self.requests: list[tuple[str, Json]] = []
        self.replies: list[Json] = []
        self._find_answer = replies if callable(replies) else None
        self._script: Iterator[Answer] = iter(()) if callable(replies) else iter(list(replies))
        self._lock = Lock()  # of the lists and the script
        self._closing = Event()
        self._server = _Server(("127.0.0.1", port), self._handler())
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), name="model-server", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """
        The URL without a path; clients of OpenAI's APIs need `/v1` after it.
        """
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> ModelServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """
        Close all connections, and wait for the threads of the server. Again: nothing happens.
        """
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.close_connections()
        self._server.server_close()

    def _respond(self, path: str, body: Json) -> tuple[Answer, Form]:
        """
        Choose the answer to a request, and keep both.
        """
        is_model = is_model_path(path)
        chosen = self._find_answer(path, body) if is_model and self._find_answer else None
        with self._lock:
            number = len(self.requests) + 1
            if is_model:
                answer = chosen or next(self._script, None) or default_answer(body)
                form = make_form(path, answer, body, number)
            else:
                answer, form = _other_answer(path, number)
            self.requests.append((path, body))
            self.replies.append(form.body)
        return answer, form

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1  # one write for the header and the body

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                self._send(200, {"object": "list", "data": []})

            def do_POST(self) -> None:
                try:
                    body = json.loads(self._read_body())
                except ValueError:
                    body = None
                if not isinstance(body, dict):
                    self._send(400, error_body(self.path, 400, "the body is not a JSON object"))
                    return
                answer, form = server._respond(self.path, body)
                server._closing.wait(answer.delay)
                is_broken = answer.cut_after is not None and answer.status == 200
                with suppress(ConnectionError):
                    if form.events and is_streamed(self.path, body):
                        self._send_events(form, answer.pause, is_broken)
                    elif not is_broken:
                        self._send(answer.status, form.body)
                self.close_connection |= is_broken

            def _read_body(self) -> bytes:
                if self.headers["transfer-encoding"] != "chunked":
                    return self.rfile.read(int(self.headers["content-length"] or 0))
                chunks = []
                while size := int(self.rfile.readline(), 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(chunks)

            def _send_header(self, status: int, kind: str, **fields: str) -> None:
                self.send_response(status)
                # Clients that try again do so at once.
                names = {"content-type": kind, "request-id": "req_1", "x-request-id": "req_1", "retry-after-ms": "1"}
                for name, value in {**names, **fields}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()

            def _send(self, status: int, body: Json) -> None:
                text = json.dumps(body).encode()
                self._send_header(status, "application/json", content_length=str(len(text)))
                self.wfile.write(text)

            def _send_events(self, form: Form, pause: float, is_broken: bool) -> None:
                self._send_header(200, "text/event-stream; charset=utf-8", transfer_encoding="chunked")
                for name, event in form.events:
                    server._closing.wait(pause)
                    text = event if isinstance(event, str) else json.dumps(event)
                    sent = ((f"event: {name}\n" if name else "") + f"data: {text}\n\n").encode()
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(sent), sent))
                    self.wfile.flush()
                # A broken stream has no last chunk, so that a client sees the difference.
                self.wfile.write(b"" if is_broken else b"0\r\n\r\n")
                self.wfile.flush()

        return Handler


class _Server(ThreadingHTTPServer):
    """
    Server with a thread for each connection, that can close the connections.
    """

    daemon_threads = False  # so that server_close waits for them
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(*args)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that goes away is usual.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def close_connections(self) -> None:
        """
        Close the connections; a thread that reads from one ends.
        """
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _other_answer(path: str, number: int) -> tuple[Answer, Form]:
    """
    Return the answer to a request that is not for a model's answer.
    """
    name = path.partition("?")[0]
    if name.endswith("/messages/count_tokens"):
        return Answer(), Form({"input_tokens": 120})
    if name.endswith("/conversations"):
        return Answer(), Form({"id": f"conv_{number:04}", "object": "conversation", "created_at": 0, "metadata": {}})
    return Answer(status=404), make_form(path, Answer(), {}, number)


def default_answer(request: Json) -> Answer:
    """
    Return a call of a tool, if the request offers one and has no output of a tool; otherwise a text.

    A request that demands a call gets one also then: of the tool it names, or of the last one, by which frameworks
    take the final answer.
    """
    tools = list(_tools_in(request))
    demand, name = _demand_in(request)
    has_output = _has_output(request)
    if tools and demand != "none" and (name or demand == "required" or not has_output):
        tool, schema = next((tool for tool in tools if tool[0] == name), tools[-1 if has_output else 0])
        arguments = _sample({"type": "object", **schema}, schema, TEXT if has_output else _STRING)
        return Answer(calls=[(tool, arguments)], reasoning=REASONING)
    form = _schema_of_text(request)
    return Answer(text=TEXT if form is None else json.dumps(_sample(form, form, _STRING)))


def _tools_in(request: Json) -> Iterator[tuple[str, Json]]:
    """
    Yield the name and the schema of each tool that the client runs.
    """
    for group in request.get("tools") or ():
        kind = group.get("type", "function")
        if kind == "custom" and "input_schema" not in group:
            yield (group.get("custom") or group)["name"], {"type": "string"}
        elif kind in ("function", "custom"):
            for tool in group.get("functionDeclarations") or [group.get("function") or group]:
                schemas = [tool.get(key) for key in _SCHEMA_KEYS]
                if "name" in tool:
                    yield tool["name"], next(filter(None, schemas), {})


def _demand_in(request: Json) -> tuple[str, str | None]:
    """
    Return whether a call is `required`, `auto` or `none`, and the name of the tool that must be called.
    """
    choice = request.get("tool_choice") or (request.get("toolConfig") or {}).get("functionCallingConfig") or {}
    if isinstance(choice, str):
        return choice, None
    names = [choice.get("name") or (choice.get("function") or {}).get("name"), *choice.get("allowedFunctionNames", ())]
    mode = str(choice.get("mode") or choice.get("type") or "auto").lower()
    return "required" if mode == "any" else mode, next(filter(None, names), None)


def _has_output(request: Json) -> bool:
    """
    Return whether the context of a request has the output of a tool, also as a text.
    """
    messages = request.get("input") or request.get("messages") or request.get("contents") or ()
    for message in messages if isinstance(messages, list) else ():
        if str(message.get("type")).endswith("_output") or message.get("role") in ("tool", "function"):
            return True
        content = message.get("content") or message.get("parts") or ()
        for part in [{"text": content}] if isinstance(content, str) else content:
            if part.get("type") == "tool_result" or "functionResponse" in part:
                return True
            if message.get("role") == "user" and str(part.get("text")).startswith("Observation:"):
                return True
    return False


def _schema_of_text(request: Json) -> Json | None:
    """
    Return the schema that the text of the answer must fit.
    """
    paths = ["text format schema", "response_format json_schema schema", "output_config format schema"]
    paths += ["output_format schema", "generationConfig responseSchema", "generationConfig responseJsonSchema"]
    for path in paths:
        found: Any = request
        for name in path.split():
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, dict):
            return found
    return None


def _sample(schema: Any, root: Json, text: str, depth: int = 0) -> Any:
    """
    Return a value that fits a JSON schema.
    """
    if not isinstance(schema, dict) or depth > _DEPTH_MAX:
        return None
    if "$ref" in schema:
        found: Any = root
        for name in schema["$ref"].split("/")[1:]:
            found = found.get(name, {})
        return _sample(found, root, text, depth + 1)
    for name in ("enum", "examples"):
        if schema.get(name):
            return schema[name][0]
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name):
            return _sample(schema[name][0], root, text, depth + 1)
    kind = schema.get("type") or ("object" if "properties" in schema else "string")
    kind = str(kind[0] if isinstance(kind, list) else kind).lower()
    if kind == "object":
        fields = schema.get("properties") or {}
        return {name: _sample(field, root, text, depth + 1) for name, field in fields.items()}
    if kind == "array":
        return [_sample(schema.get("items", {}), root, text, depth + 1)]
    return _SAMPLES.get(kind, text)


def main() -> None:
    """
    Serve until the program is interrupted.
    """
    with ModelServer(port=int(sys.argv[1]) if len(sys.argv) > 1 else 0) as server, suppress(KeyboardInterrupt):
        print(server.url, flush=True)
        Event().wait()


if __name__ == "__main__":
    main()
