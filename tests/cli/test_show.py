from __future__ import annotations

import re
import select
import time
from pathlib import Path

import pytest

from rollout import load_history
from rollout._texts import KINDS
from rollout.cli._terminal import TerminalRenderer
from rollout.codec import encode_json
from rollout.document import Call, Item
from rollout.export import export_text
from rollout.store import fork
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
    answered = encode_json({"output": output, "metadata": {"exit_code": code, "duration_seconds": 0.1}})
    arguments = encode_json({"command": [command]})
    return [
        ("response_item", {"type": "function_call", "name": "shell", "arguments": arguments, "call_id": command}),
        ("response_item", {"type": "function_call_output", "call_id": command, "output": answered}),
    ]


def test_in_a_pipe_a_session_is_a_transcript(home: Path, run: Run) -> None:
    path = put(home, [meta(), *prompt("Count."), *call("seq", "\n".join(map(str, range(20))), 1), *answer("Twenty.")])

    done = run("show", "@last")

    assert (done.status, done.err) == (0, "")
    assert [line for line in done.out.splitlines() if line] == [
        "Count.",
        *(f"id           {ID}", "began        2026-11-21 01:25:37", "folder       /home/dev/demo"),
        *("recorded by  codex  0.36.0", f"file         {path}"),
        "== turn 1  01:25:37",
        *("user  2026-11-21T01:25:37.122Z", "Count."),
        *("call shell  2026-11-21T01:25:37.122Z", "seq"),
        "output shell failed  exit code 1  0.1 s",
        *(map(str, range(12))),
        "... 8 more lines (--full)",
        *("agent  2026-11-21T01:25:37.122Z", "Twenty."),
        *("1 turn, 1 call, 1 failed", "Lines in the file: 7; shown: 6."),
        "With nothing for a reader: 1 line (session_meta 1).",
    ]


def test_whole_it_is_what_is_exported_as_text(home: Path, run: Run) -> None:
    path = put(home, data())

    assert run("show", path, "--full").out == "".join(export_text(load_history(path)))


