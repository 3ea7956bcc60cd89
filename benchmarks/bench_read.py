"""
The speed of reading a rollout, and the memory. Each measurement runs in its own process:

    python benchmarks/bench_read.py '{"reader": "rollout", "path": "/tmp/rollout.jsonl"}'
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from data import peak_memory
from readers import READERS, SEARCHERS

now = time.perf_counter


def reading(reader: str, path: str) -> dict[str, Any]:
    """
    Read a file once; return the seconds, the lines, and the peak memory of the process in bytes.
    """
    read = READERS[reader]
    _warm(path)
    start = now()
    lines = read(Path(path))
    took = now() - start
    return {"seconds": took, "lines": lines, "peak": peak_memory()}


def _warm(path: str) -> None:
    # The system may have dropped pages that were not read for a minute; then the first peer would wait for the disk.
    with Path(path).open("rb", buffering=0) as file:
        while file.read(2**18):
            pass


def searching(searcher: str, path: str) -> dict[str, Any]:
    """
    Search for a text that the file does not contain; return the seconds.
    """
    if searcher == "ripgrep" and shutil.which("rg") is None:
        return {"error": "ripgrep is not installed"}
    _warm(path)
    start = now()
    found = SEARCHERS[searcher](Path(path))
    return {"seconds": now() - start, "lines": found}


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    print(json.dumps(searching(**arguments) if "searcher" in arguments else reading(**arguments)))
