"""
Install the real Codex with npm, at the pinned versions, into `.codex-versions`; does nothing where it is there already.

`ROLLOUT_CODEX_VERSIONS` names another folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

VERSIONS = ("0.36.0", "0.42.0", "0.169.0")
FOLDER = Path(os.environ.get("ROLLOUT_CODEX_VERSIONS", Path(__file__).parent.parent.parent / ".codex-versions"))


def binary(version: str) -> Path:
    """
    Give the program's path, whether it is there or not.
    """
    return FOLDER / version / "node_modules" / ".bin" / "codex"


def install(version: str) -> str:
    """
    Install one version; what npm said, if that failed.
    """
    if binary(version).exists():
        return ""
    folder = FOLDER / version
    folder.mkdir(parents=True, exist_ok=True)
    # Its own package, or npm would look for one further up.
    (folder / "package.json").write_text('{"private": true}\n')
    command = ["npm", "install", "--no-audit", "--no-fund", f"@openai/codex@{version}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return "" if binary(version).exists() else f"{version}: {done.stdout}{done.stderr}"


def main() -> int:
    """
    Install them all, at once.
    """
    with ThreadPoolExecutor() as pool:
        problems = [problem for problem in pool.map(install, VERSIONS) if problem]
    print("\n".join(problems) or f"Codex {', '.join(VERSIONS)} in {FOLDER}")
    return len(problems)


if __name__ == "__main__":
    sys.exit(main())
