from __future__ import annotations

import re
import select
import time
from pathlib import Path

import pytest

from rollout import load_history
from rollout.cli._terminal import TerminalRenderer
from rollout.codec import encode_json
from rollout.document import Call, Item
from rollout.export import export_text
from rollout.interpret._texts import TEXT_KINDS
from rollout.store import fork
from tests import builders
from tests.builders import output_with_code
from tests.cli.conftest import STYLE, Run, Running
from tests.export.sample import data, patch
from tests.rollouts import (
    ID,
    Line,
    answer,
    encode,
    event,
    message,
    meta,
    paginated_session,
    prompt,
    put,
    seed_session,
    surroundings,
)

OTHER = "01a1fbb5-7abd-7c53-8766-f128212a613c"
KEY = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5"


def call(command: str, output: str, code: int = 0) -> list[Line]:
    return [builders.command("shell", command, command), output_with_code(output, command, code, seconds=0.1)]


def test_show_in_a_pipe_prints_a_transcript(home: Path, run: Run) -> None:
    path = put(home, [meta(), *prompt("Count."), *call("seq", "\n".join(map(str, range(20))), 1), *answer("Twenty.")])

    done = run("show", "@last")

    assert (done.status, done.err) == (0, "")
    assert [line for line in done.out.splitlines() if line] == [
        "Count.",
        *(f"id           {ID}", "started      2026-11-21 01:25:37 +00:00", "folder       /home/dev/demo"),
        *("recorded by  codex  0.36.0", f"file         {path}"),
        "== turn 1  2026-11-21 01:25:37 +00:00",
        *("user  2026-11-21 01:25:37 +00:00", "Count."),
        *("call shell  2026-11-21 01:25:37 +00:00", "seq"),
        "output shell failed  exit code 1  0.1 s",
        *(map(str, range(12))),
        "... 8 more lines (--full)",
        *("agent  2026-11-21 01:25:37 +00:00", "Twenty."),
        *("1 turn, 1 call, 1 failed", "Lines in the file: 7; shown: 6."),
        "Lines without content to show: 1 (session_meta 1).",
    ]


def test_show_full_equals_the_export_to_text(home: Path, run: Run) -> None:
    path = put(home, data())

    assert run("show", path, "--full").out == "".join(export_text(load_history(path)))


def test_full_shows_complete_outputs_and_kind_filters(home: Path, run: Run) -> None:
    put(home, [meta(), *prompt("Count."), *call("seq", "\n".join(map(str, range(20)))), *answer("Twenty.")])

    assert "\n19\n" in run("show", ID, "--full").out
    chosen = run("show", ID, "--kind", "user", "--kind", "agent")
    assert "seq" not in chosen.out
    assert "Twenty." in chosen.out
    rows = run("show", ID, "--kind", "call", "--json").json["lines"]
    assert [row["payload"]["name"] for row in rows] == ["shell"]


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_show_filters_by_each_kind(home: Path, run: Run, kind: str) -> None:
    put(home, data())

    done = run("show", ID, "--kind", kind)

    titles = [line.partition("  ")[0].partition(" ")[0].rstrip(":") for line in done.out.splitlines()]
    shown = {"summary": "compaction"}.get(kind, kind)
    asked = {shown, *(["plan", "error"] if kind == "agent" else [])}
    others = {
        "user",
        "agent",
        "reasoning",
        "call",
        "output",
        "compaction",
        "plan",
        "error",
        "context",
        "notice",
    } - asked
    assert shown in titles
    assert not others.intersection(title for title in titles if title in others)
    assert "Lines in the file" not in done.out


def test_show_uses_colors_only_at_a_terminal(home: Path, run: Run) -> None:
    put(home, seed_session("one"))

    assert "\x1b[1;32m▌ \x1b[0mone" in run("show", ID, screen=True).out
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        shown = run("show", ID, screen=True, env=env).out
        assert "\x1b" not in shown
        assert "▌ one" in shown


def test_a_terminal_without_unicode_gets_the_transcript(home: Path, rollout: Run, terminal: Run) -> None:
    put(home, seed_session("one"))

    shown = terminal("show", ID, env={"PAGER": "cat", "PYTHONIOENCODING": "ascii"})

    assert "== turn 1" in shown.out
    assert "▌" not in shown.out


