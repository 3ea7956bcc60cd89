"""
docs/cli.md and README.md show the help texts and outputs of the command.

`python tests/test_cli_docs.py --write` updates the help texts, changed outputs and tables in docs/cli.md.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from doctest import ELLIPSIS, OutputChecker
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from rollout._version import SCHEMA_VERSION
from rollout.cli._app import COMMANDS, group
from rollout.cli._exit_status import EXIT_STATUSES
from rollout.codec import decode_json, encode_item

ROOT = Path(__file__).parent.parent
if __name__ == "__main__":
    sys.path.insert(0, os.fspath(ROOT))

from tests.rollouts import (  # noqa: E402 -- also for the script
    Line,
    answer,
    event,
    meta,
    prompt,
    put,
    surroundings,
    token_count,
)

PAGE = ROOT / "docs" / "cli.md"
# The home folder on the page; each test has a temporary folder instead.
PLACE = "/home/dev"
# The command, for which it is always this time: a list shows the ages of sessions.
_COMMAND = """
from datetime import datetime
from rollout.cli import _list, main

class Clock(datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromisoformat("2025-11-21T11:40:00+00:00")

_list.datetime = Clock
main()
"""
# A row of the table of JSON documents; colours, and a progress bar that the command has erased.
_ROW = re.compile(r"^\| `(rollout .*?)` \|.*\|$", re.MULTILINE)
_ERASED = re.compile(r"\x1b\[\?25l.*?\x1b\[\?25h[\r\n]*\x1b\[1A\x1b\[2K|\x1b\[[\d;]*m", re.DOTALL)

# Sessions: id, start in UTC, start in milliseconds since the epoch, age of the file in seconds.
SLOW = ("019a774c-3a10-7c53-8766-f128212a613b", "2025-11-12T09-14-02", 1_762_938_842_000, 10 * 86_400)
PARSER = ("019a9cd0-88f8-7d10-91ab-0c5e4b7a2d61", "2025-11-19T16-20-11", 1_763_569_211_000, 2 * 86_400 + 600)
README = ("019aa0a0-00a0-7e22-a3b1-5d0f6c8e9b17", "2025-11-20T10-05-40", 1_763_633_140_000, 86_400 + 600)
DEPLOY = ("019aa56f-6740-7f31-b2c4-6e1a7d9f0c28", "2025-11-21T08-30-00", 1_763_713_800_000, 3 * 3600 + 600)


def create_home(home: Path) -> None:
    """
    Write four sessions with fixed ids, times and sizes into a home.
    """
    _put_session(
        home, SLOW, "shop", "main", [*_turn("Which tests are slow?", "The three in test_checkout.py: 40 s.", 900)]
    )
    _put_session(
        home,
        PARSER,
        "parser",
        "main",
        [
            *_turn(
                "Why does the parser fail on an empty line?",
                "It takes the first character of each line; an empty line has none.",
                2100,
                ("pytest -q", 1, "E   IndexError: string index out of range\n1 failed, 11 passed in 0.31s"),
                ("sed -n 12p parser.py", 0, "    kind = line[0]"),
            ),
            *_turn(
                "Fix it, and add a test.",
                "Empty lines are skipped now, and test_empty_line checks this.",
                4700,
                ("pytest -q", 0, "12 passed in 0.29s"),
            ),
        ],
    )
    _put_session(
        home, README, "parser", "docs", [*_turn("Write a README.", "README.md says what it does and how.", 1500)]
    )
    key = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5"
    _put_session(
        home,
        DEPLOY,
        "shop",
        "main",
        _turn(
            "Why does the deployment fail?",
            "The token has expired.",
            1300,
            ("make deploy", 2, "\x1b[31mError\x1b[0m: the registry refused to log in\nmake: *** [deploy] Error 2"),
            ("env", 0, f"HOME={PLACE}\nREGISTRY_TOKEN={key}"),
        ),
    )


def _put_session(home: Path, session: tuple[str, str, int, int], folder: str, branch: str, lines: list[Line]) -> None:
    session_id, timestamp, start_ms, age = session
    cwd, git = f"{PLACE}/{folder}", {"branch": branch, "repository_url": f"https://example.com/{folder}.git"}
    iso = f"{timestamp[:10]}T{timestamp[11:].replace('-', ':')}.000Z"
    head = [
        meta(session_id, timestamp=iso, cwd=cwd, git=git, source="cli", originator="codex_cli_rs"),
        surroundings(cwd),
        ("turn_context", {"cwd": cwd, "model": "gpt-5-codex", "approval_policy": "on-request"}),
    ]
    all_lines = enumerate([*head, *lines])
    encoded = b"".join(encode_item(kind, payload, time_ms=start_ms + n * 2000) for n, (kind, payload) in all_lines)
    home.mkdir(mode=0o700, exist_ok=True)
    path = put(home, encoded, session_id=session_id, timestamp=timestamp)
    os.utime(path, (time.time() - age,) * 2)


def _turn(text: str, reply: str, tokens: int, *commands: tuple[str, int, str]) -> list[Line]:
    lines = [event("task_started", turn_id=text, model_context_window=272000), *prompt(text)]
    for number, (command, code, output) in enumerate(commands):
        call = {"call_id": f"call_{number}", "name": "exec_command", "arguments": f'{{"cmd":"{command}"}}'}
        header = f"Exit code: {code}\nWall time: 0.4 seconds\nOutput:\n"
        lines += [
            ("response_item", {"type": "function_call", **call}),
            ("response_item", {"type": "function_call_output", "call_id": f"call_{number}", "output": header + output}),
        ]
    usage = {
        "input_tokens": tokens - 100,
        "cached_input_tokens": tokens // 2,
        "output_tokens": 100,
        "reasoning_output_tokens": 40,
        "total_tokens": tokens,
    }
    end = event("task_complete", turn_id=text, last_agent_message=reply, duration_ms=tokens * 10)
    return [*lines, *answer(reply), token_count(usage, rate_limits=None), end]


class Terminal:
    """
    A shell in its own folder, at a terminal of 100 columns. `rollout` is the command of this checkout.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        script = self._folder / "bin" / "rollout"
        script.parent.mkdir(parents=True)
        program = script.with_name("program.py")
        program.write_text(_COMMAND)
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n')
        script.chmod(0o700)
        self.home = self._folder / ".codex"
        self._env = {
            "PATH": f"{script.parent}:{os.environ['PATH']}",
            "PYTHONPATH": os.fspath(ROOT),
            "HOME": os.fspath(self._folder),
            "CODEX_HOME": os.fspath(self.home),
            "XDG_CACHE_HOME": os.fspath(self._folder / ".cache"),
            "COLUMNS": "100",
            "LINES": "60",
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "TERM": "xterm",
            "TZ": "UTC",
        }
        create_home(self.home)

    def run(self, command: str) -> str:
        """
        Return the output of a command, with PLACE instead of the temporary folder.
        """
        master, slave = pty.openpty()
        try:
            shell = subprocess.Popen(
                ["sh", "-c", command],
                cwd=self._folder, env=self._env, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave,
            )  # fmt: skip
        finally:
            os.close(slave)
        output = b""
        # At the end of a terminal, Linux raises an error; other systems return no bytes.
        with suppress(OSError):
            while part := os.read(master, 65536):
                output += part
        os.close(master)
        shell.wait(60)
        text = _ERASED.sub("", output.decode()).replace("\r\n", "\n").replace(os.fspath(self._folder), PLACE)
        return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


class Example(NamedTuple):
    """
    A command on the page, its output, and the position of the output.
    """

    command: str
    output: str
    start: int

    def matches(self, output: str) -> bool:
        return OutputChecker().check_output(self.output, output, ELLIPSIS)


def examples_of(page: str) -> dict[str, list[Example]]:
    """
    Return the examples on a page by the headings above them.
    """
    found: dict[str, list[Example]] = {}
    section = ""
    for part in re.finditer(r"^##+ (.*)$|^```console\n((?:(?!```).*\n)*)", page, re.MULTILINE):
        section = part[1] or section
        for shell in re.finditer(r"^\$ (.*\n(?:> .*\n)*)((?:(?!\$ ).*\n)*)", part[2] or "", re.MULTILINE):
            command = shell[1].replace("\n> ", "\n").rstrip()
            found.setdefault(section, []).append(Example(command, shell[2], part.start(2) + shell.start(2)))
    return found


def help_of(command: str) -> str:
    """
    Return the help of a command at 80 columns; an empty name means the help of `rollout`.
    """
    args = [*filter(None, [command]), "--help"]
    result = CliRunner(env={"COLUMNS": "80"}).invoke(group, args, prog_name="rollout", catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def with_help(page: str, command: str, text: str) -> str:
    """
    Return a page with the help of a command replaced.
    """
    usage = f"Usage: rollout {command} ".replace("  ", " ")
    before, mark, rest = page.partition(f"```text\n{usage}[OPTIONS]")
    return f"{before}```text\n{text}{rest[rest.index('```') :]}" if mark else page


def with_statuses(page: str) -> str:
    """
    Return a page with the table of exit statuses replaced.
    """
    head = "| status | meaning |\n|---|---|\n"
    before, _, rest = page.partition(head)
    rows = "".join(f"| {status} | {meaning} |\n" for status, meaning in EXIT_STATUSES.items())
    return f"{before}{head}{rows}\n{rest.partition(chr(10) * 2)[2]}"


def updated(page: str, folder: Path) -> str:
    """
    Return a page with the current help texts and tables, and the current outputs where they differ.
    """
    for command in ("", *COMMANDS):
        page = with_help(page, command, help_of(command))
    page = with_statuses(page)
    parts, end = [], 0
    for number, examples in enumerate(examples_of(page).values()):
        terminal = Terminal(folder / str(number))
        for example in examples:
            output = terminal.run(example.command)
            parts += [page[end : example.start], example.output if example.matches(output) else output]
            end = example.start + len(example.output)
    page = "".join([*parts, page[end:]])
    terminal = Terminal(folder / "json")
    return _ROW.sub(lambda row: row_of(row[1], terminal.run(row[1])), page)


def row_of(command: str, output: str) -> str:
    """
    Return a row of the table of JSON documents: the keys, and the fields of the first value.
    """
    # The terminal also has the messages of stderr.
    document = decode_json(next(line for line in output.splitlines() if line.startswith("{")))
    assert document.pop("schema_version", None) == SCHEMA_VERSION, output
    first = next(value for value in document.values() if isinstance(value, (list, dict)))
    fields = first[0] if isinstance(first, list) else first
    return f"| `{command}` | {', '.join(f'`{key}`' for key in document)} | {', '.join(f'`{key}`' for key in fields)} |"


TEXT = PAGE.read_text()
EXAMPLES = examples_of(TEXT)


def test_each_command_has_one_section() -> None:
    headings = re.findall(r"^### (.*)$", TEXT, re.MULTILINE)

    assert sorted(headings) == sorted(COMMANDS)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_the_page_has_the_current_help(command: str) -> None:
    text = help_of(command)

    assert f"```text\n{text}```\n" in TEXT, "python tests/test_cli_docs.py --write"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_an_example(command: str) -> None:
    examples = [example for example in EXAMPLES.get(command, []) if f"rollout {command}" in example.command]

    assert examples


@pytest.mark.parametrize("section", EXAMPLES)
def test_the_page_has_the_current_outputs(section: str, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path / "dev")

    for example in EXAMPLES[section]:
        output = terminal.run(example.command)

        assert example.matches(output), f"$ {example.command}\n{output}\npython tests/test_cli_docs.py --write"


def test_the_page_has_the_fields_of_each_json_document(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path / "dev")
    rows = list(_ROW.finditer(TEXT))

    for row in rows:
        assert row_of(row[1], terminal.run(row[1])) == row[0], "python tests/test_cli_docs.py --write"
    with_json = {command for command in COMMANDS if re.search(r"^ +--json ", help_of(command), re.MULTILINE)}
    assert {row[1].split()[1] for row in rows} == with_json


def test_the_page_has_the_exit_statuses() -> None:
    assert with_statuses(TEXT) == TEXT, "python tests/test_cli_docs.py --write"


def test_each_command_in_the_readme_exists() -> None:
    section = (ROOT / "README.md").read_text().partition("\n## The command\n")[2].partition("\n## ")[0]

    commands = re.findall(r"^rollout (\w+)", section, re.MULTILINE)

    assert len(commands) >= 6
    assert set(commands) <= set(COMMANDS)
    assert len(section.strip().splitlines()) <= 15


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(updated(TEXT, Path(folder)))
