from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rollout import load_history
from rollout.codec import decode_json
from rollout.export import export_json, export_markdown, export_text
from tests.cli.conftest import Run
from tests.export.sample import data
from tests.hostile import EVIL
from tests.rollouts import ID, meta, prompt, put

KEY = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5"
NAME = f"rollout-2026-11-21T01-25-37-{ID}.html"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("form", "export"), [("text", export_text), ("markdown", export_markdown), ("json", export_json)]
)
@pytest.mark.parametrize("detail", ["full", "conversation"])
def test_export_in_a_pipe_writes_to_stdout(
    home: Path, run: Run, folder: Path, form: str, export: object, detail: str
) -> None:
    history = load_history(put(home, data()))

    done = run("export", "@last", "--to", form, "--detail", detail)

    assert (done.status, done.err) == (0, "")
    assert done.out == "".join(export(history, detail=detail))  # type: ignore[operator] -- one of three
    assert list(folder.iterdir()) == []


def test_export_defaults_to_html(home: Path, run: Run, folder: Path) -> None:
    pytest.importorskip("jinja2")
    put(home, data())

    assert run("export", ID).out.lstrip().lower().startswith("<!doctype html>")
    done = run("export", ID, screen=True)

    page = folder / NAME
    assert (done.status, done.out) == (0, "")
    assert done.err == f"rollout: {NAME}: {page.stat().st_size / 1000:.0f} kB\n"
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("name", "beginning"),
    [("a.md", "# "), ("a.MARKDOWN", "# "), ("a.txt", "Fix the"), ("a.json", '{"schema_version":2')],
)
def test_the_extension_of_the_file_selects_the_format(
    home: Path, run: Run, folder: Path, name: str, beginning: str
) -> None:
    put(home, data())

    done = run("export", ID, "-o", name)

    assert (done.status, done.out) == (0, "")
    assert (folder / name).read_text().startswith(beginning)
    assert done.err.startswith(f"rollout: {name}: ")
    assert list(folder.iterdir()) == [folder / name]


def test_to_overrides_the_extension_and_a_dash_means_stdout(home: Path, run: Run, folder: Path) -> None:
    put(home, data())

    assert run("export", ID, "-o", "a.md", "--to", "json").status == 0
    assert decode_json((folder / "a.md").read_text())["session"]["id"] == ID
    assert run("export", ID, "-o", "-", "--to", "text", screen=True).out.startswith("Fix the parser.")


def test_a_file_is_overwritten_only_with_force(home: Path, run: Run, folder: Path) -> None:
    put(home, data())
    target = folder / "a.txt"
    target.write_text("precious")
    target.chmod(0o640)

    refused = run("export", ID, "-o", target)
    assert (refused.status, target.read_text()) == (2, "precious")
    assert refused.err == f"rollout: {target}: the file exists; use --force to overwrite it\n"

    assert run("export", ID, "-o", target, "--force").status == 0
    assert target.read_text().startswith("Fix the parser.")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert run("export", ID, "-o", folder / "new.txt", "--force").status == 0


def test_a_failed_write_leaves_no_file(home: Path, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(home, data())

    assert run("export", ID, "-o", folder / "no" / "a.txt").status == 2
    monkeypatch.setattr(os, "fsync", raise_no_space)
    done = run("export", ID, "-o", "a.txt")

    assert done.status == 2
    assert list(folder.iterdir()) == []


def raise_no_space(_: int) -> None:
    raise OSError(28, os.strerror(28))


def test_redact_replaces_keys_and_lists_them(home: Path, run: Run, folder: Path) -> None:
    put(home, [meta(), *prompt(f"My token is {KEY}.")])

    done = run("export", ID, "--redact", "--to", "json")

    assert KEY not in done.out
    assert "replaces a github-token in " in done.err
    assert KEY in run("export", ID, "--to", "json").out


def test_an_unknown_level_of_detail_is_an_error(home: Path, run: Run) -> None:
    put(home, data())

    assert "'most' is not one of 'full', 'no-outputs', 'conversation'" in run("export", ID, "--detail", "most").err


@pytest.mark.parametrize("form", ["text", "markdown", "json"])
def test_export_to_a_terminal_escapes_control_characters(home: Path, run: Run, folder: Path, form: str) -> None:
    put(home, [meta(), *prompt(EVIL)])

    shown = run("export", ID, "--to", form, screen=True).out

    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "tail" in shown