def test_full_shows_outputs_whole_and_kinds_choose(home: Path, run: Run) -> None:
    put(home, [meta(), *prompt("Count."), *call("seq", "\n".join(map(str, range(20)))), *answer("Twenty.")])

    assert "\n19\n" in run("show", ID, "--full").out
    chosen = run("show", ID, "--kind", "user", "--kind", "agent")
    assert "seq" not in chosen.out
    assert "Twenty." in chosen.out
    rows = run("show", ID, "--kind", "call", "--json").json["lines"]
    assert [row["payload"]["name"] for row in rows] == ["shell"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_can_be_asked_for(home: Path, run: Run, kind: str) -> None:
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


def test_colours_are_for_terminals_only(home: Path, run: Run) -> None:
    put(home, seed_session("one"))

    assert "\x1b[1;32m▌ \x1b[0mone" in run("show", ID, screen=True).out
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        shown = run("show", ID, screen=True, env=env).out
        assert "\x1b" not in shown
        assert "▌ one" in shown


def test_a_terminal_with_few_letters_gets_the_transcript(home: Path, rollout: Run, terminal: Run) -> None:
    put(home, seed_session("one"))

    shown = terminal("show", ID, env={"PAGER": "cat", "PYTHONIOENCODING": "ascii"})

    assert "== turn 1" in shown.out
    assert "▌" not in shown.out


def test_json_is_the_lines_as_they_were_recorded(home: Path, run: Run) -> None:
    lines = paginated_session("one")
    put(home, encode(lines, first_ordinal=0))

    done = run("show", ID, "--json")
    as_lines = run("show", ID, "--jsonl")
    fields = run("show", ID, "--fields", "ordinal,payload")

    assert [(row["type"], row["payload"]) for row in done.json["lines"]] == lines
    assert [row["ordinal"] for row in done.json["lines"]] == list(range(len(lines)))
    assert as_lines.out == "".join(f"{encode_json(row)}\n" for row in done.json["lines"])
    assert fields.rows[0] == ["0", encode_json(lines[0][1])]


def test_keys_are_replaced_and_which_is_said(home: Path, run: Run) -> None:
    put(home, [meta(), *prompt(f"My token is {KEY}.")])

    for args in ([], ["--json"]):
        done = run("show", ID, "--redact", *args)
        assert KEY not in done.out
        assert "stands for a" in done.err


def test_what_a_fork_has_from_another_is_shown_and_what_is_missing_is_said(home: Path, run: Run) -> None:
    base = put(home, encode(paginated_session("from the base"), first_ordinal=0))
    own = meta(session_id=OTHER, history_mode="paginated", history_base={"thread_id": ID, "end_ordinal_exclusive": 8})
    put(home, encode([own, *prompt("of the fork")], first_ordinal=8), session_id=OTHER)

    shown = run("show", OTHER).out
    base.unlink()
    without = run("show", OTHER)

    assert shown.index("from the base") < shown.index("of the fork")
    assert "of the fork" in without.out
    assert f"what it has from session {ID} is missing" in without.err


def test_lines_that_cannot_be_read_are_counted(home: Path, run: Run) -> None:
    put(home, encode(seed_session("one")) + b"garbage\n")

    done = run("show", ID)

    assert done.status == 0
    assert done.err.startswith("rollout: 1 lines could not be read; line 7: not JSON")


def test_a_session_in_which_nothing_was_said_is_nothing_found(home: Path, run: Run) -> None:
    put(home, [meta(), event("token_count", info=None)])

    done = run("show", ID, screen=True)

    assert done.status == 1
    assert "nothing was said" in done.err
    assert run("show", ID, "--jsonl").status == 0


def test_a_compressed_and_a_damaged_session_are_shown(home: Path, run: Run) -> None:
    put(home, b"not zstd", suffix=".zst")

    done = run("show", ID)

    assert done.status == 1
    assert "damaged" in done.err


def test_what_is_forked_is_shown_from_its_beginning(home: Path, run: Run) -> None:
    put(home, seed_session("one", "two"))

    path = fork(ID, at=1, home=home)

    assert "answer to one" in run("show", path).out


def test_values_that_json_has_not_are_null(home: Path, run: Run) -> None:
    deep: object = 1
    for _ in range(1020):
        deep = [deep]
    raw = encode([meta(), message("user", "TEXT")])
    path = put(home, raw.replace(b'"TEXT"', b'NaN,"deep":' + encode_json(deep).encode()))

    (_, line) = run("show", path, "--json").json["lines"]

    assert line["payload"]["content"][0]["text"] is None
    assert "null" in encode_json(line["payload"]["content"][0]["deep"])


def drawn(run: Run, *args: str | Path, columns: int = 100, **env: str) -> str:
    return run("show", *args, screen=True, env={"COLUMNS": str(columns), "LINES": "1000000", **env}).out


def test_at_a_terminal_everything_has_a_look(home: Path, run: Run) -> None:
    path = put(home, data())

    shown = drawn(run, path)

    assert squeezed(shown) == squeezed(LOOK)
    assert shown.count("\x1b[") > 100


@pytest.mark.promise("growth")
def test_code_whose_lexer_may_take_minutes_has_no_colours(home: Path, run: Run) -> None:
    fences = {"make": "all: ((", "csharp": "int a", "java": "int a\n" * 2000, "python": "def a(): pass"}

    shown = {
        language: drawn(run, put(home, [meta(), message("assistant", f"```{language}\n{code}\n```")]))
        for language, code in fences.items()
    }

    assert {language for language, text in shown.items() if re.search(r"\x1b\[[\d;]*m(?:int|def|all|:)", text)} == {
        "python"
    }


def squeezed(text: str) -> list[str]:
    """
    Give lines in which widths do not count: those of tables are rich's, and not the same in every version.
    """
    lines = (re.sub(" +", " ", re.sub("[─━]+", "─", line)).strip() for line in STYLE.sub("", text).splitlines())
    return [line for line in lines if line]


LOOK = """\
╭──────────────────────────────────────────────────────────────────────────────────────────────────╮
│ Fix the parser.                                                                                  │
│ id           01a1fbb5-7abd-7c53-8766-f128212a613b                                                │
│ began        2026-11-21 01:25:37                                                                 │
│ folder       /home/dev/demo                                                                      │
│ git          master  be2a9a36c5                                                                  │
│ model        gpt-5-codex                                                                         │
│ recorded by  codex  0.36.0                                                                       │
╰──────────────────────────────────────────────────────────────────────────────────────────────────╯

· context: environment context
  <environment_context>
    <cwd>/home/dev/demo</cwd>
  </environment_context>

── Turn 1 ─────────────────────────────────── 01:25:43 · 1 min 24 s · 2,100 tokens · gpt-5-codex ──

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

── Turn 2 ─────────────────────── 01:26:17 · 7 min 6 s · gpt-5-codex · interrupted · rolled back ──

  7 min 10 s later

▌ Deploy.

▸ make deploy

✗ error: stream disconnected

■ interrupted

≡ compaction: 1 items kept
  It was fixed.

· rolled back: 1 turn taken back

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
With nothing for a reader: 5 lines (session_meta 1, task_started 2, token_count 1, turn_context 1).
Could not be read: 1 line, shown in place. See rollout verify.
"""


def big_session(count: int) -> list[Line]:
    lines = [meta(), event("task_started", turn_id="1"), *prompt("Go.")]
    for number in range(count):
        lines += call(f"make {number}", f"made {number}")
    return [*lines, *answer("Done."), event("task_complete", turn_id="1", duration_ms=5000), *prompt("And now?")]


@pytest.mark.parametrize("screen", [False, True])
def test_a_turn_too_long_to_be_held_is_shown_as_it_comes_and_its_end_is_said_below(
    home: Path, run: Run, screen: bool
) -> None:
    path = put(home, big_session(300))

    text = STYLE.sub("", run("show", path, screen=screen, env={"PAGER": "cat", "LINES": "100000"}).out)

    assert text.count("made ") == 300
    assert text.index("made 299") < text.index("Done.") < text.index("Turn 1 ended" if screen else "turn 1 ended")
    assert text.count("5.0 s") == 1


@pytest.mark.parametrize("screen", [False, True])
def test_an_answer_that_comes_long_after_its_call_says_whose_it_is(home: Path, run: Run, screen: bool) -> None:
    first, last = call("sleep 9", "slept at last")
    lines = [*big_session(300)[:-5], first, *big_session(300)[4:-5], last, *answer("Done.")]
    path = put(home, lines)

    text = STYLE.sub("", run("show", path, screen=screen, env={"LINES": "100000"}).out)

    assert text.index("sleep 9") < text.rindex("made 299") < text.index("slept at last")
    assert ("↳ shell\n  │ slept at last" if screen else "output shell  exit code 0  0.1 s\nslept at last") in text
    assert "slept" in run("show", path, "--kind", "output").out
    assert "slept" not in run("show", path, "--kind", "call").out


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_no_line_that_is_drawn_is_wider_than_the_screen(home: Path, run: Run, columns: int) -> None:
    lines = STYLE.sub("", drawn(run, put(home, data()), columns=columns)).splitlines()

    # The terminal breaks what people may copy: commands, outputs, patches.
    copied = ("  │", "▸", "    ", "  update", "  add", '  "', "• a")
    assert [line for line in lines if len(line) > columns and not line.startswith(copied)] == []
    assert max(map(len, lines)) <= max(columns, 110)


@pytest.mark.parametrize("text", ["<b>x</b> " * 5000, "`code` " * 4000])
def test_long_texts_are_shown_without_colours_and_whole(home: Path, run: Run, text: str) -> None:
    long_diff = "*** Begin Patch\n*** Add File: x\n" + "+y\n" * 30_000 + "*** End Patch"
    path = put(
        home, [meta(), *prompt(text), *call("echo " + text, text), *patch(long_diff), event("error", message=text)]
    )

    shown = drawn(run, path, "--full")

    assert shown.count(text.strip()) == 4
    assert shown.count("+y\n") == 30_000


def test_patches_and_single_lines_without_end_are_cut_with_a_note(home: Path, run: Run) -> None:
    long_diff = "*** Begin Patch\n*** Add File: x\n" + "+y\n" * 60 + "*** End Patch"
    path = put(home, [meta(), *patch(long_diff), *call("x", "z" * 10_000_000), surroundings("a\n" * 30)])

    shown = STYLE.sub("", drawn(run, path))

    assert shown.count("    +y\n") == 48
    assert "    ... 12 more lines (--full)\n" in shown
    assert "... 9,994,000 more characters (--full)" in shown
    assert "  ... 21 more lines (--full)\n" in shown


def test_colours_of_outputs_are_kept_and_nothing_else_of_them(home: Path, run: Run) -> None:
    output = "\x1b[1;31mred\x1b[0m \x1b[38;5;8mgrey\x1b[m\x1b[K \x1b[8mhidden\x1b[0m \x1b[2J\x1b]0;t\x07"
    path = put(home, [meta(), *prompt("x"), *call("x", output)])

    shown = drawn(run, path)

    assert "\x1b[1;31mred\x1b[0m" in shown
    assert "grey" in shown
    assert "\\x1b[8mhidden" in shown
    assert "\\x1b[2J\\x1b]0;t\\x07" in shown
    assert "\\x1b[1;31mred" in run("show", path).out


def test_a_call_without_a_word_and_an_answer_without_a_call_have_a_look(home: Path, run: Run) -> None:
    orphan = ("response_item", {"type": "function_call_output", "call_id": "no", "output": "lost"})
    called = ("response_item", {"type": "function_call", "name": "wait", "arguments": "", "call_id": "y"})
    path = put(home, [meta(), orphan, called, event("context_compacted"), *prompt("x" * 300), ("odd", {})])

    lines = STYLE.sub("", drawn(run, path)).splitlines()

    assert lines[lines.index("  │ lost") :][:2] == ["  │ lost", "  ╰ ✔"]
    assert lines[lines.index("◆ wait") :][:4] == ["◆ wait", "", "≡ compaction", ""]


def test_a_file_without_meta_is_shown_without_heading(home: Path, run: Run) -> None:
    path = put(home, [*prompt("Who?"), *answer("Nobody.")])

    assert "Nobody." in run("show", path).out
    assert "Nobody." in drawn(run, path)
    assert "╭" not in drawn(run, path)


def test_keys_in_what_is_said_of_lines_that_cannot_be_read_are_replaced(home: Path, run: Run) -> None:
    put(
        home,
        encode([meta(), *prompt("x")]) + b'{"timestamp":"t","type":"x","payload":{},"ordinal":"%s"}\n' % KEY.encode(),
    )

    assert KEY in run("show", ID).out
    done = run("show", ID, "--redact")

    assert KEY not in done.out + done.err
    assert "could not be read" in done.err


@pytest.mark.parametrize("screen", [False, True])
def test_a_followed_call_is_shown_when_it_is_made_and_its_answer_when_it_comes(
    home: Path, run: Run, screen: bool
) -> None:
    called, answered = call("sleep 9", "slept")
    lines = [meta(), event("task_started", turn_id="1"), *prompt("Wait."), called, *answer("Waiting."), answered]
    path = put(home, [*lines, event("task_complete", turn_id="1", duration_ms=9000), *prompt("Next.")])

    shown = STYLE.sub("", run("follow", path, "--from-start", "--timeout", "0", screen=screen).out)

    places = [shown.index(text) for text in ("Wait.", "sleep 9", "Waiting.", "slept", "urn 1 ended", "Next.")]
    assert places == sorted(places) or shown.startswith("Wait.")
    assert ("↳ shell\n  │ slept" if screen else "output shell  exit code 0  0.1 s\nslept") in shown
    assert shown.count("9.0 s") == 1


def test_what_is_followed_from_its_middle_has_no_heading_and_no_rules(home: Path, run: Run) -> None:
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

    assert shown.startswith("user  2026-11-21T01:25:37.122Z\nnew words")
    assert "output   exit code 0" in shown or "output  exit code 0" in shown
    assert "==" not in shown
    assert ID not in shown


def test_what_is_no_call_and_what_was_not_answered_has_no_answer() -> None:
    renderer = TerminalRenderer()

    assert renderer.output(Item("1", "user", text="x")) == renderer.output(Item("1", "call", call=Call("x"))) == ""
