from __future__ import annotations

import re
from pathlib import Path

import pytest

from rollout import load_history
from rollout._text import UNSAFE
from rollout.document import Call, Image, call_facts
from rollout.export import export_text
from rollout.export._labels import command_text, image_text
from rollout.export._text import TextRenderer, first_lines
from rollout.interpret._patches import changes_in
from tests.export.sample import PATCH, PNG, everything, loaded
from tests.hostile import CANARY, SESSIONS
from tests.rollouts import ID, Line, encode, event, meta, paginated_session, prompt, put

OTHER = "01a1fbb5-7abd-7c53-8766-f128212a613c"


def exported(home: Path, lines: bytes | list[Line] | None = None, detail: str = "full") -> str:
    return "".join(export_text(loaded(home, lines), detail=detail))


def test_a_transcript_begins_with_the_facts_of_the_session_and_ends_with_counts_of_its_lines(home: Path) -> None:
    lines = exported(home).splitlines()

    assert lines[:8] == [
        "Fix the parser. Then test it.",
        "",
        f"id           {ID}",
        "started      2026-11-21 01:25:37 +00:00",
        "folder       /home/dev/demo",
        "git          master  be2a9a36c5",
        "model        gpt-5-codex",
        "recorded by  codex  0.36.0",
    ]
    assert lines[-4:] == [
        "2 turns, 8 min 4 s, 5 calls, 1 failed, 2,100 tokens",
        "Lines in the file: 34; shown: 29.",
        "Lines without content to show: 5 (session_meta 1, task_started 2, token_count 1, turn_context 1).",
        "Unreadable lines: 1, each marked at its position; see rollout verify.",
    ]


def test_every_item_has_a_title(home: Path) -> None:
    text = exported(home)
    titles = re.findall(r"^(?!==|started)(.*?)  2026-11-21 .* \+00:00", text, re.MULTILINE)

    assert titles == [
        "context: environment context", "user", "reasoning", "call update_plan", "call shell", "call apply_patch",
        "call fetch", "user", "agent", "user", "call shell", "error", "interruption: interrupted",
        "compaction: 1 items kept", "notice: rolled back", "agent: a to b", "plan", "notice", "other: future_line",
        "context: developer",
    ]  # fmt: skip
    assert "\n== turn 1  2026-11-21 01:25:43 +00:00  1 min 24 s  2,100 tokens  gpt-5-codex\n" in text
    assert "\n== turn 2  2026-11-21 01:26:17 +00:00  7 min 10 s  gpt-5-codex  interrupted  rolled back\n" in text
    assert "\nunreadable: not JSON (Expected object or value)  line 33\n7 bytes from byte" in text


def test_calls_have_their_input_and_output(home: Path) -> None:
    text = exported(home)

    assert "\nTests first.\n[x] Reproduce\n[>] Fix *it*\n[ ] Test\n\noutput update_plan  exit code 0  0.4 s\n" in text
    assert "\npytest -q\n\noutput shell failed  exit code 1  0.4 s\n\\x1b[31mE\\x1b[0m\\x1b[K one\nline 0\n" in text
    assert "\nupdate parser.py -> parsing.py (+2 -1)\n@@ def parse(line):\n-    kind = line[0]\n" in text
    assert "\nadd tests/test_empty.py (+1 -0)\n+def test_empty_line():\n\noutput apply_patch  2.0 s\nDone.\n" in text
    assert "\npage\n[image: image/png, 9 B]\n" in text
    assert "\nAnd this.\n[image: image/png, 9 B]\n[image: https://example.com/evil.png]\n[image: image/svg" in text


def test_omitted_parts_are_named(home: Path) -> None:
    assert "Left out: the outputs of calls (level of detail: no-outputs)." in exported(home, detail="no-outputs")
    assert "Left out: 11 items from 15 lines (level of detail: conversation)." in exported(home, detail="conversation")


def test_inherited_lines_and_a_missing_base_are_named(home: Path) -> None:
    base = put(home, encode(paginated_session("from the base"), first_ordinal=0))
    own = meta(session_id=OTHER, history_mode="paginated", history_base={"thread_id": ID, "end_ordinal_exclusive": 9})
    path = put(home, encode([own, *prompt("of the fork")], first_ordinal=9), session_id=OTHER)

    whole = "".join(export_text(load_history(path)))
    base.unlink()
    without = "".join(export_text(load_history(path)))

    assert "Lines in the file: 3; inherited lines: 9; shown: 8." in whole
    assert "inherited" in whole
    assert f"The lines inherited from session {ID} are missing: its file was not found." in without


@pytest.mark.parametrize("name", SESSIONS)
def test_hostile_sessions_have_no_effect_on_a_terminal(home: Path, name: str) -> None:
    text = "".join(export_text(load_history(put(home, SESSIONS[name](CANARY)))))

    assert UNSAFE.search(text) is None
    text.encode()


