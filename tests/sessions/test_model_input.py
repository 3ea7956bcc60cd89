from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from openai.types.responses.response_input_item_param import ResponseInputItemParam
from typing_extensions import NotRequired, Required, is_typeddict

from rollout import load_history, schema
from rollout.dialects import dialect_for
from tests.rollouts import Line, answer, event, message, meta, prompt, put, surroundings

Item = dict[str, Any]
KNOWN = "<multi_agent_mode>Work alone.</multi_agent_mode>"


def item(kind: str, **fields: Any) -> Line:
    return "response_item", {"type": kind, **fields}


def rolled_back(count: int) -> Line:
    return event("thread_rolled_back", num_turns=count)


def input_of(home: Path, *lines: Line, for_api: bool = False) -> list[Item]:
    return load_history(put(home, [meta(), *lines])).to_input(for_api=for_api)


def texts(items: list[Item]) -> list[str]:
    return [part["text"] for one in items for part in one["content"]]


class TestRollback:
    @pytest.mark.parametrize(
        ("lines", "kept"),
        [
            ([message("developer", KNOWN)], []),
            ([message("developer", f"\n {KNOWN.upper()}")], []),
            ([message("developer", "Approved command prefix saved:\n- ls")], []),
            ([message("developer", KNOWN), message("developer", "<tools>\n</tools>")], []),
            ([message("developer", KNOWN), surroundings()], []),
            ([surroundings(), message("developer", KNOWN)], []),
            ([message("developer", KNOWN), item("configuration_update", reasoning={})], []),
            ([item("message", role="developer", content=KNOWN)], []),
            ([message("developer", "orders")], ["orders"]),
            ([message("developer", f"see {KNOWN}")], [f"see {KNOWN}"]),
            ([message("developer", "<multi_agent_mode x='1'>")], ["<multi_agent_mode x='1'>"]),
            ([message("developer", KNOWN), message("developer", "orders")], [KNOWN, "orders"]),
            ([message("developer", "orders"), message("developer", KNOWN)], ["orders"]),
            ([message("developer", KNOWN), *answer("more")], [KNOWN, "more"]),
        ],
    )
    def test_removes_what_codex_wrote_directly_before_the_turn(
        self, home: Path, lines: list[Line], kept: list[str]
    ) -> None:
        sent = input_of(home, *prompt("u1"), *answer("a1"), *lines, *prompt("u2"), rolled_back(1), *prompt("u3"))

        assert texts(sent) == ["u1", "a1", *kept, "u3"]

    def test_keeps_what_stands_before_the_first_turn(self, home: Path) -> None:
        sent = input_of(home, message("developer", KNOWN), *prompt("u1"), rolled_back(1), *prompt("u2"))

        assert texts(sent) == [KNOWN, "u2"]

    def test_removes_what_codex_wrote_at_the_end_of_a_compaction(self, home: Path) -> None:
        history = [message("user", "u1")[1], message("developer", "orders")[1], message("developer", KNOWN)[1]]
        compacted = ("compacted", {"message": "m", "replacement_history": history})

        sent = input_of(home, *prompt("u1"), compacted, *prompt("u2"), rolled_back(1), *prompt("u3"))

        assert texts(sent) == ["u1", "orders", "u3"]

    def test_a_compaction_of_only_such_messages_is_removed_whole(self, home: Path) -> None:
        compacted = ("compacted", {"message": "m", "replacement_history": [message("developer", KNOWN)[1]]})

        sent = input_of(home, *prompt("u1"), compacted, *prompt("u2"), rolled_back(1), *prompt("u3"))

        assert texts(sent) == ["u3"]

    @pytest.mark.parametrize(
        "line",
        [
            item("agent_message", author="/root/a", recipient="/root", content=[{"type": "input_text", "text": "m"}]),
            ("inter_agent_communication", {"author": "/root/a", "recipient": "/root", "content": "m"}),
        ],
    )
    def test_counts_a_message_of_another_agent_as_the_beginning_of_a_turn(self, home: Path, line: Line) -> None:
        turns = [*prompt("u1"), *answer("a1"), line, *answer("a2"), *prompt("u2")]

        assert texts(input_of(home, *turns, rolled_back(2), *prompt("u3"))) == ["u1", "a1", "u3"]


