"""
Strategies for hypothesis: conversations in the form of each API, plain JSON values, and damaged copies of a value.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
WORD = st.text("abcxyz_", min_size=1, max_size=6)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(-1e6, 1e6, allow_nan=False)
LEAVES = st.none() | st.booleans() | NUMBERS | TEXT
KEYS = st.sampled_from(
    ["type", "role", "content", "text", "id", "name", "index", "input", "function", "arguments", "delta", "parts", "x"]
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | WORD, inner, max_size=3), max_leaves=8
)
OBJECT = st.dictionaries(WORD, JSON.filter(lambda value: value is not None), max_size=3)
IMAGE = "iVBORw0KGgo="


def optional(**keys: Any) -> st.SearchStrategy[dict[str, Any]]:
    """
    Return a strategy for dicts with some of these keys.
    """
    return st.fixed_dictionaries({}, optional=keys)


def both(*strategies: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """
    Return a strategy for the union of dicts.
    """
    return st.tuples(*strategies).map(lambda parts: {key: value for part in parts for key, value in part.items()})


def of_type(kind: str, **keys: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(kind), **keys})


CACHE = optional(cache_control=st.just({"type": "ephemeral"}))

# Chat Completions
CHAT_IMAGE = of_type(
    "image_url",
    image_url=both(
        st.just({"url": f"data:image/png;base64,{IMAGE}"}), optional(detail=st.sampled_from(["low", "high"]))
    ),
)
CHAT_PART = (
    both(of_type("text", text=TEXT), CACHE)
    | both(CHAT_IMAGE, CACHE)
    | of_type("file", file=optional(file_id=WORD, filename=WORD))
    | of_type("input_audio", input_audio=st.just({"data": "AAAA", "format": "wav"}))
)
CHAT_CONTENT = TEXT | st.lists(CHAT_PART, min_size=1, max_size=4)
CHAT_CALL = both(
    st.fixed_dictionaries(
        {
            "id": WORD,
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": WORD, "arguments": TEXT}),
        }
    ),
    optional(extra_content=OBJECT, odd=OBJECT),
) | st.fixed_dictionaries(
    {"id": WORD, "type": st.just("custom"), "custom": st.fixed_dictionaries({"name": WORD, "input": TEXT})}
)
CHAT_ASSISTANT = both(
    st.just({"role": "assistant"}),
    st.fixed_dictionaries({"content": st.none() | TEXT | st.lists(CHAT_PART, min_size=1, max_size=3)}),
    optional(
        tool_calls=st.lists(CHAT_CALL, min_size=1, max_size=3),
        reasoning_content=TEXT.filter(bool),
        reasoning=TEXT.filter(bool),
        reasoning_details=st.lists(of_type("reasoning.text", text=TEXT, index=st.just(0)), min_size=1, max_size=2),
        refusal=TEXT.filter(bool),
        name=WORD,
        audio=st.just({"id": "audio_1"}),
        annotations=st.lists(OBJECT, min_size=1, max_size=1),
        odd=OBJECT,
        status=WORD,
    ),
)
MISTRAL_ASSISTANT = st.fixed_dictionaries(
    {
        "role": st.just("assistant"),
        "content": st.lists(
            of_type("text", text=TEXT)
            | both(
                of_type("thinking", thinking=st.lists(of_type("text", text=TEXT), max_size=2)),
                optional(closed=st.just(True)),
            )
            | of_type("reference", reference_ids=st.lists(st.integers(0, 9), max_size=2)),
            min_size=1,
            max_size=4,
        ),
    }
)
CHAT_MESSAGE = (
    both(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "developer"]), "content": CHAT_CONTENT}),
        optional(name=WORD),
    )
    | CHAT_ASSISTANT
    | MISTRAL_ASSISTANT
    | st.fixed_dictionaries(
        {"role": st.just("assistant"), "function_call": st.fixed_dictionaries({"name": WORD, "arguments": TEXT})}
    )
    | both(
        st.fixed_dictionaries({"role": st.just("tool"), "tool_call_id": WORD, "content": CHAT_CONTENT}),
        optional(name=WORD),
    )
    | st.fixed_dictionaries({"role": st.just("function"), "name": WORD, "content": TEXT})
)

# Messages
SOURCE = st.just({"type": "base64", "media_type": "image/png", "data": IMAGE}) | st.just(
    {"type": "url", "url": "https://example.org/a.png"}
)
ANY_SOURCE = SOURCE | st.just({"type": "file", "file_id": "file_1"})
BLOCK = both(of_type("text", text=TEXT), CACHE, optional(citations=st.lists(OBJECT, min_size=1, max_size=2))) | both(
    of_type("image", source=ANY_SOURCE), CACHE
)
RESULT_BLOCK = BLOCK | of_type("document", source=ANY_SOURCE, title=TEXT) | of_type("tool_reference", tool_name=WORD)
TOOL_RESULT = both(
    of_type("tool_result", tool_use_id=WORD, content=TEXT | st.lists(RESULT_BLOCK, min_size=1, max_size=3)),
    optional(is_error=st.booleans(), odd=OBJECT),
    CACHE,
)
USER_BLOCK = (
    BLOCK | TOOL_RESULT | of_type("document", source=ANY_SOURCE, title=TEXT) | of_type("search_result", title=TEXT)
)
ASSISTANT_BLOCK = (
    BLOCK
    | both(of_type("thinking", thinking=TEXT), optional(signature=WORD))
    | of_type("redacted_thinking", data=WORD)
    | both(of_type("tool_use", id=WORD, name=WORD, input=OBJECT), optional(caller=st.just({"type": "direct"})), CACHE)
    | of_type("server_tool_use", id=WORD, name=st.just("web_search"), input=OBJECT)
    | of_type("web_search_tool_result", tool_use_id=WORD, content=st.lists(OBJECT, max_size=2))
)
ANTHROPIC_MESSAGE = both(
    st.fixed_dictionaries({"role": st.just("user"), "content": TEXT | st.lists(USER_BLOCK, max_size=4)})
    | st.fixed_dictionaries({"role": st.just("assistant"), "content": TEXT | st.lists(ASSISTANT_BLOCK, max_size=5)})
    | st.fixed_dictionaries({"role": st.just("system"), "content": TEXT}),
    optional(odd=OBJECT),
)

# generateContent
SIGNED = optional(thoughtSignature=WORD)
INLINE = st.sampled_from(["image/png", "application/pdf"]).map(
    lambda kind: {"inlineData": {"mimeType": kind, "data": IMAGE}}
)
USER_PART = (
    st.fixed_dictionaries({"text": TEXT})
    | INLINE
    | st.just({"fileData": {"fileUri": "https://example.org/a.mp4", "mimeType": "video/mp4"}})
    | st.fixed_dictionaries(
        {
            "functionResponse": both(
                st.fixed_dictionaries({"name": WORD, "response": OBJECT | st.fixed_dictionaries({"result": TEXT})}),
                optional(id=WORD, scheduling=WORD),
            )
        }
    )
)
MODEL_PART = (
    both(st.fixed_dictionaries({"text": TEXT}), optional(thought=st.just(True)), SIGNED)
    | both(
        st.fixed_dictionaries(
            {
                "functionCall": both(
                    st.fixed_dictionaries({"name": WORD, "args": OBJECT}), optional(id=WORD, willContinue=st.just(True))
                )
            }
        ),
        SIGNED,
    )
    | st.just({"executableCode": {"language": "PYTHON", "code": "1"}})
)
CONTENT = st.fixed_dictionaries(
    {"role": st.just("user"), "parts": st.lists(USER_PART, min_size=1, max_size=4)}
) | st.fixed_dictionaries({"role": st.just("model"), "parts": st.lists(MODEL_PART, min_size=1, max_size=4)})

# Responses
INPUT_ITEM = (
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": TEXT})
    | st.fixed_dictionaries(
        {
            "type": st.just("message"),
            "role": st.just("user"),
            "content": st.lists(
                of_type("input_text", text=TEXT)
                | of_type("input_image", image_url=WORD, detail=st.just("auto"))
                | of_type("input_file", file_id=WORD),
                max_size=3,
            ),
        }
    )
    | of_type("function_call", call_id=WORD, name=WORD, arguments=TEXT)
    | of_type(
        "function_call_output", call_id=WORD, output=TEXT | st.lists(of_type("input_text", text=TEXT), max_size=2)
    )
    | of_type(
        "reasoning", id=WORD, summary=st.lists(of_type("summary_text", text=TEXT), max_size=2), encrypted_content=WORD
    )
    | of_type("web_search_call", id=WORD, status=st.just("completed"), action=OBJECT)
    | of_type("item_reference", id=WORD)
)


@st.composite
def damaged(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> Any:
    """
    Return a value in which some places have another value, or none.
    """
    value = deepcopy(draw(values))
    for _ in range(draw(st.integers(0, 3))):
        places = [(holder, key) for holder in _holders(value) for key in _keys(holder)]
        if not places:
            return draw(JSON)
        holder, key = draw(st.sampled_from(places))
        if draw(st.booleans()):
            del holder[key]
        else:
            holder[key] = draw(JSON)
    return value


def _holders(value: Any) -> list[Any]:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    found = [holder for held in inner for holder in _holders(held)]
    return [value, *found] if isinstance(value, (dict, list)) else found


def _keys(holder: Any) -> list[Any]:
    return list(holder) if isinstance(holder, dict) else list(range(len(holder)))
