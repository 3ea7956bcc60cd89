"""
Install axe-core with npm, at the pinned version, into `.axe-core`, unless it is already installed. Print what else the
tests with a browser need.

`ROLLOUT_AXE_CORE` names another folder, `ROLLOUT_CHROMIUM` another browser.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

AXE_VERSION = "4.14.1"
FOLDER = Path(os.environ.get("ROLLOUT_AXE_CORE", Path(__file__).parent.parent.parent / ".axe-core"))
AXE = FOLDER / "node_modules" / "axe-core" / "axe.min.js"


def chromium() -> str | None:
    """
    Return the path of the browser; None if there is none.
    """
    return os.environ.get("ROLLOUT_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def missing() -> list[str]:
    """
    Return a message for each missing program or package.
    """
    needs = {
        "chromium is not installed (apt-get install chromium), and ROLLOUT_CHROMIUM is not set": bool(chromium()),
        "playwright is not installed (pip install playwright)": importlib.util.find_spec("playwright") is not None,
        f"axe-core is not in {FOLDER}; run `make test-browser`": AXE.exists(),
    }
    return [text for text, is_installed in needs.items() if not is_installed]


def install() -> str:
    """
    Install axe-core, and return npm's output if that failed.
    """
    if AXE.exists():
        return ""
    FOLDER.mkdir(parents=True, exist_ok=True)
    # Without a package.json here, npm would install into a parent folder.
    (FOLDER / "package.json").write_text('{"private": true}\n')
    command = ["npm", "install", "--no-audit", "--no-fund", f"axe-core@{AXE_VERSION}"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    return "" if AXE.exists() else f"{done.stdout}{done.stderr}"


def main() -> int:
    """
    Install axe-core, and print the missing programs and packages.
    """
    problems = [problem for problem in (install(), *missing()) if problem]
    print("\n".join(problems) or f"axe-core {AXE_VERSION} in {FOLDER}, {chromium()}")
    return len(problems)


if __name__ == "__main__":
    sys.exit(main())