class TestOutputs:
    def test_an_output_without_a_call_is_sent_if_it_states_no_id(self, home: Path) -> None:
        goal = {"name": "create_goal", "namespace": "functions", "output": "set"}

        sent = input_of(home, *prompt("u1"), item("function_call_output", call_id=None, **goal))

        assert sent[1:] == [{"type": "function_call_output", **goal}]

    @pytest.mark.parametrize(
        "line",
        [
            item("function_call_output", call_id="c9", output="x"),
            item("custom_tool_call_output", name="n", output="x"),
            item("tool_search_output", call_id="c9", execution="client", tools=[]),
        ],
    )
    def test_other_outputs_without_a_call_are_left_out(self, home: Path, line: Line) -> None:
        assert len(input_of(home, *prompt("u1"), line)) == 1

    def test_an_output_belongs_to_a_call_of_its_type(self, home: Path) -> None:
        call = item("custom_tool_call", call_id="c1", name="n", input="x")

        sent = input_of(home, call, item("function_call_output", call_id="c1", output="x"))

        assert sent[1:] == [{"type": "custom_tool_call_output", "call_id": "c1", "output": "aborted"}]

    def test_a_search_for_tools_gets_an_empty_output(self, home: Path) -> None:
        searches = [item("tool_search_call", call_id=call_id, arguments={}) for call_id in ("c1", None)]
        found = item("tool_search_output", call_id=None, execution="server", tools=[])

        sent = input_of(home, *searches, found)

        output = {"type": "tool_search_output", "call_id": "c1"}
        assert sent[1] == {**output, "status": "completed", "execution": "client", "tools": []}
        assert [one["type"] for one in sent[2:]] == ["tool_search_call", "tool_search_output"]


class TestMessagesBetweenAgents:
    def test_a_line_becomes_an_item(self, home: Path) -> None:
        names = {"author": "/root/a", "recipient": "/root"}
        line = ("inter_agent_communication", {**names, "id": "iac_1", "other_recipients": [], "content": "hello"})

        [sent] = input_of(home, line)

        content = [{"type": "input_text", "text": "hello"}]
        assert sent == {"type": "agent_message", "id": "iac_1", **names, "content": content}

    @pytest.mark.parametrize(("trigger", "kind"), [(True, "NEW_TASK"), (False, "MESSAGE")])
    def test_an_encrypted_one_has_a_head(self, home: Path, trigger: bool, kind: str) -> None:
        names = {"author": "/root/a", "recipient": "/root", "trigger_turn": trigger}

        [sent] = input_of(home, ("inter_agent_communication", {**names, "content": "", "encrypted_content": "gAAAA"}))

        head = f"Message Type: {kind}\nTask name: /root\nSender: /root/a\nPayload:\n"
        hidden = {"type": "encrypted_content", "encrypted_content": "gAAAA"}
        assert sent["content"] == [{"type": "input_text", "text": head}, hidden]


def types_of(hint: Any) -> Iterator[Any]:
    """
    Yield the typed dictionaries in a type.
    """
    if is_typeddict(hint):
        yield hint
    for inner in get_args(hint):
        yield from types_of(inner)


def is_accepted(value: Any, hint: Any) -> bool:
    """
    Return whether the SDK's type has all keys of a value, at each depth.
    """
    if get_origin(hint) in (Required, NotRequired):
        return is_accepted(value, get_args(hint)[0])
    if isinstance(value, list):
        return all(is_accepted(inner, hint) for inner in value)
    kinds = list(types_of(hint)) if isinstance(value, dict) else []
    return not kinds or any(has_keys(value, kind) for kind in kinds)


def has_keys(value: Item, kind: Any) -> bool:
    hints = get_type_hints(kind, include_extras=True)
    named = get_args(hints["type"]) if "type" in hints else ()
    literals = {name for part in named for name in (get_args(part) or (part,))}
    is_named = "type" not in value or value["type"] in literals
    return is_named and value.keys() <= hints.keys() and all(is_accepted(value[key], hints[key]) for key in value)


FOREIGN = {
    "internal_chat_message_metadata_passthrough": {"turn_id": "t"}, "author": "x", "signature": "s", "status": "odd",
    "anthropic": {"a": 1}, "chat": {"b": 1}, "encrypted_function_args": ["a"], "id": "toolu_1", "unheard_of": 1,
}  # fmt: skip
PARTS = [
    {"type": "input_text", "text": "t", "signature": "s"},
    {"type": "input_image", "image_url": "data:image/png;base64,x", "file_id": None, "detail": "high", "x": 1},
    {"type": "input_audio", "audio_url": "data:audio/wav;base64,x"},
    {"type": "encrypted_content", "encrypted_content": "gAAAA"},
    {"type": "input_text", "text": "[input_file a.pdf]", "responses_part": {"type": "input_file", "file_id": "f"}},
]
ITEMS: list[Item] = [
    {"type": "message", "role": "user", "content": PARTS},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": []}],
     "phase": "final_answer"},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "no", "refusal": True}],
     "phase": "odd"},
    {"type": "message", "role": "system", "content": "be kind"},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "gAAAAx",
     "content": [{"type": "reasoning_text", "text": "raw"}]},
    {"type": "function_call", "name": "n", "arguments": "{}", "call_id": "c1", "encrypted_content": "gAAAA"},
    {"type": "function_call_output", "call_id": "c1", "output": PARTS},
    {"type": "custom_tool_call", "name": "n", "input": "x", "call_id": "c2"},
    {"type": "custom_tool_call_output", "call_id": "c2", "name": "n", "output": [PARTS[2]]},
    {"type": "local_shell_call", "call_id": "c3", "status": "completed",
     "action": {"type": "exec", "command": ["ls"], "env": None, "x": 1}},
    {"type": "web_search_call", "action": {"type": "search", "query": "q", "queries": ["q"], "x": 1}},
    {"type": "image_generation_call", "result": "x", "revised_prompt": "p"},
    {"type": "tool_search_call", "call_id": "c4", "execution": "client", "arguments": {}},
    {"type": "additional_tools", "role": "developer", "tools": []},
    {"type": "compaction_summary", "encrypted_content": "gAAAA"},
]  # fmt: skip
LEFT_OUT: list[Item] = [
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "of another service"}], "signature": "s"},
    {"type": "reasoning", "summary": [], "encrypted_content": "EqQB of another service"},
    {"type": "message", "role": "tool", "content": "x"},
    {"type": "message", "role": "user", "content": [PARTS[2]]},
    {"type": "agent_message", "author": "/root/a", "recipient": "/root", "content": []},
    {"type": "context_compaction", "encrypted_content": "gAAAA"},
    {"type": "compaction", "encrypted_content": "of another service"},
    {"type": "web_search_call", "action": {"type": "other"}},
]


