from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import rollout.export
from rollout.codec import decode_line, encode_json
from rollout.export import redacted
from rollout.secrets import Redaction
from tests.builders import call, output_with_code
from tests.export.sample import PATCH, loaded, patch
from tests.rollouts import ID, Line, answer, encode, event, meta, paginated_session, prompt, put
from tests.secret_samples import KEYS

KEY = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5"
OTHER = "01a1fbb5-7abd-7c53-8766-f128212a613c"


def planted(secret: str) -> list[Line]:
    """
    Return a session with a secret in every possible place.
    """
    return [
        meta(cwd=f"/{secret}/x", originator=secret, git={"branch": secret, "repository_url": f"x {secret}"}),
        ("turn_context", {"cwd": "/", "model": secret, "approval_policy": secret}),
        *prompt(f"See {secret} here."),
        ("response_item", {"type": "reasoning", "summary": [{"type": "summary_text", "text": f"a {secret}"}]}),
        call("shell", {"command": ["bash", "-lc", f"echo {secret}"], "workdir": f"/{secret}/"}, "1"),
        output_with_code(f"out {secret}", "1"),
        call(f"tool {secret}", {f"key {secret}": f"is {secret}"}, "2"),
        output_with_code([{"type": "input_image", "image_url": f"https://x/?{secret}"}], "2"),
        *patch(PATCH.replace("return None", f'return "{secret}"').replace("parsing.py", f"a {secret} b.py")),
        event("plan_update", explanation=f"say {secret}", plan=[{"step": f"do {secret}", "status": f"s {secret}"}]),
        event("error", message=f"lost {secret}"),
        ("compacted", {"message": f"all {secret}"}),
        (f"future {secret}", {"what": secret}),
        *answer(f"It is {secret}."),
    ]


def extended(lines: list[Line], secret: str) -> bytes:
    first = b'{"timestamp":"%s","type":"event_msg","payload":{"type":"x","a":"%s","a":"b"},"%s":["%s"]}\n'
    raw = encode_json(secret)[1:-1].encode()
    return encode(lines) + first % ((raw,) * 4) + b'{"ordinal":"%s","payload":{}}\n' % raw


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:8])
def test_no_export_contains_a_secret_of_any_kind(home: Path, key: str) -> None:
    # Of one over several lines the longest stands for all.
    telling = max(key.split("\n"), key=len)
    history = redacted(loaded(home, extended(planted(key), key)), Redaction())

    for form in ("text", "markdown", "json", "html"):
        if form == "html":
            pytest.importorskip("jinja2")
        text = "".join(getattr(rollout.export, f"export_{form}")(history))
        assert telling not in text, form
        assert "[REDACTED:" in text.replace("\\", "")
    assert [line.raw for line in history.lines if telling.encode() in line.raw] == []
    assert telling not in repr((history.meta, history.skipped, history.lines))


def test_redacted_lines_have_bytes_that_equal_their_payloads(home: Path) -> None:
    history = loaded(home, planted(KEY))
    redaction = Redaction()

    new = redacted(history, redaction)

    assert [decode_line(line.raw).payload for line in new.lines] == [line.payload for line in new.lines]
    assert len(new.lines) == len(history.lines)
    assert (new.session_id, new.path) == (history.session_id, history.path)
    (replaced,) = redaction.receipt.replacements
    assert replaced.kind == "github-token"
    assert replaced.count > 20
    assert any(KEY.encode() in line.raw for line in history.lines)


def test_inherited_lines_are_redacted(home: Path) -> None:
    put(home, encode(paginated_session(f"from the base {KEY}"), first_ordinal=0))
    own = meta(session_id=OTHER, history_mode="paginated", history_base={"thread_id": ID, "end_ordinal_exclusive": 8})
    history = rollout.load_history(put(home, encode([own], first_ordinal=8), session_id=OTHER), home=home)

    new = redacted(history, Redaction())

    assert KEY in "".join(rollout.export.export_text(history))
    assert KEY not in "".join(rollout.export.export_text(new))
    assert "from the base" in "".join(rollout.export.export_text(new))


@pytest.mark.parametrize("depth", [150, 1015])
def test_lines_too_deep_to_be_walked_or_encoded_are_redacted_as_text(home: Path, depth: int) -> None:
    deep: Any = KEY
    for _ in range(depth):
        deep = [deep]
    raw = encode([meta(), event("strange", deep=1)]).replace(b'"deep":1', b'"deep":' + encode_json(deep).encode())
    redaction = Redaction()

    new = redacted(loaded(home, raw), redaction)

    assert KEY.encode() not in new.lines[1].raw
    assert KEY not in "".join(rollout.export.export_text(new))
    assert [replaced.count for replaced in redaction.receipt.replacements] == [1]


def test_a_session_whose_own_meta_cannot_be_read_keeps_the_id_of_its_name(home: Path) -> None:
    history = loaded(home, b"{torn\n" + encode([meta(OTHER), *prompt("one")]))

    clean = redacted(history, Redaction())

    assert (clean.session_id, clean.meta.id) == (history.session_id, history.meta.id) == (ID, ID)
    assert clean.document().session_id == ID
