"""
Results -> a Markdown page and pictures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from targets import Results, Verdict, verdicts

_OURS = "#d1495b"
_OTHERS = ("#30638e", "#00798c", "#edae49", "#66a182", "#8d96a3", "#2e4057", "#a97c73", "#7d5ba6", "#c98bb9")


def write_report(run: dict[str, Any], folder: Path | None) -> str:
    """
    Write the results, the page and the pictures; return the page. Without a folder, only return the page.
    """
    results: Results = run["results"]
    parts = [_head(run), _targets(verdicts(results)), *_tables(results)]
    text = "\n\n".join(parts) + "\n"
    if folder is not None:
        folder.mkdir(exist_ok=True)
        (folder / "README.md").write_text(text)
        (folder / "results.json").write_text(json.dumps(run, indent=1) + "\n")
        _draw(results, folder)
    return text


def _head(run: dict[str, Any]) -> str:
    machine = run["machine"]
    return (
        "# Results\n\n"
        f"{machine['date']}, Python {machine['python']}, {machine['system']}, {machine['processors']} processors; "
        f"medians of {run['rounds']} rounds, the lowest and highest in brackets. Written by `make bench`; what is "
        "measured, and how, is in [the README](../README.md). Figures of one machine: compare ratios."
    )


def _targets(found: list[Verdict]) -> str:
    rows = [(v.what, v.target, "" if v.value is None else f"{v.value:.3g}", _answer(v)) for v in found]
    held = sum(bool(v.holds) for v in found)
    asked = sum(v.holds is not None for v in found)
    return f"## Targets\n\n{held} of {asked} hold.\n\n" + _table(("what", "target", "measured", "holds"), rows)


def _answer(verdict: Verdict) -> str:
    if verdict.holds is None:
        return f"not measured: {verdict.why_not}"
    return "yes" if verdict.holds else "**no**"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _tables(results: Results) -> list[str]:
    shown = [
        ("Recording, uniform: 20,000 items of about 500 B", "write/uniform/", _writing_row, "throughput.svg"),
        ("Recording, mix: 5,000 items of 300 B to 200 KB", "write/mix/", _writing_row, "latency.svg"),
        ("Recording from several threads, uniform", "threads/", _writing_row, ""),
        ("Reading 60 MB of small lines", "read/small/", _reading_row, "reading.svg"),
        ("Reading 500 MB of the mix", "read/mix/", _reading_row, ""),
        ("Scanning 500 MB for a rare text", "search/", _seconds_row, ""),
        ("A page of 25 sessions; the first call is in a new process", "list/", _listing_row, "listing.svg"),
        ("Finding one of the largest home", "find/", _ms_row, ""),
        ("Growth: recording into one file", "growth/", _growth_row, "growth.svg"),
    ]
    parts = []
    for title, prefix, row, picture in shown:
        rows = [(case.removeprefix(prefix), result) for case, result in results.items() if case.startswith(prefix)]
        head = row("", None)
        body = [(name, f"not measured: {r['error']}") if "error" in r else row(name, r) for name, r in rows]
        padded = [(*cells, *[""] * (len(head) - len(cells))) for cells in body]
        image = f"\n\n![{title}]({picture})" if picture else ""
        parts.append(f"## {title}\n\n{_table(head, padded)}{image}")
    return parts


def _with_spread(result: dict[str, Any], figure: str, scale: float, form: str) -> str:
    low, high = result[f"{figure}_spread"]
    return f"{result[figure] * scale:{form}} ({low * scale:{form}}-{high * scale:{form}})"


def _writing_row(name: str, result: dict[str, Any] | None) -> tuple[str, ...]:
    if result is None:
        return "writer", "thousand items/s", "call p50, us", "call p99, us", "longest, us"
    figures = (_with_spread(result, "rate", 1e-3, ".1f"), f"{result['p50']:.2f}", f"{result['p99']:.1f}")
    return name, *figures, f"{result['max']:,.0f}"


def _reading_row(name: str, result: dict[str, Any] | None) -> tuple[str, ...]:
    if result is None:
        return "reader", "seconds", "us a line", "peak memory, MB"
    peak = f"{result['peak'] / 2**20:.0f}" if "peak" in result else ""
    return name, _with_spread(result, "seconds", 1, ".3f"), f"{result['seconds'] / result['lines'] * 1e6:.2f}", peak


def _seconds_row(name: str, result: dict[str, Any] | None) -> tuple[str, ...]:
    return ("what", "seconds") if result is None else (name, _with_spread(result, "seconds", 1, ".3f"))


def _listing_row(name: str, result: dict[str, Any] | None) -> tuple[str, ...]:
    if result is None:
        return "sessions / who", "ms", "first call, ms"
    return name, _with_spread(result, "ms", 1, ".2f"), f"{result['first_ms']:.1f}"


def _ms_row(name: str, result: dict[str, Any] | None) -> tuple[str, ...]:
    return ("what", "ms") if result is None else (name, _with_spread(result, "ms", 1, ".3f"))


def _growth_row(name: str, result: dict[str, Any] | None) -> tuple[str, ...]:
    if result is None:
        return "lines", "us a record", "peak memory, MB"
    return f"{int(name):,}", _with_spread(result, "each", 1, ".2f"), f"{result['peak'] / 2**20:.0f}"


def _draw(results: Results, folder: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    # The same file from the same results.
    matplotlib.rcParams.update({"svg.hashsalt": "rollout", "svg.fonttype": "none", "font.size": 9})
    import matplotlib.pyplot as plt

    good = {case: result for case, result in results.items() if "error" not in result}
    for name, draw in (
        ("latency", _draw_latency),
        ("throughput", _draw_throughput),
        ("reading", _draw_reading),
        ("listing", _draw_listing),
        ("growth", _draw_growth),
    ):
        figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
        draw(good, axes)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)


def _color(name: str, number: int) -> str:
    return _OURS if name.startswith("rollout") else _OTHERS[number % len(_OTHERS)]


def _of(results: Results, prefix: str) -> dict[str, dict[str, Any]]:
    return {case.removeprefix(prefix): result for case, result in results.items() if case.startswith(prefix)}


def _draw_latency(results: Results, axes: Any) -> None:
    percents = [*range(1, 100), 99.5, 99.9, 99.99]
    places = [-1 * _log10(1 - percent / 100) for percent in percents]
    for axis, workload in zip(axes, ("uniform", "mix"), strict=True):
        for number, (name, result) in enumerate(_of(results, f"write/{workload}/").items()):
            is_ours = name == "rollout"
            # There are more writers than colors.
            style = "--" if number >= len(_OTHERS) else "-"
            axis.plot(places, result["points"], style, label=name, color=_color(name, number), lw=2.5 if is_ours else 1)
        axis.set(yscale="log", title=f"one call of record(), {workload}", ylabel="us", xlabel="percentile")
        marks = (50, 90, 99, 99.9, 99.99)
        axis.set_xticks([-1 * _log10(1 - mark / 100) for mark in marks], [f"{mark:g}" for mark in marks])
        axis.grid(alpha=0.3)
    axes[1].legend(fontsize=7, bbox_to_anchor=(1.01, 1), loc="upper left")


def _log10(value: float) -> float:
    import math

    return math.log10(value)


def _bars(axis: Any, results: dict[str, dict[str, Any]], value: Any, title: str, unit: str) -> None:
    ordered = sorted(results.items(), key=lambda entry: value(entry[1]))
    names = [name for name, _ in ordered]
    axis.barh(names, [value(result) for _, result in ordered], color=[_color(n, 0) for n in names])
    axis.set(title=title, xlabel=unit, xscale="log")
    axis.tick_params(axis="y", labelsize=7)
    axis.grid(alpha=0.3, axis="x")


def _draw_throughput(results: Results, axes: Any) -> None:
    for axis, workload in zip(axes, ("uniform", "mix"), strict=True):
        _bars(axis, _of(results, f"write/{workload}/"), lambda r: r["rate"], f"recording, {workload}", "items a second")


def _draw_reading(results: Results, axes: Any) -> None:
    for axis, kind in zip(axes, ("small", "mix"), strict=True):
        _bars(
            axis,
            _of(results, f"read/{kind}/"),
            lambda r: r["lines"] / r["seconds"],
            f"reading, {kind}",
            "lines a second",
        )


def _draw_listing(results: Results, axes: Any) -> None:
    series: dict[str, list[tuple[int, float, float]]] = {}
    for case, result in _of(results, "list/").items():
        count, _, name = case.partition("/")
        if not name.startswith("page "):
            series.setdefault(name, []).append((int(count), result["ms"], result["first_ms"]))
    for place, title in ((1, "warm"), (2, "the first call in a new process")):
        for number, (name, points) in enumerate(series.items()):
            ordered = sorted(points)
            places = [point[0] for point in ordered]
            axes[place - 1].plot(places, [p[place] for p in ordered], "o-", label=name, color=_color(name, number))
        axes[place - 1].set(
            xscale="log", yscale="log", xlabel="sessions in the home", ylabel="ms", title=f"a page, {title}"
        )
        axes[place - 1].grid(alpha=0.3)
    axes[0].legend(fontsize=7)


def _draw_growth(results: Results, axes: Any) -> None:
    points = sorted((int(count), result["each"]) for count, result in _of(results, "growth/").items())
    axes[0].plot([p[0] for p in points], [p[1] for p in points], "o-", color=_OURS)
    axes[0].set(
        xscale="log", ylim=(0, None), xlabel="lines in the file", ylabel="us a record", title="growth of a file"
    )
    series: dict[str, list[tuple[int, float]]] = {}
    for case, result in _of(results, "threads/").items():
        count, _, name = case.partition("/")
        series.setdefault(name, []).append((int(count), 1e6 / result["rate"]))
    for number, (name, found) in enumerate(series.items()):
        ordered = sorted(found)
        axes[1].plot([p[0] for p in ordered], [p[1] for p in ordered], "o-", label=name, color=_color(name, number))
    axes[1].set(ylim=(0, None), xlabel="threads", ylabel="us a record", title="threads that record")
    axes[1].legend(fontsize=7)
    for axis in axes:
        axis.grid(alpha=0.3)