def test_json_has_the_recorded_lines(home: Path, run: Run) -> None:
    lines = paginated_session("one")
    put(home, encode(lines, first_ordinal=0))

    done = run("show", ID, "--json")
    as_lines = run("show", ID, "--jsonl")
    fields = run("show", ID, "--fields", "ordinal,payload")

    assert [(row["type"], row["payload"]) for row in done.json["lines"]] == lines
    assert [row["ordinal"] for row in done.json["lines"]] == list(range(len(lines)))
    assert as_lines.out == "".join(f"{encode_json(row)}\n" for row in done.json["lines"])
    assert fields.rows[0] == ["0", encode_json(lines[0][1])]


def test_redact_replaces_keys_and_lists_them(home: Path, run: Run) -> None:
    put(home, [meta(), *prompt(f"My token is {KEY}.")])

    for args in ([], ["--json"]):
        done = run("show", ID, "--redact", *args)
        assert KEY not in done.out
        assert "replaces a" in done.err


def test_inherited_lines_of_a_fork_are_shown_and_missing_ones_are_reported(home: Path, run: Run) -> None:
    base = put(home, encode(paginated_session("from the base"), first_ordinal=0))
    own = meta(session_id=OTHER, history_mode="paginated", history_base={"thread_id": ID, "end_ordinal_exclusive": 8})
    put(home, encode([own, *prompt("of the fork")], first_ordinal=8), session_id=OTHER)

    shown = run("show", OTHER).out
    base.unlink()
    without = run("show", OTHER)

    assert shown.index("\nfrom the base\n") < shown.index("\nof the fork\n")
    assert "\nof the fork\n" in without.out
    assert f"the lines inherited from session {ID} are missing" in without.err


def test_show_counts_unreadable_lines(home: Path, run: Run) -> None:
    put(home, encode(seed_session("one")) + b"garbage\n")

    done = run("show", ID)

    assert done.status == 0
    assert done.err.startswith("rollout: 1 line could not be read; line 7: not JSON")


def test_show_of_a_session_without_messages_exits_with_1(home: Path, run: Run) -> None:
    put(home, [meta(), event("token_count", info=None)])

    done = run("show", ID, screen=True)

    assert done.status == 1
    assert "the session has no messages, commands or outputs" in done.err
    assert run("show", ID, "--jsonl").status == 0


def test_show_reports_a_damaged_compressed_session(home: Path, run: Run) -> None:
    put(home, b"not zstd", suffix=".zst")

    done = run("show", ID)

    assert done.status == 1
    assert "damaged" in done.err


def test_show_of_a_fork_begins_with_the_copied_turns(home: Path, run: Run) -> None:
    put(home, seed_session("one", "two"))

    path = fork(ID, at=1, home=home)

    assert "answer to one" in run("show", path).out


def test_values_without_a_json_form_are_null(home: Path, run: Run) -> None:
    deep: object = 1
    for _ in range(1020):
        deep = [deep]
    raw = encode([meta(), message("user", "TEXT")])
    path = put(home, raw.replace(b'"TEXT"', b'NaN,"deep":' + encode_json(deep).encode()))

    (_, line) = run("show", path, "--json").json["lines"]

    assert line["payload"]["content"][0]["text"] is None
    assert "null" in encode_json(line["payload"]["content"][0]["deep"])


def show_at_terminal(run: Run, *args: str | Path, columns: int = 100, **env: str) -> str:
    return run("show", *args, screen=True, env={"COLUMNS": str(columns), "LINES": "1000000", **env}).out


def test_show_at_a_terminal_draws_all_kinds_of_items(home: Path, run: Run) -> None:
    path = put(home, data())

    shown = show_at_terminal(run, path)

    assert normalize(shown) == normalize(EXPECTED)
    assert shown.count("\x1b[") > 100


