"""
Google's generateContent: bodies read as items, and items written as contents.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from attrs import frozen

from rollout.dialects._gemini_stream import GeminiFold
from rollout.dialects._items import (
    IMAGE,
    CallIds,
    Extras,
    call_name,
    group_parts,
    is_made,
    make_call,
    make_message,
    make_output,
    make_reasoning,
    text_of,
)
from rollout.dialects._model import Fold, Item, Reply, Request
from rollout.dialects._turns import Turns
from rollout.dialects._usage import usage_of
from rollout.dialects._values import (
    choice_key,
    dict_of,
    error_text,
    index_of,
    json_text,
    json_value,
    list_of,
    other_keys,
    string_of,
    string_or_none,
)

__all__ = ["GeminiDialect"]

_EXTRAS = Extras("gemini", frozenset({"thoughtSignature", "name", "response_key"}))
_ROLES = {"model": "assistant", "assistant": "assistant"}
# Keys under which Google's SDKs put the text of a function's response.
_TEXT_KEYS = ("result", "output", "error")
_SNAKE = re.compile(r"_([a-z])")
_CONTENTS_KEYS = frozenset({"contents", "tools", "stream", "model"})


@frozen
class GeminiDialect:
    """
    The dialect of ``models/...:generateContent`` and ``:streamGenerateContent``.

    Args:
        model: Name of the model; it is in the path of a request and not in its body.
    """

    model: str | None = None
    name: ClassVar[str] = "gemini"

    def read_request(self, body: Mapping[str, Any]) -> Request:
        """
        Read the body of a request, with the keys of the wire or those of the SDK's objects (``system_instruction``).
        """
        body = _wire_keys(dict_of(body))
        system = body.get("systemInstruction")
        thinking = dict_of(_wire_keys(dict_of(body.get("generationConfig"))).get("thinkingConfig"))
        plain = string_or_none(system) or text_of(dict_of(system).get("parts"))
        is_plain = isinstance(system, str) or system in (
            {"parts": [{"text": plain}]},
            {"parts": [{"text": plain}], "role": "user"},
        )
        effort = string_or_none(_wire_keys(thinking).get("thinkingLevel"))
        return Request(
            items=_read_contents(body.get("contents")),
            model=string_or_none(body.get("model")) or self.model,
            effort=effort.lower() if effort else None,
            instructions=plain or None,
            tools=body.get("tools"),
            settings=other_keys(body, _CONTENTS_KEYS | {"systemInstruction"} if is_plain else _CONTENTS_KEYS),
        )

    def read_reply(self, body: Mapping[str, Any]) -> Reply:
        """
        Read the body of a response, with the items of all its candidates.
        """
        body = _wire_keys(dict_of(body))
        candidates = [_wire_keys(dict_of(candidate)) for candidate in list_of(body.get("candidates"))]
        items = []
        for place, candidate in enumerate(candidates):
            index, content = index_of(candidate.get("index")), candidate.get("content")
            number = place if index is None else index
            content = {**content, "role": content.get("role") or "model"} if isinstance(content, dict) else content
            items += [{**item, **choice_key(number)} for item in _read_contents(content)]
        blocked = _wire_keys(dict_of(body.get("promptFeedback")))
        return Reply(
            items=items,
            usage=usage_of(body.get("usageMetadata")),
            id=string_or_none(body.get("responseId")),
            model=string_or_none(body.get("modelVersion")) or self.model,
            error=error_text(body.get("error")) or string_or_none(blocked.get("blockReasonMessage")),
            stop=(string_or_none(candidates[0].get("finishReason")) if candidates else None)
            or string_or_none(blocked.get("blockReason")),
        )

    def folder(self) -> Fold:
        """
        Return a new fold for the chunks of one stream.
        """
        return GeminiFold()

    def write_items(self, items: Sequence[Item]) -> list[Any]:
        """
        Return items as the ``contents`` of a request.
        """
        # Contents of one role in a row are one content to the reader.
        turns = Turns("parts", joins_messages=True)
        names: dict[str, str] = {}
        for item in items:
            if not item.get("choice"):
                _write_item(turns, item, names)
        return turns.messages


def _wire_keys(value: dict[str, Any]) -> dict[str, Any]:
    """
    Return an object with the keys of the wire: ``inlineData`` for ``inline_data``.
    """
    return {
        _SNAKE.sub(lambda found: found[1].upper(), key) if isinstance(key, str) and "_" in key else key: held
        for key, held in value.items()
    }


def _read_contents(value: Any) -> list[Item]:
    if isinstance(value, str):
        return [make_message("user", value)]
    contents = list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]
    ids, items = CallIds(), []
    role, entries = "", list[Item]()
    for content in contents:
        known = dict_of(content)
        parts, stated = known.get("parts"), known.get("role") or "user"
        if not known.keys() <= {"role", "parts"} or not isinstance(parts, list) or not isinstance(stated, str):
            items += [*group_parts(role, entries), {"type": "gemini_content", "value": content}]
            role, entries = "", []
            continue
        # A client sends the chunks of a stream back as several contents of one role.
        if _ROLES.get(stated, "user") != role or not parts:
            items += group_parts(role, entries)
            role, entries = _ROLES.get(stated, "user"), []
            if role == "assistant":
                ids.begin()
        entries += [_read_part(part, role, ids) for part in parts]
        if not parts:
            items.append(make_message(role, []))
            role = ""
    return [*items, *group_parts(role, entries)]


def _read_part(part: Any, role: str, ids: CallIds) -> Item:
    """
    Return a part of a content as a part of a message, or as an item.
    """
    known = _wire_keys(dict_of(part))
    text = known.get("text")
    if isinstance(text, str):
        if known.get("thought") is True:
            return make_reasoning(text, **_EXTRAS.keep("reasoning", other_keys(known, ("text",))))
        kind = "output_text" if role == "assistant" else "input_text"
        return {"type": kind, "text": text, **_EXTRAS.keep("part", other_keys(known, ("text",)))}
    image = _wire_keys(dict_of(known.get("inlineData")))
    if image.keys() == {"mimeType", "data"} and all(isinstance(held, str) for held in image.values()):
        url = f"data:{image['mimeType']};base64,{image['data']}"
        if image["mimeType"].startswith("image/") and _inline(url) == image:
            return {"type": IMAGE, "image_url": url, **_EXTRAS.keep("part", other_keys(known, ("inlineData",)))}
    call, response = _wire_keys(dict_of(known.get("functionCall"))), _wire_keys(dict_of(known.get("functionResponse")))
    if role == "assistant" and isinstance(call.get("name"), str) and isinstance(call.get("args"), (dict, type(None))):
        return _read_call(known, call, ids)
    if role == "user" and isinstance(response.get("name"), str) and isinstance(response.get("response"), dict):
        return _read_response(known, response, ids)
    return {"type": "gemini_part", "role": role, "value": part}


def _read_call(part: dict[str, Any], call: dict[str, Any], ids: CallIds) -> Item:
    item = make_call(call["name"], call.get("args") or {}, "")
    others = other_keys(call, ("name", "args", "id"))
    extra = _EXTRAS.keep("call", other_keys(part, ("functionCall",)))
    item["call_id"] = string_or_none(call.get("id")) or ids.make(item["name"], item["arguments"])
    return {**item, **extra, **({"function": others} if others else {})}


def _read_response(part: dict[str, Any], response: dict[str, Any], ids: CallIds) -> Item:
    name, value = response["name"], response["response"]
    # Google answers a call without an id by its name; the order tells calls of one name apart.
    call_id = string_or_none(response.get("id")) or ids.answer(name)
    key = next(iter(value)) if len(value) == 1 else None
    is_text = key in _TEXT_KEYS and isinstance(value[key], str)
    others = other_keys(response, ("name", "response", "id"))
    extra = _EXTRAS.keep(
        "output", {**other_keys(part, ("functionResponse",)), **({"response_key": key} if is_text else {})}
    )
    item = make_output(call_id, value[key] if is_text else value, name=name, **extra)
    return {**item, "function": others} if others else item


def _inline(url: str) -> dict[str, str] | None:
    kind, mark, content = url.removeprefix("data:").partition(";base64,")
    return {"mimeType": kind, "data": content} if mark and url.startswith("data:") else None


def _write_item(turns: Turns, item: Item, names: dict[str, str]) -> None:
    kind, call_id = string_of(item.get("type")), item.get("call_id")
    role = "model" if item.get("role") == "assistant" else "user"
    if kind == "message":
        content = item.get("content")
        parts = [{"text": content}] if isinstance(content, str) and content else list_of(content)
        turns.add_message(role, [written for part in parts for written in _write_part(part)], {})
    elif kind == "gemini_content":
        turns.add_whole(item.get("value"))
    elif kind == "gemini_part":
        turns.add_block(role, item.get("value"), {})
    elif kind == "reasoning":
        extra = _EXTRAS.restore("reasoning", item)
        # Thoughts of other APIs are no context for this one.
        if extra.get("thought"):
            turns.add_block("model", {"text": text_of(item.get("summary")), **extra}, {})
    elif isinstance(call_id, str) and kind.endswith("_output"):
        turns.add_block("user", _response_part(item, call_id, names), {})
    elif isinstance(call_id, str) and kind.endswith("_call"):
        names[call_id] = call_name(item)
        stated = item.get("arguments", item.get("input", item.get("action")))
        value = json_value(stated) if isinstance(stated, str) else stated
        args = value if isinstance(value, dict) else {"input": stated} if stated else {}
        call = {**_id(call_id), "name": names[call_id], "args": args, **dict_of(item.get("function"))}
        turns.add_block("model", {"functionCall": call, **_EXTRAS.restore("call", item)}, {})


def _id(call_id: str) -> dict[str, str]:
    return {} if is_made(call_id) else {"id": call_id}


def _response_part(item: Item, call_id: str, names: dict[str, str]) -> dict[str, Any]:
    extra = _EXTRAS.restore("output", item)
    name = string_of(extra.pop("name", None)) or names.get(call_id, "")
    key, output = extra.pop("response_key", None), item.get("output")
    text = output if isinstance(output, str) else text_of(output) or json_text(output)
    value = None if key else json_value(text)
    response = value if isinstance(value, dict) else {key or "output": text}
    return {
        "functionResponse": {**_id(call_id), "name": name, "response": response, **dict_of(item.get("function"))},
        **extra,
    }


def _write_part(part: Any) -> list[dict[str, Any]]:
    part = dict_of(part)
    text, url = part.get("text", part.get("refusal")), part.get("image_url")
    if isinstance(text, str):
        return [{"text": text, **_EXTRAS.restore("part", part)}]
    if part.get("type") == IMAGE and isinstance(url, str):
        inline = _inline(url)
        stored = {"inlineData": inline} if inline else {"fileData": {"fileUri": url}}
        return [{**stored, **_EXTRAS.restore("part", part)}]
    return []
