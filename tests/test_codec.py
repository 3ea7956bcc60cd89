from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from rollout import EncodeError, InvalidLineError, RolloutLine, codec, schema
from rollout.codec import decode_block, decode_line, encode_item, encode_line, format_timestamp
from rollout.schema._plain import snapshot

TIME_MS = 1_758_052_149_591
GIT = schema.GitInfo(commit_hash="c", branch="b", repository_url="https://example.com/x")
USAGE = schema.TokenUsage(
    input_tokens=124, cached_input_tokens=10, output_tokens=20, reasoning_output_tokens=5, total_tokens=144
)
FINDING = schema.ReviewFinding(
    title="t",
    body="b",
    confidence_score=0.5,
    priority=1,
    code_location=schema.CodeLocation(absolute_file_path="/f", line_range=schema.LineRange(start=1, end=2)),
)
WORKSPACE = schema.SandboxPolicy(
    mode="workspace-write",
    writable_roots=("/w",),
    network_access=False,
    exclude_tmpdir_env_var=False,
    exclude_slash_tmp=False,
)

# What serde_json writes for the same values in Codex of September 2025, taken from files of 0.36.0 or its types.
GOLDEN = {
    '"session_meta","payload":{"id":"i","timestamp":"t","cwd":"/w","originator":"codex_cli_rs","cli_version":"0.36.0",'
    '"instructions":null}': schema.SessionMeta(
        id="i", timestamp="t", cwd="/w", originator="codex_cli_rs", cli_version="0.36.0"
    ),
    '"session_meta","payload":{"id":"i","timestamp":"t","cwd":"/w","originator":"o","cli_version":"1","instructions":"x",'
    '"git":{"commit_hash":"c","branch":"b","repository_url":"https://example.com/x"}}': schema.SessionMeta(
        id="i", timestamp="t", cwd="/w", originator="o", cli_version="1", instructions="x", git=GIT
    ),
    '"response_item","payload":{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"},'
    '{"type":"input_image","image_url":"data:"}]}': schema.Message(
        role="user", content=(schema.InputText(text="hi"), schema.InputImage(image_url="data:"))
    ),
    '"response_item","payload":{"type":"message","role":"assistant","content":[{"type":"output_text","text":"é/🎉"}]}': (
        schema.Message(role="assistant", content=(schema.OutputText(text="é/🎉"),))
    ),
    '"response_item","payload":{"type":"reasoning","summary":[{"type":"summary_text","text":"s"}],"content":null,'
    '"encrypted_content":"gAAA"}': schema.Reasoning(
        summary=(schema.SummaryText(text="s"),), encrypted_content="gAAA"
    ),
    '"response_item","payload":{"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"r"}],'
    '"encrypted_content":null}': schema.Reasoning(summary=(), content=(schema.ReasoningText(text="r"),)),
    '"response_item","payload":{"type":"local_shell_call","call_id":"c","status":"completed","action":{"type":"exec",'
    '"command":["ls"],"timeout_ms":5000,"working_directory":null,"env":null,"user":null}}': schema.LocalShellCall(
        call_id="c", status="completed", action=schema.LocalShellAction(command=("ls",), timeout_ms=5000)
    ),
    '"response_item","payload":{"type":"function_call","name":"shell","arguments":"{\\"a\\":\\"/\\"}","call_id":"c"}': (
        schema.FunctionCall(name="shell", arguments='{"a":"/"}', call_id="c")
    ),
    '"response_item","payload":{"type":"function_call_output","call_id":"c","output":"o"}': schema.FunctionCallOutput(
        call_id="c", output="o"
    ),
    '"response_item","payload":{"type":"custom_tool_call","status":"completed","call_id":"c","name":"n","input":"i"}': (
        schema.CustomToolCall(status="completed", call_id="c", name="n", input="i")
    ),
    '"response_item","payload":{"type":"custom_tool_call","call_id":"c","name":"n","input":"i"}': schema.CustomToolCall(
        call_id="c", name="n", input="i"
    ),
    '"response_item","payload":{"type":"custom_tool_call_output","call_id":"c","output":"o"}': (
        schema.CustomToolCallOutput(call_id="c", output="o")
    ),
    '"response_item","payload":{"type":"web_search_call","status":"completed","action":{"type":"search","query":"q"}}': (
        schema.WebSearchCall(status="completed", action=schema.WebSearchAction(type="search", query="q"))
    ),
    '"event_msg","payload":{"type":"user_message","message":"m","kind":"plain"}': schema.UserMessage(
        message="m", kind="plain"
    ),
    '"event_msg","payload":{"type":"user_message","message":"m","kind":"plain","images":["i"]}': schema.UserMessage(
        message="m", kind="plain", images=("i",)
    ),
    '"event_msg","payload":{"type":"agent_message","message":"m"}': schema.AgentMessage(message="m"),
    '"event_msg","payload":{"type":"agent_reasoning","text":"t"}': schema.AgentReasoning(text="t"),
    '"event_msg","payload":{"type":"agent_reasoning_raw_content","text":"t"}': schema.AgentReasoningRawContent(text="t"),
    '"event_msg","payload":{"type":"token_count","info":null}': schema.TokenCount(),
    '"event_msg","payload":{"type":"token_count","info":null,"rate_limits":{"primary":null,"secondary":null}}': (
        schema.TokenCount(rate_limits=schema.RateLimits())
    ),
    '"event_msg","payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":124,"cached_input_tokens":10,'
    '"output_tokens":20,"reasoning_output_tokens":5,"total_tokens":144},"last_token_usage":{"input_tokens":124,'
    '"cached_input_tokens":10,"output_tokens":20,"reasoning_output_tokens":5,"total_tokens":144},'
    '"model_context_window":272000}}': schema.TokenCount(
        info=schema.TokenUsageInfo(total_token_usage=USAGE, last_token_usage=USAGE, model_context_window=272000)
    ),
    '"event_msg","payload":{"type":"turn_aborted","reason":"interrupted"}': schema.TurnAborted(reason="interrupted"),
    '"event_msg","payload":{"type":"entered_review_mode","prompt":"p","user_facing_hint":"h"}': schema.EnteredReviewMode(
        prompt="p", user_facing_hint="h"
    ),
    '"event_msg","payload":{"type":"exited_review_mode","review_output":null}': schema.ExitedReviewMode(),
    '"event_msg","payload":{"type":"exited_review_mode","review_output":{"findings":[{"title":"t","body":"b",'
    '"confidence_score":0.5,"priority":1,"code_location":{"absolute_file_path":"/f","line_range":{"start":1,"end":2}}}],'
    '"overall_correctness":"c","overall_explanation":"e","overall_confidence_score":1.0}}': schema.ExitedReviewMode(
        review_output=schema.ReviewOutput(
            findings=(FINDING,), overall_correctness="c", overall_explanation="e", overall_confidence_score=1.0
        )
    ),
    '"compacted","payload":{"message":"m"}': schema.Compacted(message="m"),
    '"turn_context","payload":{"cwd":"/w","approval_policy":"never","sandbox_policy":{"mode":"danger-full-access"},'
    '"model":"gpt-5-codex","summary":"auto"}': schema.TurnContext(
        cwd="/w",
        approval_policy="never",
        sandbox_policy=schema.SandboxPolicy(mode="danger-full-access"),
        model="gpt-5-codex",
        summary="auto",
    ),
    '"turn_context","payload":{"cwd":"/w","approval_policy":"on-request","sandbox_policy":{"mode":"workspace-write",'
    '"writable_roots":["/w"],"network_access":false,"exclude_tmpdir_env_var":false,"exclude_slash_tmp":false},'
    '"model":"m","effort":"high","summary":"auto"}': schema.TurnContext(
        cwd="/w", approval_policy="on-request", sandbox_policy=WORKSPACE, model="m", effort="high", summary="auto"
    ),
}  # fmt: skip


