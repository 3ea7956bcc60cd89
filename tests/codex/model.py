"""
A model server on the loopback interface, with scripted answers. It keeps the requests.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

Item = dict[str, Any]


class Model:
    """
    A Responses API with scripted answers.

    Attributes:
        received: Requests so far.
        answers: Items to return for each of the next requests. Without any, the answer is a message.
    """

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.answers: list[Sequence[Item]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def answer(self, request: dict[str, Any]) -> bytes:
        self.received.append(request)
        number = len(self.received)
        items = self.answers.pop(0) if self.answers else [assistant_message(f"answer {number}")]
        usage = {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 10},
            "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 5},
            "total_tokens": 120,
        }
        events: list[Item] = [{"type": "response.created", "response": {"id": f"resp_{number}"}}]
        events += [{"type": "response.output_item.done", "item": item} for item in items]
        events += [{"type": "response.completed", "response": {"id": f"resp_{number}", "usage": usage}}]
        return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        model = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:  # the list of models
                self._reply(b'{"models": [], "data": []}', "application/json")

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self._reply(model.answer(request), "text/event-stream")

            def _reply(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                # An interrupted turn does not wait for its answer.
                with suppress(ConnectionError):
                    self.wfile.write(body)

        return Handler


def assistant_message(text: str) -> Item:
    return {"type": "message", "id": "msg_x", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def reasoning(text: str) -> Item:
    summary = [{"type": "summary_text", "text": text}]
    return {"type": "reasoning", "id": "rs_x", "summary": summary, "encrypted_content": "gAAA"}


def function_call(name: str, arguments: Item, call_id: str) -> Item:
    return {
        "type": "function_call",
        "id": "fc_x",
        "name": name,
        "arguments": json.dumps(arguments),
        "call_id": call_id,
    }


def shell_call(command: str, call_id: str) -> Item:
    action = {"type": "exec", "command": ["sh", "-c", command], "timeout_ms": 5000}
    return {"type": "local_shell_call", "id": "ls_x", "call_id": call_id, "status": "completed", "action": action}
