"""
The three APIs by their real SDKs, as one interface: prompts, requests in all four ways, and what a server exchanged.
"""

from __future__ import annotations

import asyncio
import importlib
import ssl
import sys
from pathlib import Path
from typing import Any

from rollout.adapters._hook import Hook
from rollout.dialects import dialect_for
from tests.recording.helpers import lines_of

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "examples"))

from loopback import Answer, ModelServer

__all__ = [
    "APIS",
    "KEY",
    "WAYS",
    "Agent",
    "Answer",
    "Api",
    "ModelServer",
    "events_in",
    "items_in",
    "only",
    "seen_items",
]

Json = dict[str, Any]

KEY = "sk-very-secret-key"
WAYS = [(is_streamed, is_async) for is_streamed in (False, True) for is_async in (False, True)]

# A client reads the certificates of the system otherwise, which takes longer than most tests.
_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_TOOL = {"name": "get_weather", "description": "Weather of a city"}


class Api:
    """
    One API: its SDK, its path, and the forms of what a client sends.
    """

    def __init__(self, name: str, package: str, path: str, tool: Json) -> None:
        self.name, self.package, self.path, self.tool = name, package, path, tool
        dialect = dialect_for(path)
        assert dialect is not None
        self.dialect = dialect

    def __repr__(self) -> str:
        return self.name

    @property
    def client_path(self) -> str:
        """The path as a caller gives it to the client of the SDK, whose URL has the rest."""
        return self.path.removeprefix("/v1") if self.package == "openai" else self.path

    def class_of(self, *, is_async: bool = False) -> Any:
        name = {"openai": "OpenAI", "anthropic": "Anthropic"}[self.package]
        return getattr(importlib.import_module(self.package), f"Async{name}" if is_async else name)

    def client(self, server: ModelServer, *, is_async: bool = False, **settings: Any) -> Any:
        url = server.url if self.package == "anthropic" else f"{server.url}/v1"
        make = getattr(importlib.import_module(self.package), f"Default{'Async' if is_async else ''}HttpxClient")
        settings = {"max_retries": 0, "http_client": make(verify=_TLS), **settings}
        return self.class_of(is_async=is_async)(base_url=url, api_key=KEY, **settings)

    def resource(self, client: Any) -> Any:
        return {"chat": lambda: client.chat.completions, "messages": lambda: client.messages}.get(
            self.name, lambda: client.responses
        )()

    def arguments(self, context: list[Json], **more: Any) -> Json:
        key = "input" if self.name == "responses" else "messages"
        limit = {"max_tokens": 100} if self.name == "messages" else {}
        usage = {"stream_options": {"include_usage": True}} if self.name == "chat" and more.get("stream") else {}
        return {"model": "m", **limit, **usage, key: context, **more}

    def output(self, call_id: str, text: str) -> Json:
        if self.name == "responses":
            return {"type": "function_call_output", "call_id": call_id, "output": text}
        if self.name == "chat":
            return {"role": "tool", "tool_call_id": call_id, "content": text}
        return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call_id, "content": text}]}

    def answer(self, body: Json) -> list[Json]:
        """
        Return what a client appends to its context after an answer.
        """
        if self.name == "responses":
            return [*body["output"]]
        if self.name == "chat":
            message = body["choices"][0]["message"]
            return [{key: value for key, value in message.items() if value and key != "reasoning_content"}]
        return [{"role": "assistant", "content": body["content"]}]

    def answer_objects(self, answer: Any) -> list[Any]:
        """
        Return what most programs append: the SDK's own objects.
        """
        if self.name == "responses":
            return [*answer.output]
        if self.name == "chat":
            return [answer.choices[0].message]
        return [{"role": "assistant", "content": answer.content}]

    def call_id(self, body: Json) -> str:
        calls = [item for item in self.dialect.read_reply(body).items if item["type"] == "function_call"]
        return str(calls[0]["call_id"])


APIS = [
    Api("responses", "openai", "/v1/responses", {"type": "function", **_TOOL, "parameters": _SCHEMA, "strict": False}),
    Api("chat", "openai", "/v1/chat/completions", {"type": "function", "function": {**_TOOL, "parameters": _SCHEMA}}),
    Api("messages", "anthropic", "/v1/messages", {**_TOOL, "input_schema": _SCHEMA}),
]


class Agent:
    """
    A client in one of the four ways, with its context.
    """

    def __init__(
        self, api: Api, server: ModelServer, *, is_streamed: bool = False, is_async: bool = False, **settings: Any
    ) -> None:
        self.api, self.server, self.is_streamed, self.is_async = api, server, is_streamed, is_async
        self.loop = asyncio.new_event_loop() if is_async else None
        self.client = api.client(server, is_async=is_async, **settings)
        self.context: list[Json] = []

    def close(self) -> None:
        """
        Close the client. Again: nothing happens.
        """
        if self.loop is None:
            self.client.close()
        elif not self.loop.is_closed():
            self.loop.run_until_complete(self.client.close())
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()

    def send(self, context: list[Json], client: Any = None, **more: Any) -> Any:
        """
        Send a request, and read its stream to the end.
        """
        resource = self.api.resource(client or self.client)
        arguments = self.api.arguments(context, **({"stream": True} if self.is_streamed else {}), **more)
        if self.loop is None:
            result = resource.create(**arguments)
            return list(result) if self.is_streamed else result

        async def send() -> Any:
            result = await resource.create(**arguments)
            return [event async for event in result] if self.is_streamed else result

        return self.loop.run_until_complete(send())

    def ask(self, text: str, **more: Any) -> Json:
        """
        Send a prompt in the context, note the answer in it, and return the answer's body.
        """
        self.context.append({"role": "user", "content": text})
        return self.go_on(**more)

    def go_on(self, **more: Any) -> Json:
        self.send(self.context, **more)
        body: Json = self.server.replies[-1]
        self.context += self.api.answer(body)
        return body


def items_in(path: Path) -> list[Json]:
    """
    Return the items of the Responses API in a session.
    """
    return [line["payload"] for line in lines_of(path) if line["type"] == "response_item"]


def events_in(path: Path, kind: str) -> list[Json]:
    """
    Return the events of a kind, or the payloads of the lines of a kind, in a session.
    """
    lines = lines_of(path)
    found = [line["payload"] for line in lines if line["type"] == kind]
    return found + [line["payload"] for line in lines if line["payload"].get("type") == kind]


def seen_items(api: Api, server: ModelServer, at: int = 0) -> tuple[list[Json], list[Json]]:
    """
    Return the items that the server received in a request, and those that it sent.
    """
    _, body = server.requests[at]
    return api.dialect.read_request(body).items, api.dialect.read_reply(server.replies[at]).items


def only(sessions: Hook) -> Path:
    """
    Return the file of the only session.
    """
    (path,) = sessions.sessions.values()
    return path
