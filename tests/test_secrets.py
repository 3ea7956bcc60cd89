from __future__ import annotations

import copy
import json
import re
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout import read_lines
from rollout.export._redact import redacted_line
from rollout.secrets import FoundSecret, Receipt, Redaction, Replacement, find_secrets, scan
from tests import rollouts, zstd
from tests.memory import peak_memory
from tests.secret_samples import (
    AWS_ID,
    AWS_SECRET,
    GITHUB,
    HEX,
    JWT,
    KEYS,
    MIXED,
    PEM,
    PEM_BEGIN,
    PEM_BODY,
    SECRETS,
    VALUE,
)

# Put together here, so that no scanner takes them for keys of ours.
NO_VALUES = """
<your-password1> ${PASSWORD1} $PASSWORD1 %PASSWORD1% %(password1)s {password1} {{password1}} {f(x1).y} #bygroup
secret\\n \\u5bc6\\u7801\\u5bc6 请输入您的密码啊啊 xxxxxxxx1 example1 changeme1
[REDACTED] ******** .....a1b ab12 newPassword old_password required|min:max DB_PASSWORD_2 /run/secrets/db1
./secrets/db1 ~/pw/a123 https://host/reset1 process.env.PW1 os.environ1
"""
NO_URL_PASSWORDS = "password pass ${PW} {password} $REDIS_PASSWORD *** %s"
NO_BEARERS = "<token> $TOKEN YOUR_TOKEN_HERE ACCESS_TOKEN {token}"
NO_SECRETS = [
    "",
    "short",
    "a plain text about the password, a token and the secret: nothing is here",
    "-----BEGIN " + "PRIVATE KEY-----",
    '"-----BEGIN ' + 'PRIVATE KEY-----"; "-----END ' + f'PRIVATE KEY-----"; {MIXED}',
    "-----BEGIN " + "PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
    "-----BEGIN CERTIFICATE-----\n" + "\n".join(PEM_BODY),
    "x" + AWS_ID,
    AWS_ID + "0",
    "AK" + "IAIOSFODNN7EXAMPLE",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY",
    "gh" + "p_" + "x" * 36,
    "gh" + "p_" + MIXED[:20],
    "gl" + "pat-short",
    "disk-" + "usage-of-all-mounted-volumes-1",
    'class="sk-' + 'toggleable__content-arrow sk-estimator-doc-link2"',
    "sk-" + "abcdefghijklmnopqrstuvwxyz",
    "npm_" + "config_user_agent_of_the_package_manager1",
    "\\npm_" + MIXED[:35],
    f"aws_secret_key\\n{MIXED[:39]}",
    "eyJ" + "hbGciOiJIUzI1NiJ9 and no more",
    "hooks.slack.com/services/T00000000/B00000000/" + "X" * 24,
    "S" + "K" + HEX[:31],
    "https://user@host/path:1@x",
    "https://host:8080/path",
    "docker://alpine:3.18@sha256:" + HEX,
    *(f"redis://user:{word}@host" for word in NO_URL_PASSWORDS.split()),
    *(f"Authorization: Bearer {word}" for word in NO_BEARERS.split()),
    "Authorization: Basic authentication is used",
    *(f'password = "{value}"' for value in [*NO_VALUES.split(), "correct horse battery 1"]),
    "token = get_token_2(name)",
    "TOKEN=base64.b64encode(raw)",
    "MAX_TOKEN=16777216",
    "TOKEN=abcdefghijkl",
    "token=Base64Encoder1OfTheHouse(x)",
    "token=Base64Encoder1OfTheHouse.of(x)",
    "token: Uint8Array",
    'tokens: ["a1b2c3d4e5"]',
    '{"token_count": {"total": 12345678901234567890}}',
    '["token=",1234567890,"x"]',
    "[REDACTED:github-token:3f2a9c1b]",
    "password = '[REDACTED:password:3f2a9c1b]'",
    "https://[REDACTED:github-token:3f2a9c1b]@github.com",
]

JSON_TEXTS = st.text("a1é\U00010000\"\\/\n\0 {}[]:,='", max_size=9)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | JSON_TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(JSON_TEXTS, inner),
)
GLUE = st.sampled_from(
    [*" \n\"'\\-_.=:@\0", "\\n", "://", "password=", "TOKEN=", "aws_secret_key", "Authorization: Basic ", MIXED[:39]]
)
# What may stand beside a key, as it is no part of one.
AROUND = st.text(" \n\t\"',;()<>{}&|=é", max_size=4)
TEXTS = st.lists(st.sampled_from(KEYS) | GLUE | st.text(max_size=5), max_size=12).map("".join)