@pytest.mark.promise("growth")
def test_code_in_languages_with_slow_lexers_has_no_colors(home: Path, run: Run) -> None:
    fences = {"make": "all: ((", "csharp": "int a", "java": "int a\n" * 2000, "python": "def a(): pass"}

    shown = {
        language: show_at_terminal(run, put(home, [meta(), message("assistant", f"```{language}\n{code}\n```")]))
        for language, code in fences.items()
    }

    assert {language for language, text in shown.items() if re.search(r"\x1b\[[\d;]*m(?:int|def|all|:)", text)} == {
        "python"
    }


def normalize(text: str) -> list[str]:
    """
    Return lines without widths: the widths of tables differ between versions of rich.
    """
    lines = (re.sub(" +", " ", re.sub("[─━]+", "─", line)).strip() for line in STYLE.sub("", text).splitlines())
    return [line for line in lines if line]


EXPECTED = """\
╭──────────────────────────────────────────────────────────────────────────────────────────────────╮
│ Fix the parser. Then test it.                                                                    │
│ id           01a1fbb5-7abd-7c53-8766-f128212a613b                                                │
│ started      2026-11-21 01:25:37 +00:00                                                          │
│ folder       /home/dev/demo                                                                      │
│ git          master  be2a9a36c5                                                                  │
│ model        gpt-5-codex                                                                         │
│ recorded by  codex  0.36.0                                                                       │
╰──────────────────────────────────────────────────────────────────────────────────────────────────╯

· context: environment context
  <environment_context>
    <cwd>/home/dev/demo</cwd>
  </environment_context>

── Turn 1 ───────────────── 2026-11-21 01:25:43 +00:00 · 1 min 24 s · 2,100 tokens · gpt-5-codex ──

▌ Fix the parser.
▌ Then test it.

  Look at it

☰ plan
  Tests first.
  ✔ Reproduce
  ▶ Fix *it*
  ○ Test
  │ Plan updated
  ╰ ✔ exit code 0 · 0.4 s

▸ pytest -q
  │ E one
  │ line 0
  │ line 1
  │ line 2
  │ line 3
  │ line 4
  │ line 5
  │ line 6
  │ line 7
  │ line 8
  │ line 9
  │ line 10
  │ ... 29 more lines (--full)
  ╰ ✗ exit code 1 · 0.4 s

◆ apply_patch
  update parser.py -> parsing.py (+2 -1)
    @@ def parse(line):
    -    kind = line[0]
    +    if not line.strip():
    +        return None
         return KINDS[kind]
  add tests/test_empty.py (+1 -0)
    +def test_empty_line():
  │ Done.
  ╰ ✔ 2.0 s

◆ fetch
  {
    "url": "https://example.com",
    "deep": [
      1
    ]
  }
  │ page
  │   [image: image/png, 9 B]
  ╰ ✔ 2.0 s

▌ And this.
  [image: image/png, 9 B]
  [image: https://example.com/evil.png]
  [image: image/svg+xml, 4 B]

• What was wrong

  The first character; see <b>here</b>, [there](javascript:alert(1)) and image: it
  (http://example.com/x.png):

    kind = line[0]  # <b>


   file       change
   ─────────────────
   parser.py  +3

── Turn 2 ──── 2026-11-21 01:26:17 +00:00 · 7 min 10 s · gpt-5-codex · interrupted · rolled back ──

  7 min 10 s later

▌ Deploy.

▸ make deploy

✗ error: stream disconnected

■ interrupted

≡ compaction: 1 items kept
  It was fixed.

· rolled back: 1 turn

• a to b:
  psst

☰ plan
  ✔ Reproduce

· notice
  one
  two

· other: future_line
  {
    "what": "ever"
  }

✗ unreadable line 33: not JSON (Expected object or value): 7 bytes from byte 7009 on

· context: developer: Be brief.

2 turns, 8 min 4 s, 5 calls, 1 failed, 2,100 tokens
Lines in the file: 34; shown: 29.
Lines without content to show: 5 (session_meta 1, task_started 2, token_count 1, turn_context 1).
Unreadable lines: 1, each marked at its position; see rollout verify.
"""