def body(line: bytes) -> str:
    return line.decode().removeprefix('{"timestamp":"2025-09-16T19:49:09.591Z","type":').removesuffix("}\n")


def encoded(payload: Any) -> str:
    line = encode_item("x", snapshot({"v": payload}), time_ms=TIME_MS)
    return body(line).removeprefix('"x","payload":{"v":').removesuffix("}")


class TestEncoding:
    @pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden[:60])
    def test_a_line_has_the_same_bytes_as_a_line_of_codex(self, golden: str) -> None:
        item = GOLDEN[golden]

        line = encode_item(item.line_type, snapshot(item), time_ms=TIME_MS)

        assert body(line) == golden

    @pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden[:60])
    def test_a_line_of_codex_decodes_to_the_same_item(self, golden: str) -> None:
        raw = f'{{"timestamp":"2025-09-16T19:49:09.591Z","type":{golden}}}\n'.encode()

        line = decode_line(raw)

        assert line.item == GOLDEN[golden]
        assert encode_line(line) == raw

    def test_ordinal_and_metadata_have_the_same_place_as_in_a_line_of_codex(self) -> None:
        line = encode_item("response_item", {"a": 1}, time_ms=TIME_MS, ordinal=7, metadata={"client_authored": False})

        assert line == (
            b'{"timestamp":"2025-09-16T19:49:09.591Z","ordinal":7,"type":"response_item","payload":{"a":1},'
            b'"metadata":{"client_authored":false}}\n'
        )

    @pytest.mark.parametrize(
        ("text", "written"),
        [
            ("a/b", "a/b"),
            ("é🎉\u2028\x7f\x85\ufffd", "é🎉\u2028\x7f\x85\ufffd"),
            ('"\\\b\f\n\r\t', '\\"\\\\\\b\\f\\n\\r\\t'),
            ("\x00\x1b\x1f", "\\u0000\\u001b\\u001f"),
            ("\ud800", "\ufffd"),
            ("\udfff\ud83c\udf89", "\ufffd🎉"),
        ],
    )
    def test_characters_are_escaped_as_serde_json_does(self, text: str, written: str) -> None:
        assert encoded(text) == f'"{written}"'
        assert encoded({text: 1}) == f'{{"{written}":1}}'

    @pytest.mark.parametrize(
        ("value", "written"),
        [
            (1.0, "1.0"), (0.1, "0.1"), (-0.0, "-0.0"), (1e15, "1000000000000000.0"), (1e16, "1e16"),
            (-1e16, "-1e16"), (1.2345678901234568e17, "1.2345678901234568e17"), (1e300, "1e300"),
            (0.0001, "0.0001"), (1e-5, "0.00001"), (-1.234e-5, "-0.00001234"), (9.99e-6, "9.99e-6"),
            (1.5e-7, "1.5e-7"), (5e-324, "5e-324"), (1e-10, "1e-10"), (9007199254740993.0, "9007199254740992.0"),
            (1795224337.1411426, "1795224337.1411426"), (2**64, "18446744073709551616"), (-(2**63), str(-(2**63))),
            (10**40, "1" + "0" * 40), (True, "true"), (None, "null"), ([], "[]"), ({}, "{}"),
        ],
    )  # fmt: skip
    def test_numbers_are_formatted_as_serde_json_does(self, value: Any, written: str) -> None:
        assert encoded(value) == written

    @pytest.mark.parametrize(
        ("time_ms", "written"),
        [
            (0, "1970-01-01T00:00:00.000Z"),
            (TIME_MS, "2025-09-16T19:49:09.591Z"),
            (1_795_224_337_000, "2026-11-21T01:25:37.000Z"),
            (1_795_224_337_007, "2026-11-21T01:25:37.007Z"),
        ],
    )
    def test_timestamps_have_three_digits_of_milliseconds(self, time_ms: int, written: str) -> None:
        assert format_timestamp(time_ms) == written

    def test_a_line_can_be_created_with_an_item_as_its_payload(self) -> None:
        line = RolloutLine(timestamp="t", type="event_msg", payload=schema.AgentMessage(message="m"))

        assert line.item is line.payload
        assert (
            encode_line(line)
            == b'{"timestamp":"t","type":"event_msg","payload":{"type":"agent_message","message":"m"}}\n'
        )

    def test_a_value_without_a_json_form_is_refused_with_its_path(self) -> None:
        with pytest.raises(EncodeError) as error:
            encode_line(RolloutLine(timestamp="t", type="x", payload={"a": [1, {2}]}))

        assert error.value.path == "payload.a[1]"