# Each over and over: anchors that could each make a pattern run to the end of the text.
HOSTILE = [
    *("a", "-", "://", "eyJ", ".eyJ", "x://a:b", "token=", "TOKEN=", "TOKEN=a1", "token=a1(", 'token="', "token='"),
    *('password="{', "AccountKey=", "SK", "sk-proj-", "authorization:bearer ", "\\", '\\"', "[", "\u0130"),
    *("secret_access_key ' ", PEM_BEGIN, f"{PEM_BEGIN}\n{MIXED[:20]}", "token=\0TOKEN=a1"),
]


def redact(value: Any) -> Any:
    return Redaction().redact(value)


def texts_of(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for part in value for text in texts_of(part)]
    return [text for key, part in value.items() for text in (key, *texts_of(part))] if isinstance(value, dict) else []


def rollout(tmp_path: Path, *lines: bytes | rollouts.Line) -> Path:
    path = tmp_path / "rollout.jsonl"
    path.write_bytes(b"".join(line if isinstance(line, bytes) else rollouts.encode([line]) for line in lines))
    return path


@pytest.mark.parametrize(("kind", "text", "secret"), SECRETS, ids=[kind for kind, *_ in SECRETS])
def test_a_secret_is_found_at_its_position(kind: str, text: str, secret: str) -> None:
    before, _, after = text.partition("{}")

    found = find_secrets(before + secret + after)

    assert [(each.kind, each.start, each.end) for each in found] == [(kind, len(before), len(before + secret))]
    assert re.fullmatch(rf"\[REDACTED:{kind}:[0-9a-f]{{8}}\]", found[0].placeholder)
    assert redact(before + secret + after) == before + found[0].placeholder + after


@pytest.mark.parametrize(("kind", "text", "secret"), SECRETS, ids=[kind for kind, *_ in SECRETS])
def test_a_secret_is_replaced_in_json_text_that_stays_valid(kind: str, text: str, secret: str) -> None:
    held = text.replace("{}", secret)
    deep = {"cmd": ["bash", held], "n": [1.10, None, True]}
    for arguments in (
        json.dumps(deep),
        json.dumps({"a": json.dumps([json.dumps(deep)])}, indent=1, ensure_ascii=False),
    ):
        redaction = Redaction()

        changed = json.loads(redaction.redact(arguments))

        inner = json.loads(json.loads(changed["a"])[0]) if "a" in changed else changed
        assert inner == {**deep, "cmd": ["bash", redact(held)]}
        assert [each.kind for each in redaction.receipt.replacements] == [kind]


@pytest.mark.parametrize("text", NO_SECRETS)
def test_text_without_a_secret_is_returned_unchanged(text: str) -> None:
    assert find_secrets(text) == []
    assert redact(text) is text


def test_secrets_are_in_order_and_overlapping_ones_are_merged() -> None:
    url = f"https://bob:{JWT}x@host"
    text = f"{url} PASSWORD=a1@{AWS_ID}#{AWS_ID} {GITHUB}"

    found = find_secrets(text)

    assert [(each.kind, text[each.start : each.end]) for each in found] == [
        ("jwt", JWT + "x"),
        ("password", f"a1@{AWS_ID}#{AWS_ID}"),
        ("github-token", GITHUB),
    ]
    partly = f"Authorization: Bearer {VALUE}/secret_access_key={AWS_SECRET}"
    assert [partly[each.start : each.end] for each in find_secrets(partly)] == [partly[22:]]


def test_equal_secrets_have_equal_placeholders_in_every_place() -> None:
    texts = [f"{PEM}\n", PEM.replace("\n", "\r\n"), json.dumps([PEM]), json.dumps(json.dumps(PEM)), repr(PEM)]
    places = {re.search(r"\[REDACTED:.*?\]", redact(text))[0] for text in texts}  # type: ignore[index]
    named = redact({"password": VALUE, "text": f'password="{VALUE}"'})

    assert places == {find_secrets(PEM)[0].placeholder}
    assert named["text"] == f'password="{named["password"]}"'
    assert find_secrets(GITHUB)[0].placeholder != find_secrets(GITHUB + "a")[0].placeholder
    assert find_secrets(f'token="{VALUE}"')[0].placeholder[-9:] != named["password"][-9:]


def test_a_placeholder_is_the_same_in_every_process() -> None:
    assert find_secrets(f'password="{VALUE}"')[0].placeholder == "[REDACTED:password:bb9b5113]"


def test_a_secret_with_a_lone_surrogate_is_replaced() -> None:
    assert redact({"password": "ab\ud800cd1234"})["password"].startswith("[REDACTED:password:")


