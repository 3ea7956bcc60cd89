"""
What it takes to see a session: exports beside peers, the first paint of pages, the viewer's list, and how soon a live
session is on the screen.

    python benchmarks/bench_see.py [--home FOLDER] [--count 100000] [--rounds 3] [--peers FOLDER]

Makes the home with home.py unless it is there, and installs the peers, each into an environment of its own, unless they
are. Needs Chromium and playwright. Writes results/see.json and results/see.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from home import make_home
from playwright.sync_api import Browser, TimeoutError, sync_playwright
from shown import as_claude, make_big, make_many

RESULTS = Path(__file__).parent / "results"
COMMAND = [sys.executable, "-m", "rollout.cli"]
PEERS = ("codex-transcript-viewer", "codex-transcripts", "claude-code-log", "claude-code-transcripts")
_LIMIT = 600
# Seconds until a page is given up; ms from which on it is opened once.
_PAGE_LIMIT, _PAGE_LONG = 120, 10_000
_VIEWER = """
import sys
from rollout.web import make_viewer
with make_viewer(home=sys.argv[1]) as viewer:
    print(viewer.url, flush=True)
    sys.stdin.read()
"""
# First paint and the load event, in ms since the navigation began; both may come after it is loaded.
_PAINT = """async () => {
    const paint = () => performance.getEntriesByName("first-contentful-paint")[0];
    const [navigation] = performance.getEntriesByType("navigation");
    while (!paint() || !navigation.loadEventEnd) await new Promise(done => setTimeout(done, 20));
    return [paint().startTime, navigation.loadEventEnd, document.querySelectorAll("*").length];
}"""
# When a marked text is in the document, and when the next frame begins, in ms since 1970.
_WATCH = """() => {
    window.seen = {};
    const at = () => performance.timeOrigin + performance.now();
    const look = node => {
        for (const [mark] of (node.textContent || "").matchAll(/mark-\\d+-/g)) {
            if (window.seen[mark]) continue;
            const times = window.seen[mark] = [at(), null];
            requestAnimationFrame(() => { times[1] = at(); });
        }
    };
    new MutationObserver(changes => changes.forEach(change => change.addedNodes.forEach(look)))
        .observe(document.body, {childList: true, subtree: true});
}"""


def timed(command: list[Any], cwd: Path) -> float:
    """
    Run a command and return its seconds.
    """
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    _, output = process.communicate(timeout=_LIMIT)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {output[-500:]}")
    return time.perf_counter() - began


def size_of(path: Path) -> int:
    return (
        sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else path.stat().st_size
    )


def peer_command(folder: Path, name: str, source: Path, claude: Path, target: Path) -> list[Any]:
    """
    Return the command of a peer; it writes *target*, a file or a folder.
    """
    program = folder / name / "bin" / name
    if name == "codex-transcript-viewer":
        return [program, source, target]
    if name == "codex-transcripts":
        return [program, "json", source, "-o", target]
    if name == "claude-code-log":
        return [program, claude, "-o", target]
    return [program, "json", claude, "-o", target]


def exports(name: str, source: Path, work: Path, peers: Path, rounds: int) -> dict[str, Any]:
    """
    Measure the export of one session by the command, in each format, and by the peers, in turn.
    """
    claude = work / f"{name}.jsonl"
    rows = as_claude(source, claude)
    targets = {form: work / f"{name}.{form}" for form in ("html", "markdown", "text", "json")}
    commands = {
        f"rollout export --to {form}": [*COMMAND, "export", source, "--to", form, "--output", target, "--force"]
        for form, target in targets.items()
    }
    outputs = {f"rollout export --to {form}": target for form, target in targets.items()}
    for peer in PEERS:
        is_folder = peer in ("codex-transcripts", "claude-code-transcripts")
        outputs[peer] = work / f"{name}-{peer}" if is_folder else work / f"{name}-{peer}.html"
        commands[peer] = peer_command(peers, peer, source, claude, outputs[peer])
    found: dict[str, Any] = {"size": source.stat().st_size, "claude_size": claude.stat().st_size, "claude_rows": rows}
    found["cases"] = {case: {"seconds": []} for case in commands}
    for number in range(rounds + 1):
        for case, command in commands.items():
            run = found["cases"][case]
            if "error" in run:
                continue
            try:
                seconds = timed(command, work)
            except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
                run["error"] = str(error)[:200]
                continue
            if number:
                run["seconds"].append(seconds)
            run["bytes"] = size_of(outputs[case])
            run["target"] = str(outputs[case])
    return found


def pages_of(path: Path) -> list[Path]:
    """
    Return the pages that a command has written; the first one is the page to open.
    """
    if path.is_dir():
        return sorted(path.glob("page-*.html"))
    return [path] if path.suffix == ".html" else []


@contextmanager
def browser() -> Iterator[Browser]:
    chromium = os.environ.get("ROLLOUT_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


def paints(running: Browser, address: str, rounds: int) -> dict[str, Any]:
    """
    Open a page in a new window, several times after one for warm-up; only once if that takes long.
    """
    found: dict[str, Any] = {"first_paint": [], "load": []}
    for number in range(rounds + 1):
        context = running.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        try:
            page.goto(address, wait_until="load", timeout=_PAGE_LIMIT * 1000)
            paint, load, found["elements"] = page.evaluate(_PAINT)
        except TimeoutError:
            return {"error": f"not loaded in {_PAGE_LIMIT} s"}
        finally:
            context.close()
        if number or load > _PAGE_LONG:
            found["first_paint"].append(paint)
            found["load"].append(load)
        if load > _PAGE_LONG:
            break
    return found


@contextmanager
def viewer(home: Path) -> Iterator[str]:
    """
    Serve a home in its own process and yield the address.
    """
    command = [sys.executable, "-c", _VIEWER, home]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def listing(running: Browser, home: Path, rounds: int) -> dict[str, Any]:
    """
    Measure the viewer's list of a large home: the answer of the server, and the page.
    """
    answers = []
    with viewer(home) as address:
        for number in range(21):
            began = time.perf_counter()
            with urllib.request.urlopen(address, timeout=_LIMIT) as answer:  # noqa: S310 -- our own
                size = len(answer.read())
            answers.append((time.perf_counter() - began) * 1000)
            first = answers[0]
            if number == 0:
                answers.clear()
        return {"first_answer": first, "answer": answers, "bytes": size, **paints(running, address, rounds)}


def live(running: Browser, count: int) -> dict[str, Any]:
    """
    Record items, one after another, while a page of the viewer shows the session: ms from before record() until each
    is in the document, and until the frame that shows it.
    """
    from rollout import Recorder

    began: dict[str, float] = {}
    random_ = random.Random(7)
    with tempfile.TemporaryDirectory() as home, Recorder(home=home, cwd=home) as recorder:
        recorder.user_message("Say a hundred things.")
        recorder.flush()
        with viewer(Path(home)) as address:
            page = running.new_page(viewport={"width": 1280, "height": 900})
            page.goto(f"{address}s/{recorder.session_id}", wait_until="load")
            page.evaluate(_WATCH)
            # Until the page has asked for its news.
            page.wait_for_timeout(1000)
            for number in range(count):
                page.wait_for_timeout(random_.randint(20, 120))
                mark = f"mark-{number}-"
                began[mark] = time.time() * 1000
                recorder.agent_message(f"Thing {mark} is said.\n\n- one\n- **two**\n")
                recorder.flush()
            seen: dict[str, list[float]] = {}
            while len(seen) < count or not all(times[1] for times in seen.values()):
                page.wait_for_timeout(50)
                seen = page.evaluate("window.seen")
            page.close()
    pairs = [(times, began[mark]) for mark, times in seen.items()]
    return {"document": [times[0] - at for times, at in pairs], "frame": [times[1] - at for times, at in pairs]}


def install(peers: Path) -> dict[str, str]:
    """
    Install the missing peers; return their versions, or the reason why one is missing.
    """
    versions = {}
    for name in PEERS:
        python = peers / name / "bin" / "python"
        if not python.exists():
            venv.create(peers / name, with_pip=True)
            pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", name]
            subprocess.run(pip, check=False)
        script = f"from importlib.metadata import version; print(version({name!r}))"
        done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=False)
        versions[name] = done.stdout.strip() or "could not be installed"
    return versions


def median(values: list[float]) -> float:
    return statistics.median(values)


def high(values: list[float]) -> float:
    """
    Return the 95th percentile.
    """
    return sorted(values)[int(len(values) * 0.95)]


def page_of(run: dict[str, Any]) -> str:
    """
    Return the figures as a page.
    """
    latency, shown = run["live"], run["list"]
    lines = [
        "# Seeing a session",
        "",
        f"Medians of {run['rounds']} rounds in turn, after one to warm up, with lowest - highest; Chromium "
        f"{run['chromium']}, headless, 1280 x 900, pages from the disk, in a window of their own.",
        "Peers that read Codex's files get the same file, the others the same session in Claude Code's format. Of "
        "those that write many pages the first is opened; a page that takes more than 10 s is opened once.",
        "*MB/s*: of Codex's file. *x time* and *x size*: beside our page. Made by [bench_see.py](../bench_see.py).",
    ]
    for name, made in run["exports"].items():
        lines += ["", f"## {name}", "", made["about"], "", *_export_table(made)]
    lines += [
        "", f"## The viewer's list of a home of {run['sessions']:,} sessions", "",
        "| | ms |", "|---|---|",
        f"| first answer of the server | {shown['first_answer']:,.0f} |",
        f"| answer, {len(shown['answer'])} times, {shown['bytes'] / 1000:,.0f} kB | {_spread(shown['answer'])} |",
        f"| first contentful paint | {_spread(shown['first_paint'])} |",
        f"| load event | {_spread(shown['load'])} |",
        "", "## Live", "",
        f"{len(latency['document'])} items, one after another, from the call of `record()`, with `flush()`, to a page "
        "of the viewer, which is a process of its own.", "",
        "| | median, ms | 95 % below, ms | highest, ms |", "|---|---|---|---|",
        *(f"| {what} | {median(latency[key]):,.0f} | {high(latency[key]):,.0f} | {max(latency[key]):,.0f} |"
          for what, key in (("in the document", "document"), ("in the frame that shows it", "frame"))),
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    return f"{median(values):,.0f} ({min(values):,.0f} - {max(values):,.0f})"


def _export_table(made: dict[str, Any]) -> Iterator[str]:
    ours = made["cases"]["rollout export --to html"]
    yield "| | s | MB/s | size, MB | pages | first paint, ms | load, ms | elements | x time | x size |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for case, run in made["cases"].items():
        name = f"{case} {made['versions'].get(case, '')}".strip()
        if not run["seconds"]:
            yield f"| {name} | {run['error']} | | | | | | | | |"
            continue
        seconds = median(run["seconds"])
        opened = run.get("error", "") + " | | "
        if run.get("load"):
            opened = f"{_spread(run['first_paint'])} | {_spread(run['load'])} | {run['elements']:,}"
        spread = f"{seconds:.1f} ({min(run['seconds']):.1f} - {max(run['seconds']):.1f})"
        yield (
            f"| {name} | {spread} | {made['size'] / seconds / 1e6:,.1f} | {run['bytes'] / 1e6:,.1f} | "
            f"{run['pages'] or ''} | {opened} | "
            f"{seconds / median(ours['seconds']):.2f} | {run['bytes'] / ours['bytes']:.2f} |"
        )


def seeing(running: Browser, work: Path, options: argparse.Namespace, versions: dict[str, str]) -> dict[str, Any]:
    big = make_big(work / "big", 50_000_000)
    many = work / "rollout-2026-01-01T00-00-00-00000000-0000-7000-8000-000000000006.jsonl"
    count = make_many(many, 50_000)
    found = {}
    for name, path, about in (
        (
            "A session of 50 MB",
            big,
            "As 0.169 writes it: 250 turns of commands, patches, reasoning and what they print.",
        ),
        ("A session of 50,000 items", many, f"As 0.36 writes it: {count:,} items that a reader sees, in 2,778 turns."),
    ):
        made = exports(path.stem[-4:], path, work, options.peers, options.rounds)
        made["about"], made["versions"] = about, versions
        for run in made["cases"].values():
            pages = pages_of(Path(run.pop("target"))) if "target" in run else []
            run["pages"] = len(pages)
            if pages:
                run.update(paints(running, pages[0].as_uri(), options.rounds))
        found[name] = made
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "rollout-bench-home")
    parser.add_argument("--peers", type=Path, default=Path(tempfile.gettempdir()) / "rollout-bench-peers")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not options.home.exists():
        make_home(options.home, options.count)
    versions = install(options.peers)
    with tempfile.TemporaryDirectory() as folder, browser() as running:
        os.environ |= {"XDG_CACHE_HOME": f"{folder}/cache", "HOME": folder}
        run: dict[str, Any] = {"sessions": options.count, "rounds": options.rounds, "chromium": running.version}
        run["live"] = live(running, 100)
        run["list"] = listing(running, options.home, options.rounds)
        run["exports"] = seeing(running, Path(folder), options, versions)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "see.json").write_text(json.dumps(run, indent=1) + "\n")
    (RESULTS / "see.md").write_text(page_of(run))
    print(page_of(run))


if __name__ == "__main__":
    main()
