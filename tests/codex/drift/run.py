"""
Compare a version of Codex with this package: `make drift VERSION=0.169.0`.

Installs the version with npm, records the scenario with each of today's models, reads it, and prints what is unknown,
unmodelled or misread, and what this version does not show of a session that this package has recorded. The exit status
is 1 if there is anything. Takes about two minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parent.parent))

from agent_session import MODES, Mode, record
from driver import Codex
from fields import unknown_names
from install import install
from reading import Finding, findings_in
from scenario import Scenario
from scripts import ScriptedModel
from versions import screen_shows, served
from views import differences

MODELS = ("gpt-5.6-sol", "gpt-6.1-sol", "gpt-5.4")
# What Codex 0.169.0 shows of a session of the methods for an agent's loop, in the server and on the screen.
_SHOWN: dict[Mode, tuple[str, str]] = {
    "legacy": ("messages, reasoning, calls (MCP), patches", "messages, calls, commands, patches, errors"),
    "paginated": ("messages, reasoning, calls, commands, patches", "messages, calls, commands, patches, errors"),
}
_KINDS = ("unknown", "unmodelled", "misread", "not shown", "not asked")


def of_model(version: str, model: str, folder: Path) -> tuple[list[Finding], dict[str, str]]:
    """
    Record the scenario with a model, and return the findings and the steps that the version refused.
    """
    scripted = ScriptedModel()
    try:
        scenario = Scenario(version, model, folder, scripted.url)
        scenario.run()
        found = [*findings_in(scenario.codex.home), *differences(scenario.codex, scripted)]
    finally:
        scripted.close()
    return found, scenario.refused


def of_names(version: str, folder: Path, recorded: Path) -> list[Finding]:
    """
    Return the types and fields that the version knows and this package does not.
    """
    return list(unknown_names(_codex(version, folder), recorded))


def of_ours(version: str, folder: Path) -> Iterator[Finding]:
    """
    Yield what the version does not show of our sessions.
    """
    for mode in MODES:
        codex = _codex(version, folder / mode)
        rec = record(codex, mode)
        is_listed, shown = served(codex, rec)
        if not is_listed:
            yield Finding("not shown", f"the {mode} session in the list")
        for place, wanted, found in zip(
            ("server", "screen"), _SHOWN[mode], (shown, screen_shows(codex, rec)), strict=True
        ):
            missing = [name for name in wanted.split(", ") if name not in found.split(", ")]
            if missing:
                yield Finding("not shown", f"{', '.join(missing)} of a {mode} session by its {place}")


def _codex(version: str, folder: Path) -> Codex:
    project = folder / "project"
    project.mkdir(parents=True)
    (project / "note.txt").write_text("a note\n")
    return Codex(version, folder / "home", project, "http://127.0.0.1:9")


def main() -> int:
    """
    Print the table, and return 1 if it has a row.
    """
    version = sys.argv[1]
    problem = install(version)
    if problem:
        print(f"Codex {version} is not installed: {problem}", file=sys.stderr)
        return 2
    counts: dict[Finding, list[str]] = {}
    with TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with ThreadPoolExecutor(2) as pool:
            results = pool.map(lambda model: of_model(version, model, folder / model), MODELS)
            for model, (found, refused) in zip(MODELS, results, strict=True):
                _count(counts, model, found)
                for step, answer in refused.items():
                    print(f"{model}: this version refused {step}: {answer[:100]}", file=sys.stderr)
        _count(counts, "-", of_names(version, folder / "names", folder))
        _count(counts, "-", of_ours(version, folder / "ours"))
    rows = sorted(counts.items(), key=lambda row: (_KINDS.index(row[0].kind), row[0].what))
    print(f"Codex {version}: {len(rows)} differences")
    for finding, models in rows:
        print(f"{finding.kind:<10}  {len(models):>4} x  {finding.what}  [{', '.join(sorted(set(models)))}]")
    return int(bool(rows))


def _count(counts: dict[Finding, list[str]], model: str, found: Iterator[Finding] | list[Finding]) -> None:
    for finding in found:
        counts.setdefault(Finding(finding.kind, finding.what), []).append(model)


if __name__ == "__main__":
    sys.exit(main())
