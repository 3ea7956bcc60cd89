"""
Bytes, changed at random and kept when they reach new code, through everything that reads; run by `make fuzz`.

What fails is kept in tests/faults/finds, which every test run reads again. Needs atheris; the make target installs it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
FINDS = ROOT / "tests" / "faults" / "finds"
sys.path.insert(0, str(ROOT))

import atheris  # type: ignore[import-not-found]  # noqa: E402

with atheris.instrument_imports(include=["rollout", "ujson"]):
    from tests import rollouts
    from tests.faults.readers import read_everything
    from tests.faults.test_bad_files import CORPUS

HOME = Path(tempfile.mkdtemp(prefix="rollout-fuzz-"))


def one_input(data: bytes) -> None:
    read_everything(rollouts.put(HOME, data), HOME)


def main() -> None:
    seconds = os.environ.get("FUZZ_SECONDS", "600")
    seeds = HOME / "seeds"
    seeds.mkdir()
    for number, data in enumerate([*CORPUS.values(), *(find.read_bytes() for find in FINDS.iterdir())]):
        if len(data) < 20_000:
            (seeds / str(number)).write_bytes(data)
    # A find's name is that of its content, so the same is kept once.
    limits = [f"-max_total_time={seconds}", "-max_len=8192", "-timeout=20", "-rss_limit_mb=2048"]
    atheris.Setup([sys.argv[0], str(seeds), *limits, f"-artifact_prefix={FINDS}/"], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
