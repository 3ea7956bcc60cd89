"""
Answers of a model in the forms of four APIs: Responses, Chat Completions, Messages (Anthropic) and Gemini.

A form is the body of the answer, and the events by which a stream sends the same body. `loopback.py` serves them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["USAGE", "Answer", "Form", "error_body", "is_model_path", "is_streamed", "make_form"]

Json = dict[str, Any]

USAGE = {"input_tokens": 120, "cached_input_tokens": 40, "output_tokens": 15, "reasoning_output_tokens": 5}
_PIECES = 50  # a long text is streamed in about as many pieces
_ERROR_TYPES = {
    "openai": {429: "rate_limit_exceeded", 401: "invalid_api_key", 400: "invalid_request_error"},
    "messages": {429: "rate_limit_error", 401: "authentication_error", 400: "invalid_request_error"},
    "gemini": {429: "RESOURCE_EXHAUSTED", 401: "UNAUTHENTICATED", 400: "INVALID_ARGUMENT"},
}
_OTHER_ERRORS = {"openai": "server_error", "messages": "api_error", "gemini": "INTERNAL"}


@dataclass(frozen=True)
class Answer:
    """
    Content of a model's answer, and how the server sends it.

    Attributes:
        text: Text of the answer.
        calls: Name and arguments of each tool call. A text as arguments is sent as it is.
        reasoning: Summary of the reasoning.
        signature: Opaque text of the reasoning, in base64: `encrypted_content`, `signature` or `thoughtSignature`.
        extra: Items, blocks or parts of the API itself, sent before the text; not for Chat Completions.
        refusal: Text of a refusal, instead of an answer.
        choices: Number of choices; 0 means as many as the request asks for. Only for Chat Completions and Gemini.
        usage: Numbers of tokens by the names of Codex; input includes cached tokens. An empty one is not sent,
            except by Messages, which always has usage.
        is_incomplete: Whether the answer reached its maximum number of tokens.
        status: HTTP status. Together with `cut_after`, a stream ends with this error after so many events.
        delay: Seconds before the answer.
        pause: Seconds before each event of a stream.
        cut_after: Number of events after which the connection breaks. Without a stream it breaks before the answer.
    """

    text: str = ""
    calls: Sequence[tuple[str, Mapping[str, Any] | str]] = ()
    reasoning: str = ""
    signature: str = "c2lnbmF0dXJl"
    extra: Sequence[Json] = ()
    refusal: str = ""
    choices: int = 0
    usage: Mapping[str, int] = field(default_factory=USAGE.copy)
    is_incomplete: bool = False
    status: int = 200
    delay: float = 0.0
    pause: float = 0.0
    cut_after: int | None = None


@dataclass(frozen=True)
class Form:
    """
    Answer in the form of one API.

    Attributes:
        body: Body of the answer without a stream.
        events: Events of the stream: the name, if the API names its events, and what the event contains.
    """

    body: Json
    events: Sequence[tuple[str | None, Json | str]] = ()


def is_model_path(path: str) -> bool:
    """
    Return whether a path asks for an answer of a model.
    """
    return _maker(path) is not None


def is_streamed(path: str, request: Json) -> bool:
    """
    Return whether a request asks for a stream.
    """
    return ":streamGenerateContent" in path or bool(request.get("stream"))


def make_form(path: str, answer: Answer, request: Json, number: int) -> Form:
    """
    Make the form of the answer to a request; the number makes its ids unique. The events end where the stream breaks.
    """
    make = _maker(path)
    if make is None:
        return Form(error_body(path, 404, f"no {path}"))
    # Gemini has the model in the path.
    made = make(answer, {"model": path.rpartition("/models/")[2].partition(":")[0], **request}, number)
    events = made.events[: answer.cut_after]
    if answer.status == 200:
        return Form(made.body, events)
    error = error_body(path, answer.status, _error_text(answer))
    if answer.cut_after is None or not is_streamed(path, request):
        return Form(error)
    if make is _responses_form:
        return Form(made.body, [*events, made.events[-1]])
    return Form(error, [*events, ("error" if make is _messages_form else None, error)])


def _maker(path: str) -> Callable[[Answer, Json, int], Form] | None:
    path = path.partition("?")[0]
    if path.endswith((":generateContent", ":streamGenerateContent")):
        return _gemini_form
    makers = {"/responses": _responses_form, "/chat/completions": _chat_form, "/messages": _messages_form}
    return next((make for end, make in makers.items() if path.endswith(end)), None)


def error_body(path: str, status: int, message: str) -> Json:
    """
    Return the body of an error, as the API of the path sends it.
    """
    api = "gemini" if "enerateContent" in path else "messages" if "/messages" in path else "openai"
    kind = _ERROR_TYPES[api].get(status, _OTHER_ERRORS[api])
    if api == "gemini":
        return {"error": {"code": status, "message": message, "status": kind}}
    if api == "messages":
        return {"type": "error", "error": {"type": kind, "message": message}}
    return {"error": {"message": message, "type": kind, "param": None, "code": kind}}


def _error_text(answer: Answer) -> str:
    return answer.text or f"error {answer.status}"


def _pieces(text: str) -> list[str]:
    size = max(12, len(text) // _PIECES)
    return [text[start : start + size] for start in range(0, len(text), size)]


def _json_text(arguments: Mapping[str, Any] | str) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _json_object(arguments: Mapping[str, Any] | str) -> Json:
    return dict(json.loads(arguments) if isinstance(arguments, str) else arguments)


def _custom_tools(request: Json) -> set[str]:
    tools = [tool for tool in request.get("tools") or [] if tool.get("type") == "custom"]
    return {tool.get("name") or tool.get("custom", {}).get("name") for tool in tools}


def _tokens(answer: Answer) -> tuple[int, int, int, int, int]:
    """
    Return the tokens of input, read from the cache, written to the cache, of output, and of reasoning.
    """
    usage = answer.usage
    names = ("input_tokens", "cached_input_tokens", "cache_write_input_tokens", "output_tokens")
    first, cached, written, output = (usage.get(name, 0) for name in names)
    return first, cached, written, output, usage.get("reasoning_output_tokens", 0)


def _responses_form(answer: Answer, request: Json, number: int) -> Form:
    items = list(_response_items(answer, request, f"{number:04}"))
    given, cached, written, output, reasoning = _tokens(answer)
    usage: Json = {"input_tokens": given, "output_tokens": output, "total_tokens": given + output}
    usage |= {"input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written}}
    usage |= {"output_tokens_details": {"reasoning_tokens": reasoning}}
    conversation = request.get("conversation")
    ending = "failed" if answer.status != 200 else "incomplete" if answer.is_incomplete else "completed"
    body: Json = {
        "id": f"resp_{number:04}",
        "object": "response",
        "created_at": int(time.time()),
        "status": ending,
        "error": {"code": "server_error", "message": _error_text(answer)} if ending == "failed" else None,
        "incomplete_details": {"reason": "max_output_tokens"} if answer.is_incomplete else None,
        "conversation": {"id": conversation} if isinstance(conversation, str) else conversation,
        "max_output_tokens": request.get("max_output_tokens"),
        "model": request.get("model"),
        "output": [] if ending == "failed" else [item for item, _, _ in items],
        "tools": request.get("tools") or [],
        "usage": usage if answer.usage and ending != "failed" else None,
    }
    settings: Json = {"instructions": None, "metadata": {}, "parallel_tool_calls": True, "previous_response_id": None}
    settings |= {"reasoning": {"effort": None, "summary": None}, "store": True, "temperature": 1.0, "top_p": 1.0}
    settings |= {"text": {"format": {"type": "text"}}, "tool_choice": "auto", "truncation": "disabled"}
    body |= {name: default if request.get(name) is None else request[name] for name, default in settings.items()}
    begun = {**body, "status": "in_progress", "error": None, "incomplete_details": None, "output": [], "usage": None}
    events: list[Json] = [{"type": f"response.{name}", "response": begun} for name in ("created", "in_progress")]
    for index, (item, empty, between) in enumerate(items):
        place = {"item_id": item.get("id"), "output_index": index}
        events += [{"type": "response.output_item.added", "output_index": index, "item": empty}]
        events += [{**event, **place} for event in between]
        events += [{"type": "response.output_item.done", "output_index": index, "item": item}]
    events += [{"type": f"response.{ending}", "response": body}]
    return Form(body, [(event["type"], {**event, "sequence_number": place}) for place, event in enumerate(events)])


def _response_items(answer: Answer, request: Json, number: str) -> Iterable[tuple[Json, Json, list[Json]]]:
    """
    Yield each item, the item as its stream begins, and the events between both.
    """
    if answer.reasoning:
        empty: Json = {"id": f"rs_{number}", "type": "reasoning", "summary": []}
        if "reasoning.encrypted_content" in (request.get("include") or ()):
            empty["encrypted_content"] = answer.signature
        part: Json = {"type": "summary_text", "text": answer.reasoning}
        events = _text_events("reasoning_summary_text", "reasoning_summary_part", "summary_index", part, "text")
        yield {**empty, "summary": [part]}, empty, events
    for other in answer.extra:
        yield other, other, []
    if answer.text or answer.refusal:
        part = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        part = {"type": "refusal", "refusal": answer.refusal} if answer.refusal else part
        item: Json = {"id": f"msg_{number}", "type": "message", "role": "assistant"}
        status = "incomplete" if answer.is_incomplete else "completed"
        name = "refusal" if answer.refusal else "text"
        events = _text_events(part["type"], "content_part", "content_index", part, name)
        yield {**item, "status": status, "content": [part]}, {**item, "status": "in_progress", "content": []}, events
    custom = _custom_tools(request)
    for place, (name, arguments) in enumerate(answer.calls):
        kind, key = ("custom_tool_call", "input") if name in custom else ("function_call", "arguments")
        own_id = f"{'ctc' if name in custom else 'fc'}_{number}_{place}"
        item = {"id": own_id, "type": kind, "call_id": f"call_{number}_{place}", "name": name}
        text = _json_text(arguments)
        event = f"response.{kind}_{key}"
        events = [{"type": f"{event}.delta", "delta": piece} for piece in _pieces(text)]
        events += [{"type": f"{event}.done", "name": name, key: text}]
        yield {**item, key: text, "status": "completed"}, {**item, key: "", "status": "in_progress"}, events


def _text_events(kind: str, part_kind: str, index: str, part: Json, name: str) -> list[Json]:
    """
    Return the events of a part of an item whose text is under a name.
    """
    events: list[Json] = [{"type": f"response.{part_kind}.added", "part": {**part, name: ""}}]
    events += [{"type": f"response.{kind}.delta", "delta": piece} for piece in _pieces(part[name])]
    events += [{"type": f"response.{kind}.done", name: part[name]}]
    events += [{"type": f"response.{part_kind}.done", "part": part}]
    return [{**event, index: 0, **({"logprobs": []} if ".output_text." in event["type"] else {})} for event in events]


def _chat_form(answer: Answer, request: Json, number: int) -> Form:
    given, cached, _, output, reasoning = _tokens(answer)
    usage: Json = {"prompt_tokens": given, "completion_tokens": output, "total_tokens": given + output}
    usage |= {"prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0}}
    usage |= {"completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0}}
    wants_usage = not request.get("stream") or (request.get("stream_options") or {}).get("include_usage")
    last: Json = {"usage": usage} if answer.usage and wants_usage else {}
    base = {"id": f"chatcmpl-{number:04}", "created": int(time.time()), "model": request.get("model")}
    base |= {"service_tier": "default", "system_fingerprint": "fp_loopback"}
    finish = "length" if answer.is_incomplete else "tool_calls" if answer.calls else "stop"
    choices, chunks = [], []
    for index in range(answer.choices or request.get("n") or 1):
        message, deltas = _chat_message(answer, request, f"{number:04}", index)
        choices.append({"index": index, "message": message, "logprobs": None, "finish_reason": finish})
        steps = [*[(delta, None) for delta in deltas], ({}, finish)]
        chunks += [{"index": index, "delta": delta, "logprobs": None, "finish_reason": end} for delta, end in steps]
    chunk = {**base, "object": "chat.completion.chunk"}
    events: list[tuple[str | None, Json | str]] = [(None, {**chunk, "choices": [choice]}) for choice in chunks]
    events += [(None, {**chunk, "choices": [], **last})] if last else []
    return Form({**base, "object": "chat.completion", "choices": choices, **last}, [*events, (None, "[DONE]")])


def _chat_message(answer: Answer, request: Json, number: str, choice: int) -> tuple[Json, list[Json]]:
    """
    Return the message of a choice, and the deltas by which a stream sends it.
    """
    text = f"{answer.text} ({choice + 1})" if answer.text and choice else answer.text
    message: Json = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    deltas: list[Json] = [{"role": "assistant", "content": "" if text else None, "refusal": None}]
    for key, value in (("reasoning_content", answer.reasoning), ("content", text), ("refusal", answer.refusal)):
        if value:
            message[key] = value
            deltas += [{key: piece} for piece in _pieces(value)]
    custom = _custom_tools(request)
    for place, (name, arguments) in enumerate(answer.calls):
        kind, key = ("custom", "input") if name in custom else ("function", "arguments")
        own_id = f"call_{number}_{choice}_{place}"
        call = {"id": own_id, "type": kind, kind: {"name": name, key: _json_text(arguments)}}
        message.setdefault("tool_calls", []).append(call)
        deltas.append({"tool_calls": [{"index": place, **call, kind: {"name": name, key: ""}}]})
        deltas += [{"tool_calls": [{"index": place, kind: {key: piece}}]} for piece in _pieces(_json_text(arguments))]
    return message, deltas


def _messages_form(answer: Answer, request: Json, number: int) -> Form:
    given, cached, written, output, _ = _tokens(answer)
    usage: Json = {"input_tokens": given - cached - written, "cache_read_input_tokens": cached}
    usage |= {"cache_creation_input_tokens": written, "output_tokens": output, "service_tier": "standard"}
    blocks = list(_message_blocks(answer, f"{number:04}"))
    stops = {"max_tokens": answer.is_incomplete, "refusal": answer.refusal, "tool_use": answer.calls, "end_turn": True}
    end = {"stop_reason": next(stop for stop, is_so in stops.items() if is_so), "stop_sequence": None}
    message: Json = {"id": f"msg_{number:04}", "type": "message", "role": "assistant", "model": request.get("model")}
    begun = {**message, "content": [], **dict.fromkeys(end), "usage": {**usage, "output_tokens": 1}}
    events: list[Json] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, (_, empty, deltas) in enumerate(blocks):
        events += [{"type": "content_block_start", "index": index, "content_block": empty}]
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events += [{"type": "content_block_stop", "index": index}]
    events += [{"type": "message_delta", "delta": end, "usage": usage}, {"type": "message_stop"}]
    body = {**message, "content": [block for block, _, _ in blocks], **end, "usage": usage}
    return Form(body, [(event["type"], event) for event in events])


def _message_blocks(answer: Answer, number: str) -> Iterable[tuple[Json, Json, list[Json]]]:
    """
    Yield each block, the block as its stream begins, and the deltas.
    """
    if answer.reasoning:
        block = {"type": "thinking", "thinking": answer.reasoning, "signature": answer.signature}
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(answer.reasoning)]
        deltas += [{"type": "signature_delta", "signature": answer.signature}]
        yield block, {"type": "thinking", "thinking": "", "signature": ""}, deltas
    for block in answer.extra:
        yield block, block, []
    text = answer.refusal or answer.text
    if text:
        deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(text)]
        yield {"type": "text", "text": text}, {"type": "text", "text": ""}, deltas
    for place, (name, arguments) in enumerate(answer.calls):
        call: Json = {"type": "tool_use", "id": f"toolu_{number}_{place}", "name": name, "input": {}}
        pieces = ["", *_pieces(_json_text(arguments))]
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        yield {**call, "input": _json_object(arguments)}, call, deltas


def _gemini_form(answer: Answer, request: Json, number: int) -> Form:
    given, cached, _, output, reasoning = _tokens(answer)
    usage = {"promptTokenCount": given, "cachedContentTokenCount": cached, "totalTokenCount": given + output}
    usage |= {"candidatesTokenCount": output - reasoning, "thoughtsTokenCount": reasoning}
    base = {"modelVersion": request["model"], "responseId": f"gemini-{number:04}"}
    last = {"usageMetadata": usage} if answer.usage else {}
    finish = "MAX_TOKENS" if answer.is_incomplete else "SAFETY" if answer.refusal else "STOP"
    calls: list[Json] = [{"functionCall": {"name": name, "args": _json_object(text)}} for name, text in answer.calls]
    if calls and answer.reasoning:
        calls[0]["thoughtSignature"] = answer.signature
    settings = request.get("generationConfig") or {}
    candidates, chunks = [], []
    for index in range(answer.choices or settings.get("candidateCount") or 1):
        text = f"{answer.text} ({index + 1})" if answer.text and index else answer.text
        thought: list[Json] = [{"text": answer.reasoning, "thought": True}] if answer.reasoning else []
        parts = [*thought, *answer.extra, *([{"text": text}] if text else []), *calls]
        pieces = [{**part, "text": piece} for part in thought for piece in _pieces(part["text"])]
        pieces += [*answer.extra, *[{"text": piece} for piece in _pieces(text)], *calls]
        contents = [{"index": index, "content": {"role": "model", "parts": [part]}} for part in pieces]
        end = {"index": index, "content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": finish}
        candidates.append({"index": index, "content": {"role": "model", "parts": parts}, "finishReason": finish})
        chunks += [*contents, end]
    events: list[tuple[str | None, Json | str]] = [(None, {"candidates": [chunk], **base}) for chunk in chunks[:-1]]
    events += [(None, {"candidates": chunks[-1:], **base, **last})]
    return Form({"candidates": candidates, **base, **last}, events)