LINES = [
    '{"timestamp":"t","type":"event_msg","payload":{"type":"agent_message","message":"m","novel":[1,{"a":null}]}}',
    '{"timestamp":"t","ordinal":3,"type":"response_item","payload":{"type":"message","id":"i","role":"user",'
    '"content":[{"type":"input_text","novel":1,"text":"x"},{"type":"novel","y":2}],"phase":null,'
    '"internal_chat_message_metadata_passthrough":{"turn_id":"t"}},"metadata":{"history_sequence":1}}',
    '{"timestamp":"t","ordinal":null,"type":"event_msg","payload":{"type":"turn_started","turn_id":"i"},"metadata":null}',
    '{"novel":1,"type":"event_msg","timestamp":"t","payload":{"message":"m","type":"agent_message"}}',
    '{"timestamp":"t","type":"response_item","payload":{"type":"compaction_summary","encrypted_content":"x"}}',
    '{"timestamp":"t","type":"response_item","payload":{"type":"message","id":null,"role":"user","content":[]}}',
    '{"timestamp":"t","type":"response_item","payload":{"type":"reasoning","summary":[],"encrypted_content":null}}',
    '{"timestamp":"t","type":"session_meta","payload":{"account_scoped":true,"session_id":"i","id":"i","timestamp":"t",'
    '"cwd":"/","runtime_workspace_roots":["/"],"originator":"o","cli_version":"1","source":{"subagent":"x"}}}',
    '{"timestamp":"t","type":"response_item","payload":{"type":"function_call_output","call_id":"c","output":[{"a":1}]}}',
    '{"timestamp":"t","type":"event_msg","payload":{"type":"thread_goal_updated","threadId":"x","goal":{"objective":"o"}}}',
    '{"timestamp":"t","type":"event_msg","payload":{"type":"item_completed","item":{"type":"Plan","id":"p","text":"x"}}}',
    '{"timestamp":"t","type":"world_state","payload":{"full":true,"state":{}}}',
    '{"timestamp":"t","type":"retained_context","payload":{"type":"user","x":1}}',
    '{"id":"i","timestamp":"t","instructions":null,"git":{"branch":"b"}}',
    '{"record_type":"state"}',
    '{"type":"message","id":null,"role":"user","content":[{"type":"input_text","text":"x"}]}',
]