def big_session(count: int) -> list[Line]:
    lines = [meta(), event("task_started", turn_id="1"), *prompt("Go.")]
    for number in range(count):
        lines += call(f"make {number}", f"made {number}")
    return [*lines, *answer("Done."), event("task_complete", turn_id="1", duration_ms=5000), *prompt("And now?")]


@pytest.mark.parametrize("screen", [False, True])
def test_a_turn_larger_than_memory_is_shown_in_parts_with_its_end_below(home: Path, run: Run, screen: bool) -> None:
    path = put(home, big_session(300))

    text = STYLE.sub("", run("show", path, screen=screen, env={"PAGER": "cat", "LINES": "100000"}).out)

    assert text.count("made ") == 300
    assert text.index("made 299") < text.index("Done.") < text.index("Turn 1 ended" if screen else "turn 1 ended")
    assert text.count("5.0 s") == 1


@pytest.mark.parametrize("screen", [False, True])
def test_an_output_far_below_its_call_has_the_name_of_the_tool(home: Path, run: Run, screen: bool) -> None:
    first, last = call("sleep 9", "slept at last")
    lines = [*big_session(300)[:-5], first, *big_session(300)[4:-5], last, *answer("Done.")]
    path = put(home, lines)

    text = STYLE.sub("", run("show", path, screen=screen, env={"LINES": "100000"}).out)

    assert text.index("sleep 9") < text.rindex("made 299") < text.index("slept at last")
    assert ("↳ shell\n  │ slept at last" if screen else "output shell  exit code 0  0.1 s\nslept at last") in text
    assert "slept" in run("show", path, "--kind", "output").out
    assert "slept" not in run("show", path, "--kind", "call").out


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_lines_are_not_wider_than_the_terminal(home: Path, run: Run, columns: int) -> None:
    lines = STYLE.sub("", show_at_terminal(run, put(home, data()), columns=columns)).splitlines()

    # Commands, outputs and patches are not wrapped, so that they can be copied.
    unwrapped = ("  │", "▸", "    ", "  update", "  add", '  "', "• a")
    assert [line for line in lines if len(line) > columns and not line.startswith(unwrapped)] == []
    assert max(map(len, lines)) <= max(columns, 110)


@pytest.mark.parametrize("text", ["<b>x</b> " * 5000, "`code` " * 4000])
def test_long_texts_are_complete_and_without_colors(home: Path, run: Run, text: str) -> None:
    long_diff = "*** Begin Patch\n*** Add File: x\n" + "+y\n" * 30_000 + "*** End Patch"
    path = put(
        home, [meta(), *prompt(text), *call("echo " + text, text), *patch(long_diff), event("error", message=text)]
    )

    shown = show_at_terminal(run, path, "--full")

    assert shown.count(text.strip()) == 4
    assert shown.count("+y\n") == 30_000


def test_long_patches_and_lines_are_truncated_with_a_note(home: Path, run: Run) -> None:
    long_diff = "*** Begin Patch\n*** Add File: x\n" + "+y\n" * 60 + "*** End Patch"
    path = put(home, [meta(), *patch(long_diff), *call("x", "z" * 10_000_000), surroundings("a\n" * 30)])

    shown = STYLE.sub("", show_at_terminal(run, path))

    assert shown.count("    +y\n") == 48
    assert "    ... 12 more lines (--full)\n" in shown
    assert "... 9,994,000 more characters (--full)" in shown
    assert "  ... 21 more lines (--full)\n" in shown


def test_outputs_keep_their_colors_but_no_other_escape_sequences(home: Path, run: Run) -> None:
    output = "\x1b[1;31mred\x1b[0m \x1b[38;5;8mgrey\x1b[m\x1b[K \x1b[8mhidden\x1b[0m \x1b[2J\x1b]0;t\x07"
    path = put(home, [meta(), *prompt("x"), *call("x", output)])

    shown = show_at_terminal(run, path)

    assert "\x1b[1;31mred\x1b[0m" in shown
    assert "grey" in shown
    assert "\\x1b[8mhidden" in shown
    assert "\\x1b[2J\\x1b]0;t\\x07" in shown
    assert "\\x1b[1;31mred" in run("show", path).out


