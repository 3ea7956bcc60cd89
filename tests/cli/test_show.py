from __future__ import annotations

from pathlib import Path

from rollout.codec import encode_json
from rollout.store import fork
from tests.cli.conftest import Run
from tests.rollouts import ID, answer, encode, event, message, meta, paginated_session, prompt, put, seed_session

OTHER = "01a1fbb5-7abd-7c53-8766-f128212a613c"
KEY = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5"


def call(command: str, output: str, code: int = 0) -> list[tuple[str, dict[str, object]]]:
    answered = encode_json({"output": output, "metadata": {"exit_code": code, "duration_seconds": 0.1}})
    arguments = encode_json({"command": [command]})
    return [
        ("response_item", {"type": "function_call", "name": "shell", "arguments": arguments, "call_id": "c"}),
        ("response_item", {"type": "function_call_output", "call_id": "c", "output": answered}),
    ]


def test_a_session_is_shown_as_a_conversation(home: Path, run: Run) -> None:
    put(home, [meta(), *prompt("Count."), *call("seq", "\n".join(map(str, range(20))), 1), *answer("Twenty.")])

    done = run("show", "@last")

    assert (done.status, done.err) == (0, "")
    assert [line for line in done.out.splitlines() if line] == [
        f"{ID}  2026-11-21T01:25:37.094Z  /home/dev/demo  codex  0.36.0",
        *("user  2026-11-21T01:25:37.122Z", "Count."),
        *("call shell  2026-11-21T01:25:37.122Z", "seq"),
        "output shell failed  2026-11-21T01:25:37.122Z",
        *(map(str, range(12))),
        "... 8 more lines (--full)",
        *("agent  2026-11-21T01:25:37.122Z", "Twenty."),
    ]


def test_full_shows_outputs_whole_and_kinds_choose(home: Path, run: Run) -> None:
    put(home, [meta(), *prompt("Count."), *call("seq", "\n".join(map(str, range(20)))), *answer("Twenty.")])

    assert "\n19\n" in run("show", ID, "--full").out
    chosen = run("show", ID, "--kind", "user", "--kind", "agent")
    assert "seq" not in chosen.out
    assert "Twenty." in chosen.out
    rows = run("show", ID, "--kind", "call", "--json").json["lines"]
    assert [row["payload"]["name"] for row in rows] == ["shell"]


def test_colours_are_for_terminals_only(home: Path, run: Run) -> None:
    put(home, seed_session("one"))

    assert "\x1b[32m\x1b[1muser" in run("show", ID, screen=True).out
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in run("show", ID, screen=True, env=env).out


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