class TestDecoding:
    @pytest.mark.parametrize("text", LINES)
    def test_a_decoded_line_and_its_item_keep_every_field(self, text: str) -> None:
        line = decode_line(text.encode() + b"\n")

        assert line.raw == text.encode()
        assert encode_line(line) == line.raw + b"\n"
        assert json.dumps(snapshot(line.item)) == json.dumps(line.payload)
        assert not line.item.is_unknown

    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ('{"id":"i","timestamp":"t"}', "SessionMeta"),
            ('{"record_type":"state"}', "StateMarker"),
            ('{"type":"reasoning","summary":[]}', "Reasoning"),
        ],
    )
    def test_a_line_before_the_envelope_is_read_as_the_same_item(self, text: str, kind: str) -> None:
        line = decode_line(text.encode())

        assert line.is_bare
        assert type(line.item).__name__ == kind

    def test_a_meta_before_the_envelope_has_a_time_and_an_item_has_none(self) -> None:
        assert decode_line(b'{"id":"i","timestamp":"t"}').timestamp == "t"
        assert decode_line(b'{"type":"message"}').timestamp is None

    @pytest.mark.parametrize(
        ("kind", "payload", "reason"),
        [
            ("novel", {}, "unknown line type 'novel'"),
            ("event_msg", {"type": "novel"}, "unknown type 'novel'"),
            ("event_msg", {"type": 1}, "unknown type 1"),
            ("event_msg", {}, "unknown type None"),
            ("response_item", {"type": "message", "role": "user"}, "no 'content'"),
            ("response_item", {"type": "message", "role": 1, "content": []}, "1 is not str"),
            ("response_item", {"type": "message", "role": "user", "content": "text"}, "'text' is not list"),
            ("session_meta", {"id": None, "timestamp": "t"}, "None is not str"),
            ("turn_context", {"cwd": "/", "approval_policy": "x", "model": "m", "sandbox_policy": 1}, "1 is not dict"),
            ("event_msg", {"type": "token_count", "info": {"total_token_usage": True}}, "True is not dict"),
            ("event_msg", {"type": "exited_review_mode", "review_output": {"findings": [], "overall_correctness": "",
             "overall_explanation": "", "overall_confidence_score": "high"}}, "'high' is not a number"),
        ],
    )  # fmt: skip
    def test_a_payload_that_fits_no_class_is_kept_with_the_reason(self, kind: str, payload: Any, reason: str) -> None:
        item: Any = RolloutLine(timestamp="t", type=kind, payload=payload).item

        assert item.is_unknown
        assert item.line_type == kind
        assert (item.payload, item.reason) == (payload, reason)

    def test_a_content_item_that_fits_no_class_does_not_affect_the_others(self) -> None:
        payload = {"type": "message", "role": "user", "content": [{"type": "novel"}, 1, {"type": "input_text"}]}

        item: Any = RolloutLine(timestamp="t", type="response_item", payload=payload).item

        assert type(item) is schema.Message
        assert [type(part) for part in item.content] == [schema.UnknownContentItem] * 3
        assert snapshot(item) == payload

    def test_an_int_is_accepted_for_a_float(self) -> None:
        window: Any = {"type": "token_count", "info": None, "rate_limits": {"primary": {"used_percent": 5}}}

        item: Any = RolloutLine(timestamp="t", type="event_msg", payload=window).item

        assert item.rate_limits.primary.used_percent == 5

    def test_the_last_of_repeated_keys_is_used_and_the_bytes_are_kept(self) -> None:
        raw = b'{"timestamp":"t","type":"event_msg","type":"compacted","payload":{"message":"m"}}'

        line = decode_line(raw)

        assert (line.type, line.raw) == ("compacted", raw)

    @pytest.mark.parametrize("raw", [b"", b"{", b"1", b'{"type":"event_msg"}', b'{"timestamp":"t","type":"message"}'])
    def test_an_invalid_line_is_refused(self, raw: bytes) -> None:
        with pytest.raises(InvalidLineError) as error:
            decode_line(raw)

        assert (error.value.path, error.value.lineno) == (None, 0)
        assert str(error.value) == error.value.reason

    def test_infinity_is_read_but_not_written(self) -> None:
        line = decode_line(b'{"timestamp":"t","type":"x","payload":{"a":1e400}}')

        assert line.payload == {"a": float("inf")}
        with pytest.raises(EncodeError, match="inf"):
            encode_line(line)


