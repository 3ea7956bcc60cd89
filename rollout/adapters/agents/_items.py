"""
Requests, answers and calls of the OpenAI Agents SDK as items.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, cast

import attrs
from agents import Model
from agents.models.fake_id import FAKE_RESPONSES_ID

from rollout.dialects import Dialect, Item, Reply, Request, dialect_for, usage_of
from rollout.schema import snapshot

__all__ = ["RESPONSES", "dumped", "error_text", "is_call_of", "reply_in", "request_in", "request_of"]

RESPONSES = cast("Dialect", dialect_for("/v1/responses"))
"""The dialect of the SDK's items."""

_CHAT = cast("Dialect", dialect_for("/v1/chat/completions"))
_MODEL_METHODS = ("get_response", "stream_response")


def dumped(value: Any) -> Any:
    """
    Return an object of the SDK as plain values; any other as text.
    """
    dump = getattr(value, "model_dump", None)
    return str(value) if dump is None else dump(mode="json", exclude_unset=True, warnings=False)


def request_of(body: dict[str, Any]) -> Request:
    """
    Return the request of a body in the SDK's form, without the id that it gives to items that have none.
    """
    request = RESPONSES.read_request(snapshot(body, default=dumped))
    items = [
        {key: value for key, value in item.items() if key != "id" or value != FAKE_RESPONSES_ID}
        for item in request.items
    ]
    return attrs.evolve(request, items=items)


def request_in(data: Any) -> Request | None:
    """
    Return the request of a span that begins; None if it is none, or if tracing must not show its contents.
    """
    if data.type not in ("response", "generation"):
        return None
    call = _model_call()
    if call is not None:
        return _request_of_model(call) if call["tracing"].include_data() else None
    if data.type == "generation" and data.input:
        body = {**(data.model_config or {}), "model": data.model, "messages": list(data.input)}
        return _CHAT.read_request(snapshot(body, default=dumped))
    return None


def _model_call() -> Mapping[str, Any] | None:
    """
    Return the arguments of the method of a `Model` that begins the span.

    The SDK sets the input of a span after the answer, and for a failed request never (0.24). The names of these
    arguments are those of the public class `agents.Model`.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name in _MODEL_METHODS and isinstance(frame.f_locals.get("self"), Model):
            return frame.f_locals
        frame = frame.f_back
    return None


def _request_of_model(call: Mapping[str, Any]) -> Request:
    schema = call["output_schema"]
    is_text = schema is None or schema.is_plain_text()
    body = {
        # These have no headers and no further arguments, in which a key may be.
        **call["model_settings"].to_traceable_dict(),
        "model": getattr(call["self"], "model", None),
        "instructions": call["system_instructions"],
        "tools": [_definition(tool) for tool in (*call["tools"], *call["handoffs"])],
        "text": None if is_text else {"format": {"type": "json_schema", "schema": schema.json_schema()}},
        "previous_response_id": call.get("previous_response_id"),
        "conversation": call.get("conversation_id"),
        "prompt": call.get("prompt"),
        "input": call["input"],
    }
    return request_of({key: value for key, value in body.items() if value is not None})


def _definition(tool: Any) -> Item:
    """
    Return the definition of a tool or a hand-off; of a tool that the provider runs, only its name.
    """
    for prefix, schema in (("", "params_json_schema"), ("tool_", "input_json_schema")):
        if hasattr(tool, schema):
            texts = {name: getattr(tool, prefix + name) for name in ("name", "description")}
            return {"type": "function", **texts, "parameters": getattr(tool, schema)}
    return {"type": tool.name}


def reply_in(data: Any) -> Reply | None:
    """
    Return the answer that a finished span contains, or None if it contains no answer.
    """
    if data.type == "response":
        return None if data.response is None else RESPONSES.read_reply(dumped(data.response))
    if not data.output:
        return None
    first = data.output[0]
    if first.get("object") == "response":
        # A stream of Chat Completions, which the SDK puts together in the form of its own items.
        output = [{key: value for key, value in item.items() if value is not None} for item in first["output"]]
        items = request_of({"input": output}).items
    else:
        messages = [{key: value for key, value in message.items() if value is not None} for message in data.output]
        items = _CHAT.read_reply({"choices": [{"message": message} for message in messages]}).items
    usage = usage_of(data.usage)
    # Of an answer without usage, the SDK states that it has no tokens.
    return Reply(items=items, usage=usage if usage and usage["total_tokens"] else None, model=data.model)


def is_call_of(call: Item, tool: Any) -> bool:
    """
    Return whether the span of a tool may be that of a call.
    """
    name, arguments = call.get("name"), call.get("arguments")
    if name is None:
        return str(tool.name).startswith(str(call.get("type")).removesuffix("_call"))
    names = (name, f"{call.get('namespace')}.{name}")
    return tool.name in names and (arguments is None or tool.input is None or tool.input == arguments)


def error_text(error: Mapping[str, Any]) -> str:
    """
    Return the text of the error of a span.
    """
    details = error.get("data") or {}
    text = details.get("error") or ", ".join(f"{key}: {value}" for key, value in details.items())
    return f"{error['message']}: {text}" if text else str(error["message"])