def test_lines_are_not_wrapped(home: Path) -> None:
    said = "word " * 1000

    assert f"\n{said}\n" in exported(home, [meta(), *prompt(said)])


def test_first_lines_are_limited_in_number_and_length() -> None:
    assert first_lines("a\nb\nc\n\n", 2) == ("a\nb", "... 1 more line (--full)")
    assert first_lines("a\nb\n", 2) == ("a\nb", "")
    assert first_lines("a\nb\n", None) == ("a\nb", "")
    assert first_lines("x" * 10_000_000, 2) == ("x" * 1000, "... 9,999,000 more characters (--full)")


def test_outputs_and_contexts_are_truncated_and_messages_are_not(home: Path) -> None:
    document = loaded(home).document()
    renderer = TextRenderer(2)
    items = {item.key: item for turn in document.turns for item in turn.items}
    context = next(item for item in items.values() if item.kind == "context")
    failed = next(item for item in items.values() if item.call and item.call.is_failed)
    user = next(item for item in items.values() if item.kind == "user")

    assert renderer.item(context).endswith("\n  <cwd>/home/dev/demo</cwd>\n... 1 more line (--full)\n\n")
    assert renderer.output(failed).endswith(" one\nline 0\n... 39 more lines (--full)\n\n")
    assert "Then test it." in renderer.item(user)
    assert renderer.output(user) == ""


def test_a_rule_after_a_turn_shows_its_duration_and_tokens(home: Path) -> None:
    before, turn, _ = loaded(home).document().turns

    assert TextRenderer().turn_end(turn) == "== turn 1 ended  1 min 24 s  2,100 tokens  gpt-5-codex\n\n"
    assert TextRenderer().turn(before) == TextRenderer().turn_end(before) == ""


def test_the_facts_of_a_call_are_those_that_are_known() -> None:
    assert call_facts(Call("x")) == []
    assert call_facts(Call("x", is_failed=True, elapsed=2.0)) == ["failed", "2.0 s"]
    assert call_facts(Call("x", is_failed=True, failure="denied")) == ["denied"]
    assert call_facts(Call("x", exit_code=0, is_failed=True, failure="timeout")) == ["exit code 0", "timeout"]
    assert call_facts(Call("x", exit_code=3, is_failed=True, duration=0.5, elapsed=2.0)) == ["exit code 3", "0.5 s"]


def test_an_image_is_described_by_its_type_and_size_or_by_its_address() -> None:
    assert image_text(Image(PNG, "image/png")) == "image/png, 9 B"
    assert image_text(Image("data:text/html;base64,AAAA")) == "text/html, 3 B"
    assert image_text(Image("/tmp/\x1b[2Jx.png")) == "/tmp/\\x1b[2Jx.png"  # noqa: S108 -- no file
    assert image_text(Image("y" * 500)) == "y" * 200 + "…"


def test_a_patch_is_not_repeated_in_its_command_and_the_text_around_it_is_kept() -> None:
    changes = changes_in(PATCH)

    assert command_text(Call("shell", input="ls")) == "ls"
    assert command_text(Call("apply_patch", input=PATCH, changes=changes)) == ""
    around = f"cd x && apply_patch <<'EOF'\n{PATCH}\nEOF"
    assert command_text(Call("shell", input=around, changes=changes)) == "cd x && apply_patch <<'EOF'\nEOF"
    assert command_text(Call("shell", input="*** Begin Patch\n*** Add File: x", changes=changes)) == ""
    assert command_text(Call("made", input="elsewhere", changes=changes)) == "elsewhere"


@pytest.mark.parametrize("blank", ["", " \n"])
def test_facts_without_a_text_have_no_line(home: Path, blank: str) -> None:
    text = exported(home, [meta(cwd=blank, git={"branch": blank, "commit_hash": None})])

    assert "recorded by" in text
    assert "folder" not in text
    assert "git" not in text


def test_a_session_without_messages_has_a_transcript(home: Path) -> None:
    text = exported(home, [meta(cwd=None, originator=None, git={}), event("token_count", info=None)])

    assert text.startswith(f"id           {ID}\nstarted      2026-11-21 01:25:37 +00:00\nrecorded by  0.36.0\nfile ")
    assert text.endswith("\n0 turns\nLines in the file: 2; shown: 0.\n" + text.splitlines()[-1] + "\n")


def test_no_other_lines_are_counted_if_every_line_is_shown(home: Path) -> None:
    text = exported(home, [meta(instructions="Be brief."), *prompt("x")])

    assert text.endswith("\nLines in the file: 3; shown: 3.\n")


def test_every_line_of_the_sample_is_loaded(home: Path) -> None:
    # The sample is what other tests lean on.
    assert len(loaded(home).lines) == len(everything())