@pytest.mark.parametrize("around", ["\x1b[01;31m{}\x1b[m", "\x1b[32m{}\x1b[0m", '{{"a":"\\u001b[1m{}\\u001b[m"}}'])
def test_a_secret_between_terminal_colors_is_found(around: str) -> None:
    secret = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5"

    assert secret not in Redaction().redact(around.format(secret))
    assert [found.kind for found in find_secrets(around.format(secret))] == ["github-token"]


def test_a_secret_with_a_color_inside_it_is_replaced_and_the_colors_are_removed() -> None:
    text = "\x1b[1mkey\x1b[m ghp_\x1b[1maB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5\x1b[m"

    assert re.fullmatch(r"key \[REDACTED:github-token:[0-9a-f]{8}\]", Redaction().redact(text))


def test_redaction_returns_new_values_and_keeps_unchanged_ones() -> None:
    value = {"a": ["x", 1, {"b": GITHUB}], "c": {"d": ["y", None, True, 1.5]}, GITHUB: "z", "e": (GITHUB,)}
    before = copy.deepcopy(value)

    changed = redact(value)

    place = find_secrets(GITHUB)[0].placeholder
    assert value == before
    assert changed == {"a": ["x", 1, {"b": place}], "c": before["c"], place: "z", "e": (GITHUB,)}
    assert changed["c"] is value["c"]
    assert list(changed) == ["a", "c", place, "e"]
    assert redact(value["c"]) is value["c"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("password", VALUE),
        ("DB_PASSWORD", "a\"b'c`d\\e1"),
        ("client_secret", VALUE),
        ("apiKey", VALUE),
        ("SecretAccessKey", AWS_SECRET),
        ("access_token", VALUE),
    ],
)
def test_the_value_of_a_field_with_a_secret_s_name_is_replaced(name: str, value: str) -> None:
    assert redact({name: value, "name": value}) == {name: redact({name: value})[name], "name": value}
    assert redact({name: value})[name].startswith("[REDACTED:")
    assert redact({name: {"of": value}, f"{name}_hint": value, name + "s": [value]})[name] == {"of": value}
    assert redact({name: "a word"}) == {name: "a word"}


def test_the_name_of_a_field_is_not_joined_to_its_value() -> None:
    value = {PEM_BEGIN: MIXED, "https://bob:a": "b@host"}

    assert redact(value) is value


def test_a_secret_inside_the_value_of_a_field_is_replaced() -> None:
    value = f"://TOKEN={VALUE}"

    assert redact({"token": value}) == {"token": redact(value)}
    assert redact(value) != value


def test_a_header_in_a_field_keeps_its_scheme() -> None:
    changed = redact({"headers": {"Authorization": f"Bearer {VALUE}"}})

    assert changed["headers"]["Authorization"].startswith("Bearer [REDACTED:authorization-header:")


def test_only_the_secret_in_json_text_is_changed() -> None:
    text = '\n{ "a\\/b" : 1.10, "big":12345678901234567890, "a":"\\u00e9", "x":NaN,\t"u":"x:\\/\\/b:%s@h" , "a":2}'

    changed = redact(text % "p\\u0026ssw0rd")

    assert changed == text.replace("x:\\/\\/b:%s@h", "x://b:" + find_secrets("x://b:p&ssw0rd@h")[0].placeholder + "@h")


@pytest.mark.parametrize("text", ['{"a\\n": %s', "[\\n%s]", '{"\\n": "%s"} {}', "[" * 1500 + '"\\n%s"' + "]" * 1500])
def test_invalid_json_is_redacted_as_text(text: str) -> None:
    assert redact(text % GITHUB) == text % find_secrets(GITHUB)[0].placeholder


def test_json_text_of_any_depth_is_redacted() -> None:
    text = "[" * 900 + json.dumps(f"\n{GITHUB}") + "]" * 900

    assert redact(text) == text.replace(GITHUB, find_secrets(GITHUB)[0].placeholder)


def test_a_receipt_has_each_placeholder_with_its_kind_and_count() -> None:
    redaction = Redaction()
    github, aws = find_secrets(f"{GITHUB} {AWS_ID}")

    redaction.redact({"text": f"{GITHUB} {AWS_ID} {GITHUB}", "arguments": json.dumps({"a": f"\n{GITHUB}"})})
    redaction.redact([AWS_ID, {AWS_ID: 1}])

    entries = (Replacement(github.placeholder, "github-token", 3), Replacement(aws.placeholder, "aws-access-key", 3))
    assert redaction.receipt == Receipt(entries)
    assert redaction.receipt.to_dict() == {
        "schema_version": 2,
        "replacements": [
            {"placeholder": github.placeholder, "kind": "github-token", "count": 3},
            {"placeholder": aws.placeholder, "kind": "aws-access-key", "count": 3},
        ],
    }
    assert json.loads(json.dumps(redaction.receipt.to_dict())) == redaction.receipt.to_dict()
    assert Redaction().receipt.to_dict() == {"schema_version": 2, "replacements": []}


