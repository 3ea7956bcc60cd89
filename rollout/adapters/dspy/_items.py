"""
Requests and answers of DSPy's models as items.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from attrs import evolve
from dspy.clients.backend_selection import CLIENT_KEYS
from dspy.clients.base_lm import GLOBAL_HISTORY
from dspy.clients.call_result import legacy_output
from dspy.clients.legacy_outputs import plain
from dspy.clients.lm15_boundary import request_kwargs
from dspy.lm15 import Request as NativeRequest
from dspy.lm15 import Response as NativeResponse

from rollout.codec import decode_json
from rollout.dialects import Dialect, Item, Reply, Request, dialect_for, usage_of

__all__ = ["arguments_in", "read_reply", "read_request", "text_of"]

_CHAT = "/chat/completions"
# The key of an answer's body by which its API is known. Gemini's calls have no ids there, but get some from DSPy.
_PATHS = {"choices": _CHAT, "output": "/responses", "content": "/messages"}
# Options that DSPy does not send to the model, or that may contain keys.
_OWN_OPTIONS = frozenset({*CLIENT_KEYS, "cache", "rollout_id", "num_generations"})
_SECRET = re.compile(r"key|secret|token$|password|credential|header|auth", re.IGNORECASE)
# Entries of DSPy's history that other threads may have appended since the answer.
_RECENT = 256


def read_request(model: Any, inputs: Mapping[str, Any]) -> Request:
    """
    Return what a model is asked: messages of Chat Completions, a prompt, or a request of DSPy's own engine.

    Args:
        model: The model.
        inputs: Arguments of its call.
    """
    given, prompt = dict(inputs["kwargs"]), inputs["prompt"]
    native = given.pop("request", prompt)
    if isinstance(native, NativeRequest):
        body = request_kwargs(native, model.model_type)
    else:
        body = {**model.kwargs, **given, "messages": inputs["messages"] or [{"role": "user", "content": prompt}]}
    stated = {
        key: _schema_of(value)
        for key, value in body.items()
        if value is not None and key not in _OWN_OPTIONS and not _SECRET.search(key)
    }
    return _dialect("/responses" if "input" in stated else _CHAT).read_request({**stated, "model": model.model})


def read_reply(outputs: Any, *, is_streamed: bool) -> Reply:
    """
    Return an answer: as the API sent it if DSPy keeps that, else what DSPy itself has read in it.

    Args:
        outputs: What the model returns to the program.
        is_streamed: Whether it came as a stream, of which DSPy keeps only the end.
    """
    # The tokens stand only there; an answer from the cache has none.
    recent = reversed(GLOBAL_HISTORY[-_RECENT:])
    entry: Any = next((own for own in recent if outputs is own.get("outputs") or outputs is own.get("response")), {})
    usage, raw = usage_of(entry.get("usage")), entry.get("response", outputs)
    body = raw.provider_data if isinstance(raw, NativeResponse) and not is_streamed else None
    path = next((path for key, path in _PATHS.items() if key in (body or ())), None)
    if path is not None:
        reply = _dialect(path).read_reply(body or {})
        return evolve(reply, usage=usage and reply.usage)
    listed = [legacy_output(outputs)] if isinstance(outputs, NativeResponse) else outputs
    choices = [{"index": place, "message": _message_of(output)} for place, output in enumerate(listed)]
    reply = _dialect(_CHAT).read_reply({"choices": choices, "model": entry.get("response_model")})
    return evolve(reply, usage=usage)


def arguments_in(call: Item) -> Any:
    """
    Return the arguments of a call as values; None if they are no JSON text.
    """
    try:
        return decode_json(call["arguments"])
    except ValueError:
        return None


def text_of(value: Any) -> str:
    """
    Return the output or the arguments of a tool as a text.
    """
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _dialect(path: str) -> Dialect:
    return cast(Dialect, dialect_for(path))


def _schema_of(value: Any) -> Any:
    """
    Return the JSON schema of a class that an answer must fit; any other value as it is.
    """
    return value.model_json_schema() if isinstance(value, type) and hasattr(value, "model_json_schema") else value


def _message_of(output: Any) -> dict[str, Any]:
    """
    Return one output of a model as a message of Chat Completions.
    """
    fields = dict(plain(output)) if isinstance(output, Mapping) else {"text": output}
    return {"role": "assistant", "content": fields.pop("text", None), **fields}
