"""
The messages, answers and steps of smolagents as items.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import uuid4

from attrs import define, evolve, field

from rollout.codec import decode_json
from rollout.dialects import Dialect, Item, Reply, Request, dialect_for, make_call, make_output, text_of, usage_of

__all__ = ["CHAT", "Call", "calls_of", "code_call", "message_key", "outputs_of", "read_reply", "read_request"]

CHAT = cast("Dialect", dialect_for("chat/completions"))
"""The dialect in whose form smolagents keeps messages and answers."""

# The name that smolagents gives the execution of an agent's code.
_CODE_TOOL = "python_interpreter"
# What smolagents sends for its own roles.
_ROLES = {"tool-call": "assistant", "tool-response": "user"}
_OBSERVATION = "Observation:\n"
# Settings of a model that are keys or headers; "max_tokens" is none.
_SECRET = re.compile(r"key|secret|token$|password|credential|header|auth", re.IGNORECASE)


@define(eq=False)
class Call:
    """
    A call in an answer, and what has happened to it.

    Attributes:
        call_id: Id of the call in the session.
        name: Name of the tool.
        arguments: The object that the agent gives the tool.
        is_begun: Whether the tool was called.
        seconds: Duration of the tool.
        output: Output of the tool as the agent shows it to the model; None before the end.
        is_failed: Whether the tool raised an error.
    """

    call_id: str
    name: str
    arguments: Any = None
    is_begun: bool = field(default=False, init=False)
    seconds: float | None = field(default=None, init=False)
    output: str | None = field(default=None, init=False)
    is_failed: bool = field(default=False, init=False)


def message_key(message: Any) -> tuple[Any, ...]:
    """
    Return a key that two messages share if the model sees the same: the role, the text, the images.
    """
    plain = _plain(message)
    parts = plain["content"] if isinstance(plain["content"], list) else ()
    # The pixels: a PNG takes a hundred times longer, and an agent sends each image with every request.
    images = [hash(part["image"].tobytes()) for part in parts if _is_image(part)]
    return plain["role"], text_of(plain["content"]), *images


def read_request(model: Any, messages: Sequence[Any], kwargs: Mapping[str, Any]) -> Request:
    """
    Return a request as items and settings.

    Args:
        model: The model.
        messages: Messages of smolagents.
        kwargs: The other arguments of the model's method.
    """
    from smolagents.models import get_tool_json_schema  # noqa: PLC0415 -- the framework is imported when it is used

    given = dict(kwargs)
    tools, stop = given.pop("tools_to_call_from", None), given.pop("stop_sequences", None)
    settings = {"stop": stop, **given, **(getattr(model, "kwargs", None) or {})}
    return CHAT.read_request(
        {
            **{key: value for key, value in settings.items() if value is not None and not _SECRET.search(key)},
            "model": getattr(model, "model_id", None),
            "messages": [_chat_message(message) for message in messages],
            **({"tools": [get_tool_json_schema(tool) for tool in tools]} if tools else {}),
        }
    )


def read_reply(message: Any) -> Reply:
    """
    Return the answer in a message: as the API sent it if the message has that, else what the message itself states.
    """
    raw = getattr(message, "raw", None)
    dump = getattr(raw, "model_dump", None)
    body = dump(mode="json", exclude_unset=True, warnings=False) if callable(dump) else raw
    if isinstance(body, Mapping) and body.get("choices"):
        return CHAT.read_reply(body)
    calls = [
        {"id": call.id, "function": {"name": call.function.name, "arguments": call.function.arguments}}
        for call in getattr(message, "tool_calls", None) or ()
    ]
    reply = CHAT.read_reply({"choices": [{"message": {**_chat_message(message), "tool_calls": calls}}]})
    usage = usage_of(getattr(message, "token_usage", None))
    # smolagents counts an answer without usage as one of no tokens.
    return evolve(reply, usage=usage if usage and usage["total_tokens"] else None)


def calls_of(reply: Reply) -> list[Call]:
    """
    Return the calls in the choice that the agent reads, which is the first.
    """
    found = [item for item in reply.items if item["type"] == "function_call" and not item.get("choice")]
    return [Call(item["call_id"], item["name"]) for item in found]


def code_call(agent: Any, reply: Reply) -> Item | None:
    """
    Return the code in an answer as a call, found in the same way as a CodeAgent does. Return None if there is no code.
    """
    from smolagents.local_python_executor import fix_final_answer_code  # noqa: PLC0415
    from smolagents.utils import extract_code_from_text, parse_code_blobs  # noqa: PLC0415

    messages = [item for item in reply.items if item["type"] == "message" and not item.get("choice")]
    text, tags = "".join(text_of(item["content"]) for item in messages), agent.code_block_tags
    try:
        if agent._use_structured_outputs_internally:
            code = decode_json(text)["code"]
            code = extract_code_from_text(code, tags) or code
        else:
            code = parse_code_blobs(text if text.strip().endswith(tags[1]) else text + tags[1], tags)
    except Exception:  # noqa: BLE001 -- the agent meets the same error, and tells the model
        return None
    # The agent's own id is its number of steps, which agents and tasks share.
    return make_call(_CODE_TOOL, {"code": fix_final_answer_code(code)}, f"call_{uuid4().hex}")


def outputs_of(step: Any, calls: Sequence[Call]) -> tuple[list[Item], list[tuple[Any, ...]]]:
    """
    Return the outputs of the calls of a step, and the keys of the messages by which the agent shows the step to the
    model, as far as the answer and the outputs contain these.

    Args:
        step: A step that has ended.
        calls: The calls in its answer.
    """
    shown: list[tuple[Any, ...]] = []
    texts = []
    failed = next((call for call in calls if call.is_failed), None)
    joined = "\n".join(call.output or "" for call in sorted(calls, key=lambda call: call.call_id)).rstrip("\n")
    for message in step.to_messages():
        key = message_key(message)
        role, text = key[:2]
        is_error = not text.startswith(_OBSERVATION)
        if role == "assistant" or (role == "tool-call" and calls):
            shown.append(key)
        elif role == "tool-response" and len(calls) == 1:
            shown.append(key)
            texts.append(text.removeprefix(_OBSERVATION))
        elif role == "tool-response" and calls and is_error and failed:
            shown.append(key)
            failed.output = text
        elif role == "tool-response" and calls and text == _OBSERVATION + joined:
            shown.append(key)
    if texts:
        calls[0].output = "\n".join(texts)
    return [make_output(call.call_id, call.output) for call in calls if call.output is not None], shown


def _plain(message: Any) -> dict[str, Any]:
    plain = dict(message) if isinstance(message, Mapping) else {"role": message.role, "content": message.content}
    role = plain.get("role")
    return {**plain, "role": getattr(role, "value", role), "content": plain.get("content")}


def _chat_message(message: Any) -> dict[str, Any]:
    plain = _plain(message)
    content = plain["content"]
    if isinstance(content, list):
        content = [_chat_image(part) if _is_image(part) else part for part in content]
    return {**plain, "role": _ROLES.get(plain["role"], plain["role"]), "content": content}


def _is_image(part: Any) -> bool:
    return isinstance(part, Mapping) and hasattr(part.get("image"), "tobytes")


def _chat_image(part: Mapping[str, Any]) -> dict[str, Any]:
    from smolagents.utils import encode_image_base64, make_image_url  # noqa: PLC0415

    others = {key: value for key, value in part.items() if key != "image"}
    return {**others, "type": "image_url", "image_url": {"url": make_image_url(encode_image_base64(part["image"]))}}
