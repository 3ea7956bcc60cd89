"""
Install axe-core with npm, at the pinned version, into `.axe-core`; does nothing where it is there already. Says what
else the tests with a browser need.

`ROLLOUT_AXE_CORE` names another folder, `ROLLOUT_CHROMIUM` the browser.
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
    Give the browser's path; None if there is none.
    """
    return os.environ.get("ROLLOUT_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def missing() -> list[str]:
    """
    Say what has to be installed before the tests can run.
    """
    needs = {
        "chromium is not there (apt-get install chromium), and ROLLOUT_CHROMIUM names no other": bool(chromium()),
        "playwright is not installed (pip install playwright)": importlib.util.find_spec("playwright") is not None,
        f"axe-core is not in {FOLDER}; run `make test-browser`": AXE.exists(),
    }
    return [text for text, is_there in needs.items() if not is_there]


def install() -> str:
    """
    Install axe-core; what npm said, if that failed.
    """
    if AXE.exists():
        return ""
    FOLDER.mkdir(parents=True, exist_ok=True)
    # Its own package, or npm would look for one further up.
    (FOLDER / "package.json").write_text('{"private": true}\n')
    command = ["npm", "install", "--no-audit", "--no-fund", f"axe-core@{AXE_VERSION}"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    return "" if AXE.exists() else f"{done.stdout}{done.stderr}"


def main() -> int:
    """
    Install, and say what is missing.
    """
    problems = [problem for problem in (install(), *missing()) if problem]
    print("\n".join(problems) or f"axe-core {AXE_VERSION} in {FOLDER}, {chromium()}")
    return len(problems)


if __name__ == "__main__":
    sys.exit(main())