class TestForApi:
    @pytest.mark.parametrize("value", ITEMS, ids=lambda value: value["type"])
    def test_the_items_have_only_fields_of_the_public_api(self, home: Path, value: Item) -> None:
        output = {"type": "function_call", "name": "n", "arguments": "{}", "call_id": value.get("call_id")}
        call = [output] if value["type"] == "function_call_output" else []
        call += [{**output, "type": "custom_tool_call"}] if value["type"] == "custom_tool_call_output" else []

        # In a history without foreign fields, the item is sent, too.
        for extra in ({}, FOREIGN):
            sent = input_of(home, *(("response_item", one) for one in (*call, {**value, **extra})), for_api=True)

            assert sent
            assert all(is_accepted(one, ResponseInputItemParam) for one in sent)

    @pytest.mark.parametrize("value", LEFT_OUT, ids=lambda value: value["type"])
    def test_what_the_public_api_refuses_is_left_out(self, home: Path, value: Item) -> None:
        assert input_of(home, ("response_item", value), for_api=True) == []

    def test_the_values_stay(self, home: Path) -> None:
        sent = input_of(home, *(("response_item", one) for one in ITEMS), for_api=True)

        user, agent, refusal, system, thoughts = sent[:5]
        assert [part["type"] for part in user["content"]] == ["input_text", "input_image", "input_file"]
        assert agent == {**ITEMS[1], "content": [{"type": "output_text", "text": "a", "annotations": []}]}
        assert refusal["content"] == [{"type": "refusal", "refusal": "no"}]
        assert "phase" not in refusal
        assert system == ITEMS[3]
        assert thoughts == {key: ITEMS[4][key] for key in ("type", "summary", "encrypted_content")}
        assert [one["output"] for one in sent if one["type"] == "custom_tool_call_output"] == [""]
        assert next(one for one in sent if one["type"] == "local_shell_call")["action"] == {
            "type": "exec", "command": ["ls"], "env": {},
        }  # fmt: skip
        assert sent[-1] == {"type": "compaction", "encrypted_content": "gAAAA"}

    def test_an_id_stays_where_the_service_finds_its_own_reasoning_by_it(self, home: Path) -> None:
        thoughts = {"type": "reasoning", "summary": [], "id": "rs_1"}

        assert input_of(home, ("response_item", thoughts), for_api=True) == [thoughts]

    def test_items_of_another_dialect_are_accepted(self, home: Path) -> None:
        dialect = dialect_for("/v1/messages")
        assert dialect is not None
        body = {
            "model": "m",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "q", "cache_control": {"type": "ephemeral"}}]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "text", "text": "a"},
                    {"type": "tool_use", "id": "toolu_1", "name": "n", "input": {}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok", "is_error": True},
                ]},
            ],
        }  # fmt: skip
        items = dialect.read_request(body).items

        sent = input_of(home, *(("response_item", one) for one in items), for_api=True)

        assert [one["type"] for one in sent] == ["message", "message", "function_call", "function_call_output"]
        assert all(is_accepted(one, ResponseInputItemParam) for one in sent)

    def test_every_type_of_item_is_accepted_or_left_out(self, home: Path) -> None:
        tags = [kind.tag for name in schema.__all__ if hasattr(kind := getattr(schema, name), "tag") and kind.tag]

        for tag in tags:
            sent = input_of(home, ("response_item", {"type": tag, **FOREIGN}), for_api=True)

            assert all(is_accepted(one, ResponseInputItemParam) for one in sent), tag

    def test_without_the_option_foreign_fields_stay(self, home: Path) -> None:
        value = {**ITEMS[1], "author": "x"}

        [sent] = input_of(home, ("response_item", value))

        assert sent == value
        assert not is_accepted(sent, ResponseInputItemParam)
