"""
How fast a rollout is read, and in how much memory. One measurement in a process of its own:

    python benchmarks/bench_read.py '{"reader": "rollout", "path": "/tmp/rollout.jsonl"}'
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from readers import READERS

now = time.perf_counter


def reading(reader: str, path: str) -> dict[str, Any]:
    """
    Read a file once; seconds, lines, and the peak memory of the process in bytes.
    """
    read = READERS[reader]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = now()
    lines = read(Path(path))
    took = now() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": took, "lines": lines, "rate": lines / took, "peak": peak * 1024, "grown": (peak - before) * 1024}


if __name__ == "__main__":
    print(json.dumps(reading(**json.loads(sys.argv[1]))))