class TestEvolving:
    def test_a_changed_line_has_no_raw_bytes(self) -> None:
        line = decode_line(LINES[0].encode())

        changed = attrs.evolve(line, timestamp="u")

        assert changed.raw == b""
        assert b'"timestamp":"u"' in encode_line(changed)

    def test_an_ordinal_can_be_added_or_removed(self) -> None:
        line = decode_line(LINES[1].encode())

        assert b"ordinal" not in encode_line(attrs.evolve(line, ordinal=None, keys=None))
        assert b'"ordinal":4' in encode_line(attrs.evolve(decode_line(LINES[0].encode()), ordinal=4))

    def test_a_changed_item_keeps_unknown_fields_and_the_order_of_its_keys(self) -> None:
        item: Any = decode_line(LINES[3].encode().replace(b'"message":"m"', b'"message":"m","novel":1')).item

        changed = attrs.evolve(item, message="n", phase="p")

        assert list(snapshot(changed).items()) == [
            ("message", "n"),
            ("novel", 1),
            ("type", "agent_message"),
            ("phase", "p"),
        ]


class TestBlock:
    USUAL = b'{"timestamp":"t","type":"event_msg","payload":{"type":"x"}}'
    NUMBERED = b'{"timestamp":"t","ordinal":3,"type":"event_msg","payload":{},"metadata":null}'

    def test_has_the_envelope_of_each_line(self) -> None:
        lines = [self.USUAL, b" " + self.NUMBERED + b"\r", self.USUAL.replace(b'"x"', '"é\u2028"'.encode())]

        found = decode_block(b"\n".join(lines))

        assert found is not None
        assert [(one["timestamp"], one["type"], one["payload"]) for one in found] == [
            (line.timestamp, line.type, line.payload) for line in map(decode_line, lines)
        ]
        assert [one.get("ordinal") for one in found] == [None, 3, None]

    @pytest.mark.parametrize(
        "lines",
        [
            [b""],
            [b"{"],
            [USUAL, b""],
            [b"", USUAL],
            [USUAL, b" ", USUAL],
            [USUAL + USUAL],
            [USUAL + b"," + USUAL],
            [USUAL + b","],
            [USUAL + b"]", b"[" + USUAL],
            [USUAL[:16], USUAL[17:]],
            [USUAL + b"," + USUAL, USUAL[:16], USUAL[17:]],
            [USUAL[:16], USUAL[17:], USUAL + b"," + USUAL],
            [b"\xef\xbb\xbf" + USUAL],
            [USUAL.replace(b"x", b"\xff")],
            [USUAL, b"null"],
            [b"[]", USUAL],
            [b'"payload"'],
            [USUAL.replace(b'"t"', b"null")],
            [USUAL.replace(b'"event_msg"', b"1")],
            [b'{"timestamp":"t","type":"event_msg","payload":[]}'],
            [b'{"timestamp":"t","type":"event_msg","payload":{},"novel":1}'],
            [NUMBERED.replace(b"3", b"null")],
            [NUMBERED.replace(b"3", b"true")],
            [b'{"type":"message","role":"user","content":[]}'],
            [b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"],
        ],
        ids=lambda lines: b"|".join(lines)[:30].decode("ascii", "backslashreplace"),
    )
    def test_with_another_line_is_to_be_decoded_line_by_line(self, lines: list[bytes]) -> None:
        assert decode_block(b"\n".join(lines)) is None


def test_an_encoder_without_memory_raises_memory_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> str:
        raise OverflowError("Could not reserve memory block")

    encode_item("event_msg", {}, 0)
    monkeypatch.setattr(codec, "_dumps", refuse)

    with pytest.raises(MemoryError, match="Could not reserve memory block"):
        encode_item("event_msg", {}, 0)