def test_results_are_frozen_and_do_not_hold_the_secret(tmp_path: Path) -> None:
    redaction = Redaction()
    redaction.redact(GITHUB)
    found: list[Any] = [
        *find_secrets(GITHUB),
        *scan(rollout(tmp_path, rollouts.message("user", GITHUB))),
        redaction.receipt,
    ]

    assert GITHUB[4:] not in repr([*found, redaction])
    for each in (*found, redaction.receipt.replacements[0]):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(each, attrs.fields(type(each))[0].name, None)


def test_a_rollout_is_scanned_line_by_line(tmp_path: Path) -> None:
    call = {"type": "function_call", "name": "shell", "arguments": json.dumps({"env": {"DB_PASSWORD": VALUE}})}
    torn = rollouts.encode([rollouts.message("user", GITHUB)])[:-6]
    extra = b'{"timestamp":"t","type":"x","payload":{},"metadata":{"m":"%s"},"more":["%s"]}\n' % (
        (AWS_ID.encode(),) * 2
    )
    path = rollout(
        tmp_path,
        rollouts.meta(),
        b"\n",
        rollouts.message("user", f"{GITHUB} and {AWS_ID}"),
        b"{broken}\n",
        ("response_item", call),
        ("event_msg", {"type": "x", "env": {GITHUB: [{"TOKEN": VALUE}]}}),
        extra,
        b'{"type":"message","role":"user","content":[{"text":"%s"}]}\n' % AWS_ID.encode(),
        b'"\xff" %s\n' % AWS_ID.encode(),
        torn,
    )

    found = list(scan(path))

    place = find_secrets(GITHUB)[0].placeholder
    assert [(each.lineno, each.kind, each.where) for each in found] == [
        (3, "github-token", "payload.content[0].text"),
        (3, "aws-access-key", "payload.content[0].text"),
        (5, "password", "payload.arguments"),
        (6, "github-token", "payload.env"),
        (6, "token", f"payload.env.{place}[0].TOKEN"),
        (7, "aws-access-key", "metadata.m"),
        (7, "aws-access-key", "more[0]"),
        (8, "aws-access-key", "payload.content[0].text"),
        (9, "aws-access-key", ""),
        (10, "github-token", ""),
    ]
    assert found[0] == FoundSecret("github-token", 3, "payload.content[0].text", place)


def test_a_line_too_deep_for_python_is_scanned_as_text(tmp_path: Path) -> None:
    line = b'{"timestamp":"t","type":"x","payload":{"k":"%s","a":%s1%s}}\n' % (
        GITHUB.encode(),
        b"[" * 1000,
        b"]" * 1000,
    )

    assert [(each.kind, each.where) for each in scan(rollout(tmp_path, line))] == [("github-token", "")]
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(RecursionError):
        redact(deep)


def test_a_line_too_long_for_memory_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollout.reading._blocks.MAX_LINE_SIZE", 1000)

    found = list(scan(rollout(tmp_path, GITHUB.encode() * 100 + b"\n", rollouts.message("user", GITHUB))))

    assert [each.lineno for each in found] == [2]


