from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "sessions.ipynb"

for _extra in ("nbclient", "ipykernel", "pandas", "matplotlib", "platformdirs"):
    pytest.importorskip(_extra, reason=f"the example notebook needs {_extra}")


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """
    The notebook's cells by their ids, run in a real kernel, each with its outputs.
    """
    import nbformat
    from nbclient import NotebookClient

    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(EXAMPLE, as_version=4)
    own = {"CODEX_HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder / "cache"), "TMPDIR": str(folder)}
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(env={**os.environ, **own, "IPYTHONDIR": str(folder / "ipython")})
    assert [path.name for path in folder.iterdir() if path.name not in ("cache", "ipython")] == []
    return {cell["id"]: cell for cell in notebook["cells"]}


def outputs(cells: dict[str, Any]) -> Iterator[Any]:
    for cell in cells.values():
        yield from cell.get("outputs", ())


def shown(cells: dict[str, Any], cell: str, kind: str) -> str:
    (output,) = cells[cell]["outputs"]
    return str(output["data"][kind])


def test_the_example_is_stored_without_outputs() -> None:
    import nbformat

    stored = nbformat.read(EXAMPLE, as_version=4)

    nbformat.validate(stored)
    assert [cell["id"] for cell in stored["cells"] if cell.get("outputs")] == []


def test_every_cell_runs_without_an_error_or_a_warning(cells: dict[str, Any]) -> None:
    assert [
        output for output in outputs(cells) if output["output_type"] not in ("execute_result", "display_data")
    ] == []


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("recorder", "Recorder, open"),
        ("history", "Is 2 ** 61 - 1 a prime number?"),
        ("fork", "2 sessions, newest first"),
        ("items", "<table"),
        ("sessions", "tool_failures"),
    ],
)
def test_objects_are_shown_as_html_and_as_text(cells: dict[str, Any], cell: str, says: str) -> None:
    assert says in shown(cells, cell, "text/html")
    assert shown(cells, cell, "text/plain")


def test_the_figure_is_shown_without_pyplot(cells: dict[str, Any]) -> None:
    assert "Tokens used" in shown(cells, "figure", "image/svg+xml")


def test_the_search_finds_the_text(cells: dict[str, Any]) -> None:
    assert "It is a Mersenne number; Lucas and Lehmer have a test for those." in shown(cells, "hits", "text/plain")
