"""
Send random bytes to every reader; inputs that reach new code are changed further. `make fuzz` runs it.

Inputs that fail are kept in tests/faults/finds, which every test run reads again. atheris is needed; the make target
installs it.
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
    from tests.bad_files import CORPUS
    from tests.faults.readers import read_everything

HOME = Path(tempfile.mkdtemp(prefix="rollout-fuzz-"))


def read_input(data: bytes) -> None:
    read_everything(rollouts.put(HOME, data), HOME)


def main() -> None:
    seconds = os.environ.get("FUZZ_SECONDS", "600")
    seeds = HOME / "seeds"
    seeds.mkdir()
    for number, data in enumerate([*CORPUS.values(), *(find.read_bytes() for find in FINDS.iterdir())]):
        if len(data) < 20_000:
            (seeds / str(number)).write_bytes(data)
    # The name of a find is a hash of its content, so equal finds are kept once.
    limits = [f"-max_total_time={seconds}", "-max_len=8192", "-timeout=20", "-rss_limit_mb=2048"]
    atheris.Setup([sys.argv[0], str(seeds), *limits, f"-artifact_prefix={FINDS}/"], read_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