def test_a_damaged_compressed_rollout_is_scanned_up_to_the_damage(home: Path) -> None:
    data = zstd.compress(rollouts.encode(rollouts.seed_session(GITHUB, *map(str, range(2000)))))
    path = rollouts.put(home, data[: len(data) // 2], suffix=".zst")

    assert {each.kind for each in scan(path)} == {"github-token"}


def test_a_folder_and_a_missing_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        next(scan(tmp_path))
    with pytest.raises(FileNotFoundError):
        next(scan(tmp_path / "missing"))


def test_scanning_holds_one_line_at_a_time(tmp_path: Path) -> None:
    path = rollout(tmp_path, *[rollouts.message("user", f"{GITHUB}{' a' * 10_000}")] * 500)

    with peak_memory() as peak:
        count = sum(1 for _ in scan(path))

    assert count == 500
    assert peak.size < path.stat().st_size / 10


@given(st.lists(st.tuples(TEXTS, TEXTS)), JSON_VALUES)
def test_redacted_values_contain_no_secret_and_are_not_changed_by_a_second_redaction(
    pairs: list[tuple[str, str]], value: Any
) -> None:
    held = [value, dict(pairs), json.dumps(dict(pairs)), json.dumps([json.dumps(value), pairs], ensure_ascii=False)]
    redaction = Redaction()

    changed = redaction.redact(held)

    assert [find_secrets(text) for text in texts_of(changed) if find_secrets(text)] == []
    assert redact(changed) is changed
    assert [texts_of(json.loads(changed[at])) != [] for at in (2, 3)] == [pairs != [], True]
    assert redaction.receipt == Redaction().receipt or changed is not held


@given(st.lists(st.tuples(AROUND, st.sampled_from(KEYS), AROUND), min_size=1), st.booleans())
def test_no_key_is_left_after_redaction(parts: list[tuple[str, str, str]], is_ascii: bool) -> None:
    text = "\n".join(before + key + after for before, key, after in parts)
    value = {"text": text, "arguments": json.dumps({"cmd": ["bash", {text: text}]}, ensure_ascii=is_ascii)}

    changed = redact(value)

    read = {**changed, "arguments": json.loads(changed["arguments"])}
    assert [key for key in KEYS for each in texts_of(read) if key in each] == []
    assert redact(read) is read


@given(JSON_VALUES, st.integers(0, 3))
def test_json_text_without_a_secret_is_returned_unchanged(value: Any, indent: int) -> None:
    text = json.dumps(value, indent=indent or None, ensure_ascii=indent > 1)

    assert redact(text) is text


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.parametrize(("size", "limit"), [(2**18, 2.5), pytest.param(2**20, 10, marks=pytest.mark.slow)])
def test_hostile_text_takes_linear_time(unit: str, size: int, limit: float) -> None:
    for text in (unit * (size // len(unit)), json.dumps([unit * (size // len(unit))])):
        start = time.process_time()

        redact(text)

        # 0.8 s a MB on the machine where this was written; quadratic would be minutes.
        assert time.process_time() - start < limit


# Ends where a letter may follow, so that the key behind it begins inside of a word until this one is replaced.
_HIDING = "glpat-AbCdEfGhIjKlMnOpQrSt1.ab.0123abcd9"


@pytest.mark.promise("growth")
@pytest.mark.parametrize("count", [1, 8, 9, 40, 5000])
def test_adjacent_keys_are_all_replaced(count: int) -> None:
    text = f"a {_HIDING * count},{_HIDING * count} b"

    changed = redact([text, json.dumps({"cmd": ["\n", text]}), {"TOKEN": _HIDING * count}])

    said, arguments, _ = changed
    assert "glpat-" not in str(changed)
    assert (said[:2], said[-2:]) == ("a ", " b")
    assert json.loads(arguments)["cmd"][0] == "\n"
    assert redact(changed) is changed


def test_adjacent_keys_are_replaced_in_valid_json_too_deep_for_python(tmp_path: Path) -> None:
    text = f'\\n{_HIDING * 20}\\"{_HIDING * 20}\\\\'
    line = f'{{"timestamp":"t","type":"x","payload":{{"k":"{text}","a":{"[" * 1000}1{"]" * 1000}}}}}'
    (read,) = read_lines(rollout(tmp_path, f"{line}\n".encode()))

    own = redacted_line(read, Redaction())

    assert re.sub(r"\[REDACTED:gitlab-token:\w{8}\]", "*", own.payload["k"]) == '\n*"*\\'


def test_adjacent_keys_are_replaced_between_escapes_of_truncated_json() -> None:
    changed = redact(f'{{"a":"\\n{_HIDING * 20}\\u00e9\\\\n{_HIDING * 20}')

    assert re.sub(r"\[REDACTED:gitlab-token:\w{8}\]", "*", changed) == '{"a":"\\n*\\u00e9\\\\n*'


@pytest.mark.promise("growth")
def test_a_long_field_name_is_truncated_in_the_path_of_a_secret(tmp_path: Path) -> None:
    found = list(scan(rollout(tmp_path, ("event_msg", {"type": "x", "k" * 10_000: [GITHUB] * 100}))))

    assert [each.where for each in found] == [f"payload.{'k' * 100}…[{n}]" for n in range(100)]


def test_ordinary_text_is_scanned_at_several_megabytes_per_second() -> None:
    text = "def read(path: Path) -> str:  # see https://docs.python.org/3/ about the tokens of a task\n" * 110_000
    start = time.process_time()

    assert find_secrets(text) == []

    assert time.process_time() - start < 5
