"""
Messages of Pydantic AI as items: requests as its models get them, and answers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from pydantic_ai.messages import InstructionPart
from pydantic_core import to_jsonable_python

from rollout.dialects import (
    Item,
    Reply,
    Request,
    make_call,
    make_message,
    make_output,
    make_reasoning,
    usage_of,
)

__all__ = ["output_of", "read_reply", "read_request"]

_OWN = "pydantic_ai"
# The lines of a session have times of their own.
_IGNORED = frozenset({"part_kind", "kind", "timestamp"})
# Fields of native tools and settings that contain keys. A timeout may be an object of the HTTP client.
_SECRET = frozenset({"authorization_token", "headers", "extra_headers"})


def read_request(model: Any, messages: Sequence[Any], settings: Any, parameters: Any) -> Request:
    """
    Return a request as the model gets it.
    """
    effort = next((settings[key] for key in sorted(settings) if key.endswith("_effort") and settings[key]), None)
    thinking = settings.get("thinking")
    tools = [_tool(tool) for tool in (*parameters.function_tools, *parameters.output_tools)]
    tools += [{"type": tool.kind, **_fields(tool)} for tool in parameters.native_tools]
    stated = {"provider": model.system, **_fields(settings), "output_object": _fields(parameters.output_object or {})}
    if parameters.output_mode != "text":
        stated["output_mode"] = parameters.output_mode
    return Request(
        items=[item for message in messages for item in _items(message)],
        model=model.model_name,
        effort=effort or (thinking if isinstance(thinking, str) else None),
        instructions=_instructions(messages, parameters),
        tools=tools or None,
        settings={key: value for key, value in stated.items() if value not in (None, {})},
    )


def _instructions(messages: Sequence[Any], parameters: Any) -> str | None:
    if parameters.instruction_parts:
        text: str | None = InstructionPart.join(InstructionPart.sorted(parameters.instruction_parts))
        return text
    return next((own.instructions for own in reversed(messages) if own.kind == "request" and own.instructions), None)


def _tool(tool: Any) -> Item:
    definition = {"type": "function", "name": tool.name, "description": tool.description}
    definition |= {"parameters": tool.parameters_json_schema, "strict": tool.strict}
    if tool.kind != "function":
        definition["kind"] = tool.kind
    return {key: value for key, value in definition.items() if value is not None}


def read_reply(response: Any) -> Reply:
    """
    Return an answer; the attempts of other models before it are its error.
    """
    failed = [f"{attempt.model_name}: {attempt.error or attempt.outcome}" for attempt in response.failed_attempts or ()]
    return Reply(
        items=_items(response),
        usage=usage_of(response.usage) if response.usage.has_values() else None,
        id=response.provider_response_id,
        model=response.model_name,
        error="; ".join(failed) or None,
        stop=response.finish_reason,
    )


def output_of(part: Any) -> Any:
    """
    Return the output in a tool's return: text, or parts if it has files.
    """
    text = part.model_response_str(wrap_if_error=False)
    if not part.files:
        return text
    return [*([{"type": "input_text", "text": text}] if text else []), *map(_content, part.files)]


def _items(message: Any) -> list[Item]:
    return [_READERS.get(part.part_kind, _own)(part) for part in message.parts]


def _system(part: Any) -> Item:
    return make_message("system", part.content, **_extra(part, "content"))


def _user(part: Any) -> Item:
    content = part.content if isinstance(part.content, str) else [_content(own) for own in part.content]
    return make_message("user", content, **_extra(part, "content"))


def _output(part: Any) -> Item:
    return make_output(part.tool_call_id, output_of(part), **_extra(part, "content", "tool_call_id", "tool_name"))


def _retry(part: Any) -> Item:
    text = part.model_response()
    if getattr(part, "tool_name", None):
        return make_output(part.tool_call_id, text, **_extra(part, "content", "tool_call_id", "tool_name"))
    return make_message("user", text, **_extra(part, "content", "tool_call_id"))


def _text(part: Any) -> Item:
    return make_message("assistant", part.content, **_id(part), **_extra(part, "content", "id"))


def _thinking(part: Any) -> Item:
    return make_reasoning(part.content, part.signature, **_id(part), **_extra(part, "content", "id", "signature"))


def _call(part: Any) -> Item:
    known = ("tool_name", "args", "tool_call_id", "id")
    return make_call(part.tool_name, part.args, part.tool_call_id, **_id(part), **_extra(part, *known))


def _file(part: Any) -> Item:
    if not part.content.is_image:
        return _own(part)
    image = {"type": "image_generation_call", "status": "completed", "result": part.content.base64}
    return {**image, **_id(part), **_extra(part, "content", "id")}


def _content(part: Any) -> Any:
    """
    Return a part of a prompt or an output.
    """
    if isinstance(part, str):
        return {"type": "input_text", "text": part}
    if part.kind in ("text-content", "structured-content"):
        return {"type": "input_text", "text": part.content, **_extra(part, "content")}
    if part.kind == "image-url":
        return {"type": "input_image", "image_url": part.url, **_extra(part, "url")}
    if part.kind.endswith("-url"):
        return {"type": "input_file", "file_url": part.url, _OWN: {"kind": part.kind, **_fields(part, "url")}}
    if part.kind == "binary":
        kind, key = ("input_image", "image_url") if part.is_image else ("input_file", "file_data")
        return {"type": kind, key: part.data_uri, **_extra(part, "data", "media_type")}
    if part.kind == "uploaded-file":
        return {"type": "input_file", "file_id": part.file_id, **_extra(part, "file_id")}
    return {"type": _own_type(part.kind), **_fields(part)}


def _own(part: Any) -> Item:
    """
    Return an item of its own for a part that the Responses API has no form for.
    """
    return {"type": _own_type(part.part_kind), **_fields(part)}


def _own_type(kind: str) -> str:
    return f"{_OWN}_{kind.replace('-', '_')}"


def _id(part: Any) -> Item:
    return {"id": part.id} if part.id else {}


def _extra(part: Any, *known: str) -> Item:
    """
    Return the fields of a part that were set and are not known, under a key of their own.
    """
    defaults = {own.name: own.default for own in dataclasses.fields(part)}
    fields = {key: held for key, held in _fields(part, *known).items() if key in defaults and held != defaults[key]}
    return {_OWN: fields} if fields else {}


def _fields(part: Any, *known: str) -> Item:
    left_out = {*_IGNORED, *_SECRET, *known}
    fields: Item = to_jsonable_python(part, exclude=left_out, bytes_mode="base64", fallback=str)
    # The serializers of some classes return also what is left out.
    return {key: value for key, value in fields.items() if key not in left_out and value is not None}


_READERS: dict[str, Callable[[Any], Item]] = {
    "system-prompt": _system,
    "user-prompt": _user,
    "tool-return": _output,
    "retry-prompt": _retry,
    "retry-feedback": _retry,
    "text": _text,
    "thinking": _thinking,
    "tool-call": _call,
    "file": _file,
}