def test_a_call_without_input_and_an_output_without_a_call_are_drawn(home: Path, run: Run) -> None:
    orphan = ("response_item", {"type": "function_call_output", "call_id": "no", "output": "lost"})
    wait = ("response_item", {"type": "function_call", "name": "wait", "arguments": "", "call_id": "y"})
    path = put(home, [meta(), orphan, wait, event("context_compacted"), *prompt("x" * 300), ("odd", {})])

    lines = STYLE.sub("", show_at_terminal(run, path)).splitlines()

    assert lines[lines.index("  │ lost") :][:2] == ["  │ lost", "  ╰ ✔"]
    assert lines[lines.index("◆ wait") :][:4] == ["◆ wait", "", "≡ compaction", ""]


def test_a_file_without_meta_has_the_heading_of_its_name(home: Path, run: Run) -> None:
    path = put(home, [*prompt("Who?"), *answer("Nobody.")])

    shown, drawn = run("show", path).out, STYLE.sub("", show_at_terminal(run, path))

    assert shown.startswith(f"Who?\n\nid       {ID}\nstarted  2026-11-21 01:25:37 +00:00\nfile     {path}\n")
    assert "Nobody." in shown
    assert "Nobody." in drawn
    assert f"│ id       {ID}" in drawn


def test_a_file_without_meta_and_with_another_name_has_no_heading(home: Path, run: Run, tmp_path: Path) -> None:
    path = put(home, [*prompt("Who?"), *answer("Nobody.")]).rename(tmp_path / "notes.jsonl")

    assert "Nobody." in run("show", path).out
    assert "Nobody." in show_at_terminal(run, path)
    assert "╭" not in show_at_terminal(run, path)


def test_redact_replaces_keys_in_the_reasons_of_unreadable_lines(home: Path, run: Run) -> None:
    put(
        home,
        encode([meta(), *prompt("x")]) + b'{"timestamp":"t","type":"x","payload":{},"ordinal":"%s"}\n' % KEY.encode(),
    )

    assert KEY in run("show", ID).out
    done = run("show", ID, "--redact")

    assert KEY not in done.out + done.err
    assert "could not be read" in done.err


@pytest.mark.parametrize("screen", [False, True])
def test_follow_shows_a_call_and_later_its_output(home: Path, run: Run, screen: bool) -> None:
    input_line, output_line = call("sleep 9", "slept")
    lines = [meta(), event("task_started", turn_id="1"), *prompt("Wait."), input_line, *answer("Waiting."), output_line]
    path = put(home, [*lines, event("task_complete", turn_id="1", duration_ms=9000), *prompt("Next.")])

    shown = STYLE.sub("", run("follow", path, "--from-start", "--timeout", "0", screen=screen).out)

    positions = [shown.index(text) for text in ("Wait.", "sleep 9", "Waiting.", "slept", "urn 1 ended", "Next.")]
    assert positions == sorted(positions) or shown.startswith("Wait.")
    assert ("↳ shell\n  │ slept" if screen else "output shell  exit code 0  0.1 s\nslept") in shown
    assert shown.count("9.0 s") == 1


def test_follow_from_the_middle_has_no_heading_and_no_rules(home: Path, run: Run) -> None:
    path = put(home, seed_session("one"))
    following = Running("follow", path, "--timeout", "3")
    assert following.process.stdout is not None

    deadline = time.monotonic() + 30
    shown = ""
    while "new words" not in shown and time.monotonic() < deadline:
        with path.open("ab") as file:
            file.write(encode([message("user", f"new words {time.monotonic()}"), call("x", "y")[1]]))
        time.sleep(0.2)
        if select.select([following.process.stdout], [], [], 0)[0]:
            shown += following.process.stdout.readline()
    shown += following.interrupt().out

    assert shown.startswith("user  2026-11-21 01:25:37 +00:00\nnew words")
    assert "output   exit code 0" in shown or "output  exit code 0" in shown
    assert "==" not in shown
    assert ID not in shown


def test_items_without_an_output_render_no_output() -> None:
    renderer = TerminalRenderer()

    assert renderer.output(Item("1", "user", text="x")) == renderer.output(Item("1", "call", call=Call("x"))) == ""
