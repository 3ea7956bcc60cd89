"""
Install the real Codex with npm, at the pinned versions, into `.codex-versions`, unless it is already installed.

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
    Return the path of the program, whether it exists or not.
    """
    return FOLDER / version / "node_modules" / ".bin" / "codex"


def install(version: str) -> str:
    """
    Install one version, and return npm's output if that failed.
    """
    if binary(version).exists():
        return ""
    folder = FOLDER / version
    folder.mkdir(parents=True, exist_ok=True)
    # Without a package.json here, npm would install into a parent folder.
    (folder / "package.json").write_text('{"private": true}\n')
    command = ["npm", "install", "--no-audit", "--no-fund", f"@openai/codex@{version}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return "" if binary(version).exists() else f"{version}: {done.stdout}{done.stderr}"


def main() -> int:
    """
    Install all versions at the same time.
    """
    with ThreadPoolExecutor() as pool:
        problems = [problem for problem in pool.map(install, VERSIONS) if problem]
    print("\n".join(problems) or f"Codex {', '.join(VERSIONS)} in {FOLDER}")
    return len(problems)


if __name__ == "__main__":
    sys.exit(main())
