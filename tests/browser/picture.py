"""
Make the picture in the README: the page of the session that examples/openai_agent.py records.

    python tests/browser/picture.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from install import chromium
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent.parent
PICTURE = ROOT / "docs" / "images" / "session.png"
SIZE = {"width": 820, "height": 700}


def main() -> None:
    """
    Record the session, open its page in Chromium, and write the picture.
    """
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        subprocess.run(
            [sys.executable, ROOT / "examples" / "openai_agent.py", "--home", home], cwd=ROOT / "docs", check=True
        )
        (page_path,) = Path(home).rglob("*.html")
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        page.goto(page_path.as_uri())
        page.evaluate("document.getElementById('t1').scrollIntoView()")
        PICTURE.parent.mkdir(exist_ok=True)
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
